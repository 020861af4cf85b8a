"""Live clients at an endpoint with a static challenge: the server names the certificate, whatever they ask for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from interop.certmonger import running_certmonger
from interop.checks import check_certificate, public_key
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]
ENDPOINT = "printers"
ASKED = "domain-controller"


@pytest.fixture(scope="module")
def secret(server: Server) -> str:
    """The static challenge of an endpoint."""
    return server.open_with_secret(ENDPOINT, "static")


def _is_named_by_the_server(certificate: x509.Certificate) -> None:
    """Check R5.4's name, made from the key, and that there is no other."""
    digest = hashlib.sha256(public_key(certificate)).hexdigest()
    assert certificate.subject.rfc4514_string() == f"CN=d-{digest[:20]}"
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.live_client("certmonger")
def test_certmonger_takes_the_servers_name(
    server: Server, relying_party: RelyingParty, secret: str, tmp_path: Path
) -> None:
    """A device with certmonger keeps and renews a certificate with a name that it did not ask for (R5.4, R5.5)."""
    directory = tmp_path / "device"
    directory.mkdir()
    with running_certmonger(directory) as device:
        device.add_ca(f"{server.device}/scep/{ENDPOINT}")
        path = device.enrol(cn=ASKED, dns=f"{ASKED}.example.com", challenge=secret)
        first = check_certificate(path, server=server, relying_party=relying_party)
        _is_named_by_the_server(first)
        # It repeats the challenge that it enrolled with (R4).
        second = check_certificate(device.renew(), server=server, relying_party=relying_party)
    assert second.subject == first.subject
    assert second.serial_number != first.serial_number


@pytest.mark.live_client("strongswan")
def test_strongswan_takes_the_servers_name(
    server: Server, relying_party: RelyingParty, secret: str, tmp_path: Path
) -> None:
    """A device with strongSwan takes and renews a certificate with a name that it did not ask for (R5.4, R5.5)."""
    device = StrongSwan(tmp_path, f"{server.device}/scep/{ENDPOINT}")
    device.fetch_ca()
    key = device.new_key("key")
    path = device.enrol(key, cn=ASKED, dns=f"{ASKED}.example.com", challenge=secret)
    first = check_certificate(path, server=server, relying_party=relying_party)
    _is_named_by_the_server(first)
    renewed = device.renew(key, cn=ASKED, old_key=key, old=path)
    second = check_certificate(renewed, server=server, relying_party=relying_party)
    assert second.subject == first.subject


@pytest.mark.live_client("strongswan")
def test_two_secrets_are_good_while_one_is_rotated(server: Server, secret: str, tmp_path: Path) -> None:
    """After a rotation devices with the former challenge and with the new one enrol (CHA-2)."""
    new = server.rotate(ENDPOINT)
    device = StrongSwan(tmp_path, f"{server.device}/scep/{ENDPOINT}")
    device.fetch_ca()
    for number, challenge in enumerate((secret, new)):
        key = device.new_key(f"key-{number}")
        assert device.enrol(key, cn=ASKED, dns=f"{ASKED}.example.com", challenge=challenge).exists()
