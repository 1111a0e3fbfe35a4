"""Lines of messages: in order, at least once, tried again with patience, and never in the way of other lines."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.webhooks.authority import Authority
from tests.webhooks.office import Office
from tests.webhooks.receiver import OK, Heard, Receiver, answer

from airfreight import webhook_worker
from airfreight.adapters.webhooks import HttpPoster
from airfreight.services import webhook_lines, webhooks
from airfreight.services.credentials import Keyring
from airfreight.store import tables
from airfreight.store.database import Database
from airfreight.webhook_worker import WebhookWorker


def broken(_heard: Heard, _connection: Any) -> bytes:
    return answer(500, b"sorry")


def test_messages_arrive_once_and_in_the_order_in_which_they_were_said(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_worker, "_TURN_SECONDS", 600.0)  # a turn's end would close the connection
    monkeypatch.setattr(webhook_worker, "HELD_MS", 600_000)
    webhook = office.webhook(receiver.url)
    for start in range(0, 450, 50):
        office.say(webhook, range(start, start + 50))
    office.send()
    assert receiver.numbers == list(range(450))
    assert receiver.connections == 1
    [first, *_] = rows = office.messages(webhook)
    assert {(row.state, row.attempts, row.status, row.response, row.trouble) for row in rows} == {
        ("sent", 1, 200, "ok", "")
    }
    assert (first.sent_at, first.kind, first.rollout_id, first.device_id) == (office.now, "count", 7, 0)


def test_what_was_said_in_a_transaction_that_failed_is_not_sent(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)

    def fail() -> None:
        with office.database.write() as connection:
            assert webhooks.say(connection, webhook, "count", {"n": 1}, office.now)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    office.send()
    assert receiver.heard == []


def test_a_message_that_is_not_taken_holds_those_behind_it(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda heard, _: broken(heard, _) if heard.number == 2 and len(receiver.heard) < 4 else OK
    office.say(webhook, range(5))
    office.send()
    assert receiver.numbers == [0, 1, 2]
    stuck = office.messages(webhook)[2]
    assert (stuck.state, stuck.attempts, stuck.status, stuck.response) == ("waiting", 1, 500, "sorry")
    assert stuck.trouble == "status"
    assert 4_000 <= stuck.due_at - office.now <= 6_000
    office.later(seconds=3.9)
    office.send()
    assert len(receiver.heard) == 3
    office.later(seconds=2.2)
    office.send()
    assert receiver.numbers == [0, 1, 2, 2, 3, 4]
    assert office.stands(webhook) == ["sent"] * 5
    assert office.messages(webhook)[2].attempts == 2


def test_a_message_is_dead_after_its_tries_and_the_line_goes_on(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda heard, _: broken(heard, _) if heard.number == 0 else OK
    office.say(webhook, range(3))
    pauses = []
    for _ in range(7):
        office.send()
        pauses.append((office.messages(webhook)[0].due_at - office.now) / 1000)
        office.later(seconds=pauses[-1])
    assert all(0.8 * 5 * 2**number <= pause <= 1.2 * 5 * 2**number for number, pause in enumerate(pauses))
    assert receiver.numbers == [0] * 7
    office.send()
    assert receiver.numbers == [0] * 8 + [1, 2]
    dead = office.messages(webhook)[0]
    assert (dead.state, dead.attempts, dead.status) == ("dead", 8, 500)


def test_a_dead_message_is_sent_again_before_what_is_newer(database: Database, data_dir: Path) -> None:
    office, receiver = Office(database, data_dir, webhook_tries=1), Receiver(broken)
    webhook = office.webhook(receiver.url)
    office.say(webhook, range(3))
    office.send()
    assert office.stands(webhook) == ["dead"] * 3
    ids = [heard.headers["webhook-id"] for heard in receiver.heard]
    receiver.script = lambda _heard, _connection: OK
    office.say(webhook, [3])
    with office.call() as call:
        assert webhooks.replay_all(call, webhook) == 3
    office.send()
    assert receiver.numbers == [0, 1, 2, 0, 1, 2, 3]
    assert [heard.headers["webhook-id"] for heard in receiver.heard][3:6] == ids, "a receiver knows them again"
    assert office.stands(webhook) == ["sent"] * 4
    receiver.stop()


def test_a_receiver_that_was_away_gets_everything(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    receiver.stop()
    office.say(webhook, range(30))
    for _ in range(3):
        office.send()
        office.later(seconds=60)
    assert office.messages(webhook)[0].trouble == "no_connection"
    assert [row.attempts for row in office.messages(webhook)] == [3] + [0] * 29
    receiver.start()
    office.send()
    assert receiver.numbers == list(range(30))


def test_a_receiver_that_hangs_up_in_the_middle_gets_the_same_message_again(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda _heard, _connection: None if len(receiver.heard) == 3 else OK
    office.say(webhook, range(4))
    office.send()
    office.later(seconds=10)
    office.send()
    assert receiver.numbers == [0, 1, 2, 2, 3]
    again = receiver.heard[2:4]
    assert len({heard.headers["webhook-id"] for heard in again}) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_says_when_it_can_be_asked_again(office: Office, receiver: Receiver, status: int) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda _heard, _connection: answer(status, Retry_After="60")
    office.say(webhook, range(2))
    office.send()
    first = office.messages(webhook)[0]
    assert (first.state, first.attempts, first.due_at - office.now) == ("waiting", 1, 60_000)
    receiver.script = lambda _heard, _connection: OK
    office.later(seconds=59.9)
    office.send()
    assert receiver.numbers == [0], "neither the message nor those behind it"
    office.later(seconds=0.1)
    office.send()
    assert receiver.numbers == [0, 0, 1]


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        (answer(503, Retry_After="1"), 4_000, 6_000),
        (answer(503, Retry_After="604800"), 3_600_000, 3_600_000),
        (answer(429, Retry_After="soon"), 4_000, 6_000),
        (answer(500, Retry_After="60"), 4_000, 6_000),
    ],
    ids=["shorter than our pause", "a week", "nonsense", "not the status for it"],
)
def test_what_a_receiver_asks_for_has_bounds(
    office: Office, receiver: Receiver, said: bytes, least: int, most: int
) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda _heard, _connection: said
    office.say(webhook, [1])
    office.send()
    assert least <= office.messages(webhook)[0].due_at - office.now <= most


def test_a_message_that_is_gone_is_dead_at_once_and_those_behind_it_are_tried(
    office: Office, receiver: Receiver
) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = lambda heard, _: answer(410, b"gone") if heard.number == 1 else OK
    office.say(webhook, range(3))
    office.send()
    assert receiver.numbers == [0, 1, 2]
    assert office.stands(webhook) == ["sent", "dead", "sent"]
    dead = office.messages(webhook)[1]
    assert (dead.attempts, dead.status, dead.trouble, dead.response) == (1, 410, "status", "gone")
    receiver.script = lambda _heard, _connection: OK
    with office.call() as call:
        assert webhooks.replay_all(call, webhook) == 1
    office.send()
    assert receiver.numbers == [0, 1, 2, 1]


def test_a_redirect_is_a_failure(office: Office, receiver: Receiver) -> None:
    other = Receiver()
    webhook = office.webhook(receiver.url)
    receiver.script = lambda _heard, _connection: answer(308, Location=other.url)
    office.say(webhook, [1])
    office.send()
    assert office.messages(webhook)[0].trouble == "redirect"
    assert other.heard == []
    other.stop()


def test_a_line_that_is_stuck_delays_no_other(office: Office, receiver: Receiver) -> None:
    other = Receiver(broken)
    stuck, good = office.webhook(other.url), office.webhook(receiver.url)
    for number in range(5):
        office.say(stuck, [number])
        office.say(good, [number])
    office.send()
    assert receiver.numbers == list(range(5))
    assert other.numbers == [0]
    other.stop()


# signatures and secrets


def test_an_independent_verifier_accepts_the_signature_and_nothing_else(office: Office, receiver: Receiver) -> None:
    office.now = type(office.now)(int(time.time() * 1000))
    webhook, secret = office.signed_webhook(receiver.url)
    office.say(webhook, [1])
    office.send()
    [heard] = receiver.heard
    assert Webhook(secret).verify(heard.body, heard.headers) == {"n": 1}
    for changed in (
        {"body": heard.body.replace(b"1", b"2")},
        {"headers": {**heard.headers, "webhook-id": "msg_2"}},
        {"headers": {**heard.headers, "webhook-timestamp": str(int(heard.headers["webhook-timestamp"]) + 1)}},
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(
                changed.get("body", heard.body),  # type: ignore[arg-type]
                changed.get("headers", heard.headers),  # type: ignore[arg-type]
            )


def test_each_try_has_its_own_time_and_the_same_id(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    receiver.script = broken
    office.say(webhook, [1])
    office.send()
    office.later(seconds=10)
    office.send()
    first, second = (heard.headers for heard in receiver.heard)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 10
    assert second["webhook-id"] == first["webhook-id"]
    assert second["webhook-signature"] != first["webhook-signature"]


def test_after_a_new_secret_the_old_one_is_good_for_a_day(office: Office, receiver: Receiver) -> None:
    office.now = type(office.now)(int(time.time() * 1000))
    webhook, old = office.signed_webhook(receiver.url)
    with office.call() as call:
        _, new = webhooks.rotate_secret(call, webhook)
    office.say(webhook, [1])
    office.send()
    for secret in (old, new):
        assert Webhook(secret).verify(receiver.heard[0].body, receiver.heard[0].headers)
    office.later(days=1)
    office.say(webhook, [2])
    office.send()
    assert " " not in receiver.heard[1].headers["webhook-signature"]


def test_without_a_secret_there_is_no_signature(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url, signed=False)
    office.say(webhook, [1])
    office.send()
    assert "webhook-signature" not in receiver.heard[0].headers
    assert receiver.heard[0].headers["webhook-id"]


def test_the_password_is_sent_and_a_certificate_pinned(office: Office, tmp_path: Path) -> None:
    authority = Authority()
    receiver = Receiver(context=authority.server(tmp_path))
    webhook = office.webhook(receiver.url, username="us\u00e9r", password="p:w", certificate=authority.pem)
    office.say(webhook, [1])
    office.send()
    assert receiver.heard[0].headers["authorization"] == "Basic dXPDqXI6cDp3"
    receiver.stop()


def test_a_secret_under_another_key_stops_the_line_and_is_found_by_the_doctor(
    office: Office, receiver: Receiver
) -> None:
    webhook = office.webhook(receiver.url)
    assert webhook_lines.unreadable(office.database, office.keyring) == []
    office.say(webhook, [1])
    other = Keyring(b"another key, also of 32 bytes or more")
    poster = HttpPoster(office.settings.webhook_networks, "x")
    worker = WebhookWorker(office.database, office.settings, other, poster, lambda: office.now)
    assert worker.claim(1) == [webhook]
    worker.work(webhook)
    assert receiver.heard == []
    assert office.messages(webhook)[0].trouble == "unreadable_secret"
    assert len(webhook_lines.unreadable(office.database, other)) == 1


def test_a_secret_that_is_moved_to_another_row_cannot_be_used(office: Office, receiver: Receiver) -> None:
    mine, theirs = office.webhook(receiver.url), office.webhook(receiver.url)
    table = tables.webhook_destinations
    with office.database.write() as connection:
        stolen = connection.execute(select(table.c.secret).where(table.c.id == theirs)).scalar_one()
        connection.execute(update(table).where(table.c.id == mine).values(secret=stolen))
    office.say(mine, [1])
    office.send()
    assert office.messages(mine)[0].trouble == "unreadable_secret"


# changes while messages wait


def test_what_waits_goes_where_the_webhook_leads_then(office: Office, receiver: Receiver) -> None:
    other = Receiver()
    webhook = office.webhook(receiver.url)
    office.say(webhook, [1])
    with office.call() as call:
        webhooks.change(call, webhook, place=webhooks.place_of_url(other.url))
    office.send()
    assert (len(receiver.heard), other.numbers) == (0, [1])
    other.stop()


def test_a_deleted_webhook_is_told_nothing_more_and_leaves_nothing(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    office.say(webhook, range(3))
    with office.call() as call:
        webhooks.delete(call, webhook)
    with office.database.write() as connection:
        assert not webhooks.say(connection, webhook, "count", {"n": 1}, office.now)
    office.send()
    assert receiver.heard == []
    assert office.messages(webhook) == []
    assert office.rows(select(tables.webhook_destinations)) == []
    assert office.webhook(receiver.url) > webhook, "its number is not given to another"


def test_a_long_log_is_removed_in_parts(office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_AT_ONCE", 10)
    monkeypatch.setattr(webhook_lines, "_PURGED", 10)
    webhook, other = office.webhook(receiver.url), office.webhook(receiver.url)
    office.say(webhook, range(25))
    office.say(other, range(3))
    with office.call() as call:
        webhooks.delete(call, webhook)
    assert len(office.messages(webhook)) == 15
    office.send()
    assert receiver.numbers == [0, 1, 2], "of the other"
    for _ in range(2):
        webhook_lines.purge(office.database)
    assert office.messages(webhook) == []
    assert [row.id for row in office.rows(select(tables.webhook_destinations))] == [other]


def test_old_messages_are_forgotten(database: Database, data_dir: Path, receiver: Receiver) -> None:
    office = Office(database, data_dir, webhook_log_days=2)
    webhook = office.webhook(receiver.url)
    office.say(webhook, range(3))
    office.send()
    office.later(days=1.5)
    office.say(webhook, [3])
    assert webhook_lines.forget(office.database, office.settings, office.now) == 0
    office.later(days=1)
    assert webhook_lines.forget(office.database, office.settings, office.now) == 3
    assert [row.device_id for row in office.messages(webhook)] == [3]


def test_a_message_that_is_too_large_is_the_callers_mistake(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    with office.database.write() as connection, pytest.raises(ValueError, match="count"):
        webhooks.say(connection, webhook, "count", {"n": "x" * webhooks.MOST_BODY}, office.now)


# many workers


def test_two_workers_never_work_at_one_line(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    office.say(webhook, [1])
    first, second = office.another_worker(), office.another_worker()
    assert first.claim(8) == [webhook]
    assert second.claim(8) == []
    first.work(webhook)
    office.say(webhook, [2])
    assert second.claim(8) == [webhook]


def test_the_line_of_a_worker_that_died_is_taken_over(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    office.say(webhook, [1])
    assert office.another_worker().claim(8) == [webhook]
    office.later(seconds=14)
    assert office.sender.claim(8) == []
    office.later(seconds=1)
    office.send()
    assert receiver.numbers == [1]


def test_a_line_that_another_worker_just_failed_at_is_left_alone(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    office.say(webhook, [1])
    assert office.sender.claim(8) == [webhook]
    with office.database.write() as connection:
        connection.execute(update(tables.webhook_messages).values(due_at=office.now + 1))
    office.sender.work(webhook)
    assert receiver.heard == []


def test_a_worker_that_has_lost_its_lines_sends_nothing_more(office: Office, receiver: Receiver) -> None:
    webhook = office.webhook(receiver.url)
    office.say(webhook, range(5))
    assert office.sender.claim(8) == [webhook]
    office.sender._held_until = 0.0
    office.sender.work(webhook)
    assert receiver.heard == []


def test_workers_side_by_side_send_everything_in_order_and_once(office: Office) -> None:
    receivers = [Receiver() for _ in range(6)]
    lines = [office.webhook(receiver.url) for receiver in receivers]
    workers = [office.another_worker() for _ in range(3)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for start in range(0, 200, 20):
        for line in lines:
            office.say(line, range(start, start + 20))
    for receiver in receivers:
        receiver.wait_for(200)
    for worker in workers:
        worker.stop.set()
    for thread in threads:
        thread.join()
    assert [receiver.numbers for receiver in receivers] == [list(range(200))] * 6
    assert {row.holder for row in office.rows(select(tables.webhook_destinations))} == {""}
    for receiver in receivers:
        receiver.stop()


def test_an_organization_has_half_of_the_senders_at_most(office: Office, receiver: Receiver) -> None:
    mine = [office.webhook(receiver.url) for _ in range(10)]
    below = office.organization()
    theirs = [office.webhook(receiver.url, below) for _ in range(2)]
    for webhook in [*mine, *theirs]:
        office.say(webhook, [1])
    found = office.sender.claim(8)
    assert set(found) == {*mine[:4], *theirs}
    assert office.another_worker().claim(8) == [], "the same counts for all workers together"


class Watch:
    """A clock that goes on when it is told to, in the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_a_slow_receiver_gives_its_sender_back(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, marked = Watch(), []
    monkeypatch.setattr(webhook_worker, "time", watch)
    monkeypatch.setattr(webhook_worker, "_TURN_SECONDS", 1.0)
    monkeypatch.setattr(webhook_worker, "_MARK_SECONDS", 0.25)
    webhook = office.webhook(receiver.url)

    def slow(heard: Heard, _connection: Any) -> bytes:
        watch.now += 0.0625
        marked.append(heard.number - office.stands(webhook).count("sent"))
        return OK

    receiver.script = slow
    office.say(webhook, range(40))
    assert office.sender.claim(1) == [webhook]
    office.sender.work(webhook)
    assert receiver.numbers == list(range(20))
    assert marked == [0, 1, 2, 3, 4] * 4, "what was sent is written down on the way"
    assert office.stands(webhook).count("sent") == 20
    assert office.another_worker().claim(1) == [webhook]


def test_a_worker_that_is_told_to_stop_ends_after_the_message_it_is_at(office: Office, receiver: Receiver) -> None:
    def stopping(heard: Heard, _connection: Any) -> bytes:
        if heard.number == 2:
            office.sender.stop.set()
        return OK

    receiver.script = stopping
    webhook = office.webhook(receiver.url)
    office.say(webhook, range(10))
    office.sender.claim(1)
    office.sender.work(webhook)
    assert receiver.numbers == [0, 1, 2]
    assert office.stands(webhook) == ["sent"] * 3 + ["waiting"] * 7
