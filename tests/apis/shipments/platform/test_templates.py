"""Templates: products, as the Shipments door shows them."""

import re
from typing import Any

import pytest
from sqlalchemy import update
from tests.apis.shipments.platform.door import MISSING, ask, rung, stranger
from tests.apis.site import Site

from airfreight.store import tables

BRIEF = {"id", "templateIds", "parentId", "orgId", "name"}
SINGLE = BRIEF | {
    "description",
    "tz",
    "firmwareUpdateControl",
    "boardType",
    "connectionType",
    "logoUrl",
    "createdAt",
    "lastModifiedTs",
}


def made(site: Site, **fields: Any) -> Any:
    return ask(site, "POST", "template/create", status=201, json={"name": "Lamp", **fields})


def test_a_template_comes_back_as_it_was_made(site: Site) -> None:
    given = {
        "name": "Lamp",
        "templateId": f"TMPL{site.organization_id}_a-Z",
        "description": "A lamp",
        "tz": "Asia/Tokyo",
        "firmwareUpdateControl": False,
        "boardType": "ESP32",
        "connectionType": "WI_FI",
        "logoUrl": "https://example.com/lamp.png",
    }
    template = ask(site, "POST", "template/create", status=201, json=given)
    assert set(template) == SINGLE
    key = given.pop("templateId")
    assert {name: template[name] for name in given} == given
    assert (template["templateIds"], template["parentId"], template["orgId"]) == ([key], None, site.organization_id)
    for reference in (template["id"], key):
        assert ask(site, "GET", "template", templateId=reference) == template


def test_a_template_without_an_id_of_its_own_gets_one(site: Site) -> None:
    [key] = made(site)["templateIds"]
    assert re.fullmatch(r"TMPL[0-9a-f]{12}", key)


def test_templates_are_listed_page_by_page(site: Site) -> None:
    ids = [site.product_id, *(made(site, name=f"L{i}")["id"] for i in range(4))]
    pages = [ask(site, "GET", "templates", page=page, size=2) for page in range(4)]
    assert [[one["id"] for one in page["content"]] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert {page["totalElements"] for page in pages} == {5}
    assert set(pages[0]["content"][0]) == BRIEF
    assert len(ask(site, "GET", "templates")["content"]) == 5


def test_a_change_changes_what_it_names(site: Site) -> None:
    template = made(site, boardType="ESP32", logoUrl="https://example.com/a.png", description="old")
    with site.database.write() as connection:  # long ago, not in this millisecond
        table = tables.products
        connection.execute(update(table).where(table.c.id == template["id"]).values(changed_at=1))
    new = ask(site, "PUT", "template", templateId=template["id"], json={"description": "new", "boardType": ""})
    assert new == {**template, "description": "new", "boardType": "", "lastModifiedTs": new["lastModifiedTs"]}
    assert new["lastModifiedTs"] >= template["lastModifiedTs"] > 1
    named = ask(site, "PUT", "template", templateId=template["id"], json={"name": "Lamp 2", "tz": "Europe/Oslo"})
    assert (named["name"], named["tz"], named["logoUrl"]) == ("Lamp 2", "Europe/Oslo", "https://example.com/a.png")
    assert ask(site, "PUT", "template", templateId=template["id"], json={}) == named


def test_what_decides_about_updates_is_decided_again_when_it_changes(site: Site) -> None:
    template = made(site)["id"]
    for change, by in (({"description": "x"}, 0), ({"firmwareUpdateControl": False}, 1), ({"tz": "Asia/Tokyo"}, 1)):
        before = rung(site)
        ask(site, "PUT", "template", templateId=template, json=change)
        assert rung(site) - before == by, change


def test_the_metafields_of_a_template_are_what_its_devices_have_by_default(site: Site) -> None:
    template = made(site)["id"]
    fields = ask(site, "GET", "template/metafields", templateId=template)
    assert fields == [
        {"name": "Timezone", "type": "Timezone", "value": None},
        {"name": "Firmware Update Control", "type": "Boolean", "value": True},
    ]
    ask(site, "PUT", "template", templateId=template, json={"tz": "Asia/Tokyo", "firmwareUpdateControl": False})
    fields = ask(site, "GET", "template/metafields", templateId=template)
    assert [field["value"] for field in fields] == ["Asia/Tokyo", False]


def test_a_template_that_has_or_had_devices_stays(site: Site) -> None:
    template = made(site)
    [board] = site.devices(template["id"])
    ask(site, "DELETE", "template", status=400, templateId=template["id"])
    site.remove_device(board)
    ask(site, "DELETE", "template", status=400, templateId=template["id"])
    free = made(site, name="free")
    assert ask(site, "DELETE", "template", status=204, templateId=free["templateIds"][0]) is None
    ask(site, "GET", "template", status=404, templateId=free["id"])


def test_a_name_is_used_once_in_an_organization_and_a_template_id_once_anywhere(site: Site) -> None:
    key = made(site)["templateIds"][0]
    other = made(site, name="other")["id"]
    below = site.organization()
    taken = site.ask("POST", "/api/v1/organization/template/create", json={"name": "Lamp"})
    assert (taken.status_code, taken.headers["x-error-code"]) == (400, "name_taken")
    taken = site.ask("PUT", f"/api/v1/organization/template?templateId={other}", json={"name": "Lamp"})
    assert (taken.status_code, taken.headers["x-error-code"]) == (400, "name_taken")
    made(site, orgId=below)
    taken = site.ask(
        "POST", "/api/v1/organization/template/create", json={"name": "new", "orgId": below, "templateId": key}
    )
    assert (taken.status_code, taken.headers["x-error-code"]) == (400, "key_taken")
    assert ask(site, "GET", "templates")["totalElements"] == 3


BAD: list[tuple[str, Any]] = [
    ("name", ""), ("name", " "), ("name", "x" * 101), ("name", "a\nb"), ("name", 1), ("name", None),
    ("templateId", ""), ("templateId", "TMPL"), ("templateId", "tmpl123"), ("templateId", "TMPL" + "x" * 29),
    ("templateId", "TMPLab\n"), ("templateId", "TMPL a"), ("templateId", 7), ("templateId", None),
    ("description", "x" * 1001), ("description", 1), ("tz", "Mars/Olympus"), ("tz", "../../etc/passwd"), ("tz", 1),
    ("firmwareUpdateControl", "true"), ("firmwareUpdateControl", 1), ("firmwareUpdateControl", None),
    ("boardType", "x" * 65), ("boardType", []), ("connectionType", "\u202e"), ("logoUrl", "javascript:alert(1)"),
    ("logoUrl", "https://"), ("logoUrl", "https://a b"), ("logoUrl", "https://" + "x" * 500),
    ("orgId", 0), ("orgId", "1"), ("orgId", None), ("orgId", 2**31), ("unknown", 1),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_input_is_refused_by_name_and_changes_nothing(site: Site, field: str, value: Any) -> None:
    template = made(site)
    answer = site.ask("POST", "/api/v1/organization/template/create", json={"name": "new", field: value})
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["error"]["message"], answer.text
    assert "passwd" not in answer.text
    if field not in {"templateId", "orgId"}:
        path = f"/api/v1/organization/template?templateId={template['id']}"
        answer = site.ask("PUT", path, json={field: value})
        assert answer.status_code == 400, answer.text
        assert field in answer.json()["error"]["message"], answer.text
    assert ask(site, "GET", "templates")["totalElements"] == 2
    assert ask(site, "GET", "template", templateId=template["id"]) == template


@pytest.mark.parametrize(
    "reference", ["", "x", "-1", "1.5", "+1", "01", "TMPL", "TMPL%00", "1 ", "9" * 11, "TMPL" + "x" * 29]
)
def test_a_reference_that_is_none_is_refused_by_name(site: Site, reference: str) -> None:
    for method, path in (
        ("GET", "template"),
        ("PUT", "template"),
        ("DELETE", "template"),
        ("GET", "template/metafields"),
    ):
        body: dict[str, Any] = {"json": {}} if method == "PUT" else {}
        answer = site.ask(method, f"/api/v1/organization/{path}", params={"templateId": reference}, **body)
        assert (answer.status_code, "templateId" in answer.text) == (400, True), (method, path, answer.text)


def test_a_parent_works_in_the_organization_below_and_nobody_in_another(site: Site) -> None:
    below = site.organization()
    there = made(site, orgId=below)
    key = there["templateIds"][0]
    assert there["orgId"] == below
    assert ask(site, "GET", "templates")["totalElements"] == 1
    assert [one["id"] for one in ask(site, "GET", "templates", orgId=below)["content"]] == [there["id"]]
    assert ask(site, "GET", "template", templateId=key) == there
    assert ask(site, "GET", "template", templateId=key, orgId=below) == there
    ask(site, "GET", "template", status=404, templateId=site.product_id, orgId=below)
    who = stranger(site)
    for method, path in (
        ("GET", "template"),
        ("PUT", "template"),
        ("DELETE", "template"),
        ("GET", "template/metafields"),
    ):
        body = {"json": {"name": "mine now"}} if method == "PUT" else {}
        missing = ask(site, method, path, who, 404, templateId=MISSING, **body)
        for reference in (there["id"], key, site.product_id):
            assert ask(site, method, path, who, 404, templateId=reference, **body) == missing
        ask(site, method, path, who, 404, templateId=MISSING, orgId=below, **body)
    ask(site, "POST", "template/create", who, 404, json={"name": "x", "orgId": below})
    ask(site, "GET", "templates", who, 404, orgId=below)
    assert ask(site, "GET", "templates", who) == {"content": [], "totalElements": 0}
    assert ask(site, "GET", "template", templateId=key) == there


def test_who_may_only_look_changes_nothing(site: Site) -> None:
    for who in ("user",):
        ask(site, "POST", "template/create", who, 403, json={"name": "x"})
        ask(site, "PUT", "template", who, 403, templateId=site.product_id, json={"name": "x"})
        ask(site, "DELETE", "template", who, 403, templateId=site.product_id)
        assert ask(site, "GET", "templates", who)["totalElements"] == 1
        assert ask(site, "GET", "template", who, templateId=site.product_id)["id"] == site.product_id
        ask(site, "GET", "template/metafields", who, templateId=site.product_id)
    made_by_staff = ask(site, "POST", "template/create", "staff", 201, json={"name": "y"})
    ask(site, "DELETE", "template", "staff", 204, templateId=made_by_staff["id"])
