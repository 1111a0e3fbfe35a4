"""What the first start prints: secrets that it made, and where those came from that it was given."""

from dataclasses import replace

from airfreight.cli import local
from airfreight.services.bootstrap import FirstStart
from airfreight.settings import Settings

FIRST = FirstStart(1, "admin@x.example", "the password", "oa2-client-id_1", "the secret")


def test_what_was_made_is_shown_once() -> None:
    words = local.welcome(Settings(), FIRST)
    assert "the password" in words
    assert words.count("the secret") == 2


def test_what_was_given_is_not_repeated() -> None:
    """It would be kept in the log."""
    given = replace(Settings(), admin_password="the password", client_secret="the secret")
    words = local.welcome(given, FIRST)
    assert "the password" not in words
    assert "the secret" not in words
    assert "password  (that of AIRFREIGHT_ADMIN_PASSWORD)" in words
    assert "--client-secret $AIRFREIGHT_CLIENT_SECRET" in words


def test_an_address_of_ipv6_has_its_brackets() -> None:
    assert local.url(replace(Settings(), host="::1", port=8080)) == "http://[::1]:8080"
    assert local.url(replace(Settings(), host="::", port=8080)) == "http://localhost:8080"
