"""docs/devices/swupdate.md to the letter, but for paths, the address, the secret and who runs it: it updates a device."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.clients.swupdate import Program, need_swupdate, until
from tests.faults.process import CLIENT, Process

PAGE = Path(__file__).parents[2] / "docs" / "devices" / "swupdate.md"
BLOCKS = re.findall(r"^```(sh|cfg)\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


def block(part: str) -> str:
    """The only one that has this in it."""
    (found,) = [text for _, text in BLOCKS if part in text]
    return str(found)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    need_swupdate()
    made = Process(tmp_path / "data")
    yield made.start()
    made.kill()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path / "box")
    yield made
    made.discard()


def adapted(text: str, changes: Mapping[str, str]) -> str:
    for documented, here in changes.items():
        text = text.replace(documented, here)
    return text


def sh(text: str, folder: Path) -> str:
    done = subprocess.run(["sh", "-ec", text], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_the_page_updates_a_device(process: Process, program: Program) -> None:
    folder = program.folder
    changes = {
        "http://127.0.0.1:8080": process.url,
        "first:keep-me-secret": ":".join(CLIENT),
        "00:00:05": "00:00:01",
        "/etc/": f"{folder}/etc/",
        "/srv/": f"{folder}/srv/",
        "userid = 0": f"userid = {os.getuid()}",
        "groupid = 0": f"groupid = {os.getgid()}",
    }
    for name in ("etc", "srv"):
        (folder / name).mkdir()
    on_server = adapted(block("SERVER="), changes)
    credentials = "\n".join(on_server.splitlines()[:3])
    first_rollout = adapted(block("rollouts/1/deliveries"), changes)
    *making, looking = first_rollout.strip().splitlines()

    (token,) = re.findall(r'"token":"([^"]+)"', sh(on_server, folder))
    sh(adapted(block("openssl req"), changes), folder)
    sh(adapted(block("cat > sw-description"), changes), folder)
    configuration = adapted(block("suricatta"), {**changes, "the token of the device": token})
    (folder / "etc/swupdate.cfg").write_text(configuration)
    program.run(shlex.split(adapted(block('-u "-w 10"'), changes)))
    sh("\n".join([credentials, *making]), folder)

    def stands() -> str:
        (found,) = re.findall(r'"state":"(\w+)"', sh(f"{credentials}\n{looking}", folder))
        return str(found)

    until(lambda: stands() == "downloaded", stands)
    program.wait_for("SWUPDATE successful !")
    assert (folder / "srv/payload.txt").read_text() == "firmware 1.0.1\n"
    program.stop()
    (folder / "etc/swupdate.cfg").write_text(configuration.replace("1.0.0", "1.0.1"))
    program.run(shlex.split(adapted(block("-c 2"), changes)))
    until(lambda: stands() == "succeeded", lambda: f"{stands()}\n{program.log}")
