"""Tags inside gzip, xz, bzip2, tar and ZIP; and what damaged, oversized and hostile ones are called."""

import bz2
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from tests.formats.ask import facts_of, the_warning
from tests.formats.build import VECTOR, esp32, tar, zipped

from airfreight.formats import Facts, Format

FILLER = bytes(range(256)) * 40
PACK: dict[Format, Callable[[bytes], bytes]] = {
    Format.GZIP: gzip.compress,
    Format.XZ: lzma.compress,
    Format.BZIP2: bz2.compress,
}
ONLY_BEGINNING = "only the beginning of its packed content was searched for a tag"
PACKED = [pytest.param(kind, id=str(kind)) for kind in PACK]


@pytest.mark.parametrize("kind", PACKED)
def test_a_tag_in_a_packed_image_is_found(kind: Format) -> None:
    content = FILLER + VECTOR + FILLER
    facts = facts_of(PACK[kind](content))
    assert (facts.format, facts.version, facts.tagged, facts.warnings) == (kind, "1.2.3", True, ())
    assert facts.details == {"unpacked_size": len(content)}


@pytest.mark.parametrize("kind", PACKED)
def test_a_tag_in_the_first_member_of_a_packed_tar_is_found(kind: Format) -> None:
    packed = PACK[kind](tar(("fw_info.bin", VECTOR), ("app.mpy", FILLER)))
    facts = facts_of(packed)
    assert (facts.format, facts.version, facts.fw_type) == (kind, "1.2.3", "TMPL123")


def test_a_tag_in_a_plain_tar_is_found() -> None:
    facts = facts_of(tar(("app.bin", FILLER), ("fw_info.bin", VECTOR)))
    assert (facts.format, facts.version) == (Format.TAR, "1.2.3")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_tag_in_a_zip_member_is_found(method: int) -> None:
    facts = facts_of(zipped(("a.txt", b"a" * 5000), ("b.bin", FILLER + VECTOR), method=method))
    assert (facts.format, facts.version, facts.details, facts.warnings) == (Format.ZIP, "1.2.3", {"members": 2}, ())


@pytest.mark.parametrize("packed", [gzip.compress(FILLER), zipped(("a.bin", FILLER))])
def test_a_tag_appended_to_a_package_is_found(packed: bytes) -> None:
    assert facts_of(packed + VECTOR).version == "1.2.3"


def test_streams_that_follow_each_other_are_all_searched() -> None:
    facts = facts_of(gzip.compress(FILLER) + gzip.compress(VECTOR) + bytes(512))
    assert (facts.version, facts.details["unpacked_size"]) == ("1.2.3", len(FILLER) + len(VECTOR))


@pytest.mark.parametrize("outer", [gzip.compress, lzma.compress, lambda data: zipped(("inner.gz", data))])
def test_only_one_level_is_unpacked(outer: Callable[[bytes], bytes]) -> None:
    assert not facts_of(outer(gzip.compress(VECTOR))).tagged


def test_an_image_inside_is_not_mistaken_for_the_file() -> None:
    assert facts_of(gzip.compress(esp32())).format is Format.GZIP


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("cut", [7, 40, -1])
def test_a_cut_stream_is_generic_with_a_warning(kind: Format, cut: int) -> None:
    data = PACK[kind](FILLER)[:cut]
    assert facts_of(data).format is Format.GENERIC
    assert the_warning(data) == "begins like a packed file, but its packed content ends early"


@pytest.mark.parametrize("kind", PACKED)
def test_a_damaged_stream_is_generic_with_a_warning(kind: Format) -> None:
    data = bytearray(PACK[kind](FILLER))
    data[len(data) // 2] ^= 0xFF
    data[-3] ^= 0xFF
    facts = facts_of(bytes(data))
    assert (facts.format, facts.warnings) == (
        Format.GENERIC,
        ("begins like a packed file, but its packed content is damaged",),
    )


@pytest.mark.parametrize("kind", PACKED)
def test_a_bomb_is_unpacked_only_at_its_beginning(kind: Format) -> None:
    packed = PACK[kind](bytes(80 << 20))
    assert len(packed) < 100_000
    facts = facts_of(packed)
    assert (facts.format, facts.warnings, facts.details) == (kind, (ONLY_BEGINNING,), {})


def test_a_tag_at_the_beginning_of_a_bomb_is_found() -> None:
    facts = facts_of(gzip.compress(VECTOR + bytes(80 << 20)))
    assert (facts.version, facts.warnings) == ("1.2.3", (ONLY_BEGINNING,))


def test_a_tar_bomb_is_unpacked_only_at_its_beginning() -> None:
    assert facts_of(gzip.compress(tar(("zeros", bytes(80 << 20))))).warnings == (ONLY_BEGINNING,)


def test_a_tar_of_5000_members_is_searched() -> None:
    members = [(f"{number}", b"") for number in range(5000)]
    assert facts_of(gzip.compress(tar(*members, ("info", VECTOR)))).version == "1.2.3"


def test_a_hundred_thousand_empty_streams_are_not_all_opened() -> None:
    assert facts_of(gzip.compress(b"") * 100_000).warnings == (ONLY_BEGINNING,)


def test_an_xz_stream_that_wants_more_memory_than_it_may_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}]
    data = lzma.compress(b"small", filters=filters)
    assert the_warning(data) == "begins like a packed file, but its packed content is damaged"


def test_a_zip_of_5000_members_is_searched_only_at_its_beginning() -> None:
    members = [(f"{number}", b"x") for number in range(4999)]
    facts = facts_of(zipped(*members, ("info", VECTOR)))
    assert facts.details == {"members": 5000}
    assert facts.warnings == ("5000 members: only the first 256 were searched for a tag",)
    assert not facts.tagged


def test_a_zip_bomb_of_one_member_listed_many_times_is_refused() -> None:
    data = zipped(("a", bytes(1 << 20)))
    directory_at = data.index(b"PK\1\2")
    end_at = data.index(b"PK\5\6")
    listed = data[directory_at:end_at] * 200
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 200, 200, len(listed), directory_at, 0)
    assert "two of its members have one name" in the_warning(data[:directory_at] + listed + end)


def test_a_zip_bomb_is_unpacked_only_at_its_beginning() -> None:
    facts = facts_of(zipped(("zeros", bytes(80 << 20))))
    assert (facts.format, facts.warnings) == (Format.ZIP, (ONLY_BEGINNING,))


def zip_with(**changes: int) -> bytes:
    """A one-member ZIP with fields of its end record changed."""
    data = zipped(("a", FILLER))
    at = data.index(b"PK\5\6")
    fields = dict(
        zip(
            ("disk", "start", "here", "count", "size", "offset", "comment"),
            struct.unpack_from("<4H2IH", data, at + 4),
            strict=True,
        )
    )
    return data[: at + 4] + struct.pack("<4H2IH", *(fields | changes).values())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (zipped(("a", FILLER))[:-1], "its list of members is missing"),
        (b"PK\3\4" + FILLER, "its list of members is missing"),
        (zip_with(size=0xFFFFFFFF), "its list of members claims 4294967295 bytes"),
        (zip_with(offset=0xFFFFFFF0), "its list of members is not inside the file"),
        (zip_with(count=9), "its list of members ends early"),
        (zip_with(offset=0), "its list of members is damaged"),
        (
            zipped(("a", FILLER)).replace(b"PK\3\4\x14\0\0\0\x08\0", b"PK\3\4\x14\0\0\0\x00\0"),
            "not as its list of members says",
        ),
        (zipped(("name", FILLER)).replace(b"name", b"nome", 1), "not as its list of members says"),
    ],
)
def test_a_zip_that_contradicts_itself_is_generic_with_a_warning(data: bytes, says: str) -> None:
    assert facts_of(data).format is Format.GENERIC
    assert says in the_warning(data)


def test_a_zip_member_with_damaged_content_is_noticed() -> None:
    data = bytearray(zipped(("a", FILLER)))
    data[60] ^= 0x10
    assert "damaged" in the_warning(bytes(data))


def test_a_zip_member_with_another_checksum_is_noticed() -> None:
    data = zipped(("a", FILLER))
    crc = struct.pack("<I", zlib.crc32(FILLER))
    assert data.count(crc) == 2
    assert "the content of a member is damaged" in the_warning(data.replace(crc, bytes(4)))


def test_an_empty_zip_is_a_zip() -> None:
    assert facts_of(zipped()) == Facts(format=Format.ZIP, details={"members": 0})


def test_an_encrypted_member_is_passed_over_with_a_warning() -> None:
    data = zipped(("a", FILLER)).replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0")
    facts = facts_of(data)
    assert facts.format is Format.ZIP
    assert "some members are encrypted" in facts.warnings[0]


def test_a_tar_head_with_a_wrong_checksum_is_no_tar() -> None:
    data = bytearray(tar(("a", FILLER)))
    data[0] ^= 1
    assert facts_of(bytes(data)).format is Format.GENERIC
