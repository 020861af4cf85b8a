"""A tenant to rehearse with: users and devices, a group within a group, one SCEP profile, one app that may do all."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from regalia.lab.directory import (
    Application,
    ClientSecret,
    EntraDevice,
    Group,
    ManagedDevice,
    ScepProfile,
    User,
)
from regalia.lab.tenant import Tenant

if TYPE_CHECKING:
    from regalia.lab.tenant import Clock
    from regalia.lab.unverified import Unverified

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "GRAPH_ROLES", "INTUNE_ROLES", "sample_tenant"]

CLIENT_ID: Final = "7b1c4f60-0f65-4d0e-9c55-5d0f4c1f9a01"
CLIENT_SECRET: Final = "lab-secret~not-for-production"  # noqa: S105 - it opens the laboratory and nothing else
GRAPH_ROLES: Final = frozenset(
    {
        "Application.Read.All",
        "Device.Read.All",
        "DeviceManagementConfiguration.Read.All",
        "DeviceManagementManagedDevices.Read.All",
        "GroupMember.Read.All",
        "IdentityRiskyUser.Read.All",
        "User.Read.All",
    }
)
INTUNE_ROLES: Final = frozenset({"scep_challenge_provider"})
_PLATFORMS: Final = ("Windows", "iOS", "macOS", "Android")
_FAR: Final = datetime(2099, 1, 1, tzinfo=UTC)


def _id(tenant: str, kind: str, number: int = 0) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"lab:{tenant}:{kind}:{number}"))


def sample_tenant(
    devices: int = 8,
    domain: str = "lab.example",
    clock: Clock | None = None,
    unverified: Unverified | None = None,
) -> Tenant:
    """Make a tenant with this many devices, each of which has its user."""
    tenant = Tenant(_id(domain, "tenant"), (domain,), clock, unverified)
    for number in range(devices):
        user = _user(domain, number)
        tenant.users.put(user)
        entra, managed = _device(domain, number, user)
        tenant.devices.put(entra)
        tenant.managed.put(managed)
    _groups(tenant, domain)
    tenant.profiles.put(
        ScepProfile(
            id=_id(domain, "profile"),
            name="Wi-Fi",
            sans=(("URI", "IntuneDeviceId://{{DeviceId}}"),),
            groups=frozenset({_id(domain, "group", 0)}),
        )
    )
    tenant.applications.put(
        Application(CLIENT_ID, "Regalia", (ClientSecret(CLIENT_SECRET, _FAR),), (), GRAPH_ROLES, INTUNE_ROLES)
    )
    return tenant


def _user(domain: str, number: int) -> User:
    name = f"user{number:05d}"
    return User(
        id=_id(domain, "user", number),
        user_principal_name=f"{name}@{domain}",
        display_name=f"User {number}",
        mail=f"{name}@{domain}",
        sid=f"S-1-5-21-1004336348-1177238915-682003330-{1100 + number}",
        sam_account=name,
        licences=(_id("any", "intune-licence"),),
        risk="none",
    )


def _device(domain: str, number: int, user: User) -> tuple[EntraDevice, ManagedDevice]:
    platform = _PLATFORMS[number % len(_PLATFORMS)]
    name = f"{platform.upper()}-{number:05d}"
    object_id = _id(domain, "object", number)
    # The first has one id for both: shared Android devices were seen so.
    device_id = object_id if number == 0 else _id(domain, "device", number)
    entra = EntraDevice(object_id, device_id, name, operating_system=platform)
    managed = ManagedDevice(
        id=_id(domain, "managed", number),
        entra_device_id=device_id,
        name=name,
        serial=f"SN{number:08d}",
        user_id=user.id,
        user_principal_name=user.user_principal_name,
        operating_system=platform,
        imei=f"35{number:013d}" if platform in {"iOS", "Android"} else "",
        wifi_mac=f"02005E{number:06X}",
    )
    return entra, managed


def _groups(tenant: Tenant, domain: str) -> None:
    """Make the group that all devices are in through another one, and the group of all users."""
    inner = Group(_id(domain, "group", 1), "Devices", frozenset(device.id for device in tenant.devices.all()))
    tenant.groups.put(inner)
    tenant.groups.put(Group(_id(domain, "group", 0), "Certificates for Wi-Fi", frozenset({inner.id})))
    users = frozenset(user.id for user in tenant.users.all())
    tenant.groups.put(Group(_id(domain, "group", 2), "Employees", users))
