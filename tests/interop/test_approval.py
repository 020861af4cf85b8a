"""Live clients at an endpoint whose requests wait for an administrator, each told PENDING in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from interop.certmonger import Certmonger, running_certmonger
from interop.checks import check_certificate, names
from interop.programs import wait_for
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]
PENDING_SECONDS = 60
ENDPOINT = "tablets"


@pytest.fixture(scope="module")
def secret(server: Server) -> str:
    """The static challenge of an endpoint with approval."""
    return server.open_with_secret(ENDPOINT, "approval")


@pytest.fixture
def certmonger(server: Server, tmp_path: Path) -> Iterator[Certmonger]:
    """A device that knows the endpoint."""
    directory = tmp_path / "device"
    directory.mkdir()
    with running_certmonger(directory) as device:
        device.add_ca(f"{server.device}/scep/{ENDPOINT}")
        yield device


@pytest.fixture
def strongswan(server: Server, tmp_path: Path) -> StrongSwan:
    """A device that has the CA's certificates."""
    directory = tmp_path / "device"
    directory.mkdir()
    device = StrongSwan(directory, f"{server.device}/scep/{ENDPOINT}")
    device.fetch_ca()
    return device


def _held(server: Server, cn: str) -> dict[str, Any]:
    """Wait until the request for this name is in the queue."""

    def look() -> dict[str, Any] | None:
        return next((one for one in server.pending(ENDPOINT) if f"cn:{cn}" in one["asked"]), None)

    return wait_for(f"the request of {cn}", look, seconds=PENDING_SECONDS)


@pytest.mark.live_client("certmonger")
@pytest.mark.parametrize("verb", ["resubmit", "refresh"])
def test_certmonger_collects(
    certmonger: Certmonger, server: Server, relying_party: RelyingParty, secret: str, verb: str
) -> None:
    """A pending request is CA_WORKING to certmonger; once approved, the stored certificate comes when it asks again.

    It asks with a PKCSReq of the same transactionID and key (R3); `resubmit` makes the request anew for that.
    """
    name = f"cm-{verb}"
    certmonger.request(cn=name, dns=f"{name}.example.com", challenge=secret)
    certmonger.wait_until("CA_WORKING")
    approved = server.approve(_held(server, name)["id"])

    certmonger.ask_again(verb)

    certificate = check_certificate(certmonger.collect(), server=server, relying_party=relying_party)
    assert f"{certificate.serial_number:x}" == approved["certificate"]
    assert names(certificate) == (f"CN={name}", [f"{name}.example.com"])
    assert server.pending(ENDPOINT) == []


@pytest.mark.live_client("certmonger")
def test_certmonger_waits_again_after_a_denial(certmonger: Certmonger, server: Server, secret: str) -> None:
    """A denial is not replayed (R3): the next attempt of certmonger is a new request, which is held again."""
    certmonger.request(cn="cm-denied", dns="cm-denied.example.com", challenge=secret)
    certmonger.wait_until("CA_WORKING")
    held = _held(server, "cm-denied")
    server.deny(held["id"])
    assert server.pending(ENDPOINT) == []

    certmonger.ask_again()

    again = _held(server, "cm-denied")
    assert (again["id"] != held["id"], again["transaction"]) == (True, held["transaction"])
    certmonger.wait_until("CA_WORKING")
    assert not certmonger.certificate.exists()
    assert server.enrolment(held["id"])["reason"] == "RA-017"
    server.deny(again["id"])


@pytest.mark.live_client("strongswan")
def test_strongswan_polls(strongswan: StrongSwan, server: Server, relying_party: RelyingParty, secret: str) -> None:
    """A device with strongSwan polls and gets the certificate that was approved meanwhile; its renewal is not held."""
    key = strongswan.new_key("key")
    with strongswan.enrolling(key, cn="ss-polls", dns="ss-polls.example.com", challenge=secret) as polling:
        approved = server.approve(_held(server, "ss-polls")["transaction"])
        code, said = polling.ended()
    assert code == 0, said
    assert "SCEP request pending, polling every 1 seconds" in said
    certificate = check_certificate(polling.path, server=server, relying_party=relying_party)
    assert f"{certificate.serial_number:x}" == approved["certificate"]
    assert names(certificate) == ("CN=ss-polls", ["ss-polls.example.com"])

    renewed = strongswan.renew(key, cn="ss-polls", old_key=key, old=polling.path)
    assert names(check_certificate(renewed, server=server, relying_party=relying_party)) == names(certificate)


@pytest.mark.live_client("strongswan")
def test_strongswan_learns_of_a_denial(strongswan: StrongSwan, server: Server, secret: str) -> None:
    """The next poll of strongSwan after a denial is refused as badRequest, and it ends."""
    key = strongswan.new_key("key")
    with strongswan.enrolling(key, cn="ss-denied", dns="ss-denied.example.com", challenge=secret) as polling:
        server.deny(_held(server, "ss-denied")["id"])
        code, said = polling.ended()
    assert code != 0
    assert "failInfo:     badRequest" in said, said
    assert polling.path.read_bytes() == b""


@pytest.mark.live_client("strongswan")
def test_strongswan_gives_up(strongswan: StrongSwan, server: Server, secret: str) -> None:
    """A device with strongSwan gives up after --maxpolltime; the request waits on, and the same key collects it."""
    key = strongswan.new_key("key")
    asked = {"cn": "ss-late", "dns": "ss-late.example.com", "challenge": secret}
    with strongswan.enrolling(key, **asked, longest=2) as polling:
        code, said = polling.ended()
    assert (code, "maximum poll time reached: 2 seconds" in said) == (1, True), said
    approved = server.approve(_held(server, "ss-late")["id"])
    path = strongswan.enrol(key, **asked)
    assert approved["certificate"] in server.issued()
    assert path.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
