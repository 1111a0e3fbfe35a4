"""Requests as bytes: a good one for every operation of the OpenAPI document, and what can be done to it."""

import json
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]
MARKER = "M4rk3r"
"""Planted in what is wrong: no error may repeat it."""

UNFIT = "unfit"
"""In place of a text that has a form of its own; one that may be left out is."""

FILE = b'--b\r\nContent-Disposition: form-data; name="upfile"; filename="f.bin"\r\n\r\nDATA\r\n'
TYPE = b'--b\r\nContent-Disposition: form-data; name="type"\r\n\r\nFIRMWARE\r\n'
END = b"--b--\r\n"
FORM = FILE + TYPE + END


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, still in parts. `body` is what is sent; `value` the JSON it was made from."""

    label: str
    method: str
    path: str
    scheme: str
    token: str
    kind: str = ""
    body: bytes = b""
    value: Any = None
    query: tuple[tuple[str, str], ...] = ()
    numbers: tuple[str, ...] = ()
    """Query parameters that are whole numbers."""
    template: str = ""
    methods: frozenset[str] = frozenset()
    """All that the document has at this address."""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def is_json(self) -> bool:
        return self.kind == "application/json"

    @property
    def is_device(self) -> bool:
        return self.path.startswith("/device/")

    def with_json(self, value: Any) -> "Ask":
        return replace(self, body=json.dumps(value).encode(), value=value)

    def head(self, *, length: bool = True) -> bytes:
        query = "&".join(f"{name}={value}" for name, value in self.query)
        lines = [f"{self.method} {self.path}{'?' if query else ''}{query} HTTP/1.1", "Host: localhost"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if self.kind:
            lines.append(f"Content-Type: {self.kind}")
        lines += [f"{name}: {value}" for name, value in self.extra]
        if not any(name == "Connection" for name, _ in self.extra):
            lines.append("Connection: close")
        if length and (self.body or self.method not in {"GET", "DELETE"}):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def raw(self) -> bytes:
        return self.head() + self.body


def without_ddi(document: Json) -> Json:
    """DDI's errors have another form, many of them none at all: tests/fuzz/test_ddi.py asks at its addresses."""
    paths = {path: methods for path, methods in document["paths"].items() if "/controller/v1/" not in path}
    return {**document, "paths": paths}


def good(document: Json, tokens: Mapping[str, str], known: Mapping[str, Any]) -> list[Ask]:
    """A right request for every operation, but HEAD: its answers have no body to be looked at."""
    return [
        _one(document, path, method, operation, tokens, known)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "head"
    ]


def _one(
    document: Json, template: str, method: str, operation: Json, tokens: Mapping[str, str], known: Mapping[str, Any]
) -> Ask:
    path, query, numbers, headers = template, [], [], []
    for parameter in operation.get("parameters", []):
        name, schema = parameter["name"], parameter["schema"]
        value = sample(document, schema, known, name if parameter["in"] == "query" else "id")
        if parameter["in"] == "path":
            path = path.replace("{" + name + "}", quote(str(value), safe=""))
        elif parameter["in"] == "header":
            headers.append((name, str(known.get(name, value))))
        elif value not in (None, []) and (value is not UNFIT or parameter.get("required")):
            query.append((name, quote(str(value), safe="")))
            numbers += [name] * (schema.get("type") == "integer")
    security: list[Json] = (operation if "security" in operation else document)["security"]
    scheme = next((one for some in security for one in some), "")
    ask = Ask(
        f"{method.upper()} {template}",
        method.upper(),
        path,
        scheme,
        tokens.get(scheme, ""),
        query=tuple(query),
        numbers=tuple(numbers),
        template=template,
        methods=frozenset(one.upper() for one in document["paths"][template]),
        extra=tuple(headers),
    )
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        value = sample(document, content["application/json"]["schema"], known)
        return replace(ask, kind="application/json").with_json(value)
    if "multipart/form-data" in content:
        return replace(ask, kind="multipart/form-data; boundary=b", body=FORM)
    if content:
        return replace(ask, kind=next(iter(content)), body=b"" if method == "post" else b"some bytes")
    return ask


def sample(document: Json, schema: Json, known: Mapping[str, Any], name: str = "") -> Any:
    """A value that fits: a known one by its name, else the plainest."""
    if name in known:
        return known[name]
    if "$ref" in schema:
        return sample(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], known, name)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return sample(document, schema[several][0], known, name)
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    if kind == "object":
        made = {one: sample(document, inner, known, one) for one, inner in schema.get("properties", {}).items()}
        return {one: value for one, value in made.items() if one in schema.get("required", ()) or value is not UNFIT}
    if kind == "array":
        return [sample(document, schema["items"], known)] if schema.get("minItems") else []
    if kind in {"integer", "number"}:
        return max(1, schema.get("minimum", 1))
    fits = re.search(schema.get("pattern", ""), "text") and schema.get("minLength", 0) <= 4
    return {"boolean": False, "null": None}.get(str(kind), "text" if fits else UNFIT)


ODD_NUMBERS = [
    "1e3", "%2B1", "01", "1.0", "-0", "0x1", "1_0", "%201", "1%20", "%D9%A3", "9" * 30, "9" * 5000, "-9223372036854775809", "", "null",
    "true", "%00", "%ff", "%ED%A0%80", "%zz", MARKER, "1;2", "1,2", "[1]", "{}", "Infinity", "NaN", "1%0A", "1%00", "%EF%BC%91",
]  # fmt: skip
"""No whole number in plain digits among them."""

ODD_PATHS = [
    *(one for one in ODD_NUMBERS if one not in {"", "-0"}),
    "..",
    "%2e%2e",
    "-1",
    "0",
    "2147483648",
    str(2**63),
    "a" * 3000,
]
# a field that nobody knows is named in the answer if its name is a plain word: the odd one here is none
ODD_VALUES: list[Any] = [
    None, True, False, -1, 0, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, "", MARKER, "1", "null", "a" * 5000, "\x00", "a\x00" + MARKER,
    "a\nb", "\x1b[31m", "\u202e" + MARKER, "\x7f", "\u2028", [], {}, [MARKER], {MARKER: 1}, [[]], [None], [1, "1"], "'; DROP TABLE devices; --",
    "../../etc/passwd", "${jndi:ldap://x}", "%s%n", "😀" * 300, "é\u0301",
]  # fmt: skip
ODD_BODIES = [
    b"", b"{", b"}", b"null", b"[]", b"1", b'"' + MARKER.encode() + b'"', b"NaN", b"-Infinity", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}{}", b"{}}",
    b"[" * 50_000, b'{"a":' * 50_000, b"\x00" * 10, b"'a'", b"{'a': 1}", b"{a: 1}", b'{"a": 1,}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": 01}',
    b'{"a": 1e999}', b'{"a ' + MARKER.encode() + b'": "\\ud800"}', b'{"a": "\\x00"}', b'{"a": "' + b"\x01" + b'"}', b'{"a": "\xc3\x28"}',
    b"<x>" + MARKER.encode() + b"</x>", b"a=1&b=2", b"\x1f\x8b\x08\x00",
]  # fmt: skip
ODD_KINDS = [
    "text/plain",
    "application/xml",
    f"application/{MARKER}",
    "multipart/form-data; boundary=x",
    "a/b/c",
    "*/*",
    "text/json",
    ";",
]
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH"]


def fields(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is a value inside a body."""
    found = [path] if path else []
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, one in inner:
        found += fields(one, (*path, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The same with another value at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def pick(rng: random.Random, some: Any) -> Any:
    return some[rng.randrange(len(some))]
