"""Actions: deploymentBase, cancelAction, and every feedback to them."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from tests.apis.ddi.door import Tenant, error_code, feedback

from airfreight.apis.ddi.shapes import Execution, Finished
from airfreight.store import tables

EXECUTIONS = {"closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download"}
FINISHED = {"success", "failure", "none"}


# every execution and result, on both addresses


@dataclass(frozen=True)
class Effect:
    """Where the delivery stands after a feedback (state, reason), whether it is over for the device, and its history."""

    stand: tuple[str, str]
    is_over: bool
    status: str


RUNNING = Effect(("offered", ""), is_over=False, status="RUNNING")
BACK = Effect(("offered", ""), is_over=False, status="RUNNING")
CANCELING = Effect(("offered", ""), is_over=False, status="CANCELING")
CANCELED = Effect(("canceled", "stopped"), is_over=True, status="CANCELED")
DECLINED = Effect(("failed", "user_declined"), is_over=True, status="ERROR")
SUCCEEDED = Effect(("succeeded", ""), is_over=True, status="FINISHED")

ON_DEPLOYMENT = {
    "closed": SUCCEEDED,
    "closed failure": Effect(("failed", "device_error"), is_over=True, status="ERROR"),
    "downloaded": Effect(("downloaded", ""), is_over=False, status="DOWNLOADED"),
    "download": Effect(("downloading", ""), is_over=False, status="DOWNLOAD"),
    "proceeding": RUNNING,
    "scheduled": RUNNING,
    "resumed": RUNNING,
    "canceled": RUNNING,
    "rejected": DECLINED,  # where hawkBit goes on offering it for ever
}
ON_CANCEL = {
    "closed": CANCELED,
    "closed failure": BACK,
    "canceled": CANCELED,  # where hawkBit only warns
    "rejected": BACK,
    "downloaded": CANCELING,
    "download": CANCELING,
    "proceeding": CANCELING,
    "scheduled": CANCELING,
    "resumed": CANCELING,
}


def effect(table: dict[str, Effect], execution: str, finished: str) -> Effect:
    return table.get(f"{execution} {finished}") or table[execution]


def test_the_tables_are_about_every_word_there_is() -> None:
    assert set(Execution) == EXECUTIONS
    assert set(Finished) == FINISHED
    assert (
        {key.partition(" ")[0] for key in ON_DEPLOYMENT} == {key.partition(" ")[0] for key in ON_CANCEL} == EXECUTIONS
    )


@pytest.mark.parametrize("execution", sorted(EXECUTIONS))
def test_what_a_feedback_does_to_an_action(tenant: Tenant, execution: str) -> None:
    for finished in sorted(FINISHED):
        board = tenant.new_board()
        expected = effect(ON_DEPLOYMENT, execution, finished)
        action = tenant.offered(board=board, attemptsLimit=1)
        said = feedback(execution, finished)
        answer = tenant.ask("POST", f"/deploymentBase/{action}/feedback", board, json=said)
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
        assert (finished, tenant.stand(board)) == (finished, expected.stand)
        assert ("deploymentBase" in tenant.links(board)) is not expected.is_over
        assert tenant.history(action, board)["status"] == expected.status
        assert tenant.say(action, execution, finished, board=board) == (410 if expected.is_over else 200)


@pytest.mark.parametrize("execution", sorted(EXECUTIONS))
def test_what_a_feedback_does_to_a_cancellation(tenant: Tenant, execution: str) -> None:
    for finished in sorted(FINISHED):
        board = tenant.new_board()
        expected = effect(ON_CANCEL, execution, finished)
        action = tenant.canceling(board)
        answer = tenant.ask("POST", f"/cancelAction/{action}/feedback", board, json=feedback(execution, finished))
        assert (answer.status_code, answer.content) == (200, b"")
        assert (finished, tenant.stand(board)) == (finished, expected.stand)
        is_asked = expected is CANCELING
        assert ("cancelAction" in tenant.links(board)) is is_asked
        assert ("deploymentBase" in tenant.links(board)) is (expected is BACK)
        if expected is BACK:
            assert tenant.history(action, board)["status"] == expected.status
        again = tenant.ask("POST", f"/cancelAction/{action}/feedback", board, json=feedback(execution, finished))
        assert again.status_code == (200 if is_asked else 405)
        if not is_asked:
            assert error_code(again) == "action.notCancelable"


@pytest.mark.parametrize("execution", sorted(EXECUTIONS))
def test_what_a_feedback_to_the_action_does_while_it_is_cancelled(tenant: Tenant, execution: str) -> None:
    """The device went on: how it ended counts; anything else changes nothing about the wish."""
    for finished in sorted(FINISHED):
        board = tenant.new_board()
        expected = effect(ON_DEPLOYMENT, execution, finished)
        action = tenant.canceling(board)
        assert tenant.say(action, execution, finished, board=board) == 200
        assert (finished, tenant.stand(board)) == (finished, expected.stand)
        assert ("cancelAction" in tenant.links(board)) is not expected.is_over


# what is there, and what is not


def test_an_action_that_is_over_is_still_shown_but_takes_no_more_words(tenant: Tenant) -> None:
    action = tenant.offered()
    shown = tenant.get(f"/deploymentBase/{action}")
    assert tenant.say(action) == 200
    assert tenant.get(f"/deploymentBase/{action}") == shown
    for execution in sorted(EXECUTIONS):
        answer = tenant.ask("POST", f"/deploymentBase/{action}/feedback", json=feedback(execution, "none"))
        assert (execution, answer.status_code, answer.content) == (execution, 410, b"")
    assert tenant.stand() == ("succeeded", "")


def test_a_cancelled_action_is_shown_as_cancelled_only(tenant: Tenant) -> None:
    action = tenant.canceling()
    body = {"id": str(action), "cancelAction": {"stopId": str(action)}}
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    assert tenant.get(f"/cancelAction/{action}") == body
    assert tenant.say(action, on="cancelAction") == 200
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    assert tenant.get(f"/cancelAction/{action}") == body
    assert tenant.say(action) == 410
    assert tenant.links() == {}


def test_an_action_that_nobody_cancels_has_no_cancellation(tenant: Tenant) -> None:
    action = tenant.offered()
    assert tenant.status("GET", f"/cancelAction/{action}") == 404
    answer = tenant.ask("POST", f"/cancelAction/{action}/feedback", json=feedback())
    assert (answer.status_code, error_code(answer)) == (405, "action.notCancelable")
    assert tenant.stand() == ("offered", "")
    assert tenant.say(action) == 200
    assert tenant.status("GET", f"/cancelAction/{action}") == 404
    assert tenant.say(action, on="cancelAction") == 405


def test_what_is_cancelled_before_the_device_has_looked_is_never_shown(tenant: Tenant) -> None:
    first = tenant.ship(tenant.site.artifact("2.0.0"))
    action = tenant.next_action()
    tenant.cancel(first)
    assert tenant.links() == {}
    assert tenant.stand() == ("canceled", "stopped")
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    second = tenant.ship(tenant.site.artifact("3.0.0"))
    tenant.cancel(second)
    third = tenant.offered(tenant.site.artifact("4.0.0"))
    assert third != action
    assert [state for state, _ in tenant.stands()] == ["canceled", "canceled", "offered"]


def test_five_cancelled_updates_cost_the_device_no_poll(tenant: Tenant) -> None:
    for version in range(2, 7):
        rollout_id = tenant.ship(tenant.site.artifact(f"{version}.0.0"))
        tenant.next_action()
        tenant.cancel(rollout_id)
    last = tenant.ship(tenant.site.artifact("9.0.0"))
    action = tenant.next_action()
    assert tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"][0]["version"] == "9.0.0"
    assert tenant.site.stand(last, tenant.board) == ("offered", "")


def test_a_head_is_a_look_too(tenant: Tenant) -> None:
    rollout_id = tenant.ship()
    action = tenant.next_action()
    assert tenant.status("HEAD", f"/deploymentBase/{action}") == 200
    tenant.cancel(rollout_id)
    assert tenant.next_action(link="cancelAction") == action


def test_one_that_waits_for_its_proof_is_not_asked_to_cancel(tenant: Tenant) -> None:
    """Some clients that have installed answer a cancellation with nothing at all, until their next start."""
    tenant.tell(version="1.0.0")
    rollout_id = tenant.ship()
    action = tenant.next_action()
    tenant.get(f"/deploymentBase/{action}")
    assert tenant.say(action) == 200
    tenant.cancel(rollout_id)
    assert set(tenant.links()) == {"configData"}
    assert tenant.tell(version="2.0.0") == 200
    assert tenant.stand() == ("succeeded", "")


# tries


def test_a_new_try_has_a_new_id_after_a_pause(tenant: Tenant) -> None:
    first = tenant.offered(attemptsLimit=2)
    assert tenant.say(first, "closed", "failure") == 200
    assert tenant.links() == {}
    assert tenant.stand() == ("queued", "device_error")
    tenant.retry_now()
    second = tenant.next_action()
    assert second > first
    assert tenant.say(first) == 410
    assert tenant.status("GET", f"/deploymentBase/{first}") == 200
    assert tenant.history(first)["status"] == "ERROR"
    assert tenant.stand() == ("offered", "device_error")
    assert tenant.say(second, "closed", "failure") == 200
    assert tenant.stand() == ("failed", "device_error")
    tenant.retry_now()
    assert tenant.links() == {}


def test_one_that_was_declined_is_offered_again_later(tenant: Tenant) -> None:
    first = tenant.offered()
    assert tenant.say(first, "rejected", "none", "not now") == 200
    assert tenant.stand() == ("queued", "user_declined")
    assert tenant.links() == {}
    tenant.retry_now()
    assert tenant.next_action() != first


def test_no_id_is_one_that_a_client_in_the_field_cannot_read(tenant: Tenant) -> None:
    ids = [tenant.offered(board=tenant.new_board()) for _ in range(3)]
    assert all(1001 <= one < 2**31 and str(one)[1:].strip("0") for one in ids)


# proof of the version


def test_without_a_known_version_the_devices_word_is_success(tenant: Tenant) -> None:
    assert tenant.say(tenant.offered()) == 200
    assert tenant.stand() == ("succeeded", "")


def test_without_a_version_of_the_file_the_devices_word_is_success(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    assert tenant.say(tenant.offered(tenant.site.artifact("", content=b"no tag in it"))) == 200
    assert tenant.stand() == ("succeeded", "")


def test_where_both_are_known_the_version_that_comes_is_success(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    action = tenant.offered()
    assert tenant.say(action) == 200
    assert tenant.stand() == ("activating", "")
    assert set(tenant.links()) == {"configData"}
    assert tenant.history(action)["status"] == "RUNNING"
    assert tenant.tell(version="2.0.0") == 200
    assert tenant.stand() == ("succeeded", "")
    assert tenant.links()["installedBase"].endswith(f"/{action}")


def test_another_version_that_comes_is_a_failure(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    action = tenant.offered()
    assert tenant.say(action) == 200
    assert tenant.tell(version="3.0.0") == 200
    assert tenant.stand() == ("failed", "wrong_version")
    assert tenant.history(action)["status"] == "ERROR"
    assert tenant.say(action) == 410


def test_the_old_version_that_comes_is_no_verdict_yet(tenant: Tenant) -> None:
    """Some clients say that all is well before they restart, and tell their attributes at once."""
    tenant.tell(version="1.0.0")
    action = tenant.offered()
    assert tenant.say(action) == 200
    time.sleep(0.002)
    assert tenant.tell(version="1.0.0") == 200
    assert tenant.stand() == ("activating", "")
    assert tenant.links() == {}
    tenant.change_device(tenant.board, attributes_at=int(time.time() * 1000) - 30_000)  # half a minute ago
    assert set(tenant.links()) == {"configData"}
    assert tenant.tell(version="2.0.0") == 200
    assert tenant.stand() == ("succeeded", "")
    assert tenant.links()["installedBase"].endswith(f"/{action}")


def test_attributes_without_a_version_prove_nothing(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    assert tenant.say(tenant.offered()) == 200
    time.sleep(0.002)
    assert tenant.tell(VIN="1") == 200
    assert tenant.stand() == ("activating", "")
    assert tenant.links() == {}


def test_a_version_that_comes_before_the_word_is_the_proof_and_the_word_is_heard_once(tenant: Tenant) -> None:
    """A device tells its attributes at its start, and only then how it went."""
    tenant.tell(version="1.0.0")
    action = tenant.offered()
    assert tenant.say(action, "proceeding", "none") == 200
    assert tenant.tell(version="2.0.0") == 200
    assert tenant.stand() == ("succeeded", "")
    assert tenant.say(action, "closed", "success") == 200
    assert tenant.say(action, "closed", "success") == 410
    assert tenant.stand() == ("succeeded", "")


def test_a_word_of_failure_after_the_proof_is_too_late(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    action = tenant.offered()
    assert tenant.tell(version="2.0.0") == 200
    assert tenant.say(action, "closed", "failure") == 410
    assert tenant.stand() == ("succeeded", "")


def test_the_final_word_counts_once(tenant: Tenant) -> None:
    action = tenant.offered(attemptsLimit=1)
    assert tenant.say(action, "closed", "failure") == 200
    assert tenant.say(action, "closed", "success") == 410
    assert tenant.stand() == ("failed", "device_error")


# how it is to be handled


def handling(tenant: Tenant, **policy: Any) -> tuple[str, str, str | None]:
    action = tenant.offered(**policy)
    found = tenant.get(f"/deploymentBase/{action}")["deployment"]
    return found["download"], found["update"], found.get("maintenanceWindow")


def test_urgent_and_not_urgent(tenant: Tenant) -> None:
    hour = 3_600_000
    now = int(time.time() * 1000)
    for policy, expected in (
        ({}, ("forced", "forced", None)),
        ({"urgency": "forced"}, ("forced", "forced", None)),
        ({"urgency": "soft"}, ("attempt", "attempt", None)),
        ({"urgency": "soft", "forcedAt": now + hour}, ("attempt", "attempt", None)),
        ({"urgency": "soft", "forcedAt": now - hour}, ("forced", "forced", None)),
        ({"finishOn": "download"}, ("forced", "skip", None)),
        ({"finishOn": "download", "urgency": "soft"}, ("forced", "skip", None)),
    ):
        board = tenant.new_board()
        action = tenant.offered(board=board, **policy)
        found = tenant.get(f"/deploymentBase/{action}", board)["deployment"]
        assert (policy, (found["download"], found["update"], found.get("maintenanceWindow"))) == (policy, expected)


def test_download_only_is_over_when_the_device_has_the_files(tenant: Tenant) -> None:
    for execution in ("downloaded", "closed"):
        board = tenant.new_board()
        action = tenant.offered(board=board, finishOn="download")
        assert tenant.say(action, "download", "none", board=board) == 200
        assert tenant.stand(board) == ("downloading", "")
        assert tenant.say(action, execution, board=board) == 200
        assert tenant.stand(board) == ("succeeded", "")
        assert tenant.say(action, board=board) == 410
        assert set(tenant.links(board)) == {"configData"}
        assert tenant.get(f"/installedBase/{action}", board)["id"] == str(action)


def test_before_the_window_of_the_installation_it_downloads_and_waits(tenant: Tenant) -> None:
    tenant.clock_shows(8)
    rollout_id = tenant.ship(dayPart="afternoon", windowOn="install")
    tenant.change_rollout(rollout_id, started_at=1)
    action = tenant.next_action()
    link = tenant.links()["deploymentBase"]
    shown = {"download": "forced", "update": "skip", "maintenanceWindow": "unavailable"}
    deployment = tenant.get(f"/deploymentBase/{action}")["deployment"]
    assert shown.items() <= deployment.items()
    assert [*deployment] == [*shown, "chunks"], "in hawkBit's order"
    assert tenant.say(action, "downloaded", "none") == 200
    assert shown.items() <= tenant.get(f"/deploymentBase/{action}")["deployment"].items()
    tenant.clock_shows(15)
    assert tenant.links()["deploymentBase"] != link
    shown = {"download": "forced", "update": "forced", "maintenanceWindow": "available"}
    assert shown.items() <= tenant.get(f"/deploymentBase/{action}")["deployment"].items()


def test_before_the_window_of_the_update_there_is_nothing(tenant: Tenant) -> None:
    tenant.clock_shows(8)
    rollout_id = tenant.ship(dayPart="afternoon")
    tenant.change_rollout(rollout_id, started_at=1)
    assert tenant.links() == {}
    tenant.clock_shows(15)
    action = tenant.next_action()
    shown = {"download": "forced", "update": "forced", "maintenanceWindow": "available"}
    assert shown.items() <= tenant.get(f"/deploymentBase/{action}")["deployment"].items()
    tenant.clock_shows(8)
    shown = {"download": "skip", "update": "skip", "maintenanceWindow": "unavailable"}
    assert shown.items() <= tenant.get(f"/deploymentBase/{action}")["deployment"].items()


# its shape


def test_what_an_update_looks_like(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    sha1, sha256, md5 = (getattr(hashlib, name)(artifact.content).hexdigest() for name in ("sha1", "sha256", "md5"))
    [product] = tenant.site.rows(select(tables.products).where(tables.products.c.id == tenant.site.product_id))
    file = f"{tenant.base()}/softwaremodules/{artifact.id}/artifacts/file-{artifact.id}.swu"
    answer = tenant.ask("GET", f"/deploymentBase/{action}")
    assert answer.json() == {
        "id": str(action),
        "deployment": {
            "download": "forced",
            "update": "forced",
            "chunks": [
                {
                    "part": "bApp",
                    "version": "2.0.0",
                    "name": product.name,
                    "artifacts": [
                        {
                            "filename": f"file-{artifact.id}.swu",
                            "hashes": {"sha1": sha1, "md5": md5, "sha256": sha256},
                            "size": len(artifact.content),
                            "_links": {"download-http": {"href": file}, "md5sum-http": {"href": file + ".MD5SUM"}},
                        }
                    ],
                }
            ],
        },
    }
    assert b" " not in answer.content
    assert len(answer.content) < 1100


def test_the_first_look_is_kept_and_writes_no_more_after(tenant: Tenant) -> None:
    table, attempts = tables.deliveries, tables.attempts
    action = tenant.offered()
    moment = select(attempts.c.taken_at).where(attempts.c.id == action)
    version = select(table.c.version).where(table.c.device_id == tenant.board.id)
    assert tenant.site.rows(moment)[0].taken_at is None
    assert tenant.history(action) == {"status": "RETRIEVED", "messages": []}
    taken_at, was = tenant.site.rows(moment)[0].taken_at, tenant.site.rows(version)[0].version
    assert abs(taken_at / 1000 - time.time()) < 30
    tenant.history(action)
    assert (tenant.site.rows(moment)[0].taken_at, tenant.site.rows(version)[0].version) == (taken_at, was)


def test_the_history_is_what_the_device_said_newest_first(tenant: Tenant) -> None:
    action = tenant.offered()
    assert "actionHistory" not in tenant.get(f"/deploymentBase/{action}")
    assert tenant.say(action, "proceeding", "none", "one", "two") == 200
    assert tenant.say(action, "proceeding", "none", "three") == 200
    for most, messages in (
        ("1", ["three"]), ("2", ["three", "two"]), ("3", ["three", "two", "one"]), ("100", ["three", "two", "one"]),
        ("-1", ["three", "two", "one"]), ("101", ["three", "two", "one"]), ("999999999", ["three", "two", "one"]),
    ):  # fmt: skip
        assert (most, tenant.get(f"/deploymentBase/{action}?actionHistory={most}")["actionHistory"]["messages"]) == (
            most, messages,
        )  # fmt: skip
    for most in ("0", "", "x", "1.5", "%D9%A1", "1" * 5000, "-"):
        assert "actionHistory" not in tenant.get(f"/deploymentBase/{action}?c=-5&actionHistory={most}")
