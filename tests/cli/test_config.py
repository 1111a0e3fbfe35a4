import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run, Stub, a_login, serve_tokens

from airfreight.cli import config
from airfreight.cli.errors import CliError

SERVER = "http://127.0.0.1:1"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_saved_login_is_read_back(home: Path) -> None:
    login = a_login(SERVER, email="ada@example.com", refresh_token=None)
    config.save(login)
    assert config.load() == login


def test_only_the_owner_can_read_the_login_even_with_an_open_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        config.save(a_login(SERVER))
        with config.locked():
            pass
    finally:
        os.umask(before)
    assert mode(config.file_path()) == 0o600
    assert mode(config.file_path().parent) == 0o700
    assert mode(config.file_path().with_suffix(".lock")) == 0o600


def test_saving_over_a_file_that_others_could_read_closes_it(home: Path) -> None:
    config.save(a_login(SERVER))
    config.file_path().chmod(0o644)
    config.save(a_login(SERVER))
    assert mode(config.file_path()) == 0o600


def test_a_write_that_fails_half_way_leaves_the_old_login_and_no_litter(home: Path) -> None:
    old = a_login(SERVER)
    config.save(old)
    # json.dump has written the first fields when it meets the one it cannot write.
    with pytest.raises(TypeError):
        config.save(a_login(SERVER, expires_at=object()))
    assert config.load() == old
    assert [path.name for path in config.file_path().parent.iterdir()] == ["cli.json"]


def test_a_reader_never_sees_half_a_login(home: Path) -> None:
    logins = [a_login(SERVER, access_token=letter * 200_000) for letter in "ab"]
    config.save(logins[0])
    done = threading.Event()

    def keep_saving() -> None:
        while not done.is_set():
            for login in logins:
                config.save(login)

    writer = threading.Thread(target=keep_saving)
    writer.start()
    seen: set[str] = set()
    deadline = time.monotonic() + 120
    try:
        # load() raises for half a file; a hundred reads once both logins were met is enough.
        reads_left = 100
        while reads_left and time.monotonic() < deadline:
            login = config.load()
            assert login in logins
            seen |= {login.access_token[:1]} if login else set()
            reads_left -= len(seen) - 1
    finally:
        done.set()
        writer.join()
    assert seen == {"a", "b"}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"server": "x"}', "\xff", json.dumps({"server": 1}), "[" * 100_000],
    ids=["empty", "array", "cut", "fields missing", "not utf-8", "wrong type", "deep"],
)
def test_a_damaged_file_is_named_and_says_how_to_replace_it(home: Path, run: Run, content: str) -> None:
    config.file_path().parent.mkdir(parents=True)
    config.file_path().write_bytes(content.encode("latin-1"))
    result = run("whoami")
    assert result.code == 2
    assert result.err == (
        f"The credentials file {config.file_path()} is damaged. Run `airfreight login` to write a new one.\n"
    )


def test_a_field_of_the_wrong_type_is_damage_too(home: Path) -> None:
    config.save(a_login(SERVER))
    document = json.loads(config.file_path().read_text())
    for key in document:
        config.file_path().write_text(json.dumps({**document, key: [1]}))
        with pytest.raises(CliError, match="is damaged"):
            config.load()


def test_login_replaces_a_damaged_file(home: Path, run: Run, stub: Stub) -> None:
    config.file_path().parent.mkdir(parents=True)
    config.file_path().write_text("{")
    serve_tokens(stub)
    assert run("login", "--server", stub.url, "--client-id", "c", "--client-secret", "s").code == 0
    assert config.load() is not None


def test_a_folder_that_cannot_be_made_is_an_error_in_words(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(blocked))
    with pytest.raises(CliError, match=r"cli\.json cannot be written: .+\. Correct the permissions"):
        config.save(a_login(SERVER))
    with pytest.raises(CliError, match="cannot be written"), config.locked():
        pass
    assert "cannot be read" in run("whoami").err


def test_a_relative_configuration_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert config.file_path() == Path("/nonexistent/.config/airfreight/cli.json")
