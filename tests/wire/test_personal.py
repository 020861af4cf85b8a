"""Pseudonyms in records: what is personal does not stand in them, and can still be proved (PRIV-1, AUD-6)."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.model import Action, Actor, ActorKind, EventDraft, JsonValue, Outcome
from regalia.wire.event import CappedDraft, capped, encode_capped, read_fields, read_record
from regalia.wire.event_fields import KEPT
from regalia.wire.personal import Pseudonyms, personal_agrees, with_pseudonyms, without_pseudonyms

KEY = bytes(range(32))
PSEUDONYMS = Pseudonyms(3, KEY)
DRAFT = EventDraft(
    at=datetime(2026, 3, 1, 9, tzinfo=UTC),
    actor=Actor(ActorKind.DEVICE, "192.0.2.7", "192.0.2.7"),
    action=Action.CERTIFICATE_ISSUED,
    object="certificate:1f",
    outcome=Outcome.OK,
    group="default",
    details={"kind": "leaf", "subject": "CN=laptop-7", "names": ["cn:laptop-7"], "device": "laptop-7"},
)
_TEXT = st.text(max_size=20)
_DRAFTS = st.builds(
    EventDraft,
    at=st.just(DRAFT.at),
    actor=st.builds(Actor, st.sampled_from(ActorKind), _TEXT, _TEXT),
    action=st.sampled_from(Action),
    object=_TEXT | st.builds("source:{}".format, _TEXT),
    outcome=st.sampled_from(Outcome),
    details=st.dictionaries(
        _TEXT | st.sampled_from(["subject", "kind", "names"]),
        st.none() | st.integers(0, 9) | _TEXT | st.lists(_TEXT),
    ),
)


def encoded(draft: EventDraft, pseudonyms: Pseudonyms = PSEUDONYMS) -> tuple[bytes, str | None]:
    """Write a record as the store does."""
    short = capped(draft)
    shown, personal = with_pseudonyms(short, pseudonyms) or (None, None)
    return encode_capped("node/0", 1, bytes(32), short, shown), personal


def test_a_pseudonym_is_an_hmac() -> None:
    """A pseudonym is HMAC-SHA-256 of the value's JSON, cut to 24 octets: whoever has the key can compute it."""
    told = hmac.digest(KEY, b'"192.0.2.7"', "sha256")[:24].hex()
    assert PSEUDONYMS.of("192.0.2.7") == f"~{told}"
    assert PSEUDONYMS.of(["cn:a"]) == Pseudonyms(9, KEY).of(["cn:a"])
    assert PSEUDONYMS.of("a") != Pseudonyms(3, bytes(32)).of("a")
    assert PSEUDONYMS.of("1") != PSEUDONYMS.of(1)
    long = Pseudonyms(1, bytes(200)).of("a")
    assert long == "~" + hmac.digest(bytes(200), b'"a"', "sha256")[:24].hex()


def test_priv1_no_record_names_anybody() -> None:
    """PRIV-1: addresses, names of devices and their certificates' names stand beside the record, not in it."""
    record, personal = encoded(DRAFT)
    assert b"laptop" not in record
    assert b"192.0.2" not in record
    assert b'"kind":"leaf"' in record
    assert b'"pseudonyms":3' in record
    assert personal is not None
    assert json.loads(personal) == {
        "actor.id": "192.0.2.7",
        "actor.source": "192.0.2.7",
        "details.subject": "CN=laptop-7",
        "details.names": ["cn:laptop-7"],
        "details.device": "laptop-7",
    }


def test_equal_values_have_equal_pseudonyms() -> None:
    """What was forgotten can still be counted: who did a thing twice has the same pseudonym twice, under one key."""
    first, _ = encoded(DRAFT)
    second, _ = encoded(replace(DRAFT, action=Action.CERTIFICATE_INTENT))
    one, other = read_record(first)[3], read_record(second)[3]
    assert one.actor.id == one.actor.source == other.actor.id
    assert one.details["device"] == other.details["device"]


def test_an_administrator_is_accountable_by_name() -> None:
    """Who commanded stands in the record for as long as there is a log; where he sat does not."""
    record, personal = encoded(replace(DRAFT, actor=Actor(ActorKind.ADMIN, "os:root", "192.0.2.9"), details={}))
    assert b"os:root" in record
    assert b"192.0.2.9" not in record
    assert personal == '{"actor.source":"192.0.2.9"}'


def test_an_object_that_is_an_address_is_personal() -> None:
    """A limit is told of the address that reached it, under a pseudonym, so that the kind of object stays."""
    record, personal = encoded(
        replace(DRAFT, actor=Actor(ActorKind.SYSTEM, "limits"), object="source:192.0.2.7", details={}),
    )
    assert read_record(record)[3].object == "source:" + PSEUDONYMS.of("192.0.2.7")
    assert personal == '{"object":"192.0.2.7"}'


def test_what_names_nobody_is_written_as_before() -> None:
    """A record without personal data has the form that it had when there were no pseudonyms."""
    draft = replace(DRAFT, actor=Actor(ActorKind.SYSTEM, "crl"), details={"kind": "leaf"})
    record, personal = encoded(draft)
    assert personal is None
    assert record == encode_capped("node/0", 1, bytes(32), capped(draft))


def test_aud6_what_is_not_listed_is_personal() -> None:
    """AUD-6: a detail that nobody thought about does not get into the record in clear."""
    record, personal = encoded(replace(DRAFT, details={"something_new": "secret words"}))
    assert b"secret words" not in record
    assert personal is not None
    assert "secret words" in personal


def test_aud6_each_action_is_in_the_list() -> None:
    """AUD-6: for each kind of event somebody has thought about which details may stand in clear."""
    assert set(KEPT) == set(Action)


@given(_DRAFTS)
def test_what_lies_beside_a_record_completes_it(draft: EventDraft) -> None:
    """Record and what lies beside it give the event as it was; without the latter the record is whole in itself."""
    record, personal = encoded(draft)
    read = read_record(record)[3]
    assert without_pseudonyms(read, personal) == replace(capped(draft), at=read.at)
    assert without_pseudonyms(read, None) == read
    fields = read_fields(record.decode())
    assert fields is not None
    assert personal is None or personal_agrees(fields, personal, PSEUDONYMS)


@pytest.mark.parametrize(
    "personal",
    [
        '{"actor.id":"192.0.2.8"}',
        '{"details.device":"laptop-8"}',
        '{"details.names":[]}',
        '{"details.nothing":"laptop-7"}',
        '{"object":"1f"}',
        '{"nowhere":"laptop-7"}',
        "[]",
        "{",
    ],
)
def test_what_was_not_recorded_does_not_agree(personal: str) -> None:
    """Whatever is changed beside a record shows: the pseudonym in it is of another value."""
    record, _ = encoded(DRAFT)
    fields = read_fields(record.decode())
    assert fields is not None
    assert not personal_agrees(fields, personal, PSEUDONYMS)


def test_the_memory_of_pseudonyms_has_an_end() -> None:
    """Many values do not fill the memory, and are not confused."""
    made = {PSEUDONYMS.of(f"192.0.2.{number}") for number in range(2000)}
    assert len(made) == 2000
    assert made == {Pseudonyms(3, KEY).of(f"192.0.2.{number}") for number in range(2000)}


def test_records_of_before_are_read() -> None:
    """A record from before there were pseudonyms is read in clear, and nothing is taken for one in it."""
    value: JsonValue = PSEUDONYMS.of("a")
    draft = CappedDraft(replace(DRAFT, details={"subject": value}))
    _, _, _, read = read_record(encode_capped("node/0", 1, bytes(32), draft))
    assert without_pseudonyms(read, None).details == {"subject": value}
