"""Who may log in at the broker: mosquitto's password file, kept in step with the devices.

A device logs in with its id as the user name and its token as the password; the server with what its URL says.
"""

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy import Connection

from airfreight.services import credentials
from airfreight.settings import Settings
from airfreight.store import devices, outbox
from airfreight.store.database import Database

log = structlog.get_logger()

CHANGES = "devices"
"""The signal that says that devices or their tokens have changed."""


def write(connection: Connection, settings: Settings, path: Path) -> int:
    """Write the whole password file, at once or not at all; how many devices are in it.

    An existing file keeps its owner and mode, a new one is for its owner only. Raises OSError.
    """
    logins = devices.broker_logins(connection)
    lines = [f"{device_id}:{broker_hash}" for device_id, broker_hash in logins]
    url = urlsplit(settings.mqtt_url)
    if url.username and url.password:
        lines.append(f"{unquote(url.username)}:{credentials.broker_hash(unquote(url.password))}")
    _replace(path, "".join(line + "\n" for line in lines))
    return len(logins)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            old = path.stat()
            Path(name).chmod(old.st_mode & 0o7777)
            with suppress(PermissionError):
                os.chown(name, old.st_uid, old.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def tell_broker(pid_file: Path) -> bool:
    """Ask the broker to read its password file again (SIGHUP); False when it is not there to be asked."""
    return _signal(pid_file, signal.SIGHUP)


def _signal(pid_file: Path, what: signal.Signals) -> bool:
    try:
        process = int(pid_file.read_text().strip())
        if not 1 < process < 2**22 or not _is_broker(process):  # 0 and below are whole groups of processes
            return False
        os.kill(process, what)
    except (OSError, ValueError):
        return False
    return True


def _is_broker(process: int) -> bool:
    """A pid file outlives its process, and the number may be somebody else's by now; a signal would end them."""
    name = Path(f"/proc/{process}/comm")
    return not name.parent.parent.joinpath("self").exists() or name.read_text().strip() == "mosquitto"


class Keeper:
    """Writes the password file again whenever devices have come, gone or changed their token."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._written = -1

    def save(self) -> bool:
        """Have the broker write down at once who listens (SIGUSR1), and not only with its next saving; False if it
        cannot be asked. For a line that it has just come to know: after a crash it would know nothing of it.
        """
        return bool(self._settings.mqtt_pid_file) and _signal(Path(self._settings.mqtt_pid_file), signal.SIGUSR1)

    def keep(self) -> bool:
        """Write it if there is need; False when it cannot be written, which is logged, and tried at the next call."""
        if not self._settings.mqtt_password_file:
            return True
        with self._database.read() as connection:
            changes = outbox.rung(connection, CHANGES)
            if changes == self._written:
                return True
            try:
                count = write(connection, self._settings, Path(self._settings.mqtt_password_file))
            except OSError as error:
                log.error("the broker's password file cannot be written", error=type(error).__name__)  # noqa: TRY400
                return False
        self._written = changes
        told = bool(self._settings.mqtt_pid_file) and tell_broker(Path(self._settings.mqtt_pid_file))
        log.info("the broker's password file is written", devices=count, broker_told=told)
        return True
