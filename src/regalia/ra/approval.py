"""Approving and denying what waits for an administrator (POL-3). Approving issues at once; the device collects it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.issue import halted, prepare_leaf
from regalia.ca.keycheck import check_key
from regalia.errors import AdminError, InvariantError, PeerError, Stage, UnavailableError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Approved,
    Certificate,
    Denied,
    EnrolmentState,
    EventDraft,
    Outcome,
    StageNote,
    Unavailable,
)
from regalia.ports import Catalogue
from regalia.ra.decide import DecisionStore, judge
from regalia.ra.evidence import authorise_approval
from regalia.ra.protected import UNPROTECTED
from regalia.ra.request import stored_request
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from regalia.ca.issue import Issuer, Prepared
    from regalia.ca.urls import Urls
    from regalia.errors import Reason
    from regalia.model import Enrolment, IssueOrder, JsonValue
    from regalia.ports import Clock, Entropy
    from regalia.ports.fleet import Notice
    from regalia.ra.bearers import Records
    from regalia.ra.notices import Teller
    from regalia.ra.protected import ProtectedNames

__all__ = ["ApprovalDesk", "ApprovalStore"]

_EXPIRY = Actor(ActorKind.SYSTEM, "approval")
_BATCH = 100


class ApprovalStore(Catalogue, DecisionStore, Protocol):
    """What the desk reads and writes."""


class ApprovalDesk:
    """Decides pending enrolments for administrators."""

    def __init__(
        self,
        *,
        store: ApprovalStore,
        issuer: Issuer,
        clock: Clock,
        entropy: Entropy,
        urls: Urls,
        serial_prefix: int,
        pending_life: timedelta,
        protected: ProtectedNames = UNPROTECTED,
        records: Records | None = None,
        teller: Teller | None = None,
    ) -> None:
        """`pending_life` is how long an enrolment may wait before `expire` refuses it; `protected` whom nobody gets.

        `records` are those that connectors' endpoints bind certificates to, and `teller` tells them of these.
        """
        self._records = records
        self._teller = teller
        self._protected = protected
        self._store = store
        self._issuer = issuer
        self._clock = clock
        self._entropy = entropy
        self._urls = urls
        self._serial_prefix = serial_prefix
        self._pending_life = pending_life

    def approve(self, enrolment_id: UUID, actor: Actor) -> Certificate:
        """Issue what a pending enrolment asks for, judged afresh: much may have changed since it was held.

        Raises `AdminError`: ADM-004 unknown; ADM-023 decided already, by whoever was faster too; SCEP-002 its endpoint
        is disabled; CA-015 its group is suspended; and the reason and detail of any refusal of key, names, extensions
        or lint, after which it still waits. Raises `UnavailableError` where the authority cannot sign now: before the
        approval is on record it still waits; after that recovery signs it.
        """
        enrolment = self._pending(enrolment_id)
        order = self._order(enrolment, actor)
        prepared = self._prepared(order)
        issued = self._issuer.issue(
            prepared,
            actor=actor,
            enrolment=order.enrolment,
            approves=True,
            notice=self._notice(order, prepared),
            also=(_decided(enrolment, Action.ENROLMENT_APPROVED, actor, prepared.intent.created_at),),
        )
        if not isinstance(issued, Certificate):
            stopped = halted(issued, prepared.intent)
            if stopped is not None:
                raise UnavailableError(stopped.reason, stopped.detail)
            raise _decided_already(enrolment_id)
        return issued

    def deny(self, enrolment_id: UUID, actor: Actor, note: str = "") -> Enrolment:
        """Refuse a pending enrolment for good; a device that asks again is held again. Returns it as refused.

        Raises `AdminError`: ADM-004 unknown, ADM-023 decided already.
        """
        enrolment = self._pending(enrolment_id)
        detail = f"by {actor.kind} {actor.id}" + (f": {note}" if note else "")
        refused = self._dismissed(enrolment, reasons.APPROVAL_DENIED, detail, actor, self._clock.now(), note)
        if refused is None:
            raise _decided_already(enrolment_id)
        return refused

    def expire(self, now: datetime) -> int:
        """Refuse what nobody decided in time. Returns how many."""
        expired = 0
        while batch := self._store.pending_since(now - self._pending_life, _BATCH):
            for enrolment in batch:
                detail = f"asked {enrolment.created_at:%Y-%m-%d %H:%M} UTC"
                refused = self._dismissed(enrolment, reasons.APPROVAL_EXPIRED, detail, _EXPIRY, now)
                expired += refused is not None
            if len(batch) < _BATCH:
                break
        return expired

    # --- approving --------------------------------------------------------------------------------------------------

    def _pending(self, enrolment_id: UUID) -> Enrolment:
        enrolment = self._store.enrolment(enrolment_id)
        if enrolment is None:
            raise AdminError(reasons.NOT_FOUND, f"enrolment {enrolment_id}")
        if enrolment.state is not EnrolmentState.PENDING:
            raise AdminError(reasons.ENROLMENT_DECIDED, f"enrolment {enrolment_id} is {enrolment.state}")
        return enrolment

    def _order(self, enrolment: Enrolment, actor: Actor) -> IssueOrder:
        """Judge the stored request as if it came now, with the administrator's word for evidence (steps 7 to 10)."""
        door = self._store.door(enrolment.key.endpoint)
        if door is None or enrolment.lineage is None:
            raise InvariantError(f"enrolment {enrolment.id} waits without its endpoint or its lineage")
        if not door.endpoint.enabled:
            raise AdminError(reasons.ENDPOINT_DISABLED, f"endpoint {door.endpoint.name}; deny the enrolment")
        if door.group.suspended_at is not None:
            raise AdminError(reasons.GROUP_SUSPENDED, f"group {door.group.name}; the enrolment still waits")
        now = self._clock.now()
        request = stored_request(enrolment, door, source=enrolment.source, at=now, described="")
        try:
            check_key(request.csr.public_key, door.profile, small_exponents=door.endpoint.legacy)
        except PeerError as fault:
            raise AdminError(fault.reason, fault.detail) from fault
        same_key = self._store.certificates_by_key(request.key_sha256)
        evidence = authorise_approval(enrolment, enrolment.lineage, actor)
        decision = judge(
            request,
            evidence,
            same_key,
            self._store,
            enrolment.id,
            protected=self._protected,
            records=self._records,
        )
        if isinstance(decision, Denied):
            raise AdminError(decision.reason, decision.detail)
        if not isinstance(decision, Approved):
            raise InvariantError(f"enrolment {enrolment.id} is approved and held again")
        if decision.order.names != enrolment.allowed:
            # The administrator saw other names than a newer version of the profile makes: those were not approved.
            now_named = ", ".join(decision.order.names.listed())
            raise AdminError(reasons.PENDING_OUTDATED, f"enrolment {enrolment.id} would now be for {now_named}")
        approved = replace(
            enrolment,
            state=EnrolmentState.INTENT,
            profile_version=door.profile.version,
            updated_at=now,
            stages=(*enrolment.stages, StageNote(Stage.EVIDENCE, ok=True, note=evidence.described, at=now)),
        )
        return replace(decision.order, enrolment=approved)

    def _notice(self, order: IssueOrder, prepared: Prepared) -> Notice | None:
        """Draft what a connector is told that vouched for the device, though not for this key."""
        enrolment, connector = order.enrolment, order.door.endpoint.connector
        if self._teller is None or connector is None:
            return None
        request = stored_request(enrolment, order.door, source=enrolment.source, at=enrolment.updated_at, described="")
        return self._teller.drafted(request, connector, enrolment.id, prepared.intent.id)

    def _prepared(self, order: IssueOrder) -> Prepared:
        prepared = prepare_leaf(
            order,
            now=order.enrolment.updated_at,
            entropy=self._entropy,
            serial_prefix=self._serial_prefix,
            urls=self._urls,
        )
        if isinstance(prepared, Denied):
            raise AdminError(prepared.reason, prepared.detail)
        if isinstance(prepared, Unavailable):
            raise UnavailableError(prepared.reason, prepared.detail)
        return prepared

    # --- refusing ---------------------------------------------------------------------------------------------------

    def _dismissed(
        self, enrolment: Enrolment, reason: Reason, detail: str, actor: Actor, at: datetime, note: str = ""
    ) -> Enrolment | None:
        """Refuse a pending enrolment; None where somebody else decided it first."""
        event = _decided(enrolment, Action.ENROLMENT_DENIED, actor, at, reason=reason, note=note)
        if not self._store.dismiss(enrolment.id, at, reason.id, detail, (event,)):
            return None
        return replace(enrolment, state=EnrolmentState.REFUSED, reason_id=reason.id, detail=detail, updated_at=at)


def _decided_already(enrolment_id: UUID) -> AdminError:
    return AdminError(reasons.ENROLMENT_DECIDED, f"somebody else was faster with enrolment {enrolment_id}")


def _decided(
    enrolment: Enrolment, action: Action, actor: Actor, at: datetime, *, reason: Reason | None = None, note: str = ""
) -> EventDraft:
    """Describe a decision: who, on what, and since when it waited."""
    details: dict[str, JsonValue] = {
        "endpoint": enrolment.key.endpoint,
        "asked": list(enrolment.asked.listed()),
        "names": list(enrolment.allowed.listed()),
        "key_sha256": enrolment.key.key_sha256.hex(),
        "source": enrolment.source,
        "since": time_text(enrolment.created_at),
    }
    if note:
        details["note"] = note
    return EventDraft(
        at=at,
        actor=actor,
        action=action,
        object=f"enrolment:{enrolment.id}",
        outcome=Outcome.OK if reason is None else Outcome.REFUSED,
        group=enrolment.group,
        reason_id=reason.id if reason is not None else None,
        transaction_id=enrolment.key.transaction_id.decode("utf-8", "replace"),
        details=details,
    )
