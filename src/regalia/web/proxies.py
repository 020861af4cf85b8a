"""Who asks, where a reverse proxy stands in front (WEB-9, RES-6).

A proxy that the configuration names says in one header which address it was asked from; everybody else's headers of
that kind are nothing. What devices write into such a header themselves stands to the left of what the proxy adds, and
is never read.
"""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import Scope

__all__ = ["Network", "ProxyHeader", "TrustedProxies"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_log = structlog.get_logger("regalia.web")

_LOG_SECONDS: Final = 60.0
_NO_PORT: Final = 0
_SCHEMES: Final = frozenset({"http", "https"})
_PORT: Final = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
"""What proxies write beside an address: a port, and brackets around IPv6 (RFC 7239 §6)."""


class ProxyHeader(StrEnum):
    """The header that trusted proxies use; the other one is never read."""

    X_FORWARDED_FOR = "x-forwarded-for"
    """With X-Forwarded-Proto for the scheme."""
    FORWARDED = "forwarded"
    """RFC 7239, with its own `proto`."""


class _UnreadableError(Exception):
    """A trusted proxy said something that is no address or no scheme."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The peers whose word counts, and the header that it stands in. None by default."""

    networks: Sequence[Network] = ()
    header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR
    clock: Callable[[], float] = time.monotonic
    _said: dict[str, float] = field(default_factory=dict, repr=False)
    """When the log last told of a proxy that cannot be understood."""

    def trusts(self, address: str) -> bool:
        """Whether a peer with this address is one of the proxies."""
        return bool(self.networks) and _is_within(address, tuple(self.networks))

    def apply(self, scope: Scope) -> None:
        """Put the client's address and scheme in the place of a trusted proxy's. Never raises.

        Where the proxy says nothing, or nothing that can be understood, its own address stands: a limit then counts
        the proxy rather than nobody, and the log says so once a minute.
        """
        if not self.networks:
            return
        client = scope.get("client")
        if not client or not self.trusts(client[0]):
            return
        try:
            address, scheme = self._client(scope)
        except _UnreadableError as unreadable:
            self._tell(client[0], str(unreadable))
            return
        if address:
            scope["client"] = (address, _NO_PORT)
        if scheme:
            scope["scheme"] = scheme

    def _client(self, scope: Scope) -> tuple[str, str]:
        """Walk from the nearest proxy's word to the first address that is no proxy; empty where nothing is said.

        Where all are proxies, the farthest is who asked: one of them, or somebody in their network.
        """
        address = scheme = ""
        if self.header is ProxyHeader.X_FORWARDED_FOR:
            # The nearest proxy's word is the last one; those before it may be a device's own.
            for last in _from_the_end(_field(scope, b"x-forwarded-proto")):
                scheme = _scheme(last)
                break
            for written in _from_the_end(_field(scope, b"x-forwarded-for")):
                address = _address(written)
                if not self.trusts(address):
                    break
            return address, scheme
        for element in _elements(_field(scope, b"forwarded")):
            address = _address(element.get("for", ""))
            scheme = _scheme(element["proto"]) if "proto" in element else ""
            if not self.trusts(address):
                break
        return address, scheme

    def _tell(self, proxy: str, why: str) -> None:
        now = self.clock()
        if now - self._said.get(proxy, -_LOG_SECONDS) >= _LOG_SECONDS:
            self._said[proxy] = now
            _log.warning("proxy-not-understood", proxy=proxy, header=self.header.value, detail=why)


def _field(scope: Scope, name: bytes) -> str:
    """Join the values of a field, which may stand there several times, in order (RFC 9110 §5.3)."""
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _from_the_end(value: str) -> Iterator[str]:
    """Go through a list that is separated by commas, the last first."""
    while value:
        value, _, last = value.rpartition(",")
        if last.strip(" \t"):
            yield last.strip(" \t")


def _scheme(text: str) -> str:
    if text.lower() not in _SCHEMES:
        raise _UnreadableError(f"{text[:40]!a} is no scheme")
    return text.lower()


@lru_cache(maxsize=1024)
def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = _plain(ipaddress.ip_address(address))
    except ValueError:
        return False
    return any(parsed in network for network in networks if network.version == parsed.version)


def _address(text: str) -> str:
    """Read an address, with a port or not; IPv4 inside IPv6 as IPv4. Raises `_UnreadableError`."""
    match = _PORT.fullmatch(text)
    try:
        parsed = ipaddress.ip_address((match[1] or match[2]) if match is not None else text)
    except ValueError:
        raise _UnreadableError(f"{text[:60]!a} is no address") from None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
        raise _UnreadableError(f"{text[:60]!a} has a zone, which means nothing here")
    return str(_plain(parsed))


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else address


# --- RFC 7239 ---------------------------------------------------------------------------------------------------------

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a word of HTTP's grammar (RFC 9110 §5.6.2)
_PAIR: Final = re.compile(rf'[ \t]*({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")[ \t]*')
_ESCAPED: Final = re.compile(r"\\(.)")


def _elements(value: str) -> Iterator[dict[str, str]]:
    """Go through the elements of Forwarded, the last first.

    A device can write what it likes before what the proxies add, an open quotation mark among it: so the text is taken
    apart from the right, where the proxies' own elements are. Raises `_UnreadableError` at the first that breaks the
    grammar, if anybody asks for that many.
    """
    while value.strip(" \t,"):
        value, element = _last_element(value.rstrip(" \t,"))
        yield element


def _last_element(text: str) -> tuple[str, dict[str, str]]:
    """Split off the last element: the shortest text after a comma that is one, for a quoted comma is none."""
    comma = len(text)
    while comma >= 0:
        comma = text.rfind(",", 0, comma)
        element = _pairs(text[comma + 1 :])
        if element is not None:
            return text[: max(comma, 0)], element
    raise _UnreadableError(f"{text[-60:]!a} does not end with an element of RFC 7239")


def _pairs(text: str) -> dict[str, str] | None:
    """Read one element's pairs; None where it is not made of pairs. A name that stands twice is the first (§4)."""
    pairs: dict[str, str] = {}
    at = 0
    while True:
        match = _PAIR.match(text, at)
        if match is None:
            return None
        name, token, quoted = match.groups()
        pairs.setdefault(name.lower(), token if token is not None else _ESCAPED.sub(r"\1", quoted))
        at = match.end()
        if at == len(text):
            return pairs
        if text[at] != ";":
            return None
        at += 1
