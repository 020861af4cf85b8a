"""Exports of the log: what is written can be verified alone, and what was changed in it is found."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.model import (
    Action,
    Actor,
    ActorKind,
    Checkpoint,
    EventDraft,
    Outcome,
    SignedCheckpoint,
    StreamHead,
)
from regalia.ports import StoredRecord
from regalia.ra.export import Ending, export_lines, guarded, verify_export
from regalia.wire.checkpoint import checkpoint_record
from regalia.wire.event import RecordError, capped, encode_capped, record_hash
from regalia.wire.personal import Pseudonyms, with_pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY = ec.derive_private_key(7, ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
OTHER = ec.derive_private_key(8, ec.SECP256R1()).public_key()
ABOUT = {"since": None, "until": None, "group": None, "after": "0"}


def sign(octets: bytes) -> bytes:
    """Sign as the checkpoints' key does."""
    return KEY.sign(octets, ec.ECDSA(hashes.SHA256()))


def records(count: int = 6) -> list[StoredRecord]:
    """Return a stream of records, with names that are awkward in files."""
    previous, found = bytes(32), []
    for number in range(1, count + 1):
        draft = EventDraft(
            at=datetime(2026, 3, 1, tzinfo=UTC),
            actor=Actor(ActorKind.DEVICE, "=cmd|x", "192.0.2.7\n"),
            action=Action.ENROLMENT_REFUSED,
            object="endpoint:default",
            outcome=Outcome.REFUSED,
            details={"title": "no\u2028", "asked": ['cn:"a",\u2028b\nc']},
        )
        short = capped(draft)
        shown, personal = with_pseudonyms(short, Pseudonyms(1, bytes(32))) or (None, None)
        record = encode_capped("node/0", number, previous, short, shown)
        previous = record_hash(record)
        found.append(StoredRecord(number + 40, previous, record.decode(), personal))
    return found


def ending(stored: Sequence[StoredRecord]) -> Ending:
    """Return the end, with a checkpoint of all of them."""
    head = StreamHead("node/0", len(stored), stored[-1].hash)
    checkpoint = Checkpoint(
        1, datetime(2026, 3, 2, tzinfo=UTC), bytes(32), "system", hashlib.sha256(SPKI).digest(), (head,)
    )
    record = checkpoint_record(checkpoint)
    signed = SignedCheckpoint(1, record, hashlib.sha256(record).digest(), sign(record))
    return Ending(sign, SPKI, signed, SPKI)


def exported(*, as_csv: bool, only: slice = slice(None)) -> list[bytes]:
    """Export some of the records."""
    stored = records()
    return list(export_lines(stored[only], ABOUT, ending(stored), as_csv=as_csv))


BOTH = pytest.mark.parametrize("as_csv", [False, True], ids=["jsonl", "csv"])


@BOTH
def test_an_export_verifies_alone(*, as_csv: bool) -> None:
    """All that it takes to verify it is in the file; with the key that was noted it is this log's."""
    lines = exported(as_csv=as_csv)
    verified = verify_export(lines)
    assert (verified.streams, verified.records, verified.findings) == (1, 6, ())
    assert verified.proved == "the key in the file"
    assert verify_export(lines, (SPKI,)).proved == "the trusted key"
    stranger = OTHER.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert [one.what.partition(":")[0] for one in verify_export(lines, (stranger,)).findings] == ["forged"]


@BOTH
def test_a_part_of_the_log_verifies_as_well(*, as_csv: bool) -> None:
    """Records that were chosen are whole in themselves, and those that follow one another do so in the file."""
    for only in (slice(2, 4), slice(None, None, 2), slice(0, 0)):
        assert verify_export(exported(as_csv=as_csv, only=only)).findings == ()


@BOTH
def test_numbers_of_one_commit_may_lie_in_any_order(*, as_csv: bool) -> None:
    """PostgreSQL numbers the records of one commit as it likes; that is no finding."""
    stored = records()
    mixed = [stored[0], stored[3], stored[2], stored[1], stored[5], stored[4]]
    assert verify_export(export_lines(mixed, ABOUT, ending(stored), as_csv=as_csv)).findings == ()


ALTERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a changed record": lambda lines: [line.replace(b"refused", b"granted", 1) for line in lines],
    "a removed record": lambda lines: [*lines[:3], *lines[4:]],
    "a record twice": lambda lines: [*lines[:3], *lines[2:]],
    "another name beside it": lambda lines: [line.replace(b"=cmd|x", b"nobody") for line in lines],
    "another count": lambda lines: [line.replace(b'records\\":6', b'records\\":7') for line in lines],
    "another head": lambda lines: [b"position,x\n" if lines[0][:1] == b"p" else b'{"export":1}\n', *lines[1:]],
    "a line of nothing": lambda lines: [*lines[:3], b"nothing\n", *lines[3:]],
}


@BOTH
@pytest.mark.parametrize("name", [name for name in ALTERED if name != "another count"])
def test_what_is_changed_in_a_file_is_found(name: str, *, as_csv: bool) -> None:
    """Whatever is changed, removed or added in an export shows."""
    assert verify_export(ALTERED[name](exported(as_csv=as_csv))).findings != ()


def test_the_end_is_signed_as_a_whole() -> None:
    """Who changes what the end says has to sign it."""
    findings = verify_export(ALTERED["another count"](exported(as_csv=False))).findings
    assert [one.what.partition(":")[0] for one in findings] == ["forged"]


def test_a_checkpoint_in_the_end_judges_the_records() -> None:
    """A stream that was written anew and signed by the right key does not fit the checkpoint of before."""
    stored = records()
    end = ending(stored)
    other = stored[5].record.replace('title":"no', 'title":"yes')
    forged = [*stored[:5], StoredRecord(46, record_hash(other.encode()), other, stored[5].personal)]
    findings = verify_export(export_lines(forged, ABOUT, end, as_csv=False)).findings
    assert [(one.stream, one.sequence) for one in findings] == [("node/0", 6)]


@BOTH
def test_a_file_that_was_cut_off_is_none(*, as_csv: bool) -> None:
    """Without its end, or with another one, a file is refused."""
    lines = exported(as_csv=as_csv)
    for cut in ([], lines[:1], lines[:-1], [*lines[:-1], b'{"end":1}\n'], [*lines, b"\n"]):
        with pytest.raises(RecordError):
            verify_export(cut)


@BOTH
def test_what_no_reader_can_take_is_a_finding(*, as_csv: bool) -> None:
    """Brackets without end, and a cell that is longer than any, are changed lines, or an end that is none."""
    lines = exported(as_csv=as_csv)
    for deep in (b'{"record":' * 100_000 + b"\n", b'"' + b"x" * 200_000 + b'"\n'):
        assert verify_export([*lines[:3], deep, *lines[4:]]).findings
        with pytest.raises(RecordError):
            verify_export([*lines[:-1], deep])


def test_another_statement_by_the_same_key_is_no_end() -> None:
    """The key of the checkpoints signs more than exports: only a statement about an export is one's end."""
    lines = exported(as_csv=False)
    end = json.loads(lines[-1])
    statement = json.dumps(json.loads(end["end"]) | {"export": "something else"})
    end |= {"end": statement, "signature": b64encode(sign(statement.encode())).decode()}
    findings = verify_export([*lines[:-1], json.dumps(end).encode()]).findings
    assert [one.what.partition(":")[0] for one in findings] == ["changed"]


def test_json_lines_are_ascii_and_one_each() -> None:
    """AUD-5: a separator of lines in a name ends no line, whatever the reader takes for one."""
    lines = exported(as_csv=False)
    text = b"".join(lines).decode("ascii")
    assert len(text.splitlines()) == len(lines) == 8
    assert json.loads(lines[1])["personal"]["details.asked"] == ['cn:"a",\u2028b\nc']


def test_no_cell_is_a_formula() -> None:
    """WEB-7: a cell that a spreadsheet would compute begins with an apostrophe; others are as they are."""
    rows = list(csv.DictReader(io.StringIO(b"".join(exported(as_csv=True)[:-1]).decode())))
    assert rows[0]["actor"] == "'=cmd|x"
    assert rows[0]["source"] == "192.0.2.7\\n"
    assert [guarded(text) for text in ("+1", "-1", "@a", "\ta", "\ra", "a=", "")] == [
        "'+1",
        "'-1",
        "'@a",
        "'\ta",
        "'\ra",
        "a=",
        "",
    ]
