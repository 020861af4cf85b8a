"""The first page: what needs somebody, what is usual and what is not, then the connectors. All was counted before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.console.charts import Stack, bar_list, columns, series_of
from regalia.console.connectors import connector_path
from regalia.console.enrolments import source_word
from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.console.problems import is_exceptional, problems
from regalia.console.start import START, is_begun
from regalia.verbs import connector, overview
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from regalia.console.charts import BarRow, Chart
    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.connector import ConnectorShown
    from regalia.verbs.overview import DayRecord, OverviewShown

__all__ = ["ROUTES"]

_CONNECTORS: Final = 10
_ROWS: Final = 8
"""Of a list with bars."""
_CAUSES: Final = {
    "wiped": marked("Device wiped"),
    "retired": marked("Device retired"),
    "deleted": marked("Device deleted"),
    "absent": marked("No longer in the inventory"),
    "unmanaged": marked("No longer managed"),
    "lost": marked("Reported lost"),
    "disabled": marked("Device disabled"),
    "non-compliant": marked("Not compliant"),
    "risk": marked("Device at risk"),
    "user-disabled": marked("User disabled"),
    "user-absent": marked("User gone"),
    "user-risk": marked("User at risk"),
    "unlicensed": marked("Licence lost"),
    "group-left": marked("Left the required group"),
    "moved": marked("Moved to another group"),
    "requested": marked("Its system asked for it"),
    "following": marked("The state of its device"),
    "superseded": marked("Another one took its place"),
    "administrator": marked("By an administrator"),
    "crl": marked("From an imported CRL"),
    "restored": marked("After a restore"),
}


@dataclass(frozen=True, slots=True)
class _Figure:
    """How many there are of something, where they are listed, and what is usual."""

    number: str
    noun: str
    href: str
    usual: str = ""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class _Series:
    """What came by one way in thirty days; without an address where it is all that has no series of its own."""

    name: str
    fill: str
    issued: str
    href: str


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of the table below a chart, and its list."""

    number: str
    href: str


@dataclass(frozen=True, slots=True)
class _Enrolments:
    """Thirty days as a chart, with the same numbers as a table."""

    chart: Chart
    series: tuple[_Series, ...]
    issued: _Number
    refused: _Number
    heads: tuple[str, ...]
    rows: tuple[tuple[date, tuple[_Number, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Connector:
    """A connector and how it goes."""

    name: str
    href: str
    kind: str
    state: str
    word: str
    read_at: datetime | None
    seen: str
    error: str


def _show(look: Look) -> Shown:
    shown = look.ask(overview.SHOW) if look.may(overview.SHOW) else None
    found = problems(look, shown)
    values: dict[str, object] = {
        "start": None if is_begun(look) else START,
        "problems": found,
        "connectors": list(_connectors(look)),
        "counted": shown,
    }
    if shown is not None:
        values |= {
            "figures": list(_figures(look, shown)),
            "counted_at": _counted_at(shown),
            "enrolments": _enrolments(look, shown),
            "refused": _number(look, sum(each.refused for each in shown.reasons), _refused_list(shown.days[0].day)),
            "reasons": _reasons(look, shown),
            "ending": _ending(look, shown),
            "ending_total": _number(look, sum(each.certificates for each in shown.standing.ending), _live(_SOON)),
            "groups": _groups(shown),
            "causes": _causes(look, shown),
            "live": _number(look, shown.standing.certificates, _live()),
            "ended": _number(look, sum(each.revoked + each.held for each in shown.ended.causes), _ended_list(30)),
        }
    return View(
        "dashboard.html",
        title=look.words("Dashboard"),
        lead=_lead(look, len(found), begun=values["start"] is None),
        here="/",
        values=values,
    )


# --- addresses of lists -----------------------------------------------------------------------------------------------

_SOON: Final = {"ends_within": "90", "sort": "expiry"}


def _live(narrowed: Mapping[str, str] | None = None) -> str:
    return query_path("/certificates", {"revoked": "false", **(narrowed or {})})


def _ended_list(days: int, cause: str | None = None) -> str:
    fields = {"state": "issued", "revoked": "true", "ended_within": str(days), "cause": cause}
    return query_path("/certificates", fields)


def _issued_list(begin: date, end: date | None = None, source: str | None = None) -> str:
    until = end.isoformat() if end is not None else None
    fields = {"state": "issued", "issued_from": begin.isoformat(), "issued_to": until, "source": source}
    return query_path("/certificates", fields)


def _refused_list(begin: date, end: date | None = None, reason: str | None = None) -> str:
    until = end.isoformat() if end is not None else None
    fields = {"state": "refused", "decided_from": begin.isoformat(), "decided_to": until, "reason": reason}
    return query_path("/enrolments", fields)


def _counted_at(shown: OverviewShown) -> datetime | None:
    """Say since when all of it is true; None: not all of it was counted yet."""
    times = [shown.today.counted_at, shown.standing.counted_at, shown.ended.counted_at]
    known = [at for at in times if at is not None]
    return min(known) if len(known) == len(times) else None


def _number(look: Look, number: int, href: str) -> _Number:
    return _Number(look.words.number(number), href)


# --- key figures ------------------------------------------------------------------------------------------------------


def _figures(look: Look, shown: OverviewShown) -> Iterator[_Figure]:
    words, today, standing = look.words, shown.today, shown.standing
    devices = words.ngettext("on %(num)s device", "on %(num)s devices", standing.devices)
    on_devices = devices % {"num": words.number(standing.devices)} if standing.devices else ""
    yield _Figure(words.number(standing.certificates), words("live certificates"), _live(), on_devices)
    usually = _told(look, words("usually %(num)s by now"), today.usually_issued)
    yield _Figure(words.number(today.issued), words("issued today"), _issued_list(today.day), usually)
    yield _Figure(
        words.number(today.refused),
        words("refused today"),
        _refused_list(today.day),
        _told(look, words("%(num)s on a usual day"), today.usually_refused),
        is_exceptional(today),
    )
    by_itself, by_hand = shown.ended.day_automatic, shown.ended.day_by_hand
    how = words("%(num)s automatic, %(more)s by hand") % {"num": words.number(by_itself), "more": words.number(by_hand)}
    total = words.number(by_itself + by_hand)
    yield _Figure(total, words("revoked or held in 24 hours"), _ended_list(1), how if by_itself + by_hand else "")
    slowest, middle = shown.followed.slowest_ms, shown.followed.median_ms
    if slowest is not None and middle is not None:
        usual = words("slowest today, %(time)s in the middle") % {"time": _time(look, middle)}
        yield _Figure(_time(look, slowest), words("from the news to its consequence"), _ended_list(1), usual)


def _told(look: Look, text: str, number: int | None) -> str:
    return "" if number is None else text % {"num": look.words.number(number)}


def _time(look: Look, milliseconds: int) -> str:
    """Say how long something took: below ten seconds to a tenth of one."""
    if milliseconds < 10_000:
        return look.words("%(num)s s") % {"num": f"{milliseconds / 1_000:.1f}"}
    return look.words.span(timedelta(milliseconds=milliseconds))


# --- charts -----------------------------------------------------------------------------------------------------------


def _enrolments(look: Look, shown: OverviewShown) -> _Enrolments | None:
    """Draw thirty days; None where there is nothing to be seen."""
    totals, first = Counter[str](), shown.days[0].day
    for day in shown.days:
        totals.update({each.source: each.issued for each in day.sources})
    refused = sum(each.refused for day in shown.days for each in day.sources)
    if not totals.total() and not refused:
        return None
    series = series_of(totals)
    chart = columns([_stack(look, day, series) for day in shown.days])
    return _Enrolments(
        chart=chart,
        series=tuple(_series(look, source, place, totals, series, first) for place, source in enumerate(series, 1)),
        issued=_number(look, totals.total(), _issued_list(first)),
        refused=_number(look, refused, _refused_list(first)),
        heads=tuple(source_word(look, source) for source in sorted(totals)),
        rows=tuple((day.day, tuple(_cells(look, day, sorted(totals)))) for day in reversed(shown.days)),
    )


def _series(look: Look, source: str, place: int, totals: Counter[str], series: Sequence[str], first: date) -> _Series:
    if source:
        name, number = source_word(look, source), totals[source]
        return _Series(name, f"fill-{place}", look.words.number(number), _issued_list(first, source=source))
    rest = sum(number for each, number in totals.items() if each not in series)
    return _Series(look.words("Other ways"), f"fill-{place}", look.words.number(rest), "")


def _stack(look: Look, day: DayRecord, series: Sequence[str]) -> Stack:
    issued = {each.source: each.issued for each in day.sources}
    rest = sum(number for source, number in issued.items() if source not in series)
    refused = sum(each.refused for each in day.sources)
    today = day.day == look.now.date()
    label = look.words("today") if today else look.words.short_day(day.day)
    return Stack(label, tuple(issued.get(source, 0) if source else rest for source in series), refused)


def _cells(look: Look, day: DayRecord, sources: Sequence[str]) -> Iterator[_Number]:
    issued = {each.source: each.issued for each in day.sources}
    for source in sources:
        yield _number(look, issued.get(source, 0), _issued_list(day.day, day.day, source))
    refused = sum(each.refused for each in day.sources)
    yield _number(look, refused, _refused_list(day.day, day.day))


def _reasons(look: Look, shown: OverviewShown) -> tuple[BarRow, ...]:
    first = shown.days[0].day
    rows = [
        (_sentence(look.words(each.title)), each.refused, _refused_list(first, reason=each.reason))
        for each in shown.reasons[:_ROWS]
    ]
    return bar_list(rows, bad=None)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _ending(look: Look, shown: OverviewShown) -> tuple[BarRow, ...]:
    words = look.words
    lapsed = {"state": "issued", "expired": "true", "expired_within": "30", "revoked": "false", "followed": "false"}
    rows = [(words("Expired, nothing came after"), shown.standing.lapsed, query_path("/certificates", lapsed))]
    for each in shown.standing.ending:
        text = words("In %(begin)s to %(end)s days") if each.from_day else words("Within %(end)s days")
        label = text % {"begin": each.from_day + 1, "end": each.to_day}
        beyond = {"ends_beyond": str(each.from_day)} if each.from_day else {}
        within = {"ends_within": str(each.to_day), "sort": "expiry"}
        rows.append((label, each.certificates, _live({**beyond, **within})))
    return bar_list(rows, bad=(0,)) if any(number for _, number, _ in rows) else ()


def _groups(shown: OverviewShown) -> tuple[BarRow, ...]:
    """List what is live by group; by issuer as well where a group has several."""
    issuers = Counter(each.group for each in shown.standing.by_group)
    rows = []
    for each in shown.standing.by_group[:_ROWS]:
        several = issuers[each.group] > 1
        label = f"{each.group}, {each.authority}" if several else each.group
        narrowed = {"group": each.group, **({"authority": each.authority} if several else {})}
        rows.append((label, each.certificates, _live(narrowed)))
    return bar_list(rows)


def _causes(look: Look, shown: OverviewShown) -> tuple[BarRow, ...]:
    rows = [
        (look.words(_CAUSES.get(each.cause, each.cause)), each.revoked + each.held, _ended_list(30, each.cause))
        for each in shown.ended.causes[:_ROWS]
    ]
    return bar_list(rows)


# --- connectors -------------------------------------------------------------------------------------------------------


def _connectors(look: Look) -> Iterator[_Connector]:
    if not look.may(connector.LIST):
        return
    for each in look.ask(connector.LIST, limit=_CONNECTORS).items:
        yield _connector(look, look.ask(connector.SHOW, name=each.name))


def _connector(look: Look, record: ConnectorShown) -> _Connector:
    words, sweep = look.words, record.last_sweep
    error = record.trouble or (sweep.why if sweep is not None else None) or ""
    state, word = "ok", words("Working")
    if not record.enabled:
        state, word = "over", words("Disabled")
    elif record.trouble:
        state, word = "bad", words("Cannot be asked")
    elif error:
        state, word = "bad", words("Not syncing")
    elif sweep is None and "inventory" in {each.value for each in record.abilities}:
        state, word = "waiting", words("Not read yet")
    seen = words.number(sweep.seen) if sweep is not None else ""
    read_at = record.last_complete_sweep_at
    return _Connector(record.name, connector_path(record.name), record.kind, state, word, read_at, seen, error)


def _lead(look: Look, number: int, *, begun: bool) -> str:
    if not look.caller.grants:
        return look.words("Your account has no role yet: another administrator gives you one.")
    if not number and not begun:
        return look.words("Everything is ready for the first device.")
    if not number:
        return look.words("Nothing needs you. Devices enrol and renew by themselves.")
    text = look.words.ngettext("%(num)s thing needs somebody.", "%(num)s things need somebody.", number)
    return text % {"num": look.words.number(number)}


ROUTES: Final[Routes] = {"/": {"GET": _show}}
