"""What a file says about itself: the values every reader fills in. No reading happens here."""

from enum import StrEnum

import msgspec

Detail = str | int | bool | dict[str, str | int]


class Format(StrEnum):
    """The kinds of file that are told apart; `GENERIC` is every other file."""

    ESP32 = "esp32"
    ESP8266 = "esp8266"
    ESP_MERGED_FLASH = "esp-merged-flash"
    ESP_DAMAGED = "esp-damaged"
    IOTCP = "iotcp"
    ZIP = "zip"
    GZIP = "gzip"
    XZ = "xz"
    BZIP2 = "bzip2"
    TAR = "tar"
    COMPOSE = "compose"
    GENERIC = "generic"


class Component(StrEnum):
    """Which processor a file is for: the main one, or the network co-processor beside it."""

    MCU = "MCU"
    NCP = "NCP"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a file tells, as JSON-able values; "" is "not told".

    `version` is what the file *proposes*; the operator confirms it. `build` is local time without a zone,
    such as `Jan 09 2024 12:25:30`, as the tag has it. `identity` is the appended hash of an ESP image in hex:
    it stays the same when padding follows the image, while the hash of the file does not. `faults` says where the
    file does not keep what it promises, or is not safe to open: a file that has any is to be refused.
    """

    format: Format = Format.GENERIC
    version: str = ""
    build: str = ""
    fw_type: str = ""
    board: str = ""
    blynk_version: str = ""
    component: Component = Component.MCU
    tagged: bool = False
    identity: str = ""
    details: dict[str, Detail] = {}
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
