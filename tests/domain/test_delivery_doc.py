"""The page people read is the table that runs."""

from pathlib import Path

from tools import delivery_doc

from airfreight.domain.decide import decide
from airfreight.domain.delivery import TABLE, Reason, State
from airfreight.domain.rollout import RolloutState

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"


def test_the_committed_page_is_what_the_code_prints() -> None:
    """When this fails: .venv/bin/python tools/delivery_doc.py > docs/delivery.md, and read the difference."""
    assert PAGE.read_text(encoding="utf-8") == delivery_doc.page()


def test_the_page_leaves_nothing_out() -> None:
    page = delivery_doc.page()
    for row in TABLE.values():
        assert f"| {row.event} | {row.who} |" in page
    for word in (*State, *Reason, *RolloutState):
        assert f"`{word}`" in page


def test_every_fault_the_page_knows_holds_someone_back() -> None:
    """A fault that a new check makes impossible, or one that was written wrongly, would silently drop out of the lists."""
    page = delivery_doc.page()
    assert [fault.words for fault in delivery_doc.FAULTS if fault.words not in page] == []


def test_every_check_that_can_pass_can_also_be_seen_to_stop_on_the_page() -> None:
    """A check added to `decide` without a fault on the page shows up here; these two lines of a trace never stop."""
    page = delivery_doc.page()
    for state in (State.QUEUED, State.OFFERED):
        trace = decide(delivery_doc.unhindered(delivery_doc.standing(state)), delivery_doc.NOW).trace
        names = {check.name for check in trace} - {"attempts left", "instruction"}
        assert [name for name in names if f"**{name}**" not in page] == []
