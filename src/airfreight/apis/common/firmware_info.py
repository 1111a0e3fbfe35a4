"""`firmwareInfo` as the Shipments contract spells it: uploads of every door answer with it, shipments take it."""

import base64
from enum import StrEnum
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from airfreight.apis.common.fields import LINE


def _text(words: str, most: int) -> Meta:
    return Meta(max_length=most, description=words, pattern=LINE)


class FirmwareType(StrEnum):
    NCP = "NCP"
    MCU = "MCU"


class FirmwareInfo(Struct, forbid_unknown_fields=True):
    """What a file is: read by an upload, repeated to create a shipment. No field is required."""

    version: Annotated[str, _text("Firmware version", 64)] | UnsetType = UNSET
    blynkVersion: Annotated[str, _text("Blynk firmware version", 64)] | UnsetType = UNSET
    fwType: Annotated[str, _text("Firmware type (product name)", 64)] | UnsetType = UNSET
    boardType: Annotated[str, _text("Board type", 64)] | UnsetType = UNSET
    buildDate: Annotated[str, _text("Firmware build date", 64)] | UnsetType = UNSET
    md5Hash: Annotated[str, _text("MD5 hash of the firmware file", 32)] | UnsetType = UNSET
    sha256Hash: Annotated[str, _text("SHA-256 hash of the firmware file", 44)] | UnsetType = UNSET
    type: Annotated[FirmwareType, Meta(description="Firmware type")] | UnsetType = UNSET
    fileSize: (
        Annotated[
            int,
            Meta(ge=0, le=2**31 - 1, description="Firmware file size in bytes", extra_json_schema={"format": "int32"}),
        ]
        | UnsetType
    ) = UNSET


def info(artifact: Any) -> FirmwareInfo:  # noqa: ANN401 - a row
    """What a file is, as the contract writes it: upper-case MD5, base64 SHA-256, `Other` for no board."""
    return FirmwareInfo(
        version=artifact.version,
        blynkVersion=artifact.library_version,
        fwType=artifact.fw_type,
        boardType=artifact.board or "Other",
        buildDate=artifact.build,
        md5Hash=artifact.md5.upper(),
        sha256Hash=base64.b64encode(bytes.fromhex(artifact.sha256)).decode(),
        type=FirmwareType(artifact.component or "MCU"),
        fileSize=artifact.size if artifact.size < 2**31 else UNSET,
    )
