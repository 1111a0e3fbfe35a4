"""Between the words of DDI and the core's. Pure and total. Source: the DDI reference, 6 and 7."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never
from urllib.parse import quote

from airfreight.apis.ddi.reading import Feedback, Word
from airfreight.apis.ddi.shapes import (
    ActionHistory,
    ActionStatus,
    Artifact,
    AutoConfirm,
    Chunk,
    Confirmation,
    Deployment,
    Execution,
    Finished,
    Hashes,
    Link,
    Links,
)
from airfreight.domain.delivery import Consent, Event, Fail, Insist, Reach, Reason, State, Succeed, Yield
from airfreight.services.deliveries import Report
from airfreight.services.offers import Offer
from airfreight.services.visits import Errand

_NOTE = Reach(State.OFFERED)
"""Moves nothing, wherever the delivery stands: what is told is kept."""

_OLD_NAMES = {"application": "bApp", "runtime": "jvm"}
"""Of parts, as clients know them."""


def event_of(told: Feedback) -> Event:
    """What a feedback to an action counts for. Only `closed` says how it went, whatever stands in `finished`."""
    match told.execution:
        case Execution.CLOSED:
            return Fail(Reason.DEVICE_ERROR) if told.finished is Finished.FAILURE else Succeed()
        case Execution.DOWNLOAD:
            return Reach(State.DOWNLOADING)
        case Execution.DOWNLOADED:
            return Reach(State.DOWNLOADED)
        case Execution.REJECTED:
            return Fail(Reason.USER_DECLINED)
        case Execution.PROCEEDING | Execution.SCHEDULED | Execution.RESUMED | Execution.CANCELED:
            return _NOTE
        case never:
            assert_never(never)


def cancel_event_of(told: Feedback) -> Event:
    """What a feedback to a cancellation counts for."""
    match told.execution:
        case Execution.CLOSED:
            return Insist() if told.finished is Finished.FAILURE else Yield()
        case Execution.CANCELED:
            return Yield()
        case Execution.REJECTED:
            return Insist()
        case Execution.PROCEEDING | Execution.SCHEDULED | Execution.RESUMED | Execution.DOWNLOAD | Execution.DOWNLOADED:
            return _NOTE
        case never:
            assert_never(never)


def word_event_of(told: Word) -> Event:
    """What the word of a device's user counts for."""
    match told.confirmation:
        case Confirmation.CONFIRMED:
            return Consent()
        case Confirmation.DENIED:
            return Fail(Reason.USER_DECLINED)
        case never:
            assert_never(never)


def report_of(attempt_id: int, told: Feedback, event: Event) -> Report:
    return Report(
        attempt_id,
        None,
        event,
        told.percent,
        told.lines[-1] if told.lines else "",
        lines=told.lines,
        told=told.execution,
        may_be_mute=True,
    )


def word_report_of(attempt_id: int, told: Word) -> Report:
    message = told.lines[-1] if told.lines else ""
    return Report(attempt_id, None, word_event_of(told), message=message, lines=told.lines, told=told.confirmation)


def status_of(offer: Offer) -> ActionStatus:
    """Of an attempt: how it ended, else how far it is."""
    if offer.is_canceling:
        return ActionStatus.CANCELING
    if offer.errand is Errand.CONFIRM:
        return ActionStatus.WAIT_FOR_CONFIRMATION
    match offer.state:
        case State.SUCCEEDED:
            return ActionStatus.FINISHED
        case State.FAILED:
            return ActionStatus.ERROR
        case State.CANCELED | State.SKIPPED:
            return ActionStatus.CANCELED
        case State.DOWNLOADING:
            return ActionStatus.DOWNLOAD
        case State.DOWNLOADED:
            return ActionStatus.DOWNLOADED
        case State.OFFERED:
            return ActionStatus.RUNNING if offer.has_words else ActionStatus.RETRIEVED
        case State.QUEUED | State.INSTALLING | State.INSTALLED | State.ACTIVATING:
            return ActionStatus.RUNNING
        case never:
            assert_never(never)


def history_of(offer: Offer, lines: Sequence[str]) -> ActionHistory:
    return ActionHistory(status_of(offer), list(lines))


def deployment_of(offer: Offer, artifacts: Sequence[Any], base: str, sha1s: Mapping[int, str]) -> Deployment:
    """`base`: the address of the device, such as `http://host/DEFAULT/controller/v1/dev1`."""
    handled, row = offer.handled, offer.row
    part = _OLD_NAMES.get(row.part, row.part)
    modules = [artifacts] if row.one_part and artifacts else [[artifact] for artifact in artifacts]
    chunks = [
        Chunk(part, version_of(module[0]), row.product_name, artifacts_of(module, base, sha1s)) for module in modules
    ]
    window = None if handled.in_window is None else "available" if handled.in_window else "unavailable"
    return Deployment(download=handled.download, update=handled.update, maintenance_window=window, chunks=chunks)


def version_of(artifact: Any) -> str:  # noqa: ANN401 - a row
    """Clients want one: where the file has none, what else tells it from others."""
    return str(artifact.version or artifact.build or artifact.sha256[:12])


def artifacts_of(module: Sequence[Any], base: str, sha1s: Mapping[int, str]) -> list[Artifact]:
    """The files of a module, which has the id of its first one."""
    folder = f"{base}/softwaremodules/{module[0].id}/artifacts"
    return [_artifact_of(one, folder, sha1s[one.id]) for one in module]


def _artifact_of(artifact: Any, folder: str, sha1: str) -> Artifact:  # noqa: ANN401 - a row
    href = f"{folder}/{quote(artifact.filename, safe='')}"
    links = {"download-http": Link(href), "md5sum-http": Link(href + ".MD5SUM")}
    return Artifact(artifact.filename, Hashes(sha1, artifact.md5, artifact.sha256), artifact.size, links)


def auto_confirm_of(consent: dict[str, Any] | None) -> AutoConfirm:
    if consent is None:
        return AutoConfirm(active=False, activated_at=0)
    return AutoConfirm(
        active=True,
        initiator=consent["initiator"] or None,
        remark=consent["remark"] or None,
        activated_at=consent["at"],
    )


def confirmation_links(base: str, *, is_on: bool, waiting: str | None) -> Links:
    """`waiting`: the address of what waits to be confirmed."""
    switch = "deactivateAutoConfirm" if is_on else "activateAutoConfirm"
    links = {switch: Link(f"{base}/confirmationBase/{switch}")}
    if waiting:
        links["confirmationBase"] = Link(waiting)
    return links
