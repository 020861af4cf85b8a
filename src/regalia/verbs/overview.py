"""What the first page shows: figures that a job has counted, of the groups that the caller sees."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from regalia import reasons
from regalia.model import Right
from regalia.model.figures import Subject
from regalia.ports.figures import HORIZONS
from regalia.ra.figures import DAYS, is_automatic, source_of_endpoint, usual, weeks_back
from regalia.verbs.verb import Asked, Desk, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from regalia.model import Endpoint
    from regalia.model.figures import Counted, Figure

__all__ = [
    "SHOW",
    "VERBS",
    "DayRecord",
    "EndedCauseRecord",
    "EndedRecord",
    "EndingRecord",
    "FollowedRecord",
    "LiveRecord",
    "OverviewShown",
    "ReasonRecord",
    "ShowOverview",
    "SourceRecord",
    "StandingRecord",
    "TodayRecord",
]

_Kept = dict[tuple[Subject, date | None], "Counted"]
_ONE_DAY: Final = timedelta(days=1)


class ShowOverview(Asked):
    """All that there is of the caller's groups."""


class SourceRecord(Record):
    """What came by one way on a day."""

    source: Annotated[
        str,
        Field(
            description="`connector:NAME`, or the kind of authoriser: `one-time`, `static`, `approval`; `by-hand`; "
            "`other` of an endpoint that is not there."
        ),
    ]
    issued: int
    refused: int


class DayRecord(Record):
    """How enrolments ended on a day (UTC)."""

    day: date
    counted_at: Annotated[Time | None, Field(description="Null: not counted yet.")]
    sources: tuple[SourceRecord, ...]


class TodayRecord(Record):
    """The day that runs, beside what is usual: the median of the same weekday of four weeks, as far as there are."""

    day: date
    counted_at: Time | None
    issued: int
    usually_issued: Annotated[int | None, Field(description="Until this time of day; null without earlier weeks.")]
    refused: int
    usually_refused: Annotated[int | None, Field(description="On a whole day; null without earlier weeks.")]


class ReasonRecord(Record):
    """Why enrolments were refused."""

    reason: str
    title: str
    refused: Annotated[int, Field(description="In 30 days.")]
    today: int


class LiveRecord(Record):
    """Live certificates of a group from one issuer."""

    group: str
    authority: str
    certificates: int


class EndingRecord(Record):
    """Live certificates that end soon."""

    from_day: Annotated[int, Field(description="From so many days on, which is not among them.")]
    to_day: int
    certificates: int


class StandingRecord(Record):
    """What is live: issued, not ended, neither revoked nor on hold."""

    counted_at: Time | None
    certificates: int
    devices: Annotated[int, Field(description="That have one; one with certificates of two groups counts in both.")]
    by_group: Annotated[tuple[LiveRecord, ...], Field(description="The most first.")]
    ending: tuple[EndingRecord, ...]
    lapsed: Annotated[int, Field(description="That ended in 30 days, with nothing after them.")]


class EndedCauseRecord(Record):
    """What was revoked, or is on hold, for one cause."""

    cause: str
    automatic: Annotated[bool, Field(description="Whether it followed from a state, and not from somebody's word.")]
    revoked: Annotated[int, Field(description="In 30 days.")]
    held: Annotated[int, Field(description="Since less than 30 days, and still.")]


class EndedRecord(Record):
    """What was revoked, or is on hold since then."""

    counted_at: Time | None
    day_automatic: Annotated[int, Field(description="In 24 hours, by itself.")]
    day_by_hand: Annotated[int, Field(description="In 24 hours, by somebody's word.")]
    causes: Annotated[tuple[EndedCauseRecord, ...], Field(description="In 30 days, the most first.")]


class FollowedRecord(Record):
    """How long it took today from a connector's news to the revocation or hold, where no rule says to wait."""

    counted_at: Time | None
    certificates: int
    slowest_ms: Annotated[int | None, Field(description="Rounded up, to 100 ms below ten seconds.")]
    median_ms: int | None


class OverviewShown(Record):
    """Figures, each with when it was counted; days are those of UTC."""

    today: TodayRecord
    days: Annotated[tuple[DayRecord, ...], Field(description="Thirty, the oldest first, the last one is today.")]
    reasons: Annotated[tuple[ReasonRecord, ...], Field(description="Of refusals in these days, the most first.")]
    standing: StandingRecord
    ended: EndedRecord
    followed: FollowedRecord


def show_overview(desk: Desk, asked: ShowOverview) -> OverviewShown:
    """Read what was counted, cut to the groups that the caller sees (AUTHZ-4)."""
    del asked
    today = desk.now().date()
    since = min(today - (DAYS - 1) * _ONE_DAY, *weeks_back(today))
    kept: _Kept = {(each.subject, each.day): each for each in desk.services.store.figures(since, desk.reach.groups)}
    endpoints = {each.name: each for each in desk.services.store.endpoints()}
    days = tuple(_day(kept, endpoints, today - (DAYS - 1 - number) * _ONE_DAY) for number in range(DAYS))
    return OverviewShown(
        today=_today(kept, today, days),
        days=days,
        reasons=_reasons(kept, today),
        standing=_standing(kept),
        ended=_ended(kept),
        followed=_followed(kept.get((Subject.WAITED, None))),
    )


def _figures(kept: _Kept, subject: Subject, day: date | None = None) -> Sequence[Figure]:
    counted = kept.get((subject, day))
    return () if counted is None else counted.figures


def _number(figures: Iterable[Figure], wanted: Callable[[Figure], bool] = lambda _: True) -> int:
    return sum(each.number for each in figures if wanted(each))


def _is_refused(figure: Figure) -> bool:
    return bool(figure.what)


def _day(kept: _Kept, endpoints: Mapping[str, Endpoint], day: date) -> DayRecord:
    counted = kept.get((Subject.OUTCOMES, day))
    issued, refused = Counter[str](), Counter[str]()
    for each in counted.figures if counted is not None else ():
        (refused if _is_refused(each) else issued)[source_of_endpoint(each.part, endpoints)] += each.number
    return DayRecord(
        day=day,
        counted_at=counted.at if counted is not None else None,
        sources=tuple(
            SourceRecord(source=source, issued=issued[source], refused=refused[source])
            for source in sorted(issued.keys() | refused.keys())
        ),
    )


def _today(kept: _Kept, today: date, days: Sequence[DayRecord]) -> TodayRecord:
    weeks = [day for day in weeks_back(today) if (Subject.SO_FAR, day) in kept]
    return TodayRecord(
        day=today,
        counted_at=days[-1].counted_at,
        issued=sum(each.issued for each in days[-1].sources),
        usually_issued=usual([_number(_figures(kept, Subject.SO_FAR, day)) for day in weeks]),
        refused=sum(each.refused for each in days[-1].sources),
        usually_refused=usual([_number(_figures(kept, Subject.OUTCOMES, day), _is_refused) for day in weeks]),
    )


def _reasons(kept: _Kept, today: date) -> tuple[ReasonRecord, ...]:
    counts, latest = Counter[str](), Counter[str]()
    for (subject, day), counted in kept.items():
        if subject is Subject.OUTCOMES and day is not None and today - day < DAYS * _ONE_DAY:
            for each in filter(_is_refused, counted.figures):
                counts[each.what] += each.number
                latest[each.what] += each.number if day == today else 0
    return tuple(
        ReasonRecord(reason=reason, title=_title(reason), refused=number, today=latest[reason])
        for reason, number in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )


def _title(reason_id: str) -> str:
    reason = reasons.by_id(reason_id)
    return reason.title if reason is not None else reason_id


def _standing(kept: _Kept) -> StandingRecord:
    live = kept.get((Subject.STANDING, None))
    figures = _figures(kept, Subject.STANDING)
    groups = Counter[tuple[str, str]]()
    for each in figures:
        groups[each.group, each.part] += each.number
    before = (0, *HORIZONS)
    return StandingRecord(
        counted_at=live.at if live is not None else None,
        certificates=_number(figures),
        devices=_number(_figures(kept, Subject.DEVICES)),
        by_group=tuple(
            LiveRecord(group=group, authority=authority, certificates=number)
            for (group, authority), number in sorted(groups.items(), key=lambda each: (-each[1], each[0]))
        ),
        ending=tuple(
            EndingRecord(from_day=begin, to_day=end, certificates=number)
            for begin, end, number in zip(before, HORIZONS, _within(figures), strict=False)
        ),
        lapsed=_number(_figures(kept, Subject.LAPSED)),
    )


def _within(figures: Sequence[Figure]) -> Sequence[int]:
    return [sum(each.number for each in figures if each.what == str(days)) for days in HORIZONS]


def _ended(kept: _Kept) -> EndedRecord:
    month = kept.get((Subject.ENDED_MONTH, None))
    day = _figures(kept, Subject.ENDED_DAY)
    causes: dict[str, Counter[str]] = {}
    for each in month.figures if month is not None else ():
        causes.setdefault(each.part, Counter())[each.what] += each.number
    by_itself = _number(day, lambda each: is_automatic(each.part))
    return EndedRecord(
        counted_at=month.at if month is not None else None,
        day_automatic=by_itself,
        day_by_hand=_number(day) - by_itself,
        causes=_causes(causes),
    )


def _causes(causes: Mapping[str, Counter[str]]) -> tuple[EndedCauseRecord, ...]:
    return tuple(
        EndedCauseRecord(cause=cause, automatic=is_automatic(cause), revoked=each["revoked"], held=each["held"])
        for cause, each in sorted(causes.items(), key=lambda each: (-each[1].total(), each[0]))
    )


def _followed(counted: Counted | None) -> FollowedRecord:
    waits = sorted((int(each.what), each.number) for each in counted.figures) if counted is not None else []
    times = [wait for wait, number in waits for _ in range(number)]
    return FollowedRecord(
        counted_at=counted.at if counted is not None else None,
        certificates=len(times),
        slowest_ms=times[-1] if times else None,
        median_ms=usual(times),
    )


SHOW = Verb(
    "overview.show",
    "GET",
    "/overview",
    Right.READ,
    ShowOverview,
    OverviewShown,
    show_overview,
    "Show what was counted of enrolments, certificates and revocations, beside what is usual.",
)

VERBS = (SHOW,)
