"""The stories of issuance that software keys are held to, word for word, with the CA keys on a token in SoftHSM.

The tests that are imported here run on this file's server; what differs on a token has tests of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from test_over_http import (
    test_a_replayed_challenge,
    test_messages_by_get,
    test_the_life_of_a_laptop,
)

from interop.fixtures import laptop, relying_party
from interop.openssl import RelyingParty, fetch
from interop.server import Server, running_server
from regalia import reasons
from regalia.app import SystemClock, SystemEntropy
from regalia.cli.soft_token import SoftToken, make_soft_token
from regalia.client.scep import Capabilities, ScepClient
from regalia.client.scep import Server as ScepServer
from regalia.client.transport import HttpTransport
from world import rsa_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interop.laptop import Laptop

__all__ = [
    "laptop",
    "relying_party",
    "test_a_replayed_challenge",
    "test_messages_by_get",
    "test_the_life_of_a_laptop",
]

pytestmark = [pytest.mark.real, pytest.mark.live_client("softhsm")]

LEASE_SECONDS = 2
"""So that what the token's absence interrupted need not wait a minute."""


@pytest.fixture(scope="module", params=["softhsm"])
def token(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SoftToken:
    """A token of this file's own."""
    return make_soft_token(tmp_path_factory.mktemp("token"), str(request.param))


@pytest.fixture(scope="module")
def server(token: SoftToken, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a fresh home whose CA keys `init` made on the token."""
    settings = {"REGALIA_ISSUANCE__LEASE_SECONDS": str(LEASE_SECONDS)}
    with running_server(tmp_path_factory.mktemp("server"), settings=settings, token=token) as running:
        yield running


def test_doctor_finds_the_keys_on_the_token(server: Server, token: SoftToken) -> None:
    """Doctor asks the token for each authority's key: it is there, it signs, and it cannot leave."""
    told = [check["finding"] for check in server.doctor() if check["check"] == "keys"]
    for authority in ("root", "default-ca-1"):
        assert f"the key of {authority} is on token {token.label}, and it signs there alone" in told


def test_a_wrong_pin_is_told_and_tried_once(laptop: Laptop, token: SoftToken) -> None:
    """A command with a refused PIN says so, and the next one does not try it; who is logged in already goes on."""
    laptop.enrolled("lap-first")  # which logs the server in, whichever test is first
    for name in ("device.key", "device.pem"):
        (laptop.directory / name).unlink()
    right = token.pin_file.read_text("ascii")
    token.pin_file.write_text("00000000\n", "ascii")
    try:
        told = [laptop.server.regalia("ca", "crl", "default-ca-1") for _ in range(2)]
        laptop.enrolled("lap-pin")
    finally:
        token.pin_file.write_text(right, "ascii")
    assert [(ended.returncode, reasons.PIN_REFUSED.id in ended.stderr) for ended in told] == [(1, True)] * 2
    assert ["PinIncorrect" in ended.stderr for ended in told] == [True, False]
    assert laptop.server.regalia("ca", "crl", "default-ca-1").returncode == 0


def test_a_token_that_is_away_stops_enrolment_and_nothing_else(
    laptop: Laptop, relying_party: RelyingParty, token: SoftToken
) -> None:
    """Without its token the server answers 503 to enrolments; CRL and OCSP go on; the device's retry succeeds."""
    server, aside = laptop.enrolled("lap-before").server, token.directory / "taken"
    told: list[object] = []

    def meanwhile(seconds: float) -> None:
        """Look at what goes on while the client waits, then bring the token back."""
        told.append(seconds)
        if aside.exists():
            told.append(relying_party.ocsp_status(laptop.certificate))
            told.append(len(fetch(f"{server.device}/crl/default-ca-1.crl")) > 0)
            aside.rename(token.tokens)
        # The lease of what was begun ends; the token is asked again.
        time.sleep(LEASE_SECONDS + 1.5)

    challenge = server.challenge(cn="lap-away")
    with HttpTransport() as transport:
        client = ScepClient(server.scep, transport, SystemClock(), SystemEntropy(), pause=meanwhile)
        known = ScepServer(
            Capabilities(frozenset({"AES", "SHA-256", "POSTPKIOPERATION"})), client.ca_certificates(None)
        )
        token.tokens.rename(aside)
        issued = client.enrol(known, rsa_key(1), cn="lap-away", sans=frozenset(), challenge=challenge)
    assert told[1:3] == ["good", True]
    assert {reasons.TOKEN_UNAVAILABLE.id} == {line["reason"] for line in server.log() if line["event"] == "unavailable"}
    assert server.certificate(x509.load_der_x509_certificate(issued.certificate).serial_number) == issued.certificate
    actions = [event["action"] for event in server.events()]
    assert actions.count("certificate.abandoned") == 1
