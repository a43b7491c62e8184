"""Names by which only programs of this machine come: nobody else can give them to themselves. Pure."""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[0-9a-z.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://(?P<host>[^/]+)", re.IGNORECASE)


def is_loopback_host(host: str) -> bool:
    """Whether a Host header names this machine itself. A name that a web page's owner points here does not."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["ipv6"] or match["name"]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_origin(origin: str) -> bool:
    """Whether an Origin header is of a page that this machine serves; "null" may be anybody's file or sandbox."""
    match = _ORIGIN.fullmatch(origin)
    return match is not None and is_loopback_host(match["host"])
