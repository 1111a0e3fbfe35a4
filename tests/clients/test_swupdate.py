"""Debian's SWUpdate, unmodified, against a served server: it installs, fails, is cancelled, loses the line, and proves it.

Every exchange goes through a wire of the tests, which sees it; what the server holds for true comes from its public API.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.clients.swupdate import FAILS, Client, Signer, make_bundle, make_signer, need_swupdate, until, was_read
from tests.clients.wire import Exchange, Wire
from tests.faults.process import Process

OLD, NEW = "1.0.0", "1.0.1"
LARGE = 6_000_000
INSTALLED = "SWUPDATE successful !"
Json = dict[str, Any]
pytestmark = pytest.mark.timeout(600)


@dataclass
class Desk:
    """What an operator does with a server."""

    process: Process
    client: httpx.Client

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Json:
        answer = self.client.request(method, path, json=body, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    def polling(self, seconds: int) -> None:
        self.call("PATCH", "/api/v1/ddi", {"polling": f"00:00:{seconds:02}"})

    def product(self) -> int:
        return int(self.call("POST", "/api/v1/products", {"name": f"product {time.monotonic_ns()}"})["id"])

    def device(self, product: int, uid: str) -> Json:
        return self.call("POST", "/api/v1/devices", {"productId": product, "uid": uid})

    def roll_out(self, product: int, bundle: Path, version: str = "", **more: Any) -> int:
        """To the whole product; its id."""
        stored = self.client.put("/api/v1/artifacts", params={"filename": bundle.name}, content=bundle.read_bytes())
        assert stored.status_code == 201, stored.text
        artifact = {"id": stored.json()["id"], **({"version": version} if version else {})}
        body = {"title": bundle.name, "productId": product, "artifacts": [artifact], **more}
        return int(self.call("POST", "/api/v1/rollouts", body)["id"])

    def delivery(self, rollout: int) -> Json:
        """The only one."""
        (one,) = self.call("GET", f"/api/v1/rollouts/{rollout}/deliveries")["items"]
        found: Json = one
        return found

    def history(self, rollout: int) -> list[Json]:
        delivery = self.delivery(rollout)["id"]
        answer = self.client.get(f"/api/v1/rollouts/{rollout}/deliveries/{delivery}/history")
        assert answer.status_code == 200, answer.text
        events: list[Json] = answer.json()
        return events

    def counts(self, rollout: int) -> dict[str, int]:
        """Those that are not 0."""
        found = self.call("GET", f"/api/v1/rollouts/{rollout}")["counts"]
        return {state: count for state, count in found.items() if count}

    def attributes(self, device: int) -> Json:
        found: Json = self.call("GET", f"/api/v1/devices/{device}")["attributes"]
        return found

    def wait_for(self, rollout: int, state: str, seconds: float = 90) -> Json:
        until(
            lambda: bool(self.delivery(rollout)["state"] == state),
            lambda: f"{state}: {self.delivery(rollout)}\n{self.history(rollout)}",
            seconds,
        )
        return self.delivery(rollout)


@dataclass
class Scene:
    """One device of a product of its own, not started yet, and the wire that it speaks through."""

    desk: Desk
    wire: Wire
    client: Client
    signer: Signer
    product: int
    device: Json

    def bundle(self, version: str = NEW, **more: Any) -> Path:
        return make_bundle(self.signer, self.client.target, version, **more)

    def story(self) -> str:
        """The last of what went over the wire, and of the client's log; for who reads why a test failed."""
        told = [
            f"{one.method} {one.path} {bytes(one.body[:300])!r} -> {one.status} {bytes(one.answer[:300])!r}"
            for one in self.wire.exchanges[-40:]
        ]
        return "\n".join([*told, *self.client.log.splitlines()[-40:]])

    def until(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        until(condition, self.story, seconds)

    def is_known(self, version: str) -> None:
        """Returns when the client runs and has told that it runs this version."""
        self.client.identity["version"] = version
        self.client.start()
        self.until(lambda: self.desk.attributes(self.device["id"]).get("version") == version)

    def installs(self) -> None:
        """Returns when everything is installed and the client waits for its restart."""
        self.until(lambda: INSTALLED in self.client.log)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    need_swupdate()
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    need_swupdate()
    process = Process(tmp_path_factory.mktemp("server") / "data")
    process.start()
    try:
        with process.operator() as client:
            yield Desk(process, client)
    finally:
        process.kill()


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """Of a server that the test may kill."""
    need_swupdate()
    process = Process(tmp_path / "data")
    process.start()
    try:
        with process.operator() as client:
            yield Desk(process, client)
    finally:
        process.kill()


Stage = Callable[[Desk], Scene]


@pytest.fixture
def stage(tmp_path: Path, signer: Signer) -> Iterator[Stage]:
    made: list[Scene] = []

    def make(desk: Desk) -> Scene:
        desk.polling(1)
        product, uid = desk.product(), f"box-{time.monotonic_ns()}"
        device = desk.device(product, uid)
        wire = Wire(desk.process.port)
        client = Client(tmp_path / "box", signer, uid, f"-k {device['token']}", {"hwId": "sim", "serialNo": "0001"})
        client.url = wire.url
        made.append(Scene(desk, wire, client, signer, product, device))
        return made[-1]

    yield make
    for scene in made:
        scene.client.discard()
        scene.wire.stop()


@pytest.fixture
def scene(desk: Desk, stage: Stage) -> Scene:
    return stage(desk)


def test_it_polls_tells_installs_restarts_and_confirms(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    rollout = desk.roll_out(scene.product, scene.bundle())

    client.start()
    scene.installs()
    scene.until(lambda: b"All Chunks Installed." in _said(wire))

    assert client.has_installed(NEW)
    assert desk.attributes(scene.device["id"]) == {"hwId": "sim", "serialNo": "0001"}
    assert desk.counts(rollout) == {"downloaded": 1}, "what waits for its restart is no success yet"

    client.boot_new()
    assert desk.wait_for(rollout, "succeeded")["tries"] == 1
    assert desk.counts(rollout) == {"succeeded": 1}
    assert any("Update Installed." in event["message"] for event in desk.history(rollout))
    (download,) = wire.downloads
    assert bytes(download.answer) == (client.folder / f"fw-{NEW}.swu").read_bytes()
    answers = [one for one in wire.exchanges if one.status]  # the last one may be under way
    assert {one.status for one in answers} == {200}, "small clients take nothing else"
    assert all("transfer-encoding" not in one.answer_headers for one in answers)

    seen = len(wire.of("GET", client.uid))
    scene.until(lambda: len(wire.of("GET", client.uid)) > seen + 1)
    assert b"deploymentBase" not in wire.of("GET", client.uid)[-1].answer
    assert len(wire.downloads) == 1


def test_the_version_that_comes_back_is_the_proof(scene: Scene) -> None:
    desk, client = scene.desk, scene.client
    scene.is_known(OLD)
    rollout = desk.roll_out(scene.product, scene.bundle(), version=NEW)
    scene.installs()

    client.identity["version"] = NEW
    client.boot_new()

    delivery = desk.wait_for(rollout, "succeeded")
    assert (delivery["fromVersion"], delivery["reportedVersion"]) == (OLD, NEW)
    assert desk.attributes(scene.device["id"])["version"] == NEW


def test_a_success_that_comes_back_with_the_old_version_is_none_yet(scene: Scene) -> None:
    """Some clients say it before they restart. The server asks again, until the deadline."""
    desk, client = scene.desk, scene.client
    client.identity["version"] = OLD  # told for the first time after the offer
    rollout = desk.roll_out(scene.product, scene.bundle(), version=NEW, attemptsLimit=1)
    client.start()
    scene.installs()

    _says_success_and_the_version(scene)

    assert desk.counts(rollout) == {"activating": 1}
    assert desk.delivery(rollout)["fromVersion"] == OLD
    assert b"deploymentBase" not in scene.wire.of("GET", client.uid)[-1].answer, (
        "it is not to install it again meanwhile"
    )


def test_a_success_of_what_was_never_fetched_is_seen_by_the_version(scene: Scene) -> None:
    """A client that is always started with `-c 2` confirms whatever is open."""
    desk, client = scene.desk, scene.client
    scene.is_known(OLD)
    client.stop()
    rollout = desk.roll_out(scene.product, scene.bundle(), version=NEW, attemptsLimit=1)

    _says_success_and_the_version(scene)

    assert desk.counts(rollout) == {"activating": 1}
    assert not scene.wire.downloads


def _says_success_and_the_version(scene: Scene) -> None:
    """It is asked for the version after it has said that all is well, and has heard two answers since it told it."""
    told = len(scene.wire.of("PUT", "/configData"))
    scene.client.boot_new()
    scene.until(lambda: b"Update Installed." in _said(scene.wire) and len(scene.wire.of("PUT", "/configData")) > told)
    polls = len(scene.wire.of("GET", scene.client.uid))
    scene.until(lambda: len(scene.wire.of("GET", scene.client.uid)) > polls + 2)


def test_an_installation_that_fails_is_told_with_what_the_client_logged(scene: Scene) -> None:
    desk, client = scene.desk, scene.client
    rollout = desk.roll_out(scene.product, scene.bundle(fails=True), attemptsLimit=1)

    client.start()
    client.wait_for(FAILS)
    was_read(client.target).touch()

    assert desk.wait_for(rollout, "failed")["reason"] == "device_error"
    assert client.is_untouched()
    words = [line for event in desk.history(rollout) for line in event["lines"]]
    assert any(FAILS in line for line in words), words
    assert words[-1] == "No suitable .swu image found"


def test_a_boot_back_into_the_old_software_is_a_failure(scene: Scene) -> None:
    desk, client = scene.desk, scene.client
    rollout = desk.roll_out(scene.product, scene.bundle(), attemptsLimit=1)
    client.start()
    scene.installs()

    client.boot_old()

    desk.wait_for(rollout, "failed")
    assert any("Update Failed." in event["message"] for event in desk.history(rollout))


def test_a_device_is_not_bothered_with_what_was_cancelled_before_it_asked(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    rollout = desk.roll_out(scene.product, scene.bundle())
    desk.call("POST", f"/api/v1/rollouts/{rollout}/stop")
    desk.wait_for(rollout, "canceled")

    client.start()
    scene.until(lambda: len(wire.of("GET", client.uid)) >= 3)

    assert not [one for one in wire.exchanges if "deploymentBase" in one.path or "cancelAction" in one.path]
    assert client.is_untouched()


def test_a_cancel_before_the_installation_is_acknowledged(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    rollout = desk.roll_out(scene.product, scene.bundle())
    stopped = threading.Event()

    def before(one: Exchange) -> None:
        if one.method == "GET" and wire.of("PUT", "/configData"):
            stopped.wait(90)

    wire.before = before
    client.start()
    # It looks at the deployment, tells of itself, and begins at its next poll, which comes when it is stopped.
    scene.until(lambda: bool(wire.of("PUT", "/configData")))

    desk.call("POST", f"/api/v1/rollouts/{rollout}/stop")
    stopped.set()

    desk.wait_for(rollout, "canceled")
    assert b"cancellation acknowledged." in _said(wire)
    assert not wire.downloads
    assert client.is_untouched()


def test_a_cancel_in_the_middle_of_the_download_ends_it(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    rollout = desk.roll_out(scene.product, scene.bundle(size=LARGE))
    wire.chunk_seconds = 1  # all of it would take longer than anything is waited for
    client.start()
    scene.until(lambda: any(len(one.answer) > 100_000 for one in wire.downloads))

    desk.call("POST", f"/api/v1/rollouts/{rollout}/stop")

    desk.wait_for(rollout, "canceled")
    assert b"cancellation acknowledged." in _said(wire)
    assert len(wire.downloads[0].answer) < LARGE
    assert client.is_untouched()


def test_with_a_wrong_token_nothing_is_offered_and_it_goes_on_polling(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    rollout = desk.roll_out(scene.product, scene.bundle())
    client.credential = f"-k {scene.device['token'][::-1]}"

    client.start()
    scene.until(lambda: len(wire.of("GET", client.uid)) > 3)

    assert {(one.status, bytes(one.answer)) for one in wire.exchanges if one.status} == {(401, b"")}
    assert desk.delivery(rollout)["state"] == "queued"
    shown = desk.call("GET", f"/api/v1/devices/{scene.device['id']}")
    assert (shown["lastSeenAt"], shown["attributes"]) == (None, {})


def test_a_download_that_breaks_off_goes_on_where_it_was(scene: Scene) -> None:
    desk, client, wire = scene.desk, scene.client, scene.wire
    bundle = scene.bundle(size=LARGE)
    rollout = desk.roll_out(scene.product, bundle)
    wire.cut_download = LARGE // 2

    client.start()
    scene.installs()
    client.boot_new()

    desk.wait_for(rollout, "succeeded")
    assert client.has_installed(NEW)
    first, second = wire.downloads
    assert second.status == 206
    assert second.headers["range"] == f"bytes={len(first.answer)}-"
    assert bytes(first.answer + second.answer) == bundle.read_bytes()
    assert desk.counts(rollout) == {"succeeded": 1}
    assert desk.delivery(rollout)["tries"] == 1


def test_an_unknown_device_with_the_gateway_token_joins_and_is_updated(scene: Scene) -> None:
    desk, client = scene.desk, scene.client
    token = desk.call("POST", "/api/v1/ddi/gateway-token", {"productId": scene.product})["gatewayToken"]
    client.uid = f"stranger-{time.monotonic_ns()}"
    client.credential = f"-g {token}"
    client.start(tenant="default")
    scene.until(lambda: _uids(desk, scene.product) == {scene.device["uid"], client.uid})
    (joined,) = [one for one in _devices(desk, scene.product) if one["uid"] == client.uid]

    rollout = desk.roll_out(scene.product, scene.bundle(), deviceIds=[joined["id"]])
    scene.installs()
    client.boot_new()

    desk.wait_for(rollout, "succeeded")
    assert client.has_installed(NEW)
    assert desk.attributes(joined["id"]) == {"hwId": "sim", "serialNo": "0001"}


def test_a_server_that_is_killed_in_the_middle_counts_one_success(own_desk: Desk, stage: Stage) -> None:
    """Once in the middle of the download, once when everything is installed and before it is told."""
    scene = stage(own_desk)
    client, wire, process = scene.client, scene.wire, own_desk.process
    rollout = own_desk.roll_out(scene.product, scene.bundle(size=LARGE))
    wire.on_cut, wire.cut_download = process.kill, LARGE // 2

    client.start()
    scene.until(lambda: not process.is_alive)
    time.sleep(1.5)  # the client finds nobody, at least once
    process.start()
    scene.installs()
    process.kill()
    client.boot_new()
    time.sleep(1.5)
    process.start()

    own_desk.wait_for(rollout, "succeeded")
    assert client.has_installed(NEW)
    assert wire.downloads[-1].status == 206
    assert own_desk.counts(rollout) == {"succeeded": 1}
    assert own_desk.delivery(rollout)["tries"] == 1
    ends = [
        event for event in own_desk.history(rollout) if event["state"] == "succeeded" and event["verdict"] == "moved"
    ]
    assert len(ends) == 1
    client.stop()
    doctor = process.doctor()
    assert doctor.returncode == 0, doctor.stdout
    assert "Traceback" not in process.log, process.log


def _said(wire: Wire) -> bytes:
    """The words of all feedback that the server has taken."""
    return b"".join(one.body for one in wire.of("POST", "/feedback") if one.status == 200)


def _devices(desk: Desk, product: int) -> list[Json]:
    found: list[Json] = desk.call("GET", "/api/v1/devices", params={"productId": product})["items"]
    return found


def _uids(desk: Desk, product: int) -> set[str]:
    return {one["uid"] for one in _devices(desk, product)}
