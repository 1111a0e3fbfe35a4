"""`campaign` and `package` against a real server: what is sent, what is shown, and how it ends."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.cli.conftest import Run
from tests.cli.served import CLIENT, PATIENCE, Device, Ok, Server
from tests.formats.packages import TOLD, package

Made = Callable[[str], Device]


def a_package(folder: Path, name: str, *, headless: bool = True) -> Path:
    path = folder / f"{name}-1.0.iotcp"
    path.write_bytes(package(told={**TOLD, "NAME": name, "HEADLESS_EXECUTION": headless}))
    return path


@pytest.fixture(scope="module")
def uids() -> Callable[[], str]:
    """Gives every test gateways of its own."""
    numbers = iter(range(1, 1000))
    return lambda: f"cgw-{next(numbers)}"


@pytest.fixture
def gateways(ok: Ok, uids: Callable[[], str]) -> Callable[[int], dict[str, str]]:
    """Makes gateways; uid -> token."""

    def make(count: int) -> dict[str, str]:
        products = [one["name"] for one in ok("product", "list")["items"]]
        if "Gateway" not in products:
            ok("product", "create", "Gateway")
        made = [ok("device", "create", "--product", "Gateway", "--uid", uids()) for _ in range(count)]
        return {one["uid"]: one["token"] for one in made}

    return make


def shown(out: str) -> dict[str, str]:
    """The lines of a record."""
    return {name: value.strip() for name, _, value in (line.partition("  ") for line in out.splitlines())}


def phases(out: str) -> dict[str, list[str]]:
    """The table of phases: waiting, under way, done."""
    rows = [line.split() for line in out.splitlines()]
    return {row[0]: row[1:] for row in rows if row and row[0] in {"download", "execution", "activation"}}


def go(one: Device, *events: str, first: int, **more: object) -> int:
    """Report events as `first`, `first` + 1, ... of the attempt that the device is told; the next number."""
    attempt = one.instruction()["attempt"]
    reports = [{"attempt": attempt, "seq": first + n, "event": event} for n, event in enumerate(events)]
    reports[-1] |= more
    answer = one.report_all(reports)
    assert set(answer) <= {"moved", "noted"}, answer
    return first + len(events)


# packages


def test_a_package_is_uploaded_shown_listed_and_deleted(ok: Ok, run: Run, tmp_path: Path) -> None:
    file = a_package(tmp_path, "metrics", headless=False)
    made = ok("package", "upload", str(file), "--description", "of disks")
    assert UUID(made["id"])
    assert (made["name"], made["description"]) == (file.name, "of disks")
    assert made["artifact"]["size"] == file.stat().st_size
    told = shown(run("package", "show", file.name).out)
    assert told["kind"] == "package metrics"
    assert told["approval"] == "each phase waits until it is given its time"
    assert told["phases"].startswith("verify (verify.sh), execute (execute.sh), validate")
    assert (told["version"], told["created by"]) == ("1.0.3", "ada@example.com")
    assert [one["id"] for one in ok("package", "list", "--name", "METRICS")["items"]] == [made["id"]]
    assert ok("package", "delete", made["id"], "--yes") == {"id": made["id"], "deleted": True}
    gone = run("package", "show", made["id"])
    assert (gone.code, "not found" in gone.err) == (1, True)


def test_any_other_file_is_a_package_too_and_says_so(ok: Ok, run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("plain")
    made = ok("package", "upload", str(tmp_path / "notes.txt"))
    told = shown(run("package", "show", made["id"]).out)
    assert told["kind"] == "a file, not a package: generic"
    assert (told["phases"], told["approval"]) == ("-", "none needed")


def test_a_package_that_lies_is_refused_in_words(ok: Ok, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "liar-1.0.iotcp"
    file.write_bytes(package(sums=lambda good: good.replace(b"sha256=", b"sha256=00", 1)))
    refused = run("package", "upload", str(file))
    assert refused.code == 1
    assert "CHECK_SUMS" in refused.err
    assert ok("package", "list", "--name", "liar")["items"] == []


def test_two_of_one_name_are_told_apart_by_their_ids(ok: Ok, run: Run, tmp_path: Path) -> None:
    file = a_package(tmp_path, "twin")
    ids = {ok("package", "upload", str(file))["id"] for _ in range(2)}
    refused = run("package", "show", file.name)
    assert refused.code == 2
    assert all(one in refused.err for one in ids)
    pages = [ok("package", "list", "--name", "twin", "--limit", "1", "--page", str(n)) for n in (1, 2)]
    assert {one["id"] for answer in pages for one in answer["items"]} == ids
    assert [answer["next"] for answer in pages] == [2, None]
    assert "--page 2" in run("package", "list", "--name", "twin", "--limit", "1").err


# the life of a campaign


def test_a_campaign_from_its_files_to_its_end(
    ok: Ok, run: Run, device: Made, gateways: Callable[[int], dict[str, str]], tmp_path: Path
) -> None:
    first, second = made = gateways(2)
    (tmp_path / "gateways.txt").write_text(f"{first}\n\n{second},Roof\n")
    file = a_package(tmp_path, "life", headless=False)
    created = run(
        *("campaign", "create", "The life", "--package", str(file), "--from", str(tmp_path / "gateways.txt")),
        *("--description", "all of it", "--set", "ticket=OPS-1"),
    )
    assert created.code == 0, created.err
    told = shown(created.out)
    assert (told["status"], told["gateways"], told["approval"]) == ("created", "2", "not needed")
    assert told["packages"] == "life-1.0.iotcp 1.0.3"
    assert (told["settings"], told["description"]) == ("ticket: OPS-1", "all of it")
    assert f"airfreight campaign start {told['id']}" in created.err
    early = run("campaign", "watch", "The life", "--timeout", "0.2")
    assert (early.code, "It is not started" in early.err) == (124, True)
    assert "Campaign The life is started." in run("campaign", "start", "The life").out
    waiting = run("campaign", "gateways", "The life").out
    assert waiting.count("nobody has given the download its time yet") == 2
    assert run("campaign", "schedule", "The life", "download", "--all").out == (
        "The download of 2 gateways may begin now.\n"
    )
    here, there = device(made[first]), device(made[second])
    assert go(here, "downloading", "downloaded", first=1) == 3
    go(there, "downloading", first=1)
    assert phases(run("campaign", "show", "The life").out) == {
        "download": ["0", "1", "1"],
        "execution": ["1", "0", "0"],
        "activation": ["0", "0", "0"],
    }
    again = run("campaign", "schedule", "The life", "download", first, second)
    assert (again.code, again.out.count("That phase of this gateway has begun")) == (1, 2)
    for phase in ("execution", "activation"):
        assert run("campaign", "schedule", "The life", phase, first, second).code == 0

    def finish() -> None:
        time.sleep(0.3)
        go(here, "installing", "installed", "activating", "succeeded", first=3)
        go(there, "downloaded", "installing", "installed", "activating", "succeeded", first=2)

    updating = threading.Thread(target=finish)
    updating.start()
    watched = run("campaign", "watch", "The life", "--interval", "0.1")
    updating.join()
    assert (watched.code, watched.err) == (0, "")
    assert watched.out.splitlines()[-1].endswith("started: 2 of 2 ended (succeeded 2)")
    last = ok("campaign", "watch", "The life")
    assert (last["counts"]["succeeded"], last["total"], last["id"]) == (2, 2, told["id"])
    early = run("campaign", "delete", "The life", "--yes")
    assert (early.code, "STARTED" in early.err) == (1, True)
    assert run("campaign", "stop", "The life").out == "Campaign The life is stopped.\n"
    assert ok("campaign", "show", told["id"])["status"] == "STOPPED"
    assert ok("campaign", "delete", "The life", "--yes") == {"id": told["id"], "deleted": True}
    assert run("campaign", "show", "The life").code == 1


def test_what_a_gateway_said_is_in_its_log_and_watch_fails(
    ok: Ok, run: Run, device: Made, gateways: Callable[[int], dict[str, str]], tmp_path: Path
) -> None:
    [(uid, token)] = gateways(1).items()
    file = a_package(tmp_path, "fails")
    started = run("campaign", "create", "It fails", "--package", str(file), "--gateway", uid, "--start")
    assert "campaign watch" in started.err
    one = device(token)
    number = ok("campaign", "show", "It fails")["rollout"]
    printed = [f"step {n}" for n in range(1, 31)]
    next_seq = go(one, "downloading", "downloaded", "installing", first=1, lines=printed, progress=40)
    about = shown(run("device", "explain", uid).out)
    assert about["rollout"] == f"{number}, It fails"
    assert about["where"].startswith("installing (40 %), since ")
    assert about["try"] == "1 of 1"
    assert "(in 24 h), or this try has failed" in about["must report"]
    at_it = run("campaign", "gateway", "It fails", uid)
    assert shown(at_it.out)["state"] == "waiting for execution"
    assert "fails-1.0.iotcp" in at_it.out
    assert "    | step 30" in at_it.out
    go(one, "failed", first=next_seq, reason="install_failed", message="exit code 3")
    log = run("device", "log", uid)
    assert log.out.startswith(
        f"Rollout {number}, It fails: Failed: the device could not install the file (try 1 of 1)."
    )
    assert "install_failed: exit code 3" in log.out
    assert "    | ... 10 lines before these: --lines 30 shows all\n    | step 11\n" in log.out
    assert "step 1\n" not in log.out
    assert "step 1\n" in run("device", "log", uid, "--lines", "30").out
    whole = ok("device", "log", uid)
    assert whole["delivery"]["reason"] == "install_failed"
    assert [one for event in whole["events"] for one in event["lines"]] == printed
    listed = run("campaign", "gateways", "It fails", "--state", "failed", "--reason", "install_failed")
    assert "It said: exit code 3" in listed.out
    assert ok("campaign", "gateways", "It fails", "--state", "succeeded")["items"] == []
    assert "failed 1 (install_failed 1)" in run("campaign", "show", "It fails").out
    watched = run("campaign", "watch", "It fails")
    assert watched.code == 1
    assert "See them with `airfreight campaign gateways 'It fails'`" in watched.err
    assert "rollout" not in shown(run("device", "explain", uid).out)


def test_approval_is_asked_for_given_and_needed_again(ok: Ok, run: Run, server: Server, tmp_path: Path) -> None:
    organization = ok("whoami")["organizationId"]
    token = httpx.post(
        f"{server.url}/oauth2/token",
        params={"grant_type": "client_credentials"},
        auth=(CLIENT["AIRFREIGHT_CLIENT_ID"], CLIENT["AIRFREIGHT_CLIENT_SECRET"]),
        timeout=PATIENCE,
    ).json()["access_token"]
    settings = f"{server.url}/api/organizations/{organization}/settings"
    headers = {"Authorization": f"Bearer {token}"}

    def ask(*, needed: bool) -> None:
        body = [{"category": "campaign", "settings": {"approvalNeeded": needed}}]
        assert httpx.put(settings, headers=headers, json=body, timeout=PATIENCE).status_code == 200

    ask(needed=True)
    try:
        uid = ok("campaign", "create", "Careful", "--package", str(a_package(tmp_path, "careful")))["id"]
    finally:
        ask(needed=False)
    assert shown(run("campaign", "show", uid).out)["approval"] == "needed, and not given yet"
    assert "airfreight campaign approve" in run("campaign", "watch", uid, "--timeout", "0").err
    early = run("campaign", "start", uid)
    assert (early.code, "approved" in early.err) == (1, True)
    assert run("campaign", "approve", "Careful").out == "Campaign Careful is approved.\n"
    assert shown(run("campaign", "show", uid).out)["approval"] == "given"
    assert [one["id"] for one in ok("campaign", "list", "--status", "approved")["items"]] == [uid]
    edited = ok("campaign", "edit", uid, "--package", str(a_package(tmp_path, "other")), "--name", "More careful")
    assert (edited["status"], edited["name"]) == ("APPROVAL_NEEDED", "More careful")
    assert run("campaign", "list", "--status", "approval-needed", "--name", "more").out.count(uid) == 1


# gateways


def test_gateways_come_and_go_all_or_none_and_the_wrong_ones_are_named(
    ok: Ok, run: Run, gateways: Callable[[int], dict[str, str]]
) -> None:
    first, second, third = gateways(3)
    ok("campaign", "create", "Come and go")
    refused = run("campaign", "add", "Come and go", first, "nobody-1", second, "nobody-2")
    assert refused.code == 1
    assert refused.err == "The list of gateways has 2 that do not exist: nobody-1, nobody-2. Nothing was changed.\n"
    assert ok("campaign", "gateways", "Come and go")["items"] == []
    assert run("campaign", "add", "Come and go", first, second, third, first).out == (
        "Added 3 gateways to campaign Come and go.\n"
    )
    absent = run("campaign", "remove", "Come and go", first, "nobody-1", "--yes")
    assert (absent.code, "nobody-1" in absent.err) == (1, True)
    unasked = run("campaign", "remove", "Come and go", first)
    assert (unasked.code, "Give --yes" in unasked.err) == (2, True)
    assert ok("campaign", "remove", "Come and go", first, "--yes")["removed"] == 1
    page = ok("campaign", "gateways", "Come and go", "--limit", "1")
    rest = ok("campaign", "gateways", "Come and go", "--limit", "1", "--after", str(page["next"]))
    assert [one["deviceUid"] for one in page["items"] + rest["items"]] == [second, third]
    assert rest["next"] is None
    assert ok("campaign", "show", "Come and go")["total"] == 2
    assert run("campaign", "close", "Come and go", second, "--yes").out == (
        f"Closed the campaign for gateway {second}.\n"
    )
    assert "an operator closed it" in run("campaign", "gateways", "Come and go", "--state", "canceled").out
    told = run("campaign", "notify", "Come and go", third, first)
    assert told.code == 1
    assert told.out.startswith(f"Told gateway {third} to come.\n")
    assert first in told.out


def test_a_time_is_local_or_says_its_zone_and_every_gateway_gets_it(
    ok: Ok, run: Run, gateways: Callable[[int], dict[str, str]], tmp_path: Path
) -> None:
    [uid] = gateways(1)
    file = a_package(tmp_path, "times", headless=False)
    ok("campaign", "create", "Times", "--package", str(file), "--gateway", uid, "--start")
    slot = ("--begin", "2099-01-31T04:00Z", "--end", "2099-01-31T06:00Z")
    done = run("campaign", "schedule", "Times", "download", uid, *slot)
    assert done.code == 0
    begin, end = (f"{datetime(2099, 1, 31, hour, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}" for hour in (4, 6))
    assert done.out == f"The download of gateway {uid} may begin at {begin}, before {end}.\n"
    listed = ok("campaign", "gateways", "Times")["items"][0]["words"]
    assert "2099-01-31T04:00" in listed, listed
    past = run("campaign", "schedule", "Times", "download", uid, "--end", "2020-01-01")
    assert (past.code, "end is in the past." in past.out) == (1, True)
    assert "Nothing was done." in past.out
    refused = json.loads(run("campaign", "schedule", "Times", "download", "nobody-9", "--json").out)
    assert [one["gateway"] for one in refused["refused"]] == ["nobody-9"]


def test_things_are_added_behind_their_gateway_and_those_that_cannot_be_are_named(
    ok: Ok, run: Run, gateways: Callable[[int], dict[str, str]]
) -> None:
    [uid] = gateways(1)
    ok("device", "create", "--product", "Gateway", "--uid", f"{uid}-lamp", "--parent", uid)
    ok("campaign", "create", "Things")
    added = run("campaign", "add", "Things", f"{uid}-lamp", f"{uid}-none", "--behind", uid)
    assert added.code == 1
    assert added.out == f"Added thing {uid}-lamp to campaign Things.\n"
    assert added.err.startswith(f"Not added: {uid}-none (")
    assert [one["deviceUid"] for one in ok("campaign", "gateways", "Things")["items"]] == [f"{uid}-lamp"]
    direct = run("campaign", "add", "Things", f"{uid}-lamp")
    assert (direct.code, f"behind one: {uid}-lamp" in direct.err) == (1, True)


def test_a_group_is_followed_and_a_webhook_told(
    ok: Ok, run: Run, gateways: Callable[[int], dict[str, str]], tmp_path: Path
) -> None:
    [uid] = gateways(1)
    group = ok("group", "create", "All of it", "--filter", f'uid = "{uid}"')["id"]
    webhook = ok("webhook", "create", "told", "https://receiver.invalid/hook")
    file = a_package(tmp_path, "follows")
    made = ok("campaign", "create", "Follows", "--package", str(file), "--group", str(group), "--every", "5")
    assert made["distributionList"]["reevaluationIntervalSeconds"] == "5"
    assert "every 5 seconds" in shown(run("campaign", "show", "Follows").out)["follows"]
    told = run("campaign", "callback", "Follows", "completed", "--webhook", str(webhook["id"]))
    assert told.out == f"Campaign Follows tells webhook {webhook['id']}: completed.\n"
    assert webhook["uid"] in shown(run("campaign", "show", "Follows").out)["callbacks"]
    states = ("state-change", "--webhook", str(webhook["id"]), "--state")
    assert run("campaign", "callback", "Follows", *states, "failed").code == 0
    wrong = run("campaign", "callback", "Follows", *states, "flying")
    assert (wrong.code, "--state" in wrong.err) == (1, True)
    assert run("campaign", "callback", "Follows", "completed", "--none").code == 0
    ok("campaign", "start", "Follows")
    deadline = time.monotonic() + PATIENCE
    while not ok("campaign", "gateways", "Follows")["items"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert run("campaign", "follow", "Follows", "--none").out == "Campaign Follows follows no group.\n"
    assert run("campaign", "follow", "Follows", "--group", "99999").code == 1
    assert "every 60 seconds" in run("campaign", "follow", "Follows", "--group", str(group)).out


# what goes wrong halfway


def test_a_campaign_that_cannot_be_made_whole_says_what_is_there(ok: Ok, run: Run) -> None:
    half = run("campaign", "create", "Half", "--gateway", "nobody-3")
    assert half.code == 1
    assert "is made, but not all" in half.err
    assert "do not exist: nobody-3" in half.err
    [made] = ok("campaign", "list", "--name", "half")["items"]
    assert made["id"] in half.err


def test_unknown_packages_and_groups_cost_no_campaign_and_no_upload(ok: Ok, run: Run, tmp_path: Path) -> None:
    file = a_package(tmp_path, "costs")
    for wrong in (("--package", "no-such-package"), ("--group", "99999")):
        refused = run("campaign", "create", "Costs", "--package", str(file), *wrong)
        assert refused.code == 1, wrong
    assert ok("campaign", "list", "--name", "Costs")["items"] == []
    assert ok("package", "list", "--name", "costs")["items"] == []


# organizations below


def test_campaigns_packages_and_rollouts_of_an_organization_below(ok: Ok, run: Run, tmp_path: Path) -> None:
    below = ("--org", str(ok("org", "create", "Below")["id"]))
    product = ok("product", "create", "Below gateway", *below)["id"]
    httpx_device = ok("device", "create", "--product", str(product), "--uid", "below-1")
    ok("package", "upload", str(a_package(tmp_path, "below")), *below)
    made = ok("campaign", "create", "Below", "--package", "below-1.0.iotcp", "--gateway", "below-1", *below)
    assert ok("campaign", "show", "Below", *below)["id"] == made["id"]
    assert run("campaign", "show", "Below").code == 1
    assert ok("campaign", "gateways", "Below", *below)["items"][0]["deviceId"] == httpx_device["id"]
    (tmp_path / "plain.bin").write_bytes(b"plain")
    artifact = str(ok("artifact", "upload", str(tmp_path / "plain.bin"))["id"])
    started = run(
        *("rollout", "start", "--title", "below", "--artifact", artifact, "--device", "below-1"),
        *("--reset-period", "3600", *below),
    )
    assert started.code == 0, started.err
    told = shown(started.out)
    assert told["counted anew after"] == "3600 seconds"
    assert f"shipment watch {told['id']} {' '.join(below)}" in started.err
    assert run("shipment", "watch", told["id"], "--timeout", "0").code == 1
    assert run("shipment", "watch", told["id"], "--timeout", "0", *below).code == 124
    listed = ok("rollout", "list", *below)["items"]
    assert [one["origin"] for one in listed] == ["campaigns", "native"]
    assert "campaigns" in run("rollout", "list", *below).out
    assert told["id"] not in [str(one["id"]) for one in ok("rollout", "list")["items"]]
    assert "never heard of" in run("shipment", "devices", told["id"], *below).out
