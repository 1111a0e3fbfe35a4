"""`/api/v1/webhooks`: where an organization is told things, and the log of what it was told."""

import threading
import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, Parameter, QueryParameter, SkipValidation

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.fields import At, Line, Name
from airfreight.apis.common.paging import After, Limit, LongAfter, Page, RowId, page
from airfreight.apis.platform.products import OrgId, OrgIn
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.webhooks import MessageState
from airfreight.ports import Poster
from airfreight.services import webhook_lines, webhooks

TAGS = ["Webhooks"]
Asked = Request[Any, Any, Any]
Posters = NamedDependency[SkipValidation[Poster]]

Words = Annotated[Line, msgspec.Meta(max_length=500)]
Url = Annotated[
    Line,
    msgspec.Meta(max_length=1300, description="`https://host/path` or `http://...`; port 80, 443 or 1024 to 65535."),
]
Username = Annotated[Line, msgspec.Meta(max_length=255, description="For HTTP Basic; empty: none.")]
Password = Annotated[Line, msgspec.Meta(max_length=255, description="Kept encrypted, never shown.")]
Certificate = Annotated[
    str,
    msgspec.Meta(
        max_length=webhooks.LONGEST_CERTIFICATE,
        description="PEM: the only authority (or certificate) to trust; empty: those of the server's system.",
    ),
]
InState = Annotated[MessageState | None, QueryParameter(name="state", description="Only those in this state.")]
MessageId = Annotated[int, Parameter(ge=1, le=2**53)]


class WebhookIn(In):
    name: Name
    url: Url
    description: Words = ""
    username: Username = ""
    password: Password = ""
    certificate: Certificate = ""
    org_id: OrgIn | None = None


class WebhookChange(In):
    """What is absent (or null) stays as it is; an empty `username` or `certificate` takes it away."""

    name: Name | None = None
    url: Url | None = None
    description: Words | None = None
    username: Username | None = None
    password: Password | None = None
    certificate: Certificate | None = None


class Webhook(Out):
    """`signed`: messages carry a signature; `version` counts the changes."""

    id: int
    uid: str
    organization_id: int
    name: str
    description: str
    url: str
    username: str
    certificate: str
    signed: bool
    version: int
    created_at: At
    created_by: str
    changed_at: At
    changed_by: str


class WebhookWithSecret(Webhook):
    secret: Annotated[str, msgspec.Meta(description="Verifies signatures (`whsec_...`); shown this once.")]


class Message(Out):
    """One message to one webhook. `status` and `response` are of the last answer, `trouble` says why it was none."""

    id: int
    kind: str
    body: dict[str, Any]
    rollout_id: int | None
    device_id: int | None
    state: str
    attempts: int
    status: int | None
    response: str
    trouble: str
    created_at: At
    due_at: At
    sent_at: At | None


class Tried(Out):
    """What became of a test message. No `status`: there was no answer."""

    ok: bool
    status: int | None
    trouble: str
    response: str
    milliseconds: int


class Replayed(Out):
    replayed: int


def shape(row: Any) -> Webhook:  # noqa: ANN401 - a row
    plain = {name: getattr(row, name) for name in Webhook.__struct_fields__ if name not in {"url", "signed"}}
    return Webhook(url=webhooks.place_of_row(row).url, signed=row.secret is not None, **plain)


def with_secret(row: Any, secret: str) -> WebhookWithSecret:  # noqa: ANN401 - a row
    return WebhookWithSecret(**msgspec.structs.asdict(shape(row)), secret=secret)


def message_shape(row: Any) -> Message:  # noqa: ANN401 - a row
    plain = {name: getattr(row, name) for name in Message.__struct_fields__ if name != "body"}
    return Message(body=msgspec.json.decode(row.body), **plain)


@post("/", need=Permission.WEBHOOK_EDIT, tags=TAGS, sync_to_thread=True)
def create_webhook(request: Asked, desk: NamedDependency[Desk], data: JSONBody[WebhookIn]) -> WebhookWithSecret:
    """Create a webhook; its signing secret is shown this once. Needs `WEBHOOK_EDIT`."""
    with desk.write(request, data.org_id) as call:
        row, secret = webhooks.create(
            call,
            name=data.name,
            description=data.description,
            place=webhooks.place_of_url(data.url),
            username=data.username,
            password=data.password,
            certificate=data.certificate,
        )
        return with_secret(row, secret)


@get("/", need=Permission.WEBHOOK_VIEW, tags=TAGS, sync_to_thread=True)
def list_webhooks(
    request: Asked, desk: NamedDependency[Desk], org_id: OrgId = None, limit: Limit = 50, after: After = 0
) -> Page[Webhook]:
    """List the webhooks of an organization, oldest first. Needs `WEBHOOK_VIEW`."""
    with desk.read(request, org_id) as call:
        return page(webhooks.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{webhook_id:int}", need=Permission.WEBHOOK_VIEW, tags=TAGS, sync_to_thread=True)
def get_webhook(request: Asked, desk: NamedDependency[Desk], webhook_id: RowId) -> Webhook:
    """Get a webhook. Needs `WEBHOOK_VIEW`."""
    with desk.read(request) as call:
        return shape(webhooks.get(call, webhook_id))


@patch("/{webhook_id:int}", need=Permission.WEBHOOK_EDIT, tags=TAGS, sync_to_thread=True)
def change_webhook(
    request: Asked, desk: NamedDependency[Desk], webhook_id: RowId, data: JSONBody[WebhookChange]
) -> Webhook:
    """Change a webhook. Needs `WEBHOOK_EDIT`. Messages that wait go to where it leads then."""
    with desk.write(request) as call:
        values = msgspec.structs.asdict(data)
        url = values.pop("url")
        place = None if url is None else webhooks.place_of_url(url)
        return shape(webhooks.change(call, webhook_id, place=place, **values))


@delete("/{webhook_id:int}", need=Permission.WEBHOOK_EDIT, tags=TAGS, sync_to_thread=True)
def delete_webhook(request: Asked, desk: NamedDependency[Desk], webhook_id: RowId) -> None:
    """Delete a webhook with its log; what waits is not sent any more. Needs `WEBHOOK_EDIT`."""
    with desk.write(request) as call:
        webhooks.delete(call, webhook_id)


@post("/{webhook_id:int}/rotate-secret", need=Permission.WEBHOOK_EDIT, tags=TAGS, status_code=200, sync_to_thread=True)
def rotate_webhook_secret(request: Asked, desk: NamedDependency[Desk], webhook_id: RowId) -> WebhookWithSecret:
    """Make a new signing secret, shown this once. Needs `WEBHOOK_EDIT`.

    For a day messages are signed with both, so that receivers can change over in peace.
    """
    with desk.write(request) as call:
        return with_secret(*webhooks.rotate_secret(call, webhook_id))


_testing = threading.BoundedSemaphore(4)
"""A receiver that does not answer keeps a thread for ten seconds; people's other requests need some too."""


@post("/{webhook_id:int}/test", need=Permission.WEBHOOK_EDIT, tags=TAGS, status_code=200, sync_to_thread=True)
def test_webhook(request: Asked, desk: NamedDependency[Desk], poster: Posters, webhook_id: RowId) -> Tried:
    """Send a test message at once, past the line, and say what became of it. Needs `WEBHOOK_EDIT`."""
    with desk.read(request) as call:
        run = webhook_lines.trial(call, webhook_id)
    if not _testing.acquire(blocking=False):
        raise Refusal(
            Kind.LIMITED, "Too many webhooks are being tested. Try again in a moment.", "limited", retry_seconds=10
        )
    before = time.monotonic()
    line = poster.open(run.endpoint)
    try:
        if run.trouble is not None:
            return Tried(ok=False, status=None, trouble=run.trouble, response="", milliseconds=0)
        [message] = run.messages
        posted = line.post(webhook_lines.headers(run, message, clock()), message.body)
    finally:
        line.close()
        _testing.release()
    return Tried(
        ok=posted.trouble is None,
        status=posted.status or None,
        trouble=posted.trouble or "",
        response=posted.response,
        milliseconds=int((time.monotonic() - before) * 1000),
    )


@get("/{webhook_id:int}/messages", need=Permission.WEBHOOK_VIEW, tags=TAGS, sync_to_thread=True)
def list_webhook_messages(
    request: Asked,
    desk: NamedDependency[Desk],
    webhook_id: RowId,
    in_state: InState = None,
    limit: Limit = 50,
    after: LongAfter = 0,
) -> Page[Message]:
    """List the messages to a webhook, oldest first: those that wait, were sent, or are dead. Needs `WEBHOOK_VIEW`."""
    with desk.read(request) as call:
        rows = webhooks.messages(call, webhook_id, state=in_state, after=after, limit=limit + 1)
        return page(rows, limit, message_shape)


@post(
    "/{webhook_id:int}/messages/{message_id:int}/replay",
    need=Permission.WEBHOOK_EDIT,
    tags=TAGS,
    status_code=200,
    sync_to_thread=True,
)
def replay_webhook_message(
    request: Asked, desk: NamedDependency[Desk], webhook_id: RowId, message_id: MessageId
) -> Message:
    """Send a dead or sent message again, before all that is newer. Needs `WEBHOOK_EDIT`."""
    with desk.write(request) as call:
        return message_shape(webhooks.replay(call, webhook_id, message_id))


@post("/{webhook_id:int}/replay", need=Permission.WEBHOOK_EDIT, tags=TAGS, status_code=200, sync_to_thread=True)
def replay_webhook(request: Asked, desk: NamedDependency[Desk], webhook_id: RowId) -> Replayed:
    """Send all dead messages again, in their order. Needs `WEBHOOK_EDIT`."""
    with desk.write(request) as call:
        return Replayed(replayed=webhooks.replay_all(call, webhook_id))


def router(poster: Poster) -> Router:
    """These routes; test messages are sent through `poster`."""
    return Router(
        "/api/v1/webhooks",
        route_handlers=[
            create_webhook,
            list_webhooks,
            get_webhook,
            change_webhook,
            delete_webhook,
            rotate_webhook_secret,
            test_webhook,
            list_webhook_messages,
            replay_webhook_message,
            replay_webhook,
        ],
        dependencies={"poster": Provide(lambda: poster, sync_to_thread=False, use_cache=True)},
    )
