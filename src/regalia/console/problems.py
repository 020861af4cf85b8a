"""What needs somebody: each with a sentence, its consequence, and the way to the fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.console.listing import query_path
from regalia.model import AlertCondition
from regalia.verbs import alert, authority, enrolment, proposal
from regalia.verbs.alert import AlertState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from regalia.console.look import Look
    from regalia.verbs.alert import AlertRecord
    from regalia.verbs.overview import OverviewShown, TodayRecord

__all__ = ["Problem", "is_exceptional", "problems"]

_SHOWN: Final = 10
_SOON: Final = 90
"""Days before its end from which on an authority needs somebody."""
_FEW: Final = 5
"""Refusals of a day that nobody has to look at."""
_TIMES: Final = 3
"""Times what is usual, from which on refusals are exceptional."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that needs somebody."""

    kind: str
    what: str
    then: str
    href: str
    button: str


def problems(look: Look, shown: OverviewShown | None) -> tuple[Problem, ...]:
    """Name what needs the looker, what is broken first. What is told in two ways is told in the better one."""
    refused = list(_refusals(look, shown)) if shown is not None else []
    ending = dict(_ending(look))
    found = [
        *refused,
        *_alerts(look, without={AlertCondition.REFUSALS} if refused else set(), known=ending.keys()),
        *ending.values(),
        *_waiting(look),
    ]
    order = ("bad", "warn", "waiting")
    return tuple(sorted(found, key=lambda each: order.index(each.kind))[:_SHOWN])


def is_exceptional(today: TodayRecord) -> bool:
    """Whether far more is refused today than on other days."""
    return today.refused >= max(_FEW, _TIMES * (today.usually_refused or 0))


def _refusals(look: Look, shown: OverviewShown) -> Iterator[Problem]:
    today, words = shown.today, look.words
    if not is_exceptional(today):
        return
    most = max(shown.reasons, key=lambda each: each.today)
    if most.today == today.refused:
        what = words.ngettext(
            "%(num)s enrolment was refused today: %(reason)s",
            "%(num)s enrolments were refused today, all for one reason: %(reason)s",
            today.refused,
        )
    else:
        what = words.ngettext(
            "%(num)s enrolment was refused today, mostly: %(reason)s",
            "%(num)s enrolments were refused today, mostly: %(reason)s",
            today.refused,
        )
    reason = reasons.by_id(most.reason)
    usual = words("%(num)s on a usual day.") % {"num": words.number(today.usually_refused or 0)}
    then = f"{usual} {words(reason.remedy)}" if reason is not None else usual
    fields = {"state": "refused", "reason": most.reason, "decided_from": today.day.isoformat()}
    text = what % {"num": words.number(today.refused), "reason": words(most.title)}
    yield Problem("bad", text, then, query_path("/enrolments", fields), words("See them"))


# --- alerts ---------------------------------------------------------------------------------------------------------


def _alerts(look: Look, without: set[AlertCondition], known: Collection[str]) -> Iterator[Problem]:
    """Name what lasts and nobody has taken care of; not what is told already."""
    if not look.may(alert.LIST):
        return
    for each in look.ask(alert.LIST, state=AlertState.OPEN.value, limit=_SHOWN).items:
        if each.condition not in without and each.object not in known:
            kind = "bad" if each.severity.value == "critical" else "warn"
            href, button = _fix(look, each)
            yield Problem(kind, each.summary, each.remedy, href, button)


def _fix(look: Look, found: AlertRecord) -> tuple[str, str]:
    """Say where what an alert is about can be mended."""
    name = found.object.partition(":")[2]
    if found.condition is AlertCondition.CONNECTOR_AWAY:
        return f"/connectors/{name}", look.words("Open the connector")
    if found.condition is AlertCondition.AUTHORITY_ENDS:
        return f"/authorities/{name}", look.words("Plan it")
    if found.condition is AlertCondition.FOLLOW_STOPPED:
        return "/reconciliation", look.words("See what would follow")
    if found.condition is AlertCondition.REFUSALS:
        return query_path("/enrolments", {"state": "refused"}), look.words("See them")
    return "/health", look.words("Open the alert")


# --- what has no alert ----------------------------------------------------------------------------------------------


def _waiting(look: Look) -> Iterator[Problem]:
    """Name what waits for a person: enrolments that are held, and what colleagues propose."""
    words = look.words
    if look.may(enrolment.APPROVE):
        held = look.ask(enrolment.LIST, state="pending", limit=_SHOWN)
        number = int(held.total) if held.total is not None and held.total.isdigit() else len(held.items)
        if number:
            text = words.ngettext(
                "%(num)s enrolment waits for approval", "%(num)s enrolments wait for approval", number
            )
            then = words("Devices ask again by themselves until somebody decides.")
            yield Problem("waiting", text % {"num": words.number(number)}, then, "/approvals", words("Review"))
    proposed = look.ask(proposal.LIST, state="open", limit=_SHOWN).items if look.may(proposal.LIST) else ()
    if proposed:
        text = words.ngettext(
            "%(num)s proposal waits for a second administrator",
            "%(num)s proposals wait for a second administrator",
            len(proposed),
        )
        then = words("Nothing of it is done before somebody else agrees.")
        yield Problem("waiting", text % {"num": words.number(len(proposed))}, then, "/approvals", words("Review"))


def _ending(look: Look) -> Iterator[tuple[str, Problem]]:
    """Name the authorities that end soon and have nobody to follow them, each by what an alert of it is about."""
    if not look.may(authority.LIST):
        return
    words, found = look.words, look.ask(authority.LIST, limit=1_000).items
    followed = {each.group for each in found if each.state.value == "next"}
    for each in found:
        days = (each.not_after - look.now).days
        if each.state.value == "active" and 0 <= days < _SOON and each.group not in followed:
            what = words.ngettext("%(name)s ends in %(num)s day", "%(name)s ends in %(num)s days", days)
            then = words("What it issues is cut short to end with it. Prepare the one that follows.")
            href = f"/authorities/{each.name}"
            problem = Problem("warn", what % {"name": each.name, "num": days}, then, href, words("Plan it"))
            yield f"authority:{each.name}", problem
