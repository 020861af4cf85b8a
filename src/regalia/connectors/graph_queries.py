"""What Graph is asked for: paths, and the properties that are selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from regalia.connectors.settings import IntuneSettings

__all__ = ["GROUP", "entra_select", "first_link", "managed_path", "user_path"]

GROUP: Final = "group:"
"""Begins the name of a part of a sweep that is a group's members."""
_MANAGED: Final = (
    "id,azureADDeviceId,deviceName,serialNumber,userId,userPrincipalName,complianceState,"
    "complianceGracePeriodExpirationDateTime,deviceRegistrationState,deviceActionResults,enrolledDateTime,"
    "lastSyncDateTime,operatingSystem,managementAgent,managedDeviceOwnerType,imei,meid,wiFiMacAddress"
)
_ENTRA: Final = "id,deviceId,accountEnabled,isCompliant,isManaged,displayName"
_SID: Final = ",onPremisesSecurityIdentifier"
_USER: Final = (
    "id,displayName,userPrincipalName,accountEnabled,onPremisesSecurityIdentifier,onPremisesSamAccountName,mail"
)


def first_link(part: str, settings: IntuneSettings, *, most: int | None = None) -> str:
    """Say how a part begins. What is selected stands in the first link alone; Graph's own links carry it on."""
    if part.startswith(GROUP):
        return f"/v1.0/groups/{part.removeprefix(GROUP)}/transitiveMembers?$select=id&$top={most or 999}"
    if part == "managed":
        return f"{_managed_base(settings)}?$top={most or settings.page}&$select={_managed(settings)}"
    if part == "risk":
        return f"{settings.risky_users}?$select=id,riskLevel,riskState"
    if part == "entra":
        return f"/v1.0/devices/delta?$select={entra_select(settings)}"
    return f"/v1.0/users/delta?$select={_user(settings)}"


def _managed_base(settings: IntuneSettings) -> str:
    return f"/{'beta' if settings.management_state else 'v1.0'}/deviceManagement/managedDevices"


def _managed(settings: IntuneSettings) -> str:
    return _MANAGED + (",managementState,lostModeState" if settings.management_state else "")


def entra_select(settings: IntuneSettings) -> str:
    """Properties of an Entra device that are asked for."""
    return _ENTRA + (_SID if settings.device_sid else "")


def _user(settings: IntuneSettings) -> str:
    return _USER + (",assignedLicenses" if settings.licences else "")


def managed_path(external_id: str, settings: IntuneSettings) -> str:
    """Path of one managed device."""
    return f"{_managed_base(settings)}/{quote(external_id)}?$select={_managed(settings)}"


def user_path(external_id: str, settings: IntuneSettings) -> str:
    """Path of one user, by id or name."""
    return f"/v1.0/users/{quote(external_id)}?$select={_user(settings)}"
