"""The paths of this door for the OpenAPI document: it is plain ASGI, so they are written here, from its Structs."""

from typing import Any

from airfreight.apis.ddi.shapes import (
    Artifact,
    Base,
    CancelAction,
    Confirmation,
    ConfirmationBase,
    ConfirmationOf,
    DeploymentBase,
    Execution,
    Finished,
)
from airfreight.apis.ddi.wire import ErrorBody, Media
from airfreight.services.attributes import How

TYPES = [Base, DeploymentBase, CancelAction, ConfirmationBase, ConfirmationOf, list[Artifact], ErrorBody]
SECURITY = {
    "targetToken": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`TargetToken` and the device's own token, or `GatewayToken` and the organization's.",
    }
}

_ROOT = "/{tenant}/controller/v1/{controllerId}"
_NUMBER = {"type": "integer", "minimum": 1001, "maximum": 2**31 - 1}
_TEXT = {"type": "string", "minLength": 1}
_WORDS = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

_FEEDBACK = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "timestamp": {"type": "integer"},
        "status": {
            "type": "object",
            "required": ["execution", "result"],
            "properties": {
                "execution": {"type": "string", "enum": list(Execution)},
                "result": {
                    "type": "object",
                    "required": ["finished"],
                    "properties": {
                        "finished": {"type": "string", "enum": list(Finished)},
                        "progress": {
                            "type": "object",
                            "properties": {"cnt": {"type": "integer"}, "of": {"type": "integer"}},
                        },
                    },
                },
                "code": {"type": "integer"},
                "details": _WORDS,
            },
        },
    },
}
_CONFIRMATION = {
    "type": "object",
    "required": ["confirmation"],
    "properties": {
        "confirmation": {"type": "string", "enum": list(Confirmation)},
        "code": {"type": "integer"},
        "details": _WORDS,
    },
}
_CONFIG = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "mode": {"type": "string", "enum": list(How), "default": How.MERGE.value},
        "data": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": ["string", "null"], "maxLength": 128},
        },
    },
}
_CONSENT = {"type": "object", "properties": {"initiator": {"type": "string"}, "remark": {"type": "string"}}}
_INSTALLED = {"type": "object", "required": ["name", "version"], "properties": {"name": _TEXT, "version": _TEXT}}


def paths(by_type: dict[Any, Any]) -> dict[str, Any]:
    """Path -> method -> operation; `by_type`: the schemas of TYPES."""
    make = _Maker(by_type)
    look, tell, put = make.get, make.post, make.put
    base, confirm = _ROOT + "/deploymentBase", _ROOT + "/confirmationBase"
    files = _ROOT + "/softwaremodules/{moduleId}/artifacts"
    found = {
        _ROOT: look("ddiBase", "What there is to do, and when to ask again", Base),
        _ROOT + "/configData": put("ddiConfigData", "Tell the attributes", _CONFIG),
        base + "/{actionId}": look("ddiDeployment", "An action, with its files", DeploymentBase),
        base + "/{actionId}/feedback": tell("ddiFeedback", "Tell how an action goes", _FEEDBACK),
        _ROOT + "/cancelAction/{actionId}": look("ddiCancel", "Which action is to be cancelled", CancelAction),
        _ROOT + "/cancelAction/{actionId}/feedback": tell("ddiCancelFeedback", "Tell what came of that", _FEEDBACK),
        _ROOT + "/installedBase": put("ddiInstalled", "Tell what is installed", _INSTALLED),
        _ROOT + "/installedBase/{actionId}": look("ddiInstalledAction", "An action that is over", DeploymentBase),
        confirm: look("ddiConfirmations", "Whether updates wait for the user", ConfirmationBase),
        confirm + "/{actionId}": look("ddiConfirmation", "What the user is to confirm", ConfirmationOf),
        confirm + "/{actionId}/feedback": tell("ddiConfirm", "The user's yes or no", _CONFIRMATION),
        confirm + "/activateAutoConfirm": tell("ddiAutoConfirm", "Yes to whatever comes", _CONSENT, is_needed=False),
        confirm + "/deactivateAutoConfirm": tell("ddiNoAutoConfirm", "Ask the user each time", None),
        files: look("ddiArtifacts", "The files of a software module", list[Artifact]),
        files + "/{fileName}": make.file("ddiArtifact", "The bytes of a file; Range, several too", _BYTES),
        files + "/{fileName}.MD5SUM": make.file("ddiMd5", "A line for md5sum", {"text/plain": {"schema": _TEXT}}),
    }
    for path, operations in found.items():
        for operation in operations.values():
            operation["parameters"] = _parameters(path)
    return found


class _Maker:
    """Operations that differ in their bodies alone."""

    def __init__(self, by_type: dict[Any, Any]) -> None:
        self._by_type = by_type
        self._error = self._content(by_type[ErrorBody])

    def get(self, name: str, words: str, kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
        answer = {"description": "Done", "content": self._content(self._by_type[kind])}
        return {"get": self._operation(name, words, {"200": answer, "304": {"description": "As it was"}})}

    def file(self, name: str, words: str, content: dict[str, Any]) -> dict[str, Any]:
        answers = {status: {"description": text, "content": content} for status, text in _PARTS.items()}
        return {"get": self._operation(name, words, answers)}

    def post(self, name: str, words: str, body: Any, *, is_needed: bool = True) -> dict[str, Any]:  # noqa: ANN401
        made = self._operation(name, words, {"200": {"description": "Done"}} | self._errors("409"))
        return {"post": made | self._body(body, is_needed=is_needed)}

    def put(self, name: str, words: str, body: Any) -> dict[str, Any]:  # noqa: ANN401 - a schema
        answers = {"200": {"description": "Done"}, "201": {"description": "New"}}
        return {"put": self._operation(name, words, answers) | self._body(body, is_needed=True)}

    def _body(self, schema: Any, *, is_needed: bool) -> dict[str, Any]:  # noqa: ANN401 - a schema
        if schema is None:
            return {}
        return {"requestBody": {"required": is_needed, "content": self._content(schema, Media.JSON, Media.CBOR)}}

    def _content(self, schema: Any, *media: Media) -> dict[str, Any]:  # noqa: ANN401 - a schema
        return {kind.value: {"schema": schema} for kind in media or Media}

    def _errors(self, *statuses: str) -> dict[str, Any]:
        return {status: {"description": _ERRORS[status], "content": self._error} for status in statuses}

    def _operation(self, name: str, words: str, answers: dict[str, Any]) -> dict[str, Any]:
        return {
            "tags": ["DDI"],
            "operationId": name,
            "summary": words,
            "description": words + ".",
            "security": [{"targetToken": []}],
            "responses": {
                "401": {"description": "Nothing that was shown lets the device in"},
                "404": {"description": "Not found, or not now"},
                "410": {"description": "The action is over"},
                **self._errors("400", "405", "406", "415", "429"),
                **answers,
            },
        }


_PARTS = {"200": "The whole", "206": "The ranges asked for"}
_ERRORS = {
    "400": "Something in the request is wrong",
    "405": "Not this method, or not in this state",
    "406": "Neither JSON nor CBOR is accepted",
    "409": "It is so already",
    "415": "The body is neither JSON nor CBOR",
    "429": "Too much; `Retry-After` says when to go on",
}


def _parameters(path: str) -> list[dict[str, Any]]:
    """Of the path, in order."""
    kinds = {"actionId": _NUMBER, "moduleId": {"type": "integer", "minimum": 1}}
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    return [{"name": name, "in": "path", "required": True, "schema": kinds.get(name, _TEXT)} for name in names]
