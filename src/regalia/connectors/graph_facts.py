"""What Microsoft Graph says of devices and users, as the few facts that rules look at. Nothing here asks anybody.

What is missing, null, of another type than it should be, too long, or with characters that nobody sees is a fact that
nobody stated: None. Evidence has it as it came. A name for people is cut short instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from regalia.connectors.report_forms import shown
from regalia.model.connector import ReportedDevice, ReportedUser
from regalia.model.fleet import DeviceState, PendingAction, Platform, UserState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue

__all__ = ["EntraDevice", "device_of", "entra_of", "is_id", "removed", "risk_of", "time_of", "user_of"]

_COMPLIANT: Final = {"compliant": True, "noncompliant": False}
"""Of complianceState; unknown, conflict, error, inGracePeriod and configManager are no statement."""
_PENDING: Final = {
    "retirepending": PendingAction.RETIRE,
    "retirefailed": PendingAction.RETIRE,
    "retireissued": PendingAction.RETIRE,
    "wipepending": PendingAction.WIPE,
    "wipefailed": PendingAction.WIPE,
    "wipeissued": PendingAction.WIPE,
    "deletepending": PendingAction.DELETE,
}
"""Of managementState; one that was canceled is over."""
_UNDER_WAY: Final = frozenset({"pending", "active", "done", "failed"})
"""Of an action's state: somebody wanted it and nobody took it back. A wipe that failed did not make a device good."""
_PLATFORMS: Final = (
    ("windows", Platform.WINDOWS),
    ("macos", Platform.MACOS),
    ("mac os", Platform.MACOS),
    ("ipados", Platform.IOS),
    ("ios", Platform.IOS),
    ("chrome", Platform.CHROMEOS),
    ("android", Platform.ANDROID),
    ("linux", Platform.LINUX),
)
_NO_RISK: Final = frozenset({"none", "confirmedsafe", "remediated", "dismissed"})
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,199}")
_LONGEST: Final = 200
"""Characters of a text, as in files that are imported."""
_NO_GUID: Final = "00000000-0000-0000-0000-000000000000"
_SID: Final = re.compile(r"S-1-[0-9]{1,15}(?:-[0-9]{1,10}){1,15}")
_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?Z")


@dataclass(frozen=True, slots=True)
class EntraDevice:
    """What Entra ID says of a device, in as little room as many of them need."""

    object_id: str
    device_id: str | None
    """What an MDM and a device call it; not the object's id."""
    enabled: bool | None
    compliant: bool | None
    managed: bool | None
    sid: str | None
    removed: str | None = None
    """`changed`: deleted and may come back; `deleted`: for good."""


def is_id(value: object) -> bool:
    """Whether something is an id of Graph's, which can be put into a path."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def removed(raw: Mapping[str, JsonValue]) -> str | None:
    """Say how a delta tells that an object is gone; None where it is there."""
    mark = raw.get("@removed")
    if mark is None:
        return None
    reason = mark.get("reason") if isinstance(mark, dict) else None
    # What is spelled in another way may come back.
    return "deleted" if reason == "deleted" else "changed"


def entra_of(raw: Mapping[str, JsonValue], before: EntraDevice | None = None) -> EntraDevice | None:
    """Read an Entra device. A delta may leave out what did not change, which is taken from `before`."""
    object_id = raw.get("id")
    if not isinstance(object_id, str) or not is_id(object_id):
        return None
    device_id = _id(raw.get("deviceId")) if "deviceId" in raw or before is None else before.device_id
    sid = _sid(raw.get("onPremisesSecurityIdentifier"))
    return EntraDevice(
        object_id.lower(),
        device_id,
        _flag(raw, "accountEnabled", before.enabled if before else None),
        _flag(raw, "isCompliant", before.compliant if before else None),
        _flag(raw, "isManaged", before.managed if before else None),
        sid if "onPremisesSecurityIdentifier" in raw or before is None else before.sid,
        removed(raw),
    )


def device_of(
    raw: Mapping[str, JsonValue],
    entra: EntraDevice | None,
    memberships: frozenset[str] | None,
    settings: IntuneSettings,
    *,
    now: datetime,
    request_id: str,
) -> ReportedDevice | None:
    """Make the report of a managed device; None where it has no id. `memberships`: None where nobody asked for them."""
    external_id = raw.get("id")
    if not isinstance(external_id, str) or not is_id(external_id):
        return None
    return ReportedDevice(
        external_id.lower(),
        _name(raw, "deviceName") or external_id,
        _platform(_text(raw, "operatingSystem")),
        _state(raw, entra, settings, now),
        serial=_text(raw, "serialNumber"),
        aliases=_aliases(raw, entra),
        user=_id(raw.get("userId")),
        sid=entra.sid if entra else None,
        memberships=memberships or frozenset(),
        memberships_known=memberships is not None,
        evidence=_evidence(raw, entra, request_id),
    )


def _aliases(raw: Mapping[str, JsonValue], entra: EntraDevice | None) -> tuple[tuple[str, str], ...]:
    found = {
        ("entra", _id(raw.get("azureADDeviceId"))),
        ("entra-object", entra.object_id if entra else None),
        ("imei", _text(raw, "imei")),
        ("meid", _text(raw, "meid")),
        ("wifi-mac", _text(raw, "wiFiMacAddress")),
    }
    return tuple(sorted((kind, value) for kind, value in found if value))


def _evidence(raw: Mapping[str, JsonValue], entra: EntraDevice | None, request_id: str) -> dict[str, JsonValue]:
    evidence: dict[str, JsonValue] = {"source": "graph managedDevices", "managedDevice": dict(raw)}
    if request_id:
        evidence["request_id"] = request_id
    if entra is not None:
        evidence["device"] = _shown(entra)
    return evidence


def _state(
    raw: Mapping[str, JsonValue], entra: EntraDevice | None, settings: IntuneSettings, now: datetime
) -> DeviceState:
    revoked = _text(raw, "deviceRegistrationState") == "revoked"
    return DeviceState(
        managed=not revoked,
        enabled=_enabled(entra),
        compliant=_compliant(raw, settings, now),
        pending=_pending(raw, settings),
        lost={"enabled": True, "disabled": False}.get(_text(raw, "lostModeState") or ""),
    )


def _enabled(entra: EntraDevice | None) -> bool | None:
    """Say whether Entra ID lets it in: one that was deleted and may come back is like one that is disabled."""
    if entra is None:
        return None
    return False if entra.removed else entra.enabled


def _compliant(raw: Mapping[str, JsonValue], settings: IntuneSettings, now: datetime) -> bool | None:
    compliant = _COMPLIANT.get((_text(raw, "complianceState") or "").lower())
    enrolled = time_of(raw.get("enrolledDateTime"))
    young = enrolled is not None and now < enrolled + timedelta(hours=settings.grace_hours)
    # What was set up today has not had the time to become compliant.
    return None if compliant is False and young else compliant


def _pending(raw: Mapping[str, JsonValue], settings: IntuneSettings) -> PendingAction:
    state = _text(raw, "managementState")
    if state is not None:
        return _PENDING.get(state.lower(), PendingAction.NONE)
    enrolled = time_of(raw.get("enrolledDateTime"))
    results = raw.get("deviceActionResults")
    wanted: set[PendingAction] = set()
    for result in results if isinstance(results, list) else ():
        if not isinstance(result, dict) or (_text(result, "actionState") or "").lower() not in _UNDER_WAY:
            continue
        begun = time_of(result.get("startDateTime"))
        if begun is not None and enrolled is not None and begun < enrolled:
            # It was done to what the device was before it was enrolled anew.
            continue
        wanted.add(_action((_text(result, "actionName") or "").lower(), settings))
    order = (PendingAction.WIPE, PendingAction.RETIRE, PendingAction.DELETE)
    return next((action for action in order if action in wanted), PendingAction.NONE)


def _action(name: str, settings: IntuneSettings) -> PendingAction:
    named = (
        (settings.wipe_actions, PendingAction.WIPE),
        (settings.retire_actions, PendingAction.RETIRE),
        (settings.delete_actions, PendingAction.DELETE),
    )
    for names, action in named:
        if name in {each.lower() for each in names}:
            return action
    return PendingAction.NONE


def user_of(
    raw: Mapping[str, JsonValue],
    memberships: frozenset[str] | None,
    settings: IntuneSettings,
    *,
    request_id: str,
    risk: str | None = None,
) -> ReportedUser | None:
    """Make the report of a user; None where it has no id. One that was deleted and may come back is disabled."""
    external_id = raw.get("id")
    if not isinstance(external_id, str) or not is_id(external_id):
        return None
    upn, mail = _text(raw, "userPrincipalName"), _text(raw, "mail")
    enabled = False if removed(raw) else _flag(raw, "accountEnabled", None)
    evidence: dict[str, JsonValue] = {"source": "graph users", "user": dict(raw)}
    if request_id:
        evidence["request_id"] = request_id
    if risk is not None:
        evidence["riskLevel"] = risk
    return ReportedUser(
        external_id.lower(),
        _name(raw, "displayName") or upn or external_id,
        UserState(enabled=enabled, licensed=_licensed(raw, settings), risk=risk),
        upn=upn,
        email=(mail,) if mail else (),
        sid=_sid(raw.get("onPremisesSecurityIdentifier")),
        sam_account=_text(raw, "onPremisesSamAccountName"),
        memberships=memberships or frozenset(),
        memberships_known=memberships is not None,
        evidence=evidence,
    )


def risk_of(raw: Mapping[str, JsonValue]) -> str | None:
    """Read the risk of a user; `none` where it was looked into and is over, None where nothing is stated."""
    state, level = (_text(raw, "riskState") or "").lower(), (_text(raw, "riskLevel") or "").lower()
    if state in _NO_RISK:
        return "none"
    if state == "confirmedcompromised":
        return "high"
    return level if level in ("none", "low", "medium", "high") else None


def _licensed(raw: Mapping[str, JsonValue], settings: IntuneSettings) -> bool | None:
    given = raw.get("assignedLicenses")
    if not settings.licences or not isinstance(given, list):
        return None
    ids = {str(each.get("skuId", "")).lower() for each in given if isinstance(each, dict)}
    return not ids.isdisjoint(settings.licences)


def time_of(value: JsonValue) -> datetime | None:
    """Read a time of Graph's; None for what is none, and for year 1, its way to say never."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None
    return at if at is not None and 1970 < at.year < 9000 else None


def _flag(raw: Mapping[str, JsonValue], name: str, otherwise: bool | None) -> bool | None:  # noqa: FBT001 - the value it has
    value = raw.get(name, otherwise)
    return value if isinstance(value, bool) else None


def _text(raw: Mapping[str, JsonValue], name: str) -> str | None:
    value = raw.get(name)
    text = value.strip() if isinstance(value, str) else ""
    return text if 0 < len(text) <= _LONGEST and text.isprintable() else None


def _name(raw: Mapping[str, JsonValue], name: str) -> str | None:
    value = raw.get(name)
    return shown(value.strip(), _LONGEST) or None if isinstance(value, str) else None


def _id(value: JsonValue) -> str | None:
    if not isinstance(value, str) or not is_id(value) or value == _NO_GUID:
        return None
    return value.lower()


def _sid(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and _SID.fullmatch(value) else None


def _platform(system: str | None) -> Platform:
    text = (system or "").lower()
    return next((platform for word, platform in _PLATFORMS if text.startswith(word)), Platform.OTHER)


def _shown(entra: EntraDevice) -> dict[str, JsonValue]:
    """Show it by Graph's own words."""
    shown: dict[str, JsonValue] = {
        "id": entra.object_id,
        "deviceId": entra.device_id,
        "accountEnabled": entra.enabled,
        "isCompliant": entra.compliant,
        "isManaged": entra.managed,
    }
    if entra.sid is not None:
        shown["onPremisesSecurityIdentifier"] = entra.sid
    if entra.removed is not None:
        shown["@removed"] = {"reason": entra.removed}
    return shown
