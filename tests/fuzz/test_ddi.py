"""Thousands of wrong requests at every address of DDI, with a device's own token, with others', with none.

None is a mistake of the server, none is answered with what belongs to somebody else, and none changes it.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cbor2
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs
from tests.clients.place import Place, served_on
from tests.clients.rauc import Rauc, State
from tests.fuzz.asks import MARKER, ODD_BODIES, ODD_VALUES, fields, pick, put
from tests.fuzz.ddi import (
    ADDRESSES,
    CBOR,
    FINAL,
    JSON,
    KINDS,
    ODD_CBOR,
    ODD_HEADERS,
    ODD_IDS,
    Ask,
    Own,
    Stage,
    ask_at,
    canceled,
    known,
    under_way,
)
from tests.fuzz.wire import Answer, send

from airfreight.store import tables

SEED = 20_260_601
EACH_DATABASE = 3000
OWN = 12
"""Devices of each kind that wrong requests are sent as: what is accepted after all ends their updates."""

ALLOWED = {200, 201, 206, 304, 400, 401, 404, 405, 406, 409, 410, 412, 413, 415, 416, 429, 431}
UNKNOWN = frozenset({415})


@dataclass(frozen=True, slots=True)
class Shot:
    """`whose`: the one secret that its answer may hold; `must`: what has to come back, if that is known."""

    kind: str
    ask: Ask
    whose: bytes
    must: frozenset[int] = frozenset()


def asked(own: Own, rng: random.Random, *, token: str | None = None, by: Own | None = None) -> Ask:
    """A right request; `by`: with what another one knows, at the address of `own`."""
    return ask_at(pick(rng, ADDRESSES), own, by or own, token)


Make = Callable[[random.Random, Stage], Shot | None]


def right(rng: random.Random, stage: Stage) -> Shot:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    if ask.label.endswith("feedback") and rng.random() < 0.2:
        ask = ask.carrying(rng.choice(FINAL))
    if rng.random() < 0.3:
        ask = replace(ask, headers=(*ask.headers, ("Accept", CBOR)))
    if ask.value and rng.random() < 0.3:
        ask = ask.typed(CBOR, cbor2.dumps(ask.value))
    return Shot("right", ask, own.secret)


def head(rng: random.Random, stage: Stage) -> Shot | None:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    return Shot("a head", replace(ask, method="HEAD"), own.secret) if ask.method == "GET" else None


def odd_field(rng: random.Random, stage: Stage) -> Shot | None:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    if not ask.value:
        return None
    value = ask.value
    for _ in range(pick(rng, [1, 1, 1, 2, 3])):
        if places := fields(value):
            value = put(
                value, pick(rng, places), pick(rng, [*ODD_VALUES, "closed", "success", ["x"] * 500, {"a": {"b": [1]}}])
            )
    if rng.random() < 0.4:
        return Shot("a CBOR field", ask.typed(CBOR, cbor2.dumps(value)), own.secret)
    return Shot("a field", ask.carrying(value), own.secret)


def odd_body(rng: random.Random, stage: Stage) -> Shot | None:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    if not ask.value:
        return None
    if rng.random() < 0.5:
        whole = cbor2.dumps(ask.value)
        body = pick(rng, [*ODD_CBOR, whole[: rng.randrange(len(whole))], whole + whole, bytes(rng.randbytes(40))])
        return Shot("a CBOR body", ask.typed(CBOR, body), own.secret, _unreadable(ask))
    body = pick(rng, [*ODD_BODIES, ask.body[: rng.randrange(len(ask.body))], ask.body + ask.body, b"x" * 400_000])
    return Shot("a body", ask.typed(JSON, body), own.secret, _unreadable(ask))


def _unreadable(ask: Ask) -> frozenset[int]:
    """What nobody can read is told so before anything is looked up; where all may be left out, less is wrong."""
    return frozenset() if ask.label.endswith("activateAutoConfirm") else frozenset({400, 413})


def odd_kind(rng: random.Random, stage: Stage) -> Shot | None:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    return Shot("a content type", ask.typed(pick(rng, KINDS), ask.body), own.secret, UNKNOWN) if ask.value else None


def odd_header(rng: random.Random, stage: Stage) -> Shot:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    added = tuple(pick(rng, ODD_HEADERS) for _ in range(pick(rng, [1, 1, 2])))
    return Shot("a header", replace(ask, headers=(*ask.headers, *added)), own.secret)


def odd_path(rng: random.Random, stage: Stage) -> Shot:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    parts = f"{ask.base}{ask.path}".split("/")
    place = rng.randrange(1, len(parts))
    parts[place] = pick(rng, ODD_IDS)
    if rng.random() < 0.2:
        parts.insert(place, pick(rng, ODD_IDS))
    return Shot("a path", replace(ask, base="", path="/".join(parts)), own.secret)


def odd_query(rng: random.Random, stage: Stage) -> Shot:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    query = f"actionHistory={pick(rng, ODD_IDS)}&c={pick(rng, ODD_IDS)}&{MARKER}"
    return Shot("a query", replace(ask, path=f"{ask.path.partition('?')[0]}?{query}"), own.secret)


def odd_method(rng: random.Random, stage: Stage) -> Shot:
    own = pick(rng, stage.own)
    ask = asked(own, rng)
    return Shot(
        "a method", replace(ask, method=pick(rng, ["DELETE", "PATCH", "OPTIONS", "POST", "PUT", "TRACE"])), own.secret
    )


def stranger(rng: random.Random, stage: Stage) -> Shot:
    """At a device's address with everything that does not open it."""
    victim = pick(rng, [*stage.own, *stage.others])
    some = pick(rng, [one for one in [*stage.own, *stage.others] if one.board.token != victim.board.token])
    gateway = stage.other_gateway if victim.tenant == "DEFAULT" else stage.gateway
    token = victim.board.token
    shown = pick(
        rng,
        ["", "TargetToken ", f"TargetToken {some.board.token}", f"TargetToken {some.board.token}", f"GatewayToken {gateway}", f"GatewayToken {token}",
         f"TargetToken {token[:-1]}", f"TargetToken  {token}", f"targettoken {token}", f"Bearer {token}", f"Basic {token}", f"TargetToken {token}{MARKER}",
         f"TargetToken {stage.gateway}", f"TargetToken {'x' * 5000}", token, f"TargetToken {token},TargetToken {token}", "GatewayToken ", "é"],
    )  # fmt: skip
    ask = asked(victim, rng, token=shown)
    if rng.random() < 0.3:
        claims = (("X-Controller-Id", victim.board.uid), ("X-Authority", "agreed"), ("X-Forwarded-For", "127.0.0.1"))
        ask = replace(ask, headers=(*ask.headers, *claims))
    return Shot("a stranger", ask, b"nothing", frozenset({401}))


def elsewhere(rng: random.Random, stage: Stage) -> Shot | None:
    """With one's own token at one's own address, but with somebody else's ids."""
    own, other = pick(rng, stage.own), pick(rng, stage.others)
    ask = asked(own, rng, by=other)
    if "{" not in next(path for method, path, _ in ADDRESSES if ask.label == f"{method} {path.partition('?')[0]}"):
        return None
    return Shot("somebody else's id", ask, own.secret, frozenset({404}))


def other_tenant(rng: random.Random, stage: Stage) -> Shot:
    """The same device name in the other organization."""
    own = pick(rng, stage.own)
    ask = asked(replace(own, tenant=pick(rng, ["OTHER", "other", "nobody", "%00", MARKER, "DEFAULT%20"])), rng)
    return Shot("another tenant", ask, b"nothing", frozenset({400, 401, 404}))


MAKERS: list[Make] = [
    right, right, right, head, *[odd_field] * 4, *[odd_body] * 4, odd_kind, *[odd_header] * 4, odd_path, odd_path, odd_query, odd_method,
    *[stranger] * 3, *[elsewhere] * 3, other_tenant,
]  # fmt: skip


def tour(stage: Stage) -> list[Shot]:
    """What is right, and what is wrong in the plainest ways, one after the other: every address is reached."""
    whole = next(one for one in ADDRESSES if one[1].endswith("{file}"))
    made = [Shot("right", ask_at(one, own, own), own.secret) for own in stage.own[::OWN] for one in ADDRESSES]
    own = stage.own[1]
    headers = [("Range", "bytes=1-9"), ("Range", "bytes=0-0,5-9"), ("Range", "bytes=999999-"), ("If-Match", "b" * 40)]
    made += [Shot("a header", replace(ask_at(whole, own, own), headers=(one,)), own.secret) for one in headers]
    base = ask_at(ADDRESSES[0], own, own)
    made.append(Shot("a header", replace(base, headers=(("Accept", "text/html"),)), own.secret, frozenset({406})))
    report = ask_at(ADDRESSES[3], own, own)
    made.append(Shot("a content type", report.typed("text/plain", report.body), own.secret, frozenset({415})))
    made.append(Shot("an end", report.carrying(FINAL[0]), own.secret, frozenset({200})))
    installed = next(one for one in ADDRESSES if one[1].startswith("/installedBase/"))
    made.append(Shot("what it has", ask_at(installed, own, own), own.secret, frozenset({200})))
    return made


def shots(stage: Stage, number: int, seed: str) -> list[Shot]:
    rng = random.Random(seed)
    made: list[Shot] = []
    while len(made) < number:
        shot = pick(rng, MAKERS)(rng, stage)
        if shot is not None:
            made.append(shot)
    return made


def wrong(shot: Shot, answers: list[Answer], stage: Stage) -> str:
    """What is wrong with the answers; empty when nothing is."""
    if len(answers) != 1:
        return f"{len(answers)} answers"
    [answer] = answers
    if answer.status not in ALLOWED:
        return f"status {answer.status}"
    if shot.must and answer.status not in shot.must:
        return f"status {answer.status}, not {sorted(shot.must)}"
    if "transfer-encoding" in answer.headers:
        return "chunks"
    shown = json.dumps(answer.headers).encode() + answer.body
    if any(one.secret in shown for one in [*stage.own, *stage.others] if one.secret != shot.whose):
        return "something of somebody else's"
    if MARKER.lower().encode() in shown.lower() and answer.status >= 400:
        return "repeats what was sent"
    if answer.status == 429 and "retry-after" not in answer.headers:
        return "no Retry-After"
    return _wrong_error(answer) if answer.status >= 400 and answer.body else ""


def _wrong_error(answer: Answer) -> str:
    """An error's body, if it has one, is hawkBit's (or ours, where the request never came to this door)."""
    try:
        body = cbor2.loads(answer.body) if answer.headers.get("content-type") == CBOR else json.loads(answer.body)
    except ValueError:
        return "an error that cannot be read"
    match body:
        case {"exceptionClass": str(), "errorCode": str(code), "message": str()}:
            return "" if code.startswith("hawkbit.server.error.") else f"code {code}"
        case {"error": {"message": str()}}:
            return ""
    return f"an error of another form: {answer.body[:200]!r}"


def fire(port: int, some: list[Shot]) -> list[list[Answer]]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda shot: send(port, shot.ask.raw(), is_whole=True), some))


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        served = stack.enter_context(
            served_on(request, tmp_path, sqlite_template, request.param, requests_per_minute=1_000_000)
        )
        place, other, careful = (Place(served, stack, tenant) for tenant in ("DEFAULT", "OTHER", "CAREFUL"))
        careful.steer(confirmation=True)
        own = [under_way(place, "DEFAULT", f"own-{number}") for number in range(OWN)]
        own += [canceled(place, "DEFAULT", f"canceled-{number}") for number in range(OWN)]
        own += [known(careful, "CAREFUL", f"asked-{number}") for number in range(OWN)]
        others = [
            under_way(place, "DEFAULT", "neighbour"),
            under_way(other, "OTHER", "own-0"),
            under_way(other, "OTHER", "asked-1"),
        ]
        yield Stage(place, own, others, place.gateway_token(), other.gateway_token())


def belongings(stage: Stage) -> list[str]:
    """All that is kept of the others."""
    ids = [one.board.id for one in stage.others]
    kept = []
    for table, column in ((tables.devices, tables.devices.c.id), (tables.deliveries, tables.deliveries.c.device_id)):
        kept += [repr(row) for row in stage.place.rows(select(table).where(column.in_(ids)).order_by(table.c.id))]
    return kept


@pytest.mark.timeout(600)
def test_nothing_breaks_it_and_nobody_gets_what_is_not_theirs(stage: Stage) -> None:
    before = belongings(stage)
    first, sent = tour(stage), shots(stage, EACH_DATABASE, f"{SEED} {stage.place.database.engine.dialect.name}")
    with capture_logs() as logs:
        answers = [(shot, got) for shot in first for got in fire(stage.port, [shot])]
        answers += zip(sent, fire(stage.port, sent), strict=True)
    found = {
        f"{shot.kind}, {shot.ask.label}: {words}": (shot.ask.raw()[:600], [answer.body[:200] for answer in got])
        for shot, got in answers
        if (words := wrong(shot, got, stage))
    }
    assert found == {}
    assert [line for line in logs if line["log_level"] in {"error", "critical"}] == []
    assert belongings(stage) == before

    statuses = defaultdict[str, Counter[int]](Counter)
    for shot, got in answers:
        statuses[shot.ask.label][got[0].status] += 1
    labels = {f"{method} {path.partition('?')[0]}" for method, path, _ in ADDRESSES}
    assert set(statuses) == labels
    reached = {label for label, counter in statuses.items() if {200, 201, 206} & counter.keys()}
    assert labels - reached == {"PUT /installedBase"}, "there is no update that has brought this version"
    assert {status for counter in statuses.values() for status in counter} >= {
        200,
        206,
        400,
        401,
        404,
        405,
        406,
        412,
        415,
        416,
    }
    assert stage.place.drift() == {}

    board = stage.place.board("afterwards")
    shipped = stage.place.shipped(stage.place.artifact("", content=b"still" * 1000), board)
    client = Rauc(stage.place.server.url, board.uid, board.token)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert stage.place.stand(shipped, board) == ("succeeded", "")
