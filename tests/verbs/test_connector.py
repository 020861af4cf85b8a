"""Verbs about connectors: what makes a good one, where its secret is, and what its test says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.microsoft_parts import AWAY, CLIENT_ID, Cloud, golden, said
from connectors.test_microsoft_token import certified, pem
from regalia import reasons
from regalia.app.connectors import ConnectorLinks
from regalia.errors import AdminError
from regalia.model import Action, AlertCondition, Authoriser, Grant, Reach, Role, Severity
from regalia.model.connector import NotAsked
from regalia.ports import EventFilter
from regalia.ports.connectors import Ability
from regalia.ra.fleet_findings import found_in_fleet
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import connector as verbs
from regalia.verbs import endpoint as endpoints
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "s3cret~value/with+signs"
SETTINGS: dict[str, Any] = {"tenant": "example.onmicrosoft.com", "client_id": CLIENT_ID}


@pytest.fixture
def world() -> World:
    """Return a system that has the cloud outside."""
    made = World()
    made.outgoing = Cloud()
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))


def created(door: LocalDoor, name: str = "intune", secret: str | None = SECRET, **settings: Any) -> Any:  # noqa: ANN401 - settings as they are typed, and a record
    """Create one of kind intune."""
    asked = verbs.CreateConnector(kind="intune", name=name, settings=SETTINGS | settings, secret=secret)
    return door.ask(verbs.CREATE, asked)


def named(name: str = "intune") -> verbs.ConnectorName:
    """Name it."""
    return verbs.ConnectorName(name=name)


def reason(act: Callable[[], object]) -> tuple[str, str]:
    """Do what is refused; return the reason's id and the detail."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id, refused.value.detail


def test_a_secret_goes_in_and_never_out(world: World, door: LocalDoor) -> None:
    """CON-3: the secret is in no answer, no event and not as itself in the store, and its link has it all the same."""
    made = created(door)
    answers = [
        made,
        door.ask(verbs.SHOW, named()),
        door.ask(verbs.LIST, verbs.ListConnectors()),
        door.ask(verbs.TEST, named()),
    ]
    assert all(SECRET not in each.model_dump_json() and SECRET not in repr(each) for each in answers)
    assert SECRET not in repr(verbs.CreateConnector(kind="intune", name="x", secret=SECRET))
    assert all(SECRET not in repr(event) for event in world.store.log)
    connector = world.store.connector("intune")
    assert connector is not None
    sealed = world.store.connector_secret(connector.id)
    assert sealed is not None
    assert sealed != SECRET.encode()
    assert isinstance(world.outgoing, Cloud)
    (asked, *_) = world.outgoing.asked("/token")
    assert b"client_secret=s3cret" in (asked.body or b"")


def test_settings_are_those_of_the_kind(world: World, door: LocalDoor) -> None:
    """CON-030, CON-031, CON-032: kind, settings and secret are checked before anything is kept, no value is told."""
    unknown = verbs.CreateConnector(kind="fax", name="x")
    assert reason(lambda: door.ask(verbs.CREATE, unknown))[0] == "CON-030"
    told, detail = reason(lambda: created(door, client_id="nonsense-value"))
    assert (told, "client_id" in detail, "nonsense-value" in detail) == ("CON-031", True, False)
    assert reason(lambda: created(door, colour="red"))[0] == "CON-031"
    assert reason(lambda: created(door, secret=None))[0] == "CON-032"
    assert world.store.connectors() == ()


def test_what_is_typed_is_read_as_its_setting_is(world: World, door: LocalDoor) -> None:
    """Words become numbers, truth values and lists, and a default that nobody set is not kept."""
    group = "ffffffff-0000-0000-0000-000000000001"
    created(door, page="100", users="false", groups=f"{group}, {group.upper()}")
    shown = door.ask(verbs.SHOW, named()).settings
    assert (shown["page"], shown["users"], shown["groups"]) == (100, False, [group, group])
    assert "confirm" not in shown
    assert world.last_event().draft.action is Action.CONNECTOR_CREATED


def test_a_change_keeps_what_it_does_not_name(door: LocalDoor) -> None:
    """One setting changes, another goes back to its default, the rest and the secret stay."""
    created(door, page=100, users=False)
    asked = verbs.ChangeConnector(name="intune", settings={"page": 50}, unset=("users",))
    before = door.ask(verbs.SHOW, named())
    assert door.ask(verbs.CHANGE, asked).secret_set_at == before.secret_set_at
    after = door.ask(verbs.SHOW, named()).settings
    assert (after["page"], "users" in after, after["tenant"]) == (50, False, SETTINGS["tenant"])
    wrong = verbs.ChangeConnector(name="intune", unset=("tenant",))
    assert reason(lambda: door.ask(verbs.CHANGE, wrong))[0] == "CON-031"
    assert door.ask(verbs.SHOW, named()).settings == after


def test_a_certificate_takes_a_secrets_place(world: World, door: LocalDoor) -> None:
    """CON-3: the setting that says what the secret is and the secret itself change together, or not at all."""
    created(door)
    key = rsa.generate_private_key(65537, 2048)
    both = pem(key, certified(key, 365))
    world.clock.advance(timedelta(seconds=1))
    alone = verbs.ChangeConnector(name="intune", settings={"credential": "certificate"})
    assert reason(lambda: door.ask(verbs.CHANGE, alone))[0] == "CON-032"
    before = door.ask(verbs.SHOW, named())
    after = door.ask(
        verbs.CHANGE, verbs.ChangeConnector(name="intune", settings={"credential": "certificate"}, secret=both)
    )
    assert (before.secret_set_at != after.secret_set_at, "PRIVATE" in repr(after)) == (True, False)
    found = door.ask(verbs.TEST, named()).checks[0]
    assert (found.what, "thumbprint" in found.detail) == ("credential's certificate", True)
    assert not any("PRIVATE" in repr(event) for event in world.store.events(EventFilter(limit=100)))


def test_a_new_secret_is_used_at_once(world: World, door: LocalDoor) -> None:
    """The link of the former secret goes with it: the next question has the new one."""
    created(door)
    door.ask(verbs.TEST, named())
    world.clock.advance(timedelta(seconds=1))
    door.ask(verbs.SET_SECRET, verbs.SetConnectorSecret(name="intune", secret="another"))
    door.ask(verbs.TEST, named())
    assert isinstance(world.outgoing, Cloud)
    sent = [request.body or b"" for request in world.outgoing.asked("/token")]
    assert b"client_secret=another" in sent[-1]
    assert world.links.link("intune") is world.links.link("intune")


def test_where_changes_are_told(world: World, door: LocalDoor) -> None:
    """CON-6: each connector has a URL and a key of its own, and another key once its secret is set anew."""
    for name in ("intune", "other"):
        created(door, name)
    first, other = door.ask(verbs.HOOK, named()), door.ask(verbs.HOOK, named("other"))
    assert first.url == f"{world.urls.base}/hooks/intune"
    world.clock.advance(timedelta(seconds=1))
    door.ask(verbs.SET_SECRET, verbs.SetConnectorSecret(name="intune", secret="another"))
    assert len({first.key, other.key, door.ask(verbs.HOOK, named()).key}) == 3
    assert reason(lambda: door.ask(verbs.HOOK, named("nobody")))[0] == "ADM-004"


def test_a_name_is_taken_once(door: LocalDoor) -> None:
    """ADM-003, ADM-005: a name is taken by one connector, and is a name like others."""
    created(door)
    assert reason(lambda: created(door)) == ("ADM-003", "connector intune")
    assert reason(lambda: created(door, name="No Name"))[0] == "ADM-005"


def test_each_need_is_tried_by_itself(world: World, door: LocalDoor) -> None:
    """A missing permission is named with its fix, and the others are told as there."""
    created(door)
    assert isinstance(world.outgoing, Cloud)
    world.outgoing.say("/token", said(golden("token"), date=f"{world.clock.now():%a, %d %b %Y %H:%M:%S} GMT"))
    assert door.ask(verbs.TEST, named()).ok
    world.outgoing.say("/managedDevices", said(golden("graph_error"), 403))
    tried = door.ask(verbs.TEST, named())
    (missing,) = [each for each in tried.checks if not each.ok]
    assert (tried.ok, missing.what) == (False, "Graph DeviceManagementManagedDevices.Read.All")
    assert "DeviceManagementManagedDevices.Read.All" in missing.fix
    assert len(tried.checks) > 5


def test_a_test_of_what_cannot_be_asked_says_why(world: World, door: LocalDoor) -> None:
    """CON-061: a disabled connector is asked nothing, and its test says so; an outage fails the test."""
    created(door)
    assert isinstance(world.outgoing, Cloud)
    world.outgoing.say_everywhere(AWAY)
    assert not door.ask(verbs.TEST, named()).ok
    door.ask(verbs.DISABLE, named())
    before = len(world.outgoing.requests)
    tried = door.ask(verbs.TEST, named())
    assert (tried.ok, tried.checks[0].detail) == (False, f"{reasons.CONNECTOR_DISABLED}: intune")
    assert len(world.outgoing.requests) == before


def test_it_is_disabled_and_enabled_once(world: World, door: LocalDoor) -> None:
    """CON-063: each way once; the plan says which endpoints stop."""
    created(door)
    open_endpoint(door)
    assert "let no device enrol at mdm" in door.plan(verbs.DISABLE, named()).would[1]
    assert not door.ask(verbs.DISABLE, named()).enabled
    assert reason(lambda: door.ask(verbs.DISABLE, named()))[0] == "CON-063"
    assert door.ask(verbs.ENABLE, named()).enabled
    assert reason(lambda: door.ask(verbs.ENABLE, named()))[0] == "CON-063"
    assert not isinstance(world.links.link("intune"), NotAsked)


def test_what_cannot_be_asked_is_a_value(world: World, door: LocalDoor) -> None:
    """CON-060, CON-062: no such connector, or one whose secret does not open, is never a link and never an error."""
    missing = world.links.link("nowhere")
    assert isinstance(missing, NotAsked)
    assert missing.reason is reasons.CONNECTOR_MISSING
    created(door)
    connector = world.store.connector("intune")
    assert connector is not None
    moved = replace(connector, secret_set_at=world.clock.now() + timedelta(seconds=1))
    assert world.store.change_connector(connector, moved, b"of another home", ())
    lost = world.links.link("intune")
    assert isinstance(lost, NotAsked)
    assert lost.reason is reasons.CONNECTOR_UNREADABLE


def test_a_damaged_secret_is_told_wherever_one_looks(world: World, door: LocalDoor) -> None:
    """CON-062: a secret that does not open is named by list, show and test, and by an alert, without any restart."""
    created(door)
    assert not isinstance(world.links.link("intune"), NotAsked)
    assert door.ask(verbs.SHOW, named()).trouble is None
    connector = world.store.connector("intune")
    assert connector is not None
    assert world.store.change_connector(connector, connector, b"damaged", ())
    (listed,) = door.ask(verbs.LIST, verbs.ListConnectors()).items
    tried = door.ask(verbs.TEST, named())
    (check,) = tried.checks
    for told in (listed.trouble, door.ask(verbs.SHOW, named()).trouble, check.detail):
        assert told is not None
        assert told.startswith(reasons.CONNECTOR_UNREADABLE.id)
    assert (tried.ok, check.fix) == (False, reasons.CONNECTOR_UNREADABLE.remedy)
    (finding,) = found_in_fleet(world.store, world.links, world.clock.now())
    assert (finding.condition, finding.severity) == (AlertCondition.CONNECTOR_AWAY, Severity.CRITICAL)
    door.ask(verbs.SET_SECRET, verbs.SetConnectorSecret(name="intune", secret="anew"))
    assert door.ask(verbs.SHOW, named()).trouble is None
    assert tuple(found_in_fleet(world.store, world.links, world.clock.now())) == ()


def test_another_node_has_the_new_secret_with_its_next_question(world: World, door: LocalDoor) -> None:
    """What one process changes counts in all of them at once, also twice within a millisecond."""
    created(door)
    elsewhere = ConnectorLinks(world.store, world.sealer, world.clock, world.entropy, lambda: world.outgoing)
    before = elsewhere.link("intune")
    assert elsewhere.link("intune") is before
    door.ask(verbs.SET_SECRET, verbs.SetConnectorSecret(name="intune", secret="another"))
    with_secret = elsewhere.link("intune")
    assert with_secret is not before
    assert not isinstance(with_secret, NotAsked)
    with_secret.check()
    assert isinstance(world.outgoing, Cloud)
    assert b"client_secret=another" in (world.outgoing.asked("/token")[-1].body or b"")
    door.ask(verbs.CHANGE, verbs.ChangeConnector(name="intune", settings={"page": 7}))
    with_settings = elsewhere.link("intune")
    assert with_settings is not with_secret
    door.ask(verbs.DISABLE, named())
    assert isinstance(elsewhere.link("intune"), NotAsked)


def open_endpoint(door: LocalDoor, name: str = "mdm", connector: str = "intune") -> Any:  # noqa: ANN401 - a record
    """Open an endpoint where it says yes."""
    asked = endpoints.CreateEndpoint(
        name=name, group="default", profile="default", authoriser=Authoriser.CONNECTOR, connector=connector
    )
    return door.ask(endpoints.CREATE, asked)


def test_every_value_to_paste_is_shown(door: LocalDoor) -> None:
    """A connector tells its endpoint's URL, the thumbprints to trust, and where its system may tell of changes."""
    created(door)
    assert door.ask(verbs.SHOW, named()).paste == ()
    open_endpoint(door)
    shown = door.ask(verbs.SHOW, named())
    (paste,) = shown.paste
    root = door.ask(endpoints.SHOW, endpoints.EndpointName(name="mdm")).root_sha1
    assert paste.url == "http://pki.example.test/scep/mdm"
    assert root is not None
    assert paste.root_sha1 == root.hex()
    assert shown.hook_url == "http://pki.example.test/hooks/intune"
    assert shown.endpoints == ("mdm",)


def test_kinds_say_what_each_needs(door: LocalDoor) -> None:
    """Each kind is told with every setting: what it may be, whether it must be, its default and its meaning."""
    kinds = {each.kind: each for each in door.ask(verbs.KINDS, verbs.ListKinds()).items}
    told = {each.name: each for each in kinds["intune"].settings}
    assert told["tenant"].required
    assert not told["page"].required
    assert (told["page"].values, told["page"].default) == ("1 to 1000", 250)
    assert told["credential"].values == "secret, certificate"
    assert told["groups"].values == "list"
    assert "Entra groups" in told["groups"].meaning
    assert Ability.VOUCHES in kinds["intune"].abilities
    json.dumps(kinds["intune"].model_dump(mode="json"))


@pytest.mark.parametrize("verb", [verbs.LIST, verbs.SHOW, verbs.TEST, verbs.CHANGE, verbs.DISABLE])
def test_whoever_counts_in_one_group_sees_none(world: World, door: LocalDoor, verb: Any) -> None:  # noqa: ANN401 - any of them
    """AUTHZ-4, ADM-070: a connector belongs to the whole; a role that counts in a group only is refused."""
    created(door)
    bounded = LocalDoor(world, Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset({"default"}))),), fresh=True))
    asked = verb.asks() if verb is verbs.LIST else verb.asks(name="intune")
    assert reason(lambda: bounded.ask(verb, asked))[0] == "ADM-070"


def test_only_an_administrator_changes_one(world: World, door: LocalDoor) -> None:
    """ADM-070: an operator sees connectors and creates, changes and tests none."""
    created(door)
    operator = LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR),), fresh=True))
    assert operator.ask(verbs.SHOW, named()).name == "intune"
    for verb, asked in ((verbs.DISABLE, named()), (verbs.TEST, named()), (verbs.ENABLE, named())):
        assert reason(lambda verb=verb, asked=asked: operator.ask(verb, asked))[0] == "ADM-070"  # type: ignore[misc]  # bound now
