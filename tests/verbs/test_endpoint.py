"""Verbs about endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.microsoft_parts import CLIENT_ID, Cloud
from regalia.errors import AdminError
from regalia.model import Authoriser, Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import connector as connectors
from regalia.verbs import endpoint as verbs
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from regalia.verbs import Asked, Verb

SECRET = "a secret with 28 characters!"


@pytest.fixture
def world() -> World:
    """Return a system with a second group."""
    made = World()
    made.open_group("other")
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING))


def operator(world: World, group: str = "other") -> LocalDoor:
    """Return the door of an operator of one group."""
    return LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({group}))),)))


def opening(name: str, authoriser: Authoriser = Authoriser.STATIC, secret: str | None = None) -> verbs.CreateEndpoint:
    """Ask for an endpoint of the first group."""
    return verbs.CreateEndpoint(name=name, group="default", profile="default", authoriser=authoriser, secret=secret)


def refused_with(door: LocalDoor, verb: Verb[Any, Any], asked: Asked) -> tuple[str, str]:
    """Return the reason's id and detail."""
    with pytest.raises(AdminError) as refused:
        door.ask(verb, asked)
    return refused.value.reason.id, refused.value.detail


def test_a_static_endpoint_tells_its_secret_once(world: World, door: LocalDoor) -> None:
    """The secret of the answer lets a device in, and no later answer has it."""
    made = door.ask(verbs.CREATE, opening("printers"))
    assert made.secret is not None
    assert Device(world, endpoint="printers").enrol(names("printer-1"), made.secret).certificates
    shown = door.ask(verbs.SHOW, verbs.EndpointName(name="printers"))
    assert made.secret not in shown.model_dump_json()
    assert made.secret not in repr(made)


def test_a_one_time_endpoint_has_no_secret(door: LocalDoor) -> None:
    """An endpoint whose challenges are made one by one answers without the field, and takes no secret (ADM-018)."""
    assert "secret" not in door.ask(verbs.CREATE, opening("laptops", Authoriser.ONE_TIME)).model_dump()
    asked = opening("more", Authoriser.ONE_TIME, SECRET)
    assert refused_with(door, verbs.CREATE, asked)[0] == "ADM-018"


def test_a_secret_that_is_refused_opens_no_endpoint(world: World, door: LocalDoor) -> None:
    """An easy secret is refused before the endpoint is made (ADM-024)."""
    assert refused_with(door, verbs.CREATE, opening("printers", secret="a" * 30))[0] == "ADM-024"
    assert world.store.endpoint("printers") is None


def test_the_former_secret_stays_good_for_the_overlap(world: World, door: LocalDoor) -> None:
    """A rotation says until when the former challenge is good; with an overlap of nothing it has ended."""
    door.ask(verbs.CREATE, opening("printers", secret=SECRET))
    kept = door.ask(verbs.ROTATE_SECRET, verbs.RotateSecret(name="printers", overlap="1d"))
    assert [each.ended for each in kept.former] == [False]
    gone = door.ask(verbs.ROTATE_SECRET, verbs.RotateSecret(name="printers", overlap="0d"))
    assert [each.ended for each in gone.former] == [True, True]
    assert not Device(world, endpoint="printers").enrol(names(), SECRET).certificates


def test_shows_only_what_it_has(door: LocalDoor) -> None:
    """A one-time endpoint without a page for MDMs is shown without both, and with the fingerprints to compare."""
    shown = door.ask(verbs.SHOW, verbs.EndpointName(name="default")).model_dump(mode="json")
    assert {"static_challenges", "ndes_page"}.isdisjoint(shown)
    assert (len(shown["root_sha256"]), len(shown["authority_sha1"])) == (64, 40)


def test_counts_what_waits(world: World, door: LocalDoor) -> None:
    """Pending enrolments are counted, and closing the endpoint says that they can only be denied."""
    secret = world.open_endpoint("tablets", Authoriser.APPROVAL)
    Device(world, endpoint="tablets").enrol(names("tablet-1"), secret)
    asked = verbs.EndpointName(name="tablets")
    assert door.ask(verbs.SHOW, asked).pending == 1
    assert door.plan(verbs.DISABLE, asked).would[1] == "leave 1 pending enrolment that can only be denied then"


def test_is_closed_once(door: LocalDoor) -> None:
    """A closed endpoint cannot be closed again, which the plan says as well."""
    asked = verbs.EndpointName(name="default")
    assert not door.ask(verbs.DISABLE, asked).enabled
    assert refused_with(door, verbs.DISABLE, asked) == ("ADM-004", "endpoint default is disabled already")
    with pytest.raises(AdminError, match="disabled already"):
        door.plan(verbs.DISABLE, asked)


@pytest.mark.parametrize(
    ("verb", "asks"),
    [
        (verbs.SHOW, verbs.EndpointName),
        (verbs.DISABLE, verbs.EndpointName),
        (verbs.ROTATE_SECRET, verbs.RotateSecret),
    ],
    ids=["show", "disable", "rotate-secret"],
)
def test_one_of_another_group_is_as_one_that_is_not_there(
    world: World, verb: Verb[Any, Any], asks: type[verbs.EndpointName]
) -> None:
    """Whoever sees another group only cannot tell a foreign endpoint from a missing one (AUTHZ-4)."""
    for name in ("default", "nowhere"):
        assert refused_with(operator(world), verb, asks(name=name)) == ("ADM-004", f"endpoint {name}")


def test_nobody_opens_a_door_into_a_group_that_they_do_not_see(world: World) -> None:
    """Neither a foreign group nor a foreign profile can be named (AUTHZ-4)."""
    desk = operator(world)
    assert refused_with(desk, verbs.CREATE, opening("more")) == ("ADM-004", "group default")
    mixed = verbs.CreateEndpoint(name="more", group="other", profile="default")
    missing = verbs.CreateEndpoint(name="more", group="other", profile="nothing")
    assert refused_with(desk, verbs.CREATE, mixed)[1] == "group other with a profile default"
    assert refused_with(desk, verbs.CREATE, missing)[1] == "group other with a profile nothing"


def test_lists_what_the_caller_sees(world: World, door: LocalDoor) -> None:
    """The list has the endpoints of the caller's groups, by name."""
    assert [each.name for each in door.ask(verbs.LIST, verbs.ListEndpoints()).items] == ["default", "other"]
    assert [each.name for each in operator(world).ask(verbs.LIST, verbs.ListEndpoints()).items] == ["other"]
    assert refused_with(operator(world), verbs.LIST, verbs.ListEndpoints(group="default")) == (
        "ADM-004",
        "group default",
    )


# --- a connector says yes ---------------------------------------------------------------------------------------------


def connected(world: World, name: str = "intune") -> LocalDoor:
    """Create a connector; return the door of whoever did."""
    world.outgoing = Cloud()
    desk = LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True))
    settings: dict[str, Any] = {"tenant": "example.onmicrosoft.com", "client_id": CLIENT_ID}
    asked = connectors.CreateConnector(kind="intune", name=name, settings=settings, secret="a client secret")
    desk.ask(connectors.CREATE, asked)
    return desk


def test_a_connector_is_named_with_its_authoriser(world: World) -> None:
    """CON-065, ADM-004: one without the other is refused, and so is a connector that is not there."""
    desk = connected(world)
    for authoriser, connector, told in (
        (Authoriser.CONNECTOR, None, "CON-065"),
        (Authoriser.ONE_TIME, "intune", "CON-065"),
        (Authoriser.CONNECTOR, "nowhere", "ADM-004"),
    ):
        asked = opening("mdm", authoriser).model_copy(update={"connector": connector})
        assert refused_with(desk, verbs.CREATE, asked)[0] == told
    with_secret = opening("mdm", Authoriser.CONNECTOR, SECRET).model_copy(update={"connector": "intune"})
    assert refused_with(desk, verbs.CREATE, with_secret)[0] == "ADM-018"
    assert world.store.endpoint("mdm") is None


def test_an_endpoint_of_a_connector_has_no_challenge(world: World) -> None:
    """It shows its connector, has no static challenge, and none can be made for it (ADM-004)."""
    desk = connected(world)
    made = desk.ask(
        verbs.CREATE, opening("mdm", Authoriser.CONNECTOR).model_copy(update={"connector": "intune"})
    ).model_dump()
    assert (made["connector"], "secret" in made) == ("intune", False)
    assert desk.ask(verbs.SHOW, verbs.EndpointName(name="mdm")).static_challenges is None
    assert refused_with(desk, verbs.ROTATE_SECRET, verbs.RotateSecret(name="mdm"))[0] == "ADM-004"


def test_somebody_else_says_yes_from_now_on(world: World) -> None:
    """An endpoint changes to a connector and back to a secret, which is told once; its former challenges are over."""
    desk = connected(world)
    desk.ask(verbs.CREATE, opening("printers", secret=SECRET))
    to_connector = verbs.ChangeEndpoint(name="printers", authoriser=Authoriser.CONNECTOR, connector="intune")
    would = desk.plan(verbs.CHANGE, to_connector).would
    assert would == (
        "have connector intune say yes at printers instead of static",
        "take no open challenge of it any more: 1",
    )
    assert desk.ask(verbs.CHANGE, to_connector).connector == "intune"
    assert world.last_event().draft.details["former_authoriser"] == "static"
    assert not Device(world, endpoint="printers").enrol(names(), SECRET).certificates
    back = desk.ask(verbs.CHANGE, verbs.ChangeEndpoint(name="printers", authoriser=Authoriser.STATIC))
    assert back.secret is not None
    assert not Device(world, endpoint="printers").fresh("2").enrol(names(), SECRET).certificates
    assert Device(world, endpoint="printers").fresh("3").enrol(names(), back.secret).certificates


def test_a_change_is_refused_where_the_endpoint_would_not_open(world: World) -> None:
    """ADM-004, CON-065: a closed endpoint, a foreign one, and what does not go together are not changed."""
    desk = connected(world)
    asked = verbs.ChangeEndpoint(name="default", authoriser=Authoriser.CONNECTOR, connector="intune")
    assert refused_with(operator(world), verbs.CHANGE, asked) == ("ADM-004", "endpoint default")
    half = verbs.ChangeEndpoint(name="default", authoriser=Authoriser.CONNECTOR)
    assert refused_with(desk, verbs.CHANGE, half)[0] == "CON-065"
    desk.ask(verbs.DISABLE, verbs.EndpointName(name="default"))
    assert refused_with(desk, verbs.CHANGE, asked)[1] == "endpoint default is disabled already"
