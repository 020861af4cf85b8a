"""Telling a connector what became of a request that it allowed (R8).

A notice is kept with the intent of its certificate, so that no crash loses it. A system that wants to know before the
device is told before the device; what could not be told then, a repetition of the request or the job tells. Where the
system will not take note, the certificate is revoked in the transaction that records so.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.ca.issue import LEASE, certificate_event
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Certificate,
    CertificateState,
    Denied,
    EventDraft,
    Outcome,
    Revocation,
    RevocationReason,
    Unavailable,
    new_id,
)
from regalia.model.connector import IssuedNotice, NotAsked, Refused, RefusedNotice, Told
from regalia.ports import Certificates
from regalia.ports.connectors import Notifier
from regalia.ports.fleet import Notice, Notices
from regalia.ra.gates import ENROLMENT_SECONDS
from regalia.wire.certificate import read_certificate
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from regalia.model import JsonValue
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ports.connectors import Links
    from regalia.ra.gates import Gates
    from regalia.ra.request import EnrolmentRequest

__all__ = ["GIVEN_UP", "Teller", "TellingStore", "notice_scope"]

_BATCH: Final = 100
_ATTEMPT: Final = timedelta(seconds=60)
"""How long an attempt belongs to whoever began it; longer than any takes."""
_FIRST_PAUSE: Final = timedelta(seconds=30)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_LONGEST: Final = timedelta(days=3)
"""After that nobody waits for it any more. Attempts do not count: devices that repeat their requests make many."""
GIVEN_UP: Final = "given-up"
"""Stands for a code where there was no answer in all that time."""
_RACES: Final = 5
_LEAST_SECONDS: Final = 0.5
"""With less time nobody is asked: the answer could not be waited for."""

_Answer = Told | Refused | NotAsked


class TellingStore(Notices, Certificates, Protocol):
    """What is told, and of which certificates."""


@dataclass(frozen=True, slots=True)
class _Content:
    """What is sealed: with the challenge in the request it is a secret (CHA-4)."""

    transaction_id: str
    csr: bytes
    reason: str = ""
    """Id of the refusal's reason; empty for a certificate."""
    detail: str = ""

    def octets(self) -> bytes:
        document = {
            "transaction_id": self.transaction_id,
            "csr": base64.b64encode(self.csr).decode(),
            "reason": self.reason,
            "detail": self.detail,
        }
        return json.dumps(document).encode()

    @classmethod
    def read(cls, octets: bytes) -> _Content:
        document = json.loads(octets)
        csr = base64.b64decode(document["csr"])
        return cls(document["transaction_id"], csr, document["reason"], document["detail"])


def notice_scope(notice_id: UUID) -> str:
    """Name what a notice is sealed for."""
    return f"notice:{notice_id}"


class Teller:
    """Tells connectors."""

    def __init__(
        self,
        *,
        store: TellingStore,
        links: Links,
        gates: Gates,
        sealer: Sealer,
        clock: Clock,
        entropy: Entropy,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gates` are those of everything in this process that asks connectors."""
        self._store = store
        self._links = links
        self._gates = gates
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy
        self._seconds = seconds

    # --- drafting ---------------------------------------------------------------------------------------------------

    def drafted(
        self, request: EnrolmentRequest, connector: str, enrolment_id: UUID, certificate_id: UUID
    ) -> Notice | None:
        """Draft the notice of a certificate that is about to be issued; None where nobody wants to be told.

        A connector that cannot be looked at now gets one: the job finds out whether it wants it.
        """
        if not self._wants(connector):
            return None
        content = _Content(request.transaction_id.decode("utf-8", "replace"), self._csr(request, enrolment_id))
        # The worker tells at once; the job follows when the worker is gone.
        return self._sealed(connector, enrolment_id, certificate_id, content, self._clock.now() + LEASE)

    def queue_refusal(self, request: EnrolmentRequest, connector: str, enrolment_id: UUID, denied: Denied) -> None:
        """Keep what a connector is told of a request that it allowed and that came to nothing here."""
        if not self._wants(connector):
            return
        transaction = request.transaction_id.decode("utf-8", "replace")
        content = _Content(transaction, request.csr.der, denied.reason.id, denied.detail)
        self._store.queue_notice(self._sealed(connector, enrolment_id, None, content, self._clock.now()), ())

    def _wants(self, connector: str) -> bool:
        return isinstance(self._links.link(connector), Notifier | NotAsked)

    def _csr(self, request: EnrolmentRequest, enrolment_id: UUID) -> bytes:
        """Find the request as the device sent it: what is stored of an enrolment has stars for its challenge.

        Where it goes on with another certificate, the notice of the one before has it (I4).
        """
        before = self._store.notice_of(enrolment_id)
        return self._opened(before).csr if before is not None else request.csr.der

    def _sealed(
        self, connector: str, enrolment_id: UUID, certificate_id: UUID | None, content: _Content, due_at: datetime
    ) -> Notice:
        notice_id = new_id(self._clock.now(), self._entropy.octets(10))
        sealed = self._sealer.seal(notice_scope(notice_id), content.octets())
        return Notice(notice_id, connector, enrolment_id, certificate_id, sealed, due_at)

    def _opened(self, notice: Notice) -> _Content:
        try:
            return _Content.read(self._sealer.unseal(notice_scope(notice.id), notice.sealed))
        except AdminError as error:
            # Another master key, or a row that was altered: our side's fault, and final for nobody.
            raise UnavailableError(error.reason, error.detail) from error

    # --- before the device gets its certificate -----------------------------------------------------------------------

    def delivered(
        self, certificate: Certificate, within: float = ENROLMENT_SECONDS
    ) -> Certificate | Denied | Unavailable:
        """Tell of a certificate where its connector wants to know before the device does; return what the device gets.

        `Unavailable`: it could not be told yet, and the same request goes on from here (R8).
        """
        enrolment_id = certificate.intent.enrolment_id
        notice = self._store.notice_of(enrolment_id) if enrolment_id is not None else None
        if notice is None or notice.certificate_id != certificate.id:
            return certificate
        if notice.told_at is not None:
            return self._concluded(notice, certificate)
        link = self._links.link(notice.connector)
        if isinstance(link, NotAsked):
            return Unavailable(link.reason, link.detail)
        if not isinstance(link, Notifier) or not link.confirms:
            return certificate
        told = self._attempt(notice, link, certificate, within)
        if isinstance(told, NotAsked):
            return Unavailable(told.reason, told.detail)
        after = self._store.notice_of(notice.enrolment_id)
        if after is None or after.told_at is None:
            return Unavailable(reasons.IN_PROGRESS, f"notice {notice.id}")
        return self._concluded(after, certificate)

    def _concluded(self, notice: Notice, certificate: Certificate) -> Certificate | Denied:
        if not notice.refused:
            return certificate
        detail = f"connector {notice.connector} said {notice.refused}; certificate {certificate.serial:x} is revoked"
        return Denied(
            reasons.CONNECTOR_CERTIFICATE_REFUSED,
            detail,
            asked=certificate.intent.names,
            facts={"connector": notice.connector, "code": notice.refused},
        )

    # --- the job ----------------------------------------------------------------------------------------------------

    def tell_due(self, now: datetime) -> int:
        """Tell what is due and was not told by whoever issued it. Returns how many are settled by it.

        A connector that rests, or that cannot be looked at, keeps only its own waiting.
        """
        settled = 0
        for notice in self._store.due_notices(now, _BATCH):
            settled += self._due(notice)
        return settled

    def _due(self, notice: Notice) -> bool:
        certificate = self._store.certificate(notice.certificate_id) if notice.certificate_id is not None else None
        if notice.certificate_id is not None and (
            certificate is None or certificate.state is not CertificateState.ISSUED
        ):
            return self._not_issued(notice, certificate)
        link = self._links.link(notice.connector)
        if isinstance(link, NotAsked):
            self._postponed(notice)
            return False
        if not isinstance(link, Notifier):
            # It was changed to a kind that wants to know nothing.
            return self._closed(notice, "its kind takes no notices")
        return not isinstance(self._attempt(notice, link, certificate, ENROLMENT_SECONDS), NotAsked)

    def _not_issued(self, notice: Notice, certificate: Certificate | None) -> bool:
        """Its certificate is not there (yet): recovery signs it, or a repetition of the request gets another one."""
        if certificate is not None and certificate.state is CertificateState.ABANDONED:
            return self._closed(notice, "its certificate was abandoned before it was signed")
        self._postponed(notice)
        return False

    # --- one attempt ------------------------------------------------------------------------------------------------

    def _attempt(self, notice: Notice, link: Notifier, certificate: Certificate | None, within: float) -> _Answer:
        """Claim, tell and conclude. Telling twice is harmless, so a claim that is not concluded is tried again."""
        if within < _LEAST_SECONDS:
            return NotAsked(reasons.CONNECTOR_AWAY, f"no time is left to tell connector {notice.connector}")
        now = self._clock.now()
        claimed = self._store.claim_notice(notice, now, now + _ATTEMPT)
        if claimed is None:
            return NotAsked(reasons.IN_PROGRESS, f"somebody else tells connector {notice.connector}")
        content, until = self._opened(claimed), self._seconds() + within
        told: _Answer = self._gates.ask(
            claimed.connector, lambda: _said(link, content, certificate, max(0.0, until - self._seconds()))
        )
        self._conclude(claimed, told, certificate)
        return told

    def _conclude(self, claimed: Notice, told: _Answer, certificate: Certificate | None) -> None:
        now = self._clock.now()
        if isinstance(told, NotAsked) and now - _made_at(claimed) < _LONGEST:
            after = replace(claimed, due_at=now + _pause(claimed.attempts))
            self._store.conclude_notice(claimed, after, None, ())
            return
        if isinstance(told, NotAsked):
            self._give_up(claimed, told, now)
            return
        events = [self._event(claimed, told, certificate, now)]
        current: Notice | None = claimed
        for _ in range(_RACES):
            if current is None or current.told_at is not None:
                return
            if self._kept(current, told, certificate, now, events):
                return
            # A repetition of the request began an attempt of its own meanwhile, or somebody revoked the certificate:
            # the answer is there all the same.
            current = self._store.notice_of(claimed.enrolment_id)
            certificate = self._store.certificate(certificate.id) if certificate is not None else None

    def _kept(
        self,
        notice: Notice,
        told: Told | Refused,
        certificate: Certificate | None,
        at: datetime,
        events: list[EventDraft],
    ) -> bool:
        """Record an answer; a no ends the certificate in the same transaction (R8)."""
        if not isinstance(told, Refused):
            return self._store.conclude_notice(notice, _over(notice, at), None, events)
        code = told.code or told.reason.id
        after = _over(notice, at, code)
        if certificate is None or _ended(certificate):
            return self._store.conclude_notice(notice, after, None, events)
        revocation = Revocation(
            certificate.id,
            RevocationReason.CESSATION_OF_OPERATION,
            "connector",
            f"connector:{notice.connector}",
            at,
            f"{code}: {told.detail}"[:500],
        )
        return self._store.conclude_notice(notice, after, revocation, (*events, _revoked(certificate, revocation)))

    def _give_up(self, claimed: Notice, told: NotAsked, now: datetime) -> None:
        event = self._event(claimed, told, None, now)
        # Nobody took note, so nobody gets it either; what the device never had is no reason to revoke anything (CON-5).
        self._store.conclude_notice(claimed, _over(claimed, now, GIVEN_UP), None, (event,))

    def _postponed(self, notice: Notice) -> None:
        """Look at it again later, without its counting as an attempt at its connector."""
        now = self._clock.now()
        claimed = self._store.claim_notice(notice, now, now + _ATTEMPT)
        if claimed is not None:
            self._store.conclude_notice(claimed, replace(claimed, due_at=now + _pause(claimed.attempts)), None, ())

    def _closed(self, notice: Notice, why: str) -> bool:
        now = self._clock.now()
        claimed = self._store.claim_notice(notice, now, now + _ATTEMPT)
        if claimed is None:
            return False
        event = self._event(claimed, Told(why), None, now)
        return self._store.conclude_notice(claimed, _over(claimed, now), None, (event,))

    def _event(self, notice: Notice, told: _Answer, certificate: Certificate | None, at: datetime) -> EventDraft:
        details: dict[str, JsonValue] = {"connector": notice.connector, "attempts": notice.attempts}
        details["enrolment"] = str(notice.enrolment_id)
        refused = not isinstance(told, Told)
        if isinstance(told, Refused):
            details |= {"code": told.code, "detail": told.detail}
        elif isinstance(told, NotAsked):
            details |= {"code": "", "detail": f"given up: {told.detail}"}
        else:
            details["note"] = told.note
        return EventDraft(
            at=at,
            actor=Actor(ActorKind.SYSTEM, f"connector:{notice.connector}"),
            action=Action.CONNECTOR_REFUSED if refused else Action.CONNECTOR_TOLD,
            object=f"connector:{notice.connector}",
            outcome=Outcome.REFUSED if refused else Outcome.OK,
            group=certificate.intent.group if certificate is not None else None,
            reason_id=None if isinstance(told, Told) else told.reason.id,
            serial=f"{certificate.serial:x}" if certificate is not None else None,
            details=details,
        )


def _ended(certificate: Certificate) -> bool:
    """Whether it is revoked for good; a hold is not its end."""
    ended = certificate.revocation
    return ended is not None and ended.reason is not RevocationReason.CERTIFICATE_HOLD


def _made_at(notice: Notice) -> datetime:
    """Read when it was drafted from its id (RFC 9562 §5.7)."""
    return datetime.fromtimestamp(int.from_bytes(notice.id.bytes[:6]) / 1000, UTC)


def _over(notice: Notice, at: datetime, refused: str = "") -> Notice:
    """Close it; nobody needs the request any more that was told of (PRIV-1)."""
    return replace(notice, told_at=at, refused=refused, sealed=b"")


def _pause(attempts: int) -> timedelta:
    return min(_FIRST_PAUSE * (1 << min(attempts, 10)), _LONGEST_PAUSE)


def _said(link: Notifier, content: _Content, certificate: Certificate | None, within: float) -> _Answer:
    """Put it into the words of the port."""
    if certificate is None:
        reason = reasons.by_id(content.reason) or reasons.CONNECTOR_REFUSED
        return link.refused(RefusedNotice(content.transaction_id, content.csr, reason, content.detail), within=within)
    if certificate.der is None:
        raise InvariantError(f"certificate {certificate.id} is told of before it is signed")
    facts = read_certificate(certificate.der)
    notice = IssuedNotice(
        transaction_id=content.transaction_id,
        csr=content.csr,
        certificate=certificate.der,
        serial=certificate.serial,
        not_after=certificate.intent.not_after,
        issuer=name_text(facts.issuer),
        authority=certificate.intent.authority,
    )
    return link.issued(notice, within=within)


def _revoked(certificate: Certificate, revocation: Revocation) -> EventDraft:
    actor = Actor(ActorKind.SYSTEM, revocation.actor)
    details: dict[str, JsonValue] = {"reason": revocation.reason.name.lower(), "cause": revocation.cause}
    if revocation.note:
        details["note"] = revocation.note
    return certificate_event(Action.CERTIFICATE_REVOKED, certificate.intent, actor, revocation.at, details=details)
