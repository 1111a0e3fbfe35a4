"""What simulated devices at a broker do, as a table: each row declares how a behaviour differs from a good device and
where the server must say that it ended. These devices never report: bytes and versions are all that the server sees.
"""

from dataclasses import dataclass
from enum import StrEnum

from airfreight_agent.behaviours import NO_REPORT, End
from airfreight_agent.protocol import Reason

DEFAULT = "good"


class Demand(StrEnum):
    """What a device insists on before it takes a file; firmware of each kind is in the field."""

    FULL_OFFER = "all five fields, as text and a number"
    URL_LITERAL = 'the literal "url":" in the message'
    STATUS_200 = "the status 200 exactly, a length, and x-md5 with 32 hex digits"
    SHA256_AND_SIZE = "x-sha256 with 44 characters of base64, and 1024 bytes or more"
    BOTH_HASHES = "x-md5 and x-sha256, both those of the bytes"


@dataclass(frozen=True, slots=True)
class MqttBehaviour:
    """One row. A field that is not set means: as a good device does it. Seconds are the device's own (see Pace).

    `offline_seconds`: before it connects for the first time. `breaks_off`: so many of its downloads end in the middle
    (None: all); with `resumes` it goes on there with a Range, with `crashes` it restarts. `hangs_up`: it leaves the
    broker to download, as small devices do. `boots` is what comes up after an installation: "new", "old", or "other"
    (neither). `falls_back_seconds`: so long after the new version came up the old one is back. `ignores_offers`: it
    takes them from the broker, and that is all. `stays_seconds`: it drops each connection after so long without a
    word. `http_1_0`: it asks for the file in the old way.
    """

    name: str
    description: str
    ends: frozenset[End] = frozenset({End("succeeded")})
    offline_seconds: float = 0.0
    bytes_per_second: int | None = None
    breaks_off: int | None = 0
    resumes: bool = False
    hangs_up: bool = False
    crashes: bool = False
    boots: str = "new"
    falls_back_seconds: float | None = None
    ignores_offers: bool = False
    stays_seconds: float | None = None
    http_1_0: bool = False
    demands: tuple[Demand, ...] = ()

    @property
    def breaks_off_at_will(self) -> bool:
        """Whether it leaves downloads in the middle as its way is, and stays at the broker without a word."""
        return self.breaks_off is None or self.breaks_off > 0


def _demanding(name: str, demand: Demand) -> MqttBehaviour:
    return MqttBehaviour(name, f"wants {demand}", demands=(demand,))


def _failed(*reasons: Reason | str) -> frozenset[End]:
    return frozenset(End("failed", reason) for reason in reasons)


MQTT_BEHAVIOURS: dict[str, MqttBehaviour] = {
    row.name: row
    for row in (
        MqttBehaviour(DEFAULT, "does everything right"),
        MqttBehaviour("offline_at_first", "connects for the first time after 20 seconds", offline_seconds=20.0),
        MqttBehaviour("slow", "downloads at 64 KiB a second", bytes_per_second=1 << 16),
        MqttBehaviour("hangs_up", "leaves the broker while it downloads", hangs_up=True),
        MqttBehaviour("asks_as_in_1996", "downloads with HTTP/1.0", http_1_0=True),
        MqttBehaviour(
            "breaks_off",
            "leaves each download in the middle",
            breaks_off=None,
            ends=_failed(NO_REPORT),
        ),
        MqttBehaviour(
            "crashes",
            "restarts in the middle of each download",
            breaks_off=None,
            crashes=True,
            # A small file may be in the network whole: then the server must think that the device has it.
            ends=_failed(Reason.DOWNLOAD_FAILED, Reason.INSTALL_FAILED),
        ),
        MqttBehaviour("breaks_off_once", "leaves its first download in the middle", breaks_off=1),
        MqttBehaviour(
            "resumes", "loses its first download in the middle and gets the rest", breaks_off=1, resumes=True
        ),
        MqttBehaviour(
            "install_fails",
            "boots its old version after each installation",
            boots="old",
            ends=_failed(Reason.INSTALL_FAILED),
        ),
        MqttBehaviour(
            "boots_another",
            "boots a third version after the installation",
            boots="other",
            ends=_failed(Reason.WRONG_VERSION),
        ),
        MqttBehaviour(
            "falls_back",
            "runs the new version, and after 30 seconds the old one again",
            falls_back_seconds=30.0,
            ends=_failed(Reason.ROLLED_BACK),
        ),
        MqttBehaviour(
            "never_reacts",
            "takes the offer from the broker and does nothing",
            ignores_offers=True,
            ends=frozenset({End("offered")}),
        ),
        MqttBehaviour("reconnects", "drops its connection every 5 seconds without a word", stays_seconds=5.0),
        _demanding("wants_all_fields", Demand.FULL_OFFER),
        _demanding("wants_url_literal", Demand.URL_LITERAL),
        _demanding("wants_status_200", Demand.STATUS_200),
        _demanding("wants_sha256", Demand.SHA256_AND_SIZE),
        _demanding("wants_both_hashes", Demand.BOTH_HASHES),
    )
}
