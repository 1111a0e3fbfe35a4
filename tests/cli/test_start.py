"""Operator commands start fast because they import nothing of the server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVER_PACKAGES = ("litestar", "sqlalchemy", "alembic", "uvicorn", "argon2", "structlog", "prometheus_client")
SERVER_LAYERS = ("app", "apis", "services", "store", "domain", "formats", "adapters", "worker", "settings", "ports")
FORBIDDEN = {*SERVER_PACKAGES, *(f"airfreight.{layer}" for layer in SERVER_LAYERS)}


def imported_by(arguments: list[str], tmp_path: Path, port: int) -> set[str]:
    environment = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path),
        "AIRFREIGHT_SERVER": f"http://127.0.0.1:{port}",
        "AIRFREIGHT_CLIENT_ID": "client",
        "AIRFREIGHT_CLIENT_SECRET": "secret",
    }
    command = [sys.executable, "-X", "importtime", "-m", "airfreight.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    lines = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:"))
    modules = set(lines)
    assert "airfreight.cli.main" in modules or "airfreight.cli.shipment" in modules, done.stderr[-500:]
    return modules


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["shipment", "list"], ["whoami"], ["device", "explain", "1"], ["serve", "--help"], ["demo", "--help"]],
    ids=" ".join,
)
def test_a_command_imports_nothing_of_the_server(arguments: list[str], tmp_path: Path, free_port: int) -> None:
    modules = imported_by(arguments, tmp_path, free_port)
    assert not {name for name in modules for bad in FORBIDDEN if name == bad or name.startswith(f"{bad}.")}


def test_help_needs_no_http_client(tmp_path: Path, free_port: int) -> None:
    assert "httpx" not in imported_by(["--help"], tmp_path, free_port)


def test_a_command_that_fails_before_it_prints_a_table_does_not_build_one(tmp_path: Path, free_port: int) -> None:
    assert "airfreight.cli.watch" in imported_by(["shipment", "list"], tmp_path, free_port)
    assert "typer.rich_utils" not in imported_by(["shipment", "list"], tmp_path, free_port)
