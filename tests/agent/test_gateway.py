"""Packages on a gateway, against the real server: the order of their scripts, words to wait for, failures, limits."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from tests.agent.gateway import Campaign, Disk, Gateway, eventually, is_gone
from tests.agent.rig import Slot
from tests.apis.site import Site

from airfreight.domain.phases import Phase
from airfreight.store import tables
from airfreight_agent import supervisor
from airfreight_agent.line_log import CUT, MAX_LINES
from airfreight_agent.machine import Step
from airfreight_agent.protocol import Event

PHASES = ("verify", "execute", "validate", "activate")


Make = Callable[..., Gateway]


@pytest.fixture
def gateway(site: Site, disk: Disk) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(campaign: Campaign, **rules: Any) -> Gateway:
            made = Gateway(site.server.url, campaign.board.token, disk, **rules)
            stack.enter_context(made.http)
            return made

        yield make


def whole(disk: Disk, name: str = "metrics", version: str = "1.0.3", **changed: Any) -> bytes:
    """A package with a script for every phase."""
    scripts: dict[str, Any] = {**dict.fromkeys(PHASES, ""), "reset": "", **changed}
    return disk.package(name, version, **scripts)


def test_scripts_run_phase_by_phase_and_in_each_phase_package_by_package(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, whole(disk, "one"), whole(disk, "two"))
    assert gateway(campaign).run() is Event.SUCCEEDED
    assert disk.lines == [
        *("one verify", "two verify"),
        *("one execute", "one validate", "two execute", "two validate"),
        *("one activate", "two activate"),
    ]
    assert campaign.end == ("succeeded", "")
    assert list((disk.agent / "work").iterdir()) == []
    assert list((disk.agent / "files").iterdir()) == []


def test_bytes_and_printed_lines_are_told(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(
        site,
        disk.package("one", verify="echo checked", execute='printf "a\\rb\\n\\n\\033[1mbold"; echo wrong >&2'),
        disk.package("two", activate="echo on"),
    )
    assert gateway(campaign).run() is Event.SUCCEEDED
    progress = campaign.progress
    assert campaign.downloaded == [(one.size, one.size) for one in progress.artifacts]
    assert progress.lines == ["checked", "a", "b", " [1mboldwrong", "on"]


def test_lines_come_while_a_script_still_runs(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, disk.package(execute="echo half; while ! test -e go; do sleep 0.05; done; echo done"))
    work = gateway(campaign)
    thread = work.begin()
    eventually(lambda: campaign.progress.lines == ["half"], every=0.05)
    assert campaign.end == ("installing", "")
    next((disk.agent / "work").glob("*/data")).joinpath("go").touch()
    thread.join()
    assert campaign.progress.lines == ["half", "done"]


def test_a_script_sees_its_files_its_arguments_and_little_else(
    site: Site, disk: Disk, gateway: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFREIGHT_TOKEN", "secret")
    monkeypatch.setenv("OTHER", "thing")
    does = 'cat notes.txt >> $LOG; echo "$# $1 $2 $3" >> $LOG; env | sort | sed "s/=.*//" >> $LOG; pwd >> $LOG'
    package = disk.package("the name", "1.0 beta", execute=does, attachments=[("notes.txt", b"attached\n", "")])
    campaign = Campaign(site, package)
    assert gateway(campaign).run() is Event.SUCCEEDED
    attempt = campaign.delivery.attempt_id
    given = [f"AIRFREIGHT_{name}" for name in ("ATTEMPT", "NAME", "PHASE", "RUN", "VERSION")]
    seen = [line for line in disk.lines[3:-1] if line not in ("PWD", "OLDPWD", "SHLVL", "_")]
    assert disk.lines[:3] == ["the name execute", "attached", f"3 {attempt} the name 1.0 beta"]
    assert seen == [*given, "HOME", "LANG", "PATH"]
    assert disk.lines[-1] == str(disk.agent / "work" / f"{attempt}-0" / "data")


def test_without_a_first_line_a_script_is_run_by_the_shell(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, disk.package(execute="", shebang=""))
    assert gateway(campaign).run() is Event.SUCCEEDED
    assert disk.lines == ["metrics execute"]


def test_each_phase_waits_for_its_word(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, whole(disk, headless=False))
    work = gateway(campaign)

    def idle(*ran: str) -> None:
        for _ in range(8):
            work.device.step()
        assert disk.lines == [f"metrics {phase}" for phase in ran]

    idle()
    assert work.device.memory.attempt == 0
    campaign.approve(Phase.DOWNLOAD)
    work.step_until(lambda device: device.memory.step is Step.DOWNLOADED)
    idle("verify")
    assert campaign.end == ("downloaded", "")
    campaign.approve(Phase.INSTALL, after_ms=3_600_000)
    idle("verify")
    campaign.approve(Phase.INSTALL, after_ms=1000)
    work.step_until(lambda device: device.memory.step is Step.INSTALLED)
    idle("verify", "execute", "validate")
    campaign.approve(Phase.ACTIVATE)
    assert work.run() is Event.SUCCEEDED
    assert disk.lines[-1] == "metrics activate"


def test_a_device_that_waits_asks_again_when_its_slot_opens(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, disk.package(headless=False, execute=""))
    campaign.approve(Phase.DOWNLOAD)
    work = gateway(campaign)
    work.step_until(lambda device: device.memory.step is Step.DOWNLOADED and not device.memory.outbox)
    opens_at = campaign.approve(Phase.INSTALL, after_ms=1300)
    rests = [work.device.step() for _ in range(3)]
    assert max(rests) <= 2.0
    work.step_until(lambda device: device.memory.step is Step.INSTALLING)
    assert time.time_ns() // 1_000_000 >= opens_at


@pytest.mark.parametrize(
    ("phase", "reason", "ran"),
    [
        ("verify", "incompatible", ["one verify"]),
        ("execute", "install_failed", ["one verify", "two verify", "one execute"]),
        ("validate", "install_failed", ["one verify", "two verify", "one execute", "one validate"]),
    ],
)
def test_a_script_that_fails_ends_it_with_its_last_line(
    site: Site, disk: Disk, gateway: Make, phase: str, reason: str, ran: list[str]
) -> None:
    broken = whole(disk, "one", **{phase: "echo first; echo the disk is too small; exit 3"})
    campaign = Campaign(site, broken, whole(disk, "two"))
    assert gateway(campaign).run() is Event.FAILED
    assert campaign.end == ("failed", reason)
    assert campaign.progress.cause == f"{phase}: exit code 3: the disk is too small"
    assert disk.lines == ran, "reset does not run by itself"


def test_a_failure_is_gone_back_from_only_where_that_is_wished(site: Site, disk: Disk, gateway: Make) -> None:
    failing = whole(disk, "two", activate="echo no; exit 1", reset="echo back")
    campaign = Campaign(site, whole(disk, "one"), failing)
    assert gateway(campaign, reset_on_failure=True).run() is Event.FAILED
    assert campaign.end == ("failed", "activate_failed")
    assert disk.lines[-3:] == ["two activate", "two reset", "one reset"]
    assert campaign.progress.lines == ["no", "back"]


def test_a_script_that_takes_too_long_is_ended_with_its_children(
    site: Site, disk: Disk, gateway: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "Job", partial(supervisor.Job, grace_seconds=100.0))
    campaign = Campaign(
        site, disk.package(execute="trap 'echo asked >> $LOG; exit 7' TERM; sleep 200 & echo $! > child; wait")
    )
    work = gateway(campaign, script_seconds=4)
    work.step_until(lambda device: device.memory.step is Step.INSTALLING)
    thread = work.begin()
    eventually(lambda: list((disk.agent / "work").glob("*/data/child")))
    child = next((disk.agent / "work").glob("*/data/child"))
    eventually(child.read_text)
    pid = int(child.read_text())
    started = time.monotonic()
    thread.join()
    assert time.monotonic() - started < 60, "it ended when it was asked to"
    assert disk.lines == ["metrics execute", "asked"]
    assert campaign.end == ("failed", "install_failed")
    assert "it took longer than 4 seconds" in campaign.progress.cause
    eventually(lambda: is_gone(pid))


def test_much_output_holds_nobody_up_and_is_cut_but_for_its_last_line(site: Site, disk: Disk, gateway: Make) -> None:
    does = "head -c 3000000 /dev/zero | tr '\\0' x; echo; seq 100000; echo the end; exit 4"
    campaign = Campaign(site, disk.package(execute=does))
    work = gateway(campaign)
    assert work.run() is Event.FAILED
    table = tables.delivery_lines
    rows = site.rows(select(table.c.id).where(table.c.delivery_id == campaign.delivery.id))
    assert len(rows) == MAX_LINES + 2
    assert campaign.progress.lines[-2:] == [CUT, "the end"]
    assert campaign.progress.cause == "execute: exit code 4: the end"


def test_a_service_that_a_script_leaves_running_holds_nobody_up(site: Site, disk: Disk, gateway: Make) -> None:
    pid = disk.folder / "pid"
    campaign = Campaign(site, disk.package(execute=f"sleep 900 & echo $! > {pid}; echo started"))
    assert gateway(campaign).run() is Event.SUCCEEDED
    assert not is_gone(int(pid.read_text())), "nobody waited for its end"
    os.kill(int(pid.read_text()), signal.SIGKILL)
    assert campaign.progress.lines == ["started"]


def test_a_wish_to_cancel_is_granted_between_two_scripts(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, whole(disk, execute="while ! test -e go; do sleep 0.05; done"))
    work = gateway(campaign)
    thread = work.begin()
    eventually(lambda: "metrics execute" in disk.lines)
    campaign.stop()
    eventually(lambda: campaign.delivery.cancel_requested, every=0.05)
    next((disk.agent / "work").glob("*/data")).joinpath("go").touch()
    thread.join()
    assert disk.lines[-1] == "metrics execute"
    assert campaign.end[0] == "canceled"


def test_an_activation_that_has_begun_is_not_given_up(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, whole(disk))
    work = gateway(campaign)
    work.step_until(lambda device: device.memory.step is Step.ACTIVATING and not device.memory.outbox)
    campaign.stop()
    eventually(lambda: campaign.delivery.cancel_requested, every=0.05)
    again = gateway(campaign)
    assert again.run() is Event.SUCCEEDED
    assert disk.lines[-1] == "metrics activate"
    assert campaign.end[0] == "succeeded"


def test_files_go_to_their_install_paths_before_the_first_script_installs(
    site: Site, disk: Disk, gateway: Make
) -> None:
    placed = disk.root / "etc" / "metrics" / "metrics.conf"
    package = disk.package(
        verify=f"test ! -e {placed}",
        execute=f"grep -q on {placed}; echo changed > {placed}",
        validate="",
        attachments=[("metrics.conf", b"on\n", "/etc/metrics/metrics.conf")],
    )
    campaign = Campaign(site, package)
    assert gateway(campaign).run() is Event.SUCCEEDED
    assert placed.read_text() == "changed\n"


def test_what_lies_in_the_way_of_an_install_path_fails_the_installation(site: Site, disk: Disk, gateway: Make) -> None:
    (disk.root / "etc").symlink_to(disk.folder)
    package = disk.package(execute="", attachments=[("a.conf", b"on\n", "/etc/a.conf")])
    campaign = Campaign(site, package)
    assert gateway(campaign).run() is Event.FAILED
    assert campaign.end == ("failed", "install_failed")
    assert disk.lines == []


def test_a_file_that_is_no_package_needs_an_installer(site: Site, disk: Disk, gateway: Make) -> None:
    campaign = Campaign(site, b"PK\3\4 not a package", disk.package(execute=""))
    assert gateway(campaign).run() is Event.FAILED
    assert campaign.end == ("failed", "incompatible")
    assert disk.lines == []


def test_packages_and_other_files_go_together(site: Site, disk: Disk, gateway: Make) -> None:
    slot = Slot()
    campaign = Campaign(site, whole(disk, "one"), b"plain bytes", whole(disk, "two"))
    assert gateway(campaign, installer=slot).run() is Event.SUCCEEDED
    assert slot.content == b"plain bytes"
    assert [re.sub(r"^\d+", "", key) for key in slot.runs] == ["-1"]
    assert disk.lines[-2:] == ["one activate", "two activate"]


def test_a_lone_package_ends_well_where_the_version_is_the_judge(site: Site, disk: Disk) -> None:
    board = site.devices(site.product_id)[0]
    artifact = site.artifact("1.0.3", content=whole(disk))
    rollout = site.ship(artifact, site.product_id, to=[board])
    gateway = Gateway(site.server.url, board.token, disk)
    with gateway.http:
        assert gateway.run() is Event.SUCCEEDED
    answer = site.ask("GET", f"/api/v1/rollouts/{rollout}").json()
    assert (answer["finishOn"], answer["counts"]["succeeded"]) == ("version", 1)
