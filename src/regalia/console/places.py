"""The places of the navigation, in their order (design: frame), and what each of them needs to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.model import Right
from regalia.ra.roles import reach_of
from regalia.verbs import enrolment, proposal
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.console.look import Look

__all__ = ["PLACES", "Item", "Place", "Section", "sections"]


def _waiting(look: Look) -> int:
    """Count what waits for a decision that the looker could make: as many as a look at the first few tells."""
    found = 0
    if look.may(enrolment.APPROVE):
        found += len(look.ask(enrolment.LIST, state="pending", limit=_COUNTED).items)
    if look.may(proposal.LIST):
        found += len(look.ask(proposal.LIST, state="open", limit=_COUNTED).items)
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to go."""

    path: str
    label: str
    icon: str
    right: Right | None = Right.READ
    """What the looker must have somewhere; None: nothing."""
    key: str = ""
    """The letter that leads here behind `g`."""
    waits: Callable[[Look], int] | None = None
    """Counts what somebody must do there; None: nothing is counted."""


PLACES: Final[tuple[tuple[str, tuple[Place, ...]], ...]] = (
    (
        "",
        (
            Place("/", marked("Dashboard"), "dashboard", None, "d"),
            Place("/groups", marked("Groups"), "groups", key="g"),
        ),
    ),
    (
        marked("Issuance"),
        (
            Place("/certificates", marked("Certificates"), "certificate", key="c"),
            Place("/enrolments", marked("Enrolments"), "enrolment", key="e"),
            Place("/approvals", marked("Approvals"), "approval", key="a", waits=_waiting),
            Place("/challenges", marked("Challenges"), "challenge"),
        ),
    ),
    (
        marked("Fleet"),
        (
            Place("/devices", marked("Devices"), "device"),
            Place("/users", marked("Users"), "user"),
            Place("/connectors", marked("Connectors"), "connector"),
        ),
    ),
    (
        marked("Trust"),
        (
            Place("/authorities", marked("Authorities"), "authority", key="u"),
            Place("/audit", marked("Audit log"), "audit", Right.READ_LOG, "l"),
            Place("/health", marked("System health"), "health"),
            Place("/settings", marked("Settings"), "settings", Right.OWN),
            Place("/docs", marked("Documentation"), "docs", None),
        ),
    ),
)
"""Section by section. What is not in the table of ways yet is not shown."""


_COUNTED: Final = 100
"""Of one kind; more are not told apart."""


@dataclass(frozen=True, slots=True)
class Item:
    """A place as it is shown to one looker."""

    path: str
    label: str
    icon: str
    key: str
    count: str = ""
    """How many wait; empty where nothing does."""


@dataclass(frozen=True, slots=True)
class Section:
    """Some places under one heading."""

    label: str
    items: tuple[Item, ...]


def sections(look: Look, known: frozenset[str]) -> tuple[Section, ...]:
    """Show the places that there are and that the looker may see something of."""
    found = []
    for label, places in PLACES:
        items = tuple(
            Item(place.path, look.words(place.label), place.icon, place.key, _count(look, place))
            for place in places
            if place.path in known and _may(look, place)
        )
        if items:
            found.append(Section(look.words(label) if label else "", items))
    return tuple(found)


def _count(look: Look, place: Place) -> str:
    waiting = place.waits(look) if place.waits is not None else 0
    return look.words.number(waiting) if waiting else ""


def _may(look: Look, place: Place) -> bool:
    reach = reach_of(look.caller.grants, place.right) if place.right is not None else None
    return reach is None or reach.groups is None or bool(reach.groups)
