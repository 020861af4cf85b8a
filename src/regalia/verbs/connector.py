"""Connectors: systems outside that know devices, vouch for them, and say whose certificates end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia.model import Right
from regalia.model.connector import NotAsked
from regalia.ports.connectors import Ability, abilities_of
from regalia.ra.connectors import check_connector, why_not
from regalia.verbs.fields import Name, is_empty
from regalia.verbs.finding import found_connector
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb
from regalia.verbs.wording import fingerprints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import Endpoint, JsonValue
    from regalia.model.connector import Connector
    from regalia.ports.connectors import ConnectorKind
    from regalia.ports.fleet import Sweep

__all__ = [
    "CHANGE",
    "CREATE",
    "DISABLE",
    "ENABLE",
    "HOOK",
    "KINDS",
    "LIST",
    "SET_SECRET",
    "SHOW",
    "TEST",
    "VERBS",
    "ChangeConnector",
    "CheckRecord",
    "ConnectorHook",
    "ConnectorName",
    "ConnectorRecord",
    "ConnectorShown",
    "ConnectorTested",
    "CreateConnector",
    "ListConnectors",
    "ListKinds",
    "SetConnectorSecret",
]

ConnectorNamed = Annotated[Name, Field(description="Name of the connector.", examples=["intune"])]
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Word = Annotated[str, Field(max_length=2_000)]
_Value = bool | int | _Word | Annotated[tuple[_Word, ...], Field(max_length=500)]
_Settings = Annotated[
    dict[_Key, _Value],
    Field(
        max_length=100, description="Its settings; `connector.kinds` says which there are.", examples=[{"page": 100}]
    ),
]
_Secret = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32_768,
        json_schema_extra={"writeOnly": True},
        description="What its system knows us by: kept sealed, and never shown again.",
    ),
]


class CreateConnector(Asked):
    """What it is to be."""

    kind: Annotated[Name, Field(description="Its kind.", examples=["intune"])]
    name: ConnectorNamed
    settings: _Settings = Field(default_factory=dict)
    secret: Annotated[_Secret | None, Field(repr=False)] = None


class ConnectorHook(Record):
    """Where its system tells of changes."""

    name: str
    url: str
    key: str
    """Of the signature, as it is written here; another one once the secret is set anew."""


class ConnectorName(Asked):
    """Which one."""

    name: ConnectorNamed


class ChangeConnector(ConnectorName):
    """Which one, and what is to be otherwise."""

    settings: _Settings = Field(default_factory=dict)
    unset: Annotated[
        tuple[_Key, ...], Field(max_length=100, description="Settings that go back to their default.")
    ] = ()
    secret: Annotated[_Secret | None, Field(repr=False)] = None


class SetConnectorSecret(ConnectorName):
    """Which one, and its new secret."""

    secret: Annotated[_Secret, Field(repr=False)]


class ListConnectors(ListAsked):
    """Some or all."""


class ListKinds(ListAsked):
    """Some or all."""


class SettingRecord(Record):
    """A setting of a kind."""

    name: str
    values: str
    required: bool
    default: Any
    meaning: str


class KindRecord(Record):
    """A kind of connector, and what it needs."""

    kind: str
    title: str
    abilities: tuple[Ability, ...]
    page: str
    """Of the documentation."""
    settings: tuple[SettingRecord, ...]


class ConnectorRecord(Record):
    """A connector in a list."""

    name: str
    kind: str
    enabled: bool
    abilities: tuple[Ability, ...]
    endpoints: tuple[str, ...]
    """That it vouches at."""
    secret_set_at: Time | None
    created_at: Time
    trouble: Annotated[str | None, Field(exclude_if=is_empty)] = None
    """Why it cannot be asked, where it is enabled: its secret does not open, for example."""


class SweepRecord(Record):
    """A reading of its inventory."""

    began_at: Time
    ended_at: Time | None
    complete: bool
    full: bool
    seen: int
    why: Annotated[str | None, Field(exclude_if=is_empty)] = None
    """Why it ended early."""


class PasteRecord(Record):
    """What is entered in the system's own console, for one endpoint."""

    endpoint: str
    group: str
    profile: str
    url: str
    """SCEP server URL."""
    root_sha1: Annotated[str | None, Field(exclude_if=is_empty)] = None
    """Thumbprint of the root that devices have to trust."""
    authority_sha1: Annotated[str | None, Field(exclude_if=is_empty)] = None


class ConnectorShown(ConnectorRecord):
    """A connector with its settings, and what is entered on its side."""

    settings: dict[str, Any]
    disabled_at: Time | None
    hook_url: str
    """Where its system may tell of changes."""
    last_sweep: SweepRecord | None
    last_complete_sweep_at: Time | None
    paste: tuple[PasteRecord, ...]


class CheckRecord(Record):
    """One thing that a connector needs, tried."""

    what: str
    ok: bool
    optional: bool
    detail: str
    fix: str
    """What to do in the system's own console."""


class ConnectorTested(Record):
    """What a connector needs, tried one by one."""

    name: str
    ok: bool
    """Whether all that it cannot do without is there."""
    checks: tuple[CheckRecord, ...]


def list_kinds(desk: Desk, asked: ListKinds) -> Page[KindRecord]:
    """All, by name."""
    return page_of_few(
        asked,
        KINDS.name,
        desk.services.connectors.kinds.kinds(),
        place=lambda kind: (kind.name,),
        words=lambda kind: (kind.name, kind.title),
        record=_kind_record,
    )


def create_connector(desk: Desk, asked: CreateConnector) -> ConnectorRecord:
    """Make one; its system is asked nothing yet.

    Raises `AdminError`: ADM-003 name taken, ADM-005 bad name, CON-030 kind, CON-031 settings, CON-032 secret.
    """
    made = desk.services.connectors.create(
        asked.name, asked.kind, _settings_of(asked.settings), asked.secret, actor=desk.actor
    )
    return ConnectorRecord(**_fields(desk, made))


def change_connector(desk: Desk, asked: ChangeConnector) -> ConnectorRecord:
    """Change settings, and with them the secret where one is given. Raises `AdminError` CON-031, CON-032, CON-063."""
    wanted: dict[str, JsonValue | None] = dict(_settings_of(asked.settings))
    wanted |= dict.fromkeys(asked.unset)
    before = found_connector(desk, asked.name)
    after = desk.services.connectors.change(before, wanted, actor=desk.actor, secret=asked.secret)
    return ConnectorRecord(**_fields(desk, after))


def set_secret(desk: Desk, asked: SetConnectorSecret) -> ConnectorRecord:
    """Replace its secret. Raises `AdminError` CON-032, CON-063."""
    before = found_connector(desk, asked.name)
    after = desk.services.connectors.set_secret(before, asked.secret, actor=desk.actor)
    return ConnectorRecord(**_fields(desk, after))


def show_hook(desk: Desk, asked: ConnectorName) -> ConnectorHook:
    """Say where messages go, and how they are signed. Raises `AdminError` CON-063 where it is not there."""
    connector = found_connector(desk, asked.name)
    url = desk.services.urls.hook(connector.name)
    return ConnectorHook(name=connector.name, url=url, key=desk.services.hook_key(connector))


def list_connectors(desk: Desk, asked: ListConnectors) -> Page[ConnectorRecord]:
    """All, by name."""
    return page_of_few(
        asked,
        LIST.name,
        desk.services.store.connectors(),
        place=lambda each: (each.name,),
        words=lambda each: (each.name, each.kind),
        record=lambda each: ConnectorRecord(**_fields(desk, each)),
    )


def show_connector(desk: Desk, asked: ConnectorName) -> ConnectorShown:
    """One connector, with what is entered on its side."""
    connector, services = found_connector(desk, asked.name), desk.services
    last = services.store.open_sweep(connector.name) or services.store.last_sweep(connector.name, complete=False)
    complete = services.store.last_sweep(connector.name)
    return ConnectorShown(
        **_fields(desk, connector),
        settings=dict(connector.settings),
        disabled_at=connector.disabled_at,
        hook_url=services.urls.hook(connector.name),
        last_sweep=None if last is None else _sweep_record(last),
        last_complete_sweep_at=None if complete is None else complete.ended_at,
        paste=tuple(_paste(desk, endpoint) for endpoint in _endpoints(desk, connector)),
    )


def test_connector(desk: Desk, asked: ConnectorName) -> ConnectorTested:
    """Try each thing that it needs; nothing changes anywhere."""
    connector = found_connector(desk, asked.name)
    checks = tuple(
        CheckRecord(what=each.what, ok=each.ok, optional=each.optional, detail=each.detail, fix=each.fix)
        for each in check_connector(desk.services.links, connector.name)
    )
    return ConnectorTested(name=connector.name, ok=all(each.ok or each.optional for each in checks), checks=checks)


def disable_connector(desk: Desk, asked: ConnectorName) -> ConnectorRecord:
    """Ask nothing of it any more. Raises `AdminError` CON-063 where it is disabled."""
    before = found_connector(desk, asked.name)
    return ConnectorRecord(**_fields(desk, desk.services.connectors.disable(before, actor=desk.actor)))


def plan_disabling(desk: Desk, asked: ConnectorName) -> tuple[str, ...]:
    """Say what stops."""
    connector = found_connector(desk, asked.name)
    stops = [f"ask nothing of connector {connector.name} any more, and take nothing from it"]
    named = [each.name for each in _endpoints(desk, connector)]
    if named:
        stops.append(f"let no device enrol at {', '.join(named)}: they are told to come again later")
    stops.append("leave certificates as they are, whatever becomes of their devices")
    return tuple(stops)


def enable_connector(desk: Desk, asked: ConnectorName) -> ConnectorRecord:
    """Ask it again. Raises `AdminError` CON-063 where it is enabled."""
    before = found_connector(desk, asked.name)
    return ConnectorRecord(**_fields(desk, desk.services.connectors.enable(before, actor=desk.actor)))


def _settings_of(given: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _kind_record(kind: ConnectorKind) -> KindRecord:
    return KindRecord(
        kind=kind.name,
        title=kind.title,
        abilities=tuple(sorted(kind.abilities)),
        page=kind.page,
        settings=tuple(
            SettingRecord(
                name=each.name,
                values=each.values,
                required=each.required,
                default=each.default,
                meaning=each.meaning,
            )
            for each in kind.settings
        ),
    )


def _endpoints(desk: Desk, connector: Connector) -> tuple[Endpoint, ...]:
    return tuple(each for each in desk.services.store.endpoints() if each.connector == connector.name and each.enabled)


def _sweep_record(sweep: Sweep) -> SweepRecord:
    return SweepRecord(
        began_at=sweep.began_at,
        ended_at=sweep.ended_at,
        complete=sweep.complete,
        full=sweep.full,
        seen=sweep.seen,
        why=sweep.why or None,
    )


def _paste(desk: Desk, endpoint: Endpoint) -> PasteRecord:
    door = desk.services.store.door(endpoint.name)
    return PasteRecord(
        endpoint=endpoint.name,
        group=endpoint.group,
        profile=endpoint.profile,
        url=desk.services.urls.endpoint(endpoint.protocol, endpoint.name),
        root_sha1=None if door is None else fingerprints(door.root.certificate_der)["sha1"],
        authority_sha1=None if door is None else fingerprints(door.authority.certificate_der)["sha1"],
    )


def _fields(desk: Desk, connector: Connector) -> dict[str, Any]:
    link = None if connector.disabled_at is not None else desk.services.links.link(connector.name)
    able = desk.services.connectors.abilities(connector)
    # With its settings a connector may do less than its kind can.
    exact = able if link is None or isinstance(link, NotAsked) else abilities_of(link)
    return {
        "name": connector.name,
        "kind": connector.kind,
        "enabled": connector.disabled_at is None,
        "abilities": tuple(sorted(exact)),
        "endpoints": tuple(each.name for each in _endpoints(desk, connector)),
        "secret_set_at": connector.secret_set_at,
        "created_at": connector.created_at,
        "trouble": why_not(link) if isinstance(link, NotAsked) else None,
    }


_ONE = "/connectors/{name}"

KINDS = Verb(
    "connector.kinds",
    "GET",
    "/connector-kinds",
    Right.READ,
    ListKinds,
    Page[KindRecord],
    list_kinds,
    "List the kinds of connectors, with what each needs, setting by setting.",
)
CREATE = Verb(
    "connector.create",
    "POST",
    "/connectors",
    Right.RULE,
    CreateConnector,
    ConnectorRecord,
    create_connector,
    "Create a connector to a system outside. Its secret is kept sealed and never shown again.",
    everywhere=True,
)
LIST = Verb(
    "connector.list",
    "GET",
    "/connectors",
    Right.READ,
    ListConnectors,
    Page[ConnectorRecord],
    list_connectors,
    "List the connectors, by name.",
    everywhere=True,
)
SHOW = Verb(
    "connector.show",
    "GET",
    _ONE,
    Right.READ,
    ConnectorName,
    ConnectorShown,
    show_connector,
    "Show a connector: its settings, how its last sweep ended, and every value to enter on its side.",
    everywhere=True,
)
CHANGE = Verb(
    "connector.change",
    "POST",
    f"{_ONE}/change",
    Right.RULE,
    ChangeConnector,
    ConnectorRecord,
    change_connector,
    "Change a connector's settings, and its secret with them; what is not named stays as it is.",
    everywhere=True,
)
SET_SECRET = Verb(
    "connector.set-secret",
    "POST",
    f"{_ONE}/secret",
    Right.RULE,
    SetConnectorSecret,
    ConnectorRecord,
    set_secret,
    "Give a connector another secret; the former one is gone.",
    everywhere=True,
)
HOOK = Verb(
    "connector.hook",
    "POST",
    f"{_ONE}/hook",
    Right.RULE,
    ConnectorName,
    ConnectorHook,
    show_hook,
    "Show where a connector's system tells of changes, and the key that it signs with.",
    secret=True,
    everywhere=True,
)
TEST = Verb(
    "connector.test",
    "POST",
    f"{_ONE}/test",
    Right.RULE,
    ConnectorName,
    ConnectorTested,
    test_connector,
    "Try each thing that a connector needs, one by one, and say how to mend what is missing.",
    everywhere=True,
)
DISABLE = Verb(
    "connector.disable",
    "POST",
    f"{_ONE}/disable",
    Right.RULE,
    ConnectorName,
    ConnectorRecord,
    disable_connector,
    "Ask nothing of a connector any more. Certificates stay as they are.",
    plan=plan_disabling,
    everywhere=True,
)
ENABLE = Verb(
    "connector.enable",
    "POST",
    f"{_ONE}/enable",
    Right.RULE,
    ConnectorName,
    ConnectorRecord,
    enable_connector,
    "Ask a disabled connector again.",
    everywhere=True,
)

VERBS = (KINDS, CREATE, LIST, SHOW, CHANGE, SET_SECRET, HOOK, TEST, DISABLE, ENABLE)
