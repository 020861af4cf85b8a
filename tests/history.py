"""A history of enrolments and of what became of their certificates, by dice, to count figures of."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from regalia.model import EnrolmentState, Hold, LineageLink, Revocation, RevocationReason, new_id
from regalia.model.fleet import Cause, FoundCause
from regalia.ports.fleet import AGREED, FOLLOWING
from store.samples import NAMES, a_key, an_enrolment, an_intent, octets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.model import Enrolment
    from regalia.ports import Store

__all__ = ["ENDPOINTS", "REASONS", "Past", "write_history"]

ENDPOINTS = {"intune-a": "a", "static-a": "a", "default-b": "b", "admin/b/wifi": "b"}
"""With their groups."""
REASONS = ("RA-018", "SCEP-031", "CON-010")
_CAUSES = (Cause.WIPED, Cause.LOST, Cause.NON_COMPLIANT)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Issued:
    """What a renewal goes on from."""

    certificate: UUID
    enrolment: Enrolment
    at: datetime


class Past:
    """Writes one history to several stores alike."""

    def __init__(self, stores: Sequence[Store], seed: int, now: datetime) -> None:
        self._stores = stores
        self._dice = random.Random(seed)  # noqa: S311 - a test's dice
        self._now = now
        self._made = 0
        self._issued: list[_Issued] = []

    def write(self, count: int) -> None:
        """Write so many enrolments of the last forty days, oldest first, and end some of what was issued."""
        times = sorted(self._now - self._dice.random() * 40 * _DAY for _ in range(count))
        for drawn in times:
            at = drawn.replace(microsecond=drawn.microsecond // 1000 * 1000)
            self._made += 1
            if self._dice.random() < 0.3:
                self._refuse(at)
            else:
                self._issue(at)
        for each in list(self._issued):
            self._end(each)

    def _an_enrolment(self, at: datetime) -> Enrolment:
        endpoint = self._dice.choice(list(ENDPOINTS))
        key = replace(a_key(self._made), endpoint=endpoint, challenge_mac=None)
        own = new_id(at, octets(f"enrolment {self._made}", 10))
        link = LineageLink(own, 0, None, NAMES, None, NAMES, None, unverified=False)
        enrolment = replace(an_enrolment(self._made, key), id=own, group=ENDPOINTS[endpoint], lineage=link)
        return replace(enrolment, created_at=at, updated_at=at)

    def _refuse(self, at: datetime) -> None:
        enrolment, reason = self._an_enrolment(at), self._dice.choice(REASONS)
        waits = replace(enrolment, state=EnrolmentState.PENDING, certificate_id=None)
        refused = replace(waits, state=EnrolmentState.REFUSED, lineage=None, reason_id=reason)
        decided = min(at + self._dice.random() * 5 * _DAY, self._now)
        decided = decided.replace(microsecond=0)
        held = self._dice.random() < 0.5 and decided > at
        for store in self._stores:
            if held:
                store.hold(waits, ())
                store.dismiss(waits.id, decided, reason, "", ())
            else:
                store.record_refusal(refused, ())

    def _issue(self, at: datetime) -> None:
        enrolment = self._an_enrolment(at)
        before = self._dice.choice(self._issued) if self._issued and self._dice.random() < 0.3 else None
        if before is not None and before.enrolment.lineage is not None:
            link = before.enrolment.lineage
            link = replace(link, generation=link.generation + 1, predecessor=before.certificate)
            key = replace(enrolment.key, signer_serial=self._made, endpoint=before.enrolment.key.endpoint)
            enrolment = replace(enrolment, lineage=link, group=before.enrolment.group, key=key)
        number = 100_000 + self._made
        which = new_id(at, octets(f"certificate {number}", 10))
        enrolment = replace(enrolment, certificate_id=which, state=EnrolmentState.INTENT)
        ends = self._now + self._dice.uniform(-35, 130) * _DAY
        intent = replace(
            an_intent(number, enrolment),
            id=which,
            group=enrolment.group,
            authority=self._dice.choice((f"ca-{enrolment.group}-1", f"ca-{enrolment.group}-2")),
            device=self._dice.choice((None, "laptop-1", "laptop-2", f"laptop-{self._made}")),
            device_id=None if self._dice.random() < 0.5 else new_id(self._now, octets(f"{self._made % 7}", 10)),
            not_after=max(ends, at + _SECOND).replace(microsecond=0),
            created_at=at,
        )
        finished = self._dice.random() < 0.95
        for store in self._stores:
            store.begin(intent, (), enrolment=enrolment)
            if finished:
                assert store.finish(which, b"der", at + _SECOND, ())
        if finished:
            self._issued.append(_Issued(which, enrolment, at))

    def _end(self, issued: _Issued) -> None:
        which, dice = issued.certificate, self._dice.random()
        at = (issued.at + self._dice.random() * (self._now - issued.at)).replace(microsecond=0)
        if dice < 0.1:
            cause = self._dice.choice(("administrator", "superseded"))
            end = Revocation(which, RevocationReason.SUPERSEDED, cause, "os:root", at)
            for store in self._stores:
                store.revoke(end, ())
        elif dice < 0.2:
            for store in self._stores:
                store.hold_certificate(Hold(which, "administrator", "os:root", at, "lost"), ())
        elif dice < 0.5:
            self._follow(which, at)

    def _follow(self, which: UUID, at: datetime) -> None:
        news = [
            FoundCause(cause, at - self._dice.random() * 30 * _SECOND, "said")
            for cause in self._dice.sample(_CAUSES, self._dice.randint(1, 2))
        ]
        by = self._dice.choice((FOLLOWING, FOLLOWING, AGREED))
        end: Revocation | Hold = Revocation(which, RevocationReason.CESSATION_OF_OPERATION, by, by, at)
        held = self._dice.random() < 0.5
        if held:
            end = Hold(which, by, by, at, "")
        released, later = held and self._dice.random() < 0.4, min(at + 3 * _SECOND, self._now)
        news = [replace(each, since=each.since.replace(microsecond=0)) for each in news]
        for store in self._stores:
            assert store.follow(which, causes=news, ended=(), status=end, release=False, at=at, events=())
            if released:
                ended = [each.cause for each in news]
                assert store.follow(which, causes=(), ended=ended, status=None, release=True, at=later, events=())


def write_history(*stores: Store, seed: int, now: datetime, count: int = 120) -> None:
    """Write the history of a seed to each store."""
    Past(stores, seed, now).write(count)
