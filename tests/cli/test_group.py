"""`airfreight group`: what it asks the server for, and what it shows."""

import pytest
from tests.cli.conftest import Answer, Run, Stub

LIVE = {"id": 3, "name": "old", "filter": "version < '2'", "uid": "0f" * 12, "createdAt": 0, "token": None}
DEVICE = {
    "id": 7,
    "uid": "lamp-7",
    "name": "Lamp",
    "productId": 1,
    "version": "1.0",
    "online": False,
    "lastSeenAt": None,
}


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (("create", "g"), "/api/v1/groups", {"name": "g"}),
        (
            ("create", "g", "--filter", "not online", "--org", "4"),
            "/api/v1/groups",
            {"name": "g", "filter": "not online", "orgId": 4},
        ),
        (("preview", "online"), "/api/v1/groups/preview", {"filter": "online"}),
        (("preview", "online", "--org", "4"), "/api/v1/groups/preview", {"filter": "online", "orgId": 4}),
    ],
)
def test_it_posts_what_was_given(
    run: Run, logged_in: Stub, arguments: tuple[str, ...], path: str, body: object
) -> None:
    logged_in.on("POST", path, Answer(201, {"id": 9}))
    result = run("group", *arguments, "--json")
    assert (result.code, result.document) == (0, {"id": 9})
    assert logged_in.seen[0].document == body


def test_a_token_is_shown_with_a_warning_and_only_when_there_is_one(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/groups", Answer(201, LIVE), Answer(201, {**LIVE, "filter": "", "token": "secret-1"}))
    alive, fixed = run("group", "create", "old", "--filter", "x"), run("group", "create", "old")
    assert "version < '2'" in alive.out
    assert ("token" in alive.out, alive.err) == (False, "")
    assert "secret-1" in fixed.out
    assert "not shown again" in fixed.err


def test_show_says_how_many_devices_there_are(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/groups/3", Answer(body={**LIVE, "total": 1234}))
    assert "1234" in run("group", "show", "3").out


def test_set_sends_what_is_to_change_and_needs_something(run: Run, logged_in: Stub) -> None:
    logged_in.on("PATCH", "/api/v1/groups/3", Answer(body=LIVE))
    assert run("group", "set", "3", "--filter", "online", "--name", "n").code == 0
    assert logged_in.seen[0].document == {"filter": "online", "name": "n"}
    assert run("group", "set", "3").code == 2


def test_devices_and_list_are_paged(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/groups/3/devices", Answer(body={"items": [DEVICE], "next": 7}))
    shown = run("group", "devices", "3", "--limit", "1", "--after", "6")
    assert "lamp-7" in shown.out
    assert "--after 7" in shown.err
    assert logged_in.seen[0].query == {"limit": "1", "after": "6"}
    logged_in.on("GET", "/api/v1/groups", Answer(body={"items": [LIVE], "next": None}))
    assert "version < '2'" in run("group", "list", "--org", "4").out
    assert logged_in.seen[-1].query["orgId"] == "4"


def test_a_preview_lists_devices_and_says_how_many(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/groups/preview", Answer(body={"total": 5, "devices": [DEVICE]}))
    shown = run("group", "preview", "online")
    assert "lamp-7" in shown.out
    assert shown.err == "5 devices match.\n"


def test_a_wrong_filter_is_told_as_the_server_says_it(run: Run, logged_in: Stub) -> None:
    words = "filter, column 8: expected a text in quotes."
    logged_in.on("POST", "/api/v1/groups", Answer(400, {"error": {"message": words}}, {"X-Error-Code": "bad_filter"}))
    refused = run("group", "create", "g", "--filter", "name = x")
    assert refused.code == 1
    assert "column 8: expected a text in quotes" in refused.err


def test_delete_deletes_by_id(run: Run, logged_in: Stub) -> None:
    logged_in.on("DELETE", "/api/v1/groups/3", Answer(204))
    assert run("group", "delete", "3").out == "Deleted group 3.\n"
