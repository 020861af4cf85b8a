"""What is told of the certificates of a device or a user: their causes, and what each has to do with how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia.model import Action
from regalia.model.fleet import PendingAction
from regalia.ports import CertificateFilter, EventFilter
from regalia.verbs.certificate import CertificateRecord, certificate_fields
from regalia.verbs.certificate_causes import CauseRecord, beside_certificates
from regalia.verbs.paging import MOST
from regalia.verbs.verb import Record, Time

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Certificate, Event
    from regalia.model.fleet import DeviceState, UserState
    from regalia.verbs.certificate_causes import Beside
    from regalia.verbs.verb import Desk

__all__ = ["BearerCertificate", "HistoryRecord", "certificates_of", "history_of", "state_words"]


_HISTORY = 20
"""Changes that are shown of a record; the log has all of them."""
_OF_RECORD = frozenset({"connector", "external_id"})
"""What each of its events repeats."""


class BearerCertificate(CertificateRecord):
    """A certificate with what is kept beside it, and what follows from that."""

    profile: str | None
    causes: Annotated[tuple[CauseRecord, ...], Field(description="Oldest first, also those that ended.")]
    explained: Annotated[tuple[str, ...], Field(description="How it stands, and what each cause has to do with it.")]


class HistoryRecord(Record):
    """A change of a record, as the log has it."""

    at: Time
    action: Action
    by: str
    details: Annotated[dict[str, Any], Field(description="The state and the former one, or why, in words.")]


def certificates_of(
    desk: Desk, *, device_id: UUID | None = None, user_id: UUID | None = None
) -> tuple[BearerCertificate, ...]:
    """Those of a record, newest first, as far as the caller sees them."""
    wanted = CertificateFilter(device_id=device_id, user_id=user_id, groups=desk.reach.groups, limit=MOST)
    found = desk.services.store.certificate_page(wanted).items
    beside = beside_certificates(desk, found)
    return tuple(_told(desk, each, beside[each.id]) for each in found)


def _told(desk: Desk, certificate: Certificate, beside: Beside) -> BearerCertificate:
    fields: dict[str, Any] = certificate_fields(certificate, desk.now())
    return BearerCertificate(
        **fields, profile=certificate.intent.profile, causes=beside.causes, explained=beside.explained
    )


def history_of(desk: Desk, record: str) -> tuple[HistoryRecord, ...]:
    """Tell how a record came to be what it is, newest first, as far as the caller sees it (AUTHZ-4)."""
    wanted = EventFilter(object=record, groups=desk.reach.groups, limit=_HISTORY)
    return tuple(map(_history_record, desk.services.store.event_page(wanted).items))


def _history_record(event: Event) -> HistoryRecord:
    draft = event.draft
    details = {name: value for name, value in draft.details.items() if name not in _OF_RECORD}
    return HistoryRecord(at=draft.at, action=draft.action, by=draft.actor.id, details=details)


def state_words(state: DeviceState | UserState) -> str:
    """Say in words what is wrong with a device or a user; `good` where nothing is, as far as anybody said."""
    flags: tuple[tuple[str, str], ...] = (
        ("enabled", "disabled"),
        ("managed", "unmanaged"),
        ("compliant", "not compliant"),
        ("licensed", "without licence"),
    )
    words = [] if state.present else ["absent"]
    pending = getattr(state, "pending", PendingAction.NONE)
    if pending is not PendingAction.NONE:
        words.append(f"{pending} under way")
    if getattr(state, "lost", None):
        words.append("lost")
    words += [word for name, word in flags if getattr(state, name, None) is False]
    if state.risk not in (None, "none", "low"):
        words.append(f"risk {state.risk}")
    return ", ".join(words) or "good"
