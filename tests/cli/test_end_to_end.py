"""The whole way against a real server: from `login` to a device that runs the new version."""

import csv
import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result, Run
from tests.cli.served import ADMIN, BUILD, CLIENT, Device, Ok, Server

from airfreight.cli import config


def firmware(tmp_path: Path, version: str) -> Path:
    tag = ["mcu", version, "fw-type", "lamp", "build", BUILD, "blynk", "1.3.2"]
    path = tmp_path / f"lamp-{version}.bin"
    noise = random.Random(version)
    marked = b"blnkinf\0" + "\0".join(tag).encode() + b"\0\0\0"
    path.write_bytes(noise.randbytes(50_000) + marked + noise.randbytes(50_000))
    return path


def watch(run: Run, number: int) -> Result:
    return run("shipment", "watch", str(number), "--interval", "0.2")


def test_from_login_to_the_new_version(
    run: Run, server: Server, device: Callable[[str], Device], tmp_path: Path
) -> None:
    login = ("login", "--server", server.url)
    client = ("--client-id", CLIENT["AIRFREIGHT_CLIENT_ID"], "--client-secret", CLIENT["AIRFREIGHT_CLIENT_SECRET"])
    user = ("--email", ADMIN["AIRFREIGHT_ADMIN_EMAIL"], "--password", ADMIN["AIRFREIGHT_ADMIN_PASSWORD"])
    assert run(*login, *client).code == 0
    assert run(*login, *client, *user).out.startswith(f"Logged in to {server.url} as ada@example.com (admin) of ")
    assert "OTA_START" in run("whoami").out

    assert run("product", "create", "Lamp", "--json").code == 0
    made = json.loads(run("device", "create", "--product", "Lamp", "--uid", "lamp-1", "--json").out)
    lamp = device(made["token"])
    lamp.boot("2.3.0")
    file = firmware(tmp_path, "2.3.1")
    created = run("shipment", "create", str(file), "--product", "Lamp", "--title", "lamp 2.3.1", "--json")
    assert created.code == 0, created.err
    shipment = json.loads(created.out)
    assert (shipment["status"], shipment["firmwareInfo"]["version"]) == ("RUN", "2.3.1")
    number = shipment["id"]
    assert "lamp 2.3.1" in run("shipment", "list").out
    assert "running" in run("shipment", "show", str(number)).out
    assert "lamp-1" in run("shipment", "devices", str(number)).out
    explained = run("device", "explain", str(made["id"]))
    assert explained.out.split()[:2] == ["now", "download"]

    updating = threading.Thread(target=lamp.update, args=(file.read_bytes(), "2.3.1"))
    updating.start()
    watched = watch(run, number)
    updating.join()
    assert watched.code == 0, watched
    assert watched.out.splitlines()[-1].endswith("running: 1 of 1 ended (succeeded 1)")
    assert watched.err == f"The shipment stays open for new devices until `airfreight shipment stop {number}`.\n"
    assert run("shipment", "stop", str(number)).out == f"Shipment {number} is stopped.\n"
    shown = dict(line.split(maxsplit=1) for line in run("device", "show", str(made["id"])).out.splitlines())
    assert shown["version"].strip() == "2.3.1"


def test_a_device_that_fails_makes_watch_fail_and_is_in_the_clone(
    ok: Ok, run: Run, device: Callable[[str], Device], tmp_path: Path
) -> None:
    product = ok("product", "create", "Failing lamp")["id"]
    made = ok("device", "create", "--product", str(product))
    lamp = device(made["token"])
    lamp.boot("2.3.0")
    file = firmware(tmp_path, "2.3.1")
    artifact = ok("artifact", "upload", str(file))
    options = ("--product", str(product), "--title", "fails", "--attempts", "1", "--device", str(made["id"]))
    number = ok("shipment", "create", "--path", artifact["path"], *options)["id"]
    lamp.report(lamp.instruction()["attempt"], "failed", reason="no_space")
    watched = watch(run, number)
    assert watched.code == 1
    assert watched.out.splitlines()[-1].endswith("finished: 1 of 1 ended (failed 1)")
    failed = run("shipment", "devices", str(number), "--reason", "no_space")
    assert "Failed: the device has no room for the file (try 1 of 1)." in failed.out
    assert run("shipment", "clone", str(number), "--devices", "all", "--title", "").code == 1

    again = ok("shipment", "clone", str(number))["id"]
    assert run("shipment", "watch", str(again), "--interval", "0.1", "--timeout", "0.3").code == 124
    lamp.update(file.read_bytes(), "2.3.1")
    assert watch(run, again).code == 0
    out = tmp_path / "devices.csv"
    assert run("shipment", "export", str(again), "--out", str(out)).code == 0
    [row] = csv.DictReader(out.read_text(encoding="utf-8").splitlines())
    assert (row["deviceId"], row["state"], row["reportedVersion"]) == (str(made["id"]), "succeeded", "2.3.1")
    written = json.loads(run("shipment", "export", str(again), "--format", "json").out)
    assert [item["words"] for item in written["items"]] == ["Updated; the device reports 2.3.1."]
    shown = run("shipment", "show", str(again)).out
    assert "fails (again)" in shown
    assert "offered 1, downloading 1, downloaded 1, installing 1, installed 1, activating 1, succeeded 1" in shown
    nobody = run("shipment", "clone", str(again))
    assert (nobody.code, nobody.err) == (
        1,
        "No device that failed is left of this rollout. Choose other devices, or make a new rollout.\n",
    )


def test_a_shipment_is_paused_resumed_stopped_and_deleted(ok: Ok, run: Run, tmp_path: Path) -> None:
    product = ok("product", "create", "Slow lamp")["id"]
    ok("device", "create", "--product", str(product))
    artifact = ok("artifact", "upload", str(firmware(tmp_path, "2.3.1")))
    options = ("--product", "Slow lamp", "--title", "stops", "--artifact", str(artifact["id"]), "--time", "night")
    number = str(ok("shipment", "create", *options)["id"])
    assert run("shipment", "pause", number).out == f"Shipment {number} is paused.\n"
    assert run("shipment", "resume", number).out == f"Shipment {number} is running.\n"
    early = run("shipment", "delete", number)
    assert early.code == 1
    assert early.err
    assert run("shipment", "stop", number).out == f"Shipment {number} is stopped.\n"
    assert watch(run, int(number)).code == 1
    assert ok("shipment", "delete", number) == {"id": int(number), "deleted": True}
    assert run("shipment", "show", number).code == 1
    assert ok("artifact", "show", str(artifact["id"]))["sha256"] == artifact["sha256"]


def test_an_expired_login_is_renewed_by_the_server(run: Run, server: Server) -> None:
    secret = CLIENT["AIRFREIGHT_CLIENT_SECRET"]
    client = ("--client-id", CLIENT["AIRFREIGHT_CLIENT_ID"], "--client-secret", secret)
    assert run("login", "--server", server.url, *client).code == 0
    login = config.load()
    assert login is not None
    config.save(config.Login(login.server, login.client_id, secret, None, "forgotten", login.refresh_token, 0))
    assert run("whoami").code == 0
    renewed = config.load()
    assert renewed is not None
    assert renewed.refresh_token not in {None, login.refresh_token}
    assert renewed.expires_at > time.time()


def test_what_a_role_may_not_do_names_the_permission(ok: Ok, run: Run, server: Server, home: Path) -> None:
    ok("user", "create", "eve@example.com", "--password", "a long password", "--role", "user")
    user = ("--email", "eve@example.com", "--password", "a long password")
    environment = {name: os.environ.pop(name) for name in [*CLIENT, "AIRFREIGHT_SERVER"]}
    try:
        client = ("--client-id", CLIENT["AIRFREIGHT_CLIENT_ID"], "--client-secret", CLIENT["AIRFREIGHT_CLIENT_SECRET"])
        assert run("login", "--server", server.url, *client, *user).code == 0
        refused = run("product", "create", "Not mine")
    finally:
        os.environ.update(environment)
    assert refused.code == 1
    assert "for the permission PRODUCT_EDIT" in refused.err


def test_refusals_of_the_server_arrive_in_words(ok: Ok, run: Run, tmp_path: Path) -> None:
    missing = run("device", "show", "999999")
    assert (missing.code, missing.out) == (1, "")
    assert "or you don't have access to it" in missing.err
    product = str(ok("product", "create", "Full")["id"])
    ok("device", "create", "--product", product)
    assert run("product", "delete", product).code == 1
    taken = run("product", "create", "Full")
    assert taken.code == 1
    long_name = run("product", "create", "x" * 1000)
    assert long_name.code == 1
    assert "x" * 50 not in long_name.err


def test_every_noun_is_created_listed_and_deleted(ok: Ok, tmp_path: Path) -> None:
    product = ok("product", "create", "Short lived", "--time-zone", "Europe/Oslo")["id"]
    source = tmp_path / "devices.csv"
    source.write_text("bulk-1,Kitchen\nbulk-2\n")
    bulk = ok("device", "bulk-create", "--product", str(product), "--from", str(source))["items"]
    counted = ok("device", "bulk-create", "--product", str(product), "--count", "3")["items"]
    assert [item["uid"] for item in bulk] == ["bulk-1", "bulk-2"]
    assert len({item["token"] for item in bulk + counted}) == 5
    first = ok("device", "list", "--product", "Short lived", "--limit", "2")
    rest = ok("device", "list", "--product", "Short lived", "--after", str(first["next"]))
    listed = [item["id"] for page in (first, rest) for item in page["items"]]
    assert sorted(listed) == sorted(item["id"] for item in bulk + counted)
    assert [item["uid"] for item in ok("device", "list", "--query", "bulk-2")["items"]] == ["bulk-2"]
    assert ok("device", "rotate-token", str(bulk[0]["id"]))["token"] != bulk[0]["token"]
    for number in listed:
        ok("device", "delete", str(number))
    ok("product", "create", "Never used")
    ok("product", "delete", "Never used")
    for noun, arguments in {
        "client": ("Build",),
        "enrollment-key": ("Line 2",),
        "user": ("bob@example.com", "--password", "a long password"),
    }.items():
        number = ok(noun, "create", *arguments)["id"]
        assert number in [item["id"] for item in ok(noun, "list")["items"]], noun
        ok(noun, "delete", str(number))
        assert number not in [item["id"] for item in ok(noun, "list")["items"]], noun
    organization = ok("org", "create", "North plant")["id"]
    assert organization in [item["id"] for item in ok("org", "list")["items"]]
    artifact = ok("artifact", "upload", str(firmware(tmp_path, "9.9.9")))["id"]
    assert artifact in [item["id"] for item in ok("artifact", "list", "--limit", "500")["items"]]
    ok("artifact", "delete", str(artifact))


def test_several_files_go_out_in_one_rollout(ok: Ok, run: Run, device: Callable[[str], Device], tmp_path: Path) -> None:
    product = ok("product", "create", "Two files", "--part", "os", "--chunks", "one")
    assert (product["part"], product["chunks"]) == ("os", "one")
    made = ok("device", "create", "--product", "Two files", "--uid", "two-files-1")
    lamp = device(made["token"])
    lamp.boot("2.3.0")
    file, notes = firmware(tmp_path, "2.3.1"), tmp_path / "notes.txt"
    notes.write_text("new")
    whom = ("--device", "two-files-1", "--title", "two")
    started = ok("rollout", "start", *whom, "--artifact", str(file), "--artifact", str(notes), "--download-only")
    told = lamp.instruction()
    assert [one["name"] for one in told["artifacts"]] == [file.name, "notes.txt"]
    lamp.report(told["attempt"], "downloading", "downloaded")
    assert watch(run, started["id"]).code == 0
    shown = run("rollout", "show", str(started["id"]))
    assert "download" in shown.out
    assert ok("ddi", "set", "--tenant", "shop-floor", "--polling", "00:10:00")["tenant"] == "SHOP-FLOOR"
    assert len(ok("ddi", "gateway-token", "--product", "Two files")["gatewayToken"]) == 32
    assert run("ddi", "gateway-token", "--end").code == 0
    assert ok("ddi", "show")["hasGatewayToken"] is False
    assert run("device", "auto-confirm", "two-files-1").code == 0
    assert run("device", "ask-attributes", str(made["id"])).code == 0
