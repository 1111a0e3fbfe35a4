"""What a person at a terminal gets besides: questions, and bars that move."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import ME, Answer, Stub, serve_tokens

from airfreight.cli import config

PATIENCE_SECONDS = 120
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

# Ctrl-C and hidden questions need a terminal that the process owns, and a shell may have taught it to ignore Ctrl-C.
IN_ITS_OWN_TERMINAL = """
import fcntl, os, signal, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from airfreight.cli.main import main
main()
"""


class Terminal:
    """A command in a pseudo-terminal; what is typed waits until `prompt` has been seen."""

    def __init__(self, *arguments: str, piped_output: bool = False) -> None:
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 100))
        self._process = subprocess.Popen(
            [sys.executable, "-c", IN_ITS_OWN_TERMINAL, *arguments],
            stdin=slave,
            stdout=subprocess.PIPE if piped_output else slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        )
        os.close(slave)
        self._raw, self._out = bytearray(), bytearray()
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    @property
    def seen(self) -> str:
        """All that was shown. A read can end in the middle of a character or of what steers the terminal."""
        return STEERING.sub("", self._raw.decode(errors="ignore"))

    def type(self, prompt: str, answer: str, *, is_shown: bool = True) -> None:
        self._read_until(lambda: prompt in self.seen.rpartition("\n")[2])
        assert bool(termios.tcgetattr(self._master)[3] & termios.ECHO) == is_shown, "before the prompt, not after it"
        os.write(self._master, f"{answer}\n".encode())
        self._read_until(lambda: prompt not in self.seen.rpartition("\n")[2])

    def finish(self) -> tuple[int, str]:
        """Return the exit code and, if it was piped, stdout."""
        self._read_until(lambda: False)
        os.close(self._master)
        self._reader.join(PATIENCE_SECONDS)
        assert not self._reader.is_alive()
        return self._process.wait(timeout=PATIENCE_SECONDS), self._out.decode()

    def _read_output(self) -> None:
        """Beside the terminal: whoever fills the one does not wait for the other."""
        if self._process.stdout:
            with self._process.stdout as output:
                self._out += output.read()

    def _read_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, self.seen
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                # Linux answers so when the last program has left the terminal.
                return
            self._raw += chunk


def test_login_asks_for_what_is_missing_and_shows_no_secret(home: Path, stub: Stub) -> None:
    serve_tokens(stub)
    terminal = Terminal("login", "--server", stub.url, "--email", "ada@example.com", "--json", piped_output=True)
    terminal.type("Client id: ", "client-7")
    terminal.type("Client secret: ", "s3cr3t-7", is_shown=False)
    terminal.type("Password: ", "pa55word", is_shown=False)
    code, out = terminal.finish()
    assert code == 0, terminal.seen
    assert json.loads(out) == {"server": stub.url, **ME}
    assert out.startswith("{")
    assert "client-7" in terminal.seen
    assert "s3cr3t-7" not in terminal.seen
    assert "pa55word" not in terminal.seen
    login = config.load()
    assert login is not None
    assert (login.client_id, login.client_secret) == ("client-7", "s3cr3t-7")


def test_the_known_client_is_offered_again(logged_in: Stub) -> None:
    serve_tokens(logged_in)
    terminal = Terminal("login", "--client-secret", "s")
    terminal.type("Client id [client-1]: ", "")
    code, _ = terminal.finish()
    assert code == 0
    assert "as client 'build' of Acme" in terminal.seen


def test_ctrl_c_at_a_question_ends_with_130(stub: Stub, home: Path) -> None:
    terminal = Terminal("login", "--server", stub.url)
    terminal.type("Client id: ", "\x03")
    code, _ = terminal.finish()
    assert code == 130
    assert "Traceback" not in terminal.seen


def test_the_end_of_the_input_at_a_question_ends_quietly(stub: Stub, home: Path) -> None:
    terminal = Terminal("login", "--server", stub.url)
    terminal.type("Client id: ", "\x04")
    code, _ = terminal.finish()
    assert code == 130
    assert terminal.seen.endswith("Canceled.\n")


def test_a_password_that_is_typed_differently_is_not_taken(logged_in: Stub) -> None:
    terminal = Terminal("user", "create", "ada@example.com")
    terminal.type("Password: ", "one", is_shown=False)
    terminal.type("Password again: ", "two", is_shown=False)
    code, _ = terminal.finish()
    assert code == 2
    assert terminal.seen.endswith("The two answers differ. Try again.\n")
    assert logged_in.seen == []


def test_an_upload_shows_rate_and_size_on_stderr_only(logged_in: Stub, tmp_path: Path) -> None:
    file = tmp_path / "lamp.bin"
    file.write_bytes(b"x" * 3_000_000)
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, {"id": 5}))
    terminal = Terminal("artifact", "upload", str(file), piped_output=True)
    code, out = terminal.finish()
    assert code == 0
    assert "3.0/3.0 MB" in terminal.seen
    assert "B/s" in terminal.seen
    assert "lamp.bin" not in out


def test_json_draws_no_bar_even_at_a_terminal(logged_in: Stub, tmp_path: Path) -> None:
    file = tmp_path / "lamp.bin"
    file.write_bytes(b"x" * 3_000_000)
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, {"id": 5}))
    terminal = Terminal("artifact", "upload", str(file), "--json", piped_output=True)
    assert terminal.finish() == (0, '{\n  "id": 5\n}\n')
    assert terminal.seen == ""


def test_watch_draws_a_bar_for_each_state(logged_in: Stub) -> None:
    def rollout(state: str, **counts: int) -> Answer:
        return Answer(body={"id": 31, "title": "[bold]v2", "state": state, "counts": counts})

    answers = [rollout("running", queued=1, installing=2), rollout("finished", succeeded=2, failed=1)]
    logged_in.on("GET", "/api/v1/rollouts/31", *answers)
    terminal = Terminal("shipment", "watch", "31", "--interval", "0.2")
    code, _ = terminal.finish()
    assert code == 1
    assert "[bold]v2 - running: 0 of 3 ended (queued 1, installing 2)" in terminal.seen
    assert "[bold]v2 - finished: 3 of 3 ended (succeeded 2, failed 1)" in terminal.seen
    assert re.search(r"succeeded +━+.* 2\s*\n", terminal.seen)
