"""Compose files: the convention for their version in each way YAML can write it, and what is not that."""

import pytest
from tests.formats.ask import facts_of

from airfreight.formats import Facts, Format

SERVICES = "services:\n  web:\n    image: nginx:1.27\n"


@pytest.mark.parametrize(
    ("head", "version"),
    [
        ('x-stack: {version: "2.2.0"}\n', "2.2.0"),
        ("x-stack: {channel: stable, version: 2.2.0}\n", "2.2.0"),
        ("x-stack: { 'version' : '2.2.0' } # ours\n", "2.2.0"),
        ('x-stack: {a: [1, {version: 9}], note: "a, version: 8", version: 2.2.0}\n', "2.2.0"),
        ("x-stack: {note: don't, version: 2.2.0}\n", "2.2.0"),
        ('x-stack:\n  version: "2.2.0"\n', "2.2.0"),
        ("x-stack:\n    name: shop\n    version: 2.2.0+build.5   # the release\n", "2.2.0+build.5"),
        ("x-stack: &stack\n  version: 2.2.0\n", "2.2.0"),
        ("x-stack: !!map &stack {version: 2.2.0}\n", "2.2.0"),
        ("x-stack: # about this\n\n  # the version\n  version: 2.2.0\n", "2.2.0"),
        ('"x-stack":\r\n  "version": "2.2.0"\r\n', "2.2.0"),
        ("x-logging:\n  driver: json-file\nx-stack:\n  version: 2.2.0\n", "2.2.0"),
        ("x-logging:\n  options:\n    version: 9\n  version: 2.2.0\n", "2.2.0"),
        ("x-note: |\n  version: 9\nx-stack:\n  version: 2.2.0\n", "2.2.0"),
        ("x-list:\n  - version: 9\nx-stack:\n  version: 2.2.0\n", "2.2.0"),
        ("x-a:\n  version: 2.2.0\nx-b:\n  version: 9\n", "2.2.0"),
        ("---\nx-stack:\n  version: 2.2.0\n", "2.2.0"),
        ("\ufeffx-stack:\n  version: 2.2.0\n", "2.2.0"),
        ("# x-old: {version: 9}\nx-stack: {version: 2.2.0}\n", "2.2.0"),
        ("", ""),
        ("version: '3.8'\n", ""),
        ("stack:\n  version: 9\n", ""),
        ("x-stack: 9\n", ""),
        ("x-stack: version\n", ""),
        ("x-stack:\n  version:\n", ""),
        ("x-stack:\n  version: null\n", ""),
        ("x-stack:\n  version: ~\n", ""),
        ("x-stack:\n  version: ${VERSION:-9}\n", ""),
        ("x-stack:\n  version: *other\n", ""),
        ("x-stack:\n  version:\n    major: 9\n", ""),
        ("x-stack: {version: 9\n", ""),
        ("x-stack: [version, 9]\n", ""),
        ("  x-stack: {version: 9}\n", ""),
        ("x-stack:\n  version: " + "9" * 65 + "\n", ""),
    ],
)
def test_the_version_is_read_only_from_a_top_level_x_map(head: str, version: str) -> None:
    assert facts_of((head + SERVICES).encode()) == Facts(format=Format.COMPOSE, version=version)


def test_services_in_an_indented_block_are_not_top_level() -> None:
    assert facts_of(b"run: |\n  services:\n  x-stack: {version: 9}\n").format is Format.GENERIC


def test_the_second_document_is_not_read() -> None:
    assert facts_of((SERVICES + "---\nx-stack: {version: 9}\n").encode()).version == ""


def test_the_convention_alone_is_enough_only_in_a_file_named_as_yaml() -> None:
    data = b"x-stack: {version: 2.2.0}\ninclude: [base.yml]\n"
    assert facts_of(data, "stack.YAML") == Facts(format=Format.COMPOSE, version="2.2.0")
    assert facts_of(data) == Facts()


@pytest.mark.parametrize("name", ["stack.yml", ""])
@pytest.mark.parametrize(
    "data",
    [
        b"key: value\n",
        b"\xff\xfe" + SERVICES.encode(),
        SERVICES.encode() + b"\0",
        SERVICES.encode() + b"#" * (256 << 10),
    ],
)
def test_other_text_and_oversized_text_are_generic(data: bytes, name: str) -> None:
    assert facts_of(data, name).format is Format.GENERIC


@pytest.mark.parametrize(
    "data",
    [
        "x-a: " + "{" * 200_000,
        "x-a: {" + "[" * 4000,
        "x-a: " + "&a " * 60_000,
        ("x-a:\n" + " version: {\n") * 15_000,
        "x-a:\n" + " " * 200_000,
        "x" * 250_000 + ": 1",
    ],
)
def test_hostile_text_takes_no_time(data: str) -> None:
    assert facts_of((data + "\n" + SERVICES).encode(), "a.yml").version == ""
