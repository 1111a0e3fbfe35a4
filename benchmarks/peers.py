"""What the server is compared with: nginx, and goosebit, a hawkBit server in Python (PyPI, into .cache/goosebit)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import CACHE, Bench, CheckError, Missing, Target, free_port, tool, wait_for

_NGINX = """
daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/json;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""

_GOOSEBIT = "goosebit==0.2.12"
_GOOSEBIT_DATABASE = """
import asyncio, sys
from tortoise import Tortoise
from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Device, Hardware, Rollout, Software, UpdateStateEnum

async def main():
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    hardware = await Hardware.create(model="default", revision="default")
    devices, updated = int(sys.argv[1]), int(sys.argv[2])
    if updated:
        software = await Software.create(uri="file:///none.swu", size=1, hash="0", version="2.0.0")
        await software.compatibility.add(hardware)
        await Rollout.create(name="bench", feed="updated", software=software)
    for name, count, told in (
        ("device", devices, {"last_state": UpdateStateEnum.REGISTERED}),
        ("pending", updated, {"last_state": UpdateStateEnum.REGISTERED, "sw_version": "1.0.0", "feed": "updated"}),
        ("installed", updated, {"last_state": UpdateStateEnum.FINISHED, "sw_version": "2.0.0", "feed": "updated"}),
    ):
        await Device.bulk_create([Device(id=f"{name}-{i}", hardware=hardware, **told) for i in range(count)])
    await Tortoise.close_connections()

asyncio.run(main())
"""


@contextmanager
def nginx(bench: Bench, name: str, root: Path) -> Iterator[Target]:
    """nginx with one worker on the server's core, serving `root`. Raises Missing."""
    program = tool("nginx", "nginx-light")
    folder, port = bench.folder / name, free_port()
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""  # else root's worker could not read the scratch folder
    (folder / "nginx.conf").write_text(_NGINX.format(port=port, root=root, user=user))
    log = folder / "log"
    process = bench.start([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], log=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, log)
        yield Target(f"http://127.0.0.1:{port}", process)
    finally:
        bench.end(process)


@contextmanager
def goosebit(bench: Bench, devices: int, *, updated: int = 0) -> Iterator[Target]:
    """goosebit on SQLite with so many registered devices, on the server's core. Raises Missing.

    `updated`: as many more of a rollout's feed that have its version, and as many that do not have it yet.
    """
    python = _goosebit_python(bench)
    folder, port = bench.folder / f"goosebit-{updated}", free_port()
    folder.mkdir()
    env = {
        "GOOSEBIT_DB_URI": f"sqlite://{folder / 'db.sqlite3'}",
        "GOOSEBIT_ARTIFACTS_DIR": str(folder / "artifacts"),
        "GOOSEBIT_TENANT": "DEFAULT",
    }
    made = subprocess.run(
        [python, "-c", _GOOSEBIT_DATABASE, str(devices), str(updated)],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise CheckError(f"goosebit's database: {made.stderr.decode(errors='replace')[-400:]}")
    log = folder / "log"
    serve = ["-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    process = bench.start([python, *serve], log=log, env=env)
    try:
        wait_for(f"http://127.0.0.1:{port}/login", process, log, seconds=60)
        yield Target(f"http://127.0.0.1:{port}", process)
    finally:
        bench.end(process)


def _goosebit_python(bench: Bench) -> str:
    """goosebit's own environment, made at the first run. Raises Missing."""
    folder = CACHE / "goosebit"
    stamp = folder / f".{_GOOSEBIT}"
    if not stamp.exists():
        bench.say(f"installing {_GOOSEBIT} into {folder.relative_to(CACHE.parent)} ...")
        folder.parent.mkdir(exist_ok=True)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", _GOOSEBIT],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"goosebit cannot be installed ({done.stderr.strip().splitlines()[-1][:120]})")
        stamp.touch()
    return str(folder / "bin" / "python")
