"""A run of what follows: planned and counted whole, stopped by the brake, or carried out certificate by certificate.

What a dry run prints is what a run does: both are `planned`. Each certificate is a transaction of its own, made for the
status that the plan saw; where that is another one by then nothing is done, and the next run looks again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from regalia.ca.issue import certificate_event
from regalia.model import Action, Actor, ActorKind, EventDraft, Hold, Outcome, Revocation, new_id
from regalia.model.fleet import StepKind
from regalia.ports import Certificates, Events, Jobs
from regalia.ports.fleet import AGREED, FOLLOWING, Bearer, Brakes, Stopped
from regalia.ra.brake import Brake, Tally, fingerprint, still_shown
from regalia.ra.following import follow, plan, reason_text
from regalia.ra.standings import StandingStore, rules_of_groups, standings, standings_of
from regalia.ra.turn import BUSY, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import JsonValue
    from regalia.model.fleet import Step
    from regalia.ports import Entropy
    from regalia.ra.brake import Stop

__all__ = [
    "SYSTEM",
    "Done",
    "FollowStore",
    "Planned",
    "carry_out",
    "carry_out_planned",
    "counted",
    "follow_bearer",
    "follow_bearers",
    "follow_device",
    "goes_on",
    "planned",
    "planned_for",
]

SYSTEM: Final = Actor(ActorKind.SYSTEM, FOLLOWING)
_LET_GO_FOR: Final = timedelta(hours=24)
_SHORTLY: Final = timedelta(hours=1)
"""What ended by itself within so long counts along, so that many small runs are one large one."""
_LONGEST_NOTE: Final = 1_000
_PLANS: Final = 4
"""How often a run is planned anew in its turn, because what had ended became more meanwhile."""
_AT_HAND: Final = 5_000
"""Steps of a plan that stay in memory; a longer one is read again."""
_NO_LIVE: Final[Mapping[str, int]] = MappingProxyType({})


class FollowStore(StandingStore, Brakes, Certificates, Events, Jobs, Protocol):
    """What a run reads and writes."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run would do now."""

    at: datetime
    tally: Tally
    stops: tuple[Stop, ...]
    """Why it may not, if so."""
    live: Mapping[str, int]
    ends: frozenset[bytes]
    """Fingerprints of the steps that end trust, as they were counted."""
    already: Mapping[str, int]
    """By group what ended by itself shortly before."""
    steps: Callable[[], Iterator[Step]]
    """Tells it step by step; a long plan is read again, and may then be another one."""
    again: Callable[[], Planned]
    """Plans and counts it anew, for the same time."""

    def counted_steps(self) -> Iterator[Step]:
        """Tell it again, without what would end trust and was not counted: the brake judged no more than that."""
        return still_shown(self.steps(), self.ends)


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did."""

    kinds: Mapping[StepKind, int] = field(default_factory=dict)
    passed: int = 0
    """Certificates whose status was another one by then: the next run looks again."""
    stopped: Stopped | None = None
    """The brake held it, and nothing was done."""
    why: tuple[str, ...] = ()
    """What the brake says."""
    busy: bool = False
    """Another run had the turn all the time, and nothing was done, which `why` says, too."""


def planned(store: FollowStore, now: datetime, *, groups: frozenset[str] | None = None) -> Planned:
    """Plan and count, without doing anything. `groups`: only their certificates.

    Raises `UnavailableError` where the database does not answer or a group's rules do not open.
    """
    rules = rules_of_groups(store)

    def steps() -> Iterator[Step]:
        return _within(plan(standings(store, now), rules, now), groups)

    return counted(store, steps, now)


def planned_for(store: FollowStore, bearer: Bearer, now: datetime, *, groups: frozenset[str] | None = None) -> Planned:
    """Plan for one device or user alone; the brake judges it as what it is, a small run beside others."""
    return _planned_for(store, (bearer,), now, groups)


def _planned_for(
    store: FollowStore, bearers: Sequence[Bearer], now: datetime, groups: frozenset[str] | None
) -> Planned:
    """Plan for some of them, counted together: one message about hundreds is one run."""
    rules, some = rules_of_groups(store), tuple(dict.fromkeys(bearers))

    def steps() -> Iterator[Step]:
        return _within((step for each in standings_of(store, some, now) for step in follow(each, rules, now)), groups)

    return counted(store, steps, now)


def counted(store: FollowStore, steps: Callable[[], Iterator[Step]], now: datetime) -> Planned:
    """Count a plan whole and have the brake judge it. `steps` tells it, and tells it again where it is long."""
    at_hand: list[Step] = []
    ends: set[bytes] = set()
    tally = Tally()
    for step in tally.counted(steps()):
        if step.ends_trust:
            ends.add(fingerprint(step))
        if len(at_hand) <= _AT_HAND:
            at_hand.append(step)
    # Who ends nothing is not measured: most messages of most systems say what was known before.
    live = store.live_count(now) if ends else _NO_LIVE
    already = store.ended_since(now - _SHORTLY) if ends else _NO_LIVE
    stops = Brake().stops(tally, live, already=already) if ends else ()
    told = (lambda: iter(at_hand)) if len(at_hand) <= _AT_HAND else steps
    return Planned(now, tally, stops, live, frozenset(ends), already, told, lambda: counted(store, steps, now))


def _within(steps: Iterable[Step], groups: frozenset[str] | None) -> Iterator[Step]:
    return (step for step in steps if groups is None or step.group in groups)


def goes_on(stopped: Stopped, now: datetime) -> bool:
    """Whether two administrators let go of it, and not too long ago."""
    return stopped.let_go_at is not None and stopped.let_go_at <= now < stopped.let_go_at + _LET_GO_FOR


def carry_out(
    store: FollowStore,
    entropy: Entropy,
    now: datetime,
    *,
    actor: Actor = SYSTEM,
    groups: frozenset[str] | None = None,
) -> Done:
    """Do what is planned, unless it is too much: then keep what it would have been, for two administrators to see.

    Of a plan that was let go, what was shown and is still due is done, and nothing else. Raises what `planned` does.
    """
    return carry_out_planned(store, entropy, planned(store, now, groups=groups), actor=actor, whole=groups is None)


def carry_out_planned(
    store: FollowStore, entropy: Entropy, run: Planned, *, actor: Actor = SYSTEM, whole: bool
) -> Done:
    """Do what was planned and counted, as `carry_out` does. `whole`: it is for everybody.

    Of a plan for some, what is too much is not kept, and nothing that was stopped is closed: the next whole run does.
    """

    def act(run: Planned, lasts: Callable[[], bool]) -> Done:
        now = run.at
        let_go = next((each for each in store.open_stops() if goes_on(each, now)), None)
        if run.stops and let_go is None:
            why = tuple(map(str, run.stops))
            return Done(stopped=_stop(store, entropy, run, actor) if whole else None, why=why)
        if run.stops and let_go is not None:
            done = _done(store, still_shown(run.counted_steps(), let_go.shown), now, actor, AGREED, lasts)
        else:
            done = _done(store, run.counted_steps(), now, actor, FOLLOWING, lasts)
        events = _carried_out(run, done, actor)
        if events:
            store.record(events)
        if whole and not done.busy:
            # What was stopped was done by now, or is no longer too much.
            for each in store.open_stops():
                store.put_stopped(each, replace(each, closed_at=now), ())
        return done

    return _in_turn(store, run, act)


def _in_turn(store: FollowStore, run: Planned, act: Callable[[Planned, Callable[[], bool]], Done]) -> Done:
    """Act on a plan; one that ends trust waits for its turn, and is judged by what has ended until then.

    Planning is not in the turn: it may take long, and mostly finds nothing that ends.
    """
    if not run.ends:
        return act(run, lambda: True)
    with in_turn(store, run.at) as turn:
        for _ in range(_PLANS):
            if turn is None or not turn.lasts():
                break
            if store.ended_since(run.at - _SHORTLY) == run.already:
                return act(run, turn.lasts)
            run = run.again()
    return Done(why=(BUSY,), busy=True)


def follow_device(
    store: FollowStore, device_id: UUID, now: datetime, *, actor: Actor = SYSTEM, groups: frozenset[str] | None = None
) -> Done:
    """Let follow for one device what is due now: see `follow_bearer`."""
    return follow_bearer(store, Bearer(device_id, None), now, actor=actor, groups=groups)


def follow_bearer(
    store: FollowStore, bearer: Bearer, now: datetime, *, actor: Actor = SYSTEM, groups: frozenset[str] | None = None
) -> Done:
    """Let follow for one device or user what is due now; what is too much with what ended shortly before waits.

    It waits for the next run, which counts it among all others.
    """
    return follow_bearers(store, (bearer,), now, actor=actor, groups=groups)


def follow_bearers(
    store: FollowStore,
    bearers: Sequence[Bearer],
    now: datetime,
    *,
    actor: Actor = SYSTEM,
    groups: frozenset[str] | None = None,
) -> Done:
    """Let follow for some of them at once: either what is due for all of them is done, or nothing (REV-7)."""

    def act(run: Planned, lasts: Callable[[], bool]) -> Done:
        if run.stops:
            return Done(why=tuple(map(str, run.stops)))
        return _done(store, run.counted_steps(), now, actor, FOLLOWING, lasts)

    return _in_turn(store, _planned_for(store, bearers, now, groups), act)


# --- doing it ---------------------------------------------------------------------------------------------------------


def _done(
    store: FollowStore, steps: Iterable[Step], now: datetime, actor: Actor, cause: str, lasts: Callable[[], bool]
) -> Done:
    kinds: Counter[StepKind] = Counter()
    passed = 0
    for step in steps:
        if step.ends_trust and not lasts():
            return Done(kinds, passed, why=(BUSY,), busy=True)
        if _follow(store, step, now, actor, cause):
            kinds[step.kind] += 1
        else:
            passed += 1
    return Done(kinds, passed)


def _follow(store: FollowStore, step: Step, now: datetime, actor: Actor, cause: str) -> bool:
    """Do one step: causes, status and record are one transaction (REV-1)."""
    note = "; ".join(f"{each.cause}: {each.why}" for each in step.causes)[:_LONGEST_NOTE]
    status: Revocation | Hold | None = None
    if step.kind is StepKind.REVOKE and step.reason is not None:
        status = Revocation(step.certificate_id, step.reason, cause, actor.id, now, note)
    elif step.kind is StepKind.HOLD:
        status = Hold(step.certificate_id, cause, actor.id, now, note)
    return store.follow(
        step.certificate_id,
        causes=step.causes,
        ended=step.ended,
        status=status,
        release=step.kind is StepKind.RELEASE,
        at=now,
        events=_events(store, step, now, actor, cause, note),
    )


_ACTIONS: Final = {
    StepKind.REVOKE: Action.CERTIFICATE_REVOKED,
    StepKind.HOLD: Action.CERTIFICATE_HELD,
    StepKind.RELEASE: Action.CERTIFICATE_RELEASED,
}


def _events(
    store: FollowStore, step: Step, now: datetime, actor: Actor, cause: str, note: str
) -> tuple[EventDraft, ...]:
    action, certificate = _ACTIONS.get(step.kind), store.certificate(step.certificate_id)
    if action is None or certificate is None:
        return ()
    details: dict[str, JsonValue] = {"cause": cause, "note": note}
    if step.reason is not None:
        details["reason"] = reason_text(step.reason).replace("-", "_")
    if step.kind is StepKind.RELEASE:
        details = {"note": ", ".join(f"no longer {each}" for each in step.ended)}
    return (certificate_event(action, certificate.intent, actor, now, details=details),)


# --- the brake --------------------------------------------------------------------------------------------------------


def _stop(store: FollowStore, entropy: Entropy, run: Planned, actor: Actor) -> Stopped:
    """Keep what was stopped, once for each plan."""
    digest = run.tally.digest
    same = store.stopped(digest)
    if same is not None and same.let_go_at is None:
        return same
    why = "\n".join(map(str, run.stops))
    stopped = Stopped(
        id=new_id(run.at, entropy.octets(10)),
        digest=digest,
        at=run.at,
        ends=dict(run.tally.ends),
        live=dict(run.live),
        why=why,
        shown=run.ends,
    )
    details: dict[str, JsonValue] = {
        "digest": digest,
        "ends": dict(stopped.ends),
        "live": dict(stopped.live),
        "why": why,
    }
    event = EventDraft(
        run.at, actor, Action.FOLLOW_STOPPED, f"run:{digest}", Outcome.REFUSED, security=True, details=details
    )
    store.put_stopped(None, stopped, (event,))
    return stopped


def _carried_out(run: Planned, done: Done, actor: Actor) -> tuple[EventDraft, ...]:
    """Tell of a run that changed anything."""
    words = {StepKind.REVOKE: "revoked", StepKind.HOLD: "held", StepKind.RELEASE: "released"}
    counted: dict[str, JsonValue] = {word: done.kinds.get(kind, 0) for kind, word in words.items()}
    if not any(counted.values()):
        return ()
    digest = run.tally.digest
    return (
        EventDraft(
            run.at,
            actor,
            Action.FOLLOW_CARRIED_OUT,
            f"run:{digest}",
            Outcome.OK,
            details={"digest": digest, **counted},
        ),
    )
