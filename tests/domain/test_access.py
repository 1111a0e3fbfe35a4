"""What each role may do, pinned."""

import pytest

from airfreight.domain.access import ROLES, Permission, Role

VIEW = {"OTA_VIEW", "DEVICE_VIEW", "PRODUCT_VIEW", "ORG_VIEW"}
WORK = VIEW | {"OTA_START", "OTA_CANCEL", "DEVICE_EDIT", "PRODUCT_EDIT", "USER_VIEW"}
ALL = WORK | {"OTA_APPROVE", "ORG_EDIT", "USER_EDIT", "CLIENT_EDIT", "WEBHOOK_VIEW", "WEBHOOK_EDIT"}


@pytest.mark.parametrize(("role", "may"), [(Role.ADMIN, ALL), (Role.STAFF, WORK), (Role.USER, VIEW)])
def test_a_role_may_do_exactly_this(role: Role, may: set[str]) -> None:
    assert {permission.value for permission in ROLES[role]} == may


def test_every_role_has_its_permissions_and_an_admin_has_them_all() -> None:
    assert set(ROLES) == set(Role)
    assert ROLES[Role.ADMIN] == set(Permission)
    assert ROLES[Role.ADMIN] > ROLES[Role.STAFF] > ROLES[Role.USER]


def test_a_plain_user_changes_nothing() -> None:
    assert all(permission.value.endswith("_VIEW") for permission in ROLES[Role.USER])
