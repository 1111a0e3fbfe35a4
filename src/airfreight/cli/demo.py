"""`airfreight demo`: a server, a simulated fleet and a shipment to it; at the end the server's word is compared with
what every device was declared to do.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from airfreight.adapters.process import end_with_parent
from airfreight.cli import demo_stage, local
from airfreight.cli.demo_stage import ATTEMPTS_LIMIT, Stage
from airfreight.settings import SettingError, Settings, load
from airfreight_agent.behaviours import BEHAVIOURS, End, expected_end
from airfreight_agent.fleet import Fleet
from airfreight_agent.simulated import Member

_PATIENCE = 300.0
_STATES = ("queued", "offered", "downloading", "downloaded", "installing", "installed", "activating")


@dataclass(slots=True)
class Outcome:
    """How the devices of one behaviour ended, in the server's words."""

    expected: frozenset[End]
    seen: Counter[End] = field(default_factory=Counter)

    @property
    def as_declared(self) -> bool:
        return set(self.seen) <= self.expected


def run(
    *, data: Path, host: str | None, port: int | None, devices: int, image: Path | None, once: bool, as_json: bool
) -> int:
    """0 when every device ended as its behaviour declares, 1 when one did not, 2 when the demo could not start."""
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else 140)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server: subprocess.Popen[bytes] | None = None
    try:
        settings = _settings(data, host, port, image, once=once)
        stage = demo_stage.load_or_make(settings)
        server = _spawn(settings)
        _await_ready(settings, server)
        return asyncio.run(_play(settings, stage, devices, image, once=once, as_json=as_json, console=console))
    except KeyboardInterrupt:
        return 130 if once else 0
    except (SettingError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except (httpx.HTTPError, RuntimeError) as error:
        print(f"The demo broke off: {error}. The server's log is in {data / 'server.log'}.", file=sys.stderr)
        return 2
    finally:
        if server is not None:
            _end(server)


def _settings(data: Path, host: str | None, port: int | None, image: Path | None, *, once: bool) -> Settings:
    """Settings for a lively demo: short polls, retries and deadlines, unless the environment says otherwise."""
    lively: dict[str, Any] = {"poll_seconds": 10, "retry_seconds": 1, "deadline_seconds": 10 if image is None else 25}
    given = {name: value for name, value in lively.items() if f"AIRFREIGHT_{name.upper()}" not in os.environ}
    settings = load(data=data, host=host, port=port, **given)
    wanted = 0 if once and port is None else settings.port
    return load(data=data, host=host, port=local.free_port(settings.host, wanted), **given)


def _spawn(settings: Settings) -> subprocess.Popen[bytes]:
    """The server as a process of its own, which ends with this one; its log goes into the data folder."""
    with (settings.data / "server.log").open("ab") as log:
        command = [sys.executable, "-m", "airfreight.cli.main", "serve"]
        environment = os.environ | local.environment(settings)
        return subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread runs yet
        )


def _await_ready(settings: Settings, server: subprocess.Popen[bytes]) -> None:
    """Raises SettingError when the server does not come up."""
    for _ in range(200):
        with suppress(httpx.HTTPError):
            if httpx.get(f"{local.url(settings)}/readyz").is_success:
                return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise SettingError(f"The server did not start; its log is in {settings.data / 'server.log'}.")


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()


async def _play(
    settings: Settings, stage: Stage, count: int, image: Path | None, *, once: bool, as_json: bool, console: Console
) -> int:
    url = local.url(settings)
    with closing(demo_stage.sign_in(stage, url)) as api:
        members = demo_stage.set_up(stage, api, count, settings.data)
        _clear(api, stage)
        shipment = _ship(api, stage, image, count)
        if not as_json:
            console.print(f"\nServer at [bold]{url}[/]  API {url}/docs")
            if not once:
                _invite(settings, stage, console)
            console.print(f"\n{count} simulated devices; shipment {shipment['id']}: {shipment['title']}\n")
        over = asyncio.Event()
        fleet = Fleet(url, members, time_scale=0.2 if image is None else 0.5, haste=10, wait_seconds=0)
        living = asyncio.create_task(fleet.run(over))
        try:
            await _watch(api, shipment["id"], console, living, quiet=as_json)
            outcomes = await asyncio.to_thread(_outcomes, api, shipment["id"], stage, members)
            good = _tell(outcomes, shipment["id"], console, as_json=as_json)
            if not once:
                console.print(f"\nThe server goes on at [bold]{url}[/], the devices keep polling. Ctrl-C ends both.")
                await living
            return 0 if good else 1
        finally:
            over.set()
            await living


def _clear(api: httpx.Client, stage: Stage) -> None:
    """Stop what an earlier demo left running: its devices have lost their memory."""
    for one in api.get("/api/v1/organization/shipments").raise_for_status().json():
        if one["productId"] == stage.product_id and one["status"] in {"RUN", "PAUSE"}:
            api.put("/api/v1/organization/shipment/stop", params={"shipmentId": one["id"]}).raise_for_status()


def _ship(api: httpx.Client, stage: Stage, image: Path | None, count: int) -> dict[str, Any]:
    """Upload the file and create the shipment, in the way the README's curl lines do."""
    version = demo_stage.version_after(api, stage.product_id)
    name = f"demo-{version}.bin" if image is None else image.name
    body = demo_stage.image(image, version)
    artifact = api.put("/api/v1/artifacts", params={"filename": name}, content=body).raise_for_status().json()
    wanted = {
        "title": f"{name} as {version}",
        "productId": stage.product_id,
        "pathToFirmware": artifact["path"],
        "firmwareOriginalFileName": name,
        "firmwareInfo": artifact["firmwareInfo"],
        "deviceIds": [one["id"] for one in stage.devices[:count]],
        "attemptsLimit": ATTEMPTS_LIMIT,
        "compareField": "NO_CONDITION",
    }
    made: dict[str, Any] = api.post("/api/v1/organization/shipment/create", json=wanted).raise_for_status().json()
    return made


async def _watch(
    api: httpx.Client, shipment_id: int, console: Console, living: "asyncio.Task[None]", *, quiet: bool
) -> None:
    """Show the counts until the rollout has ended. Raises RuntimeError when it takes too long."""
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=False, auto_refresh=not quiet) as live:
        while True:
            rollout = await asyncio.to_thread(_rollout, api, shipment_id)
            if not quiet:
                live.update(_bars(rollout, time.monotonic() - started))
            if rollout["state"] in {"finished", "stopped"}:
                return
            if living.done():
                living.result()
            if time.monotonic() - started > _PATIENCE:
                raise RuntimeError(f"the rollout has not ended after {_PATIENCE:.0f} seconds")
            await asyncio.sleep(0.5)


def _rollout(api: httpx.Client, rollout_id: int) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(f"/api/v1/rollouts/{rollout_id}").raise_for_status().json()
    return answer


def _bars(rollout: dict[str, Any], seconds: float) -> Table:
    table = Table(box=None, show_header=False, title=f"{rollout['state']}, {seconds:.0f} s", title_justify="left")
    total = rollout["total"] or 1
    for state, n in rollout["counts"].items():
        colour = "cyan" if state in _STATES else "green" if state == "succeeded" else "red"
        table.add_row(state, f"{n:>5}", f"[{colour}]{'█' * round(40 * n / total)}[/]")
    return table


def _outcomes(api: httpx.Client, rollout_id: int, stage: Stage, members: list[Member]) -> dict[str, Outcome]:
    """What the server says of every device, by behaviour; a device it says nothing of counts as missing."""
    behaviour_of = {one["id"]: member.behaviour for one, member in zip(stage.devices, members, strict=False)}
    outcomes = {
        name: Outcome(expected_end(name, attempts_limit=ATTEMPTS_LIMIT, versioned=True, deadlines_passed=True))
        for name in BEHAVIOURS
        if name in behaviour_of.values()
    }
    after: int | None = 0
    while after is not None:
        page = api.get(f"/api/v1/rollouts/{rollout_id}/deliveries", params={"limit": 500, "after": after})
        answer = page.raise_for_status().json()
        for one in answer["items"]:
            outcomes[behaviour_of.pop(one["deviceId"])].seen[End(one["state"], one["reason"])] += 1
        after = answer["next"]
    for name in behaviour_of.values():
        outcomes[name].seen[End("missing")] += 1
    return outcomes


def _tell(outcomes: dict[str, Outcome], shipment_id: int, console: Console, *, as_json: bool) -> bool:
    good = all(outcome.as_declared for outcome in outcomes.values())
    if as_json:
        rows = [
            {
                "behaviour": name,
                "expected": sorted(_words(end) for end in outcome.expected),
                "seen": {_words(end): n for end, n in outcome.seen.items()},
                "asDeclared": outcome.as_declared,
            }
            for name, outcome in outcomes.items()
        ]
        print(json.dumps({"ok": good, "shipmentId": shipment_id, "behaviours": rows}, indent=2))
        return good
    table = Table("behaviour", "what it does", "devices", "ended as", "declared", box=None, title_justify="left")
    for name, outcome in outcomes.items():
        ended = ", ".join(f"{_words(end)} ×{n}" for end, n in outcome.seen.items())
        mark = "[green]yes[/]" if outcome.as_declared else "[red]NO[/]"
        table.add_row(name, BEHAVIOURS[name].description, str(outcome.seen.total()), ended, mark)
    console.print()
    console.print(table)
    console.print("\nEvery device ended as declared." if good else "\n[red]Some devices did not end as declared.[/]")
    return good


def _words(end: End) -> str:
    return f"{end.state} ({end.reason})" if end.reason else end.state


def _invite(settings: Settings, stage: Stage, console: Console) -> None:
    """How to log in and what to try next, from another terminal."""
    url, command = local.url(settings), local.command()
    login = f"login --server {url} --client-id '{stage.client_id}' --client-secret '{stage.client_secret}'"
    console.print("Try, in another terminal:\n")
    for line in (login, "shipment list", "shipment watch 1", f"device explain {stage.devices[0]['id']}"):
        console.print(f"  {command} {line}", markup=False, highlight=False, soft_wrap=True)
    if stage.email:
        console.print(f"\n  user {stage.email}  password {stage.password}", markup=False, highlight=False)
