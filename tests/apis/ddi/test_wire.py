"""What a DDI client is answered: in which media, with what length, and with which error."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfreight.apis.common.asgi import Message, Scope
from airfreight.apis.ddi import wire
from airfreight.apis.ddi.wire import (
    Code,
    Media,
    Problem,
    accepted,
    problem_of,
    send_empty,
    send_error,
    send_value,
)
from airfreight.domain.errors import Kind, Refusal

JSON, CBOR = "application/json", "application/cbor"


def request(method: str = "POST", **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "headers": named}


@dataclass
class Sent:
    """An answer as the HTTP server gets it."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        pairs = [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs), "a header twice"
        return dict(pairs)

    @property
    def body(self) -> bytes:
        assert not self.messages[-1].get("more_body")
        return b"".join(message["body"] for message in self.messages[1:])


def sent(writing: Any, *arguments: Any, scope: Scope | None = None) -> Sent:
    made = Sent()
    asyncio.run(writing(scope or request("GET"), made.send, *arguments))
    return made


# what to answer in


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, Media.HAL),
        ("", Media.HAL),
        ("*/*", Media.HAL),
        ("application/*", Media.HAL),
        ("application/hal+json", Media.HAL),
        ("application/json", Media.JSON),
        ("application/cbor", Media.CBOR),
        ("APPLICATION/JSON ; charset=utf-8", Media.JSON),
        ("application/json, */*", Media.JSON),
        ("*/*, application/cbor", Media.CBOR),
        ("application/cbor, application/json", Media.CBOR),
        ("application/json, application/cbor", Media.JSON),
        ("application/json;q=0.5, application/cbor;q=0.9", Media.CBOR),
        ("application/json;q=0.5, */*", Media.HAL),
        ("application/hal+json;q=0, */*;q=0.1", Media.JSON),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", Media.HAL),
        ("application/cbor;q=1.5, application/json;q=0.1", Media.JSON),
        ("application/cbor;q=x, application/json;q=0.1", Media.JSON),
        ("application/cbor;q=nan, application/json;q=0.1", Media.JSON),
        (",,application/json", Media.JSON),
    ],
)  # fmt: skip
def test_what_is_answered_in(accept: str | None, media: Media) -> None:
    assert accepted(request() if accept is None else request(accept=accept)) is media


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/xml", "application/json;q=0", "*/*;q=0", "nonsense", "application/hal", "x" * 60_000],
)
def test_nothing_acceptable_is_406(accept: str) -> None:
    with pytest.raises(Problem) as refused:
        accepted(request(accept=accept))
    assert refused.value.status == 406
    answered = sent(send_error, refused.value)
    assert (answered.status, answered.body, answered.headers) == (406, b"", {"content-length": "0"})


def test_accept_in_two_lines_is_one_list() -> None:
    scope = {"headers": [(b"accept", b"text/html"), (b"host", b"x"), (b"accept", b"application/cbor")]}
    assert accepted(scope) is Media.CBOR


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_whatever_is_accepted_is_one_of_ours_or_406(accept: str) -> None:
    answer: object
    try:
        answer = accepted(request(accept=accept))
    except Problem as error:
        answer = error.status
    assert answer in {*Media, 406}


@pytest.mark.parametrize("member", ["application/cbor;q=0.1,", ";", ",", "a/b;"])
def test_a_long_accept_costs_next_to_nothing(member: str) -> None:
    accept = member * (60_000 // len(member))
    took, steps = [], []
    for _ in range(20):
        began = time.thread_time()
        sum(range(60_000))
        steps.append(time.thread_time() - began)
        began = time.thread_time()
        assert accepted(request(accept="application/json," + accept)) is Media.JSON
        took.append(time.thread_time() - began)
    assert min(took) < 3 * min(steps), (
        "on this machine, of which the count has as many steps as the header has characters"
    )


# answers

PREFIX = "hawkbit.server.error."
BASE = {"config": {"polling": {"sleep": "00:05:00"}}, "ü": [1, None, True, 1.5]}


class Polling(msgspec.Struct, rename="camel", omit_defaults=True):
    sleep_time: str
    window: str | None = None


@pytest.mark.parametrize("media", list(Media))
def test_a_value_is_answered_in_the_media_with_its_exact_length(media: Media) -> None:
    answered = sent(send_value, 200, BASE, media, '"0abc"')
    assert answered.status == 200
    assert answered.headers == {
        "content-type": media.value,
        "content-length": str(len(answered.body)),
        "etag": '"0abc"',
    }
    assert (cbor2.loads if media is Media.CBOR else json.loads)(answered.body) == BASE
    assert answered.body == wire.encoded(BASE, media)


def test_json_is_compact() -> None:
    assert sent(send_value, 200, {"a": [1, {"b": "c"}]}, Media.HAL).body == b'{"a":[1,{"b":"c"}]}'


@pytest.mark.parametrize("media", list(Media))
def test_a_struct_is_the_same_tree_in_every_media(media: Media) -> None:
    body = sent(send_value, 200, [Polling("00:01:00")], media).body
    assert (cbor2.loads if media is Media.CBOR else json.loads)(body) == [{"sleepTime": "00:01:00"}]


def test_head_is_answered_with_the_same_headers_and_no_body() -> None:
    for writing, arguments in (
        (send_value, (200, BASE, Media.JSON, '"0abc"')),
        (send_empty, (200,)),
        (send_error, (Problem(405, Code.NOT_CANCELABLE, "no"),)),
        (send_error, (Problem(410),)),
    ):
        got = sent(writing, *arguments)
        headed = sent(writing, *arguments, scope=request("HEAD"))
        assert (headed.status, headed.headers, headed.body) == (got.status, got.headers, b"")


def test_an_empty_answer_has_the_length_nothing() -> None:
    answered = sent(send_empty)
    assert (answered.status, answered.headers, answered.body) == (200, {"content-length": "0"}, b"")


def test_not_modified_has_no_length() -> None:
    answered = sent(send_empty, 304, [(b"etag", b'"0a"')])
    assert (answered.status, answered.headers, answered.body) == (304, {"etag": '"0a"'}, b"")


# errors


@pytest.mark.parametrize("code", list(Code))
def test_an_error_with_a_code_has_hawkbits_three_fields(code: Code) -> None:
    answered = sent(send_error, Problem(400, code, "Why."))
    body = json.loads(answered.body)
    assert body.pop("exceptionClass").startswith(("org.eclipse.hawkbit.", "jakarta."))
    assert body == {"errorCode": PREFIX + code.value, "message": "Why."}
    assert answered.headers == {"content-type": Media.HAL.value, "content-length": str(len(answered.body))}


def test_an_error_is_written_in_what_the_client_accepts() -> None:
    problem = Problem(409, Code.ALREADY_CONFIRMING, "It is.")
    answered = sent(send_error, problem, scope=request("GET", accept=CBOR))
    assert answered.headers["content-type"] == CBOR
    assert cbor2.loads(answered.body)["errorCode"] == PREFIX + "repo.autoConfAlreadyActive"
    assert sent(send_error, problem, scope=request("GET", accept=JSON)).headers["content-type"] == JSON
    assert sent(send_error, problem, scope=request("GET", accept="image/png")).headers["content-type"] == Media.HAL


@pytest.mark.parametrize("status", [401, 404, 410])
def test_an_error_without_a_code_has_an_empty_body(status: int) -> None:
    answered = sent(send_error, Problem(status))
    assert (answered.status, answered.headers, answered.body) == (status, {"content-length": "0"}, b"")


def test_headers_of_a_problem_are_sent() -> None:
    answered = sent(send_error, Problem(405, headers=[(b"allow", b"GET, HEAD")]))
    assert (answered.headers["allow"], answered.body) == ("GET, HEAD", b"")


REFUSALS = [
    (Refusal(Kind.INVALID, "No."), 400, Code.CONSTRAINT),
    (Refusal(Kind.INVALID, "No.", "slow_body"), 400, Code.NOT_READABLE),
    (Refusal(Kind.INVALID, "No.", "bad_attributes"), 400, Code.INVALID_ATTRIBUTES),
    (Refusal(Kind.INVALID, "No.", "too_many_attributes"), 429, Code.TOO_MANY_ENTRIES),
    (Refusal(Kind.UNAUTHENTICATED, "No."), 401, None),
    (Refusal(Kind.FORBIDDEN, "No."), 403, None),
    (Refusal(Kind.NOT_FOUND, "No."), 404, None),
    (Refusal(Kind.CONFLICT, "No."), 409, Code.CONCURRENT),
    (Refusal(Kind.CONFLICT, "No.", "uid_taken"), 409, Code.ALREADY_EXISTS),
    (Refusal(Kind.TOO_LARGE, "No."), 413, Code.NOT_READABLE),
    (Refusal(Kind.UNSUPPORTED, "No."), 415, Code.NOT_READABLE),
    (Refusal(Kind.LIMITED, "No."), 429, None),
]


@pytest.mark.parametrize(("refusal", "status", "code"), REFUSALS, ids=lambda one: str(getattr(one, "code", one)))
def test_what_a_refusal_is_here(refusal: Refusal, status: int, code: Code | None) -> None:
    problem = problem_of(refusal)
    assert (problem.status, problem.code) == (status, code)
    answered = sent(send_error, refusal)
    assert answered.status == status
    assert answered.headers["x-error-code"] == refusal.code
    assert ("retry-after" in answered.headers) == (status == 429)
    assert (json.loads(answered.body)["message"] if code else answered.body) == ("No." if code else b"")


def test_every_kind_of_refusal_is_something_here() -> None:
    assert {refusal.kind for refusal, _, _ in REFUSALS} == set(Kind)


def test_each_429_says_when_to_try_again() -> None:
    assert sent(send_error, Refusal(Kind.LIMITED, "No.", "busy", 7)).headers["retry-after"] == "7"
    assert int(sent(send_error, Problem(429, Code.TOO_MANY_ENTRIES, "No.")).headers["retry-after"]) > 0
