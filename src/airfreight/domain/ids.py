"""One NewType per id, so that two ids can never be swapped without the type checker saying so.

`Millis` is the one form of time below the edges: milliseconds since 1970-01-01 UTC (docs/decisions/0003).
"""

import re
from typing import NewType

OrganizationId = NewType("OrganizationId", int)
UserId = NewType("UserId", int)
ClientId = NewType("ClientId", int)
ProductId = NewType("ProductId", int)
DeviceId = NewType("DeviceId", int)
ArtifactId = NewType("ArtifactId", int)
RolloutId = NewType("RolloutId", int)
DeliveryId = NewType("DeliveryId", int)
AttemptId = NewType("AttemptId", int)

Millis = NewType("Millis", int)

_UID = re.compile(r"[0-9a-f-]{36}")


def is_uid(text: str) -> bool:
    """Whether it has the form of the uids that are made here; no other text is looked for."""
    return _UID.fullmatch(text) is not None
