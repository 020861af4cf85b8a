"""Verbs about challenges."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from regalia.errors import AdminError
from regalia.model import Authoriser, Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import challenge as verbs
from regalia.verbs.names import NamesAsked
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from regalia.verbs import Asked, Verb


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


def helpdesk(world: World, group: str = "other") -> LocalDoor:
    """Return the door of a helpdesk of one group."""
    return LocalDoor(world, Caller(ADMIN, (Grant(Role.HELPDESK, Reach(frozenset({group}))),)))


def laptop(endpoint: str = "default") -> verbs.CreateChallenge:
    """Ask for a challenge that is bound to a device."""
    return verbs.CreateChallenge(endpoint=endpoint, binding=NamesAsked(cn="laptop-17"), device="INV-17", ttl="8h")


def refusal(door: LocalDoor, asked: verbs.RevokeChallenge) -> tuple[str, str]:
    """Return why both plan and deed refuse, which is the same."""
    told = set()
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as refused:
            face(verbs.REVOKE, asked)
        told.add((refused.value.reason.id, refused.value.detail))
    (only,) = told
    return only


def test_the_secret_of_a_challenge_opens_its_endpoint(world: World, door: LocalDoor) -> None:
    """A device that shows the secret gets exactly the names that the challenge was made for."""
    made = door.ask(verbs.CREATE, laptop())
    assert made.url == "http://pki.example.test/scep/default"
    assert made.expires_at == world.clock.now() + timedelta(hours=8)
    Device(world).enrol(names("laptop-17"), made.secret)
    (used,) = door.ask(verbs.LIST, verbs.ListChallenges()).items
    assert (used.state, used.names, used.device) == (verbs.ChallengeState.USED, ("cn:laptop-17",), "INV-17")


def test_a_secret_is_in_no_list_and_no_trace(door: LocalDoor) -> None:
    """What was shown once stands neither in the list nor in how the answer describes itself."""
    made = door.ask(verbs.CREATE, laptop())
    assert made.secret not in door.ask(verbs.LIST, verbs.ListChallenges()).model_dump_json()
    assert made.secret not in repr(made)


def test_a_challenge_without_names_says_what_it_is(door: LocalDoor) -> None:
    """A bearer challenge carries the doubt that the server names the certificate (R5.4)."""
    made = door.ask(verbs.CREATE, verbs.CreateChallenge(endpoint="default"))
    assert made.doubts == (verbs.ChallengeDoubt.NAMED_BY_SERVER,)
    assert door.ask(verbs.CREATE, laptop()).doubts == ()


def test_a_sid_that_no_certificate_gets_is_doubtful(door: LocalDoor) -> None:
    """A SID that the profile does not write is told of."""
    binding = NamesAsked(cn="laptop-17", sid="S-1-5-21-1-2-3-1104")
    made = door.ask(verbs.CREATE, verbs.CreateChallenge(endpoint="default", binding=binding))
    assert made.doubts == (verbs.ChallengeDoubt.SID_UNWRITTEN,)


@pytest.mark.parametrize(
    ("binding", "reason"), [(NamesAsked(dns=("bad name",)), "ADM-015"), (NamesAsked(cn="a" * 65), "ADM-015")]
)
def test_refuses_a_name_that_no_certificate_may_carry(door: LocalDoor, binding: NamesAsked, reason: str) -> None:
    """Each name is judged by the rules of its kind."""
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.CREATE, verbs.CreateChallenge(endpoint="default", binding=binding))
    assert refused.value.reason.id == reason


@pytest.mark.parametrize("ttl", ["tomorrow", "60", "1e3s", "-1s", "60m\n"])
def test_a_span_is_a_number_and_a_unit(ttl: str) -> None:
    """Whatever else is given as a span is refused before the verb sees it."""
    with pytest.raises(ValidationError):
        verbs.CreateChallenge(endpoint="default", ttl=ttl)


def test_an_endpoint_of_another_group_is_as_one_that_is_not_there(world: World) -> None:
    """Whoever sees another group only learns nothing of an endpoint, by making or by listing (AUTHZ-4)."""
    desk, told = helpdesk(world), []
    for endpoint in ("default", "nowhere"):
        questions: tuple[tuple[Verb[Any, Any], Asked], ...] = (
            (verbs.CREATE, laptop(endpoint)),
            (verbs.LIST, verbs.ListChallenges(endpoint=endpoint)),
        )
        for verb, asked in questions:
            with pytest.raises(AdminError) as refused:
                desk.ask(verb, asked)
            told.append((refused.value.reason.id, refused.value.detail.replace(endpoint, "X")))
    assert set(told) == {("ADM-004", "endpoint X")}


def test_a_challenge_of_another_group_is_as_one_that_is_not_there(world: World, door: LocalDoor) -> None:
    """Neither its id nor the beginning of it finds a challenge of a group that the caller does not see (AUTHZ-4)."""
    foreign = str(door.ask(verbs.CREATE, laptop()).id)
    own = helpdesk(world).ask(verbs.CREATE, laptop("other"))
    assert [each.id for each in helpdesk(world).ask(verbs.LIST, verbs.ListChallenges()).items] == [own.id]
    for text in (foreign, foreign[:-1]):
        assert refusal(helpdesk(world), verbs.RevokeChallenge(id=text)) == ("ADM-004", f"challenge {text}")


def test_a_challenge_is_withdrawn_once(door: LocalDoor) -> None:
    """What is withdrawn cannot be withdrawn again, which the plan says as well (ADM-014)."""
    made = door.ask(verbs.CREATE, laptop())
    asked = verbs.RevokeChallenge(id=str(made.id))
    planned = door.plan(verbs.REVOKE, asked)
    assert planned.would == (f"withdraw challenge {made.id} at endpoint default, made for cn:laptop-17",)
    assert door.ask(verbs.REVOKE, asked).state is verbs.ChallengeState.REVOKED
    assert refusal(door, asked) == ("ADM-014", f"challenge {made.id} is revoked")


def test_a_static_challenge_is_listed_without_an_end(world: World, door: LocalDoor) -> None:
    """A static challenge is good until somebody rotates it."""
    world.open_endpoint("printers", Authoriser.STATIC)
    (found,) = door.ask(verbs.LIST, verbs.ListChallenges(endpoint="printers")).items
    assert (found.kind, found.expires_at) == (verbs.ChallengeKind.STATIC, None)


def test_pages_hold_each_challenge_once(door: LocalDoor) -> None:
    """Page after page, every challenge appears once, the newest first."""
    made = [door.ask(verbs.CREATE, laptop()).id for _ in range(5)]
    page = door.ask(verbs.LIST, verbs.ListChallenges(limit=2))
    found = list(page.items)
    while page.next is not None:
        page = door.ask(verbs.LIST, verbs.ListChallenges(limit=2, after=page.next))
        found += page.items
    assert {each.id for each in found} == set(made)
    assert len(found) == len(made)
