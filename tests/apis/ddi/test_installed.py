"""installedBase: what brought what a device runs, and a device that says which version it has."""

import time
from typing import Any

import pytest
from tests.apis.ddi.door import Tenant, error_code
from tests.apis.site import Site


def product_name(site: Site) -> str:
    return str(site.ask("GET", f"/api/v1/products/{site.product_id}").json()["name"])


def put(tenant: Tenant, name: Any, version: Any) -> int:
    return tenant.status("PUT", "/installedBase", json={"name": name, "version": version})


def version(tenant: Tenant) -> str:
    return str(tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()["version"])


def test_an_update_that_succeeded_is_shown_as_it_was(tenant: Tenant) -> None:
    action = tenant.offered()
    shown = tenant.get(f"/deploymentBase/{action}")
    assert tenant.status("GET", f"/installedBase/{action}") == 404
    assert tenant.say(action, "closed", "success", "done") == 200
    assert tenant.get(f"/installedBase/{action}") == shown
    assert tenant.get(tenant.links()["installedBase"]) == shown
    history = tenant.get(f"/installedBase/{action}?actionHistory=-1")["actionHistory"]
    assert history == {"status": "FINISHED", "messages": ["done"]}


def test_one_that_failed_is_shown_and_one_that_was_cancelled_is_not(tenant: Tenant) -> None:
    failed = tenant.offered(attemptsLimit=1)
    assert tenant.say(failed, "closed", "failure") == 200
    assert tenant.status("GET", f"/installedBase/{failed}") == 200
    canceled = tenant.canceling()
    assert tenant.status("GET", f"/installedBase/{canceled}") == 404
    assert tenant.say(canceled, on="cancelAction") == 200
    assert tenant.status("GET", f"/installedBase/{canceled}") == 404


def test_a_try_that_failed_is_shown_while_the_next_is_under_way(tenant: Tenant) -> None:
    first = tenant.offered()
    assert tenant.say(first, "closed", "failure", "of the first") == 200
    tenant.retry_now()
    second = tenant.next_action()
    assert tenant.say(second, "proceeding", "none", "of the second") == 200
    history = tenant.get(f"/installedBase/{first}?actionHistory=10")["actionHistory"]
    assert history == {"status": "ERROR", "messages": ["of the first"]}
    assert tenant.history(second) == {"status": "RUNNING", "messages": ["of the second"]}


def test_what_was_only_downloaded_is_not_installed(tenant: Tenant) -> None:
    artifact = tenant.site.artifact("3.0.0")
    installed = tenant.offered()
    assert tenant.say(installed) == 200
    time.sleep(0.002)
    assert tenant.tell(VIN="1") == 200
    time.sleep(0.002)
    assert tenant.say(tenant.offered(artifact, finishOn="download"), "downloaded") == 200
    assert tenant.links() == {
        "installedBase": f"{tenant.base()}/installedBase/{installed}",
        "configData": tenant.base() + "/configData",
    }
    assert tenant.status("GET", f"/softwaremodules/{artifact.id}/artifacts") == 404


def test_a_device_can_say_what_it_has(tenant: Tenant) -> None:
    tenant.ship(tenant.site.artifact("5.0.0"), to=[tenant.new_board()])
    name = product_name(tenant.site)
    assert put(tenant, name, "5.0.0") == 201
    assert put(tenant, name, "5.0.0") == 200
    assert version(tenant) == "5.0.0"


def test_what_it_says_it_has_proves_its_update(tenant: Tenant) -> None:
    tenant.tell(version="1.0.0")
    action = tenant.offered(tenant.site.artifact("5.0.0"))
    assert tenant.say(action) == 200
    assert tenant.stand() == ("activating", "")
    assert put(tenant, product_name(tenant.site), "5.0.0") == 201
    assert tenant.stand() == ("succeeded", "")


def test_a_version_that_no_update_has_brought_is_404(tenant: Tenant, neighbour: Tenant) -> None:
    neighbour.ship(neighbour.site.artifact("7.0.0"))
    tenant.ship(tenant.site.artifact("5.0.0"))
    name = product_name(tenant.site)
    for told in ((name, "6.0.0"), ("another", "5.0.0"), (name, "7.0.0"), (product_name(neighbour.site), "7.0.0")):
        answer = tenant.ask("PUT", "/installedBase", json=dict(zip(("name", "version"), told, strict=True)))
        assert (told, answer.status_code, error_code(answer)) == (told, 404, "repo.entityNotFound")
    assert version(tenant) == ""


@pytest.mark.parametrize(
    "body", [{}, {"name": "x"}, {"version": "1"}, {"name": "", "version": "1"}, {"name": [], "version": "1"}]
)
def test_what_names_nothing_is_400(tenant: Tenant, body: Any) -> None:
    assert tenant.status("PUT", "/installedBase", json=body) == 400
