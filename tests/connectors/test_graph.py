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


def changed(link: IntuneAndGraphLink, delta: str) -> list[SweepPage]:
    """Read a round of changes."""
    pages: list[SweepPage] = []
    page = link.changes(delta)
    while isinstance(page, SweepPage):
        pages.append(page)
        page = link.sweep(page.cursor) if page.cursor is not None else None
    return pages


def devices_of(pages: list[SweepPage]) -> list[ReportedDevice]:
    """Return the devices of all pages."""
    return [device for page in pages for device in page.devices]


def test_what_entra_changes_is_reported_with_what_intune_says() -> None:
    """A device that Entra ID disables is reported in the next round, with Intune's facts of now; no other one is."""
    cloud = Cloud()
    link = intune(cloud)
    delta = delta_of(swept(link))
    changes = {"id": "dddddddd-0000-0000-0000-000000000001", "accountEnabled": False}
    unknown = {"id": "dddddddd-9", "deviceId": "bbbbbbbb-9", "accountEnabled": True}
    answer = {"value": [changes, unknown], "@odata.deltaLink": f"{GRAPH}/v1.0/devices/delta?$deltatoken=D2"}
    cloud.say("/devices/delta", said(answer))
    pages = changed(link, delta)
    assert not any(page.full for page in pages)
    assert [(device.external_id, device.state.enabled) for device in devices_of(pages)] == [(ONE, False)]
    assert cloud.asked("/devices/delta")[-1].url.endswith("$deltatoken=D1")
    assert "D2" in delta_of(pages)


def test_a_wipe_that_stands_in_intune_alone_is_seen_by_the_next_round() -> None:
    """Holds 3: Intune has no delta, so its list is read each round, and what it says anew is reported, once."""
    wiped = golden("managed_devices")
    wiped["value"][0]["deviceActionResults"] = wiped["value"][1]["deviceActionResults"]
    for settings in ({"users": False}, {"devices": "intune", "users": False}):
        cloud = Cloud().say("/managedDevices", said(golden("managed_devices")), said(wiped))
        link = intune(cloud, **settings)
        pages = changed(link, delta_of(swept(link)))
        assert [(each.external_id, each.state.pending) for each in devices_of(pages)] == [(ONE, PendingAction.WIPE)]
        assert devices_of(changed(link, delta_of(pages))) == []


def test_that_a_device_spoke_is_no_news() -> None:
    """Every device speaks every few hours: a round reports those whose facts changed, so that it stays small."""
    later = golden("managed_devices")
    for item in later["value"]:
        item["lastSyncDateTime"] = "2026-03-01T12:34:56Z"
    cloud = Cloud().say("/managedDevices", said(golden("managed_devices")), said(later))
    link = intune(cloud, users=False)
    assert devices_of(changed(link, delta_of(swept(link)))) == []


def test_a_round_whose_page_was_not_kept_tells_the_same_again() -> None:
    """REV-7: a page that is read twice, since nobody kept the first, reports its news twice; nothing is lost."""
    wiped = golden("managed_devices")
    wiped["value"][0]["deviceActionResults"] = wiped["value"][1]["deviceActionResults"]
    cloud = Cloud().say("/managedDevices", said(golden("managed_devices")), said(wiped))
    link = intune(cloud, devices="intune", users=False)
    delta = delta_of(swept(link))
    for _ in range(3):
        pages = changed(link, delta)
        assert [each.external_id for each in devices_of(pages)] == [ONE]
    assert devices_of(changed(link, delta_of(pages))) == []


def test_what_intune_lists_no_more_is_gone_once_it_is_confirmed() -> None:
    """REV-7: a device that is missing from a round is asked for by its id; 404 alone confirms that it is gone."""
    left = golden("managed_devices")
    del left["value"][0]
    cloud = Cloud().say("/managedDevices", said(golden("managed_devices")), said(left))
    cloud.say(f"/managedDevices/{ONE}", said(managed()))
    link = intune(cloud, users=False)
    pages = changed(link, delta_of(swept(link)))
    assert not any(page.gone for page in pages)
    cloud.say(f"/managedDevices/{ONE}", MISSING)
    pages = changed(link, delta_of(pages))
    assert [page.gone for page in pages if page.gone] == [(ONE,)]
    asked = len(cloud.asked(f"/managedDevices/{ONE}"))
    assert not any(page.gone for page in changed(link, delta_of(pages)))
    assert len(cloud.asked(f"/managedDevices/{ONE}")) == asked


def test_an_empty_round_is_nobodys_end() -> None:
    """REV-7: where Intune lists nothing at all, twenty are asked for by their ids; the others wait for a sweep."""
    many = [{"id": f"a{n}", "azureADDeviceId": f"b{n}"} for n in range(30)]
    cloud = Cloud().say("/managedDevices", said({"value": many}), said({"value": []}))
    for item in many:
        cloud.say(f"/managedDevices/{item['id']}", said(item))
    link = intune(cloud, devices="intune", users=False)
    pages = changed(link, delta_of(swept(link)))
    assert pages
    assert not any(page.gone or page.devices for page in pages)
    assert sum(len(cloud.asked(f"/managedDevices/{item['id']}")) for item in many) == 20


def test_a_device_that_entra_deleted_is_disabled() -> None:
    """What Entra ID deletes while Intune still lists it is like a device that is disabled."""
    cloud = Cloud()
    link = intune(cloud, users=False)
    delta = delta_of(swept(link))
    mark = {"id": "dddddddd-0000-0000-0000-000000000001", "@removed": {"reason": "deleted"}}
    cloud.say("/devices/delta", said({"value": [mark]}))
    pages = changed(link, delta)
    assert [(each.external_id, each.state.enabled) for each in devices_of(pages)] == [(ONE, False)]
    assert not any(page.gone for page in pages)


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
    """Where Intune has two records of one device, a change in Entra ID is reported for both."""
    other = {**managed(), "id": "aaaaaaaa-0000-0000-0000-000000000009"}
    cloud = Cloud().say("/managedDevices", said({"value": [managed(), other]}))
    link = intune(cloud, users=False)
    delta = delta_of(swept(link))
    changes = {"id": "dddddddd-0000-0000-0000-000000000001", "accountEnabled": False}
    cloud.say("/devices/delta", said({"value": [changes]}))
    found = {device.external_id: device.state.enabled for device in devices_of(changed(link, delta))}
    assert found == {ONE: False, other["id"]: False}


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
    wiped = golden("managed_devices")
    wiped["value"][0]["deviceActionResults"] = wiped["value"][1]["deviceActionResults"]
    cloud = Cloud().say("/transitiveMembers", said({"value": []}))
    cloud.say("/managedDevices", said(golden("managed_devices")), said(wiped)).say(f"/users/{ADA}", said(user))
    link = intune(cloud, groups=[GROUP])
    pages = changed(link, delta_of(swept(link)))
    assert [device.memberships_known for device in devices_of(pages)] == [False]
    users = [user for page in pages for user in page.users]
    assert users
    assert not any(user.memberships_known for user in users)


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
