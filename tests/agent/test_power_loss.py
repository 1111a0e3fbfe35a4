"""Power is lost before and after everything a device makes durable: it must end as if nothing had happened.

The world is as real as a folder can be: a command installs into a slot, an activation switches to it and reboots.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.faulty_server import TOKEN, Plane, serving
from tests.agent.rig import device_at

from airfreight_agent.installers import CommandInstaller, Installation, Outcome
from airfreight_agent.machine import Memory
from airfreight_agent.protocol import Event
from airfreight_agent.state import StateFile

SAVES = 17
"""How often a good update makes something durable; `test_the_table_covers_every_save` holds this number."""
WHOLE_WAY = ["downloading", "downloaded", "installing", "installed", "activating", "succeeded"]
MAX_STEPS = 200


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a power loss."""


class FailingState(StateFile):
    """Loses power at one of its saves, just before or just after it."""

    def __init__(self, path: Path, world: "World") -> None:
        super().__init__(path)
        self._world = world

    def save(self, memory: Memory) -> None:
        self._world.point("before save")
        super().save(memory)
        self._world.point("after save")


class World:
    """One machine: its disk outlives the processes on it. `cuts` are the numbers of the points at which power goes."""

    def __init__(
        self, url: str, directory: Path, *, boots_into: str = "2.0.0", activation_returns: bool = False
    ) -> None:
        self._url = url
        self._directory = directory
        self._boots_into = boots_into
        self._log = directory / "installed.log"
        self._slot = directory / "slot"
        self._running = directory / "version"
        self._running.write_text("1.0.0")
        self._boot = 1
        self._activation_returns = activation_returns
        self.activations = 0
        self.is_rebooting = False
        self.points: list[str] = []
        self.cuts: set[int] = set()

    def point(self, name: str) -> None:
        self.points.append(name)
        if len(self.points) in self.cuts:
            raise PowerCut

    def install(self, work: Installation) -> Outcome:
        self.point("before install")
        script = f'cp "$1" {self._slot}; echo run >> {self._log}'
        outcome = CommandInstaller(["sh", "-c", script, "sh"], self._directory / "state" / "files")(work)
        self.point("after install")
        return outcome

    def activate(self, attempt: int, version: str | None) -> Outcome:
        """Switch and reboot: at once, or (`activation_returns`) a moment after the command returned."""
        self.point("before activation")
        self.activations += 1
        self._running.write_text(self._boots_into)
        if self._activation_returns:
            self.is_rebooting = True
            return Outcome(ok=True)
        raise PowerCut

    def boot_id(self) -> str:
        if self.is_rebooting:  # the reboot that an activation asked for has come
            self.is_rebooting = False
            raise PowerCut
        return f"boot-{self._boot}"

    def run(self) -> Event | None:
        """Start the agent again after each power loss until its attempt is over."""
        while True:
            try:
                return self._until_over()
            except PowerCut:
                self._boot += 1

    def _until_over(self) -> Event | None:
        state = self._directory / "state"
        with device_at(
            self._url,
            state,
            self.install,
            self.activate,
            token=TOKEN,
            version=None,
            read_version=self._running.read_text,
            boot_id=self.boot_id,
        ) as device:
            device._state = FailingState(state / "state.json", self)
            for _ in range(MAX_STEPS):
                device.step()
                if device.memory.outcome and not device.memory.outbox:
                    return device.memory.outcome
        raise AssertionError("the device does not come to an end")

    @property
    def installations(self) -> int:
        return len(self._log.read_text().splitlines())

    @property
    def installed(self) -> bytes:
        return self._slot.read_bytes()


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane(content=b"a small image")) as made:
        yield made


@pytest.fixture
def a_world(plane: Plane, tmp_path: Path) -> Callable[..., World]:
    def make(**options: Any) -> World:
        return World(plane.url, tmp_path, **options)

    return make


def test_the_table_covers_every_save(a_world: Callable[..., World]) -> None:
    world = a_world()
    assert world.run() is Event.SUCCEEDED
    assert world.points.count("before save") == SAVES
    assert len(world.points) == 2 * SAVES + 3


@pytest.mark.parametrize("cut", range(1, 2 * SAVES + 4))
def test_one_power_loss_anywhere_changes_nothing(a_world: Callable[..., World], plane: Plane, cut: int) -> None:
    world = a_world()
    world.cuts = {cut}
    assert world.run() is Event.SUCCEEDED
    assert plane.events == WHOLE_WAY
    assert list(plane.reports) == sorted(plane.reports)
    assert world.installed == plane.content
    assert world.installations == 1
    assert plane.attributes[-1] == {"version": "2.0.0"}


@pytest.mark.parametrize("seed", range(12))
def test_power_that_comes_and_goes_changes_nothing(a_world: Callable[..., World], plane: Plane, seed: int) -> None:
    rng = random.Random(seed)
    world = a_world()
    world.cuts = set(rng.sample(range(1, 60), 6))
    assert world.run() is Event.SUCCEEDED
    assert plane.events == WHOLE_WAY
    assert world.installations == 1


@pytest.mark.parametrize("cut", range(1, 2 * SAVES + 4, 3))
def test_a_rollback_is_told_whatever_happens_on_the_way(a_world: Callable[..., World], plane: Plane, cut: int) -> None:
    world = a_world(boots_into="1.0.0")
    world.cuts = {cut}
    assert world.run() is Event.FAILED
    assert plane.events == [*WHOLE_WAY[:-1], "failed"]
    assert plane.last["reason"] == "rolled_back"
    assert world.installations == 1


def test_a_third_version_is_told_as_the_wrong_one(a_world: Callable[..., World], plane: Plane) -> None:
    world = a_world(boots_into="1.5.0-rescue")
    assert world.run() is Event.FAILED
    assert plane.last["reason"] == "wrong_version"
    assert plane.attributes[-1] == {"version": "1.5.0-rescue"}


@pytest.mark.parametrize(("activation_returns", "activations"), [(True, 1), (False, 2)])
def test_a_rollback_is_believed_at_once_only_if_the_activation_had_come_to_its_end(
    a_world: Callable[..., World], plane: Plane, activation_returns: bool, activations: int
) -> None:
    world = a_world(boots_into="1.0.0", activation_returns=activation_returns)
    assert world.run() is Event.FAILED
    assert plane.last["reason"] == "rolled_back"
    assert world.activations == activations
