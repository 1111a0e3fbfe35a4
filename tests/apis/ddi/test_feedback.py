"""What devices say in their feedback: details of every form, sloppy bodies, too much of it."""

import json
from contextlib import ExitStack
from typing import Any

from sqlalchemy import func, select
from tests.apis.ddi.door import Tenant, error_code, feedback, line
from tests.apis.site import Site

from airfreight.store import tables


def lines(tenant: Tenant, action: int, details: Any, **status: Any) -> list[str]:
    """How details are kept, oldest first."""
    before: list[str] = tenant.history(action)["messages"]
    body = feedback("proceeding", "none", **status)
    body["status"]["details"] = details
    assert tenant.status("POST", f"/deploymentBase/{action}/feedback", json=body) == 200
    after: list[str] = tenant.history(action)["messages"]
    assert after[len(after) - len(before) :] == before
    return after[: len(after) - len(before)][::-1]


def test_details_of_every_form_are_taken(tenant: Tenant) -> None:
    action = tenant.offered()
    for details, kept in (
        (["a", "b"], ["a", "b"]),
        ("just one", ["just one"]),
        ([""], []),
        (None, []),
        ([], []),
        (5, ["5"]),
        ([1, 2.5, True, None], ["1", "2.5", "true"]),
        (["a\nb\r\nc", "  d  "], ["a", "b", "c", "d"]),
        (["<b>&amp;</b> <script>alert(1)</script>"], ["<b>&amp;</b> <script>alert(1)</script>"]),
        (["\x1b[31mred\x07\x00end"], ["[31mred  end"]),
        (["\u202egnp.exe"], ["gnp.exe"]),
        (["h\u00e9 \U0001f680"], ["h\u00e9 \U0001f680"]),
        (["x" * 5000], ["x" * 500]),
    ):
        assert (details, lines(tenant, action, details)) == (details, kept)
    assert lines(tenant, action, ["a"], code=200) == ["a", "Device reported status code: 200"]
    assert lines(tenant, action, None, code="-17") == ["Device reported status code: -17"]


def test_of_300_lines_the_first_and_the_last_are_kept(tenant: Tenant) -> None:
    rollout_id = tenant.ship()
    action = tenant.next_action()
    assert tenant.say(action, "proceeding", "none", *[f"line {i}" for i in range(300)]) == 200
    table = tables.delivery_lines
    query = select(table.c.line).where(table.c.delivery_id == tenant.site.delivery(rollout_id, tenant.board).id)
    stored = [row.line for row in tenant.site.rows(query.order_by(table.c.id))]
    assert (len(stored), stored[0], stored[98], stored[-1]) == (200, "line 0", "line 98", "line 299")
    assert stored[99] == "(101 lines are left out)"
    newest = tenant.history(action, most=-1)["messages"]
    assert (len(newest), newest[0], newest[-1]) == (100, "line 299", "line 200")


def test_sloppy_bodies_of_clients_in_the_field_are_taken(tenant: Tenant) -> None:
    action = tenant.offered()
    for body in (
        {"id": action, "time": "20261121T192253", **feedback("proceeding", "none", "a")},
        {"id": "", "time": 5, "timestamp": None, **feedback("proceeding", "none")},
        {"timestamp": 1627997501890, "unknown": {"deep": [1]}, **feedback("proceeding", "none", unknown=1)},
        {"timestamp": "1627997501890", **feedback("proceeding", "none")},
        feedback("proceeding", "none", code=""),
        {"status": {"execution": "proceeding", "result": {"finished": "none", "progress": {"cnt": 0, "of": 0}}}},
        {"status": {"execution": "proceeding", "result": {"finished": "none", "progress": {"cnt": "2", "of": 5.0}}}},
        {"status": {"execution": "proceeding", "result": {"finished": "none", "progress": {"cnt": 9, "of": 5}}}},
        {"status": {"execution": "proceeding", "result": {"finished": "none", "progress": {}}}},
        {"status": {"execution": "proceeding", "result": {"finished": "none", "progress": None}}},
    ):
        assert (body, tenant.status("POST", f"/deploymentBase/{action}/feedback", json=body)) == (body, 200)
    [last] = tenant.site.rows(
        select(tables.history.c.progress).where(tables.history.c.attempt_id == action, tables.history.c.progress == 40)
    )
    assert last.progress == 40


def test_what_is_no_feedback_is_400_on_both_addresses(tenant: Tenant) -> None:
    action = tenant.canceling()
    whole = feedback()["status"]
    body: Any
    for body in (
        {}, [], "x", {"status": None}, {"status": {}}, {"status": {"execution": "closed"}},
        {"status": {"result": {"finished": "success"}}}, {"status": {"execution": "closed", "result": {}}},
        {"status": {"execution": "closed", "result": None}}, {"status": {**whole, "execution": "CLOSED"}},
        {"status": {**whole, "execution": "done"}}, {"status": {**whole, "execution": None}},
        {"status": {**whole, "execution": ["closed"]}}, {"status": {**whole, "result": {"finished": "yes"}}},
        {"status": {**whole, "result": {"finished": True}}}, {"status": {**whole, "details": {"a": 1}}},
        {"status": {**whole, "details": [["a"]]}}, {"status": {**whole, "code": "x"}}, {"status": {**whole, "code": 2**31}},
        {"status": whole, "timestamp": "yesterday"}, {"status": whole, "timestamp": 2**63}, {"status": whole, "timestamp": True},
    ):  # fmt: skip
        for where in ("deploymentBase", "cancelAction"):
            answer = tenant.ask("POST", f"/{where}/{action}/feedback", json=body)
            assert (body, answer.status_code) == (body, 400)
            assert error_code(answer) == "rest.body.notReadable"
    assert tenant.stand() == ("offered", "")


def test_a_feedback_in_another_type_is_415(tenant: Tenant) -> None:
    action = tenant.offered()
    content = json.dumps(feedback()).encode()
    for kind in ("application/hal+json", "text/plain", "application/vnd.eclipse"):
        headers = {"Content-Type": kind}
        assert tenant.status("POST", f"/deploymentBase/{action}/feedback", headers=headers, content=content) == 415
    headers = {"Content-Type": "application/json;charset=UTF-8", "Accept": "application/json;charset=UTF-8"}
    assert tenant.status("POST", f"/deploymentBase/{action}/feedback", headers=headers, content=content) == 200


def test_after_1100_words_the_last_one_still_counts(tenant: Tenant) -> None:
    action = tenant.offered()
    _flood(tenant, f"/deploymentBase/{action}/feedback", 1100)
    assert tenant.stand() == ("offered", "")
    assert _history_rows(tenant.site, action) <= tenant.site.settings.history_limit + 1
    path = f"/deploymentBase/{action}?actionHistory=1"
    known = tenant.ask("GET", path)
    assert known.json()["actionHistory"]["messages"][0].startswith("word 10")
    assert tenant.say(action, "proceeding", "none", "one more") == 200
    newer = tenant.ask("GET", path, headers={"If-None-Match": known.headers["etag"]})
    assert (newer.status_code, newer.json()["actionHistory"]["messages"]) == (200, ["one more"])
    assert tenant.say(action, "closed", "success", "done") == 200
    assert tenant.stand() == ("succeeded", "")
    assert tenant.history(action, most=1) == {"status": "FINISHED", "messages": ["done"]}
    assert tenant.say(action) == 410


def _flood(tenant: Tenant, rest: str, count: int) -> None:
    """So many feedbacks, fifty at once."""
    head = f"POST {tenant.path(tenant.board.uid, rest)} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head += f"Authorization: TargetToken {tenant.board.token}\r\nContent-Length: "
    bodies = [json.dumps(feedback("proceeding", "none", f"word {i}")) for i in range(count)]
    with ExitStack() as stack:
        connections = [stack.enter_context(line(tenant)) for _ in range(50)]
        for start in range(0, count, len(connections)):
            for connection, body in zip(connections, bodies[start:], strict=False):
                connection.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
            for connection, _ in zip(connections, bodies[start:], strict=False):
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")


def _history_rows(site: Site, action: int) -> int:
    table = tables.history
    return int(site.rows(select(func.count()).select_from(table).where(table.c.attempt_id == action))[0][0])
