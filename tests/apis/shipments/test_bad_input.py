"""Everything that can be wrong with a request of the Shipments door, and the one shape of the answer."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.apis.shipments.contract import REQUEST, Json
from tests.apis.site import Site
from tests.make import Stored

PATH = "/api/v1/organization/shipment"
CREATE = PATH + "/create"
EVIL = "Ev1l-input-42"
NOT_TEXT: list[Any] = [None, 1, 1.5, True, [], {}, [EVIL]]
NOT_A_NUMBER: list[Any] = [None, EVIL, "1", 1.5, True, [], {}]
NOT_A_SWITCH: list[Any] = [None, 0, 1, EVIL, "true", []]
NOT_A_WORD: list[Any] = [None, 1, EVIL, "any", "", []]
BLANK = ["", " ", "\u00a0 \u3000"]
CONTROL = ["\x00", "a\x00b", "a\nb", "\x1b[31m", "\u202eb", "\x7f"]


def too_large(bits: int) -> list[int]:
    return [2 ** (bits - 1), -1, 2**64, 10**30]


WRONG: dict[str, list[Any]] = {
    "title": [*NOT_TEXT, *BLANK, "x" * 201, *CONTROL],
    "pathToFirmware": [*NOT_TEXT, "", "x" * 201, EVIL, "/static/../../etc/passwd", *CONTROL],
    "firmwareOriginalFileName": [*NOT_TEXT, *BLANK, "x" * 256, "..", ".", "a/", *CONTROL],
    "host": [*NOT_TEXT, "x" * 256, EVIL + "/path", "a b", "user@host", "host:0", "host:65536", *CONTROL],
    "orgId": [*NOT_A_NUMBER, 0, *too_large(32)],
    "productId": [*NOT_A_NUMBER, 0, *too_large(32)],
    "attemptsLimit": [*NOT_A_NUMBER, 0, *too_large(32)],
    "attemptResetPeriodMs": [*NOT_A_NUMBER, 0, *too_large(64)],
    "isSecure": NOT_A_SWITCH,
    "isCritical": NOT_A_SWITCH,
    "skipFwTypeCheck": NOT_A_SWITCH,
    "shipmentTime": NOT_A_WORD,
    "compareField": NOT_A_WORD,
    "deviceIds": [None, 1, EVIL, {}, [None], ["1"], [1.5], [True], [0], [-1], [2**31], [[1]], list(range(1, 100_002))],
    "firmwareInfo": [None, 1, EVIL, [], True],
}
WRONG_INFO: dict[str, list[Any]] = {
    **{
        name: [*NOT_TEXT, "x" * 65, *CONTROL]
        for name in ("version", "blynkVersion", "fwType", "boardType", "buildDate")
    },
    "md5Hash": [*NOT_TEXT, EVIL, "x" * 32, "0" * 33, "0" * 31],
    "sha256Hash": [*NOT_TEXT, EVIL, "0" * 44, "A" * 43, "A" * 43 + "==", "é" * 44],
    "type": NOT_A_WORD,
    "fileSize": [*NOT_A_NUMBER, *too_large(32)],
}


@pytest.fixture
def artifact(site: Site) -> Stored:
    return site.artifact()


def refusal(answer: httpx.Response, status: int = 400) -> str:
    """The message, when the answer is an error in exactly the contract's shape."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    body = answer.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"message"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-error-code"]
    message = body["error"]["message"]
    assert isinstance(message, str)
    assert message
    assert EVIL not in answer.text
    return message


def wrong_bodies(site: Site, artifact: Stored) -> Iterator[tuple[str, Json]]:
    good = site.create_body(artifact)
    for name, values in WRONG.items():
        yield from ((name, {**good, name: value}) for value in values)
    for name, values in WRONG_INFO.items():
        yield from ((name, {**good, "firmwareInfo": {name: value}}) for value in values)
    for name in REQUEST["required"]:
        yield name, {key: value for key, value in good.items() if key != name}
    for name in ("sendPush", "id", "status", "organization"):
        yield name, {**good, name: False}
    yield "sha1", {**good, "firmwareInfo": {"sha1": "x"}}


def test_the_tables_have_every_field_of_the_contract() -> None:
    assert WRONG.keys() == REQUEST["properties"].keys()


def test_every_wrong_field_is_refused_by_name_and_nothing_is_made(site: Site, artifact: Stored) -> None:
    wrong = []
    with capture_logs() as logs:
        for name, body in wrong_bodies(site, artifact):
            answer = site.ask("POST", CREATE, content=json.dumps(body), headers={"Content-Type": "application/json"})
            try:
                assert name in refusal(answer)
            except AssertionError as error:
                wrong.append((name, str(body.get(name, body["firmwareInfo"]))[:60], str(error)[:200]))
    assert wrong == []
    assert [log for log in logs if log["log_level"] != "info"] == [], "what a client sends is nothing for the log"
    assert site.ask("GET", PATH + "s").json() == []


def test_an_unknown_field_is_not_repeated_when_it_is_not_a_plain_word(site: Site, artifact: Stored) -> None:
    for name in (EVIL * 20, f"<script>{EVIL}</script>", f"a`b {EVIL}"):
        refusal(site.ask("POST", CREATE, json={**site.create_body(artifact), name: 1}))


BODIES = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}}", b'{"title": "\xff"}', b'{"title": "\\ud800"}', b'{"title": NaN}',
    b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 100_000, b'{"title":"a","title":', b"\x00",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=[repr(body[:16]) for body in BODIES])
def test_what_is_not_the_json_of_a_shipment_is_refused(site: Site, body: bytes) -> None:
    refusal(site.ask("POST", CREATE, content=body, headers={"Content-Type": "application/json"}))


def test_a_body_without_a_content_type_is_taken_as_json(site: Site, artifact: Stored) -> None:
    content = json.dumps(site.create_body(artifact)).encode()
    assert site.ask("POST", CREATE, content=content).status_code == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_another_content_type_is_refused(site: Site, artifact: Stored, kind: str) -> None:
    content = json.dumps(site.create_body(artifact)).encode()
    refusal(site.ask("POST", CREATE, content=content, headers={"Content-Type": kind}), 415)


def test_a_body_that_is_too_large_is_refused(site: Site, artifact: Stored) -> None:
    large = json.dumps(site.create_body(artifact, title="x" * (2 * 1024**2))).encode()
    refusal(site.ask("POST", CREATE, content=large), 413)

    def in_pieces() -> Iterator[bytes]:
        yield from (large[start : start + 65_536] for start in range(0, len(large), 65_536))

    refusal(site.ask("POST", CREATE, content=in_pieces()), 413)


NUMBERS = ["", "abc", "1.5", "0", "-1", "0x1", " ", "1 2", "None", "true", str(2**63), "9" * 5000, "%00"]
WITH_ID = [("GET", PATH), ("DELETE", PATH), ("PUT", PATH + "/stop")]


@pytest.mark.parametrize(("method", "path"), WITH_ID)
def test_a_wrong_shipment_id_is_refused_by_name(site: Site, method: str, path: str) -> None:
    assert "shipmentId" in refusal(site.ask(method, path))
    for number in NUMBERS:
        answer = site.ask(method, f"{path}?shipmentId={number}")
        assert answer.status_code == 400, (number, answer.text)
        assert "shipmentId" in refusal(answer), number


@pytest.mark.parametrize(("method", "path"), [*WITH_ID, ("GET", PATH + "s")])
def test_a_wrong_organization_id_is_refused_by_name(site: Site, method: str, path: str) -> None:
    for number in [*NUMBERS, str(2**31)]:
        answer = site.ask(method, f"{path}?shipmentId=1&orgId={number}")
        assert answer.status_code == 400, (number, answer.text)
        assert "orgId" in refusal(answer), number


@pytest.mark.parametrize(("method", "path"), WITH_ID)
@pytest.mark.parametrize("number", [1, 2**31 - 1, 2**31, 2**53, 2**63 - 1])
def test_an_id_that_nothing_has_is_not_found(site: Site, method: str, path: str, number: int) -> None:
    refusal(site.ask(method, path, params={"shipmentId": number}), 404)


def test_unknown_products_and_devices(site: Site, artifact: Stored) -> None:
    refusal(site.ask("POST", CREATE, json=site.create_body(artifact, productId=2**31 - 1)), 404)
    message = refusal(site.ask("POST", CREATE, json=site.create_body(artifact, deviceIds=[2**31 - 1])))
    assert "deviceIds" in message
    assert str(2**31 - 1) in message
    body = site.create_body(artifact)
    del body["productId"]
    assert "productId" in refusal(site.ask("POST", CREATE, json=body))


def test_unknown_addresses_and_methods(site: Site) -> None:
    for path in ("/api/v1/organization/shipment/1", "/api/v1/organization/shipment/pause", "/api/v1/organization/x"):
        refusal(site.ask("GET", path), 404)
    for method, path, allowed in (
        ("POST", PATH, {"GET", "DELETE"}),
        ("GET", CREATE, {"POST"}),
        ("POST", PATH + "/stop", {"PUT"}),
        ("DELETE", PATH + "s", {"GET"}),
        ("GET", "/api/upload", {"POST"}),
    ):
        answer = site.ask(method, path)
        refusal(answer, 405)
        assert {word.strip() for word in answer.headers["allow"].split(",")} - {"OPTIONS", "HEAD"} == allowed
