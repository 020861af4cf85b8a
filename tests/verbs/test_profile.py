"""Verbs about profiles."""

from __future__ import annotations

import pytest

from regalia.ca.profile_ready_made import READY_MADE
from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import profile as verbs
from regalia.verbs.profile_check import CHECK, CheckProfile
from regalia.verbs.verb import Desk
from world import ADMIN, World

FROM_CSR = """
names = "from-csr"
[validity]
duration = "30d"
[keys]
curves = ["p-256"]
[usage]
key-usage = ["digitalSignature"]
extended-key-usage = ["clientAuth"]
"""
BOUND = FROM_CSR.replace("from-csr", "binding")
EXAMPLE = """
[[example]]
name = "as it is bound"
key = "p-256"
binding = { cn = "laptop-17" }
expect = "RA-020"
"""


@pytest.fixture
def world() -> World:
    """Return a system with a second group."""
    made = World()
    made.open_group("other")
    return made


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody on the machine itself."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING, fresh=True, local=True))


def operator(world: World) -> LocalDoor:
    """Return the door of an operator of the second group."""
    return LocalDoor(world, Caller(ADMIN, (Grant(Role.OPERATOR, Reach(frozenset({"other"}))),), fresh=True))


def creation(
    name: str = "kiosk", *acknowledge: str, document: str = BOUND, group: str = "default"
) -> verbs.CreateProfile:
    """Ask for a profile."""
    return verbs.CreateProfile(name=name, group=group, document=document, acknowledge=acknowledge)


def refused_with(door: LocalDoor, asked: verbs.CreateProfile) -> tuple[str, str]:
    """Return why both plan and deed refuse, which is the same."""
    told = set()
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as refused:
            face(verbs.CREATE, asked)
        told.add((refused.value.reason.id, refused.value.detail))
    (only,) = told
    return only


def test_a_document_is_kept_as_the_next_version(door: LocalDoor) -> None:
    """Each document of one name is one version more, and the former ones can be shown."""
    assert door.ask(verbs.CREATE, creation()).version == 1
    assert door.plan(verbs.CREATE, creation()).would == ("keep profile kiosk version 2 of group default",)
    assert door.ask(verbs.CREATE, creation()).version == 2
    assert door.ask(verbs.SHOW, verbs.ShowProfile(name="kiosk", version=1)).document["names"] == "binding"
    with pytest.raises(AdminError, match="profile kiosk version 3"):
        door.ask(verbs.SHOW, verbs.ShowProfile(name="kiosk", version=3))


def test_a_plan_names_who_uses_it(door: LocalDoor) -> None:
    """A next version says which endpoints issue by it from then on."""
    (told,) = door.plan(verbs.CREATE, creation("default")).would
    assert told == "keep profile default version 2 of group default; endpoint default uses it from then on"


def test_names_from_the_request_need_an_answer(world: World, door: LocalDoor) -> None:
    """A document that lets names of requests in needs an answer, and then two persons (AUTHZ-5)."""
    desk = Desk(world, Caller(ADMIN, EVERYTHING), Reach(None))
    assert refused_with(door, creation(document=FROM_CSR))[0] == "ADM-013"
    asked = creation("kiosk", "names-from-request", document=FROM_CSR)
    kept = door.ask(verbs.CREATE, asked)
    assert [each.rule for each in kept.findings] == ["names-from-request"]
    assert verbs.CREATE.two_persons is not None
    assert verbs.CREATE.two_persons(desk, asked)
    assert not verbs.CREATE.two_persons(desk, creation())


def test_exactly_one_document_is_named(door: LocalDoor) -> None:
    """A document and a ready-made one at once, or neither, or one that there is not, are refused."""
    both = creation().model_copy(update={"ready_made": "eap-tls-device"})
    neither = verbs.CreateProfile(name="kiosk", group="default")
    unknown = verbs.CreateProfile(name="kiosk", group="default", ready_made="nothing")
    assert [refused_with(door, asked)[0] for asked in (both, neither, unknown)] == ["ADM-018", "ADM-018", "ADM-004"]
    assert refused_with(door, creation("kiosk", "nothing"))[0] == "ADM-018"


def test_ready_made_ones_are_listed_with_their_documents(door: LocalDoor) -> None:
    """Every profile that comes with the product can be kept by its name."""
    listed = door.ask(verbs.READY_MADE_PROFILES, verbs.ListReadyMade()).items
    assert {each.name for each in listed} == set(READY_MADE)
    made = door.ask(verbs.CREATE, verbs.CreateProfile(name="wifi", group="default", ready_made="eap-tls-device"))
    assert made.names_from == "templates"


def test_one_of_another_group_is_as_one_that_is_not_there(world: World) -> None:
    """Whoever sees another group only neither shows, lists nor claims a foreign profile, nor learns whose it is."""
    for name in ("default", "nothing"):
        with pytest.raises(AdminError) as refused:
            operator(world).ask(verbs.SHOW, verbs.ShowProfile(name=name))
        assert (refused.value.reason.id, refused.value.detail) == ("ADM-004", f"profile {name}")
    assert [each.name for each in operator(world).ask(verbs.LIST, verbs.ListProfiles()).items] == ["other"]
    assert refused_with(operator(world), creation()) == ("ADM-004", "group default")
    assert refused_with(operator(world), creation("default", group="other")) == ("ADM-003", "profile default")
    with pytest.raises(AdminError, match="group default"):
        operator(world).ask(CHECK, CheckProfile(group="default", document=BOUND))


def test_a_check_keeps_nothing_and_shows_what_would_be(world: World, door: LocalDoor) -> None:
    """A valid document gives a specimen, and each example its outcome; one that ends otherwise is a problem."""
    checked = door.ask(CHECK, CheckProfile(group="default", document=BOUND, examples=EXAMPLE))
    assert checked.specimen[1] == "Subject:     CN=specimen"
    assert [(each.outcome, each.expected) for each in checked.examples] == [("issued", "RA-020")]
    assert checked.problems == ("example as it is bound: issued, where RA-020 is expected",)
    assert world.store.profile("unnamed") is None


def test_a_check_says_all_that_is_wrong(door: LocalDoor) -> None:
    """A document that is no profile is refused with its problems (ADM-007)."""
    with pytest.raises(AdminError) as refused:
        door.ask(CHECK, CheckProfile(group="default", document=BOUND.replace("30d", "soon")))
    assert refused.value.reason.id == "ADM-007"


def test_a_check_judges_a_bounded_number_of_examples(door: LocalDoor) -> None:
    """More examples than a hundred are refused before any is judged."""
    many = "".join(EXAMPLE.replace("as it is bound", f"number {number}") for number in range(101))
    with pytest.raises(AdminError, match="101 examples"):
        door.ask(CHECK, CheckProfile(group="default", document=BOUND, examples=many))
