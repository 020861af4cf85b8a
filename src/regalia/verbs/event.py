"""The audit log: looking at it, taking it away in parts that verify alone, and forgetting whom it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, PlainSerializer

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, ActorKind, EventDraft, Outcome, Right
from regalia.ports import EventFilter
from regalia.ra.export import FORMATS, Ending, export_lines
from regalia.verbs.fields import Name
from regalia.verbs.paging import ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Hex, Page, Record, Verb
from regalia.verbs.wording import utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import Actor, Event
    from regalia.ports import Forgotten, StoredRecord
    from regalia.verbs.services import Services

__all__ = [
    "EXPORT",
    "FORGET",
    "FORGETTABLE",
    "FORMATS",
    "MOST_EXPORTED",
    "TAIL",
    "VERBS",
    "EventShown",
    "ExportEvents",
    "Exported",
    "ForgetPersonal",
    "Moment",
    "TailEvents",
    "export_parts",
    "time_of",
]

MOST_EXPORTED: Final = 10_000
"""Records that one answer holds."""
_LARGEST_EXPORT: Final = 16 * 1024 * 1024
"""Octets of their text."""

Moment = Annotated[datetime, PlainSerializer(lambda at: utc(at, "milliseconds"), return_type=str, when_used="json")]
"""A time to the millisecond: `2026-03-01T09:00:00.000Z`."""

_TimeText = Annotated[str, Field(max_length=40, examples=["2026-03-01", "2026-03-01T09:00:00Z"])]


# --- looking --------------------------------------------------------------------------------------------------------


class TailEvents(ListAsked):
    """Which ones."""

    action: Action | None = None
    security: Annotated[bool, Field(description="Only what somebody should look at.")] = False
    group: Name | None = None
    object: Annotated[str | None, Field(max_length=256, examples=["endpoint:default"])] = None


class ActorShown(Record):
    """Who did it."""

    kind: ActorKind
    id: str
    source: str | None


class EventShown(Record):
    """A record of the log."""

    stream: str
    sequence: int
    at: Moment
    actor: ActorShown
    action: Action
    object: str
    outcome: Outcome
    group: str | None
    reason: str | None
    transaction: str | None
    serial: str | None
    security: bool
    details: dict[str, Any]
    hash: Hex


def tail(desk: Desk, asked: TailEvents) -> Page[EventShown]:
    """The newest first. Whose right is bounded to groups sees what concerns these groups, and nothing else."""
    wanted = EventFilter(
        action=asked.action,
        object=asked.object,
        group=asked.group,
        security=asked.security or None,
        limit=asked.limit,
        groups=desk.reach.groups,
        search=asked.q or "",
        after=place_after(asked, TAIL.name),
    )
    return page_of(asked, TAIL.name, desk.services.store.event_page(wanted), _shown)


def _shown(event: Event) -> EventShown:
    draft = event.draft
    return EventShown(
        stream=event.stream,
        sequence=event.sequence,
        at=draft.at,
        actor=ActorShown(kind=draft.actor.kind, id=draft.actor.id, source=draft.actor.source),
        action=draft.action,
        object=draft.object,
        outcome=draft.outcome,
        group=draft.group,
        reason=draft.reason_id,
        transaction=draft.transaction_id,
        serial=draft.serial,
        security=draft.security,
        details=dict(draft.details),
        hash=event.hash,
    )


# --- taking away ----------------------------------------------------------------------------------------------------


class ExportEvents(Asked):
    """What of the log."""

    since: Annotated[_TimeText | None, Field(description="From this time on, in UTC.")] = None
    until: Annotated[_TimeText | None, Field(description="Up to before this time.")] = None
    group: Name | None = None
    after: Annotated[int, Field(ge=0, lt=2**63, description="From behind this position.")] = 0
    limit: Annotated[
        int | None, Field(ge=1, le=MOST_EXPORTED, description="So many records at most, instead of a refusal.")
    ] = None
    form: Annotated[str, Field(pattern="^(jsonl|csv)$")] = "jsonl"


class Exported(Record):
    """Records with what it takes to verify them."""

    form: str
    text: str
    """The file, as it is: its end signs its octets."""
    records: int
    last_position: int
    """Where the next export goes on, as its `after`; that of the last record, or of the one before all."""


def export(desk: Desk, asked: ExportEvents) -> Exported:
    """Give records; that somebody took them is recorded first. Raises `AdminError` ADM-084 where they are too many."""
    count, last = _measured(desk.services, asked)
    text = b"".join(export_parts(desk.services, desk.actor, asked, most=count)).decode()
    return Exported(form=asked.form, text=text, records=count, last_position=last)


def export_parts(services: Services, actor: Actor, asked: ExportEvents, *, most: int | None = None) -> Iterator[bytes]:
    """Give an export of whatever length, a line at a time; `most` ends it.

    Raises, before the first one, `AdminError` ADM-018 for times that are none.
    """
    begin, end = time_of("since", asked.since), time_of("until", asked.until)
    about = {"since": asked.since, "until": asked.until, "group": asked.group, "after": str(asked.after)}
    details = {"format": asked.form, **about}
    event = EventDraft(
        services.clock.now(), actor, Action.LOG_EXPORTED, "log", Outcome.OK, asked.group, details=details
    )
    # First the record, then what it is about: nothing leaves that was not written down.
    services.store.record((event,))
    ending = _ending(services, actor)
    records = services.store.stored_records(after=asked.after, since=begin, until=end, group=asked.group)
    return export_lines(islice(records, most), about, ending, as_csv=asked.form == "csv")


def _measured(services: Services, asked: ExportEvents) -> tuple[int, int]:
    """Count what will be given, and find where it ends, before anything of it is written."""
    begin, end = time_of("since", asked.since), time_of("until", asked.until)
    records: Iterator[StoredRecord] = services.store.stored_records(
        after=asked.after, since=begin, until=end, group=asked.group
    )
    count, octets, last = 0, 0, asked.after
    for record in islice(records, asked.limit):
        count, last = count + 1, record.position
        octets += len(record.record) + len(record.personal or "")
        if count > MOST_EXPORTED or octets > _LARGEST_EXPORT:
            told = f"more than {MOST_EXPORTED} records, or {_LARGEST_EXPORT} octets"
            raise AdminError(
                reasons.TOO_MUCH, f"{told}: give a `limit`, and go on with `after`, the `last_position` of each part"
            )
    return count, last


def _ending(services: Services, actor: Actor) -> Ending:
    made = services.checkpoints.make(actor)
    key = services.store.checkpoint_keys()[-1]
    private = services.keys.open(key.key_id)
    return Ending(lambda octets: private.sign(octets, "sha256"), key.public_key, made, key.public_key)


def time_of(called: str, text: str | None) -> datetime | None:
    """Read a time as it is typed, in UTC unless it says otherwise. Raises `AdminError` ADM-018 that names the field."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{called} {text}: write it as 2026-03-01 or 2026-03-01T09:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


# --- forgetting -----------------------------------------------------------------------------------------------------


class ForgetPersonal(Asked):
    """What is old enough to be forgotten."""

    older_than_days: Annotated[
        int | None, Field(ge=1, le=99_999, description="What the settings say if not given.")
    ] = None
    destroy_keys: Annotated[bool, Field(description="Also the keys of pseudonyms: guesses cannot be tried then.")] = (
        False
    )


class PersonalForgotten(Record):
    """How many rows of each kind lost their personal data, or would."""

    older_than_days: int
    events: int
    enrolments: int
    challenges: int
    keys_destroyed: int


def forget(desk: Desk, asked: ForgetPersonal) -> PersonalForgotten:
    """Remove addresses and names of users and devices that are older; the log keeps pseudonyms."""
    before, personal = _before(desk, asked), desk.services.personal
    forgotten = personal.forget(before, desk.actor)
    destroyed = personal.destroy_keys(before, desk.actor) if asked.destroy_keys else ()
    return _told(desk, asked, forgotten, len(destroyed))


def forgettable(desk: Desk, asked: ForgetPersonal) -> PersonalForgotten:
    """Count what `forget` would remove."""
    before, personal = _before(desk, asked), desk.services.personal
    keys = personal.keys_to_destroy(before) if asked.destroy_keys else ()
    return _told(desk, asked, personal.count(before), len(keys))


def plan_forget(desk: Desk, asked: ForgetPersonal) -> list[str]:
    """What goes."""
    found = forgettable(desk, asked)
    days = found.older_than_days
    plan = [f"remove what names users and devices from {found.events} events older than {days} days"]
    return plan + ([f"destroy {found.keys_destroyed} keys of pseudonyms"] if asked.destroy_keys else [])


def _days(desk: Desk, asked: ForgetPersonal) -> int:
    return asked.older_than_days or desk.services.practice.personal_days


def _before(desk: Desk, asked: ForgetPersonal) -> datetime:
    # Ids begin with the time since 1970: nothing is older, and none can be made for before.
    return max(desk.now() - timedelta(days=_days(desk, asked)), datetime.fromtimestamp(0, UTC))


def _told(desk: Desk, asked: ForgetPersonal, found: Forgotten, keys: int) -> PersonalForgotten:
    return PersonalForgotten(
        older_than_days=_days(desk, asked),
        events=found.events,
        enrolments=max(found.enrolments, found.sources),
        challenges=found.challenges,
        keys_destroyed=keys,
    )


TAIL = Verb(
    "event.tail",
    "GET",
    "/events",
    Right.READ_LOG,
    TailEvents,
    Page[EventShown],
    tail,
    "List the events of the audit log, newest first.",
)
EXPORT = Verb(
    "event.export",
    "POST",
    "/events/export",
    Right.READ_LOG,
    ExportEvents,
    Exported,
    export,
    "Give records of the log with what it takes to verify them elsewhere.",
    everywhere=True,
)
FORGETTABLE = Verb(
    "event.forgettable",
    "GET",
    "/events/forgettable",
    Right.RULE,
    ForgetPersonal,
    PersonalForgotten,
    forgettable,
    "Count the personal data that is older than some time.",
    everywhere=True,
)
FORGET = Verb(
    "event.forget",
    "POST",
    "/events/forget",
    Right.RULE,
    ForgetPersonal,
    PersonalForgotten,
    forget,
    "Remove personal data that is older than some time. The log still verifies.",
    plan=plan_forget,
    everywhere=True,
)

VERBS = (TAIL, EXPORT, FORGETTABLE, FORGET)
