"""The conditions against what is known and unknown on either side."""

import pytest

from airfreight.domain.conditions import NO_FACTS, Condition, Facts, meets

EARLY, LATE = "Jan  9 2024 12:25:30", "Jan 10 2024 08:00:00"

# condition, the device's value, the artifact's value, whether it is met
CASES = [
    (Condition.NONE, "", "", True),
    (Condition.NONE, "2.0", "1.0", True),
    (Condition.BUILD_DIFFERS, EARLY, LATE, True),
    (Condition.BUILD_DIFFERS, LATE, EARLY, True),
    (Condition.BUILD_DIFFERS, EARLY, EARLY, False),
    (Condition.BUILD_DIFFERS, "Jan 9 2024 12:25:30", EARLY, False),
    (Condition.BUILD_DIFFERS, "nightly-7", "nightly-7", False),
    (Condition.BUILD_DIFFERS, "nightly-7", "nightly-8", True),
    (Condition.BUILD_DIFFERS, "", LATE, True),
    (Condition.BUILD_DIFFERS, EARLY, "", True),
    (Condition.BUILD_DIFFERS, "", "", True),
    (Condition.BUILD_NEWER, EARLY, LATE, True),
    (Condition.BUILD_NEWER, LATE, EARLY, False),
    (Condition.BUILD_NEWER, EARLY, EARLY, False),
    (Condition.BUILD_NEWER, "Jan 9 2024", EARLY, True),
    (Condition.BUILD_NEWER, "", LATE, False),
    (Condition.BUILD_NEWER, EARLY, "", False),
    (Condition.BUILD_NEWER, "", "", False),
    (Condition.BUILD_NEWER, "nightly-7", LATE, False),
    (Condition.BUILD_NEWER, EARLY, "nightly-8", False),
    (Condition.VERSION_DIFFERS, "1.0", "2.0", True),
    (Condition.VERSION_DIFFERS, "2.0", "1.0", True),
    (Condition.VERSION_DIFFERS, "1.0", "1.0", False),
    (Condition.VERSION_DIFFERS, "1.0", "1.0.0", True),
    (Condition.VERSION_DIFFERS, "", "1.0", True),
    (Condition.VERSION_DIFFERS, "", "", True),
    (Condition.VERSION_NEWER, "1.9", "1.10", True),
    (Condition.VERSION_NEWER, "1.10", "1.9", False),
    (Condition.VERSION_NEWER, "1.0", "1.0.0", False),
    (Condition.VERSION_NEWER, "1.0-rc.1", "1.0", True),
    (Condition.VERSION_NEWER, "", "1.0", False),
    (Condition.VERSION_NEWER, "1.0", "", False),
    (Condition.VERSION_NEWER, "", "", False),
    (Condition.VERSION_NEWER, "main-1f3c", "1.0", False),
    (Condition.LIBRARY_NEWER, "1.3.1", "1.3.2", True),
    (Condition.LIBRARY_NEWER, "1.3.2", "1.3.1", False),
    (Condition.LIBRARY_NEWER, "1.3.2", "1.3.2", False),
    (Condition.LIBRARY_NEWER, "", "1.3.2", False),
    (Condition.LIBRARY_NEWER, "1.3.2", "", False),
    (Condition.LIBRARY_NEWER, "", "", False),
]

FIELD = {
    Condition.NONE: "version",
    Condition.BUILD_DIFFERS: "build",
    Condition.BUILD_NEWER: "build",
    Condition.VERSION_DIFFERS: "version",
    Condition.VERSION_NEWER: "version",
    Condition.LIBRARY_NEWER: "library_version",
}


@pytest.mark.parametrize(("condition", "device", "artifact", "met"), CASES)
def test_a_condition_is_met_or_not(condition: Condition, device: str, artifact: str, met: bool) -> None:
    field = FIELD[condition]
    answer, words = meets(condition, Facts(**{field: device}), Facts(**{field: artifact}))
    assert answer is met
    assert words


@pytest.mark.parametrize("condition", sorted(set(Condition) - {Condition.NONE}))
def test_only_the_fact_the_condition_is_about_is_looked_at(condition: Condition) -> None:
    """Every other fact says the opposite."""
    field = FIELD[condition]
    old, new = Facts("1.0", EARLY, "1.0"), Facts("2.0", LATE, "2.0")
    for device, artifact, met in ((old, new, True), (new, new, False)):
        theirs = {
            name: getattr(artifact, name) if name == field else "" for name in ("version", "build", "library_version")
        }
        ours = {name: getattr(device, name) if name == field else "9.9" for name in theirs}
        assert meets(condition, Facts(**ours), Facts(**theirs))[0] is met


def test_the_table_has_every_condition() -> None:
    assert {case[0] for case in CASES} == set(Condition)


def test_what_was_compared_is_said() -> None:
    assert (
        meets(Condition.VERSION_NEWER, Facts("1.0"), Facts("2.0"))[1] == "device version '1.0', artifact version '2.0'"
    )
    assert meets(Condition.BUILD_DIFFERS, NO_FACTS, Facts(build=LATE))[1].startswith("the device has reported no build")
    assert meets(Condition.VERSION_NEWER, NO_FACTS, Facts("2.0"))[1].endswith("they cannot be compared")
    assert "the device has reported no version" in meets(Condition.VERSION_NEWER, NO_FACTS, Facts("2.0"))[1]
    assert "the device has reported no build" in meets(Condition.BUILD_NEWER, NO_FACTS, Facts(build=LATE))[1]
    assert "not a build date" in meets(Condition.BUILD_NEWER, Facts(build="b7"), Facts(build=LATE))[1]
