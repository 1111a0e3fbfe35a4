"""How many wrong passwords are borne, and how many are computed at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters

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


class Computed:
    """What the hasher is asked to compute, as it computes it: the parameters, which make the price, and the password."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prices: list[tuple[Parameters, str]] = []
        monkeypatch.setattr(credentials, "_hasher", self)

    def verify(self, hashed: str, password: str) -> bool:
        self.prices.append((extract_parameters(hashed), password))
        return PasswordHasher().verify(hashed, password)


def test_a_refused_try_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard()
    who = Candidate("a@b.c", 1, passwords.hashed("the right password"))
    computed = Computed(monkeypatch)
    access.check_password(guard, who, "the right password", "1", START)
    assert len(computed.prices) == 1
    for _ in range(10):
        guard.enter(who.email, "1", START)
    for _ in range(1000):
        with pytest.raises(GrantError) as caught:
            access.check_password(guard, who, "the right password", "1", START)
        assert caught.value.retry_seconds == 6
    assert len(computed.prices) == 1


def test_an_unknown_user_takes_as_long_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = passwords.hashed("the right password")
    computed = Computed(monkeypatch)
    assert not passwords.matches(stored, "wrong wrong wrong")
    assert not passwords.matches(None, "wrong wrong wrong")
    known, unknown = computed.prices
    assert known == unknown == (Parameters(Type.ID, 19, 16, 32, 2, 19_456, 1), "wrong wrong wrong")


def test_no_more_than_two_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock, two = 0, 0, threading.Lock(), threading.Barrier(2)
    slow = credentials.hash_password

    def counted(password: str) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        two.wait(60)
        time.sleep(0.02)  # for a third one to come
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
