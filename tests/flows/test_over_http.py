"""Stories over real HTTP: `regalia scep` as a device runs it, against a running `regalia serve`."""

from __future__ import annotations

import json
import re
import stat
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client.service import fingerprint_of
from interop.checks import check_certificate, check_revocation, names
from interop.fixtures import laptop, relying_party, server
from interop.laptop import Laptop, Ran, root_fingerprint
from interop.openssl import RelyingParty, certificates_in, fetch, read_certificate
from interop.server import Server, free_port
from regalia.app import SystemClock, SystemEntropy
from regalia.client.scep import Capabilities, ScepClient
from regalia.client.scep import Server as ScepServer
from regalia.client.transport import HttpTransport
from world import rsa_key

__all__ = ["laptop", "relying_party", "server"]

pytestmark = pytest.mark.real


def failed(ran: Ran, reason: str, code: int = 1) -> None:
    """Expect a failure with this reason, told on stderr with what to do next."""
    assert ran.code == code, ran.stderr
    assert f"Error {reason}: " in ran.stderr
    assert "Next:" in ran.stderr
    assert ran.stdout == ""


def refusal(server: Server, ran: Ran) -> dict[str, Any]:
    """Return the event of the refusal, found by the transaction that the client told."""
    transaction = re.search(r"transaction ([0-9a-f]{32})$", ran.stderr, re.MULTILINE)
    assert transaction is not None, ran.stderr
    found = [event for event in server.events() if event["transaction"] == transaction[1]]
    assert len(found) == 1
    return found[0]


# --- one device's life ----------------------------------------------------------------------------------------------


def test_the_life_of_a_laptop(laptop: Laptop, relying_party: RelyingParty) -> None:
    """A laptop enrols and renews with a new key; what it holds is the store's; after revocation it cannot renew."""
    server = laptop.server
    (laptop.directory / "challenge").write_text(server.challenge(cn="lap-life", dns="lap-life.example.com") + "\n")
    pin = ("--fingerprint", root_fingerprint(server))
    ended = laptop.enrol("--challenge-file", "challenge", "--dns", "lap-life.example.com", *pin, cn="lap-life")
    assert ended.code == 0, ended.stderr
    certificate = check_certificate(laptop.certificate, server=server, relying_party=relying_party)
    assert names(certificate) == ("CN=lap-life", ["lap-life.example.com"])

    new = ("--new-key", "new.key", "--new-cert", "new.pem")
    ended = laptop.scep("renew", "--key", "device.key", "--cert", "device.pem", *new, *pin)
    assert ended.code == 0, ended.stderr
    renewed = check_certificate(laptop.directory / "new.pem", server=server, relying_party=relying_party)
    assert names(renewed) == names(certificate)
    assert renewed.public_key() != certificate.public_key()

    check_revocation(laptop.directory / "new.pem", server=server, relying_party=relying_party)
    ended = laptop.scep("renew", "--key", "new.key", "--cert", "new.pem", *pin)
    failed(ended, "CLI-007")
    assert refusal(server, ended)["reason"] == "SCEP-044"
    assert read_certificate(laptop.directory / "new.pem") == renewed


def test_a_key_is_made_and_kept_private(laptop: Laptop) -> None:
    """Enrolment makes an RSA-2048 key that only its owner may read, and a renewal in place keeps it."""
    laptop.enrolled("lap-key")
    before, key = laptop.certificate.read_bytes(), (laptop.directory / "device.key").read_bytes()
    assert stat.S_IMODE((laptop.directory / "device.key").stat().st_mode) == 0o600
    ended = laptop.scep("renew", "--key", "device.key", "--cert", "device.pem")
    assert ended.code == 0, ended.stderr
    assert laptop.certificate.read_bytes() != before
    assert (laptop.directory / "device.key").read_bytes() == key
    assert laptop.files() == ["device.key", "device.pem"]


def test_key_types(laptop: Laptop) -> None:
    """A larger key is made where it is asked for, and an unknown kind refused before anything is sent (ADM-018)."""
    failed(laptop.enrol("--challenge-file", "-", "--key-type", "rsa-1024", stdin="x"), "ADM-018", 2)
    assert laptop.files() == []
    challenge = laptop.server.challenge(cn="lap-3072")
    assert laptop.enrol("--challenge-file", "-", "--key-type", "rsa-3072", cn="lap-3072", stdin=challenge).code == 0
    assert read_certificate(laptop.certificate).public_key().key_size == 3072  # type: ignore[union-attr] # it is RSA


def test_messages_by_get(laptop: Laptop) -> None:
    """A client that was not told of POST enrols by GET, with the message in the URL (scep.md §1.1)."""
    challenge = laptop.server.challenge(cn="lap-get")
    with HttpTransport() as transport:
        client = ScepClient(laptop.server.scep, transport, SystemClock(), SystemEntropy(), pause=lambda _: None)
        told = ScepServer(Capabilities(frozenset({"AES", "SHA-256"})), client.ca_certificates(None))
        issued = client.enrol(told, rsa_key(0), cn="lap-get", sans=frozenset(), challenge=challenge)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    assert issued.certificate == laptop.server.certificate(certificate.serial_number)


# --- where the challenge comes from ---------------------------------------------------------------------------------


def test_the_challenge_from_the_environment(laptop: Laptop) -> None:
    """The challenge may stand in REGALIA_SCEP_CHALLENGE; it is told nowhere (CHA-4)."""
    challenge = laptop.server.challenge(cn="lap-env")
    ended = laptop.enrol(cn="lap-env", REGALIA_SCEP_CHALLENGE=challenge)
    assert ended.code == 0, ended.stderr
    assert challenge not in ended.stdout + ended.stderr


def test_the_challenge_as_an_argument(laptop: Laptop) -> None:
    """The challenge may be an argument, and a warning says who can see it."""
    challenge = laptop.server.challenge(cn="lap-arg")
    ended = laptop.enrol("--challenge", challenge, cn="lap-arg")
    assert ended.code == 0, ended.stderr
    assert "--challenge is visible to every user" in ended.stderr
    assert challenge not in ended.stdout + ended.stderr


def test_without_a_challenge(laptop: Laptop) -> None:
    """Without a challenge the client warns, and the server refuses (RA-010)."""
    ended = laptop.enrol(cn="lap-none")
    failed(ended, "CLI-007")
    assert "no challenge is sent" in ended.stderr
    assert refusal(laptop.server, ended)["reason"] == "RA-010"


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason", "code"),
    [
        (("--challenge", "a", "--challenge-file", "b"), "", "ADM-018", 2),
        (("--challenge-file", "nowhere"), "", "CLI-009", 1),
        (("--challenge-file", "-"), "", "CLI-009", 1),
        (("--challenge-file", "-"), "two\nlines", "CLI-009", 1),
        (("--challenge-file", "-", "--dns", "*.example.com"), "secret", "ADM-018", 2),
    ],
    ids=["both", "no file", "empty", "two lines", "wildcard"],
)
def test_what_is_refused_at_home(
    laptop: Laptop, arguments: tuple[str, ...], stdin: str, reason: str, code: int
) -> None:
    """What cannot be right is refused before a key is made and anything is sent."""
    failed(laptop.enrol(*arguments, stdin=stdin), reason, code)
    assert laptop.files() == []


def test_a_taken_name_does_not_cost_the_challenge(laptop: Laptop) -> None:
    """A certificate file that is there is not overwritten, and the challenge is still good afterwards (CLI-009)."""
    challenge = laptop.server.challenge(cn="lap-taken")
    laptop.certificate.write_text("precious")
    failed(laptop.enrol("--challenge-file", "-", cn="lap-taken", stdin=challenge), "CLI-009")
    assert laptop.certificate.read_text() == "precious"
    laptop.certificate.unlink()
    assert laptop.enrol("--challenge-file", "-", cn="lap-taken", stdin=challenge).code == 0


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_replayed_challenge(laptop: Laptop) -> None:
    """A challenge shown again with another key is refused, which is a security event (RA-014)."""
    server = laptop.server
    challenge = server.challenge(cn="lap-replay")
    assert laptop.enrol("--challenge-file", "-", cn="lap-replay", stdin=challenge).code == 0
    thief = laptop.scep(
        *("enrol", "--cn", "lap-replay", "--key", "thief.key", "--cert", "thief.pem", "--challenge-file", "-"),
        stdin=challenge,
    )
    failed(thief, "CLI-007")
    assert "bad request" in thief.stderr
    assert laptop.files() == ["device.key", "device.pem", "thief.key"]
    event = refusal(server, thief)
    assert (event["reason"], event["security"]) == ("RA-014", True)


def test_a_wrong_fingerprint(laptop: Laptop) -> None:
    """A server without the expected certificate gets no request (CLI-004)."""
    challenge = laptop.server.challenge(cn="lap-pin")
    ended = laptop.enrol("--challenge-file", "-", "--fingerprint", "ab" * 32, cn="lap-pin", stdin=challenge)
    failed(ended, "CLI-004")
    assert root_fingerprint(laptop.server) in ended.stderr
    assert "sending" not in ended.stderr
    assert laptop.enrol("--challenge-file", "-", cn="lap-pin", stdin=challenge).code == 0


def test_a_wrong_path_and_a_closed_port(laptop: Laptop) -> None:
    """A wrong path is an HTTP error (CLI-002), a closed port is unreachable (CLI-001); both say what to do."""
    failed(laptop.scep("caps", url=f"{laptop.server.device}/scep/nowhere"), "CLI-002")
    failed(laptop.scep("caps", url=f"http://127.0.0.1:{free_port()}/scep/default"), "CLI-001")


def test_a_proxy_of_the_environment_is_not_asked(laptop: Laptop) -> None:
    """A proxy variable does not lead a challenge through somebody else's machine."""
    closed = f"http://127.0.0.1:{free_port()}"
    assert laptop.scep("caps", HTTP_PROXY=closed, http_proxy=closed, ALL_PROXY=closed).code == 0


def test_errors_as_json(laptop: Laptop) -> None:
    """With --json an error is one JSON object on stderr that has the reason's id."""
    ended = laptop.scep("caps", "--json", url=f"{laptop.server.device}/scep/nowhere")
    assert ended.code == 1
    assert json.loads(ended.stderr.splitlines()[-1])["error"]["id"] == "CLI-002"


# --- caps and cacert ------------------------------------------------------------------------------------------------


def test_caps(laptop: Laptop) -> None:
    """The capabilities are listed one a line, and as JSON with the verdict."""
    listed = laptop.scep("caps").stdout.split()
    assert listed == sorted(["POSTPKIOPERATION", "RENEWAL", "SHA-256", "SHA-384", "SHA-512", "AES", "SCEPSTANDARD"])
    assert json.loads(laptop.scep("caps", "--json").stdout) == {
        "keywords": listed,
        "usable": True,
        "missing": [],
        "weak": [],
    }


def test_cacert(laptop: Laptop) -> None:
    """The CA certificates go to a file, issuing CA first, and the list tells each fingerprint; the RA is no CA (R2)."""
    ended = laptop.scep("cacert", "--fingerprint", root_fingerprint(laptop.server), "--out", "ca.pem", "--json")
    assert ended.code == 0, ended.stderr
    rows = json.loads(ended.stdout)
    sent = certificates_in(fetch(f"{laptop.server.scep}?operation=GetCACert"))
    assert [(row["role"], row["sha256"]) for row in rows] == [
        (role, fingerprint_of(certificate.public_bytes(serialization.Encoding.DER)))
        for role, certificate in zip(("RA", "CA", "CA"), sent, strict=True)
    ]
    assert x509.load_pem_x509_certificates((laptop.directory / "ca.pem").read_bytes()) == sent[1:]
    assert "Warning" not in ended.stderr
    assert "no fingerprint was given" in laptop.scep("cacert").stderr
    failed(laptop.scep("cacert", "--out", "ca.pem"), "CLI-009")
