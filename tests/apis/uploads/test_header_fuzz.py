"""Made-up headers at every address of uploads: refused in one shape or rightly taken, and never a byte in a wrong place."""

import random

from tests.apis.uploads.sender import UPLOADS, Sender, metadata

NUMBERS = [
    "0",
    "5",
    "3",
    "10",
    "-1",
    "",
    "5 ",
    "05",
    "5.0",
    "0x5",
    "5;q=1",
    "5,5",
    "1e1",
    "9" * 18,
    "9" * 40,
    "\u0665",
    "NaN",
    "null",
]
KINDS = [
    "application/offset+octet-stream",
    "application/offset+octet-stream;a=b",
    "",
    "text/plain",
    "application/json",
    "x" * 500,
    ";",
]
SAID = [
    metadata(filename="a"), metadata(filename="a", note="b"), "", "filename", "filename ", ",", ", ,", "filename YQ==,", "filename YQ",
    "filename \u00fc", "filename " + "A" * 8000, "k " * 2000, "=== ===", "filename AA==", "filename //8=", "filename YQ==;x", "\t", "filename\tYQ==",
]  # fmt: skip
VERSIONS = ["1.0.0", "1.0.0", "1.0.0", "1.0.1", "", "x", "1.0.0,1.0.0"]
METHODS = ["HEAD", "GET", "PATCH", "PATCH", "PATCH", "POST", "DELETE", "OPTIONS", "PUT"]
OVERRIDES = ["PATCH", "DELETE", "patch", "OPTIONS", "", "GET", "x" * 300]
ALLOWED = {200, 201, 204, 400, 404, 405, 409, 412, 413, 415}


def made(rng: random.Random) -> list[tuple[bytes, bytes]]:
    """Some of the headers that count, some of them twice."""
    some = {"Upload-Offset": NUMBERS, "Upload-Length": NUMBERS, "Upload-Metadata": SAID, "Tus-Resumable": VERSIONS}
    some |= {"Content-Type": KINDS, "X-HTTP-Method-Override": OVERRIDES, "Upload-Defer-Length": ["1", "0", "", "x"]}
    chances = {"X-HTTP-Method-Override": 0.15, "Upload-Defer-Length": 0.1}
    found = []
    for name, values in some.items():
        for _ in range(2 if rng.random() < 0.03 else 1):
            if rng.random() < chances.get(name, 0.9):
                # half of them right, else hardly any request would come far
                value = values[0] if rng.random() < 0.5 else rng.choice(values)
                found.append((name.encode(), value.strip().encode()))
    rng.shuffle(found)
    return found


def test_made_up_headers_do_no_harm(sender: Sender) -> None:
    rng = random.Random(20_260_101)
    seen = set()
    at, expected = sender.begun(10), b""
    for _ in range(500):
        method, body = rng.choice(METHODS), rng.choice([b"", b"12345", b"x" * 11])
        path = rng.choice([at, at, at, UPLOADS, f"{UPLOADS}/nothing"])
        answer = sender.site.ask(method, path, headers=made(rng), content=body)
        seen.add((method, answer.status_code))
        assert answer.status_code in ALLOWED, (method, path, answer.request.headers, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["x-error-code"]
        elif answer.request.method == "POST" and path == UPLOADS:
            sender.ask("DELETE", answer.headers["location"])
        elif answer.status_code == 204 and "upload-offset" in answer.headers and path == at:
            expected += body
            assert int(answer.headers["upload-offset"]) == len(expected)
        file = sender.file(at)
        if len(expected) == 10 or not file.exists():
            at, expected = sender.begun(10), b""
        else:
            assert file.read_bytes() == expected
    assert {("PATCH", 204), ("POST", 201), ("DELETE", 204), ("PATCH", 409), ("PATCH", 413), ("PATCH", 415)} <= seen
