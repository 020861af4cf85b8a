"""Devices under load: each enrols and renews without end, and sends again what was not answered.

A device that gets no answer, a 503 or a 429 sends its message again until the conversation has an end. What it receives
goes into a journal; what it must never receive (a FAILURE, any other status, an answer that does not verify) goes there
as well, for the checker.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from regalia.client.authorities import issued_by
from regalia.errors import PeerError
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import PkiStatus
from tools.faults.devices import enrolment, renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tools.bench.devices import Device
    from tools.faults.devices import Conversation
    from tools.faults.journal import Journal
    from tools.faults.site import Office

__all__ = ["CLIENTS", "Fleet", "Line"]

CLIENTS: Final = 8
_RENEWALS: Final = 3
"""Of one chain; the default limit of certificates for a device and day is 5."""
_PAUSE: Final = 0.1
"""Seconds before a message is sent again. A device would wait longer; we want the race."""
_ANSWER_SECONDS: Final = 20.0
_RESERVE: Final = 2
"""Challenges that each device has in hand: nobody can hand out new ones while the database is away."""
_RENEW, _REPLAY, _RECOMPOSE, _LEAVE = 0.4, 0.15, 0.3, 0.05
"""How often a device renews where it could, sends again what was answered, makes a message anew to send it again, and
gives up after it had no answer."""


@dataclass(slots=True)
class _Owned:
    """A device in the hands of one client."""

    device: Device
    challenges: deque[str] = field(default_factory=deque)
    certificate: bytes | None = None
    not_before: float = 0.0
    renewals: int = 0


class Fleet:
    """Eight clients in threads, each with devices of its own."""

    def __init__(
        self,
        *,
        urls: Sequence[str],
        office: Office,
        devices: Sequence[Device],
        journal: Journal,
        seed: int,
        clients: int = CLIENTS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`urls` are the SCEP endpoints of the nodes; `now` is the servers' clock."""
        self._urls = [url.removeprefix("http://") for url in urls]
        self._office = office
        self._journal = journal
        self._now = now
        self._seed = seed
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._owned = [[_Owned(device) for device in devices[number::clients]] for number in range(clients)]
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.retired: deque[int] = deque(maxlen=200)
        """Serials that their devices have given up: free to be revoked."""
        self.serials: deque[int] = deque(maxlen=400)
        """Serials received lately."""
        self.last_success = 0.0
        """`time.monotonic()` when a device last received a certificate that it did not have."""
        self.used: deque[tuple[str, bytes]] = deque(maxlen=50)
        """Challenges that were used, and the transactions in which they were."""

    def start(self) -> None:
        """Begin, with some challenges in each device's hand."""
        for owned in (owned for share in self._owned for owned in share):
            self._supply(owned)
        for number, share in enumerate(self._owned):
            dice = random.Random(f"{self._seed}-{number}")  # noqa: S311 - no secret
            thread = threading.Thread(target=self._client, args=(share, dice), name=f"client-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, seconds: float) -> int:
        """Begin nothing new, let what is open end within so many seconds. Returns how many did not end."""
        self._stop.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._hurry.set()
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS + 5)
        return sum(thread.is_alive() for thread in self._threads) + self.counts["unfinished"]

    # --- one client -------------------------------------------------------------------------------------------------

    def _client(self, share: Sequence[_Owned], dice: random.Random) -> None:
        line = Line(self._urls, dice)
        while not self._stop.is_set():
            for owned in share:
                conversation = self._begin(owned, dice)
                if conversation is not None:
                    self._lead(owned, conversation, line, dice)
                if self._stop.is_set():
                    break
        line.hang_up()

    def _supply(self, owned: _Owned) -> None:
        while len(owned.challenges) < _RESERVE:
            challenge = self._office.challenge(owned.device.names)
            if challenge is None:
                return
            owned.challenges.append(challenge.secret)

    def _begin(self, owned: _Owned, dice: random.Random) -> Conversation | None:
        live = owned.certificate is not None and owned.not_before <= self._now()
        if owned.certificate is not None and live and owned.renewals < _RENEWALS and dice.random() < _RENEW:
            owned.renewals += 1
            return renewal(owned.device, self._office.server, owned.certificate)
        self._supply(owned)
        if not owned.challenges:
            self._stop.wait(_PAUSE)
            return None
        if owned.certificate is not None:
            self.retired.append(read_certificate(owned.certificate).serial)
            owned.certificate = None
        owned.renewals = 0
        return enrolment(owned.device, self._office.server, owned.challenges.popleft())

    def _lead(self, owned: _Owned, conversation: Conversation, line: Line, dice: random.Random) -> None:
        """Send until the conversation ends, and sometimes once more after that."""
        certificate = self._certificate(conversation, line, dice)
        if certificate is None:
            return
        facts = read_certificate(certificate)
        owned.certificate, owned.not_before = certificate, facts.not_before.timestamp()
        self.serials.append(facts.serial)
        self.last_success = time.monotonic()
        self._count(conversation.kind)
        if conversation.kind == "enrol":
            self.used.append((conversation.challenge, conversation.transaction.octets))
        if dice.random() < _REPLAY:
            self._certificate(conversation, line, dice)
            self._count("replayed")

    def _certificate(self, conversation: Conversation, line: Line, dice: random.Random) -> bytes | None:
        self._note("begun", conversation, challenge=hashlib.sha256(conversation.challenge.encode()).digest())
        while not self._hurry.is_set():
            sent = self._now()
            status, body = line.post(conversation.message)
            if status == http.client.OK:
                return self._received(conversation, body, min(sent, self._now()))
            self._count(f"HTTP {status}" if status else "no answer")
            if status not in {0, http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS}:
                self._note("wrong", conversation, what=f"HTTP {status}: {body[:200]!r}")
                return None
            if not status and dice.random() < _LEAVE:
                # Nobody comes back for it: what the server had begun is recovery's to end.
                self._note("left", conversation)
                self._count("left")
                return None
            time.sleep(_PAUSE)
            if dice.random() < _RECOMPOSE:
                conversation.compose()
        self._note("unfinished", conversation)
        self._count("unfinished")
        return None

    def _received(self, conversation: Conversation, body: bytes, judged_at: float) -> bytes | None:
        try:
            reply = conversation.read(body)
        except PeerError as fault:
            self._note("wrong", conversation, what=f"an answer that does not verify: {fault}")
            return None
        if conversation.kind == "renew" and judged_at < read_certificate(conversation.signer).not_before.timestamp():
            # The servers' clock was set back since: a signer that is not valid yet is refused (REN-1).
            self._note("early", conversation)
            self._count("renewed too early")
            return None
        if reply.status is not PkiStatus.SUCCESS:
            self._note("wrong", conversation, what=f"{reply.status!r} {reply.fail_info!r}")
            return None
        certificate = reply.certificates[0]
        facts = read_certificate(certificate)
        if facts.public_key != conversation.device.public_key:
            self._note("wrong", conversation, what="a certificate for another key")
        if not issued_by(certificate, self._office.server.issuer):
            self._note("wrong", conversation, what="a certificate that its CA did not sign")
        self._note("received", conversation, serial=f"{facts.serial:x}", der=certificate)
        return certificate

    def _note(self, event: str, conversation: Conversation, **more: object) -> None:
        self._journal.write(
            event=event,
            at=time.time(),
            kind=conversation.kind,
            transaction=conversation.transaction.octets,
            key=hashlib.sha256(conversation.device.public_key).digest(),
            signer=hashlib.sha256(conversation.signer).digest(),
            **more,
        )

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


class Line:
    """One kept connection to one of the nodes; another one after every fault."""

    def __init__(self, urls: Sequence[str], dice: random.Random) -> None:
        self._urls = urls
        self._dice = dice
        self._connection: http.client.HTTPConnection | None = None
        self._path = ""

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Send once. Status 0 where there was no answer."""
        if self._connection is None:
            host, slash, path = self._dice.choice(self._urls).partition("/")
            self._connection = http.client.HTTPConnection(host, timeout=_ANSWER_SECONDS)
            self._path = f"{slash}{path}?operation=PKIOperation"
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/x-pki-message"})
            response = self._connection.getresponse()
            answer = response.status, response.read()
        except (OSError, http.client.HTTPException):
            self.hang_up()
            return 0, b""
        if answer[0] != http.client.OK:
            self.hang_up()
        return answer

    def hang_up(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
