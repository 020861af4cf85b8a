"""Devices and users: the lists, and a record with its states, its evidence and its certificates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regalia.console.acts import Act, Ask, act_path
from regalia.console.certificates import group_choices, standing
from regalia.console.listing import Cell, Column, Filter, Listing, Tab
from regalia.console.look import View
from regalia.model import Action
from regalia.model.fleet import Platform
from regalia.verbs import connector as connectors
from regalia.verbs import device as devices
from regalia.verbs import user as users
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.bearer_facts import HistoryRecord
    from regalia.verbs.device import DeviceRecord
    from regalia.verbs.user import UserRecord

__all__ = ["ACTS", "ROUTES", "device_path", "user_path"]

_DEVICES: Final = "/devices"
_USERS: Final = "/users"
_TRUTH: Final = {None: marked("not said"), True: marked("yes"), False: marked("no")}


def device_path(device_id: object) -> str:
    """Say where a device's page is."""
    return f"{_DEVICES}/{device_id}"


def user_path(user_id: object) -> str:
    """Say where a user's page is."""
    return f"{_USERS}/{user_id}"


def _connector_choices(look: Look) -> Sequence[tuple[str, str]]:
    return [(each.name, each.name) for each in look.ask(connectors.LIST, limit=1_000).items]


def _standing(look: Look, state: str, *, present: bool = True) -> Cell:
    good = state == "good"
    kind = "ok" if good else "warn" if present else "over"
    return Cell(look.words("In order") if good else state, kind=kind)


def _empty(look: Look, headline: str) -> Mapping[str, str]:
    return {
        "headline": look.words(headline),
        "explanation": look.words("Records come from a connector, or from an inventory that you import."),
        "action": look.words("Open the connectors"),
        "href": "/connectors",
        "command": "regalia connector create --help",
    }


def _device(_look: Look, row: DeviceRecord) -> Cell:
    return Cell(row.name or row.external_id, device_path(row.id), row.serial_number or "")


def _user(_look: Look, row: UserRecord) -> Cell:
    return Cell(row.name or row.external_id, user_path(row.id), row.upn or "")


DEVICES: Final = Listing(
    path=_DEVICES,
    verb=devices.LIST,
    title=marked("Devices"),
    lead=lambda look: look.words("What your inventories know, and what state each device is in."),
    columns=(
        Column(marked("Name"), _device),
        Column(marked("State"), lambda look, row: _standing(look, row.state)),
        Column(marked("System"), lambda _, row: Cell(row.platform.value), optional=True),
        Column(marked("Group"), lambda _, row: Cell(row.group or "", f"/groups/{row.group}" if row.group else "")),
        Column(marked("Known from"), lambda _, row: Cell(row.connector, f"/connectors/{row.connector}"), optional=True),
        Column(marked("Last seen"), lambda _, row: Cell(at=row.seen_at)),
    ),
    empty=lambda look: _empty(look, marked("No device is known yet")),
    row=lambda row: str(row.id),
    filters=(
        Filter("group", marked("Group"), group_choices),
        Filter("connector", marked("Connector"), _connector_choices),
        Filter("platform", marked("System"), lambda _: [(each.value, each.value) for each in Platform]),
    ),
    tabs=(
        Tab(marked("All"), {}),
        Tab(marked("Present"), {"present": "true"}),
        Tab(marked("Gone"), {"present": "false"}),
    ),
)

USERS: Final = Listing(
    path=_USERS,
    verb=users.LIST,
    title=marked("Users"),
    lead=lambda look: look.words("To whom devices belong, as your directory says."),
    columns=(
        Column(marked("Name"), _user),
        Column(marked("State"), lambda look, row: _standing(look, row.state)),
        Column(marked("Known from"), lambda _, row: Cell(row.connector, f"/connectors/{row.connector}")),
        Column(marked("Last seen"), lambda _, row: Cell(at=row.seen_at)),
    ),
    empty=lambda look: _empty(look, marked("No user is known yet")),
    row=lambda row: str(row.id),
    filters=(Filter("connector", marked("Connector"), _connector_choices),),
    tabs=(
        Tab(marked("All"), {}),
        Tab(marked("Present"), {"present": "true"}),
        Tab(marked("Gone"), {"present": "false"}),
    ),
)


# --- one record -----------------------------------------------------------------------------------------------------

_HAPPENED: Final = {
    Action.DEVICE_ADDED: ("ok", marked("Known for the first time")),
    Action.DEVICE_CHANGED: ("info", marked("Its state changed")),
    Action.DEVICE_MOVED: ("info", marked("Moved to another group")),
    Action.DEVICE_ABSENT: ("warn", marked("No longer in the inventory")),
    Action.USER_CHANGED: ("info", marked("Its state changed")),
}
"""The icon of what the log says of a record, and its word."""


@dataclass(frozen=True, slots=True)
class _Happening:
    """A line of its history, newest first."""

    kind: str
    what: str
    at: datetime
    by: str
    note: str


def _happening(look: Look, each: HistoryRecord) -> _Happening:
    kind, what = _HAPPENED.get(each.action, ("info", each.action.value))
    return _Happening(kind, look.words(what), each.at, each.by, _changed(each.details))


def _changed(details: Mapping[str, Any]) -> str:
    """Say what of a state became what, as the log has it: `lost false → true`; or why, where that is all."""
    before, after = (dict(_flags(details.get(side))) for side in ("former", "state"))
    if before:
        apart = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return ", ".join(f"{name} {before.get(name, '?')} → {after.get(name, '?')}" for name in apart)
    known = (details.get(name) for name in ("why", "state", "former_group"))
    return next((str(each) for each in known if each), "")


def _flags(state: object) -> Iterator[tuple[str, str]]:
    """Take a state apart, as events have it: `present true, lost false`."""
    for part in str(state or "").split(", "):
        name, _, value = part.rpartition(" ")
        if name:
            yield name, value


def _show_device(look: Look) -> Shown:
    record = look.ask(devices.SHOW, id=look.place["id"])
    facts = [
        (look.words("In the inventory"), look.words(_TRUTH[record.facts.present])),
        (look.words("Managed"), look.words(_TRUTH[record.facts.managed])),
        (look.words("Enabled"), look.words(_TRUTH[record.facts.enabled])),
        (look.words("Compliant"), look.words(_TRUTH[record.facts.compliant])),
        (look.words("Lost"), look.words(_TRUTH[record.facts.lost])),
        (look.words("Ordered"), record.facts.pending.value),
        (look.words("Risk"), record.facts.risk or look.words("not said")),
    ]
    who = [
        (look.words("System"), record.platform.value),
        (look.words("Serial number"), record.serial_number or ""),
        (look.words("Belongs to"), record.user_name or ""),
        (look.words("Known from"), record.connector),
        (look.words("Its id there"), record.external_id),
        (look.words("Also called"), ", ".join(record.aliases)),
        (look.words("DNS names"), ", ".join(record.dns)),
        (look.words("SID"), record.sid or ""),
        (look.words("Groups there"), ", ".join(record.memberships or ())),
    ]
    actions = [(look.words("Move to a group …"), act_path(devices.MOVE, id=str(record.id)))]
    may_move = look.may(devices.MOVE, record.group)
    return _record(look, record, _DEVICES, look.words("Devices"), facts, who, actions if may_move else [])


def _show_user(look: Look) -> Shown:
    record = look.ask(users.SHOW, id=look.place["id"])
    facts = [
        (look.words("In the directory"), look.words(_TRUTH[record.facts.present])),
        (look.words("Enabled"), look.words(_TRUTH[record.facts.enabled])),
        (look.words("Licensed"), look.words(_TRUTH[record.facts.licensed])),
        (look.words("Risk"), record.facts.risk or look.words("not said")),
    ]
    who = [
        (look.words("Account"), record.upn or record.sam_account or ""),
        (look.words("E-mail"), ", ".join(record.email)),
        (look.words("Known from"), record.connector),
        (look.words("Its id there"), record.external_id),
        (look.words("SID"), record.sid or ""),
        (look.words("Groups there"), ", ".join(record.memberships or ())),
    ]
    return _record(look, record, _USERS, look.words("Users"), facts, who, [])


def _record(
    look: Look,
    record: Any,  # noqa: ANN401 - a device or a user
    here: str,
    noun: str,
    facts: Sequence[tuple[str, str]],
    who: Sequence[tuple[str, str]],
    actions: Sequence[tuple[str, str]],
) -> View:
    name = record.name or record.external_id
    return View(
        "bearer.html",
        title=name,
        lead=look.words("Nothing is wrong with it, as far as anybody said.")
        if record.state == "good"
        else look.words("What is known of it: %(state)s.") % {"state": record.state},
        here=here,
        crumbs=((noun, here), (name, "")),
        values={
            "record": record,
            "state": _standing(look, record.state),
            "facts": facts,
            "who": [(label, value) for label, value in who if value],
            "certificates": [(each, *standing(look, each.status)) for each in record.certificates],
            "history": [_happening(look, each) for each in record.history],
            "evidence": json.dumps(record.evidence, indent=2, ensure_ascii=False, sort_keys=True),
            "actions": actions,
        },
    )


ACTS: Final[Mapping[str, Act]] = {
    "device.move": Act(
        marked("Move this device to another group?"),
        marked("Move device"),
        marked("The former group's door closes for it at once."),
        asks={"group": Ask(marked("Group"), choices=group_choices)},
        here=_DEVICES,
        back=lambda given: device_path(given.get("id", "")),
        done=lambda record: device_path(record["id"]),
    ),
}

ROUTES: Final[Routes] = {
    **DEVICES.routes(),
    **USERS.routes(),
    f"{_DEVICES}/{{id}}": {"GET": _show_device},
    f"{_USERS}/{{id}}": {"GET": _show_user},
}
