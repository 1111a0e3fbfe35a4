"""The plane's addresses for the OpenAPI document: it is plain ASGI, so they are written here."""

from typing import Any

from airfreight.apis.device_ota.plane import DOWNLOAD, GROUP_DOWNLOAD, GROUP_LATEST, LATEST

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_VERSION = {
    "type": "object",
    "properties": {"ver": {"type": "string", "maxLength": 32}},
    "required": ["ver"],
    "additionalProperties": False,
}


def paths(problem: Any) -> dict[str, Any]:  # noqa: ANN401 - a schema
    """`problem` is the schema of this door's errors."""
    return _paths(problem, "device", LATEST, DOWNLOAD) | _paths(problem, "group", GROUP_LATEST, GROUP_DOWNLOAD)


def _paths(problem: Any, whose: str, latest: str, download: str) -> dict[str, Any]:  # noqa: ANN401 - a schema
    def error(words: str) -> dict[str, Any]:
        return {"description": words, "content": {"application/json": {"schema": problem}}}

    not_found = error(f"No such {whose}, or nothing for it now; the same whatever is wrong")
    both = {"type": "string", "pattern": "^[0-9a-f]{24}[A-Za-z0-9_-]{32}$"}
    return {
        f"{latest}{{{whose}Id}}": _get(
            f"latest{whose.title()}Version",
            f"The version of the {whose}'s last upload. Limited by address.",
            {"name": f"{whose}Id", "schema": {"type": "string", "pattern": "^[0-9a-f]{24}$"}},
            {
                "200": {"description": "The version", "content": {"application/json": {"schema": _VERSION}}},
                "404": not_found,
                "429": error("Too many requests from this address; `Retry-After` says when to go on"),
            },
        ),
        f"{download}{{{whose}IdAndToken}}": _get(
            f"download{whose.title()}Firmware",
            f"The file of the {whose}'s last upload. Id and token follow each other without anything between them.",
            {"name": f"{whose}IdAndToken", "schema": both},
            {
                "200": {"description": "The whole file", "content": _BINARY},
                "206": {"description": "The range asked for", "content": _BINARY},
                "304": {"description": "The device has it already"},
                "404": not_found,
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
