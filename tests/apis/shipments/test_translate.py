"""Between the words of the contract and ours: progress, hosts, what callers say of their files."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apis.shipments.test_bad_input import CREATE, refusal
from tests.apis.site import Site
from tests.make import BUILD, image

from airfreight.apis.shipments import translate
from airfreight.apis.shipments.shapes import CompareField, ShipmentTime, Status
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Reason, State
from airfreight.domain.errors import Refusal
from airfreight.domain.rollout import Count, RolloutState
from airfreight.domain.windows import DayPart

BY_RANK = ["started", "requestSent", "firmwareRequested", *["firmwareUploaded"] * 4]
"""Where a device stands that came this far and was then left alone."""
STANDS: dict[tuple[State, str], str] = {
    **{(State.QUEUED, reason): "uploadFailure" for reason in Reason},
    (State.QUEUED, ""): "started",
    **{(State.SUCCEEDED, reason): "success" for reason in ["", *Reason]},
    **{(State.FAILED, reason): "downloadLimitReached" for reason in ["", *Reason]},
    (State.FAILED, "rolled_back"): "rollback",
    (State.FAILED, "wrong_version"): "firmwareVersionMismatch",
    (State.FAILED, "unproven"): "firmwareVersionMismatch",
    (State.FAILED, "incompatible"): "firmwareTypeMismatch",
    (State.SKIPPED, "condition_not_met"): "firmwareVersionMismatch",
    (State.SKIPPED, "type_mismatch"): "firmwareTypeMismatch",
    (State.SKIPPED, "already_running"): "success",
}
UNDER_WAY = {
    State.OFFERED: "requestSent",
    State.DOWNLOADING: "firmwareRequested",
    State.DOWNLOADED: "firmwareUploaded",
    State.INSTALLING: "firmwareUploaded",
    State.INSTALLED: "firmwareUploaded",
    State.ACTIVATING: "firmwareUploaded",
}


@pytest.mark.parametrize("state", State)
def test_every_delivery_stands_in_one_bucket(state: State) -> None:
    for reason in ["", *Reason]:
        for reached in range(7):
            wanted = UNDER_WAY.get(state) or STANDS.get((state, reason)) or BY_RANK[reached]
            assert translate.bucket(Count(state, reached, reason, 1, 0)) == wanted, (reason, reached)


COUNTS = st.lists(
    st.builds(
        Count,
        st.sampled_from([str(state) for state in State]),
        st.integers(0, 6),
        st.sampled_from(["", *map(str, Reason)]),
        st.integers(0, 1_000_000),
        st.integers(0, 2**50),
    ),
    max_size=20,
)


@given(COUNTS)
def test_the_buckets_add_up_to_all_devices(counts: list[Count]) -> None:
    shown = translate.progress(counts, 7)
    names = [name for name in shown.__struct_fields__ if name != "updatedAt"]
    assert sum(getattr(shown, name) for name in names) == sum(count.n for count in counts)
    assert shown.updatedAt == max([7, *(count.updated_at for count in counts)])
    assert shown.firmwareUploadedToMobile == 0


def test_every_word_of_the_contract_has_one_of_ours_and_back() -> None:
    assert translate.CONDITIONS.keys() == set(CompareField)
    assert translate.COMPARE_FIELDS.keys() == set(Condition) - {Condition.VERSION_DIFFERS}, "another door's"
    assert all(translate.COMPARE_FIELDS[ours] is word for word, ours in translate.CONDITIONS.items())
    assert translate.STATUSES.keys() == set(RolloutState)
    assert set(translate.STATUSES.values()) == set(Status)
    assert {word.lower() for word in ShipmentTime} == set(DayPart)


@pytest.mark.parametrize(
    ("given_host", "kept"),
    [
        ("", ""),
        ("myhost.com", "myhost.com"),
        ("http://myhost.com", "myhost.com"),
        ("https://myhost.com/", "myhost.com"),
        ("HTTPS://MyHost.COM///", "myhost.com"),
        ("  myhost.com  ", "myhost.com"),
        ("myhost.com:8443", "myhost.com:8443"),
        ("http://10.0.0.1:80/", "10.0.0.1:80"),
        ("localhost", "localhost"),
        ("a-b.example", "a-b.example"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("host:65535", "host:65535"),
    ],
)
def test_a_host_is_freed_from_scheme_and_slashes(given_host: str, kept: str) -> None:
    assert translate.host(given_host) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        "my host", "a/b", "a/b/", "user@host", "user:pw@host", "host:", "host:0", "host:65536", "host:99999", "host:080",
        "host:8x", "-a.com", "a-.com", "a..b", ".a", "a.", "host?x=1", "host#x", "ho\nst", "[::1]", "münchen.de",
        "http://http://x", "ftp://x", "javascript:alert(1)", "a" * 64 + ".com", "host\\x", "%41.com", "ho\x00st", "١.com",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(wrong: str) -> None:
    with pytest.raises(Refusal, match=r"^host must be a domain name"):
        translate.host(wrong)


@given(st.text(max_size=60))
def test_a_host_that_is_kept_can_stand_in_a_url(text: str) -> None:
    try:
        kept = translate.host(text)
    except Refusal:
        return
    assert kept == "" or (kept.isascii() and not set(kept) - set("abcdefghijklmnopqrstuvwxyz0123456789.-:"))
    assert translate.host(kept) == kept


def test_the_host_and_the_scheme_are_in_the_url_that_devices_get(site: Site) -> None:
    for secure, host, base in (
        (True, "", f"https://127.0.0.1:{site.server.port}"),
        (False, "files.example.com", "http://files.example.com"),
        (True, "files.example.com:8443", "https://files.example.com:8443"),
        (False, "", site.server.url),
    ):
        [board] = site.devices(site.product_id)
        site.create(to=[board], isSecure=secure, host=host)
        [file] = site.as_device(board).get("/device/v1/next").json()["artifacts"]
        assert file["url"] == f"{base}/device/v1/artifacts/{file['id']}"


def upload(site: Site, content: bytes) -> dict[str, Any]:
    form = {"type": "FIRMWARE"}
    answer = site.ask("POST", "/api/upload", data=form, files={"upfile": ("fw.bin", content)})
    assert answer.status_code == 200, answer.text
    uploaded: dict[str, Any] = answer.json()
    return uploaded


def create_with(site: Site, path: str, **info: Any) -> Any:
    body = {
        "title": "t",
        "productId": site.product_id,
        "pathToFirmware": path,
        "firmwareOriginalFileName": "fw.bin",
        "skipFwTypeCheck": True,
        "firmwareInfo": info,
    }
    return site.ask("POST", CREATE, json=body)


def test_what_an_upload_says_is_accepted_verbatim_and_shown_again(site: Site) -> None:
    content = image("2.0.0", BUILD, "TMPL1")
    uploaded = upload(site, content)
    info = uploaded["firmwareInfo"]
    assert info["md5Hash"] == hashlib.md5(content).hexdigest().upper()
    assert info["sha256Hash"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert (info["version"], info["buildDate"], info["fwType"]) == ("2.0.0", BUILD, "TMPL1")
    assert (info["type"], info["fileSize"]) == ("MCU", len(content))
    answer = create_with(site, uploaded["path"], **info)
    assert answer.status_code == 201, answer.text
    assert answer.json()["firmwareInfo"] == info
    assert answer.json()["pathToFirmware"] == uploaded["path"]


Change = Callable[[dict[str, Any]], Any]
LIES: dict[str, Change] = {
    "version": lambda _: "2.0.1",
    "buildDate": lambda _: "Jan 10 2024 12:25:30",
    "fwType": lambda _: "TMPL2",
    "blynkVersion": lambda _: "9.9.9",
    "fileSize": lambda info: info["fileSize"] + 1,
    "md5Hash": lambda info: "0" + info["md5Hash"][1:] if info["md5Hash"][0] != "0" else "1" + info["md5Hash"][1:],
    "sha256Hash": lambda _: base64.b64encode(b"x" * 32).decode(),
    "type": lambda _: "NCP",
}


def test_a_claim_that_the_file_contradicts_is_refused_by_name(site: Site) -> None:
    uploaded = upload(site, image("2.0.0", BUILD, "TMPL1"))
    info = uploaded["firmwareInfo"]
    for name, lie in LIES.items():
        message = refusal(create_with(site, uploaded["path"], **{**info, name: lie(info)}))
        assert [word for word in LIES if word in message] == [name], message
    every = {name: lie(info) for name, lie in LIES.items()}
    message = refusal(create_with(site, uploaded["path"], **every))
    assert all(name in message for name in LIES)
    assert create_with(site, uploaded["path"]).status_code == 201
    assert create_with(site, uploaded["path"], md5Hash=info["md5Hash"].lower(), boardType="Other").status_code == 201


def test_where_the_file_says_nothing_the_claim_is_taken(site: Site) -> None:
    uploaded = upload(site, b"no format that anybody knows")
    said = {"version": "7.1", "buildDate": BUILD, "fwType": "T", "boardType": "B", "blynkVersion": "1.2"}
    shown = create_with(site, uploaded["path"], **said).json()["firmwareInfo"]
    assert said.items() <= shown.items()
    refusal(create_with(site, uploaded["path"], **said, fileSize=1))


def test_a_path_of_another_organization_is_like_any_other_wrong_path(site: Site) -> None:
    stranger = site.people(site.organization("child"))["client"]
    form = {"type": "FIRMWARE"}
    theirs = site.http(stranger).post("/api/upload", data=form, files={"upfile": ("f", b"theirs")}).json()["path"]
    assert refusal(create_with(site, theirs)) == refusal(create_with(site, "/static/fw_1_2.bin"))
