"""Actions and their feedback, configData and installedBase. Each handler is given the request and what its address has.

The body is read before the action is looked up: who sends nonsense learns nothing. Source: the DDI reference, 2, 5-8.
"""

from typing import Any
from urllib.parse import parse_qs

from airfreight.apis.ddi import reading, translate
from airfreight.apis.ddi.asked import Asked
from airfreight.apis.ddi.shapes import (
    ActionHistory,
    CancelAction,
    Deployment,
    DeploymentBase,
    Execution,
    Finished,
    Stop,
)
from airfreight.apis.ddi.wire import Code, Problem, send_empty
from airfreight.domain.delivery import State, Verdict
from airfreight.services import attributes, offers, visits
from airfreight.services.attributes import How
from airfreight.services.deliveries import Report
from airfreight.services.device_work import Reports, SetAttributes, Taken
from airfreight.services.offers import Offer
from airfreight.services.visits import Errand

_GONE = frozenset({State.CANCELED, State.SKIPPED})


async def get_deployment(number: str, asked: Asked) -> None:
    """`GET .../deploymentBase/{actionId}`: the action, also one that is over, unless it was cancelled."""
    visitor, offer = await asked.offer(number)
    if offer.state in _GONE or offer.is_canceling or offer.errand is Errand.CONFIRM:
        raise Problem(404)
    if offer.is_open and not visitor.enabled:
        raise Problem(404)
    if offer.is_open and offer.row.taken_at is None:
        await asked.hands.do(Taken(visitor.device_id, offer.attempt_id))
    await answer_deployment(asked, offer)


async def get_installed(number: str, asked: Asked) -> None:
    """`GET .../installedBase/{actionId}`: an action that is over and was not cancelled."""
    _, offer = await asked.offer(number)
    if offer.is_open or offer.state in _GONE:
        raise Problem(404)
    await answer_deployment(asked, offer)


async def answer_deployment(asked: Asked, offer: Offer) -> None:
    """The action with its files and, if asked for, its history."""
    history = await history_wanted(asked, offer)
    stamp = (offer.stamp, history)
    if not await asked.has_it(stamp):
        deployment = await deployment_of(asked, offer)
        await asked.answer(DeploymentBase(str(offer.attempt_id), deployment, history), stamp)


async def deployment_of(asked: Asked, offer: Offer) -> Deployment:
    """The files of an action, and how to handle them. Raises Problem(404) where the bytes of one are missing."""
    artifacts = await asked.read(offers.artifacts_of, offer)
    return translate.deployment_of(offer, artifacts, asked.base, await asked.sha1s(artifacts))


async def history_wanted(asked: Asked, offer: Offer, *, or_else: int = 0) -> ActionHistory | None:
    """`actionHistory`: that many messages, -1 for all; `or_else` where it is not there or no number; None for 0."""
    [text, *_] = parse_qs(asked.scope["query_string"].decode("latin-1")).get("actionHistory", [""])
    digits = text.removeprefix("-")
    most = int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else or_else
    return translate.history_of(offer, await asked.read(offers.lines_of, offer, most)) if most else None


async def post_feedback(number: str, asked: Asked) -> None:
    """`POST .../deploymentBase/{actionId}/feedback`"""
    _, body = await asked.body()
    told = reading.feedback_of(body)
    visitor, offer = await asked.offer(number)
    if offer.errand is Errand.CONFIRM:
        raise Problem(404)
    is_success = told.execution is Execution.CLOSED and told.finished is not Finished.FAILURE
    is_proven = is_success and await asked.read(offers.is_proven, offer)
    report = translate.report_of(offer.attempt_id, told, translate.event_of(told))
    verdict = await _reported(asked, visitor.device_id, report)
    if verdict in {Verdict.LATE, Verdict.REFUSED} and not is_proven:
        raise Problem(410)
    await send_empty(asked.scope, asked.send, 200)


async def get_cancel(number: str, asked: Asked) -> None:
    """`GET .../cancelAction/{actionId}`"""
    _, offer = await asked.offer(number)
    if not (offer.state is State.CANCELED or offer.is_canceling):
        raise Problem(404)
    stamp = ("cancel", offer.attempt_id)
    if not await asked.has_it(stamp):
        text = str(offer.attempt_id)
        await asked.answer(CancelAction(text, Stop(text)), stamp)


async def post_cancel_feedback(number: str, asked: Asked) -> None:
    """`POST .../cancelAction/{actionId}/feedback`"""
    _, body = await asked.body()
    told = reading.feedback_of(body)
    visitor, offer = await asked.offer(number)
    report = translate.report_of(offer.attempt_id, told, translate.cancel_event_of(told))
    # what nobody wants to be cancelled is not written down as a word about that
    verdict = await _reported(asked, visitor.device_id, report) if offer.is_canceling else Verdict.REFUSED
    if verdict in {Verdict.LATE, Verdict.REFUSED}:
        raise Problem(405, Code.NOT_CANCELABLE, "Nobody wants this action to be cancelled.")
    await send_empty(asked.scope, asked.send, 200)


async def put_config(asked: Asked) -> None:
    """`PUT .../configData`: what the device is; it is not asked again until there is a reason."""
    visitor, body = await asked.body()
    how, said = reading.attributes_of(body)
    given = said if how is How.REMOVE else attributes.without_bad_known(said)
    await asked.hands.do(SetAttributes(visitor.device_id, given, how, restarts_later=True))
    await send_empty(asked.scope, asked.send, 200)


async def put_installed(asked: Asked) -> None:
    """`PUT .../installedBase`: the device says that it has this version of its product."""
    _, body = await asked.body()
    name, version = reading.installed_of(body)
    visitor, runs = await asked.visit(visits.version_of, name, version)
    if runs is None:
        raise Problem(404, Code.NOT_FOUND, "No update of this product has brought this version.")
    if runs != version:
        await asked.hands.do(SetAttributes(visitor.device_id, {"version": version}, restarts_later=True))
    await send_empty(asked.scope, asked.send, 200 if runs == version else 201)


async def _reported(asked: Asked, device_id: int, report: Report) -> Verdict:
    """Have it written; the verdict when it is on disk."""
    verdicts: Any = await asked.hands.do(Reports(device_id, [report]))
    return Verdict(verdicts[0])
