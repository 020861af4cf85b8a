"""Reading URLs that can mean one thing only."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from regalia.net.addresses import IpAddress

__all__ = ["Url", "is_literal", "read_url"]

_LONGEST_URL: Final = 2_000
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in the parts that matter here."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without its brackets."""
    port: int
    target: str
    """Path and query."""
    authority: str
    """Host and, where it is not the scheme's own, port, as the Host header has them."""


def read_url(text: str, *, longest: int = _LONGEST_URL) -> Url:
    """Read an absolute http or https URL that can mean one thing only.

    Raises `AdminError` ALERT-001: for user and password, fragment, an address that is not in its one usual form
    (decimal, octal, hexadecimal, with a zone), a host that is no DNS name.
    """
    if not 0 < len(text) <= longest or not re.fullmatch(r"[!-~]+", text) or "\\" in text:
        raise _refused(f"a URL has at most {longest} printable ASCII characters")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _refused("the URL cannot be read") from None
    scheme, host = parts.scheme, (parts.hostname or "").lower()
    if scheme not in _PORTS or not host:
        raise _refused("a URL begins with https:// and a host")
    if "@" in parts.netloc or "#" in text or port == 0 or parts.netloc.endswith(":"):
        raise _refused("a URL has no user, no password, no fragment and no empty port")
    literal = _literal(parts.netloc, host)
    shown = f"[{host}]" if literal is not None and ":" in host else host
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = port if port is not None else _PORTS[scheme]
    return Url(scheme, host, given, target, shown if given == _PORTS[scheme] else f"{shown}:{given}")


def _literal(netloc: str, host: str) -> IpAddress | None:
    """Read the host where it is an address; None where it is a name."""
    if netloc.startswith("["):
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            raise _refused("the URL's IPv6 address cannot be read") from None
        if address.scope_id is not None:
            raise _refused("an address with a zone is not called")
        return address
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise _refused("the URL's host is neither a DNS name nor an address")
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    # What ends in a number is an address to every resolver, in many spellings; one of them is enough.
    try:
        return ipaddress.IPv4Address(host)
    except ValueError:
        raise _refused("the URL's address is not written as four decimal numbers") from None


def is_literal(host: str) -> bool:
    """Whether a host that was read is an address, and no name."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _refused(detail: str) -> AdminError:
    return AdminError(reasons.OUTGOING_REFUSED, detail)
