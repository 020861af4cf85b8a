"""Wiring of connectors: the kinds that there are, and the way to each one that is configured."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from regalia import reasons
from regalia.connectors.inventory_file import UnreadableError, read_devices, read_users
from regalia.connectors.registry import KINDS, Kind, Parts, kind_of, linked
from regalia.connectors.settings import read_settings
from regalia.errors import AdminError
from regalia.model.connector import NotAsked, SweepPage
from regalia.net.http import HttpOutgoing
from regalia.ports.connectors import ABILITIES, ConnectorKind, KindSetting
from regalia.ports.fleet import Connectors, Devices
from regalia.ra.connectors import secret_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from regalia.config import Config
    from regalia.model.connector import Connector
    from regalia.model.event import JsonValue
    from regalia.ports import Clock, Entropy, Outgoing, Sealer
    from regalia.ports.connectors import Link

__all__ = ["ConnectorLinks", "RegisteredKinds", "outgoing_of"]


def outgoing_of(config: Config) -> Callable[[], Outgoing]:
    """Say how a connector's own way out is made: its places are nobody else's (R8)."""
    opened, given = config.outgoing.connectors, config.outgoing.ca_file
    ca_file = None if given is None else config.home / given
    return lambda: HttpOutgoing(opened=opened, ca_file=ca_file)


class RegisteredKinds:
    """See `ports.ConnectorKinds`: what `connectors.registry` knows."""

    def __init__(self, outgoing: Callable[[], Outgoing], clock: Clock, entropy: Entropy, devices: Devices) -> None:
        self._outgoing = outgoing
        self._devices = devices
        self._clock = clock
        self._entropy = entropy

    def kinds(self) -> tuple[ConnectorKind, ...]:
        """By name."""
        return tuple(_told(name, KINDS[name]) for name in sorted(KINDS))

    def checked(self, connector: Connector, secret: str) -> Connector:
        """See the port: a link is made of it and thrown away."""
        model = kind_of(connector.kind).settings
        read = read_settings(model, _typed(model.model_json_schema(), connector.settings))
        # What nobody set stays out, so that a later version's better default counts.
        settings = read.model_dump(mode="json", exclude_unset=True)
        after = replace(connector, settings=settings)
        linked(after, secret, Parts(self._outgoing(), self._clock, self._entropy, self._devices))
        return after

    def read_inventory(self, devices: bytes | None, users: bytes | None) -> SweepPage:
        """See the port."""
        try:
            return SweepPage(
                devices=read_devices(devices) if devices is not None else (),
                users=read_users(users) if users is not None else (),
            )
        except UnreadableError as error:
            raise AdminError(reasons.INVENTORY_FILE_REFUSED, str(error)) from None


def _typed(schema: Mapping[str, Any], given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Make lists of the words that are typed for settings which are lists."""
    properties = schema.get("properties", {})
    typed: dict[str, JsonValue] = {}
    for name, value in given.items():
        if isinstance(value, str) and properties.get(name, {}).get("type") == "array":
            typed[name] = [word.strip() for word in value.split(",") if word.strip()]
        else:
            typed[name] = value
    return typed


def _told(name: str, kind: Kind) -> ConnectorKind:
    schema = kind.settings.model_json_schema()
    required = frozenset(schema.get("required", ()))
    return ConnectorKind(
        name,
        kind.title,
        kind.page,
        frozenset(ability for protocol, ability in ABILITIES.items() if protocol in kind.abilities),
        tuple(
            KindSetting(
                field,
                _values(told, schema.get("$defs", {})),
                field in required,
                told.get("default"),
                str(told.get("description", "")).partition("\n")[0],
            )
            for field, told in schema["properties"].items()
        ),
    )


_WORDS = {"string": "text", "integer": "number", "boolean": "true, false", "array": "list", "object": "object"}


def _values(told: Mapping[str, Any], defined: Mapping[str, Any]) -> str:
    """Say in words what a setting may be."""
    if "$ref" in told:
        told = defined[str(told["$ref"]).rpartition("/")[2]]
    if "anyOf" in told:
        return " or ".join(_values(each, defined) for each in told["anyOf"] if each.get("type") != "null")
    if "enum" in told:
        return ", ".join(map(str, told["enum"]))
    if "const" in told:
        return str(told["const"])
    words = _WORDS.get(str(told.get("type")), "text")
    if "minimum" in told and "maximum" in told:
        return f"{told['minimum']} to {told['maximum']}"
    return words


class LinkStore(Connectors, Devices, Protocol):
    """Connectors, and the records that those ask which have no system of their own."""


class ConnectorLinks:
    """See `ports.Links`."""

    def __init__(
        self, store: LinkStore, sealer: Sealer, clock: Clock, entropy: Entropy, outgoing: Callable[[], Outgoing]
    ) -> None:
        """`outgoing` makes the way out of one connector."""
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._entropy = entropy
        self._outgoing = outgoing
        self._kept: dict[str, tuple[Connector, bytes | None, Link]] = {}
        self._turn = threading.Lock()

    def link(self, name: str) -> Link | NotAsked:
        """Return the one that is kept, or make it anew where the connector or its secret is another one by now.

        Both are read each time: what another process changed counts here from the next question on.
        """
        connector = self._store.connector(name)
        if connector is None:
            return NotAsked(reasons.CONNECTOR_MISSING, name)
        if connector.disabled_at is not None:
            return NotAsked(reasons.CONNECTOR_DISABLED, name)
        sealed = self._store.connector_secret(connector.id)
        with self._turn:
            kept = self._kept.get(name)
            if kept is not None and kept[:2] == (connector, sealed):
                return kept[2]
            try:
                link = self._made(connector, sealed)
            except AdminError as error:
                # What was good when it was set and is not now, whatever it is: nobody can be asked.
                return NotAsked(reasons.CONNECTOR_UNREADABLE, f"{name}: {error}")
            # Tokens, addresses and slots of the former one go with it.
            self._kept[name] = (connector, sealed, link)
            return link

    def _made(self, connector: Connector, sealed: bytes | None) -> Link:
        secret = "" if sealed is None else self._sealer.unseal(secret_scope(connector.id), sealed).decode("utf-8")
        return linked(connector, secret, Parts(self._outgoing(), self._clock, self._entropy, self._store))
