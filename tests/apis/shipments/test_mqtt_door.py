"""The door for devices at a broker, with a broker at the port that does as it is told: what is said, when, and after what."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs
from tests.apis.serving import eventually
from tests.apis.shipments.fake_broker import FakeBroker
from tests.make import BUILD, Bench, Board

from airfreight.apis.common import broker_line
from airfreight.apis.common.broker_line import BrokerLine
from airfreight.apis.common.desk import Desk
from airfreight.apis.shipments.mqtt import PushTongue, offer_of, ping_of, too_large
from airfreight.ports import Message
from airfreight.services.device_work import Returned
from airfreight.services.pushing import Offered
from airfreight.store import tables
from airfreight.store.database import Database

OLD, NEW = b'{"ver":"1.0.0"}', b'{"ver":"2.0.0"}'


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="https://ota.example.com")


@pytest.fixture
def product(bench: Bench) -> int:
    return bench.product()


@contextmanager
def running(bench: Bench, broker: FakeBroker) -> Iterator[BrokerLine]:
    """The door of one server process, on a thread of its own as the application runs it."""
    desk = Desk(bench.database, bench.settings, bench.keyring, bench.blobs)
    door = BrokerLine(desk, broker, lambda: bench.now, [PushTongue(desk, lambda: bench.now)])
    thread = threading.Thread(target=door.run, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.stop.set()
        thread.join(15)
        assert not thread.is_alive(), "it does not stop"


@pytest.fixture
def door(bench: Bench, broker: FakeBroker) -> Iterator[BrokerLine]:
    with running(bench, broker) as made:
        assert eventually(lambda: broker.lines)
        yield made


def version_of(bench: Bench, board: Board) -> str:
    [row] = bench.rows(select(tables.devices.c.version).where(tables.devices.c.id == board.id))
    return str(row.version)


# messages


def test_an_offer_is_the_five_fields_compact_and_nothing_else() -> None:
    url = "https://ota.example.com/static/fw_1_2.bin?token=" + "A" * 32 + "&s=1"
    message = offer_of("airfreight", Offered(7, url, 20082, "TMPLabcd1234", "0.5.0", "Mar 05 2024 18:29:27"))
    assert message.topic == "airfreight/7/downlink/ota/json"
    assert message.payload == (
        b'{"url":"'
        + url.encode()
        + b'","size":20082,"type":"TMPLabcd1234","ver":"0.5.0","build":"Mar 05 2024 18:29:27"}'
    )


def test_what_is_not_known_is_empty_not_missing() -> None:
    message = offer_of("p", Offered(7, "u", 1, "", "", ""))
    assert message.payload == b'{"url":"u","size":1,"type":"","ver":"","build":""}'


def test_the_largest_offer_fits_into_a_packet_of_a_small_device() -> None:
    longest = Offered(2**31 - 1, "u" * 239, 2**40, "t" * 64, "v" * 64, "b" * 64)
    message = offer_of("p" * 32, longest)
    assert len(message.payload) + len(message.topic) + 10 <= 1024


@pytest.mark.parametrize(
    ("rxbuff", "fits"),
    [
        (1024, True),
        (151, True),
        (151.5, True),
        (150, False),
        (64.0, False),
        (None, True),
        (0, True),
        (True, True),
        ("x", True),
    ],
)
def test_an_offer_fits_when_the_whole_packet_does(rxbuff: object, fits: bool) -> None:
    offered = Offered(7, "u" * 65, 1, "", "", "", told={} if rxbuff is None else {"rxbuff": rxbuff})
    message = offer_of("airfreight", offered)
    assert len(message.topic) + len(message.payload) == 144
    words = too_large(offered, message)
    assert words == ("" if fits else f"the offer has 151 bytes at the broker, the device takes {rxbuff:g} (rxbuff)")


def test_other_letters_are_utf_8_and_slashes_are_slashes() -> None:
    payload = offer_of("p", Offered(7, "a/b", 1, "Küche", 'v"1"\\', "")).payload
    assert b"a/b" in payload
    assert json.loads(payload.decode("utf-8")) == {
        "url": "a/b",
        "size": 1,
        "type": "Küche",
        "ver": 'v"1"\\',
        "build": "",
    }


def test_a_ping_is_empty() -> None:
    assert ping_of("airfreight", 7) == Message("airfreight/7/downlink/ping", b"")


# the whole way


@pytest.mark.usefixtures("door")
def test_from_the_first_word_to_the_success(bench: Bench, broker: FakeBroker, product: int) -> None:
    [board] = bench.devices(product)
    artifact = bench.artifact(build=BUILD, fw_type="TMPLabcd1234")
    rollout = bench.ship(artifact, product, [board])
    said = broker.say(board.id, b'{"tmpl":"T","ver":"1.0.0","build":"Jan  1 2024 00:00:00","type":"T","rxbuff":1024}')
    assert eventually(lambda: broker.sent_to(board))
    assert eventually(lambda: said.is_kept)
    [offer] = broker.sent_to(board)
    assert (offer["size"], offer["type"], offer["ver"], offer["build"]) == (
        len(artifact.content),
        "TMPLabcd1234",
        "2.0.0",
        BUILD,
    )
    assert re.fullmatch(rf"https://ota\.example\.com{artifact.path}\?token=[\w-]{{32}}&s=1", offer["url"])
    assert bench.stand(rollout, board) == ("offered", "")
    broker.say(board.id, b'{"ver":"2.0.0","build":"' + BUILD.encode() + b'"}')
    assert eventually(lambda: bench.stand(rollout, board) == ("succeeded", ""))
    time.sleep(0.3)
    assert len(broker.sent_to(board)) == 1
    assert bench.drift() == {}


def test_it_subscribes_to_what_devices_say_and_nothing_else(broker: FakeBroker, door: BrokerLine) -> None:
    assert broker.lines[0].topics == ["airfreight/+/info/mcu"]
    assert not door.stop.is_set()


@pytest.mark.usefixtures("door")
def test_a_new_rollout_comes_to_who_listens_already(bench: Bench, broker: FakeBroker, product: int) -> None:
    [board] = bench.devices(product)
    broker.say(board.id, OLD)
    assert eventually(lambda: board.id in {which for _, which in broker.pings()})
    bench.ship(bench.artifact(), product, [board])
    assert eventually(lambda: broker.sent_to(board))


@pytest.mark.usefixtures("door")
def test_who_is_not_there_is_sent_nothing(bench: Bench, broker: FakeBroker, product: int) -> None:
    here, away = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(), product, [here, away])
    broker.say(str(away.id), OLD)  # it has left before the broker passes on what it said
    broker.say(here.id, OLD)
    assert eventually(lambda: broker.sent_to(here))
    assert eventually(lambda: [row.device_id for row in bench.rows(select(tables.connections))] == [here.id])
    assert broker.sent_to(away) == []
    assert bench.stand(rollout, away) == ("queued", "")


@pytest.mark.usefixtures("door")
def test_who_left_between_ping_and_offer_is_offered_the_same_at_the_next_return(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(), product, [board])

    def leaves(message: Message) -> bool:
        if message.topic.endswith("ota/json"):
            broker.listening.discard(board.id)
        return False

    broker.loses = leaves
    broker.say(board.id, OLD)
    assert eventually(lambda: len(broker.sent_to(board)) == 1)
    attempt = bench.delivery(rollout, board).attempt_id
    broker.loses = lambda _: False
    bench.later(seconds=5)
    broker.say(board.id, OLD)
    assert eventually(lambda: len(broker.sent_to(board)) == 2)
    assert bench.delivery(rollout, board).attempt_id == attempt


@pytest.mark.usefixtures("door")
def test_an_offer_without_a_receipt_is_sent_again(bench: Bench, broker: FakeBroker, product: int) -> None:
    lucky, unlucky = boards = bench.devices(product, 2)
    bench.ship(bench.artifact(), product, boards)
    broker.loses = lambda message: message.topic == f"airfreight/{unlucky.id}/downlink/ota/json"
    for board in boards:
        broker.listening.add(board.id)
    bench.work(*(_returned(board) for board in boards))
    assert eventually(lambda: broker.sent_to(unlucky) and broker.sent_to(lucky))
    broker.loses = lambda _: False

    def is_sent_again() -> bool:
        bench.later(seconds=5)
        time.sleep(0.15)
        return len(broker.sent_to(unlucky)) > 1

    assert eventually(is_sent_again)
    assert len(broker.sent_to(unlucky)) == 2
    assert len(broker.sent_to(lucky)) == 1
    assert eventually(lambda: not _waiting(bench))


def _returned(board: Board) -> Any:
    return Returned(board.id, {"version": "1.0.0"})


def _waiting(bench: Bench) -> list[Any]:
    return bench.rows(select(tables.outbox).where(tables.outbox.c.kind == "push.offer"))


@pytest.mark.usefixtures("door")
def test_a_broker_that_takes_nothing_is_left_and_everything_comes_later(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    broker.loses = lambda _: True
    broker.say(board.id, OLD)
    assert eventually(broker.lines[0].closed.is_set)
    assert broker.sent_to(board) == []
    broker.loses = lambda _: False
    assert eventually(lambda: len(broker.lines) > 1)
    assert eventually(lambda: broker.sent_to(board))


@pytest.mark.usefixtures("door")
def test_a_line_that_breaks_is_opened_again_and_nothing_is_offered_twice(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    broker.say(board.id, OLD)
    assert eventually(lambda: broker.sent_to(board))
    with capture_logs() as logs:
        broker.lines[0].is_open = False
        assert eventually(lambda: len(broker.lines) == 2)
    assert [log["trouble"] for log in logs if log["event"] == "the broker is away"] == [broker.lines[0].trouble]
    time.sleep(0.5)
    assert len(broker.sent_to(board)) == 1


# what devices say


def test_a_message_is_acknowledged_when_it_is_written_and_not_before(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    boards = bench.devices(product, 20)
    written: list[str] = []
    broker.at_keep = lambda one: written.append(version_of(bench, boards[int(one.topic.split("/")[1]) - boards[0].id]))
    with running(bench, broker):
        assert eventually(lambda: broker.lines)
        for board in boards:
            broker.say(board.id, OLD)
        assert eventually(lambda: all(one.is_kept for one in broker.said))
    assert written == ["1.0.0"] * 20


@pytest.mark.usefixtures("door")
def test_rubbish_is_acknowledged_and_disturbs_nobody(bench: Bench, broker: FakeBroker, product: int) -> None:
    [board] = bench.devices(product)
    with capture_logs() as logs:
        for device, payload in (
            (board.id, b"\xff"), (board.id, b"[]"), (board.id, b"{}"), (board.id, b"9" * 100_000), (board.id, b'{"ver":5}'),
            (999_999_999, OLD), ("9" * 20, OLD), ("007", OLD), ("", OLD), ("x", OLD), (board.id, b'{"a":' * 500),
        ):  # fmt: skip
            broker.say(device, payload)
        for topic in ("", "/", "airfreight", "airfreight/1/info/mcu/x", "other/1/info/mcu", "\udcff"):
            broker.say("", OLD, topic=topic)
        broker.say(board.id, OLD)
        assert eventually(lambda: all(one.is_kept for one in broker.said))
    assert version_of(bench, board) == "1.0.0"
    assert [log for log in logs if log["log_level"] in {"error", "critical"}] == []
    assert len(broker.lines) == 1


@pytest.mark.usefixtures("door")
def test_a_device_whose_buffer_is_too_small_is_sent_nothing_and_its_delivery_says_why(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    small, large = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(), product, [small, large])
    broker.say(small.id, b'{"ver":"1.0.0","rxbuff":128}')
    broker.say(large.id, b'{"ver":"1.0.0","rxbuff":512}')
    assert eventually(lambda: broker.sent_to(large))
    assert eventually(lambda: bench.stand(rollout, small) == ("failed", "incompatible"))
    assert broker.sent_to(small) == []
    [said] = [row.message for row in bench.rows(select(tables.history.c.message)) if "rxbuff" in (row.message or "")]
    assert re.fullmatch(r"the offer has \d+ bytes at the broker, the device takes 128 \(rxbuff\)", said)
    assert eventually(lambda: bench.rows(select(tables.outbox).where(tables.outbox.c.kind.startswith("push."))) == [])
    assert bench.drift() == {}


@pytest.mark.usefixtures("door")
def test_a_removed_device_comes_back_in_vain(bench: Bench, broker: FakeBroker, product: int) -> None:
    [board, other] = bench.devices(product, 2)
    bench.remove_device(board)
    said = broker.say(board.id, OLD)
    broker.say(other.id, OLD)
    assert eventually(lambda: other.id in {which for _, which in broker.pings()})
    assert eventually(lambda: said.is_kept)
    assert board.id not in {which for _, which in broker.pings()}


def test_what_was_said_while_nobody_heard_comes_when_the_line_is_open(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    broker.say(board.id, OLD)
    with running(bench, broker):
        assert eventually(lambda: broker.sent_to(board))
    assert version_of(bench, board) == "1.0.0"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # only there is a table that is missing an outage
def test_a_database_that_fails_for_a_while_loses_nothing(bench: Bench, broker: FakeBroker, product: int) -> None:
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    with running(bench, broker), capture_logs() as logs:
        assert eventually(lambda: broker.lines)
        with bench.database.write() as connection:
            connection.execute(text("ALTER TABLE device_seen RENAME TO away"))
        said = broker.say(board.id, OLD)
        time.sleep(1)
        assert not said.is_kept
        assert version_of(bench, board) == ""
        with bench.database.write() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO device_seen"))
        assert eventually(lambda: said.is_kept)
        assert eventually(lambda: broker.sent_to(board))
    assert version_of(bench, board) == "1.0.0"
    assert "exc_info" not in {key for log in logs for key in log if log["log_level"] == "error"}


# one process at a time, and how fast


def test_of_two_processes_one_holds_the_line_and_the_other_takes_over(bench: Bench, broker: FakeBroker) -> None:
    second = FakeBroker()
    with running(bench, broker) as first:
        assert eventually(lambda: broker.lines)
        with running(bench, second):
            time.sleep(1)
            assert second.lines == []
            first.stop.set()
            assert eventually(lambda: second.lines)
            assert broker.lines[0].closed.is_set()
    assert len(broker.lines) == 1


def test_a_process_whose_lease_was_taken_leaves_the_line(
    bench: Bench, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airfreight.apis.common.broker_line._LEASE_SECONDS", 0.2)
    with running(bench, broker):
        assert eventually(lambda: broker.lines)
        with bench.database.write() as connection:  # it was asleep for an hour, and another one has begun
            connection.execute(update(tables.leases).values(holder="another", until_at=bench.now + 3_600_000))
        assert eventually(broker.lines[0].closed.is_set)
        time.sleep(0.5)
        assert len(broker.lines) == 1


def test_a_line_to_a_broker_that_has_kept_nothing_looks_for_who_is_there(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    """They said that they are back before anybody listened."""
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    broker.is_new = True
    broker.listening.add(board.id)
    with running(bench, broker):
        assert eventually(lambda: broker.sent_to(board))


def test_a_stop_is_quick_closes_the_line_and_gives_back_the_lease(
    bench: Bench, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the end of the turn, however long one is."""
    monkeypatch.setattr(broker_line, "_TICK_SECONDS", 60)
    with running(bench, broker) as door:
        said = broker.say("1", OLD)
        assert eventually(lambda: said.is_kept), "the line is in use"
        door.stop.set()
        assert eventually(broker.lines[0].closed.is_set, 3)
    assert bench.rows(select(tables.leases)) == []


def test_a_broker_that_is_away_is_said_without_a_trace_and_asked_again(bench: Bench, broker: FakeBroker) -> None:
    broker.is_away = True
    with capture_logs() as logs, running(bench, broker):
        assert eventually(lambda: [log for log in logs if log["event"] == "the broker is away"])
        broker.is_away = False
        assert eventually(lambda: broker.lines)
    away = [log for log in logs if log["event"] == "the broker is away"]
    assert {log["log_level"] for log in away} == {"warning"}
    assert away[0]["trouble"] == "it cannot be reached: ConnectionRefusedError"
    assert not any(log.get("exc_info") for log in logs)


def test_a_stop_while_the_database_is_gone_raises_nothing(bench: Bench, broker: FakeBroker) -> None:
    failed: list[Any] = []
    before = threading.excepthook
    threading.excepthook = failed.append
    try:
        with running(bench, broker) as door:
            assert eventually(lambda: broker.lines)
            with bench.database.write() as connection:
                connection.execute(text("DROP TABLE leases"))
            door.stop.set()
    finally:
        threading.excepthook = before
    assert failed == []


def test_devices_are_asked_no_faster_than_the_setting_says(
    bench: Bench, broker: FakeBroker, product: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that stands still between two looks at it; after a long silence it is as many as in a second."""
    seconds, paces, made = [1000.0], [], broker_line._Pace

    def pace(rate: float) -> Any:
        paces.append(made(rate, 0.0, seconds[0]))
        return paces[-1]

    monkeypatch.setattr(broker_line, "_Pace", pace)
    monkeypatch.setattr(broker_line, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    object.__setattr__(bench.settings, "push_per_second", 20)
    boards = bench.devices(product, 60)
    bench.work(*(_returned(board) for board in boards))

    def asked() -> list[int]:
        return [which for _, which in broker.pings() if which]

    with running(bench, broker):
        assert eventually(lambda: paces)
        for passed, wanted in ((0.25, 5), (0.25, 10), (60, 30), *((0.25, count) for count in range(35, 61, 5))):
            seconds[0] += passed
            assert eventually(lambda wanted=wanted: len(asked()) == wanted), (len(asked()), wanted)
    assert sorted(asked()) == [board.id for board in boards]


def test_the_password_file_is_written_before_the_broker_is_there_and_follows(
    bench: Bench, broker: FakeBroker, product: int, tmp_path: Path
) -> None:
    """Else a broker that reads it at its start would let the server in never."""
    file = tmp_path / "passwords"
    object.__setattr__(bench.settings, "mqtt_password_file", str(file))
    object.__setattr__(bench.settings, "mqtt_url", "mqtt://airfreight:secret@127.0.0.1")
    broker.is_away = True
    with running(bench, broker):
        assert eventually(file.exists)
        assert file.read_text().startswith("airfreight:$7$")
        broker.is_away = False
        assert eventually(lambda: broker.lines)
        [board] = bench.devices(product)
        assert eventually(lambda: f"{board.id}:$7$" in file.read_text())


@pytest.mark.usefixtures("door")
def test_somebody_who_subscribes_to_everything_is_warned_of_once(
    bench: Bench, broker: FakeBroker, product: int
) -> None:
    boards = bench.devices(product, 3)
    broker.listening.add(0)
    with capture_logs() as logs:
        for board in boards:
            asked = len(broker.pings())
            broker.say(board.id, OLD)
            assert eventually(lambda asked=asked: len(broker.pings()) > asked)
        time.sleep(0.2)
    assert sum("subscribes to all topics" in log["event"] for log in logs) == 1
