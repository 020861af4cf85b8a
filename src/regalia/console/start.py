"""The first steps: from a root to the first certificate. How far one is follows from what there is; nothing is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.console.acts import act_path
from regalia.console.connectors import connector_path, kind_word
from regalia.console.enrolments import state_of
from regalia.console.groups import endpoint_path, group_path
from regalia.console.look import View
from regalia.verbs import authority, certificate, connector, endpoint, enrolment, group
from regalia.verbs.challenge import CREATE as CREATE_CHALLENGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.endpoint import EndpointRecord

__all__ = ["ROUTES", "START", "is_begun"]

START: Final = "/start"
_FEW: Final = 5
_MANY: Final = 1_000
"""Endpoints among which one for a device by hand is looked for."""
_NAMES: Final = json.dumps({"cn": "laptop-1"})
"""Of the first device that somebody enrols by hand; they may change it in the form."""


@dataclass(frozen=True, slots=True)
class _Link:
    """What there is, or what can be done."""

    label: str
    href: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """One step: what it is for, what there is of it, and what can be done."""

    title: str
    says: str
    done: bool
    found: tuple[_Link, ...] = ()
    acts: tuple[_Link, ...] = ()
    command: str = ""
    optional: bool = False
    """Whether the next one can be taken without it."""


def is_begun(look: Look) -> bool:
    """Whether a device has a certificate of ours, or had one: from then on nobody needs the first steps."""
    return bool(look.ask(certificate.LIST, limit=1).items) if look.may(certificate.LIST) else True


def _show(look: Look) -> Shown:
    steps = tuple(_steps(look))
    # What is under way comes first; any other can be done at any time.
    current = next((number for number, each in enumerate(steps) if not (each.done or each.optional)), len(steps))
    asked = look.ask(enrolment.LIST, limit=_FEW).items if look.may(enrolment.LIST) else ()
    return View(
        "start.html",
        title=look.words("First steps"),
        lead=look.words("From here to the first certificate on a device: what is done, and what comes next."),
        here="/",
        crumbs=((look.words("Dashboard"), "/"), (look.words("First steps"), "")),
        values={
            "steps": steps,
            "current": current,
            "asked": [(each, *state_of(look, each.state)) for each in asked],
        },
        refresh=10,
    )


def _steps(look: Look) -> Iterator[_Step]:
    words = look.words
    found = look.ask(authority.LIST, limit=_FEW).items
    yield _Step(
        words("An authority of your own"),
        words("It signs what your devices show. The root stays offline if you like; each group has one below it."),
        bool(found),
        tuple(_Link(each.name, f"/authorities/{each.name}") for each in found),
        (
            _Link(words("Put it under a root that you have"), "/docs/tasks/subordinate-ca"),
            _Link(words("Bring the authority that you have"), "/docs/tasks/import-a-ca"),
        ),
        command="" if found else "regalia init",
    )
    groups = look.ask(group.LIST, limit=_FEW).items
    yield _Step(
        words("A group of devices"),
        words("Who may have which certificate is said group by group, and what happens in one stays there."),
        bool(groups),
        tuple(_Link(each.name, group_path(each.name)) for each in groups),
        (_Link(words("Create another group"), act_path(group.CREATE)),) if look.may(group.CREATE) else (),
    )
    yield _vouching(look)
    doors = look.ask(endpoint.LIST, limit=_MANY).items
    yield _Step(
        words("What to enter on devices"),
        words("Each endpoint has an address and a fingerprint to paste into your MDM, or into a command."),
        bool(doors),
        tuple(_Link(each.name, endpoint_path(each.name), each.url) for each in doors[:_FEW]),
    )
    yield _first(look, doors)


def _vouching(look: Look) -> _Step:
    words = look.words
    known = look.ask(connector.LIST, limit=_FEW).items if look.may(connector.LIST) else ()
    kinds = look.ask(connector.KINDS, limit=20).items if look.may(connector.CREATE) else ()
    return _Step(
        words("Who vouches for a device"),
        words("An MDM or an inventory says which devices are yours, and certificates end with them. Until then you do.")
        if not known
        else words("These say which devices are yours, and certificates end with them."),
        bool(known),
        tuple(_Link(each.name, connector_path(each.name), each.kind) for each in known),
        tuple(_Link(kind_word(look, each), act_path(connector.CREATE, kind=each.kind)) for each in kinds),
        optional=True,
    )


def _first(look: Look, doors: tuple[EndpointRecord, ...]) -> _Step:
    words, begun = look.words, is_begun(look)
    hand = next((each for each in doors if each.enabled and each.authoriser == "one-time"), None)
    acts: tuple[_Link, ...] = ()
    if hand is not None and look.may(CREATE_CHALLENGE, hand.group):
        path = act_path(CREATE_CHALLENGE, endpoint=hand.name, binding=_NAMES)
        acts = (_Link(words("Make a challenge"), path),)
    return _Step(
        words("The first certificate"),
        words("Have a device ask. By hand: make a challenge, and give it to the command below on any machine."),
        begun,
        (_Link(words("Certificates"), "/certificates"),) if begun else (),
        acts,
        command=_command(look, hand) if hand is not None and not begun else "",
    )


def _command(look: Look, door: EndpointRecord) -> str:
    pin = look.ask(endpoint.SHOW, name=door.name).root_sha256
    pinned = f" --fingerprint {pin.hex()}" if pin is not None else ""
    files = "--key laptop-1.key --cert laptop-1.pem --challenge-file -"
    return f"regalia scep enrol --url {door.url}{pinned} --cn laptop-1 {files}"


ROUTES: Final[Routes] = {START: {"GET": _show}}
