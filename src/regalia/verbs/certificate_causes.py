"""What is kept beside certificates: each cause by itself, and in words how a certificate stands by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia.model.fleet import Cause
from regalia.ra.follow_rules import FollowRules, read_follow_rules
from regalia.ra.following import explain
from regalia.ra.standings import live_certificate
from regalia.verbs.verb import Record, Time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Certificate
    from regalia.ports.fleet import KeptCause
    from regalia.verbs.verb import Desk

__all__ = ["Beside", "CauseRecord", "beside_certificates"]


class CauseRecord(Record):
    """A cause beside a certificate."""

    cause: Annotated[Cause | None, Field(description="Null: an administrator holds it.")]
    since: Time
    why: str
    ended_at: Time | None


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told of one certificate."""

    causes: tuple[CauseRecord, ...]
    """Oldest first, also those that ended."""
    explained: tuple[str, ...]
    """How it stands, and what each cause that lasts has to do with it."""


def beside_certificates(desk: Desk, certificates: Sequence[Certificate]) -> dict[UUID, Beside]:
    """Say it of each of them, by its id."""
    store = desk.services.store
    kept: dict[UUID, list[KeptCause]] = {each.id: [] for each in certificates}
    for cause in store.causes_of([*kept]):
        kept[cause.certificate_id].append(cause)
    rules = {group.name: _rules(group.follow) for group in store.groups()}
    return {each.id: _told(desk, each, kept[each.id], rules) for each in certificates}


def _rules(text: str) -> FollowRules:
    return read_follow_rules(text) if text.strip() else FollowRules()


def _told(desk: Desk, certificate: Certificate, kept: Sequence[KeptCause], rules: dict[str, FollowRules]) -> Beside:
    ruled = rules.get(certificate.intent.group or "", FollowRules())
    return Beside(
        tuple(CauseRecord(cause=each.cause, since=each.since, why=each.why, ended_at=each.ended_at) for each in kept),
        explain(live_certificate(certificate, kept), ruled, desk.now()),
    )
