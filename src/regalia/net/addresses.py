"""Which addresses may be called: public ones, and what an administrator of this machine opened (SSRF-2)."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

__all__ = ["IpAddress", "Opened", "is_ours", "never", "special"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_SPECIAL_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
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
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""IANA IPv4 special-purpose registry, and multicast."""
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
"""All that is assigned as global unicast: mapped, NAT64, local, link-local and multicast addresses lie outside."""
_SPECIAL_6: Final = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)
"""IANA IPv6 special-purpose registry within it: Teredo and 6to4, which carry an IPv4 address, are among them."""

_NEVER: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "100.100.100.200/32",
            "192.0.0.192/32",
            "::/128",
            "::ffff:0:0/96",
            "::ffff:0:0:0/96",
            "64:ff9b::/96",
            "64:ff9b:1::/48",
            "2001::/32",
            "2002::/16",
            "fd00:ec2::254/128",
            "fd20:ce::254/128",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
        ),
    )
)
"""Not to be opened: no host, link-local and so the metadata of clouds, multicast, IPv4 in IPv6's clothes."""
_ANY_PORT: Final = 9
_ENTRY: Final = re.compile(r"(?:(https?)://)?(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?:/([0-9]{1,3}))?:([0-9]{1,5})")


def special(address: IpAddress) -> bool:
    """Whether it is anything but a public address of one host."""
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in _SPECIAL_4)
    return address.scope_id is not None or address not in _GLOBAL_6 or any(address in network for network in _SPECIAL_6)


def never(address: IpAddress) -> bool:
    """Whether no setting opens it."""
    scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    return scoped or any(address in network for network in _NEVER if network.version == address.version)


def is_ours(address: IpAddress) -> bool:
    """Whether this machine has the address: what it sends there, it sends from there. Nothing is sent to find out.

    That a socket can be bound to it would prove nothing: nodes with a floating address may bind to any.
    """
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _ANY_PORT))
            return ipaddress.ip_address(probe.getsockname()[0]) == address
    except OSError:
        # There is no way there, and so it is not here.
        return False


def _overlap(one: IpNetwork, other: IpNetwork) -> bool:
    return one.version == other.version and (one.network_address in other or other.network_address in one)


@dataclass(frozen=True, slots=True)
class Opened:
    """A network and port that may be called although it is private, or over plain HTTP."""

    network: IpNetwork
    port: int
    scheme: str = "https"

    def __str__(self) -> str:
        host = f"[{self.network.network_address}]" if self.network.version == 6 else str(self.network.network_address)
        length = "" if self.network.prefixlen == self.network.max_prefixlen else f"/{self.network.prefixlen}"
        scheme = "" if self.scheme == "https" else f"{self.scheme}://"
        return f"{scheme}{host}{length}:{self.port}"

    def covers(self, scheme: str, address: IpAddress, port: int) -> bool:
        """Whether it opens this address, here."""
        same = scheme == self.scheme and port == self.port and address.version == self.network.version
        return same and address in self.network

    @property
    def is_one(self) -> bool:
        """Whether it is a single address."""
        return self.network.prefixlen == self.network.max_prefixlen

    @classmethod
    def parse(cls, text: str) -> Opened:
        """Read `10.1.0.0/16:443`, `[fd12::]/48:443`, `http://10.1.2.3:8080`. Raises ValueError.

        A loopback address is opened alone or not at all, and what is never called not even in part.
        """
        found = _ENTRY.fullmatch(text)
        if found is None:
            msg = f"{text!r} is not ADDRESS[/LENGTH]:PORT, with http:// before it where it is to be plain HTTP"
            raise ValueError(msg)
        scheme, host, port = found[1] or "https", found[2] or found[3], int(found[5])
        network = ipaddress.ip_network(f"{host}/{found[4]}" if found[4] else host)
        if not 0 < port <= 0xFFFF:
            msg = f"{text!r} has no usable port"
            raise ValueError(msg)
        if any(_overlap(network, closed) for closed in _NEVER):
            msg = f"{text!r} holds addresses that are never called, such as link-local ones"
            raise ValueError(msg)
        if network.is_loopback and network.prefixlen != network.max_prefixlen:
            msg = f"{text!r}: of this machine itself one address and port is opened, not a network"
            raise ValueError(msg)
        return cls(network, port, scheme)
