"""Verbs about administrators, tokens, sessions, and the access review."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from memory_store import MemoryStore
from regalia.cli.access import cell
from regalia.errors import AdminError
from regalia.model import (
    EVERYWHERE,
    Action,
    Actor,
    ActorKind,
    AdministratorState,
    Grant,
    Passkey,
    Reach,
    Role,
    Session,
    SignInKind,
    new_id,
)
from regalia.ra.roles import EVERYTHING
from regalia.ra.sign_in import sha256_of
from regalia.ra.tokens import NewToken
from regalia.verbs import Caller, LocalDoor, access, admin, session, token
from regalia.verbs.bearer import caller_of_token
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.model import ApiToken, EventDraft

LOCAL = Caller(ADMIN, EVERYTHING, fresh=True, local=True)
DEFAULT = Reach(frozenset({"default"}))


@pytest.fixture
def world() -> World:
    """Return a system with two groups."""
    world = World()
    world.open_group("guests")
    return world


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of who commands on the machine."""
    return LocalDoor(world, LOCAL)


def signed_in(world: World, name: str, *grants: Grant) -> LocalDoor:
    """Make an administrator and return their door."""
    made = world.administrators.create(name, grants, display="", actor=ADMIN, bound=EVERYTHING)
    actor = Actor(ActorKind.ADMIN, f"user:{name}", "192.0.2.1")
    return LocalDoor(world, Caller(actor, made.grants, fresh=True, administrator=made.id))


def with_token(world: World, secret: str) -> LocalDoor:
    """Return a program's door."""
    return LocalDoor(world, caller_of_token(world.store, secret, now=world.clock.now(), source="192.0.2.2"))


def a_session(world: World, name: str, number: int, *granted: Grant) -> Session:
    """Sign somebody in."""
    now, person = world.clock.now(), world.administrators.found(name)
    made = Session(
        new_id(now, bytes([number] * 10)),
        b"secret %d" % number,
        person.id,
        SignInKind.OIDC if granted else SignInKind.PASSKEY,
        "192.0.2.1",
        now,
        now,
        now,
        now + timedelta(hours=8),
        granted=granted or None,
    )
    world.store.add_session(made, ())
    return made


def reason(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


# --- administrators -------------------------------------------------------------------------------------------------


def test_an_administrators_life(world: World, door: LocalDoor) -> None:
    """Made, given and taken roles, linked, disabled and enabled: each answer is the state after it."""
    made = door.ask(admin.CREATE, admin.CreateAdministrator(name="bob", display="Bob", roles=("helpdesk:default",)))
    assert (made.roles, made.ways_in, made.sessions, made.tokens) == (("helpdesk:default",), (), 0, ())
    name = admin.NameAdministrator(name="bob")
    roles = admin.GrantRoles(name="bob", roles=("auditor",))
    assert door.ask(admin.GRANT, roles).roles == ("auditor", "helpdesk:default")
    assert door.ask(admin.UNGRANT, roles).roles == ("helpdesk:default",)
    identity = admin.LinkIdentity(name="bob", issuer="https://login.example.org", subject="1")
    assert [each.subject for each in door.ask(admin.LINK, identity).identities] == ["1"]
    assert door.ask(admin.SHOW, name).ways_in == ("identity",)
    assert door.ask(admin.UNLINK, identity).identities == ()
    world.tokens.create(
        NewToken("ci", (Grant(Role.HELPDESK, DEFAULT),), timedelta(days=1), world.administrators.found("bob").id),
        actor=ADMIN,
        bound=EVERYTHING,
    )
    assert "ci" in " ".join(door.plan(admin.DISABLE, admin.DisableAdministrator(name="bob")).would)
    disabled = door.ask(admin.DISABLE, admin.DisableAdministrator(name="bob", note="left"))
    assert disabled.state is AdministratorState.DISABLED
    (listed,) = door.ask(admin.LIST, admin.ListAdministrators(state=AdministratorState.DISABLED)).items
    assert listed.name == "bob"
    assert reason(lambda: door.ask(admin.SETUP_LINK, name)) == "AUTH-009"
    assert door.ask(admin.ENABLE, name).state is AdministratorState.ENABLED


def test_the_last_administrator_stays(world: World, door: LocalDoor) -> None:
    """ADM-073: who alone can sign in and give roles is not disabled, not even on the machine."""
    signed_in(world, "alice", Grant(Role.ADMIN))
    person = world.administrators.found("alice")
    passkeys = (Passkey(b"1", b"cose", 0, "key", world.clock.now()),)
    assert world.store.change_administrator(person, replace(person, passkeys=passkeys), ())
    assert reason(lambda: door.ask(admin.DISABLE, admin.DisableAdministrator(name="alice"))) == "ADM-073"


def test_a_new_link_closes_the_former_one(world: World, door: LocalDoor) -> None:
    """Of two set-up links that somebody was given the later one is good, and its secret is in no event."""
    signed_in(world, "bob", Grant(Role.AUDITOR))
    first, second = (door.ask(admin.SETUP_LINK, admin.NameAdministrator(name="bob")).link for _ in range(2))
    now = world.clock.now()
    assert not world.store.use_setup_link(sha256_of(first.partition("#")[2]), now, ())
    assert second.partition("#")[2] not in repr(world.store.log)
    assert world.store.use_setup_link(sha256_of(second.partition("#")[2]), now, ())


def test_everybody_sees_what_they_may_do(world: World) -> None:
    """Who asks is told their roles and rights, and nothing of others."""
    helper = signed_in(world, "helper", Grant(Role.HELPDESK_READ_ONLY, DEFAULT))
    me = helper.ask(admin.ME, admin.ShowMe())
    assert (me.actor, me.administrator, me.roles, me.rights) == (
        "user:helper",
        "helper",
        ("helpdesk-read-only:default",),
        ("read:default", "own:default"),
    )
    assert reason(lambda: helper.ask(admin.LIST, admin.ListAdministrators())) == "ADM-070"


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_a_token_is_bounded_to_a_group(world: World) -> None:
    """With `group` every role counts in that group only; the token then reaches nothing else."""
    alice = signed_in(world, "alice", Grant(Role.OPERATOR), Grant(Role.AUDITOR))
    made = alice.ask(token.CREATE, token.CreateToken(name="ci", roles=("operator",), group=("default",)))
    assert (made.roles, made.owner, made.state) == (("operator:default",), "alice", token.TokenState.GOOD)
    assert with_token(world, made.secret).ask(admin.ME, admin.ShowMe()).roles == ("operator:default",)
    assert "secret" not in alice.ask(token.LIST, token.ListTokens()).items[0].model_dump()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (token.CreateToken(name="ci", roles=("admin",)), "ADM-071"),
        (token.CreateToken(name="ci", roles=("helpdesk",)), "ADM-071"),
        (token.CreateToken(name="ci", roles=("helpdesk:guests",)), "ADM-004"),
        (token.CreateToken(name="ci", group=("guests",)), "ADM-004"),
        (token.CreateToken(name="ci", group=("nowhere",)), "ADM-004"),
        (token.CreateToken(name="ci", ttl="400d"), "ADM-072"),
        (token.CreateToken(name="ci", owner="bob"), "ADM-071"),
        (token.CreateToken(name="c i"), "ADM-005"),
    ],
)
def test_what_is_no_token(world: World, asked: token.CreateToken, told: str) -> None:
    """AUTHZ-7: no more than its maker has, for nobody else. AUTHZ-4: a foreign group is like a missing one."""
    signed_in(world, "bob", Grant(Role.OPERATOR, DEFAULT))
    alice = signed_in(world, "alice", Grant(Role.OPERATOR, DEFAULT))
    assert reason(lambda: alice.ask(token.CREATE, asked)) == told
    assert world.store.tokens() == ()


def test_a_token_makes_none_that_outlives_it(world: World) -> None:
    """ADM-072: what a token makes ends with it, in time and when it is revoked."""
    alice = signed_in(world, "alice", Grant(Role.OPERATOR))
    first = alice.ask(token.CREATE, token.CreateToken(name="first", ttl="10d"))
    program = with_token(world, first.secret)
    assert reason(lambda: program.ask(token.CREATE, token.CreateToken(name="second", ttl="11d"))) == "ADM-072"
    second = program.ask(token.CREATE, token.CreateToken(name="second", roles=("helpdesk",), ttl="9d"))
    assert (second.owner, second.created_by) == ("alice", "token:first")
    assert "second" in " ".join(alice.plan(token.REVOKE, token.NameToken(token_id="first")).would)
    alice.ask(token.REVOKE, token.NameToken(token_id="first"))
    assert [each.state for each in alice.ask(token.LIST, token.ListTokens()).items] == [token.TokenState.REVOKED] * 2


def test_tokens_of_others_are_not_there(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: everybody sees and revokes their own; who gives roles all; who reviews sees all."""
    alice, bob = signed_in(world, "alice", Grant(Role.OPERATOR)), signed_in(world, "bob", Grant(Role.HELPDESK))
    auditor = signed_in(world, "auditor", Grant(Role.AUDITOR))
    alices = alice.ask(token.CREATE, token.CreateToken(name="alices"))
    lists = [len(each.ask(token.LIST, token.ListTokens()).items) for each in (alice, bob, auditor, door)]
    assert lists == [1, 0, 1, 1]
    for other in (bob, auditor):
        for text in ("alices", str(alices.id)):
            revoke = token.NameToken(token_id=text)
            assert reason(lambda other=other, revoke=revoke: other.ask(token.REVOKE, revoke)) == "ADM-004"  # type: ignore[misc]  # bound now
    assert door.ask(token.REVOKE, token.NameToken(token_id=str(alices.id))).state is token.TokenState.REVOKED
    assert door.ask(token.LIST, token.ListTokens(state=token.TokenState.GOOD)).items == ()


def test_a_token_reaches_no_further_than_its_roles(world: World, door: LocalDoor) -> None:
    """AUTHZ-7: a token neither sees nor ends its owner's sessions, nor tokens that may do more; another one sees it."""
    alice = signed_in(world, "alice", Grant(Role.OPERATOR))
    strong = alice.ask(token.CREATE, token.CreateToken(name="strong"))
    made = alice.ask(token.CREATE, token.CreateToken(name="weak", roles=("helpdesk-read-only:default",)))
    weak, browser = with_token(world, made.secret), a_session(world, "alice", 1)
    assert [each.name for each in weak.ask(token.LIST, token.ListTokens()).items] == ["weak"]
    assert weak.ask(session.LIST, session.ListSessions()).items == ()
    end = session.EndSession(session_id=str(browser.id))
    assert reason(lambda: weak.ask(session.END, end)) == "ADM-004"
    for text in ("strong", str(strong.id)):
        revoke = token.NameToken(token_id=text)
        assert reason(lambda revoke=revoke: weak.ask(token.REVOKE, revoke)) == "ADM-004"  # type: ignore[misc]  # bound now
    assert len(with_token(world, strong.secret).ask(token.LIST, token.ListTokens()).items) == 2
    assert weak.ask(token.REVOKE, token.NameToken(token_id="weak")).state is token.TokenState.REVOKED
    assert len(door.ask(session.LIST, session.ListSessions()).items) == 1


def test_tokens_of_nobody_are_strangers(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: a token that speaks for nobody revokes itself, and none of the others that do."""
    door.ask(token.CREATE, token.CreateToken(name="ruler"))
    auditor = with_token(world, door.ask(token.CREATE, token.CreateToken(name="reader", roles=("auditor",))).secret)
    assert len(auditor.ask(token.LIST, token.ListTokens()).items) == 2
    assert reason(lambda: auditor.ask(token.REVOKE, token.NameToken(token_id="ruler"))) == "ADM-004"
    assert auditor.ask(token.REVOKE, token.NameToken(token_id="reader")).state is token.TokenState.REVOKED


class LateStore(MemoryStore):
    """Revokes a token while another one is made with it: as if somebody had been quicker."""

    def add_token(self, token: ApiToken, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        for each in self.tokens():
            if token.created_by == f"token:{each.name}":
                self.revoke_token(each.id, token.created_at, ())
        return super().add_token(token, events)


def test_what_is_made_while_its_maker_is_revoked_is_revoked() -> None:
    """AUTHZ-7: a token that a stolen one makes in the moment in which that is revoked opens nothing."""
    world = World(store=LateStore())
    alice = signed_in(world, "alice", Grant(Role.OPERATOR))
    stolen = with_token(world, alice.ask(token.CREATE, token.CreateToken(name="stolen")).secret)
    asked = token.CreateToken(name="kept", roles=("helpdesk",), ttl="1d")
    assert reason(lambda: stolen.ask(token.CREATE, asked)) == "API-001"
    assert {each.state for each in alice.ask(token.LIST, token.ListTokens()).items} == {token.TokenState.REVOKED}


def test_a_token_of_the_machine_speaks_for_whom_it_says(world: World, door: LocalDoor) -> None:
    """On the machine a token is made for an administrator, within their roles, or for nobody."""
    signed_in(world, "bob", Grant(Role.HELPDESK))
    bobs = door.ask(token.CREATE, token.CreateToken(name="bobs", owner="bob"))
    nobodys = door.ask(token.CREATE, token.CreateToken(name="nobodys", roles=("auditor",)))
    assert (bobs.owner, bobs.roles) == ("bob", ("helpdesk",))
    assert (nobodys.owner, nobodys.roles) == (None, ("auditor",))
    assert len(with_token(world, nobodys.secret).ask(token.LIST, token.ListTokens()).items) == 2
    assert [each.name for each in with_token(world, bobs.secret).ask(token.LIST, token.ListTokens()).items] == ["bobs"]
    door.ask(admin.DISABLE, admin.DisableAdministrator(name="bob"))
    states = {each.name: each.state for each in door.ask(token.LIST, token.ListTokens()).items}
    assert states == {"bobs": token.TokenState.SUSPENDED, "nobodys": token.TokenState.GOOD}


# --- sessions -------------------------------------------------------------------------------------------------------


def test_sessions_of_others_are_not_there(world: World, door: LocalDoor) -> None:
    """AUTHZ-4, WEB-4: everybody ends their own session, who gives roles any; nobody else sees it."""
    alice, bob = signed_in(world, "alice", Grant(Role.OPERATOR)), signed_in(world, "bob", Grant(Role.HELPDESK))
    first, second = a_session(world, "alice", 1), a_session(world, "alice", 2)
    assert len(alice.ask(session.LIST, session.ListSessions()).items) == 2
    assert bob.ask(session.LIST, session.ListSessions()).items == ()
    asked = session.EndSession(session_id=str(first.id))
    assert reason(lambda: bob.ask(session.END, asked)) == "ADM-004"
    assert alice.ask(session.END, asked).administrator == "alice"
    assert reason(lambda: alice.ask(session.END, asked)) == "ADM-004"
    door.ask(session.END, session.EndSession(session_id=str(second.id)))
    assert world.last_event().draft.action is Action.SIGNED_OUT
    assert door.ask(session.LIST, session.ListSessions()).items == ()


# --- the review -----------------------------------------------------------------------------------------------------


def reviewed(door: LocalDoor, **asked: int) -> dict[tuple[str, str | None], tuple[str, ...]]:
    """Review; return what is marked of each name and role."""
    page = door.ask(access.REVIEW, access.ReviewAccess(**asked))
    return {(each.name, each.role): tuple(mark.value for mark in each.marks) for each in page.items}


def test_the_review_says_who_can_do_what(world: World, door: LocalDoor) -> None:
    """Each role of each administrator and each good token, with what stands out; that it was done is an event."""
    alice = signed_in(world, "alice", Grant(Role.OPERATOR), Grant(Role.AUDITOR))
    signed_in(world, "none")
    a_session(world, "none", 1, Grant(Role.HELPDESK, DEFAULT))
    alice.ask(token.CREATE, token.CreateToken(name="ci", roles=("operator:default",), ttl="10d"))
    door.ask(token.CREATE, token.CreateToken(name="free", roles=("auditor",)))
    door.ask(admin.UNGRANT, admin.GrantRoles(name="alice", roles=("operator",)))
    assert reviewed(door) == {
        ("alice", "auditor"): ("never-used", "no-way-in"),
        ("none", "helpdesk:default"): ("never-used", "no-way-in", "claimed"),
        ("free", "auditor"): ("never-used", "no-owner"),
        ("ci", "operator:default"): ("never-used", "ends-soon", "more-than-owner"),
    }
    event = world.last_event().draft
    assert (event.action, event.details) == (Action.ACCESS_REVIEWED, {"administrators": 2, "tokens": 2})


def test_the_review_marks_what_is_stale(world: World, door: LocalDoor) -> None:
    """Who was here within the days that are asked for is not marked; after them, stale."""
    signed_in(world, "alice", Grant(Role.OPERATOR))
    person = world.administrators.found("alice")
    passkeys = (Passkey(b"1", b"cose", 0, "key", world.clock.now()),)
    assert world.store.change_administrator(person, replace(person, passkeys=passkeys), ())
    world.store.seen(person.id, world.clock.now())
    assert reviewed(door) == {("alice", "operator"): ()}
    world.clock.advance(timedelta(days=31))
    assert reviewed(door) == {("alice", "operator"): ()}
    assert reviewed(door, stale_days=30) == {("alice", "operator"): ("stale",)}


def test_who_reviews_counts_everywhere(world: World) -> None:
    """ADM-070: an auditor of one group does not see who may do what in others."""
    bounded = signed_in(world, "bounded", Grant(Role.AUDITOR, DEFAULT))
    assert reason(lambda: bounded.ask(access.REVIEW, access.ReviewAccess())) == "ADM-070"
    whole = signed_in(world, "whole", Grant(Role.AUDITOR, EVERYWHERE))
    assert len(whole.ask(access.REVIEW, access.ReviewAccess()).items) == 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_is_text(text: str) -> None:
    """WEB-7: what a spreadsheet would take for a formula begins with an apostrophe."""
    assert cell(text) == f"'{text}"
    assert cell("plain") == "plain"
    assert cell(None) == ""
    assert cell(["a", "b"]) == "a b"
