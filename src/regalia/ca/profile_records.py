"""What profiles read of the records of a device and its user: names for templates, state for conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from regalia.ca.profile_variables import Facts
    from regalia.model.fleet import Device, DeviceState, User, UserState

__all__ = ["DEVICE_FACTS", "FALSE", "TRUE", "USER_FACTS", "facts_of_records"]

TRUE: Final = "true"
FALSE: Final = "false"
DEVICE_FACTS: Final[Mapping[str, type]] = {
    "known": bool,
    "name": str,
    "serial": str,
    "imei": str,
    "platform": str,
    "entra_id": str,
    "dns": list,
    "sid": str,
    "present": bool,
    "managed": bool,
    "enabled": bool,
    "compliant": bool,
    "lost": bool,
    "pending": str,
    "risk": str,
    "memberships": list,
    "said": list,
}
"""What conditions may ask of a device, behind `device.`; `said` names the facts that the connector did say."""
USER_FACTS: Final[Mapping[str, type]] = {
    "known": bool,
    "name": str,
    "upn": str,
    "email": list,
    "sid": str,
    "present": bool,
    "enabled": bool,
    "licensed": bool,
    "risk": str,
    "memberships": list,
    "said": list,
}
"""The same of a user, behind `user.`."""


def facts_of_records(device: Device | None, user: User | None) -> Facts:
    """Say what the records hold, by variable and path."""
    facts: Facts = {}
    if device is not None:
        facts |= {f"device.{name}": values for name, values in _of_device(device)}
    if user is not None:
        facts |= {f"user.{name}": values for name, values in _of_user(user)}
    return facts


def _of_device(device: Device) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "known", (TRUE,)
    yield "name", _texts(device.name)
    yield "serial", _texts(device.serial)
    yield "imei", _alias(device, "imei")
    yield "platform", (device.platform.value,)
    yield "entra_id", _alias(device, "entra")
    yield "dns", tuple(sorted(device.dns))
    yield "sid", _texts(device.sid)
    yield "pending", (device.state.pending.value,)
    yield "memberships", tuple(sorted(device.memberships))
    yield from _state(device.state, ("managed", "enabled", "compliant", "lost"), asked=device.memberships_known)


def _of_user(user: User) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "known", (TRUE,)
    yield "name", _texts(user.name)
    yield "upn", _texts(user.upn)
    yield "email", tuple(sorted(user.email))
    yield "sid", _texts(user.sid)
    yield "memberships", tuple(sorted(user.memberships))
    yield from _state(user.state, ("enabled", "licensed"), asked=user.memberships_known)


def _state(
    state: DeviceState | UserState, flags: tuple[str, ...], *, asked: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    said = ["present"]
    yield "present", (_flag(state.present),)
    for name in flags:
        value: bool | None = getattr(state, name)
        if value is not None:
            said.append(name)
            yield name, (_flag(value),)
    if state.risk is not None:
        said.append("risk")
        yield "risk", (state.risk,)
    if asked:
        said.append("memberships")
    yield "said", tuple(said)


def _alias(device: Device, kind: str) -> tuple[str, ...]:
    """Give the one id of a kind; several of one kind are nobody's."""
    found = tuple(value for name, value in device.aliases if name == kind)
    return found if len(found) == 1 else ()


def _texts(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def _flag(value: bool) -> str:  # noqa: FBT001 - the fact itself, to be spelled
    return TRUE if value else FALSE
