"""What the short commands send: the routes and bodies of the operator API."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Run, Stub


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (("product", "create", "P"), "/api/v1/products", {"name": "P"}),
        (
            ("product", "create", "P", "--description", "d", "--time-zone", "Europe/Oslo"),
            "/api/v1/products",
            {"name": "P", "description": "d", "timeZone": "Europe/Oslo"},
        ),
        (
            ("product", "create", "P", "--key", "TMPLx", "--no-auto-update", "--org", "4"),
            "/api/v1/products",
            {"name": "P", "key": "TMPLx", "autoUpdate": False, "orgId": 4},
        ),
        (("device", "create", "--product", "3"), "/api/v1/devices", {"productId": 3}),
        (
            ("device", "create", "--product", "3", "--uid", "u", "--name", "n"),
            "/api/v1/devices",
            {"productId": 3, "uid": "u", "name": "n"},
        ),
        (
            ("device", "bulk-create", "--product", "3", "--count", "5"),
            "/api/v1/devices/bulk",
            {"productId": 3, "count": 5},
        ),
        (("enrollment-key", "create", "k"), "/api/v1/enrollment-keys", {"name": "k"}),
        (("client", "create", "c"), "/api/v1/clients", {"name": "c"}),
        (
            ("user", "create", "e@x", "--password", "p", "--role", "staff", "--name", "n"),
            "/api/v1/users",
            {"email": "e@x", "password": "p", "role": "staff", "name": "n"},
        ),
        (
            ("user", "create", "e@x", "--password", "p"),
            "/api/v1/users",
            {"email": "e@x", "password": "p", "role": "user"},
        ),
        (
            ("user", "create", "e@x", "--password", "p", "--org", "4"),
            "/api/v1/users",
            {"email": "e@x", "password": "p", "role": "user", "orgId": 4},
        ),
        (
            ("user", "invite", "e@x", "--role", "staff", "--org", "4"),
            "/api/v1/users/invite",
            {"email": "e@x", "role": "staff", "orgId": 4},
        ),
        (("user", "move", "7", "--org", "4"), "/api/v1/users/7/transfer", {"orgId": 4}),
        (
            ("user", "move", "7", "--org", "4", "--role", "admin"),
            "/api/v1/users/7/transfer",
            {"orgId": 4, "role": "admin"},
        ),
        (
            ("client", "create", "c", "--scope", "OTA_VIEW", "--scope", "OTA_START", "--org", "4"),
            "/api/v1/clients",
            {"name": "c", "scopes": ["OTA_VIEW", "OTA_START"], "orgId": 4},
        ),
        (("org", "create", "o", "--parent", "1"), "/api/v1/organizations", {"name": "o", "parentId": 1}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_create_posts_what_was_given(
    run: Run, logged_in: Stub, arguments: tuple[str, ...], path: str, body: object
) -> None:
    logged_in.on("POST", path, Answer(201, {"id": 9, "items": []}))
    result = run(*arguments, "--json")
    assert (result.code, result.document) == (0, {"id": 9, "items": []})
    assert logged_in.seen[0].document == body
    assert run(*arguments).code == 0


@pytest.mark.parametrize(
    ("noun", "path"),
    [
        ("artifact", "artifacts"),
        ("shipment", "rollouts"),
        ("device", "devices"),
        ("product", "products"),
        ("enrollment-key", "enrollment-keys"),
        ("client", "clients"),
        ("user", "users"),
        ("org", "organizations"),
    ],
)
def test_list_pages_through_the_route_of_its_noun(run: Run, logged_in: Stub, noun: str, path: str) -> None:
    logged_in.on("GET", f"/api/v1/{path}", Answer(body={"items": [{"id": 12}], "next": None}))
    assert "12" in run(noun, "list", "--limit", "5", "--after", "11").out
    assert logged_in.seen[0].query == {"limit": "5", "after": "11"}


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("artifact", "delete", "4"), "/api/v1/artifacts/4"),
        (("device", "delete", "4"), "/api/v1/devices/4"),
        (("product", "delete", "4"), "/api/v1/products/4"),
        (("enrollment-key", "delete", "4"), "/api/v1/enrollment-keys/4"),
        (("client", "delete", "4"), "/api/v1/clients/4"),
        (("user", "delete", "4"), "/api/v1/users/4"),
        (("org", "delete", "4"), "/api/v1/organizations/4"),
        (("shipment", "delete", "4"), "/api/v1/rollouts/4"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_delete_deletes_by_id(run: Run, logged_in: Stub, arguments: tuple[str, ...], path: str) -> None:
    logged_in.on("DELETE", path, Answer(204))
    assert run(*arguments, "--json").document == {"id": 4, "deleted": True}


def test_a_product_is_found_by_its_exact_name_over_several_pages(run: Run, logged_in: Stub) -> None:
    pages = [
        Answer(body={"items": [{"id": 1, "name": "Lamp 2"}], "next": 1}),
        Answer(body={"items": [{"id": 2, "name": "Lamp"}], "next": None}),
    ]
    logged_in.on("GET", "/api/v1/products", *pages)
    logged_in.on("DELETE", "/api/v1/products/2", Answer(204))
    assert run("product", "delete", "Lamp").out == "Deleted product 2.\n"
    assert [seen.query.get("after") for seen in logged_in.requests("GET", "/api/v1/products")] == [None, "1"]


def test_a_product_that_is_not_there_or_there_twice_is_not_guessed(run: Run, logged_in: Stub) -> None:
    items = [{"id": 1, "name": "Lamp"}, {"id": 2, "name": "Lamp"}]
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": items, "next": None}))
    twice = run("product", "delete", "Lamp")
    assert (twice.code, twice.err) == (2, "2 products are named 'Lamp'. Name one of them by its id: 1, 2.\n")
    never = run("product", "delete", "lamp")
    assert never.err == "There is no product named 'lamp'. Run `airfreight product list` to see them all.\n"


def test_a_server_that_repeats_a_page_does_not_keep_the_command_for_ever(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": [{"id": 1, "name": "x"}], "next": 1}))
    assert run("product", "delete", "Lamp").code == 1
    assert len(logged_in.seen) == 2


def test_devices_come_from_a_csv_file(run: Run, logged_in: Stub, tmp_path: Path) -> None:
    source = tmp_path / "devices.csv"
    source.write_bytes('\ufeffa1,"Kitchen, left"\r\n\r\na2\r\n a3 , \r\n'.encode())
    items = [{"id": 1, "uid": "a1", "token": "t1", "name": "Kitchen, left"}]
    logged_in.on("POST", "/api/v1/devices/bulk", Answer(201, {"items": items}))
    result = run("device", "bulk-create", "--product", "1", "--from", str(source))
    assert result.code == 0
    assert "t1" in result.out
    devices = [{"uid": "a1", "name": "Kitchen, left"}, {"uid": "a2"}, {"uid": "a3"}]
    assert logged_in.seen[0].document == {"productId": 1, "devices": devices}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "lists 0 devices. List between 1 and 10000 in one file."),
        (b"x\n" * 10_001, "lists 10001 devices."),
        (b"a,b,c\n", "Row 1 of "),
        (b"a\n,b\n", "Row 2 of "),
        (b'"a"b\n', "is not a CSV file:"),
        (b"\xff\n", "is not a CSV file:"),
    ],
    ids=["empty", "too many", "three columns", "no uid", "bad quotes", "not utf-8"],
)
def test_a_bad_list_of_devices_is_refused_before_any_request(
    run: Run, logged_in: Stub, tmp_path: Path, content: bytes, text: str
) -> None:
    source = tmp_path / "devices.csv"
    source.write_bytes(content)
    result = run("device", "bulk-create", "--product", "1", "--from", str(source))
    assert result.code == 2
    assert text in result.err
    assert logged_in.seen == []


def test_a_list_of_devices_that_is_not_there_is_named(run: Run, logged_in: Stub) -> None:
    result = run("device", "bulk-create", "--product", "1", "--from", "no/such.csv")
    assert result.err == "no/such.csv cannot be read: No such file or directory. Check the name of the file.\n"


def test_explain_shows_the_verdict_of_every_check(run: Run, logged_in: Stub) -> None:
    checks = [
        {"name": "window", "verdict": "fail", "detail": "opens at 00:00"},
        {"name": "known", "verdict": "pass", "detail": ""},
    ]
    explained = {"do": "wait", "summary": "The window is closed.", "checks": checks, "deliveries": []}
    logged_in.on("GET", "/api/v1/devices/4/explain", Answer(body=explained))
    words = run("device", "explain", "4").out
    assert words.split() == (
        [
            "now",
            "wait",
            "because",
            "The",
            "window",
            "is",
            "closed.",
            "VERDICT",
            "NAME",
            "DETAIL",
            "fail",
            "window",
            "opens",
            "at",
            "00:00",
            "pass",
            "known",
            "-",
        ]
    )
    assert run("device", "explain", "4", "--json").document == explained


def test_consent_says_that_it_goes_out(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/devices/4/consent", Answer(body={"deliveryId": 7}))
    result = run("device", "consent", "4")
    assert (result.code, result.out.strip()) == (0, "The update that waits for device 4 goes out now.")
    assert json.loads(run("device", "consent", "4", "--json").out) == {"deliveryId": 7}


def test_rotate_token_shows_the_new_token(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/devices/4/rotate-token", Answer(body={"id": 4, "uid": "u", "token": "new"}))
    result = run("device", "rotate-token", "4")
    assert "new" in result.out
    assert result.err == "A token is not shown again: keep it now.\n"


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (("product", "edit", "3", "--no-auto-update"), "/api/v1/products/3", {"autoUpdate": False}),
        (
            ("product", "edit", "3", "--name", "n", "--description", "", "--time-zone", "Europe/Oslo", "--auto-update"),
            "/api/v1/products/3",
            {"name": "n", "description": "", "timeZone": "Europe/Oslo", "autoUpdate": True},
        ),
        (("device", "edit", "4", "--name", "n"), "/api/v1/devices/4", {"name": "n"}),
        (("user", "edit", "7", "--status", "suspended"), "/api/v1/users/7", {"status": "suspended"}),
        (("user", "edit", "7", "--name", "n", "--role", "admin"), "/api/v1/users/7", {"name": "n", "role": "admin"}),
        (("org", "edit", "3", "--name", "n"), "/api/v1/organizations/3", {"name": "n"}),
        (("org", "edit", "3", "--time-zone", "Europe/Oslo"), "/api/v1/organizations/3", {"timeZone": "Europe/Oslo"}),
        (
            ("device", "edit", "4", "--auto-update", "off", "--owner", "7"),
            "/api/v1/devices/4",
            {"autoUpdate": False, "ownerUserId": 7},
        ),
        (
            ("device", "edit", "4", "--auto-update", "product", "--owner", "none"),
            "/api/v1/devices/4",
            {"autoUpdate": None, "ownerUserId": None},
        ),
        (
            ("device", "edit", "4", "--set", "floor=2", "--set", "hot=true", "--set", "serial=007", "--set", "gone="),
            "/api/v1/devices/4",
            {"attributes": {"floor": 2, "hot": True, "serial": "007", "gone": None}},
        ),
        (
            ("device", "edit", "4", "--set", "a=b=c", "--set", "n=NaN", "--set", "i=1e999", "--set", 'j={"k":1}'),
            "/api/v1/devices/4",
            {"attributes": {"a": "b=c", "n": "NaN", "i": "1e999", "j": '{"k":1}'}},
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_edit_sends_what_was_named(
    run: Run, logged_in: Stub, arguments: tuple[str, ...], path: str, body: object
) -> None:
    logged_in.on("PATCH", path, Answer(body={"id": 9}))
    assert run(*arguments, "--json").document == {"id": 9}
    assert logged_in.seen[0].document == body
    assert run(*arguments).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("product", "edit", "3"),
        ("device", "edit", "4"),
        ("device", "edit", "4", "--auto-update", "yes"),
        ("device", "edit", "4", "--owner", "me"),
        ("device", "edit", "4", "--set", "floor"),
        ("device", "edit", "4", "--set", "=2"),
    ],
    ids=" ".join,
)
def test_an_edit_that_says_nothing_is_refused_before_any_request(
    run: Run, logged_in: Stub, arguments: tuple[str, ...]
) -> None:
    assert run(*arguments).code == 2
    assert logged_in.seen == []


@pytest.mark.parametrize(("noun", "path"), [("product", "products"), ("device", "devices")])
def test_a_list_can_be_of_an_organization_below(run: Run, logged_in: Stub, noun: str, path: str) -> None:
    logged_in.on("GET", f"/api/v1/{path}", Answer(body={"items": [], "next": None}))
    assert run(noun, "list", "--org", "4").code == 0
    assert logged_in.seen[0].query == {"orgId": "4", "limit": "50"}


def test_an_invitation_shows_its_token_this_once(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/users/invite", Answer(201, {"id": 7, "email": "e@x", "inviteToken": "secret-token"}))
    result = run("user", "invite", "e@x")
    assert "secret-token" in result.out
    assert result.err == "The token is not shown again: pass it on now.\n"


def test_users_are_listed_for_an_organization_and_those_below(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/users", Answer(body={"items": [], "next": None}))
    run("user", "list", "--org", "3", "--below", "--query", "ada")
    assert logged_in.seen[0].query == {"orgId": "3", "includeBelow": "true", "query": "ada", "limit": "50"}


@pytest.mark.parametrize("noun", ["user", "org"])
def test_an_edit_without_a_change_is_refused_before_any_request(run: Run, logged_in: Stub, noun: str) -> None:
    result = run(noun, "edit", "7")
    assert (result.code, result.err.partition(".")[0]) == (2, "Nothing to change")
    assert logged_in.seen == []


def test_a_device_is_named_by_its_uid_too(run: Run, logged_in: Stub) -> None:
    explained = {"do": "nothing", "summary": "Nothing.", "checks": [], "deliveries": []}
    found = {"items": [{"id": 7, "uid": "kitchen-17x"}, {"id": 4, "uid": "kitchen-17"}], "next": None}
    logged_in.on("GET", "/api/v1/devices", Answer(body=found))
    logged_in.on("GET", "/api/v1/devices/4/explain", Answer(body=explained))
    assert run("device", "explain", "kitchen-17", "--json").document == explained
    assert "There is no device with the uid 'kitchen'" in run("device", "explain", "kitchen").err
