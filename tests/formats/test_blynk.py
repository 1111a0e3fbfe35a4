"""The tag, raw: what is accepted, what is passed over, and that nothing the vendor's finder sees is missed."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.ask import facts_of, the_warning
from tests.formats.build import VECTOR, esp32, tag

from airfreight.formats import Component, Facts, Format
from airfreight.formats.source import PIECE


def test_the_published_vector_gives_the_published_facts() -> None:
    assert len(VECTOR) == 74
    assert facts_of(VECTOR) == Facts(
        version="1.2.3",
        build="Jan 09 2024 12:25:30",
        fw_type="TMPL123",
        blynk_version="1.3.2",
        component=Component.MCU,
        tagged=True,
    )


def test_every_key_goes_to_its_fact() -> None:
    facts = facts_of(tag(ncp="0.9", fw_type="T", build="Feb  1 2025 00:00:00", blynk="1.3", dev="Nano 33", con="WiFi"))
    assert (facts.version, facts.component) == ("0.9", Component.NCP)
    assert (facts.fw_type, facts.build) == ("T", "Feb  1 2025 00:00:00")
    assert (facts.blynk_version, facts.board) == ("1.3", "Nano 33")


@pytest.mark.parametrize(
    ("pairs", "version", "component"),
    [
        ({"mcu": "1", "ncp": "2", "fw": "3", "ver": "4"}, "1", "MCU"),
        ({"ncp": "2", "fw": "3", "ver": "4"}, "2", "NCP"),
        ({"fw": "3", "ver": "4"}, "3", "MCU"),
        ({"ver": "4"}, "4", "MCU"),
        ({"tmpl": "TMPL1"}, "", "MCU"),
    ],
)
def test_the_version_is_taken_from_the_first_of_mcu_ncp_fw_ver(
    pairs: dict[str, str], version: str, component: str
) -> None:
    facts = facts_of(tag(**pairs))
    assert facts.tagged
    assert (facts.version, facts.component) == (version, component)


def test_an_empty_value_hides_no_later_key() -> None:
    facts = facts_of(tag(mcu="1.2.3", fw_type="", build="Jan 09 2024 12:25:30") + b"\xde\xad" * 50)
    assert (facts.version, facts.fw_type, facts.build) == ("1.2.3", "", "Jan 09 2024 12:25:30")


def test_a_version_with_characters_that_the_vendors_finder_refuses_is_read() -> None:
    assert facts_of(tag(mcu="1.2.3+abc/~#é")).version == "1.2.3+abc/~#é"


@pytest.mark.parametrize(
    "before",
    [
        b"blnkinf\0\0",
        b"blnkinf\0%s: no info\0",
        b"blnkinf\0\x01\x02\0",
        b"blnkinf\0Connecting\0Ready\0\0",
        b"blnkinf blnkinf= blnkinf={",
        b"blnkinf\0" * 300,
        b"blnkinf\0" + b"mcu" * 1000,
        b"blnkinf\0mcu\0" + b"9" * 1100 + b"\0\0",
    ],
)
def test_the_search_goes_on_after_a_mark_that_is_no_tag(before: bytes) -> None:
    facts = facts_of(b"\x7fcode" + before + b"\xff\xff" + VECTOR + b"\xff")
    assert (facts.version, facts.tagged) == ("1.2.3", True)


@pytest.mark.parametrize(
    "data",
    [
        b"blnkinf",
        b"blnkinf\0",
        b"blnkinf\0\0",
        b"blnkinf\0mcu",
        b"blnkinf\0mcu\x001.2.3",
        b"blnkinf\0mcu\x001.2.3\0",
        b"blnkinf\0mcu\x001\x012\0\0",
        b"blnkinf\0mcu\x00\xff\xfe\0\0",
        b"blnkinf\0colour\0blue\0\0",
        b"BLNKINF\0mcu\x001.2.3\0\0",
        b"blnkinf\0" + b"key\0value\0" * 200 + b"mcu\x001.2.3\0\0",
        b"blnkinf=",
        b"blnkinf={",
        b"blnkinf=[1]",
        b"blnkinf={mcu:'1.2.3'",
        b"blnkinf={mcu:'1.2.3}",
        b"blnkinf={mcu '1.2.3'}",
        b"blnkinf={mcu:}",
        b"blnkinf={mcu:null}",
        b"blnkinf={,}",
        b"blnkinf={colour:'blue'}",
        b"blnkinf={'mcu\\':'1.2.3'}",
        b"blnkinf={" + b"a:1," * 250,
        b"blnkinf=" + b"[" * 1000,
        b'blnkinf={"mcu":' + b"[" * 900,
        b'blnkinf={"colour":"blue"}',
    ],
)
def test_what_is_no_tag_is_not_called_one(data: bytes) -> None:
    assert facts_of(data) == Facts()


@pytest.mark.parametrize("behind", [b"\x9c\x01\x02" + b"\xee" * 2000, b"\x9c\0\x01\0\0", b"text\0\xff\0\0", b""])
def test_pairs_before_an_empty_value_count_even_when_no_tag_goes_on_behind_it(behind: bytes) -> None:
    facts = facts_of(b"blnkinf\0mcu\x001.2.3\0fw-type\0\0" + behind)
    assert (facts.version, facts.tagged) == ("1.2.3", True)


def test_control_characters_never_reach_a_fact() -> None:
    assert facts_of(tag(mcu=" 1.2.3\r\nx-evil: 1\t")).version == "1.2.3  x-evil: 1"


def test_the_older_text_form_is_read_when_it_is_json() -> None:
    data = (
        b'\0\0blnkinf= {"mcu": "2.0.1", "fw-type": "TMPL9", "build": "May  5 2021 10:00:00", "con": null, "ver": 7}tail'
    )
    facts = facts_of(data)
    assert (facts.version, facts.fw_type, facts.build) == ("2.0.1", "TMPL9", "May  5 2021 10:00:00")


@pytest.mark.parametrize(
    "text",
    [
        b"{mcu:'2.0.1',build:'May  5 2021 10:00:00','fw-type':\"TMPL9\"}",
        b"{ mcu : '2.0.1' , build : \"May  5 2021 10:00:00\" , \"fw-type\" : 'TMPL9' , }more",
        b"{con: null, 'h-beat': 45, mcu: \"2\\.0.1\", build: 'May  5 2021 10:00:00', 'fw-type': 'TMP\\L9'}",
        b'{\n\t"mcu": "2.0.1",\n\t"build": "May  5 2021 10:00:00",\n\t"fw-type": TMPL9,\n}\n',
    ],
)
def test_the_older_text_form_is_read_when_it_is_json5(text: bytes) -> None:
    facts = facts_of(b"\xff\0blnkinf=" + text + b"\0\xff")
    assert (facts.version, facts.fw_type, facts.build) == ("2.0.1", "TMPL9", "May  5 2021 10:00:00")


def test_text_that_is_not_utf8_is_left_out_of_the_text_form() -> None:
    facts = facts_of(b'blnkinf={"mcu": "2.0\xff", "dev": "Nano"}')
    assert (facts.version, facts.board) == ("", "Nano")


@pytest.mark.parametrize("before_end", [0, 1, 6, 7, 8, 40, len(VECTOR) - 1, len(VECTOR), 1023, 1024, 1025])
def test_a_tag_across_the_edge_of_two_pieces_is_found(before_end: int) -> None:
    data = bytes(PIECE - before_end) + VECTOR + b"\xff" * 3000
    assert facts_of(data).version == "1.2.3"


def test_the_first_tag_that_parses_wins() -> None:
    assert facts_of(tag(mcu="1.0.0") + bytes(5000) + tag(mcu="2.0.0")).version == "1.0.0"


def test_a_tag_speaks_for_an_image_and_the_descriptor_keeps_its_own_word() -> None:
    facts = facts_of(esp32() + tag(mcu="9.9.9", dev="My board", build="Mar 01 2026 01:02:03"))
    assert facts.format is Format.ESP32
    assert (facts.version, facts.board, facts.build) == ("9.9.9", "My board", "Mar 01 2026 01:02:03")
    assert facts.details["app_version"] == "2.5.0"


def test_a_tag_without_a_version_keeps_the_descriptors_version_from_being_proposed() -> None:
    facts = facts_of(esp32() + tag(fw_type="TMPL1"))
    assert (facts.version, facts.build, facts.board) == ("", "Jan 09 2024 12:25:30", "ESP32-C3")


def test_a_file_full_of_false_marks_is_given_up_quickly() -> None:
    assert the_warning(b"blnkinf\0" * 500_000) == "too many false tag marks: the search for a tag was given up"


VENDOR_FINDER = re.compile(rb"blnkinf\x00[\w\s\.,:\-\(\)\x00]*?\x00\x00")
VENDOR_TEXT = st.text(string.ascii_letters + string.digits + "_ \t\n.,:-()", max_size=12)
FACT_OF = {"mcu": "version", "fw-type": "fw_type", "build": "build", "blynk": "blynk_version", "dev": "board"}


def as_the_vendor_reads(data: bytes) -> dict[str, str]:
    found = VENDOR_FINDER.search(data)
    fields = found.group().decode().split("\0")[1:-2] if found else []
    return dict(zip(fields[::2], fields[1::2], strict=False))


@given(
    pairs=st.dictionaries(st.sampled_from([*FACT_OF, "h-beat", "con", " "]), VENDOR_TEXT, min_size=1),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_whatever_the_vendors_finder_reads_is_read_the_same(pairs: dict[str, str], before: bytes, after: bytes) -> None:
    data = (
        before + b"blnkinf\0" + b"".join(f"{key}\0{value}\0".encode() for key, value in pairs.items()) + b"\0" + after
    )
    facts = facts_of(data)
    for key, value in as_the_vendor_reads(data).items():
        if key in FACT_OF:
            plain = re.sub(r"[\t\n]", " ", value).strip()
            assert getattr(facts, FACT_OF[key]) == plain
