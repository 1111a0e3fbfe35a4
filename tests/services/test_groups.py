"""Live and fixed groups: who is in which, and never a device of another organization."""

import pytest
from tests.make import Bench, Board

from airfreight.domain.errors import Refusal
from airfreight.services import devices, groups, organizations, products
from airfreight.services.devices import Wanted


def boards(bench: Bench, **versions: str) -> dict[str, Board]:
    """Devices of one product by their names, each with its version."""
    made = dict(zip(versions, bench.devices(bench.product(), len(versions)), strict=True))
    for name, board in made.items():
        bench.tell(board, version=versions[name], site=name)
    return made


def live(bench: Bench, text: str, organization_id: int | None = None) -> int:
    with bench.call(organization_id) as call:
        return int(groups.create_live(call, "a group", text).id)


def found(bench: Bench, group_id: int, organization_id: int | None = None) -> list[int]:
    with bench.call(organization_id) as call:
        group = groups.numbered(call, group_id)
        ids = groups.matching(call, group)
        assert ids == [row.id for row in groups.members(call, group_id, after=0, limit=500)]
        assert len(ids) == groups.count(call, group)
    return ids


def test_a_live_group_has_whatever_matches_at_the_moment(bench: Bench) -> None:
    there = boards(bench, old="1.9.0", new="1.10.0", none="")
    group = live(bench, 'version < "1.10"')
    assert found(bench, group) == [there["old"].id]
    bench.tell(there["new"], version="1.2.0")
    assert found(bench, group) == [there["old"].id, there["new"].id]
    bench.remove_device(there["old"])
    assert found(bench, group) == [there["new"].id]
    with bench.call() as call:
        groups.change(call, group, name=None, text="not has(version)")
    assert found(bench, group) == [there["none"].id]


def test_who_is_online_is_who_is_shown_online(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    group = live(bench, "online")
    for heard in (False, True):
        if heard:
            bench.back(board, version="1.0")
        with bench.call() as call:
            shown = devices.is_online(call, devices.get(call, board.id))
        assert (found(bench, group) == [board.id]) is shown is heard


def test_a_group_has_devices_of_its_own_organization_only(bench: Bench) -> None:
    below = bench.organization()
    here = boards(bench, here="1.0")["here"]
    with bench.call(below) as call:
        product = products.create(call, name="theirs")
        there = devices.create(call, product_id=product.id, wanted=Wanted())[1].id
    everything = "has(uid)"
    assert found(bench, live(bench, everything)) == [here.id]
    theirs = live(bench, everything, below)
    assert found(bench, theirs, below) == [there]
    assert found(bench, theirs) == [there], "seen from above it has the same devices"
    with bench.call() as call:
        assert [row.id for row in groups.preview(call, everything)[1]] == [here.id]


def test_a_stranger_finds_no_group(bench: Bench) -> None:
    group = live(bench, "has(uid)")
    with bench.call() as call:
        stranger = organizations.create(call, name="a stranger").id
    with bench.call() as call:
        row = groups.numbered(call, group)
    with bench.call(stranger) as call:
        for ask in (
            lambda: groups.numbered(call, group),
            lambda: groups.members(call, group, after=0, limit=5),
            lambda: groups.change(call, group, name="x", text=None),
            lambda: groups.remove(call, group),
            lambda: groups.matching(call, row),
            lambda: groups.count(call, row),
        ):
            with pytest.raises(Refusal, match="Group is not found"):
                ask()


def test_a_preview_says_how_many_and_shows_the_first(bench: Bench) -> None:
    made = bench.devices(bench.product(), groups.PREVIEWED + 5)
    for count in (0, 1, groups.PREVIEWED, groups.PREVIEWED + 5):
        for board in made[:count]:
            bench.tell(board, chosen=count)
        with bench.call() as call:
            total, shown = groups.preview(call, f"attributes.chosen = {count}")
        assert total == count
        assert [row.id for row in shown] == [board.id for board in made[:count]][: groups.PREVIEWED]


def test_a_group_stays_what_it_was_made_as(bench: Bench) -> None:
    with bench.call() as call:
        fixed, token = groups.create(call, "fixed")
        alive = groups.create_live(call, "live", "has(uid)")
        assert (len(token), fixed.filter, alive.token_hash) == (32, "", None)
    with bench.call() as call, pytest.raises(Refusal) as caught:
        groups.change(call, fixed.id, name=None, text="has(uid)")
    assert caught.value.code == "fixed_group"
    with bench.call() as call, pytest.raises(Refusal) as caught:
        groups.change(call, alive.id, name="x", text="")
    assert caught.value.code == "bad_filter"
    with bench.call() as call:
        assert groups.change(call, fixed.id, name="still fixed", text=None).name == "still fixed"
        assert groups.numbered(call, alive.id).name == "live"


def test_nothing_is_put_into_a_live_group_and_it_has_no_uid_for_others(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    with bench.call() as call:
        alive = groups.create_live(call, "live", "not has(uid)")
        fixed, _ = groups.create(call, "fixed")
    with bench.call() as call:
        groups.move(call, board.id, fixed.uid)
    with bench.call() as call:
        groups.move(call, board.id, alive.uid)
        for ask in (
            lambda: groups.get(call, alive.uid),
            lambda: groups.rename(call, alive.uid, "x"),
            lambda: groups.delete(call, alive.uid),
            lambda: groups.devices_of(call, alive.uid, part="", skip=0, limit=5, newest_first=False),
        ):
            with pytest.raises(Refusal, match="Group is not found"):
                ask()
        rows, total, _ = groups.search(call, part="", skip=0, limit=10, newest_first=False)
        assert ([row.id for row in rows], total) == ([fixed.id], 1)
    assert (found(bench, alive.id), found(bench, fixed.id)) == ([], [board.id])
    inside = live(bench, 'group = "fixed"')
    assert found(bench, inside) == [board.id]
    with bench.call() as call:
        groups.remove(call, fixed.id)
    assert found(bench, inside) == []


def test_a_nul_in_an_attribute_disturbs_nobody(bench: Bench) -> None:
    """PostgreSQL would refuse the whole question for one device."""
    odd, good = bench.devices(bench.product(), 2)
    bench.tell(odd, site="a\0b", other="x")
    bench.tell(good, site="oslo", other="x")
    assert found(bench, live(bench, 'attributes.site = "oslo"')) == [good.id]
    assert found(bench, live(bench, 'attributes.other = "x"')) == [odd.id, good.id]
    assert found(bench, live(bench, 'attributes.site like "a*b"')) == [odd.id]
