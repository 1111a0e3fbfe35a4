"""The state file: what comes back after any way of losing power or bits."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airfreight_agent.machine import Memory, Ran, Step
from airfreight_agent.protocol import Artifact, Count, Event, Reason, Report
from airfreight_agent.state import RESERVE_BYTES, StateFile, decode, encode

FULL = Memory(
    attempt=1001,
    step=Step.INSTALLING,
    artifacts=(Artifact("image.bin", "2.0.0", 7, "ab" * 32, "http://server/1", 9),),
    done=0,
    tries=1,
    etag='"x"',
    next_seq=5,
    outbox=(
        Report(1001, 3, Event.DOWNLOADING, progress=50, artifacts=(Count(9, 3, 7),), lines=("a", "ü")),
        Report(1001, 4, Event.FAILED, None, Reason.NO_SPACE, "full"),
    ),
    version="1.0.0",
    version_before="1.0.0",
    activation_boot="boot-1",
    outcome=Event.FAILED,
    packages=(0,),
    ran=(Ran("execute", 0), Ran("validate", None)),
    telling="1001-0-validate",
    told=7,
    by_plug_in=True,
)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.json")
    state.save(FULL)
    assert state.load() == FULL
    state.save(Memory())
    assert state.load() == Memory()


def test_a_file_from_before_there_were_packages_is_understood() -> None:
    document = json.loads(encode(FULL))
    for name in ("packages", "ran", "telling", "told", "by_plug_in", "sum"):
        del document[name]
    del document["artifacts"][0]["id"], document["outbox"][0]["artifacts"], document["outbox"][0]["lines"]
    memory = decode(json.dumps(document).encode())
    assert (memory.step, memory.packages, memory.ran, memory.artifacts[0].id) == (Step.INSTALLING, (), (), 0)
    assert not memory.by_plug_in


@pytest.mark.parametrize(
    ("was", "now"), [('"code": 1', '"code": 0'), ('"installing"', '"installed"'), ("[\n  0", "[\n  8")]
)
def test_a_file_that_still_makes_sense_but_says_something_else_starts_clean(tmp_path: Path, was: str, now: str) -> None:
    state = StateFile(tmp_path / "state.json")
    state.save(replace(FULL, ran=(Ran("execute", 1),)))
    content = state.path.read_text()
    assert was in content
    state.path.write_text(content.replace(was, now))
    assert state.load().step is Step.IDLE


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.json")
    state.save(FULL)
    assert state.path.stat().st_mode & 0o777 == 0o600


def test_a_missing_file_is_a_fresh_start_far_from_any_number_used_before(tmp_path: Path) -> None:
    first, second = (StateFile(tmp_path / "state.json").load() for _ in range(2))
    assert first.step is Step.IDLE
    assert first.next_seq != second.next_seq
    assert 1 << 20 <= first.next_seq < 1 << 30


def test_a_file_torn_at_any_byte_starts_clean(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.json")
    content = encode(FULL)
    for length in range(len(content)):
        state.path.write_bytes(content[:length])
        assert state.load().step is Step.IDLE


def unsummed(memory: Memory) -> bytes:
    """As written before there were sums: every mistake has to be found by itself."""
    document = json.loads(encode(memory))
    del document["sum"]
    return json.dumps(document, indent=1).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"\x00" * 4096,
        b"\xff\xfe garbage",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"format": 2}',
        unsummed(FULL).replace(b'"installing"', b'"flying"'),
        unsummed(FULL).replace(b'"attempt": 1001', b'"attempt": true', 1),
        unsummed(FULL).replace(b'"done": 0', b'"done": 7'),
        unsummed(FULL).replace(b'"tries": 1', b'"tries": -1'),
        unsummed(FULL).replace(b"ab" * 32, b"zz"),
        unsummed(FULL).replace(b'"no_space"', b"[]"),
        unsummed(FULL).replace(b'"told": 7', b'"told": -1'),
        unsummed(FULL).replace(b'"execute"', b"3"),
        unsummed(FULL).replace(b'"packages": [', b'"packages": ["a", '),
        unsummed(FULL).replace(b'"lines": [', b'"lines": [1, '),
        unsummed(FULL).replace(b'"total": 7', b'"total": []'),
    ],
)
def test_garbage_starts_clean(tmp_path: Path, content: bytes) -> None:
    state = StateFile(tmp_path / "state.json")
    state.path.write_bytes(content)
    assert state.load().step is Step.IDLE


def test_flipped_bits_never_crash_the_start(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state.json")
    rng = random.Random(1)
    for _ in range(500):
        content = bytearray(unsummed(FULL))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        state.path.write_bytes(content)
        state.load()


def test_a_directory_in_its_place_starts_clean(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()
    assert StateFile(tmp_path / "state.json").load().step is Step.IDLE


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a power loss."""


def _cut(*_: object, **__: object) -> None:
    raise PowerCut


@pytest.mark.parametrize(
    ("place", "survivor"),
    [("fsync", "old"), ("replace", "old"), ("open directory", "new")],
)
def test_power_lost_inside_a_save_leaves_the_old_or_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, survivor: str
) -> None:
    state = StateFile(tmp_path / "state.json")
    state.save(Memory(attempt=7, step=Step.ENDED))
    with monkeypatch.context() as patch:
        if place == "fsync":
            patch.setattr(os, "fsync", _cut)
        elif place == "replace":
            patch.setattr(Path, "replace", _cut)
        else:
            patch.setattr(os, "open", _cut_for_directories(os.open))
        with pytest.raises(PowerCut):
            state.save(FULL)
    assert state.load() == (FULL if survivor == "new" else Memory(attempt=7, step=Step.ENDED))
    state.save(FULL)
    assert state.load() == FULL
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def _cut_for_directories(real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: object, flags: int, *rest: int) -> int:
        if flags & os.O_DIRECTORY:
            raise PowerCut
        return real(path, flags, *rest)

    return opened


def test_a_failed_write_raises_and_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFile(tmp_path / "state.json")
    state.save(FULL)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            state.save(Memory())
    assert state.load() == FULL


def test_a_disk_that_others_have_filled_still_takes_the_state_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = tmp_path / "reserve"
    state = StateFile(tmp_path / "state.json", reserve)
    state.save(FULL)
    assert not reserve.exists()
    state.keep_reserve()
    assert reserve.stat().st_size == RESERVE_BYTES

    def full(_: int) -> None:
        if reserve.exists():
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        state.save(Memory())
    assert (state.load(), reserve.exists()) == (Memory(), False)
    state.keep_reserve()
    assert reserve.exists(), "as soon as there is room again"


def test_decoding_is_the_inverse_of_encoding_for_an_unversioned_artifact() -> None:
    memory = Memory(attempt=1, step=Step.OFFERED, artifacts=(Artifact("a", None, 0, "0" * 64, "/x"),))
    assert decode(encode(memory)) == memory
