"""All 38 operations of the contract's text as data: each is offered, in its words, under its permission; none is missed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import insert, select
from tests.apis.campaigns.conftest import Campaigns, Json, refused
from tests.make import Board

from airfreight.apis.campaigns.translate import PERMISSIONS
from airfreight.domain.access import ROLES, Role
from airfreight.store import tables

INT64 = "0"
"""In an example of an answer: a whole number as a string. "" is any string, 0 an int32."""

CAMPAIGN = "/api/campaigns/{campaign_id}"
GATEWAY = CAMPAIGN + "/devices/{gateway_id}"
ONE = {"campaignId": "<campaign>"}
BOTH = {"gatewayId": "<gateway>", "campaignId": "<campaign>"}
LIST = {"gatewayIds": ["<gateway>"], "campaignId": "<campaign>"}
CALLBACK = {"notificationDestinationId": "<destination>", "campaignId": "<campaign>"}
SETTINGS = {"settings": {"additionalProp1": "string", "additionalProp2": "string", "additionalProp3": "string"}}
PACKAGES_PROGRESS: Json = {"packagesProgress": [{"progress": INT64, "total": INT64, "id": ""}]}
GATEWAY_THINGS: Json = {
    "gateway_id": "",
    "thing_ids": [""],
    "not_processed_thing_ids": [],
    "state": "",
    "closed": False,
    "causedBy": "",
    "download_progress": [],
    "execution_progress": [],
    "timestamp": INT64,
}
PROGRAM = {"description": "", "id": "", "createdBy": "", "createdOn": INT64, "name": ""}
PAGE: Json = {"totalPages": INT64, "totalElements": INT64, "page": 0, "pageSize": 0}


@dataclass(frozen=True)
class Operation:
    """One heading of the text. `answer`: its response, by an example of each type; `state`: what the campaign has to be."""

    name: str
    method: str
    path: str
    permission: str
    body: Any = None
    answer: Json = field(default_factory=dict)
    state: str = ""
    how: Json = field(default_factory=dict)


OPERATIONS = [
    Operation("Create Campaign", "POST", "/api/campaigns", "Create Campaign",
              {"name": "string", "description": "string", "packages": ["<package>"], "campaignSettings": SETTINGS}, {"uuid": ""}),
    Operation("Edit Campaign", "PUT", CAMPAIGN, "Edit Campaign",
              {"updateSpec": {"name": "string", "description": "string", "packages": ["<package>"], "campaignSettings": SETTINGS}, **ONE},
              {"uuid": ""}),
    Operation("Delete Campaign", "DELETE", CAMPAIGN, "Delete Campaign"),
    Operation("Get Campaign", "GET", CAMPAIGN, "View Campaign", None,
              {"status": "", "name": "", "creationTime": INT64, "packages": {"packages": [""]}, "id": "", "description": ""}),
    Operation("Start Campaign by ID", "PUT", CAMPAIGN + "/start", "Start Campaign", ONE),
    Operation("Stop Campaign by ID", "PUT", CAMPAIGN + "/stop", "Stop Campaign", ONE, state="started"),
    Operation("Approve Campaign by ID", "PUT", CAMPAIGN + "/approve", "Approve Campaign", ONE, state="unapproved"),
    Operation("Register Completed Callback", "PUT", CAMPAIGN + "/callbacks/completed", "Edit Campaign", CALLBACK),
    Operation("Register Wake Up Callback", "PUT", CAMPAIGN + "/callbacks/wake-up", "Edit Campaign", CALLBACK),
    Operation("Notify Gateway", "PUT", GATEWAY + "/notify", "Edit Campaign", BOTH),
    Operation("Assign Update Packages for the Target Gateway", "PUT", GATEWAY + "/packages", "Edit Campaign",
              {**BOTH, "packages": ["<package>"]}),
    Operation("Get Updated Package Information for the Gateway in the Campaign", "GET", GATEWAY + "/packages", "View Campaign",
              None, {"packages": [""]}),
    Operation("Get Gateways Added to the Campaign", "GET", CAMPAIGN + "/devices", "View Campaign", None,
              {"pageResponse": PAGE, "gateways": [{"gatewayId": "", "state": "", "closed": True}]}),
    Operation("List Campaigns", "GET", "/api/campaigns", "View Campaign", None,
              {"campaigns": [{"name": "", "status": ""}], "page": {"number": 0, "size": 0, "sort": ""}, "pageResponse": PAGE}),
    Operation("Add Gateways to a Campaign", "POST", CAMPAIGN + "/devices", "Edit Campaign", LIST),
    Operation("Remove Gateways in a Campaign", "PUT", CAMPAIGN + "/devices", "Edit Campaign", LIST),
    Operation("Set Campaign Distribution List", "PUT", CAMPAIGN + "/distribution-list", "Edit Campaign",
              {"distributionListId": "<list>", "reevaluationIntervalSeconds": "60", **ONE}),
    Operation("Get Campaign Distribution List", "GET", CAMPAIGN + "/distribution-list", "View Campaign", None,
              {"distributionListId": "", "reevaluationIntervalSeconds": INT64, "campaignId": ""}),
    Operation("Schedule Download", "PUT", GATEWAY + "/scheduled-download", "Schedule Campaign", {"begin": "0", "end": "0"}),
    Operation("Schedule Activation", "PUT", GATEWAY + "/scheduled-activation", "Schedule Campaign", {"begin": "0", "end": "0"}),
    Operation("Schedule Execution", "PUT", GATEWAY + "/scheduled-execution", "Schedule Campaign", {"begin": "0", "end": "0"}),
    Operation("Close Campaign for a Gateway", "PUT", GATEWAY + "/close", "Edit Campaign", BOTH),
    Operation("Get Campaign State", "GET", GATEWAY + "/state", "View Campaign", None, {"state": ""}),
    Operation("Register State Change Callback", "PUT", CAMPAIGN + "/callbacks/state-change", "Edit Campaign",
              {**CALLBACK, "trackedStates": ["FAILED"]}),
    Operation("Register Execution Progress Callback", "PUT", CAMPAIGN + "/callbacks/execution-progress", "Edit Campaign", CALLBACK),
    Operation("Register Download Progress Callback", "PUT", CAMPAIGN + "/callbacks/download-progress", "Edit Campaign", CALLBACK),
    Operation("Get Execution Progress", "GET", GATEWAY + "/progress/execution", "View Campaign", None, {"progress": [""]}),
    Operation("Get Download Progress", "GET", GATEWAY + "/progress/download", "View Campaign", None, PACKAGES_PROGRESS),
    Operation("Get Active Campaigns for a Gateway", "GET", "/api/devices/{gateway_id}/active-campaigns", "View Campaign", None,
              {"campaignId": [""]}),
    Operation("Get Overall Campaign Status", "GET", CAMPAIGN + "/status", "View Campaign", None,
              {"status": "", "name": "", "campaignId": "", "numberOfGatewaysInActivationCompleteState": INT64,
               "numberOfGatewaysInExecutionCompleteState": INT64, "creationTime": INT64, "modificationTime": INT64,
               "totalNumberOfGateways": INT64, "totalNumberOfPackages": INT64, "numberOfGatewaysInDownloadCompleteState": INT64,
               "description": ""}),
    Operation("Get Campaign Status Per Gateway", "GET", GATEWAY + "/status", "View Campaign", None,
              {"campaignId": "", "campaignState": {"state": ""}, "timestamp": INT64, "downloadProgress": PACKAGES_PROGRESS,
               "executionProgress": [""], "gatewayId": ""}),
    Operation("Get Campaign Count by Status", "GET", "/api/campaign-status/campaigns", "View Campaign", None,
              {"aprovedNotStartedCount": INT64, "startedCount": INT64, "stoppedCount": INT64, "waitingApprovalCount": INT64,
               "noApprovalNeededReadyToStartCount": INT64}),
    Operation("Get Package Information", "GET", "/api/programs/{uuid}/file-info", "View Package", None, PROGRAM),
    Operation("List Packages", "GET", "/api/programs", "View Package", None, {"programs": [PROGRAM], "pageInfo": PAGE}),
    Operation("Delete a Package", "DELETE", "/api/programs/{uuid}", "Delete Package"),
    Operation("Upload Package Multipart", "POST", "/api/programs/", "Create Package", None, {"uuid": ""},
              how={"files": {"file": ("a.zip", b"some bytes")}, "data": {"description": "A"}}),
    Operation("Upload Package Streaming", "POST", "/api/programs/", "Create Package", None, {"uuid": ""},
              how={"content": b"some bytes", "params": {"description": "A"}, "headers": {"Content-Type": "application/zip", "Accept": "application/zip"}}),
    Operation("Run a Campaign on Thing Devices", "POST", "/{campaign_id}/devices/things", "Edit Campaign",
              {"gateway_things": [{"gateway_id": "<gateway>", "thing_ids": ["<thing>"]}]},
              {"gateway_things": [GATEWAY_THINGS], "not_processed_thing_ids": []}),
]  # fmt: skip

OURS = {
    ("GET", "/api/tokens"),
    ("GET", "/api/tokens/refresh"),
    ("PUT", "/api/users/logout"),
    ("GET", "/api/me"),
    ("GET", "/api/versions"),
    ("POST", "/api/campaigns/{}/devices/things"),
    ("GET", "/api/organizations/{}/settings"),
    ("PUT", "/api/organizations/{}/settings"),
    ("POST", "/api/notification-destinations"),
    ("GET", "/api/notification-destinations"),
    ("GET", "/api/notification-destinations/{}"),
    ("PUT", "/api/notification-destinations/{}"),
    ("DELETE", "/api/notification-destinations/{}"),
}
"""Around the 38: how to sign in, where approval is asked for, and where callbacks go."""


def plain(path: str) -> str:
    """An address without the names of its parameters, and without a slash at its end."""
    parts = ["{}" if part.startswith("{") else part for part in path.rstrip("/").split("/")]
    return "/".join(parts)


def by_name(operation: Operation) -> str:
    return operation.name


def test_there_are_38_of_them_and_each_has_a_name() -> None:
    assert len(OPERATIONS) == 38
    assert len({one.name for one in OPERATIONS}) == 38
    assert {one.permission for one in OPERATIONS} == set(PERMISSIONS)


def test_the_document_has_all_of_them_and_nothing_else(door: Campaigns) -> None:
    document = door.site.ask("GET", "/openapi.json", None).json()
    tags = {"Campaigns", "Packages"}
    offered = {
        (method.upper(), plain(path))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tags & set(operation["tags"])
    }
    assert offered == {(one.method, plain(one.path)) for one in OPERATIONS} | OURS


def address(door: Campaigns, operation: Operation) -> tuple[str, Any]:
    """Path and body, with the ids of a campaign in the right state, with one gateway in it."""
    used, unused = door.upload(), door.upload("b.iotcp")
    [board] = door.gateways()
    if operation.state == "unapproved":
        door.settings(approvalNeeded=True)
    campaign = door.create(used)
    if operation.name != "Add Gateways to a Campaign":
        door.add(campaign, [board])
        print_a_line(door, board)
    if operation.state == "started":
        door.steer(campaign, "start")
    [thing] = door.gateways()
    door.behind(thing, board)
    path = operation.path.format(campaign_id=campaign, gateway_id=board.uid, uuid=unused)
    ids = {"<campaign>": campaign, "<gateway>": board.uid, "<package>": unused, "<thing>": thing.uid}
    return path, filled(operation.body, ids | {"<destination>": door.destination(), "<list>": door.group()})


def print_a_line(door: Campaigns, board: Board) -> None:
    """As if its installation had printed it."""
    [row] = door.site.rows(select(tables.deliveries.c.id).where(tables.deliveries.c.device_id == board.id))
    with door.site.database.write() as connection:
        connection.execute(insert(tables.delivery_lines).values(delivery_id=row.id, at=1, line="one"))


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    return ids.get(value, value)


def differs(wanted: Any, found: Any, place: str = "$") -> list[str]:
    """Where an answer has not what the text shows; more than that it may have."""
    if type(wanted) is not type(found):
        return [f"{place}: {type(found).__name__} instead of {type(wanted).__name__}"]
    if isinstance(wanted, dict):
        missing = [f"{place}.{name} is missing" for name in wanted if name not in found]
        return missing + [
            w for name in wanted if name in found for w in differs(wanted[name], found[name], f"{place}.{name}")
        ]
    if isinstance(wanted, list):
        empty = [f"{place} is empty"] if wanted and not found else []
        return empty + [w for one in found for w in differs(wanted[0], one, f"{place}[]")]
    if wanted == INT64 and not (found.isascii() and found.isdigit()):
        return [f"{place}: no whole number"]
    return []


@pytest.mark.parametrize(
    ("wanted", "found", "wrong"),
    [
        ({"a": INT64}, {"a": 1}, "$.a: int instead of str"),
        ({"a": INT64}, {"a": "x"}, "$.a: no whole number"),
        ({"a": 0}, {"a": "1"}, "$.a: str instead of int"),
        ({"a": True}, {"a": 1}, "$.a: int instead of bool"),
        ({"a": [""]}, {"a": []}, "$.a is empty"),
        ({"a": [{"b": ""}]}, {"a": [{"B": ""}]}, "$.a[].b is missing"),
    ],
)
def test_an_answer_that_differs_is_seen(wanted: Json, found: Json, wrong: str) -> None:
    assert differs(wanted, found) == [wrong]


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_it_answers_as_the_text_says(door: Campaigns, operation: Operation) -> None:
    path, body = address(door, operation)
    how = dict(operation.how) if body is None else {"json": body}
    answer = door.ask(operation.method, path, **how)
    assert answer.status_code == 200, answer.text
    assert differs(operation.answer, answer.json()) == []
    if not operation.answer:
        assert answer.json() == {}


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_it_needs_its_permission(door: Campaigns, operation: Operation) -> None:
    needed = PERMISSIONS[operation.permission]
    for role in Role:
        path, body = address(door, operation)
        how = dict(operation.how) if body is None else {"json": body}
        answer = door.ask(operation.method, path, str(role), **how)
        if needed in ROLES[role]:
            assert answer.status_code == 200, (role, answer.text)
        else:
            assert needed in refused(answer, 403, "forbidden", 7)


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_a_stranger_hears_401_and_the_neighbour_404(door: Campaigns, operation: Operation) -> None:
    path, body = address(door, operation)
    how = dict(operation.how) if body is None else {"json": body}
    refused(door.ask(operation.method, path, None, **how), 401, "unauthenticated", 16)
    neighbour = door.site.http(door.site.people(door.site.organization("somebody else's"))["client"])
    answer = neighbour.request(operation.method, path, **how)
    if "{" in operation.path:
        refused(answer, 404, "not_found", 5)
    elif operation.method == "GET":
        said = answer.json()
        page = said.get("pageResponse") or said.get("pageInfo") or said
        assert {value for name, value in page.items() if name not in {"page", "pageSize"}} == {"0"}
