"""Model values as column values, and back: ids, serials, times, names, lineage, stages.

Text forms are JSON with one spelling: keys and elements in a fixed order, no white space, ASCII only.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any
from uuid import UUID

from regalia.errors import InvariantError, Stage
from regalia.model import LineageLink, Names, San, SanKind, StageNote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from regalia.model import ConversationKey

__all__ = [
    "SERIAL_OCTETS",
    "from_millis",
    "id_or_none",
    "lineage_text",
    "millis",
    "names_text",
    "octets_or_none",
    "open_key",
    "optional_millis",
    "plain",
    "read_lineage",
    "read_names",
    "read_stages",
    "serial_octets",
    "serial_or_none",
    "stages_text",
    "storable",
    "time_or_none",
]

SERIAL_OCTETS = 20
"""The longest serial of RFC 5280 §4.1.2.2; all are stored at this length."""

_SERIAL_END = 1 << (8 * SERIAL_OCTETS - 1)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_REMEMBERED = 256
"""How many names and keys are remembered with their texts: those of the enrolments that are under way."""


def millis(at: datetime) -> int:
    """Milliseconds since 1970, exactly: no detour over floating point."""
    return (at - _EPOCH) // _MILLISECOND


def from_millis(at: int) -> datetime:
    """Aware UTC time of so many milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=at)


def optional_millis(at: datetime | None) -> int | None:
    """Like `millis`, for a time that may be missing."""
    return None if at is None else millis(at)


def time_or_none(at: int | None) -> datetime | None:
    """Like `from_millis`, for a column that may be NULL."""
    return None if at is None else from_millis(at)


def id_or_none(octets: bytes | None) -> UUID | None:
    """Read an id column that may be NULL."""
    return None if octets is None else UUID(bytes=octets)


def octets_or_none(value: UUID | None) -> bytes | None:
    """Write an id column that may be NULL."""
    return None if value is None else value.bytes


def serial_octets(serial: int) -> bytes:
    """20 octets big-endian, so that octet order is numeric order."""
    if not 0 < serial < _SERIAL_END:
        raise InvariantError("a serial is positive and has at most 20 octets (RFC 5280 §4.1.2.2)")
    return serial.to_bytes(SERIAL_OCTETS, "big")


@lru_cache(maxsize=_REMEMBERED)
def names_text(names: Names) -> str:
    """Canonical JSON of a set of names."""
    # Remembered: the same names stand in a request, its challenge, its lineage and its certificate.
    fields: dict[str, object] = {"cn": names.cn, "sans": [[san.kind.value, san.value] for san in sorted(names.sans)]}
    # Only where there are any: rows of earlier versions, and most of later ones, have neither.
    if names.rdns:
        fields["rdns"] = [list(rdn) for rdn in names.rdns]
    if names.sid is not None:
        fields["sid"] = names.sid
    return _json(fields)


def read_names(text: str) -> Names:
    """Read what `names_text` wrote."""
    return _read_names_value(json.loads(text))


def _read_names_value(fields: dict[str, Any]) -> Names:
    return Names(
        fields["cn"],
        frozenset(San(SanKind(kind), value) for kind, value in fields["sans"]),
        tuple((keyword, text) for keyword, text in fields.get("rdns", ())),
        fields.get("sid"),
    )


def lineage_text(link: LineageLink | None) -> str | None:
    """Canonical JSON of a lineage link."""
    if link is None:
        return None
    mac = "null" if link.challenge_mac is None else f'"{link.challenge_mac.hex()}"'
    device = "null" if link.device is None else _quoted(link.device)
    predecessor = "null" if link.predecessor is None else f'"{link.predecessor.hex}"'
    # As `_json` writes it, around names that were written already.
    return (
        f'{{"asked":{names_text(link.asked)},"binding":{names_text(link.binding)},"challenge_mac":{mac}'
        f',"device":{device},"first":"{link.first.hex}","generation":{link.generation},"predecessor":{predecessor}'
        f',"unverified":{"true" if link.unverified else "false"}{_records_text(link)}}}'
    )


def _records_text(link: LineageLink) -> str:
    """Only where there are any, as with names: nobody vouches for most lineages."""
    found = (("device_id", link.device_id), ("user_id", link.user_id))
    return "".join(f',"{name}":"{value.hex}"' for name, value in found if value is not None)


def read_lineage(text: str | None) -> LineageLink | None:
    """Read what `lineage_text` wrote."""
    if text is None:
        return None
    fields = json.loads(text)
    predecessor, mac = fields["predecessor"], fields["challenge_mac"]
    return LineageLink(
        first=UUID(hex=fields["first"]),
        generation=fields["generation"],
        predecessor=None if predecessor is None else UUID(hex=predecessor),
        binding=_read_names_value(fields["binding"]),
        device=fields["device"],
        asked=_read_names_value(fields["asked"]),
        challenge_mac=None if mac is None else bytes.fromhex(mac),
        unverified=fields["unverified"],
        device_id=UUID(hex=fields["device_id"]) if "device_id" in fields else None,
        user_id=UUID(hex=fields["user_id"]) if "user_id" in fields else None,
    )


def stages_text(stages: Iterable[StageNote]) -> str:
    """One line: a JSON array. More stages are appended as another line, without reading what is there."""
    # As `_json` writes it; an enrolment has seven of them.
    notes = [
        f'["{note.stage}",{"true" if note.ok else "false"},{_quoted(note.note)},{millis(note.at)}]' for note in stages
    ]
    return f"[{','.join(notes)}]\n"


def read_stages(text: str) -> tuple[StageNote, ...]:
    """Read one or more lines that `stages_text` wrote."""
    notes = (note for line in text.splitlines() for note in json.loads(line))
    return tuple(StageNote(Stage(stage), ok=ok, note=note, at=from_millis(at)) for stage, ok, note, at in notes)


@lru_cache(maxsize=_REMEMBERED)
def open_key(key: ConversationKey) -> bytes:
    """SHA-256 over the conversation key; each part behind its length, so that no two keys share their octets."""
    parts = (
        key.endpoint.encode(),
        key.transaction_id,
        key.key_sha256,
        b"" if key.signer_serial is None else serial_octets(key.signer_serial),
        b"" if key.challenge_mac is None else key.challenge_mac,
    )
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _json(value: object) -> str:
    # ASCII only: `read_stages` splits at line breaks, of which Python knows more than JSON escapes; no NUL either.
    return _ENCODER.encode(value)


def storable(text: str) -> bool:
    """Whether a database can hold this text at all; what it cannot hold, nobody is called."""
    return plain(text) == text


def plain(text: str) -> str:
    """Replace what PostgreSQL or UTF-8 cannot hold, NUL and lone surrogates: a peer's text may have both."""
    if text.isascii() and "\x00" not in text:
        return text
    return _LONE_SURROGATE.sub("\ufffd", text.replace("\x00", "\u2400"))


def serial_or_none(serial: int) -> bytes | None:
    """Like `serial_octets`, for a peer's question: None where we never assign such a serial."""
    return serial_octets(serial) if 0 < serial < _SERIAL_END else None
