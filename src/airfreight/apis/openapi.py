"""One OpenAPI document for all doors: Litestar's paths, and schemas straight from the msgspec Structs.

Litestar's own schemas lose formats and limits; msgspec's are what the decoders really check.
"""

from collections.abc import Iterable
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from airfreight.apis.common.errors import ErrorResponse
from airfreight.apis.ddi import document as ddi
from airfreight.apis.device import shapes
from airfreight.apis.device_ota import document as device_ota
from airfreight.apis.device_ota.errors import Problem
from airfreight.domain.errors import Kind

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_ERROR = {"$ref": _REF.format(name="ErrorResponse")}


def document(app: Litestar) -> dict[str, Any]:
    """The whole document, ready to be encoded as JSON."""
    made: dict[str, Any] = app.openapi_schema.to_schema()
    operations = list(_operations(app, made))
    types = {kind for _, _, kinds in operations for kind in kinds} | {
        ErrorResponse,
        Problem,
        *_DEVICE_TYPES,
        *ddi.TYPES,
    }
    ordered = sorted(types, key=repr)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    by_type = dict(zip(ordered, schemas, strict=True))
    for handler, operation, _ in operations:
        _rewrite(handler, operation, by_type, made["components"]["schemas"])
    for schema in components.values():
        if all(isinstance(value, str) for value in schema.get("enum", [0])):
            schema["type"] = "string"  # msgspec leaves it out
    made["components"]["schemas"] = components
    made["components"]["securitySchemes"] |= _DEVICE_SECURITY | ddi.SECURITY
    made["paths"] |= _device_paths(by_type) | device_ota.paths(by_type[Problem]) | ddi.paths(by_type)
    return made


def _operations(app: Litestar, made: dict[str, Any]) -> Iterable[tuple[HTTPRouteHandler, dict[str, Any], list[Any]]]:
    """Every operator operation with its handler and the types it takes and answers."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                operation = made["paths"].get(route.path_format, {}).get(method.lower())
                if operation is not None:
                    kinds = [_taken(handler), _answered(handler), *_own_errors(handler).values()]
                    yield handler, operation, [kind for kind in kinds if kind]


def _taken(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401 - a type
    """What a body is, also one that may be left out."""
    field = handler.parsed_data_field
    if field is None or not field.is_optional:
        return field.annotation if field else None
    [kind] = [one for one in get_args(field.annotation) if one is not type(None)]
    return kind


def _answered(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401 - a type
    kind = handler.parsed_return_field.annotation
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    origin = get_origin(inner) or inner
    return kind if isinstance(origin, type) and issubclass(origin, msgspec.Struct) else None


def _own_errors(handler: HTTPRouteHandler) -> dict[str, Any]:
    """Status -> the body of errors that are not in the one shape: those of OAuth 2."""
    specs = (handler.responses or {}).items()
    return {str(status): spec.data_container for status, spec in specs if spec.data_container is not ErrorResponse}


def _is_open(handler: HTTPRouteHandler) -> bool:
    """Whether it can be used without a token."""
    return list(handler.security or []) == [{}]


def _can_clash(handler: HTTPRouteHandler) -> bool:
    """Whether it answers 409: what changes something, where the door has that number."""
    return handler.http_methods.isdisjoint({"GET"}) and Kind.CONFLICT not in handler.opt.get("statuses", {})


def _rewrite(
    handler: HTTPRouteHandler, operation: dict[str, Any], by_type: dict[Any, Any], named: dict[str, Any]
) -> None:
    written = getattr(handler.fn, "func", handler.fn)  # a synchronous handler comes wrapped for its thread
    docs = (written.__doc__ or "").strip()
    first, _, rest = docs.partition("\n")
    operation["summary"] = first.partition(". Needs")[0].rstrip(".")
    operation["description"] = cleandoc(rest) + "\n" if rest.strip() else docs
    if "." in operation.get("operationId", "") or not handler.operation_id:
        operation["operationId"] = handler.handler_name
    if (kind := _taken(handler)) is not None:
        field = handler.parsed_data_field
        is_needed = field is None or not (field.is_optional or field.has_default)
        operation["requestBody"] = {"required": is_needed, "content": {_JSON: {"schema": by_type[kind]}}}
    elif content := handler.opt.get("request_content"):
        operation["requestBody"] = {"required": True, "content": content}
    own_errors = _own_errors(handler)
    for status, answer in operation["responses"].items():
        answer.pop("headers", None)
        answer["description"] = answer.get("description") or HTTPStatus(int(status)).phrase
        if status.startswith("2") and (kind := _answered(handler)) is not None:
            answer["content"] = {_JSON: {"schema": by_type[kind]}}
        elif status.startswith("2") and (content := handler.opt.get("response_content")):
            answer["content"] = content
        elif status.startswith(("4", "5")):
            answer["content"] = _error_content(own_errors.get(status), by_type)
    always = (_FOR_ALL if _is_open(handler) else _ALWAYS) | (_WITH_BODY if "requestBody" in operation else {})
    if _can_clash(handler):
        always |= {"409": "It clashes with what is there"}
    for status, words in always.items():
        operation["responses"].setdefault(status, {"description": words, "content": {_JSON: {"schema": _ERROR}}})
    for parameter in operation.get("parameters", []):
        for noise in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(noise, None)
        _tidy(parameter["schema"], named)


def _error_content(own: Any, by_type: dict[Any, Any]) -> dict[str, Any]:  # noqa: ANN401 - a type
    """The body of an error: the one shape, a door's own, or a plain word."""
    if own is str:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {_JSON: {"schema": by_type[own] if own else _ERROR}}


def _tidy(schema: dict[str, Any], named: dict[str, Any]) -> None:
    """A parameter that may be left out is not one that may be null; limits are whole; enums stand in place."""
    kinds = [kind for kind in schema.get("oneOf", []) if kind.get("type") != "null"]
    if len(kinds) == 1:
        del schema["oneOf"]
        schema |= kinds[0]
    for beside in schema.pop("allOf", []):
        schema |= beside
    if "$ref" in schema:
        schema |= named[schema.pop("$ref").rpartition("/")[2]]
    for limit in ("minimum", "maximum"):
        if limit in schema:
            schema[limit] = min(int(schema[limit]), 2**63 - 1)


_FOR_ALL = {
    "400": "Something in the request is wrong; the message says what",
    "429": "Too many requests; `Retry-After` says when to go on",
}

_ALWAYS = _FOR_ALL | {
    "401": "The bearer token is missing or expired",
    "403": "The caller lacks a permission",
    "404": "Not found, or not yours",
}

_WITH_BODY = {
    "413": "The body is larger than the server accepts",
    "415": "The body has another content type than the one documented",
}

_DEVICE_SECURITY = {
    "deviceToken": {"type": "http", "scheme": "bearer", "description": "The device's own token."},
    "enrollmentKey": {"type": "http", "scheme": "bearer", "description": "The organization's enrolment key."},
}

_DEVICE_TYPES = [
    shapes.ReportsIn,
    shapes.ReportResults,
    shapes.Instruction,
    shapes.Attributes,
    shapes.EnrollIn,
    shapes.Enrolled,
    dict[str, shapes.AttributeValue],
]


def _device_paths(by_type: dict[Any, Any]) -> dict[str, Any]:
    """The device plane's paths: it is plain ASGI, so they are written here, from the same Structs."""
    wait = {"name": "wait", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 60, "default": 0}}
    which = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    file = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "/device/v1/next": {
            "get": _device(
                "nextInstruction",
                "What to do now; waits up to `wait` seconds for something to do.",
                {"200": _with(by_type[shapes.Instruction]), "204": {"description": "Nothing; see Retry-After"}},
                parameters=[wait],
            )
        },
        "/device/v1/reports": {
            "post": _device(
                "report",
                "Tell what happened. Repeats are safe; answered when it is on disk.",
                {"200": _with(by_type[shapes.ReportResults])},
                body=by_type[shapes.ReportsIn],
            )
        },
        "/device/v1/attributes": {
            "put": _device(
                "setAttributes",
                "Tell about the device, at every boot. Merged; null removes. The version judges open deliveries.",
                {"200": _with(by_type[shapes.Attributes])},
                body=by_type[dict[str, shapes.AttributeValue]],
            )
        },
        "/device/v1/enroll": {
            "post": _device(
                "enroll",
                "Become a device, with an enrolment key as the bearer token.",
                {"201": _with(by_type[shapes.Enrolled]), "409": _with(_ERROR, "This uid is enrolled already")},
                body=by_type[shapes.EnrollIn],
                key="enrollmentKey",
            )
        },
        "/device/v1/artifacts/{id}": {
            "get": _device(
                "downloadArtifact",
                "The bytes, while an attempt of the device carries them. Range, If-Range, strong ETag, Repr-Digest.",
                {
                    "200": {"description": "The whole file", "content": file},
                    "206": {"description": "The range asked for", "content": file},
                    "416": _with(_ERROR, "No byte of the file is in the range"),
                },
                parameters=[which],
            )
        },
        "/static/{file}": {"get": _static(file)},
    }


def _static(file: dict[str, Any]) -> dict[str, Any]:
    """For devices that can send no headers: the token is in the URL that they were sent."""
    text = {"type": "string", "minLength": 1}
    return {
        "tags": ["Device protocol"],
        "operationId": "downloadFile",
        "summary": "The bytes of a file, at the URL that a device at the broker was sent",
        "description": "Good for one attempt and a limited time; any wrong URL is the same 404. Range and If-Range.",
        "security": [{}],
        "parameters": [
            {"name": "file", "in": "path", "required": True, "schema": text},
            {"name": "token", "in": "query", "required": True, "schema": text},
        ],
        "responses": {
            "200": {"description": "The whole file", "content": file},
            "206": {"description": "The range asked for", "content": file},
            "404": _with(_ERROR, "No such file, or not now"),
            "416": _with(_ERROR, "No byte of the file is in the range"),
        },
    }


def _with(schema: Any, words: str = "Done") -> dict[str, Any]:  # noqa: ANN401 - a schema
    return {"description": words, "content": {_JSON: {"schema": schema}}}


def _device(
    name: str,
    words: str,
    responses: dict[str, Any],
    *,
    parameters: list[Any] | None = None,
    body: Any = None,  # noqa: ANN401 - a schema
    key: str = "deviceToken",
) -> dict[str, Any]:
    words_by_status = _ALWAYS | ({"413": _WITH_BODY["413"]} if body is not None else {})
    errors = {status: _with(_ERROR, text) for status, text in words_by_status.items() if status != "403"}
    made = {
        "tags": ["Device protocol"],
        "operationId": name,
        "summary": words.partition(".")[0],
        "description": words,
        "security": [{key: []}],
        "responses": {**errors, **responses},
    }
    if parameters:
        made["parameters"] = parameters
    if body is not None:
        made["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return made
