"""Query parameters: what the framework would take for something else is refused by name; and what right words there are."""

from typing import Annotated, Literal

import msgspec
import pytest
from tests.apis.shipments.test_bad_input import EVIL, refusal
from tests.apis.site import Site

from airfreight.apis.common.body import decode
from airfreight.apis.common.choices import choices
from airfreight.apis.device.shapes import ReportsIn
from airfreight.apis.shipments.shapes import ShipmentCreate
from airfreight.domain.errors import Refusal

SHIPMENT = "/api/v1/organization/shipment"
NO_NUMBERS = [
    "1e3", "1E0", "1.0", "%2B1", "+1", "01", "-0", "0x1", "1_0", "%201", "1%20", "1%0A", "%D9%A3", "%EF%BC%91", "", "null", "NULL", "true",
    "Infinity", "NaN", "1,2", "[1]", "%00", "1%00", "%FF", "9" * 20, "9" * 5000, EVIL,
]  # fmt: skip


@pytest.mark.parametrize("number", NO_NUMBERS, ids=[one[:12] for one in NO_NUMBERS])
@pytest.mark.parametrize(
    ("path", "name"), [(SHIPMENT, "shipmentId"), ("/api/v1/devices", "after"), ("/api/v1/devices", "productId")]
)
def test_a_number_is_written_in_plain_digits(site: Site, path: str, name: str, number: str) -> None:
    assert name in refusal(site.ask("GET", f"{path}?{name}={number}"))


@pytest.mark.parametrize(
    "path", [SHIPMENT + "?shipmentId=1&shipmentId=1", SHIPMENT + "s?orgId=1&orgId=2", "/api/v1/devices?query=a&query=b"]
)
def test_a_parameter_that_is_given_twice_is_refused(site: Site, path: str) -> None:
    assert "more than once" in refusal(site.ask("GET", path))


def test_what_is_right_is_taken(site: Site) -> None:
    shipment_id = site.create()["id"]
    assert site.ask("GET", f"{SHIPMENT}?shipmentId={shipment_id}&orgId={site.organization_id}").status_code == 200
    assert site.ask("GET", f"{SHIPMENT}?shipmentId={shipment_id}&unknown=1&unknown=2").status_code == 200
    assert site.ask("GET", "/api/v1/devices?query=null").status_code == 200, "null is a word like any other in a text"


def test_a_word_that_is_none_of_the_right_ones_is_told_which_are(site: Site) -> None:
    rollout = site.create()["id"]
    for word in ("null", "NULL", EVIL, ""):
        message = refusal(site.ask("GET", f"/api/v1/rollouts/{rollout}/deliveries?state={word}"))
        assert "state" in message
        assert word.lower() == "null" or "queued, offered, downloading" in message


class Inner(msgspec.Struct):
    kind: Annotated[Literal["a", "b"], msgspec.Meta(description="words")] | None = None


class Outer(msgspec.Struct):
    one: Inner
    many: list[Inner]
    named: dict[str, Inner | None]


@pytest.mark.parametrize("path", ["$.one.kind", "$.many[3].kind", "$.named[...].kind"])
def test_the_right_words_are_found_wherever_they_are(path: str) -> None:
    assert choices(Outer, path) == ["a", "b"]


@pytest.mark.parametrize("path", ["$", "$.one", "$.nothing.kind", "$[0]", "$.many"])
def test_where_there_are_none_there_are_none(path: str) -> None:
    assert choices(Outer, path) == []


@pytest.mark.parametrize("evil", [EVIL, f"{EVIL} - at `$.title`", f"` - at `$.{EVIL}`", "\n", "' - at `$`"])
def test_the_message_has_the_right_words_and_not_the_wrong_one(evil: str) -> None:
    with pytest.raises(Refusal) as told:
        decode(
            msgspec.json.Decoder(ReportsIn), msgspec.json.encode({"reports": [{"attempt": 1, "seq": 1, "event": evil}]})
        )
    assert "canceled, downloaded" in told.value.message
    assert "reports[0].event" in told.value.message
    assert EVIL not in told.value.message
    with pytest.raises(Refusal) as told:
        decode(msgspec.json.Decoder(ShipmentCreate), msgspec.json.encode({"shipmentTime": evil}))
    assert (
        told.value.message
        == "Invalid enum value: must be ANY, NIGHT, MORNING, AFTERNOON or EVENING - at `$.shipmentTime`"
    )
