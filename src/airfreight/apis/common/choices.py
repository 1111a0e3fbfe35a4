"""What a place in a type may hold, where it is one of a few words: msgspec's messages do not say it."""

import enum
import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

_PLACE = re.compile(r"^(Invalid enum value)(?: .*?)? - at `(\$[^`]*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")


def with_choices(kind: Any, message: str) -> str:  # noqa: ANN401 - a type
    """A message of msgspec about a value of the type `kind`, with the words that would be right."""
    found = _PLACE.match(message)
    if found is None:
        return message
    words = choices(kind, found[2])
    return f"{found[1]}: must be {_listed(words)} - at `{found[2]}`" if words else message


def choices(kind: Any, path: str = "$") -> list[str]:  # noqa: ANN401 - a type
    """The words that fit at `path` (such as `$.reports[0].event`) of a value of this type."""
    here = [inspect.type_info(kind)]
    for step in _STEP.finditer(path):
        here = [inner for one in here for inner in _inside(one, step[1])]
    return [str(value) for one in here for plain in _alternatives(one) for value in _values(plain)]


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            yield from _alternatives(one)
    else:
        yield kind


def _inside(kind: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """The types below: of the field `name`, or of the items when it is None."""
    for one in _alternatives(kind):
        if isinstance(one, inspect.StructType) and name is not None:
            yield from (field.type for field in one.fields if field.encode_name == name)
        elif isinstance(one, inspect.ListType) and name is None:
            yield one.item_type
        elif isinstance(one, inspect.DictType) and name is None:
            yield one.value_type


def _values(kind: inspect.Type) -> Iterator[Any]:
    if isinstance(kind, inspect.EnumType):
        members: Iterator[enum.Enum] = iter(kind.cls)
        yield from (member.value for member in members)
    elif isinstance(kind, inspect.LiteralType):
        yield from kind.values
