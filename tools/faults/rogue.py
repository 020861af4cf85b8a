"""Devices whose requests must be refused, beside those whose requests are good (I10)."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from regalia.errors import PeerError
from regalia.wire.scep import FailInfo, PkiStatus
from tools.faults.devices import enrolment
from tools.faults.fleet import Line

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tools.bench.devices import Device
    from tools.faults.devices import Conversation
    from tools.faults.fleet import Fleet
    from tools.faults.journal import Journal
    from tools.faults.site import Office

__all__ = ["Rogue", "Wrong"]

_EVERY: Final = 1.5
"""Seconds between two requests: more than 60 refusals a minute from one address would be folded into one event."""
_PAUSE: Final = 1.0
_ATTEMPTS: Final = 60
_KINDS: Final = ("unknown challenge", "other names", "used challenge", "transaction of another")


@dataclass(frozen=True, slots=True)
class Wrong:
    """A request that must be refused."""

    kind: str
    conversation: Conversation
    challenge: str
    """Id of the good challenge that it must not use up, or nothing."""


class Rogue:
    """Asks for what it must not get."""

    def __init__(
        self,
        *,
        urls: Sequence[str],
        office: Office,
        fleet: Fleet,
        device: Device,
        journal: Journal,
        dice: random.Random,
    ) -> None:
        self._line = Line([url.removeprefix("http://") for url in urls], dice)
        self._office = office
        self._fleet = fleet
        self._device = device
        self._journal = journal
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rogue", daemon=True)
        self._kinds = itertools.cycle(_KINDS)
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to ask now and then."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(5)
        self._hurry.set()
        self._thread.join(30)
        self._hurry.clear()
        self._line.hang_up()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            for wrong in self.prepared(1):
                self.send(wrong)

    def prepared(self, count: int) -> list[Wrong]:
        """Make requests to be sent later; what they need is handed out now."""
        return [made for made in (self._make(next(self._kinds)) for _ in range(count)) if made is not None]

    def send(self, wrong: Wrong) -> None:
        """Send until there is an answer."""
        for _ in range(_ATTEMPTS):
            status, body = self._line.post(wrong.conversation.message)
            if status == http.client.OK:
                self._note(wrong, _outcome(wrong.conversation, body))
                return
            if status not in {0, http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS}:
                self._note(wrong, f"HTTP {status}")
                return
            time.sleep(_PAUSE)
            if self._hurry.is_set():
                break
        self._note(wrong, "no answer")

    def _make(self, kind: str) -> Wrong | None:
        device, server = self._device, self._office.server
        if kind == "unknown challenge":
            return Wrong(kind, enrolment(device, server, "A" * 32), "")
        used = self._fleet.used[-1] if self._fleet.used else None
        if kind == "used challenge":
            return Wrong(kind, enrolment(device, server, used[0]), "") if used is not None else None
        minted = self._office.challenge(device.names)
        if minted is None:
            return None
        challenge_id = str(minted.challenge.id)
        if kind == "other names":
            wanted = replace(device.names, cn="another.example.org")
            return Wrong(kind, enrolment(device, server, minted.secret, names=wanted), challenge_id)
        if used is None:
            return None
        return Wrong(kind, enrolment(device, server, minted.secret, transaction=used[1]), challenge_id)

    def _note(self, wrong: Wrong, outcome: str) -> None:
        self.counts[outcome] += 1
        self._journal.write(
            at=time.time(),
            kind=wrong.kind,
            transaction=wrong.conversation.transaction.octets,
            key=hashlib.sha256(self._device.public_key).digest(),
            challenge=wrong.challenge,
            outcome=outcome,
        )


def _outcome(conversation: Conversation, body: bytes) -> str:
    try:
        reply = conversation.read(body)
    except PeerError as fault:
        return f"an answer that does not verify: {fault}"
    if reply.status is PkiStatus.FAILURE and reply.fail_info is FailInfo.BAD_REQUEST:
        return "refused"
    return f"{reply.status!r} {reply.fail_info!r}"
