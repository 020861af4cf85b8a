"""What a tenant holds, as frozen values: devices, users, groups, SCEP profiles, app registrations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = [
    "CLIENT_AUTH",
    "KEY_USAGES",
    "ActionResult",
    "Application",
    "ClientSecret",
    "EntraDevice",
    "Group",
    "ManagedDevice",
    "ScepProfile",
    "User",
]

CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
KEY_USAGES: Final = ("digitalSignature", "keyEncipherment")
"""What a SCEP profile of Intune can ask for."""
_LONG_AGO: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EntraDevice:
    """A device as the directory knows it."""

    id: str
    """Of the directory object: what groups have as a member, and what Graph's paths name."""
    device_id: str
    """What the device calls itself, and what Intune and certificates name."""
    display_name: str
    account_enabled: bool = True
    is_compliant: bool | None = True
    is_managed: bool | None = True
    trust_type: str = "AzureAd"
    operating_system: str = "Windows"
    last_sign_in: datetime = _LONG_AGO


@dataclass(frozen=True, slots=True)
class ActionResult:
    """One entry of `deviceActionResults`."""

    name: str
    state: str
    started: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class ManagedDevice:
    """A device as Intune knows it."""

    id: str
    entra_device_id: str
    name: str
    serial: str
    user_id: str | None = None
    user_principal_name: str | None = None
    compliance_state: str = "compliant"
    grace_until: datetime | None = None
    registration_state: str = "registered"
    actions: tuple[ActionResult, ...] = ()
    enrolled: datetime = _LONG_AGO
    last_sync: datetime = _LONG_AGO
    operating_system: str = "Windows"
    management_agent: str = "mdm"
    owner_type: str = "company"
    imei: str = ""
    meid: str = ""
    wifi_mac: str = ""
    management_state: str = "managed"
    registered_keys: tuple[str, ...] = ()
    """SHA-256 of the public keys, base64, that Windows Hello registered."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the directory."""

    id: str
    user_principal_name: str
    display_name: str
    account_enabled: bool = True
    mail: str | None = None
    sid: str | None = None
    """`onPremisesSecurityIdentifier`."""
    sam_account: str | None = None
    licences: tuple[str, ...] = ()
    """SKU ids."""
    risk: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A security group; its members may be groups."""

    id: str
    display_name: str
    members: frozenset[str] = frozenset()
    """Ids of directory objects."""


@dataclass(frozen=True, slots=True)
class ScepProfile:
    """A SCEP certificate profile and whom it is assigned to."""

    id: str
    name: str
    subject: str = "CN={{AAD_Device_ID}}"
    sans: tuple[tuple[str, str], ...] = ()
    """(`DNS`, `Email`, `UPN` or `URI`; format)."""
    key_usage: frozenset[str] = frozenset(KEY_USAGES)
    ekus: tuple[str, ...] = (CLIENT_AUTH,)
    key_size: int = 2048
    hash_algorithm: str = "sha2"
    for_user: bool = False
    """A certificate of type User; else of type Device, whose formats know no user."""
    registered_key: bool = False
    """The key must be one that Windows Hello registered."""
    scep_urls: tuple[str, ...] = ()
    root_thumbprint: str = ""
    """SHA-1 of the trusted certificate that the profile names, in hex."""
    validity_days: int = 365
    renewal_threshold: int = 20
    groups: frozenset[str] = frozenset()
    """Whom it is assigned to: a device, or the user of a device, in one of these, directly or through other groups."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A secret of an app registration."""

    value: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Application:
    """An app registration and what was consented to."""

    id: str
    """Client id."""
    name: str
    secrets: tuple[ClientSecret, ...] = ()
    certificates: tuple[bytes, ...] = ()
    """DER of the certificates that may sign its assertions."""
    graph_roles: frozenset[str] = frozenset()
    intune_roles: frozenset[str] = frozenset()
