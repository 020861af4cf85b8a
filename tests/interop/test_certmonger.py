"""certmonger enrols and renews, over GET."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.certmonger import Certmonger, running_certmonger
from interop.checks import check_certificate, check_revocation, names, public_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [
    pytest.mark.live_client("certmonger"),
    pytest.mark.live_client("openssl"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def certmonger(server: Server, tmp_path: Path) -> Iterator[Certmonger]:
    """A device that knows the server."""
    directory = tmp_path / "device"
    directory.mkdir()
    with running_certmonger(directory) as device:
        device.add_ca(server.scep)
        yield device


def _enrol(device: Certmonger, server: Server, name: str) -> Path:
    challenge = server.challenge(cn=name, dns=f"{name}.example.com")
    return device.enrol(cn=name, dns=f"{name}.example.com", challenge=challenge)


def test_enrols(certmonger: Certmonger, server: Server, relying_party: RelyingParty) -> None:
    """A device with certmonger enrols; its file is what the store has, and OpenSSL accepts it until revoked."""
    path = _enrol(certmonger, server, "cm-first")
    certificate = check_certificate(path, server=server, relying_party=relying_party)
    assert names(certificate) == ("CN=cm-first", ["cm-first.example.com"])
    check_revocation(path, server=server, relying_party=relying_party)


def test_renews_with_the_same_key(certmonger: Certmonger, server: Server, relying_party: RelyingParty) -> None:
    """A resubmit by certmonger renews the key's certificate; it sends the spent challenge again (R4)."""
    first = check_certificate(_enrol(certmonger, server, "cm-same"), server=server, relying_party=relying_party)
    path = certmonger.renew()
    second = check_certificate(path, server=server, relying_party=relying_party)
    assert second.serial_number != first.serial_number
    assert (public_key(second), names(second)) == (public_key(first), names(first))
    check_revocation(path, server=server, relying_party=relying_party)


def test_renews_with_a_new_key(certmonger: Certmonger, server: Server, relying_party: RelyingParty) -> None:
    """A rekey by certmonger renews with another key, signed with the old certificate, and keeps the names (R5.3)."""
    first = check_certificate(_enrol(certmonger, server, "cm-new"), server=server, relying_party=relying_party)
    path = certmonger.renew_with_a_new_key()
    second = check_certificate(path, server=server, relying_party=relying_party)
    assert public_key(second) != public_key(first)
    assert names(second) == names(first)
    check_revocation(path, server=server, relying_party=relying_party)
