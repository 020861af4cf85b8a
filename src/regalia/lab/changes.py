"""What happens to a tenant, by name: what an administrator does in the portals, and what follows of itself."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from regalia.lab.directory import ActionResult, ClientSecret, EntraDevice, ManagedDevice, ScepProfile
from regalia.lab.revocations import enqueue, enqueue_of_device

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from regalia.lab.tenant import Tenant

__all__ = ["CHANGES", "ChangeError", "apply", "managed_device"]


class ChangeError(Exception):
    """There is no such change, or nothing that it could change."""


def apply(tenant: Tenant, change: str, arguments: Mapping[str, Any]) -> None:
    """Make a change; a `ChangeError` says what is missing."""
    act = CHANGES.get(change)
    if act is None:
        raise ChangeError(f"no change {change!r}; there are: {', '.join(sorted(CHANGES))}")
    with tenant.lock:
        try:
            act(tenant, arguments)
        except KeyError as error:
            raise ChangeError(f"{change}: {error.args[0]} is not given, or there is no such thing") from error
        except (TypeError, ValueError) as error:
            raise ChangeError(f"{change}: {error}") from error


def managed_device(tenant: Tenant, arguments: Mapping[str, Any]) -> ManagedDevice:
    """Find Intune's record by any id of the device, or its name."""
    wanted = str(arguments["device"])
    for managed in tenant.managed.all():
        if wanted in {managed.id, managed.entra_device_id, managed.name, managed.serial}:
            return managed
    device = tenant.devices.get(wanted)
    found = tenant.managed_device_of(device) if device else None
    if found is None:
        raise KeyError(wanted)
    return found


def _entra(tenant: Tenant, arguments: Mapping[str, Any]) -> EntraDevice:
    wanted = str(arguments["device"])
    for device in tenant.devices.all():
        if wanted in {device.id, device.device_id, device.display_name}:
            return device
    found = tenant.entra_device_of(managed_device(tenant, arguments))
    if found is None:
        raise KeyError(wanted)
    return found


def _leaves(tenant: Tenant, managed: ManagedDevice, profile_id: str | None = None) -> None:
    if tenant.unverified.revokes_what_leaves:
        enqueue_of_device(tenant, managed.id, profile_id)


def _acted(name: str, state: str, result: str, registration: str | None = None) -> Callable[[Tenant, Any], None]:
    """Return the change by which an action on a device reaches a state."""

    def act(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
        managed = managed_device(tenant, arguments)
        now = tenant.clock()
        earlier = {action.name: action for action in managed.actions}
        began = earlier[name].started if name in earlier else now
        earlier[name] = ActionResult(name, result, began, now)
        changed = replace(managed, management_state=state, actions=tuple(earlier.values()))
        tenant.managed.put(replace(changed, registration_state=registration) if registration else changed)
        if result in {"pending", "active", "done"}:
            _leaves(tenant, managed)

    return act


def _delete(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    managed = managed_device(tenant, arguments)
    _leaves(tenant, managed)
    tenant.managed.remove(managed.id, "deleted")


def _delete_entra(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    tenant.devices.remove(_entra(tenant, arguments).id, str(arguments.get("reason", "changed")))


def _rename(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    managed, name = managed_device(tenant, arguments), str(arguments["name"])
    device = tenant.entra_device_of(managed)
    tenant.managed.put(replace(managed, name=name))
    if device is not None:
        tenant.devices.put(replace(device, display_name=name))


def _enabled(value: bool) -> Callable[[Tenant, Any], None]:  # noqa: FBT001 - one of two changes
    def act(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
        tenant.devices.put(replace(_entra(tenant, arguments), account_enabled=value))

    return act


def _add_device(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Enrol a device in the management, and put it into the group of devices where there is one."""
    name, system = str(arguments["name"]), str(arguments.get("system", "Windows"))
    if any(one.name == name for one in tenant.managed.all()):
        raise ValueError(f"there is a device {name} already")
    user = tenant.users[_user_id(tenant, arguments)] if "user" in arguments else None
    entra = EntraDevice(str(uuid.uuid4()), str(uuid.uuid4()), name, operating_system=system)
    managed = ManagedDevice(
        id=str(uuid.uuid4()),
        entra_device_id=entra.device_id,
        name=name,
        serial=str(arguments.get("serial") or f"SN{uuid.uuid4().hex[:8].upper()}"),
        user_id=user.id if user else None,
        user_principal_name=user.user_principal_name if user else None,
        operating_system=system,
        enrolled=tenant.clock(),
        last_sync=tenant.clock(),
    )
    tenant.devices.put(entra)
    tenant.managed.put(managed)
    for group in tenant.groups.all():
        if group.display_name == "Devices":
            tenant.groups.put(replace(group, members=group.members | {entra.id}))


def _lost(state: str) -> Callable[[Tenant, Any], None]:
    def act(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
        tenant.managed.put(replace(managed_device(tenant, arguments), lost_mode=state))

    return act


def _secret(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Let an app's secrets end in so many days; in the past where the number is below zero."""
    application = tenant.applications[str(arguments["application"])]
    expires = tenant.clock() + timedelta(days=float(arguments["days"]))
    secrets = tuple(replace(one, expires=expires) for one in application.secrets)
    tenant.applications.put(replace(application, secrets=secrets))


def _credentials(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Set an app's secrets by their values, or its certificates in PEM; what is not given stays."""
    application = tenant.applications[str(arguments["application"])]
    if "secrets" in arguments:
        expires = tenant.clock() + timedelta(days=3650)
        secrets = tuple(ClientSecret(str(value), expires) for value in arguments["secrets"])
        application = replace(application, secrets=secrets)
    if "certificates" in arguments:
        found = (x509.load_pem_x509_certificate(str(pem).encode()) for pem in arguments["certificates"])
        application = replace(application, certificates=tuple(one.public_bytes(Encoding.DER) for one in found))
    tenant.applications.put(application)


def _compliance(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    managed, state = managed_device(tenant, arguments), str(arguments["state"])
    tenant.managed.put(replace(managed, compliance_state=state))
    device = tenant.entra_device_of(managed)
    known = {"compliant": True, "noncompliant": False}
    if device is not None and state in known:
        tenant.devices.put(replace(device, is_compliant=known[state]))


def _user_id(tenant: Tenant, arguments: Mapping[str, Any]) -> str:
    wanted = str(arguments["user"]).lower()
    found = [one.id for one in tenant.users.all() if wanted in {one.id.lower(), one.user_principal_name.lower()}]
    if not found:
        raise KeyError(wanted)
    return found[0]


def _user(**fields: Any) -> Callable[[Tenant, Any], None]:  # noqa: ANN401 - values of the dataclass's fields
    def act(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
        tenant.users.put(replace(tenant.users[_user_id(tenant, arguments)], **fields))

    return act


def _edit_user(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    fields = {name: value for name, value in arguments.items() if name != "user"}
    if "licences" in fields:
        fields["licences"] = tuple(fields["licences"])
    tenant.users.put(replace(tenant.users[_user_id(tenant, arguments)], **fields))


def _delete_user(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    tenant.users.remove(_user_id(tenant, arguments), str(arguments.get("reason", "changed")))


def _group(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Add members to a group and take others out; who loses a profile by that loses what it issued."""
    group = tenant.groups[str(arguments["group"])]
    add, remove = frozenset(arguments.get("add", ())), frozenset(arguments.get("remove", ()))
    targeted = _targets(tenant)
    tenant.groups.put(replace(group, members=group.members - remove | add))
    for managed_id, profile_id in targeted - _targets(tenant):
        _leaves(tenant, tenant.managed[managed_id], profile_id)


def _targets(tenant: Tenant) -> set[tuple[str, str]]:
    """Return who has which profile, without asking for each pair anew: fleets are large."""
    found: set[tuple[str, str]] = set()
    for profile in tenant.profiles.all():
        members = _members(tenant, profile.groups)
        by_device_id = {device.device_id for device in tenant.devices.all() if device.id in members}
        found |= {
            (managed.id, profile.id)
            for managed in tenant.managed.all()
            if managed.entra_device_id in by_device_id or managed.user_id in members
        }
    return found


def _members(tenant: Tenant, groups: frozenset[str]) -> set[str]:
    found: set[str] = set(groups)
    new = set(groups)
    while new:
        reached = {member for group in new if (known := tenant.groups.get(group)) for member in known.members}
        new = reached - found
        found |= new
    return found


def _edit_profile(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Change a profile. What would make the devices enrol again also has Intune revoke what they have."""
    profile = tenant.profiles[str(arguments["profile"])]
    fields = {name: _frozen(name, value) for name, value in arguments.items() if name != "profile"}
    edited = replace(profile, **fields)
    targeted = {pair for pair in _targets(tenant) if pair[1] == profile.id}
    tenant.profiles.put(edited)
    kept = _targets(tenant)
    renewed = any(getattr(profile, name) != getattr(edited, name) for name in _RENEWING)
    for pair in targeted:
        if renewed or pair not in kept:
            _leaves(tenant, tenant.managed[pair[0]], profile.id)


_RENEWING: Final = ("subject", "sans", "validity_days", "ekus")
_SETS: Final = frozenset({"key_usage", "groups"})


def _frozen(name: str, value: Any) -> Any:  # noqa: ANN401 - a value of JSON, as the dataclass has it
    if name in _SETS:
        return frozenset(value)
    if name == "sans":
        return tuple((str(kind), str(text)) for kind, text in value)
    return tuple(value) if isinstance(value, list) else value


def _add_profile(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    tenant.profiles.put(ScepProfile(**{name: _frozen(name, value) for name, value in arguments.items()}))


def _revoke(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    if "serial" in arguments:
        enqueue(tenant, str(arguments["serial"]), arguments.get("issuer"), arguments.get("ca_configuration"))
    else:
        enqueue_of_device(tenant, managed_device(tenant, arguments).id)


def _grant(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Set what an app was consented to; what is not given stays."""
    application = tenant.applications[str(arguments["application"])]
    graph, intune = (arguments.get(name) for name in ("graph_roles", "intune_roles"))
    granted = replace(
        application,
        graph_roles=application.graph_roles if graph is None else frozenset(graph),
        intune_roles=application.intune_roles if intune is None else frozenset(intune),
    )
    tenant.applications.put(granted)


def _service(tenant: Tenant, arguments: Mapping[str, Any]) -> None:
    """Move the partner API, show its entries twice, hide some, take the licence away; what it hands to devices."""
    tenant.shard = str(arguments.get("shard", tenant.shard))
    tenant.duplicate_services = bool(arguments.get("duplicates", tenant.duplicate_services))
    tenant.hidden_services = frozenset(arguments.get("hidden", tenant.hidden_services))
    tenant.has_intune_licence = bool(arguments.get("licence", tenant.has_intune_licence))
    tenant.withdraws_profiles = bool(arguments.get("withdraws", tenant.withdraws_profiles))
    if "challenge_seconds" in arguments:
        tenant.challenge_life = timedelta(seconds=float(arguments["challenge_seconds"]))


CHANGES: Final[Mapping[str, Callable[[Tenant, Any], None]]] = MappingProxyType(
    {
        "wipe": _acted("wipe", "wipePending", "pending"),
        "wipe-issued": _acted("wipe", "wipeIssued", "active", "revoked"),
        "wipe-failed": _acted("wipe", "wipeFailed", "failed"),
        "wipe-cancelled": _acted("wipe", "wipeCanceled", "canceled"),
        "retire": _acted("retire", "retirePending", "pending"),
        "retire-issued": _acted("retire", "retireIssued", "active", "revoked"),
        "retire-failed": _acted("retire", "retireFailed", "failed"),
        "retire-cancelled": _acted("retire", "retireCanceled", "canceled"),
        "delete-pending": _acted("delete", "deletePending", "pending"),
        "delete": _delete,
        "add-device": _add_device,
        "lost": _lost("enabled"),
        "found": _lost("disabled"),
        "secret": _secret,
        "credentials": _credentials,
        "delete-entra-device": _delete_entra,
        "rename": _rename,
        "disable": _enabled(value=False),
        "enable": _enabled(value=True),
        "compliance": _compliance,
        "disable-user": _user(account_enabled=False),
        "enable-user": _user(account_enabled=True),
        "edit-user": _edit_user,
        "delete-user": _delete_user,
        "group": _group,
        "add-profile": _add_profile,
        "edit-profile": _edit_profile,
        "revoke": _revoke,
        "grant": _grant,
        "service": _service,
    }
)
"""By name: what is done with the tenant and the arguments."""
