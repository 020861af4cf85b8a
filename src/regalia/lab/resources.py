"""What Graph shows of devices, users and groups: names of properties, and who may read them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from regalia.lab.answers import timestamp
from regalia.lab.odata import Resource

if TYPE_CHECKING:
    from regalia.lab.directory import EntraDevice, Group, ManagedDevice, User

__all__ = ["DEVICES", "GROUPS", "MANAGED_DEVICES", "MEMBERSHIP_PERMISSIONS", "USERS"]

MEMBERSHIP_PERMISSIONS: Final = ("GroupMember.Read.All", "Group.Read.All", "Directory.Read.All")

_DEVICE: Final = {
    "id": "id",
    "deviceId": "device_id",
    "displayName": "display_name",
    "accountEnabled": "account_enabled",
    "isCompliant": "is_compliant",
    "isManaged": "is_managed",
    "trustType": "trust_type",
    "operatingSystem": "operating_system",
}
_MANAGED: Final = {
    "id": "id",
    "azureADDeviceId": "entra_device_id",
    "deviceName": "name",
    "serialNumber": "serial",
    "userId": "user_id",
    "userPrincipalName": "user_principal_name",
    "complianceState": "compliance_state",
    "deviceRegistrationState": "registration_state",
    "operatingSystem": "operating_system",
    "managementAgent": "management_agent",
    "managedDeviceOwnerType": "owner_type",
    "imei": "imei",
    "meid": "meid",
    "wiFiMacAddress": "wifi_mac",
    "managementState": "management_state",
}
_USER: Final = {
    "id": "id",
    "userPrincipalName": "user_principal_name",
    "displayName": "display_name",
    "accountEnabled": "account_enabled",
    "mail": "mail",
    "onPremisesSecurityIdentifier": "sid",
    "onPremisesSamAccountName": "sam_account",
}
_GROUP: Final = {"id": "id", "displayName": "display_name"}
_NO_DATE: Final = "9999-12-31T23:59:59Z"


def _device(device: EntraDevice) -> dict[str, Any]:
    plain = {name: getattr(device, field) for name, field in _DEVICE.items()}
    return plain | {"approximateLastSignInDateTime": timestamp(device.last_sign_in)}


def _managed(device: ManagedDevice) -> dict[str, Any]:
    plain = {name: getattr(device, field) for name, field in _MANAGED.items()}
    actions = [
        {
            "actionName": action.name,
            "actionState": action.state,
            "startDateTime": timestamp(action.started),
            "lastUpdatedDateTime": timestamp(action.updated),
        }
        for action in device.actions
    ]
    return plain | {
        "userId": device.user_id or "",
        "userPrincipalName": device.user_principal_name or "",
        "complianceGracePeriodExpirationDateTime": timestamp(device.grace_until) if device.grace_until else _NO_DATE,
        "deviceActionResults": actions,
        "enrolledDateTime": timestamp(device.enrolled),
        "lastSyncDateTime": timestamp(device.last_sync),
    }


def _user(user: User) -> dict[str, Any]:
    plain = {name: getattr(user, field) for name, field in _USER.items()}
    return plain | {"assignedLicenses": [{"skuId": sku, "disabledPlans": []} for sku in user.licences]}


def _group(group: Group) -> dict[str, Any]:
    return {"id": group.id, "displayName": group.display_name, "securityEnabled": True, "mailEnabled": False}


DEVICES: Final[Resource[EntraDevice]] = Resource(
    kind="device",
    table=lambda tenant: tenant.devices,
    show=_device,
    permissions=("Device.Read.All", "Directory.Read.All"),
    depends=MappingProxyType(_DEVICE | {"approximateLastSignInDateTime": "last_sign_in"}),
    filters=frozenset({"id", "deviceId", "displayName"}),
)
MANAGED_DEVICES: Final[Resource[ManagedDevice]] = Resource(
    kind="managedDevice",
    table=lambda tenant: tenant.managed,
    show=_managed,
    permissions=("DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All"),
    depends=MappingProxyType(_MANAGED),
    beta_only=frozenset({"managementState"}),
    filters=frozenset({"id", "azureADDeviceId", "deviceName", "serialNumber", "userPrincipalName"}),
    missing="ResourceNotFound",
)
USERS: Final[Resource[User]] = Resource(
    kind="user",
    table=lambda tenant: tenant.users,
    show=_user,
    permissions=("User.Read.All", "Directory.Read.All"),
    depends=MappingProxyType(_USER | {"assignedLicenses": "licences"}),
    usual=frozenset({"id", "userPrincipalName", "displayName", "mail"}),
    filters=frozenset({"id", "userPrincipalName", "mail", "onPremisesSecurityIdentifier"}),
)
GROUPS: Final[Resource[Group]] = Resource(
    kind="group",
    table=lambda tenant: tenant.groups,
    show=_group,
    permissions=MEMBERSHIP_PERMISSIONS,
    depends=MappingProxyType(_GROUP),
    filters=frozenset({"id", "displayName"}),
)
