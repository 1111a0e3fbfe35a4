"""The plane's two addresses for the OpenAPI document: it is plain ASGI, so they are written here."""

from typing import Any

from airfreight.apis.device_ota.plane import DOWNLOAD, LATEST

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_NOT_FOUND = "No such device, or nothing for it now; the same whatever is wrong"


def paths(problem: Any) -> dict[str, Any]:  # noqa: ANN401 - a schema
    """`problem` is the schema of this door's errors."""

    def error(words: str) -> dict[str, Any]:
        return {"description": words, "content": {"application/json": {"schema": problem}}}

    latest = {
        "type": "object",
        "properties": {"ver": {"type": "string", "maxLength": 32}},
        "required": ["ver"],
        "additionalProperties": False,
    }
    return {
        f"{LATEST}{{deviceId}}": _get(
            "latestDeviceVersion",
            "The version of the device's last upload. Limited by address.",
            {"name": "deviceId", "schema": {"type": "string", "pattern": "^[0-9a-f]{24}$"}},
            {
                "200": {"description": "The version", "content": {"application/json": {"schema": latest}}},
                "404": error(_NOT_FOUND),
                "429": error("Too many requests from this address; `Retry-After` says when to go on"),
            },
        ),
        f"{DOWNLOAD}{{deviceIdAndToken}}": _get(
            "downloadDeviceFirmware",
            "The file of the device's last upload. Id and token follow each other without anything between them.",
            {"name": "deviceIdAndToken", "schema": {"type": "string", "pattern": "^[0-9a-f]{24}[A-Za-z0-9_-]{32}$"}},
            {
                "200": {"description": "The whole file", "content": _BINARY},
                "206": {"description": "The range asked for", "content": _BINARY},
                "304": {"description": "The device has it already"},
                "404": error(_NOT_FOUND),
                "416": error("No byte of the file is in the range"),
            },
        ),
    }


def _get(name: str, words: str, parameter: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any]:
    return {
        "get": {
            "tags": ["Device OTA"],
            "operationId": name,
            "summary": words.partition(".")[0],
            "description": words,
            "security": [{}],
            "parameters": [{**parameter, "in": "path", "required": True}],
            "responses": responses,
        }
    }
