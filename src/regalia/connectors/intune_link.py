"""A configured Intune connector: its parts, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.connectors.graph import GraphInventory
from regalia.connectors.graph_calls import GraphCalls
from regalia.connectors.intune import IntuneService
from regalia.connectors.intune_calls import IntuneCalls
from regalia.connectors.intune_check import IntuneCheck
from regalia.connectors.intune_discovery import IntuneAddresses
from regalia.connectors.microsoft_api import MicrosoftApi
from regalia.connectors.microsoft_http import JsonCalls
from regalia.connectors.microsoft_token import ClientCertificate, ClientSecret, TokenSource
from regalia.connectors.settings import IntuneSettings, read_settings
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.connectors.microsoft_token import Credential
    from regalia.connectors.pace import Pace
    from regalia.model.connector import (
        Asked,
        Checked,
        Connector,
        IssuedNotice,
        NotAsked,
        Refused,
        RefusedNotice,
        ReportedDevice,
        ReportedUser,
        RevocationResult,
        RevocationWish,
        SweepPage,
        Told,
        Verdict,
    )
    from regalia.ports.outgoing import Outgoing
    from regalia.ports.outside import Clock, Entropy

__all__ = ["IntuneAndGraphLink", "IntuneLink", "intune_link"]


class IntuneLink:
    """Intune without an inventory: `Authorizer`, `Notifier` and `RevocationFeed`."""

    def __init__(self, name: str, service: IntuneService, check: IntuneCheck) -> None:
        self._name = name
        self._service = service
        self._check = check

    @property
    def name(self) -> str:
        """The connector's name."""
        return self._name

    def check(self) -> tuple[Checked, ...]:
        """See `ports.Link`."""
        return self._check.checked()

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """See `ports.Authorizer`."""
        return self._service.authorise(asked, within=within)

    @property
    def confirms(self) -> bool:
        """See `ports.Notifier`."""
        return self._service.confirms

    def issued(self, notice: IssuedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        return self._service.issued(notice, within=within)

    def refused(self, notice: RefusedNotice, *, within: float) -> Told | Refused | NotAsked:
        """See `ports.Notifier`."""
        return self._service.refused(notice, within=within)

    def wishes(self, most: int) -> tuple[RevocationWish, ...] | NotAsked:
        """See `ports.RevocationFeed`."""
        return self._service.wishes(most)

    def report(self, results: Sequence[RevocationResult]) -> Told | NotAsked:
        """See `ports.RevocationFeed`."""
        return self._service.report(results)


class IntuneAndGraphLink(IntuneLink):
    """The same with an inventory, so that only a connector that has one can ever be swept."""

    def __init__(self, name: str, service: IntuneService, check: IntuneCheck, inventory: GraphInventory) -> None:
        super().__init__(name, service, check)
        self._inventory = inventory

    def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
        """See `ports.Inventory`."""
        return self._inventory.sweep(cursor)

    def changes(self, delta: str) -> SweepPage | NotAsked | None:
        """See `ports.Inventory`."""
        return self._inventory.changes(delta)

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """See `ports.Inventory`."""
        return self._inventory.device(external_id, within=within)

    def user(self, external_id: str, *, within: float) -> ReportedUser | NotAsked | None:
        """See `ports.Inventory`."""
        return self._inventory.user(external_id, within=within)


def intune_link(
    connector: Connector, secret: str, outgoing: Outgoing, *, clock: Clock, entropy: Entropy, pace: Pace
) -> IntuneLink:
    """Put one together. Raises `AdminError` CON-031, CON-032."""
    settings = read_settings(IntuneSettings, connector.settings)
    credential = _credential(settings, secret)
    calls = JsonCalls(outgoing, clock, entropy)
    tokens = TokenSource(
        calls,
        clock,
        entropy,
        endpoint=settings.token_endpoint,
        client_id=settings.client_id,
        credential=credential,
    )
    graph_api = MicrosoftApi(calls, tokens, settings.graph_scope)
    older = MicrosoftApi(calls, tokens, settings.azure_ad_graph_scope)
    addresses = IntuneAddresses(graph_api if settings.discovery == "graph" else older, settings)
    intune = IntuneCalls(MicrosoftApi(calls, tokens, settings.intune_scope), addresses)
    graph = GraphCalls(graph_api, settings.graph)
    check = IntuneCheck(settings, credential, tokens, addresses, intune, graph, clock, pace)
    service = IntuneService(intune, settings, pace)
    if settings.devices == "none" and not settings.users:
        return IntuneLink(connector.name, service, check)
    inventory = GraphInventory(graph, settings, clock=clock, entropy=entropy, pace=pace)
    return IntuneAndGraphLink(connector.name, service, check, inventory)


def _credential(settings: IntuneSettings, secret: str) -> Credential:
    if settings.credential == "certificate":
        return ClientCertificate.of_pem(secret)
    if not secret or len(secret) > 1000 or not secret.isprintable():
        raise AdminError(reasons.CONNECTOR_SECRET_REFUSED, "a client secret is one line of text")
    return ClientSecret(secret)
