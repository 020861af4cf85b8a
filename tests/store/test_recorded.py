"""No change without its record: what cannot be recorded does not happen, whoever changes what (AUD-1)."""

from __future__ import annotations

import ast
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from regalia import store as room
from regalia.errors import InvariantError
from regalia.model import (
    AuthorityState,
    CheckpointKey,
    CredentialPurpose,
    KeyKind,
    NdesEncoding,
    NdesPage,
    Revocation,
    RevocationReason,
    SignedCheckpoint,
)
from regalia.ports import Forgotten, WrappedKey
from regalia.store.tables import metadata
from store.databases import run
from store.samples import (
    NOW,
    a_challenge,
    a_credential,
    a_group,
    a_pending_enrolment,
    a_profile,
    a_static_challenge,
    an_authority,
    an_endpoint,
    an_enrolment,
    an_event,
    an_id,
    an_intent,
    octets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from regalia.model import EventDraft
    from regalia.store import SqlStore

ROOM = Path(room.__file__).parent

WITHOUT = {
    "begin_crl": "an intent of the CRL, whose publication is recorded",
    "reserve_crl": "takes a number, so that none is used twice; the publication is recorded",
    "reserve_delta": "the same for a delta",
    "forget_refusals": "housekeeping of what events keep (R13)",
    "forget_sealed_challenges": "removes secrets that nobody needs any more (CHA-4)",
    "lease": "which process runs a job decides nothing",
    "give_back": "the same",
    "probe": "asks whether the store writes, and changes nothing",
    "finished": "the same",
    "replace_wrapped": "rotation of the master key, recorded once for all keys",
    "replace_sealed": "the same",
    "add_own_key": "a key of ours that no device may have, of a certificate that was made elsewhere",
    "seen": "that somebody was here changes nothing; what they did is recorded",
    "session_seen": "the same",
    "token_used": "the same",
    "session_proved": "the proof is recorded before the session gets its next secret",
    "begin_answer": "what was asked is recorded, its repetition is not",
    "keep_answer": "the same",
    "drop_answer": "the same",
    "forget_answers": "housekeeping of what nobody repeats any more",
    "forget_sessions": "housekeeping of what events keep (WEB-4)",
    "forget_token_sources": "addresses whose time is over (PRIV-1); the use is in the events of what was done",
    "count_try": "counts what was refused, and each refusal is recorded",
    "forget_tries": "the same: it was right, and that is recorded",
    "spend": "what is good once in the sign-in that is recorded",
    "forget_sign_ins": "housekeeping of what has ended by itself",
    "claim_notice": "which process tells a connector decides nothing; how the telling ended is recorded",
    "claim_delivery": "which process tells of an alert decides nothing; how the telling ended is recorded",
    "forget_alerts": "housekeeping of what events keep",
    "index_more": "what searches go by says what is stored elsewhere",
    "keep_figures": "what is counted says what is stored elsewhere",
    "forget_figures": "the same, of days that no page shows",
    "add_checkpoint_key": "the public half of a key whose making is recorded",
}
"""Methods that write and take no events, each with its reason."""

_GIVEN = {"events", "told", "inspected"}
"""How parameters are called that hold or make the events of a change."""
_WRITERS = {"write", "_won", "_change_catalogue", "_add_to_catalogue"}


def methods() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Return the methods of all nouns' adapters, private ones too."""
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Sql") and not node.name.startswith("Sqlite"):
                yield from ((each.name, each) for each in node.body if isinstance(each, ast.FunctionDef))


def called(function: ast.FunctionDef) -> set[str]:
    """Return what attributes a method calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {call.attr for call in calls if isinstance(call, ast.Attribute)}


def given(function: ast.FunctionDef) -> set[str]:
    """Return the parameters of a method that are events."""
    arguments = function.args
    return {each.arg for each in (*arguments.args, *arguments.kwonlyargs)} & _GIVEN


def writing() -> dict[str, ast.FunctionDef]:
    """Return the methods that write, themselves or by another one of them."""
    found = {name: function for name, function in methods() if called(function) & _WRITERS}
    callers = {name: function for name, function in methods() if called(function) & found.keys()}
    return found | callers


def hands_on(function: ast.FunctionDef) -> bool:
    """Whether the events of a method reach `record`, or what they are given to together with the change."""
    names = given(function)
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        arguments = (*node.args, *(keyword.value for keyword in node.keywords))
        inside = {each.id for one in arguments for each in ast.walk(one) if isinstance(each, ast.Name)}
        if inside & names and not (isinstance(node.func, ast.Name) and node.func.id in {"tuple", "list", "len"}):
            return True
    return False


def test_each_change_takes_its_events() -> None:
    """AUD-1: every method of the store that writes is given the events of the change, or says why there are none."""
    public = {name: function for name, function in writing().items() if not name.startswith("_")}
    silent = {name for name, function in public.items() if not given(function)}
    assert silent - WITHOUT.keys() - {"record", "check", "erase", "close"} == set()
    assert WITHOUT.keys() - {name for name, _ in methods()} == set()


def test_each_change_hands_its_events_on() -> None:
    """AUD-1: none of them drops what it is given."""
    dropped = [name for name, function in writing().items() if given(function) and not hands_on(function)]
    assert dropped == []


# --- on real databases ----------------------------------------------------------------------------------------------

EVENTS = (an_event(99),)
PAGE = NdesPage(
    "default", "mdm", "$hash$", 32, NdesEncoding.UTF_8, 5, 10, (), certsrv=False, allow_binding=False, changed_at=NOW
)


def a_wrapped_key(number: int) -> WrappedKey:
    """Return a key."""
    return WrappedKey(an_id("key", number), KeyKind.P256, "ra:staff", b"spki", b"blob", NOW)


def a_signed_checkpoint() -> SignedCheckpoint:
    """Return a checkpoint as it is kept; nothing is verified here."""
    return SignedCheckpoint(1, b"{}", octets("hash"), b"signature")


def fill(store: SqlStore) -> None:
    """Lay ground for every change."""
    store.add_authority(an_authority(), ())
    store.add_group(a_group(), ())
    store.add_profile(a_profile(), ())
    store.add_endpoint(an_endpoint(), ())
    store.add_challenge(a_challenge(1), ())
    store.add_challenge(a_static_challenge(2), ())
    store.put_key(a_wrapped_key(1), ())
    store.set_ndes_page(PAGE, ())
    for number in (1, 2, 3):
        store.begin(an_intent(number), ())
    store.finish(an_intent(1).id, b"der", NOW, ())
    store.hold(a_pending_enrolment(8), ())
    store.add_pseudonym_key(1, NOW, NOW, b"sealed", ())
    store.record((an_event(1),))


CHANGES: dict[str, Callable[[SqlStore], object]] = {
    "add_authority": lambda store: store.add_authority(an_authority("other-ca"), EVENTS),
    "set_authority_state": lambda store: store.set_authority_state("staff-ca", AuthorityState.REVOKED, EVENTS),
    "add_credential": lambda store: store.add_credential(a_credential(1, CredentialPurpose.RA), EVENTS),
    "add_group": lambda store: store.add_group(a_group("other"), EVENTS),
    "suspend_group": lambda store: store.suspend_group("staff", NOW, "drill", EVENTS),
    "add_profile": lambda store: store.add_profile(a_profile(version=2), EVENTS),
    "add_endpoint": lambda store: store.add_endpoint(an_endpoint("other"), EVENTS),
    "disable_endpoint": lambda store: store.disable_endpoint("default", EVENTS),
    "add_challenge": lambda store: store.add_challenge(a_challenge(3), EVENTS),
    "rotate_challenge": lambda store: store.rotate_challenge(a_static_challenge(4), NOW, EVENTS),
    "revoke_challenge": lambda store: store.revoke_challenge(a_challenge(1).id, NOW, EVENTS),
    "set_ndes_page": lambda store: store.set_ndes_page(PAGE, EVENTS),
    "remove_ndes_page": lambda store: store.remove_ndes_page("default", EVENTS),
    "hand_out": lambda store: store.hand_out(a_challenge(5), PAGE, EVENTS),
    "hold": lambda store: store.hold(a_pending_enrolment(9), EVENTS),
    "dismiss": lambda store: store.dismiss(a_pending_enrolment(8).id, NOW, "RA-018", "", EVENTS),
    "record_refusal": lambda store: store.record_refusal(a_pending_enrolment(7), EVENTS),
    "begin": lambda store: store.begin(
        an_intent(4, an_enrolment(4)), EVENTS, enrolment=an_enrolment(4), consume=a_challenge(1).id
    ),
    "finish": lambda store: store.finish(an_intent(2).id, b"der", NOW, EVENTS),
    "abandon": lambda store: store.abandon(an_intent(3).id, NOW, EVENTS),
    "revoke": lambda store: store.revoke(
        Revocation(an_intent(1).id, RevocationReason.SUPERSEDED, "administrator", "os:root", NOW), EVENTS
    ),
    "put_key": lambda store: store.put_key(a_wrapped_key(2), EVENTS),
    "destroy_key": lambda store: store.destroy_key(a_wrapped_key(1).id, EVENTS),
    "end_key": lambda store: store.end_key(a_wrapped_key(1).id, EVENTS),
    "compromise_key": lambda store: store.compromise_key(octets("key"), NOW, "os:root", "", EVENTS),
    "add_checkpoint": lambda store: store.add_checkpoint(
        a_signed_checkpoint(), NOW, 1, CheckpointKey(2, an_id("key", 3), b"spki", NOW), EVENTS
    ),
    "add_pseudonym_key": lambda store: store.add_pseudonym_key(2, NOW, NOW, b"sealed", EVENTS),
    "destroy_pseudonym_key": lambda store: store.destroy_pseudonym_key(1, NOW, EVENTS),
    "forget_personal": lambda store: store.forget_personal(a_challenge(1).expires_at.replace(year=2100), _told),
    "record": lambda store: store.record(EVENTS),
}
"""Each kind of change, with what records it."""


def _told(forgotten: Forgotten) -> tuple[EventDraft, ...]:
    assert forgotten.any
    return EVENTS


def rows(url: str) -> dict[str, list[str]]:
    """Return all that is in the database, but for how far housekeeping has looked (`retention`)."""
    names = sorted(metadata.tables.keys() - {"retention"})
    found: dict[str, list[str]] = {}
    with reading(url) as execute:
        for name in names:
            found[name] = sorted(map(repr, execute(f'SELECT * FROM "{name}"')))  # noqa: S608 - tables of ours
    return found


@contextmanager
def reading(url: str) -> Iterator[Callable[[str], Iterable[object]]]:
    """Read on one connection: there are many tables."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as postgresql:
            yield lambda statement: postgresql.execute(statement.encode()).fetchall()
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as sqlite:
        yield lambda statement: sqlite.execute(statement).fetchall()


REFUSING = {
    "sqlite": "CREATE TRIGGER full_log BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'the log is full'); END",
    "postgresql": "CREATE TRIGGER full_log BEFORE INSERT ON event FOR EACH ROW"
    " EXECUTE FUNCTION regalia_refuse('the log is full')",
}


def test_what_cannot_be_recorded_does_not_happen(sql: SqlStore, url: str) -> None:
    """AUD-1: while the log takes nothing, every kind of change fails and leaves no trace; after that each is done."""
    fill(sql)
    before = rows(url)
    run(url, REFUSING[url.partition(":")[0]])
    for name, change in CHANGES.items():
        with pytest.raises(InvariantError):
            change(sql)
        assert rows(url) == before, name
    run(url, "DROP TRIGGER full_log" + (" ON event" if url.startswith("postgresql") else ""))
    done = CHANGES["revoke_challenge"](sql)
    assert done is True
    assert sql.challenge_by_id(a_challenge(1).id) is not None
    assert rows(url) != before
