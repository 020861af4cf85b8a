"""The first page: what needs somebody, then how many there are of everything, then the connectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.verbs import alert, authority, certificate, connector, device, enrolment, proposal
from regalia.verbs.alert import AlertState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs import Verb

__all__ = ["ROUTES"]

_SHOWN: Final = 10
_SOON: Final = 90
"""Days before its end from which on an authority needs somebody."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """Something that needs somebody."""

    kind: str
    what: str
    then: str
    href: str
    button: str


@dataclass(frozen=True, slots=True)
class _Figure:
    """How many there are of something, and where they are listed."""

    number: str
    noun: str
    href: str


def _show(look: Look) -> Shown:
    problems = [*_alerts(look), *_waiting(look), *_ending(look)]
    return View(
        "dashboard.html",
        title=look.words("Dashboard"),
        lead=_lead(look, len(problems)),
        here="/",
        values={
            "problems": problems[:_SHOWN],
            "figures": list(_figures(look)),
            "connectors": look.ask(connector.LIST, limit=_SHOWN).items if look.may(connector.LIST) else (),
        },
    )


def _alerts(look: Look) -> Iterator[_Problem]:
    if not look.may(alert.LIST):
        return
    for each in look.ask(alert.LIST, state=AlertState.OPEN.value, limit=_SHOWN).items:
        kind = "bad" if each.severity.value == "critical" else "warn"
        yield _Problem(kind, each.summary, each.remedy, "/health", look.words("Open the alert"))


def _waiting(look: Look) -> Iterator[_Problem]:
    """Name what waits for a person: enrolments that are held, and what colleagues propose."""
    words = look.words
    if look.may(enrolment.APPROVE):
        held = look.ask(enrolment.LIST, state="pending", limit=_SHOWN).items
        if held:
            text = words.ngettext(
                "%(num)s enrolment waits for approval", "%(num)s enrolments wait for approval", len(held)
            )
            then = words("Devices ask again by themselves until somebody decides.")
            yield _Problem("waiting", text % {"num": words.number(len(held))}, then, "/approvals", words("Review"))
    proposed = look.ask(proposal.LIST, state="open", limit=_SHOWN).items if look.may(proposal.LIST) else ()
    if proposed:
        text = words.ngettext(
            "%(num)s proposal waits for a second administrator",
            "%(num)s proposals wait for a second administrator",
            len(proposed),
        )
        then = words("Nothing of it is done before somebody else agrees.")
        yield _Problem("waiting", text % {"num": words.number(len(proposed))}, then, "/approvals", words("Review"))


def _ending(look: Look) -> Iterator[_Problem]:
    """Name the authorities that end soon and have nobody to follow them."""
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
            yield _Problem("warn", what % {"name": each.name, "num": days}, then, href, words("Plan it"))


def _figures(look: Look) -> Iterator[_Figure]:
    words = look.words
    wanted: tuple[tuple[Verb[Any, Any], dict[str, object], str, str], ...] = (
        (certificate.LIST, {}, words("live certificates"), "/certificates"),
        (
            certificate.LIST,
            {"revoked": True, "all": True},
            words("ended or on hold"),
            "/certificates?revoked=true&all=true",
        ),
        (
            enrolment.LIST,
            {"state": "refused"},
            words("refused in 30 days"),
            query_path("/enrolments", {"state": "refused"}),
        ),
        (device.LIST, {"present": True}, words("devices in inventories"), query_path("/devices", {"present": "true"})),
    )
    for verb, fields, noun, href in wanted:
        if look.may(verb):
            total = look.ask(verb, limit=1, **fields).total or "0"
            yield _Figure(words.number(int(total)) if total.isdigit() else total, noun, href)


def _lead(look: Look, problems: int) -> str:
    if not look.caller.grants:
        return look.words("Your account has no role yet: another administrator gives you one.")
    if not problems:
        return look.words("Nothing needs you. Devices enrol and renew by themselves.")
    text = look.words.ngettext("%(num)s thing needs somebody.", "%(num)s things need somebody.", problems)
    return text % {"num": look.words.number(problems)}


ROUTES: Final[Routes] = {"/": {"GET": _show}}
