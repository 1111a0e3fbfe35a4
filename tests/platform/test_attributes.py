"""How what a device sends is laid over what is stored. Pure."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfreight.domain.errors import Kind, Refusal
from airfreight.services import attributes
from airfreight.services.attributes import Merged, merge


def test_well_known_ones_go_to_columns_and_others_stay_together() -> None:
    merged = merge(
        '{"a":1,"b":2}', {"version": "1", "fwType": "T", "blynkVersion": "L", "b": "x", "c": True, "build": None}
    )
    assert merged.columns == {"version": "1", "fw_type": "T", "library_version": "L", "build": ""}
    assert json.loads(merged.json) == {"a": 1, "b": "x", "c": True}


def test_null_removes_and_removing_what_is_not_there_is_fine() -> None:
    assert merge('{"a":1}', {"a": None, "b": None, "timeZone": None}) == Merged({"time_zone": ""}, "{}")


def test_the_same_attributes_give_the_same_text_in_any_order() -> None:
    assert merge("{}", {"b": 1, "a": 2}).json == merge('{"b":1}', {"a": 2}).json


@pytest.mark.parametrize(
    "value", ["", "x" * 256, "😀" * 256, "a\nb", "\0", True, False, 0, -1, 2**53, -(2**53), 1.5, -0.0, 1e300]
)
def test_values_within_bounds_are_kept_as_they_are(value: Any) -> None:
    kept = json.loads(merge("{}", {"k": value}).json)["k"]
    assert kept == value
    assert type(kept) is type(value)


def test_auto_update_and_component_are_well_known() -> None:
    merged = merge("{}", {"autoUpdate": False, "component": "NCP"})
    assert merged == Merged({"auto_update": False, "component": "NCP"}, "{}")
    assert merge("{}", {"autoUpdate": None, "component": None}).columns == {"auto_update": None, "component": ""}
    assert merge("{}", {"component": ""}).columns == {"component": ""}


BAD: list[dict[str, Any]] = [
    {"k": "x" * 257},
    {"k": 2**53 + 1},
    {"k": -(2**53) - 1},
    {"k": float("nan")},
    {"k": float("inf")},
    {"k": []},
    {"k": {}},
    {"k": b"x"},
    {"k": "\ud800"},
    {"": 1},
    {"x" * 129: 1},
    {"a\nb": 1},
    {"\0": 1},
    {"\ud800": 1},
    {"": None},
    {"version": 1},
    {"version": True},
    {"version": "x" * 65},
    {"version": "1\0"},
    {"fwType": "a\nb"},
    {"board": []},
    {"timeZone": "Mars/Olympus"},
    {"component": "GPU"},
    {"component": "mcu"},
    {"component": True},
    {"autoUpdate": "true"},
    {"autoUpdate": 1},
    {"autoUpdate": []},
    {"timeZone": "../../etc/passwd"},
    {"timeZone": "/etc/passwd"},
    {f"k{i}": i for i in range(101)},
]


@pytest.mark.parametrize("given_", BAD)
def test_what_is_out_of_bounds_is_refused_without_repeating_it(given_: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as caught:
        merge("{}", {"good": 1, **given_})
    assert caught.value.kind is Kind.INVALID
    assert "passwd" not in caught.value.message
    assert "xxx" not in caught.value.message


def test_a_full_device_can_change_and_remove_but_not_add() -> None:
    full = json.dumps({f"k{i}": i for i in range(100)})
    assert json.loads(merge(full, {"k0": "new", "version": "1"}).json)["k0"] == "new"
    assert len(json.loads(merge(full, {"k0": None, "more": 1}).json)) == 100
    with pytest.raises(Refusal):
        merge(full, {"more": 1})


KEYS = st.text(min_size=1, max_size=128).filter(lambda key: key.isprintable() and key not in attributes.WELL_KNOWN)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
GIVEN = st.dictionaries(KEYS, VALUES, max_size=20)


@given(GIVEN, GIVEN)
def test_merging_is_laying_one_over_the_other(first: dict[str, Any], second: dict[str, Any]) -> None:
    stored = merge(merge("{}", first).json, second).json
    expected = {key: value for key, value in {**first, **second}.items() if value is not None}
    assert json.loads(stored) == expected
    assert merge(stored, second).json == stored
