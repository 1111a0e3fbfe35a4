"""Which addresses the server may call when others say where: public ones, and what an administrator allows.

Rule: an address inside another one (IPv4 in IPv6) is judged as the one inside.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL_4 = tuple(
    IPv4Network(one)
    for one in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
"""Source: the IANA IPv4 special-purpose registry (RFC 6890), with multicast, reserved and broadcast in the last."""

_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20"))
"""Source: the IANA IPv6 special-purpose registry; what is outside of 2000::/3 is not global unicast at all."""

_NAT64 = IPv6Network("64:ff9b::/96")
_MAPPED = IPv6Network("::ffff:0:0/96")
_6TO4 = IPv6Network("2002::/16")


def inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4); any other is itself."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is some machine on the internet, and not this one, a neighbour, or a group of them."""
    meant = inner(address)
    if isinstance(meant, IPv4Address):
        return not any(meant in one for one in _SPECIAL_4)
    return meant in _GLOBAL_6 and not any(meant in one for one in _SPECIAL_6)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether the server may connect there: it is public, or in one of the networks that are allowed."""
    meant = inner(address)
    return is_public(address) or any(meant in one for one in allowed if one.version == meant.version)


@lru_cache(maxsize=64)
def read_networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8, fd00::/8` as networks. Raises ValueError for what is none, or has bits behind its length."""
    return tuple(ip_network(word) for word in text.replace(",", " ").split())


def read_address(text: str) -> Address | None:
    """A literal address, without the brackets of a URL and without a zone; None for a name."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def all_allowed(addresses: Iterable[Address], allowed: Sequence[Network]) -> bool:
    """Whether every one is allowed, and there is one."""
    found = list(addresses)
    return bool(found) and all(is_allowed(one, allowed) for one in found)
