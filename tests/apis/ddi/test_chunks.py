"""Updates of several files: a chunk for each or one with all, and what devices are told they are for."""

from typing import Any

from tests.apis.ddi.door import Tenant
from tests.apis.serving import eventually
from tests.make import Stored


def product(tenant: Tenant, **changed: Any) -> None:
    answer = tenant.site.ask("PATCH", f"/api/v1/products/{tenant.site.product_id}", json=changed)
    assert answer.status_code == 200, answer.text


def three(tenant: Tenant) -> list[Stored]:
    return [tenant.site.artifact(version) for version in ("2.0.0", "3.0.0", "4.0.0")]


def chunks(tenant: Tenant, *artifacts: Stored) -> list[dict[str, Any]]:
    action = tenant.offered(*artifacts)
    found: list[dict[str, Any]] = tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"]
    return found


def files(chunk: dict[str, Any]) -> list[str]:
    return [artifact["filename"] for artifact in chunk["artifacts"]]


def test_each_file_is_a_chunk_in_the_order_that_was_given(tenant: Tenant) -> None:
    first, second, third = three(tenant)
    found = chunks(tenant, third, first, second)
    assert [chunk["version"] for chunk in found] == ["4.0.0", "2.0.0", "3.0.0"]
    assert [files(chunk) for chunk in found] == [[f"file-{one.id}.swu"] for one in (third, first, second)]


def test_one_chunk_has_all_files_where_the_product_says_so(tenant: Tenant) -> None:
    product(tenant, chunks="one")
    artifacts = three(tenant)
    [chunk] = chunks(tenant, *artifacts)
    assert chunk["version"] == "2.0.0"
    assert files(chunk) == [f"file-{one.id}.swu" for one in artifacts]


def modules(chunk: dict[str, Any]) -> set[str]:
    """The ids of modules in the links of a chunk."""
    links = [link["href"] for shown in chunk["artifacts"] for link in shown["_links"].values()]
    return {href.split("/softwaremodules/")[1].split("/")[0] for href in links}


def test_of_a_chunk_for_each_file_every_file_is_a_module_of_its_own(tenant: Tenant) -> None:
    artifacts = three(tenant)
    for artifact, chunk in zip(artifacts, chunks(tenant, *artifacts), strict=True):
        assert modules(chunk) == {str(artifact.id)}
        assert tenant.get(f"/softwaremodules/{artifact.id}/artifacts") == chunk["artifacts"]
    path = f"/softwaremodules/{artifacts[0].id}/artifacts/file-{artifacts[1].id}.swu"
    assert tenant.status("GET", path) == 404


def test_a_chunk_with_all_files_is_one_module_with_all_of_them(tenant: Tenant) -> None:
    """As in hawkBit: the list of a chunk's module is the chunk's files."""
    product(tenant, chunks="one")
    artifacts = three(tenant)
    action = tenant.offered(*artifacts)
    [chunk] = tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"]
    assert modules(chunk) == {str(artifacts[0].id)}
    module = f"/softwaremodules/{artifacts[0].id}/artifacts"
    assert tenant.get(module) == chunk["artifacts"]
    for artifact, shown in zip(artifacts, chunk["artifacts"], strict=True):
        assert tenant.ask("GET", shown["_links"]["download-http"]["href"]).content == artifact.content
        assert tenant.ask("GET", shown["_links"]["md5sum-http"]["href"]).text.endswith(shown["filename"])
    assert tenant.say(action) == 200
    assert tenant.get(module) == chunk["artifacts"]


def test_a_link_outlives_a_change_of_how_files_come(tenant: Tenant) -> None:
    artifacts = three(tenant)
    found = [chunk["artifacts"][0]["_links"]["download-http"]["href"] for chunk in chunks(tenant, *artifacts)]
    product(tenant, chunks="one")
    assert [tenant.ask("GET", href).content for href in found] == [one.content for one in artifacts]


def test_one_file_of_several_is_not_all_of_them(tenant: Tenant) -> None:
    for chunk in chunks(tenant, *three(tenant)):
        [shown] = chunk["artifacts"]
        assert tenant.status("GET", shown["_links"]["download-http"]["href"]) == 200
    assert eventually(lambda: tenant.stand() == ("downloading", ""))
    assert tenant.get()
    assert tenant.stand() == ("downloading", "")


def test_a_part_has_the_name_that_clients_know(tenant: Tenant) -> None:
    action = tenant.offered()
    for part, shown in (
        ("application", "bApp"),
        ("runtime", "jvm"),
        ("os", "os"),
        ("bApp", "bApp"),
        ("x.y_z-1", "x.y_z-1"),
    ):
        product(tenant, part=part)
        [chunk] = tenant.get(f"/deploymentBase/{action}")["deployment"]["chunks"]
        assert (part, chunk["part"]) == (part, shown)


def test_a_part_that_small_clients_cannot_read_is_refused(tenant: Tenant) -> None:
    for part in ("", "a b", "\u00e9", 'a"b', "x" * 33):
        answer = tenant.site.ask("PATCH", f"/api/v1/products/{tenant.site.product_id}", json={"part": part})
        assert (part, answer.status_code) == (part, 400)


def test_a_file_without_a_version_is_told_by_its_build_or_its_hash(tenant: Tenant) -> None:
    nameless = tenant.site.artifact("", content=tenant.name.encode())
    [chunk] = chunks(tenant, nameless)
    digest = chunk["artifacts"][0]["hashes"]["sha256"]
    assert chunk["version"] == digest[:12]


def test_the_version_that_was_said_of_a_file_is_the_one_that_is_shown(tenant: Tenant) -> None:
    nameless = tenant.site.artifact("", content=tenant.name.encode())
    piece = {"id": nameless.id, "version": "7.7.7"}
    body = {"title": "t", "deviceIds": [tenant.board.id], "artifacts": [piece]}
    assert tenant.site.ask("POST", "/api/v1/rollouts", json=body).status_code == 201
    [chunk] = tenant.get(f"/deploymentBase/{tenant.next_action()}")["deployment"]["chunks"]
    assert chunk["version"] == "7.7.7"


def test_fifty_files_are_an_update(tenant: Tenant) -> None:
    product(tenant, chunks="one")
    artifacts = [tenant.site.artifact(content=f"{tenant.name} {i}".encode()) for i in range(50)]
    [chunk] = chunks(tenant, *artifacts)
    assert len(files(chunk)) == 50
