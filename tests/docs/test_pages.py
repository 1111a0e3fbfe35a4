"""What the pages say of names is true: links lead somewhere, tables of fields have the fields of the contract."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from airfreight.apis.device.shapes import ArtifactOut, Instruction, ReportEvent
from airfreight.apis.device.translate import DEVICE_REASONS
from airfreight.apis.shipments.shapes import CompareField, ShipmentCreate, ShipmentProgress, Status
from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SHIPMENTS = (ROOT / "docs/apis/shipments.md").read_text()
DEVICE = (ROOT / "docs/apis/device.md").read_text()


def anchor(heading: str) -> str:
    """How a heading is linked to, as the usual hosts do it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of every link of a page that does not leave the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, name = target.partition("#")
            yield path, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, name in links(page):
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links to {path}, which is not there"
        if name:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.MULTILINE)
            assert name in {anchor(heading) for heading in headings}, f"{page.name} links to {path}#{name}"


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            waiting += [(page.parent / path).resolve() for path, _ in links(page) if path]

    assert not set(PAGES) - reached


def first_cells(text: str, heading: str) -> list[str]:
    """The names in the first column of the table whose head begins so."""
    rows = text[text.index(heading) :].splitlines()
    table: list[str] = []
    for row in rows:
        if row.startswith("|"):
            table.append(row)
        elif table:
            break
    return [name for row in table[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def test_the_fields_of_a_shipment_are_the_contracts() -> None:
    fields = first_cells(SHIPMENTS, "| field | if left out")

    assert sorted(fields) == sorted(names(ShipmentCreate))


def test_the_progress_buckets_are_the_contracts() -> None:
    assert sorted(first_cells(SHIPMENTS, "| bucket |")) == sorted(names(ShipmentProgress) - {"updatedAt"})


def test_the_words_of_the_shipments_page_are_the_contracts() -> None:
    assert first_cells(SHIPMENTS, "| `compareField` | the device") == [field.value for field in CompareField]
    assert first_cells(SHIPMENTS, "| `status` |") == [status.value for status in Status]


def test_the_words_of_the_device_page_are_the_protocols() -> None:
    events = set(first_cells(DEVICE, "| event | when"))

    assert set(first_cells(DEVICE, "| field | meaning")) == names(Instruction)
    assert set(first_cells(DEVICE, "| `do` | the server")) == {do.value for do in Do} - {"nothing"}
    assert events == set(msgspec.json.schema(ReportEvent)["enum"])
    assert first_cells(DEVICE, "| verdict | meaning") == [verdict.value for verdict in Verdict]
    assert names(ArtifactOut) <= set(re.findall(r'"(\w+)":', DEVICE))


def test_the_device_page_has_every_reason_that_a_device_may_give() -> None:
    row = next(line for line in DEVICE.splitlines() if line.startswith("| `failed` |"))

    assert set(DEVICE_REASONS) <= set(re.findall(r"`(\w+)`", row))
