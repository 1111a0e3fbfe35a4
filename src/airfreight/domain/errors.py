"""The one error of the core: a kind that each door turns into its own status number, and a stable code.

Rule: a message says what happened and what to do; it never repeats what the caller sent.
"""

from enum import StrEnum


class Kind(StrEnum):
    """What sort of refusal this is; doors map kinds to numbers, the core never says a number."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    LIMITED = "limited"
    UNSUPPORTED = "unsupported_media_type"


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure
    """A request that cannot be done, with a stable `code` (docs/errors.md) and a sentence for a person.

    `retry_seconds` is not 0 when the same request can be done after that time.
    """

    def __init__(self, kind: Kind, message: str, code: str = "", retry_seconds: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code or kind.value
        self.retry_seconds = retry_seconds


def invalid(message: str, code: str = "") -> Refusal:
    return Refusal(Kind.INVALID, message, code)


def not_found(what: str) -> Refusal:
    """The same words for "does not exist" and "not yours": nothing is learnt from the difference."""
    return Refusal(Kind.NOT_FOUND, f"{what} is not found or you don't have access to it.")


def conflict(message: str, code: str = "") -> Refusal:
    return Refusal(Kind.CONFLICT, message, code)


def forbidden(message: str) -> Refusal:
    return Refusal(Kind.FORBIDDEN, message)


def unauthenticated(message: str = "The bearer token is missing, unknown or expired. Get a new one.") -> Refusal:
    return Refusal(Kind.UNAUTHENTICATED, message)


def too_large(message: str) -> Refusal:
    return Refusal(Kind.TOO_LARGE, message)
