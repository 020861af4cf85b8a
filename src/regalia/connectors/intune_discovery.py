"""Where Intune's services are: their addresses differ from tenant to tenant, and move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from regalia import reasons
from regalia.connectors.microsoft_api import unexpected
from regalia.connectors.microsoft_http import Call, CallError
from regalia.errors import AdminError
from regalia.net.url import read_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.microsoft_api import MicrosoftApi
    from regalia.connectors.pace import Budget
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue

__all__ = ["PKI_SERVICE", "SCEP_SERVICE", "IntuneAddresses"]

SCEP_SERVICE: Final = "ScepRequestValidationFEService"
PKI_SERVICE: Final = "PkiConnectorFEService"

_NAMES: Final = ("providerName", "serviceName")
"""Microsoft Graph's word for it, and the one of what was before."""


class IntuneAddresses:
    """Asks for the addresses once, and again when somebody found nobody there."""

    def __init__(self, api: MicrosoftApi, settings: IntuneSettings) -> None:
        """`api` is the one of the discovery that the settings choose."""
        self._api = api
        self._settings = settings
        self._lock = threading.Lock()
        self._known: Mapping[str, str] | None = None

    def address(self, service: str, budget: Budget) -> str:
        """Return a service's base address. Raises `CallError`, CON-025 where Intune does not name the service."""
        with self._lock:
            known = self._known
        if known is None:
            known, _ = self.asked(budget)
        address = known.get(service.lower())
        if address is None:
            self.forget()
            raise CallError.of(
                reasons.CONNECTOR_SERVICE_MISSING,
                f"Intune did not name {service} to this application: Application.Read.All is missing, "
                "or the tenant has no licence of Intune",
            )
        return address

    def forget(self) -> None:
        """Ask anew next time."""
        with self._lock:
            self._known = None

    def asked(self, budget: Budget) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Ask now; return addresses by service in lower case, and which services came more than once."""
        call = Call("Intune's discovery", "GET", self._url())
        answer = self._api.call(call, budget)
        if answer.status == 404:
            raise CallError.of(
                reasons.CONNECTOR_SERVICE_MISSING,
                f"the tenant has no service principal of Intune: it has no licence of it; {answer.ids()}",
            )
        if answer.status != 200:
            raise unexpected(call, answer)
        entries = answer.body.get("value")
        if not isinstance(entries, list):
            raise CallError.of(reasons.CONNECTOR_GARBLED, f"{call.what}: no list came, {answer.ids()}")
        known, twice = self._read(entries)
        with self._lock:
            self._known = known
        return known, twice

    def _url(self) -> str:
        settings = self._settings
        if settings.discovery == "graph":
            return f"{settings.graph}/v1.0/servicePrincipals/appId={settings.intune_app_id}/endpoints"
        return (
            f"{settings.azure_ad_graph}/{quote(settings.tenant)}/servicePrincipalsByAppId/"
            f"{settings.intune_app_id}/serviceEndpoints?api-version=1.6"
        )

    def _read(self, entries: list[JsonValue]) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Keep the first of several with one name, as one of Microsoft's two libraries does."""
        known: dict[str, str] = {}
        twice: list[str] = []
        for entry in entries:
            if not isinstance(entry, dict):
                continue
            name = next((entry[key] for key in _NAMES if isinstance(entry.get(key), str)), None)
            address = self._usable(entry.get("uri"))
            if not isinstance(name, str) or address is None:
                continue
            if name.lower() in known:
                twice.append(name)
            else:
                known[name.lower()] = address
        return known, tuple(twice)

    def _usable(self, address: JsonValue) -> str | None:
        """Take an address that a token may be sent to: https, or whatever Graph itself is asked with."""
        if not isinstance(address, str):
            return None
        try:
            url = read_url(address)
        except AdminError:
            return None
        if url.scheme not in ("https", read_url(self._settings.graph).scheme) or "?" in url.target:
            return None
        return address.rstrip("/")
