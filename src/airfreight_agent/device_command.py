"""`airfreight-agent enroll` and `run`: what the agent of one device is told on the command line.

A folder holds all that a device is: its token, its server's address, its state, its files. A process has it alone.
"""

import argparse
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock, Thread
from types import FrameType

import httpx

from airfreight_agent.client import DEFAULT_TIMEOUT, Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.identity import Enrollment, claim, enroll_thing, has_token, remember, server_of, token_of, uid_of
from airfreight_agent.installers import CommandActivator, CommandInstaller, activate_in_place
from airfreight_agent.lifecycle import Rules
from airfreight_agent.protocol import MAX_WAIT_SECONDS, Attribute, Event, UnavailableError
from airfreight_agent.things import Things

FOLDER = Path("/var/lib/airfreight-agent")
EXIT_FAILED = 1
MAX_HELD = 60


def add_enroll(parser: argparse.ArgumentParser) -> None:
    """The options of `enroll`."""
    add = parser.add_argument
    key = os.environ.get("AIRFREIGHT_ENROLL_KEY")
    add("--server", required=True, type=_address, metavar="URL")
    add("--key", default=key, required=key is None, help="an enrollment key (AIRFREIGHT_ENROLL_KEY)")
    add("--uid", required=True, help="this device's own identity")
    add("--product", required=True, help="name or id of its product")
    add("--parent", metavar="UID", help="it is a thing behind this gateway: it gets no token, and needs no folder")
    add("--folder", type=Path, default=FOLDER, metavar="DIR", help=f"where the device keeps all it knows ({FOLDER})")
    add("--attribute", action="append", default=[], metavar="KEY=VALUE", help="told to the server")
    parser.set_defaults(run=_enroll)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of `run`."""
    add = parser.add_argument
    add("--server", type=_address, metavar="URL", help="default: where it was enrolled")
    add(
        *("--folder", "--state"),
        dest="folder",
        required=True,
        type=Path,
        metavar="DIR",
        help="where the device keeps all it knows",
    )
    add("--install", metavar="COMMAND", help="installs a file that is no package; its path is added as last argument")
    add("--activate", metavar="COMMAND", help="starts what is installed, e.g. reboot; without it: nothing to do")
    # Taken out of the environment: the commands that this process starts are not to see them.
    token, key = os.environ.pop("AIRFREIGHT_TOKEN", None), os.environ.pop("AIRFREIGHT_ENROLL_KEY", None)
    add("--token", default=token, help="the device's token (AIRFREIGHT_TOKEN)")
    add("--enroll-key", default=key, help="to get a token (AIRFREIGHT_ENROLL_KEY)")
    add("--uid", help="this device's own identity, for enrolling")
    add("--product", help="name or id of its product, for enrolling")
    add("--version", help="the version that runs before the first update")
    add("--version-file", type=Path, metavar="FILE", help="holds the running version; without it the agent believes")
    add("--attribute", action="append", default=[], metavar="KEY=VALUE", help="told to the server at every start")
    add("--install-timeout", type=_limit, default=3600.0, metavar="SECONDS")
    add(
        "--settle",
        type=_pause,
        metavar="SECONDS",
        help="how long an activation may take to end us (30 with --activate)",
    )
    add("--wait", type=_held, default=30, metavar="SECONDS", help="how long the server may hold a poll (0 to 60)")
    add("--once", action="store_true", help="leave when there is nothing (more) to do")
    add(
        "--thing",
        action="append",
        default=[],
        metavar="TYPE=COMMAND",
        help="the plug-in for things of this type (the name of their product)",
    )
    _add_package_options(parser.add_argument_group("packages"))
    parser.set_defaults(run=_run)


def _add_package_options(group: "argparse._ArgumentGroup") -> None:
    add = group.add_argument
    add("--script-timeout", type=_limit, default=1800.0, metavar="SECONDS", help="of each script (1800)")
    add("--reset-on-failure", action="store_true", help="run the reset scripts when an update fails")
    add("--install-root", type=Path, default=Path("/"), metavar="DIR", help="where install paths begin (/)")


def _enroll(options: argparse.Namespace) -> int:
    enrollment = Enrollment(options.key, options.uid, options.product)
    if options.parent is not None:
        with httpx.Client(base_url=options.server, timeout=DEFAULT_TIMEOUT) as http:
            enroll_thing(http, enrollment, options.parent, _attributes(options.attribute))
        sys.stdout.write(f"enrolled behind {options.parent}, whose agent does the rest\n")
        return 0
    lock = claim(options.folder)
    _check_owner(options.folder, options.server, options.uid)
    was_known = has_token(options.folder)
    with httpx.Client(base_url=options.server, timeout=DEFAULT_TIMEOUT) as http:
        token_of(options.folder, http, enrollment, _attributes(options.attribute))
    remember(options.folder, options.server, options.uid)
    done = "it was enrolled before: nothing changes" if was_known else "enrolled"
    sys.stdout.write(f"{done}; now: airfreight-agent run --folder {options.folder}\n")
    os.close(lock)
    return 0


def _check_owner(folder: Path, server: str, uid: str) -> None:
    """Raises ValueError when the folder is that of another device."""
    known_server, known_uid = server_of(folder), uid_of(folder)
    if known_server is not None and known_server.rstrip("/") != server:
        raise ValueError(f"{folder} belongs to a device of {known_server}")
    if known_uid is not None and known_uid != uid:
        raise ValueError(f"{folder} belongs to {known_uid}")


def _run(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _leave)
    lock = claim(options.folder)
    server = options.server or server_of(options.folder)
    if server is None:
        raise ValueError(f"nobody enrolled {options.folder}: give --server")
    attributes, plug_ins = _attributes(options.attribute), _plug_ins(options.thing)
    version: dict[str, Attribute] = {"version": options.version} if options.version else {}
    turn, habits, folder = Lock(), _habits(options, attributes), options.folder.absolute()
    with httpx.Client(base_url=server, timeout=DEFAULT_TIMEOUT) as http:
        token = options.token or _enrolled(options, http, {**attributes, **version})
        device = _device(options, Client(http, token), habits, turn)
        its_http = httpx.Client(base_url=server, timeout=DEFAULT_TIMEOUT)
        things = Things(its_http, token, folder / "things", device, turn, plug_ins, habits)
        if not options.once:
            Thread(target=things.run, name="things", daemon=True).start()
        try:
            outcome = device.run(once=options.once)
            things.finish()
        except ValueError as error:
            raise RuntimeError("a mistake of the agent's own") from error  # not of those who started it
        its_http.close()
    os.close(lock)
    return EXIT_FAILED if outcome is Event.FAILED or things.has_failed else 0


def _device(options: argparse.Namespace, client: Client, habits: Habits, turn: Lock) -> Device:
    # The installer's notes lie beside the files, so that they go when the attempt is over.
    notes = options.folder / "files"
    command = shlex.split(options.install) if options.install else []
    installer = CommandInstaller(command, notes, timeout_seconds=options.install_timeout) if command else None
    activator = CommandActivator(shlex.split(options.activate)) if options.activate else activate_in_place
    return Device(client, options.folder.absolute(), installer, activator, habits, turn)


def _habits(options: argparse.Namespace, attributes: dict[str, Attribute]) -> Habits:
    settle_seconds = options.settle
    if settle_seconds is None:
        settle_seconds = 30.0 if options.activate else 0.0
    return Habits(
        version=options.version,
        read_version=_reader(options.version_file) if options.version_file else None,
        attributes=attributes,
        poll_wait_seconds=0 if options.once else options.wait,
        settle_seconds=settle_seconds,
        rules=Rules(options.script_timeout, options.reset_on_failure, options.install_root),
    )


def _enrolled(options: argparse.Namespace, http: httpx.Client, attributes: dict[str, Attribute]) -> str:
    """Keep trying: a device that is installed before its server can be reached must find it later."""
    enrollment = None
    if options.enroll_key and options.uid and options.product:
        enrollment = Enrollment(options.enroll_key, options.uid, options.product)
    while True:
        try:
            return token_of(options.folder, http, enrollment, attributes)
        except UnavailableError as error:
            if options.once:
                raise
            logging.getLogger(__name__).warning("enroll: %s", error)
            time.sleep(max(error.retry_after or 0.0, 10.0))


def _address(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or " " in text:
        raise argparse.ArgumentTypeError(f"an address begins with http:// or https://, not {text!r}")
    return text.rstrip("/")


def _limit(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError("more than 0 seconds")
    return seconds


def _held(text: str) -> int:
    seconds = int(text)
    if not 0 <= seconds <= MAX_HELD:
        raise argparse.ArgumentTypeError(f"0 to {MAX_HELD} seconds")
    return seconds


def _pause(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise argparse.ArgumentTypeError(f"0 to {MAX_WAIT_SECONDS:g} seconds")
    return seconds


def _attributes(pairs: Sequence[str]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"an attribute is KEY=VALUE, not {pair!r}")
        attributes[key] = value
    return attributes


def _plug_ins(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    plug_ins: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        its_type, _, command = pair.partition("=")
        words = tuple(shlex.split(command))
        if not its_type or not words:
            raise ValueError(f"a plug-in is TYPE=COMMAND, not {pair!r}")
        if its_type in plug_ins:
            raise ValueError(f"there are two plug-ins for {its_type!r}")
        plug_ins[its_type] = words
    return plug_ins


def _reader(path: Path) -> Callable[[], str | None]:
    def read() -> str | None:
        try:
            return path.read_text().strip() or None
        except OSError:
            return None

    return read


def _leave(signum: int, frame: FrameType | None) -> None:
    """SIGTERM may come anywhere, as a power loss may; what is durable stays."""
    del signum, frame
    sys.exit(0)
