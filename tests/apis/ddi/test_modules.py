"""Software modules: which files a device may see and fetch, and when. Ranges and headers are in test_files."""

import hashlib

from tests.apis.ddi.door import Tenant
from tests.apis.serving import eventually
from tests.make import Stored


def folder(artifact: Stored) -> str:
    return f"/softwaremodules/{artifact.id}/artifacts"


def file(artifact: Stored) -> str:
    return f"{folder(artifact)}/file-{artifact.id}.swu"


def reach(tenant: Tenant, artifact: Stored) -> tuple[int, int, int]:
    """The status of the list, of the file and of its MD5SUM."""
    path = file(artifact)
    return tenant.status("GET", folder(artifact)), tenant.status("GET", path), tenant.status("GET", path + ".MD5SUM")


def test_the_list_has_the_file_as_the_update_has_it(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    [chunk] = tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"]
    assert tenant.get(folder(artifact)) == chunk["artifacts"]
    assert tenant.ask("HEAD", folder(artifact)).headers["content-length"] != "0"


def test_the_links_lead_to_the_bytes_and_their_md5(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    [chunk] = tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"]
    [shown] = chunk["artifacts"]
    answer = tenant.ask("GET", shown["_links"]["download-http"]["href"], headers={"Accept": "application/octet-stream"})
    assert (answer.status_code, answer.content) == (200, artifact.content)
    assert hashlib.sha1(answer.content, usedforsecurity=False).hexdigest() == shown["hashes"]["sha1"]
    assert answer.headers["etag"] == f'"{shown["hashes"]["sha1"]}"'
    md5 = tenant.ask("GET", shown["_links"]["md5sum-http"]["href"], headers={"Accept": "text/plain"})
    assert md5.text == f"{hashlib.md5(artifact.content).hexdigest()}  {shown['filename']}"
    assert md5.headers["content-type"] == "text/plain"


def test_a_fetched_file_moves_the_delivery(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    assert tenant.status("GET", file(artifact), headers={"Range": "bytes=0-9"}) == 206
    assert eventually(lambda: tenant.history(action)["status"] == "DOWNLOAD")
    assert tenant.status("GET", file(artifact)) == 200
    assert eventually(lambda: tenant.history(action)["status"] == "DOWNLOADED")
    assert tenant.stand() == ("downloaded", "")


def test_a_head_moves_nothing(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    tenant.offered(artifact)
    answer = tenant.ask("HEAD", file(artifact))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (
        200,
        b"",
        str(len(artifact.content)),
    )
    tenant.get(folder(artifact))
    assert tenant.status("GET", file(artifact) + ".MD5SUM") == 200
    assert tenant.stand() == ("offered", "")


def test_before_the_offer_there_is_nothing(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    tenant.ship(artifact)
    assert reach(tenant, artifact) == (404, 404, 404)
    tenant.next_action()
    assert reach(tenant, artifact) == (200, 200, 200)


def test_of_what_is_installed_there_is_only_the_list(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    assert tenant.say(tenant.offered(artifact)) == 200
    assert reach(tenant, artifact) == (200, 404, 404)
    newer = tenant.site.artifact("3.0.0")
    tenant.offered(newer)
    assert reach(tenant, artifact) == (200, 404, 404)
    assert reach(tenant, newer) == (200, 200, 200)


def test_of_what_failed_or_is_cancelled_there_is_nothing(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    assert tenant.say(tenant.offered(artifact, attemptsLimit=1), "closed", "failure") == 200
    assert reach(tenant, artifact) == (404, 404, 404)
    cancelled = tenant.site.artifact("3.0.0")
    rollout_id = tenant.ship(cancelled)
    action = tenant.next_action()
    tenant.get(f"/deploymentBase/{action}")
    assert reach(tenant, cancelled) == (200, 200, 200)
    tenant.cancel(rollout_id)
    assert reach(tenant, cancelled) == (404, 404, 404)
    assert tenant.say(action, "rejected", on="cancelAction") == 200
    assert reach(tenant, cancelled) == (200, 200, 200)


def test_between_two_tries_there_is_nothing(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    assert tenant.say(tenant.offered(artifact), "closed", "failure") == 200
    assert reach(tenant, artifact) == (404, 404, 404)


def test_one_that_waits_for_its_proof_may_fetch_again(tenant: Tenant) -> None:
    """It may have to start over: what it says of its version is not heard yet."""
    tenant.tell(version="1.0.0")
    artifact = tenant.site.artifact()
    assert tenant.say(tenant.offered(artifact)) == 200
    assert reach(tenant, artifact) == (200, 200, 200)


def test_while_the_rollout_is_paused_only_what_has_begun_goes_on(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    rollout_id = tenant.ship(artifact)
    action = tenant.next_action()
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/pause").status_code == 200
    assert reach(tenant, artifact) == (404, 404, 404)
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/resume").status_code == 200
    assert tenant.say(action, "download", "none") == 200
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/pause").status_code == 200
    assert reach(tenant, artifact) == (200, 200, 200)


def test_another_name_or_number_is_404(tenant: Tenant) -> None:
    artifact, other = tenant.site.artifact(), tenant.site.artifact("3.0.0")
    tenant.offered(artifact)
    name = f"file-{artifact.id}.swu"
    for rest in (
        folder(other), f"{folder(other)}/{name}", f"{folder(artifact)}/other.swu", f"{folder(artifact)}/{name.upper()}",
        f"{folder(artifact)}/{name}.md5sum", f"{folder(artifact)}/{name}.MD5SUM.MD5SUM", f"{folder(artifact)}/.MD5SUM",
        f"{folder(artifact)}/{name}/x", f"{folder(artifact)}/", f"{folder(artifact)}/%2e%2e%2f{name}", "/softwaremodules",
        f"/softwaremodules/{artifact.id}", f"/softwaremodules/{artifact.id}/metadata",
    ):  # fmt: skip
        assert (rest, tenant.status("GET", rest)) == (rest, 404)


def test_names_of_every_kind_are_found_by_their_links(tenant: Tenant) -> None:
    for filename in (
        "a b.swu",
        "50%.swu",
        "\u00e9\U0001f680.swu",
        "a?b#c&d=e.swu",
        'quo"te.swu',
        "x.MD5SUM",
        "a+b;c,d.swu",
        "...",
    ):
        artifact, board = tenant.site.artifact(), tenant.new_board()
        body = {"title": "t", "deviceIds": [board.id], "artifacts": [{"id": artifact.id, "filename": filename}]}
        assert tenant.site.ask("POST", "/api/v1/rollouts", json=body).status_code == 201
        action = tenant.next_action(board)
        [chunk] = tenant.get(f"/deploymentBase/{action}", board)["deployment"]["chunks"]
        [shown] = chunk["artifacts"]
        assert shown["filename"] == filename
        answer = tenant.ask("GET", shown["_links"]["download-http"]["href"], board)
        assert (filename, answer.status_code, answer.content) == (filename, 200, artifact.content)
        md5 = tenant.ask("GET", shown["_links"]["md5sum-http"]["href"], board)
        assert (filename, md5.status_code, md5.text.endswith(f"  {filename}")) == (filename, 200, True)


def test_bytes_that_are_not_there_are_404_not_a_mistake_of_the_server(tenant: Tenant) -> None:
    artifact = tenant.site.artifact(content=tenant.name.encode())
    action = tenant.offered(artifact)
    digest = hashlib.sha256(artifact.content).hexdigest()
    tenant.site.blobs.path(digest).unlink()
    assert reach(tenant, artifact) == (404, 404, 404)
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    assert tenant.links() != {}
