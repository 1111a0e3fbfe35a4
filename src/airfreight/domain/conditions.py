"""The condition under which a rollout applies to a device, judged on what the device last reported. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from airfreight.domain import versions


class Condition(StrEnum):
    """Which devices an artifact is for, besides being in the rollout."""

    NONE = "none"
    BUILD_DIFFERS = "build_differs"
    BUILD_NEWER = "build_newer"
    VERSION_DIFFERS = "version_differs"
    VERSION_NEWER = "version_newer"
    LIBRARY_NEWER = "library_newer"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is compared, of a device or of an artifact; empty means unknown."""

    version: str = ""
    build: str = ""
    library_version: str = ""


NO_FACTS = Facts()


def meets(condition: Condition, device: Facts, artifact: Facts) -> tuple[bool, str]:
    """Whether the artifact is for this device, and what was compared, for people.

    An unknown value on either side never satisfies a "newer"; it does satisfy a "differs", and says so.
    """
    match condition:
        case Condition.NONE:
            return True, "no condition"
        case Condition.BUILD_DIFFERS:
            return _build_differs(device.build, artifact.build)
        case Condition.VERSION_DIFFERS:
            return _version_differs(device.version, artifact.version)
        case Condition.BUILD_NEWER:
            return _build_newer(device.build, artifact.build)
        case Condition.VERSION_NEWER:
            return _newer("version", device.version, artifact.version)
        case Condition.LIBRARY_NEWER:
            return _newer("library version", device.library_version, artifact.library_version)


def _version_differs(device: str, artifact: str) -> tuple[bool, str]:
    """To the letter, because the devices that compare so themselves compare letters."""
    if not device:
        return True, "the device has reported no version; taken as different"
    return device != artifact, f"device version {device!r}, artifact version {artifact!r}"


def _build_differs(device: str, artifact: str) -> tuple[bool, str]:
    if not device:
        return True, "the device has reported no build; taken as different"
    same_time = versions.build_date(device)
    same = device == artifact or (same_time is not None and same_time == versions.build_date(artifact))
    return not same, f"device build {device!r}, artifact build {artifact!r}"


def _build_newer(device: str, artifact: str) -> tuple[bool, str]:
    if not device:
        return False, f"the device has reported no build, artifact build {artifact!r}; not known to be earlier"
    words = f"device build {device!r}, artifact build {artifact!r}"
    ours, theirs = versions.build_date(artifact), versions.build_date(device)
    if ours is None or theirs is None:
        return False, words + "; at least one is not a build date, so it is not known to be earlier"
    return theirs < ours, words


def _newer(what: str, device: str, artifact: str) -> tuple[bool, str]:
    if not device:
        return False, f"the device has reported no {what}, artifact {what} {artifact!r}; they cannot be compared"
    words = f"device {what} {device!r}, artifact {what} {artifact!r}"
    order = versions.compare(artifact, device)
    if order is None:
        return False, words + "; they cannot be compared"
    return order > 0, words
