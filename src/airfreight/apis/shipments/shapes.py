"""Wire shapes of the Shipments contract: names, types, formats and texts verbatim; unknown fields are refused."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from airfreight.apis.common.fields import LINE, NAME
from airfreight.apis.common.firmware_info import FirmwareInfo


def _int(bits: int, words: str | None = None, least: int = 0, most: int | None = None) -> Meta:
    largest = 2 ** (bits - 1) - 1 if most is None else most
    return Meta(ge=least, le=largest, description=words, extra_json_schema={"format": f"int{bits}"})


def _text(words: str, least: int = 0, most: int = 255, pattern: str = LINE) -> Meta:
    return Meta(min_length=least, max_length=most, description=words, pattern=pattern)


def _words(words: str) -> Meta:
    return Meta(description=words)


class ShipmentTime(StrEnum):
    ANY = "ANY"
    NIGHT = "NIGHT"
    MORNING = "MORNING"
    AFTERNOON = "AFTERNOON"
    EVENING = "EVENING"


class Status(StrEnum):
    RUN = "RUN"
    PAUSE = "PAUSE"
    FINISH = "FINISH"
    CANCEL = "CANCEL"


class CompareField(StrEnum):
    NO_CONDITION = "NO_CONDITION"
    BUILD_DATE_DIFFERS = "BUILD_DATE_DIFFERS"
    EARLIER_BUILD_DATE = "EARLIER_BUILD_DATE"
    LATEST_FIRMWARE_VERSION = "LATEST_FIRMWARE_VERSION"
    LATEST_BLYNK_VERSION = "LATEST_BLYNK_VERSION"


ORG_ID_WORDS = (
    "Organization ID (optional). If not provided, the organization, that is associated with the authentication token, "
    "will be used."
)
_HOST_WORDS = (
    "Optional. Custom host domain name used for firmware download URL. If not set, the server's default host is used."
)
_HOST_IN_WORDS = (
    "Optional. Custom host domain name for firmware download URL. If not provided, the server's default host will be "
    "used. Should be a domain name (e.g., 'myhost.com'). URL scheme prefixes (http://, https://) and trailing slashes "
    "are automatically stripped."
)

ProductId = Annotated[int, _int(32, "Template (product) ID for this shipment", 1)]
DeviceId = Annotated[int, _int(32, None, 1)]
Time = Annotated[ShipmentTime, _words("Time window for the OTA update delivery")]
Title = Annotated[str, _text("Shipment title", 1, 200, NAME)]
Path = Annotated[str, _text("Path to the firmware file on the server", 1, 200)]
FileName = Annotated[str, _text("Original firmware file name", 1, 255)]
AttemptsLimit = Annotated[int, _int(32, "Maximum number of OTA delivery attempts per device", 1, 1000)]
ResetPeriod = Annotated[
    int, _int(64, "Period (ms) after which the attempt counter resets", 1000, 10 * 366 * 86_400_000)
]
Secure = Annotated[bool, _words("Whether the firmware transfer uses a secure channel")]
SkipTypeCheck = Annotated[bool, _words("Whether to skip firmware type compatibility check")]
Critical = Annotated[bool, _words("Whether this is a critical update")]
Compare = Annotated[CompareField, _words("Condition used to determine whether the shipment should apply to a device")]


class ShipmentProgress(Struct):
    """Each device in exactly one bucket."""

    started: Annotated[int, _int(32, "Number of devices that started the OTA update")] = 0
    requestSent: Annotated[int, _int(32, "Number of devices that received the update request")] = 0
    firmwareRequested: Annotated[int, _int(32, "Number of devices that requested the firmware")] = 0
    firmwareUploaded: Annotated[int, _int(32, "Number of devices that completed firmware upload")] = 0
    firmwareUploadedToMobile: Annotated[int, _int(32, "Number of devices that uploaded firmware via mobile")] = 0
    success: Annotated[int, _int(32, "Number of devices that successfully updated")] = 0
    uploadFailure: Annotated[int, _int(32, "Number of devices that failed to upload firmware")] = 0
    firmwareTypeMismatch: Annotated[int, _int(32, "Number of devices with firmware type mismatch")] = 0
    downloadLimitReached: Annotated[int, _int(32, "Number of devices that reached the download limit")] = 0
    rollback: Annotated[int, _int(32, "Number of devices that rolled back")] = 0
    firmwareVersionMismatch: Annotated[int, _int(32, "Number of devices with firmware version mismatch")] = 0
    updatedAt: Annotated[int, _int(64, "Timestamp (ms) of the last progress update")] = 0


class Shipment(Struct):
    """A shipment as every operation answers it. All fields are always sent; the contract marks none as required."""

    id: Annotated[int, _int(64, "Shipment unique identifier")] | UnsetType = UNSET
    productId: ProductId | UnsetType = UNSET
    productName: Annotated[str, _text("Template (product) name")] | UnsetType = UNSET
    shipmentTime: Time | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    pathToFirmware: Path | UnsetType = UNSET
    firmwareOriginalFileName: FileName | UnsetType = UNSET
    host: Annotated[str, _text(_HOST_WORDS)] | UnsetType = UNSET
    startedByUserId: Annotated[int, _int(64, "ID of the user who started the shipment")] | UnsetType = UNSET
    startedAt: Annotated[int, _int(64, "Timestamp (ms) when the shipment was started")] | UnsetType = UNSET
    finishedAt: (
        Annotated[int, _int(64, "Timestamp (ms) when the shipment finished (0 if still running)")] | UnsetType
    ) = UNSET
    deviceIds: Annotated[list[DeviceId], _words("List of device IDs targeted by this shipment")] | UnsetType = UNSET
    firmwareInfo: FirmwareInfo | UnsetType = UNSET
    attemptsLimit: AttemptsLimit | UnsetType = UNSET
    attemptResetPeriodMs: ResetPeriod | UnsetType = UNSET
    isSecure: Secure | UnsetType = UNSET
    skipFwTypeCheck: SkipTypeCheck | UnsetType = UNSET
    isCritical: Critical | UnsetType = UNSET
    sendPush: Annotated[bool, _words("Whether push notifications were sent for this shipment")] | UnsetType = UNSET
    status: Annotated[Status, _words("Current shipment status")] | UnsetType = UNSET
    compareField: Compare | UnsetType = UNSET
    shipmentProgress: ShipmentProgress | UnsetType = UNSET


class ShipmentCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of createShipment."""

    orgId: Annotated[int, _int(32, ORG_ID_WORDS, 1)] | UnsetType = UNSET
    productId: ProductId | UnsetType = UNSET
    shipmentTime: Time | UnsetType = UNSET
    title: Title
    pathToFirmware: Path
    firmwareOriginalFileName: FileName
    host: Annotated[str, _text(_HOST_IN_WORDS)] | UnsetType = UNSET
    deviceIds: (
        Annotated[list[DeviceId], Meta(max_length=100_000, description="List of device IDs to target")] | UnsetType
    ) = UNSET
    firmwareInfo: FirmwareInfo
    attemptsLimit: AttemptsLimit | UnsetType = UNSET
    attemptResetPeriodMs: ResetPeriod | UnsetType = UNSET
    isSecure: Secure | UnsetType = UNSET
    skipFwTypeCheck: SkipTypeCheck | UnsetType = UNSET
    isCritical: Critical | UnsetType = UNSET
    compareField: Compare | UnsetType = UNSET


class Uploaded(Struct):
    """The answer of an upload: `path` goes into pathToFirmware, `firmwareInfo` into firmwareInfo, verbatim."""

    path: str
    firmwareInfo: FirmwareInfo
