"""Every setting is described, and the page about them is the one the code prints."""

from dataclasses import fields
from pathlib import Path

import pytest
from tools import settings_doc

from airfreight.settings import SettingError, Settings, load, variable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_committed_page_is_what_the_code_prints() -> None:
    """When this fails: .venv/bin/python tools/settings_doc.py > docs/settings.md, and read the difference."""
    assert PAGE.read_text(encoding="utf-8") == settings_doc.page()


@pytest.mark.parametrize("name", [one.name for one in fields(Settings)])
def test_every_setting_says_what_it_is(name: str) -> None:
    [one] = [one for one in fields(Settings) if one.name == name]
    words = one.metadata["words"]
    assert words.endswith(".")
    assert len(words) > 15
    assert f"| `{variable(name)}` |" in settings_doc.page()


def test_what_is_a_secret_says_so() -> None:
    secret = {one.name for one in fields(Settings) if one.metadata["secret"]}
    assert secret == {"database_url", "admin_password", "client_secret", "secret_key", "mqtt_url"}


@pytest.mark.parametrize(
    "one", [one for one in fields(Settings) if isinstance(one.default, int)], ids=lambda one: one.name
)
def test_a_number_is_a_number(one: object) -> None:
    name = variable(one.name)  # type: ignore[attr-defined]
    for wrong in ("", "x", "-1", "1.5", "0x10", "1e3", "\u0663", "1 2"):
        with pytest.raises(SettingError, match=name):
            load({name: wrong})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("port", "65536"), ("workers", "0"), ("workers", "65"), ("poll_seconds", "0"), ("deadline_seconds", "0"),
        ("token_seconds", "0"), ("online_seconds", "0"), ("chunk_seconds", "0"), ("history_limit", "0"),
        ("upload_hours", "0"), ("upload_hours", "8785"),
        ("secret_key", "too short"), ("public_url", "ota.example.com"), ("log_level", "loud"),
        ("webhook_allow", "10.0.0.1/8"), ("webhook_allow", "intranet"), ("webhook_tries", "0"), ("webhook_senders", "0"), ("webhook_senders", "101"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_the_start(name: str, wrong: str) -> None:
    with pytest.raises(SettingError, match=variable(name)):
        load({variable(name): wrong})


def test_a_database_that_is_none_is_refused() -> None:
    for wrong in ("mysql://x", "postgresql", "x"):
        with pytest.raises(SettingError, match="AIRFREIGHT_DATABASE_URL"):
            _ = load({"AIRFREIGHT_DATABASE_URL": wrong}).url


def test_what_is_given_wins_over_the_environment_and_none_is_not_given() -> None:
    environment = {"AIRFREIGHT_PORT": "81", "AIRFREIGHT_HOST": "::", "OTHER": "x"}
    settings = load(environment, port=82, host=None)
    assert (settings.port, settings.host) == (82, "::")
    assert load({}) == Settings()
