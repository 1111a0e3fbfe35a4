"""The text of a filter becomes what it says; what is wrong is named by its column, and never repeated."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfreight.domain.errors import Kind as RefusalKind
from airfreight.domain.errors import Refusal
from airfreight.domain.filter_language import DEEPEST, LONGEST, LONGEST_LIST, MOST_TERMS, parse
from airfreight.domain.filters import FIELDS, Among, And, Field, Filter, Has, Kind, Like, Moment, Not, Op, Or, Order
from airfreight.services import attributes

DAY = 86_400_000
A, B = Field("attributes", "a"), Field("attributes", "b")
ONLINE = Among(Field("online"), (True,))


def refused(text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(text)
    assert (caught.value.kind, caught.value.code) == (RefusalKind.INVALID, "bad_filter")
    return caught.value


def column(text: str) -> int:
    found = re.match(r"filter, column (\d+): ", refused(text).message)
    assert found, refused(text).message
    return int(found[1])


def test_the_example_of_the_documentation_means_what_it_says() -> None:
    text = """version < "2.0.0" and product = "lamp" and (attributes.site in ("a", 'b') or name like "gw-*") and not online"""
    assert parse(text) == And(
        (
            Order(Field("version"), Op.LT, "2.0.0"),
            Among(Field("product"), ("lamp",)),
            Or((Among(Field("attributes", "site"), ("a", "b")), Like(Field("name"), "gw-*"))),
            Not(ONLINE),
        )
    )


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("attributes.a = 1", Among(A, (1.0,))),
        ("attributes.a=-1.5e3", Among(A, (-1500.0,))),
        ('attributes.a = "1"', Among(A, ("1",))),
        ("attributes.a = true", Among(A, (True,))),
        ("attributes.a = FALSE", Among(A, (False,))),
        ("attributes.a != 1", And((Has(A), Not(Among(A, (1.0,)))))),
        ('attributes.a in (1, "x", true)', Among(A, (1.0, "x", True))),
        ("attributes.a not in (1)", And((Has(A), Not(Among(A, (1.0,)))))),
        ('attributes.a LIKE "x*"', Like(A, "x*")),
        ("attributes.a not like '*'", And((Has(A), Not(Like(A, "*"))))),
        ("has(attributes.a)", Has(A)),
        ("not has ( version )", Not(Has(Field("version")))),
        ('attributes."a b" >= 1', Order(Field("attributes", "a b"), Op.GE, 1.0)),
        ("attributes.net.ip-4_x = '1'", Among(Field("attributes", "net.ip-4_x"), ("1",))),
        ("attributes.'it''s' = 'it''s \"so\"'", Among(Field("attributes", "it's"), ('it\'s "so"',))),
        ('attributes.a = "\\n%_"', Among(A, ("\\n%_",))),
        ("online", ONLINE),
        ("not not online", Not(Not(ONLINE))),
        ("enabled = false", Among(Field("enabled"), (False,))),
        ("online != true", And((Has(Field("online")), Not(ONLINE)))),
        ("online or online and not online", Or((ONLINE, And((ONLINE, Not(ONLINE)))))),
        ("(online or online) and online", And((Or((ONLINE, ONLINE)), ONLINE))),
        ("ONLINE_".lower().rstrip("_") + "\r\n\tAND\nonline", And((ONLINE, ONLINE))),
        ("lastSeenAt < now() - 7d", Order(Field("lastSeenAt"), Op.LT, Moment(-7 * DAY, from_now=True))),
        ("lastSeenAt>=now()-90m", Order(Field("lastSeenAt"), Op.GE, Moment(-90 * 60_000, from_now=True))),
        ("createdAt > now() +1w", Order(Field("createdAt"), Op.GT, Moment(7 * DAY, from_now=True))),
        ("createdAt > NOW()", Order(Field("createdAt"), Op.GT, Moment(0, from_now=True))),
        ('createdAt > "1970-01-02"', Order(Field("createdAt"), Op.GT, Moment(DAY))),
        ('createdAt > "1970-01-02T01:00+01:00"', Order(Field("createdAt"), Op.GT, Moment(DAY))),
        ('createdAt = "1970-01-01 00:00:00.001Z"', Among(Field("createdAt"), (Moment(1),))),
        (
            'createdAt > "0001-01-01T00:00+14:00"',
            Order(Field("createdAt"), Op.GT, Moment(-62135596800000 - 14 * 3600000)),
        ),
        ('kind = "thing"', Among(Field("kind"), ("thing",))),
        ('build >= "Jan  9 2024"', Order(Field("build"), Op.GE, "Jan  9 2024")),
    ],
)
def test_a_text_means(text: str, meaning: Filter) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 1),
        ("   ", 4),
        ("colour = 1", 1),
        ("attributes = 1", 1),
        ("attributes. = 1", 12),
        ("attributes. 'a' = 1", 12),
        ("attributes.'' = 1", 12),
        (f"attributes.'{'x' * 65}' = 1", 12),
        ("version.a = '1'", 1),
        ("and", 1),
        ("online and", 11),
        ("online or or online", 11),
        ("online online", 8),
        ("(online", 8),
        ("online)", 7),
        ("()", 2),
        ("name", 5),
        ("name =", 7),
        ("name = lamp", 8),
        ("name = 1", 8),
        ("name = true", 8),
        ("name == 'x'", 7),
        ("name <> 'x'", 7),
        ("name = 'x", 8),
        ("name = 'a' 'b'", 12),
        ("name = “x”", 8),
        ("name like 1", 11),
        ("name not = 'x'", 10),
        ("name in 'x'", 9),
        ("name in ()", 10),
        ("name in ('x' 'y')", 14),
        ("name in ('x',)", 14),
        ("name in ('x', 1)", 15),
        ("online = 1", 10),
        ("online = 'true'", 10),
        ("online < true", 8),
        ("online in (true)", 8),
        ("online like 'x'", 8),
        ("kind = 'things'", 8),
        ("kind < 'thing'", 6),
        ("kind like 't*'", 6),
        ("version < 'abc'", 11),
        ("version < 2", 11),
        ("build < '2024-01-01'", 9),
        ("createdAt < 5", 13),
        ("createdAt < '2024-13-01'", 13),
        ("createdAt < '2024-1-1'", 13),
        ("createdAt < 'yesterday'", 13),
        ("createdAt < now", 16),
        ("createdAt < now() 7d", 19),
        ("createdAt in ('2024-01-01')", 11),
        ("createdAt", 10),
        ("attributes.a < true", 16),
        ("attributes.a = now()", 16),
        ("attributes.a = 1e999", 16),
        ("attributes.a = 1x", 16),
        ("attributes.a = .5", 16),
        ("attributes.a = 'x\ny'", 18),
        ("attributes.a = '\x00'", 17),
        ("attributes.a = '\ufffd'", 17),
        ("attributes.a = 1;drop", 17),
        ("has(1)", 5),
        ("has version", 5),
        ("not", 4),
        ("ätt = 1", 1),
        ("name = 'ä' or ö", 15),
        ("\x00", 1),
        ("#", 1),
    ],
)
def test_what_is_wrong_is_named_by_its_column(text: str, at: int) -> None:
    assert column(text) == at


def test_limits_are_what_they_say() -> None:
    parse("online" + " " * (LONGEST - 6))
    assert str(LONGEST) in refused("online" + " " * (LONGEST - 5)).message
    parse(" or ".join(["online"] * MOST_TERMS))
    assert column(" or ".join(["online"] * (MOST_TERMS + 1))) == MOST_TERMS * 10 + 1
    for opening, closing in (("(", ")"), ("not ", "")):
        parse(opening * DEEPEST + "online" + closing * DEEPEST)
        assert column(opening * (DEEPEST + 1) + "online" + closing * (DEEPEST + 1)) == len(opening) * DEEPEST + 1
    parse(" and ".join(["(not online)"] * 50))
    listed = ",".join(["1"] * LONGEST_LIST)
    parse(f"attributes.a in ({listed})")
    assert column(f"attributes.a in ({listed},1)") == 18 + 2 * LONGEST_LIST


def test_nothing_of_the_text_is_repeated() -> None:
    for text in (
        "zebra = 1",
        "name = zebra",
        "online zebra",
        "attributes.a = 'zebra",
        "createdAt < 'zebra'",
        "zebra.a = 1",
    ):
        assert "zebra" not in refused(text).message


def test_an_attribute_that_is_a_field_is_the_field() -> None:
    """Devices report them among their attributes, and they are shown there."""
    for name in (*attributes.WELL_KNOWN, attributes.AUTO_UPDATE):
        found = parse(f"has(attributes.{name})")
        assert isinstance(found, Has)
        assert found.field == parse(f"has(attributes.'{name}')").field  # type: ignore[union-attr]
        assert found.field.name != "attributes", name
    for name in ("uid", "online", "createdAt", "kind", "libraryVersion"):
        assert parse(f"has(attributes.{name})") == Has(Field("attributes", name))


def place(text: str) -> int:
    """The column of what is wrong; 1 when nothing is."""
    try:
        parse(text)
    except Refusal:
        return column(text)
    return 1


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    assert 1 <= place(text) <= len(text) + 1


PIECES = st.sampled_from([
    "(", ")", ",", "=", "<", "!=", "and", "or", "not", "in", "like", "has", "now", "true", "'x'", "'1.0'", "1", "- 7d", "attributes.a",
    *sorted(FIELDS),
])  # fmt: skip


@given(st.lists(PIECES, max_size=14).map(" ".join))
def test_any_row_of_words_is_a_filter_or_is_refused_within_it(text: str) -> None:
    assert 1 <= place(text) <= len(text) + 1


def test_each_kind_of_field_refuses_what_it_could_never_have() -> None:
    for name, kind in FIELDS.items():
        if kind is not Kind.ANY:
            for value in ("1", "now()" if kind is not Kind.TIME else "true"):
                assert column(f"{name} = {value}") == len(name) + 4
