"""Our client over HTTP with each kind of key, on each database: enrolment, renewal, approval, and what a CA keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from interop.checks import check_certificate, names, public_key
from interop.fixtures import laptop, relying_party
from interop.laptop import Laptop
from interop.openssl import fetch, read_certificate
from interop.programs import run
from interop.server import running_server
from postgres import running_postgres
from regalia.client.files import load_key
from regalia.client.keys import KeyType, can_decrypt, key_text, public_octets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from interop.laptop import Ran
    from interop.openssl import RelyingParty
    from interop.server import Server

__all__ = ["laptop", "relying_party"]

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]

ONE_TIME, QUEUE = "meters", "queue"
DOCUMENT = """\
[validity]
duration = "30d"
[keys]
ed25519 = true
ml-dsa = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
[usage]
extended-key-usage = ["clientAuth"]
"""
SECRETS: dict[str, str] = {}
"""The static challenge of the endpoint with approval, by the server's URL."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Return the URL of an empty database on a server that commits durably, as in production."""
    with running_postgres() as server:
        yield server.create("regalia")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with endpoints for keys that cannot decrypt, on each database."""
    database = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with running_server(tmp_path_factory.mktemp("server"), database) as running:
        running.profile("meter", DOCUMENT)
        running.open(ONE_TIME, "--non-rsa", profile="meter")
        SECRETS[running.device] = running.open_with_secret(QUEUE, "approval", "--non-rsa", profile="meter")
        yield running


def scep(laptop: Laptop, verb: str, endpoint: str, *arguments: str, challenge: str | None = None) -> Ran:
    """Run `regalia scep`; a challenge goes in by standard input."""
    given = ("--challenge-file", "-") if challenge is not None else ()
    url = f"{laptop.server.device}/scep/{endpoint}"
    return laptop.scep(verb, *arguments, *given, stdin=challenge or "", url=url)


def worked(ran: Ran) -> Ran:
    """Expect success."""
    assert ran.code == 0, ran.stderr
    return ran


def failed(ran: Ran, reason: str) -> None:
    """Expect a failure of ours."""
    assert ran.code == 1, ran.stderr
    assert f"Error {reason}: " in ran.stderr


def check(path: Path, kind: KeyType, *, server: Server, relying_party: RelyingParty) -> x509.Certificate:
    """Check a certificate as every live client's is; OpenSSL knows ML-DSA from 3.5 on, and Debian 12 has 3.0."""
    if not kind.startswith("ml-dsa-"):
        return check_certificate(path, server=server, relying_party=relying_party)
    certificate = read_certificate(path)
    assert certificate.public_bytes(Encoding.DER) == server.certificate(certificate.serial_number)
    issuer = x509.load_der_x509_certificate(fetch(f"{server.device}/ca/default-ca-1.cer"))
    certificate.verify_directly_issued_by(issuer)
    assert relying_party.ocsp_status(path) == "good"
    return certificate


def enrol(laptop: Laptop, kind: KeyType, cn: str) -> None:
    """Enrol with a key of this kind."""
    challenge = laptop.server.challenge(cn=cn, dns=f"{cn}.example.com", endpoint=ONE_TIME)
    asked = ("--cn", cn, "--key", "device.key", "--cert", "device.pem", "--key-type", kind)
    worked(scep(laptop, "enrol", ONE_TIME, *asked, challenge=challenge))


@pytest.mark.parametrize("kind", KeyType)
def test_enrols_and_renews(laptop: Laptop, relying_party: RelyingParty, kind: KeyType) -> None:
    """A device with a key of any kind enrols, and renews for a new one of its kind; RSA alone needs no challenge then.

    Chain, CRL and OCSP hold for both certificates, and the names stay.
    """
    server, cn = laptop.server, f"life-{kind}"
    enrol(laptop, kind, cn)
    certificate = check(laptop.certificate, kind, server=server, relying_party=relying_party)
    assert names(certificate) == (f"CN={cn}", [f"{cn}.example.com"])
    key = load_key(laptop.directory / "device.key")
    assert key_text(key).lower() == kind
    assert public_key(certificate) == public_octets(key)

    files = ("--key", "device.key", "--cert", "device.pem", "--new-key", "new.key", "--new-cert", "new.pem")
    fresh = None
    if not can_decrypt(key):
        failed(scep(laptop, "renew", ONE_TIME, *files, "--key-type", kind), "CLI-010")
        assert "new.key" not in laptop.files()
        fresh = server.challenge(cn=cn, dns=f"{cn}.example.com", endpoint=ONE_TIME)
    worked(scep(laptop, "renew", ONE_TIME, *files, "--key-type", kind, challenge=fresh))
    renewed = check(laptop.directory / "new.pem", kind, server=server, relying_party=relying_party)
    assert names(renewed) == names(certificate)
    assert public_key(renewed) == public_octets(load_key(laptop.directory / "new.key")) != public_key(certificate)


@pytest.mark.parametrize("kind", [KeyType.P_384, KeyType.ML_DSA_87])
def test_waits_for_approval(laptop: Laptop, relying_party: RelyingParty, kind: KeyType) -> None:
    """A held request of a key that only signs is collected by a poll, which the challenge of the request opens."""
    server, cn = laptop.server, f"held-{kind}"
    secret = SECRETS[server.device]
    files = ("--key", "device.key", "--cert", "device.pem")
    held = scep(laptop, "enrol", QUEUE, "--cn", cn, *files, "--key-type", kind, challenge=secret)
    failed(held, "CLI-008")
    transaction = re.search(r"sending the request, transaction ([0-9a-f]+)", held.stderr)
    assert transaction is not None
    pending = scep(laptop, "poll", QUEUE, "--cert", "device.pem", challenge=secret)
    failed(pending, "CLI-008")
    server.approve(transaction[1])
    failed(scep(laptop, "poll", QUEUE, "--cert", "device.pem"), "CLI-010")
    worked(scep(laptop, "poll", QUEUE, "--cert", "device.pem", challenge=secret))
    certificate = check(laptop.certificate, kind, server=server, relying_party=relying_party)
    assert certificate.subject.rfc4514_string() == f"CN={cn}"
    kept = [path.name for path in laptop.directory.iterdir() if secret in path.read_text(encoding="utf-8")]
    assert kept == []


def test_what_the_ca_keeps(laptop: Laptop, relying_party: RelyingParty, tmp_path: Path) -> None:
    """A device fetches its certificate and the CRL by SCEP; OpenSSL verifies the CRL, and nobody gets another's."""
    server = laptop.server
    neighbour = Laptop(tmp_path / "neighbour", server)
    neighbour.directory.mkdir()
    enrol(neighbour, KeyType.RSA_2048, "neighbour")
    enrol(laptop, KeyType.RSA_2048, "kept")
    certificate = check_certificate(laptop.certificate, server=server, relying_party=relying_party)
    own = ("--cert", "device.pem", "--key", "device.key")
    worked(scep(laptop, "getcert", ONE_TIME, *own, "--out", "again.pem"))
    assert read_certificate(laptop.directory / "again.pem") == certificate

    worked(scep(laptop, "getcrl", ONE_TIME, *own, "--out", "ca.crl", "--format", "der"))
    crl = x509.load_der_x509_crl((laptop.directory / "ca.crl").read_bytes())
    assert crl.issuer == certificate.issuer
    issuer = laptop.directory / "issuer.pem"
    worked(scep(laptop, "cacert", ONE_TIME, "--out", str(issuer)))
    verified = ("openssl", "crl", "-inform", "DER", "-in", laptop.directory / "ca.crl", "-noout", "-CAfile", issuer)
    run(*verified)

    other = x509.load_pem_x509_certificate(neighbour.certificate.read_bytes()).serial_number
    for serial in (f"{other:x}", "1234"):
        refused = scep(laptop, "getcert", ONE_TIME, *own, "--serial", serial)
        failed(refused, "CLI-007")
        assert "bad cert id" in refused.stderr


def test_keys_that_only_sign_fetch_nothing(laptop: Laptop) -> None:
    """GetCert and GetCRL carry no challenge, so nothing is sent for a key that cannot decrypt."""
    enrol(laptop, KeyType.ED25519, "asks")
    for verb in ("getcert", "getcrl"):
        failed(scep(laptop, verb, ONE_TIME, "--cert", "device.pem", "--key", "device.key"), "CLI-010")


def test_other_endpoints_take_rsa_alone(laptop: Laptop) -> None:
    """Without its switch an endpoint refuses a key that cannot decrypt, as bad alg, and nothing is issued (R1)."""
    server = laptop.server
    before = server.issued()
    challenge = server.challenge(cn="not-here")
    asked = ("--cn", "not-here", "--key", "device.key", "--cert", "device.pem", "--key-type", KeyType.P_256)
    refused = scep(laptop, "enrol", "default", *asked, challenge=challenge)
    failed(refused, "CLI-007")
    assert "bad alg" in refused.stderr
    assert server.issued() == before
