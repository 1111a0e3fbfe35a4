"""Our OpenAPI document against the contract, fact by fact; and live answers against its schemas."""

from typing import Any

import jsonschema
import pytest
from tests.apis.shipments.contract import (
    CONTRACT,
    OPERATIONS,
    REQUEST,
    Json,
    differences,
    for_jsonschema,
    resolved,
)
from tests.apis.site import Site

PATH = "/api/v1/organization/shipment"
SCHEMAS = CONTRACT["components"]["schemas"]


@pytest.fixture
def ours(site: Site) -> Json:
    document: Json = site.ask("GET", "/openapi.json", None).json()
    return document


def operation(document: Json, path: str, method: str) -> Json:
    found: Json = document["paths"][path][method]
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_the_contracts(ours: Json, name: str) -> None:
    assert list(differences(SCHEMAS[name], ours["components"]["schemas"][name], ours, name)) == []


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_is_named_and_described_as_in_the_contract(ours: Json, path: str, method: str) -> None:
    wanted, mine = operation(CONTRACT, path, method), operation(ours, path, method)
    for key in ("operationId", "summary", "description", "tags"):
        assert mine.get(key) == wanted[key], key


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_takes_the_contracts_parameters(ours: Json, path: str, method: str) -> None:
    wanted = {one["name"]: one for one in operation(CONTRACT, path, method).get("parameters", [])}
    mine = {one["name"]: one for one in operation(ours, path, method).get("parameters", [])}
    assert mine.keys() == wanted.keys()
    for name, one in wanted.items():
        assert mine[name]["in"] == one["in"]
        assert mine[name].get("required", False) == one.get("required", False)
        assert mine[name]["description"] == one["description"]
        assert list(differences(one["schema"], mine[name]["schema"], ours, name)) == []


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_takes_the_contracts_body(ours: Json, path: str, method: str) -> None:
    wanted, mine = (operation(document, path, method).get("requestBody") for document in (CONTRACT, ours))
    assert (wanted is None) == (mine is None)
    if wanted and mine:
        assert mine["required"] is True
        assert mine["content"].keys() == wanted["content"].keys()
        assert list(differences(REQUEST, mine["content"]["application/json"]["schema"], ours, "body")) == []


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_answers_with_the_contracts_statuses_and_schemas(ours: Json, path: str, method: str) -> None:
    """Ours has more: 401 is missing in the contract, and some of its errors have no body there."""
    wanted, mine = (operation(document, path, method)["responses"] for document in (CONTRACT, ours))
    assert wanted.keys() <= mine.keys()
    assert {status for status in mine if status.startswith("2")} == {s for s in wanted if s.startswith("2")}
    for status, answer in wanted.items():
        assert mine[status]["description"] == answer["description"], status
        if "content" in answer:
            schema = mine[status]["content"]["application/json"]["schema"]
            assert list(differences(answer["content"]["application/json"]["schema"], schema, ours, status)) == []
        elif status.startswith("2"):
            assert "content" not in mine[status]


def test_the_comparison_sees_differences() -> None:
    """Else all of the above would prove nothing."""
    good = SCHEMAS["Shipment"]

    def changed(**properties: Any) -> Json:
        return {**good, "properties": {**good["properties"], **properties}}

    status = good["properties"]["status"]
    for wrong in (
        changed(id={"type": "integer", "format": "int32", "description": "Shipment unique identifier"}),
        changed(status={**status, "enum": ["RUN"]}),
        changed(status={**status, "description": "words"}),
        changed(deviceIds={"type": "array", "items": {"type": "string"}, "description": "d"}),
        changed(extra={"type": "string"}),
        changed(firmwareInfo={"type": "string"}),
        {**good, "required": ["id"]},
        {**good, "type": "array"},
    ):
        assert list(differences(good, wrong, CONTRACT)), wrong
    assert list(differences(good, good, CONTRACT)) == []


def check(answer: Any, schema: Json) -> None:
    jsonschema.validate(answer, for_jsonschema(schema))


def test_the_checker_of_answers_sees_errors() -> None:
    for wrong in ({"id": "1"}, {"id": 2**63}, {"productId": 2**31}, {"status": "DONE"}, {"extra": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, SCHEMAS["Shipment"])
    with pytest.raises(jsonschema.ValidationError):
        check({"firmwareInfo": {"type": "CPU"}}, SCHEMAS["Shipment"])


def test_live_answers_of_all_five_operations_are_the_contracts(site: Site) -> None:
    [board, other] = site.devices(site.product_id, 2)
    shipment = SCHEMAS["Shipment"]
    created = site.create(to=[board, other])
    check(created, shipment)
    site.report(board, site.poll(board).attempt_id, 1, "downloading")
    found = site.ask("GET", PATH, params={"shipmentId": created["id"]})
    check(found.json(), shipment)
    listed = site.ask("GET", PATH + "s")
    check(listed.json(), {"type": "array", "items": shipment})
    assert listed.json() == [found.json()]
    stopped = site.ask("PUT", PATH + "/stop", params={"shipmentId": created["id"]})
    assert stopped.status_code == 200
    check(stopped.json(), shipment)
    assert stopped.json()["status"] == "CANCEL"
    deleted = site.ask("DELETE", PATH, params={"shipmentId": created["id"]})
    assert (deleted.status_code, deleted.content) == (204, b"")
    missing = site.ask("GET", PATH, params={"shipmentId": created["id"]})
    assert missing.status_code == 404
    check(missing.json(), SCHEMAS["ErrorResponse"])


def test_an_answer_has_every_property(site: Site) -> None:
    """The contract marks none as required; clients read them all."""
    shown = site.get(site.create()["id"])
    assert shown.keys() == SCHEMAS["Shipment"]["properties"].keys()
    assert shown["firmwareInfo"].keys() == SCHEMAS["FirmwareInfo"]["properties"].keys()
    assert shown["shipmentProgress"].keys() == SCHEMAS["ShipmentProgress"]["properties"].keys()


def test_the_upload_is_documented_as_a_form(ours: Json) -> None:
    upload = operation(ours, "/api/upload", "post")
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert sorted(form["required"]) == ["type", "upfile"]
    assert form["properties"]["type"]["enum"] == ["FIRMWARE"]
    answer = resolved(ours, upload["responses"]["200"]["content"]["application/json"]["schema"])
    assert answer["properties"].keys() == {"path", "firmwareInfo"}


SIGN_IN = {("/v1/auth/login", "401"), ("/v1/auth/login", "429")}


def test_every_operation_of_the_document_has_an_id_of_its_own_and_an_error_body(ours: Json) -> None:
    ids = [operation["operationId"] for methods in ours["paths"].values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    for path, methods in ours["paths"].items():
        for method, one in methods.items():
            for status, answer in one["responses"].items():
                if not status.startswith(("4", "5")) or path == "/oauth2/token":
                    continue
                if (status, path[:4]) == ("401", "/v1/") and path != "/v1/auth/login":
                    assert answer["content"] == {"text/plain": {"schema": {"type": "string"}}}
                    continue
                if "/controller/v1/" in path and status in {"401", "404", "410"}:
                    assert "content" not in answer
                    continue
                schema = resolved(ours, answer["content"]["application/json"]["schema"])
                assert schema["required"] == _own(path, status), (path, method, status)


def _own(path: str, status: str) -> list[str]:
    """What an error has at the door of this address."""
    if "/controller/v1/" in path:
        return ["exceptionClass", "errorCode", "message"]
    if path.startswith("/v1/") and (path, status) not in SIGN_IN:
        return ["message"]
    is_campaigns = path.startswith(("/api/", "/{campaign_id}/")) and not path.startswith(
        ("/api/v1/", "/api/v2/", "/api/upload")
    )
    return ["code", "message"] if is_campaigns else ["error"]
