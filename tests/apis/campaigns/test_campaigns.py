"""Campaigns from their making to their end: what is kept, approval, which moves are legal, lists and counts."""

import pytest
from tests.apis.campaigns.conftest import Campaigns, refused

CAMPAIGNS = "/api/campaigns"


def test_what_is_said_of_a_campaign_is_kept(door: Campaigns) -> None:
    packages = [door.upload(), door.upload("b.iotcp")]
    settings = {"settings": {"additional_prop": "x", "additionalProp": ""}}
    campaign = door.create(*packages, name="Ünï", description="why", campaignSettings=settings)
    told = door.ok("GET", f"{CAMPAIGNS}/{campaign}")
    assert int(told.pop("creationTime")) > 0
    assert told == {
        "status": "CREATED",
        "name": "Ünï",
        "packages": {"packages": packages},
        "id": campaign,
        "description": "why",
        "approvalNeeded": False,
        "hasApproval": False,
        "preDeliveryCallback": "",
        "postDeliveryCallback": "",
        "campaignSettings": settings,
    }


def test_an_edit_changes_what_it_names_and_leaves_the_rest(door: Campaigns) -> None:
    first, second = door.upload(), door.upload("b.iotcp")
    campaign = door.create(first, description="why", campaignSettings={"settings": {"a": "b"}})

    def edit(**spec: object) -> None:
        made = door.ok("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": spec, "campaignId": campaign})
        assert made == {"uuid": campaign}

    edit(name="another")
    edit(packages=[second, first])
    told = door.ok("GET", f"{CAMPAIGNS}/{campaign}")
    assert (told["name"], told["description"], told["packages"]["packages"]) == ("another", "why", [second, first])
    assert told["campaignSettings"] == {"settings": {"a": "b"}}
    edit(packages=[], campaignSettings={"settings": {}}, description="")
    told = door.ok("GET", f"{CAMPAIGNS}/{campaign}")
    assert (told["description"], told["packages"]["packages"], told["campaignSettings"]) == ("", [], {"settings": {}})


def test_a_started_one_may_be_renamed_but_carries_what_it_carries(door: Campaigns) -> None:
    first, second = door.upload(), door.upload("b.iotcp")
    campaign = door.started(first)
    door.ok("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": {"name": "another", "packages": [first]}})
    answer = door.ask("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": {"packages": [second]}})
    assert "Stop it first" in refused(answer, 400, "wrong_state", 9)
    door.steer(campaign, "stop")
    door.ok("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": {"packages": [second]}})
    assert door.status(campaign) == "STOPPED"


MOVES = {
    "CREATED": {"approve": None, "start": "STARTED", "stop": None},
    "APPROVAL_NEEDED": {"approve": "APPROVED", "start": None, "stop": None},
    "APPROVED": {"approve": None, "start": "STARTED", "stop": None},
    "STARTED": {"approve": None, "start": "STARTED", "stop": "STOPPED"},
    "STOPPED": {"approve": None, "start": "STARTED", "stop": "STOPPED"},
}

LEGAL = {
    "CREATED": "started, changed, deleted",
    "APPROVAL_NEEDED": "approved, changed, deleted",
    "APPROVED": "started, changed, deleted",
    "STARTED": "stopped",
    "STOPPED": "started, changed, deleted",
}
"""What is said of them; a repeated start or stop changes nothing."""


def in_status(door: Campaigns, status: str) -> str:
    door.settings(approvalNeeded=status.startswith("APPROV"))
    campaign = door.create(door.upload())
    for verb in {"APPROVED": ["approve"], "STARTED": ["start"], "STOPPED": ["start", "stop"]}.get(status, []):
        door.steer(campaign, verb)
    assert door.status(campaign) == status
    return campaign


@pytest.mark.parametrize("status", MOVES)
def test_legal_moves_are_made_and_illegal_ones_name_the_legal_ones(door: Campaigns, status: str) -> None:
    for verb, after in MOVES[status].items():
        campaign = in_status(door, status)
        if after is not None:
            door.steer(campaign, verb)
            assert door.status(campaign) == after
            continue
        words = refused(door.ask("PUT", f"{CAMPAIGNS}/{campaign}/{verb}"), 400, "wrong_state", 9)
        assert f"is in {status} and cannot be" in words
        assert words.endswith(f"it can be: {LEGAL[status]}.")
        assert door.status(campaign) == status


@pytest.mark.parametrize("status", MOVES)
def test_what_is_not_started_can_be_deleted(door: Campaigns, status: str) -> None:
    campaign = in_status(door, status)
    [board] = door.gateways()
    door.add(campaign, [board])
    answer = door.ask("DELETE", f"{CAMPAIGNS}/{campaign}")
    if status == "STARTED":
        assert "stopped" in refused(answer, 400, "wrong_state", 9)
        return
    assert (answer.status_code, answer.json()) == (200, {})
    refused(door.ask("GET", f"{CAMPAIGNS}/{campaign}"), 404, "not_found", 5)
    assert door.ok("GET", f"/api/devices/{board.uid}/active-campaigns") == {"campaignId": []}


def test_nothing_starts_without_packages(door: Campaigns) -> None:
    campaign = door.create()
    refused(door.ask("PUT", f"{CAMPAIGNS}/{campaign}/start"), 400, "no_artifacts", 3)
    assert door.status(campaign) == "CREATED"


def test_approval_is_asked_for_as_it_was_at_the_making(door: Campaigns) -> None:
    before = door.create(door.upload())
    path = f"/api/organizations/{door.site.organization_id}/settings"
    assert door.ok("GET", path) == [
        {"category": "campaign", "settings": {"approvalNeeded": False, "fourEyes": False}, "finalSettings": {}}
    ]
    door.settings(approvalNeeded=True)
    door.settings(fourEyes=True)
    assert door.ok("GET", path, params={"category": "campaign"})[0]["settings"] == {
        "approvalNeeded": True,
        "fourEyes": True,
    }
    after = door.create(door.upload())
    door.settings(approvalNeeded=False)
    assert (door.status(before), door.status(after)) == ("CREATED", "APPROVAL_NEEDED")
    assert door.ok("GET", f"{CAMPAIGNS}/{after}")["approvalNeeded"] is True


def test_of_four_eyes_two_are_somebody_elses(door: Campaigns) -> None:
    door.settings(approvalNeeded=True, fourEyes=True)
    package = door.upload()
    by_staff, by_admin = door.create(package, who="staff"), door.create(package, who="admin")
    answer = door.ask("PUT", f"{CAMPAIGNS}/{by_admin}/approve", "admin")
    assert "cannot approve" in refused(answer, 403, "forbidden", 7)
    refused(door.ask("PUT", f"{CAMPAIGNS}/{by_admin}/approve", "client"), 403, "forbidden", 7)
    assert door.status(by_admin) == "APPROVAL_NEEDED", "nor through the API client that acts for the same user"
    refused(door.ask("PUT", f"{CAMPAIGNS}/{by_staff}/approve", "staff"), 403, "forbidden", 7)
    door.steer(by_staff, "approve", "admin")
    assert door.ok("GET", f"{CAMPAIGNS}/{by_staff}")["hasApproval"] is True


def test_who_chose_the_packages_does_not_approve_them_either(door: Campaigns) -> None:
    door.settings(approvalNeeded=True, fourEyes=True)
    package, other = door.upload(), door.upload("b.iotcp")
    edited, given = (door.create(package, who="staff") for _ in range(2))
    door.ok("PUT", f"{CAMPAIGNS}/{edited}", "admin", json={"updateSpec": {"packages": [other]}})
    refused(door.ask("PUT", f"{CAMPAIGNS}/{edited}/approve", "admin"), 403, "forbidden", 7)
    refused(door.ask("PUT", f"{CAMPAIGNS}/{edited}/approve", "client"), 403, "forbidden", 7)
    [board] = door.gateways()
    door.add(given, [board])
    path = f"{CAMPAIGNS}/{given}/devices/{board.uid}/packages"
    door.ok("PUT", path, "admin", json={"packages": [other]})
    refused(door.ask("PUT", f"{CAMPAIGNS}/{given}/approve", "admin"), 403, "forbidden", 7)


def test_after_the_approval_one_gateway_is_given_nothing_that_was_not_approved(door: Campaigns) -> None:
    door.settings(approvalNeeded=True)
    first, second, other = (door.upload(f"{name}.iotcp") for name in "abc")
    campaign = door.create(first, second)
    [board] = door.gateways()
    door.add(campaign, [board])
    path = f"{CAMPAIGNS}/{campaign}/devices/{board.uid}/packages"
    door.steer(campaign, "approve", "admin")
    refused(door.ask("PUT", path, json={"packages": [other]}), 400, "wrong_state", 9)
    assert door.ok("PUT", path, json={"packages": [second]}) == {}
    assert door.ok("PUT", path, json={"packages": []}) == {}


def test_other_packages_than_the_approved_ones_need_approval_again(door: Campaigns) -> None:
    campaign = in_status(door, "APPROVED")
    same = door.ok("GET", f"{CAMPAIGNS}/{campaign}")["packages"]["packages"]
    door.ok("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": {"name": "another", "packages": same}})
    assert door.status(campaign) == "APPROVED"
    door.ok("PUT", f"{CAMPAIGNS}/{campaign}", json={"updateSpec": {"packages": [*same, door.upload()]}})
    assert door.status(campaign) == "APPROVAL_NEEDED"
    assert door.ok("GET", f"{CAMPAIGNS}/{campaign}")["hasApproval"] is False
    refused(door.ask("PUT", f"{CAMPAIGNS}/{campaign}/start"), 400, "wrong_state", 9)


def test_campaigns_are_counted_by_status(door: Campaigns) -> None:
    for number, status in enumerate(MOVES, 1):
        for _ in range(number):
            in_status(door, status)
    assert door.ok("GET", "/api/campaign-status/campaigns") == {
        "noApprovalNeededReadyToStartCount": "1",
        "waitingApprovalCount": "2",
        "aprovedNotStartedCount": "3",
        "startedCount": "4",
        "stoppedCount": "5",
    }


def listed(door: Campaigns, **query: object) -> list[str]:
    return [one["id"] for one in door.ok("GET", CAMPAIGNS, params=query)["campaigns"]]


def test_the_list_is_filtered_by_everything_the_text_names(door: Campaigns) -> None:
    one_package, other_package = door.upload(), door.upload("b.iotcp")
    a = door.create(one_package, name="Alpha 50%", description="first")
    b = door.create(other_package, name="beta", description="second")
    c = door.started(one_package, other_package)
    assert listed(door) == [c, b, a]
    assert listed(door, **{"page.sort": "ASC"}) == [a, b, c]
    assert listed(door, id=[a, c]) == [c, a]
    assert listed(door, name="LPHA 50%") == [a]
    assert listed(door, name="_") == []
    assert listed(door, description="sec") == [b]
    assert listed(door, status="CREATED") == [b, a]
    assert listed(door, status=["STARTED", "CREATED"]) == [c, b, a]
    assert listed(door, status="APPROVED") == []
    assert listed(door, packages=one_package) == [c, a]
    assert listed(door, packages=[one_package, other_package]) == [c, b, a]
    created = door.ok("GET", f"{CAMPAIGNS}/{b}")["creationTime"]
    assert b in listed(door, creationTime=created)
    assert listed(door, creationTime=1) == []
    wakes, completes = door.destination(), door.destination()
    for uid, kind in ((wakes, "wake-up"), (completes, "completed")):
        door.ok("PUT", f"{CAMPAIGNS}/{b}/callbacks/{kind}", json={"notificationDestinationId": uid})
    assert listed(door, preDeliveryCallback=wakes) == listed(door, postDeliveryCallback=completes) == [b]
    assert listed(door, preDeliveryCallback=completes) == listed(door, postDeliveryCallback="x") == []
    told = door.ok("GET", f"{CAMPAIGNS}/{b}")
    assert (told["preDeliveryCallback"], told["postDeliveryCallback"]) == (wakes, completes)
    assert listed(door, name="eta", status="STARTED") == []


def test_the_list_comes_in_pages_from_1(door: Campaigns) -> None:
    made = [door.create(name=str(number)) for number in range(5)][::-1]
    for number, expected in ((1, made[:2]), (3, made[4:]), (4, [])):
        told = door.ok("GET", CAMPAIGNS, params={"page.number": number, "page.size": 2})
        assert [one["id"] for one in told["campaigns"]] == expected
        assert told["pageResponse"] == {"totalPages": "3", "totalElements": "5", "page": number, "pageSize": 2}
    assert door.ok("GET", CAMPAIGNS)["pageResponse"]["pageSize"] == 20
    for wrong in ({"page.number": 0}, {"page.size": 0}, {"page.size": 501}, {"page.size": "1e2"}, {"page.sort": "up"}):
        answer = door.ask("GET", CAMPAIGNS, params=wrong)
        assert next(iter(wrong)) in refused(answer, 400, "invalid", 3)


def test_packages_that_are_wrong_are_pointed_to_and_not_repeated(door: Campaigns) -> None:
    good = door.upload()
    unknown = "3f1b2c44-0000-4000-8000-000000000000"
    for packages, code, place in (
        ([good, unknown, "x"], "unknown_artifacts", "2, 3"),
        ([good, good], "repeated", "twice"),
    ):
        answer = door.ask("POST", CAMPAIGNS, json={"name": "x", "packages": packages})
        words = refused(answer, 400, code, 3)
        assert place in words
        assert unknown not in words
    many = [f"{number}" for number in range(51)]
    refused(door.ask("POST", CAMPAIGNS, json={"name": "x", "packages": many}), 400, "too_many", 3)
    assert listed(door) == []
