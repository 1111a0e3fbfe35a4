"""Bodies that DDI clients send: JSON and CBOR become the same plain values, whatever else comes is refused at once."""

import asyncio
import gc
import json
import struct
import time
import tracemalloc

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.apis.ddi.test_wire import request, sent

from airfreight.apis.common.asgi import Disconnected, Message, Receive
from airfreight.apis.ddi import wire
from airfreight.apis.ddi.wire import Code, Media, Problem, read_body, send_error
from airfreight.domain.errors import Kind, Refusal

JSON, CBOR = "application/json", "application/cbor"
MIB = 1024 * 1024
LIMIT = MIB // 4
FEEDBACK = {"id": 4, "status": {"execution": "closed", "result": {"finished": "success"}, "details": ["dönè", ""]}}


def coming(*chunks: bytes) -> Receive:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages[-1]["more_body"] = False
    left = iter(messages)

    async def receive() -> Message:
        return next(left)

    return receive


def read(body: bytes, content_type: str | None = JSON, **options: bool) -> object:
    scope = request() if content_type is None else request(content_type=content_type)
    return asyncio.run(read_body(scope, coming(body), 5, **options))


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=UTF-8", "Application/JSON;charset=utf-8"])
def test_json_is_read(content_type: str) -> None:
    assert read(json.dumps(FEEDBACK).encode(), content_type) == FEEDBACK


@pytest.mark.parametrize("indefinite", [False, True])
@pytest.mark.parametrize("head", [b"", bytes.fromhex("d9d9f7")], ids=["bare", "self-described"])
def test_cbor_is_read_into_the_same_values(indefinite: bool, head: bytes) -> None:
    body = cbor2.dumps({**FEEDBACK, "half": 1.5, "no": None, "yes": True}, indefinite_containers=indefinite)
    assert read(head + body, CBOR) == {**FEEDBACK, "half": 1.5, "no": None, "yes": True}


@pytest.mark.parametrize(
    "content_type", [None, "", "application/hal+json", "text/plain", "application/x-www-form-urlencoded", "json", "*/*"]
)
def test_a_body_of_another_type_is_415_before_it_is_read(content_type: str | None) -> None:
    async def unread() -> Message:
        raise AssertionError("the body is read")

    scope = request() if content_type is None else request(content_type=content_type)
    with pytest.raises(Problem) as refused:
        asyncio.run(read_body(scope, unread, 5))
    assert (refused.value.status, refused.value.code) == (415, Code.NOT_READABLE)


def test_a_body_that_need_not_be_there_is_none_when_it_is_not() -> None:
    assert read(b"", None, is_optional=True) is None
    assert read(b'{"initiator":"x"}', JSON, is_optional=True) == {"initiator": "x"}
    with pytest.raises(Problem) as refused:
        read(b'{"initiator":"x"}', None, is_optional=True)
    assert refused.value.status == 415


def test_one_byte_more_than_the_limit_is_too_large() -> None:
    longest = b'"' + b"a" * (LIMIT - 2) + b'"'
    assert read(longest) == "a" * (LIMIT - 2)
    with pytest.raises(Refusal) as refused:
        read(b" " + longest)
    assert refused.value.kind is Kind.TOO_LARGE


def test_a_body_that_stops_coming_is_refused_and_one_that_is_cut_off_is_nobodys() -> None:
    async def never() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(Refusal) as refused:
        asyncio.run(read_body(request(content_type=JSON), never, 0.02))
    answered = sent(send_error, refused.value)
    assert answered.status == 400
    assert json.loads(answered.body)["errorCode"] == "hawkbit.server.error.rest.body.notReadable"
    with pytest.raises(Disconnected):
        asyncio.run(read_body(request(content_type=JSON), gone, 5))


def test_integers_have_as_many_digits_as_json_gives_them() -> None:
    assert read(b'{"id":' + b"9" * 400 + b"}") == {"id": int("9" * 400)}
    assert read(cbor2.dumps([2**64 - 1, -(2**64)]), CBOR) == [2**64 - 1, -(2**64)]


BAD_JSON = {
    "nothing": b"",
    "cut off": b'{"a":1',
    "not utf-8": b'"\xff"',
    "a surrogate in utf-8": b'"\xed\xa0\x80"',
    "half a surrogate": b'"\\ud800"',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "NaN": b'{"a":NaN}',
    "infinity": b"[-Infinity]",
    "a float without end": b"[1e999]",
    "a number of 5000 digits": b"9" * 5000,
    "a number of all that is allowed": b"9" * LIMIT,
    "two values": b"{} {}",
    "a comment": b"{}//",
    "a name that is none": b"{1:2}",
    "33 levels": b"[" * 33 + b"]" * 33,
    "as many lists as there is room for": b"[" * LIMIT,
    "as many objects": b'{"a":' * 52_000,
    "more than 20000 values": b"[" + b"1," * 19_999 + b"1]",
    "as many values as there is room for": b"[" + b"{}," * 87_000 + b"1]",
}


def cbor_tags(*numbers: int) -> dict[str, bytes]:
    """Each tag over an integer, a text, a byte string and a list."""
    heads = {number: cbor2.dumps(cbor2.CBORTag(number, 0))[:-1] for number in numbers}
    contents = {"int": b"\x01", "text": b"\x61a", "bytes": b"\x41a", "list": b"\x82\x01\x02"}
    return {f"tag {n} of {kind}": head + body for n, head in heads.items() for kind, body in contents.items()}


BAD_CBOR = {
    "nothing": b"",
    "a break": b"\xff",
    "cut off": b"\xa1\x61a",
    "something after it": b"\xa0\x00",
    "an endless list": b"\x9f\x01",
    "an object without its last value": b"\xbf\x61a\xff",
    "text in bytes": b"\x7f\x41a\xff",
    "chunks in chunks": b"\x7f\x7f\x61a\xff\xff",
    "a list of 2^63 values": b"\x9b" + b"\x7f" + b"\xff" * 7,
    "a list of 2^64 values": b"\x9b" + b"\xff" * 8,
    "an object of 2^32 values": b"\xba" + b"\xff" * 4,
    "a text of 2^63 bytes": b"\x7b\x7f" + b"\xff" * 7,
    "a text of 2^64 bytes": b"\x7b" + b"\xff" * 8,
    "bytes of 2 GB": b"\x5a\x7f" + b"\xff" * 3 + b"a" * 100,
    "lists of 2^16 values in each other": b"\x9a\x00\xff\xff\xff" * 30,
    "not utf-8": b"\x61\xff",
    "a surrogate": b"\x63\xed\xa0\x80",
    "bytes": b"\x41a",
    "bytes for a name": b"\xa1\x41a\x01",
    "a number for a name": b"\xa1\x01\x01",
    "a list for a name": b"\xa1\x80\x01",
    "NaN for a name": b"\xa1\xf9\x7e\x00\x01",
    "a name twice": b"\xa2\x61a\x01\x61a\x02",
    "NaN": b"\xf9\x7e\x00",
    "infinity": b"\x81\xfa\x7f\x80\x00\x00",
    "undefined": b"\xf7",
    "a simple value": b"\xe0",
    "a simple value that is none": b"\xf8\x10",
    "a reserved length": b"\x1c",
    "a list that has itself in it": bytes.fromhex("d81c81d81d00"),
    "a self-describing tag in it": b"\x81\xd9\xd9\xf7\x00",
    "33 levels": b"\x81" * 33 + b"\x00",
    "as many lists as there is room for": b"\x81" * LIMIT,
    "as many endless lists": b"\x9f" * LIMIT,
    "as many tags": b"\xc6" * LIMIT,
    "as many self-describing tags": bytes.fromhex("d9d9f7") * (LIMIT // 3),
    "more than 20000 values": b"\x99\x4e\x21" + b"\x00" * 20_001,
    "as many values as there is room for": b"\x9f" + b"\x80" * (LIMIT - 2) + b"\xff",
    **cbor_tags(
        0, 1, 2, 3, 4, 5, 21, 24, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 1004, 43000, 55800, 2**64 - 1
    ),
}
BAD = [pytest.param(JSON, body, id=f"json: {name}") for name, body in BAD_JSON.items()]
BAD += [pytest.param(CBOR, body, id=f"cbor: {name}") for name, body in BAD_CBOR.items()]


@pytest.mark.parametrize(("content_type", "body"), BAD)
def test_what_cannot_be_read_is_400_at_once_and_in_little_memory(content_type: str, body: bytes) -> None:
    took, steps = [], []
    for _ in range(5):  # the collector may begin with all of pytest's own objects in one of them
        began = time.thread_time()
        sum(range(60_000))
        steps.append(time.thread_time() - began)
        began = time.thread_time()
        with pytest.raises(Problem) as refused:
            read(body, content_type)
        took.append(time.thread_time() - began)
        assert (refused.value.status, refused.value.code) == (400, Code.NOT_READABLE)
        assert gc.isenabled()
    assert min(took) < 100 * min(steps), "on this machine, where each of those takes less than a millisecond"

    traced = [memory_of(body, content_type) for _ in range(3)]  # what other threads do meanwhile counts too
    assert min(most for _, most in traced) < 40 * MIB
    assert min(now for now, _ in traced) < MIB, "the values live as long as the error"


def memory_of(body: bytes, content_type: str) -> tuple[int, int]:
    """How many bytes there are while the error is at hand, and how many there were at most."""
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as kept:
            read(body, content_type)
        assert kept.value.status == 400
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def test_what_is_just_within_the_limits_is_read() -> None:
    assert read(b"[" * 32 + b"]" * 32) is not None
    assert read(b"\x81" * 32 + b"\x00", CBOR) is not None
    assert len(read(b"[" + b"1," * 19_998 + b"1]")) == 19_999  # type: ignore[arg-type]


PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**64), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=8), inner, max_size=5)),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_plain_values_come_as_they_were_sent(value: object) -> None:
    assert read(json.dumps(value).encode()) == value
    assert read(json.dumps(value, ensure_ascii=False).encode()) == value
    assert read(cbor2.dumps(value), CBOR) == value
    assert read(cbor2.dumps(value, indefinite_containers=True), CBOR) == value


def is_plain(value: object, depth: int = 0) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(one, depth + 1) for key, one in value.items())
    if isinstance(value, list):
        return depth < 33 and all(is_plain(one, depth + 1) for one in value)
    return type(value) in {str, int, bool, type(None)} or (type(value) is float and value - value == 0)


def read_or_refused(body: bytes, content_type: str) -> None:
    """Nothing but plain values or the 400; whatever can be read can be answered in every media."""
    refused = None
    try:
        value = read(body, content_type)
    except Problem as error:
        refused = error.status, error.code
    if refused:
        assert refused == (400, Code.NOT_READABLE)
        return
    assert is_plain(value)
    for media in Media:
        assert wire.encoded(value, media)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60))
@example(b"\xd8\x1c\x82\x00\xd8\x1d\x00")
def test_any_bytes_are_plain_values_or_a_400(body: bytes) -> None:
    read_or_refused(body, CBOR)
    read_or_refused(body, JSON)


HEADS = st.one_of(
    st.builds(lambda major, minor: bytes([major << 5 | minor]), st.integers(0, 7), st.integers(0, 31)),
    st.builds(lambda major, n: bytes([major << 5 | 24, n]), st.integers(0, 7), st.integers(0, 255)),
    st.builds(lambda major, n: struct.pack(">BH", major << 5 | 25, n), st.integers(0, 7), st.integers(0, 65535)),
    st.builds(lambda major, n: struct.pack(">BI", major << 5 | 26, n), st.integers(0, 7), st.integers(0, 2**32 - 1)),
    st.builds(lambda major, n: struct.pack(">BQ", major << 5 | 27, n), st.integers(0, 7), st.integers(0, 2**64 - 1)),
    st.sampled_from([b"\x9f", b"\xbf", b"\x7f", b"\x5f", b"\xff", b"\xd8\x1c", b"\xd8\x1d", b"\xd8\x19", b"\x61a", b"\x00"]),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(HEADS, max_size=40).map(b"".join))
def test_any_row_of_cbor_heads_is_plain_values_or_a_400(body: bytes) -> None:
    read_or_refused(body, CBOR)


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ",", ":", '"', '"a"', '"\\u', "d800", "\\", "1", "-", "e9", "E+999", ".", "0", "null", "true", "nan", "é", " "]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(TOKENS, max_size=40).map("".join))
def test_any_row_of_json_tokens_is_plain_values_or_a_400(body: str) -> None:
    read_or_refused(body.encode(), JSON)


@settings(max_examples=200, deadline=None)
@given(PLAIN, st.integers(0, 200), st.binary(min_size=1, max_size=3), st.booleans())
def test_a_good_body_with_some_bytes_changed_is_plain_values_or_a_400(
    value: object, at: int, instead: bytes, indefinite: bool
) -> None:
    for content_type, body in (
        (JSON, json.dumps(value).encode()),
        (CBOR, cbor2.dumps(value, indefinite_containers=indefinite)),
    ):
        at %= len(body)
        read_or_refused(body[:at] + instead + body[at + len(instead) :], content_type)
