"""The brake of what follows by itself: how much a run may end, who is absent, and how two people let go (REV-7).

A run is counted before it does anything. What it would do has a digest; two different administrators let the brake go
for that digest, and what is done then is what was shown, as far as it is still due, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.model.event import ActorKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping
    from datetime import datetime

    from regalia.model.event import Actor
    from regalia.model.fleet import Step, StepKind

__all__ = [
    "SWEEPS_FOR_ABSENCE",
    "Brake",
    "Consent",
    "LetGo",
    "Stop",
    "SweepOutcome",
    "Tally",
    "fingerprint",
    "is_absent",
    "let_go",
    "missed_after",
    "still_shown",
]

SWEEPS_FOR_ABSENCE: Final = 2
_PERSONS: Final = 2
_SUM_OCTETS: Final = 256
"""Of the sum that a digest is made of: wide, so that nobody finds other steps with the same sum."""
_PERCENT: Final = 100


# --- who is absent ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """How a sweep through an inventory ended."""

    complete: bool
    """Whether its last page was read, without any that failed."""
    full: bool
    """Whether it shows all there is; a delta shows what changed."""
    seen: int
    """How many objects it showed."""

    @property
    def tells_absence(self) -> bool:
        """Whether what it did not show counts as missed: an empty answer is taken for a fault."""
        return self.complete and self.full and self.seen > 0


def missed_after(missed_sweeps: int, sweep: SweepOutcome, *, shown: bool) -> int:
    """Count on: how many complete sweeps in a row have not shown a record."""
    if shown:
        return 0
    return missed_sweeps + 1 if sweep.tells_absence else missed_sweeps


def is_absent(missed_sweeps: int, *, gone: bool = False) -> bool:
    """Whether an absence is confirmed: by two complete sweeps, or by the system's own word."""
    return gone or missed_sweeps >= SWEEPS_FOR_ABSENCE


# --- how much ---------------------------------------------------------------------------------------------------------


def fingerprint(step: Step) -> bytes:
    """Identify what a step does and why: certificate, kind, reason, causes.

    The words and times of causes are not in it: they change while a plan waits for its second person.
    """
    reason = "" if step.reason is None else str(int(step.reason))
    causes = ",".join(sorted(cause.cause for cause in step.causes))
    text = "|".join((step.kind, step.certificate_id.hex, f"{step.serial:x}", reason, causes))
    return hashlib.sha256(f"{text}|{step.group}".encode()).digest()


class Tally:
    """Counts the steps of a run. Their order does not matter; it is as large for a million as for one."""

    __slots__ = ("_ends", "_kinds", "_sum")

    def __init__(self) -> None:
        self._ends: Counter[str] = Counter()
        self._kinds: Counter[StepKind] = Counter()
        self._sum = 0

    def add(self, step: Step) -> None:
        """Count one step."""
        self._kinds[step.kind] += 1
        if step.ends_trust:
            self._ends[step.group] += 1
            wide = hashlib.shake_256(fingerprint(step)).digest(_SUM_OCTETS)
            self._sum = (self._sum + int.from_bytes(wide)) % (1 << 8 * _SUM_OCTETS)

    def counted(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Count steps as they pass."""
        for step in steps:
            self.add(step)
            yield step

    @property
    def ends(self) -> Mapping[str, int]:
        """By group how many certificates it would revoke or hold."""
        return self._ends

    @property
    def kinds(self) -> Mapping[StepKind, int]:
        """How many steps of each kind."""
        return self._kinds

    @property
    def digest(self) -> str:
        """What the run would end, as one value that the order of devices does not change."""
        head = f"{self._ends.total()}|".encode()
        return hashlib.sha256(head + self._sum.to_bytes(_SUM_OCTETS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run does nothing, in numbers."""

    group: str | None
    """None: all groups together."""
    ends: int
    """Certificates that it would revoke or hold."""
    already: int
    """Those that runs shortly before it did."""
    live: int
    limit: int

    def __str__(self) -> str:
        where = f"group {self.group}" if self.group is not None else "all groups together"
        before = f" after {self.already} shortly before" if self.already else ""
        return (
            f"{where}: {self.ends} of {self.live} live certificates would be revoked or held{before},"
            f" and {self.limit} may be without two administrators"
        )


_NONE: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class Brake:
    """How much may end by itself: a share of the live certificates, and a number that is always allowed."""

    percent: int = 5
    least: int = 20

    def limit(self, live: int) -> int:
        """How many of so many."""
        return max(self.least, live * self.percent // _PERCENT)

    def stops(self, tally: Tally, live: Mapping[str, int], *, already: Mapping[str, int] = _NONE) -> tuple[Stop, ...]:
        """Judge a run that was counted whole; it goes on where nothing comes back.

        `live`: by group the certificates that are neither revoked nor expired. `already`: by group what ended by
        itself shortly before without being let go, so that many small runs are one large one.
        """
        ends = tally.ends
        found = [self._stop(group, ends[group], already.get(group, 0), live.get(group, 0)) for group in sorted(ends)]
        found.append(self._stop(None, sum(ends.values()), sum(already.values()), sum(live.values())))
        return tuple(stop for stop in found if stop is not None)

    def _stop(self, group: str | None, ends: int, already: int, live: int) -> Stop | None:
        limit = self.limit(live)
        return Stop(group, ends, already, live, limit) if ends and ends + already > limit else None


# --- letting go -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consent:
    """One administrator's word."""

    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LetGo:
    """A brake on its way to being let go, for exactly one plan."""

    digest: str
    consents: tuple[Consent, ...] = ()
    life: timedelta = timedelta(hours=24)
    """How long a word counts."""

    def goes_on(self, digest: str, now: datetime) -> bool:
        """Whether two different administrators have let go of this very plan."""
        actors = {each.actor for each in self.consents if each.at <= now < each.at + self.life}
        return digest == self.digest and len(actors) >= _PERSONS


def let_go(before: LetGo | None, digest: str, actor: Actor, now: datetime) -> LetGo:
    """Add an administrator's word. It begins anew for another plan; the same person's second word counts as one.

    Whoever calls sees to it that an actor is a person, not one of their tokens.
    """
    if actor.kind is not ActorKind.ADMIN:
        raise ValueError("only an administrator lets go of the brake")
    start = before if before is not None and before.digest == digest else LetGo(digest)
    others = tuple(each for each in start.consents if each.actor != actor.id)
    return LetGo(digest, (*others, Consent(actor.id, now)), start.life)


def still_shown(steps: Iterable[Step], shown: Container[bytes]) -> Iterator[Step]:
    """Of what is due now, only what was shown (by fingerprint), and what ends no trust.

    What became due since is left out: the next run counts it for itself.
    """
    return (step for step in steps if not step.ends_trust or fingerprint(step) in shown)
