"""Devices that ask while somebody else removes, stops or makes what they ask for: never a mistake of the server."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from sqlalchemy import func, select
from tests.apis.ddi.door import Tenant, feedback, raw

from airfreight.store import tables

Work = Callable[[], object]


def at_once(*works: Work) -> list[Any]:
    """What each of them came to, all begun together."""
    found: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(place: int) -> None:
        start.wait()
        found[place] = works[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def asking(tenant: Tenant, asks: Sequence[tuple[str, str, Any]], is_over: threading.Event) -> Work:
    """Asks all of it again and again until it is over, and once more; the statuses."""
    key = f"Authorization: TargetToken {tenant.board.token}"

    def work() -> set[int]:
        seen: set[int] = set()
        is_last = False
        while not is_last:
            is_last = is_over.is_set()
            for method, rest, body in asks:
                content = b"" if body is None else tenant.http.build_request(method, "/", json=body).content
                headers = [key] if body is None else [key, "Content-Type: application/json"]
                seen.add(raw(tenant, tenant.path(tenant.board.uid, rest), *headers, method=method, body=content)[0])
        return seen

    return work


def everything(action: int, artifact: int) -> list[list[tuple[str, str, Any]]]:
    """What a device asks, for several threads."""
    note = feedback("proceeding", "none", "a word")
    file = f"/softwaremodules/{artifact}/artifacts/file-{artifact}.swu"
    return [
        [("GET", "", None), ("GET", f"/deploymentBase/{action}?actionHistory=5", None)],
        [("PUT", "/configData", {"data": {"a": "b"}}), ("GET", file, None)],
        [("POST", f"/deploymentBase/{action}/feedback", note), ("GET", "/confirmationBase", None)],
        [("GET", f"/cancelAction/{action}", None), ("POST", f"/cancelAction/{action}/feedback", note)],
    ]


def insisting(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to an operator who is told to try again while the device writes, and does so until it is done."""
    end = time.monotonic() + 45
    while (answer := ask()).headers.get("x-error-code") == "race":
        assert time.monotonic() < end, "the device is always in the way"
    return answer


def test_a_device_is_removed_while_it_asks_for_everything(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    is_over = threading.Event()

    def remove() -> int:
        try:
            path = f"/api/v1/devices/{tenant.board.id}"
            return insisting(lambda: tenant.site.ask("DELETE", path)).status_code
        finally:
            is_over.set()

    *seen, status = at_once(*(asking(tenant, asks, is_over) for asks in everything(action, artifact.id)), remove)
    assert status == 204
    assert set().union(*seen) <= {200, 401, 404, 405, 410}
    assert tenant.stand() == ("canceled", "device_removed")
    assert tenant.site.drift() == {}


def test_a_rollout_is_stopped_and_deleted_while_its_device_asks_for_everything(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    rollout_id = tenant.ship(artifact)
    action = tenant.next_action()
    is_over = threading.Event()

    def remove() -> str:
        try:
            tenant.cancel(rollout_id)
            return insisting(lambda: tenant.site.ask("DELETE", f"/api/v1/rollouts/{rollout_id}")).text
        finally:
            is_over.set()

    *seen, refusal = at_once(*(asking(tenant, asks, is_over) for asks in everything(action, artifact.id)), remove)
    assert refusal == ""
    assert set().union(*seen) <= {200, 404, 405, 410}
    assert tenant.links() == {}


def test_of_ten_final_words_at_once_one_counts(tenant: Tenant) -> None:
    action = tenant.offered(attemptsLimit=1)
    said = [lambda: tenant.say(action), lambda: tenant.say(action, "closed", "failure")] * 5
    assert sorted(at_once(*said)) == [200] + [410] * 9
    table = tables.history
    ends = select(func.count()).select_from(table).where(table.c.attempt_id == action, table.c.verdict == "moved")
    assert tenant.site.rows(ends)[0][0] == 2  # the offer and one end
    assert tenant.site.drift() == {}


def test_a_confirmation_and_a_denial_at_once_are_one_of_them(tenant: Tenant) -> None:
    tenant.change(confirmation=True)
    action = tenant.offered_to_confirm(attemptsLimit=1)
    path = f"/confirmationBase/{action}/feedback"
    words = [{"confirmation": said} for said in ("confirmed", "denied")]
    statuses = at_once(*[lambda body=body: tenant.status("POST", path, json=body) for body in words])
    assert set(statuses) <= {200, 404, 410}
    state, _ = tenant.stand()
    assert state in {"offered", "failed"}
    assert set(tenant.links()) == ({"deploymentBase"} if state == "offered" else set())


def test_of_two_words_for_all_that_comes_one_is_the_first(tenant: Tenant) -> None:
    path = "/confirmationBase/activateAutoConfirm"
    assert sorted(at_once(*[lambda: tenant.status("POST", path)] * 5)) == [200] + [409] * 4


def test_polls_at_once_make_one_offer(tenant: Tenant) -> None:
    tenant.ship()
    found = at_once(*[tenant.links] * 10)
    assert all(one == found[0] and set(one) == {"deploymentBase"} for one in found)
    table = tables.attempts
    assert (
        tenant.site.rows(select(func.count()).select_from(table).where(table.c.id >= tenant.next_action()))[0][0] == 1
    )


def test_attributes_told_at_once_are_all_kept(tenant: Tenant) -> None:
    assert at_once(*[lambda i=i: tenant.put({f"k{i}": "v"}) for i in range(10)]) == [200] * 10
    shown = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()
    assert shown["attributes"] == {f"k{i}": "v" for i in range(10)}


def test_sixty_newcomers_at_once_are_sixty_devices(tenant: Tenant) -> None:
    key = f"Authorization: GatewayToken {tenant.gateway_token()}"
    polls = [lambda i=i: raw(tenant, tenant.path(f"new-{i % 60}"), key)[0] for i in range(120)]
    assert at_once(*polls) == [200] * 120
    table = tables.devices
    mine = table.c.organization_id == tenant.site.organization_id
    assert tenant.site.rows(select(func.count()).select_from(table).where(mine))[0][0] == 61


def test_strangers_who_ask_all_at_once_make_nothing_and_stop_nobody(tenant: Tenant) -> None:
    tenant.gateway_token()
    polls = [lambda i=i: raw(tenant, tenant.path(f"x-{i}"), "Authorization: GatewayToken guess")[0] for i in range(100)]
    *strangers, own = at_once(*polls, lambda: tenant.status("GET"))
    assert (set(strangers), own) == ({401}, 200)
    assert tenant.device("x-0") is None
