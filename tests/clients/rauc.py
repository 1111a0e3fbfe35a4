"""rauc-hawkbit-updater's conversation, and RAUC's when it streams, as strict as they are. What they give up on raises.

Facts: the DDI reference, 12.2. One poll is one turn of its main loop; a download runs beside it on a thread of its own.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
from tests.clients.zephyr import ClientError, Json
from tests.make import Board

BLOCK = 128 * 1024
STEPS = (
    "Installing",
    "Determining slot states",
    "Determining slot states done.",
    "Checking bundle",
    "Verifying signature",
    "Verifying signature done.",
    "Checking bundle done.",
    "Updating slots",
    "Updating slots done.",
)
"""What RAUC says of an installation; each is a feedback of its own."""

MAY_BE_DOWNLOADED = {200, 206, 416}


class State(StrEnum):
    """Of the one action that it has in mind."""

    NONE = "none"
    CANCELED = "canceled"
    ERROR = "error"
    SUCCESS = "success"
    PROCESSING = "processing"
    DOWNLOADING = "downloading"
    CANCEL_REQUESTED = "cancel requested"
    INSTALLING = "installing"


BUSY = {State.PROCESSING, State.DOWNLOADING, State.CANCEL_REQUESTED, State.INSTALLING}


@dataclass
class Artifact:
    """What of a deployment is worked with."""

    url: str
    size: int
    sha1: str
    installs: bool
    window: str | None


@dataclass
class Rauc:
    """A Linux device with this client. `bundle` is the file in its download folder, `running` what it booted.

    `streams`: installs without downloading, reading the file in blocks, `passes` times. `breaks_at`: sizes of the file at which the line breaks.
    `holds`: the download waits when it has begun, until it is let go or somebody wants it canceled.
    `between`: called in the middle of an installation, with its number from 1.
    """

    server: str
    id: str
    token: str
    scheme: str = "TargetToken"
    tenant: str = "DEFAULT"
    attributes: dict[str, str] = field(default_factory=lambda: {"product": "gateway"})
    streams: bool = False
    bundle_works: bool = True
    breaks_at: list[int] = field(default_factory=list)
    holds: bool = False
    passes: int = 1
    steps: tuple[str, ...] = STEPS
    between: Callable[[int], None] = lambda _number: None
    headers: dict[str, str] = field(default_factory=dict)
    """Added to every request: what a proxy in front of the server would add."""

    bundle: bytes = b""
    running: bytes = b"the system that it was delivered with"
    action: str | None = None
    state: State = State.NONE
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and status of every request."""

    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Execution, result and words of every feedback."""

    def __post_init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._broken: list[BaseException] = []
        self._read = 0

    # one turn of the main loop

    def poll(self) -> float:
        """Asks once and does what it is told; seconds until it would ask again. Raises ClientError."""
        base = self._json("GET", self._api())
        links = base.get("_links", {})
        if "configData" in links:
            self._json("PUT", self._api("configData"), {**closed("success", None), "data": self.attributes})
        if "deploymentBase" in links:
            self._deploy(text(links, "deploymentBase", "href"))
        if "cancelAction" in links:
            self._cancel(text(links, "cancelAction", "href"))
        if self.state in BUSY - {State.INSTALLING}:
            return 5
        hours, minutes, seconds = map(int, text(base, "config", "polling", "sleep").split(":"))
        return hours * 3600 + minutes * 60 + seconds

    def finish(self) -> State:
        """Waits for the download and the installation that it began. Raises whatever went wrong there."""
        if self._thread:
            self._thread.join(60)
            assert not self._thread.is_alive()
        if self._broken:
            raise self._broken[0]
        return self.state

    def reboot(self) -> None:
        """What it had in mind is gone; its files are not."""
        self.finish()
        self.action, self.state = None, State.NONE

    # deployments

    def _deploy(self, url: str) -> None:
        with self._changed:
            if self.state in BUSY:
                return
            self.state = State.PROCESSING
            found = self._json("GET", url)
            deployment = found["deployment"]
            action = text(found, "id")
            update = text(deployment, "update")
            if text(deployment, "download") == "skip" or (update == "skip" and action == self.action):
                self.state = State.NONE
                return
            if action != self.action:
                self.bundle = b""
            self.action = action
            artifact = self._artifact(deployment)
            if artifact is None:
                self.state = State.NONE
            elif self.streams:
                self._stream(artifact)
            else:
                self._thread = threading.Thread(target=self._guarded, args=(artifact,), daemon=True)
                self._thread.start()

    def _artifact(self, deployment: Json) -> Artifact | None:
        """The only one; None for what it cannot handle, which it says itself."""
        chunks = deployment["chunks"]
        if len(chunks) != 1 or len(chunks[0]["artifacts"]) != 1:
            self._feed("closed", "failure", f"Deployment {self.action} unsupported: cannot handle multiple chunks.")
            return None
        [artifact] = chunks[0]["artifacts"]
        text(chunks[0], "version")
        text(chunks[0], "name")
        links = artifact["_links"]
        url = text(links, "download" if "download" in links else "download-http", "href")
        if type(artifact["size"]) is not int or artifact["size"] <= 0:
            raise ClientError(f"size {artifact['size']!r}")
        window = deployment.get("maintenanceWindow")
        return Artifact(url, artifact["size"], text(artifact, "hashes", "sha1"), deployment["update"] != "skip", window)

    def _guarded(self, artifact: Artifact) -> None:
        try:
            self._download_and_install(artifact)
        except BaseException as error:  # noqa: BLE001 - told by `finish`, on the thread of the test
            self._broken.append(error)
            with self._changed:
                self.state = State.ERROR
                self._changed.notify_all()

    def _download_and_install(self, artifact: Artifact) -> None:
        with self._changed:
            if self._is_canceled():
                return
            self.state = State.DOWNLOADING
        while not self._fetched(artifact):
            with self._changed:
                if self._is_canceled():
                    return
        self._feed("proceeding", "none", "Download complete. 1.00 MB/s")
        if hashlib.sha1(self.bundle).hexdigest() != artifact.sha1:
            self._end(State.ERROR, "failure", f"Invalid checksum: expected {artifact.sha1}")
            return
        with self._changed:
            if not artifact.installs and artifact.window in {None, "available"}:
                self.state = State.SUCCESS
                self._feed("downloaded", "success", "File checksum OK.")
                return
            self._feed("proceeding", "none", "File checksum OK.")
            if self._is_canceled():
                return
            if not artifact.installs:
                self.state = State.NONE
                return
            self._start_to_install()
        self._install(self.bundle)

    def _fetched(self, artifact: Artifact) -> bool:
        """Downloads from where the file ends; False when the line broke."""
        headers = {"Accept": "application/octet-stream"}
        if self.bundle:
            headers["Range"] = f"bytes={len(self.bundle)}-"
        with self._client() as client, client.stream("GET", artifact.url, headers=headers) as answer:
            self._note("GET", artifact.url, answer.status_code)
            if answer.status_code not in MAY_BE_DOWNLOADED:
                raise ClientError(f"download: {answer.status_code}")
            if answer.status_code == 416:
                return True
            if self.bundle and answer.status_code != 206:
                raise ClientError("a range was not answered with one")
            for chunk in answer.iter_bytes(65_536):
                self.bundle += chunk
                self._hold()
                if self.breaks_at and len(self.bundle) >= self.breaks_at[0]:
                    self.breaks_at.pop(0)
                    return False
        return True

    def _hold(self) -> None:
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.holds or self.state is State.CANCEL_REQUESTED, 30)

    def let_go(self) -> None:
        """Ends `holds`."""
        with self._changed:
            self.holds = False
            self._changed.notify_all()

    def wait_for_bytes(self) -> None:
        """Until the download has begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.bundle, 30)

    def _is_canceled(self) -> bool:
        """Gives the download up if that is wanted."""
        if self.state is not State.CANCEL_REQUESTED:
            return False
        self.state, self.bundle = State.CANCELED, b""
        self._changed.notify_all()
        return True

    def _stream(self, artifact: Artifact) -> None:
        if not artifact.installs:
            self.state = State.NONE
            return
        self._start_to_install()
        content = b""
        for _ in range(self.passes):
            content = self._blocks(artifact.url)
        if hashlib.sha1(content).hexdigest() != artifact.sha1:
            raise ClientError("these are not the bytes that were offered")
        self._install(content)

    def _blocks(self, url: str) -> bytes:
        content = b""
        with self._client() as client:
            while True:
                wanted = f"bytes={len(content)}-{len(content) + BLOCK - 1}"
                answer = client.get(url, headers={"Range": wanted})
                self._note("GET", url, answer.status_code)
                if answer.status_code == 416:
                    return content
                if answer.status_code != 206 or len(answer.content) > BLOCK:
                    raise ClientError(f"a block: {answer.status_code}, {len(answer.content)} bytes")
                content += answer.content
                self._read += 1
                self.between(self._read)

    def say(self, words: str) -> None:
        """A word on how it goes."""
        self._feed("proceeding", "none", words)

    def _start_to_install(self) -> None:
        self.state = State.INSTALLING
        self._changed.notify_all()

    def _install(self, content: bytes) -> None:
        for number, step in enumerate(self.steps):
            self._feed("proceeding", "none", f"{number * 100 // len(self.steps)}% {step}")
        if self.bundle_works:
            self.running = content
            self._end(State.SUCCESS, "success", "Software bundle installed successfully.")
        else:
            self._feed("proceeding", "none", 'LastError: signature verification failed: <"bad" & worse>')
            self._end(State.ERROR, "failure", "Failed to install software bundle.")

    def _end(self, state: State, finished: str, words: str) -> None:
        with self._changed:
            self.state, self.bundle = state, b""
            self._feed("closed", finished, words)
            self._changed.notify_all()

    # cancel

    def _cancel(self, url: str) -> None:
        stop_id = text(self._json("GET", url), "cancelAction", "stopId")
        with self._changed:
            if stop_id == self.action and self.state in {State.PROCESSING, State.DOWNLOADING}:
                self.state = State.CANCEL_REQUESTED
                self._changed.notify_all()
                assert self._changed.wait_for(lambda: self.state is not State.CANCEL_REQUESTED, 30)
            if stop_id != self.action:
                self.state = State.NONE
            if self.state in {State.NONE, State.CANCELED}:
                self._feed("closed", "success", "Action canceled.", f"cancelAction/{stop_id}")
            elif self.state is State.INSTALLING:
                words = "Cancelation impossible, installation started already."
                self._feed("rejected", "success", words, f"cancelAction/{stop_id}")

    # the wire

    def _feed(self, execution: str, finished: str, words: str, where: str = "") -> None:
        self.told.append((execution, finished, words))
        place = where or f"deploymentBase/{self.action}"
        body = {"id": place.rpartition("/")[2], **closed(finished, words, execution)}
        self._json("POST", self._api(f"{place}/feedback"), body)

    def _api(self, path: str = "") -> str:
        return f"{self.server}/{self.tenant}/controller/v1/{self.id}{'/' if path else ''}{path}"

    def _client(self) -> httpx.Client:
        headers = {"User-Agent": "rauc-hawkbit-c-agent/1.4", **self.headers}
        if self.token:
            headers["Authorization"] = f"{self.scheme} {self.token}"
        return httpx.Client(headers=headers, timeout=30, follow_redirects=True)

    def _json(self, method: str, url: str, body: Json | None = None) -> Json:
        """Each call on a connection of its own; anything but 200 is an error."""
        headers = {"Accept": "application/json;charset=UTF-8"}
        if body is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        with self._client() as client:
            answer = client.request(method, url, headers=headers, json=body)
        self._note(method, url, answer.status_code)
        if answer.status_code != 200:
            raise ClientError(f"{method} {url}: {answer.status_code} {answer.text[:300]}")
        found: Any = answer.json() if answer.content else {}
        if not isinstance(found, dict):
            raise ClientError(f"{method} {url}: no object")
        return found

    def _note(self, method: str, url: str, status: int) -> None:
        self.asked.append((method, httpx.URL(url).path, status))

    def count(self, method: str, part: str) -> int:
        """How many requests it sent to addresses with this in them."""
        return sum(one == method and part in path for one, path, _ in self.asked)


def closed(finished: str, words: str | None, execution: str = "closed") -> Json:
    """A status as it words it: `time` instead of `timestamp`, details only when there are any."""
    status: Json = {"result": {"finished": finished}, "execution": execution}
    if words is not None:
        status["details"] = [words]
    return {"time": "20260101T120000", "status": status}


def text(value: Json, *names: str) -> str:
    """The text at this place. Raises ClientError."""
    found: Any = value
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, str):
        raise ClientError(f"no text at {'.'.join(names)}: {found!r}")
    return found


def with_client(server: str, board: Board, **more: Any) -> Rauc:
    """The client of a device that was made by an operator."""
    return Rauc(server, board.uid, board.token, **more)
