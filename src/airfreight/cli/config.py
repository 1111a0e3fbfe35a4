"""The credentials file: one login, in $XDG_CONFIG_HOME/airfreight/cli.json, readable by its owner only.

Writes replace the whole file in one step, so that a reader sees the old login or the new one, never half of one.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from airfreight.cli.errors import CliError, usage


@dataclass(frozen=True, slots=True)
class Login:
    """What `airfreight login` keeps. `expires_at` is in Unix seconds; `email` is None for a client's own login."""

    server: str
    client_id: str
    client_secret: str
    email: str | None
    access_token: str
    refresh_token: str | None
    expires_at: float


def file_path() -> Path:
    """Return where the credentials file is, whether or not it exists."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative values ignored.
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".config"
    return base / "airfreight" / "cli.json"


def load() -> Login | None:
    """Return the stored login, None if there is none. Raises CliError for a file that is unreadable or damaged."""
    path = file_path()
    try:
        document = json.loads(path.read_bytes())
        login = Login(**document)
        _check_types(login)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise usage(
            f"The credentials file {path} cannot be read: {error.strerror}", "Correct its permissions."
        ) from None
    except (ValueError, TypeError, RecursionError):
        raise usage(f"The credentials file {path} is damaged", "Run `airfreight login` to write a new one.") from None
    return login


def save(login: Login) -> None:
    """Replace the stored login. Raises CliError if the folder or the file cannot be written."""
    path = file_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes the file with mode 0600, so the secrets are never readable by others, not even for a moment.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".cli-", suffix=".json")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(login), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def remove() -> bool:
    """Delete the stored login; say whether there was one."""
    path = file_path()
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unwritable(path, error) from None
    return True


@contextmanager
def locked() -> Iterator[None]:
    """Hold the lock that lets one process at a time spend the refresh token, which works once."""
    path = file_path().with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_types(login: Login) -> None:
    strings = (login.server, login.client_id, login.client_secret, login.access_token)
    optional = (login.email, login.refresh_token)
    if not all(isinstance(value, str) for value in strings) or not isinstance(login.expires_at, int | float):
        raise TypeError
    if not all(value is None or isinstance(value, str) for value in optional):
        raise TypeError


def _unwritable(path: Path, error: OSError) -> CliError:
    todo = "Correct the permissions of the folder, or set XDG_CONFIG_HOME to another one."
    return usage(f"{path} cannot be written: {error.strerror}", todo)
