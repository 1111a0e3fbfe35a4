"""A pytest plugin (`-p tests.strict`): a skipped test is a failed test, so that CI cannot pass by leaving things out."""

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """One test: `skip`, `skipif`, or `pytest.skip()` inside it. An expected failure is not a skip."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module: `importorskip`, or `pytest.skip(allow_module_level=True)`."""
    report = yield
    if report.skipped:
        _fail(report)
    return report


def _fail(report: Any) -> None:  # a report of either kind: the two share no base that has these fields
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{why}\nA skipped test counts as failed here (AIRFREIGHT_STRICT=1)."
