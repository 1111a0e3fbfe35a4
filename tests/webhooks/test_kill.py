"""The server is killed while it sends: nothing is lost, nothing overtakes, and what comes twice is known again."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.faults.process import Process
from tests.webhooks.receiver import OK, Heard, Receiver

from airfreight.apis.common.desk import clock
from airfreight.services import webhooks
from airfreight.services.webhooks import Saying
from airfreight.store.database import Database
from airfreight.store.tables import webhook_destinations, webhook_messages

COUNT = 3000


@pytest.mark.timeout(900)
def test_every_message_arrives_in_order_across_kills_of_the_server(tmp_path: Path) -> None:
    process = Process(tmp_path / "data", webhook_allow="127.0.0.0/8")
    kills = [400, 1500]

    def deadly(_heard: Heard, _connection: Any) -> bytes | None:
        if kills and len(receiver.heard) >= kills[0]:
            process.kill()
            kills.pop(0)  # only now may it be started again
            return None
        return OK

    receiver = Receiver(deadly)
    process.start()
    with process.operator() as client:
        made = client.post("/api/v1/webhooks", json={"name": "w", "url": receiver.url}).json()
    database = Database(f"sqlite:///{process.folder / 'airfreight.db'}")
    with database.write() as connection:
        sayings = [Saying("count", {"n": number}) for number in range(COUNT)]
        assert webhooks.say_all(connection, made["id"], sayings, clock())
    for left in (1, 0):
        _until(lambda left=left: len(kills) == left and not process.is_alive)
        process.start()
    _until(lambda: COUNT - 1 in receiver.numbers)
    process.stop()
    assert "ok   webhooks" in process.doctor().stdout
    process.set("secret_key", "another key than the one before, long enough")
    assert "BAD  webhooks   sealed under another key: " + made["uid"] in process.doctor().stdout
    first_time = list(dict.fromkeys(receiver.numbers))
    assert first_time == list(range(COUNT))
    assert COUNT < len(receiver.heard) <= COUNT + 2 * 200, "not more than a run comes again after a kill"
    ids = {heard.headers["webhook-id"]: heard.number for heard in receiver.heard}
    assert len(ids) == COUNT, "the same message has the same id each time"
    with database.read() as connection:
        assert set(connection.scalars(select(webhook_messages.c.state))) == {"sent"}
        assert connection.scalars(select(webhook_destinations.c.holder)).all() == [""]
    database.close()
    receiver.stop()


def _until(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
