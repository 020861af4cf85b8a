"""What Graph says becomes the few facts that rules look at, and nothing follows from what it does not say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.microsoft_parts import CLIENT_ID, NOW, golden
from regalia.connectors.graph_facts import EntraDevice, device_of, entra_of, risk_of, time_of, user_of
from regalia.connectors.settings import IntuneSettings
from regalia.model.fleet import DeviceState, PendingAction, Platform, UserState

SETTINGS = IntuneSettings(tenant="t", client_id=CLIENT_ID)
SKU = "eeeeeeee-0000-0000-0000-000000000001"
ENTRA = EntraDevice("dddddddd-1", "bbbbbbbb-1", enabled=True, compliant=None, managed=None, sid="S-1-5-21-1-2-3-4")


def state(settings: IntuneSettings = SETTINGS, entra: EntraDevice | None = None, **facts: object) -> DeviceState:
    """Say what follows from facts of a managed device."""
    raw: dict[str, Any] = {"id": "a1", **facts}
    report = device_of(raw, entra, None, settings, now=NOW, request_id="")
    assert report is not None
    return report.state


def test_a_device_keeps_what_graph_said() -> None:
    """The report has the ids in small letters, sorted aliases, and beside the facts every word of its source."""
    raw = golden("managed_devices")["value"][0]
    report = device_of(raw, ENTRA, frozenset({"g"}), SETTINGS, now=NOW, request_id="r1")
    assert report is not None
    assert report.external_id == "aaaaaaaa-0000-0000-0000-000000000001"
    assert (report.name, report.platform, report.serial) == ("LAPTOP-1", Platform.WINDOWS, "5CG1")
    assert report.user == "cccccccc-0000-0000-0000-000000000001"
    assert report.aliases == (
        ("entra", "bbbbbbbb-0000-0000-0000-000000000001"),
        ("entra-object", "dddddddd-1"),
        ("wifi-mac", "00FFAA00FFAA"),
    )
    assert (report.sid, report.memberships, report.memberships_known) == ("S-1-5-21-1-2-3-4", frozenset({"g"}), True)
    assert report.state == DeviceState(managed=True, enabled=True, compliant=True)
    assert report.evidence["managedDevice"] == raw
    assert report.evidence["request_id"] == "r1"


def test_what_nobody_said_is_no_fact() -> None:
    """CON-5: of a device with an id alone nothing is known but that Intune manages it."""
    assert state() == DeviceState(managed=True)


@pytest.mark.parametrize(
    ("said", "compliant"),
    [
        ("compliant", True),
        ("noncompliant", False),
        ("nonCompliant", False),
        ("unknown", None),
        ("conflict", None),
        ("error", None),
        ("inGracePeriod", None),
        ("configManager", None),
        ("somethingNew", None),
        (None, None),
        (True, None),
    ],
)
def test_compliance(said: object, compliant: bool | None) -> None:  # noqa: FBT001 - the fact it has
    """Two words of complianceState are statements; every other one is none."""
    assert state(complianceState=said).compliant is compliant


def test_a_device_that_was_just_enrolled_has_time_to_become_compliant() -> None:
    """Within the grace period after its enrolment a device that is not compliant counts as unknown."""
    young = (NOW - timedelta(hours=23)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert state(complianceState="noncompliant", enrolledDateTime=young).compliant is None
    old = (NOW - timedelta(hours=25)).strftime("%Y-%m-%dT%H:%M:%S.1234567Z")
    assert state(complianceState="noncompliant", enrolledDateTime=old).compliant is False


@pytest.mark.parametrize(
    ("said", "pending"),
    [
        ("managed", PendingAction.NONE),
        ("retirePending", PendingAction.RETIRE),
        ("retireFailed", PendingAction.RETIRE),
        ("retireIssued", PendingAction.RETIRE),
        ("retireCanceled", PendingAction.NONE),
        ("wipePending", PendingAction.WIPE),
        ("wipeFailed", PendingAction.WIPE),
        ("wipeIssued", PendingAction.WIPE),
        ("wipeCanceled", PendingAction.NONE),
        ("deletePending", PendingAction.DELETE),
        ("unhealthy", PendingAction.NONE),
        ("discovered", PendingAction.NONE),
    ],
)
def test_management_state(said: str, pending: PendingAction) -> None:
    """Each of Graph's twelve words for what Intune does to a device, as far as rules look at it."""
    assert state(managementState=said).pending is pending


@pytest.mark.parametrize(
    ("name", "action_state", "started", "pending"),
    [
        ("wipe", "pending", "2026-02-01T00:00:00Z", PendingAction.WIPE),
        ("FactoryReset", "done", None, PendingAction.WIPE),
        ("retire", "failed", "2026-02-01T00:00:00Z", PendingAction.RETIRE),
        ("delete", "active", "2026-02-01T00:00:00Z", PendingAction.DELETE),
        ("wipe", "canceled", "2026-02-01T00:00:00Z", PendingAction.NONE),
        ("wipe", "notSupported", "2026-02-01T00:00:00Z", PendingAction.NONE),
        ("rebootNow", "pending", "2026-02-01T00:00:00Z", PendingAction.NONE),
        ("wipe", "done", "2025-12-01T00:00:00Z", PendingAction.NONE),
    ],
)
def test_actions(name: str, action_state: str, started: str | None, pending: PendingAction) -> None:
    """Without managementState the list of actions tells; one from before the enrolment was another life."""
    result = {"actionName": name, "actionState": action_state, "startDateTime": started}
    found = state(deviceActionResults=[7, {}, result], enrolledDateTime="2026-01-01T00:00:00Z")
    assert found.pending is pending


def test_names_of_actions_are_settings() -> None:
    """What wiping is called can be changed without a new version."""
    named = SETTINGS.model_copy(update={"wipe_actions": ("obliterate",)})
    results = [{"actionName": "Obliterate", "actionState": "pending"}]
    assert state(named, deviceActionResults=results).pending is PendingAction.WIPE
    assert state(deviceActionResults=results).pending is PendingAction.NONE


def test_a_registration_that_was_revoked_is_no_management() -> None:
    """A deviceRegistrationState of `revoked` says that a device was blocked, wiped or retired."""
    assert state(deviceRegistrationState="revoked").managed is False
    assert state(deviceRegistrationState="keyConflict").managed is True


def test_entra_tells_whether_a_device_is_let_in() -> None:
    """A disabled device and a deleted one are not let in; where Entra says nothing, nothing follows."""
    off = entra_of({"id": "d", "deviceId": "b", "accountEnabled": False})
    gone = entra_of({"id": "d", "@removed": {"reason": "changed"}}, ENTRA)
    assert off is not None
    assert gone is not None
    assert (state(entra=off).enabled, state(entra=gone).enabled, state(entra=ENTRA).enabled) == (False, False, True)
    assert state(entra=entra_of({"id": "d"})).enabled is None


def test_a_change_leaves_what_it_does_not_name() -> None:
    """A delta that names one property changes one fact; null is a fact that is gone."""
    after = entra_of({"id": "dddddddd-1", "accountEnabled": False}, ENTRA)
    assert after is not None
    assert (after.enabled, after.device_id, after.sid) == (False, "bbbbbbbb-1", "S-1-5-21-1-2-3-4")
    again = entra_of({"id": "dddddddd-1", "accountEnabled": None, "onPremisesSecurityIdentifier": "x"}, ENTRA)
    assert again is not None
    assert (again.enabled, again.sid) == (None, None)


def test_a_user_keeps_what_graph_said() -> None:
    """The report has the directory's own SID and account, and one that was deleted and may return is disabled."""
    ada, soft, _ = golden("users_delta")["value"]
    report = user_of(ada, None, SETTINGS, request_id="")
    assert report is not None
    assert (report.upn, report.email, report.sid) == ("ada@example.test", ("ada@example.test",), "S-1-5-21-1-2-3-1104")
    assert (report.sam_account, report.state) == ("ada", UserState(enabled=True))
    assert not report.memberships_known
    gone = user_of(soft, frozenset(), SETTINGS, request_id="")
    assert gone is not None
    assert gone.state == UserState(enabled=False)


@pytest.mark.parametrize(
    ("licences", "given_licences", "licensed"),
    [
        ((), [{"skuId": SKU}], None),
        ((SKU,), [{"skuId": SKU.upper()}], True),
        ((SKU,), [{"skuId": "other"}, 7], False),
        ((SKU,), [], False),
        ((SKU,), None, None),
    ],
)
def test_licences(licences: tuple[str, ...], given_licences: object, licensed: bool | None) -> None:  # noqa: FBT001 - the fact
    """A licence is looked for where the settings name some and Graph lists what the user has."""
    raw: dict[str, Any] = {"id": "u", "assignedLicenses": given_licences}
    report = user_of(raw, None, SETTINGS.model_copy(update={"licences": licences}), request_id="")
    assert report is not None
    assert report.state.licensed is licensed


@pytest.mark.parametrize(
    ("risk_state", "level", "risk"),
    [
        ("atRisk", "high", "high"),
        ("atRisk", "Low", "low"),
        ("confirmedCompromised", "none", "high"),
        ("remediated", "high", "none"),
        ("dismissed", "medium", "none"),
        ("atRisk", "hidden", None),
        (None, None, None),
        (7, True, None),
    ],
)
def test_risk(risk_state: object, level: object, risk: str | None) -> None:
    """A user's risk is the level, unless somebody decided; a level that is not shown is no statement."""
    raw: dict[str, Any] = {"riskState": risk_state, "riskLevel": level}
    assert risk_of(raw) == risk


def test_times() -> None:
    """Graph's times have up to seven digits of a second; year 1 is its way to say never."""
    assert time_of("2026-03-01T09:00:00.1234567Z") == NOW
    for text in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "soon", 7, None):
        assert time_of(text) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
FIELDS = sorted({*golden("managed_devices")["value"][0], *golden("users_delta")["value"][0], "@removed", "deviceId"})


@given(st.dictionaries(st.sampled_from([*FIELDS, "managementState", "lostModeState"]), VALUES))
def test_any_json_is_read(raw: dict[str, Any]) -> None:
    """Whatever Graph says of an object, it is read or left out, and never ends in an exception."""
    device = device_of(raw, entra_of(raw, ENTRA), None, SETTINGS, now=NOW, request_id="")
    user = user_of(raw, None, SETTINGS, request_id="")
    assert (device is None) == (user is None)
    assert device is None or device.state.present
