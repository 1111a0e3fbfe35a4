"""Opt-out, and the user who wants the update now; and what a newer rollout does to one under way (`in_flight`)."""

from dataclasses import replace

import pytest
from tests.make import Bench, Board

from airfreight.domain.access import Permission, Principal
from airfreight.domain.decide import Do, Mark
from airfreight.domain.delivery import State, Verdict
from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, delivery_sweeps, explanations, products
from airfreight.store import organizations, outbox

OFF = {"autoUpdate": False}


def want(bench: Bench, board: Board) -> int:
    with bench.call() as call:
        return deliveries.consent(call, board.id)


def why(bench: Bench, board: Board) -> tuple[str, Mark, str]:
    """The line of explain that decided."""
    with bench.call() as call:
        check = explanations.explain(call, board.id).decision.trace[-1]
    return check.name, check.mark, check.detail


def summary(bench: Bench, board: Board) -> str:
    with bench.call() as call:
        return explanations.explain(call, board.id).summary


@pytest.mark.parametrize(
    ("by_default", "own", "comes"),
    [
        (True, None, True),
        (True, False, False),
        (True, True, True),
        (False, None, False),
        (False, True, True),
        (False, False, False),
    ],
)
def test_the_products_default_holds_unless_the_device_has_its_own(
    bench: Bench, *, by_default: bool, own: bool | None, comes: bool
) -> None:
    product = bench.product(auto_update=by_default)
    [board] = bench.devices(product)
    bench.tell(board, autoUpdate=own)
    rollout = bench.ship(bench.artifact(), product, [board])
    told = bench.poll(board)
    assert (told.decision.do is Do.DOWNLOAD) is comes
    assert bench.stand(rollout, board) == ("offered" if comes else "queued", "")
    if not comes:
        assert why(bench, board)[:2] == ("user consent", Mark.FAIL)
        assert "user" in summary(bench, board)


def test_an_opt_out_taken_back_lets_the_update_come(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, **OFF)
    bench.ship(bench.artifact(), product, [board])
    assert bench.poll(board).decision.do is Do.NOTHING
    bench.tell(board, autoUpdate=None)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_the_product_switched_on_lets_the_update_come_and_rings(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    assert bench.poll(board).decision.do is Do.NOTHING
    before = rung(bench)
    with bench.call() as call:
        products.change(call, product, auto_update=True)
    assert rung(bench) > before
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def rung(bench: Bench) -> int:
    with bench.database.read() as connection:
        return outbox.rung(connection)


def test_a_device_that_opts_in_or_out_rings_the_bell_and_others_do_not(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    before = rung(bench)
    bench.tell(board, version="1.0.0")
    bench.back(board, version="1.0.0")
    assert rung(bench) == before
    bench.back(board, **OFF)
    assert rung(bench) == before + 1
    bench.tell(board, **OFF)
    assert rung(bench) == before + 1
    bench.tell(board, autoUpdate=None)
    assert rung(bench) == before + 2


def test_consent_lets_the_update_go_and_rings(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board, other] = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(), product, [board, other])
    before = rung(bench)
    assert want(bench, board) == bench.delivery(rollout, board).id
    assert rung(bench) == before + 1
    assert bench.poll(board).decision.do is Do.DOWNLOAD
    assert bench.poll(other).decision.do is Do.NOTHING
    assert bench.drift() == {}


@pytest.mark.parametrize("auto_update", [True, False])
def test_consent_does_not_wait_for_the_window(bench: Bench, *, auto_update: bool) -> None:
    """It is noon; the window is the night."""
    product = bench.product(auto_update=auto_update)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board], day_part=DayPart.NIGHT)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert why(bench, board)[0] == ("window open" if auto_update else "user consent")
    want(bench, board)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_without_consent_the_window_still_counts_after_the_opt_out_is_gone(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board], day_part=DayPart.NIGHT)
    bench.tell(board, autoUpdate=True)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert why(bench, board)[0] == "window open"


@pytest.mark.parametrize("day_part", [DayPart.ANY, DayPart.NIGHT])
def test_a_critical_rollout_asks_nobody(bench: Bench, day_part: DayPart) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.tell(board, **OFF)
    bench.ship(bench.artifact(), product, [board], critical=True, day_part=day_part)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_consent_does_not_help_a_device_that_does_not_fit(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(fw_type="toaster"), product, [board], check_type=True)
    bench.tell(board, version="1.0.0", fwType="kettle")
    want(bench, board)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(rollout, board) == ("skipped", "type_mismatch")


def test_consent_outlasts_a_failed_try(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    want(bench, board)
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "download_failed")
    bench.later(seconds=61)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_consent_between_two_tries_ends_the_pause(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "download_failed")
    assert why(bench, board)[0] == "retry pause"
    want(bench, board)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_consent_is_for_one_rollout(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    want(bench, board)
    bench.ship(bench.artifact("3.0.0"), product, [board])
    bench.worker().drain_outbox()
    assert bench.poll(board).decision.do is Do.NOTHING


def test_consent_goes_to_the_rollout_whose_turn_it_is(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    newer = bench.ship(bench.artifact("3.0.0"), product, [board])
    assert want(bench, board) == bench.delivery(newer, board).id


def test_wanting_it_twice_is_wanting_it_once(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact(), product, [board])
    assert want(bench, board) == want(bench, board)
    assert [(row.event, row.verdict) for row in bench.history(rollout, board)] == [
        ("consent", "moved"),
        ("consent", "noted"),
    ]
    assert bench.drift() == {}


def test_where_nothing_waits_there_is_nothing_to_want(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            want(bench, board)
        assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "nothing_waits")
        bench.stop(bench.ship(bench.artifact(), product, [board]))


def test_a_strangers_a_removed_and_a_missing_device_are_not_found(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board, removed] = bench.devices(product, 2)
    bench.ship(bench.artifact(), product, [board])
    bench.remove_device(removed)
    with bench.call() as call:
        stranger = organizations.add(call.connection, name="Strangers", parent_id=None, time_zone="", now=bench.now)
    for organization, device_id in ((stranger, board.id), (None, removed.id), (None, 999_999)):
        with pytest.raises(Refusal) as refused, bench.call(organization) as call:
            deliveries.consent(call, device_id)
        assert refused.value.kind is Kind.NOT_FOUND
    assert bench.poll(board).decision.do is Do.NOTHING


def test_who_may_only_look_may_not_want(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = bench.devices(product)
    bench.ship(bench.artifact(), product, [board])
    few = frozenset(Permission) - {Permission.DEVICE_EDIT}
    with bench.call() as call:
        somebody = replace(call, principal=Principal(call.organization_id, few, name="somebody"))
        with pytest.raises(Refusal) as refused:
            deliveries.consent(somebody, board.id)
    assert refused.value.kind is Kind.FORBIDDEN
    assert bench.poll(board).decision.do is Do.NOTHING


class TestInFlight:
    """What a newer rollout does to a delivery that its device has begun."""

    @staticmethod
    def _overtaken(bench: Bench, in_flight: str, state: State) -> tuple[int, int, Board, int]:
        object.__setattr__(bench.settings, "in_flight", in_flight)
        product = bench.product()
        board, other = bench.devices(product, 2)
        for one in (board, other):
            bench.tell(one, version="1.0.0")
        old = bench.ship(bench.artifact("2.0.0"), product, [board, other])
        attempt = bench.poll(board).attempt_id or 0
        if state is not State.OFFERED:
            bench.report(board, attempt, 1, state.value)  # type: ignore[arg-type]
        bench.poll(other)
        new = bench.ship(bench.artifact("3.0.0"), product, [board])
        bench.worker().drain_outbox()
        assert not bench.delivery(old, other).cancel_requested, "the newer one is not for this device"
        return old, new, board, attempt

    @pytest.mark.parametrize("state", [State.OFFERED, State.DOWNLOADING, State.INSTALLED, State.ACTIVATING])
    def test_finish_lets_it_end(self, bench: Bench, state: State) -> None:
        old, new, board, attempt = self._overtaken(bench, "finish", state)
        assert not bench.delivery(old, board).cancel_requested
        assert bench.poll(board).attempt_id == attempt
        assert bench.poll(board).decision.do is not Do.CANCEL
        bench.tell(board, version="2.0.0")
        assert bench.stand(old, board) == ("succeeded", "")
        told = bench.poll(board)
        assert told.row is not None
        assert told.row.rollout_id == new

    @pytest.mark.parametrize("state", [State.OFFERED, State.DOWNLOADING, State.INSTALLED, State.ACTIVATING])
    def test_cancel_asks_the_device(self, bench: Bench, state: State) -> None:
        old, new, board, attempt = self._overtaken(bench, "cancel", state)
        told = bench.poll(board)
        assert (told.attempt_id, told.decision.do) == (attempt, Do.CANCEL)
        assert bench.stand(old, board) == (state, "")
        assert bench.report(board, attempt, 9, "canceled") is Verdict.MOVED
        told = bench.poll(board)
        assert told.row is not None
        assert (told.row.rollout_id, told.decision.do) == (new, Do.DOWNLOAD)
        assert bench.drift() == {}

    def test_a_device_may_insist(self, bench: Bench) -> None:
        old, new, board, attempt = self._overtaken(bench, "cancel", State.INSTALLING)
        assert bench.report(board, attempt, 9, "cancel_refused") is Verdict.MOVED
        bench.tell(board, version="2.0.0")
        assert bench.stand(old, board) == ("succeeded", "")
        told = bench.poll(board)
        assert told.row is not None
        assert told.row.rollout_id == new

    def test_it_is_safe_to_repeat(self, bench: Bench) -> None:
        old, new, board, _ = self._overtaken(bench, "cancel", State.DOWNLOADING)
        rows = len(bench.history(old, board))
        delivery_sweeps.supersede(bench.database, bench.settings, new, bench.now)
        assert len(bench.history(old, board)) == rows
        assert bench.drift() == {}

    def test_a_queued_one_is_skipped_not_canceled(self, bench: Bench) -> None:
        object.__setattr__(bench.settings, "in_flight", "cancel")
        product = bench.product()
        [board] = bench.devices(product)
        old = bench.ship(bench.artifact("2.0.0"), product, [board])
        bench.ship(bench.artifact("3.0.0"), product, [board])
        bench.worker().drain_outbox()
        assert bench.stand(old, board) == ("skipped", "superseded")

    def test_one_that_queues_is_left_alone(self, bench: Bench) -> None:
        object.__setattr__(bench.settings, "in_flight", "cancel")
        product = bench.product()
        [board] = bench.devices(product)
        old = bench.ship(bench.artifact("2.0.0"), product, [board], on_conflict="queue")
        bench.poll(board)
        bench.ship(bench.artifact("3.0.0"), product, [board])
        bench.worker().drain_outbox()
        assert not bench.delivery(old, board).cancel_requested
