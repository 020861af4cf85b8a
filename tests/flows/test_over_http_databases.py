"""The story of one device over real HTTP, on each database, with the administrator's commands beside the server."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from interop.checks import CRL_SECONDS, OCSP_SECONDS, check_certificate
from interop.fixtures import laptop, relying_party
from interop.laptop import Laptop, root_fingerprint
from interop.openssl import RelyingParty, fetch
from interop.programs import wait_for
from interop.server import WORKERS, Server, running_server
from postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["laptop", "relying_party"]

pytestmark = pytest.mark.real

NOTICE_SECONDS = 6
"""Thrice the 2 s within which a server hears of a change (R9)."""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Return the URL of an empty database on a server that commits durably, as in production."""
    with running_postgres() as server:
        yield server.create("regalia")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in a fresh home, on each database."""
    database = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with running_server(tmp_path_factory.mktemp("server"), database) as running:
        yield running


def heard(server: Server) -> list[str]:
    """Return what the server said about its channel for notices."""
    return [line["event"] for line in server.log() if line["event"].startswith("change-feed")]


def seconds_until(what: str, look: Callable[[], bool], *, give_up: float) -> float:
    """Wait, and print and return how long it took."""
    begun = time.monotonic()
    wait_for(what, lambda: look() or None, seconds=give_up)
    took = time.monotonic() - begun
    sys.stdout.write(f"{what}: {took:.2f} s\n")
    return took


def test_the_life_of_a_laptop(
    laptop: Laptop, relying_party: RelyingParty, record_property: Callable[[str, object], None]
) -> None:
    """A device enrols and renews; another process revokes, and OCSP, which had answered good, and CRL say so (R9)."""
    server = laptop.server
    pin = ("--fingerprint", root_fingerprint(server))
    challenge = server.challenge(cn="lap-db", dns="lap-db.example.com")
    ended = laptop.enrol("--challenge-file", "-", *pin, cn="lap-db", stdin=challenge)
    assert ended.code == 0, ended.stderr
    check_certificate(laptop.certificate, server=server, relying_party=relying_party)

    new = laptop.directory / "new.pem"
    ended = laptop.scep(
        *("renew", "--key", "device.key", "--cert", "device.pem", "--new-key", "new.key", "--new-cert", "new.pem"), *pin
    )
    assert ended.code == 0, ended.stderr
    renewed = check_certificate(new, server=server, relying_party=relying_party)

    # Else OCSP would keep no answer, and the rest would show nothing.
    assert heard(server) == ["change-feed-up"] * WORKERS
    assert relying_party.ocsp_status(new, nonce=False) == "good"
    server.revoke(renewed.serial_number)
    took = seconds_until("OCSP", lambda: relying_party.ocsp_status(new, nonce=False) == "revoked", give_up=OCSP_SECONDS)
    record_property("ocsp_seconds", round(took, 2))
    took = seconds_until("CRL", lambda: not relying_party.accepts_with_crl(new), give_up=CRL_SECONDS)
    record_property("crl_seconds", round(took, 2))
    assert relying_party.ocsp_status(laptop.certificate) == "good"
    assert laptop.scep("renew", "--key", "new.key", "--cert", "new.pem", *pin).code == 1

    assert heard(server) == ["change-feed-up"] * WORKERS
    verified = server.verify_events()
    assert verified["intact"] is True
    actions = [event["action"] for event in server.events()]
    assert actions.count("certificate.revoked") == 1
    levels = {check["check"]: check["level"] for check in server.doctor()}
    assert (levels["database"], levels["url"], levels["jobs"]) == ("ok", "ok", "ok")


def test_commands_share_a_stream_beside_the_server(server: Server) -> None:
    """Commands that follow each other write to one stream, each worker and their supervisor to its own (R9)."""
    server.challenge(cn="stream")
    before = server.verify_events()["streams"]
    for number in range(3):
        server.challenge(cn=f"stream-{number}")
    assert server.verify_events()["streams"] == before <= WORKERS + 2


def test_a_server_hears_that_an_endpoint_was_closed(server: Server) -> None:
    """An endpoint that another process disables is closed in the running server, which had remembered it (R9)."""
    server.open("brief")
    capabilities = f"{server.device}/scep/brief?operation=GetCACaps"
    assert fetch(capabilities)
    assert heard(server) == ["change-feed-up"] * WORKERS
    server.close("brief")

    def closed() -> bool:
        try:
            fetch(capabilities)
        except HTTPError as error:
            with error:
                return error.code == 404
        return False

    seconds_until("the endpoint's end", closed, give_up=NOTICE_SECONDS)
