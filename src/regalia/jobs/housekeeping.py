"""Keeps order: refusals written and forgotten (R13), what waited too long refused, left-over files removed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from regalia.jobs.loop import Scope
from regalia.model import Actor, ActorKind
from regalia.ports import ApiTokens, KeptAnswers, Sessions
from regalia.ra.enrol import REPLAY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ports import Enrolments, SignIns
    from regalia.ra.personal import PersonalDesk
    from regalia.ra.proposals import ProposalDesk
    from regalia.ra.refusals import Refusals

__all__ = [
    "ExpirePending",
    "FlushRefusals",
    "ForgetChallenges",
    "ForgetPersonal",
    "ForgetRefusals",
    "ForgetSignIns",
    "SweepSpool",
    "TidyAdministration",
]

REFUSALS_KEPT = timedelta(days=30)
SPOOL_KEPT = timedelta(days=1)
SESSIONS_KEPT = timedelta(days=30)
"""After their end; their events stay."""
ANSWERS_KEPT = timedelta(days=1)


class AdministrationStore(Sessions, ApiTokens, KeptAnswers, Protocol):
    """What is tidied of administration."""


TRIES_KEPT = timedelta(days=2)

_HOUSEKEEPING = Actor(ActorKind.SYSTEM, "housekeeping")

_log = structlog.get_logger("regalia.jobs")


class FlushRefusals:
    """Writes the counts of refusals that were folded, once their minute is over."""

    name = "flush-refusals"
    every = timedelta(seconds=10)
    scope = Scope.PROCESS

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def run(self, now: datetime) -> None:
        """Write them."""
        self._refusals.flush(now)


class ForgetRefusals:
    """Deletes refused enrolments after 30 days; their events stay."""

    name = "forget-refusals"
    every = timedelta(days=1)
    scope = Scope.CLUSTER

    def __init__(self, enrolments: Enrolments) -> None:
        self._enrolments = enrolments

    def run(self, now: datetime) -> None:
        """Delete them."""
        forgotten = self._enrolments.forget_refusals(now - REFUSALS_KEPT)
        if forgotten:
            _log.info("refusals-forgotten", count=forgotten)


class ExpirePending:
    """Refuses enrolments that nobody approved in time (POL-3)."""

    name = "expire-pending"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(self, expire: Callable[[datetime], int]) -> None:
        """`expire` refuses what waits too long at the time it is given, and says how many there were."""
        self._expire = expire

    def run(self, now: datetime) -> None:
        """Refuse them."""
        expired = self._expire(now)
        if expired:
            _log.info("pending-expired", count=expired)


class ForgetChallenges:
    """Deletes the sealed challenges of enrolments that hand nothing out any more (CHA-4)."""

    name = "forget-challenges"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(self, enrolments: Enrolments) -> None:
        self._enrolments = enrolments

    def run(self, now: datetime) -> None:
        """Delete them."""
        forgotten = self._enrolments.forget_sealed_challenges(now - REPLAY_WINDOW)
        if forgotten:
            _log.info("challenges-forgotten", count=forgotten)


class ForgetPersonal:
    """Makes the next key of pseudonyms in time, forgets what is too old, and destroys the keys whose time is over."""

    name = "forget-personal"
    every = timedelta(hours=6)
    scope = Scope.CLUSTER

    def __init__(self, desk: PersonalDesk, *, after: timedelta, keys_after: timedelta) -> None:
        """`after` so long what is personal is forgotten, `keys_after` so long the keys that stand for it."""
        self._desk = desk
        self._after = after
        self._keys_after = max(keys_after, after)

    def run(self, now: datetime) -> None:
        """Do all three."""
        self._desk.provide_key(_HOUSEKEEPING)
        forgotten = self._desk.forget(now - self._after, _HOUSEKEEPING)
        destroyed = self._desk.destroy_keys(now - self._keys_after, _HOUSEKEEPING)
        if forgotten.any or destroyed:
            _log.info("personal-data-forgotten", events=forgotten.events, keys_destroyed=len(destroyed))


class ForgetSignIns:
    """Deletes what sign-in needs to remember no more: what was good once and has ended, and tries of days ago."""

    name = "forget-sign-ins"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(self, sign_ins: SignIns) -> None:
        self._sign_ins = sign_ins

    def run(self, now: datetime) -> None:
        """Delete it."""
        self._sign_ins.forget_sign_ins(now, now - TRIES_KEPT)


class TidyAdministration:
    """Ends proposals that nobody decided; deletes sessions that are over and answers that nobody repeats any more."""

    name = "tidy-administration"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(self, store: AdministrationStore, proposals: ProposalDesk, *, after: timedelta) -> None:
        """`after` so long it is forgotten from where tokens were used (PRIV-1)."""
        self._store = store
        self._proposals = proposals
        self._after = after

    def run(self, now: datetime) -> None:
        """Do all of it."""
        expired = self._proposals.expire(_HOUSEKEEPING)
        sessions = self._store.forget_sessions(now - SESSIONS_KEPT)
        self._store.forget_answers(now - ANSWERS_KEPT)
        self._store.forget_token_sources(now - self._after)
        if expired or sessions:
            _log.info("administration-tidied", proposals_expired=expired, sessions_forgotten=sessions)


class SweepSpool:
    """Removes spool files that a crash left behind; no CRL takes a day to make."""

    name = "sweep-spool"
    every = timedelta(hours=6)
    scope = Scope.NODE

    def __init__(self, sweep: Callable[[datetime], int]) -> None:
        """`sweep` removes files last written before the time it is given, and says how many."""
        self._sweep = sweep

    def run(self, now: datetime) -> None:
        """Remove them."""
        removed = self._sweep(now - SPOOL_KEPT)
        if removed:
            _log.info("spool-swept", files=removed)
