"""Strict JSON bodies for Litestar routes: exact types, unknown fields refused, the message names the field.

Litestar's own conversion takes "1" for an integer; this decodes with msgspec's strict mode instead.
"""

from typing import Any, ClassVar

import msgspec
from litestar.connection import ASGIConnection
from litestar.dto import AbstractDTO
from litestar.typing import FieldDefinition
from typing_extensions import override

from airfreight.apis.common.choices import with_choices
from airfreight.apis.common.errors import safe_words
from airfreight.domain.errors import Kind, Refusal, invalid


class In(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Base of request bodies of the native API: camelCase on the wire."""


class Out(msgspec.Struct, kw_only=True, rename="camel"):
    """Base of answers of the native API: camelCase on the wire."""


class Body(AbstractDTO[Any]):
    """Decodes the body of every route of an app that has it as its `dto`; the schema is the Struct's own."""

    _decoders: ClassVar[dict[str, msgspec.json.Decoder[Any]]] = {}

    @override
    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[Any] | None = None
    ) -> None:
        cls._decoders[handler_id] = msgspec.json.Decoder(field_definition.annotation)

    @override
    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return True

    @override
    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Any:
        return schema_creator.for_field_definition(field_definition)

    @override
    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        yield from ()

    @override
    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    def __init__(self, asgi_connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        super().__init__(asgi_connection)
        content_type = asgi_connection.headers.get("content-type") or "application/json"
        self._is_json = content_type.partition(";")[0].strip().lower() == "application/json"

    @override
    def decode_bytes(self, value: bytes) -> Any:
        """Raises Refusal(INVALID) with what is wrong and where."""
        if not self._is_json:
            raise Refusal(Kind.UNSUPPORTED, "The body must be sent as Content-Type: application/json.")
        return decode(self._decoders[self.asgi_connection.route_handler.handler_id], value)


def decode(decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:  # noqa: ANN401 - what the decoder makes
    """`value` as the decoder's type. Raises Refusal(INVALID); the message never repeats what was sent."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise invalid(safe_words(with_choices(decoder.type, str(error)))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("The body is not JSON.", "not_json") from None
