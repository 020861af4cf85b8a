"""What is told of the certificates of a device or a user: their causes, and what each has to do with how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia.model.fleet import Cause, PendingAction
from regalia.ports import CertificateFilter
from regalia.ra.follow_rules import FollowRules, read_follow_rules
from regalia.ra.following import explain
from regalia.ra.standings import live_certificate
from regalia.verbs.certificate import CertificateRecord, certificate_fields
from regalia.verbs.paging import MOST
from regalia.verbs.verb import Record, Time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Certificate
    from regalia.model.fleet import DeviceState, UserState
    from regalia.ports.fleet import KeptCause
    from regalia.verbs.verb import Desk

__all__ = ["BearerCertificate", "CauseRecord", "certificates_of", "state_words"]


class CauseRecord(Record):
    """A cause beside a certificate."""

    cause: Annotated[Cause | None, Field(description="Null: an administrator holds it.")]
    since: Time
    why: str
    ended_at: Time | None


class BearerCertificate(CertificateRecord):
    """A certificate with what is kept beside it, and what follows from that."""

    profile: str | None
    causes: Annotated[tuple[CauseRecord, ...], Field(description="Oldest first, also those that ended.")]
    explained: Annotated[tuple[str, ...], Field(description="How it stands, and what each cause has to do with it.")]


def certificates_of(
    desk: Desk, *, device_id: UUID | None = None, user_id: UUID | None = None
) -> tuple[BearerCertificate, ...]:
    """Those of a record, newest first, as far as the caller sees them."""
    store = desk.services.store
    wanted = CertificateFilter(device_id=device_id, user_id=user_id, groups=desk.reach.groups, limit=MOST)
    found = store.certificate_page(wanted).items
    kept: dict[UUID, list[KeptCause]] = {each.id: [] for each in found}
    for cause in store.causes_of([*kept]):
        kept[cause.certificate_id].append(cause)
    rules = {group.name: _rules(group.follow) for group in store.groups()}
    return tuple(_told(desk, each, kept[each.id], rules) for each in found)


def _rules(text: str) -> FollowRules:
    return read_follow_rules(text) if text.strip() else FollowRules()


def _told(
    desk: Desk, certificate: Certificate, kept: Sequence[KeptCause], rules: dict[str, FollowRules]
) -> BearerCertificate:
    now, intent = desk.now(), certificate.intent
    fields: dict[str, Any] = certificate_fields(certificate, now)
    return BearerCertificate(
        **fields,
        profile=intent.profile,
        causes=tuple(
            CauseRecord(cause=each.cause, since=each.since, why=each.why, ended_at=each.ended_at) for each in kept
        ),
        explained=explain(live_certificate(certificate, kept), rules.get(intent.group or "", FollowRules()), now),
    )


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
