"""Sources: never more than was asked for, never what lies outside."""

from pathlib import Path

import pytest

from airfreight.formats import BytesSource, FileSource
from airfreight.formats.source import Part, Refusal, pieces, read_exactly

DIGITS = BytesSource(b"0123456789")


def test_a_file_reads_like_bytes(tmp_path: Path) -> None:
    path = tmp_path / "digits"
    path.write_bytes(DIGITS.data)
    with FileSource(path) as file:
        assert file.size == DIGITS.size
        for offset, length in [(0, 3), (8, 5), (10, 1), (99, 1), (0, 0)]:
            assert file.read_at(offset, length) == DIGITS.read_at(offset, length)


def test_a_closed_file_can_be_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with FileSource(str(path)) as file:
        file.close()
    file.close()


def test_a_part_shows_nothing_outside_itself() -> None:
    part = Part(DIGITS, 2, 4)
    assert part.size == 4
    assert part.read_at(0, 99) == b"2345"
    assert part.read_at(3, 2) == b"5"
    assert part.read_at(4, 1) == part.read_at(50, 1) == b""


@pytest.mark.parametrize(("start", "length", "size"), [(8, 4, 2), (10, 4, 0), (20, 4, 0)])
def test_a_part_ends_where_the_whole_ends(start: int, length: int, size: int) -> None:
    part = Part(DIGITS, start, length)
    assert part.size == size == len(part.read_at(0, length))


def test_a_walk_gives_every_byte_once() -> None:
    assert list(pieces(DIGITS, piece=4)) == [b"0123", b"4567", b"89"]
    assert list(pieces(DIGITS, 3, 8, piece=4)) == [b"3456", b"7"]
    assert list(pieces(DIGITS, 8, 99, piece=4)) == [b"89"]
    assert list(pieces(DIGITS, 10, 99)) == []


def test_reading_beyond_the_end_is_a_refusal() -> None:
    assert read_exactly(DIGITS, 8, 2, "the end") == b"89"
    with pytest.raises(Refusal, match="the file ends inside the end"):
        read_exactly(DIGITS, 8, 3, "the end")
