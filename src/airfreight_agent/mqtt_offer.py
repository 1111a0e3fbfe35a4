"""What a broker's device is told (`downlink/ota/json`) and what comes with the file: read, and held against the
contract. Pure. A complaint is a text for people; a device that complains goes on if it can, as devices do.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from airfreight_agent.mqtt_behaviours import Demand

FIELDS = {"url": str, "size": int, "type": str, "ver": str, "build": str}
LONGEST_URL = 239
SHA256_CHARACTERS = 44
SMALLEST_FILE = 1024
LONGEST_NUMBER = 18
HEADERS = ("x-md5", "x-sha256", "x-fw-type", "x-fw-ver", "x-fw-build")


class UnreadableError(Exception):
    """Nothing can be done with it; the message says why."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that the device is to run. Fields that were missing are empty, the size None."""

    url: str
    size: int | None
    type: str
    version: str
    build: str


@dataclass(frozen=True, slots=True)
class Head:
    """A response before its body: names of headers as they were sent, and by name in lower case."""

    status: int
    names: tuple[str, ...]
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        text = self.headers.get("content-length", "")
        return decimal(text)


def decimal(text: str) -> int | None:
    """A number of bytes as headers tell it."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else None


@dataclass(frozen=True, slots=True)
class Digests:
    """Of the bytes that came: how many, MD5 in hex, SHA-256 in base64."""

    size: int
    md5: str
    sha256: str


def read_offer(payload: bytes) -> Offer:
    """As a forgiving device reads it. Raises UnreadableError without a usable URL."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise UnreadableError("the offer is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("url"), str):
        raise UnreadableError("the offer has no url")
    if not _is_address(document["url"]):
        raise UnreadableError("the offer's url is none")
    size = document.get("size")
    is_size = isinstance(size, int) and not isinstance(size, bool)
    texts = {name: document.get(name) for name in ("type", "ver", "build")}
    kind, version, build = (value if isinstance(value, str) else "" for value in texts.values())
    return Offer(document["url"], size if is_size else None, kind, version, build)


def _is_address(url: str) -> bool:
    """Whether a request can be made of it."""
    try:
        url.encode()
        return re.fullmatch(r"https?://[^\s/]+/\S*", url) is not None and urlsplit(url).port != 0
    except ValueError:
        return False


def offer_complaints(payload: bytes, rxbuff: int, topic: str) -> list[str]:
    """What is wrong with a readable offer."""
    document = json.loads(payload)
    complaints = []
    if set(document) != set(FIELDS) or any(type(document[name]) is not kind for name, kind in FIELDS.items()):
        complaints.append("an offer without exactly its five fields")
    if payload != json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"):
        complaints.append("an offer that is not compact JSON")
    if len(payload) + len(topic) + 7 > rxbuff:
        complaints.append("an offer larger than rxbuff")
    url = document["url"]
    if len(url) > LONGEST_URL:
        complaints.append("a url of 240 characters or more")
    if not url.endswith("&s=1" if urlsplit(url).scheme == "https" else "&s=0"):
        complaints.append("a url whose end does not say its scheme")
    return complaints


def head_complaints(offer: Offer, head: Head, start: int) -> list[str]:
    """What is wrong with an answer that has bytes: beside the offer, and by itself. `start`: where its bytes begin."""
    complaints = [f"no header {name}" for name in HEADERS if name not in head.names]
    if "transfer-encoding" in head.headers:
        complaints.append("a chunked file")
    if offer.size is not None and head.length != offer.size - start:
        complaints.append("a Content-Length that differs from the offer")
    said = {"x-fw-type": offer.type, "x-fw-ver": offer.version, "x-fw-build": offer.build}
    complaints += [
        f"{name} differs from the offer" for name, text in said.items() if head.headers.get(name, text) != text
    ]
    return complaints


def file_complaints(offer: Offer, head: Head, got: Digests) -> list[str]:
    """Why the bytes are not the announced ones; empty when they are."""
    complaints = []
    if offer.size is not None and got.size != offer.size:
        complaints.append("a file of another size")
    if head.headers.get("x-md5", got.md5).lower() != got.md5:
        complaints.append("a file that is not its x-md5")
    if head.headers.get("x-sha256", got.sha256) != got.sha256:
        complaints.append("a file that is not its x-sha256")
    return complaints


def refuses_offer(demands: Sequence[Demand], payload: bytes) -> str:
    """Why a device with these demands leaves the offer alone; "" when it does not."""
    if Demand.URL_LITERAL in demands and b'"url":"http' not in payload:
        return "no literal url"
    if Demand.FULL_OFFER in demands:
        document = json.loads(payload)
        if any(type(document.get(name)) is not kind for name, kind in FIELDS.items()):
            return "a field is missing"
    return ""


def refuses_head(demands: Sequence[Demand], head: Head) -> str:
    """Why a device with these demands does not read the answer; "" when it does."""
    headers = head.headers
    if not 200 <= head.status < 300:
        return f"HTTP {head.status}"
    if head.length is None:
        return "no length"
    if Demand.STATUS_200 in demands:
        if head.status != 200:
            return "not 200"
        if not re.fullmatch(r"[0-9A-Fa-f]{32}", headers.get("x-md5", "")):
            return "no x-md5"
    if Demand.SHA256_AND_SIZE in demands:
        if head.length < SMALLEST_FILE:
            return "too small"
        if not _is_sha256(headers.get("x-sha256", "")):
            return "no x-sha256"
    if Demand.BOTH_HASHES in demands and not {"x-md5", "x-sha256"} <= headers.keys():
        return "a hash is missing"
    return ""


def _is_sha256(text: str) -> bool:
    try:
        return len(text) == SHA256_CHARACTERS and len(base64.b64decode(text, validate=True)) == 32
    except binascii.Error:
        return False
