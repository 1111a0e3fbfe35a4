"""`airfreight-agent run` is the agent of one Linux device, `fleet` simulates many, `package create` makes packages."""

import argparse
import asyncio
import json
import logging
import os
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import FrameType

import httpx

from airfreight_agent.behaviours import BEHAVIOURS, Behaviour
from airfreight_agent.client import DEFAULT_TIMEOUT, Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.fleet import Fleet, load_members
from airfreight_agent.identity import Enrollment, IdentityError, claim, token_of
from airfreight_agent.installers import CommandActivator, CommandInstaller, activate_in_place
from airfreight_agent.iotcp_spec import create
from airfreight_agent.mqtt_behaviours import MQTT_BEHAVIOURS, MqttBehaviour
from airfreight_agent.mqtt_fleet import DEFAULT_PREFIX, MqttFleet, load_mqtt_members
from airfreight_agent.protocol import (
    Attribute,
    Event,
    ProtocolError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_ANSWER = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits 0 when all is well, 1 when an update failed, 2 for wrong use, 3 without an answer."""
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        sys.exit(run(options))
    except (IdentityError, ValueError) as error:
        sys.exit(_complain(str(error), EXIT_USAGE))
    except (UnavailableError, UnauthorizedError, RefusedError, ProtocolError) as error:
        sys.exit(_complain(str(error), EXIT_NO_ANSWER))
    except KeyboardInterrupt:
        sys.exit(0)


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--token -abc` as `--token=-abc`: random text may begin with a dash, which argparse takes for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--token", "--enroll-key"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airfreight-agent", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="say more on standard error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="be the agent of this device"))
    _add_fleet(
        commands.add_parser(
            "fleet",
            help="simulate many devices",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=f"behaviours with --server:\n{_listed(BEHAVIOURS)}\n\nwith --mqtt:\n{_listed(MQTT_BEHAVIOURS)}",
        )
    )
    _add_package(commands.add_parser("package", help="make packages for campaigns"))
    return parser


def _listed(table: Mapping[str, Behaviour] | Mapping[str, MqttBehaviour]) -> str:
    return "\n".join(f"  {row.name:28}{row.description}" for row in table.values())


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--server", required=True, metavar="URL")
    add("--state", required=True, type=Path, metavar="DIR", help="where the device keeps its token and its state")
    add("--install", required=True, metavar="COMMAND", help="installs the file whose path is added as last argument")
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
    add("--install-timeout", type=float, default=3600.0, metavar="SECONDS")
    add("--settle", type=float, default=30.0, metavar="SECONDS", help="how long an activation may take to end us")
    add("--wait", type=int, default=30, metavar="SECONDS", help="how long the server may hold a poll (0 to 60)")
    add("--once", action="store_true", help="leave when there is nothing (more) to do")
    parser.set_defaults(run=_run)


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", metavar="URL", help="devices that ask this server, over HTTP")
    where.add_argument("--mqtt", metavar="URL", help="devices that listen at this broker, mqtt:// or mqtts://HOST:PORT")
    members = (
        "a JSON list of {uid, token, behaviour, version}; with --mqtt of {id, token, behaviour, version, build, type}"
    )
    add("--members", required=True, type=Path, metavar="FILE", help=members)
    add("--prefix", default=DEFAULT_PREFIX, help="first level of all topics at the broker")
    add("--ca", default="", metavar="FILE", help="the certificate authority of the broker and of https downloads")
    add("--seconds", type=float, default=float("inf"), help="leave after that long (default: stay until Ctrl-C)")
    add("--seed", type=int, default=0, help="the same seed gives the same devices")
    add("--time-scale", type=float, default=1.0, help="real seconds per second of a device's own work")
    add("--haste", type=float, default=1.0, help="divides the waits that the server asks for")
    add("--wait", type=int, default=0, metavar="SECONDS", help="how long the server may hold a poll (0 to 60)")
    parser.set_defaults(run=_fleet)


def _add_package(parser: argparse.ArgumentParser) -> None:
    making = parser.add_subparsers(required=True, metavar="COMMAND").add_parser("create", help="make a package")
    making.add_argument("spec", type=Path, metavar="SPEC", help="what is in it: a .toml or .json file")
    making.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: NAME-VERSION.iotcp, here")
    making.set_defaults(run=_create_package)


def _create_package(options: argparse.Namespace) -> int:
    try:
        path, warnings = create(options.spec, options.output)
    except OSError as error:
        raise ValueError(str(error)) from error
    for warning in warnings:
        sys.stderr.write(f"airfreight-agent: warning: {warning}\n")
    sys.stdout.write(f"{path}\n")
    return 0


def _run(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _leave)
    lock = claim(options.state)
    attributes = _attributes(options.attribute)
    version: dict[str, Attribute] = {"version": options.version} if options.version else {}
    with httpx.Client(base_url=options.server, timeout=DEFAULT_TIMEOUT) as http:
        token = options.token or _enrolled(options, http, {**attributes, **version})
        # The installer's notes lie beside the files, so that they go when the attempt is over.
        installer = CommandInstaller(
            shlex.split(options.install), options.state / "files", timeout_seconds=options.install_timeout
        )
        activator = CommandActivator(shlex.split(options.activate)) if options.activate else activate_in_place
        habits = Habits(
            version=options.version,
            read_version=_reader(options.version_file) if options.version_file else None,
            attributes=attributes,
            poll_wait_seconds=0 if options.once else options.wait,
            settle_seconds=options.settle if options.activate else 0.0,
        )
        outcome = Device(Client(http, token), options.state, installer, activator, habits).run(once=options.once)
    os.close(lock)
    return EXIT_FAILED if outcome is Event.FAILED else 0


def _enrolled(options: argparse.Namespace, http: httpx.Client, attributes: dict[str, Attribute]) -> str:
    """Keep trying: a device that is installed before its server can be reached must find it later."""
    enrollment = None
    if options.enroll_key and options.uid and options.product:
        enrollment = Enrollment(options.enroll_key, options.uid, options.product)
    while True:
        try:
            return token_of(options.state, http, enrollment, attributes)
        except UnavailableError as error:
            if options.once:
                raise
            logging.getLogger(__name__).warning("enroll: %s", error)
            time.sleep(max(error.retry_after or 0.0, 10.0))


def _attributes(pairs: Sequence[str]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"an attribute is KEY=VALUE, not {pair!r}")
        attributes[key] = value
    return attributes


def _reader(path: Path) -> Callable[[], str | None]:
    def read() -> str | None:
        try:
            return path.read_text().strip() or None
        except OSError:
            return None

    return read


def _fleet(options: argparse.Namespace) -> int:
    return _fleet_at_broker(options) if options.mqtt else _fleet_at_server(options)


def _fleet_at_server(options: argparse.Namespace) -> int:
    fleet = Fleet(
        options.server,
        load_members(options.members),
        seed=options.seed,
        time_scale=options.time_scale,
        haste=options.haste,
        wait_seconds=options.wait,
    )

    def line() -> str:
        errors = sum(fleet.traffic.errors.values())
        return f"{_counted(fleet.progress().steps)}; {fleet.traffic.requests} requests, {errors} errors"

    try:
        asyncio.run(_watched(fleet.run(options.seconds), line))
    finally:
        _print_summary(fleet)
    return 0


def _fleet_at_broker(options: argparse.Namespace) -> int:
    fleet = MqttFleet(
        options.mqtt,
        load_mqtt_members(options.members),
        prefix=options.prefix,
        ca_file=options.ca,
        seed=options.seed,
        time_scale=options.time_scale,
    )

    def line() -> str:
        progress = fleet.progress()
        return f"{_counted(progress.phases)}; {_counted(progress.versions)}; {fleet.traffic.offers} offers"

    try:
        asyncio.run(_watched(fleet.run(options.seconds), line))
    finally:
        _print_mqtt_summary(fleet)
    return 0


async def _watched(living: Coroutine[None, None, None], line: Callable[[], str]) -> None:
    async def tell() -> None:
        while True:
            await asyncio.sleep(2.0)
            sys.stderr.write(line() + "\n")

    teller = asyncio.create_task(tell())
    try:
        await living
    finally:
        teller.cancel()


def _counted(words: Counter[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in words.most_common())


def _print_summary(fleet: Fleet) -> None:
    progress = fleet.progress()
    traffic = progress.traffic
    document = {
        "devices": len(fleet.devices),
        "behaviours": progress.behaviours,
        "requests": traffic.requests,
        "reports": traffic.reports,
        "downloadedBytes": traffic.downloaded_bytes,
        "powerCuts": traffic.power_cuts,
        "contradictions": traffic.contradictions,
        "errors": traffic.errors,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _print_mqtt_summary(fleet: MqttFleet) -> None:
    progress = fleet.progress()
    traffic = progress.traffic
    document = {
        "devices": len(fleet.devices),
        "behaviours": progress.behaviours,
        "connections": traffic.connections,
        "offers": traffic.offers,
        "downloads": traffic.downloads,
        "resumptions": traffic.resumptions,
        "downloadedBytes": traffic.downloaded_bytes,
        "installations": traffic.installations,
        "fallbacks": traffic.fallbacks,
        "pings": traffic.pings,
        "contradictions": traffic.contradictions,
        "refusals": traffic.refusals,
        "errors": traffic.errors,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _leave(signum: int, frame: FrameType | None) -> None:
    """SIGTERM may come anywhere, as a power loss may; what is durable stays."""
    del signum, frame
    sys.exit(0)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"airfreight-agent: {message}\n")
    return code


if __name__ == "__main__":
    main()
