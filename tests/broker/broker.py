"""mosquitto as the documentation sets it up, on loopback ports and in a folder of its own.

It runs on deploy/mosquitto/mosquitto.conf to the letter, but for paths, ports, and the user.
"""

import base64
import contextlib
import getpass
import hashlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "mosquitto"
PAGE = ROOT / "docs" / "devices" / "mqtt.md"
SERVER_USER, SERVER_PASSWORD = "airfreight", "a-password-of-the-server-for-tests"
PATIENCE_SECONDS = 60.0
_RUNS = " running\n"


def find_program(name: str) -> str:
    """Its path. Skips the test, with a reason, on a machine that does not have it."""
    # Debian puts daemons where the PATH of an ordinary user does not look.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed here; on Debian: apt-get install {name}")
    return found


def password_line(user: str, password: str, rounds: int = 101) -> str:
    """A line of mosquitto's password file, as `mosquitto_passwd` writes it."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{user}:$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


@dataclass(frozen=True)
class Certificates:
    """A certificate authority, and the broker's certificate by it, for 127.0.0.1 and localhost."""

    ca: Path
    certificate: Path
    key: Path


def documented_openssl() -> list[list[str]]:
    """The commands of the page that make an authority and the broker's certificate."""
    page = PAGE.read_text().replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in page.splitlines() if line.startswith("openssl ")]


def make_certificates(folder: Path) -> Certificates:
    """As the page does it, for this host. Skips the test on a machine without the openssl command."""
    openssl = find_program("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    for documented in documented_openssl():
        arguments = [word.replace("DNS:mqtt.example.com", "DNS:localhost,IP:127.0.0.1") for word in documented]
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")


class Broker:
    """One mosquitto. With `certificates` it has the TLS listener too."""

    def __init__(self, folder: Path, certificates: Certificates | None = None) -> None:
        self._program = find_program("mosquitto")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.tls_port = free_port(), free_port()
        self.password_file = folder / "passwords"
        self.pid_file = folder / "mosquitto.pid"
        self._log = folder / "log"
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copy(DEPLOY / "acl", folder / "acl")
        (folder / "mosquitto.conf").write_text(self._configuration())
        self.write_passwords({})

    @property
    def url(self) -> str:
        """For devices."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"mqtts://127.0.0.1:{self.tls_port}"

    @property
    def server_url(self) -> str:
        """For AIRFREIGHT_MQTT_URL."""
        return f"mqtt://{SERVER_USER}:{SERVER_PASSWORD}@127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _configuration(self) -> str:
        text = (DEPLOY / "mosquitto.conf").read_text()
        changes = {
            "/var/lib/airfreight/mqtt/": f"{self.folder}/",
            "/etc/airfreight/mosquitto/acl": str(self.folder / "acl"),
            "user airfreight\n": f"user {getpass.getuser()}\n",
            "listener 1883 127.0.0.1": f"listener {self.port} 127.0.0.1",
            "listener 8883": f"listener {self.tls_port} 127.0.0.1",
        }
        if self._certificates:
            changes["/etc/airfreight/mosquitto/ca.crt"] = str(self._certificates.ca)
            changes["/etc/airfreight/mosquitto/server.crt"] = str(self._certificates.certificate)
            changes["/etc/airfreight/mosquitto/server.key"] = str(self._certificates.key)
        else:
            text = text[: text.index("listener 8883")]
            changes.pop("listener 8883")
        for documented, here in changes.items():
            assert documented in text, f"the documented configuration has no {documented!r} any more"
            text = text.replace(documented, here)
        return text

    def write_passwords(self, devices: Mapping[str, str]) -> None:
        """The server's user and these devices, whole and at once; a running broker does not look before `reload`."""
        users = {SERVER_USER: SERVER_PASSWORD, **devices}
        fresh = self.password_file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text("".join(password_line(user, password) for user, password in users.items()))
        fresh.replace(self.password_file)

    def reload(self) -> None:
        """As the server does it: by the pid file. Whoever connects after this meets the new passwords.

        It forgets a signal that comes while it reloads for another one, so it is asked until it begins once more.
        """
        said, before = "Reloading config.", self.log.count("Reloading config.")
        asked = 0.0

        def begins() -> bool:
            nonlocal asked
            if time.monotonic() - asked > 1:
                os.kill(int(self.pid_file.read_text()), signal.SIGHUP)
                asked = time.monotonic()
            return self.log.count(said) > before

        _wait_until(begins, "mosquitto does not reload")

    def start(self) -> None:
        """Returns when it answers, and says that it runs: before that SIGHUP would end it."""
        lives = self.log.count(_RUNS) if self._log.exists() else 0
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self.folder / "mosquitto.conf")], stdout=output, stderr=output
            )
        _wait_until(lambda: self._answers() and self.log.count(_RUNS) > lives, "mosquitto does not answer")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
            return True
        return False

    def save(self) -> None:
        """Write down now what survives a crash, instead of every ten seconds. Returns when it is written."""
        kept = self.folder / "mosquitto.db"
        before = kept.stat().st_ino if kept.exists() else 0  # its time may be a little behind the clock
        self._signal(signal.SIGUSR1)
        _wait_until(lambda: kept.exists() and kept.stat().st_ino != before, "mosquitto does not save")

    def stop(self) -> None:
        """As an operator does it: what is kept is written down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """It is there, connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        assert self._process is not None, "mosquitto does not run"
        self._process.send_signal(which)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        self._process.wait(60)
        self._process = None


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.01)


@contextmanager
def running_broker(folder: Path, certificates: Certificates | None = None) -> Iterator[Broker]:
    broker = Broker(folder, certificates)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
