"""`/api/v1/webhooks`: secrets go in and never come out, bad destinations are refused by name, the log can be replayed."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from standardwebhooks.webhooks import Webhook
from tests.platform.conftest import World
from tests.platform.test_secrets import dump
from tests.webhooks.authority import Authority
from tests.webhooks.receiver import Receiver, answer

from airfreight.services import webhooks
from airfreight.settings import load
from airfreight.store.tables import webhook_messages

PATH = "/api/v1/webhooks"
URL = "https://receiver.example.invalid/hook"
GOOD = {"name": "ours", "url": URL}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def desk(database: Any, data_dir: Path, keyring: Any, blobs: Any) -> Any:
    """The desk of the other tests, with this computer allowed as a receiver."""
    from airfreight.apis.common.desk import Desk

    return Desk(database, load({}, data=data_dir, min_free_bytes=0, webhook_allow="127.0.0.0/8"), keyring, blobs)


def said(world: World, webhook: int, state: str, count: int = 1) -> list[int]:
    """Messages as the worker would have left them; their ids."""
    row = {
        "organization_id": world.home.organization_id,
        "destination_id": webhook,
        "kind": "a.kind",
        "body": '{"n":1}',
    }
    query = insert(webhook_messages).values(**row, state=state, created_at=1, due_at=1).returning(webhook_messages.c.id)
    with world.desk.database.write() as connection:
        return [int(connection.execute(query).scalar_one()) for _ in range(count)]


def test_a_webhook_is_made_shown_changed_and_deleted(world: World) -> None:
    made = world.post(PATH, {**GOOD, "description": "for CI", "username": "u", "password": "pw"})
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made.pop("secret"))
    shown = world.get(f"{PATH}/{made['id']}")
    assert shown == made
    assert shown == {
        **{name: made[name] for name in ("id", "uid", "createdAt", "changedAt")},
        "organizationId": world.home.organization_id,
        **GOOD,
        "description": "for CI",
        "username": "u",
        "certificate": "",
        "signed": True,
        "version": 1,
        "createdBy": world.home.email("admin"),
        "changedBy": world.home.email("admin"),
    }
    assert len(made["uid"]) == 36
    changed = world.call("PATCH", f"{PATH}/{made['id']}", "client", json={"name": "new", "url": None}).json()
    assert changed == {**shown, "name": "new", "version": 2, "changedBy": "home", "changedAt": changed["changedAt"]}
    assert [one["id"] for one in world.get(PATH)["items"]] == [made["id"]]
    assert world.call("DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert world.call("GET", f"{PATH}/{made['id']}").status_code == 404
    assert world.get(PATH) == {"items": [], "next": None}


def test_no_secret_is_shown_again_or_can_be_read_from_the_database(world: World) -> None:
    made = world.post(PATH, {**GOOD, "username": "user-name", "password": "a very secret password"})
    rotated = world.post(f"{PATH}/{made['id']}/rotate-secret", None)
    assert rotated["secret"] != made["secret"]
    secrets = ["a very secret password", made["secret"], rotated["secret"], made["secret"].removeprefix("whsec_")]
    answers = [
        world.call("GET", PATH).text,
        world.call("GET", f"{PATH}/{made['id']}").text,
        world.call("PATCH", f"{PATH}/{made['id']}", json={"description": "x"}).text,
    ]
    assert not [one for one in secrets for text in answers if one in text]
    everything = dump(world)
    assert made["uid"].encode() in everything
    assert not [one for one in secrets if one.encode() in everything]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"url": "ftp://a.example/"}, "bad_url"),
    ({"url": "https://user:pw@a.example/"}, "bad_url"),
    ({"url": "https://a.example:22/"}, "bad_url"),
    ({"url": "https://2130706433/"}, "bad_url"),
    ({"url": "https://a.example/\r\nX: y"}, "invalid"),
    ({"url": "https://10.0.0.1/"}, "address_not_allowed"),
    ({"url": "https://169.254.169.254/latest/meta-data"}, "address_not_allowed"),
    ({"url": "https://[::1]/"}, "address_not_allowed"),
    ({"url": "https://[::ffff:10.0.0.1]/"}, "address_not_allowed"),
    ({"url": "https://[64:ff9b::a00:1]/"}, "address_not_allowed"),
    ({"url": "https://[2002:a00:1::]/"}, "address_not_allowed"),
    ({"url": "https://[fd00::1]/"}, "address_not_allowed"),
    ({"username": "u"}, "bad_login"),
    ({"password": "p"}, "bad_login"),
    ({"username": "a:b", "password": "p"}, "bad_login"),
    ({"username": "a\r\nX: y", "password": "p"}, "invalid"),
    ({"certificate": "x"}, "bad_certificate"),
    ({"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "bad_certificate"),
    ({"certificate": "-----BEGIN PRIVATE KEY-----"}, "bad_certificate"),
    ({"certificate": "x" * 16_385}, "invalid"),
    ({"name": "a\r\nb"}, "invalid"),
    ({"name": ""}, "invalid"),
    ({"secret": "whsec_x"}, "invalid"),
    ({"orgId": 2**31 - 1}, "not_found"),
]


def test_a_bad_webhook_is_refused_and_nothing_of_it_repeated(world: World) -> None:
    plain = {"certificate": Authority().pem, "url": "http://a.example/"}
    for wrong, code in [*BAD, (plain, "bad_certificate")]:
        answered = world.call("POST", PATH, json={**GOOD, **wrong})
        status = 404 if code == "not_found" else 400
        assert (answered.status_code, answered.headers["x-error-code"]) == (status, code), wrong
        texts = [value for value in wrong.values() if isinstance(value, str) and len(value) > 3]
        assert not [text for text in texts if text in answered.text], wrong
    assert world.get(PATH)["items"] == []


def test_localhost_is_refused_where_this_computer_is_not_allowed(world: World) -> None:
    assert world.call("POST", PATH, json={**GOOD, "url": "http://localhost:8080/"}).status_code == 201
    object.__setattr__(world.desk.settings, "webhook_allow", "")
    for host in ("localhost", "x.localhost", "localhost.", "127.0.0.1"):
        answered = world.call("POST", PATH, json={**GOOD, "url": f"http://{host}:8080/"})
        assert answered.headers["x-error-code"] == "address_not_allowed", host


def test_of_a_certificate_only_the_certificate_is_kept(world: World) -> None:
    pem = Authority().pem
    made = world.post(PATH, {**GOOD, "certificate": f"a note\n{pem}\nmore notes"})
    assert made["certificate"] == pem
    assert world.call("PATCH", f"{PATH}/{made['id']}", json={"url": "http://a.example/"}).status_code == 400
    both = {"url": "http://a.example/", "certificate": ""}
    assert world.call("PATCH", f"{PATH}/{made['id']}", json=both).json()["certificate"] == ""


def test_a_kept_password_is_not_told_to_another_server(world: World) -> None:
    made = world.post(PATH, {**GOOD, "username": "u", "password": "p"})
    one = f"{PATH}/{made['id']}"
    for url in (
        "https://evil.example/hook",
        "http://receiver.example.invalid/hook",
        URL.replace("/hook", ":8443/hook"),
    ):
        answered = world.call("PATCH", one, json={"url": url})
        assert (answered.status_code, answered.headers["x-error-code"]) == (400, "password_needed"), url
    assert world.call("PATCH", one, json={"url": URL + "/2"}).status_code == 200
    assert world.call("PATCH", one, json={"username": "v"}).json()["username"] == "v"
    moved = world.call("PATCH", one, json={"url": "https://new.example/", "password": "p2"})
    assert (moved.status_code, moved.json()["username"]) == (200, "v")
    assert world.call("PATCH", one, json={"password": "x", "username": ""}).status_code == 400
    assert world.call("PATCH", one, json={"username": ""}).json()["username"] == ""
    assert world.call("PATCH", one, json={"url": "https://other.example/"}).status_code == 200
    assert world.call("PATCH", one, json={"username": "w"}).headers["x-error-code"] == "bad_login"


def test_a_test_message_is_sent_at_once_and_signed(world: World, receiver: Receiver) -> None:
    made = world.post(PATH, {"name": "x", "url": receiver.url, "username": "u", "password": "p"})
    before = time.monotonic()
    tried = world.post(f"{PATH}/{made['id']}/test", None)
    passed = (time.monotonic() - before) * 1000
    assert (tried["ok"], tried["status"], tried["trouble"], tried["response"]) == (True, 200, "", "ok")
    assert 0 <= tried["milliseconds"] <= passed
    [heard] = receiver.heard
    assert heard.headers["authorization"] == "Basic dTpw"
    body: Any = Webhook(made["secret"]).verify(heard.body, heard.headers)
    assert (body["type"], body["data"]) == ("webhook.test", {"webhookId": made["uid"]})
    receiver.script = lambda _heard, _connection: answer(503, b"later")
    tried = world.post(f"{PATH}/{made['id']}/test", None)
    assert (tried["ok"], tried["status"], tried["trouble"], tried["response"]) == (False, 503, "status", "later")
    receiver.stop()
    tried = world.post(f"{PATH}/{made['id']}/test", None)
    assert (tried["ok"], tried["status"], tried["trouble"]) == (False, None, "no_connection")
    assert world.get(f"{PATH}/{made['id']}/messages")["items"] == [], "a test is in no log"


def test_the_log_is_listed_by_state_and_in_pages(world: World) -> None:
    webhook = world.make("webhook")
    dead = said(world, webhook, "dead", 3)
    [sent] = said(world, webhook, "sent")
    path = f"{PATH}/{webhook}/messages"
    first = world.get(f"{path}?state=dead&limit=2")
    assert ([one["id"] for one in first["items"]], first["next"]) == (dead[:2], dead[1])
    assert [one["id"] for one in world.get(f"{path}?state=dead&limit=2&after={first['next']}")["items"]] == dead[2:]
    assert [one["id"] for one in world.get(path)["items"]] == [*dead, sent]
    assert first["items"][0]["body"] == {"n": 1}
    assert world.call("GET", f"{path}?state=lost").status_code == 400


def test_dead_messages_are_replayed_one_or_all(world: World) -> None:
    webhook, other = world.make("webhook"), world.make("webhook")
    first, second, third = said(world, webhook, "dead", 3)
    [sent] = said(world, webhook, "sent")
    [foreign] = said(world, other, "dead")
    one = world.post(f"{PATH}/{webhook}/messages/{second}/replay", None)
    assert (one["id"], one["state"], one["attempts"]) == (second, "waiting", 0)
    again = world.call("POST", f"{PATH}/{webhook}/messages/{second}/replay")
    assert (again.status_code, again.headers["x-error-code"]) == (409, "message_waiting")
    assert world.call("POST", f"{PATH}/{webhook}/messages/{foreign}/replay").status_code == 404
    assert world.post(f"{PATH}/{webhook}/replay", None) == {"replayed": 2}
    states = {row["id"]: row["state"] for row in world.get(f"{PATH}/{webhook}/messages")["items"]}
    assert states == {first: "waiting", second: "waiting", third: "waiting", sent: "sent"}
    assert world.post(f"{PATH}/{webhook}/messages/{sent}/replay", None)["state"] == "waiting"
    assert world.get(f"{PATH}/{other}/messages")["items"][0]["state"] == "dead"


def test_an_organization_has_a_limited_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    for _ in range(2):
        world.post(PATH, GOOD)
    answered = world.call("POST", PATH, json=GOOD)
    assert (answered.status_code, answered.headers["x-error-code"]) == (409, "too_many_webhooks")
    assert world.call("POST", PATH, "client", world.other, json=GOOD).status_code == 201


def test_those_above_steer_the_webhooks_of_those_below(world: World) -> None:
    below = world.make("organization")
    made = world.post(PATH, {**GOOD, "orgId": below})
    assert made["organizationId"] == below
    assert world.get(f"{PATH}?orgId={below}")["items"][0]["id"] == made["id"]
    assert world.get(PATH)["items"] == []
    assert world.call("PATCH", f"{PATH}/{made['id']}", json={"name": "y"}).json()["name"] == "y"
    in_use = world.call("DELETE", f"/api/v1/organizations/{below}")
    assert (in_use.status_code, in_use.headers["x-error-code"]) == (409, "in_use")
    assert world.call("DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert world.call("DELETE", f"/api/v1/organizations/{below}").status_code == 204


def test_a_destination_is_found_by_its_uid_where_it_belongs(world: World) -> None:
    from airfreight.domain.access import Permission, Principal
    from airfreight.domain.errors import Refusal
    from airfreight.domain.ids import Millis
    from airfreight.services.call import Call

    made, desk = world.post(PATH, GOOD), world.desk
    for side, there in ((world.home, True), (world.other, False)):
        with desk.database.read() as connection:
            who = Principal(side.organization_id, frozenset({Permission.OTA_START}))
            call = Call(who, side.organization_id, Millis(1), connection, desk.settings, desk.keyring, desk.blobs)
            if there:
                assert webhooks.destination_of(call, made["uid"], Permission.OTA_START).id == made["id"]
                with pytest.raises(Refusal, match="permission"):
                    webhooks.destination_of(call, made["uid"], Permission.WEBHOOK_VIEW)
            else:
                with pytest.raises(Refusal, match="not found"):
                    webhooks.destination_of(call, made["uid"], Permission.OTA_START)
