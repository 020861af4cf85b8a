"""Connectors: what each one can, what it needs and has, and the values that its system's own console wants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from regalia.console.acts import Act, Ask, Input, act_path
from regalia.console.listing import Cell, Column, Listing
from regalia.console.look import View
from regalia.console.setup import setup_links
from regalia.verbs import connector as verbs
from regalia.verbs import device_reconcile as reconcile
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.connector import ConnectorRecord, ConnectorShown, KindRecord, SettingRecord

__all__ = ["ACTS", "ROUTES", "connector_path", "kind_word"]

_HERE: Final = "/connectors"

_KINDS: Final = {
    "intune": marked("Microsoft Intune"),
    "inventory": marked("Inventory that is imported"),
    "webhook": marked("Web hook of your own"),
}


_SETTINGS: Final = {
    "tenant": marked("Directory (tenant) ID"),
    "client_id": marked("Application (client) ID"),
    "url": marked("Address (URL)"),
}
"""What those are called that nobody can do without; the others by their names."""


def connector_path(name: str) -> str:
    """Say where a connector's page is."""
    return f"{_HERE}/{name}"


def _state(look: Look, row: ConnectorRecord) -> Cell:
    if not row.enabled:
        return Cell(look.words("Disabled"), kind="over")
    return Cell(look.words("In use") if row.endpoints else look.words("Ready"), kind="ok")


def _empty(look: Look) -> Mapping[str, str]:
    return {
        "headline": look.words("No connector is set up"),
        "explanation": look.words("A connector asks your MDM or directory which devices are yours, and follows them."),
        "action": look.words("Add a connector"),
        "href": act_path(verbs.CREATE),
        "command": "regalia connector create",
    }


LIST: Final = Listing(
    path=_HERE,
    verb=verbs.LIST,
    title=marked("Connectors"),
    lead=lambda look: look.words("Systems that know your devices: they say yes, and tell when trust ends."),
    columns=(
        Column(marked("Name"), lambda _, row: Cell(row.name, connector_path(row.name), row.kind)),
        Column(marked("State"), _state),
        Column(marked("Says yes at"), lambda _, row: Cell(", ".join(row.endpoints))),
        Column(marked("Can"), lambda _, row: Cell(", ".join(each.value for each in row.abilities)), optional=True),
        Column(marked("Secret set"), lambda _, row: Cell(at=row.secret_set_at), optional=True),
    ),
    empty=_empty,
    row=lambda row: row.name,
    actions=lambda look: [(look.words("Add a connector"), act_path(verbs.CREATE))] if look.may(verbs.CREATE) else [],
)


def _show(look: Look) -> Shown:
    record = look.ask(verbs.SHOW, name=look.place["name"])
    return _page(look, record, None)


def _test(look: Look) -> Shown:
    """Try everything that it needs, one by one."""
    tested = look.ask(verbs.TEST, name=look.place["name"])
    return _page(look, look.ask(verbs.SHOW, name=tested.name), tested)


def _page(look: Look, record: ConnectorShown, tested: verbs.ConnectorTested | None) -> View:
    actions = []
    if look.may(verbs.CHANGE):
        actions.append((look.words("Change settings"), act_path(verbs.CHANGE, name=record.name)))
    if look.may(verbs.SET_SECRET):
        actions.append((look.words("Set the secret"), act_path(verbs.SET_SECRET, name=record.name)))
    if look.may(verbs.DISABLE) and record.enabled:
        actions.append((look.words("Disable …"), act_path(verbs.DISABLE, name=record.name)))
    if look.may(verbs.ENABLE) and not record.enabled:
        actions.append((look.words("Enable"), act_path(verbs.ENABLE, name=record.name)))
    return View(
        "connector.html",
        title=record.name,
        lead=_lead(look, record),
        here=_HERE,
        crumbs=((look.words("Connectors"), _HERE), (record.name, "")),
        values={
            "record": record,
            "tested": tested,
            "actions": actions,
            "pastes": [(each, setup_links(look, each.endpoint)) for each in record.paste],
            "may_test": look.may(verbs.TEST),
            "may_reconcile": look.may(reconcile.PLANNED),
        },
    )


def _lead(look: Look, record: ConnectorShown) -> str:
    if not record.enabled:
        return look.words("It is disabled: it is asked nothing, and nothing follows from what it knew.")
    sweep = record.last_sweep
    if sweep is not None and sweep.why:
        return look.words(
            "Its inventory was not read to the end the last time. Nothing is taken for gone because of that."
        )
    return look.words("What it can, whether it works, and what to enter on its side.")


def kind_word(look: Look, kind: KindRecord) -> str:
    """Call a kind of connector in the reader's language."""
    return look.words(_KINDS.get(kind.kind, kind.title))


def _kind_choices(look: Look) -> Sequence[tuple[str, str]]:
    return [(each.kind, kind_word(look, each)) for each in look.ask(verbs.KINDS, limit=100).items]


def _reconcile(look: Look) -> Shown:
    """Show what would follow now, and whether the brake would stop it."""
    planned = look.ask(reconcile.PLANNED)
    return View(
        "reconcile.html",
        title=look.words("What would follow now"),
        lead=look.words("From how devices and users stand, by the rules of their groups. Looking changes nothing."),
        here=_HERE,
        crumbs=((look.words("Connectors"), _HERE), (look.words("Plan"), "")),
        values={"planned": planned, "may": look.may(reconcile.RECONCILE)},
    )


def _of(record: Mapping[str, object]) -> str:
    return connector_path(str(record.get("name", "")))


def _members(look: Look, given: Mapping[str, str]) -> Sequence[Input]:
    """List the settings of the kind that is given."""
    kind = next((each for each in look.ask(verbs.KINDS, limit=100).items if each.kind == given.get("kind")), None)
    return [_member(look, each) for each in kind.settings] if kind is not None else ()


def _kept_members(look: Look, given: Mapping[str, str]) -> Sequence[Input]:
    """List the settings of the connector that is given, as they are."""
    if not given.get("name"):
        return ()
    record = look.ask(verbs.SHOW, name=given["name"])
    return [
        replace(each, value=_typed(record.settings.get(each.name))) for each in _members(look, {"kind": record.kind})
    ]


def _member(look: Look, setting: SettingRecord) -> Input:
    """Ask for a setting by its own name, which commands and the documentation have for it, too."""
    words, hint, otherwise = look.words, look.words(setting.meaning), _typed(setting.default)
    called = {"true": words("yes"), "false": words("no")}
    choices = [each.strip() for each in setting.values.split(",")] if "," in setting.values else []
    return Input(
        setting.name,
        words(_SETTINGS.get(setting.name, setting.name)),
        f"{hint} {words('Several are parted by commas.')}" if setting.values == "list" else hint,
        kind="choice" if choices else "text",
        required=setting.required,
        choices=tuple((each, called.get(each, each)) for each in choices),
        otherwise=called.get(otherwise, otherwise),
        folded=not setting.required,
    )


def _typed(value: object) -> str:
    """Write a setting as somebody would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


ACTS: Final[Mapping[str, Act]] = {
    "connector.create": Act(
        marked("Add a connector"),
        marked("Add connector"),
        marked("Its system is asked nothing yet: test it afterwards."),
        asks={
            "kind": Ask(marked("Kind"), choices=_kind_choices),
            "settings": Ask(parts=_members),
        },
        here=_HERE,
        back=lambda _: _HERE,
        done=_of,
    ),
    "connector.change": Act(
        marked("Change this connector"),
        marked("Change settings"),
        marked("From then on it is asked by them. A setting that is emptied goes back to its default."),
        asks={
            "settings": Ask(parts=_kept_members, emptied="unset"),
            "unset": Ask(hidden=True),
            "secret": Ask(hidden=True),
        },
        here=_HERE,
        back=_of,
        done=_of,
    ),
    "connector.set-secret": Act(
        marked("Set the connector's secret"), marked("Set secret"), here=_HERE, back=_of, done=_of
    ),
    "connector.disable": Act(
        marked("Disable this connector?"),
        marked("Disable connector"),
        marked("It is asked nothing any more: its endpoints let no device in."),
        danger=True,
        here=_HERE,
        back=_of,
        done=_of,
    ),
    "connector.enable": Act(
        marked("Enable this connector?"), marked("Enable connector"), here=_HERE, back=_of, done=_of
    ),
    "device.reconcile": Act(
        marked("Let follow what is due?"),
        marked("Do it now"),
        marked("The server does it by itself, too. The brake stops what is too much."),
        asks={"device": Ask(hidden=True)},
        here=_HERE,
        back=lambda _: "/reconciliation",
    ),
}

ROUTES: Final[Routes] = {
    **LIST.routes(),
    f"{_HERE}/{{name}}": {"GET": _show},
    f"{_HERE}/{{name}}/test": {"POST": _test},
    "/reconciliation": {"GET": _reconcile},
}
