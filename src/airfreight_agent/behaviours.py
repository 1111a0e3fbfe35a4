"""What simulated devices do, as a table: each row declares how a behaviour differs from a good device and where the
server must say that it ended. A demo or a test compares the server's word with this page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from airfreight_agent.machine import Step
from airfreight_agent.protocol import Reason

WAY = ("offered", "downloading", "downloaded", "installing", "installed", "activating")
"""The states of a delivery under way, in the order a device passes them."""
FINAL_REASONS = frozenset({Reason.ROLLED_BACK, Reason.WRONG_VERSION})
"""Failures after which the server does not try again."""
NO_REPORT = "no_report"


@dataclass(frozen=True, slots=True)
class End:
    """Where a delivery ends at the server: its state, and the reason if it is a failure."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row. A field that is not set means: as a good device does it.

    `fails_at` is the step in which an attempt fails with `reason`, in the first `failing_attempts` of them (None: in
    all). `power_cut_at`: the device loses power once in that step. `boots` is what comes up after activation: "new",
    "old", or "other" (neither). `lies`: it claims success all the same. `report_copies` times each call is sent;
    `report_window` reports are collected and sent backwards. `goes_silent`: no report once it has the file.
    """

    name: str
    description: str
    bytes_per_second: int | None = None
    fails_at: Step | None = None
    reason: Reason | None = None
    failing_attempts: int | None = None
    power_cut_at: Step | None = None
    boots: str = "new"
    lies: bool = False
    report_copies: int = 1
    report_window: int = 1
    goes_silent: bool = False
    refuses_cancel: bool = False


def _power_cut(step: Step) -> Behaviour:
    name = f"loses_power_at_{step}"
    return Behaviour(name, f"loses power once while {step}, starts again, goes on and succeeds", power_cut_at=step)


BEHAVIOURS: dict[str, Behaviour] = {
    row.name: row
    for row in (
        Behaviour("good", "does everything right"),
        Behaviour("slow", "downloads at 64 KiB a second", bytes_per_second=1 << 16),
        Behaviour(
            "fails_at_download",
            "gives up each download after its first bytes",
            fails_at=Step.DOWNLOADING,
            reason=Reason.DOWNLOAD_FAILED,
        ),
        Behaviour(
            "fails_at_install",
            "its installer fails every time",
            fails_at=Step.INSTALLING,
            reason=Reason.INSTALL_FAILED,
        ),
        Behaviour(
            "fails_once_then_good",
            "its installer fails the first time; the second attempt works",
            fails_at=Step.INSTALLING,
            reason=Reason.INSTALL_FAILED,
            failing_attempts=1,
        ),
        *map(_power_cut, (Step.DOWNLOADING, Step.DOWNLOADED, Step.INSTALLING, Step.INSTALLED, Step.ACTIVATING)),
        Behaviour("rolls_back", "boots its old version after activating, and says so", boots="old"),
        Behaviour("lies_about_version", "says that it succeeded, but runs another version", boots="other", lies=True),
        Behaviour("claims_after_rollback", "says that it succeeded, but runs its old version", boots="old", lies=True),
        Behaviour("repeats_reports", "sends every report three times", report_copies=3),
        Behaviour("reorders_reports", "collects three reports and sends them backwards", report_window=3),
        Behaviour("goes_silent", "downloads, then never reports again", goes_silent=True),
        Behaviour("refuses_cancel", "answers a wish to cancel with no and goes on", refuses_cancel=True),
    )
}


def expected_end(
    name: str, *, attempts_limit: int, versioned: bool = True, deadlines_passed: bool = False
) -> frozenset[End]:
    """Where the server may say that a device of this behaviour ended, in a rollout that nobody cancels.

    `versioned`: the artifact names a version, so that the running version is the judge. `deadlines_passed`: enough
    time went by for the server to give up on every attempt; before that a silent device is still on its way.
    """
    row = BEHAVIOURS[name]
    if row.goes_silent:
        still_open = frozenset({End("downloading"), End("downloaded")})
        return frozenset({End("failed", NO_REPORT)}) if deadlines_passed else still_open
    if row.fails_at and row.reason and (row.failing_attempts is None or row.failing_attempts >= attempts_limit):
        return frozenset({End("failed", row.reason)})
    if row.boots == "new" or (row.lies and not versioned):
        return frozenset({End("succeeded")})
    return frozenset({End("failed", Reason.ROLLED_BACK if row.boots == "old" else Reason.WRONG_VERSION)})


def expected_history(name: str, *, attempts_limit: int) -> tuple[str, ...]:
    """The states that the server's history of such a delivery shows, in order, each once per visit.

    For rollouts whose artifact names a version and whose deadlines have not passed.
    """
    row = BEHAVIOURS[name]
    if row.fails_at:
        one_try = WAY[: WAY.index(row.fails_at) + 1]
        failures = attempts_limit if row.failing_attempts is None else min(row.failing_attempts, attempts_limit)
        lost = (*one_try, "queued") * (failures - 1)
        if failures == attempts_limit:
            return (*lost, *one_try, "failed")
        return (*lost, *one_try, "queued", *WAY, "succeeded")
    if row.goes_silent:
        return WAY[:3]
    return (*WAY, "succeeded" if row.boots == "new" else "failed")


def is_expected_history(name: str, history: Sequence[str], *, attempts_limit: int) -> bool:
    """Whether `history` is `expected_history`, give or take what is nobody's fault.

    Reports that arrive backwards jump over states. The server counts a file as downloaded when its last byte has left,
    which it may have when the device already gave up.
    """
    row = BEHAVIOURS[name]
    expected = expected_history(name, attempts_limit=attempts_limit)
    if row.report_window > 1:
        rest = iter(expected)
        return tuple(history[-1:]) == expected[-1:] and all(state in rest for state in history)
    if row.fails_at is Step.DOWNLOADING:
        return tuple(state for state in history if state != Step.DOWNLOADED) == expected
    return tuple(history) == expected
