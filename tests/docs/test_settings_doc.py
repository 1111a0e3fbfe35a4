"""Every setting is on its page, with its default and its meaning."""

from dataclasses import fields
from pathlib import Path

import pytest
from tools import settings_doc

from airfreight.settings import SettingError, Settings, load, variable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_committed_page_is_what_the_code_prints() -> None:
    assert PAGE.read_text() == settings_doc.page(), "refresh it: python tools/settings_doc.py > docs/settings.md"


def test_every_setting_says_what_it_means() -> None:
    assert [item.name for item in fields(Settings) if len(item.metadata["words"]) < 15] == []


def test_a_setting_is_read_from_its_variable() -> None:
    given = {variable("port"): "9000", variable("public_url"): "https://ota.example.com"}
    settings = load(given)
    assert (settings.port, settings.public_url) == (9000, "https://ota.example.com")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "http"),
        ("port", "70000"),
        ("port", "-1"),
        ("workers", "0"),
        ("secret_key", "short"),
        ("public_url", "ota.example.com"),
        ("log_level", "loud"),
        ("poll_seconds", "0"),
        ("poll_seconds", "1.5"),
        ("port", "٨"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=variable(name)):
        load({variable(name): value})


def test_a_database_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(SettingError, match="AIRFREIGHT_DATABASE_URL"):
        _ = load({variable("database_url"): "mysql://localhost/x"}).url
