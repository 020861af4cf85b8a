"""Which addresses may be called, and what a setting can open (SSRF-2)."""

from __future__ import annotations

import ipaddress

import pytest

from regalia.net.addresses import Opened, never, special

PRIVATE = [
    "0.0.0.0",  # noqa: S104 - an address to refuse, nothing is bound
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.9.9.9",
    "169.254.169.254",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001:0:1::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_public_is_special(text: str) -> None:
    """SSRF-2: each special-purpose address is told from a public one, also IPv4 in IPv6's clothes."""
    assert special(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "9.9.9.9", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_not_special(text: str) -> None:
    """A public address of one host is called."""
    assert not special(ipaddress.ip_address(text))
    assert not never(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "fe80::1", "::ffff:10.0.0.1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200"]
)
def test_link_local_and_metadata_addresses_are_never_called(text: str) -> None:
    """SSRF-2: no setting opens link-local addresses, clouds' metadata, or IPv4 in IPv6's clothes."""
    assert never(ipaddress.ip_address(text))
    shown = f"[{text}]" if ":" in text else text
    with pytest.raises(ValueError, match="never called"):
        Opened.parse(f"{shown}:443")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10.0.0.0/8", "is not ADDRESS"),
        ("10.0.0.0/8:0", "no usable port"),
        ("10.0.0.0/8:70000", "no usable port"),
        ("10.0.0.1/8:443", "host bits"),
        ("0.0.0.0/0:443", "never called"),
        ("[::]/0:443", "never called"),
        ("169.0.0.0/8:443", "never called"),
        ("[fd00::]/8:443", "never called"),
        ("127.0.0.0/8:443", "not a network"),
        ("intranet:443", "is not ADDRESS"),
        ("ftp://10.0.0.1:21", "is not ADDRESS"),
    ],
)
def test_what_cannot_be_opened(text: str, why: str) -> None:
    """SSRF-2: an opened place is a network and a port; everything, or what is never called, is none."""
    with pytest.raises(ValueError, match=why):
        Opened.parse(text)


@pytest.mark.parametrize(
    "text", ["10.1.0.0/16:443", "http://10.1.2.3:8080", "[fd12:1::]/48:8443", "127.0.0.1:9443", "[::1]:9443"]
)
def test_an_opened_place_reads_as_it_was_written(text: str) -> None:
    """What is opened is shown as it was written, and covers its own network, port and scheme alone."""
    opened = Opened.parse(text)
    assert str(opened) == text
    address = opened.network.network_address
    assert opened.covers(opened.scheme, address, opened.port)
    assert not opened.covers(opened.scheme, address, opened.port + 1)
    assert not opened.covers("http" if opened.scheme == "https" else "https", address, opened.port)
    assert not opened.covers(opened.scheme, ipaddress.ip_address("1.1.1.1"), opened.port)
