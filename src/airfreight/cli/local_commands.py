"""The commands that run a server on this computer: their options only.

The bodies import the server when they are called, so that `--help` and the operator commands never pay for it.
"""

from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli.options import AsJson

Data = Annotated[
    Path,
    typer.Option(
        "--data", metavar="DIR", envvar="AIRFREIGHT_DATA", file_okay=False, help="The folder with the server's data."
    ),
]
Host = Annotated[
    str | None,
    typer.Option("--host", help="The address to listen at; 127.0.0.1 unless AIRFREIGHT_HOST says otherwise."),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="The port to listen at; 8080 unless AIRFREIGHT_PORT says otherwise."),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", metavar="URL", help="The database; SQLite in the data folder by default."),
]
DEFAULT_DATA = Path("data")


def serve(
    data: Data = DEFAULT_DATA,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="How many processes share the port; 1 unless AIRFREIGHT_WORKERS says otherwise."),
    ] = None,
) -> None:
    """Run the server.

    Example: airfreight serve --data /var/lib/airfreight --port 8080
    """
    from airfreight.cli import local

    local.serve(data=data, host=host, port=port, database_url=database_url, workers=workers)


def migrate(data: Data = DEFAULT_DATA, database_url: DatabaseUrl = None) -> None:
    """Bring the database to the version of this program.

    Example: airfreight migrate --data /var/lib/airfreight
    """
    from airfreight.cli import local

    local.migrate(data=data, database_url=database_url)


def doctor(data: Data = DEFAULT_DATA, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Check the server's data: the schema, the counters, the files.

    Example: airfreight doctor --data /var/lib/airfreight
    """
    from airfreight.cli import local

    raise typer.Exit(local.doctor(data=data, database_url=database_url, as_json=as_json))


def demo(
    data: Data = DEFAULT_DATA,
    devices: Annotated[int, typer.Option(min=1, help="How many simulated devices.")] = 200,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, dir_okay=False, help="A real file to send to them.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when the rollout has ended.")] = False,
    host: Host = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Run a server with simulated devices and watch a rollout land on them.

    Example: airfreight demo --once --devices 50
    """
    from airfreight.cli import demo as demonstration

    code = demonstration.run(data=data, host=host, port=port, devices=devices, image=image, once=once, as_json=as_json)
    raise typer.Exit(code)


mqtt = typer.Typer(help="Let devices log in at an MQTT broker.", no_args_is_help=True)


@mqtt.callback()
def _mqtt() -> None:
    """Let devices log in at an MQTT broker."""


@mqtt.command("credentials")
def credentials(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="mosquitto's password file.")],
    data: Data = DEFAULT_DATA,
    database_url: DatabaseUrl = None,
    pid_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="mosquitto's pid file: it is told (SIGHUP) to read FILE again.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: write it again whenever devices come, go or change their token.")
    ] = False,
) -> None:
    """Write mosquitto's password file: every device by its id, and the server's own user.

    The server does it by itself when AIRFREIGHT_MQTT_PASSWORD_FILE is set; this is for a broker on another computer.

    Example: airfreight mqtt credentials /var/lib/airfreight/mqtt/passwords --data /var/lib/airfreight
    """
    from airfreight.cli import local

    local.broker_credentials(file=file, data=data, database_url=database_url, pid_file=pid_file, watch=watch)
