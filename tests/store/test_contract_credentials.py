"""Contract of sessions, tokens, proposals and kept answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.model import (
    ApiToken,
    Grant,
    Proposal,
    ProposalState,
    Reach,
    Role,
    Session,
    SignInKind,
)
from regalia.ports import EventFilter, KeptAnswer
from store.samples import MINUTE, NOW, an_event, an_id, at_once, octets

if TYPE_CHECKING:
    from regalia.ports import Store

ALICE, BOB = an_id("administrator", 1), an_id("administrator", 2)
GRANTS = (Grant(Role.HELPDESK, Reach(frozenset({"staff"}))), Grant(Role.ADMIN))


def a_session(number: int = 1) -> Session:
    """Return a session of Alice's."""
    return Session(
        id=an_id("session", number),
        secret_sha256=octets(f"session {number}"),
        administrator=ALICE,
        kind=SignInKind.OIDC,
        source="192.0.2.9",
        created_at=NOW,
        seen_at=NOW,
        authenticated_at=NOW,
        ends_at=NOW + timedelta(hours=8),
        granted=GRANTS,
    )


def a_token(number: int = 1, name: str = "ci") -> ApiToken:
    """Return a token of Alice's."""
    return ApiToken(
        id=an_id("token", number),
        name=name,
        secret_sha256=octets(f"token {number}"),
        owner=ALICE,
        grants=GRANTS,
        created_at=NOW,
        created_by="user:alice",
        expires_at=NOW + timedelta(days=90),
    )


def a_proposal(number: int = 1) -> Proposal:
    """Return what Alice proposed."""
    return Proposal(
        id=an_id("proposal", number),
        verb="authority.create",
        asked={"name": "staff-2", "limits": [1, None, "ä"], "acknowledged": True},
        summary=("create authority staff-2", "sign it with the root"),
        group="staff",
        proposed_by="user:alice",
        proposer=ALICE,
        proposed_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )


def recorded(store: Store) -> list[str]:
    """Return the objects of all events."""
    return [event.draft.object for event in store.events(EventFilter())]


def test_a_session_comes_back_as_put_in(store: Store) -> None:
    """A session is found by the hash of its secret, also where no claims gave it roles."""
    one, other = a_session(), replace(a_session(2), administrator=BOB, granted=None)
    store.add_session(one, (an_event(1),))
    store.add_session(other, ())
    assert store.session(one.secret_sha256) == one
    assert store.session(octets("another")) is None
    assert store.sessions() == (other, one)
    assert store.sessions(ALICE) == (one,)
    assert recorded(store) == ["challenge:1"]


def test_a_session_is_ended_for_good(store: Store) -> None:
    """An ended session keeps the time of its end, is in no list, and cannot be proved alive again."""
    store.add_session(a_session(1), ())
    store.add_session(a_session(2), ())
    store.end_sessions([a_session(1).id, an_id("session", 9)], NOW + MINUTE, (an_event(1),))
    store.end_sessions([a_session(1).id], NOW + 2 * MINUTE, ())
    store.session_proved(a_session(1).id, NOW + 2 * MINUTE, octets("new"))
    assert store.session(octets("new")) is None
    assert store.session(a_session(1).secret_sha256) == replace(a_session(1), ended_at=NOW + MINUTE)
    assert store.sessions(ALICE) == (a_session(2),)
    assert recorded(store) == ["challenge:1"]


def test_who_proves_who_they_are_gets_another_secret(store: Store) -> None:
    """After a proof the session opens with its new secret only (WEB-4)."""
    store.add_session(a_session(), ())
    later = NOW + 5 * MINUTE
    store.session_proved(a_session().id, later, octets("new"))
    assert store.session(a_session().secret_sha256) is None
    assert store.session(octets("new")) == replace(
        a_session(), secret_sha256=octets("new"), authenticated_at=later, seen_at=later
    )


def test_a_sessions_use_is_noted_once_a_minute(store: Store) -> None:
    """What comes within a minute is not written."""
    store.add_session(a_session(), ())
    store.session_seen(a_session().id, NOW + MINUTE)
    assert store.sessions() == (a_session(),)
    store.session_seen(a_session().id, NOW + 2 * MINUTE)
    assert store.sessions() == (replace(a_session(), seen_at=NOW + 2 * MINUTE),)


def test_sessions_are_forgotten_when_they_are_over(store: Store) -> None:
    """What ended or would have ended before a time is deleted; what may be alive stays."""
    for number in (1, 2, 3):
        store.add_session(replace(a_session(number), ends_at=NOW + number * timedelta(hours=1)), ())
    store.end_sessions([a_session(3).id], NOW, ())
    assert store.forget_sessions(NOW + timedelta(hours=2)) == 2
    assert [each.id for each in store.sessions()] == [a_session(2).id]
    assert store.session(a_session(3).secret_sha256) is None


def test_a_token_comes_back_as_put_in(store: Store) -> None:
    """A token is found by the hash of its secret (AUTHZ-7), newest first in the list, with and without an owner."""
    one, other = a_token(), replace(a_token(2, "rescue"), owner=None)
    assert store.add_token(one, (an_event(1),))
    assert store.add_token(other, ())
    assert store.token(one.secret_sha256) == one
    assert store.token(octets("another")) is None
    assert store.tokens() == (other, one)
    assert recorded(store) == ["challenge:1"]


def test_a_tokens_name_is_free_again_when_it_is_revoked(store: Store) -> None:
    """No two tokens that were not revoked have one name, whoever owns them; of eight at once one is made."""
    made = at_once(8, lambda number: store.add_token(a_token(number), (an_event(number),)))
    assert made.count(True) == 1
    assert len(recorded(store)) == 1
    (first,) = store.tokens()
    assert not store.add_token(replace(a_token(9), owner=BOB), ())
    assert store.revoke_token(first.id, NOW + MINUTE, (an_event(20),))
    assert not store.revoke_token(first.id, NOW + 2 * MINUTE, (an_event(21),))
    assert not store.revoke_token(an_id("token", 99), NOW, ())
    assert store.token(first.secret_sha256) == replace(first, revoked_at=NOW + MINUTE)
    assert store.add_token(a_token(9), ())
    assert recorded(store)[1:] == ["challenge:20"]


def test_a_tokens_use_is_noted_once_a_minute(store: Store) -> None:
    """The first use is noted, what comes within a minute is not."""
    store.add_token(a_token(), ())
    store.token_used(a_token().id, NOW, "192.0.2.1")
    store.token_used(a_token().id, NOW + MINUTE, "192.0.2.2")
    assert store.tokens() == (replace(a_token(), last_used_at=NOW, last_source="192.0.2.1"),)
    store.token_used(a_token().id, NOW + 2 * MINUTE, "192.0.2.2")
    assert store.tokens() == (replace(a_token(), last_used_at=NOW + 2 * MINUTE, last_source="192.0.2.2"),)


def test_where_a_token_was_used_from_is_forgotten(store: Store) -> None:
    """The address goes when its time is over (PRIV-1); when it was used stays."""
    for number in (1, 2):
        store.add_token(a_token(number, f"ci-{number}"), ())
        store.token_used(a_token(number).id, NOW + number * MINUTE, "192.0.2.1")
    assert store.forget_token_sources(NOW + 2 * MINUTE) == 1
    assert store.forget_token_sources(NOW + 2 * MINUTE) == 0
    second, first = store.tokens()
    assert (first.last_source, first.last_used_at) == ("", NOW + MINUTE)
    assert second.last_source == "192.0.2.1"


def test_a_proposal_comes_back_as_put_in(store: Store) -> None:
    """What was asked, and what it would do, come back as they were."""
    one, other = a_proposal(), replace(a_proposal(2), group=None, proposer=None)
    store.add_proposal(one, (an_event(1),))
    store.add_proposal(other, ())
    assert store.proposal(one.id) == one
    assert store.proposal(an_id("proposal", 9)) is None
    assert store.proposals() == (other, one)
    assert store.proposals(ProposalState.OPEN) == (other, one)
    assert store.proposals(ProposalState.DONE) == ()
    assert recorded(store) == ["challenge:1"]


def test_of_two_who_decide_at_once_one_wins(store: Store) -> None:
    """Eight that decide an open proposal leave one decision and one event; the way from there is as narrow."""
    store.add_proposal(a_proposal(), ())

    def approve(number: int) -> bool:
        decided = replace(
            a_proposal(), state=ProposalState.APPROVED, decided_by=f"user:{number}", decided_at=NOW + MINUTE
        )
        return store.decide_proposal(a_proposal(), decided, (an_event(number),))

    won = at_once(8, approve)
    assert won.count(True) == 1
    approved = store.proposal(a_proposal().id)
    assert approved is not None
    assert approved.decided_by == f"user:{won.index(True) + 1}"
    done = replace(approved, state=ProposalState.DONE, outcome={"name": "staff-2"}, note="ok")
    assert not store.decide_proposal(replace(approved, decided_by="user:9"), done, ())
    assert store.decide_proposal(approved, done, ())
    assert store.proposal(done.id) == done
    assert store.proposals(ProposalState.OPEN) == ()
    assert len(recorded(store)) == 1


def test_an_answer_is_kept_for_who_repeats(store: Store) -> None:
    """Of eight with one key one is at work; later ones get its answer, with another caller or key they do not."""
    request = octets("request")
    begun = at_once(8, lambda _: store.begin_answer("user:alice", "key", request, NOW))
    assert begun.count(None) == 1
    assert [each for each in begun if each is not None] == [KeptAnswer(request, 0, b"")] * 7
    answer = KeptAnswer(request, 201, b"{}")
    store.keep_answer("user:alice", "key", answer)
    store.keep_answer("user:alice", "key", replace(answer, status=500))
    store.drop_answer("user:alice", "key")
    assert store.begin_answer("user:alice", "key", octets("other"), NOW) == answer
    assert store.begin_answer("user:bob", "key", request, NOW) is None
    assert store.begin_answer("user:alice", "other", request, NOW) is None


def test_a_key_whose_request_came_to_nothing_is_free(store: Store) -> None:
    """A dropped key can be taken again; answers go when they are old."""
    request = octets("request")
    assert store.begin_answer("user:alice", "key", request, NOW) is None
    store.drop_answer("user:alice", "key")
    assert store.begin_answer("user:alice", "key", request, NOW + MINUTE) is None
    store.keep_answer("user:alice", "key", KeptAnswer(request, 200, b"x"))
    store.forget_answers(NOW + MINUTE)
    assert store.begin_answer("user:alice", "key", request, NOW + MINUTE) is not None
    store.forget_answers(NOW + 2 * MINUTE)
    assert store.begin_answer("user:alice", "key", request, NOW + MINUTE) is None
