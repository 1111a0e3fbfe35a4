"""What columns and indexes have in common, for the page of tables."""

from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Text, text

from airfreight.domain.delivery import ENDS, THE_SIX, Reason, State

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit id: on SQLite an INTEGER PRIMARY KEY has 64 bits, and only that spelling increments by itself."""


Uid = String(256).with_variant(String(64), "sqlite")
"""SQLite does not look at lengths: there the column stays as it was made."""


def identity(kind: Any = Integer) -> Column[int]:  # noqa: ANN401 - a column type or an instance of one
    return Column("id", kind, primary_key=True, autoincrement=True)


def organization(*, index: bool = True) -> Column[int]:
    return Column("organization_id", ForeignKey("organizations.id"), nullable=False, index=index)


def at(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def words(name: str, length: int, default: str | None = "") -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=default)


def signed(*names: str) -> list[Column[str]]:
    """Who did something: `user:5`, `client:7`; empty for nobody."""
    return [words(name, 40) for name in names]


def details() -> Column[str]:
    """What doors show and nothing decides on: one JSON object."""
    return Column("details", Text, nullable=False, server_default="{}")


def changed_at() -> Column[int]:
    return Column("changed_at", BigInteger, nullable=False, server_default="0")


def any_of(column: str, states: tuple[State, ...]) -> str:
    """Literal, so that both databases see that a query's condition is a partial index's condition.

    OR, not IN: for an IN list SQLite builds a table each time it asks whether a changed row belongs into the index.
    """
    return "(" + " OR ".join(f"{column} = '{state}'" for state in states) + ")"


OPEN_STATES = tuple(state for state in State if state not in ENDS)
SQL_ACTIVE = any_of("state", THE_SIX)
SQL_OPEN = any_of("state", OPEN_STATES)
SQL_MEMBER = f"reason <> '{Reason.TAKEN_OUT}'"


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that `where` is true of."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
