"""configData: what devices say of themselves, and how little of it can go wrong."""

from typing import Any

import pytest
from tests.apis.ddi.door import Tenant, error_code

PATH = "/configData"


def attributes(tenant: Tenant) -> dict[str, Any]:
    found: dict[str, Any] = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()["attributes"]
    return found


def refused(tenant: Tenant, body: Any) -> tuple[int, str]:
    answer = tenant.ask("PUT", PATH, json=body)
    assert answer.status_code >= 400, (body, answer.status_code)
    return answer.status_code, error_code(answer)


def test_what_is_told_is_laid_over_what_is_known(tenant: Tenant) -> None:
    answer = tenant.ask("PUT", PATH, json={"mode": "merge", "data": {"VIN": "1", "hwRevision": "2"}})
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert tenant.tell(hwRevision="3") == 200
    assert attributes(tenant) == {"VIN": "1", "hwRevision": "3"}


def test_replace_leaves_nothing_else(tenant: Tenant) -> None:
    tenant.tell(VIN="1", version="1.0.0", fwType="b")
    assert tenant.put({"colour": "red"}, mode="replace") == 200
    assert attributes(tenant) == {"colour": "red"}


def test_remove_takes_out_what_it_names(tenant: Tenant) -> None:
    tenant.tell(VIN="1", version="1.0.0", colour="red")
    assert tenant.put({"VIN": "whatever", "version": "", "nothing": "x"}, mode="remove") == 200
    assert attributes(tenant) == {"colour": "red"}


def test_null_removes_one(tenant: Tenant) -> None:
    tenant.tell(VIN="1", colour="red")
    assert tenant.tell(VIN=None) == 200
    assert attributes(tenant) == {"colour": "red"}


def test_a_mode_that_is_null_is_merge(tenant: Tenant) -> None:
    tenant.tell(VIN="1")
    assert tenant.status("PUT", PATH, json={"mode": None, "data": {"colour": "red"}}) == 200
    assert attributes(tenant) == {"VIN": "1", "colour": "red"}


def test_numbers_and_truths_are_taken_as_the_texts_they_look_like(tenant: Tenant) -> None:
    assert tenant.tell(n=5, x=1.5, yes=True, empty="", version=2) == 200
    assert attributes(tenant) == {"n": "5", "x": "1.5", "yes": "true", "empty": "", "version": "2"}


def test_a_well_known_name_that_means_something_else_there_is_left_out(tenant: Tenant) -> None:
    assert tenant.tell(VIN="1", component="motor", timeZone="nowhere", autoUpdate="no", version="v" * 65) == 200
    assert attributes(tenant) == {"VIN": "1"}


def test_the_whole_body_of_a_client_in_the_field_is_taken(tenant: Tenant) -> None:
    body = {
        "id": "",
        "time": "20261121T192253",
        "status": {"result": {"finished": "success"}, "execution": "closed", "details": [""]},
        "data": {"serialNo": "0001", "hwId": "sim"},
    }
    assert tenant.status("PUT", PATH, json=body) == 200
    assert attributes(tenant) == {"serialNo": "0001", "hwId": "sim"}


def test_names_and_values_have_128_characters_of_any_script(tenant: Tenant) -> None:
    long = "\U0001f680" * 128
    assert tenant.put({long: long, "k" * 128: "<b>&amp;</b>"}) == 200
    assert attributes(tenant) == {long: long, "k" * 128: "<b>&amp;</b>"}


def test_what_can_be_no_attribute_is_400_and_nothing_of_it_is_kept(tenant: Tenant) -> None:
    for data in (
        {"k" * 129: "v"}, {"k": "v" * 129}, {"": "v"}, {"a\nb": "v"}, {"k": "a\x00b"}, {"k": "\x1b[2J"}, {"k": "a\u202eb"},
        {"k\x7f": "v"}, {"k": "a\tb"},
    ):  # fmt: skip
        assert (data, refused(tenant, {"data": {"good": "1", **data}})) == (data, (400, "repo.invalidTargetAttributes"))
    assert attributes(tenant) == {}
    assert tenant.put({"a\x00b": "x"}, mode="remove") == 400


def test_what_is_no_body_of_attributes_is_400(tenant: Tenant) -> None:
    body: Any
    for body in (
        {}, {"mode": "merge"}, {"data": {}}, {"data": None}, {"data": []}, {"data": "x"}, [], "x", 5,
        {"mode": "add", "data": {"a": "b"}}, {"mode": "MERGE", "data": {"a": "b"}}, {"mode": 1, "data": {"a": "b"}},
        {"mode": ["merge"], "data": {"a": "b"}}, {"data": {"a": {}}}, {"data": {"a": ["b"]}},
    ):  # fmt: skip
        assert (body, refused(tenant, body)) == (body, (400, "rest.body.notReadable"))
    for content in (b"", b"null", b"{", b'{"data":{"a":"\xff"}}', b'{"data":{"a":"\\ud800"}}'):
        answer = tenant.ask("PUT", PATH, headers={"Content-Type": "application/json"}, content=content)
        assert (content, answer.status_code) == (content, 400)
    assert attributes(tenant) == {}


@pytest.mark.parametrize(
    "content_type", ["application/hal+json", "text/plain", "", "application/x-www-form-urlencoded"]
)
def test_another_type_is_415(tenant: Tenant, content_type: str) -> None:
    answer = tenant.ask("PUT", PATH, headers={"Content-Type": content_type}, content=b'{"data":{"a":"b"}}')
    assert answer.status_code == 415


def test_a_body_that_is_too_large_is_413(tenant: Tenant) -> None:
    answer = tenant.ask("PUT", PATH, json={"data": {"a": "b"}, "more": "x" * 256 * 1024})
    assert (answer.status_code, error_code(answer)) == (413, "rest.body.notReadable")
    assert attributes(tenant) == {}


def test_more_than_100_are_429_with_a_time_to_come_back(tenant: Tenant) -> None:
    assert tenant.put({f"k{i}": "v" for i in range(100)}) == 200
    answer = tenant.ask("PUT", PATH, json={"data": {"one": "more"}})
    assert (answer.status_code, error_code(answer)) == (429, "quota.tooManyEntries")
    assert int(answer.headers["retry-after"]) > 0
    assert tenant.tell(k0=None, one="more", version="1.0.0") == 200
    assert len(attributes(tenant)) == 101


def test_telling_nothing_new_takes_the_link_away_too(tenant: Tenant) -> None:
    tenant.change_device(tenant.board, attributes='{"VIN":"1"}', attributes_at=None)
    assert "configData" in tenant.links()
    assert tenant.tell(VIN="1") == 200
    assert tenant.links() == {}


def test_what_is_refused_leaves_the_link(tenant: Tenant) -> None:
    tenant.change_device(tenant.board, attributes_at=None)
    assert tenant.put({"": "x"}) == 400
    assert "configData" in tenant.links()


def test_a_version_that_it_tells_is_the_devices(tenant: Tenant) -> None:
    assert tenant.tell(version="1.2.3") == 200
    assert tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()["version"] == "1.2.3"
