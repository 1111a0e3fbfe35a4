"""Query parameters before the framework converts them: each given once, whole numbers in plain digits.

The framework takes `1e3` for a thousand, the word null for none, and of two values the last one.
"""

import re
from typing import Any, NamedTuple

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.typing import FieldDefinition

from airfreight.domain.errors import invalid

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)


class _Declared(NamedTuple):
    is_text: bool
    is_whole: bool
    is_list: bool


class QueryCheck:
    """A guard for every route. Raises Refusal(INVALID) with the name of the parameter."""

    def __init__(self) -> None:
        self._by_handler: dict[str, dict[str, _Declared]] = {}

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if not connection.scope["query_string"]:
            return
        declared = self._by_handler.get(handler.handler_id)
        if declared is None:
            declared = self._by_handler[handler.handler_id] = _declared(handler, set(connection.path_params))
        seen = set()
        for name, value in connection.query_params.multi_items():
            one = declared.get(name)
            if one is None:
                continue
            if name in seen and not one.is_list:
                raise invalid(f"{name} is given more than once.")
            if one.is_whole and not _WHOLE.fullmatch(value):
                raise invalid(f"{name} must be a whole number, in plain digits.")
            if not one.is_text and value.lower() == "null":
                raise invalid(f"{name} cannot be null; leave it out instead.")
            seen.add(name)


def _declared(handler: BaseRouteHandler, in_path: set[str]) -> dict[str, _Declared]:
    """The parameters of the handler by their names on the wire."""
    fields = handler.parsed_fn_signature.parameters
    return {
        getattr(field.kwarg_definition, "name", None) or name: _Declared(
            _has(field, str), _has(field, int), field.is_non_string_sequence
        )
        for name, field in fields.items()
        if name not in in_path
    }


def _has(field: FieldDefinition, wanted: type) -> bool:
    return any(kind.annotation is wanted for kind in (field, *field.inner_types))
