"""Tokens: their form, who bears one, and that none does more than its owner may (AUTHZ-7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from regalia.errors import AdminError
from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Administrator,
    AdministratorState,
    Grant,
    Outcome,
    Reach,
    Role,
)
from regalia.ra.roles import EVERYTHING
from regalia.ra.tokens import TOKEN_FORM, Bearer, MadeToken, NewToken, bearer_of_token, token_text
from world import ADMIN, World

STAFF = Reach(frozenset({"default"}))
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


def an_owner(world: World, *grants: Grant) -> Administrator:
    """Make an administrator."""
    return world.administrators.create("alice", grants, display="", actor=ADMIN, bound=EVERYTHING)


def a_token(world: World, *grants: Grant, owner: Administrator | None = None, name: str = "ci") -> MadeToken:
    """Make a token."""
    wanted = NewToken(name, grants, 30 * DAY, None if owner is None else owner.id)
    return world.tokens.create(wanted, actor=ADMIN, bound=EVERYTHING)


def bearer(world: World, secret: str, source: str = "192.0.2.7") -> Bearer:
    """Come with a token."""
    return bearer_of_token(world.store, secret, now=world.clock.now(), source=source)


def refused(world: World, secret: str) -> str:
    """Come with a token that is not good, and return all that is told."""
    with pytest.raises(AdminError) as error:
        bearer(world, secret)
    return str(error.value)


def test_a_token_speaks_for_its_owner(world: World) -> None:
    """Who bears a token acts by its name, from where they are, with its roles."""
    alice = an_owner(world, Grant(Role.OPERATOR))
    made = a_token(world, Grant(Role.HELPDESK, STAFF), owner=alice)
    found = bearer(world, made.secret)
    assert found == Bearer(Actor(ActorKind.ADMIN, "token:ci", "192.0.2.7"), (Grant(Role.HELPDESK, STAFF),), alice.id)


def test_a_secret_is_found_by_scanners_and_is_nowhere_in_the_store(world: World) -> None:
    """A token has its prefix and form; the store and the log know its hash at most."""
    made = a_token(world, Grant(Role.AUDITOR))
    assert TOKEN_FORM.fullmatch(made.secret)
    assert made.secret not in repr(world.store.tokens())
    assert made.secret not in repr(world.store.log)
    assert world.last_event().draft.action is Action.TOKEN_CREATED


def test_whatever_is_wrong_with_a_token_is_told_alike(world: World) -> None:
    """AUTHZ-3: no token, a mistyped, an unknown, a revoked and an expired one are one refusal, API-001."""
    revoked, expired = a_token(world, Grant(Role.AUDITOR)), a_token(world, Grant(Role.AUDITOR), name="old")
    orphan = a_token(world, Grant(Role.AUDITOR), owner=an_owner(world, Grant(Role.AUDITOR)), name="orphan")
    world.tokens.revoke(revoked.token, actor=ADMIN)
    told = {
        refused(world, text)
        for text in ("", "rgl_", "x" * 63, revoked.secret, token_text(bytes(32)), revoked.secret[:-1] + "?")
    }
    alice = world.store.administrator_named("alice")
    assert alice is not None
    world.store.change_administrator(alice, replace(alice, state=AdministratorState.DISABLED), ())
    told.add(refused(world, orphan.secret))
    world.clock.advance(30 * DAY)
    told.add(refused(world, expired.secret))
    assert told == {"API-001 the request has no credentials that are valid here"}


@pytest.mark.parametrize("place", range(4, 63))
def test_a_mistyped_token_is_told_without_a_look_at_the_store(place: int) -> None:
    """Whichever letter is another one, the checksum or the one spelling shows it."""
    text = token_text(bytes(range(32)))
    wrong = "a" if text[place] != "a" else "b"

    class Nothing:
        """A store that must not be asked."""

    with pytest.raises(AdminError):
        bearer_of_token(
            Nothing(),  # type: ignore[arg-type]  # nothing of it is used
            f"{text[:place]}{wrong}{text[place + 1 :]}",
            now=World().clock.now(),
            source="",
        )


def test_the_log_says_why_a_known_token_was_refused(world: World) -> None:
    """Somebody should look: a token that was revoked is still being used."""
    made = a_token(world, Grant(Role.AUDITOR))
    world.tokens.revoke(made.token, actor=ADMIN)
    refused(world, made.secret)
    event = world.last_event().draft
    assert (event.action, event.outcome, event.object) == (Action.TOKEN_REFUSED, Outcome.REFUSED, "token:ci")
    assert event.security
    assert event.details["title"] == "revoked"
    before = len(world.store.log)
    refused(world, token_text(bytes(32)))
    assert len(world.store.log) == before


def test_a_token_is_less_when_its_owner_is(world: World) -> None:
    """AUTHZ-7: a role that its owner loses is lost at the next request; it comes back with it."""
    alice = an_owner(world, Grant(Role.OPERATOR), Grant(Role.AUDITOR))
    made = a_token(world, Grant(Role.OPERATOR, STAFF), Grant(Role.AUDITOR), owner=alice)
    world.administrators.ungrant("alice", (Grant(Role.OPERATOR),), actor=ADMIN, bound=EVERYTHING)
    assert bearer(world, made.secret).grants == (Grant(Role.AUDITOR),)
    world.administrators.grant("alice", (Grant(Role.OPERATOR),), actor=ADMIN, bound=EVERYTHING)
    assert bearer(world, made.secret).grants == made.token.grants


def test_its_use_is_noted_once_a_minute(world: World) -> None:
    """AUTHZ-7: when and from where a token was last used is shown, to the minute."""
    made = a_token(world, Grant(Role.AUDITOR))
    bearer(world, made.secret, "192.0.2.1")
    bearer(world, made.secret, "192.0.2.2")
    (token,) = world.store.tokens()
    assert (token.last_used_at, token.last_source) == (world.clock.now(), "192.0.2.1")
    world.clock.advance(timedelta(seconds=61))
    bearer(world, made.secret, "192.0.2.2")
    (token,) = world.store.tokens()
    assert (token.last_used_at, token.last_source) == (world.clock.now(), "192.0.2.2")


def test_no_token_is_more_than_who_makes_it(world: World) -> None:
    """ADM-071: a role, or a group, that whoever asks does not have is not handed out; nor is nothing."""
    for grants in ((Grant(Role.AUDITOR),), (Grant(Role.HELPDESK),), ()):
        with pytest.raises(AdminError) as error:
            world.tokens.create(NewToken("ci", grants, DAY, None), actor=ADMIN, bound=(Grant(Role.OPERATOR, STAFF),))
        assert error.value.reason.id == "ADM-071"
    assert world.store.tokens() == ()


@pytest.mark.parametrize("life", [timedelta(0), timedelta(seconds=59), timedelta(days=367)])
def test_a_token_ends(world: World, life: timedelta) -> None:
    """ADM-072: none is good for ever, or for no time."""
    with pytest.raises(AdminError) as error:
        world.tokens.create(NewToken("ci", EVERYTHING, life, None), actor=ADMIN, bound=EVERYTHING)
    assert error.value.reason.id == "ADM-072"


def test_a_name_is_taken_until_its_token_is_revoked(world: World) -> None:
    """ADM-003: the log calls a token by its name, so no two good ones have one."""
    first = a_token(world, Grant(Role.AUDITOR))
    with pytest.raises(AdminError) as error:
        a_token(world, Grant(Role.AUDITOR))
    assert error.value.reason.id == "ADM-003"
    world.tokens.revoke(first.token, actor=ADMIN)
    a_token(world, Grant(Role.AUDITOR))
    with pytest.raises(AdminError) as error:
        world.tokens.revoke(first.token, actor=ADMIN)
    assert error.value.reason.id == "ADM-074"


def test_what_a_token_made_ends_with_it(world: World) -> None:
    """Who found a token and made others with it loses them all when it is revoked."""
    found = a_token(world, Grant(Role.AUDITOR))
    for maker, name in (("token:ci", "child"), ("token:child", "grandchild"), ("user:bob", "other")):
        wanted = NewToken(name, (Grant(Role.AUDITOR),), DAY, None)
        world.tokens.create(wanted, actor=Actor(ActorKind.ADMIN, maker), bound=EVERYTHING)
    world.tokens.revoke(found.token, actor=ADMIN)
    assert [each.name for each in world.store.tokens() if each.revoked_at is None] == ["other"]
