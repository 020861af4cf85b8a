"""Exports of the audit log that verify alone: the records as they were hashed, and a signed end (AUD-1, AUD-3).

JSON Lines: a head, a line for each record, an end. CSV: a row of names, a row for each record, the end as the one cell
of the last row. The end has the SHA-256 of all octets before it, signed with the key of the checkpoints, and the newest
checkpoint. Where no record of a stream was left out, each also follows the one before it, as in the log itself.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regalia.model import SignedCheckpoint
from regalia.ra.anchors import Anchors, Finding, weigh
from regalia.wire.checkpoint import checkpoint_line, read_checkpoint_line, signed_by
from regalia.wire.event import RecordError, read_record, record_hash
from regalia.wire.personal import without_pseudonyms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from regalia.ports import StoredRecord

__all__ = ["EXPORT", "FORMATS", "Ending", "VerifiedExport", "export_lines", "guarded", "verify_export"]

FORMATS: Final = ("jsonl", "csv")
_KIND: Final = "regalia-log"
_COLUMNS: Final = (
    "position",
    "at",
    "stream",
    "sequence",
    "actor_kind",
    "actor",
    "source",
    "action",
    "object",
    "outcome",
    "group",
    "reason",
    "transaction",
    "serial",
    "security",
    "details",
    "hash",
    "personal",
    "record",
)
_NEAR: Final = 256
"""How many records of a stream are remembered for their neighbours."""
EXPORT: Final = "export"
"""What findings call the file itself, in the place of a stream."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Ending:
    """What the end of an export is made of."""

    sign: Callable[[bytes], bytes]
    """Signs with the key of the checkpoints."""
    public_key: bytes
    """DER SubjectPublicKeyInfo of that key."""
    checkpoint: SignedCheckpoint
    """The newest one, with `checkpoint_key` that signed it."""
    checkpoint_key: bytes


@dataclass(frozen=True, slots=True)
class VerifiedExport:
    """What was found in a file."""

    streams: int
    records: int
    proved: str
    """By whose word."""
    key_sha256: bytes
    findings: tuple[Finding, ...]


# --- writing --------------------------------------------------------------------------------------------------------


def export_lines(
    records: Iterable[StoredRecord], about: Mapping[str, str | None], ending: Ending, *, as_csv: bool
) -> Iterator[bytes]:
    """Write an export, a line at a time. `about` is what was asked for."""
    digest = hashlib.sha256()
    count, position = 0, 0
    first = _csv_row(_COLUMNS) if as_csv else _json_line({"export": _KIND, "version": 1, **about})
    digest.update(first)
    yield first
    for record in records:
        line = _csv_row(_cells(record)) if as_csv else _json_line(_fields(record))
        digest.update(line)
        count, position = count + 1, record.position
        yield line
    end = _end(digest.digest(), count, position, ending)
    yield _csv_row((end,)) if as_csv else f"{end}\n".encode()


def _end(digest: bytes, count: int, position: int, ending: Ending) -> str:
    statement = {"export": _KIND, "last_position": position, "records": count, "sha256": digest.hex()}
    signed = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    end = {
        "end": signed,
        "signature": b64encode(ending.sign(signed.encode())).decode(),
        "public_key": b64encode(ending.public_key).decode(),
        "checkpoint": checkpoint_line(ending.checkpoint, ending.checkpoint_key),
    }
    return json.dumps(end, ensure_ascii=True)


def _fields(record: StoredRecord) -> dict[str, object]:
    fields: dict[str, object] = {"position": record.position, "hash": record.hash.hex()}
    fields["record"] = json.loads(record.record)
    fields["personal"] = None if record.personal is None else json.loads(record.personal)
    return fields


def _json_line(value: object) -> bytes:
    # ASCII: a line separator of Unicode in a name must not end a line for whoever reads this (AUD-5).
    return (json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n").encode()


def _cells(record: StoredRecord) -> tuple[str, ...]:
    stream, sequence, _, draft = read_record(record.record.encode())
    draft = without_pseudonyms(draft, record.personal)
    fields = json.loads(record.record)
    shown = (
        str(record.position),
        fields["at"],
        stream,
        str(sequence),
        draft.actor.kind,
        draft.actor.id,
        draft.actor.source,
        draft.action,
        draft.object,
        draft.outcome,
        draft.group or "",
        draft.reason_id or "",
        draft.transaction_id or "",
        draft.serial or "",
        "yes" if draft.security else "no",
        json.dumps(dict(draft.details), sort_keys=True),
        record.hash.hex(),
    )
    # A cell of two lines would be a row of two lines, which who reads line by line takes for two rows.
    cells = (guarded("".join(map(_one_line, cell))) for cell in shown)
    return (*cells, record.personal or "", record.record)


def _one_line(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")


def guarded(cell: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula (WEB-7)."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _csv_row(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


# --- verifying ------------------------------------------------------------------------------------------------------


def verify_export(lines: Iterable[bytes], trusted: tuple[bytes, ...] = ()) -> VerifiedExport:
    """Verify a file alone, with the key in it or with those that are trusted.

    Raises `RecordError` for what is no export at all, or has no end.
    """
    digest = hashlib.sha256()
    previous: bytes | None = None
    reader = _Reader()
    for line in lines:
        if previous is not None:
            digest.update(previous)
            reader.take(previous)
        previous = line
    if previous is None or not reader.begun:
        raise RecordError("not an export of the log, or one that was cut off")
    return _judge(reader, _read_end(reader.end_of(previous)), digest.digest(), trusted)


def _judge(reader: _Reader, end: Mapping[str, Any], digest: bytes, trusted: tuple[bytes, ...]) -> VerifiedExport:
    findings = list(reader.findings)
    try:
        statement = json.loads(end["end"])
        key, signature = b64decode(end["public_key"]), b64decode(end["signature"])
        checkpoint, checkpoint_key = read_checkpoint_line(end["checkpoint"])
        told = (statement["export"], statement["sha256"], statement["records"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"the end of the export cannot be read: {type(error).__name__}") from None
    statement_octets = str(end["end"]).encode()
    if not signed_by(SignedCheckpoint(0, statement_octets, b"", signature), key):
        findings.append(Finding(EXPORT, reader.count, "forged: its end is not signed by its key"))
    elif trusted and key not in trusted:
        findings.append(Finding(EXPORT, reader.count, "forged: its end is signed by a key that is not trusted"))
    elif told != (_KIND, digest.hex(), reader.count):
        findings.append(Finding(EXPORT, reader.count, "changed: lines are not those that were signed"))
    proof = weigh(Anchors(copy=(checkpoint,), keys=(*trusted, checkpoint_key)))
    findings += proof.findings
    for stream, expected in proof.expected.items():
        for sequence, (wanted, number) in expected.items():
            last, found = reader.tops.get(stream, (0, b""))
            if last == sequence and found != wanted:
                findings.append(Finding(stream, sequence, f"forked: checkpoint {number} covers another record"))
    proved = "the trusted key" if trusted else "the key in the file"
    return VerifiedExport(len(reader.tops), reader.count, proved, hashlib.sha256(key).digest(), tuple(findings))


def _read_end(text: str) -> dict[str, Any]:
    try:
        end = json.loads(text)
    except (ValueError, RecursionError):
        end = None
    if not isinstance(end, dict) or "end" not in end:
        raise RecordError("not an export of the log, or one that was cut off")
    return end


class _Reader:
    """Reads an export in either form; remembers the end of each stream and what is wrong."""

    def __init__(self) -> None:
        self.begun = False
        self.count = 0
        self.findings: list[Finding] = []
        self.tops: dict[str, tuple[int, bytes]] = {}
        """The last record of each stream, and its hash."""
        self._csv = False
        self._near: dict[str, dict[int, tuple[bytes, bytes]]] = {}

    def take(self, line: bytes) -> None:
        """Read the next line, which is not the last one."""
        if not self.begun:
            self.begun = True
            self._csv = line.startswith(_COLUMNS[0].encode())
            return
        try:
            text, stored = self._csv_record(line) if self._csv else self._json_record(line)
            stream, sequence, previous, _ = read_record(text.encode())
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, csv.Error):
            self._wrong(EXPORT, self.count + 1, "changed: a line cannot be read")
            self.count += 1
            return
        self.count += 1
        found = record_hash(text.encode())
        if found.hex() != stored:
            self._wrong(stream, sequence, "changed: its hash is not that of its text")
        self._place(stream, sequence, previous, found)

    def _place(self, stream: str, sequence: int, previous: bytes, found: bytes) -> None:
        """Compare a record with its neighbours, where they are there: PostgreSQL numbers one commit's in any order."""
        near = self._near.setdefault(stream, {})
        top = self.tops.get(stream, (0, b""))
        before, after = near.get(sequence - 1), near.get(sequence + 1)
        if sequence in near or sequence < top[0] - _NEAR:
            self._wrong(stream, sequence, f"inserted or swapped: it stands behind record {top[0]}")
        elif (before is not None and before[0] != previous) or (after is not None and after[1] != found):
            self._wrong(stream, sequence, "changed, inserted or swapped: it does not follow the record before it")
        near[sequence] = (found, previous)
        if len(near) > _NEAR:
            del near[next(iter(near))]
        if sequence > top[0]:
            self.tops[stream] = (sequence, found)

    def end_of(self, line: bytes) -> str:
        """Return the JSON of the last line."""
        if not self._csv:
            return line.decode(errors="replace")
        try:
            row = next(csv.reader([line.decode(errors="replace")]), [])
        except csv.Error:
            return ""
        return row[0] if len(row) == 1 else ""

    def _wrong(self, stream: str, sequence: int, what: str) -> None:
        self.findings.append(Finding(stream, sequence, what))

    @staticmethod
    def _json_record(line: bytes) -> tuple[str, str]:
        fields = json.loads(line)
        record = json.dumps(fields["record"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return record, fields["hash"]

    @staticmethod
    def _csv_record(line: bytes) -> tuple[str, str]:
        row = next(csv.reader([line.decode()]))
        cells = dict(zip(_COLUMNS, row, strict=True))
        return cells["record"], cells["hash"]
