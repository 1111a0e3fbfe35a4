"""Wire shapes of DDI, verbatim. What is absent on the wire is None here. Source: the DDI reference, 4 to 9."""

from enum import StrEnum

from msgspec import Struct, field


class Execution(StrEnum):
    """How far the device says that it is."""

    CLOSED = "closed"
    PROCEEDING = "proceeding"
    CANCELED = "canceled"
    SCHEDULED = "scheduled"
    REJECTED = "rejected"
    RESUMED = "resumed"
    DOWNLOADED = "downloaded"
    DOWNLOAD = "download"


class Finished(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    NONE = "none"


class Confirmation(StrEnum):
    CONFIRMED = "confirmed"
    DENIED = "denied"


class ActionStatus(StrEnum):
    """Of `actionHistory`."""

    FINISHED = "FINISHED"
    ERROR = "ERROR"
    RUNNING = "RUNNING"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    RETRIEVED = "RETRIEVED"
    DOWNLOAD = "DOWNLOAD"
    DOWNLOADED = "DOWNLOADED"
    WAIT_FOR_CONFIRMATION = "WAIT_FOR_CONFIRMATION"


class Link(Struct):
    href: str


Links = dict[str, Link]


class Polling(Struct):
    sleep: str


class Config(Struct):
    polling: Polling


class Base(Struct, omit_defaults=True):
    """`GET /{tenant}/controller/v1/{controllerId}`"""

    config: Config
    links: Links = field(name="_links", default_factory=dict)


class Hashes(Struct):
    sha1: str
    md5: str
    sha256: str


class Artifact(Struct):
    filename: str
    hashes: Hashes
    size: int
    links: Links = field(name="_links")


class Chunk(Struct):
    part: str
    version: str
    name: str
    artifacts: list[Artifact]


class Deployment(Struct, omit_defaults=True, rename="camel", kw_only=True):
    download: str
    update: str
    maintenance_window: str | None = None
    chunks: list[Chunk]


class ActionHistory(Struct):
    status: ActionStatus
    messages: list[str]


class DeploymentBase(Struct, omit_defaults=True, rename="camel"):
    """`GET .../deploymentBase/{actionId}` and `.../installedBase/{actionId}`"""

    id: str
    deployment: Deployment
    action_history: ActionHistory | None = None


class Stop(Struct, rename="camel"):
    stop_id: str


class CancelAction(Struct, rename="camel"):
    """`GET .../cancelAction/{actionId}`"""

    id: str
    cancel_action: Stop


class AutoConfirm(Struct, omit_defaults=True, rename="camel"):
    active: bool
    initiator: str | None = None
    remark: str | None = None
    activated_at: int | None = None


class ConfirmationBase(Struct, rename="camel"):
    """`GET .../confirmationBase`"""

    auto_confirm: AutoConfirm
    links: Links = field(name="_links")


class ConfirmationOf(Struct, omit_defaults=True, rename="camel"):
    """`GET .../confirmationBase/{actionId}`"""

    id: str
    confirmation: Deployment
    action_history: ActionHistory | None = None
