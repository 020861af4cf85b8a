"""The fake store's lists a page at a time: everything is looked at, nothing is indexed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, TypeVar

from memory_figures import is_followed, why_ended
from regalia.model import CertificateState
from regalia.ports import COUNTED, CertificateFilter, ChallengeFilter, EnrolmentFilter, EventFilter, Listed
from regalia.store.figures import first_id
from regalia.store.values import names_text
from regalia.wire.event import canonical_record
from regalia.wire.search_text import Words, wanted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Certificate, Challenge, Endpoint, Enrolment, Event, Names
    from regalia.ports import Place
    from regalia.ports.fleet import KeptCause

__all__ = ["MemoryLists"]

T = TypeVar("T")


class MemoryLists:
    """See `ports.Certificates`, `Enrolments`, `Challenges`, `Events` and `SearchIndex`."""

    log: list[Event]
    _certificates: dict[UUID, Certificate]
    _enrolments: dict[UUID, Enrolment]
    _challenges: dict[UUID, Challenge]
    _endpoints: dict[str, Endpoint]
    _kept: list[KeptCause]

    def index_more(self, now: datetime) -> int:
        """Nothing is indexed."""
        del now
        return 0

    def certificate_page(self, wanted: CertificateFilter) -> Listed[Certificate]:
        """Return one page."""
        text = wanted_text(wanted.search)
        found = [
            c
            for c in self._certificates.values()
            if _is_wanted(wanted, c)
            and self._is_wanted_too(wanted, c)
            and (not text or self._certificate_words(c).match(text))
        ]
        by_time = (wanted.by_end or wanted.expired_at is not None) and not text
        if not by_time:
            return _page(found, lambda c: (c.id.hex,), wanted, descending=True)
        return _page(found, lambda c: (_millis(c.intent.not_after), c.id.hex), wanted, descending=not wanted.by_end)

    def _is_wanted_too(self, wanted: CertificateFilter, c: Certificate) -> bool:
        """Whether what stands beside a certificate is as it is wanted."""
        of, end = c.intent, c.revocation
        own = self._enrolments.get(of.enrolment_id) if of.enrolment_id is not None else None
        came_after = is_followed(c, self._certificates.values(), self._enrolments)
        return (
            (wanted.endpoints is None or (own is not None and own.key.endpoint in wanted.endpoints))
            and (wanted.begun_from is None or c.id.bytes >= first_id(wanted.begun_from))
            and (wanted.begun_before is None or c.id.bytes < first_id(wanted.begun_before))
            and wanted.followed in (None, came_after)
            and (wanted.ended_from is None or (end is not None and end.at >= wanted.ended_from))
            and (wanted.cause is None or (end is not None and why_ended(end, self._kept) == wanted.cause))
        )

    def _certificate_words(self, certificate: Certificate) -> Words:
        intent = certificate.intent
        enrolment = None if intent.enrolment_id is None else self._enrolments.get(intent.enrolment_id)
        return Words(
            (intent.subject, intent.device, intent.group, intent.authority, intent.profile, *_parts(intent.names)),
            (
                f"{intent.serial:x}",
                None if certificate.der is None else hashlib.sha256(certificate.der).hexdigest(),
                intent.key_sha256.hex(),
                None if enrolment is None else enrolment.key.transaction_id.decode("ascii", "replace"),
            ),
        )

    def enrolment_page(self, wanted: EnrolmentFilter) -> Listed[Enrolment]:
        """Return one page."""
        text = wanted_text(wanted.search)
        found = [
            e
            for e in self._enrolments.values()
            if wanted.state in (None, e.state)
            and wanted.endpoint in (None, e.key.endpoint)
            and (wanted.groups is None or e.group in wanted.groups)
            and wanted.reason in (None, e.reason_id)
            and (wanted.endpoints is None or e.key.endpoint in wanted.endpoints)
            and (wanted.changed_from is None or e.updated_at >= wanted.changed_from)
            and (wanted.changed_before is None or e.updated_at < wanted.changed_before)
            and (not text or _enrolment_words(e).match(text))
        ]
        return _page(found, lambda e: (e.id.hex,), wanted, descending=True)

    def challenge_page(self, wanted: ChallengeFilter) -> Listed[Challenge]:
        """Return one page."""
        text = wanted_text(wanted.search)
        found = [
            c
            for c in self._challenges.values()
            if wanted.endpoint in (None, c.endpoint)
            and (wanted.groups is None or self._group_of(c) in wanted.groups)
            and (not text or self._challenge_words(c).match(text))
        ]
        return _page(found, lambda c: (c.id.hex,), wanted, descending=True)

    def _group_of(self, challenge: Challenge) -> str | None:
        endpoint = self._endpoints.get(challenge.endpoint)
        return None if endpoint is None else endpoint.group

    def _challenge_words(self, c: Challenge) -> Words:
        return Words((c.endpoint, self._group_of(c), c.device, c.created_by, *_parts(c.binding)), (str(c.id),))

    def event_page(self, wanted: EventFilter) -> Listed[Event]:
        """Return one page."""
        text = wanted_text(wanted.search)
        found = [
            (position, event)
            for position, event in enumerate(self.log, 1)
            if wanted.action in (None, event.draft.action)
            and wanted.object in (None, event.draft.object)
            and wanted.group in (None, event.draft.group)
            and wanted.security in (None, event.draft.security)
            and (wanted.groups is None or event.draft.group in wanted.groups)
            and (not text or _event_holds(event, text))
        ]
        listed = _page(found, lambda each: (each[0],), wanted, descending=True)
        return Listed(tuple(event for _, event in listed.items), listed.following, listed.total)


def _is_wanted(wanted: CertificateFilter, c: Certificate) -> bool:
    return (
        wanted.kind in (None, c.intent.kind)
        and wanted.group in (None, c.intent.group)
        and (wanted.groups is None or c.intent.group in wanted.groups)
        and wanted.authority in (None, c.intent.authority)
        and wanted.revoked in (None, c.revocation is not None)
        and wanted.subject in (None, c.intent.subject)
        and wanted.device in (None, c.intent.device)
        and wanted.device_id in (None, c.intent.device_id)
        and wanted.user_id in (None, c.intent.user_id)
        and wanted.state in (None, c.state)
        and (wanted.live_at is None or (c.state is CertificateState.ISSUED and c.intent.not_after > wanted.live_at))
        and (wanted.expired_at is None or c.intent.not_after <= wanted.expired_at)
        and (wanted.ends_after is None or c.intent.not_after > wanted.ends_after)
        and (wanted.ends_by is None or c.intent.not_after <= wanted.ends_by)
    )


def _parts(names: Names) -> list[str | None]:
    fields = json.loads(names_text(names))
    further = [value for _, value in fields.get("rdns", ())]
    return [fields["cn"], fields.get("sid"), *further, *(value for _, value in fields["sans"])]


def _enrolment_words(e: Enrolment) -> Words:
    device = None if e.lineage is None else e.lineage.device
    return Words(
        (e.key.endpoint, e.group, e.profile, e.source, device, *_parts(e.asked), *_parts(e.allowed)),
        (str(e.id), e.key.transaction_id.decode("ascii", "replace"), e.key.key_sha256.hex()),
    )


def _event_holds(event: Event, text: str) -> bool:
    draft = event.draft
    columns = [
        each.lower()
        for each in (draft.object, draft.action, draft.serial, draft.transaction_id, draft.group)
        if each is not None
    ]
    if len(text) < 3:
        return any(each.startswith(text) for each in columns)
    record = canonical_record(event.stream, event.sequence, event.previous, draft).decode().lower()
    return any(json.dumps(text, ensure_ascii=False)[1:-1] in each for each in (record, *columns))


def _millis(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _page(
    values: Sequence[T],
    place: Callable[[T], Place],
    wanted: CertificateFilter | EnrolmentFilter | ChallengeFilter | EventFilter,
    *,
    descending: bool,
) -> Listed[T]:
    found = sorted(values, key=place, reverse=descending)
    begin = wanted.after
    try:
        behind = [
            each for each in found if begin is None or (place(each) < begin if descending else place(each) > begin)
        ]
    except TypeError:
        behind = []
    shown = behind[: wanted.limit]
    following = place(shown[-1]) if len(behind) > len(shown) else None
    return Listed(tuple(shown), following, min(len(found), COUNTED + 1) if begin is None else None)
