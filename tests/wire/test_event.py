"""Records of the audit log: one canonical form, fields that have an end, and reading that accepts nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.errors import InvariantError
from regalia.model import Action, Actor, ActorKind, EventDraft, JsonValue, Outcome
from regalia.wire.event import FIELD_OCTETS, RecordError, canonical_record, capped, read_record, record_hash

_DRAFT = EventDraft(
    at=datetime(2026, 3, 1, 9, 0, 0, 123000, tzinfo=UTC),
    actor=Actor(ActorKind.DEVICE, "192.0.2.7", "192.0.2.7"),
    action=Action.ENROLMENT_REFUSED,
    object="enrolment:1",
    outcome=Outcome.REFUSED,
    group="default",
    reason_id="RA-011",
    security=True,
    details={"names": ["cn:bücher"], "count": 2, "known": None},
)
_ZERO = bytes(32)

_TEXT = st.text(st.characters(), max_size=40)
_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | _TEXT | st.text(min_size=300, max_size=2000),
    lambda children: st.lists(children, max_size=80) | st.dictionaries(_TEXT, children, max_size=5),
    max_leaves=20,
)
_DRAFTS = st.builds(
    EventDraft,
    at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware by timezones
    actor=st.builds(Actor, st.sampled_from(ActorKind), _TEXT, _TEXT),
    action=st.sampled_from(Action),
    object=_TEXT,
    outcome=st.sampled_from(Outcome),
    group=st.none() | _TEXT,
    reason_id=st.none() | _TEXT,
    transaction_id=st.none() | _TEXT,
    serial=st.none() | _TEXT,
    security=st.booleans(),
    details=st.dictionaries(_TEXT, _JSON, max_size=5),
)


@given(_DRAFTS)
def test_aud2_the_canonical_form_is_sorted_json(draft: EventDraft) -> None:
    """AUD-2: what is written is what a JSON encoder makes of its value with sorted keys and no white space."""
    record = canonical_record("node/0", 7, _ZERO, draft).decode()
    again = json.dumps(json.loads(record), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert record == again


def test_aud2_the_canonical_form_is_fixed() -> None:
    """AUD-2: sorted keys, UTF-8, no white space, milliseconds, every key present."""
    assert canonical_record("node/0", 7, _ZERO, _DRAFT).decode() == (
        '{"action":"enrolment.refused","actor":{"id":"192.0.2.7","kind":"device","source":"192.0.2.7"},'
        '"at":"2026-03-01T09:00:00.123Z","details":{"count":2,"known":null,"names":["cn:bücher"]},'
        '"group":"default","object":"enrolment:1","outcome":"refused","previous":"' + "00" * 32 + '",'
        '"reason":"RA-011","security":true,"sequence":7,"serial":null,"stream":"node/0","transaction":null}'
    )


@given(_DRAFTS)
def test_a_record_is_read_as_it_was_written(draft: EventDraft) -> None:
    """AUD-2: what is read from a record gives that record again, octet for octet, whatever a peer put into it."""
    record = canonical_record("node/0", 1, _ZERO, draft)
    stream, sequence, previous, read = read_record(record)
    assert (stream, sequence, previous) == ("node/0", 1, _ZERO)
    assert canonical_record(stream, sequence, previous, read) == record
    assert read == replace(capped(draft), at=read.at)
    assert abs(read.at - draft.at) < timedelta(milliseconds=1)


@given(_DRAFTS)
def test_aud5_capping_twice_changes_nothing(draft: EventDraft) -> None:
    """AUD-5: a capped event stays as it is, so a store may cap before it fills its columns."""
    assert capped(capped(draft)) == capped(draft)


@given(st.text(st.characters(), min_size=2000, max_size=3000))
def test_aud5_every_field_ends_at_one_kibibyte_with_a_marker(text: str) -> None:
    """AUD-5: texts are cut to 1 KiB of UTF-8 and say so; entries of details to 1 KiB of JSON."""
    draft = replace(
        _DRAFT, object=text, actor=Actor(ActorKind.ADMIN, text, text), details={"a": text, "b": [text] * 30}
    )
    result = capped(draft)
    for field in (result.object, result.actor.id, result.actor.source, result.details["a"]):
        assert isinstance(field, str)
        assert len(field.encode()) <= FIELD_OCTETS
        assert field.endswith("…(cut)")
    assert len(json.dumps(result.details["b"], ensure_ascii=False, separators=(",", ":")).encode()) <= FIELD_OCTETS


def test_aud5_long_lists_and_many_details_are_cut_with_a_marker() -> None:
    """AUD-5: a list keeps its first entries and ends with the marker; of 100 details 63 and a count stay."""
    details: dict[str, JsonValue] = {f"k{number:03}": number for number in range(100)}
    names: list[JsonValue] = [f"dns:host-{number}.devices.example.com" for number in range(60)]
    result = capped(replace(_DRAFT, details={"names": names}))
    kept = result.details["names"]
    assert isinstance(kept, list)
    assert kept[:8] == names[:8]
    assert kept[-1] == "…(cut)"
    many = capped(replace(_DRAFT, details=details)).details
    assert len(many) == 64
    assert many["…(cut)"] == 37


def test_text_that_a_database_cannot_hold_is_replaced() -> None:
    """A NUL and a lone surrogate from a peer cannot keep an event from being written."""
    assert capped(replace(_DRAFT, object="a\x00b\ud800")).object == "a\u2400b\ufffd"


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63), b"octets", object(), float("nan")])
def test_aud2_values_without_one_canonical_form_are_our_bug(value: object) -> None:
    """AUD-2: a float, a huge integer or an object never enters a record."""
    with pytest.raises(InvariantError):
        canonical_record("node/0", 1, _ZERO, replace(_DRAFT, details={"value": [value]}))  # type: ignore[list-item]  # what must be refused


def test_times_are_written_in_utc() -> None:
    """A time in another zone is the same record."""
    moved = replace(_DRAFT, at=_DRAFT.at.astimezone(timezone(timedelta(hours=5))))
    assert canonical_record("s", 1, _ZERO, moved) == canonical_record("s", 1, _ZERO, _DRAFT)


_RECORD = canonical_record("node/0", 1, _ZERO, _DRAFT)


@pytest.mark.parametrize(
    "changed",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        _RECORD + b"\n",
        b" " + _RECORD,
        _RECORD.replace(b'"count":2', b'"count":2.0'),
        _RECORD.replace(b'"count":2', b'"count":NaN'),
        _RECORD.replace(b'"count":2', b'"count":2,"count":2'),
        _RECORD.replace(b'"sequence":1', b'"sequence":"1"'),
        _RECORD.replace(b'"sequence":1', b'"sequence":true'),
        _RECORD.replace(b'"security":true', b'"security":1'),
        _RECORD.replace(b'"group":"default"', b'"group":7'),
        _RECORD.replace(b'"group":"default",', b""),
        _RECORD.replace(b'{"action"', b'{"Action":1,"action"'),
        _RECORD.replace(b"enrolment.refused", b"enrolment.unheard-of"),
        _RECORD.replace(b"2026-03-01T09:00:00.123Z", b"2026-03-01T10:00:00.123+01:00"),
        _RECORD.replace(b"2026-03-01T09:00:00.123Z", b"0001-01-01T00:00:00.000+23:00"),
        _RECORD.replace(b"00" * 32, b"00" * 31),
        _RECORD.replace("ü".encode(), b"\\u00fc"),
        b"[" * 100_000,
    ],
)
def test_only_the_canonical_form_is_read(changed: bytes) -> None:
    """AUD-2: another spelling, type, key or order of the same facts is not a record."""
    with pytest.raises(RecordError):
        read_record(changed)


@given(st.integers(0, len(_RECORD) - 1), st.integers(1, 255))
def test_every_changed_octet_shows(position: int, change: int) -> None:
    """AUD-3: a changed octet is either no record or has another hash."""
    octets = bytearray(_RECORD)
    octets[position] ^= change
    assert record_hash(bytes(octets)) != record_hash(_RECORD) == hashlib.sha256(_RECORD).digest()
    try:
        read = read_record(bytes(octets))
    except RecordError:
        return
    assert read != read_record(_RECORD)
