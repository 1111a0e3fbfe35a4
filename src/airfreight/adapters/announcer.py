"""Where facts from the outbox go while no webhooks are set up: one line in the log."""

from collections.abc import Mapping

import structlog

log = structlog.get_logger()


class LogAnnouncer:
    def announce(self, *, organization_id: int, stream: str, kind: str, body: Mapping[str, object]) -> None:
        log.info(kind, organization=organization_id, stream=stream, **body)
