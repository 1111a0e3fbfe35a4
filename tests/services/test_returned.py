"""A device that never reports comes back at the broker and says what it runs: what that makes of its delivery."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.interrupt import Meanwhile
from tests.make import BUILD, NOON, Bench, Board
from tests.own_logs import capture_own_logs

from airfreight.apis.shipments.mqtt import returned_of
from airfreight.domain.conditions import Condition
from airfreight.domain.decide import Do
from airfreight.domain.delivery import THE_SIX, State, Verdict
from airfreight.ports import Arrived, Message
from airfreight.services import device_work
from airfreight.services.device_work import Returned, Served, SetAttributes
from airfreight.store import tables

OLD, NEW, THIRD = "1.0.0", "2.0.0", "9.9.9"
OTHER_BUILD = "Feb 19 2024 08:00:00"
HAS_ALL = THE_SIX[2:]

# where the delivery stands, what the device runs when it comes back, what becomes of it: without and with a cancel wish
OUTCOMES: list[tuple[State, str, tuple[str, str], tuple[str, str]]] = [
    (State.OFFERED, NEW, ("succeeded", ""), ("succeeded", "")),
    (State.OFFERED, OLD, ("offered", ""), ("canceled", "stopped")),
    (State.OFFERED, THIRD, ("offered", ""), ("canceled", "stopped")),
    (State.DOWNLOADING, NEW, ("succeeded", ""), ("succeeded", "")),
    (State.DOWNLOADING, OLD, ("queued", "download_failed"), ("canceled", "stopped")),
    (State.DOWNLOADING, THIRD, ("queued", "download_failed"), ("canceled", "stopped")),
    *((state, NEW, ("succeeded", ""), ("succeeded", "")) for state in HAS_ALL),
    *((state, OLD, ("queued", "install_failed"), ("canceled", "stopped")) for state in HAS_ALL),
    *((state, THIRD, ("failed", "wrong_version"), ("canceled", "stopped")) for state in HAS_ALL),
]


def at(bench: Bench, state: State, board: Board, version: str = NEW, build: str = "", **policy: object) -> int:
    """A rollout whose delivery to the board stands there; the device ran what it last said."""
    product = bench.rows(select(tables.devices.c.product_id).where(tables.devices.c.id == board.id))[0].product_id
    rollout = bench.ship(bench.artifact(version, build), product, [board], **policy)
    reach(bench, rollout, board, state)
    return rollout


def reach(bench: Bench, rollout: int, board: Board, state: State) -> None:
    bench.poll(board)
    attempt = bench.delivery(rollout, board).attempt_id
    if state in (State.DOWNLOADING, State.DOWNLOADED):
        bench.served(board, attempt, state)
    elif state is not State.OFFERED:
        assert bench.report(board, attempt, 1, state.value) is Verdict.MOVED  # type: ignore[arg-type]
    assert bench.stand(rollout, board)[0] == state


@pytest.fixture
def board(bench: Bench) -> Board:
    """It runs the old version."""
    [made] = bench.devices(bench.product())
    bench.back(made, version=OLD)
    return made


@pytest.mark.parametrize("wish", ["none", "cancel"])
@pytest.mark.parametrize(("state", "runs", "outcome", "if_canceled"), OUTCOMES)
def test_what_it_runs_when_it_comes_back_decides(
    bench: Bench,
    board: Board,
    state: State,
    runs: str,
    outcome: tuple[str, str],
    if_canceled: tuple[str, str],
    wish: str,
) -> None:
    rollout = at(bench, state, board)
    if wish == "cancel":
        bench.stop(rollout)
    bench.back(board, version=runs)
    assert bench.stand(rollout, board) == (outcome if wish == "none" else if_canceled)
    assert bench.drift() == {}


@pytest.mark.parametrize("wish", ["none", "cancel"])
@pytest.mark.parametrize("runs", [OLD, NEW, THIRD])
@pytest.mark.parametrize("state", THE_SIX)
def test_a_copy_may_prove_a_success_and_never_fails_anything(
    bench: Bench, board: Board, state: State, runs: str, wish: str
) -> None:
    rollout = at(bench, state, board)
    if wish == "cancel":
        bench.stop(rollout)
    bench.copy(board, version=runs)
    assert bench.stand(rollout, board)[0] == ("succeeded" if runs == NEW else state)
    assert bench.drift() == {}


def test_the_last_try_that_breaks_off_ends_in_failure(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADING, board, attempts_limit=2)
    bench.back(board, version=OLD)
    bench.later(seconds=61)
    reach(bench, rollout, board, State.DOWNLOADED)
    bench.back(board, version=OLD)
    assert bench.stand(rollout, board) == ("failed", "install_failed")
    assert bench.rollout_state(rollout) == "finished"


def test_every_try_is_an_attempt_of_its_own(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADING, board)
    first = bench.delivery(rollout, board).attempt_id
    bench.back(board, version=OLD)
    bench.later(seconds=61)
    second = bench.poll(board).attempt_id
    assert second not in {None, first}
    assert bench.delivery(rollout, board).tries == 2


def test_version_and_build_of_the_file_must_both_come_back(bench: Bench, board: Board) -> None:
    bench.back(board, version=NEW, build=OTHER_BUILD)
    rollout = at(bench, State.DOWNLOADED, board, NEW, BUILD)
    bench.back(board, version=NEW, build="Mar 05 2024 18:29:27")
    assert bench.stand(rollout, board) == ("failed", "wrong_version")
    other = at(bench, State.DOWNLOADED, board, NEW, BUILD)
    bench.back(board, version=NEW, build=BUILD)
    assert bench.stand(other, board) == ("succeeded", "")


def test_the_version_it_ran_before_proves_nothing_until_it_has_the_whole_file(bench: Bench, board: Board) -> None:
    bench.back(board, version=NEW)
    rollout = at(bench, State.OFFERED, board)
    bench.back(board, version=NEW)
    assert bench.stand(rollout, board) == ("offered", "")
    bench.served(board, bench.delivery(rollout, board).attempt_id, State.DOWNLOADED)
    bench.back(board, version=NEW)
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_a_file_with_nothing_to_compare_is_no_success_and_not_sent_again(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADED, board, version="")
    bench.back(board, version=OLD)
    assert bench.stand(rollout, board) == ("failed", "unproven")


def test_a_return_that_says_no_version_judges_nothing(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADED, board)
    bench.back(board, rxbuff=1024)
    bench.back(board)
    assert bench.stand(rollout, board) == ("downloaded", "")


def test_a_queued_delivery_is_not_judged(bench: Bench, board: Board) -> None:
    [product] = bench.rows(select(tables.devices.c.product_id).where(tables.devices.c.id == board.id))
    rollout = bench.ship(bench.artifact(), product.product_id, [board])
    bench.back(board, version=NEW)
    assert bench.stand(rollout, board) == ("queued", "")


def test_old_and_new_in_one_batch_are_told_in_order(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADED, board)
    bench.work(Returned(board.id, {"version": OLD}, is_live=False), Returned(board.id, {"version": NEW}))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_new_and_old_again_in_one_batch_is_a_rollback(bench: Bench, board: Board) -> None:
    """The server was away for a while, the broker was not."""
    rollout = at(bench, State.DOWNLOADED, board)
    bench.work(Returned(board.id, {"version": NEW}), Returned(board.id, {"version": OLD}))
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


def test_many_devices_in_one_batch_are_each_judged_by_their_own_word(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 4)
    bench.work(*(Returned(one.id, {"version": OLD}) for one in boards))
    rollout = bench.ship(bench.artifact(), product, boards)
    for one in boards:
        reach(bench, rollout, one, State.DOWNLOADED)
    said: list[dict[str, object]] = [{"version": NEW}, {"version": OLD}, {"version": THIRD}, {}]
    bench.work(*(Returned(one.id, info) for one, info in zip(boards, said, strict=True)))
    assert [bench.stand(rollout, one) for one in boards] == [
        ("succeeded", ""),
        ("queued", "install_failed"),
        ("failed", "wrong_version"),
        ("downloaded", ""),
    ]
    assert bench.drift() == {}


def test_a_bad_word_of_one_device_does_not_touch_the_others_of_its_batch(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADED, board)
    [bad] = bench.devices(bench.product())
    jobs = [Returned(bad.id, {"version": ["a list"]}), Returned(board.id, {"version": NEW}), Returned(999_999_999, {})]
    results = device_work.work(bench.database, bench.settings, bench.now, jobs)
    assert [isinstance(result, Exception) for result in results] == [False, False, False]
    assert bench.stand(rollout, board) == ("succeeded", "")


def connection_of(bench: Bench, board: Board) -> Any:
    rows = bench.rows(select(tables.connections).where(tables.connections.c.device_id == board.id))
    return rows[0] if rows else None


def seen_at(bench: Bench, board: Board) -> list[int]:
    return [
        row.seen_at for row in bench.rows(select(tables.device_seen).where(tables.device_seen.c.device_id == board.id))
    ]


def test_a_return_is_a_sign_of_life_and_makes_the_device_due_now(bench: Bench, board: Board) -> None:
    bench.later(seconds=100)
    bench.back(board, version=OLD)
    row = connection_of(bench, board)
    assert (row.since_at, row.due_at) == (bench.now, bench.now)
    assert seen_at(bench, board) == [bench.now]


def test_a_return_that_says_rubbish_is_a_sign_of_life_too(bench: Bench) -> None:
    [made] = bench.devices(bench.product())
    device_work.work(bench.database, bench.settings, bench.now, [Returned(made.id, {"version": 7})])
    assert connection_of(bench, made).due_at == bench.now
    assert seen_at(bench, made) == [bench.now]


def test_a_copy_is_no_sign_of_life_of_now(bench: Bench, board: Board) -> None:
    bench.later(seconds=100)
    bench.copy(board, version=OLD)
    assert connection_of(bench, board).since_at == NOON
    assert seen_at(bench, board) == [NOON]


def test_a_return_whose_first_copy_was_lost_is_looked_at_all_the_same(bench: Bench) -> None:
    """The server died between hearing it and writing it; the broker sends it again, and a ping tells who is there."""
    [made] = bench.devices(bench.product())
    bench.copy(made, version=OLD)
    assert connection_of(bench, made).due_at is not None


def test_a_removed_device_comes_back_in_vain(bench: Bench, board: Board) -> None:
    bench.remove_device(board)
    bench.later(seconds=10)
    assert bench.work(Returned(board.id, {"version": NEW})) == [None]
    assert seen_at(bench, board) == [NOON]
    bench.work(Returned(board.id, {"version": NEW}, is_live=False))


def test_what_the_device_says_is_laid_over_what_was_known(bench: Bench, board: Board) -> None:
    bench.back(board, version=OLD, rxbuff=512, tmpl="TMPLabcd1234")
    bench.copy(board, rxbuff=1024)
    assert bench.tell(board) == {"version": OLD, "rxbuff": 1024, "tmpl": "TMPLabcd1234"}


def test_a_return_and_the_bytes_served_in_one_batch_count_in_the_order_of_the_world(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.DOWNLOADING, board)
    attempt = bench.delivery(rollout, board).attempt_id
    bench.work(Served(board.id, attempt, State.DOWNLOADED), Returned(board.id, {"version": NEW}))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_returns_and_reports_at_once_lose_nothing(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 12)
    bench.work(*(Returned(one.id, {"version": OLD}) for one in boards))
    rollout = bench.ship(bench.artifact(), product, boards)
    attempts = {one: bench.poll(one).attempt_id or 0 for one in boards}

    def tell() -> None:
        for one, attempt in attempts.items():
            bench.report(one, attempt, 1, "downloaded")

    def come_back() -> None:
        for one in boards:
            bench.back(one, version=NEW)

    for meanwhile in [Meanwhile(tell), Meanwhile(come_back)]:
        meanwhile.outcome()
    assert bench.states(rollout) == {"succeeded": 12}
    assert bench.drift() == {}


def arrived(topic: str, payload: bytes, *, is_live: bool = True) -> Arrived:
    return Arrived(Message(topic, payload), is_live, lambda: None)


def heard(bench: Bench, device: object, payload: bytes) -> list[Any]:
    """What a message on the device's topic does; never an exception that is not a refusal."""
    job = returned_of("airfreight", arrived(f"airfreight/{device}/info/mcu", payload))
    return device_work.work(bench.database, bench.settings, bench.now, [job] if job else [])


RUBBISH = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"{",
    b'{"ver":}',
    b"\xff\xfe\x00",
    b'{"ver":"\xff"}',
    b'{"ver":"' + b"9" * 10_000_000 + b'"}',
    b"[" * 4000,
    b'{"a":' * 800,
    b'{"ver":NaN}',
    b'{"ver":1e999}',
    b'{"ver":5}',
    b'{"ver":true}',
    b'{"ver":["2.0.0"]}',
    b'{"ver":{"a":"2.0.0"}}',
    b'{"ver":"' + b"2" * 65 + b'"}',
    b'{"ver":"2.0.0\\u0000"}',
    b'{"ver":"2.0.0\\n"}',
    b'{"ver":"\\ud800"}',
    b'{"\\ud800":1}',
    b'{"":1}',
    b'{"timeZone":"Nowhere/Land"}',
    b'{"autoUpdate":"off"}',
    b'{"component":"XYZ"}',
    b'{"ver":"2.0.0"}garbage',
]
PARTLY_RUBBISH = [
    b'{"ver":"2.0.0","x":{"deep":1}}',
    b'{"x":[1],"ver":"2.0.0"}',
    b'{"ver":"2.0.0","x":' + b"9" * 400 + b"}",
    b'{"ver":"2.0.0","' + b"k" * 129 + b'":1}',
    b'{"ver":"2.0.0","timeZone":"CEST-2"}',
    b'{"ver":"2.0.0","component":"ESP"}',
    b'{"ver":"2.0.0","autoUpdate":"off"}',
    b'{"ver":"2.0.0","note":"' + b"n" * 300 + b'"}',
    b"{" + b",".join(b'"k%d":1' % n for n in range(130)) + b',"ver":"2.0.0"}',
]


@pytest.mark.parametrize("payload", RUBBISH, ids=lambda payload: repr(payload[:30]))
def test_rubbish_changes_nothing_of_a_delivery(bench: Bench, board: Board, payload: bytes) -> None:
    rollout = at(bench, State.DOWNLOADED, board)
    before = bench.tell(board)
    heard(bench, board.id, payload)
    assert bench.stand(rollout, board) == ("downloaded", "")
    assert bench.tell(board) == before
    assert connection_of(bench, board).since_at == bench.now


@pytest.mark.parametrize("payload", PARTLY_RUBBISH, ids=lambda payload: repr(payload[:40]))
def test_what_is_good_of_a_word_counts_whatever_stands_beside_it(bench: Bench, board: Board, payload: bytes) -> None:
    """The device cannot be told what is wrong; to take nothing would send it the same file again and again."""
    rollout = at(bench, State.DOWNLOADED, board)
    with capture_own_logs() as logs:
        heard(bench, board.id, payload)
    assert bench.stand(rollout, board) == ("succeeded", "")
    [told] = [log for log in logs if log["event"] == "a part of what a device says is left out"]
    assert (told["device"], set(told["known"]) <= {"timeZone", "component"}) == (board.id, True)
    assert len(bench.tell(board)) <= 100 + 6


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b"x" * 5000, b'{"ver":5}'], ids=lambda payload: repr(payload[:9])
)
def test_a_device_that_only_said_rubbish_has_not_told_what_it_runs(bench: Bench, payload: bytes) -> None:
    """Else a condition would be weighed against nothing, and the device skipped for good."""
    product = bench.product()
    [made] = bench.devices(product)
    rollout = bench.ship(bench.artifact(), product, [made], condition=Condition.VERSION_NEWER)
    heard(bench, made.id, payload)
    assert bench.poll(made).decision.do is Do.NOTHING
    assert bench.stand(rollout, made) == ("queued", "")
    bench.back(made, version=OLD)
    assert bench.poll(made).decision.do is Do.DOWNLOAD


@pytest.mark.parametrize(
    "device",
    [
        "", "0", "-1", "+1", "1.0", "1e3", "0x1", " 1", "1 ", "1\n", "x", "999999999", "9" * 10, "9" * 5000, "2147483648",
        "١", "１", "²", "1/2", "../1", "#", "+", "\x00", "1\x00",
    ],
)  # fmt: skip
def test_an_id_that_is_nobodys_is_nobody(bench: Bench, board: Board, device: str) -> None:
    rollout = at(bench, State.DOWNLOADED, board)
    for result in heard(bench, device, b'{"ver":"2.0.0"}'):
        assert result is None
    assert bench.stand(rollout, board) == ("downloaded", "")


def test_a_device_has_one_topic_only(bench: Bench, board: Board) -> None:
    """Access lists at the broker go by the text: 007 is another user than 7."""
    rollout = at(bench, State.DOWNLOADED, board)
    heard(bench, f"00{board.id}", b'{"ver":"2.0.0"}')
    assert bench.stand(rollout, board) == ("downloaded", "")


@pytest.mark.parametrize(
    "topic",
    [
        "airfreight/{}/info", "airfreight/{}/info/", "airfreight/{}/info/mcu/", "airfreight/{}/info/MCU", "/airfreight/{}/info/mcu",
        "other/{}/info/mcu", "airfreight/{}/downlink/ota/json", "airfreight//{}/info/mcu", "{}/info/mcu", "", "/", "///", "////",
        "airfreight/{}/info/ncp",
    ],
)  # fmt: skip
def test_any_other_topic_is_not_for_the_server(board: Board, topic: str) -> None:
    assert returned_of("airfreight", arrived(topic.format(board.id), b'{"ver":"2.0.0"}')) is None


def test_the_names_of_the_contract_become_the_attributes() -> None:
    payload = b'{"tmpl":"T","ver":"0.1.2","build":"Jan 19 2024 12:25:30","type":"TY","rxbuff":1024}'
    wanted = {"tmpl": "T", "version": "0.1.2", "build": "Jan 19 2024 12:25:30", "fwType": "TY", "rxbuff": 1024}
    assert returned_of("a-b_c", arrived("a-b_c/7/info/mcu", payload)) == Returned(7, wanted)
    assert returned_of("x", arrived("x/7/info/mcu", payload, is_live=False)) == Returned(7, wanted, is_live=False)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_names = st.sampled_from(
    ["version", "build", "fwType", "board", "timeZone", "component", "autoUpdate", "x", "\ud800", "\x00", "k" * 129]
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(info=st.dictionaries(_names | st.text(max_size=70), _values, max_size=6))
def test_whatever_a_device_says_is_taken_or_refused(bench: Bench, info: dict[str, object]) -> None:
    [[made]] = [bench.devices(bench.product())]
    [result] = device_work.work(bench.database, bench.settings, bench.now, [Returned(made.id, info)])
    if isinstance(result, Exception):
        assert type(result).__name__ == "Refusal", repr(result)


def test_the_native_door_and_the_broker_are_the_same_device(bench: Bench, board: Board) -> None:
    rollout = at(bench, State.OFFERED, board)
    bench.work(SetAttributes(board.digest, {"version": NEW}), Returned(board.id, {"rxbuff": 1024}))
    assert bench.stand(rollout, board) == ("succeeded", "")
    assert bench.tell(board) == {"version": NEW, "rxbuff": 1024}
