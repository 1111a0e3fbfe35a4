"""What docs/webhooks.md says of the wire is so; its example is run."""

import re
import time
from pathlib import Path
from typing import Any

from tests.webhooks.office import Office
from tests.webhooks.receiver import Receiver

from airfreight.domain.webhooks import Trouble

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def test_the_example_accepts_what_is_sent_and_nothing_else(office: Office, receiver: Receiver) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    is_genuine = names["is_genuine"]
    office.now = type(office.now)(int(time.time() * 1000))
    webhook, secret = office.signed_webhook(receiver.url)
    office.say(webhook, [1])
    office.send()
    [heard] = receiver.heard
    assert is_genuine(secret, heard.headers, heard.body)
    assert not is_genuine(secret, heard.headers, heard.body + b" ")
    assert not is_genuine(office.signed_webhook(receiver.url)[1], heard.headers, heard.body)
    old = {**heard.headers, "webhook-timestamp": str(int(heard.headers["webhook-timestamp"]) - 301)}
    assert not is_genuine(secret, old, heard.body)


def test_every_trouble_is_explained() -> None:
    table = PAGE.split("`trouble` in the log is one of:")[1].split("## ")[0]
    words = " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", words)) == set(Trouble)
