"""Whom a limit counts."""

from __future__ import annotations

import pytest

from regalia.ra.sources import source_of


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_an_ipv6_source_is_its_network(address: str, source: str) -> None:
    """RES-6: whoever has an IPv6 address has 2^64 of them, so limits count the /64."""
    assert source_of(address) == source
