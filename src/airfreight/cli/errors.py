"""The one exception of the operator commands: what happened, what to do next, and the exit code.

Everything a person can run into is raised as a CliError; any other exception that reaches the top is a bug.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the commands answer to the shell."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMED_OUT = 124
    INTERRUPTED = 130


class CliError(Exception):
    """An expected failure. `what` and `todo` are sentences; `code` is the exit code."""

    def __init__(self, what: str, todo: str, code: ExitCode = ExitCode.REFUSED) -> None:
        super().__init__(f"{sentence(what)} {todo}".strip())
        self.code = code


def usage(what: str, todo: str) -> CliError:
    """Build the error for something that is wrong on this side, before any request."""
    return CliError(what, todo, ExitCode.USAGE)


def sentence(text: str) -> str:
    """Return `text` ended like a sentence."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
