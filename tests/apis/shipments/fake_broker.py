"""A broker at the port that does as the test says: who listens, what is lost, whether it is there at all."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.make import Board

from airfreight.ports import Arrived, BrokerAwayError, Message, Receipt


@dataclass
class Unacknowledged:
    """A message that the broker has not been told to forget."""

    topic: str
    payload: bytes
    is_kept: bool = False


class FakeBroker:
    """Who listens, what is lost, and whether it is there at all, is for the test to say. Keeps what is not acknowledged."""

    def __init__(self) -> None:
        self.listening: set[int] = set()
        self.is_away = False
        self.loses: Callable[[Message], bool] = lambda message: False
        self.refuses: Callable[[Message], bool] = lambda message: False
        self.is_new = False
        self.lines: list[FakeLine] = []
        self.said: list[Unacknowledged] = []
        self.published: list[tuple[float, Message]] = []
        self.at_keep: Callable[[Unacknowledged], None] = lambda one: None
        self._turn = threading.Lock()

    def open(self, topics: Sequence[str], take: Callable[[Arrived], None], passing: Sequence[str] = ()) -> "FakeLine":
        if self.is_away:
            raise BrokerAwayError("it cannot be reached: ConnectionRefusedError")
        line = FakeLine(self, list(topics), take, is_new=self.is_new, passing=list(passing))
        with self._turn:  # what is said now comes once: either to the line, or with what was kept for it
            self.lines.append(line)
            for one in self.said:
                if not one.is_kept:
                    line.take(self._arrived(one, is_live=False))
        return line

    def tell(self, topic: str, payload: bytes, *, is_live: bool = True) -> None:
        """A device says what is worth something now or never."""
        if self.lines and self.lines[-1].is_open:
            one = Arrived(Message(topic, payload), is_live, lambda: None, is_passing=True)
            self.lines[-1].take(one)

    def say(self, device: object, payload: bytes, topic: str = "") -> Unacknowledged:
        """A device has come back and tells what it runs."""
        one = Unacknowledged(topic or f"airfreight/{device}/info/mcu", payload)
        with self._turn:
            self.said.append(one)
            if isinstance(device, int):
                self.listening.add(device)
            if self.lines and self.lines[-1].is_open:
                self.lines[-1].take(self._arrived(one, is_live=True))
        return one

    def _arrived(self, one: Unacknowledged, *, is_live: bool) -> Arrived:
        def keep() -> None:
            self.at_keep(one)
            one.is_kept = True

        return Arrived(Message(one.topic, one.payload), is_live, keep)

    def sent_to(self, board: Board) -> list[dict[str, Any]]:
        """The offers that were published to a device."""
        topic = f"airfreight/{board.id}/downlink/ota/json"
        return [json.loads(message.payload) for _, message in self.published if message.topic == topic]

    def pings(self) -> list[tuple[float, int]]:
        """When and to which device."""
        found = []
        for moment, message in self.published:
            if message.topic.endswith("/downlink/ping"):
                found.append((moment, int(message.topic.split("/")[1])))
        return found


@dataclass
class FakeLine:
    broker: FakeBroker
    topics: list[str]
    take: Callable[[Arrived], None]
    is_open: bool = True
    is_new: bool = False
    passing: list[str] = field(default_factory=list)
    trouble: str = "the connection broke: Keep alive timeout"
    closed: threading.Event = field(default_factory=threading.Event)

    def publish(self, messages: Sequence[Message], seconds: float) -> list[Receipt]:
        """What is published is seen by the test when its fate is decided, not before."""
        assert seconds > 0
        receipts = []
        for message in messages:
            here = int(message.topic.split("/")[1]) in self.broker.listening
            lost = not self.is_open or self.broker.loses(message)
            told = Receipt.TAKEN if here else Receipt.NOBODY
            receipts.append(Receipt.LOST if lost else Receipt.REFUSED if self.broker.refuses(message) else told)
        self.broker.published.extend((time.monotonic(), message) for message in messages)
        return receipts

    def close(self) -> None:
        self.is_open = False
        self.closed.set()
