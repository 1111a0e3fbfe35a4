"""How many wrong passwords are borne, and how many are computed at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airfreight.domain.errors import Refusal
from airfreight.domain.ids import Millis
from airfreight.services import access, credentials, passwords
from airfreight.services.access import Candidate, GrantError
from airfreight.services.passwords import Guard

START = Millis(1_800_000_000_000)


def at(seconds: float) -> Millis:
    return Millis(START + int(seconds * 1000))


def test_ten_at_once_then_one_every_six_seconds() -> None:
    guard = Guard()
    assert [guard.enter("a@b.c", "1", at(0)) for _ in range(12)] == [0] * 10 + [6, 6]
    assert guard.enter("a@b.c", "1", at(5.9)) == 1
    assert guard.enter("a@b.c", "1", at(6)) == 0
    assert guard.enter("a@b.c", "1", at(6)) == 6
    assert [guard.enter("a@b.c", "1", at(600)) for _ in range(11)] == [0] * 10 + [6]


def test_each_email_and_each_address_counts_for_itself() -> None:
    guard = Guard()
    for _ in range(10):
        guard.enter("a@b.c", "1", at(0))
    assert guard.enter("A@B.C", "1", at(0)) == 6
    assert guard.enter("a@b.c", "2", at(0)) == 0
    assert guard.enter("x@b.c", "1", at(0)) == 0


def test_what_turned_out_right_is_not_counted() -> None:
    guard = Guard()
    for _ in range(9):
        guard.enter("a@b.c", "1", at(0))
    for _ in range(50):
        assert guard.enter("a@b.c", "1", at(0)) == 0
        guard.forgive("a@b.c", "1")
    assert [guard.enter("a@b.c", "1", at(0)) for _ in range(2)] == [0, 6]
    guard.forgive("unknown", "1")


def test_a_flood_of_emails_does_not_grow_the_memory_for_ever() -> None:
    guard = Guard()
    for number in range(25_000):
        guard.enter(f"{number}", "1", at(0))
    assert len(guard._full_until) == 10_000


def test_a_refused_try_computes_nothing() -> None:
    guard = Guard()
    who = Candidate("a@b.c", 1, passwords.hashed("the right password"))
    for _ in range(10):
        guard.enter(who.email, "1", START)
    started = time.process_time()
    for _ in range(1000):
        with pytest.raises(GrantError) as caught:
            access.check_password(guard, who, "the right password", "1", START)
        assert caught.value.retry_seconds == 6
    assert time.process_time() - started < 2, "a thousand computations take twenty"


def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    stored = passwords.hashed("the right password")

    def fastest(hashed: str | None) -> float:
        times = []
        for _ in range(7):
            started = time.thread_time()
            assert not passwords.matches(hashed, "wrong wrong wrong")
            times.append(time.thread_time() - started)
        return min(times)

    known, unknown = fastest(stored), fastest(None)
    assert 0.5 < known / unknown < 2


def test_no_more_than_two_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    slow = credentials.hash_password

    def counted(password: str) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        result = slow(password)
        with lock:
            running -= 1
        return result

    monkeypatch.setattr(credentials, "hash_password", counted)
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(passwords.hashed, ["the same password"] * 6))) == 6
    assert most == 2


@pytest.mark.parametrize("password", ["", "x" * 11, "x" * 201])
def test_a_password_of_a_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(Refusal) as caught:
        passwords.check_length(password)
    assert caught.value.code == "bad_password"
