"""`/device/v1` by its addresses: who may, what is refused, and what the verdicts are."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.apis.shipments.test_bad_input import EVIL, refusal
from tests.apis.site import Site
from tests.make import Board

from airfreight.store import tables

NEXT, REPORTS, ATTRIBUTES, ENROLL = (f"/device/v1/{name}" for name in ("next", "reports", "attributes", "enroll"))
CALLS = [("GET", NEXT), ("POST", REPORTS), ("PUT", ATTRIBUTES), ("GET", "/device/v1/artifacts/1")]
NOT_A_NUMBER: list[Any] = [None, "1", 1.5, True, [], {}, 0, -1, 2**31, 10**30]


@pytest.fixture
def board(site: Site) -> Board:
    [board] = site.devices(site.product_id)
    return board


def report(site: Site, board: Board, *events: dict[str, Any]) -> httpx.Response:
    return site.as_device(board).post(REPORTS, json={"reports": list(events)})


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_nobody_without_the_token_of_a_device(site: Site, method: str, path: str) -> None:
    removed, rotated = site.devices(site.product_id, 2)
    site.remove_device(removed)
    site.ask("POST", f"/api/v1/devices/{rotated.id}/rotate-token")
    body = {REPORTS: {"reports": [{"attempt": 1, "seq": 1, "event": "downloading"}]}, ATTRIBUTES: {}}.get(path)
    how: dict[str, Any] = {} if body is None else {"json": body}
    wrong = [None, "", "Bearer", "Bearer x", "Basic eDp5", "Bearer " + "x" * 300, "Bearer \xfc"]
    tokens = [site.tokens["client"], removed.token, rotated.token, rotated.token + "x"]
    for header in [*wrong, *(f"Bearer {token}" for token in tokens)]:
        headers = {} if header is None else {"Authorization": header.encode("latin-1")}
        answer = site.http(None).request(method, path, headers=headers, **how)  # type: ignore[arg-type]
        refusal(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_is_taken_whatever_the_case_of_bearer(site: Site, board: Board) -> None:
    for word in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{word} {board.token}"}
        assert site.http(None).get(NEXT, headers=headers).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", NEXT, "GET"),
        ("GET", REPORTS, "POST"),
        ("POST", ATTRIBUTES, "PUT"),
        ("GET", ENROLL, "POST"),
        ("PUT", "/device/v1/artifacts/1", "GET, HEAD"),
        ("OPTIONS", NEXT, "GET"),
    ],
)
def test_other_methods_are_told_which_are_taken(site: Site, board: Board, method: str, path: str, allowed: str) -> None:
    answer = site.as_device(board).request(method, path)
    refusal(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["", "x", "next/", "next/1", "Next", "reports/1", "artifacts", "%2e%2e/next"])
def test_there_is_nothing_elsewhere(site: Site, board: Board, path: str) -> None:
    refusal(site.as_device(board).get("/device/v1/" + path), 404)


@pytest.mark.parametrize(
    "query",
    ["wait=61", "wait=-1", "wait=1.5", "wait=abc", "wait=", "wait=%31%00", "wait=١", "wait=1e1", "wait=" + "9" * 5000, "x=1", "wait=1&x=2", "Wait=1"],
)  # fmt: skip
def test_a_wait_is_a_number_of_seconds(site: Site, board: Board, query: str) -> None:
    assert "wait" in refusal(site.as_device(board).get(f"{NEXT}?{query}"))


GOOD = {"attempt": 1001, "seq": 1, "event": "downloading"}
WRONG_REPORTS: list[tuple[str, Any]] = [
    *(("attempt", {**GOOD, "attempt": value}) for value in NOT_A_NUMBER),
    *(("seq", {**GOOD, "seq": value}) for value in NOT_A_NUMBER),
    *(("event", {**GOOD, "event": value}) for value in (None, 1, "", EVIL, "queued", "offered", "skipped")),
    *(("progress", {**GOOD, "progress": value}) for value in ["1", 1.5, True, [], -1, 101]),
    *(("reason", {**GOOD, "event": "failed", "reason": value}) for value in [1, [], True, "x" * 65]),
    *(("message", {**GOOD, "message": value}) for value in [1, [], True, "x" * 501]),
    *((name, {key: value for key, value in GOOD.items() if key != name}) for name in GOOD),
    *(("thing", {**GOOD, "thing": value}) for value in [1, [], True, "", "x" * 65]),
    ("things", {**GOOD, "things": "x"}),
    ("reports", None), ("reports", 1), ("reports", []), ("reports", [GOOD]),
]  # fmt: skip


def test_every_wrong_field_of_a_report_is_refused_by_name_and_nothing_is_taken(site: Site, board: Board) -> None:
    rollout = site.create(site.artifact(""), [board])["id"]
    attempt = site.poll(board).attempt_id
    before = site.history(rollout, board)
    wrong = []
    for name, one in WRONG_REPORTS:
        changed = {**one, "attempt": attempt} if isinstance(one, dict) and one.get("attempt") == 1001 else one
        good = {**GOOD, "attempt": attempt}
        answer = report(site, board, good, changed)
        try:
            assert name in refusal(answer)
        except AssertionError as error:
            wrong.append((name, str(one)[:80], str(error)[:200]))
    assert wrong == []
    assert site.history(rollout, board) == before


@pytest.mark.parametrize("path", [REPORTS, ATTRIBUTES])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b'{"a":NaN}', b"{}{}"]
)
def test_what_is_not_json_of_the_right_kind_is_refused(site: Site, board: Board, path: str, body: bytes) -> None:
    method = "POST" if path == REPORTS else "PUT"
    refusal(site.as_device(board).request(method, path, content=body))


@pytest.mark.parametrize("size", [0, 101, 1000])
def test_a_call_carries_one_to_a_hundred_reports(site: Site, board: Board, size: int) -> None:
    refusal(report(site, board, *[GOOD] * size))


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_body_is_at_most_256_kilobytes(site: Site, board: Board, method: str) -> None:
    path = ATTRIBUTES if method == "PUT" else REPORTS
    body = json.dumps({"a": "x" * 256 * 1024}).encode()
    refusal(site.as_device(board).request(method, path, content=body), 413)
    in_pieces = iter([body[:1000], *[b" " * 65_536] * 5])
    refusal(site.as_device(board).request(method, path, content=in_pieces), 413)


def test_the_verdicts_of_one_call(site: Site, board: Board) -> None:
    """Moved, noted, refused and late, each repeat answered like the first time, a stranger's word refused."""
    site.create(site.artifact(""), [board], attemptsLimit=2)
    attempt = site.as_device(board).get(NEXT).json()["attempt"]
    told = [(1, "downloaded"), (2, "downloading"), (3, "canceled"), (1, "failed"), (4, "failed"), (5, "succeeded")]
    answer = report(site, board, *({"attempt": attempt, "seq": seq, "event": event} for seq, event in told))
    assert answer.status_code == 200
    verdicts = ["moved", "noted", "refused", "moved", "moved", "late"]
    assert answer.json() == {
        "results": [
            {"attempt": attempt, "seq": seq, "verdict": verdict}
            for (seq, _), verdict in zip(told, verdicts, strict=True)
        ]
    }
    other = report(site, board, {"attempt": attempt + 1, "seq": 1, "event": "succeeded"})
    assert [one["verdict"] for one in other.json()["results"]] == ["refused"]


def test_everything_a_report_may_say_is_kept(site: Site, board: Board) -> None:
    shipment = site.create(site.artifact(""), [board])["id"]
    attempt = site.as_device(board).get(NEXT).json()["attempt"]
    said = {
        "attempt": attempt,
        "seq": 1,
        "event": "failed",
        "progress": 42,
        "reason": "no_space",
        "message": "full\n\x1b[1m\x00",
    }
    odd = {"attempt": attempt, "seq": 2, "event": "failed", "reason": "gremlins", "message": "who knows"}
    assert report(site, board, said, odd).status_code == 200
    moved, late = site.history(shipment, board)[-2:]
    assert (moved.event, moved.progress, moved.reason, moved.message) == ("fail", 42, "no_space", "full  [1m ")
    assert (late.verdict, late.reason, late.message) == ("late", "device_error", "gremlins: who knows")


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": []}, {"a": {}}, {"": 1}, {"x" * 129: 1}, {"a\n": 1}, {"a": "x" * 257}, {"a": 2**53 + 1}, {"a": 10**400},
        {"version": 1}, {"version": "x" * 65}, {"version": "a\nb"}, {"timeZone": "Mars/Olympus"}, {"build": []},
        {f"key {n}": n for n in range(101)},
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_wrong_attributes_are_refused_and_none_is_kept(site: Site, board: Board, wrong: dict[str, Any]) -> None:
    client = site.as_device(board)
    assert client.put(ATTRIBUTES, json={"kept": 1}).status_code == 200
    refusal(client.put(ATTRIBUTES, json={"lost": 1, **wrong}))
    assert client.put(ATTRIBUTES, json={}).json() == {"attributes": {"kept": 1}}


def test_attributes_are_merged_and_null_takes_them_away(site: Site, board: Board) -> None:
    client = site.as_device(board)
    first = {"version": "1.0.0", "fwType": "T", "a": 1, "b": "x", "c": True, "d": 1.5, "timeZone": "Europe/Berlin"}
    assert client.put(ATTRIBUTES, json=first).json()["attributes"] == first
    second = client.put(ATTRIBUTES, json={"a": None, "version": None, "b": "y", "unknown": None}).json()["attributes"]
    assert second == {"fwType": "T", "b": "y", "c": True, "d": 1.5, "timeZone": "Europe/Berlin"}


def test_an_instruction_has_everything_and_is_repeated(site: Site, board: Board) -> None:
    artifact = site.artifact("2.0.0")
    site.create(artifact, [board])
    first = site.as_device(board).get(NEXT)
    assert first.status_code == 200
    told = first.json()
    assert told.keys() == {"attempt", "do", "artifacts", "window", "deadline", "poll_after"}
    [file] = told["artifacts"]
    assert file.keys() == {"id", "name", "version", "build", "size", "sha256", "md5", "url"}
    assert (file["id"], file["name"], file["version"]) == (artifact.id, "image.bin", "2.0.0")
    assert file["size"] == len(artifact.content)
    assert (told["attempt"] > 1000, told["do"], told["window"]) == (True, "download", None)
    assert told["deadline"] > 1_700_000_000_000
    assert 1 <= told["poll_after"] <= 30
    assert site.as_device(board).get(NEXT).json() == told


@pytest.mark.parametrize(
    ("event", "do"),
    [
        ("downloading", "download"),
        ("downloaded", "install"),
        ("installing", "install"),
        ("installed", "activate"),
        ("activating", "activate"),
    ],
)
def test_what_to_do_follows_what_was_told(site: Site, board: Board, event: str, do: str) -> None:
    site.create(site.artifact(""), [board])
    attempt = site.as_device(board).get(NEXT).json()["attempt"]
    report(site, board, {"attempt": attempt, "seq": 1, "event": event})
    told = site.as_device(board).get(NEXT).json()
    assert (told["attempt"], told["do"]) == (attempt, do)


def test_after_a_failure_the_next_offer_has_a_new_number(site: Site, board: Board) -> None:
    site.create(site.artifact(""), [board])
    first = site.as_device(board).get(NEXT).json()["attempt"]
    began = time.monotonic()
    report(site, board, {"attempt": first, "seq": 1, "event": "failed", "reason": "download_failed"})
    pause = site.as_device(board).get(NEXT)
    took = time.monotonic() - began
    assert pause.status_code == 204
    assert 59 - took < int(pause.headers["retry-after"]) <= 61


def test_an_idle_device_is_told_when_to_come_again_each_at_another_time(site: Site) -> None:
    times = set()
    for board in site.devices(site.product_id, 8):
        answer = site.as_device(board).get(NEXT)
        assert (answer.status_code, answer.content) == (204, b"")
        times.add(int(answer.headers["retry-after"]))
    assert all(225 <= seconds <= 375 for seconds in times)
    assert len(times) > 4


def test_a_device_outside_its_window_waits_until_it_opens(site: Site, board: Board) -> None:
    hour = datetime.now(UTC).hour
    # not the next one, which may begin meanwhile
    later = ["NIGHT", "MORNING", "AFTERNOON", "EVENING"][(hour // 6 + 2) % 4]
    site.tell(board, timeZone="UTC")
    site.create(site.artifact(""), [board], shipmentTime=later)
    answer = site.as_device(board).get(NEXT)
    assert answer.status_code == 204
    assert 1 <= int(answer.headers["retry-after"]) <= 375


def test_bytes_and_lines_of_a_report_are_kept_once(site: Site) -> None:
    [board] = site.devices(site.product_id)
    artifact = site.artifact()
    site.create(artifact, [board])
    attempt = site.as_device(board).get("/device/v1/next").json()["attempt"]
    report = {
        "attempt": attempt,
        "seq": 1,
        "event": "downloading",
        "artifacts": [{"id": artifact.id, "done": 10, "total": 2**40}],
        "lines": ["verify: ok", "a\x1b[31mb"],
    }
    for _ in range(2):
        answer = site.as_device(board).post("/device/v1/reports", json={"reports": [report]})
        assert answer.json()["results"][0]["verdict"] == "moved"
    more = {**report, "seq": 2, "artifacts": [{"id": artifact.id, "done": 20, "total": 2**40}], "lines": ["done"]}
    site.as_device(board).post("/device/v1/reports", json={"reports": [more]}).raise_for_status()
    [delivery] = site.rows(select(tables.deliveries.c.id).where(tables.deliveries.c.device_id == board.id))
    known, said = tables.delivery_bytes, tables.delivery_lines
    found = site.rows(select(known).where(known.c.delivery_id == delivery.id))
    assert [tuple(row)[1:] for row in found] == [(artifact.id, 20, 2**40)]
    lines = site.rows(select(said.c.line).where(said.c.delivery_id == delivery.id).order_by(said.c.id))
    assert [row.line for row in lines] == ["verify: ok", "a [31mb", "done"]
