"""SWUpdate as a device: signed bundles for it, and one running client with its log.

Debian's package, unchanged, as docs/devices/swupdate.md sets it up. It needs no flash: its handlers here write plain files.
"""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LONGEST_SECONDS = 400
"""No client outlives a test by more than this, whatever becomes of the test."""
_TOOLS = ("swupdate", "cpio", "openssl")
_PATIENCE = "-p 1 -r 60 -w 1 -m 1"
"""Polls, takes up a broken download, and reports how its boot went, a second later each; those of Debian are for the field."""
_SUCCESS, _FAILURE = "2", "3"
FAILS = "failing on purpose"
"""What a script prints that ends badly."""


def need_swupdate() -> None:
    """Skips the test, with a reason, on a machine without it; with AIRFREIGHT_STRICT=1 that is a failure."""
    missing = [name for name in _TOOLS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found; on Debian: apt-get install swupdate cpio openssl")


def until(condition: Callable[[], bool], what: Callable[[], str], seconds: float = 90) -> None:
    """Returns when it is so; otherwise the test fails and says `what`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what()}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whom devices believe."""

    certificate: Path
    key: Path


def make_signer(folder: Path) -> Signer:
    """SWUpdate of Debian takes only signed bundles, and only of a signer whose certificate is for e-mail."""
    signer = Signer(folder / "cert.pem", folder / "key.pem")
    extensions = ["extendedKeyUsage=critical,emailProtection", "keyUsage=critical,digitalSignature"]
    _run(
        *(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=bundles of the tests",
        ),
        *("-keyout", str(signer.key), "-out", str(signer.certificate)),
        *[word for extension in extensions for word in ("-addext", extension)],
    )
    return signer


def make_bundle(signer: Signer, target: Path, version: str, *, size: int = 65536, fails: bool = False) -> Path:
    """A signed .swu that writes two files, an archive and what its script says into `target`; beside `target`.

    `size`: bytes of random payload; `fails`: its script ends badly before anything is installed, when `was_read`.
    """
    # Two threads of the client take lines of its log, each at least once in a second: one tells the server of all that
    # are there, the other drops the first. So there are many, for a few of their turns.
    many = "for line in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do"
    read = f"while [ ! -e {was_read(target)} ]; do sleep 0.1; done; sleep 4"
    fail = f"{many} echo {FAILS}; done\n{read}\nexit 1\n"
    hook = f'echo "$1 {version}" >> {target}/hook.log\n' if not fails else fail
    parts = {
        "payload.txt": f"firmware {version}\n".encode(),
        "blob.bin": os.urandom(size),
        "tree.tar.gz": _archive({"version": f"{version}\n".encode()}),
        "hook.sh": f"#!/bin/sh\n{hook}".encode(),
    }
    folder = target.parent / f"parts-{version}"
    folder.mkdir(parents=True)
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    (folder / "sw-description").write_text(_description(target, version, parts))
    _run(
        *("openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-outform", "DER"),
        *("-signer", str(signer.certificate), "-inkey", str(signer.key), "-nosmimecap", "-binary"),
        folder=folder,
    )
    # The description comes first, its signature second, then the rest.
    names = "\n".join(["sw-description", "sw-description.sig", *parts])
    bundle = target.parent / f"fw-{version}.swu"
    bundle.write_bytes(_run("cpio", "-o", "-H", "crc", "--quiet", folder=folder, given=names.encode()))
    return bundle


def was_read(target: Path) -> Path:
    """A file that is made when the client has read what a failing script printed; its log is told a little later."""
    return target.parent / "was-read"


def _description(target: Path, version: str, parts: Mapping[str, bytes]) -> str:
    def one(name: str, *more: str) -> str:
        digest = hashlib.sha256(parts[name]).hexdigest()
        return f'{{ filename = "{name}"; sha256 = "{digest}"; {" ".join(more)} }}'

    files = [
        one("payload.txt", f'path = "{target}/payload.txt";'),
        one("blob.bin", f'path = "{target}/blob.bin";'),
        one(
            "tree.tar.gz",
            f'type = "archive"; compressed = "zlib"; path = "{target}/tree";',
            'properties: { create-destination = "true"; };',
        ),
    ]
    script = one("hook.sh", 'type = "shellscript";')
    return (
        f'software = {{\n version = "{version}";\n hardware-compatibility: [ "1.0" ];\n'
        f" files: ( {', '.join(files)} );\n"
        f" scripts: ( {script} );\n}};\n"
    )


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _run(*command: str, folder: Path | None = None, given: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


class Program:
    """SWUpdate's processes in `folder`. `log` is everything they wrote, over all their lives."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "swupdate.log"
        self._log.touch()
        # Its sockets are here, and the path of a socket has at most 107 characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="swu-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def run(self, command: Sequence[str]) -> None:
        """In a session of its own, so that what it starts ends with it."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["timeout", "--kill-after=2", str(LONGEST_SECONDS), *command],
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self._sockets)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self._process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
        self._process = None

    def discard(self) -> None:
        self.stop()
        shutil.rmtree(self._sockets)

    def wait_for(self, said: str, seconds: float = 90) -> None:
        until(lambda: said in self.log, lambda: f"{said!r} in the log of the client:\n{self.log[-4000:]}", seconds)


class Client(Program):
    """One device. `identity` is what it tells of itself.

    `credential`: `-k TOKEN` (its own) or `-g TOKEN` (its organization's). Its environment of the boot loader is in memory,
    so whoever starts it again says how the boot after the installation went, as the boot loader would.
    """

    def __init__(self, folder: Path, signer: Signer, uid: str, credential: str, identity: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.uid, self.credential = uid, credential
        self.target = folder / "target"
        self.target.mkdir()
        self.identity = dict(identity)
        self.url = ""
        self._signer = signer

    def start(self, *options: str, tenant: str = "DEFAULT") -> None:
        (self.folder / "swupdate.cfg").write_text(self._configuration(tenant))
        suricatta = " ".join([self.credential, _PATIENCE, *options])
        self.run(["swupdate", "-f", "swupdate.cfg", "-H", "board:1.0", "-u", suricatta])

    def boot_new(self) -> None:
        """Restarted into what was installed, which works."""
        self.stop()
        self.start("-c", _SUCCESS)

    def boot_old(self) -> None:
        """Restarted, and the boot loader went back to the old software."""
        self.stop()
        self.start("-c", _FAILURE)

    def has_installed(self, version: str) -> bool:
        """Each of the four parts of a bundle, as the bundle says."""
        folder = self.target.parent / f"parts-{version}"
        return (
            self._content("payload.txt") == (folder / "payload.txt").read_bytes()
            and self._content("blob.bin") == (folder / "blob.bin").read_bytes()
            and self._content("tree/version") == f"{version}\n".encode()
            and self._content("hook.log") == f"preinst {version}\npostinst {version}\n".encode()
        )

    def is_untouched(self) -> bool:
        return not any(self.target.iterdir())

    def _content(self, name: str) -> bytes:
        path = self.target / name
        return path.read_bytes() if path.exists() else b""

    def _configuration(self, tenant: str) -> str:
        told = ", ".join(f'{{ name = "{name}"; value = "{value}"; }}' for name, value in self.identity.items())
        return (
            "globals : { verbose = true; loglevel = 5; syslog = false;\n"
            f'  public-key-file = "{self._signer.certificate}"; bootloader = "none"; postupdatecmd = "true"; }};\n'
            f"identify : ( {told} );\n"
            f'suricatta : {{ tenant = "{tenant}"; id = "{self.uid}"; url = "{self.url}";\n'
            f"  enable = true; userid = {os.getuid()}; groupid = {os.getgid()}; }};\n"
        )
