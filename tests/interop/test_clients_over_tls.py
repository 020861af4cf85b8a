"""Live clients at the listener for TLS: what they do over HTTP works there as well, and so does RSASSA-PSS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.certmonger import running_certmonger
from interop.checks import check_certificate, names
from interop.openssl import fetch
from interop.server import free_port, running_server
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def port() -> int:
    """A port for TLS."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Server]:
    """A server that answers over TLS, with a certificate of its own issuing."""
    directory = tmp_path_factory.mktemp("tls")
    with running_server(directory, settings={"REGALIA_SERVER__LISTEN_TLS": f"127.0.0.1:{port}"}) as running:
        yield running


@pytest.fixture(scope="module")
def roots(server: Server) -> Path:
    """Whom the devices trust: the root, and nobody else."""
    file = server.home.parent / "roots.pem"
    file.write_bytes(fetch(f"{server.device}/ca/root.pem"))
    return file


@pytest.mark.live_client("strongswan")
def test_strongswan_over_tls(
    server: Server, relying_party: RelyingParty, port: int, roots: Path, tmp_path: Path
) -> None:
    """R11: a device with strongSwan learns the CA, enrols and renews over https."""
    device = StrongSwan(tmp_path, f"https://127.0.0.1:{port}/scep/default", roots=roots)
    device.fetch_ca()
    key = device.new_key("key")
    challenge = server.challenge(cn="ss-tls", dns="ss-tls.example.com")
    path = device.enrol(key, cn="ss-tls", dns="ss-tls.example.com", challenge=challenge)
    first = check_certificate(path, server=server, relying_party=relying_party)
    renewed = device.renew(key, cn="ss-tls", old_key=key, old=path)
    assert names(check_certificate(renewed, server=server, relying_party=relying_party)) == names(first)


@pytest.mark.live_client("certmonger")
def test_certmonger_over_tls(
    server: Server, relying_party: RelyingParty, port: int, roots: Path, tmp_path: Path
) -> None:
    """R11: a device with certmonger does the same, its messages in URLs of https."""
    with running_certmonger(tmp_path, roots) as device:
        device.add_ca(f"https://127.0.0.1:{port}/scep/default")
        challenge = server.challenge(cn="cm-tls", dns="cm-tls.example.com")
        path = device.enrol(cn="cm-tls", dns="cm-tls.example.com", challenge=challenge)
        first = check_certificate(path, server=server, relying_party=relying_party)
        assert names(check_certificate(device.renew(), server=server, relying_party=relying_party)) == names(first)


@pytest.mark.live_client("strongswan")
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_strongswan_signs_with_pss(server: Server, relying_party: RelyingParty, digest: str, tmp_path: Path) -> None:
    """R1: strongSwan told to sign with RSASSA-PSS, request and message, enrols with each digest of the list."""
    device = StrongSwan(tmp_path, server.scep, ("--rsa-padding", "pss", "--digest", digest))
    device.fetch_ca()
    name = f"ss-pss-{digest}"
    challenge = server.challenge(cn=name, dns=f"{name}.example.com")
    path = device.enrol(device.new_key("key"), cn=name, dns=f"{name}.example.com", challenge=challenge)
    check_certificate(path, server=server, relying_party=relying_party)
