"""A fleet that enrols without a pause, and does not give up: what a rolling restart must not be felt by."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from regalia.ra.scep import CertRep
from regalia.wire.scep import PkiStatus, Transaction
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.app import App
    from world import World

__all__ = ["Enrolled", "Fleet", "Message", "device_of", "message_of"]

GIVE_UP_SECONDS = 60
PAUSE_SECONDS = 0.1


def device_of(app: App, key: int, transaction: bytes, *, endpoint: str = "default") -> Device:
    """Make a device that speaks SCEP to an opened home; it looks up no more than RA certificate and time there."""
    there = cast("World", SimpleNamespace(store=app.store, clock=app.clock))
    return Device(there, rsa_key(key), transaction=Transaction(transaction), endpoint=endpoint)


@dataclass(frozen=True, slots=True)
class Message:
    """A request, made beforehand, and what its answer is opened with."""

    device: Device
    csr: bytes
    octets: bytes


def message_of(device: Device, cn: str, challenge: str) -> Message:
    """Make the message of a first enrolment."""
    csr = device.csr(names(cn), challenge)
    return Message(device, csr, device.message(csr))


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a client got in the end."""

    transaction: bytes
    certificate: bytes
    attempts: int


@dataclass
class Fleet:
    """Clients in threads: each sends its messages one after the other, the same one again until it is answered."""

    urls: Sequence[str]
    app: App
    """The administrator's side, which hands out the challenges."""
    clients: int = 8
    enrolled: list[Enrolled] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin."""
        rsa_key(self.clients)  # made before the threads, which share them
        self._threads = [
            threading.Thread(target=self._client, args=(number,), daemon=True) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish the enrolment that it is at, and no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(GIVE_UP_SECONDS + 30)
            assert not thread.is_alive()

    def wait_for(self, count: int) -> None:
        """Wait until so many more have enrolled."""
        wanted, until = len(self.enrolled) + count, time.monotonic() + GIVE_UP_SECONDS
        while len(self.enrolled) < wanted:
            assert not self.failed, self.failed
            assert time.monotonic() < until, f"{len(self.enrolled)} enrolled of {wanted}"
            time.sleep(0.02)

    def _client(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            try:
                # One name for one key: a key that was certified for other names is refused (RA-024).
                cn = f"laptop-{number}"
                ttl = timedelta(hours=1)
                secret = self.app.challenges.mint("default", binding=names(cn), device=None, ttl=ttl, actor=ADMIN)
                message = message_of(device_of(self.app, number, b"%d-%d" % (number, turn)), cn, secret.secret)
                self.enrolled.append(self._enrol(number, message))
            except Exception as error:  # noqa: BLE001 - a thread of the test: what failed is told at its end
                self.failed.append(f"client {number}, enrolment {turn}: {error!r}")
                return

    def _enrol(self, number: int, message: Message) -> Enrolled:
        until = time.monotonic() + GIVE_UP_SECONDS
        for attempt in itertools.count(1):
            # As a load balancer that knows nothing: whoever is next.
            status, answer = _post(self.urls[(number + attempt) % len(self.urls)], message.octets)
            if status == 200:
                reply = message.device.open(CertRep(answer), message.csr)
                assert reply.status is PkiStatus.SUCCESS, reply
                return Enrolled(message.device.transaction.octets, reply.certificates[0], attempt)
            assert status in {0, 503}, status
            assert time.monotonic() < until, f"no answer after {attempt} attempts"
            time.sleep(PAUSE_SECONDS)
        raise AssertionError("there is no end of attempts")


def _post(url: str, octets: bytes) -> tuple[int, bytes]:
    """Send a message; status 0 where there is nobody, or the answer broke off."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request("POST", "/scep/default?operation=PKIOperation", octets)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
