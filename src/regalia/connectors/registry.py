"""The kinds of connectors there are. A new one is one file, one line here, and one page of documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.connectors.intune_link import intune_link
from regalia.connectors.pace import Pace
from regalia.connectors.settings import ConnectorSettings, IntuneSettings
from regalia.errors import AdminError
from regalia.ports.connectors import Authorizer, Inventory, Notifier, RevocationFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from regalia.model.connector import Connector
    from regalia.ports.connectors import Link
    from regalia.ports.outgoing import Outgoing
    from regalia.ports.outside import Clock, Entropy

__all__ = ["KINDS", "Kind", "Parts", "kind_of", "linked"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What every connector is made of. `outgoing` is one connector's own: its slots are nobody else's (R8)."""

    outgoing: Outgoing
    clock: Clock
    entropy: Entropy
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of connector."""

    title: str
    settings: type[ConnectorSettings]
    link: Callable[[Connector, str, Parts], Link]
    """Makes one of a connector, its secret and its parts. Raises `AdminError` CON-031, CON-032."""
    abilities: frozenset[type]
    """Protocols of `ports.connectors` that its links can have; which they have, `isinstance` tells."""
    page: str
    """Its page, below `docs/`."""


def _intune(connector: Connector, secret: str, parts: Parts) -> Link:
    return intune_link(connector, secret, parts.outgoing, clock=parts.clock, entropy=parts.entropy, pace=parts.pace)


KINDS: Final[Mapping[str, Kind]] = {
    "intune": Kind(
        "Microsoft Intune",
        IntuneSettings,
        _intune,
        frozenset({Authorizer, Notifier, RevocationFeed, Inventory}),
        "connectors/intune.md",
    ),
}


def kind_of(name: str) -> Kind:
    """Find a kind. Raises `AdminError` CON-030."""
    try:
        return KINDS[name]
    except KeyError:
        raise AdminError(reasons.CONNECTOR_KIND_UNKNOWN, f"kinds: {', '.join(sorted(KINDS))}") from None


def linked(connector: Connector, secret: str, parts: Parts) -> Link:
    """Make a connector ready to be asked; nobody is asked yet. Raises `AdminError` CON-030, CON-031, CON-032."""
    return kind_of(connector.kind).link(connector, secret, parts)
