"""The facts a rollout goes by: the file's, completed by its maker; a contradiction is refused, a bare claim is noted."""

from dataclasses import asdict, fields
from types import SimpleNamespace

import pytest

from airfreight.domain.errors import Kind, Refusal
from airfreight.services.artifacts import Claims, Confirmed, confirm, noted

SAYS = {
    "version": "2.0.0",
    "build": "Jan  9 2024 12:25:30",
    "fw_type": "lamp",
    "board": "ESP32",
    "library_version": "1.3.2",
    "component": "NCP",
}
OTHER = {
    "version": "9.9.9",
    "build": "Feb  9 2024 12:25:30",
    "fw_type": "toaster",
    "board": "Mega",
    "library_version": "9.3.2",
    "component": "MCU",
}
WIRE = {
    "version": "version",
    "build": "buildDate",
    "fw_type": "fwType",
    "board": "boardType",
    "library_version": "blynkVersion",
    "component": "type",
}
SILENT = dict.fromkeys(SAYS, "")
MEASURED = {"size": 74, "md5": "a" * 32, "sha256": "b" * 64}


def file(*, tagged: bool, **says: str) -> SimpleNamespace:
    """A stored file; without a tag it passes for one of the main processor, as every such file does."""
    facts = SILENT | ({} if tagged else {"component": "MCU"}) | says
    return SimpleNamespace(**facts, **MEASURED, tagged=tagged)


def refused(artifact: SimpleNamespace, claims: Claims) -> str:
    with pytest.raises(Refusal) as refusal:
        confirm(artifact, claims)
    assert (refusal.value.kind, refusal.value.code) == (Kind.INVALID, "contradiction")
    return refusal.value.message.removeprefix("firmwareInfo contradicts the uploaded file in: ").rstrip(".")


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize(
    ("claim", "field"),
    [({"size": 75}, "fileSize"), ({"md5": "c" * 32}, "md5Hash"), ({"sha256": "d" * 64}, "sha256Hash")],
)
def test_size_and_hashes_are_the_files_with_a_tag_or_without(
    claim: dict[str, object], field: str, *, tagged: bool
) -> None:
    assert refused(file(tagged=tagged, **({"version": "2.0.0"} if tagged else {})), Claims(**claim)) == field  # type: ignore[arg-type]
    assert confirm(file(tagged=tagged), Claims(**MEASURED)) == Confirmed("", "", "", "", "", "")  # type: ignore[arg-type]


def test_a_size_of_nothing_is_a_claim_too() -> None:
    assert refused(file(tagged=False), Claims(size=0)) == "fileSize"


def test_the_table_knows_every_fact_and_every_claim() -> None:
    assert {field.name for field in fields(Confirmed)} == set(SAYS)
    assert {field.name for field in fields(Claims)} == set(SAYS) | set(MEASURED)


@pytest.mark.parametrize("fact", SAYS)
@pytest.mark.parametrize("claimed", [None, "", "same", "other"])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("tagged", [False, True])
def test_every_combination(fact: str, claimed: str | None, *, silent: bool, tagged: bool) -> None:
    """One fact at a time: what the file says, or nothing; with a tag or without; and what its maker claims."""
    own = "" if silent else SAYS[fact]
    artifact = file(tagged=tagged, **{} if silent else {fact: own})
    value = {"same": SAYS[fact], "other": OTHER[fact]}.get(claimed or "", claimed)
    claims = Claims(**{fact: value})  # type: ignore[arg-type]
    if fact == "component" and not tagged:
        # what a file without a tag "says" of its processor is no more than a default
        artifact = file(tagged=False)
        expected = "NCP" if claimed == "same" else ""
        notes = ["type"] if expected else []
    elif tagged and not silent and claimed == "other":
        assert refused(artifact, claims) == WIRE[fact]
        return
    else:
        expected = value or own
        notes = [WIRE[fact]] if expected != own else []
    confirmed = confirm(artifact, claims)
    assert asdict(confirmed) == SILENT | {fact: expected}
    assert [note.partition(" ")[0] for note in noted(confirmed, artifact)] == notes


def test_all_contradictions_are_named_at_once() -> None:
    claims = Claims(**OTHER, size=1, md5="0" * 32, sha256="0" * 64)
    named = "fileSize, md5Hash, sha256Hash, version, buildDate, fwType, boardType, blynkVersion, type"
    assert refused(file(tagged=True, **SAYS), claims) == named


def test_what_a_file_says_outside_a_tag_gives_way_and_the_note_has_both() -> None:
    artifact = file(tagged=False, version="1.0.0")
    confirmed = confirm(artifact, Claims(version="2.0.0", fw_type="lamp"))
    assert (confirmed.version, confirmed.fw_type) == ("2.0.0", "lamp")
    assert noted(confirmed, artifact) == [
        "version '2.0.0' is what the maker of the rollout says; the file says '1.0.0', but not in a tag.",
        "fwType 'lamp' is what the maker of the rollout says; the file does not say.",
    ]


def test_what_an_upload_answers_for_a_file_without_a_tag_can_be_repeated_and_claims_nothing() -> None:
    artifact = file(tagged=False, version="1.0.0", board="ESP32")
    confirmed = confirm(artifact, Claims(version="1.0.0", board="ESP32", component="MCU"))
    assert confirmed == Confirmed("1.0.0", "", "", "ESP32", "", "")
    assert noted(confirmed, artifact) == []
