"""Each thing that Intune and Graph need is tried by itself, and what is missing is named by its label."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.microsoft_parts import AWAY, CLIENT_ID, NOW, SECRET, Cloud, PassingTime, golden, intune, said
from connectors.test_microsoft_token import certified, pem

if TYPE_CHECKING:
    from regalia.model.connector import Checked

DENIED = said(golden("graph_error"), 403)
DATE = NOW.strftime("%a, %d %b %Y %H:%M:%S GMT")
GROUP = "ffffffff-0000-0000-0000-000000000001"


def cloud() -> Cloud:
    """Make one that tells the time."""
    return Cloud().say("/token", said(golden("token"), date=DATE))


def checked(there: Cloud) -> dict[str, Checked]:
    """Check a connector with everything that can be asked for."""
    found = intune(there, groups=[GROUP]).check()
    assert len({each.what for each in found}) == len(found)
    return {each.what: each for each in found}


def test_all_is_well() -> None:
    """Everything that is needed was tried and is there; nothing that changes anything was asked."""
    there = cloud()
    found = checked(there)
    assert list(found) == [
        "sign-in with Entra ID for Graph",
        "clock",
        "sign-in with Entra ID for Intune",
        "Graph Application.Read.All",
        "Intune ScepRequestValidationFEService",
        "Intune PkiConnectorFEService",
        "client secret",
        "Intune scep_challenge_provider",
        "Graph DeviceManagementManagedDevices.Read.All",
        "Graph Device.Read.All",
        "Graph User.Read.All",
        "Graph GroupMember.Read.All",
    ]
    assert all(each.ok for each in found.values())
    for end in ("Notification", "RevocationRequests", "RevocationResults"):
        assert not any(end in request.url for request in there.requests)


@pytest.mark.parametrize(
    ("path", "what", "label"),
    [
        (
            "/endpoints",
            "Graph Application.Read.All",
            "Microsoft Graph > Application permissions > Application.Read.All",
        ),
        (
            "/validateRequest",
            "Intune scep_challenge_provider",
            "Intune > Application permissions > scep_challenge_provider",
        ),
        (
            "/managedDevices",
            "Graph DeviceManagementManagedDevices.Read.All",
            "Application permissions > DeviceManagementManagedDevices.Read.All",
        ),
        ("/devices", "Graph Device.Read.All", "Application permissions > Device.Read.All"),
        ("/users", "Graph User.Read.All", "Application permissions > User.Read.All"),
        ("/groups", "Graph GroupMember.Read.All", "Application permissions > GroupMember.Read.All"),
    ],
)
def test_a_missing_permission_is_named(path: str, what: str, label: str) -> None:
    """One permission is missing: that one is named, with the way to it in the console, and no other."""
    found = checked(cloud().say(path, DENIED))
    missing = [each for each in found.values() if not each.ok]
    assert [each.what for each in missing] == [what]
    assert label in missing[0].fix
    assert "Grant admin consent" in missing[0].fix
    assert "CON-024" in missing[0].detail


def test_a_wrong_secret_is_named() -> None:
    """Without a token nothing else is tried: the code, what it means, and where the credential stands."""
    found = checked(Cloud().say("/token", said(golden("token_refused"), 401)))
    (only,) = found.values()
    assert not only.ok
    assert "AADSTS7000215: the client secret is wrong" in only.detail
    assert "Certificates & secrets" in only.fix
    assert "hunter2" not in only.detail


def test_a_clock_that_is_off_is_named() -> None:
    """More than two minutes from Entra ID's time is a fault; no time from there is none."""
    late = (NOW + timedelta(minutes=5)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    clock = checked(Cloud().say("/token", said(golden("token"), date=late)))["clock"]
    assert (clock.ok, clock.detail) == (False, "300 seconds off Entra ID's")
    assert "NTP" in clock.fix
    assert checked(Cloud().say("/token", said(golden("token"), date="never")))["clock"].ok


def test_a_service_that_is_not_named() -> None:
    """Without Intune's service nothing is issued; without the feed's enrolment goes on, so that one is optional."""
    found = checked(cloud().say("/endpoints", said({"value": []})))
    assert not found["Intune ScepRequestValidationFEService"].ok
    assert not found["Intune ScepRequestValidationFEService"].optional
    assert found["Intune PkiConnectorFEService"].optional
    assert "licence" in found["Intune PkiConnectorFEService"].fix


def test_services_named_twice_are_told() -> None:
    """Where Intune names a service twice the check says so, since the first is used."""
    entries = golden("endpoints")["value"] * 2
    detail = checked(cloud().say("/endpoints", said({"value": entries})))["Graph Application.Read.All"].detail
    assert "more than once" in detail


def test_an_outage_is_no_missing_permission() -> None:
    """Where Graph is away the fix is to look at the way there, not at permissions."""
    found = checked(cloud().say("/devices", AWAY))["Graph Device.Read.All"]
    assert not found.ok
    assert "CON-020" in found.detail
    assert "API permissions" not in found.fix


def test_only_what_the_settings_need_is_tried() -> None:
    """A connector that reads no users and no Entra devices needs no permission for them."""
    found = {each.what for each in intune(cloud(), devices="intune", users=False).check()}
    assert "Graph DeviceManagementManagedDevices.Read.All" in found
    assert not found & {"Graph Device.Read.All", "Graph User.Read.All", "Graph GroupMember.Read.All"}


@pytest.mark.parametrize(("days", "ok", "optional"), [(365, True, False), (20, False, True)])
def test_a_certificate_that_will_end(days: int, *, ok: bool, optional: bool) -> None:
    """The credential's certificate is shown by its thumbprint, and is a finding thirty days before its end."""
    key = rsa.generate_private_key(65537, 2048)
    link = intune(cloud(), secret=pem(key, certified(key, days)), credential="certificate")
    first = link.check()[0]
    assert (first.what, first.ok, first.optional) == ("credential's certificate", ok, optional)
    assert "thumbprint" in first.detail


def ends(hint: str, days: int) -> dict[str, str]:
    """A client secret as Entra ID lists it."""
    return {"hint": hint, "endDateTime": (NOW + timedelta(days=days)).isoformat()}


@pytest.mark.parametrize(
    ("listed", "ok", "told"),
    [
        ([ends(SECRET[:3], 365)], True, "2027-03-01"),
        ([ends(SECRET[:3], 20), ends("x~y", 5)], False, "2026-03-21"),
        ([ends("x~y", 20)], False, "2026-03-21"),
        ([], True, "does not tell"),
        ([7, {"hint": SECRET[:3], "endDateTime": "soon"}], True, "does not tell"),
        ("nothing", True, "does not tell"),
    ],
)
def test_a_secret_that_will_end(listed: object, *, ok: bool, told: str) -> None:
    """The connector's own secret is told from others by what Entra ID shows of it; no word of it is no finding."""
    there = cloud().say(f"/applications(appId='{CLIENT_ID}')", said({"passwordCredentials": listed}))
    secret = checked(there)["client secret"]
    assert (secret.ok, secret.optional, told in secret.detail) == (ok, True, True)
    assert ("set-secret" in secret.fix) == (not ok)


def test_a_system_that_hangs_holds_nobody_long() -> None:
    """All of a check together ends within 20 seconds, and what there was no time for is not called good."""
    time = PassingTime()
    there = Cloud(time, slow=9.0).say("/token", said(golden("token"), date=DATE))
    found = intune(there, time).check()
    assert time.at - 1000.0 <= 20.0
    assert not found[-1].ok
    assert "no time is left" in found[-1].detail
