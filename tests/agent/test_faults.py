"""An agent on a bad network: truncated bodies, wrong bytes, lost answers, errors. The server is made to be faulty."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.agent import faulty_server
from tests.agent.faulty_server import TOKEN, Plane, deaf_after_hearing, reset, serving, status, then, truncated
from tests.agent.rig import Slot, device_at, drive

from airfreight_agent.device import MAX_FETCH_TRIES, MAX_INSTALL_TRIES
from airfreight_agent.installers import CommandInstaller, CutOffError, Installation, Outcome
from airfreight_agent.machine import Step
from airfreight_agent.protocol import Event

WHOLE_WAY = ["downloading", "downloaded", "installing", "installed", "activating", "succeeded"]


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane()) as made:
        yield made


def run(
    plane: Plane, directory: Path, slot: Slot | None = None, *, progress_seconds: float = 60.0
) -> tuple[Slot, list[float]]:
    slot = slot or Slot()
    with device_at(plane.url, directory, slot, token=TOKEN, progress_seconds=progress_seconds) as device:
        return slot, drive(device)


def files(directory: Path) -> list[str]:
    return [path.name for path in (directory / "files").iterdir()]


def test_a_good_day(plane: Plane, tmp_path: Path) -> None:
    slot, _ = run(plane, tmp_path)
    assert plane.events == WHOLE_WAY
    assert slot.content == plane.content
    assert slot.runs == ["1001-0"]
    assert plane.attributes == [{"version": "1.0.0"}, {"version": "2.0.0"}]
    assert files(tmp_path) == []
    assert {seen.headers["authorization"] for seen in plane.seen} == {f"Bearer {TOKEN}"}


def test_a_truncated_download_goes_on_where_it_ended(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", truncated(70_000))
    slot, rests = run(plane, tmp_path)
    assert slot.content == plane.content
    assert plane.events == WHOLE_WAY
    second = plane.of("artifacts")[1].headers
    assert 0 < int(second["range"].removeprefix("bytes=").removesuffix("-")) <= 70_000
    assert second["if-range"] == f'"{hashlib.sha256(plane.content).hexdigest()}"'
    assert max(rests) >= 0.5, "it stayed away for a while"


def test_a_download_that_breaks_again_and_again_still_ends(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", truncated(50_000), reset, status(503), truncated(0))
    slot, _ = run(plane, tmp_path)
    assert slot.content == plane.content


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(plane: Plane, tmp_path: Path) -> None:
    plane.etag = '"first"'
    plane.break_next("artifacts", truncated(70_000), then(lambda plane: setattr(plane, "etag", '"second"')))
    slot, _ = run(plane, tmp_path)
    assert slot.content == plane.content
    assert plane.of("artifacts")[1].headers["if-range"] == '"first"'


def test_without_a_strong_etag_nothing_is_resumed(plane: Plane, tmp_path: Path) -> None:
    plane.etag = 'W/"weak"'
    plane.break_next("artifacts", truncated(70_000))
    slot, _ = run(plane, tmp_path)
    assert slot.content == plane.content
    assert all("range" not in seen.headers for seen in plane.of("artifacts"))


@pytest.mark.parametrize("wrong", ["other bytes", "longer", "shorter", "longer without a length"])
def test_wrong_bytes_are_never_installed(plane: Plane, tmp_path: Path, wrong: str) -> None:
    content = plane.content
    plane.break_next(
        "artifacts",
        {
            "other bytes": faulty_server.body(b"x" * len(content)),
            "longer": faulty_server.body(content + b"x"),
            "shorter": faulty_server.body(content[:-1]),
            "longer without a length": faulty_server.unbounded(content + b"x" * 100_000),
        }[wrong],
    )
    slot, _ = run(plane, tmp_path)
    assert slot.runs == []
    assert plane.events == ["downloading", "failed"]
    assert plane.last["reason"] == "checksum_mismatch"
    assert ("SHA-256" if wrong == "other bytes" else "size") in str(plane.last["message"])
    assert files(tmp_path) == []


def test_bytes_that_end_early_without_a_length_are_asked_for_again(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", faulty_server.unbounded(plane.content[:1000]))
    slot, _ = run(plane, tmp_path)
    assert slot.content == plane.content


def test_a_part_that_was_torn_by_a_power_loss_is_fetched_anew_instead_of_failing(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", truncated(70_000))
    slot = Slot()
    with device_at(plane.url, tmp_path, slot, token=TOKEN) as device:
        drive(device, is_done=lambda _: bool(plane.of("artifacts")))
    part = tmp_path / "files" / "1001-0.bin.part"
    part.write_bytes(b"\0" * part.stat().st_size)
    run(plane, tmp_path, slot)
    assert slot.content == plane.content
    assert plane.events == WHOLE_WAY


def test_a_file_that_is_wrong_for_good_fails_each_attempt_and_the_next_may_work(plane: Plane, tmp_path: Path) -> None:
    plane.attempts_left = 1
    plane.break_next("artifacts", faulty_server.body(b"wrong"))
    slot = Slot()
    with device_at(plane.url, tmp_path, slot, token=TOKEN) as device:
        drive(device)
        assert device.memory.outcome is Event.FAILED
        drive(device, is_done=lambda device: device.memory.outcome is Event.SUCCEEDED and not device.memory.outbox)
    assert slot.runs == ["1002-0"]
    assert [seq for attempt, seq in plane.reports if attempt == 1002] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("code", [429, 500, 503])
@pytest.mark.parametrize("kind", ["next", "reports", "attributes", "artifacts"])
def test_the_server_says_when_to_come_back(plane: Plane, tmp_path: Path, kind: str, code: int) -> None:
    plane.break_next(kind, status(code, {"Retry-After": "90"}))
    slot, rests = run(plane, tmp_path)
    assert 90 <= max(rests) < 120
    assert slot.runs == ["1001-0"]
    assert plane.events == WHOLE_WAY


@pytest.mark.parametrize("kind", ["next", "reports", "attributes"])
@pytest.mark.parametrize("fault", [reset, status(401), status(200, content=b"{"), status(200, content=b"[]")])
def test_nonsense_and_rejection_are_survived(
    plane: Plane, tmp_path: Path, kind: str, fault: faulty_server.Fault
) -> None:
    plane.break_next(kind, fault, fault)
    run(plane, tmp_path)
    assert plane.events == WHOLE_WAY


def test_waits_grow_while_the_server_is_away_and_are_forgotten_after(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("attributes", *[reset] * 6)
    _, rests = run(plane, tmp_path)
    waits = [rest for rest in rests if rest][:6]
    assert waits == sorted(waits)
    assert waits[-1] >= 16


def test_a_lost_answer_is_asked_for_again_with_the_same_numbers(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("reports", deaf_after_hearing, deaf_after_hearing)
    run(plane, tmp_path)
    sent = [json.loads(seen.body)["reports"][0] for seen in plane.of("reports")]
    assert sent[0] == sent[1] == sent[2]
    assert plane.events == WHOLE_WAY


def test_a_report_the_server_will_never_take_does_not_block_the_device(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("reports", status(400))
    run(plane, tmp_path)
    assert plane.events == WHOLE_WAY[1:]


def test_a_file_that_is_gone_makes_the_device_ask_again(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", status(404))
    slot, _ = run(plane, tmp_path)
    kinds = [seen.kind for seen in plane.seen]
    assert kinds[kinds.index("artifacts") + 1] == "next"
    assert slot.content == plane.content


def test_an_attempt_that_is_gone_too_is_dropped_without_a_word(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", then(lambda plane: setattr(plane, "is_open", False), status(404)))
    slot, _ = run(plane, tmp_path)
    assert slot.runs == []
    assert plane.events == ["downloading"]
    assert files(tmp_path) == []


def test_a_file_that_never_comes_ends_the_attempt(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("artifacts", *[status(500)] * MAX_FETCH_TRIES)
    run(plane, tmp_path)
    assert plane.last["reason"] == "download_failed"
    assert len(plane.of("artifacts")) == MAX_FETCH_TRIES


def test_a_file_larger_than_the_disk_is_not_begun(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = len(plane.content) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=room, used=0, free=room))
    run(plane, tmp_path)
    assert plane.last["reason"] == "no_space"
    assert plane.of("artifacts") == []


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": 1 << 62}, {"sha256": "../../etc"}, {"attempt": -5}, {"do": "explode"}],
)
def test_an_instruction_that_makes_no_sense_is_not_followed(
    plane: Plane, tmp_path: Path, change: dict[str, object]
) -> None:
    instruction = plane.instruction()
    artifact = instruction["artifacts"][0]  # type: ignore[index]
    (artifact if change.keys() & artifact.keys() else instruction).update(change)
    plane.break_next("next", status(200, content=json.dumps(instruction).encode()))
    with device_at(plane.url, tmp_path, Slot(), token=TOKEN) as device:
        drive(device, is_done=lambda _: bool(plane.of("next")))
        assert device.memory.step is Step.IDLE


def test_the_token_is_never_sent_to_another_server(plane: Plane, tmp_path: Path) -> None:
    with serving(Plane()) as store:
        plane.other_url = f"{store.url}/device/v1/artifacts/1"
        slot, _ = run(plane, tmp_path)
        assert slot.content == store.content
        assert "authorization" not in store.of("artifacts")[0].headers


def test_the_token_does_not_follow_a_redirect_to_another_server(plane: Plane, tmp_path: Path) -> None:
    with serving(Plane()) as store:
        plane.break_next("artifacts", status(302, {"Location": f"{store.url}/device/v1/artifacts/1"}))
        slot, _ = run(plane, tmp_path)
        assert slot.content == store.content
        assert "authorization" not in store.of("artifacts")[0].headers


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://[", "gopher://x/", "http://127.0.0.1:1/x"])
def test_an_address_that_leads_nowhere_ends_as_a_failed_download(plane: Plane, tmp_path: Path, url: str) -> None:
    plane.other_url = url
    slot, _ = run(plane, tmp_path)
    assert slot.runs == []
    assert plane.last["reason"] == "download_failed"


def test_a_wish_to_cancel_during_a_long_download_is_heard(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("next", then(lambda _: None), then(lambda plane: setattr(plane, "do", "cancel")))
    slot, _ = run(plane, tmp_path, progress_seconds=0.0)
    assert slot.runs == []
    assert plane.events == ["downloading", "downloading", "canceled"]
    assert plane.reports[list(plane.reports)[1]]["progress"] == 65_536 * 100 // len(plane.content)
    assert files(tmp_path) == []


def test_a_pause_holds_the_device_before_it_installs(plane: Plane, tmp_path: Path) -> None:
    plane.break_next("next", then(lambda _: None), then(lambda plane: setattr(plane, "do", "wait")))
    slot = Slot()
    with device_at(plane.url, tmp_path, slot, token=TOKEN) as device:
        drive(device, is_done=lambda _: len(plane.of("next")) == 4)
        assert device.memory.step is Step.DOWNLOADED
        assert slot.runs == []
        assert device.step() == 5.0
        plane.do = "install"
        drive(device)
    assert plane.events == WHOLE_WAY


def test_an_installer_that_fails_is_reported_with_its_words(plane: Plane, tmp_path: Path) -> None:
    run(plane, tmp_path, Slot(outcomes=[Outcome(ok=False, message="exit code 3 no such slot")]))
    assert plane.last | {"attempt": 0, "seq": 0} == {
        "attempt": 0,
        "seq": 0,
        "event": "failed",
        "reason": "install_failed",
        "message": "exit code 3 no such slot",
    }


def test_an_installer_that_raises_does_not_take_the_device_down(plane: Plane, tmp_path: Path) -> None:
    def broken(_: Installation) -> Outcome:
        raise KeyError("slot")

    with device_at(plane.url, tmp_path, broken, token=TOKEN) as device:
        drive(device)
    assert plane.last["reason"] == "install_failed"
    assert plane.last["message"] == "the installer raised KeyError"


def test_an_installer_that_is_cut_off_every_time_is_given_up(plane: Plane, tmp_path: Path) -> None:
    runs: list[str] = []

    def cut_off(work: Installation) -> Outcome:
        runs.append(work.key)
        raise CutOffError("killed")

    with device_at(plane.url, tmp_path, cut_off, token=TOKEN) as device:
        drive(device)
    assert len(runs) == MAX_INSTALL_TRIES
    assert plane.last["reason"] == "install_failed"


def test_a_device_that_lost_its_state_uses_new_numbers_for_the_same_attempt(plane: Plane, tmp_path: Path) -> None:
    with device_at(plane.url, tmp_path, Slot(), token=TOKEN) as device:
        drive(device, is_done=lambda device: device.memory.step is Step.INSTALLED)
    (tmp_path / "state.json").write_bytes(b"\0\0\0")
    run(plane, tmp_path)
    assert plane.events[-6:] == WHOLE_WAY


def test_a_device_that_lost_its_state_does_not_install_the_same_work_again(plane: Plane, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    installer = CommandInstaller(["sh", "-c", f"echo run >> {runs}", "sh"], tmp_path / "files")
    for _ in range(2):
        with device_at(plane.url, tmp_path, installer, token=TOKEN) as device:
            drive(device, is_done=lambda device: device.memory.step is Step.INSTALLED)
        (tmp_path / "state.json").unlink()
    assert runs.read_text() == "run\n"
