"""Live clients across a rollover: enrolled before it, renewed with what they knew, and again with what they fetched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from interop.certmonger import running_certmonger
from interop.checks import check_certificate, names
from interop.openssl import RelyingParty, read_certificate
from interop.programs import run
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from pathlib import Path

    from interop.server import Server

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]


def regalia(server: Server, *arguments: str) -> dict[str, str]:
    """Run a command of the administrator's that prints one object."""
    ended = server.regalia(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    shown: dict[str, str] = json.loads(ended.stdout)
    return shown


def next_authority(server: Server) -> dict[str, str]:
    """Make the group's next authority."""
    return regalia(server, "ca", "rotate", "default", "--overlap", "never")


def issuer_of(path: Path) -> str:
    """Name the authority that issued a certificate: its common name is `Regalia NAME HASH`."""
    return read_certificate(path).issuer.rfc4514_string().split()[1]


@pytest.mark.live_client("strongswan")
def test_strongswan_moves_over(server: Server, relying_party: RelyingParty, tmp_path: Path) -> None:
    """With strongSwan a device renews by the RA certificate from before the activation, and by the one of today."""
    device = StrongSwan(tmp_path, server.scep)
    device.fetch_ca()
    key = device.new_key("key")
    challenge = server.challenge(cn="ss-rolls", dns="ss-rolls.example.com")
    old = device.enrol(key, cn="ss-rolls", dns="ss-rolls.example.com", challenge=challenge)
    following = next_authority(server)
    # Our own client stands in for those that ask GetNextCACert: neither of these two does.
    told = server.regalia("scep", "nextca", "--url", server.scep, "--json")
    assert [row["sha256"] for row in json.loads(told.stdout) if row["role"] == "next CA"] == [following["sha256"]]
    server.activate(following["name"])
    moved = device.renew(key, cn="ss-rolls", old_key=key, old=old)
    first = check_certificate(moved, server=server, relying_party=relying_party)
    kept = moved.rename(tmp_path / "moved.pem")
    device.fetch_ca()
    newest = device.renew(key, cn="ss-rolls", old_key=key, old=kept)
    second = check_certificate(newest, server=server, relying_party=relying_party)
    assert issuer_of(kept) == issuer_of(newest) == following["name"]
    assert first.serial_number != second.serial_number
    assert names(first) == names(second) == ("CN=ss-rolls", ["ss-rolls.example.com"])
    # The former authority answers for what it issued.
    assert before(relying_party).ocsp_status(old) == "good"
    assert before(relying_party).accepts_with_crl(old)


@pytest.mark.live_client("certmonger")
def test_certmonger_moves_over(server: Server, relying_party: RelyingParty, tmp_path: Path) -> None:
    """With certmonger a device renews by what it fetched before the activation, and by GetCACert fetched again."""
    with running_certmonger(tmp_path) as device:
        device.add_ca(server.scep)
        challenge = server.challenge(cn="cm-rolls", dns="cm-rolls.example.com")
        old = device.enrol(cn="cm-rolls", dns="cm-rolls.example.com", challenge=challenge)
        following = next_authority(server)
        server.activate(following["name"])
        moved = device.renew()
        run("getcert", "refresh-ca", "-s", "-c", "regalia", environment=device.environment)
        newest = device.renew()
    first = check_certificate(moved, server=server, relying_party=relying_party)
    second = check_certificate(newest, server=server, relying_party=relying_party)
    assert issuer_of(moved) == issuer_of(newest) == following["name"]
    assert first.serial_number != second.serial_number
    assert names(first) == names(second) == ("CN=cm-rolls", ["cm-rolls.example.com"])
    assert before(relying_party).ocsp_status(old) == "good"


def before(relying_party: RelyingParty) -> RelyingParty:
    """Another party, which fetches another issuer."""
    directory = relying_party.directory / "before"
    directory.mkdir(exist_ok=True)
    return RelyingParty(directory, relying_party.device)
