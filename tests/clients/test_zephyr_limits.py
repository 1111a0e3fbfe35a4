"""What the emulated editions of Zephyr's client give up on: so that it means something when they do not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.clients.place import answering
from tests.clients.zephyr import ClientError, Mended, Newer, Older, Zephyr

Edition = type[Zephyr]
edition = pytest.mark.parametrize("edition", [Newer, Mended, Older])

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
NOTHING: dict[str, Any] = {"config": {"polling": {"sleep": "00:05:00"}}}
HOST = "http://h/DEFAULT/controller/v1/b"


def ok(value: Any) -> bytes:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return HEAD % len(content) + content


def linked(**hrefs: str) -> bytes:
    return ok({**NOTHING, "_links": {name: {"href": href} for name, href in hrefs.items()}})


def downloads(href: str) -> dict[str, Any]:
    return {name: {"href": href} for name in ("download-http", "md5sum-http")}


def deployment(action_id: Any = "1001", **changed: Any) -> Any:
    artifact = {
        "filename": "f",
        "hashes": {"sha1": "a" * 40, "md5": "b" * 32, "sha256": "c" * 64},
        "size": 1,
        "_links": {
            name: {"href": f"{HOST}/softwaremodules/1/artifacts/f"} for name in ("download-http", "md5sum-http")
        },
    }
    artifact.update(changed)
    chunk = {"part": "bApp", "version": "1", "name": "n", "artifacts": [artifact]}
    return {"id": action_id, "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]}}


def changed(change: Callable[[Any], Any]) -> bytes:
    """A deployment in which something is not as it should be."""
    value = deployment()
    change(value["deployment"]["chunks"])
    return ok(value)


OFFERED = linked(deploymentBase=f"{HOST}/deploymentBase/1001?c=-1")

WRONG = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(NOTHING).encode(),
    "too long a length": HEAD % 500 + json.dumps(NOTHING).encode(),
    "too short a length": HEAD % 2 + json.dumps(NOTHING).encode(),
    "201": ok(NOTHING).replace(b"200 OK", b"201 Created"),
    "204": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
    "a closed connection": ok(NOTHING).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "no JSON": ok(b"{"),
    "a sleep of a day": ok({"config": {"polling": {"sleep": "P1D"}}}),
    "a short sleep": ok({"config": {"polling": {"sleep": "5:00"}}}),
    "no sleep": ok({"config": {}}),
    "a link that is a text": ok({**NOTHING, "_links": {"configData": "http://h/x"}}),
    "an escaped link": ok(json.dumps({**NOTHING, "_links": {"configData": {"href": "http://h/x"}}}).replace("/", "\\/").encode()),
}  # fmt: skip
WRONG_DEPLOYMENTS = {
    "a number as id": ok(deployment(1001)),
    "an id that is none": ok(deployment("0")),
    "an id beyond int32": ok(deployment(str(2**31))),
    "two chunks": changed(lambda chunks: chunks.append(chunks[0])),
    "two artifacts": changed(lambda chunks: chunks[0]["artifacts"].append(chunks[0]["artifacts"][0])),
    "no chunk": changed(lambda chunks: chunks.clear()),
    "another part": changed(lambda chunks: chunks[0].update(part="application")),
    "a short sha256": ok(deployment(hashes={"sha1": "", "md5": "", "sha256": "c" * 63})),
    "no sha256": ok(deployment(hashes={"sha1": "", "md5": ""})),
    "a size that is a text": ok(deployment(size="1")),
    "a size beyond int32": ok(deployment(size=2**31)),
    "no download-http": ok(deployment(_links={"download": {"href": f"{HOST}/f"}, "md5sum-http": {"href": HOST}})),
    "a long path": ok(deployment(_links=downloads(HOST + "/x" * 150))),
}


@edition
@pytest.mark.parametrize("name", WRONG)
def test_it_gives_up_on(edition: Edition, name: str) -> None:
    with answering(WRONG[name]) as port, pytest.raises(ClientError):
        edition(port, "b", "t").run()


@edition
@pytest.mark.parametrize("name", WRONG_DEPLOYMENTS)
def test_it_gives_up_on_a_deployment_with(edition: Edition, name: str) -> None:
    with answering(OFFERED, WRONG_DEPLOYMENTS[name]) as port, pytest.raises(ClientError):
        edition(port, "b", "t").run()


@edition
def test_it_gives_up_on_bytes_that_are_not_those_that_were_offered(edition: Edition) -> None:
    with answering(OFFERED, ok(deployment()), ok(b"x")) as port, pytest.raises(ClientError, match="these are not"):
        edition(port, "b", "t").run()


@edition
def test_a_token_is_at_most_thirty_two_characters(edition: Edition) -> None:
    with pytest.raises(ClientError):
        edition(1, "b", "t" * 33)


@pytest.mark.parametrize("tail", ["/x" * 30, "?c=" + "1" * 40])
def test_the_older_edition_has_little_room_for_ends_of_links(tail: str) -> None:
    for link in ("deploymentBase", "cancelAction"):
        with answering(linked(**{link: f"{HOST}/{link}/1001{tail}"})) as port, pytest.raises(ClientError):
            Older(port, "b", "t").run()


def test_the_older_edition_looks_for_the_tenant_in_upper_case() -> None:
    lower = HOST.replace("DEFAULT", "default") + "/softwaremodules/1/artifacts/f"
    wrong = deployment(_links=downloads(lower))
    with answering(OFFERED, ok(wrong)) as port, pytest.raises(ClientError, match="DEFAULT"):
        Older(port, "b", "t").run()


@pytest.mark.parametrize("action_id", [7, 10, 100, 2000, 30_000])
def test_the_newer_edition_cannot_read_an_id_of_zeros(action_id: int) -> None:
    canceled = linked(cancelAction=f"{HOST}/cancelAction/{action_id}")
    with answering(canceled) as port, pytest.raises(ClientError, match="no action id"):
        Newer(port, "b", "t").run()


@pytest.mark.parametrize("link", ["configData", "cancelAction/1001"])
def test_the_newer_edition_goes_round_and_round_when_a_link_stays(link: str) -> None:
    stays = linked(**{link.partition("/")[0]: f"{HOST}/{link}"})
    with answering(*[stays, ok(b"")] * 11) as port, pytest.raises(ClientError, match="still something to do"):
        Newer(port, "b", "t").run()
