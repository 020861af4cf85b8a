"""Graph: what is shown, page by page and round by round, and to whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab_parts import GRAPH_SCOPE
from regalia.lab.changes import apply
from regalia.lab.sample import CLIENT_ID, GRAPH_ROLES

if TYPE_CHECKING:
    from lab_parts import Rehearsal

DEVICE_DELTA = "v1.0/devices/delta?$select=id,deviceId,accountEnabled,isCompliant,isManaged,displayName"


@pytest.fixture
def _small_pages(lab: Rehearsal) -> None:
    lab.cloud.graph.page_size = 3


def test_ids(lab: Rehearsal) -> None:
    """A device's object id and device id are different, but for one device; its id in Intune is a third."""
    same = [device.id == device.device_id for device in lab.tenant.devices.all()]
    assert (sum(same), len(same)) == (1, 8)
    assert not {one.id for one in lab.tenant.managed.all()} & {one.id for one in lab.tenant.devices.all()}


def test_select(lab: Rehearsal) -> None:
    """What is not selected is absent, not null."""
    found, _ = lab.pages("v1.0/deviceManagement/managedDevices?$select=id,complianceState")
    assert {frozenset(one) for one in found} == {frozenset({"id", "complianceState"})}


def test_users_without_select(lab: Rehearsal) -> None:
    """A user's accountEnabled is shown where it is selected, by id and by name."""
    user = lab.tenant.users.all()[0]
    assert "accountEnabled" not in lab.graph(f"v1.0/users/{user.id}").json()
    found = lab.graph(f"v1.0/users/{user.user_principal_name}?$select=id,accountEnabled").json()
    assert found == {"id": user.id, "accountEnabled": True}


def test_the_state_of_management_is_beta(lab: Rehearsal) -> None:
    """The managementState is a property of the beta; the other version does not know its name."""
    path = "deviceManagement/managedDevices"
    refused = lab.graph(f"v1.0/{path}?$select=managementState")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "BadRequest")
    assert "managementState" not in lab.graph(f"v1.0/{path}").json()["value"][0]
    assert lab.graph(f"beta/{path}?$select=id,managementState").json()["value"][0]["managementState"] == "managed"


def test_a_wipe_in_both_versions(lab: Rehearsal) -> None:
    """A wipe shows as managementState in the beta and as an action in v1.0."""
    managed = lab.first()
    apply(lab.tenant, "wipe", {"device": managed.id})
    path = f"deviceManagement/managedDevices/{managed.id}"
    assert lab.graph(f"beta/{path}").json()["managementState"] == "wipePending"
    (action,) = lab.graph(f"v1.0/{path}").json()["deviceActionResults"]
    assert (action["actionName"], action["actionState"]) == ("wipe", "pending")


@pytest.mark.usefixtures("_small_pages")
def test_pages(lab: Rehearsal) -> None:
    """A list comes in pages, whose links say nothing and keep what was selected."""
    answer = lab.graph("v1.0/devices?$select=id").json()
    assert len(answer["value"]) == 3
    assert lab.tenant.devices.all()[3].id not in answer["@odata.nextLink"]
    found, _ = lab.pages("v1.0/devices?$select=id")
    assert sorted(one["id"] for one in found) == sorted(one.id for one in lab.tenant.devices.all())
    assert {frozenset(one) for one in found} == {frozenset({"id"})}


@pytest.mark.usefixtures("_small_pages")
def test_what_goes_while_a_list_is_read(lab: Rehearsal) -> None:
    """What is deleted while somebody reads is not on a later page, which may be empty and yet not the last."""
    answer = lab.graph("v1.0/deviceManagement/managedDevices?$select=id").json()
    for managed in lab.tenant.managed.all()[3:6]:
        apply(lab.tenant, "delete", {"device": managed.id})
    second = lab.graph(answer["@odata.nextLink"]).json()
    assert (second["value"], "@odata.nextLink" in second) == ([], True)


@pytest.mark.usefixtures("_small_pages")
def test_delta(lab: Rehearsal) -> None:
    """A round of a delta begins where the last ended, and tells what changed in what was selected, and what went."""
    found, link = lab.pages(DEVICE_DELTA)
    assert len(found) == 8
    assert link is not None
    devices = lab.tenant.devices.all()
    apply(lab.tenant, "disable", {"device": devices[1].id})
    apply(lab.tenant, "delete-entra-device", {"device": devices[2].id})
    apply(lab.tenant, "delete-entra-device", {"device": devices[3].id, "reason": "deleted"})
    lab.tenant.devices.put(replace(devices[4], operating_system="Linux"))
    changed, following = lab.pages(link)
    assert {one["id"]: one.get("accountEnabled", one.get("@removed")) for one in changed} == {
        devices[1].id: False,
        devices[2].id: {"reason": "changed"},
        devices[3].id: {"reason": "deleted"},
    }
    assert following is not None
    assert lab.pages(following)[0] == []


def test_minimal_deltas(lab: Rehearsal) -> None:
    """Who prefers a minimal answer gets what is different and the id."""
    _, link = lab.pages(DEVICE_DELTA)
    device = lab.tenant.devices.all()[1]
    apply(lab.tenant, "rename", {"device": device.id, "name": "NEW"})
    assert lab.graph(str(link), prefer="return=minimal").json()["value"] == [{"id": device.id, "displayName": "NEW"}]


def test_delta_from_now_on(lab: Rehearsal) -> None:
    """With $deltatoken=latest the first round is empty, and the next tells what came since."""
    found, link = lab.pages("v1.0/users/delta?$deltaToken=latest&$select=id,accountEnabled")
    assert found == []
    user = lab.tenant.users.all()[0]
    apply(lab.tenant, "disable-user", {"user": user.user_principal_name})
    assert lab.pages(str(link))[0] == [{"id": user.id, "accountEnabled": False}]


def test_stale_tokens(lab: Rehearsal) -> None:
    """A token that the service has forgotten is 410, with a code that is a switch."""
    _, link = lab.pages(DEVICE_DELTA)
    lab.cloud.graph.cursors.expire()
    answer = lab.graph(str(link))
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")


def test_tokens_are_of_their_request(lab: Rehearsal) -> None:
    """A link's token serves its own list of its own tenant, and no other."""
    _, link = lab.pages(DEVICE_DELTA)
    assert link is not None
    assert lab.graph(link.replace("devices", "users")).status_code == 400
    assert lab.graph(link, lab.other.id).status_code == 400


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("v1.0/devices", "Device.Read.All"),
        ("v1.0/devices/delta", "Device.Read.All"),
        ("v1.0/users", "User.Read.All"),
        ("v1.0/groups", "GroupMember.Read.All"),
        ("v1.0/deviceManagement/managedDevices", "DeviceManagementManagedDevices.Read.All"),
        (
            "beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates",
            "DeviceManagementConfiguration.Read.All",
        ),
        ("v1.0/identityProtection/riskyUsers/x", "IdentityRiskyUser.Read.All"),
        ("v1.0/servicePrincipals/appId=0000000a-0000-0000-c000-000000000000/endpoints", "Application.Read.All"),
    ],
)
def test_permissions(lab: Rehearsal, path: str, permission: str) -> None:
    """Each call needs its permission, and a refusal names it; with it alone the call is answered."""
    for roles, refused in ((GRAPH_ROLES - {permission}, True), ({permission}, False)):
        apply(lab.tenant, "grant", {"application": CLIENT_ID, "graph_roles": list(roles)})
        answer = lab.graph(path)
        assert (answer.status_code == 403) is refused
        assert not refused or permission in answer.json()["error"]["message"]


def test_narrow_permissions_are_a_switch(lab: Rehearsal) -> None:
    """Whether the narrow permissions suffice is unverified; switched off, the directory's is needed."""
    lab.tenant.unverified = replace(lab.tenant.unverified, narrow_permissions=False)
    assert "Directory.Read.All" in lab.graph("v1.0/devices").json()["error"]["message"]


def test_one_device_by_its_device_id(lab: Rehearsal) -> None:
    """A device is found by its device id, by filter and by key; a wrong id is an empty list, or 404."""
    device = lab.tenant.devices.all()[1]
    assert [one["id"] for one in lab.pages(f"v1.0/devices?$filter=deviceId eq '{device.device_id}'")[0]] == [device.id]
    assert lab.graph(f"v1.0/devices(deviceId='{device.device_id}')").json()["id"] == device.id
    assert lab.pages(f"v1.0/devices?$filter=deviceId eq '{device.id}'")[0] == []
    assert lab.graph(f"v1.0/devices(deviceId='{device.id}')").status_code == 404


@pytest.mark.parametrize(
    "query",
    ["$filter=startswith(deviceId,'a')", "$filter=trustType eq 'x'", "$orderby=id", "$expand=owner", "$top=1000"],
)
def test_what_is_not_understood(lab: Rehearsal, query: str) -> None:
    """A query that the laboratory does not understand is refused, not ignored."""
    assert lab.graph(f"v1.0/devices?{query}").status_code == 400


def test_memberships(lab: Rehearsal) -> None:
    """A device's groups are those that it is in through others, too."""
    device = lab.tenant.devices.all()[1]
    found = lab.graph(f"v1.0/devices/{device.id}/transitiveMemberOf?$select=id,displayName").json()["value"]
    assert {one["displayName"] for one in found} == {"Devices", "Certificates for Wi-Fi"}
    assert {one["@odata.type"] for one in found} == {"#microsoft.graph.group"}


def test_check_member_groups(lab: Rehearsal) -> None:
    """Of the groups that are asked about come back those that the user is in; more than twenty are refused."""
    user, groups = lab.tenant.users.all()[0], [group.id for group in lab.tenant.groups.all()]
    url = f"{lab.at.graph}/v1.0/users/{user.id}/checkMemberGroups"
    headers = {"authorization": f"Bearer {lab.token(GRAPH_SCOPE)}"}
    answer = lab.http.post(url, json={"groupIds": groups}, headers=headers)
    assert answer.json() == {"value": [group.id for group in lab.tenant.groups_of(user.id)]}
    assert lab.http.post(url, json={"groupIds": groups * 7}, headers=headers).status_code == 400


def test_what_there_is_not(lab: Rehearsal) -> None:
    """A missing object is 404 in Graph's shape, with the ids of the request."""
    answer = lab.graph("v1.0/deviceManagement/managedDevices/none", **{"client-request-id": "mine"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "ResourceNotFound")
    assert (answer.headers["client-request-id"], error["innerError"]["request-id"]) == (
        "mine",
        answer.headers["request-id"],
    )


def test_risk(lab: Rehearsal) -> None:
    """A user's risk is what it was set to."""
    user = lab.tenant.users.all()[0]
    apply(lab.tenant, "edit-user", {"user": user.id, "risk": "high"})
    assert lab.graph(f"v1.0/identityProtection/riskyUsers/{user.id}").json()["riskLevel"] == "high"
