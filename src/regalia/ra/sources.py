"""Whom a limit counts: a peer by its address, or by the network that one holder of IPv6 has (RES-6)."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

__all__ = ["source_of"]

_IPV6_HOLDER_BITS = 64
"""The least that a provider gives to one customer, who can use any address of it."""


@lru_cache(maxsize=1024)
def source_of(address: str) -> str:
    """Name whom a peer counts for: an IPv4 address, or the /64 of an IPv6 one; what is no address, as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed, _IPV6_HOLDER_BITS), strict=False))
