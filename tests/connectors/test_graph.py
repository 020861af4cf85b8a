"""The inventory by Graph: pages, changes, single objects, and what is never taken for an absence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from connectors.microsoft_parts import AWAY, Cloud, PassingTime, golden, intune, said
from regalia import reasons
from regalia.model.connector import NotAsked, ReportedDevice, ReportedUser, SweepPage
from regalia.model.fleet import PendingAction
from regalia.ports.connectors import Inventory, RevocationFeed

if TYPE_CHECKING:
    from regalia.connectors.intune_link import IntuneAndGraphLink

GRAPH = "https://graph.microsoft.com"
ONE = "aaaaaaaa-0000-0000-0000-000000000001"
TWO = "aaaaaaaa-0000-0000-0000-000000000002"
ADA = "cccccccc-0000-0000-0000-000000000001"
GROUP = "ffffffff-0000-0000-0000-000000000001"
MISSING = said({"error": {"code": "Request_ResourceNotFound", "message": "no"}}, 404)


def swept(link: IntuneAndGraphLink) -> list[SweepPage]:
    """Read all pages of a sweep."""
    pages: list[SweepPage] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        page = link.sweep(cursor)
        assert isinstance(page, SweepPage)
        pages.append(page)
        cursor = page.cursor
    return pages


def delta_of(pages: list[SweepPage]) -> str:
    """Return where changes begin."""
    assert pages[-1].next_delta is not None
    return pages[-1].next_delta


def managed() -> Any:  # noqa: ANN401 - it is JSON
    """Return the first managed device as Graph answers for it alone."""
    return golden("managed_devices")["value"][0]


def test_a_sweep_joins_what_two_systems_say() -> None:
    """Devices carry what Intune and Entra ID say of them; users come after, and those deleted for good not at all."""
    pages = swept(intune(Cloud()))
    devices = {device.external_id: device for page in pages for device in page.devices}
    users = [user for page in pages for user in page.users]
    assert set(devices) == {ONE, TWO}
    assert devices[ONE].state.enabled is True
    assert devices[TWO].state.enabled is False
    assert devices[TWO].state.pending is PendingAction.WIPE
    assert [(user.name, user.state.enabled) for user in users] == [("Ada", True), (users[1].external_id, False)]
    assert all(page.full for page in pages)
    assert not any(page.gone for page in pages)


def test_links_are_followed_as_they_came_and_select_stands_once() -> None:
    """What is selected is in the first URL of a list; the next is Graph's own link, octet by octet."""
    link = f"{GRAPH}/v1.0/deviceManagement/managedDevices?$skiptoken=a%2Fb&x=%C3%A9"
    first = {"value": [], "@odata.nextLink": link}
    cloud = Cloud().say("/managedDevices", said(first), said(golden("managed_devices")))
    pages = swept(intune(cloud, devices="intune", users=False))
    assert [len(page.devices) for page in pages] == [0, 2]
    urls = [request.url for request in cloud.asked("/managedDevices")]
    assert "$select=id," in urls[0]
    assert "managementState" not in urls[0]
    assert urls[1] == link


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/devices",
        "http://graph.microsoft.com/v1.0/devices",
        "https://graph.microsoft.com:8443/x",
        "https://graph.microsoft.com@evil.example/x",
        "//evil.example/x",
        7,
        "",
    ],
)
def test_a_link_to_another_server_is_not_followed(link: object) -> None:
    """SSRF-3: the token goes to no other origin than Graph's; the page with such a link is no page."""
    cloud = Cloud().say("/managedDevices", said({"value": [], "@odata.nextLink": link}))
    page = intune(cloud, devices="intune").sweep(None)
    assert isinstance(page, NotAsked)
    assert page.reason is reasons.CONNECTOR_GARBLED


def test_a_cursor_of_somebody_elses_leads_nowhere() -> None:
    """A stored place with a foreign link is not asked either."""
    cloud = Cloud()
    link = intune(cloud, devices="intune", users=False)
    first = link.sweep(None)
    assert isinstance(first, SweepPage)
    cloud.say(
        "/managedDevices", said({"value": [], "@odata.nextLink": f"{GRAPH}/v1.0/deviceManagement/managedDevices"})
    )
    page = link.sweep(None)
    assert isinstance(page, SweepPage)
    assert page.cursor is not None
    place = {**json.loads(page.cursor), "link": "https://evil.example/x"}
    assert isinstance(link.sweep(json.dumps(place)), NotAsked)
    assert all(request.url.startswith((GRAPH, "https://login.microsoftonline.com/")) for request in cloud.requests)


def test_a_sweep_goes_on_after_a_fault() -> None:
    """The page that failed is asked again with the same cursor; nothing before it is."""
    cloud = Cloud().say("/managedDevices", AWAY, said(golden("managed_devices")))
    link = intune(cloud)
    first = link.sweep(None)
    assert isinstance(first, SweepPage)
    assert first.cursor is not None
    assert isinstance(link.sweep(first.cursor), NotAsked)
    again = link.sweep(first.cursor)
    assert isinstance(again, SweepPage)
    assert len(again.devices) == 2
    assert again.devices[0].state.enabled is True
    assert len(cloud.asked("/devices/delta")) == 1


@pytest.mark.parametrize("cursor", ["nonsense", "{}", '{"run":"x","part":"managed","full":true,"links":{}}', "\ud800"])
def test_a_cursor_of_another_process_begins_anew(cursor: str) -> None:
    """A place that this process knows nothing of leads to the first page, so that the sweep shows everything."""
    cloud = Cloud()
    page = intune(cloud).sweep(cursor)
    assert isinstance(page, SweepPage)
    assert len(cloud.asked("/devices/delta")) == 1


def test_a_page_with_a_device_that_cannot_be_read_is_no_page() -> None:
    """CON-5: what a sweep left out would look absent, so a page is read whole or not at all."""
    for items in ([managed(), {"deviceName": "x"}], [managed(), 7]):
        cloud = Cloud().say("/managedDevices", said({"value": items}))
        assert isinstance(intune(cloud, devices="intune").sweep(None), NotAsked)


def test_patience_between_pages() -> None:
    """A job waits as long as Graph says, in seconds or by a date, and from ten seconds on where it says nothing."""
    for told, waited in (({"retry_after": "7"}, 7), ({"retry_after": "Sun, 01 Mar 2026 09:00:09 GMT"}, 9), ({}, 10)):
        time = PassingTime()
        cloud = Cloud(time).say("/managedDevices", said({}, 429, **told), said(golden("managed_devices")))
        assert isinstance(intune(cloud, time, devices="intune").sweep(None), SweepPage)
        assert waited <= time.waited[0] < waited * 1.26


# --- changes ----------------------------------------------------------------------------------------------------------


def test_changes_are_read_again_from_intune() -> None:
    """What Entra ID tells of a device leads to a fresh look into Intune."""
    cloud = Cloud()
    link = intune(cloud)
    delta = delta_of(swept(link))
    changed = {"id": "dddddddd-0000-0000-0000-000000000001", "accountEnabled": False}
    unknown = {"id": "dddddddd-9", "deviceId": "bbbbbbbb-9", "accountEnabled": True}
    answer = {"value": [changed, unknown], "@odata.deltaLink": f"{GRAPH}/v1.0/devices/delta?$deltatoken=D2"}
    cloud.say("/devices/delta", said(answer)).say(f"/managedDevices/{ONE}", said(managed()))
    page = link.changes(delta)
    assert isinstance(page, SweepPage)
    assert not page.full
    assert [(device.external_id, device.state.enabled) for device in page.devices] == [(ONE, False)]
    assert cloud.asked("/devices/delta")[-1].url.endswith("$deltatoken=D1")
    assert page.cursor is not None
    last = link.sweep(page.cursor)
    assert isinstance(last, SweepPage)
    assert last.cursor is None
    assert last.next_delta is not None
    assert "D2" in last.next_delta


def test_what_is_gone_is_confirmed() -> None:
    """An object is gone when Entra ID says so for good, and a question for itself says so, too."""
    cloud = Cloud()
    link = intune(cloud, users=False)
    delta = delta_of(swept(link))
    mark = {"id": "dddddddd-0000-0000-0000-000000000001", "@removed": {"reason": "deleted"}}
    cloud.say("/devices/delta", said({"value": [mark]}))
    cloud.say(f"/managedDevices/{ONE}", said(managed()))
    still = link.changes(delta)
    assert isinstance(still, SweepPage)
    assert still.gone == ()
    assert still.devices[0].state.enabled is False
    cloud.say(f"/managedDevices/{ONE}", MISSING)
    gone = link.changes(delta)
    assert isinstance(gone, SweepPage)
    assert gone.gone == (ONE,)


def test_users_that_are_gone() -> None:
    """A user who may return is disabled; one deleted for good is gone where Graph no longer has the user."""
    cloud = Cloud()
    link = intune(cloud, devices="none")
    delta = delta_of(swept(link))
    page = link.changes(delta)
    assert isinstance(page, SweepPage)
    assert page.gone == ("cccccccc-0000-0000-0000-000000000003",)
    assert [user.state.enabled for user in page.users] == [True, False]
    cloud.say("/users/cccccccc-0000-0000-0000-000000000003", said({"id": "cccccccc-0000-0000-0000-000000000003"}))
    again = link.changes(delta)
    assert isinstance(again, SweepPage)
    assert again.gone == ()


def test_a_place_that_graph_forgot_means_a_sweep() -> None:
    """410 among the changes is None; so is a place of another process, and too much at once."""
    cloud = Cloud()
    link = intune(cloud)
    delta = delta_of(swept(link))
    assert intune(Cloud()).changes(delta) is None
    cloud.say("/devices/delta", said({"error": {"code": "syncStateNotFound"}}, 410))
    assert link.changes(delta) is None


def test_each_record_of_a_device_follows() -> None:
    """Where Intune has two records of one device, a change in Entra ID is read for both."""
    other = {**managed(), "id": "aaaaaaaa-0000-0000-0000-000000000009"}
    cloud = Cloud().say("/managedDevices", said({"value": [managed(), other]}))
    link = intune(cloud, users=False)
    delta = delta_of(swept(link))
    cloud.say(f"/managedDevices/{ONE}", said(managed())).say(f"/managedDevices/{other['id']}", said(other))
    changed = {"id": "dddddddd-0000-0000-0000-000000000001", "accountEnabled": False}
    cloud.say("/devices/delta", said({"value": [changed]}))
    page = link.changes(delta)
    assert isinstance(page, SweepPage)
    assert {device.external_id: device.state.enabled for device in page.devices} == {ONE: False, other["id"]: False}


def test_too_many_changes_mean_a_sweep() -> None:
    """More than a hundred changed devices are not looked up one by one."""
    many = [{"id": f"a{n}", "azureADDeviceId": f"b{n}"} for n in range(101)]
    entra = [{"id": f"d{n}", "deviceId": f"b{n}"} for n in range(101)]
    cloud = Cloud().say("/managedDevices", said({"value": many}))
    cloud.say("/devices/delta", said({"value": entra, "@odata.deltaLink": f"{GRAPH}/v1.0/devices/delta?$deltatoken=D"}))
    link = intune(cloud, users=False)
    assert link.changes(delta_of(swept(link))) is None


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_that_matter_are_known_after_a_sweep() -> None:
    """Members are read first, page by page; without groups in the settings nothing is said of memberships."""
    members = [{"id": ADA}, {"id": "DDDDDDDD-0000-0000-0000-000000000001"}]
    cloud = Cloud().say("/transitiveMembers", said({"value": members}))
    pages = swept(intune(cloud, groups=[GROUP]))
    devices = {device.external_id: device for page in pages for device in page.devices}
    users = {user.external_id: user for page in pages for user in page.users}
    assert devices[ONE].memberships == {GROUP}
    assert (devices[TWO].memberships, devices[TWO].memberships_known) == (frozenset(), True)
    assert users[ADA].memberships == {GROUP}
    plain = swept(intune(Cloud()))
    assert not any(device.memberships_known for page in plain for device in page.devices)


def test_changes_say_nothing_of_groups() -> None:
    """CON-5: groups that were read in an earlier sweep may have changed, so a change states no memberships."""
    user = golden("users_delta")["value"][0]
    cloud = Cloud().say("/transitiveMembers", said({"value": []})).say(f"/managedDevices/{ONE}", said(managed()))
    cloud.say(f"/managedDevices/{TWO}", said({**managed(), "id": TWO})).say(f"/users/{ADA}", said(user))
    link = intune(cloud, groups=[GROUP])
    devices = link.changes(delta_of(swept(link)))
    assert isinstance(devices, SweepPage)
    assert len(devices.devices) == 2
    assert devices.cursor is not None
    users = link.sweep(devices.cursor)
    assert isinstance(users, SweepPage)
    assert users.users
    assert not any(device.memberships_known for device in devices.devices)
    assert not any(user.memberships_known for user in users.users)


def test_a_group_that_is_not_there_ends_the_sweep() -> None:
    """CON-5: where a group cannot be read, nobody is said to have left it."""
    assert isinstance(intune(Cloud().say("/transitiveMembers", MISSING), groups=[GROUP]).sweep(None), NotAsked)


# --- one of them ------------------------------------------------------------------------------------------------------


def test_one_device() -> None:
    """A device is looked up in Intune, in Entra ID by its device id, and in the groups that matter."""
    cloud = Cloud().say(f"/managedDevices/{ONE}", said(managed()))
    cloud.say("/transitiveMemberOf", said({"value": [{"id": GROUP.upper()}, {"id": "other"}]}))
    report = intune(cloud, groups=[GROUP]).device(ONE, within=5)
    assert isinstance(report, ReportedDevice)
    assert report.state.enabled is True
    assert (report.memberships, report.memberships_known) == (frozenset({GROUP}), True)
    (asked,) = cloud.asked("/v1.0/devices")
    assert "deviceId eq 'bbbbbbbb-0000-0000-0000-000000000001'" in unquote(asked.url)


def test_one_user() -> None:
    """A user is looked up by id or by name; groups are asked for twenty at a time."""
    groups = [f"ffffffff-0000-0000-0000-{number:012}" for number in range(21)]
    cloud = Cloud().say("/checkMemberGroups", said({"value": groups[:1]}))
    user = golden("users_delta")["value"][0]
    cloud.say(f"/users/{ADA}", said(user)).say("/users/ada%40example.test", said(user))
    link = intune(cloud, groups=groups)
    report = link.user(ADA, within=5)
    assert isinstance(report, ReportedUser)
    assert report.memberships == {groups[0]}
    asked = cloud.asked("/checkMemberGroups")
    assert [len(json.loads(request.body)["groupIds"]) for request in asked] == [20, 1]
    assert isinstance(link.user("ada@example.test", within=5), ReportedUser)


def test_the_risk_of_users_is_read_on_order() -> None:
    """With the setting, users carry their risk in a sweep, among changes and alone; without it nothing is stated."""
    risky = {"id": ADA, "riskState": "atRisk", "riskLevel": "high"}
    cloud = Cloud().say("/riskyUsers", said({"value": [risky]})).say(f"/riskyUsers/{ADA}", said(risky))
    cloud.say(f"/users/{ADA}", said(golden("users_delta")["value"][0]))
    link = intune(cloud, devices="none", risk=True)
    pages = swept(link)
    changes = link.changes(delta_of(pages))
    assert isinstance(changes, SweepPage)
    for page in (pages[-1], changes):
        assert [user.state.risk for user in page.users] == ["high", "none"]
    report = link.user(ADA, within=5)
    assert isinstance(report, ReportedUser)
    assert report.state.risk == "high"
    assert {user.state.risk for page in swept(intune(Cloud())) for user in page.users} == {None}


def test_only_graphs_own_word_confirms_an_absence() -> None:
    """CON-5: 404 with Graph's error is an absence; 404 of anything else, another object or an odd id is none."""
    link = intune(Cloud())
    assert link.device(ONE, within=5) is None
    assert link.user(ADA, within=5) is None
    for answer in (said(b"<h1>Not Found</h1>", 404), said({}, 404), said({"error": {"code": "BadRequest"}}, 404)):
        other = intune(Cloud().say(f"/managedDevices/{ONE}", answer).say(f"/users/{ADA}", answer))
        assert isinstance(other.device(ONE, within=5), NotAsked)
        assert isinstance(other.user(ADA, within=5), NotAsked)
    wrong = intune(Cloud().say(f"/managedDevices/{TWO}", said(managed())))
    assert isinstance(wrong.device(TWO, within=5), NotAsked)
    for odd in ("", "../users", "a/b", "a?b", "a'b"):
        assert isinstance(link.device(odd, within=5), NotAsked)
        assert isinstance(link.user(odd, within=5), NotAsked)


def test_the_beta_is_asked_only_on_order() -> None:
    """With the setting, devices come from Graph's beta with managementState."""
    cloud = Cloud()
    intune(cloud, devices="intune", management_state=True).sweep(None)
    (asked,) = cloud.asked("/managedDevices")
    assert "/beta/" in asked.url
    assert "managementState" in asked.url


def test_a_connector_that_reads_nothing_has_no_inventory() -> None:
    """CON-5: where neither devices nor users are read there is nothing to sweep, and so nobody can be absent."""
    link: object = intune(Cloud(), devices="none", users=False)
    assert not isinstance(link, Inventory)
    assert isinstance(link, RevocationFeed)
