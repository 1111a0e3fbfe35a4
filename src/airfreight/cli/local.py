"""`serve`, `migrate`, `doctor`: the commands that run on the server's own machine and import the server."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from airfreight.adapters.blobs import FolderBlobs
from airfreight.apis.common.desk import clock
from airfreight.app import key_path, keyring
from airfreight.cli.errors import CliError, ExitCode
from airfreight.services import bootstrap, overview, webhook_lines
from airfreight.services.bootstrap import FirstStart
from airfreight.services.broker_login import Keeper
from airfreight.settings import SettingError, Settings, load, variable
from airfreight.store import migrate as migration
from airfreight.store.database import Database


def serve(*, data: Path, host: str | None, port: int | None, database_url: str | None, workers: int | None) -> None:
    """Migrate, make the first user if there is none, then serve until told to stop."""
    with _told():
        settings = load(data=data, host=host, port=port, database_url=database_url, workers=workers)
        free_port(settings.host, settings.port)
        first = prepare(settings)
    if first:
        print(welcome(settings, first), flush=True)
    print(f"Airfreight serves at {url(settings)}  (API: {url(settings)}/docs, stop: Ctrl-C)", flush=True)
    run(settings)


def prepare(settings: Settings) -> FirstStart | None:
    """Everything before the first request: the folder, the key, the schema, the first user (returned, once)."""
    settings.data.mkdir(mode=0o750, parents=True, exist_ok=True)
    database = Database(settings.url)
    try:
        migration.upgrade(database)
        with database.write() as connection:
            if bootstrap.has_started(connection) and not (settings.secret_key or key_path(settings).exists()):
                raise SettingError(f"{key_path(settings)} is missing, and every token was hashed with it: restore it.")
            return bootstrap.first_start(connection, keyring(settings), settings, clock())
    finally:
        database.close()


def broker_credentials(*, file: Path, data: Path, database_url: str | None, pid_file: Path | None, watch: bool) -> None:
    """Write the broker's password file, once or whenever something has changed."""
    with _told():
        settings = load(
            data=data,
            database_url=database_url,
            public_url=os.environ.get(variable("public_url")) or "http://localhost",  # not needed for this
            mqtt_password_file=str(file.absolute()),
            mqtt_pid_file=str(pid_file.absolute()) if pid_file else None,
        )
        if not urlsplit(settings.mqtt_url).password:
            words = "The server's own line would be missing, and the broker would lock it out: set AIRFREIGHT_MQTT_URL"
            raise CliError(words, "Load the server's environment first: it is `mqtts://user:password@host`.")
        if not settings.database_url and not (settings.data / "airfreight.db").exists():
            raise CliError(
                f"There is no database in {settings.data}", "Name its folder with --data, or --database-url."
            )
        database = Database(settings.url)
        try:
            keeper = Keeper(database, settings)
            if not keeper.keep():
                raise CliError(f"{file} cannot be written", "Choose a folder that this user may write to.")
            while watch:
                time.sleep(1)
                keeper.keep()
        finally:
            database.close()


def free_port(host: str, port: int) -> int:
    """`port` if it is free (0: any free one). Raises SettingError when it cannot be listened at."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        words = (
            f"The server cannot listen at {host} port {port} ({error.strerror}). Choose another with --host or --port."
        )
        raise SettingError(words) from None


def run(settings: Settings) -> None:
    """Serve with uvicorn. The settings travel to the server processes through the environment."""
    os.environ.update(environment(settings))
    uvicorn.run(
        "airfreight.app:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="airfreight.adapters.http_protocol:BoundedHttp",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        backlog=4096,
    )


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make `load()` answer with the same settings in another process."""
    return {variable(item.name): str(getattr(settings, item.name)) for item in fields(Settings)}


def url(settings: Settings) -> str:
    host = "localhost" if settings.host in {"0.0.0.0", "::"} else settings.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port}"


def welcome(settings: Settings, first: FirstStart) -> str:
    """What the first start made; shown once, kept nowhere. A secret that was given is not repeated: it would be kept
    in the log.
    """
    return "\n".join(
        [
            "First start. These are shown once; keep them:",
            f"  user      {first.email}",
            f"  password  {_given(settings, 'admin_password') or first.password}",
            f"  client    {first.client_id}",
            f"  secret    {_given(settings, 'client_secret') or first.client_secret}",
            f"  try       {_login(settings, first)}",
            "",
        ]
    )


def _given(settings: Settings, name: str) -> str:
    """Where a secret came from, if the settings give it."""
    return f"(that of {variable(name)})" if getattr(settings, name) else ""


def _login(settings: Settings, first: FirstStart) -> str:
    secret = f"${variable('client_secret')}" if settings.client_secret else f"'{first.client_secret}'"
    credentials = f"--client-id '{first.client_id}' --client-secret {secret}"
    return f"{command()} login --server {url(settings)} {credentials}"


def command() -> str:
    """This program as it was called, for lines that people paste."""
    called = Path(sys.argv[0])
    if called.name != "airfreight":
        return "airfreight"
    return str(called.relative_to(Path.cwd())) if called.is_relative_to(Path.cwd()) else str(called)


def migrate(*, data: Path, database_url: str | None) -> None:
    """Bring the database to the current shape and say what was done."""
    with _told():
        settings = load(data=data, database_url=database_url)
        settings.data.mkdir(parents=True, exist_ok=True)
        database = Database(settings.url)
        before, after = migration.upgrade(database)
        database.close()
    print(f"The database is at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")


def doctor(*, data: Path, database_url: str | None, as_json: bool) -> int:
    """Look for what is wrong: settings, schema, counters, room. 0 when all is well, else 1."""
    checks: list[tuple[str, bool, str]] = []
    try:
        settings = load(data=data, database_url=database_url)
    except SettingError as error:
        checks.append(("settings", False, str(error)))
    else:
        checks = [("settings", True, "readable"), *_look(settings)]
    if as_json:
        print(json.dumps({"ok": all(ok for _, ok, _ in checks), "checks": [_as_dict(check) for check in checks]}))
    else:
        for name, ok, words in checks:
            print(f"{'ok  ' if ok else 'BAD '} {name:<10} {words}")
    return 0 if all(ok for _, ok, _ in checks) else 1


def _key(settings: Settings) -> tuple[bool, str]:
    if settings.secret_key:
        return True, "from the environment"
    there = key_path(settings).exists()
    return (
        there,
        "in the data folder" if there else f"{key_path(settings)} is missing: restore it, or no token is known",
    )


def _as_dict(check: tuple[str, bool, str]) -> dict[str, object]:
    return dict(zip(("name", "ok", "detail"), check, strict=True))


def _look(settings: Settings) -> Iterator[tuple[str, bool, str]]:
    if not settings.database_url and not (settings.data / "airfreight.db").exists():
        yield "data", False, "there is no database in this folder; start with `airfreight serve --data DIR`"
        return
    database = Database(settings.url)
    try:
        with database.read() as connection:
            current = overview.is_current(connection)
            yield "schema", current, "current" if current else "old; run `airfreight migrate`"
            yield "key", *_key(settings)
            if current:
                lost = overview.lost_files(connection, FolderBlobs(settings.data / "blobs"))
                words = f"missing or damaged: {', '.join(lost[:10])}" if lost else "every artifact's bytes are there"
                yield "files", not lost, words
                wrong = overview.drift(connection)
                words = f"{sum(wrong.values())} differ in rollouts {sorted(wrong)[:10]}" if wrong else "equal a recount"
                yield "counters", not wrong, words
        if current and (settings.secret_key or key_path(settings).exists()):
            closed = webhook_lines.unreadable(database, keyring(settings))
            words = f"sealed under another key: {', '.join(closed[:10])}" if closed else "their secrets can be read"
            yield "webhooks", not closed, words
    except SQLAlchemyError as error:
        yield "database", False, f"cannot be read ({type(error).__name__})"
    finally:
        database.close()
    free = os.statvfs(settings.data)
    room = free.f_bavail * free.f_frsize
    yield "disk", room > settings.min_free_bytes, f"{room // 1024**2} MiB free"
    if settings.public_url == "":
        yield "public_url", True, "not set: devices are given the host that they asked at"


@contextmanager
def _told() -> Iterator[None]:
    """An expected failure becomes a sentence, what to do about it, and exit code 2."""
    try:
        yield
    except SettingError as error:
        raise CliError(str(error).rstrip("."), "docs/settings.md lists every setting.", ExitCode.USAGE) from None
    except SQLAlchemyError as error:
        what = f"The database cannot be used: {str(error.__cause__ or error).splitlines()[0]}"
        raise CliError(what, "Check --database-url.", ExitCode.USAGE) from None
    except OSError as error:
        what = f"The data folder cannot be used: {error.strerror}"
        raise CliError(what, "Name another one with --data.", ExitCode.USAGE) from None
