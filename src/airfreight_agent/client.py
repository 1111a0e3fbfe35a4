"""The device protocol over httpx, for one device: requests in, typed answers or the exceptions of `protocol` out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urljoin

import httpx

from airfreight_agent.protocol import (
    Attribute,
    Idle,
    Instruction,
    ProtocolError,
    Report,
    UnavailableError,
    Verdict,
    check_status,
    encode_reports,
    parse_instruction,
    parse_object,
    parse_results,
    parse_retry_after,
    text,
)

MAX_ANSWER_BYTES = 1 << 20
DEFAULT_RETRY_AFTER = 60.0
DEFAULT_TIMEOUT = 30.0


def enroll(http: httpx.Client, key: str, uid: str, product: str, attributes: Mapping[str, Attribute]) -> str:
    """The token of a device that the server did not know yet; it is shown this once."""
    body = {"uid": uid, "product": product, "attributes": attributes}
    _, _, answer = _call(http, "POST", "/device/v1/enroll", key, json.dumps(body).encode())
    return text(parse_object(answer), "token")


class Client:
    """One device's side of the conversation. `http` has the server as its base URL."""

    def __init__(self, http: httpx.Client, token: str) -> None:
        self._http = http
        self._token = token

    def put_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        _call(self._http, "PUT", "/device/v1/attributes", self._token, json.dumps(attributes).encode())

    def poll(self, wait_seconds: int) -> Instruction | Idle:
        """Ask what to do; the server may hold the answer back for `wait_seconds`."""
        path = f"/device/v1/next?wait={wait_seconds}"
        status, headers, answer = _call(self._http, "GET", path, self._token, extra_seconds=wait_seconds)
        if status == 204:
            seconds = parse_retry_after(headers.get("retry-after"))
            return Idle(DEFAULT_RETRY_AFTER if seconds is None else seconds)
        return parse_instruction(answer)

    def report(self, reports: Sequence[Report]) -> dict[tuple[int, int], Verdict]:
        _, _, answer = _call(self._http, "POST", "/device/v1/reports", self._token, encode_reports(reports))
        return parse_results(answer, reports)

    @contextmanager
    def download(self, url: str, offset: int, etag: str) -> Iterator[httpx.Response]:
        """The response to a request for the bytes from `offset` on, unread.

        The token goes to the server itself only, never to another place that an instruction names. Raises
        UnavailableError also when the bytes stop coming.
        """
        try:
            address = httpx.URL(urljoin(str(self._http.base_url), url))
        except (httpx.InvalidURL, ValueError):
            raise ProtocolError("an address that is none") from None
        headers = {"Accept-Encoding": "identity"}
        if _origin(address) == _origin(self._http.base_url):
            headers["Authorization"] = f"Bearer {self._token}"
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag:
                headers["If-Range"] = etag
        try:
            with self._http.stream("GET", address, headers=headers, follow_redirects=True) as response:
                yield response
        except httpx.RequestError as error:
            raise UnavailableError(f"download: {type(error).__name__}") from error


def _call(
    http: httpx.Client, method: str, path: str, token: str, body: bytes | None = None, extra_seconds: float = 0.0
) -> tuple[int, httpx.Headers, bytes]:
    headers = {"Authorization": f"Bearer {token}"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    usual = http.timeout.read or DEFAULT_TIMEOUT
    timeout = httpx.Timeout(usual, read=usual + extra_seconds)
    content = bytearray()
    try:
        with http.stream(method, path, content=body, headers=headers, timeout=timeout) as response:
            check_status(response.status_code, response.headers.get("retry-after"))
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise ProtocolError("an answer is too long")
    except httpx.RequestError as error:
        raise UnavailableError(f"{method} {path}: {type(error).__name__}") from error
    return response.status_code, response.headers, bytes(content)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port
