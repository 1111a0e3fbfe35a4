"""Assembles the `airfreight` command and turns what goes wrong into one sentence and an exit code.

Nothing here may import the server: `airfreight --help` and every operator command start without it.
"""

import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from airfreight.cli import (
    account,
    artifact,
    campaign,
    client,
    ddi,
    device,
    enrollment_key,
    group,
    local_commands,
    org,
    output,
    package,
    product,
    rollout,
    shipment,
    user,
    webhook,
)
from airfreight.cli.errors import CliError, ExitCode, sentence

PROGRAM = "airfreight"
SERVER_PANEL = "On this computer"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(account.login)
app.command()(account.logout)
app.command()(account.whoami)
for noun, commands in {
    "artifact": artifact.app,
    "shipment": shipment.app,
    "rollout": rollout.app,
    "campaign": campaign.app,
    "package": package.app,
    "device": device.app,
    "group": group.app,
    "product": product.app,
    "enrollment-key": enrollment_key.app,
    "ddi": ddi.app,
    "client": client.app,
    "user": user.app,
    "webhook": webhook.app,
    "org": org.app,
}.items():
    app.add_typer(commands, name=noun)
app.command(rich_help_panel=SERVER_PANEL)(local_commands.serve)
app.command(rich_help_panel=SERVER_PANEL)(local_commands.migrate)
app.command(rich_help_panel=SERVER_PANEL)(local_commands.doctor)
app.command(rich_help_panel=SERVER_PANEL)(local_commands.demo)
app.add_typer(local_commands.mqtt, name="mqtt", rich_help_panel=SERVER_PANEL)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        output.line(version(PROGRAM))
        raise typer.Exit


@app.callback()
def airfreight(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Ship new versions to devices over the air, and run the server that does it.

    Example: airfreight shipment create thermostat-2.3.1.bin --product Thermostat --title "v2.3.1"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with one of ExitCode."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without UTF-8 shows a question mark instead of ending the program.
            stream.reconfigure(errors="replace")
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except CliError as error:
        output.remark(str(error))
        return error.code
    except RecursionError:
        output.remark("The server's answer is nested too deeply. Check that the address is an Airfreight server.")
        return ExitCode.REFUSED
    except typer.TyperException as error:
        # Without arguments the help is the message, and it is out already.
        if error.format_message():
            output.remark(f"{sentence(error.format_message())} {_see_help(error)}")
        return ExitCode.USAGE
    except typer.Abort:
        output.remark("Canceled.")
        return ExitCode.INTERRUPTED
    return code if isinstance(code, int) else ExitCode.OK


def _see_help(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or PROGRAM
    return f"See `{command} --help`."


if __name__ == "__main__":
    main()
