"""Which addresses a webhook may reach: the table of the security reference, and what an administrator allows."""

from ipaddress import ip_address

import pytest

from airfreight.domain.addresses import all_allowed, is_allowed, is_public, read_address, read_networks

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254",
    "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1",
    "fd00::1", "fdff::1", "fe80::1", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "fd00:ec2::254",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
    "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not_on_the_internet_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not is_allowed(ip_address(text), ())


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_on_the_internet_is_allowed(text: str) -> None:
    assert is_public(ip_address(text))


def test_the_neighbours_that_are_allowed_are_those_in_the_networks() -> None:
    networks = read_networks("10.1.0.0/16, fd12::/32 127.0.0.1")
    for text in ("10.1.2.3", "fd12::1", "127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::a01:203"):
        assert is_allowed(ip_address(text), networks), text
    for text in ("10.2.0.1", "fd13::1", "127.0.0.2", "169.254.169.254", "::1"):
        assert not is_allowed(ip_address(text), networks), text


def test_one_bad_address_among_good_ones_spoils_them_all() -> None:
    good, bad = ip_address("1.1.1.1"), ip_address("127.0.0.1")
    assert all_allowed([good, good], ())
    assert not all_allowed([good, bad], ())
    assert not all_allowed([], ())


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33", "127.1", "0x7f000001", "1.2.3.4-5"])
def test_networks_are_written_exactly(text: str) -> None:
    with pytest.raises(ValueError, match=r"network|address|host bits"):
        read_networks(text)


@pytest.mark.parametrize(
    "text", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3", "fe80::1%lo", ""]
)
def test_only_whole_addresses_are_addresses(text: str) -> None:
    assert read_address(text) is None
