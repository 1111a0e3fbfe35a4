"""The base resource: what a poll shows, when it changes, and how often to come."""

import re
import time
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.apis.ddi.door import CBOR, HAL, JSON, Tenant, seconds_of

from airfreight.domain.decide import share
from airfreight.domain.handling import SPREAD_MS
from airfreight.store import tables

ETAG = re.compile(r'"0[0-9a-f]{32}"')
ONE_OF_THREE = {"confirmationBase", "cancelAction", "deploymentBase"}


# links


def test_a_poll_with_nothing_to_do_has_its_sleep_and_no_links(tenant: Tenant) -> None:
    answer = tenant.ask("GET")
    assert answer.headers["content-type"] == HAL
    assert answer.headers["content-length"] == str(len(answer.content))
    assert ETAG.fullmatch(answer.headers["etag"])
    assert "transfer-encoding" not in answer.headers
    assert answer.content == b'{"config":{"polling":{"sleep":"%s"}}}' % tenant.sleep().encode()


@pytest.mark.parametrize("media", [HAL, JSON, CBOR])
def test_a_poll_answers_in_what_is_accepted(tenant: Tenant, media: str) -> None:
    assert tenant.ask("GET", headers={"Accept": media}).headers["content-type"] == media


def test_a_poll_that_accepts_nothing_of_ours_is_406(tenant: Tenant) -> None:
    assert tenant.status("GET", headers={"Accept": "text/html"}) == 406


def test_a_new_device_is_asked_for_its_attributes_until_it_tells_them(tenant: Tenant) -> None:
    board = tenant.new_board(is_told=False)
    assert tenant.links(board) == {"configData": tenant.base(board) + "/configData"}
    assert tenant.tell(board, VIN="1") == 200
    assert tenant.links(board) == {}


def test_an_update_is_shown_by_its_address(tenant: Tenant) -> None:
    action = tenant.offered()
    link = tenant.links()["deploymentBase"]
    assert action >= 1001
    assert re.fullmatch(re.escape(f"{tenant.base()}/deploymentBase/{action}?c=") + r"\d+", link)
    assert tenant.get(link)["id"] == str(action)


def test_a_cancellation_is_shown_instead_of_the_update(tenant: Tenant) -> None:
    action = tenant.canceling()
    assert tenant.links() == {"cancelAction": f"{tenant.base()}/cancelAction/{action}"}


def test_an_update_that_waits_for_its_user_is_shown_instead_of_the_update(tenant: Tenant) -> None:
    tenant.change(confirmation=True)
    action = tenant.offered_to_confirm()
    [(name, link)] = tenant.links().items()
    assert (name, link.partition("?c=")[0]) == ("confirmationBase", f"{tenant.base()}/confirmationBase/{action}")
    assert tenant.get(link)["id"] == str(action)


def test_of_two_updates_that_queue_the_older_is_shown_alone(tenant: Tenant) -> None:
    tenant.ship(onConflict="queue")
    tenant.ship(tenant.site.artifact("3.0.0"), onConflict="queue")
    first = tenant.next_action()
    assert ONE_OF_THREE & set(tenant.links()) == {"deploymentBase"}
    assert tenant.get(f"/deploymentBase/{first}")["deployment"]["chunks"][0]["version"] == "2.0.0"
    assert tenant.say(first) == 200
    second = tenant.next_action()
    assert tenant.get(f"/deploymentBase/{second}")["deployment"]["chunks"][0]["version"] == "3.0.0"


def test_a_device_that_is_passed_over_many_times_is_never_sent_to_no_action(tenant: Tenant) -> None:
    tenant.tell(version="2.0.0")
    skipped = [tenant.ship(onConflict="queue", condition="version_differs") for _ in range(4)]
    tenant.ship(tenant.site.artifact("3.0.0"), onConflict="queue")
    link = next(filter(None, (tenant.links().get("deploymentBase") for _ in range(3))))
    assert re.search(r"/deploymentBase/\d+\?", link)
    assert [state for state, _ in tenant.stands()] == ["skipped"] * len(skipped) + ["offered"]


def test_what_is_installed_is_the_last_success(tenant: Tenant) -> None:
    first = tenant.offered()
    assert tenant.say(first) == 200
    assert tenant.links()["installedBase"] == f"{tenant.base()}/installedBase/{first}"
    failed = tenant.offered(tenant.site.artifact("3.0.0"), attemptsLimit=1)
    assert tenant.links()["installedBase"].endswith(f"/{first}")
    assert tenant.say(failed, "closed", "failure") == 200
    assert tenant.links()["installedBase"].endswith(f"/{first}")
    second = tenant.offered(tenant.site.artifact("4.0.0"))
    assert tenant.say(second) == 200
    assert tenant.links()["installedBase"].endswith(f"/{second}")


def test_attributes_are_asked_again_after_a_success_until_they_are_told(tenant: Tenant) -> None:
    assert tenant.say(tenant.offered()) == 200
    assert "configData" in tenant.links()
    time.sleep(0.002)  # the server's clock has milliseconds
    assert tenant.tell(VIN="1") == 200
    assert "configData" not in tenant.links()


def test_attributes_are_not_asked_again_after_a_failure(tenant: Tenant) -> None:
    assert tenant.say(tenant.offered(attemptsLimit=1), "closed", "failure") == 200
    assert tenant.links() == {}


def test_attributes_that_prove_an_update_are_not_asked_again(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    assert tenant.say(tenant.offered()) == 200
    time.sleep(0.002)
    assert set(tenant.links()) == {"configData"}
    assert tenant.tell(version="2.0.0") == 200
    assert set(tenant.links()) == {"installedBase"}


def test_an_operator_can_ask_for_the_attributes(tenant: Tenant) -> None:
    answer = tenant.site.ask("POST", f"/api/v1/devices/{tenant.board.id}/ask-attributes")
    assert answer.status_code == 204, answer.text
    assert set(tenant.links()) == {"configData"}
    time.sleep(0.002)
    assert tenant.tell(VIN="1") == 200
    assert tenant.links() == {}


def test_the_link_of_an_update_is_another_one_when_the_update_has_changed(tenant: Tenant) -> None:
    rollout_id = tenant.ship(urgency="soft", forcedAt=int(time.time() * 1000) + 3_600_000)
    tenant.next_action()
    before = tenant.links()["deploymentBase"]
    assert tenant.links()["deploymentBase"] == before
    tenant.change_rollout(rollout_id, forced_at=1)
    assert tenant.links()["deploymentBase"] != before


def test_the_link_of_an_update_stays_while_the_update_is_the_same(tenant: Tenant) -> None:
    tenant.ship()
    first = tenant.links()
    action = tenant.next_action()
    assert tenant.links() == first
    tenant.get(f"/deploymentBase/{action}")
    assert tenant.say(action, "proceeding", "none", "a word") == 200
    assert tenant.links() == first


def test_a_poll_while_the_rollout_is_deleted_shows_nothing(tenant: Tenant) -> None:
    rollout_id = tenant.ship()
    action = tenant.next_action()
    tenant.cancel(rollout_id)
    assert tenant.site.ask("DELETE", f"/api/v1/rollouts/{rollout_id}").status_code == 204
    assert tenant.links() == {}
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    assert tenant.say(action) in {404, 410}


def test_a_paused_rollout_offers_nothing_and_takes_back_what_is_not_begun(tenant: Tenant) -> None:
    rollout_id = tenant.ship()
    tenant.next_action()
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/pause").status_code == 200
    assert tenant.links() == {}
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/resume").status_code == 200
    assert set(tenant.links()) == {"deploymentBase"}


# ETag and 304


def test_a_poll_that_the_client_has_is_304_without_a_body(tenant: Tenant) -> None:
    tenant.offered()
    etag = tenant.ask("GET").headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}'):
        answer = tenant.ask("GET", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert "content-type" not in answer.headers
    assert tenant.status("GET", headers={"If-None-Match": '"0"'}) == 200


def test_the_etag_stays_while_nothing_changes(tenant: Tenant) -> None:
    tenant.offered()
    assert len({tenant.ask("GET").headers["etag"] for _ in range(3)}) == 1


def test_the_etag_of_a_poll_changes_with_all_that_is_in_the_body(tenant: Tenant) -> None:
    seen: dict[str, str] = {}

    def look(what: str, **how: Any) -> None:
        answer = tenant.ask("GET", **how)
        assert answer.status_code == 200
        assert answer.headers["etag"] not in seen, (what, seen[answer.headers["etag"]])
        seen[answer.headers["etag"]] = what

    look("nothing to do")
    look("in CBOR", headers={"Accept": CBOR})
    look("in plain JSON", headers={"Accept": JSON})
    look("from another host", headers={"Host": "other.example"})
    tenant.change(polling="00:07:00")
    look("another sleep")
    action = tenant.offered()
    look("an update")
    assert tenant.say(action, "downloaded", "none") == 200
    look("that it has")
    assert tenant.say(action) == 200
    look("that it runs, to be asked for its attributes")
    time.sleep(0.002)
    tenant.tell(VIN="1")
    look("that it runs")
    tenant.canceling()
    look("a cancellation")


@pytest.mark.parametrize("rest", ["deploymentBase", "installedBase", "cancelAction", "confirmationBase", "list"])
def test_every_other_resource_has_an_etag_too(tenant: Tenant, rest: str) -> None:
    path = _path_of(tenant, rest)
    first = tenant.ask("GET", path)
    assert (first.status_code, bool(ETAG.fullmatch(first.headers["etag"]))) == (200, True)
    again = tenant.ask("GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def _path_of(tenant: Tenant, rest: str) -> str:
    if rest == "confirmationBase":
        return "/confirmationBase"
    if rest == "cancelAction":
        return f"/cancelAction/{tenant.canceling()}"
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    if rest == "installedBase":
        assert tenant.say(action) == 200
    return f"/softwaremodules/{artifact.id}/artifacts" if rest == "list" else f"/{rest}/{action}"


def test_the_etag_of_an_update_changes_with_what_the_device_has_said(tenant: Tenant) -> None:
    action = tenant.offered()
    path = f"/deploymentBase/{action}?actionHistory=3"
    before = tenant.ask("GET", path).headers["etag"]
    assert tenant.say(action, "proceeding", "none", "a word") == 200
    answer = tenant.ask("GET", path, headers={"If-None-Match": before})
    assert (answer.status_code, answer.json()["actionHistory"]["messages"]) == (200, ["a word"])
    assert tenant.ask("GET", path).headers["etag"] != tenant.ask("GET", f"/deploymentBase/{action}").headers["etag"]


def test_the_etag_of_an_update_changes_with_the_name_of_its_product(tenant: Tenant) -> None:
    tenant.change(confirmation=True)
    action = tenant.offered_to_confirm()
    seen = [tenant.ask("GET", f"/confirmationBase/{action}").headers["etag"]]
    for changed in ({"name": tenant.name}, {"part": "os"}, {"chunks": "one"}):
        answer = tenant.site.ask("PATCH", f"/api/v1/products/{tenant.site.product_id}", json=changed)
        assert answer.status_code == 200, answer.text
        seen.append(tenant.ask("GET", f"/confirmationBase/{action}").headers["etag"])
    assert len(set(seen)) == 4


def test_a_304_is_answered_before_anything_is_made(tenant: Tenant) -> None:
    """Without its bytes, the file's hashes cannot be told: only who has the answer already gets one."""
    artifact = tenant.site.artifact(content=tenant.name.encode())
    action = tenant.offered(artifact)
    path = f"/deploymentBase/{action}"
    etag = tenant.ask("GET", path).headers["etag"]
    [row] = tenant.site.rows(select(tables.artifacts.c.sha256).where(tables.artifacts.c.id == artifact.id))
    tenant.site.blobs.path(row.sha256).unlink()
    with tenant.site.database.write() as connection:
        connection.execute(update(tables.artifacts).where(tables.artifacts.c.id == artifact.id).values(sha1=""))
    assert tenant.status("GET", path, headers={"If-None-Match": etag}) == 304
    assert tenant.status("GET", path) == 404
    assert tenant.status("GET", f"/softwaremodules/{artifact.id}/artifacts") == 404


# how often to come


def test_a_sleep_is_hours_minutes_seconds(tenant: Tenant) -> None:
    shown = {
        "00:05:00": "00:05:00",
        "05:00": "00:05:00",
        "90": "00:01:30",
        "PT5M": "00:05:00",
        "PT1H30M": "01:30:00",
        "00:00:01": "00:00:01",
        "23:59:59": "23:59:59",
        "PT23H59M59S": "23:59:59",
    }
    for policy, sleep in shown.items():
        assert tenant.change(polling=policy)["polling"] == policy
        assert (policy, tenant.sleep()) == (policy, sleep)


def test_what_is_no_policy_is_refused(tenant: Tenant) -> None:
    for policy in ("24:00:00", "0", "P1D", "-5", "5 minutes", "00:05:00~x%", "00:05:00, 00:10:00", "1, x -> 2"):
        answer = tenant.site.ask("PATCH", "/api/v1/ddi", json={"polling": policy})
        assert (policy, answer.status_code) == (policy, 400)


def test_without_a_policy_devices_come_as_the_server_is_set_not_all_at_once(tenant: Tenant) -> None:
    usual = tenant.site.settings.poll_seconds
    sleeps = {seconds_of(tenant.sleep(tenant.new_board())) for _ in range(5)}
    assert len(sleeps) > 1
    assert all(0.75 * usual <= one <= 1.25 * usual for one in sleeps)


def test_a_spread_moves_each_device_by_its_own_share_always_the_same(tenant: Tenant) -> None:
    tenant.change(polling="00:10:00~10%")
    boards = [tenant.new_board() for _ in range(5)]
    sleeps = [seconds_of(tenant.sleep(board)) for board in boards]
    assert len(set(sleeps)) > 1
    assert all(540 <= one <= 660 for one in sleeps)
    assert sleeps == [seconds_of(tenant.sleep(board)) for board in boards]


def test_the_first_filter_that_matches_a_device_says_how_often_it_comes(tenant: Tenant) -> None:
    tenant.change(polling='00:05:00, attributes.site = "roof" -> 00:10:00, version < "2" -> 00:20:00')
    assert tenant.sleep() == "00:05:00"
    tenant.tell(version="1.0.0")
    assert tenant.sleep() == "00:20:00"
    tenant.tell(site="roof")
    assert tenant.sleep() == "00:10:00"


def test_a_policy_of_one_organization_is_not_anothers(tenant: Tenant, neighbour: Tenant) -> None:
    tenant.change(polling="00:00:10")
    neighbour.change(polling="00:00:20")
    assert (tenant.sleep(), neighbour.sleep()) == ("00:00:10", "00:00:20")


def test_a_sleep_ends_when_an_update_becomes_forced(tenant: Tenant) -> None:
    tenant.change(polling="12:00:00")
    began = time.time()
    tenant.ship(urgency="soft", forcedAt=int(began * 1000) + 600_000)
    tenant.next_action()
    place = share(tenant.board.id) * SPREAD_MS / 1000
    sleep = seconds_of(tenant.sleep())
    assert sleep - place + (time.time() - began) >= 599
    assert sleep - place <= 601


@pytest.mark.parametrize("window_on", ["update", "install"])
def test_a_sleep_ends_when_the_window_opens(tenant: Tenant, window_on: str) -> None:
    tenant.change(polling="23:59:59")
    tenant.clock_shows(11)
    tenant.ship(dayPart="afternoon", windowOn=window_on)
    assert ("deploymentBase" in tenant.links()) is (window_on == "install")
    explained = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}/explain").json()
    began = time.time()
    sleep = seconds_of(tenant.sleep())
    assert 0 < sleep <= 2 * 3600 + 1
    if window_on == "update":
        assert began - 3 < explained["recheckAt"] / 1000 - sleep < time.time() + 3


def test_a_sleep_ends_with_the_pause_after_a_failed_try(tenant: Tenant) -> None:
    tenant.change(polling="12:00:00")
    assert tenant.say(tenant.offered(), "closed", "failure") == 200
    assert seconds_of(tenant.sleep()) <= tenant.site.settings.retry_seconds + 1
