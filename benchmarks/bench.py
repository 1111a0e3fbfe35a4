"""What every benchmark stands on: two cores, processes that are always ended, memory, rows and checks.

The measured server has one core; this process, the clients and the load generator share the other.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

HERE = Path(__file__).parent
CACHE = HERE.parent / ".cache"

CORES = sorted(os.sched_getaffinity(0))
"""As they were before this process pinned itself to the last."""


class CheckError(Exception):
    """What was measured is not what it should be: the figures would mean nothing."""


class Missing(Exception):  # noqa: N818 - expected: what needs it is left out
    """A program that a row needs is not installed; the message says which."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `ratio` is ours to the peer's or the limit's, the median of the rounds' ratios."""

    name: str
    ours: str
    peer: str = ""
    ratio: str = ""
    aim: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A running server: where it listens, and its process."""

    base: str
    process: subprocess.Popen[bytes]


@dataclass(slots=True)
class Bench:
    """One run: its scratch folder, how long it measures, and every process it has started."""

    folder: Path
    quick: bool
    say: Callable[[str], None]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 3

    @property
    def seconds(self) -> int:
        """How long wrk runs in each round."""
        return 2 if self.quick else 5

    def start(
        self, command: Sequence[str], *, log: Path, env: dict[str, str] | None = None, pinned: bool = True
    ) -> subprocess.Popen[bytes]:
        """Start a server: on its one core if `pinned`, else on all."""
        cores = str(CORES[0]) if pinned else ",".join(map(str, CORES))
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *command], env=os.environ | (env or {}), stdout=out, stderr=subprocess.STDOUT
            )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
        """Stop one process and wait for it; one that does not go is killed."""
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def end_all(self) -> None:
        for process in list(self.processes):
            self.end(process)


def check(is_right: bool, words: str) -> None:  # noqa: FBT001 - reads as an assertion
    """Raises CheckError."""
    if not is_right:
        raise CheckError(words)


def tool(name: str, package: str) -> str:
    """The path of a program. Raises Missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not found:
        raise Missing(f"{name} is not installed (Debian: apt install {package})")
    return found


_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 for a server of the run. It stays bound, so that no outgoing connection takes it first."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _kept.append(kept)
    return int(kept.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Until `url` is answered with anything at all. Raises CheckError with the end of the log."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(url, timeout=2)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise CheckError(f"{url} is not answered. The log ends: {log.read_text(errors='replace')[-600:]}")


@contextmanager
def memory_growth(pid: int) -> Iterator[Callable[[], float]]:
    """The call gives by how many MiB the process and its children have peaked above where they were at first."""
    before = {}
    for one in _tree(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")  # the peak counts from here
        before[one] = _kilobytes(one, "VmRSS")
    yield lambda: sum(max(0, _kilobytes(one, "VmHWM") - before.get(one, 0)) for one in _tree(pid)) / 1024


def anonymous(pid: int) -> float:
    """MiB of a process and its children that are their own: without files that are mapped, which come and go."""
    return sum(_kilobytes(one, "RssAnon") for one in _tree(pid)) / 1024


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children have used so far."""
    ticks = 0
    for one in _tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _tree(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
