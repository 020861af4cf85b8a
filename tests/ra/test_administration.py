"""Administrators: who may change whom, and that somebody is always left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import (
    Action,
    Administrator,
    AdministratorState,
    Grant,
    OidcSubject,
    Passkey,
    Reach,
    Role,
    Session,
    SignInKind,
    new_id,
)
from regalia.ra.administration import can_administer
from regalia.ra.roles import EVERYTHING
from regalia.ra.setting_up import make_setup_link
from regalia.ra.sign_in import sha256_of
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "https://login.example.org"


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


def an_admin(world: World, name: str, *grants: Grant, way_in: bool = True) -> Administrator:
    """Make an administrator who can sign in."""
    made = world.administrators.create(name, grants or EVERYTHING, display="", actor=ADMIN, bound=EVERYTHING)
    if not way_in:
        return made
    now = world.clock.now()
    after = replace(made, passkeys=(Passkey(name.encode(), b"cose", 0, "key", now),))
    assert world.store.change_administrator(made, after, ())
    return after


def a_session(world: World, of: Administrator) -> Session:
    """Sign somebody in."""
    now = world.clock.now()
    secret = world.entropy.octets(32)
    session = Session(
        new_id(now, world.entropy.octets(10)), secret, of.id, SignInKind.PASSKEY, "192.0.2.1", now, now, now, now
    )
    world.store.add_session(session, ())
    return session


def reason(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


def test_an_administrator_is_made_with_one_event(world: World) -> None:
    """Somebody new has the roles that were given, no way in, and an event."""
    made = world.administrators.create(
        "bob",
        (Grant(Role.HELPDESK, Reach(frozenset({"default"}))), Grant(Role.HELPDESK)),
        display="",
        actor=ADMIN,
        bound=EVERYTHING,
    )
    assert made == world.store.administrator_named("bob")
    assert made.grants == (Grant(Role.HELPDESK),)
    assert not can_administer(made)
    event = world.last_event().draft
    assert (event.action, event.object, event.details["grants"]) == (
        Action.ADMINISTRATOR_CREATED,
        "administrator:bob",
        ["helpdesk"],
    )


@pytest.mark.parametrize(
    ("name", "grants", "bound", "told"),
    [
        ("root user", (), EVERYTHING, "ADM-005"),
        ("alice", (), EVERYTHING, "ADM-003"),
        ("bob", (Grant(Role.AUDITOR, Reach(frozenset({"nowhere"}))),), EVERYTHING, "ADM-004"),
        ("bob", (Grant(Role.ADMIN),), (Grant(Role.OPERATOR),), "ADM-071"),
        ("bob", (Grant(Role.ADMIN),), (Grant(Role.ADMIN, Reach(frozenset({"default"}))),), "ADM-071"),
    ],
)
def test_who_cannot_be_made(
    world: World, name: str, grants: tuple[Grant, ...], bound: tuple[Grant, ...], told: str
) -> None:
    """A bad or taken name, a group that is not there, and more than one has oneself are refused."""
    an_admin(world, "alice")
    before = len(world.store.log)
    make = world.administrators.create
    assert reason(lambda: make(name, grants, display="", actor=ADMIN, bound=bound)) == told
    assert len(world.store.log) == before


def test_a_change_of_roles_ends_sessions(world: World) -> None:
    """WEB-4: who gets or loses a role signs in anew."""
    an_admin(world, "alice")
    bob = an_admin(world, "bob", Grant(Role.AUDITOR))
    session = a_session(world, bob)
    after = world.administrators.grant("bob", (Grant(Role.OPERATOR),), actor=ADMIN, bound=EVERYTHING)
    assert after.grants == (Grant(Role.AUDITOR), Grant(Role.OPERATOR))
    assert world.store.sessions(bob.id) == ()
    ended = world.store.session(session.secret_sha256)
    assert ended is not None
    assert ended.ended_at == world.clock.now()
    assert [event.draft.action for event in world.store.log[-2:]] == [Action.ADMINISTRATOR_GRANTED, Action.SIGNED_OUT]


def test_a_role_is_taken_group_by_group(world: World) -> None:
    """A role in two groups is left in one; one that counts everywhere is taken as a whole only."""
    world.open_group("guests")
    both = Grant(Role.OPERATOR, Reach(frozenset({"default", "guests"})))
    an_admin(world, "bob", both, Grant(Role.AUDITOR))
    guests = Grant(Role.OPERATOR, Reach(frozenset({"guests"})))
    take = world.administrators.ungrant
    assert take("bob", (guests,), actor=ADMIN, bound=EVERYTHING).grants == (
        Grant(Role.AUDITOR),
        Grant(Role.OPERATOR, Reach(frozenset({"default"}))),
    )
    in_group = (Grant(Role.AUDITOR, guests.reach),)
    assert reason(lambda: take("bob", in_group, actor=ADMIN, bound=EVERYTHING)) == "ADM-074"
    assert take("bob", (Grant(Role.AUDITOR), Grant(Role.OPERATOR)), actor=ADMIN, bound=EVERYTHING).grants == ()
    assert reason(lambda: take("bob", (Grant(Role.AUDITOR),), actor=ADMIN, bound=EVERYTHING)) == "ADM-074"


def test_a_disabled_administrator_is_out_at_once(world: World) -> None:
    """Sessions end, set-up links are closed, and what is disabled is not disabled again."""
    an_admin(world, "alice")
    bob = an_admin(world, "bob", Grant(Role.AUDITOR))
    a_session(world, bob)
    secret = make_setup_link(world.store, world.clock, world.entropy, ADMIN, bob)
    disable = world.administrators.disable
    after = disable("bob", note="left", actor=ADMIN, bound=EVERYTHING)
    assert after.state is AdministratorState.DISABLED
    assert world.store.sessions(bob.id) == ()
    assert not world.store.use_setup_link(sha256_of(secret), world.clock.now(), ())
    assert reason(lambda: disable("bob", note="", actor=ADMIN, bound=EVERYTHING)) == "ADM-074"
    enable = world.administrators.enable
    assert enable("bob", actor=ADMIN, bound=EVERYTHING).state is AdministratorState.ENABLED
    assert reason(lambda: enable("bob", actor=ADMIN, bound=EVERYTHING)) == "ADM-074"


def test_somebody_is_always_left(world: World) -> None:
    """ADM-073: the last one who can sign in and give roles is neither disabled, nor degraded, nor unlinked."""
    an_admin(world, "alice")
    an_admin(world, "nobody-yet", way_in=False)
    an_admin(world, "bounded", Grant(Role.ADMIN, Reach(frozenset({"default"}))))
    people = world.administrators
    assert reason(lambda: people.disable("alice", note="", actor=ADMIN, bound=EVERYTHING)) == "ADM-073"
    assert reason(lambda: people.ungrant("alice", EVERYTHING, actor=ADMIN, bound=EVERYTHING)) == "ADM-073"
    alice = people.found("alice")
    linked = replace(alice, passkeys=(), subjects=(OidcSubject(ISSUER, "1", world.clock.now()),))
    assert world.store.change_administrator(alice, linked, ())
    assert reason(lambda: people.unlink("alice", ISSUER, "1", actor=ADMIN, bound=EVERYTHING)) == "ADM-073"
    an_admin(world, "bob")
    people.unlink("alice", ISSUER, "1", actor=ADMIN, bound=EVERYTHING)
    assert reason(lambda: people.disable("bob", note="", actor=ADMIN, bound=EVERYTHING)) == "ADM-073"


def test_nobody_changes_who_has_more(world: World) -> None:
    """ADM-071: whoever has less than somebody neither degrades, disables, links nor lets them in anew."""
    an_admin(world, "alice")
    an_admin(world, "bob")
    less = (Grant(Role.OPERATOR),)
    people = world.administrators
    acts: list[Callable[[], object]] = [
        lambda: people.ungrant("bob", EVERYTHING, actor=ADMIN, bound=less),
        lambda: people.disable("bob", note="", actor=ADMIN, bound=less),
        lambda: people.link("bob", ISSUER, "mallory", actor=ADMIN, bound=less),
        lambda: people.coverable("bob", less),
    ]
    assert {reason(act) for act in acts} == {"ADM-071"}
    assert people.found("bob").subjects == ()


def test_an_identity_is_one_persons(world: World) -> None:
    """CON-2: an identity is linked once, by issuer and subject; unlinking what is not linked finds nothing."""
    an_admin(world, "alice")
    an_admin(world, "bob", Grant(Role.AUDITOR))
    people = world.administrators
    people.link("bob", ISSUER, "1", actor=ADMIN, bound=EVERYTHING)
    assert world.last_event().draft.details == {"issuer": ISSUER, "subject": "1"}
    assert reason(lambda: people.link("alice", ISSUER, "1", actor=ADMIN, bound=EVERYTHING)) == "ADM-003"
    assert reason(lambda: people.unlink("alice", ISSUER, "1", actor=ADMIN, bound=EVERYTHING)) == "ADM-004"
    assert people.unlink("bob", ISSUER, "1", actor=ADMIN, bound=EVERYTHING).subjects == ()
    assert reason(lambda: people.found("carol")) == "ADM-004"
