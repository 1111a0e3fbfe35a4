"""The device's state machine, pure: what it plans, what it makes of each answer, how it judges itself."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfreight_agent.machine import LOADING, MAX_ACTIVATIONS, Action, Memory, Session, Step, has_booted, heard, plan
from airfreight_agent.protocol import (
    Artifact,
    Do,
    Event,
    Instruction,
    ProtocolError,
    Reason,
    Report,
    Verdict,
    encode_reports,
    one_call,
    one_report,
    parse_instruction,
    parse_results,
    parse_retry_after,
)

IMAGE = Artifact("image.bin", "2.0.0", 7, "ab" * 32, "http://server/1")
SESSION = Session(version="1.0.0", boot_id="boot-1", announced=True)
UNDER_WAY = [step for step in Step if step not in (Step.IDLE, Step.ENDED)]


def word(do: Do = Do.DOWNLOAD, attempt: int = 1001, **artifact: object) -> Instruction:
    return Instruction(attempt, do, (replace(IMAGE, **artifact),), 5.0)  # type: ignore[arg-type]


def at(step: Step, **fields: object) -> Memory:
    memory = Memory(attempt=1001, step=step, artifacts=(IMAGE,), version_before="1.0.0", next_seq=4)
    return replace(memory, **fields)  # type: ignore[arg-type]


def last(memory: Memory) -> tuple[Event, Reason | None]:
    return memory.outbox[-1].event, memory.outbox[-1].reason


def test_an_offer_is_walked_through_to_its_end_with_numbers_from_one() -> None:
    memory, session = heard(Memory(attempt=1000, step=Step.ENDED), SESSION, word())
    actions = []
    while memory.is_open:
        action = plan(memory, session)
        actions.append(action)
        match action:
            case Action.SEND:
                memory = memory.answered({(report.attempt, report.seq): Verdict.MOVED for report in memory.outbox})
            case Action.POLL:
                memory, session = heard(memory, session, word(Do.INSTALL))
            case Action.BEGIN:
                memory = memory.advanced()
            case Action.FETCH | Action.CHECK | Action.INSTALL:
                memory = memory.finished_one()
            case Action.ACTIVATE:
                memory, session = memory.tried(), replace(SESSION, version="2.0.0", announced=False, activated=True)
            case Action.ANNOUNCE:
                session = replace(session, announced=True)
            case Action.JUDGE:
                memory = memory.judged(session.version)
    assert actions == [
        "begin",
        "send",
        "fetch",
        "check",
        "send",
        "poll",
        "begin",
        "send",
        "install",
        "send",
        "poll",
        "begin",
        "send",
        "activate",
        "announce",
        "judge",
    ]
    assert last(memory) == (Event.SUCCEEDED, None)
    assert memory.next_seq == 7
    assert memory.version == "2.0.0"


@pytest.mark.parametrize("step", UNDER_WAY)
def test_after_a_restart_the_device_asks_before_it_does_anything(step: Step) -> None:
    assert plan(at(step), SESSION) is Action.POLL


@pytest.mark.parametrize("step", list(Step))
def test_what_was_not_told_yet_is_told_first(step: Step) -> None:
    memory = at(step).says(Event.DOWNLOADING)
    assert plan(memory, replace(SESSION, announced=False)) is Action.SEND


def test_before_the_activation_happened_the_old_version_is_not_announced() -> None:
    session = replace(SESSION, announced=False)
    assert plan(at(Step.ACTIVATING), session) is Action.POLL
    assert plan(at(Step.ACTIVATING), replace(session, asked_at=Step.ACTIVATING)) is Action.ACTIVATE
    assert plan(at(Step.INSTALLED), session) is Action.ANNOUNCE


@pytest.mark.parametrize("step", UNDER_WAY)
@pytest.mark.parametrize("yields", [True, False])
def test_a_wish_to_cancel_is_granted_until_the_activation_begins(step: Step, yields: bool) -> None:
    memory, session = heard(at(step), SESSION, word(Do.CANCEL), yields=yields)
    if yields and step is not Step.ACTIVATING:
        assert (memory.step, last(memory)[0]) == (Step.ENDED, Event.CANCELED)
    else:
        assert (memory.step, last(memory)[0]) == (step, Event.CANCEL_REFUSED)
        assert session.asked_at is step


def test_an_attempt_that_is_to_be_canceled_when_first_heard_of_is_canceled() -> None:
    memory, _ = heard(Memory(attempt=1000, step=Step.ENDED), SESSION, Instruction(1001, Do.CANCEL, (), 5.0))
    assert [(report.attempt, report.seq, report.event) for report in memory.outbox] == [(1001, 1, Event.CANCELED)]


@pytest.mark.parametrize("step", [step for step in UNDER_WAY if step not in LOADING])
def test_a_word_to_wait_stops_the_device_where_it_is(step: Step) -> None:
    memory, session = heard(at(step), replace(SESSION, asked_at=step), word(Do.WAIT))
    assert memory.step is step
    assert plan(memory, session) is Action.POLL


@pytest.mark.parametrize("step", sorted(LOADING))
def test_a_word_to_wait_is_not_for_what_the_device_still_downloads_or_checks(step: Step) -> None:
    memory, session = heard(at(step), SESSION, word(Do.WAIT))
    assert plan(memory, session) in (Action.FETCH, Action.CHECK)


@pytest.mark.parametrize("step", UNDER_WAY)
def test_an_attempt_the_server_no_longer_has_is_dropped(step: Step) -> None:
    memory, _ = heard(at(step), SESSION, None)
    assert memory.step is Step.ENDED
    assert memory.outbox == ()


def test_a_new_attempt_forgets_the_old_work_but_not_what_was_to_be_told() -> None:
    old = at(Step.INSTALLING, done=0, tries=2, etag='"x"').says(Event.INSTALLING)
    memory, session = heard(old, SESSION, word(attempt=1002))
    assert (memory.attempt, memory.step, memory.next_seq, memory.tries, memory.etag) == (1002, Step.OFFERED, 1, 0, "")
    assert memory.outbox == old.outbox
    assert session.asked_at is Step.OFFERED


def test_an_attempt_that_ended_here_is_not_begun_again_while_the_server_still_shows_it() -> None:
    memory, session = heard(at(Step.ENDED, outcome=Event.SUCCEEDED), SESSION, word(Do.ACTIVATE))
    assert memory == at(Step.ENDED, outcome=Event.SUCCEEDED)
    assert plan(memory, session) is Action.POLL


@pytest.mark.parametrize("step", UNDER_WAY)
def test_new_addresses_for_the_same_files_are_taken(step: Step) -> None:
    memory, _ = heard(at(step), SESSION, word(url="http://elsewhere/1"))
    assert (memory.step, memory.in_hand.url) == (step, "http://elsewhere/1")


@pytest.mark.parametrize("step", [Step.OFFERED, Step.DOWNLOADING])
def test_other_files_are_taken_while_nothing_was_done_with_those_before(step: Step) -> None:
    memory, _ = heard(at(step, tries=3, etag='"x"'), SESSION, word(sha256="cd" * 32))
    assert memory == at(step, artifacts=word(sha256="cd" * 32).artifacts)


@pytest.mark.parametrize("step", [step for step in UNDER_WAY if step not in (Step.OFFERED, Step.DOWNLOADING)])
def test_an_attempt_whose_files_are_changed_under_work_fails(step: Step) -> None:
    """Its success would be counted for files that were never here."""
    memory, session = heard(at(step), SESSION, word(Do.INSTALL, sha256="cd" * 32))
    assert last(memory) == (Event.FAILED, Reason.DEVICE_ERROR)
    assert (memory.outbox[-1].message, session.asked_at) == ("the server has changed the files of this attempt", None)


@pytest.mark.parametrize("step", UNDER_WAY)
@pytest.mark.parametrize("do", [Do.WAIT, Do.CANCEL])
def test_a_word_that_names_no_files_changes_none(step: Step, do: Do) -> None:
    memory, _ = heard(at(step), SESSION, Instruction(1001, do, (), 5.0))
    assert memory.artifacts == (IMAGE,)


@pytest.mark.parametrize("step", UNDER_WAY)
def test_a_late_verdict_ends_the_work_unless_the_activation_has_begun(step: Step) -> None:
    memory = at(step).says(Event.INSTALLING)
    memory = memory.answered({(1001, 4): Verdict.LATE})
    assert memory.outbox == ()
    assert memory.step is (step if step is Step.ACTIVATING else Step.ENDED)


def test_a_late_verdict_about_another_attempt_changes_nothing() -> None:
    memory = at(Step.INSTALLING, outbox=(Report(1000, 9, Event.FAILED),))
    assert memory.answered({(1000, 9): Verdict.LATE}).step is Step.INSTALLING


@pytest.mark.parametrize(
    ("running", "before", "wanted", "event", "reason"),
    [
        ("2.0.0", "1.0.0", "2.0.0", Event.SUCCEEDED, None),
        ("1.0.0", "1.0.0", "2.0.0", Event.FAILED, Reason.ROLLED_BACK),
        ("1.5.0", "1.0.0", "2.0.0", Event.FAILED, Reason.WRONG_VERSION),
        ("2.0.0", "2.0.0", "2.0.0", Event.SUCCEEDED, None),
        ("1.0.0", "1.0.0", None, Event.SUCCEEDED, None),
        (None, None, "2.0.0", Event.SUCCEEDED, None),
        ("1.0.0", None, "2.0.0", Event.FAILED, Reason.WRONG_VERSION),
    ],
)
def test_the_running_version_is_the_judge(
    running: str | None, before: str | None, wanted: str | None, event: Event, reason: Reason | None
) -> None:
    memory = at(Step.ACTIVATING, version_before=before, artifacts=(replace(IMAGE, version=wanted),))
    assert last(memory.judged(running)) == (event, reason)


@pytest.mark.parametrize(
    ("memory", "session", "booted"),
    [
        ({}, {}, False),
        ({}, {"version": "2.0.0"}, False),
        ({"tries": 1}, {}, False),
        ({"tries": 1}, {"version": "2.0.0"}, True),
        ({"tries": 1}, {"activated": True}, True),
        ({"tries": 1}, {"boot_id": "boot-2"}, False),
        ({"tries": 1, "activation_boot": "boot-1"}, {}, False),
        ({"tries": 1, "activation_boot": "boot-1"}, {"boot_id": "boot-2"}, True),
        ({"tries": MAX_ACTIVATIONS}, {}, True),
    ],
)
def test_when_the_activation_is_behind_us(memory: dict[str, object], session: dict[str, object], booted: bool) -> None:
    assert has_booted(at(Step.ACTIVATING, **memory), replace(SESSION, **session)) is booted  # type: ignore[arg-type]


def test_each_of_several_files_is_fetched_before_the_next_step() -> None:
    memory = at(Step.DOWNLOADING, artifacts=(IMAGE, IMAGE), etag='"x"', tries=3).finished_one()
    assert (memory.step, memory.done, memory.etag, memory.tries) == (Step.DOWNLOADING, 1, "", 0)
    checking = memory.finished_one()
    assert (checking.step, checking.done, checking.outbox) == (Step.CHECKING, 0, ())
    assert checking.finished_one().finished_one().step is Step.DOWNLOADED


def test_a_long_message_is_cut_to_what_the_server_takes() -> None:
    message = at(Step.INSTALLING).failed(Reason.INSTALL_FAILED, "x" * 9000).outbox[-1].message
    assert message == "x" * 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
GOOD = {"attempt": 1001, "do": "download", "poll_after": 5}
GOOD_ARTIFACT = {"name": "a", "version": "1", "size": 1, "sha256": "ab" * 32, "url": "http://server/1"}


@given(st.sampled_from([*GOOD, "artifacts", "new"]), st.sampled_from([*GOOD_ARTIFACT, "new"]), JSON, st.booleans())
def test_no_instruction_crashes_a_device(field: str, inner: str, value: object, outside: bool) -> None:
    document: dict[str, object] = {**GOOD, "artifacts": [GOOD_ARTIFACT | ({} if outside else {inner: value})]}
    if outside:
        document[field] = value
    try:
        instruction = parse_instruction(json.dumps(document).encode())
    except ProtocolError:
        return
    assert 0 <= instruction.poll_after <= 86_400
    assert all(len(artifact.sha256) == 64 and artifact.size >= 0 for artifact in instruction.artifacts)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps({"results": value}).encode()))
def test_no_answer_to_a_report_crashes_a_device(body: bytes) -> None:
    sent = [Report(1001, 1, Event.DOWNLOADING)]
    with pytest.raises(ProtocolError):
        parse_results(body, sent)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", 0.0),
        ("1e99", 86_400.0),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2915 07:28:00 GMT", 86_400.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_the_version_of_a_package_is_not_that_of_the_device() -> None:
    memory = at(Step.ACTIVATING, packages=(0,), done=1)
    assert (memory.wanted, memory.believed) == (None, "2.0.0")
    assert last(memory.judged("1.0.0")) == (Event.SUCCEEDED, None)
    several = at(Step.ACTIVATING, artifacts=(IMAGE, replace(IMAGE, version="7")), packages=(0,), done=2)
    assert (several.wanted, several.believed) == ("7", "7")


@pytest.mark.parametrize(
    ("packages", "done", "tries", "booted"),
    [((0, 1), 0, 1, False), ((0, 1), 1, 0, False), ((0, 1), 2, 0, True), ((0,), 2, 0, False), ((0,), 2, 2, True)],
)
def test_scripts_activate_before_a_plain_file_does(
    packages: tuple[int, ...], done: int, tries: int, booted: bool
) -> None:
    memory = at(Step.ACTIVATING, artifacts=(IMAGE, IMAGE), packages=packages, done=done, tries=tries)
    assert has_booted(memory, SESSION) is booted


def test_a_call_and_a_report_carry_no_more_than_the_server_takes() -> None:
    lines = ["ü" * 500] * 300
    reports: list[Report] = []
    while lines:
        part = one_report(lines)
        assert 0 < len(part) <= 100
        reports.append(Report(1001, len(reports) + 1, Event.INSTALLING, lines=tuple(part)))
        lines = lines[len(part) :]
    sent = 0
    while sent < len(reports):
        batch = one_call(reports[sent:])
        assert 0 < len(encode_reports(batch)) <= 200_000
        sent += len(batch)
    assert len(one_call([Report(1, seq, Event.INSTALLING) for seq in range(1, 300)])) == 100
    assert len(one_report(["x"] * 300)) == 100


@pytest.mark.parametrize("window", [{"opens_at": "soon"}, {"opens_at": -1}, [], {}])
def test_a_window_that_is_none_is_refused(window: object) -> None:
    with pytest.raises(ProtocolError):
        parse_instruction(json.dumps({**GOOD, "artifacts": [GOOD_ARTIFACT], "window": window}).encode())
    word = {**GOOD, "artifacts": [GOOD_ARTIFACT], "window": {"opens_at": 1_700_000_000_000}}
    assert parse_instruction(json.dumps(word).encode()).opens_at == 1_700_000_000_000
