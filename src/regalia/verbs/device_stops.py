"""Runs that the brake stopped, and letting it go: two different administrators, for exactly what was shown (REV-7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome, Right
from regalia.verbs.paging import ListAsked, millis, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.ports.fleet import Stopped

__all__ = ["LET_GO", "LIST", "VERBS", "LetGoOf", "ListStops", "StopRecord"]


class ListStops(ListAsked):
    """Some or all."""


class LetGoOf(Asked):
    """Of which run."""

    digest: Annotated[
        str, Field(min_length=1, max_length=64, description="Of the plan, whole, as `device.stops` has it.")
    ]


class GroupEnds(Record):
    """How much a run would end in one group."""

    group: str
    ends: int
    """Certificates that it would revoke or hold."""
    live: int


class StopRecord(Record):
    """A run that was stopped before it did anything."""

    digest: str
    stopped_at: Time
    groups: tuple[GroupEnds, ...]
    why: tuple[str, ...]
    let_go_at: Time | None
    let_go_by: tuple[str, ...]


def list_stops(desk: Desk, asked: ListStops) -> Page[StopRecord]:
    """Those that still wait, newest first."""
    return page_of_few(
        asked,
        LIST.name,
        desk.services.store.open_stops(),
        place=lambda each: (millis(each.at), each.digest),
        words=lambda each: (each.digest, each.why, *each.ends),
        record=_record,
        descending=True,
    )


def let_go(desk: Desk, asked: LetGoOf) -> StopRecord:
    """Let it go on: the next run carries out what was shown and is still due. Done by who agrees, never by one alone.

    Raises `AdminError` CON-068 where the brake holds another plan by now.
    """
    before = _found(desk, asked.digest)
    by = tuple(each for each in (desk.proposer, desk.actor.id) if each is not None)
    after = replace(before, let_go_at=desk.now(), let_go_by=by)
    event = EventDraft(
        desk.now(),
        desk.actor,
        Action.FOLLOW_LET_GO,
        f"run:{before.digest}",
        Outcome.OK,
        details={"digest": before.digest, "by": [*by]},
    )
    if not desk.services.store.put_stopped(before, after, (event,)):
        raise AdminError(reasons.STOP_OUTDATED, before.digest)
    return _record(after)


def plan_letting_go(desk: Desk, asked: LetGoOf) -> tuple[str, ...]:
    """Say what was shown: whoever agrees agrees to this."""
    stopped = _found(desk, asked.digest)
    ends = (
        f"revoke or hold {ends} of {stopped.live.get(group, 0)} live certificates of group {group}"
        for group, ends in sorted(stopped.ends.items())
    )
    return (f"let the brake go for plan {stopped.digest}, and for no other", *ends)


def _always(desk: Desk, asked: LetGoOf) -> bool:
    """Two persons, always; a token that is nobody's stands for none."""
    del asked
    if desk.caller.program and desk.caller.administrator is None:
        raise AdminError(reasons.RIGHT_MISSING, "letting the brake go needs a person, and this token is nobody's")
    return True


def _found(desk: Desk, digest: str) -> Stopped:
    stopped = desk.services.store.stopped(digest)
    if stopped is None or stopped.let_go_at is not None:
        raise AdminError(reasons.STOP_OUTDATED, digest)
    return stopped


def _record(stopped: Stopped) -> StopRecord:
    return StopRecord(
        digest=stopped.digest,
        stopped_at=stopped.at,
        groups=tuple(
            GroupEnds(group=group, ends=ends, live=stopped.live.get(group, 0))
            for group, ends in sorted(stopped.ends.items())
        ),
        why=tuple(stopped.why.splitlines()),
        let_go_at=stopped.let_go_at,
        let_go_by=stopped.let_go_by,
    )


LIST = Verb(
    "device.stops",
    "GET",
    "/device-stops",
    Right.READ,
    ListStops,
    Page[StopRecord],
    list_stops,
    "List the runs that the brake stopped, newest first, with what each would have ended.",
    everywhere=True,
)
LET_GO = Verb(
    "device.let-go",
    "POST",
    "/device-stops/{digest}/let-go",
    Right.RULE,
    LetGoOf,
    StopRecord,
    let_go,
    "Let a stopped run go on. Two different administrators have to say so, for exactly the plan that was shown.",
    plan=plan_letting_go,
    everywhere=True,
    two_persons=_always,
    always_two=True,
)

VERBS = (LIST, LET_GO)
