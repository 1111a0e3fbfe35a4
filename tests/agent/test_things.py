"""Things behind a gateway, against the real server: plug-ins, packages, words to wait for, and whose turn it is."""

import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.agent.behind import Agent, Behind, Named, plug_in
from tests.agent.gateway import Disk, eventually, large
from tests.apis.site import Site

from airfreight.domain.phases import Phase
from airfreight.store import tables
from airfreight_agent import things
from airfreight_agent.machine import Action, Step
from airfreight_agent.state import StateFile

DOCS = Path(__file__).parents[2] / "docs" / "devices" / "linux-gateway.md"
Make = Callable[..., Agent]


@pytest.fixture
def behind(site: Site) -> Behind:
    return Behind(site)


@pytest.fixture
def agent(behind: Behind, disk: Disk) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(**plug_ins: str) -> Agent:
            made = Agent(behind.site.server.url, behind.board.token, disk, plug_ins)
            stack.enter_context(made.http)
            return made

        yield make


def three(behind: Behind) -> list[Named]:
    """Two lamps and a lock."""
    lamps = behind.things(behind.product("lamp"), "lamp-1", "lamp-2")
    return [*lamps, *behind.things(behind.product("lock"), "lock-1")]


def ends(behind: Behind, some: list[Named]) -> list[str]:
    return [":".join(behind.end(thing)).rstrip(":") for thing in some]


def test_things_of_two_types_are_updated_by_their_plug_ins(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)
    campaign = behind.campaign(some, b"plain bytes")
    agent(lamp=plug_in(disk, "lamp", "echo $1 goes well"), lock=plug_in(disk, "lock")).finish()
    assert ends(behind, some) == ["succeeded"] * 3
    assert disk.lines == [
        *("lamp install lamp-1", "lamp activate lamp-1"),
        *("lamp install lamp-2", "lamp activate lamp-2"),
        *("lock install lock-1", "lock activate lock-1"),
    ]
    assert campaign.progress(some[0]).lines == ["install goes well", "activate goes well"]
    assert [(row.done, row.total) for row in campaign.progress(some[0]).bytes.values()] == [(11, 11)]
    table = tables.deliveries
    assert behind.site.rows(select(table.c.id).where(table.c.device_id == behind.board.id)) == []
    assert list(disk.agent.glob("things/*/files/*")) == []


def test_one_that_fails_says_why_and_the_others_go_on(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)
    campaign = behind.campaign(some, b"plain bytes")
    fails = plug_in(disk, "lamp", "if test $1$uid = installlamp-1; then echo it is dark; exit 3; fi")
    work = agent(lamp=fails, lock=plug_in(disk, "lock"))
    work.finish()
    assert ends(behind, some) == ["failed:install_failed", "succeeded", "succeeded"]
    assert campaign.progress(some[0]).cause == "install: exit code 3: it is dark"
    assert work.things.has_failed


def test_a_file_that_is_no_package_for_a_type_without_a_plug_in_is_incompatible(
    behind: Behind, disk: Disk, agent: Make
) -> None:
    some = three(behind)
    campaign = behind.campaign(some, b"plain bytes")
    agent(lamp=plug_in(disk, "lamp")).finish()
    assert ends(behind, some) == ["succeeded", "succeeded", "failed:incompatible"]
    assert campaign.progress(some[2]).cause == "no package, and there is no plug-in for things of the type lock"


def test_the_scripts_of_a_package_are_told_for_which_thing(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)[:2]
    package = disk.package(execute='echo "$# $4 $AIRFREIGHT_THING" >> $LOG', activate="echo on")
    campaign = behind.campaign(some, package)
    agent().finish()
    assert ends(behind, some) == ["succeeded"] * 2
    one, two = (["metrics execute", f"4 {uid} {uid}", "metrics activate"] for uid in ("lamp-1", "lamp-2"))
    assert disk.lines == [*one, *two]
    assert campaign.progress(some[1]).lines == ["on"]


def test_packages_and_files_go_together_and_a_thing_is_activated_once(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)[:1]
    behind.campaign(
        some, b"first", disk.package("one", execute="", activate=""), b"second", disk.package("two", activate="")
    )
    agent(lamp=plug_in(disk, "lamp")).finish()
    assert ends(behind, some) == ["succeeded"]
    assert disk.lines == [
        *("lamp install lamp-1", "one execute", "lamp install lamp-1"),
        *("one activate", "lamp activate lamp-1", "two activate"),
    ]


def test_what_a_thing_says_that_it_runs_is_told_and_judges(behind: Behind, disk: Disk, agent: Make) -> None:
    product_id = behind.product("lamp")
    some = behind.things(product_id, "lamp-1", "lamp-2", "lamp-3", "lamp-4")
    behind.ship(b"plain bytes", "2.0.0", product_id)
    behavior = f"""
    seen={disk.folder}/$uid
    test $1 = activate && touch $seen
    test $1 = version || exit 0
    echo connecting
    case $uid in
    lamp-1) test -e $seen && echo 2.0.0 || echo 1.0.0 ;;
    lamp-2) echo 1.0.0 ;;
    lamp-3) ! test -e $seen && echo 1.0.0 || {{ echo it is dark; exit 4; }} ;;
    lamp-4) test -e $seen && echo 3.0.0 || echo 1.0.0 ;;
    esac"""
    agent(lamp=plug_in(disk, "lamp", behavior)).finish()
    wrong = ["failed:rolled_back", "failed:activate_failed", "failed:wrong_version"]
    assert ends(behind, some)[:2] + ends(behind, some)[3:] == ["succeeded", wrong[0], wrong[2]]
    assert behind.end(some[2])[0] in ("queued", "failed", "offered")
    answer = behind.site.ask("GET", f"/api/v1/devices/{some[0].id}").json()
    assert (answer["version"], answer["parentId"]) == ("2.0.0", behind.board.id)
    table = tables.history
    said = behind.site.rows(select(table.c.message).where(table.c.reason == "activate_failed"))
    assert "version: exit code 4: it is dark" in {row.message for row in said}


def test_a_plug_in_that_cannot_tell_a_version_is_believed(behind: Behind, disk: Disk, agent: Make) -> None:
    product_id = behind.product("lamp")
    some = behind.things(product_id, "lamp-1")
    behind.ship(b"plain bytes", "2.0.0", product_id)
    agent(lamp=plug_in(disk, "lamp")).finish()
    assert ends(behind, some) == ["succeeded"]
    assert behind.site.ask("GET", f"/api/v1/devices/{some[0].id}").json()["version"] == "2.0.0"


def test_one_that_waits_for_a_word_does_not_hold_up_the_others(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)
    campaign = behind.campaign(some, disk.package(headless=False, execute="echo $4 >> $LOG"))
    work = agent()
    for thing in some:
        campaign.approve(thing, Phase.DOWNLOAD)
    work.work_until(lambda: [state for state, _ in map(behind.end, some)] == ["downloaded"] * 3)
    campaign.approve(some[1], Phase.INSTALL)
    campaign.approve(some[1], Phase.ACTIVATE)
    work.work_until(lambda: behind.end(some[1])[0] == "succeeded")
    assert ends(behind, some) == ["downloaded", "succeeded", "downloaded"]
    work = agent()
    campaign.approve(some[0], Phase.INSTALL)
    campaign.approve(some[0], Phase.ACTIVATE)
    work.work_until(lambda: behind.end(some[0])[0] == "succeeded")
    assert disk.lines == ["metrics execute", "lamp-2", "metrics execute", "lamp-1"]
    assert work.things._jobs.keys() == {"lock-1"}


def test_one_that_is_removed_in_the_middle_is_forgotten_and_the_others_go_on(
    behind: Behind, disk: Disk, agent: Make
) -> None:
    some = three(behind)[:2]
    behind.campaign(some, b"plain bytes")
    waits = plug_in(disk, "lamp", "while test $1$uid = installlamp-1 && ! test -e $0.go; do sleep 0.05; done")
    work = agent(lamp=waits)
    thread = threading.Thread(target=work.finish)
    thread.start()
    eventually(lambda: disk.lines == ["lamp install lamp-1"])
    assert behind.site.ask("DELETE", f"/api/v1/devices/{some[0].id}").status_code == 204
    Path(f"{waits}.go").touch()
    thread.join()
    assert ends(behind, some[1:]) == ["succeeded"]
    assert not work.home("lamp-1").exists()
    assert work.home("lamp-2").exists()
    assert "lamp activate lamp-1" not in disk.lines


def test_one_that_was_removed_while_it_had_nothing_to_do_is_forgotten_too(
    behind: Behind, disk: Disk, agent: Make
) -> None:
    some = three(behind)[:2]
    behind.campaign(some, b"plain bytes")
    work = agent(lamp=plug_in(disk, "lamp"))
    work.finish()
    assert behind.site.ask("DELETE", f"/api/v1/devices/{some[1].id}").status_code == 204
    work.work_until(lambda: not work.home("lamp-2").exists())
    assert work.home("lamp-1").exists()


def test_names_that_mean_something_to_a_file_system_are_only_names(behind: Behind, disk: Disk, agent: Make) -> None:
    some = behind.things(behind.product("lamp"), ".", "..", "...", "-rf", "a:b", "z" * 64)
    behind.campaign(some, b"plain bytes")
    agent(lamp=plug_in(disk, "lamp")).finish()
    assert ends(behind, some) == ["succeeded"] * len(some)
    assert sorted(path.name for path in (disk.agent / "things").iterdir()) == sorted(
        ["%2E", "%2E%2E", "...", "-rf", "a:b", "z" * 64]
    )
    assert sorted(path.name for path in disk.agent.iterdir()) == ["files", "reserve", "things"]
    assert all(StateFile(path / "state.json").load().attempt for path in (disk.agent / "things").iterdir())


def test_downloads_take_turns(behind: Behind, disk: Disk, agent: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "STRETCH_SECONDS", 0.0)
    some = three(behind)[:2]
    behind.campaign(some, large(1))
    work = agent(lamp=plug_in(disk, "lamp"))
    parts: Counter[str] = Counter()

    seen: list[dict[str, int]] = []

    def look() -> bool:
        for part in (disk.agent / "things").glob("*/files/*.part"):
            parts[part.parent.parent.name] = max(parts[part.parent.parent.name], part.stat().st_size)
        seen.append(dict(parts))
        return ends(behind, some) == ["succeeded"] * 2

    work.work_until(look)
    assert any(0 < sizes.get("lamp-1", 0) < 1 << 20 and 0 < sizes.get("lamp-2", 0) < 1 << 20 for sizes in seen)


def test_while_the_gateway_activates_nothing_is_installed_behind_it(behind: Behind, disk: Disk, agent: Make) -> None:
    some = three(behind)[:1]
    campaign = behind.campaign(some, b"plain bytes")
    behind.ship_own(disk.package(activate=""), "1.0.3")
    work = agent(lamp=plug_in(disk, "lamp"))
    device = work.device
    while not (device.memory.step is Step.ACTIVATING and device.next_action is Action.ACTIVATE):
        device.step()
    job = work.things._jobs
    work.work_until(lambda: job and job["lamp-1"].device and job["lamp-1"].device.next_action is Action.INSTALL)
    for _ in range(30):
        work.things.step()
        time.sleep(0.02)
    assert (behind.end(some[0])[0], disk.lines) == ("installing", [])
    while device.memory.is_open:
        device.step()
    work.finish()
    assert ends(behind, some) == ["succeeded"]
    assert disk.lines == ["metrics activate", "lamp install lamp-1", "lamp activate lamp-1"]
    assert campaign.progress(some[0]).cause == ""


def test_the_gateway_lets_an_installation_behind_it_end_before_it_activates(
    behind: Behind, disk: Disk, agent: Make
) -> None:
    some = three(behind)[:2]
    behind.campaign(some, b"plain bytes")
    behind.ship_own(disk.package(activate=""), "1.0.3")
    waits = plug_in(
        disk, "lamp", "test $1 = version || { while ! test -e $0.go; do sleep 0.05; done; echo $1 done >> $LOG; }"
    )
    work = agent(lamp=waits)
    thread = threading.Thread(target=work.finish)
    thread.start()
    eventually(lambda: disk.lines == ["lamp install lamp-1"])
    device = work.device
    while not (device.memory.step is Step.ACTIVATING and device.next_action is Action.ACTIVATE):
        device.step()
    own = threading.Thread(target=device.step)
    own.start()
    time.sleep(0.5)
    assert disk.lines == ["lamp install lamp-1"]
    Path(f"{waits}.go").touch()
    own.join()
    assert disk.lines[:3] == ["lamp install lamp-1", "install done", "metrics activate"], (
        "and nobody came before it again"
    )
    while device.memory.is_open:
        device.step()
    thread.join()
    assert ends(behind, some) == ["succeeded"] * 2


def test_a_plug_in_that_takes_too_long_is_ended(behind: Behind, disk: Disk) -> None:
    some = three(behind)[:2]
    campaign = behind.campaign(some, b"plain bytes")
    hangs = plug_in(disk, "lamp", "test $1$uid = installlamp-1 && exec sleep 60; exit 0")
    work = Agent(behind.site.server.url, behind.board.token, disk, {"lamp": hangs}, script_seconds=0.5)
    with work.http:
        work.work_until(lambda: ends(behind, some)[0].startswith("failed"))
        habits = work.things._habits  # the other one is not to fail because the machine is slow
        work.things._habits = replace(habits, rules=replace(habits.rules, script_seconds=60.0))
        work.finish()
    assert ends(behind, some) == ["failed:install_failed", "succeeded"]
    assert "it took longer than 0.5 seconds" in campaign.progress(some[0]).cause


def test_the_sample_plug_in_of_the_documentation_works(behind: Behind, disk: Disk, agent: Make) -> None:
    [script] = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", DOCS.read_text(), re.DOTALL)
    path = disk.folder / "sample"
    path.write_text(script.replace("/srv/lamps", str(disk.folder / "lamps")))
    path.chmod(0o700)
    (disk.folder / "lamps" / "lamp-1").mkdir(parents=True)
    product_id = behind.product("lamp")
    some = behind.things(product_id, "lamp-1", "lamp-2")
    behind.ship(b"plain bytes", "2.0.0", product_id)
    agent(lamp=str(path)).finish()
    assert ends(behind, some)[0] == "succeeded"
    assert (disk.folder / "lamps" / "lamp-1" / "firmware").read_bytes() == b"plain bytes"
    assert subprocess.check_output([path, "version", "lamp-1"], text=True) == "2.0.0\n"
    assert behind.end(some[1])[0] != "succeeded", "there is no such lamp"
