"""Which devices a filter matches: the table of docs/groups.md, line by line. Databases are compared with it elsewhere."""

from collections.abc import Mapping

import pytest

from airfreight.domain.filter_language import parse
from airfreight.domain.filters import predicate

NOW = 1_000_000_000_000
LAMP: Mapping[str, object] = {
    "uid": "lamp-1", "name": "Lamp", "product": "lamp", "group": None, "kind": "gateway", "version": "1.10.0", "build": "Jan  9 2024",
    "board": "", "enabled": True, "online": False, "autoUpdate": None, "createdAt": NOW - 1000, "lastSeenAt": None,
    "attributes": {"n": 1, "f": 1.5, "t": "abc", "one": "1", "yes": True, "empty": "", "odd": "50%_\\", "nul": "a\0b"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        # What is missing compares false, and only `not` turns that around.
        ("attributes.x = 1", False),
        ("attributes.x != 1", False),
        ("attributes.x not in (1)", False),
        ("attributes.x not like '*'", False),
        ("attributes.x < 1 or attributes.x >= 1", False),
        ("not attributes.x = 1", True),
        ("not (attributes.x != 1)", True),
        ("has(attributes.x)", False),
        ("attributes.n != 2", True),
        # An empty field is missing, an empty attribute is not.
        ("has(board)", False),
        ("board = ''", False),
        ("board != 'x'", False),
        ("has(attributes.empty)", True),
        ("attributes.empty = ''", True),
        ("attributes.empty like '*'", True),
        ("has(group)", False),
        ("has(lastSeenAt)", False),
        ("lastSeenAt < now()", False),
        ("not (lastSeenAt >= now() - 7d)", True),
        ("has(autoUpdate)", False),
        ("autoUpdate = false", False),
        ("not autoUpdate", True),
        # Types are not turned into each other.
        ("attributes.n = 1", True),
        ("attributes.n = 1.0", True),
        ("attributes.n = '1'", False),
        ("attributes.n != '1'", True),
        ("attributes.one = 1", False),
        ("attributes.n = true", False),
        ("attributes.yes = true", True),
        ("attributes.yes = 1", False),
        ("attributes.yes < 2", False),
        ("attributes.yes != 1", True),
        ("attributes.one < 2", False),
        ("attributes.n like '1'", False),
        ("attributes.n in ('1', true, 1)", True),
        # Texts compare by code point, case and all.
        ("attributes.t = 'ABC'", False),
        ("attributes.t > 'Z'", True),
        ("attributes.t < 'abcd'", True),
        ("attributes.f > 1 and attributes.f <= 1.5", True),
        # Only the star means something.
        ("attributes.t like 'a*'", True),
        ("attributes.t like 'A*'", False),
        ("attributes.t like '*b*'", True),
        ("attributes.t like 'ab*bc'", False),
        ("attributes.t like 'abc'", True),
        ("attributes.t like 'a%'", False),
        ("attributes.t like 'a_c'", False),
        ("attributes.odd like '50%_\\'", True),
        ("attributes.odd like '*%_\\'", True),
        ("attributes.t like '**a***c**'", True),
        # Versions compare as versions.
        ("version > '1.9'", True),
        ("version = '1.10'", True),
        ("version in ('v1.10.0+b7')", True),
        ("version != '1.10'", False),
        ("version < '1.10.0-rc.1'", False),
        ("version = 'x'", False),
        ("version != 'x'", True),
        ("version like '1.1*'", True),
        ("build < 'Jan 10 2024'", True),
        ("build = 'Jan 9 2024'", True),
        # Times.
        ("createdAt >= now() - 1s", True),
        ("createdAt > now() - 1s", False),
        ("createdAt < '2001-09-09T01:46:40Z'", True),
        ("kind = 'gateway' and enabled and not online", True),
    ],
)
def test_a_lamp(text: str, matches: bool) -> None:
    assert predicate(parse(text), NOW)(LAMP) is matches


def test_a_version_that_is_none_has_no_order() -> None:
    odd = {**LAMP, "version": "factory"}
    assert not predicate(parse("version < '1' or version >= '1'"), NOW)(odd)
    assert predicate(parse("version = 'factory' and version != '1'"), NOW)(odd)


def test_a_nul_counts_as_a_character_that_no_filter_can_name() -> None:
    assert predicate(parse("attributes.nul like 'a*b' and attributes.nul != 'ab'"), NOW)(LAMP)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    text = {**LAMP, "name": "a" * 100}
    assert not predicate(parse(f"name like '{'*a' * 99}*b'"), NOW)(text)
