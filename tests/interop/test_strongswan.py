"""strongSwan's pki enrols and renews, over POST, with RenewalReq."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.checks import check_certificate, check_revocation, names, public_key
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [
    pytest.mark.live_client("strongswan"),
    pytest.mark.live_client("openssl"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def strongswan(server: Server, tmp_path: Path) -> StrongSwan:
    """A device that has the CA's certificates."""
    directory = tmp_path / "device"
    directory.mkdir()
    device = StrongSwan(directory, server.scep)
    device.fetch_ca()
    return device


def _enrol(device: StrongSwan, key: Path, server: Server, name: str) -> Path:
    challenge = server.challenge(cn=name, dns=f"{name}.example.com")
    return device.enrol(key, cn=name, dns=f"{name}.example.com", challenge=challenge)


def test_enrols(strongswan: StrongSwan, server: Server, relying_party: RelyingParty) -> None:
    """A device with strongSwan enrols; its file is what the store has, and OpenSSL accepts it until revoked."""
    path = _enrol(strongswan, strongswan.new_key("key"), server, "ss-first")
    certificate = check_certificate(path, server=server, relying_party=relying_party)
    assert names(certificate) == ("CN=ss-first", ["ss-first.example.com"])
    check_revocation(path, server=server, relying_party=relying_party)


def test_renews_with_the_same_key(strongswan: StrongSwan, server: Server, relying_party: RelyingParty) -> None:
    """A device with strongSwan renews under the same transactionID (R3), asking for no SAN (R5.3)."""
    key = strongswan.new_key("key")
    old = _enrol(strongswan, key, server, "ss-same")
    first = check_certificate(old, server=server, relying_party=relying_party)
    path = strongswan.renew(key, cn="ss-same", old_key=key, old=old)
    second = check_certificate(path, server=server, relying_party=relying_party)
    assert second.serial_number != first.serial_number
    assert (public_key(second), names(second)) == (public_key(first), names(first))
    check_revocation(path, server=server, relying_party=relying_party)


def test_renews_with_a_new_key(strongswan: StrongSwan, server: Server, relying_party: RelyingParty) -> None:
    """A device with strongSwan renews with another key, signed with the old certificate, and keeps its names."""
    key, new = strongswan.new_key("key"), strongswan.new_key("new")
    old = _enrol(strongswan, key, server, "ss-new")
    first = check_certificate(old, server=server, relying_party=relying_party)
    path = strongswan.renew(new, cn="ss-new", old_key=key, old=old)
    second = check_certificate(path, server=server, relying_party=relying_party)
    assert public_key(second) != public_key(first)
    assert names(second) == names(first)
    check_revocation(path, server=server, relying_party=relying_party)
