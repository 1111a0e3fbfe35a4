"""Requests made up from the two documents, the contract's and our own, right and wrong ones: no mistake of the server,
no answer that the document does not have, nothing accepted that it excludes, nobody let in without a token.

What is in the documents is asked; there is no list of addresses here.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import CheckContext, GenerationMode, Response
from schemathesis.core.failures import Failure, FailureGroup
from tests.apis.shipments.contract import CONTRACT, Json
from tests.fuzz.asks import without_ddi
from tests.fuzz.world import EACH, SIGNS_IN, WEBHOOK, World

Case = schemathesis.Case[Any]

SEED = 20_260_101
EXAMPLES = 6
"""Mixtures of each kind for each operation; the single edges of all its parameters and fields come on top."""

PARTS = 5
"""Our own document is long: a part of its operations at a time, on the same server."""

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
QUIETLY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
HEAD = {
    "openapi": "3.0.3",
    "info": {"title": "The contract", "version": "1"},
    "security": [{"bearerAuth": []}],
}
"""What our copy of the contract leaves out."""

SCHEMES = {"securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer"}}}
UNSAID = {status: {"description": "said by every HTTP server"} for status in ("401", "413", "415")}
STEPS = ("/api/campaigns", "/api/devices/", "/api/notification-destinations", "/api/programs/", "/api/organizations/")
"""Addresses of campaigns and of what belongs to them."""

UPLOADS = "/api/v1/uploads"
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

SHAPE = {"invalid", "not_json", "unsupported_media_type"}
"""Codes for what a schema can say; the others are about the meaning of a request."""


def loaded(document: Json, world: World) -> Any:
    made = schemathesis.openapi.from_dict(document, config=schemathesis.Config(seed=SEED))
    made.config.update(base_url=world.server.url, request_timeout=120)
    made.config.generation.update(with_security_parameters=False)
    made.config.checks.ignored_auth.enabled = (
        False  # Run.strangers asks once for each operation, not after each success
    )
    made.config.checks.positive_data_acceptance.enabled = False  # not_refused_for_its_shape is our idea of it
    return made


def the_contract() -> Json:
    paths = {
        path: {
            method: {**operation, "responses": {**UNSAID, **operation["responses"]}}
            for method, operation in methods.items()
        }
        for path, methods in CONTRACT["paths"].items()
    }
    return {**HEAD, "paths": paths, "components": {**CONTRACT["components"], **SCHEMES}}


def cases(operation: Any) -> Iterator[Case]:
    """The edges of every parameter and field, one by one; then mixtures of everything."""
    config = operation.schema.config.generation
    yield from operation.schema.iter_coverage_cases(operation, generation_modes=MODES, generation_config=config)
    for mode in MODES if _can_be_wrong(operation) else MODES[:1]:
        found: list[Case] = []
        collecting: Any = given(operation.as_strategy(generation_mode=mode))
        QUIETLY(collecting(_into(found)))()
        yield from found


def _can_be_wrong(operation: Any) -> bool:
    return bool(operation.body) or any(operation.iter_parameters())


def _into(found: list[Case]) -> Callable[[Case], None]:
    def collect(case: Case) -> None:
        found.append(case)

    return collect


def not_refused_for_its_shape(_context: CheckContext, answer: Response, case: Case) -> None:
    """A request that fits the schema may be refused for what it means, with a code that says so."""
    if case.meta is None or not case.meta.generation.mode.is_positive or answer.status_code not in {400, 415}:
        return
    [code] = answer.headers.get("x-error-code", [""])
    if code in SHAPE:
        raise Failure(
            operation=case.operation.label,
            title="Refused, but the document allows it",
            message=answer.text[:300],
        )


def one_error_shape(_context: CheckContext, answer: Response, case: Case) -> None:
    """Whatever the document says of its body, an error has a code; a limit says when it ends; strangers are told how."""
    wanted = {401: "www-authenticate", 405: "allow", 429: "retry-after"}.get(answer.status_code)
    flat = answer.status_code >= 400 and "error_description" in answer.text
    if answer.status_code >= 400 and not (flat or "x-error-code" in answer.headers):
        raise Failure(operation=case.operation.label, title="No error code", message=str(answer.status_code))
    if wanted and wanted not in answer.headers:
        raise Failure(operation=case.operation.label, title=f"No {wanted}", message=str(answer.status_code))


class Run:
    """Sends requests and remembers what was wrong with the answers: one example for each kind and operation."""

    def __init__(self, world: World, session: requests.Session, *checks: Any) -> None:
        self.world, self.session, self.checks = world, session, [one_error_shape, *checks]
        self.statuses: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.wrong: dict[tuple[str, str], str] = {}

    def whole(self, schema: Any, part: int = 0, of: int = 1) -> None:
        for result in list(schema.get_all_operations())[part::of]:
            operation = result.ok()
            self.strangers(operation)
            for case in cases(operation):
                self.one(case)

    def strangers(self, operation: Any) -> None:
        """Without a token, or with one that nobody has, the plainest request is 401, where the document asks for one."""
        case = next(
            operation.schema.iter_coverage_cases(
                operation, generation_modes=MODES[:1], generation_config=operation.schema.config.generation
            )
        )
        if _scheme_of(case) is None:
            return
        for headers in ({}, {"Authorization": "Bearer nobody-has-this"}, {"Authorization": "Basic eDp5"}):
            answer = case.call(session=self.session, headers=headers)
            if answer.status_code != HTTPStatus.UNAUTHORIZED:
                self.wrong[operation.label, "Lets strangers in"] = (
                    f"{headers}: {answer.status_code} {answer.text[:200]}"
                )

    def one(self, case: Case) -> None:
        scheme = _scheme_of(case)
        headers = {"Authorization": f"Bearer {self.world.token(scheme)}"} if scheme else {}
        if case.path.startswith("/api/tokens"):
            headers = {"Authorization": self.world.sign_in(case.path)}
        self._ground(case, scheme)
        how: Any = {"session": self.session, "headers": headers}
        answer = case.call(**how)
        self.statuses[case.operation.label][answer.status_code] += 1
        try:
            case.validate_response(
                answer,
                headers=headers,
                additional_checks=self.checks,
                transport_kwargs=how,
            )
        except (Failure, FailureGroup) as error:
            for failure in getattr(error, "exceptions", [error]):
                key = (case.operation.label, failure.title)
                self.wrong.setdefault(key, f"{failure.message[:800]}\n{case.as_curl_command()[:800]}")

    def unreached(self) -> list[str]:
        """Operations that never answered with success: whatever else was seen there, it was not deep."""
        return [label for label, statuses in self.statuses.items() if not any(200 <= one < 300 for one in statuses)]

    def _ground(self, case: Case, scheme: str | None) -> None:
        """Right requests name things that exist: else they would all end at the first look."""
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        rng = random.Random(repr((case.method, case.path, case.path_parameters, case.query)))
        known = self.world.known(rng, scheme, removes=case.method == "DELETE")
        if case.method == "DELETE" and case.query.keys() == {"orgId"}:
            known["orgId"] = known["id"] + EACH  # the organization itself is meant
        for name, value in case.path_parameters.items():
            if isinstance(value, int):
                case.path_parameters[name] = known["id"]
        if "file" in case.path_parameters:
            case.path_parameters["file"], case.query["token"] = self.world.file()
        if case.path_parameters.keys() & {"uid", "deviceId", "deviceIdAndToken", "groupId", "groupIdAndToken"}:
            found = self.world.addresses(case.path, removes=case.method == "DELETE")
            case.path_parameters.update({name: found[name] for name in case.path_parameters})
        if case.media_type == "multipart/form-data" and isinstance(case.body, dict) and "firmware" in case.body:
            case.body = self.world.form("group" if case.path.endswith("group") else "device")
            case.meta.generation.mode = GenerationMode.POSITIVE  # it takes bytes where the schema says text for wrong
        if case.path == "/api/v1/rollouts" and isinstance(case.body, dict):
            known.pop("deviceIds")
            case.body = _to_a_product(case.body)
        if case.path.startswith("/api/v1/webhooks"):
            known |= WEBHOOK
        if case.path.startswith(STEPS):
            known |= self.world.steps(case.path, removes=case.method == "DELETE")
            case.path_parameters.update({name: known[name] for name in case.path_parameters})
        if case.path.startswith(UPLOADS):
            self._upload(case)
        if case.path == "/v1/auth/login":
            known |= {"email": SIGNS_IN[0], "password": SIGNS_IN[1]}
        case.query.update({name: known[name] for name in case.query if name in known})
        if case.media_type == "application/json" and isinstance(case.body, dict | list):
            case.body = _grounded(case.body, known)
        elif case.media_type == "application/json":
            case.meta.generation.mode = GenerationMode.POSITIVE  # it takes a body that is left out for a wrong one

    def _upload(self, case: Case) -> None:
        """A piece fits its upload; what is begun is small, and has a name."""
        if case.path_parameters:
            case.path_parameters["upload_id"] = self.world.upload()
        if case.method == "POST":
            case.headers.update({"Upload-Length": "5", "Upload-Metadata": "filename YQ=="})
        elif case.method == "PATCH":
            case.headers["Upload-Offset"] = "0"


def _to_a_product(body: Json) -> Json:
    """A rollout of one file, and to a product where no devices are named."""
    whom = {} if body.keys() & {"deviceIds", "uids", "groupId"} else {"productId": 1}
    return {**body, **whom, "artifacts": body["artifacts"][:1]}


def _grounded(value: Any, known: Json) -> Any:
    """1.0 is an integer to JSON Schema; here it is not, on purpose: whole numbers are written without a point."""
    if isinstance(value, dict):
        return {name: known[name] if name in known else _grounded(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [_grounded(one, known) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _scheme_of(case: Case) -> str | None:
    """The security scheme that the document names for the operation; None when it is open to everybody."""
    wanted = case.operation.definition.raw.get("security", case.operation.schema.raw_schema.get("security", []))
    return next((name for one in wanted for name in one), None)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


def found(run: Run) -> str:
    return "\n\n".join(f"{label}: {title}\n{words}" for (label, title), words in run.wrong.items())


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_our_own_document_is_the_truth(world: World, session: requests.Session, part: int) -> None:
    run = Run(world, session, not_refused_for_its_shape)
    run.whole(loaded(without_ddi(world.ask("GET", "/openapi.json", None).json()), world), part, PARTS)
    assert found(run) == ""
    assert run.unreached() == []
    assert sum(run.statuses.values(), Counter())[HTTPStatus.BAD_REQUEST] > 500 // PARTS


def test_the_contract_is_kept(world: World, session: requests.Session) -> None:
    """Requests that it allows and we refuse are in docs/apis/shipments.md; the answers are its own."""
    run = Run(world, session)
    run.whole(loaded(the_contract(), world))
    assert found(run) == ""
    assert run.unreached() == []
