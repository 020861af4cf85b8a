"""Alerts by web hook: over the real client to a real HTTPS server of ours, which verifies what comes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, MemoryOutgoing, MemorySealer, MemoryStore, SeededEntropy
from net.outside import HOST, certificate_of, outside, said
from regalia import reasons
from regalia.model import DeliveryState, TargetKind
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.net.mail import MailSender
from regalia.net.web_hook import TargetSender, WebHookSender
from regalia.ra.alerts import AlertDesk
from world import ADMIN

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from net.outside import Outside
    from regalia.model import Delivery
    from regalia.ports import Outgoing

WINDOW = 300


def headers_of(request: bytes) -> tuple[dict[str, str], bytes]:
    """Take a request apart."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, body


def receiver(secret: list[str], clock: Callable[[], float], seen: set[str]) -> Callable[[socket.socket, Outside], None]:
    """Make a receiver as the documentation says to write one: signature, window, each id once."""

    def speak(line: socket.socket, there: Outside) -> None:
        request = said(line)
        there.requests.append(request)
        headers, body = headers_of(request)
        signed = f"{headers['regalia-timestamp']}.".encode() + body
        expected = "v1=" + hmac.new(secret[0].encode(), signed, hashlib.sha256).hexdigest()
        genuine = hmac.compare_digest(expected, headers["regalia-signature"])
        fresh = abs(clock() - int(headers["regalia-timestamp"])) <= WINDOW
        seen.add(headers["regalia-delivery"])
        line.sendall(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % (204 if genuine and fresh else 401))

    return speak


def desk(outgoing: Outgoing, clock: FakeClock) -> tuple[AlertDesk, MemoryStore]:
    """Make a desk that delivers through the real senders."""
    store, sealer = MemoryStore(), MemorySealer()
    sender = TargetSender(MailSender(None), WebHookSender(outgoing, sealer))
    return AlertDesk(store, sender, sealer, clock, SeededEntropy(), where="http://pki.example.test"), store


def tried(made: AlertDesk, store: MemoryStore) -> Delivery:
    """Send a test to the one target."""
    return made.test(store.targets()[0], ADMIN)


@pytest.mark.real
def test_a_receiver_verifies_what_comes(tmp_path: Path) -> None:
    """CON-6: a receiver with the secret believes a message of now, and none that is older than five minutes."""
    clock = FakeClock()
    clock.advance(datetime.now(UTC).replace(microsecond=0) - clock.now())
    certificate = certificate_of(tmp_path / "tls")
    secret, seen = [""], set[str]()
    receiving = receiver(secret, time.time, seen)
    with outside(receiving, certificate) as there:
        outgoing = HttpOutgoing(
            opened=(Opened.parse(f"127.0.0.1:{there.port}"),),
            ca_file=certificate,
            resolver=lambda _host, _port: ["127.0.0.1"],
        )
        made, store = desk(outgoing, clock)
        target = made.create_target("on-call", TargetKind.WEB_HOOK, f"https://{HOST}:{there.port}/pki", ADMIN)
        secret[0] = target.secret or ""
        taken = tried(made, store)
        assert (taken.state, seen) == (DeliveryState.DELIVERED, {str(taken.id)})
        headers, body = headers_of(there.requests[0])
        assert headers["content-type"] == "application/json"
        assert json.loads(body)["id"] == str(taken.id)
        # A clock of ours that is wrong, or a message that somebody kept: both are too old to be believed.
        clock.advance(timedelta(minutes=-6))
        late = tried(made, store)
        assert (late.state, late.last_error[:9]) == (DeliveryState.DEAD, "ALERT-006")
        clock.advance(timedelta(minutes=6))
        secret[0] = "another"
        assert tried(made, store).last_error.endswith("it answers 401")


def test_retries_have_the_same_id_and_a_timestamp_of_their_own() -> None:
    """CON-6: a receiver that failed gets the same id and body again, signed for the time of this attempt."""
    clock, outgoing = FakeClock(), MemoryOutgoing()
    made, store = desk(outgoing, clock)
    made.create_target("on-call", TargetKind.WEB_HOOK, "https://x.test/", ADMIN)
    outgoing.status = 503
    first = tried(made, store)
    made.replay(first, ADMIN)
    outgoing.status = 200
    clock.advance(timedelta(minutes=1))
    made.deliver(clock.now())
    one, two = outgoing.requests
    assert (one.headers["Regalia-Delivery"], one.body) == (two.headers["Regalia-Delivery"], two.body)
    assert int(two.headers["Regalia-Timestamp"]) - int(one.headers["Regalia-Timestamp"]) == 60
    assert one.headers["Regalia-Signature"] != two.headers["Regalia-Signature"]
    assert store.deliveries()[0].state is DeliveryState.DELIVERED


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 500, 503])
def test_anything_but_success_is_a_failure(status: int) -> None:
    """SSRF-3: a redirect is a failure like others, and nobody goes where it points."""
    clock, outgoing = FakeClock(), MemoryOutgoing()
    made, store = desk(outgoing, clock)
    made.create_target("on-call", TargetKind.WEB_HOOK, "https://x.test/", ADMIN)
    outgoing.status = status
    assert tried(made, store).last_error == f"{reasons.WEB_HOOK_REFUSED}: it answers {status}"
    assert len(outgoing.requests) == 1


@pytest.mark.real
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8443/api/v1",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://2130706433/",
        "https://localhost:8443/",
        "http://192.0.2.1/",
    ],
)
def test_a_web_hook_does_not_reach_inside(url: str) -> None:
    """SSRF-2: a web hook to this machine, to clouds' metadata or to a private address is refused, and says so."""
    clock = FakeClock()
    made, store = desk(HttpOutgoing(), clock)
    made.create_target("inside", TargetKind.WEB_HOOK, url, ADMIN)
    refused = tried(made, store)
    assert refused.state is DeliveryState.DEAD
    assert refused.last_error.startswith("ALERT-001")


def test_an_altered_secret_signs_nothing() -> None:
    """A target whose sealed secret was moved from another row is not sent to: it does not open there (SEC-1)."""
    clock, outgoing = FakeClock(), MemoryOutgoing()
    made, _ = desk(outgoing, clock)
    one = made.create_target("one", TargetKind.WEB_HOOK, "https://x.test/", ADMIN).target
    two = made.create_target("two", TargetKind.WEB_HOOK, "https://y.test/", ADMIN).target
    moved = made.test(replace(two, sealed=one.sealed), ADMIN)
    assert moved.state is DeliveryState.DEAD
    assert outgoing.requests == []


def test_mail_without_a_server_says_what_to_set() -> None:
    """A mail target where no mail server is set fails with the reason, and with the same one when it is tested."""
    made, store = desk(MemoryOutgoing(), FakeClock())
    made.create_target("mail", TargetKind.MAIL, "a@example.org", ADMIN)
    assert tried(made, store).last_error.startswith("ALERT-003")
