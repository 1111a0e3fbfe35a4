"""Prints docs/settings.md from the settings themselves: every variable, its default and its meaning.

Refresh: .venv/bin/python tools/settings_doc.py > docs/settings.md
"""

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from airfreight.settings import Settings, variable

HEAD = """# Settings

This page is printed from `src/airfreight/settings.py`; do not edit it. Refresh it with
`.venv/bin/python tools/settings_doc.py > docs/settings.md`.

Every setting is an environment variable. `airfreight serve` takes the most common ones as options too, which win.
Durations are in seconds, sizes in bytes.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The whole text of docs/settings.md, ending in one newline."""
    return HEAD + "".join(f"| `{variable(one.name)}` | {_default(one)} | {_words(one)} |\n" for one in fields(Settings))


def _words(one: Field[Any]) -> str:
    """A bar would end the cell."""
    words: str = one.metadata["words"]
    secret = " Secret: keep it out of command lines and logs." if one.metadata["secret"] else ""
    return (words + secret).replace("|", "\\|")


def _default(one: Field[Any]) -> str:
    if isinstance(one.default, int):
        return " ".join(_readable(one.default, is_size=one.name.endswith("_bytes")))
    return f"`{one.default}`" if str(one.default) else "(empty)"


def _readable(number: int, *, is_size: bool) -> Iterator[str]:
    """The number, and for a large one how people say it."""
    yield f"`{number}`"
    units = (("GiB", 1024**3), ("MiB", 1024**2)) if is_size else (("days", 86_400), ("hours", 3600), ("minutes", 60))
    for unit, size in units:
        if number >= size and number % size == 0 and (is_size or number >= 300):
            count = number // size
            yield f"({count} {unit if count > 1 or is_size else unit.removesuffix('s')})"
            return


if __name__ == "__main__":
    print(page(), end="")
