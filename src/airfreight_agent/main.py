"""`airfreight-agent`: `run` is the agent of one device, `fleet` simulates many, `package create` makes packages."""

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from airfreight_agent.behaviours import BEHAVIOURS, Behaviour
from airfreight_agent.device_command import add_enroll, add_run
from airfreight_agent.fleet import Fleet, load_members
from airfreight_agent.identity import BusyError, IdentityError
from airfreight_agent.iotcp_spec import create
from airfreight_agent.mqtt_behaviours import MQTT_BEHAVIOURS, MqttBehaviour
from airfreight_agent.mqtt_fleet import DEFAULT_PREFIX, MqttFleet, load_mqtt_members
from airfreight_agent.protocol import ProtocolError, RefusedError, UnauthorizedError, UnavailableError

EXIT_USAGE = 2
EXIT_NO_ANSWER = 3
EXIT_FOLDER = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """The command. Exits 0 when all is well, 1 when an update failed, 2 for wrong use, 3 without an answer, 4 when its
    folder cannot be used now: another agent works there, or the disk does not do.
    """
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
    except BusyError as error:
        sys.exit(_complain(str(error), EXIT_FOLDER))
    except OSError as error:
        sys.exit(_complain(f"{error.filename or 'the folder'}: {error.strerror or error}", EXIT_FOLDER))
    except (UnavailableError, UnauthorizedError, RefusedError, ProtocolError) as error:
        sys.exit(_complain(str(error), EXIT_NO_ANSWER))
    except KeyboardInterrupt:
        sys.exit(0)


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--token -abc` as `--token=-abc`: random text may begin with a dash, which argparse takes for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--token", "--enroll-key", "--key"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="airfreight-agent", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="say more on standard error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_enroll(commands.add_parser("enroll", help="make this device known to its server, once"))
    add_run(commands.add_parser("run", help="be the agent of this device"))
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


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", metavar="URL", help="devices that ask this server, over HTTP")
    where.add_argument("--mqtt", metavar="URL", help="devices that listen at this broker, mqtt:// or mqtts://HOST:PORT")
    members = (
        "a JSON list of {uid, token, behaviour, version, thing}, of a thing the gateway's token and its own uid; "
        "with --mqtt of {id, token, behaviour, version, build, type}"
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


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"airfreight-agent: {message}\n")
    return code


if __name__ == "__main__":
    main()
