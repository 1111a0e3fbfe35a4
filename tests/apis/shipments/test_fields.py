"""createShipment, field by field: everything that can be wrong with it is 400, names it and says what would be right.

Nothing is left of a refused one: every table is looked at.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.apis.shipments.contract import CONTRACT, REQUEST
from tests.apis.site import Json, Site
from tests.make import Stored

from airfreight.store import tables

CREATE = "/api/v1/organization/shipment/create"
EVIL = "Ev1l-input-43"
Case = tuple[Any, str]
"""A wrong value, and words that the message must have."""

HOUSEKEEPING = {"device_seen", "leases", "outbox", "signals"}
"""Tables that the server itself writes to at any time."""


def types_but(right: str, *kinds: type) -> list[Case]:
    """One value of every JSON type that is not `right`."""
    values = [None, True, False, 0, 7, -1, 1.5, -0.5, "", EVIL, [], [EVIL], {}, {EVIL: 1}]
    return [(value, f"`{right}`") for value in values if type(value) not in kinds]


def text(most: int, least: int = 0) -> list[Case]:
    """Wrong types, sizes and characters of a text."""
    odd = ["\x00", "\n", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"]
    sizes: list[Case] = [("x" * (most + 1), f"length <= {most}"), ("é" * (most + 1), f"length <= {most}")]
    sizes += [("😀" * (most + 1), f"length <= {most}"), ("x" * 100_000, f"length <= {most}")]
    if least:
        sizes.append(("", f"length >= {least}"))
    return [
        *types_but("str", str),
        *sizes,
        *((f"a{one}b", "without control characters") for one in odd),
        *((one, "without control characters") for one in odd[:2]),
    ]


def number(least: int, most: int) -> list[Case]:
    """Wrong types and ranges of a whole number; texts of numbers are no numbers."""
    as_text: list[Case] = [(one, "`int`") for one in ("1", "0x1", "1e3", "١", " 1")]
    floats: list[Case] = [(one, "`int`") for one in (1.0, 1e300, 5e-324)]
    low: list[Case] = [(one, f">= {least}") for one in (least - 1, -(2**31) - 1, -(2**63))]
    high: list[Case] = [(one, f"<= {most}") for one in (most + 1, 2**63 - 1, 2**63, 2**64 - 1) if one > most]
    return [*types_but("int", int), *as_text, *floats, *low, *high, (2**64, "`int`"), (-(10**40), "`int`")]


def words(*right: str) -> list[Case]:
    near = [
        "",
        EVIL,
        right[0].lower(),
        right[0] + " ",
        " " + right[0],
        right[0][:-1],
        "null",
        "0",
        right[0] + "\x00",
        "Ａ" + right[0][1:],
    ]
    return [*types_but("str", str), *((one, word) for one in near for word in right)]


SWITCH = types_but("bool", bool)
ADDRESS = "must be a domain name"
PATHS = [
    EVIL,
    "/static/../../etc/passwd",
    "/static/fw_1_2.bin",
    "http://x/y",
    "/static/fw_é_1.bin",
    "'; DROP TABLE x; --",
    "%00",
    "/",
]
HOSTS = [
    f"{EVIL}/path",
    "a b",
    "user@host",
    "host:0",
    "host:65536",
    "host:99999999999",
    "-a.com",
    "a..b",
    "x" * 64 + ".com",
    "ftp://a.com",
    "http://",
    "https:///",
    "/",
]
HOSTS += [
    "a.com/x",
    "a.com?x",
    "a.com#x",
    "a_b.com",
    "é.com",
    "[::1]",
    "a.com:",
    ":80",
    "host:1e3",
    "a\\b",
    "javascript:alert(1)",
    ".",
]
NAMES = ["..", ".", "a/", "/", " ", "a\\"]
VERSIONS = ("version", "blynkVersion", "fwType", "boardType", "buildDate")

FIELDS: dict[str, list[Case]] = {
    "orgId": number(1, 2**31 - 1),
    "productId": number(1, 2**31 - 1),
    "shipmentTime": words("ANY", "NIGHT", "MORNING", "AFTERNOON", "EVENING"),
    "title": text(200, 1),
    "pathToFirmware": [*text(200, 1), *((one, "upload") for one in PATHS)],
    "firmwareOriginalFileName": [*text(255, 1), *((one, "firmwareOriginalFileName") for one in NAMES)],
    "host": [*text(255), *((one, ADDRESS) for one in HOSTS)],
    "deviceIds": [
        *types_but("array", list),
        *(([value], "`int`") for value, _ in types_but("int", int)),
        *(([1, value], word) for value, word in number(1, 2**31 - 1)[-6:]),
        ([0], ">= 1"),
        ([2**31], f"<= {2**31 - 1}"),
        (list(range(1, 100_002)), "length <= 100000"),
    ],
    "firmwareInfo": types_but("object", dict),
    "attemptsLimit": number(1, 1000),
    "attemptResetPeriodMs": number(1000, 10 * 366 * 86_400_000),
    "isSecure": SWITCH,
    "skipFwTypeCheck": SWITCH,
    "isCritical": SWITCH,
    "compareField": words(
        "NO_CONDITION", "BUILD_DATE_DIFFERS", "EARLIER_BUILD_DATE", "LATEST_FIRMWARE_VERSION", "LATEST_BLYNK_VERSION"
    ),
}
INFO: dict[str, list[Case]] = {
    **{name: text(64) for name in VERSIONS},
    "md5Hash": [*text(32), *((one, "32 hexadecimal digits") for one in (EVIL, "0" * 31, "g" * 32, "٠" * 32, " " * 32))],
    "sha256Hash": [*text(44), *((one, "base64 of 32 bytes") for one in (EVIL, "A" * 43, "A" * 42 + "==", "é" * 44, "-" * 43 + "=", "0" * 44))],
    "type": words("NCP", "MCU"),
    "fileSize": number(0, 2**31 - 1),
}  # fmt: skip
ALL = [("", name) for name in FIELDS] + [("firmwareInfo", name) for name in INFO]
TEXTS = [
    (inside, name) for inside, name in ALL if any(word == "without control characters" for _, word in (INFO if inside else FIELDS)[name])
]  # fmt: skip


@pytest.fixture
def artifact(site: Site) -> Stored:
    return site.artifact()


def rows(site: Site) -> dict[str, int]:
    with site.database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
            if table.name not in HOUSEKEEPING
        }


def placed(good: Json, inside: str, name: str, value: Any) -> Json:
    return {**good, inside: {name: value}} if inside else {**good, name: value}


def refusals(site: Site, bodies: Iterable[tuple[bytes, str, str]]) -> Iterator[str]:
    """What is wrong with the answers to (body, name of the field, other words of the message)."""
    for body, name, word in bodies:
        answer = site.ask("POST", CREATE, content=body, headers={"Content-Type": "application/json"})
        shape = answer.json() if answer.headers.get("content-type") == "application/json" else {}
        message = str(shape.get("error", {}).get("message", "")) if isinstance(shape.get("error"), dict) else ""
        good = (
            answer.status_code == 400
            and shape == {"error": {"message": message}}
            and answer.headers.get("x-error-code")
        )
        if not (good and name in message and word in message) or EVIL in answer.text:
            yield f"{body[:150]!r}: {answer.status_code} {answer.text[:200]} ({name}, {word})"


def test_the_tables_have_every_field_of_the_contract() -> None:
    assert FIELDS.keys() == REQUEST["properties"].keys()
    assert INFO.keys() == CONTRACT["components"]["schemas"]["FirmwareInfo"]["properties"].keys()
    assert len(TEXTS) == 4 + len(VERSIONS) + 2


@pytest.mark.parametrize(("inside", "name"), ALL, ids=[".".join(filter(None, one)) for one in ALL])
def test_a_wrong_field_is_named_and_told_what_is_right(site: Site, artifact: Stored, inside: str, name: str) -> None:
    good, before = site.create_body(artifact), rows(site)
    cases = (INFO if inside else FIELDS)[name]
    bodies = [(json.dumps(placed(good, inside, name, value)).encode(), name, word) for value, word in cases]
    assert list(refusals(site, bodies)) == []
    assert rows(site) == before, "nothing is made"


@pytest.mark.parametrize(("inside", "name"), TEXTS, ids=[".".join(filter(None, one)) for one in TEXTS])
def test_a_text_that_is_no_unicode_is_refused(site: Site, artifact: Stored, inside: str, name: str) -> None:
    good, before = site.create_body(artifact), rows(site)
    sound = json.dumps(placed(good, inside, name, "@@")).encode()
    odd = [
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\\ud800",
        b"\\udc00\\ud800",
        b"\\u00",
        b"\\x41",
        b"\x00",
        b"\x01",
        b"\n",
    ]
    assert list(refusals(site, [(sound.replace(b"@@", one), "JSON", "") for one in odd])) == []
    assert rows(site) == before


@pytest.mark.parametrize("name", REQUEST["required"])
def test_a_required_field_that_is_missing_is_named(site: Site, artifact: Stored, name: str) -> None:
    good, before = site.create_body(artifact), rows(site)
    del good[name]
    assert list(refusals(site, [(json.dumps(good).encode(), name, "required")])) == []
    assert rows(site) == before


def test_fields_that_nobody_knows_are_refused(site: Site, artifact: Stored) -> None:
    """Also what an answer has, and what differs by a letter: else a typing error would go unseen."""
    good, before = site.create_body(artifact), rows(site)
    answered = CONTRACT["components"]["schemas"]["Shipment"]["properties"].keys() - FIELDS.keys()
    names = [*answered, "Title", "title_", "deviceids", "product_id", "OrgId", "sendpush"]
    bodies = [(json.dumps({**good, name: 1}).encode(), name, "unknown field") for name in names]
    bodies += [
        (json.dumps({**good, "firmwareInfo": {name: 1}}).encode(), name, "unknown field")
        for name in ("sha1", "Version")
    ]
    bodies += [
        (json.dumps({**good, name: 1}).encode(), "", "unknown field")
        for name in (f"<{EVIL}>", EVIL * 9, f"a {EVIL}", "")
    ]
    assert list(refusals(site, bodies)) == []
    assert rows(site) == before


def test_wrong_fields_together_are_refused_and_the_last_right_one_does_not_help(site: Site, artifact: Stored) -> None:
    """Each with each of the others; a field that is given twice counts as it stands last, so both must be right."""
    good, before = site.create_body(artifact), rows(site)
    wrong = {name: cases[0][0] for name, cases in FIELDS.items()}
    pairs = [(one, other) for one in wrong for other in wrong if one < other]
    bodies = [
        (json.dumps({**good, one: wrong[one], other: wrong[other]}).encode(), "", "Expected") for one, other in pairs
    ]
    sound = json.dumps(good).encode()[1:]
    bodies += [
        (b'{"%s": %s, %s' % (name.encode(), json.dumps(value).encode(), sound), name, "Expected")
        for name, value in wrong.items()
    ]
    assert list(refusals(site, bodies)) == []
    assert rows(site) == before


@pytest.mark.parametrize("length", [1, 2, 1_000, 100_000])
def test_nested_and_cut_off_bodies_are_refused(site: Site, artifact: Stored, length: int) -> None:
    good, before = json.dumps(site.create_body(artifact)).encode(), rows(site)
    bodies = [
        b"[" * length,
        b'{"title":' * length,
        b"[" * length + b"]" * length,
        good[: -1 - length % len(good)],
        good + b"x" * length,
    ]
    assert list(refusals(site, [(body, "", "") for body in bodies])) == []
    assert rows(site) == before
    assert site.ask("POST", CREATE, content=good, headers={"Content-Type": "application/json"}).status_code == 201
