"""What a device does next, as pure functions: the agent and the simulator are two shells around this page.

`Memory` survives a power loss, `Session` does not. `plan` picks one action; the shell does it and stores the memory
that the matching method returns. Rule: every report is in the stored outbox before it is sent, and leaves it only
when the server answered it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from airfreight_agent.protocol import (
    MAX_MESSAGE_CHARACTERS,
    Artifact,
    Count,
    Do,
    Event,
    Instruction,
    Reason,
    Report,
    Verdict,
)

MAX_ACTIVATIONS = 2


class Step(StrEnum):
    """The states of a delivery, and CHECKING: all files are here, and the device looks whether it can use them. To the
    server that is a part of downloading.
    """

    IDLE = "idle"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    CHECKING = "checking"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    INSTALLED = "installed"
    ACTIVATING = "activating"
    ENDED = "ended"


class Action(StrEnum):
    SEND = "send"
    ANNOUNCE = "announce"
    POLL = "poll"
    BEGIN = "begin"
    FETCH = "fetch"
    CHECK = "check"
    INSTALL = "install"
    ACTIVATE = "activate"
    JUDGE = "judge"


NEXT_STEP = {
    Step.OFFERED: Step.DOWNLOADING,
    Step.DOWNLOADING: Step.CHECKING,
    Step.CHECKING: Step.DOWNLOADED,
    Step.DOWNLOADED: Step.INSTALLING,
    Step.INSTALLING: Step.INSTALLED,
    Step.INSTALLED: Step.ACTIVATING,
}
WORK = {Step.DOWNLOADING: Action.FETCH, Step.CHECKING: Action.CHECK, Step.INSTALLING: Action.INSTALL}
ASKS_BEFORE_GOING_ON = frozenset({Step.DOWNLOADED, Step.INSTALLED})
LOADING = frozenset({Step.DOWNLOADING, Step.CHECKING})
EVENTS = {
    Step.DOWNLOADING: Event.DOWNLOADING,
    Step.CHECKING: Event.DOWNLOADING,
    Step.DOWNLOADED: Event.DOWNLOADED,
    Step.INSTALLING: Event.INSTALLING,
    Step.INSTALLED: Event.INSTALLED,
    Step.ACTIVATING: Event.ACTIVATING,
}
"""What a step is to the server."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A part of the work on the artifact in hand, such as one of its scripts: it was begun, and ended with `code`
    (None: not yet, as far as is known).
    """

    name: str
    code: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    """What a device knows after a power loss.

    `done` counts the artifacts finished in this step, `tries` the tries of the one in hand, `etag` names the
    representation of which a part is on disk. `activation_boot` is the boot in which an activation came to its end.

    `packages` are the places of those artifacts that bring their own scripts, `ran` what was run of the one in hand;
    of the script named `telling`, the first `told` lines have been told. `by_plug_in`: what is no package is installed
    and activated by scripts too, those of a plug-in.
    """

    attempt: int = 0
    step: Step = Step.IDLE
    artifacts: tuple[Artifact, ...] = ()
    done: int = 0
    tries: int = 0
    etag: str = ""
    next_seq: int = 1
    outbox: tuple[Report, ...] = ()
    version: str | None = None
    version_before: str | None = None
    activation_boot: str = ""
    outcome: Event | None = None
    packages: tuple[int, ...] = ()
    ran: tuple[Ran, ...] = ()
    telling: str = ""
    told: int = 0
    by_plug_in: bool = False

    @property
    def is_open(self) -> bool:
        return self.step not in (Step.IDLE, Step.ENDED)

    @property
    def wanted(self) -> str | None:
        """The version that must run after this attempt, if its artifacts name one. The scripts of packages judge
        themselves: the version of one is not that of the device.
        """
        files = (artifact for place, artifact in enumerate(self.artifacts) if place not in self.packages)
        return next((artifact.version for artifact in files if artifact.version), None)

    @property
    def believed(self) -> str | None:
        """The version that runs after this attempt, for a device that cannot look: also that of a lone package."""
        return self.artifacts[0].version or None if len(self.artifacts) == 1 else self.wanted

    @property
    def in_hand(self) -> Artifact:
        return self.artifacts[self.done]

    @property
    def has_scripts_to_activate(self) -> bool:
        return (bool(self.packages) or self.by_plug_in) and self.done < len(self.artifacts)

    @property
    def last_file(self) -> int:
        """The place of the last artifact that is no package."""
        return max(place for place in range(len(self.artifacts)) if place not in self.packages)

    @property
    def fetched(self) -> tuple[Count, ...]:
        """All downloads, complete."""
        return tuple(Count(one.id, one.size, one.size) for one in self.artifacts if one.id)

    def code_of(self, name: str) -> int | None:
        """How a part of the work on the artifact in hand ended; None when it has not."""
        return next((ran.code for ran in self.ran if ran.name == name), None)

    def accepted(self, offer: Instruction, running: str | None) -> "Memory":
        """A new attempt; the old one's work is forgotten, its unsent reports are not.

        A memory that never knew an attempt keeps its `next_seq`: whoever lost the state of an open attempt must not
        reuse its sequence numbers.
        """
        return Memory(
            attempt=offer.attempt,
            step=Step.OFFERED,
            artifacts=offer.artifacts,
            next_seq=1 if self.attempt else self.next_seq,
            outbox=self.outbox,
            version=self.version,
            version_before=running,
        )

    def refreshed(self, word: Instruction) -> "Memory":
        """The same files may have got new addresses. Other files are taken while nothing was done with those before;
        later they end the attempt, since its success would be counted for files that never were here.
        """
        if not word.artifacts or not self.is_open:
            return self
        if self.has_files_of(word):
            return replace(self, artifacts=word.artifacts)
        if self.step in (Step.OFFERED, Step.DOWNLOADING):
            return replace(self, artifacts=word.artifacts, done=0, tries=0, etag="")
        return self.failed(Reason.DEVICE_ERROR, "the server has changed the files of this attempt")

    def has_files_of(self, word: Instruction) -> bool:
        return [one.sha256 for one in word.artifacts] == [one.sha256 for one in self.artifacts]

    def says(
        self,
        event: Event,
        *,
        progress: int | None = None,
        reason: Reason | None = None,
        message: str | None = None,
        artifacts: tuple[Count, ...] = (),
        lines: tuple[str, ...] = (),
    ) -> "Memory":
        words = message[:MAX_MESSAGE_CHARACTERS] if message else None
        report = Report(self.attempt, self.next_seq, event, progress, reason, words, artifacts, lines)
        return replace(self, outbox=(*self.outbox, report), next_seq=self.next_seq + 1)

    def advanced(self, artifacts: tuple[Count, ...] = ()) -> "Memory":
        """The next step of the same attempt, with its report."""
        memory = replace(self, step=NEXT_STEP[self.step], done=0, tries=0, etag="", ran=())
        return memory if memory.step is Step.CHECKING else memory.says(EVENTS[memory.step], artifacts=artifacts)

    def finished_one(self, artifacts: tuple[Count, ...] = ()) -> "Memory":
        """One artifact is fetched (or checked, or installed); after the last one the step is over.

        `artifacts` go into the report of that.
        """
        return self.passed() if self.done + 1 < len(self.artifacts) else self.advanced(artifacts)

    def passed(self) -> "Memory":
        """The next artifact of the same step; while activating, the last one is passed too."""
        return replace(self, done=self.done + 1, tries=0, etag="", ran=())

    def tried(self) -> "Memory":
        return replace(self, tries=self.tries + 1)

    def opened(self) -> "Memory":
        """The artifact in hand is a package."""
        return self if self.done in self.packages else replace(self, packages=(*self.packages, self.done))

    def taken_by_plug_in(self) -> "Memory":
        """The artifact in hand is no package, and there is a plug-in for it."""
        return replace(self, by_plug_in=True).finished_one(self.fetched)

    def begun(self, name: str) -> "Memory":
        """A script (or another part) of the package in hand is run, once more if it did not come to an end."""
        others = tuple(ran for ran in self.ran if ran.name != name)
        return replace(self, tries=self.tries + 1, ran=(*others, Ran(name, None)))

    def over(self, name: str, code: int) -> "Memory":
        """It has come to its end."""
        others = tuple(ran for ran in self.ran if ran.name != name)
        return replace(self, tries=0, ran=(*others, Ran(name, code)))

    def rewound(self, script: str, told: int) -> "Memory":
        """Only so many of its lines count as told."""
        return replace(self, telling=script, told=told)

    def tells(self, script: str, lines: tuple[str, ...]) -> "Memory":
        """What a script has printed since the last time."""
        told = self.told if self.telling == script else 0
        return replace(self, telling=script, told=told + len(lines)).says(EVENTS[self.step], lines=lines)

    def activated(self, boot_id: str) -> "Memory":
        return replace(self, activation_boot=boot_id)

    def ended(self, event: Event, reason: Reason | None = None, message: str | None = None) -> "Memory":
        return replace(self, step=Step.ENDED, outcome=event, tries=0).says(event, reason=reason, message=message)

    def failed(self, reason: Reason, message: str | None = None) -> "Memory":
        return self.ended(Event.FAILED, reason, message)

    def withdrawn(self) -> "Memory":
        """The server no longer knows this attempt as open: stop, and say nothing."""
        return replace(self, step=Step.ENDED, outcome=Event.CANCELED, tries=0)

    def answered(self, verdicts: Mapping[tuple[int, int], Verdict]) -> "Memory":
        """Forget what was answered. `late` before activation means that the attempt is over."""
        left = tuple(report for report in self.outbox if (report.attempt, report.seq) not in verdicts)
        memory = replace(self, outbox=left)
        is_late = any(key[0] == self.attempt and verdict is Verdict.LATE for key, verdict in verdicts.items())
        return memory.withdrawn() if is_late and self.is_open and self.step is not Step.ACTIVATING else memory

    def judged(self, running: str | None) -> "Memory":
        """The end of an attempt whose activation is over, by the version that runs now."""
        if self.wanted is None or running is None or running == self.wanted:
            return replace(self.ended(Event.SUCCEEDED), version=running)
        if running == self.version_before:
            return self.failed(Reason.ROLLED_BACK)
        return self.failed(Reason.WRONG_VERSION)


@dataclass(frozen=True, slots=True)
class Session:
    """What a restart forgets.

    `asked_at` is the step for which the server last told the device to go on; `activated` says that the activation
    returned in this session, so that the device runs on without a restart.
    """

    version: str | None
    boot_id: str
    announced: bool = False
    asked_at: Step | None = None
    activated: bool = False


def has_booted(memory: Memory, session: Session) -> bool:
    """Whether the activation is behind us, so that the running version is its result.

    A device that finds its old version running after it began to activate has rolled back, or lost power before the
    activation did anything. Only if the activation had come to its end, and a start of the machine after it, is it
    surely the former; otherwise it activates once more before it says so.
    """
    if memory.packages or memory.by_plug_in:
        if memory.has_scripts_to_activate:
            return False
        if memory.by_plug_in or len(memory.packages) == len(memory.artifacts):
            return True
    if memory.tries == 0:
        return False
    if session.activated or memory.tries >= MAX_ACTIVATIONS:
        return True
    if session.version is not None and session.version == memory.wanted:
        return True
    return memory.activation_boot not in ("", session.boot_id)


def plan(memory: Memory, session: Session) -> Action:
    """The one thing to do now.

    Reports go first, so that the server has heard "activating" before it sees the version that came of it. Before
    the activation has happened the version is not announced: the old one would count as a rollback.
    """
    if memory.outbox:
        return Action.SEND
    if memory.step is Step.ACTIVATING and not has_booted(memory, session):
        return Action.POLL if session.asked_at is None else Action.ACTIVATE
    if not session.announced:
        return Action.ANNOUNCE
    if memory.step is Step.ACTIVATING:
        return Action.JUDGE
    if not memory.is_open or session.asked_at is None:
        return Action.POLL
    if memory.step in ASKS_BEFORE_GOING_ON and session.asked_at is not memory.step:
        return Action.POLL
    return WORK.get(memory.step, Action.BEGIN)


def heard(memory: Memory, session: Session, word: Instruction | None, *, yields: bool = True) -> tuple[Memory, Session]:
    """What the answer to a poll changes. `word` is None when the server has nothing; `yields` says whether the device
    gives way to a wish to cancel (an activation never does).

    A word to wait is for the time between two steps. The server, who saw the last byte go, may say it to a device that
    is not done with what it downloads: that goes on.
    """
    if word is None:
        return (memory.withdrawn() if memory.is_open else memory), replace(session, asked_at=None)
    is_known = word.attempt == memory.attempt
    memory = memory.refreshed(word) if is_known else memory.accepted(word, session.version)
    if not memory.is_open or (word.do is Do.WAIT and memory.step not in LOADING):
        return memory, replace(session, asked_at=None)
    if word.do is Do.CANCEL:
        if yields and memory.step is not Step.ACTIVATING:
            return memory.ended(Event.CANCELED), replace(session, asked_at=None)
        memory = memory.says(Event.CANCEL_REFUSED)
    return memory, replace(session, asked_at=memory.step)
