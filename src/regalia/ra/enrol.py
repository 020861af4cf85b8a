"""One enrolment from a verified request to its end: conversation, decision, issuance (steps 8 to 10 and on).

Every protocol comes through `Enroller.enrol`, and who asks what became of it through `Enroller.poll`; what they return
is a value that the protocol turns into its answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.issue import halted, prepare_leaf
from regalia.ca.recover import overdue
from regalia.errors import AdminError, InvariantError, Stage, UnavailableError
from regalia.model import (
    Action,
    Approved,
    AuthorisationKind,
    Authoriser,
    Certificate,
    CertificateState,
    Denied,
    EnrolmentState,
    EventDraft,
    Names,
    Outcome,
    Pending,
    StageNote,
    Unavailable,
    new_id,
)
from regalia.ports import Begun, Events
from regalia.ra.bearers import Word
from regalia.ra.decide import DecisionStore, decide, draft_enrolment, judge
from regalia.ra.evidence import authorise_resumption
from regalia.ra.explain import stages
from regalia.ra.legacy import legacy_events
from regalia.ra.protected import UNPROTECTED
from regalia.ra.refusals import Refused
from regalia.ra.renew import believed
from regalia.ra.request import stored_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from regalia.ca.issue import Issuer, Prepared
    from regalia.ca.recover import Recovery
    from regalia.ca.urls import Urls
    from regalia.model import Door, Enrolment, IssueOrder, Known, LineageLink
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ports.fleet import Notice
    from regalia.ra.bearers import Records
    from regalia.ra.notices import Teller
    from regalia.ra.protected import ProtectedNames
    from regalia.ra.refusals import Refusals
    from regalia.ra.request import EnrolmentRequest, PollRequest
    from regalia.ra.vouching import Voucher

__all__ = ["REPLAY_WINDOW", "Ended", "EnrolStore", "Enroller"]

REPLAY_WINDOW = timedelta(hours=24)
"""How long a conversation hands out its certificate, from the moment that it was begun (R3).

Not from the request: one that an administrator approved a day later would never reach its device.
"""
_PAUSE = 0.1
"""Seconds between two looks at an intent that another worker is at."""
_LOOKS = 50
"""Five seconds of them (R8), counted and not read from a clock that may jump."""
_RACES = 3
"""How often a lost race is judged afresh: the winner's row decides the second round, so more is not to be expected."""

Ended = Certificate | Pending | Denied | Unavailable


class EnrolStore(DecisionStore, Events, Protocol):
    """What the whole way needs to know."""


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Nothing to resume: judge the request. `closes` is the older conversation of the same key, if there is one."""

    closes: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Resumed:
    """Its certificate was abandoned unsigned: the same enrolment gets another serial (I4)."""

    enrolment: Enrolment
    lineage: LineageLink
    abandoned: UUID


@dataclass(frozen=True, slots=True)
class _Unvouched:
    """A connector is to be asked first."""


def _is_spent(certificate: Certificate, door: Door, now: datetime) -> bool:
    """Whether a conversation hands its certificate out no more: it or its CA ended, or the 24 hours are over (R3)."""
    ended = certificate.revocation is not None or now > certificate.intent.not_after
    ended = ended or certificate.intent.authority not in believed(door)
    return ended or now - certificate.intent.created_at >= REPLAY_WINDOW


def _other_names(stored: Enrolment, request: EnrolmentRequest) -> Denied | None:
    """R3: a repetition asks for what the first one asked for."""
    if stored.asked == request.csr.asked:
        return None
    return Denied(reasons.CONVERSATION_CHANGED, f"enrolment {stored.id}", asked=request.csr.asked, allowed=stored.asked)


def _transaction_free(request: EnrolmentRequest, holder: Enrolment | None) -> _Fresh | Denied:
    """One transactionID belongs to one key while it is fresh; a LIVE signer is known by its serial instead."""
    if holder is None or holder.key.key_sha256 == request.key_sha256:
        return _Fresh()
    return Denied(reasons.TRANSACTION_TAKEN, f"enrolment {holder.id} has it", security=True)


def _sealing_scope(enrolment_id: UUID) -> str:
    return f"enrolment:{enrolment_id}"


def _pending_event(request: EnrolmentRequest, held: Enrolment, why: str) -> EventDraft:
    """Tell of what waits; `why` it does where it is a second key, which somebody should look at."""
    return EventDraft(
        at=request.received_at,
        actor=request.actor,
        action=Action.ENROLMENT_PENDING,
        object=f"enrolment:{held.id}",
        outcome=Outcome.OK,
        group=held.group,
        reason_id=reasons.SECOND_KEY.id if why else None,
        transaction_id=request.transaction_id.decode("utf-8", "replace"),
        security=bool(why),
        details={
            "endpoint": held.key.endpoint,
            "asked": list(held.asked.listed()),
            "names": list(held.allowed.listed()),
            "key_sha256": held.key.key_sha256.hex(),
            "message": request.described,
            "source": held.source,
            **({"why": why} if why else {}),
        },
    )


def _needs_word(request: EnrolmentRequest) -> bool:
    """Whether a connector is to be asked about it: about a device's first request at its endpoint, and nothing else."""
    connector = request.door.endpoint.authoriser is Authoriser.CONNECTOR
    return connector and request.signer is None and request.vouched is None


def _ours(request: EnrolmentRequest, known: Known) -> Denied | None:
    """Refuse a challenge of another endpoint of ours: it is shown to no system outside (AUTHZ-2)."""
    if known.challenge is None:
        return None
    return Denied(
        reasons.CHALLENGE_UNKNOWN,
        f"it belongs to endpoint {known.challenge.endpoint}",
        asked=request.csr.asked,
        security=True,
    )


def _no_voucher(request: EnrolmentRequest) -> Unavailable:
    return Unavailable(reasons.VOUCHER_MISSING, f"endpoint {request.door.endpoint.name}")


class Enroller:
    """Leads requests to their end."""

    def __init__(  # noqa: PLR0913 - what an enrolment needs on its way, each named at the one call
        self,
        *,
        store: EnrolStore,
        issuer: Issuer,
        recovery: Recovery,
        refusals: Refusals,
        clock: Clock,
        entropy: Entropy,
        urls: Urls,
        serial_prefix: int,
        pause: Callable[[float], None],
        sealer: Sealer,
        certificates_per_device: int = 5,
        protected: ProtectedNames = UNPROTECTED,
        voucher: Voucher | None = None,
        teller: Teller | None = None,
        pending_per_group: int = 1_000,
    ) -> None:
        """`sealer` keeps the challenges of held requests whose senders cannot decrypt (CHA-4).

        `voucher` asks connectors about requests, and `teller` tells them what became of them; without a voucher an
        endpoint with a connector answers that it cannot say now. `pending_per_group`: how many may wait for a person
        where a connector did not vouch for a second key; the protocol's limits know only later of these (RES-5).
        """
        self._store = store
        self._issuer = issuer
        self._recovery = recovery
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy
        self._urls = urls
        self._serial_prefix = serial_prefix
        self._pause = pause
        self._sealer = sealer
        self._per_device = certificates_per_device
        self._protected = protected
        self._voucher = voucher
        self._teller = teller
        self._pending_per_group = pending_per_group

    def enrol(self, request: EnrolmentRequest, *, repeats_only: Denied | None = None) -> Ended:
        """Answer from the stored conversation, or decide and issue. Refusals are recorded before this returns.

        `repeats_only` is the answer where no stored conversation has one: a device that is over a limit still gets what
        it has already, since only its content shows that it asks again.
        """
        ended, word = self._led(request, repeats_only)
        if isinstance(ended, Certificate):
            ended = self._delivered(request.door, ended, word)
        if isinstance(ended, Denied):
            self._record(request, ended, word)
        return ended

    def _led(self, request: EnrolmentRequest, repeats_only: Denied | None) -> tuple[Ended, Word | None]:
        """Lead it to its end, and give back what a connector said of it.

        A connector is asked once, while nothing is held. Much may have happened meanwhile, so all that was known of the
        request is looked up again with its word.
        """
        word: Word | None = None
        for _ in range(_RACES + 1):
            ended = self._attempt(request, repeats_only, word)
            if isinstance(ended, _Unvouched):
                said = self._voucher.ask(request) if self._voucher is not None else _no_voucher(request)
                if not isinstance(said, Word):
                    return said, None
                word = said
            elif ended is not None:
                return ended, word
        return Unavailable(reasons.IN_PROGRESS), word

    def _delivered(self, door: Door, certificate: Certificate, word: Word | None) -> Certificate | Denied | Unavailable:
        """Have its connector told before the device, where it wants that (R8)."""
        if door.endpoint.authoriser is not Authoriser.CONNECTOR or self._teller is None:
            return certificate
        if word is None or self._voucher is None:
            return self._teller.delivered(certificate)
        self._voucher.placed(word, door.group.name)
        return self._teller.delivered(certificate, self._voucher.left(word))

    def preview(self, request: EnrolmentRequest) -> Prepared | Ended:
        """Say what `enrol` would do, and do nothing: the certificate unsigned, or the answer."""
        known = self._store.known(request.conversation, request.received_at - REPLAY_WINDOW)
        found = self._resume(request, known)
        if not isinstance(found, _Fresh | _Resumed):
            return found
        enrolment_id = new_id(request.received_at, self._entropy.octets(10))
        decision = self._decided(request, known, enrolment_id, None)
        return self._prepared(request, decision.order) if isinstance(decision, Approved) else decision

    def poll(self, poll: PollRequest) -> Ended:
        """Tell a device what became of its enrolment. Refusals are recorded before this returns.

        Never begun, denied, expired, handed out long ago or another key's: all the same to who asks (MSG-3).
        """
        stored = self._store.conversation_of(poll.door.endpoint.name, poll.transaction_id, poll.key_sha256)
        ended = self._became(stored, poll) if stored is not None else None
        if ended is not None:
            self._note_legacy(poll, ended)
            return self._delivered(poll.door, ended, None) if isinstance(ended, Certificate) else ended
        denied = Denied(reasons.POLL_UNKNOWN, f"enrolment {stored.id} is over" if stored is not None else "")
        self._refusals.record(
            Refused(
                at=self._clock.now(),
                source=poll.source,
                endpoint=poll.door.endpoint.name,
                denied=denied,
                group=poll.door.group.name,
                transaction_id=poll.transaction_id.decode("utf-8", "replace"),
                message=poll.described,
            )
        )
        return denied

    def _became(self, stored: Enrolment, poll: PollRequest) -> Ended | None:
        """Say what a conversation came to; None where it hands nothing out any more."""
        if stored.state is EnrolmentState.PENDING:
            return Pending(stored)
        if poll.keyed_by_challenge and self._challenge_kept_for(stored.id) is None:
            # Its answer was, and is, one to the request itself, which carries the challenge that keys it.
            return None
        certificate = self._settled(stored)
        if certificate is None:
            return Unavailable(reasons.IN_PROGRESS, f"enrolment {stored.id}")
        if certificate.state is CertificateState.ABANDONED:
            # A client that polls does not send its request again, so this is the one chance to begin it anew (I4).
            return self.enrol(
                stored_request(stored, poll.door, source=poll.source, at=poll.received_at, described=poll.described)
            )
        return None if _is_spent(certificate, poll.door, poll.received_at) else certificate

    def kept_challenge(self, certificate: Certificate) -> str | None:
        """Return the challenge of the held request that a certificate was issued for, where it is kept.

        Raises `UnavailableError` where it does not open.
        """
        enrolment_id = certificate.intent.enrolment_id
        return self._challenge_kept_for(enrolment_id) if enrolment_id is not None else None

    def _challenge_kept_for(self, enrolment_id: UUID) -> str | None:
        sealed = self._store.sealed_challenge(enrolment_id)
        if sealed is None:
            return None
        try:
            return self._sealer.unseal(_sealing_scope(enrolment_id), sealed).decode()
        except AdminError as error:
            # Another master key, or a row that was altered: our side's fault, and final for nobody.
            raise UnavailableError(error.reason, error.detail) from error

    def _note_legacy(self, request: EnrolmentRequest | PollRequest, ended: Ended) -> None:
        """Record what an answer from the stored conversation was given for; a new one has it beside its own events."""
        if request.legacy and isinstance(ended, (Certificate, Pending)):
            self._store.record(legacy_events(request))

    def _attempt(
        self, request: EnrolmentRequest, repeats_only: Denied | None, word: Word | None
    ) -> Ended | _Unvouched | None:
        """One round; None where another worker won the race for what this one wanted."""
        known = self._store.known(request.conversation, request.received_at - REPLAY_WINDOW)
        found = self._resume(request, known)
        if isinstance(found, _Resumed | _Fresh) and request.door.group.suspended_at is not None:
            # Not a refusal: devices take that for final, and an administrator may resume the group in a minute (R6).
            return Unavailable(reasons.GROUP_SUSPENDED, f"group {request.door.group.name}")
        if isinstance(found, _Resumed):
            decision = self._resumed(request, known, found)
        elif isinstance(found, _Fresh):
            if repeats_only is not None:
                return repeats_only
            if _needs_word(request) and word is None:
                return _ours(request, known) or _Unvouched()
            enrolment_id = new_id(request.received_at, self._entropy.octets(10))
            decision = self._decided(request, known, enrolment_id, word)
        else:
            self._note_legacy(request, found)
            return found
        if isinstance(decision, Denied):
            return None if self._was_overtaken(request, known, decision) else decision
        if isinstance(decision, Pending):
            return self._hold(request, decision, found)
        return self._issue(request, decision, found)

    def _resumed(self, request: EnrolmentRequest, known: Known, found: _Resumed) -> Approved | Pending | Denied:
        """Decide what was decided before: its evidence was judged and consumed then."""
        return judge(
            request,
            authorise_resumption(request, found.enrolment, found.lineage),
            known.same_key,
            self._store,
            found.enrolment.id,
            protected=self._protected,
            records=self._records,
        )

    @property
    def _records(self) -> Records | None:
        return self._voucher.records if self._voucher is not None else None

    def _decided(
        self, request: EnrolmentRequest, known: Known, enrolment_id: UUID, word: Word | None
    ) -> Approved | Pending | Denied:
        return decide(
            request,
            known,
            self._store,
            enrolment_id,
            certificates_per_device=self._per_device,
            protected=self._protected,
            word=word,
            records=self._records,
        )

    def _was_overtaken(self, request: EnrolmentRequest, known: Known, denied: Denied) -> bool:
        """Whether the very request used its challenge on another worker, after its conversation was looked for (R3).

        A renewal's challenge is read on its own; that of a first enrolment with the conversation, in one statement.
        """
        if request.signer is None or denied.reason is not reasons.CHALLENGE_USED or known.conversation is not None:
            return False
        now = self._store.known(request.conversation, request.received_at - REPLAY_WINDOW)
        return now.conversation is not None

    def _hold(
        self, request: EnrolmentRequest, pending: Pending, found: _Fresh | _Resumed
    ) -> Pending | Unavailable | None:
        """Keep what an administrator is to decide; None where another worker was first."""
        if isinstance(found, _Resumed):
            raise InvariantError(f"enrolment {found.enrolment.id} had a certificate and is to be held")
        why = pending.second_key
        if why and self._store.pending_count(request.door.group.name) >= self._pending_per_group:
            return Unavailable(reasons.QUEUE_FULL, f"{self._pending_per_group} wait in group {request.door.group.name}")
        described = f"waits for approval: {why}" if why else "admitted by a static challenge; waits for approval"
        held = replace(pending.enrolment, stages=stages(request, request.received_at, described=described))
        event = _pending_event(request, held, why)
        sealed = None
        if request.keyed_by_challenge and request.csr.challenge is not None:
            sealed = self._sealer.seal(_sealing_scope(held.id), request.csr.challenge.encode())
        begun = self._store.hold(held, (event, *legacy_events(request)), closes=found.closes, sealed_challenge=sealed)
        return Pending(held, why) if begun is Begun.BEGUN else None

    def _issue(self, request: EnrolmentRequest, decision: Approved, found: _Fresh | _Resumed) -> Ended | None:
        order = replace(decision.order, enrolment=self._noted(request, decision.order, found))
        prepared = self._prepared(request, order)
        if isinstance(prepared, (Denied, Unavailable)):
            return prepared
        issued = self._issuer.issue(
            prepared,
            actor=request.actor,
            enrolment=order.enrolment,
            consume=order.authorisation.challenge_id,
            closes=found.closes if isinstance(found, _Fresh) else None,
            resumes=found.abandoned if isinstance(found, _Resumed) else None,
            also=legacy_events(request),
            notice=self._notice(request, order, prepared),
        )
        return issued if isinstance(issued, Certificate) else halted(issued, prepared.intent)

    def _notice(self, request: EnrolmentRequest, order: IssueOrder, prepared: Prepared) -> Notice | None:
        """Draft what its connector is told, to be kept with the intent (R8)."""
        connector = request.door.endpoint.connector
        if self._teller is None or connector is None or order.authorisation.kind is not AuthorisationKind.CONNECTOR:
            return None
        return self._teller.drafted(request, connector, order.enrolment.id, prepared.intent.id)

    def _prepared(self, request: EnrolmentRequest, order: IssueOrder) -> Prepared | Denied | Unavailable:
        return prepare_leaf(
            order, now=request.received_at, entropy=self._entropy, serial_prefix=self._serial_prefix, urls=self._urls
        )

    def _noted(self, request: EnrolmentRequest, order: IssueOrder, found: _Fresh | _Resumed) -> Enrolment:
        """Write down how it came to this; what is resumed keeps its beginning, and who approved it."""
        if isinstance(found, _Fresh):
            named = order.names if order.authorisation.kind is AuthorisationKind.CONNECTOR else None
            notes = stages(request, request.received_at, described=order.authorisation.by, named=named)
            return replace(order.enrolment, stages=notes)
        note = f"begun anew: certificate {found.abandoned} was abandoned before it was signed"
        return replace(
            found.enrolment,
            state=EnrolmentState.INTENT,
            profile_version=order.enrolment.profile_version,
            allowed=order.names,
            updated_at=request.received_at,
            stages=(
                *found.enrolment.stages,
                StageNote(Stage.CONVERSATION, ok=True, note=note, at=request.received_at),
            ),
        )

    # --- the stored conversation (R3) -------------------------------------------------------------------------------

    def _resume(self, request: EnrolmentRequest, known: Known) -> _Fresh | _Resumed | Ended:
        stored = known.conversation
        if stored is None:
            return _transaction_free(request, known.holder)
        if stored.state is EnrolmentState.PENDING:
            # certmonger collects by sending its request again, with another subject key identifier in it each time.
            return _other_names(stored, request) or Pending(stored)
        certificate = self._settled(stored)
        if certificate is None:
            return Unavailable(reasons.IN_PROGRESS, f"enrolment {stored.id}")
        if certificate.state is CertificateState.ISSUED and _is_spent(certificate, request.door, request.received_at):
            return _Fresh(closes=stored.id)
        changed = _other_names(stored, request)
        if changed is not None:
            return changed
        if certificate.state is CertificateState.ABANDONED:
            if stored.lineage is None:
                raise InvariantError(f"enrolment {stored.id} has a certificate and no lineage")
            return _Resumed(stored, stored.lineage, certificate.id)
        return certificate

    def _settled(self, stored: Enrolment) -> Certificate | None:
        """Wait for the worker whose lease it is, then finish in its place; None after five seconds of waiting."""
        for _ in range(_LOOKS):
            found = self._store.certificate(stored.certificate_id) if stored.certificate_id is not None else None
            if found is None or found.state is not CertificateState.INTENT:
                return found
            if overdue(found.intent, self._clock.now()):
                return self._recovery.settle(found)
            self._pause(_PAUSE)
        return None

    # --- refusals ---------------------------------------------------------------------------------------------------

    def _record(self, request: EnrolmentRequest, denied: Denied, word: Word | None) -> None:
        now = self._clock.now()
        drafted = draft_enrolment(
            request,
            new_id(now, self._entropy.octets(10)),
            EnrolmentState.REFUSED,
            allowed=denied.allowed or Names(),
        )
        enrolment = replace(
            drafted,
            reason_id=denied.reason.id,
            detail=denied.detail,
            stages=stages(request, now, denied=denied, described="; ".join(word.notes) if word is not None else ""),
        )
        self._refusals.record(
            Refused(
                at=now,
                source=request.source,
                endpoint=request.door.endpoint.name,
                denied=denied,
                group=request.door.group.name,
                transaction_id=request.transaction_id.decode("utf-8", "replace"),
                message=request.described,
                enrolment=enrolment,
                actor=request.vouched.actor if request.vouched is not None else None,
            )
        )
        if word is not None and self._teller is not None and denied.reason is not reasons.CONNECTOR_CERTIFICATE_REFUSED:
            self._teller.queue_refusal(request, word.connector, enrolment.id, denied)
