"""A client of resumable uploads: speaks tus 1.0.0 as a library does, and as no library would."""

import base64
import uuid
from pathlib import Path
from typing import Any

import httpx
from tests.apis.site import Site

from airfreight.store import tables

UPLOADS = "/api/v1/uploads"
Json = dict[str, Any]


def metadata(**said: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}".strip() for key, value in said.items())


class Sender:
    """Uploads of one site; `who` as there."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.folder = site.settings.data / "blobs" / "uploads"

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, who: str | None = "client", **how: Any
    ) -> httpx.Response:
        return self.site.ask(method, path, who, headers={"Tus-Resumable": "1.0.0", **(headers or {})}, **how)

    def begin(self, size: int | str, who: str = "client", **said: str) -> httpx.Response:
        headers = {"Upload-Length": str(size), "Upload-Metadata": metadata(**{"filename": "a.bin", **said})}
        return self.ask("POST", UPLOADS, headers, who)

    def begun(self, size: int, **said: str) -> str:
        """The address of a new one."""
        answer = self.begin(size, **said)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])

    def send(self, at: str, offset: int | str, content: Any, **headers: str) -> httpx.Response:
        told = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", **headers}
        return self.ask("PATCH", at, told, content=content)

    def offset(self, at: str) -> int:
        answer = self.ask("HEAD", at)
        assert answer.status_code == 200
        return int(answer.headers["upload-offset"])

    def get(self, at: str) -> Json:
        answer = self.ask("GET", at)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def file(self, at: str) -> Path:
        """Where its bytes are while they come."""
        return self.folder / at.rpartition("/")[2]

    def artifacts(self) -> list[Any]:
        """Those of the site's organization."""
        rows = self.site.rows(tables.artifacts.select())
        return [row for row in rows if row.organization_id == self.site.organization_id]

    def rows(self) -> list[Any]:
        rows = self.site.rows(tables.uploads.select())
        return [row for row in rows if row.organization_id == self.site.organization_id]


def unique(size: int) -> bytes:
    """Bytes that no other test has."""
    start = uuid.uuid4().bytes
    return (start * (size // 16 + 1))[:size]


def refusal(answer: httpx.Response, status: int, code: str) -> None:
    """It is refused in the one shape, with this code."""
    assert (answer.status_code, answer.headers.get("x-error-code")) == (status, code), answer.text
    assert set(answer.json()) == {"error"}
    assert answer.headers["tus-resumable"] == "1.0.0"
