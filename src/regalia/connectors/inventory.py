"""An inventory that is brought to us: by import or by web hook, with no system that could be asked.

It vouches for whoever names a device that is in it, and knows the challenge of its profile where one is set. That is no
verdict about the request itself: anybody who has both could ask. So it is never fresh, a device gets one certificate by
it, and a second key waits for a person (`ra.superseding`).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from regalia import reasons
from regalia.connectors.settings import ConnectorSettings, read_settings
from regalia.errors import AdminError, UnavailableError
from regalia.model import Names, SanKind
from regalia.model.connector import Allowed, Checked, NotAsked, Refused
from regalia.ports.fleet import DeviceFilter

if TYPE_CHECKING:
    from regalia.errors import Reason
    from regalia.model.connector import Asked, Connector, Verdict
    from regalia.model.fleet import Device
    from regalia.ports.fleet import Devices

__all__ = ["InventoryLink", "InventorySettings", "inventory_link"]

_LEAST: Final = 16
"""Characters of a challenge that many devices share."""
_MOST: Final = 255
_KINDS: Final = {"dns": SanKind.DNS, "uri": SanKind.URI, "permanent-identifier": SanKind.PERMANENT_IDENTIFIER}


class InventorySettings(ConnectorSettings):
    """Devices and users that are imported, or told by web hook."""

    named_by: Literal["common-name", "dns", "uri", "permanent-identifier"] = "common-name"
    """Where a request says which device it is of."""
    prefix: Annotated[str, Field(max_length=100)] = ""
    """What stands before it there, for example `urn:serial:`."""
    matches: Annotated[str, Field(pattern=r"^(id|serial|alias:[a-z][a-z0-9-]{0,31})$")] = "serial"
    """What of a device's record it has to be: `id`, `serial`, or `alias:KIND`."""
    challenge: Literal["required", "none"] = "required"
    """Whether a request needs the connector's secret as its challenge."""


def inventory_link(connector: Connector, secret: str, devices: Devices) -> InventoryLink:
    """Make one. Raises `AdminError` CON-031, CON-032."""
    settings = read_settings(InventorySettings, connector.settings)
    if settings.challenge == "none":
        if secret:
            raise AdminError(reasons.CONNECTOR_SECRET_REFUSED, "`challenge` is none: there is nothing to compare")
    elif not (_LEAST <= len(secret) <= _MOST and secret.isprintable() and secret.isascii()):
        detail = f"the challenge of the devices' profile has {_LEAST} to {_MOST} printable ASCII characters"
        raise AdminError(reasons.CONNECTOR_SECRET_REFUSED, detail)
    return InventoryLink(connector.name, settings, secret, devices)


class InventoryLink:
    """An `Authorizer` that asks our own records."""

    def __init__(self, name: str, settings: InventorySettings, secret: str, devices: Devices) -> None:
        self._name = name
        self._settings = settings
        self._secret = secret
        self._devices = devices

    @property
    def name(self) -> str:
        """The connector's name."""
        return self._name

    def check(self) -> tuple[Checked, ...]:
        """See whether there is anything in it."""
        try:
            some = self._devices.device_page(DeviceFilter(connector=self._name, present=True, limit=1)).items
        except UnavailableError as error:
            return (Checked("devices in the inventory", ok=False, detail=str(error)),)
        fix = f"Import some: `regalia device import --connector {self._name} FILE`."
        return (Checked("devices in the inventory", ok=bool(some), fix="" if some else fix),)

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """Look for the one device that the request names."""
        del within  # our own database has its own bounds
        if self._secret and not hmac.compare_digest((asked.challenge or "").encode(), self._secret.encode()):
            which = "it has another one" if asked.challenge else "it has none"
            return _refused(reasons.INVENTORY_CHALLENGE, "challenge", which, security=bool(asked.challenge))
        named = self._named(asked.names)
        if len(named) != 1:
            place = f"{self._settings.named_by}{' with ' + self._settings.prefix if self._settings.prefix else ''}"
            return _refused(reasons.INVENTORY_UNMATCHED, "name", f"{len(named)} names of kind {place}")
        (value,) = named
        try:
            found = [device for device in self._found(value) if device.state.present]
        except UnavailableError as error:
            return NotAsked(error.reason, error.detail)
        if len(found) != 1:
            return _refused(reasons.INVENTORY_UNMATCHED, "device", f"{len(found)} devices have {value!a}")
        note = f"{self._settings.matches} {value!a} is that of one device of the inventory"
        return Allowed(found[0].external_id, found[0].user, self._vouched(asked.names), fresh=False, note=note)

    def _found(self, value: str) -> tuple[Device, ...]:
        matches = self._settings.matches
        if matches == "id":
            device = self._devices.device_of(self._name, value)
            return () if device is None else (device,)
        return self._devices.devices_by(self._name, matches.removeprefix("alias:"), value)

    def _named(self, names: Names) -> list[str]:
        prefix, vouched = self._settings.prefix, self._vouched(names)
        values = sorted({*([vouched.cn] if vouched.cn else []), *(san.value for san in vouched.sans)})
        return [value.removeprefix(prefix) for value in values if value.startswith(prefix) and value != prefix]

    def _vouched(self, names: Names) -> Names:
        """Keep of the names the one that says which device it is: no other is in the inventory."""
        if self._settings.named_by == "common-name":
            return Names(cn=names.cn)
        kind, prefix = _KINDS[self._settings.named_by], self._settings.prefix
        return Names(sans=frozenset(san for san in names.sans if san.kind is kind and san.value.startswith(prefix)))


def _refused(reason: Reason, code: str, detail: str, *, security: bool = False) -> Refused:
    return Refused(reason, code, detail, reason.remedy, security)
