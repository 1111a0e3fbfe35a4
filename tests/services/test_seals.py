"""Secrets that the server has to use again are sealed under its key, each for its own place."""

import pytest

from airfreight.services.credentials import Keyring, SealError

KEY = b"a key for tests, 32 bytes or more"


def test_what_was_sealed_can_be_opened_and_nothing_of_it_shows() -> None:
    keyring = Keyring(KEY)
    sealed = keyring.seal("pässword", "here")
    assert Keyring(KEY).unseal(sealed, "here") == "pässword"
    assert b"ssword" not in sealed
    assert keyring.seal("pässword", "here") != sealed, "two seals do not tell that they hold the same"


def test_a_seal_opens_with_its_key_at_its_place_only() -> None:
    sealed = Keyring(KEY).seal("secret", "here")
    for keyring, text, place in (
        (Keyring(KEY + b"x"), sealed, "here"),
        (Keyring(KEY), sealed, "there"),
        (Keyring(KEY), sealed[:-1] + bytes([sealed[-1] ^ 1]), "here"),
        (Keyring(KEY), b"\x02" + sealed[1:], "here"),
        (Keyring(KEY), sealed[:13], "here"),
        (Keyring(KEY), b"", "here"),
    ):
        with pytest.raises(SealError):
            keyring.unseal(text, place)


def test_the_sealing_key_is_not_the_one_that_tokens_are_hashed_with() -> None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = b"k" * 32
    sealed = Keyring(key).seal("secret", "here")
    with pytest.raises(InvalidTag):
        AESGCM(key).decrypt(sealed[1:13], sealed[13:], b"here")
