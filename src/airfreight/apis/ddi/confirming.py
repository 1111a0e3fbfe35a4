"""confirmationBase: updates that wait for the word of the device's user. Source: the DDI reference, 9."""

from functools import partial
from typing import Any

from airfreight.apis.common.desk import clock
from airfreight.apis.ddi import reading, translate
from airfreight.apis.ddi.actions import deployment_of, history_wanted
from airfreight.apis.ddi.asked import Asked
from airfreight.apis.ddi.shapes import ConfirmationBase, ConfirmationOf
from airfreight.apis.ddi.wire import Code, Problem, send_empty
from airfreight.domain.delivery import Verdict
from airfreight.services import direct_access, offers
from airfreight.services.device_work import Reports, StandingConsent
from airfreight.services.visits import Errand


def handlers(rest: tuple[str, ...]) -> dict[str, Any]:
    """What answers behind `.../confirmationBase`, by method. Raises Problem(404) where there is nothing."""
    match rest:
        case ():
            return {"GET": get_base}
        case ("activateAutoConfirm",):
            return {"POST": activate}
        case ("deactivateAutoConfirm",):
            return {"POST": deactivate}
        case (number,):
            return {"GET": partial(get_one, number)}
        case (number, "feedback"):
            return {"POST": partial(post_feedback, number)}
    raise Problem(404)


async def get_base(asked: Asked) -> None:
    """`GET .../confirmationBase`: whether the user is asked, and what waits for a word."""
    _, (consent, waiting, change) = await asked.visit(offers.to_confirm, clock())
    href = f"{asked.base}/confirmationBase/{waiting}?c={change}" if waiting else None
    stamp = ("confirmation", consent, waiting, change)
    if not await asked.has_it(stamp):
        said = direct_access.read_consent(consent)
        links = translate.confirmation_links(asked.base, is_on=said is not None, waiting=href)
        await asked.answer(ConfirmationBase(translate.auto_confirm_of(said), links), stamp)


async def get_one(number: str, asked: Asked) -> None:
    """`GET .../confirmationBase/{actionId}`: what the user is to confirm."""
    _, offer = await asked.offer(number)
    if offer.errand is not Errand.CONFIRM:
        raise Problem(404)
    history = await history_wanted(asked, offer, or_else=offers.MOST_LINES)
    stamp = ("to confirm", offer.stamp, history)
    if not await asked.has_it(stamp):
        deployment = await deployment_of(asked, offer)
        await asked.answer(ConfirmationOf(str(offer.attempt_id), deployment, history), stamp)


async def post_feedback(number: str, asked: Asked) -> None:
    """`POST .../confirmationBase/{actionId}/feedback`: the user's yes, or a no that ends the attempt."""
    _, body = await asked.body()
    told = reading.word_of(body)
    visitor, offer = await asked.offer(number)
    if not offer.is_open:
        raise Problem(410)
    if offer.errand is not Errand.CONFIRM:
        raise Problem(404)
    report = translate.word_report_of(offer.attempt_id, told)
    verdicts: Any = await asked.hands.do(Reports(visitor.device_id, [report]))
    if verdicts[0] in {Verdict.LATE, Verdict.REFUSED}:
        raise Problem(410)
    await send_empty(asked.scope, asked.send, 200)


async def activate(asked: Asked) -> None:
    """`POST .../confirmationBase/activateAutoConfirm`: the user says yes to whatever comes."""
    visitor, body = await asked.body(is_optional=True)
    initiator, remark = reading.consent_of(body)
    words = direct_access.consent_words(initiator, remark, clock())
    if await asked.hands.do(StandingConsent(visitor.device_id, words)) is None:
        raise Problem(409, Code.ALREADY_CONFIRMING, "Updates are confirmed automatically already.")
    await send_empty(asked.scope, asked.send, 200)


async def deactivate(asked: Asked) -> None:
    """`POST .../confirmationBase/deactivateAutoConfirm`: the user is asked each time."""
    visitor = await asked.visitor()
    await asked.hands.do(StandingConsent(visitor.device_id, None))
    await send_empty(asked.scope, asked.send, 200)
