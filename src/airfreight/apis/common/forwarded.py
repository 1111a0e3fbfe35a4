"""What a reverse proxy says of the request it passes on: believed only when it is one of the configured ones."""

import re
from ipaddress import ip_address

from airfreight.apis.common.asgi import Scope, header
from airfreight.settings import Settings

_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_SCHEMES = {"http": "80", "https": "443"}


def is_trusted(scope: Scope, settings: Settings) -> bool:
    """Whether the request comes from one of `trusted_proxies`."""
    client = scope.get("client")
    if not settings.proxy_networks or not client:
        return False
    try:
        address = ip_address(client[0])
    except ValueError:
        return False
    return any(address in network for network in settings.proxy_networks)


def base_of(scope: Scope, settings: Settings) -> str:
    """Scheme, host and port of this server as the client sees it: the start of URLs that it is given.

    `public_url` where there is one; else what a trusted proxy says (`X-Forwarded-Proto`, `-Host`, `-Port`); else the
    request's own Host.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    scheme, host = scope["scheme"], header(scope, b"host") or "localhost"
    return _as_forwarded(scope, scheme, host) if is_trusted(scope, settings) else f"{scheme}://{host}"


def _as_forwarded(scope: Scope, scheme: str, host: str) -> str:
    said = _first(scope, b"x-forwarded-proto").lower()
    scheme = said if said in _SCHEMES else scheme
    found = _HOST.fullmatch(_first(scope, b"x-forwarded-host")) or _HOST.fullmatch(host)
    if found is None:
        return f"{scheme}://{host}"
    port = _first(scope, b"x-forwarded-port")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        port = found[2] or ""
    return f"{scheme}://{found[1]}" + (f":{port}" if port and port != _SCHEMES[scheme] else "")


def _first(scope: Scope, name: bytes) -> str:
    """Of a list, what the proxy nearest to the client said."""
    return (header(scope, name) or "").partition(",")[0].strip()
