"""URLs with a token in them: what they look like, whom they let in, and how long."""

import base64
import random
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import update
from tests.make import Bench, Stored

from airfreight.apis.shipments import translate
from airfreight.domain.delivery import State
from airfreight.domain.ids import Millis
from airfreight.services import artifacts, deliveries, file_urls
from airfreight.services.credentials import Keyring
from airfreight.settings import SettingError, load
from airfreight.store import artifacts as rows
from airfreight.store import tables
from airfreight.store.database import Database

ALPHABET = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="http://ota.example.com:8080/")


class Given:
    """A device with an offer of a file, and what its URL is made of."""

    def __init__(self, bench: Bench, **policy: object) -> None:
        self.bench = bench
        product = bench.product()
        self.board, self.other = bench.devices(product, 2)
        self.artifact: Stored = bench.artifact()
        self.rollout = bench.ship(self.artifact, product, [self.board, self.other], **policy)
        self.attempt = bench.poll(self.board).attempt_id or 0

    def file(self, attempt: int | None = None) -> Any:
        with self.bench.database.read() as connection:
            return rows.carried_under(connection, attempt or self.attempt)

    def url(self, attempt: int | None = None, **settings: Any) -> str:
        changed = replace(self.bench.settings, **settings)
        return file_urls.for_device(self.file(attempt), changed, self.bench.keyring, self.bench.now)

    def token(self, attempt: int | None = None) -> str:
        return dict(parse_qsl(urlsplit(self.url(attempt)).query))["token"]

    def found(self, token: str, path: str = "", keyring: Keyring | None = None) -> Any:
        with self.bench.database.read() as connection:
            return file_urls.find(
                connection, keyring or self.bench.keyring, path or self.artifact.path, token, self.bench.now
            )


def test_the_token_is_32_plain_characters_and_s_comes_last(bench: Bench) -> None:
    given = Given(bench)
    for _ in range(200):
        bench.later(seconds=977)
        url = urlsplit(given.url())
        assert re.fullmatch(r"token=[A-Za-z0-9_-]{32}&s=0", url.query)
        assert url.path == given.artifact.path
        assert given.found(given.token()).attempt_id == given.attempt


@pytest.mark.parametrize(
    ("public_url", "policy", "start", "s"),
    [
        ("http://ota.example.com", {}, "http://ota.example.com/static/fw_", "0"),
        ("http://ota.example.com", {"secure": True}, "https://ota.example.com/static/fw_", "1"),
        ("https://ota.example.com", {}, "https://ota.example.com/static/fw_", "1"),
        ("https://ota.example.com/", {"secure": True}, "https://ota.example.com/static/fw_", "1"),
        ("https://ota.example.com:8443", {}, "https://ota.example.com:8443/static/fw_", "1"),
        ("http://127.0.0.1:8080", {"host": "files.example"}, "http://files.example/static/fw_", "0"),
        ("http://127.0.0.1:8080", {"host": "files.example:81", "secure": True}, "https://files.example:81/static/", "1"),
        ("https://ota.example.com/base", {}, "https://ota.example.com/base/static/fw_", "1"),
    ],
)  # fmt: skip
def test_scheme_and_host(bench: Bench, public_url: str, policy: dict[str, object], start: str, s: str) -> None:
    url = Given(bench, **policy).url(public_url=public_url)
    assert url.startswith(start)
    assert url.endswith(f"&s={s}")
    assert (urlsplit(url).scheme == "https") is (s == "1")


LONGEST_HOST = ".".join(["h" * 61, "o" * 60]) + ":65535"


def test_the_longest_url_fits_into_a_small_device(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(LONGEST_HOST) == 128
    assert translate.host(LONGEST_HOST) == LONGEST_HOST
    monkeypatch.setattr("airfreight.services.artifacts.secrets.randbits", lambda bits: 2**bits - 1)
    writer = bench.blobs.receive()
    writer.write(b"anything")
    with bench.call() as call:
        made = artifacts.register(call, writer.commit(), "x." + "e" * 8)
    stored = Stored(made.id, made.path, b"anything", bench.artifact().confirmed)
    product = bench.product()
    for host, public_url in ((LONGEST_HOST, "https://x"), ("", "http://" + LONGEST_HOST[7:])):
        [board] = bench.devices(product)
        bench.ship(stored, product, [board], host=host, secure=True)
        attempt = bench.poll(board).attempt_id or 0
        with bench.database.read() as connection:
            file = rows.carried_under(connection, attempt)
        changed = replace(bench.settings, public_url=public_url)
        url = file_urls.for_device(file, changed, bench.keyring, bench.now)
        assert len(url) <= file_urls.LONGEST
        assert len(url) > 200, "the longest of its kind"


def test_a_longer_host_or_public_url_is_refused() -> None:
    with pytest.raises(Exception, match="128"):
        translate.host("x" + LONGEST_HOST)
    with pytest.raises(SettingError, match="128"):
        load({}, public_url="https://" + "x" * 121)


def test_it_is_good_until_its_second_and_not_later(bench: Bench) -> None:
    given = Given(bench)
    token = given.token()
    bench.now = Millis(bench.now // 1000 * 1000 + bench.settings.download_seconds * 1000 - 1)
    assert given.found(token) is not None
    bench.now = Millis(bench.now + 1)
    assert given.found(token) is None


def test_a_time_that_no_token_can_hold_is_refused_at_the_start() -> None:
    with pytest.raises(SettingError, match="DOWNLOAD_SECONDS"):
        load({}, download_seconds=2**32)


def test_it_is_for_one_file(bench: Bench) -> None:
    given, other = Given(bench), Given(bench)
    assert given.found(given.token(), other.artifact.path) is None
    assert given.found(given.token(), given.artifact.path + "x") is None
    assert given.found(given.token(), given.artifact.path.upper()) is None


def test_it_is_for_one_attempt_and_each_device_has_its_own(bench: Bench) -> None:
    given = Given(bench)
    second = bench.poll(given.other).attempt_id or 0
    assert given.token() != given.token(second)
    assert given.found(given.token()).device_id == given.board.id
    assert given.found(given.token(second)).device_id == given.other.id


def test_under_another_key_it_is_nothing(bench: Bench) -> None:
    given = Given(bench)
    assert given.found(given.token(), keyring=Keyring(b"another key, of 32 bytes or more")) is None


@pytest.mark.parametrize("state", [State.OFFERED, State.DOWNLOADING, State.DOWNLOADED])
def test_it_can_be_used_again_and_again_while_the_attempt_is_under_way(bench: Bench, state: State) -> None:
    given = Given(bench)
    token = given.token()
    if state is not State.OFFERED:
        bench.served(given.board, given.attempt, state)
    for _ in range(3):
        assert given.found(token).delivery_state == state


@pytest.mark.parametrize("end", ["succeeded", "failed", "failed once", "expired", "removed", "deleted"])
def test_it_dies_with_the_attempt(bench: Bench, end: str) -> None:
    given = Given(bench, attempts_limit=1 if end == "failed" else 3)
    token = given.token()
    assert given.found(token) is not None
    if end == "succeeded":
        bench.tell(given.board, version="2.0.0")
    elif end in {"failed", "failed once"}:
        bench.report(given.board, given.attempt, 1, "failed", "download_failed")
    elif end == "expired":
        bench.later(seconds=bench.settings.deadline_seconds + 1)
        bench.worker().expire()
    elif end == "removed":
        bench.remove_device(given.board)
    else:
        bench.stop(given.rollout)
        bench.delete(given.rollout)
    bench.now = Millis(bench.now)
    assert given.found(token) is None


def test_the_next_attempt_has_another_and_the_old_one_stays_dead(bench: Bench) -> None:
    given = Given(bench)
    token = given.token()
    bench.report(given.board, given.attempt, 1, "failed", "download_failed")
    bench.later(seconds=61)
    second = bench.poll(given.board).attempt_id or 0
    assert given.found(token) is None
    assert given.found(given.token(second)).attempt_id == second


def test_after_a_stop_nobody_begins_but_who_has_begun_goes_on(bench: Bench) -> None:
    given = Given(bench)
    second = bench.poll(given.other).attempt_id or 0
    tokens = given.token(), given.token(second)
    bench.served(given.other, second, State.DOWNLOADING)
    bench.stop(given.rollout)
    assert not begins(bench, given.found(tokens[0]))
    assert given.found(tokens[1]).attempt_id == second
    assert begins(bench, given.found(tokens[1]))


def begins(bench: Bench, file: Any) -> bool:
    with bench.database.read() as connection:
        return file_urls.may_begin(connection, file, bench.now)


def test_a_pause_lets_a_download_go_on_and_none_begin(bench: Bench) -> None:
    given = Given(bench)
    assert begins(bench, given.found(given.token()))
    bench.pause(given.rollout)
    assert not begins(bench, given.found(given.token()))
    bench.resume(given.rollout)
    bench.served(given.board, given.attempt, State.DOWNLOADING)
    bench.pause(given.rollout)
    assert begins(bench, given.found(given.token()))


def test_nobody_begins_after_the_window_has_closed(bench: Bench) -> None:
    given = Given(bench)
    with bench.database.write() as connection:
        connection.execute(update(tables.rollouts).values(day_part="night"))
    assert not begins(bench, given.found(given.token()))


def mutations(token: str) -> list[str]:
    """Everything near a good token."""
    near = [token[:n] + (ALPHABET[(ALPHABET.index(token[n]) + 1) % 64]) + token[n + 1 :] for n in range(len(token))]
    raw = base64.urlsafe_b64decode(token)
    flipped = [
        base64.urlsafe_b64encode(raw[:n] + bytes([raw[n] ^ 1 << bit]) + raw[n + 1 :]).decode()
        for n in range(len(raw))
        for bit in range(8)
    ]
    odd = [
        "", token[:-1], token[1:], token + "A", token + "=", token + "====", token * 2, token.lower(), token.upper(), token.swapcase(),
        token[::-1], " " + token, token + " ", token + "\n", token + "\x00", "\x00" * 32, "é" * 32, "\ud800" * 32, "A" * 32, "=" * 32,
        "_" * 32, "-" * 32, "A" * 10_000, token[:8], token[:11], token[:12], token.replace("-", "+").replace("_", "/") + "!",
        base64.urlsafe_b64encode(raw + b"x").decode(), base64.urlsafe_b64encode(raw[:-1]).decode(), raw.hex(),
    ]  # fmt: skip
    return near + flipped + odd


def test_2000_wrong_tokens_find_nothing_and_raise_nothing(bench: Bench) -> None:
    given = Given(bench)
    token = given.token()
    chance = random.Random(3)
    wrong = [one for one in mutations(token) if one != token]
    while len(wrong) < 2000:
        kind = chance.random()
        if kind < 0.5:
            wrong.append("".join(chance.choices(ALPHABET, k=32)))
        elif kind < 0.8:
            wrong.append(token[:16] + "".join(chance.choices(ALPHABET, k=16)))
        else:
            wrong.append("".join(chr(chance.randrange(0x300)) for _ in range(chance.randrange(60))))
    with bench.database.read() as connection:
        for one in wrong:
            assert file_urls.find(connection, bench.keyring, given.artifact.path, one, bench.now) is None, one
        assert file_urls.find(connection, bench.keyring, given.artifact.path, token, bench.now) is not None


@pytest.mark.parametrize("path", ["", "/", "/static/", "/static/../etc/passwd", "x" * 10_000, "\x00", "/static/\ud800"])
def test_no_path_raises(bench: Bench, path: str) -> None:
    given = Given(bench)
    with bench.database.read() as connection:
        assert file_urls.find(connection, bench.keyring, path, given.token(), bench.now) is None


def test_the_token_says_nothing_that_works_at_another_door(bench: Bench) -> None:
    given = Given(bench)
    assert given.board.token not in given.url()
    with bench.database.read() as connection:
        assert deliveries.poll(connection, [bench.keyring.digest(given.token())], bench.now) == [None]
