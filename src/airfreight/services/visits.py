"""Devices that come by their organization's name: who is let in, and what each is to do.

Their protocol has an address for each thing there is to do; `Errand` says which one a device is sent to.
Source: the DDI reference, 3 to 9.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import msgspec
from sqlalchemy import Connection

from airfreight.domain import polling
from airfreight.domain.access import Permission, Principal
from airfreight.domain.decide import Do, is_unconfirmed, spread
from airfreight.domain.delivery import State
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.domain.filters import predicate
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Handled, Urgency, handling
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.ports import Blobs
from airfreight.services import credentials, deliveries, devices
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.deliveries import Answer
from airfreight.services.devices import Wanted
from airfreight.services.snapshots import is_superseded
from airfreight.settings import Settings
from airfreight.store import attempts, direct_access
from airfreight.store.filter_values import values_of
from airfreight.store.filters import Now

Visitor = direct_access.Visitor
LONGEST_UID = 256
_ASK_AGAIN_MS = 30_000
_ROOM_SECONDS = 3600
MOST_LINES = 100


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who says to be the device `uid` of the organization that is called `name`, and how they prove it.

    `token`, `key`: digests of the device's token and of the organization's key; `authorities`: what a trusted proxy
    says of who it has let in, in lower case.
    """

    name: str
    uid: str
    token: bytes = b""
    key: bytes = b""
    authorities: tuple[str, ...] = ()


class Errand(StrEnum):
    """What a device is sent to do next."""

    NOTHING = "nothing"
    CONFIRM = "confirm"
    UPDATE = "update"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Visit:
    """What a device that was let in finds. `wants_attributes`: it should tell what it is; `sleep`: in seconds.

    `installed`: the attempt that brought what it runs. `unseen`: it never looked at the offer, which is to be cancelled
    or has been overtaken by a newer rollout.
    """

    visitor: Visitor
    answer: Answer
    errand: Errand
    wants_attributes: bool
    sleep: int
    unseen: bool = False
    handled: Handled | None = None

    @property
    def device_id(self) -> int:
        return self.visitor.device_id

    @property
    def installed(self) -> int | None:
        return self.visitor.last_attempt_id


def admit(connection: Connection, knock: Knock) -> Visitor | None:
    """The device that knocks, if it is let in."""
    return _admitted(connection, [knock])[0]


def _admitted(connection: Connection, knocks: Sequence[Knock]) -> list[Visitor | None]:
    known: dict[tuple[str, str], Visitor] = {}
    for visitor in direct_access.visitors(connection, list(dict.fromkeys(knock.uid for knock in knocks))):
        known[visitor.name, visitor.uid] = visitor
    found = [known.get((knock.name, knock.uid)) for knock in knocks]
    return [one if one and _opens(knock, one) else None for knock, one in zip(knocks, found, strict=True)]


def _opens(knock: Knock, door: Any) -> bool:  # noqa: ANN401 - a Visitor, or a row of direct_access, which has no token
    own = getattr(door, "token_hash", None)
    if knock.token and own and credentials.same(bytes(own), knock.token):
        return True
    if knock.key and door.key_hash and credentials.same(bytes(door.key_hash), knock.key):
        return True
    return bool(knock.authorities) and not set(knock.authorities).isdisjoint(_authorities(door))


def _authorities(door: Any) -> list[str]:  # noqa: ANN401 - as above
    found: list[str] = msgspec.json.decode(door.authorities)
    return found


def poll(connection: Connection, knocks: Sequence[Knock], settings: Settings, now: Millis) -> list[Visit | None]:
    """What each of them finds; None for who is not let in. Reads only: an answer with an event is not final."""
    found = _admitted(connection, knocks)
    busy = [one.device_id for one in found if one and one.has_open and one.enabled]
    answers = deliveries.look(connection, busy, now) if busy else {}
    seen = _looked_at(connection, answers.values())
    usual = _intervals(connection, [one for one in found if one], settings, now)
    return [one and _visit(one, answers.get(one.device_id), seen, usual[one.device_id], now) for one in found]


def look_again(connection: Connection, visit: Visit, answer: Answer, now: Millis) -> Visit:
    """The visit after `answer` has been made of what was open."""
    return _visit(visit.visitor, answer, _looked_at(connection, [answer]), visit.sleep, now)


def _visit(visitor: Visitor, answer: Answer | None, seen: set[int], usual: int, now: Millis) -> Visit:
    answer = answer or deliveries.idle(visitor.device_id, is_on=bool(visitor.enabled))
    errand = errand_of(answer)
    unseen = _is_unwanted(answer) and answer.attempt_id not in seen
    how = handled(answer, now) if answer.looked_at is not None and answer.has_work else None
    sleep = polling.until(usual, _recheck_at(answer, how), now)
    return Visit(visitor, answer, errand, _wants_attributes(visitor, answer, now), sleep, unseen, how)


def errand_of(answer: Answer) -> Errand:
    """Total. One that says it has updated, and is to prove it, is sent nowhere: its attributes are asked for.

    Not even to cancel: it has nothing left to cancel, and some clients would not answer. Nor is one sent to what it is
    yet to be offered.
    """
    if answer.attempt_id is None or (answer.row and answer.row.state == State.ACTIVATING):
        return Errand.NOTHING
    match answer.decision.do:
        case Do.NOTHING:
            return Errand.NOTHING
        case Do.CANCEL:
            return Errand.CANCEL
        case Do.WAIT:
            return _errand_while_waiting(answer)
        case Do.DOWNLOAD | Do.INSTALL | Do.ACTIVATE:
            return Errand.UPDATE
        case never:
            assert_never(never)


def _errand_while_waiting(answer: Answer) -> Errand:
    """One that has the files keeps its errand, which tells it to wait."""
    if not _is_offered(answer) or answer.row is None:
        return Errand.UPDATE
    now = answer.looked_at
    is_running = answer.row.rollout_state == RolloutState.RUNNING
    if is_running and now and now.delivery and now.plan and is_unconfirmed(now.device, now.delivery, now.plan):
        return Errand.CONFIRM
    return Errand.NOTHING


def _is_offered(answer: Answer) -> bool:
    return answer.row is not None and answer.row.state == State.OFFERED


def _is_unwanted(answer: Answer) -> bool:
    """Whether it was offered what is to be cancelled, or what a newer rollout has overtaken."""
    row = answer.row
    if row is None or row.state != State.OFFERED:
        return False
    return answer.decision.do is Do.CANCEL or is_superseded(row)


def _looked_at(connection: Connection, answers: Iterable[Answer]) -> set[int]:
    unwanted = [one.attempt_id for one in answers if _is_unwanted(one)]
    return attempts.taken(connection, [one for one in unwanted if one])


def _recheck_at(answer: Answer, how: Handled | None) -> Millis | None:
    """When there may be another answer: the decision's time, or that of the update."""
    if answer.recheck_at is not None or how is None or answer.decision.do is Do.CANCEL:
        return answer.recheck_at
    return how.recheck_at


def handled(answer: Answer, now: Millis) -> Handled:
    """How the device is to handle what it was offered; `answer` is about a delivery."""
    row, looked_at = answer.row, answer.looked_at
    assert row is not None and looked_at is not None  # noqa: S101, PT018 - the caller's
    return handling(
        looked_at,
        answer.decision.do,
        now,
        urgency=Urgency(row.urgency),
        forced_at=None if row.forced_at is None else Millis(row.forced_at),
        finish_on=FinishOn(row.finish_on),
    )


def change_of(state: str, how: Handled | None) -> int:
    """Differs whenever the action of an attempt in this state does, so that its URL is a new one."""
    return zlib.crc32(repr((str(state), how)).encode())


def _wants_attributes(visitor: Visitor, answer: Answer, now: Millis) -> bool:
    """Never told, since its last success, since somebody asked, or since it said that it has updated: then again and
    again, for it may restart later, but not in the same breath.
    """
    told = visitor.attributes_at
    if told is None:
        return True
    if visitor.last_succeeded_at is not None and told < visitor.last_succeeded_at:  # at the same time: it was the proof
        return True
    if visitor.asked_at is not None and told <= visitor.asked_at:
        return True
    if answer.row is None or answer.row.state != State.ACTIVATING:
        return False
    return told <= answer.row.updated_at or now - told >= _ASK_AGAIN_MS


def _intervals(connection: Connection, visitors: Sequence[Visitor], settings: Settings, now: Millis) -> dict[int, int]:
    """Device id -> how long it sleeps when nothing is to come, in seconds.

    Filters are asked here and of these devices alone: in a database, one organization's comparisons of versions would
    read every version that it has, while the devices of all the others wait.
    """
    found = {one.device_id: spread(one.device_id, settings.poll_seconds) for one in visitors if not one.polling}
    texts: dict[str, list[int]] = {}
    for one in visitors:
        if one.polling:
            texts.setdefault(one.polling, []).append(one.device_id)
    policies = [(polling.read(text), ids) for text, ids in texts.items()]
    asked = [device_id for policy, ids in policies if policy.others for device_id in ids]
    fields = values_of(connection, asked, Now(now, now - settings.online_seconds * 1000)) if asked else {}
    for policy, ids in policies:
        others = [(predicate(node, now), interval) for node, interval in policy.others]
        for device_id in ids:
            device = fields.get(device_id, {})
            interval = next((interval for matches, interval in others if matches(device)), policy.usual)
            found[device_id] = interval.of(device_id)
    return found


# newcomers


def may_come(connection: Connection, knock: Knock, settings: Settings) -> bool:
    """Whether somebody unknown may become a device here: they show what opens for all, and there is a product for them.

    Raises LIMITED where the organization has as many devices as may come like this.
    """
    door = direct_access.named(connection, knock.name)
    if door is None or door.product_id is None or not _opens(knock, door):
        return False
    if direct_access.count_devices(connection, door.organization_id) >= settings.newcomers_limit:
        words = "There are as many devices as may come in unknown. An operator has to make this one, or remove others."
        raise Refusal(Kind.LIMITED, words, "too_many_devices", _ROOM_SECONDS)
    return True


def welcome(
    connection: Connection, keyring: Keyring, settings: Settings, blobs: Blobs, knock: Knock, now: Millis
) -> bool:
    """Make a device of somebody unknown who shows what opens for all: the organization's key or an authority.

    False when nobody is let in like this. Raises INVALID for a uid that none can have, CONFLICT when it exists by now.
    """
    door = direct_access.named(connection, knock.name)
    if door is None or door.product_id is None or not _opens(knock, door):
        return False
    check_uid(knock.uid)
    who = Principal(door.organization_id, frozenset({Permission.DEVICE_EDIT}), name=f"the key of {door.name}")
    call = Call(who, door.organization_id, now, connection, settings, keyring, blobs)
    devices.add(call, door.product_id, [Wanted(knock.uid)], is_foreign=True)
    return True


def opens_for_all(connection: Connection, knock: Knock) -> bool:
    """Whether what is shown opens for every device of the organization, also for one that there is not."""
    door = direct_access.named(connection, knock.name)
    return door is not None and _opens(knock, door)


def version_of(connection: Connection, visitor: Visitor, name: str, version: str) -> str | None:
    """What the device says that it runs; None when updates of its product, `name`, have never brought `version`."""
    if not direct_access.knows_version(connection, visitor.device_id, name, version):
        return None
    return direct_access.version_of(connection, visitor.device_id)


def check_uid(uid: str) -> None:
    """Raises INVALID."""
    if not 1 <= len(uid) <= LONGEST_UID or not uid.isprintable() or uid in {".", ".."}:
        words = f"The id of a device has 1 to {LONGEST_UID} printable characters, and is not . or .."
        raise invalid(words, "bad_uid")
