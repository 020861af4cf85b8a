"""Contract of administrators and set-up links."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import (
    Administrator,
    AdministratorState,
    Grant,
    OidcSubject,
    Passkey,
    Password,
    Reach,
    Role,
    SetupLink,
)
from regalia.ports import EventFilter
from store.samples import MINUTE, NOW, an_event, an_id, at_once, octets

if TYPE_CHECKING:
    from regalia.ports import Store

ISSUER = "https://login.example.org/v2"


def an_administrator(number: int = 1, name: str = "alice") -> Administrator:
    """Return somebody with two roles, two passkeys, two identities and a password."""
    return Administrator(
        id=an_id("administrator", number),
        name=name,
        display="Alice Ä.",
        state=AdministratorState.ENABLED,
        created_at=NOW,
        created_by="os:root",
        grants=(Grant(Role.OPERATOR, Reach(frozenset({"staff", "guests"}))), Grant(Role.AUDITOR)),
        passkeys=(a_passkey(2 * number + 1), a_passkey(2 * number)),
        subjects=(OidcSubject(ISSUER, f"{name}-2", NOW), OidcSubject(ISSUER, f"{name}-1", NOW + MINUTE)),
        password=Password("$argon2id$", octets(f"totp {number}"), 17, NOW),
    )


def a_passkey(number: int) -> Passkey:
    """Return a passkey."""
    return Passkey(octets(f"credential {number}"), octets(f"cose {number}", 77), number, f"key {number}", NOW)


def a_link(number: int = 1, administrator: Administrator | None = None) -> SetupLink:
    """Return an open set-up link."""
    of = None if administrator is None else administrator.id
    return SetupLink(octets(f"link {number}"), of, NOW, NOW + timedelta(hours=24))


def recorded(store: Store) -> list[str]:
    """Return the objects of all events."""
    return [event.draft.object for event in store.events(EventFilter())]


def test_an_administrator_comes_back_as_put_in(store: Store) -> None:
    """Somebody is found by id, name, each passkey and each identity; others are not."""
    alice, bob = an_administrator(), an_administrator(2, "bob")
    assert store.add_administrator(bob, (an_event(1),))
    assert store.add_administrator(alice, (an_event(2),))
    assert store.administrators() == (alice, bob)
    assert store.administrator(alice.id) == alice
    assert store.administrator_named("alice") == alice
    assert store.administrator_of_passkey(alice.passkeys[1].credential_id) == alice
    assert store.administrator_of_subject(ISSUER, "alice-1") == alice
    assert store.administrator_of_subject("https://other.example.org", "alice-1") is None
    assert store.administrator_of_passkey(b"nobody's") is None
    assert store.administrator(an_id("administrator", 9)) is None
    assert store.administrator_named("nul\0") is None
    assert recorded(store) == ["challenge:1", "challenge:2"]


def test_a_name_a_passkey_and_an_identity_are_one_persons(store: Store) -> None:
    """Nobody is added, and nobody changed, with what is somebody else's (CON-2); no event says so."""
    alice, bob = an_administrator(), an_administrator(2, "bob")
    store.add_administrator(alice, ())
    assert not store.add_administrator(replace(bob, name="alice"), (an_event(1),))
    assert not store.add_administrator(replace(bob, passkeys=alice.passkeys), (an_event(2),))
    assert not store.add_administrator(replace(bob, subjects=alice.subjects), (an_event(3),))
    assert store.add_administrator(bob, ())
    assert not store.change_administrator(bob, replace(bob, subjects=alice.subjects[:1]), (an_event(4),))
    assert not store.change_administrator(bob, replace(bob, passkeys=alice.passkeys[:1]), (an_event(5),))
    assert store.administrators() == (alice, bob)
    assert recorded(store) == []


def test_somebody_is_changed_as_a_whole(store: Store) -> None:
    """Roles, state, credentials change together; name, id and who made them stay."""
    alice = an_administrator()
    store.add_administrator(alice, ())
    changed = replace(
        alice, state=AdministratorState.DISABLED, grants=(), passkeys=alice.passkeys[1:], subjects=(), password=None
    )
    assert store.change_administrator(alice, replace(changed, name="mallory", created_by="nobody"), (an_event(1),))
    assert store.administrators() == (changed,)
    assert not store.change_administrator(alice, alice, (an_event(2),))
    assert recorded(store) == ["challenge:1"]


def test_of_two_who_change_somebody_at_once_one_wins(store: Store) -> None:
    """Eight that change the same state of somebody leave what one of them made."""
    alice = an_administrator()
    store.add_administrator(alice, ())

    def rename(number: int) -> bool:
        return store.change_administrator(alice, replace(alice, display=str(number)), (an_event(number),))

    won = at_once(8, rename)
    assert won.count(True) == 1
    found = store.administrator(alice.id)
    assert found is not None
    assert found.display == str(won.index(True) + 1)
    assert recorded(store) == [f"challenge:{found.display}"]


def test_what_a_change_stands_on_holds_when_it_is_made(store: Store) -> None:
    """Of two who disable each other, each because the other one is left, one stays enabled."""
    alice, bob = an_administrator(), an_administrator(2, "bob")
    store.add_administrator(alice, ())
    store.add_administrator(bob, ())

    def disable(number: int) -> bool:
        whom, other = (alice, bob) if number == 1 else (bob, alice)
        return store.change_administrator(whom, replace(whom, state=AdministratorState.DISABLED), (), still=(other,))

    assert sorted(at_once(2, disable)) == [False, True]
    states = [each.state for each in store.administrators()]
    assert sorted(states) == [AdministratorState.DISABLED, AdministratorState.ENABLED]


def test_being_seen_is_noted_once_a_minute_and_stands_in_no_changes_way(store: Store) -> None:
    """A use within a minute of the noted one is not noted; a change of who was seen meanwhile is made, and keeps it."""
    alice = an_administrator()
    store.add_administrator(alice, ())
    store.seen(alice.id, NOW)
    store.seen(alice.id, NOW + MINUTE)
    assert store.administrator(alice.id) == replace(alice, last_seen_at=NOW)
    store.seen(alice.id, NOW + MINUTE + timedelta(seconds=1))
    assert store.change_administrator(alice, replace(alice, display="A"), ())
    assert store.administrator(alice.id) == replace(
        alice, display="A", last_seen_at=NOW + MINUTE + timedelta(seconds=1)
    )


def test_a_set_up_link_is_good_once(store: Store) -> None:
    """Of eight who use a link at once one is told that it was good, and one event says so."""
    link = a_link()
    store.add_setup_link(link, (an_event(9),))
    assert store.setup_link(link.secret_sha256) == link
    assert store.setup_link(octets("another")) is None
    won = at_once(8, lambda number: store.use_setup_link(link.secret_sha256, NOW + MINUTE, (an_event(number),)))
    assert won.count(True) == 1
    assert store.setup_link(link.secret_sha256) == replace(link, used_at=NOW + MINUTE)
    assert recorded(store) == ["challenge:9", f"challenge:{won.index(True) + 1}"]


def test_a_set_up_link_ends(store: Store) -> None:
    """A link is no good at its end, and an unknown one never was."""
    store.add_setup_link(a_link(), ())
    assert not store.use_setup_link(a_link().secret_sha256, a_link().expires_at, (an_event(1),))
    assert not store.use_setup_link(octets("another"), NOW, (an_event(2),))
    assert store.use_setup_link(a_link().secret_sha256, a_link().expires_at - MINUTE, ())
    assert recorded(store) == []


def test_set_up_links_are_closed_by_whom_they_are_for(store: Store) -> None:
    """Closing somebody's links leaves those of others, and those for the first administrator, as they are."""
    alice, bob = an_administrator(), an_administrator(2, "bob")
    links = [a_link(1, alice), a_link(2, alice), a_link(3, bob), a_link(4)]
    for link in links:
        store.add_setup_link(link, ())
    store.use_setup_link(links[0].secret_sha256, NOW, ())
    assert store.close_setup_links(alice.id, NOW + MINUTE, (an_event(1),)) == 1
    assert store.close_setup_links(alice.id, NOW + MINUTE, (an_event(2),)) == 0
    assert store.close_setup_links(None, NOW + MINUTE, (an_event(3),)) == 1
    assert store.use_setup_link(links[2].secret_sha256, NOW + MINUTE, ())
    assert not store.use_setup_link(links[3].secret_sha256, NOW + MINUTE, ())
    assert recorded(store) == ["challenge:1", "challenge:3"]


def test_second_factors_are_wrapped_anew(store: Store) -> None:
    """The secret of a second factor is among those that a rotation of the master key wraps anew."""
    alice, bob = an_administrator(), replace(an_administrator(2, "bob"), password=None)
    store.add_administrator(alice, ())
    store.add_administrator(bob, ())
    (secret,) = store.sealed_secrets()
    assert secret.scope == f"administrator:{alice.id}"
    assert alice.password is not None
    assert secret.sealed == alice.password.totp_sealed
    assert store.replace_sealed(secret, b"anew")
    assert not store.replace_sealed(secret, b"once more")
    assert store.administrator(alice.id) == replace(alice, password=replace(alice.password, totp_sealed=b"anew"))
