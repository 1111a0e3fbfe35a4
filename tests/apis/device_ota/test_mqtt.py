"""Devices of this door at a broker: told of their update, and taken at their word of what they run."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs
from tests.apis.serving import eventually
from tests.apis.shipments.fake_broker import FakeBroker
from tests.make import Bench, Board, image

from airfreight.apis.common.broker_line import BrokerLine, Tongue
from airfreight.apis.common.desk import Desk
from airfreight.apis.device_ota.mqtt import TriggerTongue, Word, triggers_of, word_of
from airfreight.apis.shipments.mqtt import PushTongue
from airfreight.domain.delivery import State
from airfreight.ports import Arrived, Message
from airfreight.services import group_updates, groups, single_updates
from airfreight.services.device_work import SetAttributes
from airfreight.services.single_updates import Wish
from airfreight.services.triggers import Waiting
from airfreight.store import tables
from airfreight.store.database import Database

UID, OTHER_UID = "5e1b57808711f904f5df4bad", "0" * 24
DOOR = "airfreight.apis.device_ota.mqtt."


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DOOR + "_TURN_SECONDS", 0.05)
    monkeypatch.setattr(DOOR + "_LATER_SECONDS", 0.2)


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="https://ota.example.com", mqtt_url="mqtt://a:b@127.0.0.1")


@pytest.fixture
def board(bench: Bench) -> Board:
    [made] = bench.devices(bench.product())
    return made


@contextmanager
def running(bench: Bench, broker: FakeBroker) -> Iterator[BrokerLine]:
    """The line of one server process, with both doors at it, as the application runs it."""
    desk = Desk(bench.database, bench.settings, bench.keyring, bench.blobs)
    tongues: list[Tongue] = [PushTongue(desk, lambda: bench.now), TriggerTongue(desk, lambda: bench.now)]
    line = BrokerLine(desk, broker, lambda: bench.now, tongues)
    thread = threading.Thread(target=line.run, daemon=True)
    thread.start()
    try:
        assert eventually(lambda: broker.lines or broker.is_away)
        yield line
    finally:
        line.stop.set()
        thread.join(15)
        assert not thread.is_alive(), "it does not stop"


@pytest.fixture
def line(bench: Bench, broker: FakeBroker) -> Iterator[BrokerLine]:
    with running(bench, broker) as made:
        yield made


def upload(bench: Bench, board: Board, version: str = "1.0.1") -> int:
    writer = bench.blobs.receive()
    writer.write(image(version, size=1600))
    with bench.call() as call:
        return single_updates.upload(call, Wish(board.uid, board.token, version), writer.commit(), "firmware.bin")


def upload_to_group(bench: Bench, boards: list[Board], version: str = "1.0.1") -> tuple[int, str]:
    """The rollout, and the uid of the new group that it is for."""
    with bench.call() as call:
        made, token = groups.create(call, name="hall")
        for board in boards:
            call.connection.execute(
                tables.devices.update().where(tables.devices.c.id == board.id).values(group_id=made.id)
            )
    writer = bench.blobs.receive()
    writer.write(image(version, size=1600))
    with bench.call() as call:
        wish = Wish(made.uid, token, version)
        return group_updates.upload(call, wish, writer.commit(), "firmware.bin"), made.uid


def told(broker: FakeBroker, board: Board) -> list[tuple[str, Any]]:
    """The triggers that were published to a device."""
    found = [message for _, message in broker.published if message.topic.endswith("/update-trigger")]
    return [(one.topic, json.loads(one.payload)) for one in found if one.topic.startswith(f"/{board.id}/")]


def trigger(board: Board, version: str = "1.0.1") -> tuple[str, Any]:
    return f"/{board.id}/devices/{board.uid}/update-trigger", {"ver": version}


def status(broker: FakeBroker, board: Board, version: str, **more: Any) -> None:
    body = {"battery": 100, "uptime": 5482, "core_version": "5.2.2", "fw_version": version, **more}
    broker.tell(f"/{board.id}/devices/{board.uid}/status", json.dumps(body).encode())


def response(broker: FakeBroker, board: Board, code: int) -> None:
    broker.tell(f"/{board.id}/devices/{board.uid}/update-response", b'{"code":%d}' % code)


def speaks_until(broker: FakeBroker, board: Board, version: str, is_so: Callable[[], object]) -> bool:
    """Whether it comes to be while the device says the same again and again, as it does every five seconds."""

    def spoken() -> object:
        status(broker, board, version)
        return is_so()

    return eventually(spoken, 30)


def known(bench: Bench, broker: FakeBroker, board: Board, version: str) -> None:
    """The device speaks until it is known for this version."""
    assert speaks_until(broker, board, version, lambda: version_of(bench, board) == version)


def tongue_of(line: BrokerLine) -> TriggerTongue:
    [tongue] = [one for one in line.tongues if isinstance(one, TriggerTongue)]
    return tongue


def looked_at(line: BrokerLine) -> None:
    """Until everybody who has spoken has been looked at for that: nothing is due, and that turn is over."""
    assert eventually(lambda: not tongue_of(line)._due)
    turned(line)


def turned(line: BrokerLine) -> None:
    """Until the turn that the line is in is over, and the next has begun."""
    tongue = tongue_of(line)
    then = tongue._then
    assert eventually(lambda: tongue._then > then)


def all_are_due(line: BrokerLine) -> None:
    """Whoever has spoken is to be looked at now."""
    tongue = tongue_of(line)
    with tongue._lock:
        waiting = [which for _, which in tongue._due]
        tongue._due.clear()
        tongue._due.extend((0.0, which) for which in waiting)


def version_of(bench: Bench, board: Board) -> str:
    [row] = bench.rows(select(tables.devices.c.version).where(tables.devices.c.id == board.id))
    return str(row.version)


def waiting(bench: Bench) -> list[Any]:
    return bench.rows(select(tables.outbox).where(tables.outbox.c.kind == "push.trigger"))


def fetched(bench: Bench, board: Board) -> None:
    """The device has fetched its file at its own address."""
    bench.served(board, bench.poll(board).attempt_id, State.DOWNLOADED)


# topics and messages


def test_a_trigger_is_the_version_at_the_devices_own_topic() -> None:
    [message] = triggers_of(Waiting(7, UID, None, 1, "1.2.7"))
    assert message == Message(f"/7/devices/{UID}/update-trigger", b'{"ver":"1.2.7"}')


def test_what_was_sent_to_a_group_is_said_at_the_groups_topic_too() -> None:
    device, group = triggers_of(Waiting(7, UID, OTHER_UID, 1, "1.2.7"))
    assert device.topic == f"/7/devices/{UID}/update-trigger"
    assert group == Message(f"/7/groups/{OTHER_UID}/update-trigger", b'{"ver":"1.2.7"}')


def heard(topic: str, payload: bytes, *, is_live: bool = True) -> Word | None:
    return word_of(Arrived(Message(topic, payload), is_live, lambda: None))


def test_a_status_tells_what_runs_and_since_when() -> None:
    payload = b'{"battery":100,"uptime":5482,"core_version":"5.2.2","fw_version":"1.5.2"}'
    assert heard(f"/7/devices/{UID}/status", payload) == Word(7, UID, "1.5.2", 5482)


@pytest.mark.parametrize("code", [200, 201, 202, 203])
def test_a_response_tells_its_code(code: int) -> None:
    assert heard(f"/7/devices/{UID}/update-response", b'{"code":%d}' % code) == Word(7, UID, code=code)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"fw_version":5,"uptime":"x","code":"202"}', b"9" * 5000,
        b'{"fw_version":"' + b"9" * 1_000_000 + b'"}', b'{"fw_version":"' + b"9" * 65 + b'"}', b'{"a":' * 800,
        b'{"fw_version":null,"uptime":null,"code":null}', b'{"fw_version":"1.0.0"}x', b'{"code":202.0}', b"[" * 4000,
    ],
    ids=lambda payload: repr(payload[:30]),
)  # fmt: skip
@pytest.mark.parametrize("kind", ["status", "update-response"])
def test_rubbish_tells_only_that_the_device_is_there(kind: str, payload: bytes) -> None:
    assert heard(f"/7/devices/{UID}/{kind}", payload) == Word(7, UID)


@pytest.mark.parametrize("number", [b"1" + b"0" * 400, b"-1", b"1e308", b"0.5", b"true"])
def test_an_odd_time_disturbs_nothing(number: bytes) -> None:
    word = heard(f"/7/devices/{UID}/status", b'{"fw_version":"1.0.0","uptime":' + number + b"}")
    assert word is not None
    assert word.version == "1.0.0"


@pytest.mark.parametrize(
    "topic",
    [
        "", "/", "////", "status", f"7/devices/{UID}/status", f"//devices/{UID}/status", f"/07/devices/{UID}/status",
        f"/7/devices/{UID}/status/", f"/7/devices/{UID}/params", f"/7/devices/{UID}/update-trigger", "/7/devices//status",
        f"/7/devices/{UID.upper()}/status", f"/7/devices/{UID}0/status", f"/7/groups/{UID}/status", f"x/7/devices/{UID}/status",
        f"/+/devices/{UID}/status", f"/１/devices/{UID}/status", f"/{'9' * 5000}/devices/{UID}/status", f"/-7/devices/{UID}/status",
        "/7/devices/#/status", "airfreight/7/info/mcu", f"/7/devices/{UID}\n/status",
    ],
)  # fmt: skip
def test_any_other_topic_is_not_for_this_door(topic: str) -> None:
    assert heard(topic, b'{"fw_version":"1.0.0","code":202}') is None


def test_a_copy_that_the_broker_kept_is_nothing() -> None:
    assert heard(f"/7/devices/{UID}/status", b'{"fw_version":"1.0.0"}', is_live=False) is None


@pytest.mark.usefixtures("line")
def test_what_is_kept_while_nobody_listens_is_only_what_the_other_devices_say(broker: FakeBroker) -> None:
    """A word every five seconds from every device would push theirs out."""
    assert broker.lines[0].topics == ["airfreight/+/info/mcu"]
    assert broker.lines[0].passing == ["/+/devices/+/status", "/+/devices/+/update-response"]


# the trigger


@pytest.mark.usefixtures("line")
def test_an_upload_is_told_to_its_device_and_to_no_other(bench: Bench, broker: FakeBroker, board: Board) -> None:
    [other] = bench.devices(bench.product())
    broker.listening |= {board.id, other.id}
    rollout = upload(bench, board)
    assert eventually(lambda: told(broker, board) == [trigger(board)])
    assert eventually(lambda: not waiting(bench))
    time.sleep(0.3)
    assert told(broker, board) == [trigger(board)]
    assert told(broker, other) == []
    assert bench.stand(rollout, board) == ("queued", "")


def test_without_a_broker_nothing_waits_for_one(bench: Bench, board: Board) -> None:
    object.__setattr__(bench.settings, "mqtt_url", "")
    upload(bench, board)
    upload_to_group(bench, [board], "1.0.2")
    assert waiting(bench) == []


def test_an_upload_while_the_broker_is_away_is_told_when_it_is_back(
    bench: Bench, broker: FakeBroker, board: Board
) -> None:
    broker.is_away = True
    broker.listening.add(board.id)
    upload(bench, board)
    with running(bench, broker):
        time.sleep(0.3)
        broker.is_away = False
        assert eventually(lambda: told(broker, board) == [trigger(board)])


@pytest.mark.parametrize(
    "what", ["paused", "stopped", "deleted", "newer", "begun", "fetched", "disabled", "removed", "unwanted"]
)
def test_what_is_not_true_any_more_is_not_told(bench: Bench, broker: FakeBroker, board: Board, what: str) -> None:
    broker.listening.add(board.id)
    rollout = upload(bench, board)
    match what:
        case "paused":
            bench.pause(rollout)
        case "stopped" | "deleted":
            bench.stop(rollout)
            if what == "deleted":
                bench.delete(rollout)
        case "newer":
            upload(bench, board, "1.0.2")
        case "begun":
            bench.served(board, bench.poll(board).attempt_id, State.DOWNLOADING)
        case "fetched":
            fetched(bench, board)
        case "unwanted":
            bench.work(SetAttributes(board.digest, {"autoUpdate": False}))
        case "disabled":
            with bench.database.write() as connection:
                connection.execute(tables.devices.update().values(enabled=False))
        case "removed":
            bench.remove_device(board)
    with running(bench, broker):
        assert eventually(lambda: not waiting(bench))
        assert told(broker, board) == ([trigger(board, "1.0.2")] if what == "newer" else [])


@pytest.mark.usefixtures("line")
def test_a_trigger_without_a_receipt_is_sent_again(bench: Bench, broker: FakeBroker, board: Board) -> None:
    broker.listening.add(board.id)
    broker.loses = lambda message: True
    upload(bench, board)
    assert eventually(broker.lines[0].closed.is_set)
    broker.loses = lambda message: False
    bench.later(seconds=5)
    assert eventually(lambda: len(told(broker, board)) == 2)
    assert eventually(lambda: not waiting(bench))


@pytest.mark.usefixtures("line")
def test_who_is_not_there_is_told_when_it_speaks(bench: Bench, broker: FakeBroker, board: Board) -> None:
    upload(bench, board)
    assert eventually(lambda: told(broker, board) == [trigger(board)])
    assert eventually(lambda: not waiting(bench)), "it will ask by itself"
    broker.listening.add(board.id)
    known(bench, broker, board, "1.0.0")
    assert eventually(lambda: len(told(broker, board)) == 2)
    for _ in range(5):
        status(broker, board, "1.0.0")
        time.sleep(0.1)
    assert told(broker, board) == [trigger(board)] * 2


def test_one_that_was_there_before_and_was_away_at_the_upload_is_told_at_its_next_word(
    bench: Bench, broker: FakeBroker, board: Board, line: BrokerLine
) -> None:
    known(bench, broker, board, "1.0.0")
    looked_at(line)
    upload(bench, board)
    assert eventually(lambda: told(broker, board) == [trigger(board)])
    assert eventually(lambda: not waiting(bench)), "that nobody listened is known by now"
    broker.listening.add(board.id)
    assert speaks_until(broker, board, "1.0.0", lambda: len(told(broker, board)) == 2)


def test_one_that_does_nothing_is_told_again_after_some_minutes(
    bench: Bench, broker: FakeBroker, board: Board, line: BrokerLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.listening.add(board.id)
    monkeypatch.setattr(DOOR + "_AGAIN_SECONDS", 1.0)
    known(bench, broker, board, "1.0.0")
    looked_at(line)
    upload(bench, board)
    assert eventually(lambda: told(broker, board))
    turned(line)  # from now on it is left alone for the time that it has been given
    assert speaks_until(broker, board, "1.0.0", lambda: len(told(broker, board)) >= 3)
    first, _, third, *_ = [moment for moment, one in broker.published if one.topic == trigger(board)[0]]
    assert third - first > 1.5


def test_one_that_is_updated_is_left_alone(
    bench: Bench, broker: FakeBroker, board: Board, line: BrokerLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.listening.add(board.id)
    monkeypatch.setattr(DOOR + "_AGAIN_SECONDS", 0.2)
    known(bench, broker, board, "1.0.0")
    looked_at(line)
    rollout = upload(bench, board)
    assert eventually(lambda: told(broker, board))
    turned(line)
    fetched(bench, board)
    before = len(told(broker, board))
    assert speaks_until(broker, board, "1.0.1", lambda: bench.stand(rollout, board)[0] == "succeeded")
    for _ in range(5):
        status(broker, board, "1.0.1")
        time.sleep(0.1)
    assert len(told(broker, board)) == before


@pytest.mark.usefixtures("line")
def test_a_broker_that_does_not_let_us_is_warned_of_once_and_the_other_door_goes_on(
    bench: Bench, broker: FakeBroker, board: Board
) -> None:
    """An access list of before this door."""
    [other] = bench.devices(bench.product())
    broker.refuses = lambda message: message.topic.startswith("/")
    broker.listening |= {board.id, other.id}
    with capture_logs() as logs:
        upload(bench, board)
        assert eventually(lambda: told(broker, board) and not waiting(bench))
        upload(bench, board, "1.0.2")
        assert eventually(lambda: len(told(broker, board)) == 2 and not waiting(bench))
        bench.ship(bench.artifact(), None, [other])
        broker.say(other.id, b'{"ver":"1.0.0"}')
        assert eventually(lambda: broker.sent_to(other))
    assert sum("access list" in log["event"] for log in logs) == 1
    assert len(broker.lines) == 1


# groups


@pytest.mark.usefixtures("line")
def test_devices_of_a_group_are_told_at_both_topics_and_no_faster_than_the_setting_says(
    bench: Bench, broker: FakeBroker
) -> None:
    object.__setattr__(bench.settings, "push_per_second", 20)
    broker.lines[0].is_open = False  # the next line has this pace
    assert eventually(lambda: len(broker.lines) == 2)
    boards = bench.devices(bench.product(), 50)
    broker.listening |= {board.id for board in boards}
    began = time.monotonic()
    _, group = upload_to_group(bench, boards)
    assert eventually(lambda: all(len(told(broker, board)) == 2 for board in boards), 60)
    assert time.monotonic() - began > 1
    assert eventually(lambda: not waiting(bench))
    for board in boards:
        assert told(broker, board) == [
            trigger(board),
            (f"/{board.id}/groups/{group}/update-trigger", {"ver": "1.0.1"}),
        ]


def test_a_device_of_a_group_that_fetched_it_at_the_groups_address_ends_by_what_it_runs(
    bench: Bench, broker: FakeBroker, board: Board, line: BrokerLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group's address cannot tell who fetches, so its delivery waits still: what it would be sent, it has."""
    known(bench, broker, board, "1.0.0")
    looked_at(line)
    rollout, _ = upload_to_group(bench, [board])
    monkeypatch.setattr(DOOR + "_LATER_SECONDS", 1000.0)
    status(broker, board, "1.0.1")
    assert eventually(lambda: version_of(bench, board) == "1.0.1")
    assert bench.stand(rollout, board) == ("queued", "")
    all_are_due(line)
    assert eventually(lambda: bench.stand(rollout, board) == ("skipped", "already_running"))
    assert bench.drift() == {}


# what devices say


@pytest.mark.usefixtures("line")
def test_the_version_that_comes_back_is_the_success(bench: Bench, broker: FakeBroker, board: Board) -> None:
    known(bench, broker, board, "1.0.0")
    rollout = upload(bench, board)
    fetched(bench, board)
    assert bench.stand(rollout, board) == ("downloaded", "")
    status(broker, board, "1.0.0", uptime=5487)
    time.sleep(0.3)
    assert bench.stand(rollout, board) == ("downloaded", ""), "the same program, still up: it may be about to restart"
    status(broker, board, "1.0.1", uptime=3)
    assert eventually(lambda: bench.stand(rollout, board) == ("succeeded", ""))
    assert bench.drift() == {}


@pytest.mark.usefixtures("line")
def test_one_that_restarts_with_the_old_version_has_not_taken_it(
    bench: Bench, broker: FakeBroker, board: Board
) -> None:
    known(bench, broker, board, "1.0.0")
    rollout = upload(bench, board)
    fetched(bench, board)
    status(broker, board, "1.0.0", uptime=2)
    assert eventually(lambda: bench.stand(rollout, board) == ("queued", "install_failed"))


@pytest.mark.usefixtures("line")
def test_one_that_gives_up_has_failed_this_time(bench: Bench, broker: FakeBroker, board: Board) -> None:
    known(bench, broker, board, "1.0.0")
    rollout = upload(bench, board)
    bench.served(board, bench.poll(board).attempt_id, State.DOWNLOADING)
    response(broker, board, 201)
    time.sleep(0.2)
    assert bench.stand(rollout, board) == ("downloading", "")
    response(broker, board, 203)
    assert eventually(lambda: bench.stand(rollout, board) == ("queued", "download_failed")), bench.delivery(
        rollout, board
    )


def test_one_that_never_says_its_version_runs_what_it_found_to_be_the_same(
    bench: Bench, broker: FakeBroker, board: Board, line: BrokerLine
) -> None:
    rollout = upload(bench, board)
    for _ in range(3):
        response(broker, board, 202)
        time.sleep(0.2)
    assert version_of(bench, board) == "", "it may have asked before this upload"
    bench.later(seconds=61)
    turned(line)  # a turn that has read the clock before would take the next word for one of then
    response(broker, board, 202)
    assert eventually(lambda: version_of(bench, board) == "1.0.1")
    assert eventually(lambda: bench.stand(rollout, board) == ("skipped", "already_running"))


@pytest.mark.usefixtures("line")
def test_what_a_device_says_itself_goes_before_a_code(bench: Bench, broker: FakeBroker, board: Board) -> None:
    known(bench, broker, board, "0.9.0")
    upload(bench, board)
    bench.later(seconds=61)
    response(broker, board, 202)
    time.sleep(0.4)
    assert version_of(bench, board) == "0.9.0"


def reported_at(bench: Bench, board: Board) -> Any:
    [row] = bench.rows(select(tables.devices.c.attributes_at).where(tables.devices.c.id == board.id))
    return row.attributes_at


def seen_at(bench: Bench, board: Board) -> Any:
    query = select(tables.device_seen.c.seen_at).where(tables.device_seen.c.device_id == board.id)
    return [row.seen_at for row in bench.rows(query)]


@pytest.mark.usefixtures("line")
def test_the_same_every_five_seconds_is_a_sign_of_life_and_written_no_more(
    bench: Bench, broker: FakeBroker, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DOOR + "_SEEN_SECONDS", 0.0)
    known(bench, broker, board, "1.0.0")
    first = reported_at(bench, board)
    bench.later(seconds=100)
    status(broker, board, "1.0.0")
    assert eventually(lambda: seen_at(bench, board) == [bench.now])
    assert reported_at(bench, board) == first
    assert board.id not in {which for _, which in broker.pings()}, "it does not listen to the other door"


def test_a_new_line_is_no_return_of_anybody(bench: Bench, broker: FakeBroker, board: Board) -> None:
    """A server that restarts must not take a device in the middle of its update for one that broke off."""
    bench.work(SetAttributes(board.digest, {"version": "1.0.0"}))
    rollout = upload(bench, board)
    fetched(bench, board)
    with running(bench, broker):
        for _ in range(4):
            status(broker, board, "1.0.0")
            time.sleep(0.1)
    assert bench.stand(rollout, board) == ("downloaded", "")


@pytest.mark.usefixtures("line")
def test_who_writes_under_anothers_name_is_not_heard(bench: Bench, broker: FakeBroker, board: Board) -> None:
    [other] = bench.devices(bench.product())
    known(bench, broker, board, "1.0.0")
    for topic in (
        f"/{board.id}/devices/{other.uid}/status",
        f"/{other.id}/devices/{board.uid}/status",
        f"/999999999/devices/{board.uid}/status",
        f"/{board.id}/devices/{OTHER_UID}/status",
    ):
        for _ in range(3):
            broker.tell(topic, b'{"fw_version":"6.6.6"}')
            time.sleep(0.1)
    assert version_of(bench, board) == "1.0.0"
    assert version_of(bench, other) == ""


@pytest.mark.usefixtures("line")
def test_a_removed_device_speaks_in_vain(bench: Bench, broker: FakeBroker, board: Board) -> None:
    known(bench, broker, board, "1.0.0")
    bench.remove_device(board)
    with capture_logs() as logs:
        status(broker, board, "1.0.1")
        time.sleep(0.5)
    assert version_of(bench, board) == "1.0.0"
    assert [log for log in logs if log["log_level"] in {"error", "critical"}] == []


@pytest.mark.usefixtures("line")
def test_a_flood_of_rubbish_disturbs_nobody(bench: Bench, broker: FakeBroker, board: Board) -> None:
    known(bench, broker, board, "1.0.0")
    with capture_logs() as logs:
        for payload in (
            b"\xff",
            b"[",
            b"{}",
            b'{"fw_version":"\\ud800"}',
            b'{"fw_version":"a\\u0000"}',
            b"x" * 1_000_000,
        ):
            for kind in ("status", "update-response"):
                broker.tell(f"/{board.id}/devices/{board.uid}/{kind}", payload)
        for number in range(3000):
            broker.tell(f"/{number}/devices/{OTHER_UID}/status", b'{"fw_version":"6.6.6"}')
        time.sleep(0.5)
        known(bench, broker, board, "1.0.2")
    assert [log for log in logs if log["log_level"] in {"error", "critical"}] == []
    assert len(broker.lines) == 1


class Aside:
    """The tongue without a line: what the door's threads do, one after the other."""

    def __init__(self, bench: Bench) -> None:
        desk = Desk(bench.database, bench.settings, bench.keyring, bench.blobs)
        self.tongue = TriggerTongue(desk, lambda: bench.now)

    def hears(self, board: Board, kind: str, payload: bytes) -> Any:
        topic = f"/{board.id}/devices/{board.uid}/{kind}"
        return self.tongue.understand(Arrived(Message(topic, payload), is_live=True, keep=lambda: None))

    def turn(self) -> None:
        self.tongue._then = 0.0
        self.tongue.speak(lambda messages: [], 100)


def test_no_more_devices_are_remembered_than_there_is_room_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DOOR + "_MOST_KNOWN", 10)
    boards, aside = bench.devices(bench.product(), 30), Aside(bench)
    for _ in range(4):
        for board in boards:
            aside.hears(board, "status", b'{"fw_version":"1.0.0"}')
        aside.turn()
    assert len(aside.tongue._known) == 10
    assert len(aside.tongue._strangers) <= 10


def test_one_that_speaks_while_its_name_is_looked_up_is_not_met_twice(bench: Bench, board: Board) -> None:
    aside = Aside(bench)
    assert aside.hears(board, "status", b'{"fw_version":"1.0.0"}') is None
    aside.turn()
    aside.tongue._strangers[board.id] = [Word(board.id, board.uid, "1.0.0")]
    assert aside.hears(board, "status", b'{"fw_version":"1.0.0"}') is None, "it is known, and has said that"
    aside.turn()
    assert aside.hears(board, "update-response", b'{"code":203}') is not None


def test_the_first_words_of_a_device_are_taken_once_its_name_is_known(bench: Bench, board: Board) -> None:
    aside = Aside(bench)
    for version in ("0.7", "0.8", "0.9", "1.0.0", "1.0.1"):
        assert aside.hears(board, "status", b'{"fw_version":"%s"}' % version.encode()) is None
    aside.turn()
    [row] = bench.rows(select(tables.devices.c.version).where(tables.devices.c.id == board.id))
    assert row.version == "1.0.1"
    assert aside.hears(board, "status", b'{"fw_version":"1.0.1"}') is None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # only there is a table that is missing an outage
def test_a_first_word_that_cannot_be_written_is_taken_the_next_time(bench: Bench, board: Board) -> None:
    aside = Aside(bench)
    with bench.database.write() as connection:
        connection.execute(text("ALTER TABLE device_seen RENAME TO away"))
    aside.hears(board, "status", b'{"fw_version":"1.0.0"}')
    aside.turn()
    with bench.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO device_seen"))
    assert version_of(bench, board) == ""
    aside.hears(board, "status", b'{"fw_version":"1.0.0"}')
    aside.turn()
    assert version_of(bench, board) == "1.0.0"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # only there is a table that is missing an outage
def test_while_the_database_is_away_memory_does_not_fill_with_what_passes(
    bench: Bench, broker: FakeBroker, board: Board
) -> None:
    with running(bench, broker) as line:
        known(bench, broker, board, "1.0.0")
        with bench.database.write() as connection:
            connection.execute(text("ALTER TABLE device_seen RENAME TO away"))
        status(broker, board, "1.0.1")
        time.sleep(0.3)
        for _ in range(3000):
            status(broker, board, "1.0.2")
        assert len(line._arrived) <= 1000
        assert version_of(bench, board) == "1.0.0"
        with bench.database.write() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO device_seen"))
        known(bench, broker, board, "1.0.2")
