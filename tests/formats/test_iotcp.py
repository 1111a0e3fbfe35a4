"""IoTCP packages: what is read from good ones, and that a package which contradicts itself says so in `faults`."""

import hashlib
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.ask import facts_of, timed
from tests.formats.build import VECTOR, zipped
from tests.formats.packages import (
    CHECK_SUMS,
    FILES,
    GOOD,
    HOSTILE,
    MANIFEST,
    TOLD,
    Member,
    deflated,
    package,
    sums_of,
    zip_of,
)

from airfreight.formats import BytesSource, FileSource, Format, identify
from airfreight_iotcp.listing import ZipError
from airfreight_iotcp.unzip import content, entries

PHASES = ["verify", "execute", "validate", "activate", "reset"]


def test_a_package_tells_its_name_version_phases_and_entries() -> None:
    facts = facts_of(package())
    assert (facts.format, facts.version, facts.warnings, facts.faults) == (Format.IOTCP, "1.0.3", (), ())
    entries = facts.details.pop("entries")
    assert isinstance(entries, dict)
    assert list(entries) == [MANIFEST, *FILES, CHECK_SUMS]
    assert {name: entries[name] for name in FILES} == {name: len(data) for name, data in FILES.items()}
    assert facts.details == {
        "name": "disk-metric-service",
        "headless": True,
        "phases": {phase: f"{phase}.sh" for phase in PHASES},
        "unpacked_size": sum(size for size in entries.values() if isinstance(size, int)),
    }


def test_phases_come_in_the_order_of_the_life_cycle() -> None:
    phases = facts_of(package()).details["phases"]
    assert isinstance(phases, dict)
    assert list(phases) == PHASES


def test_system_and_install_paths_are_told_when_they_are_there() -> None:
    more = {"OS": "linux", "ARCHITECTURE": "arm64", "INSTALL_PATHS": {"data/verify.sh": "/opt/x/verify.sh"}}
    details = facts_of(package(told={**TOLD, **more, "VERIFY": "/opt/x/verify.sh"})).details
    assert (details["os"], details["architecture"]) == ("linux", "arm64")
    assert details["install_paths"] == {"data/verify.sh": "/opt/x/verify.sh"}


def test_name_and_version_are_enough() -> None:
    facts = facts_of(package(told={"NAME": "a", "VERSION": "1"}))
    assert (facts.details["headless"], facts.details["phases"], facts.faults) == (False, {}, ())


def test_an_empty_action_is_no_phase() -> None:
    assert facts_of(package(told={**TOLD, "RESET": ""})).details["phases"] == {p: f"{p}.sh" for p in PHASES[:-1]}


@pytest.mark.parametrize("action", ["/bin/true", "true", "/opt/verify.sh", "data/none.sh"])
def test_an_action_that_is_not_in_the_package_is_a_warning(action: str) -> None:
    facts = facts_of(package(told={**TOLD, "VERIFY": action}))
    assert facts.faults == ()
    assert facts.warnings == ("the action of verify is not in data/: the device must have it already",)


@pytest.mark.parametrize("action", ["verify.sh", "./verify.sh", "build/verify.sh"])
def test_an_action_is_found_by_the_path_it_had_where_the_package_was_made(action: str) -> None:
    assert facts_of(package(told={**TOLD, "VERIFY": action})).warnings == ()


def test_a_tag_in_a_file_that_the_package_carries_is_not_its_version() -> None:
    facts = facts_of(package(Member("data/board.bin", VECTOR, method=0)))
    assert (facts.version, facts.tagged, facts.faults) == ("1.0.3", False, ())


@pytest.mark.parametrize("name", GOOD)
def test_what_others_may_write_is_read(name: str) -> None:
    facts = facts_of(GOOD[name]())
    assert (facts.format, facts.faults) == (Format.IOTCP, ())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_package_that_is_not_as_it_must_be_has_a_fault(name: str) -> None:
    make, says = HOSTILE[name]
    facts = facts_of(make())
    assert facts.format is Format.IOTCP
    assert says in "; ".join(facts.faults)
    assert len(facts.faults) <= 22


def test_each_contradiction_is_told() -> None:
    """A changed file, one that is not listed and a listed one that is missing, in one package."""
    files = {MANIFEST: b'{"NAME":"a","VERSION":"1"}', "data/a": b"a", "data/b": b"b"}
    sums = sums_of({**files, "data/a": b"before", "data/gone": b""}).replace(b"data/b:", b"data/c:")
    members = [Member(name, data) for name, data in {**files, CHECK_SUMS: sums}.items()]
    assert facts_of(zip_of(members)).faults == (
        "line 3 of dist-info/CHECK_SUMS lists an entry that is missing",
        "line 4 of dist-info/CHECK_SUMS lists an entry that is missing",
        "entry 2 does not have the SHA-256 that dist-info/CHECK_SUMS lists",
        "entry 3 is not listed in dist-info/CHECK_SUMS",
    )


def test_faults_repeat_nothing_of_the_file() -> None:
    data = package(Member("data/<script>"), sums=lambda good: good + b"<script>\n", told={**TOLD, "OS": ["<script>"]})
    assert "script>" not in "".join(facts_of(data).faults)


@pytest.mark.parametrize("at", range(0, len(package()) - 1, 7))
def test_a_package_cut_anywhere_behind_its_first_name_is_a_broken_package(at: int) -> None:
    facts = facts_of(package()[:at])
    if at < 30 + len(MANIFEST):
        assert facts.format is Format.GENERIC
    else:
        assert (facts.format, len(facts.faults)) == (Format.IOTCP, 1)


def test_a_zip_without_a_manifest_is_a_zip() -> None:
    assert facts_of(zipped(("data/execute.sh", b"x"), (CHECK_SUMS, b""))).format is Format.ZIP


def test_a_zip_that_carries_a_package_is_a_zip() -> None:
    facts = facts_of(zip_of([Member("a.iotcp", package(), method=0)]))
    assert (facts.format, facts.faults) == (Format.ZIP, ())


@pytest.mark.parametrize("tail", [b"", b"a comment"])
def test_a_manifest_in_another_place_makes_a_package_too_also_a_broken_one(tail: bytes) -> None:
    files = {"data/a": b"a", MANIFEST: b'{"NAME":"a","VERSION":"1"}'}
    members = [Member(CHECK_SUMS, sums_of(files)), *(Member(name, data) for name, data in files.items())]
    facts = facts_of(zip_of(members, end={"comment": len(tail)}) + tail)
    assert facts.format is Format.IOTCP
    assert bool(facts.faults) is bool(tail)


def test_no_more_is_unpacked_than_an_entry_claims() -> None:
    source = BytesSource(package(Member("data/zeros", bytes(1000), packed=deflated(bytes(40 << 20)))))
    entry = next(entry for entry in entries(source) if entry.name == "data/zeros")
    came: list[bytes] = []
    with pytest.raises(ZipError, match="not of the size"):
        came.extend(content(source, entry))
    assert sum(len(piece) for piece in came) <= 1000


def test_what_follows_packed_content_is_not_gathered() -> None:
    source = BytesSource(package(Member("data/a", packed=deflated(b"content") + bytes(20 << 20))))
    tracemalloc.start()
    facts = identify(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "is damaged" in facts.faults[0]
    assert peak < 4 << 20


@given(
    file=st.sampled_from(sorted(GOOD)).map(lambda name: GOOD[name]()).filter(lambda data: len(data) < 20_000),
    edits=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6),
    near_end=st.lists(st.tuples(st.integers(1, 700), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 4000),
    more=st.binary(max_size=40),
)
@settings(max_examples=500, deadline=None)
def test_broken_packages_give_facts(
    file: bytes, edits: list[tuple[int, int]], near_end: list[tuple[int, int]], cut: int | None, more: bytes
) -> None:
    data = bytearray(file)
    for at, byte in edits:
        data[at % len(data)] = byte
    for back, byte in near_end:
        data[-(back % len(data))] = byte
    changed = bytes(data[:cut]) + more
    facts = facts_of(changed)
    if facts.format is Format.IOTCP and not facts.faults:
        # Dates, marks of the maker and the like may change; what is told may not.
        assert facts.details["unpacked_size"] == facts_of(file).details["unpacked_size"]
        assert facts.version == "1.0.3"


def a_mib() -> tuple[bytes, bytes]:
    """A MiB of text, and that packed, so that it can be repeated."""
    block = (b"a line of a log, number %d\n" * 40_000 % tuple(range(40_000)))[: 1 << 20]
    assert len(block) == 1 << 20
    packer = zlib.compressobj(wbits=-15)
    return block, packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)


def plain_seconds(pieces: int) -> float:
    """What it costs here to do no more with so many MiB than must be done: unpack them, and sum them up twice."""
    block, packed = a_mib()
    with timed() as work:
        for _ in range(pieces // 16):
            zlib.decompressobj(wbits=-15).decompress(packed)
            hashlib.sha256(block)
            zlib.crc32(block)
    return work.seconds * 16


def big_package(path: Path, pieces: int) -> None:
    """A package with one deflated file of `pieces` MiB, made of one packed MiB that is repeated."""
    block, packed = a_mib()
    digest, crc = hashlib.sha256(), 0
    for _ in range(pieces):
        digest.update(block)
        crc = zlib.crc32(block, crc)
    numbers = {"crc": crc, "packed": len(packed) * pieces + 2, "size": pieces << 20}
    manifest = b'{"NAME":"big","VERSION":"2.0.0"}'
    sums = sums_of({MANIFEST: manifest}) + f"data/log: sha256={digest.hexdigest()}\n".encode()
    marker = b"the packed content"
    members = [Member(MANIFEST, manifest), Member(CHECK_SUMS, sums)]
    big = Member("data/log", packed=marker, listed=numbers, local=numbers)
    frame = zip_of([*members, big])
    place = {"offset": frame.index(b"PK\1\2") + numbers["packed"] - len(marker)}
    before, after = zip_of([*members, big], end=place).split(marker)
    with path.open("wb") as file:
        file.write(before)
        for _ in range(pieces):
            file.write(packed)
        file.write(b"\3\0" + after)


def test_a_package_of_1_gib_is_checked_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.iotcp"
    big_package(path, 1024)
    with FileSource(path) as source:
        with timed() as work:
            facts = identify(source)
        tracemalloc.start()
        identify(source)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (facts.format, facts.version, facts.faults) == (Format.IOTCP, "2.0.0", ())
    entries = facts.details["entries"]
    assert isinstance(entries, dict)
    assert entries["data/log"] == 1 << 30
    assert peak < 4 << 20
    assert work.seconds < max(10.0, 5 * plain_seconds(1024)), "on a slow machine what that takes there"
