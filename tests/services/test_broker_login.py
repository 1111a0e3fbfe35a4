"""mosquitto's password file: who is in it, and that nobody ever sees half of it."""

import base64
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.broker.broker import find_program
from tests.make import Bench, Board
from tests.own_logs import capture_own_logs

from airfreight.services import broker_login, devices, enrollment, products
from airfreight.services.broker_login import Keeper
from airfreight.services.devices import Wanted
from airfreight.store import tables
from airfreight.store.database import Database

SERVER = "mqtt://airfreight:the-servers-own-password@127.0.0.1:1883"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


@pytest.fixture
def bench(database: Database, data_dir: Path, file: Path) -> Bench:
    return Bench(
        database, data_dir, public_url="http://x", mqtt_url=SERVER, mqtt_password_file=str(file), mqtt_pid_file=""
    )


def write(bench: Bench, file: Path) -> int:
    with bench.database.read() as connection:
        return broker_login.write(connection, bench.settings, file)


def logins(file: Path) -> dict[str, str]:
    """User -> what its password is checked by."""
    return dict(line.split(":", 1) for line in file.read_text().splitlines())


def lets_in(stored: str, password: str) -> bool:
    """As mosquitto checks it: $7$ROUNDS$SALT$HASH, PBKDF2 with SHA-512."""
    empty, kind, rounds, salt, digest = stored.split("$")
    assert (empty, kind) == ("", "7")
    got = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt, validate=True), int(rounds))
    return got == base64.b64decode(digest, validate=True)


def test_every_device_and_the_server_itself_and_nobody_else(bench: Bench, file: Path) -> None:
    boards = bench.devices(bench.product(), 3)
    below = bench.organization()
    with bench.call(below) as call:
        product = products.create(call, name="elsewhere").id
        [other] = devices.create_many(call, product_id=product, wanted=[Wanted()])
    assert write(bench, file) == 4
    found = logins(file)
    assert found.keys() == {str(board.id) for board in boards} | {str(other.id), "airfreight"}
    for board in boards:
        assert lets_in(found[str(board.id)], board.token)
        assert not lets_in(found[str(board.id)], other.token)
    assert lets_in(found["airfreight"], "the-servers-own-password")
    assert file.read_text().endswith("\n")
    assert not any(board.token in file.read_text() for board in boards)


def test_mosquitto_itself_reads_it(bench: Bench, file: Path) -> None:
    """mosquitto_passwd only touches what it can read."""
    program = find_program("mosquitto_passwd")
    [board] = bench.devices(bench.product())
    write(bench, file)
    before = logins(file)
    subprocess.run([program, "-b", str(file), "another", "secret"], check=True, capture_output=True)
    after = logins(file)
    assert after.keys() == before.keys() | {"another"}
    assert after[str(board.id)] == before[str(board.id)]


def test_salts_differ(bench: Bench, file: Path) -> None:
    bench.devices(bench.product(), 5)
    write(bench, file)
    assert len({stored.split("$")[3] for stored in logins(file).values()}) == 6


def test_who_is_disabled_removed_or_without_a_password_is_not_in_it(bench: Bench, file: Path) -> None:
    kept, disabled, removed, older = bench.devices(bench.product(), 4)
    bench.remove_device(removed)
    with bench.database.write() as connection:
        connection.execute(update(tables.devices).where(tables.devices.c.id == disabled.id).values(enabled=False))
        connection.execute(update(tables.devices).where(tables.devices.c.id == older.id).values(broker_hash=""))
    assert write(bench, file) == 1
    assert logins(file).keys() == {str(kept.id), "airfreight"}


def rotate(bench: Bench, board: Board) -> str:
    with bench.call() as call:
        return devices.rotate_token(call, board.id).token


def test_a_new_token_is_another_line(bench: Bench, file: Path) -> None:
    one, other = bench.devices(bench.product(), 2)
    write(bench, file)
    before = logins(file)
    token = rotate(bench, one)
    write(bench, file)
    after = logins(file)
    assert lets_in(after[str(one.id)], token)
    assert not lets_in(after[str(one.id)], one.token)
    assert after[str(other.id)] == before[str(other.id)]


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("mqtt://h", None, ""),
        ("mqtt://only-a-name@h", None, ""),
        ("mqtts://a%40b:p%40ss%3Aw%2Fd%25@h:8883", "a@b", "p@ss:w/d%"),
    ],
)
def test_the_servers_own_login_is_what_its_url_says(
    database: Database, data_dir: Path, file: Path, url: str, user: str | None, password: str
) -> None:
    bench = Bench(database, data_dir, public_url="http://x", mqtt_url=url)
    assert write(bench, file) == 0
    found = logins(file)
    assert list(found) == ([user] if user else [])
    if user:
        assert lets_in(found[user], password)


def test_a_new_file_is_for_its_owner_only(bench: Bench, file: Path) -> None:
    write(bench, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_an_existing_file_keeps_its_mode(bench: Bench, file: Path, mode: int) -> None:
    file.write_text("old:line\n")
    file.chmod(mode)
    write(bench, file)
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert list(logins(file)) == ["airfreight"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_an_existing_file_keeps_its_owner(bench: Bench, file: Path) -> None:
    file.write_text("")
    os.chown(file, 1234, 2345)
    write(bench, file)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)


def test_a_reader_never_sees_half_of_it(bench: Bench, file: Path) -> None:
    bench.devices(bench.product(), 300)
    write(bench, file)
    whole = file.read_text()
    assert len(whole.splitlines()) == 301
    over = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        is_last = False
        while not is_last:  # once at least, and once behind the last write
            is_last = over.is_set()
            seen.add(len(file.read_text().splitlines()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        write(bench, file)
    over.set()
    reader.join(60)
    assert seen == {301}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("the old one\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(bench, file)
    assert file.read_text() == "the old one\n"
    assert [one.name for one in file.parent.iterdir() if "passwords" in one.name] == ["passwords"]


def test_a_folder_that_is_not_there_is_an_os_error(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write(bench, tmp_path / "missing" / "passwords")


# telling the broker


def listener(tmp_path: Path, name: str = "mosquitto") -> "subprocess.Popen[str]":
    """A process that says when it gets SIGHUP."""
    script = (
        "import os, signal\n"
        f"if os.path.exists('/proc/self/comm'): open('/proc/self/comm', 'w').write({name!r})\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})\n"  # one that comes before the wait is waited for
        "print('ready', flush=True)\nsignal.sigwait({signal.SIGHUP})\nprint('told', flush=True)\n"
    )
    made = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def test_the_broker_is_told_by_its_pid_file(tmp_path: Path) -> None:
    broker = listener(tmp_path)
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{broker.pid}\n")
    assert broker_login.tell_broker(pid_file)
    assert broker.communicate(timeout=60)[0] == "told\n"
    assert not broker_login.tell_broker(pid_file), "it has gone"


def test_whoever_has_the_number_of_a_broker_that_has_gone_is_left_alone(tmp_path: Path) -> None:
    """SIGHUP ends most programs."""
    other = listener(tmp_path, "a-worker")
    (tmp_path / "pid").write_text(str(other.pid))
    assert not broker_login.tell_broker(tmp_path / "pid")
    other.terminate()
    assert other.communicate(timeout=60)[0] == ""


@pytest.mark.parametrize("text", [None, "", "\n", "x", "12x", "\x00", "1.5", "\xff" * 3])
def test_a_pid_file_that_is_none_tells_nobody(tmp_path: Path, text: str | None) -> None:
    pid_file = tmp_path / "pid"
    if text is not None:
        pid_file.write_bytes(text.encode("latin-1"))
    assert not broker_login.tell_broker(pid_file)


def test_a_number_that_is_no_process_tells_nobody(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("9" * 30)
    assert not broker_login.tell_broker(tmp_path / "pid")


def test_a_pid_file_that_says_0_does_not_hit_the_server_itself(tmp_path: Path) -> None:
    """In a session of its own, so that a failure ends that one only."""
    (tmp_path / "pid").write_text("0\n")
    script = (
        "import sys, pathlib; from airfreight.services.broker_login import tell_broker\n"
        "print(tell_broker(pathlib.Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "pid")],
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode != -signal.SIGHUP
    assert done.stdout == "False\n"


# kept in step


def lines(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_the_file_follows_what_happens_to_devices(bench: Bench, file: Path) -> None:
    keeper = Keeper(bench.database, bench.settings)
    product = bench.product()
    assert keeper.keep()
    assert lines(file) == 1
    boards = bench.devices(product, 3)
    assert keeper.keep()
    assert lines(file) == 4
    bench.remove_device(boards[0])
    assert keeper.keep()
    assert lines(file) == 3
    token = rotate(bench, boards[1])
    assert keeper.keep()
    assert lets_in(logins(file)[str(boards[1].id)], token)


def test_without_a_change_it_is_left_alone(bench: Bench, file: Path) -> None:
    keeper = Keeper(bench.database, bench.settings)
    [board] = bench.devices(bench.product())
    keeper.keep()
    written = file.stat().st_ino, file.stat().st_mtime_ns
    bench.tell(board, version="1.0.0")
    bench.back(board, version="1.0.0")
    bench.ship(bench.artifact(), bench.product())
    for _ in range(3):
        assert keeper.keep()
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == written


def test_the_broker_is_told_once_for_each_change(bench: Bench, tmp_path: Path) -> None:
    broker = listener(tmp_path)
    (tmp_path / "pid").write_text(str(broker.pid))
    object.__setattr__(bench.settings, "mqtt_pid_file", str(tmp_path / "pid"))
    try:
        with capture_own_logs() as logs:
            Keeper(bench.database, bench.settings).keep()
        assert broker.communicate(timeout=60)[0] == "told\n"
        assert [(log["devices"], log["broker_told"]) for log in logs] == [(0, True)]
    finally:
        with suppress(ProcessLookupError):
            broker.kill()


def test_a_file_that_cannot_be_written_is_said_and_tried_again(bench: Bench, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    object.__setattr__(bench.settings, "mqtt_password_file", str(folder / "passwords"))
    bench.devices(bench.product(), 2)
    keeper = Keeper(bench.database, bench.settings)
    with capture_own_logs() as logs:
        assert not keeper.keep()
        assert not keeper.keep()
    assert {log["log_level"] for log in logs} == {"error"}
    assert "exc_info" not in logs[0]
    folder.mkdir()
    assert keeper.keep()
    assert lines(folder / "passwords") == 3
    assert not file.exists()


def test_without_the_setting_nothing_is_written(database: Database, data_dir: Path) -> None:
    bench = Bench(database, data_dir)
    before = sorted(data_dir.iterdir())
    assert Keeper(bench.database, bench.settings).keep()
    assert sorted(data_dir.iterdir()) == before


def test_a_device_that_enrols_by_itself_gets_in(bench: Bench, file: Path) -> None:
    keeper = Keeper(bench.database, bench.settings)
    keeper.keep()
    product = bench.product()
    with bench.call() as call:
        _, key = enrollment.create(call, name="line 1")
    with bench.database.write() as connection:
        made = enrollment.enroll(
            connection,
            bench.keyring,
            bench.settings,
            bench.blobs,
            key=key,
            uid="by-itself",
            product=product,
            given={},
            now=bench.now,
        )
    keeper.keep()
    assert lets_in(logins(file)[str(made.id)], made.token)
