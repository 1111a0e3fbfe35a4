"""confirmationBase: updates that wait for the word of the device's user."""

from typing import Any

import pytest
from tests.apis.ddi.door import Tenant, error_code

ON, OFF = "/confirmationBase/activateAutoConfirm", "/confirmationBase/deactivateAutoConfirm"


@pytest.fixture
def asking(tenant: Tenant) -> Tenant:
    """An organization that asks the users of its devices."""
    assert tenant.change(confirmation=True)["confirmation"] is True
    return tenant


def word(tenant: Tenant, action: int, said: str, *details: str, **more: Any) -> int:
    body = {"confirmation": said, "details": list(details), **more}
    return tenant.status("POST", f"/confirmationBase/{action}/feedback", json=body)


def auto_confirm(tenant: Tenant, **how: Any) -> Any:
    return tenant.get("/confirmationBase", **how)["autoConfirm"]


def test_without_the_switch_nobody_is_asked(tenant: Tenant) -> None:
    action = tenant.offered()
    assert tenant.status("GET", f"/confirmationBase/{action}") == 404
    assert word(tenant, action, "confirmed") == 404
    assert tenant.get("/confirmationBase") == {
        "autoConfirm": {"active": False, "activatedAt": 0},
        "_links": {"activateAutoConfirm": {"href": tenant.base() + ON}},
    }


def test_while_an_update_waits_it_is_not_there_to_be_made(asking: Tenant) -> None:
    artifact = asking.site.artifact()
    action = asking.offered_to_confirm(artifact)
    assert asking.status("GET", f"/deploymentBase/{action}") == 404
    assert asking.say(action) == 404
    assert asking.say(action, "proceeding", "none") == 404
    assert asking.status("GET", f"/cancelAction/{action}") == 404
    assert asking.say(action, on="cancelAction") == 405
    assert asking.status("GET", f"/installedBase/{action}") == 404
    file = f"/softwaremodules/{artifact.id}/artifacts"
    for rest in (file, f"{file}/file-{artifact.id}.swu", f"{file}/file-{artifact.id}.swu.MD5SUM"):
        assert asking.status("GET", rest) == 404
    assert asking.stand() == ("offered", "")


def test_what_waits_is_shown_as_it_will_be(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    shown = asking.get(f"/confirmationBase/{action}")
    assert (shown["id"], shown["actionHistory"]) == (str(action), {"status": "WAIT_FOR_CONFIRMATION", "messages": []})
    link = asking.get("/confirmationBase")["_links"]["confirmationBase"]["href"]
    assert link == asking.links()["confirmationBase"]
    assert asking.get(link) == shown
    assert word(asking, action, "confirmed") == 200
    assert asking.get(f"/deploymentBase/{action}")["deployment"]["chunks"] == shown["confirmation"]["chunks"]


def test_what_waits_has_as_much_history_as_is_asked_for(tenant: Tenant) -> None:
    """All of it where nothing is said, as in the example of the reference."""
    action = tenant.offered()
    assert tenant.say(action, "proceeding", "none", "first", "last") == 200
    tenant.change(confirmation=True)
    path = f"/confirmationBase/{action}"
    for query, messages in (("", 2), ("?actionHistory=1", 1), ("?actionHistory=-1", 2), ("?actionHistory=x", 2)):
        history = tenant.get(path + query)["actionHistory"]
        assert (query, history["status"], len(history["messages"])) == (query, "WAIT_FOR_CONFIRMATION", messages)
        assert history["messages"][0] == "last"
    assert "actionHistory" not in tenant.get(path + "?actionHistory=0")


def test_a_yes_lets_the_update_begin_at_the_next_poll(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    assert word(asking, action, "confirmed", "ok", code=200) == 200
    assert asking.next_action() == action
    assert asking.history(action) == {"status": "RUNNING", "messages": ["Device reported status code: 200", "ok"]}
    assert asking.status("GET", f"/confirmationBase/{action}") == 404
    assert word(asking, action, "confirmed") == 404
    assert word(asking, action, "denied") == 404
    assert set(asking.get("/confirmationBase")["_links"]) == {"activateAutoConfirm"}
    assert asking.say(action) == 200
    assert asking.stand() == ("succeeded", "")
    assert word(asking, action, "confirmed") == 410


def test_a_no_ends_it_and_a_new_one_asks_again_later(asking: Tenant) -> None:
    first = asking.offered_to_confirm()
    assert word(asking, first, "denied", "busy") == 200
    assert asking.stand() == ("queued", "user_declined")
    assert asking.links() == {}
    assert word(asking, first, "confirmed") == 410
    asking.retry_now()
    second = asking.next_action(link="confirmationBase")
    assert second != first
    assert word(asking, second, "confirmed") == 200
    assert asking.next_action() == second


def test_the_last_no_is_the_end(asking: Tenant) -> None:
    action = asking.offered_to_confirm(attemptsLimit=1)
    assert word(asking, action, "denied") == 200
    assert asking.stand() == ("failed", "user_declined")
    asking.retry_now()
    assert asking.links() == {}


def test_who_has_said_yes_is_not_asked_again_for_the_next_try(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    assert word(asking, action, "confirmed") == 200
    assert asking.say(action, "closed", "failure") == 200
    asking.retry_now()
    assert asking.next_action() != action


def test_what_is_cancelled_while_it_waits_is_gone(asking: Tenant) -> None:
    rollout_id = asking.ship()
    action = asking.next_action(link="confirmationBase")
    asking.get(f"/confirmationBase/{action}")
    asking.cancel(rollout_id)
    assert asking.links() == {}
    assert asking.stand() == ("canceled", "stopped")
    assert word(asking, action, "confirmed") == 410


def test_a_critical_update_does_not_ask(asking: Tenant) -> None:
    asking.offered(critical=True)


def test_what_a_switched_off_device_says_yes_to_does_not_begin(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    asking.change_device(asking.board, enabled=False)
    assert asking.links() == {}
    assert asking.status("GET", f"/confirmationBase/{action}") == 404
    assert word(asking, action, "confirmed") == 404
    assert asking.stand() == ("offered", "")


def test_what_is_no_word_is_400(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    body: Any
    for body in (
        {}, [], "x", {"confirmation": None}, {"confirmation": "yes"}, {"confirmation": "CONFIRMED"}, {"confirmation": True},
        {"confirmation": ["confirmed"]}, {"confirmation": "confirmed", "details": {}}, {"confirmation": "confirmed", "code": "x"},
    ):  # fmt: skip
        answer = asking.ask("POST", f"/confirmationBase/{action}/feedback", json=body)
        assert (body, answer.status_code, error_code(answer)) == (body, 400, "rest.body.notReadable")
    headers = {"Content-Type": "text/plain"}
    assert asking.status("POST", f"/confirmationBase/{action}/feedback", headers=headers, content=b"x") == 415
    assert asking.stand() == ("offered", "")


# saying yes to whatever comes


def test_a_device_that_confirms_by_itself_is_not_asked(asking: Tenant) -> None:
    body = {"initiator": "exampleUser", "remark": "why"}
    etag = asking.ask("GET", "/confirmationBase").headers["etag"]
    answer = asking.ask("POST", ON, json=body)
    assert (answer.status_code, answer.content) == (200, b"")
    found = asking.get("/confirmationBase", headers={"If-None-Match": etag})
    at = found["autoConfirm"].pop("activatedAt")
    assert at > 1_600_000_000_000
    assert found == {
        "autoConfirm": {"active": True, **body},
        "_links": {"deactivateAutoConfirm": {"href": asking.base() + OFF}},
    }
    asking.offered()


def test_what_waits_already_begins_when_the_user_says_yes_to_everything(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    assert asking.status("POST", ON, json={}) == 200
    assert asking.next_action() == action
    assert asking.say(action) == 200


def test_when_it_ends_the_user_is_asked_again(asking: Tenant) -> None:
    assert asking.status("POST", ON) == 200
    assert asking.status("POST", OFF) == 200
    assert auto_confirm(asking) == {"active": False, "activatedAt": 0}
    assert asking.status("POST", OFF) == 200
    asking.offered_to_confirm()


def test_twice_is_409(asking: Tenant) -> None:
    assert asking.status("POST", ON, json={"remark": "first"}) == 200
    answer = asking.ask("POST", ON, json={"remark": "second"})
    assert (answer.status_code, error_code(answer)) == (409, "repo.autoConfAlreadyActive")
    assert auto_confirm(asking)["remark"] == "first"


def test_the_body_of_it_may_be_missing_and_is_cut_and_cleaned(asking: Tenant) -> None:
    assert asking.status("POST", ON, headers={"Content-Type": "text/plain"}, content=b"x") == 415
    assert asking.status("POST", ON, json={"initiator": ["x"]}) == 400
    assert asking.status("POST", ON, json=[]) == 400
    assert asking.status("POST", ON, json={"initiator": "a\x00\x1b[2Jb", "remark": "r" * 5000, "more": 1}) == 200
    assert auto_confirm(asking)["initiator"] == "a  [2Jb"
    assert auto_confirm(asking)["remark"] == "r" * 128


def test_an_operator_can_say_it_for_a_device(asking: Tenant) -> None:
    path = f"/api/v1/devices/{asking.board.id}/auto-confirm"
    assert asking.site.ask("PUT", path, json={"active": True, "remark": "by phone"}).status_code == 204
    said = auto_confirm(asking)
    assert (said["active"], said["remark"]) == (True, "by phone")
    assert said["initiator"]
    assert asking.status("POST", ON) == 409
    assert asking.site.ask("PUT", path, json={"active": False}).status_code == 204
    assert auto_confirm(asking)["active"] is False


def test_an_operator_can_confirm_one_update_for_a_device(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    answer = asking.site.ask("POST", f"/api/v1/devices/{asking.board.id}/consent")
    assert answer.status_code in {200, 204}, answer.text
    assert asking.next_action() == action


def test_one_devices_word_is_no_other_devices(asking: Tenant) -> None:
    other = asking.new_board()
    assert asking.status("POST", ON) == 200
    assert asking.get("/confirmationBase", other)["autoConfirm"]["active"] is False
    asking.offered_to_confirm(board=other)


def test_when_the_switch_goes_off_what_waits_begins(asking: Tenant) -> None:
    action = asking.offered_to_confirm()
    asking.change(confirmation=False)
    assert asking.next_action() == action
