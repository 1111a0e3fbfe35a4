"""Requests made up from the two documents, the contract's and our own, right and wrong ones: no mistake of the server,
no answer that the document does not have, nothing accepted that it excludes, nobody let in without a token.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from tests.apis.shipments.contract import CONTRACT, Json
from tests.fuzz.world import World

SEED = 20_260_101
EXAMPLES = 12
HEAD = {"openapi": "3.0.1", "info": {"title": "The contract", "version": "1"}}
"""What our copy of the contract leaves out."""
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
QUIETLY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def loaded(document: Json, world: World) -> Any:
    made = schemathesis.openapi.from_dict(document, config=schemathesis.Config(seed=SEED))
    made.config.update(base_url=world.server.url)
    return made


def cases(operation: Any) -> Iterator[list[Case]]:
    """The edges of every parameter and field, one by one; then mixtures of everything."""
    yield list(
        operation.schema.iter_coverage_cases(
            operation, generation_modes=MODES, generation_config=operation.schema.config.generation
        )
    )
    for mode in MODES:
        found: list[Case] = []
        try:
            QUIETLY(given(operation.as_strategy(generation_mode=mode))(_into(found)))()
        except Exception as e:
            print(operation.label, mode, repr(e)[:200])
            continue  # nothing can be wrong with a request that has no parameters
        yield found


def _into(found: list[Case]) -> Callable[[Case], None]:
    def collect(case: Case) -> None:
        found.append(case)

    return collect


class Run:
    """Sends requests and remembers what was wrong with the answers: one example for each kind and operation."""

    def __init__(self, world: World, session: requests.Session) -> None:
        self.world, self.session = world, session
        self.statuses: Counter[int] = Counter()
        self.wrong: dict[tuple[str, str], str] = {}

    def whole(self, schema: Any) -> None:
        for result in schema.get_all_operations():
            operation = result.ok()
            for some in cases(operation):
                for case in some:
                    self.one(case)

    def one(self, case: Case) -> None:
        self._ground(case)
        scheme = _scheme_of(case)
        headers = {"Authorization": f"Bearer {self.world.token(scheme)}"} if scheme else {}
        try:
            answer = case.call_and_validate(session=self.session, headers=headers)
            self.statuses[answer.status_code] += 1
        except (Failure, FailureGroup) as error:
            for failure in getattr(error, "exceptions", [error]):
                self.wrong.setdefault(
                    (case.operation.label, failure.title), str(failure)[:1500] + case.as_curl_command()[:1500]
                )

    def _ground(self, case: Case) -> None:
        """Right requests name things that exist, mostly: else they would all end at the first look."""
        if case.meta is None or not case.meta.generation.mode.is_positive:
            return
        known = self.world.known(random.Random(repr((case.method, case.path, case.path_parameters, case.query))))
        for name, value in case.path_parameters.items():
            if isinstance(value, int):
                case.path_parameters[name] = known["id"]
        case.query.update({name: known[name] for name in case.query if name in known})
        if isinstance(case.body, dict):
            case.body.update({name: known[name] for name in case.body if name in known})


def _scheme_of(case: Case) -> str | None:
    """The security scheme that the document names for the operation; None when it is open to everybody."""
    wanted = case.operation.definition.raw.get("security", case.operation.schema.raw_schema.get("security", []))
    return next((name for one in wanted for name in one), None)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        yield made


def test_our_document(world: World, session: requests.Session) -> None:
    run = Run(world, session)
    run.whole(loaded(world.ask("GET", "/openapi.json", None).json(), world))
    print(run.statuses)
    print("\n".join(f"#### {key}\n{words}" for key, words in run.wrong.items()))
    assert not run.wrong


def test_the_contract(world: World, session: requests.Session) -> None:
    run = Run(world, session)
    run.whole(loaded(HEAD | CONTRACT, world))
    print(run.statuses)
    print("\n".join(f"#### {key}\n{words}" for key, words in run.wrong.items()))
    assert not run.wrong
