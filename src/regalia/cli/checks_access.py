"""What `doctor` looks at where people are concerned: who gets in to administer, and who is told what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.cli.check import Check, Level
from regalia.ports import AlertFilter
from regalia.ra.administration import can_administer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.model import Administrator

__all__ = ["access_checks"]

_PAGE: Final = "docs/tasks/sign-in.md"


def access_checks(regalia: App) -> Iterator[Check]:
    """Look at the ways in, and at the ways out to whom it concerns."""
    yield _ways_in(regalia)
    yield from _alerts(regalia)


def _ways_in(regalia: App) -> Check:
    people = regalia.store.administrators()
    if not people:
        remedy = f"Open the link that `regalia admin setup-link` prints: {_PAGE}."
        return Check("access", Level.WARN, "nobody is an administrator yet", remedy)
    able = [person for person in people if can_administer(person)]
    if not able:
        finding = "no enabled administrator has the role admin everywhere and a way to sign in"
        return Check("access", Level.WARN, finding, "Let one in again: `regalia admin rescue NAME`.")
    if len(able) == 1 and _ways(able[0]) == 1:
        finding = f"{able[0].name} alone administers, and has one way in: lost, nobody signs in"
        remedy = f"Register a second passkey at {regalia.config.admin_url()}/account, or let somebody else in: {_PAGE}."
        return Check("access", Level.WARN, finding, remedy)
    return Check("access", Level.OK, f"{', '.join(person.name for person in able)} can sign in and administer")


def _ways(person: Administrator) -> int:
    return len(person.passkeys) + len(person.subjects) + (person.password is not None)


def _alerts(regalia: App) -> Iterator[Check]:
    waiting = [each for each in regalia.store.alerts(AlertFilter(open=True)) if each.acknowledged_at is None]
    if waiting:
        finding = f"nobody looks after {len(waiting)} of the alerts that are open"
        yield Check(
            "alerts", Level.WARN, finding, "Run `regalia alert list --state open`, then `regalia alert show ID`."
        )
    if not regalia.store.targets():
        remedy = "Run `regalia alert target create`: docs/tasks/alerts.md."
        yield Check("alerts", Level.WARN, "nobody is told of alerts", remedy)
