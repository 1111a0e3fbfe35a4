"""`make bench`: how fast is it, beside something known, on this machine now? One table; a benchmark, never a test.

Speed is only told. What is wrong (an error, a wrong answer, counters that are off) ends the run with status 1.
"""

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # started as a file: the package is beside, not above

from benchmarks import callbacks, campaigns, ddi, files, latest, polls, reports, rollouts, slow
from benchmarks.bench import CACHE, CORES, Bench, CheckError, Missing, Row

_BENCHMARKS: dict[str, Callable[[Bench], list[Row]]] = {
    "polls": polls.measure,
    "ddi": ddi.measure,
    "reports": reports.measure,
    "upload": files.measure_upload,
    "download": files.measure_download,
    "rollouts": rollouts.measure,
    "latest": latest.measure,
    "slow": slow.measure,
    "campaigns": campaigns.measure,
    "callbacks": callbacks.measure,
}
_PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- table -->", "<!-- end of table -->"
_HEAD = Row("name", "ours", "peer/limit", "ratio", "aim", "note")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the server beside its peers and limits.")
    parser.add_argument("--only", choices=_BENCHMARKS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="short rounds, small files: is it in order at all?")
    parser.add_argument("--write", action="store_true", help="put the table of a full run into docs/benchmarks.md")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    CACHE.mkdir(exist_ok=True)
    bench = Bench(Path(tempfile.mkdtemp(prefix="bench-", dir=CACHE)), asked.quick, _say)
    os.sched_setaffinity(0, {CORES[-1]})
    start, before = time.monotonic(), os.getloadavg()[0]
    rows, wrong = [], 0
    try:
        for name in asked.only or _BENCHMARKS:
            _say(f"{name} ...")
            try:
                rows += _BENCHMARKS[name](bench)
            except Missing as missing:
                rows.append(Row(name, "-", "-", "-", "-", str(missing)))
            except CheckError as error:
                rows.append(Row(name, "WRONG", note=str(error)))
                wrong = 1
            finally:
                bench.end_all()
    finally:
        bench.end_all()
        shutil.rmtree(bench.folder, ignore_errors=True)
    told = (
        f"{_table([_HEAD, *rows])}\n\n{_machine()}; load {before:.1f} before; {time.monotonic() - start:.0f} s in all."
    )
    print(told)
    if asked.write and not (wrong or asked.only or asked.quick):
        _write(told)
    return wrong


def _write(told: str) -> None:
    head, _, rest = _PAGE.read_text().partition(_BEGIN)
    _PAGE.write_text(f"{head}{_BEGIN}\n{told}\n{_END}{rest.partition(_END)[2]}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _table(rows: Sequence[Row]) -> str:
    """As Markdown that is also readable as it is."""
    cells = [(row.name, row.ours, row.peer, row.ratio, row.aim, row.note) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    day = datetime.now(UTC).date()
    return (
        f"{day}, {len(CORES)} cores of {models[0] if models else platform.machine()}, {memory:.0f} GiB, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
