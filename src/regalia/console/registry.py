"""Every page of the console. Whoever adds a noun adds its module here, and nothing else has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console import (
    appearance,
    approvals,
    audit,
    authorities,
    certificates,
    challenges,
    components,
    connectors,
    dashboard,
    documentation,
    enrolments,
    fleet,
    groups,
    health,
    search,
    setup,
    start,
)
from regalia.console.acts import act_routes
from regalia.console.desk import PageDesk
from regalia.console.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.console.acts import Act
    from regalia.console.desk import Routes
    from regalia.ra.sign_in import Known
    from regalia.web.answers import Answer
    from regalia.web.door import Backing, Framed
    from regalia.web.face import Ways
    from regalia.web.visit import Visit

__all__ = ["ACTS", "ROUTES", "console_ways", "framed"]

ACTS: Final[Mapping[str, Act]] = {
    **groups.ACTS,
    **certificates.ACTS,
    **enrolments.ACTS,
    **challenges.ACTS,
    **fleet.ACTS,
    **connectors.ACTS,
    **authorities.ACTS,
    **health.ACTS,
}
"""The forms, by the names of their verbs."""

ROUTES: Final[Routes] = {
    **dashboard.ROUTES,
    **start.ROUTES,
    **groups.ROUTES,
    **setup.ROUTES,
    **certificates.ROUTES,
    **enrolments.ROUTES,
    **approvals.ROUTES,
    **challenges.ROUTES,
    **fleet.ROUTES,
    **connectors.ROUTES,
    **authorities.ROUTES,
    **audit.ROUTES,
    **health.ROUTES,
    **components.ROUTES,
    **documentation.ROUTES,
    **search.ROUTES,
    **appearance.ROUTES,
    **act_routes(ACTS),
}
"""The pages, by path and method."""


def console_ways(backing: Backing) -> Ways:
    """Make the ways of all pages."""
    return _desk(backing).ways(ROUTES)


def framed(backing: Backing, visit: Visit, known: Known, given: Framed) -> Answer:
    """Put a page of the door that is for somebody signed in into the frame."""
    return _desk(backing).framed(visit, known, given)


def _desk(backing: Backing) -> PageDesk:
    return PageDesk(backing, Frame(backing.host, frozenset(ROUTES)))
