"""Print docs/settings.md from the one declaration of every setting.

Usage: python tools/settings_doc.py > docs/settings.md
"""

from dataclasses import fields

from airfreight.settings import Settings, variable

HEAD = """# Settings

Each setting is an environment variable. `airfreight serve` takes some of them as options too (`--data`, `--host`,
`--port`, `--workers`, `--database-url`); an option goes before the variable. A value that cannot be read stops the
start with a sentence. Durations are in seconds, sizes in bytes. This page is printed from the code by
`python tools/settings_doc.py`.

| variable | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for item in fields(Settings):
        default = f"`{item.default}`" if str(item.default) else "(empty)"
        secret = " Secret: set it in the environment, not on a command line." if item.metadata["secret"] else ""
        rows.append(f"| `{variable(item.name)}` | {default} | {item.metadata['words']}{secret} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
