"""A rollout whose type check could pass on none of its devices is not made; one that may pass on any is."""

import pytest
from sqlalchemy import select, update
from tests.make import Bench, Board

from airfreight.domain.errors import Kind, Refusal
from airfreight.services import rollouts
from airfreight.services.artifacts import Confirmed
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import tables

FILE = Confirmed("2.0.0", "", "lamp", "ESP32", "", "MCU")
FITS = {"fwType": "lamp", "board": "ESP32", "component": "MCU"}


def ship(
    bench: Bench,
    to: list[Board],
    confirmed: Confirmed = FILE,
    *,
    check: bool = True,
    product: int = 0,
    origin: str = "shipments",
) -> int:
    artifact = bench.artifact("2.0.0")
    with bench.call() as call:
        return rollouts.create(
            call,
            origin=origin,
            title="t",
            product_id=product or None,
            device_ids=[board.id for board in to],
            cargo=[Cargo(artifact.id, "image.bin", confirmed)],
            policy=Policy(check_type=check),
        )


def refusal(bench: Bench, to: list[Board], confirmed: Confirmed = FILE, origin: str = "shipments") -> str:
    before = bench.rows(select(tables.rollouts.c.id))
    with pytest.raises(Refusal) as refused:
        ship(bench, to, confirmed, origin=origin)
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID, "never_matches")
    assert bench.rows(select(tables.rollouts.c.id)) == before
    return refused.value.message


@pytest.mark.parametrize(
    ("reported", "fields"),
    [
        ({"fwType": "toaster"}, "fwType"),
        ({"fwType": None}, "fwType"),
        ({"board": "ESP8266"}, "boardType"),
        ({"component": "NCP"}, "type"),
        ({"fwType": "toaster", "board": "ESP8266", "component": "NCP"}, "fwType, boardType, type"),
    ],
)
def test_what_contradicts_is_named_by_field_and_never_by_value(
    bench: Bench, reported: dict[str, str], fields: str
) -> None:
    boards = bench.devices(bench.product(), 3)
    for board in boards:
        bench.tell(board, **FITS | reported)
    message = refusal(bench, boards)
    assert f"none of the 3 devices: what they report contradicts it in {fields}. " in message
    assert "skipFwTypeCheck (--skip-type-check)" in message
    assert not any(value and value in message for value in [*reported.values(), "lamp", "ESP32"])


def test_how_to_do_without_the_check_is_said_in_the_words_of_the_door(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    bench.tell(board, **FITS | {"fwType": "toaster"})
    message = refusal(bench, [board], origin="native")
    assert "leave checkType (--check-type) out" in message
    assert "skipFwTypeCheck" not in message


def test_devices_that_differ_in_different_ways_name_all_fields(bench: Bench) -> None:
    boards = bench.devices(bench.product(), 2)
    bench.tell(boards[0], **FITS | {"board": "ESP8266"})
    bench.tell(boards[1], **FITS | {"fwType": "toaster"})
    assert "in fwType, boardType. " in refusal(bench, boards)


@pytest.mark.parametrize(
    ("reported", "confirmed"),
    [
        (FITS, FILE),
        (FITS | {"board": "esp32"}, FILE),
        (FITS | {"board": ""}, FILE),
        (FITS | {"board": "Other"}, FILE),
        (FITS | {"component": ""}, FILE),
        (FITS | {"board": "ESP8266"}, Confirmed("2.0.0", "", "lamp", "", "", "MCU")),
        (FITS | {"board": "ESP8266"}, Confirmed("2.0.0", "", "lamp", "other", "", "MCU")),
        (FITS | {"component": "NCP"}, Confirmed("2.0.0", "", "lamp", "ESP32", "", "")),
    ],
)
def test_what_is_unknown_on_either_side_contradicts_nothing(
    bench: Bench, reported: dict[str, str], confirmed: Confirmed
) -> None:
    [board] = bench.devices(bench.product())
    bench.tell(board, **reported)
    rollout = ship(bench, [board], confirmed)
    assert bench.poll(board).attempt_id is not None
    assert bench.stand(rollout, board) == ("offered", "")


def test_one_device_that_may_fit_is_enough(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 3)
    for board in boards[:2]:
        bench.tell(board, **FITS | {"fwType": "toaster"})
    assert ship(bench, boards)  # the third has not reported yet
    bench.tell(boards[2], **FITS | {"fwType": "toaster"})
    refusal(bench, boards)
    bench.tell(boards[2], **FITS)
    assert ship(bench, boards)


def test_a_whole_product_may_get_fitting_devices_later(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, **FITS | {"fwType": "toaster"})
    assert ship(bench, [], product=product)


def test_without_the_type_check_nothing_is_looked_at(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    bench.tell(board, **FITS | {"fwType": "toaster", "board": "ESP8266", "component": "NCP"})
    assert ship(bench, [board], check=False)
    assert ship(bench, [board], Confirmed("2.0.0", "", "", "", ""), check=False)


def test_a_file_without_a_type_is_refused_first(bench: Bench) -> None:
    product = bench.product()
    bench.devices(product)
    with pytest.raises(Refusal) as refused:
        ship(bench, [], Confirmed("2.0.0", "", "", "ESP32", ""), product=product)
    assert refused.value.code == "type_unknown"


def test_what_the_check_refuses_the_decision_would_have_skipped(bench: Bench) -> None:
    """The same files and devices, made before the devices reported: each is skipped for its type."""
    product = bench.product()
    boards = bench.devices(product, 3)
    rollout = ship(bench, boards)
    for board, wrong in zip(boards, ({"fwType": "toaster"}, {"board": "ESP8266"}, {"component": "NCP"}), strict=True):
        bench.tell(board, **FITS | wrong)
        bench.poll(board)
        assert bench.stand(rollout, board) == ("skipped", "type_mismatch")
        refusal(bench, [board])


def test_the_component_is_kept_with_the_rollout(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = ship(bench, [board], Confirmed("2.0.0", "", "lamp", "", "", "NCP"))
    table = tables.rollout_artifacts
    [row] = bench.rows(select(table.c.component).where(table.c.rollout_id == rollout))
    assert row.component == "NCP"


def test_of_more_devices_than_one_statement_takes_one_is_enough(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 10_000) + bench.devices(product, 1)
    with bench.call() as call:
        call.connection.execute(update(tables.devices).values(fw_type="toaster", attributes_at=1))
    assert "none of the 10001 devices" in refusal(bench, boards)
    for board in (boards[0], boards[-1]):
        bench.tell(board, fwType="lamp")
        assert ship(bench, boards)
        bench.tell(board, fwType="toaster")
