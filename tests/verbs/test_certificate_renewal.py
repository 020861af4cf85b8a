"""Certificates that will expire without renewing: who is told of which, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from regalia import reasons
from regalia.model import Grant, Names, Reach, Role
from regalia.model.connector import Refused
from regalia.model.fleet import DeviceState
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import certificate as certificates
from regalia.verbs import certificate_issue as issue
from regalia.verbs import certificate_renewal as verbs
from regalia.verbs import endpoint as endpoints
from regalia.verbs.content import request_text
from regalia.verbs.names import NamesAsked
from vouching_parts import DEVICE, FakeLink, VouchedWorld, device_of, stored_device, stored_user
from world import ADMIN, Device, World, names, rsa_key


def door(world: World, *groups: str) -> LocalDoor:
    """Return the door of an operator of some groups; of none named, of somebody who may do everything."""
    grants = (Grant(Role.OPERATOR, Reach(frozenset(groups))),) if groups else EVERYTHING
    return LocalDoor(world, Caller(ADMIN, grants, fresh=True, local=not groups))


def enrolled(world: World, name: str, key: int = 0, endpoint: str = "default") -> Device:
    """Have a device enrol."""
    device = Device(world, rsa_key(key), endpoint=endpoint).fresh(name)
    assert device.enrol(names(name), world.mint(name, endpoint=endpoint)).certificates
    return device


def told(desk: LocalDoor, **asked: object) -> dict[str, tuple[str, ...]]:
    """List them: the reasons by subject."""
    page = desk.ask(verbs.LIST, verbs.ListUnrenewed(**asked))  # type: ignore[arg-type]
    return {each.subject: each.why for each in page.items}


def test_a_closed_door_lets_nobody_renew() -> None:
    """The certificates of a closed endpoint are listed with it; those of an open one can be expected to be renewed."""
    world = World()
    enrolled(world, "laptop-1")
    assert told(door(world)) == {}
    door(world).ask(endpoints.DISABLE, endpoints.EndpointName(name="default"))
    assert told(door(world)) == {"CN=laptop-1": ("endpoint default is disabled",)}


def test_what_was_renewed_is_not_listed() -> None:
    """Late in its life a certificate is listed, its window half over; once it has a successor it is not."""
    world = World()
    device = enrolled(world, "laptop-1")
    row = next(each for each in world.store.certificates_after(None, 1000) if each.der == device.certificate)
    life = row.intent.not_after - row.intent.not_before
    world.clock.advance(life * 0.9)
    (why,) = told(door(world))["CN=laptop-1"]
    assert "more than half of that time is over" in why
    assert device.fresh("2").enrol(names("laptop-1"), None).certificates
    assert told(door(world)) == {}


def test_one_by_hand_is_renewed_by_nobody() -> None:
    """What an administrator ordered has no device that renews it."""
    world = World()
    csr = Device(world, rsa_key(2)).csr(names("radius"), None)
    asked = issue.IssueCertificate(
        group="default", profile="default", csr=request_text(csr), names=NamesAsked(cn="radius")
    )
    door(world).ask(issue.ISSUE, asked)
    assert told(door(world)) == {"CN=radius": ("an administrator ordered it: no device renews it",)}


def test_a_device_that_is_gone_renews_nothing() -> None:
    """The state of a device's record is a reason, with when it was last seen; its certificates are found by its id."""
    world = VouchedWorld()
    record = stored_device(DeviceState(enabled=True))
    world.know(record, stored_user())
    client = device_of(world)
    assert client.enrol(Names(), "a challenge").certificates
    assert told(door(world)) == {}
    kept = world.store.device(record.id)
    assert kept is not None
    world.know(replace(kept, state=DeviceState(present=False, enabled=False)))
    (listed,) = door(world).ask(verbs.LIST, verbs.ListUnrenewed()).items
    assert listed.why == ("device laptop-1 is no longer in the inventory", "device laptop-1 is disabled")
    assert listed.device_seen_at == kept.seen_at
    bound = door(world).ask(certificates.LIST, certificates.ListCertificates(device_id=str(record.id)))
    assert [each.serial for each in bound.items] == [listed.serial]


def test_a_device_that_a_connector_vouches_for_renews_by_a_new_request() -> None:
    """What an MDM renews with a request of its own is not listed; what was refused since then is, with the reason."""
    world = VouchedWorld()
    record = stored_device(DeviceState(enabled=True))
    world.know(record, stored_user())
    client = device_of(world)
    assert client.enrol(Names(DEVICE), "a challenge").certificates
    row = world.certificate_of(client)
    world.clock.advance((row.intent.not_after - row.intent.not_before) * 0.9)
    subject = row.intent.subject
    (why,) = told(door(world))[subject]
    assert "nobody asked" in why
    world.ways.links["mdm"] = FakeLink(says=Refused(reasons.CONNECTOR_NOT_ASSIGNED, "ScepProfileNoLonger", "gone"))
    assert not device_of(world, 1, "t-2").enrol(Names(DEVICE), "another").certificates
    (why,) = told(door(world))[subject]
    assert "CON-005 the profile is no longer assigned to this device" in why
    world.ways.links["mdm"] = FakeLink()
    assert device_of(world, 1, "t-3").enrol(Names(DEVICE), "a third").certificates
    assert told(door(world)) == {}


def test_each_sees_their_groups() -> None:
    """AUTHZ-4: the list, its search and its pages have the caller's groups only."""
    world = World()
    world.open_group("other")
    for key, group in enumerate(("default", "other", "default")):
        enrolled(world, f"laptop-{key}", key, group)
        world.clock.advance(timedelta(minutes=1))
    for group in ("default", "other"):
        door(world).ask(endpoints.DISABLE, endpoints.EndpointName(name=group))
    assert sorted(told(door(world))) == ["CN=laptop-0", "CN=laptop-1", "CN=laptop-2"]
    assert sorted(told(door(world, "other"))) == ["CN=laptop-1"]
    assert sorted(told(door(world), q="laptop-2")) == ["CN=laptop-2"]
    first = door(world).ask(verbs.LIST, verbs.ListUnrenewed(limit=1))
    second = door(world).ask(verbs.LIST, verbs.ListUnrenewed(limit=1, after=first.next))
    assert [each.subject for each in (*first.items, *second.items)] == ["CN=laptop-0", "CN=laptop-1"]
