"""The one error of the core: its kinds, its codes and what its words must not tell."""

from collections.abc import Callable

import pytest

from airfreight.domain import errors
from airfreight.domain.errors import Kind, Refusal


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (errors.invalid, Kind.INVALID),
        (errors.not_found, Kind.NOT_FOUND),
        (errors.conflict, Kind.CONFLICT),
        (errors.forbidden, Kind.FORBIDDEN),
        (errors.unauthenticated, Kind.UNAUTHENTICATED),
        (errors.too_large, Kind.TOO_LARGE),
    ],
)
def test_each_shorthand_makes_its_kind_with_the_kind_as_code(make: Callable[[str], Refusal], kind: Kind) -> None:
    refusal = make("The device")
    assert (refusal.kind, refusal.code) == (kind, kind.value)
    assert refusal.message.startswith("The device")
    assert str(refusal) == refusal.message


def test_a_code_of_its_own_replaces_the_kind() -> None:
    assert errors.conflict("Taken.", "uid_taken").code == "uid_taken"
    assert errors.invalid("Bad.", "bad_zone").code == "bad_zone"


def test_what_is_missing_and_what_is_not_yours_get_the_same_words() -> None:
    assert errors.not_found("The rollout").message == "The rollout is not found or you don't have access to it."
