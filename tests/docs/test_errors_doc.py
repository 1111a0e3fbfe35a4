"""docs/errors.md lists every code that the source can answer with, each with its status, and none that it cannot."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from airfreight.apis.common.errors import _CODES, STATUS
from airfreight.domain.errors import Kind

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
SOURCE = ROOT / "src" / "airfreight"

KINDS = {
    "invalid": Kind.INVALID,
    "conflict": Kind.CONFLICT,
    "not_found": Kind.NOT_FOUND,
    "forbidden": Kind.FORBIDDEN,
    "unauthenticated": Kind.UNAUTHENTICATED,
    "too_large": Kind.TOO_LARGE,
}
"""The functions of domain.errors, by name; the code is their second argument."""

PASSED_ON = {"error.code", "_CODES.get(status, 'invalid')", "code"}
"""Codes that are not written where they are used: of a refusal (found where it is made), of the table of statuses."""

Found = tuple[str, int]


def calls() -> Iterator[tuple[str, str, list[ast.expr]]]:
    """Every call of the source: file, function name, positional arguments."""
    for path in sorted(SOURCE.rglob("*.py")):
        # A reader of a file format refuses in words of its own, which no client sees as an error.
        if path.relative_to(SOURCE).parts[0] in {"formats", "cli"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                yield path.name, name, node.args


def code_of(file: str, argument: ast.expr) -> str | None:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    words = ast.unparse(argument)
    assert words in PASSED_ON, f"{file}: the code {words} cannot be read here; write it out where the error is made"
    return None


def refused(file: str, name: str, arguments: list[ast.expr]) -> Iterator[Found]:
    """What one call can answer with."""
    if name in KINDS and name != "too_large":
        code = code_of(file, arguments[1]) if len(arguments) > 1 else KINDS[name].value
        if code:
            yield code, STATUS[KINDS[name]]
    elif name == "Refusal" and ast.unparse(arguments[0]) != "kind":
        kind = Kind[ast.unparse(arguments[0]).removeprefix("Kind.")]
        code = code_of(file, arguments[2]) if len(arguments) > 2 else kind.value
        if code:
            yield code, STATUS[kind]
    elif name in {"answer_error", "answer_problem", "refuse"} and (code := code_of(file, arguments[3])):
        yield code, int(ast.unparse(arguments[1]))
    elif (name == "_refuse" and file == "http_protocol.py" and (code := code_of(file, arguments[2]))) or (
        name == "answer" and file == "errors.py" and (code := code_of(file, arguments[2]))
    ):
        yield code, int(ast.unparse(arguments[0]))


def in_the_source() -> set[Found]:
    found = {(code, status) for status, code in _CODES.items()}
    for file, name, arguments in calls():
        found |= set(refused(file, name, arguments))
    return found


def token_words() -> set[str]:
    return {
        argument.value
        for _, name, arguments in calls()
        if name == "GrantError"
        and isinstance(argument := arguments[0], ast.Constant)
        and isinstance(argument.value, str)
    }


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [re.split(r"(?<!\\)\|", line.strip("|")) for line in section.splitlines() if line.startswith("| `")]


def code_cell(cells: list[str]) -> str:
    return cells[0].strip().strip("`")


def test_the_page_has_every_code_of_the_source_with_its_status_and_no_other() -> None:
    page = {(code_cell(cells), int(cells[1])) for cells in rows("Codes")}

    assert page == in_the_source()


def test_the_page_has_every_word_of_the_token_endpoint_and_no_other() -> None:
    assert {code_cell(cells) for cells in rows("The token endpoint")} == token_words()


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    for cells in rows("Codes"):
        assert len(cells) == 4, cells
        assert all(cell.strip() for cell in cells), cells


def test_codes_stand_in_the_order_of_the_alphabet() -> None:
    codes = [code_cell(cells) for cells in rows("Codes")]

    assert codes == sorted(codes)
