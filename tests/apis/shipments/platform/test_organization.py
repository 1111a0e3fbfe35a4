"""The organization of the token and those below it: shown, made, searched, renamed and deleted."""

from typing import Any

import pytest
from tests.apis.shipments.platform.door import MISSING, ask, stranger
from tests.apis.site import Site

SHAPE = {
    "id",
    "name",
    "description",
    "parentOrganizationId",
    "isActive",
    "tz",
    "unitSystem",
    "phoneNumber",
    "address",
    "lastModifiedTs",
}
NOWHERE = {"error": {"message": "Organization is not found or you don't have access to it."}}


def made(site: Site, status: int = 201, who: str = "client", **fields: Any) -> Any:
    body = {"name": "North plant", "type": "BRANCH", **fields}
    return ask(site, "POST", "create", who, status=status, json=body)


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer["content"]]


def below(site: Site) -> list[str]:
    return names(ask(site, "GET", "sub-organizations", size=1000))


def test_a_token_of_any_kind_sees_its_own_organization(site: Site) -> None:
    for who in ("client", "admin", "staff", "user"):
        mine = ask(site, "GET", "profile", who)
        assert set(mine) == SHAPE
        assert (mine["id"], mine["parentOrganizationId"], mine["isActive"]) == (site.organization_id, None, True)
        assert mine == site.ask("GET", f"/api/v1/organization?orgId={site.organization_id}", who).json()


def test_a_new_one_is_below_the_callers_and_says_what_was_sent(site: Site) -> None:
    address = {"fullAddress": "1 Quay", "city": "Oslo", "country": "Norway", "state": "", "zip": "0150"}
    plant = made(
        site,
        description="where it is cold",
        tz="Europe/Oslo",
        phoneNumber="+47 22 00 00 00",
        unitSystem="IMPERIAL",
        address=address,
    )
    assert set(plant) == SHAPE
    assert plant["parentOrganizationId"] == site.organization_id
    assert (plant["name"], plant["description"], plant["tz"]) == ("North plant", "where it is cold", "Europe/Oslo")
    assert (plant["phoneNumber"], plant["unitSystem"], plant["address"]) == ("+47 22 00 00 00", "IMPERIAL", address)
    assert plant["lastModifiedTs"] >= site.now
    assert ask(site, "GET", "", orgId=plant["id"]) == plant
    line = made(site, name="Line", parentId=plant["id"])
    assert line["parentOrganizationId"] == plant["id"]


def test_what_is_left_out_is_shown_as_what_counts(site: Site) -> None:
    plant = made(site)
    assert (plant["tz"], plant["unitSystem"], plant["phoneNumber"], plant["description"]) == ("UTC", "METRIC", "", "")
    assert plant["address"] == dict.fromkeys(("fullAddress", "city", "country", "state", "zip"), "")


@pytest.mark.parametrize(
    "kind", ["ROOT", "BUSINESS", "PERSONAL", "BRANCH", "DISTRIBUTOR", "CONTRACTOR", "INSTALLER", "RESELLER"]
)
def test_every_type_is_taken_and_kept_and_what_is_below_a_personal_one_is_personal(site: Site, kind: str) -> None:
    parent = made(site, type=kind)
    child = made(site, type="RESELLER", parentId=parent["id"])
    shown = [site.ask("GET", f"/api/v1/organizations/{one['id']}").json()["kind"] for one in (parent, child)]
    assert shown == [kind.lower(), "personal" if kind == "PERSONAL" else "reseller"]


def test_sub_organizations_are_all_below_page_by_page(site: Site) -> None:
    tops = [made(site, name=f"top {number}") for number in range(3)]
    deep = made(site, name="deep", parentId=tops[0]["id"])
    assert below(site) == ["top 0", "top 1", "top 2", "deep"]
    pages = [ask(site, "GET", "sub-organizations", page=page, size=3) for page in range(3)]
    assert [names(page) for page in pages] == [["top 0", "top 1", "top 2"], ["deep"], []]
    assert [page["totalElements"] for page in pages] == [4, 4, 4]
    assert names(ask(site, "GET", "sub-organizations", orgId=tops[0]["id"])) == ["deep"]
    assert ask(site, "GET", "sub-organizations", orgId=deep["id"]) == {"content": [], "totalElements": 0}


def test_a_search_finds_a_part_of_a_name_in_any_case_and_takes_nothing_for_a_pattern(site: Site) -> None:
    for name in ("Harbour East", "harbour west", "100% wool", "under_score"):
        made(site, name=name)
    for query, found in (
        ("HARBOUR", ["Harbour East", "harbour west"]),
        ("%", ["100% wool"]),
        ("_", ["under_score"]),
        ("' OR 1=1 --", []),
    ):
        answer = ask(site, "GET", "search", query=query)
        assert (names(answer), answer["totalElements"]) == (found, len(found)), query
    second = ask(site, "GET", "search", query="harbour", page=1, size=1)
    assert (names(second), second["totalElements"]) == (["harbour west"], 2)
    assert ask(site, "GET", "search", query="x" * 255)["content"] == []


def test_a_rename_shows_and_moves_the_time_of_change(site: Site) -> None:
    plant = made(site)
    changed = ask(site, "PUT", "edit/name", orgId=plant["id"], json={"name": "South plant"})
    assert changed == {**plant, "name": "South plant", "lastModifiedTs": changed["lastModifiedTs"]}
    assert changed["lastModifiedTs"] >= plant["lastModifiedTs"]
    assert ask(site, "PUT", "edit/name", json={"name": "Ours"})["id"] == site.organization_id
    assert ask(site, "GET", "profile")["name"] == "Ours"


def test_an_empty_one_can_be_deleted_and_is_gone(site: Site) -> None:
    plant = made(site)
    ask(site, "DELETE", "", status=204, orgId=plant["id"])
    assert ask(site, "GET", "", status=404, orgId=plant["id"]) == NOWHERE
    assert ask(site, "DELETE", "", status=404, orgId=plant["id"]) == NOWHERE
    assert below(site) == []


def test_neither_ones_own_nor_a_used_one_can_be_deleted(site: Site) -> None:
    plants = [made(site, name=f"plant {number}")["id"] for number in range(4)]
    made(site, name="below", parentId=plants[0])
    person = {"email": f"a@{plants[1]}.example", "name": "A", "roleId": 3, "orgId": plants[1]}
    ask(site, "POST", "users/invite", status=201, json=person)
    ask(site, "POST", "oauth/clients/create", status=201, json={"name": "c", "orgId": plants[2]})
    ask(site, "POST", "template/create", status=201, json={"name": "t", "orgId": plants[3]})
    for number in plants:
        refused = ask(site, "DELETE", "", status=400, orgId=number)
        assert "not empty" in refused["error"]["message"]
    own = ask(site, "DELETE", "", status=400, orgId=site.organization_id)
    assert "your own" in own["error"]["message"]
    assert len(below(site)) == 5


def test_one_below_sees_and_touches_nothing_above_or_beside_it(site: Site) -> None:
    child, sibling = (made(site, name=name)["id"] for name in ("child", "sibling"))
    mine = site.admin_id
    site.tokens["below"] = site.people(child)["client"]
    site.admin_id = mine
    assert ask(site, "GET", "profile", "below")["id"] == child
    assert below(site) == ["child", "sibling"]
    assert ask(site, "GET", "sub-organizations", "below")["content"] == []
    assert names(ask(site, "GET", "search", "below", query="i")) == ["child"]
    for number in (site.organization_id, sibling, MISSING):
        assert ask(site, "GET", "", "below", status=404, orgId=number) == NOWHERE
        assert ask(site, "DELETE", "", "below", status=404, orgId=number) == NOWHERE
        assert ask(site, "PUT", "edit/name", "below", status=404, orgId=number, json={"name": "mine"}) == NOWHERE
        assert ask(site, "GET", "sub-organizations", "below", status=404, orgId=number) == NOWHERE
        assert made(site, 404, "below", parentId=number) == NOWHERE


def test_a_stranger_is_told_the_same_as_about_a_missing_one(site: Site) -> None:
    who = stranger(site)
    plant = made(site)["id"]
    for number in (plant, site.organization_id, MISSING):
        assert ask(site, "GET", "", who, status=404, orgId=number) == NOWHERE
        assert ask(site, "DELETE", "", who, status=404, orgId=number) == NOWHERE
        assert ask(site, "PUT", "edit/name", who, status=404, orgId=number, json={"name": "mine"}) == NOWHERE
        assert made(site, 404, who, parentId=number) == NOWHERE
    assert ask(site, "GET", "search", who, query="North")["totalElements"] == 0
    assert ask(site, "GET", "", orgId=plant)["name"] == "North plant"


BAD = [
    ("name", "ab"),
    ("name", "    "),
    ("name", "x" * 101),
    ("name", "a\nbc"),
    ("name", None),
    ("name", 7),
    ("type", "branch"),
    ("type", None),
    ("type", ["BRANCH"]),
    ("description", "x" * 1001),
    ("description", "a\u0000b"),
    ("tz", "Mars/Olympus"),
    ("tz", "../../etc/passwd"),
    ("tz", 1),
    ("parentId", 0),
    ("parentId", -1),
    ("parentId", 2**31),
    ("parentId", "1"),
    ("parentId", True),
    ("phoneNumber", "0800"),
    ("phoneNumber", "+" + "1" * 40),
    ("unitSystem", "metric"),
    ("address", "somewhere"),
    ("address.zip", {"zip": "1" * 13}),
    ("address", {"planet": "Mars"}),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_field_is_named_and_nothing_is_made(site: Site, field: str, value: Any) -> None:
    answer = made(site, 400, **{field.partition(".")[0]: value})
    message = answer["error"]["message"]
    assert field in message
    assert "Mars" not in message
    assert "passwd" not in message
    assert below(site) == []


@pytest.mark.parametrize("field", ["name", "type"])
def test_a_missing_field_and_an_unknown_one_are_named(site: Site, field: str) -> None:
    body = {"name": "abc", "type": "BRANCH"}
    del body[field]
    assert field in ask(site, "POST", "create", status=400, json=body)["error"]["message"]
    assert "isActive" in made(site, 400, isActive=False)["error"]["message"]
    assert "name" in ask(site, "PUT", "edit/name", status=400, json={})["error"]["message"]


def test_the_longest_and_the_shortest_are_taken(site: Site) -> None:
    assert made(site, name="äöü", description="x" * 1000)["name"] == "äöü"
    assert len(made(site, name="𝔘" * 100)["name"]) == 100


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("", "", "orgId"),
        ("", "orgId=0", "orgId"),
        ("", "orgId=x", "orgId"),
        ("", "orgId=1e1", "orgId"),
        ("", f"orgId={2**31}", "orgId"),
        ("", "orgId=1&orgId=2", "orgId"),
        ("sub-organizations", "page=-1", "page"),
        ("sub-organizations", "page=x", "page"),
        ("sub-organizations", f"page={2**31}", "page"),
        ("sub-organizations", "size=0", "size"),
        ("sub-organizations", "size=1001", "size"),
        ("sub-organizations", "size=", "size"),
        ("search", "", "query"),
        ("search", "query=" + "x" * 256, "query"),
        ("search", "query=%00", "query"),
        ("search", "query=a%0Ab", "query"),
    ],
)
def test_a_bad_parameter_is_named(site: Site, path: str, query: str, named: str) -> None:
    answer = site.ask("GET", f"/api/v1/organization/{path}?{query}")
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]["message"]


def test_the_last_page_there_can_be_is_empty(site: Site) -> None:
    made(site)
    last = ask(site, "GET", "sub-organizations", page=2**31 - 1, size=1000)
    assert last == {"content": [], "totalElements": 1}
