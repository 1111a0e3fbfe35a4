from pathlib import Path

from airfreight.cli.docs import markdown

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_about_the_command_line_is_the_one_the_commands_write() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run `python -m airfreight.cli.docs > docs/cli.md`"


def test_every_command_has_a_purpose_and_an_example() -> None:
    parts = markdown().split("\nUsage: ")
    assert len(parts) > 40
    for part in parts[:-1]:
        command = part.rpartition("# airfreight ")[2]
        name, _, words = command.partition("\n\n")
        purpose, _, rest = words.partition("\n\n")
        assert purpose.endswith("."), name
        assert len(purpose) < 100, name
        assert f"```sh\nairfreight {name}" in rest, name
