"""Packages: uploaded in both ways, read, listed, deleted; what is refused leaves nothing."""

import socket
from pathlib import Path

import httpx
import pytest
from tests.apis.campaigns.conftest import Campaigns, refused
from tests.apis.conftest import Serve
from tests.apis.serving import eventually
from tests.apis.site import Site
from tests.formats.packages import Member, package

from airfreight.apis.campaigns import routes_packages
from airfreight.services import access, artifacts, users
from airfreight.store import access as people

PROGRAMS = "/api/programs"


def stream(door: Campaigns, content: bytes = b"some bytes", name: str = "", **headers: str) -> httpx.Response:
    named = {"name": name} if name else {}
    return door.ask("POST", PROGRAMS + "/", content=content, params=named, headers=headers)


def info(door: Campaigns, answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    told: dict[str, str] = door.ok("GET", f"{PROGRAMS}/{answer.json()['uuid']}/file-info")
    return told


@pytest.mark.parametrize("letter", ["a", "ü", "\N{ROCKET}"])
def test_a_form_brings_a_file_and_a_description(door: Campaigns, letter: str) -> None:
    description = letter * 128
    uuid = door.upload("a-1.0.iotcp", description=description)
    told = door.ok("GET", f"{PROGRAMS}/{uuid}/file-info")
    assert int(told.pop("createdOn")) > 0
    assert told.pop("createdBy").startswith("admin@"), "the API client of the site acts for its admin"
    assert told == {"description": description, "id": uuid, "name": "a-1.0.iotcp"}


@pytest.mark.parametrize(
    ("query", "headers", "name"),
    [
        ({"name": "a.iotcp"}, {}, "a.iotcp"),
        ({}, {"Content-Disposition": 'attachment; filename="../b.iotcp"'}, "b.iotcp"),
        ({"name": "a.iotcp"}, {"Content-Disposition": 'attachment; filename="b.iotcp"'}, "a.iotcp"),
        ({}, {"Content-Disposition": "attachment; filename*=UTF-8''na%C3%AFve%20b.iotcp"}, "naïve b.iotcp"),
        ({}, {"Content-Disposition": "attachment; filename=\"b\"; filename*=utf-8'en'%C3%BC"}, "ü"),
        ({}, {"Content-Disposition": "attachment; filename*=iso-8859-1''%FC; filename=\"b\""}, "b"),
        ({}, {"Content-Disposition": "attachment; filename*=UTF-8''%FF; filename=\"b\""}, "b"),
        ({}, {}, "package"),
    ],
)
def test_a_body_is_the_file_and_its_name_stands_beside_it(
    door: Campaigns, query: dict[str, str], headers: dict[str, str], name: str
) -> None:
    sent = {"Accept": "application/zip", "Content-Type": "application/zip", **headers}
    content = package()
    answer = door.ask("POST", PROGRAMS, content=content, params={**query, "description": "A"}, headers=sent)
    told = info(door, answer)
    assert (told["name"], told["description"]) == (name, "A")


def test_a_package_can_be_fetched_by_a_gateway_byte_for_byte(door: Campaigns) -> None:
    content = bytes(range(256)) * 400
    uuid = stream(door, content, "x.bin").json()["uuid"]
    [board] = door.gateways()
    door.started(uuid, boards=[board])
    told = door.next(board)
    assert told is not None
    assert door.site.as_device(board).get(told["artifacts"][0]["url"]).content == content


LIES = {
    "a checksum": Member("dist-info/CHECK_SUMS", b"data/verify.sh: sha256=" + b"0" * 64 + b"\n"),
    "a path": Member("../../etc/passwd", b"root"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_package_that_contradicts_itself_is_refused_in_both_ways(door: Campaigns, lie: str) -> None:
    content = package(LIES[lie])
    before = blobs(door.site)
    words = refused(door.ask("POST", PROGRAMS, files={"file": ("x.iotcp", content)}), 400, "broken_package", 3)
    assert words == refused(stream(door, content, "x.iotcp"), 400, "broken_package", 3)
    assert door.ok("GET", PROGRAMS)["programs"] == []
    assert blobs(door.site) <= before, "what was there may go meanwhile, nothing may come"


def test_what_is_wrong_with_a_form_or_a_name_is_said(door: Campaigns) -> None:
    file = {"file": ("a.bin", b"x")}
    for data in ({"description": "x" * 129}, {"description": "a\nb"}, {"other": "x"}):
        refused(door.ask("POST", PROGRAMS, files=file, data=data), 400, "bad_form", 3)
    refused(door.ask("POST", PROGRAMS, files={"upfile": ("a.bin", b"x")}), 400, "bad_form", 3)
    refused(door.ask("POST", PROGRAMS, files={"description": (None, "x")}), 400, "file_missing", 3)
    refused(door.ask("POST", PROGRAMS, files={"file": ("a" * 256, b"x")}), 400, "bad_filename", 3)
    refused(door.ask("POST", PROGRAMS, files={"file": ("a", b"")}), 400, "empty_file", 3)
    refused(stream(door, b""), 400, "empty_file", 3)
    refused(stream(door, name="a" * 256), 400, "invalid", 3)
    refused(stream(door, name=".."), 400, "bad_filename", 3)
    long = door.ask("POST", PROGRAMS, content=b"x", params={"description": "x" * 129})
    assert "description" in refused(long, 400, "invalid", 3)
    headers = {"Content-Type": "multipart/form-data"}
    refused(door.ask("POST", PROGRAMS, content=b"x", headers=headers), 415, "unsupported_media_type", 3)
    assert door.ok("GET", PROGRAMS)["programs"] == []


def blobs(site: Site) -> set[Path]:
    return {path for path in (site.server.app.settings.data / "blobs").rglob("*") if path.is_file()}


def test_a_form_over_its_limit_is_413_and_leaves_nothing_while_a_stream_may_be_longer(
    door: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_packages, "LONGEST_FORM", 100_000)
    before = blobs(door.site)
    refused(door.ask("POST", PROGRAMS, files={"file": ("a", b"x" * 200_000)}), 413, "too_large", 8)
    unannounced = door.ask(
        "POST",
        PROGRAMS,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        content=iter([b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n', b"x" * 200_000]),
    )
    refused(unannounced, 413, "too_large", 8)
    assert eventually(lambda: blobs(door.site) <= before)
    assert stream(door, b"x" * 200_000).status_code == 200
    assert door.ok("GET", PROGRAMS)["pageInfo"]["totalElements"] == "1"


def test_the_limit_of_a_form_is_a_gibibyte_said_before_a_byte_is_read(door: Campaigns) -> None:
    token = door.site.tokens["client"]
    length = 1024**3 + 65 * 1024
    with door.site.server.connect() as line:
        assert isinstance(line, socket.socket)
        line.sendall(
            f"POST {PROGRAMS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
        )
        assert b" 413 " in line.recv(1000).partition(b"\r\n")[0]


def test_a_stream_is_limited_by_the_server_alone(serve: Serve) -> None:
    from contextlib import ExitStack

    with serve(max_stream_bytes=1000, max_upload_bytes=10) as server, ExitStack() as stack:
        door = Campaigns(Site(server, stack))
        assert stream(door, b"x" * 1000).status_code == 200
        refused(stream(door, b"x" * 1001), 413, "too_large", 8)


def test_a_stream_is_not_limited_unless_the_server_is_told_to(serve: Serve) -> None:
    from contextlib import ExitStack

    with serve(max_upload_bytes=10) as server, ExitStack() as stack:
        door = Campaigns(Site(server, stack))
        assert stream(door, b"x" * 3_000_000).status_code == 200
        with server.connect() as line:
            token, length = door.site.tokens["client"], 3 * 1024**3
            line.sendall(
                f"POST {PROGRAMS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n"
                f"Content-Length: {length}\r\nContent-Type: application/zip\r\n\r\n".encode()
            )
            assert b" 100 " in line.recv(1000).partition(b"\r\n")[0]


def test_packages_are_listed_newest_first_by_a_part_of_their_name_in_pages(door: Campaigns) -> None:
    made = [stream(door, bytes([number + 1]), f"{name}.iotcp").json()["uuid"] for number, name in enumerate("abcA")]

    def ids(**query: object) -> list[str]:
        return [one["id"] for one in door.ok("GET", PROGRAMS, params=query)["programs"]]

    assert ids() == made[::-1]
    assert ids(**{"page.sort": "ASC"}) == made
    assert ids(name="a.IOT") == [made[3], made[0]]
    assert ids(name="%") == []
    assert ids(**{"page.number": 2, "page.size": 3}) == made[:1]
    told = door.ok("GET", PROGRAMS, params={"page.number": 2, "page.size": 3, "name": "iotcp"})["pageInfo"]
    assert told == {"totalPages": "2", "totalElements": "4", "page": 2, "pageSize": 3}


def test_a_package_goes_when_no_campaign_has_used_it(door: Campaigns) -> None:
    used, unused = door.upload(), door.upload("b.iotcp")
    campaign = door.create(used)
    words = refused(door.ask("DELETE", f"{PROGRAMS}/{used}"), 400, "in_use", 9)
    assert "campaign" in words
    assert door.ok("DELETE", f"{PROGRAMS}/{unused}") == {}
    refused(door.ask("GET", f"{PROGRAMS}/{unused}/file-info"), 404, "not_found", 5)
    refused(door.ask("DELETE", f"{PROGRAMS}/{unused}"), 404, "not_found", 5)
    door.ok("DELETE", f"/api/campaigns/{campaign}")
    assert door.ok("DELETE", f"{PROGRAMS}/{used}") == {}, "it was never started: there is no record of it to keep"
    kept = door.upload("c.iotcp")
    ran = door.started(kept)
    door.steer(ran, "stop")
    door.ok("DELETE", f"/api/campaigns/{ran}")
    refused(door.ask("DELETE", f"{PROGRAMS}/{kept}"), 400, "in_use", 9)


def test_who_made_a_package_is_shown_by_name_and_after_that_by_number(door: Campaigns) -> None:
    site = door.site
    with site.database.write() as connection:
        client_id, secret = f"ci-{site.product_id}", site.keyring.digest("s")
        people.add_client(
            connection, site.organization_id, name="CI", client_id=client_id, secret_hash=secret, owner_user_id=None, now=1
        )  # fmt: skip
        grant = access.client_credentials(connection, site.keyring, client_id, "s", site.now, 3600)
    site.tokens["CI"] = grant.access_token
    made = {who: str(door.ok("POST", PROGRAMS, who, content=who.encode())["uuid"]) for who in ("staff", "CI")}

    def names(who: str = "client", **headers: str) -> dict[str, str]:
        one = {who_made: door.ok("GET", f"{PROGRAMS}/{uid}/file-info", who) for who_made, uid in made.items()}
        listed = {item["id"]: item["createdBy"] for item in door.ok("GET", PROGRAMS, who)["programs"]}
        assert listed == {item["id"]: item["createdBy"] for item in one.values()}
        return {who_made: item["createdBy"] for who_made, item in one.items()}

    staff = door.ok("GET", "/api/me", "staff")
    assert names("user") == {"staff": staff["userName"], "CI": "client:CI"}
    with site.call() as call:
        users.delete(call, int(staff["id"].partition(":")[2]))
    assert names() == {"staff": staff["id"], "CI": "client:CI"}


def test_of_an_organization_above_nobody_is_named(door: Campaigns) -> None:
    below = door.site.organization()
    there = {"x-current-org-id": str(below)}
    uid = door.ok("POST", PROGRAMS, "admin", content=b"x", headers=there)["uuid"]
    mine = door.ok("GET", f"{PROGRAMS}/{uid}/file-info", "admin", headers=there)["createdBy"]
    assert mine == door.ok("GET", "/api/me", "admin")["userName"]
    door.site.tokens.update({"below": door.site.people(below)["admin"]})
    assert door.ok("GET", f"{PROGRAMS}/{uid}/file-info", "below")["createdBy"].startswith("user:")


def test_other_files_are_packages_that_need_nobodys_word(door: Campaigns) -> None:
    [board] = door.gateways()
    uuid = door.ask("POST", PROGRAMS, files={"file": ("a.bin", b"no zip at all")}).json()["uuid"]
    door.started(uuid, boards=[board])
    assert (door.next(board) or {})["do"] == "download"
    with door.site.call() as call:
        assert artifacts.by_uid(call, uuid, "Package").made_by.startswith("user:")
