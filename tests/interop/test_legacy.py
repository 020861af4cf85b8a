"""Live clients at endpoints that take old algorithms: who uses them, who does better, and who is refused even there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interop.certmonger import running_certmonger
from interop.checks import check_certificate, names
from interop.programs import wait_for
from interop.scepclient import ScepClient
from interop.strongswan import StrongSwan

if TYPE_CHECKING:
    from pathlib import Path

    from interop.openssl import RelyingParty
    from interop.server import Server

pytestmark = [pytest.mark.live_client("openssl"), pytest.mark.timeout(600)]

ENDPOINT, QUEUE = "scales", "old-queue"
OLD = ("--cipher", "des3", "--digest", "sha1")
SAID = ["the message is signed with SHA-1", "the content is encrypted with triple DES"]


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """Where old devices ask."""
    server.open(ENDPOINT, "--legacy")
    return f"{server.device}/scep/{ENDPOINT}"


@pytest.fixture(scope="module")
def secret(server: Server) -> str:
    """The static challenge of an endpoint with approval that takes old algorithms."""
    return server.open_with_secret(QUEUE, "approval", "--legacy")


def _used(server: Server, endpoint: str) -> list[list[str]]:
    """Return which old algorithms the log names, message by message."""
    events = [event for event in server.events() if event["action"] == "legacy.used"]
    return [event["details"]["algorithms"] for event in events if event["object"] == f"endpoint:{endpoint}"]


def _device(directory: Path, url: str) -> StrongSwan:
    device = StrongSwan(directory, url, OLD)
    device.fetch_ca()
    return device


@pytest.mark.live_client("strongswan")
def test_strongswan_with_sha_1_and_triple_des(
    server: Server, relying_party: RelyingParty, url: str, tmp_path: Path
) -> None:
    """R1, SIG-5: strongSwan told to use SHA-1 and triple DES enrols, renews, and reads answers made with the same."""
    before = len(_used(server, ENDPOINT))
    device = _device(tmp_path, url)
    key = device.new_key("key")
    asked = {"cn": "ss-old", "dns": "ss-old.example.com"}
    path = device.enrol(key, **asked, challenge=server.challenge(**asked, endpoint=ENDPOINT))
    first = check_certificate(path, server=server, relying_party=relying_party)
    renewed = device.renew(key, cn="ss-old", old_key=key, old=path)
    assert names(check_certificate(renewed, server=server, relying_party=relying_party)) == names(first)
    used = _used(server, ENDPOINT)[before:]
    assert len(used) == 2
    assert all(used_now[:2] == SAID for used_now in used), used


@pytest.mark.live_client("strongswan")
def test_strongswan_polls_with_sha_1_and_triple_des(
    server: Server, relying_party: RelyingParty, secret: str, tmp_path: Path
) -> None:
    """RFC 8894 §3.3.3: CertPoll in old algorithms: strongSwan polls until its request was approved."""
    device = _device(tmp_path, f"{server.device}/scep/{QUEUE}")
    key, name = device.new_key("key"), "ss-old-polls"
    with device.enrolling(key, cn=name, dns=f"{name}.example.com", challenge=secret) as polling:
        (held,) = wait_for("the request", lambda: server.pending(QUEUE) or None, seconds=60)
        approved = server.approve(held["id"])
        code, said = polling.ended()
    assert code == 0, said
    certificate = check_certificate(polling.path, server=server, relying_party=relying_party)
    assert f"{certificate.serial_number:x}" == approved["certificate"]
    used = _used(server, QUEUE)
    assert len(used) >= 2, "the request and the poll that brought the certificate"
    assert all(used_now[:2] == SAID for used_now in used), used


@pytest.mark.live_client("certmonger")
def test_certmonger_does_better(server: Server, relying_party: RelyingParty, url: str, tmp_path: Path) -> None:
    """R1: certmonger takes AES and SHA-256 though SHA-1 and triple DES are offered beside them: nothing on record."""
    before = _used(server, ENDPOINT)
    with running_certmonger(tmp_path) as device:
        device.add_ca(url)
        asked = {"cn": "cm-old", "dns": "cm-old.example.com"}
        path = device.enrol(**asked, challenge=server.challenge(**asked, endpoint=ENDPOINT))
        check_certificate(path, server=server, relying_party=relying_party)
    assert _used(server, ENDPOINT) == before


@pytest.mark.live_client("scepclient")
def test_scepclient_is_refused_even_there(server: Server, url: str, tmp_path: Path) -> None:
    """R1: the single DES of scepclient is refused where its SHA-1 is taken: a signed badAlg, SCEP-023."""
    challenge = server.challenge(cn="mm-old", endpoint=ENDPOINT)
    issued = server.issued()
    status, printed = ScepClient(tmp_path, url).enrol(cn="mm-old", challenge=challenge)
    assert status != 0
    assert "failInfo: badAlg (0)" in printed, printed
    assert server.issued() == issued
    refused = [event for event in server.events() if event["object"] == f"endpoint:{ENDPOINT}"]
    assert refused[-1]["reason"] == "SCEP-023"
