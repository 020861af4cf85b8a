"""The part of the store's fake that counts, one by one, and keeps what was counted. See `memory_store`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import CertificateKind, CertificateState, EnrolmentState, RevocationReason
from regalia.model.figures import Counted, Figure, Subject
from regalia.ports.figures import HORIZONS
from regalia.ports.fleet import FOLLOWED, FOLLOWING
from regalia.store.figures import first_id

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from uuid import UUID

    from regalia.model import Certificate, Enrolment, Hold, Revocation
    from regalia.ports.fleet import KeptCause

__all__ = ["MemoryFigures", "is_followed", "why_ended"]


def _figures(counted: Iterable[tuple[str, str, str]]) -> tuple[Figure, ...]:
    return tuple(Figure(number, *which) for which, number in Counter(counted).items())


def _earliest(end: Revocation | Hold, kept: Sequence[KeptCause]) -> KeptCause | None:
    """Return the earliest cause that held when a certificate was revoked or held."""
    held = [
        each
        for each in kept
        if each.certificate_id == end.certificate_id
        and each.cause is not None
        and each.kept_at <= end.at
        and (each.ended_at is None or each.ended_at > end.at)
    ]
    return min(held, key=lambda each: each.since) if held else None


def why_ended(end: Revocation, kept: Sequence[KeptCause]) -> str:
    """Name the cause that a certificate ended for: what it followed from, or who had it done."""
    if end.cause not in FOLLOWED:
        return end.cause
    found = _earliest(end, kept)
    return FOLLOWING if found is None else str(found.cause)


def is_followed(
    certificate: Certificate, certificates: Iterable[Certificate], enrolments: Mapping[UUID, Enrolment]
) -> bool:
    """Whether another one came after it: of its chain, or of its device in its group."""
    of = certificate.intent
    own = enrolments.get(of.enrolment_id) if of.enrolment_id else None
    link = own.lineage if own else None
    renewed = link is not None and any(
        each.lineage is not None
        and each.lineage.first == link.first
        and each.lineage.generation > link.generation
        and each.state is EnrolmentState.ISSUED
        for each in enrolments.values()
    )
    return renewed or any(
        each.id > certificate.id
        and each.state is CertificateState.ISSUED
        and each.intent.group == of.group
        and (
            (of.device_id is not None and each.intent.device_id == of.device_id)
            or (of.device is not None and each.intent.device == of.device)
        )
        for each in certificates
    )


class MemoryFigures:
    """See `ports.figures`."""

    _lock: threading.RLock
    _certificates: dict[UUID, Certificate]
    _enrolments: dict[UUID, Enrolment]
    _kept: list[KeptCause]

    def __init__(self) -> None:
        super().__init__()
        self._counted: dict[tuple[Subject, date | None], Counted] = {}

    if TYPE_CHECKING:

        def holds(self, certificate_id: UUID) -> tuple[Hold, ...]:
            """See `memory_status`."""

    def _leaves(self) -> Iterator[Certificate]:
        for each in self._certificates.values():
            if each.intent.kind is CertificateKind.LEAF and each.state is CertificateState.ISSUED:
                yield each

    def _live_leaves(self, now: datetime) -> Iterator[Certificate]:
        return (each for each in self._leaves() if each.intent.not_after > now and each.revocation is None)

    def first_issued(self) -> datetime | None:
        """See the port."""
        ids = [each.id for each in self._certificates.values() if each.intent.kind is CertificateKind.LEAF]
        return self._certificates[min(ids)].intent.created_at if ids else None

    def count_outcomes(self, begin: datetime, end: datetime) -> tuple[Figure, ...]:
        """See the port."""
        issued = [
            (each.intent.group or "", self._enrolments[each.intent.enrolment_id].key.endpoint, "")
            for each in self._leaves()
            if each.intent.enrolment_id is not None and first_id(begin) <= each.id.bytes < first_id(end)
        ]
        refused = [
            (each.group, each.key.endpoint, each.reason_id or "?")
            for each in self._enrolments.values()
            if each.state is EnrolmentState.REFUSED and begin <= each.updated_at < end
        ]
        return _figures([*issued, *refused])

    def count_standing(self, now: datetime) -> tuple[Figure, ...]:
        """See the port."""

        def within(end: datetime) -> str:
            return next((str(days) for days in HORIZONS if end <= now + timedelta(days=days)), "")

        return _figures(
            (each.intent.group or "", each.intent.authority, within(each.intent.not_after))
            for each in self._live_leaves(now)
        )

    def count_devices(self, now: datetime) -> tuple[Figure, ...]:
        """See the port."""
        named = {
            (each.intent.group or "", each.intent.device_id or each.intent.device) for each in self._live_leaves(now)
        }
        return _figures((group, "", "") for group, device in named if device is not None)

    def count_lapsed(self, since: datetime, now: datetime) -> tuple[Figure, ...]:
        """See the port."""
        return _figures(
            (each.intent.group or "", "", "")
            for each in self._leaves()
            if since < each.intent.not_after <= now
            and each.revocation is None
            and not is_followed(each, self._certificates.values(), self._enrolments)
        )

    def _ended_since(self, since: datetime) -> Iterator[tuple[Certificate, Revocation]]:
        for each in self._leaves():
            if each.revocation is not None and each.revocation.at >= since:
                yield each, each.revocation

    def count_ended(self, since: datetime) -> tuple[Figure, ...]:
        """See the port."""

        def how(end: Revocation) -> str:
            return "held" if end.reason is RevocationReason.CERTIFICATE_HOLD else "revoked"

        return _figures(
            (each.intent.group or "", why_ended(end, self._kept), how(end)) for each, end in self._ended_since(since)
        )

    def count_waits(self, since: datetime) -> tuple[Figure, ...]:
        """See the port."""
        found = []
        for each in self._leaves():
            held, end = self.holds(each.id), each.revocation
            ends: Sequence[Hold | Revocation] = held or ([end] if end is not None else [])
            for one in ends:
                kept = _earliest(one, self._kept)
                if one.cause == FOLLOWING and one.at >= since and kept is not None:
                    waited = max(0, (one.at - kept.since) // timedelta(milliseconds=1))
                    found.append((each.intent.group or "", str(kept.cause), str(waited)))
        return _figures(found)

    def keep_figures(self, counted: Sequence[Counted]) -> None:
        """See the port."""
        with self._lock:
            for each in counted:
                self._counted[each.subject, each.day] = each

    def figures(self, since: date, groups: frozenset[str] | None) -> tuple[Counted, ...]:
        """See the port."""
        return tuple(
            replace(each, figures=_summed(each, groups))
            for each in self._counted.values()
            if each.day is None or each.day >= since
        )

    def figures_kept(self) -> Mapping[tuple[Subject, date | None], datetime]:
        """See the port."""
        return {which: each.at for which, each in self._counted.items()}

    def forget_figures(self, before: date) -> None:
        """See the port."""
        with self._lock:
            for which in [each for each in self._counted if each[1] is not None and each[1] < before]:
                del self._counted[which]


def _summed(counted: Counted, groups: frozenset[str] | None) -> tuple[Figure, ...]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for each in counted.figures:
        if groups is None or each.group in groups:
            group = each.group if counted.subject is Subject.STANDING else ""
            sums[group, each.part, each.what] += each.number
    return tuple(Figure(number, *which) for which, number in sums.items())
