"""The device protocol over httpx, for one device: requests in, typed answers or the exceptions of `protocol` out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import quote, urljoin

import httpx

from airfreight_agent.protocol import (
    SHORTEST_PAUSE_SECONDS,
    Attribute,
    Idle,
    Instruction,
    ProtocolError,
    RefusedError,
    Report,
    UnavailableError,
    UnknownThingError,
    Verdict,
    check_status,
    encode_reports,
    parse_instruction,
    parse_object,
    parse_results,
    parse_retry_after,
    parse_things,
    text,
    words_of,
)

MAX_ANSWER_BYTES = 1 << 20
MAX_REFUSAL_BYTES = 4096
DEFAULT_RETRY_AFTER = 60.0
DEFAULT_TIMEOUT = 30.0
_NO_ANSWER = (httpx.RequestError, httpx.InvalidURL, ValueError, OverflowError)
"""What httpx raises when it gets no answer, or one that sends it to a place that is none."""


def enroll(
    http: httpx.Client, key: str, uid: str, product: str, attributes: Mapping[str, Attribute], parent: str = ""
) -> str:
    """The token of a device that the server did not know yet; it is shown this once.

    Behind a `parent` it is a thing, and its token is empty: the parent speaks for it. Raises ValueError for a key that
    is none.
    """
    body = {"uid": uid, "product": product, "attributes": attributes, **({"parent": parent} if parent else {})}
    _, _, answer = _call(http, "POST", "/device/v1/enroll", _bearer(key), json.dumps(body).encode())
    return text(parse_object(answer), "token")


class Client:
    """One device's side of the conversation. `http` has the server as its base URL.

    With `thing`, the uid of one that is behind the device whose token this is, it is that thing's side; then
    `put_attributes` and `poll` may raise UnknownThingError. Raises ValueError for a token that is none.
    """

    def __init__(self, http: httpx.Client, token: str, thing: str = "") -> None:
        self._http = http
        self._bearer = _bearer(token)
        self._thing = thing

    def put_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        path = "/device/v1/attributes" + (f"?thing={quote(self._thing, safe='')}" if self._thing else "")
        with self._knowing():
            _call(self._http, "PUT", path, self._bearer, json.dumps(attributes).encode())

    def poll(self, wait_seconds: int) -> Instruction | Idle:
        """Ask what to do; the server may hold the answer back for `wait_seconds`."""
        path = f"/device/v1/next?wait={wait_seconds}" + (f"&thing={quote(self._thing, safe='')}" if self._thing else "")
        with self._knowing():
            status, headers, answer = _call(self._http, "GET", path, self._bearer, extra_seconds=wait_seconds)
        return Idle(_pause(headers)) if status == 204 else parse_instruction(answer)

    def things(self, wait_seconds: int) -> tuple[dict[str, str], float]:
        """The things behind this device that have something to do now, each with its type, and for how many seconds
        not to ask again when there are none. The server may hold the answer back for `wait_seconds`.
        """
        path = f"/device/v1/things?wait={wait_seconds}"
        _, headers, answer = _call(self._http, "GET", path, self._bearer, extra_seconds=wait_seconds)
        return parse_things(answer), _pause(headers)

    def report(self, reports: Sequence[Report]) -> dict[tuple[int, int], Verdict]:
        body = encode_reports(reports, self._thing)
        _, _, answer = _call(self._http, "POST", "/device/v1/reports", self._bearer, body)
        return parse_results(answer, reports)

    @contextmanager
    def _knowing(self) -> Iterator[None]:
        """A 404 of the server itself (a proxy has no such code) says that it knows no such thing here."""
        try:
            yield
        except RefusedError as error:
            if self._thing and error.status == httpx.codes.NOT_FOUND and error.code == "not_found":
                raise UnknownThingError(error.status, error.code) from error
            raise

    @contextmanager
    def download(self, url: str, offset: int, etag: str) -> Iterator[httpx.Response]:
        """The response to a request for the bytes from `offset` on, unread.

        The token goes to the server itself only, never to another place that an instruction names. Raises
        UnavailableError also when the bytes stop coming.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag:
                headers["If-Range"] = etag
        try:
            address = httpx.URL(urljoin(str(self._http.base_url), url))
            if _origin(address) == _origin(self._http.base_url):
                headers["Authorization"] = self._bearer
            request = self._http.build_request("GET", address, headers=headers)
        except (httpx.InvalidURL, ValueError):
            raise ProtocolError("an address that is none") from None
        with _sent(self._http, request, "download", follow_redirects=True) as response:
            yield response


def _call(
    http: httpx.Client, method: str, path: str, bearer: str, body: bytes | None = None, extra_seconds: float = 0.0
) -> tuple[int, httpx.Headers, bytes]:
    headers = {"Authorization": bearer}
    if body is not None:
        headers["Content-Type"] = "application/json"
    usual = http.timeout.read or DEFAULT_TIMEOUT
    timeout = httpx.Timeout(usual, read=usual + extra_seconds)
    content = bytearray()
    request = http.build_request(method, path, content=body, headers=headers, timeout=timeout)
    with _sent(http, request, f"{method} {path}") as response:
        check_status(
            response.status_code,
            response.headers.get("retry-after"),
            response.headers.get("x-error-code", ""),
            _words(response),
        )
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise ProtocolError("an answer is too long")
    return response.status_code, response.headers, bytes(content)


def _words(response: httpx.Response) -> str:
    """What a refusal says to people, if it is short and comes whole."""
    if not 400 <= response.status_code < 500 or response.headers.get("content-type") != "application/json":
        return ""
    content = bytearray()
    with suppress(httpx.RequestError):
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_REFUSAL_BYTES:
                return ""
    return words_of(bytes(content))


@contextmanager
def _sent(
    http: httpx.Client, request: httpx.Request, what: str, *, follow_redirects: bool = False
) -> Iterator[httpx.Response]:
    """The response, unread. Raises UnavailableError, also when it breaks off while it is read.

    No cookie is kept: the protocol has none, and one that cannot be sent back would end every request after it.
    """
    with ExitStack() as stack:
        try:
            response = stack.enter_context(closing(http.send(request, stream=True, follow_redirects=follow_redirects)))
        except _NO_ANSWER as error:
            raise UnavailableError(f"{what}: {type(error).__name__}") from error
        finally:
            http.cookies.clear()
        try:
            yield response
        except httpx.RequestError as error:
            raise UnavailableError(f"{what}: {type(error).__name__}") from error


def _bearer(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise ValueError("a token or key is made of printable ASCII characters")
    return f"Bearer {token}"


def _pause(headers: httpx.Headers) -> float:
    seconds = parse_retry_after(headers.get("retry-after"))
    return DEFAULT_RETRY_AFTER if seconds is None else max(seconds, SHORTEST_PAUSE_SECONDS)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port
