"""An organization that is told things: webhooks, what is said to them, and workers that send it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from tests.make import Bench

from airfreight.adapters.webhooks import HttpPoster
from airfreight.services import webhooks
from airfreight.services.webhooks import Saying
from airfreight.store import tables
from airfreight.store.database import Database
from airfreight.webhook_worker import WebhookWorker


class Office(Bench):
    """Its clock stands still unless `later` is called."""

    def __init__(self, database: Database, folder: Path, **settings: object) -> None:
        super().__init__(database, folder, webhook_allow="127.0.0.0/8", **settings)
        self.sender = self.another_worker()

    def another_worker(self) -> WebhookWorker:
        poster = HttpPoster(self.settings.webhook_networks, "Airfreight/0")
        return WebhookWorker(self.database, self.settings, self.keyring, poster, lambda: self.now)

    def webhook(self, url: str, organization_id: int | None = None, **more: Any) -> int:
        return self.signed_webhook(url, organization_id, **more)[0]

    def signed_webhook(self, url: str, organization_id: int | None = None, **more: Any) -> tuple[int, str]:
        with self.call(organization_id) as call:
            row, secret = webhooks.create(call, name="w", place=webhooks.place_of_url(url), **more)
        return int(row.id), secret

    def say(self, webhook: int, numbers: Iterable[int]) -> None:
        """Messages `{"n": number}`."""
        with self.database.write() as connection:
            sayings = [Saying("count", {"n": number}, 7, number) for number in numbers]
            assert webhooks.say_all(connection, webhook, sayings, self.now)

    def send(self) -> None:
        """Everything that is due now, by one worker, until nothing is."""
        while found := self.sender.claim(8):
            for webhook in found:
                self.sender.work(webhook)

    def messages(self, webhook: int) -> list[Any]:
        table = tables.webhook_messages
        return self.rows(select(table).where(table.c.destination_id == webhook).order_by(table.c.id))

    def stands(self, webhook: int) -> list[str]:
        return [row.state for row in self.messages(webhook)]
