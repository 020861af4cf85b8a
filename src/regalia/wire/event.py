"""Records of the audit log as octets (AUD-2): one event has one canonical form, and its hash is what chains the log.

The form is JSON with sorted keys, without white space, in UTF-8, without floats; every key is always there. Fields
are capped before they are encoded (AUD-5), so what is stored is what is hashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any, Final, NewType, NoReturn, TypeVar

from regalia.errors import InvariantError
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import JsonValue

__all__ = [
    "FIELD_OCTETS",
    "CappedDraft",
    "RecordError",
    "Shown",
    "canonical_record",
    "capped",
    "encode_capped",
    "read_fields",
    "read_record",
    "record_hash",
    "time_text",
]

FIELD_OCTETS: Final = 1024
"""Longest text of a field, the marker included; also the longest JSON of one entry of `details`."""

CappedDraft = NewType("CappedDraft", EventDraft)
"""An event whose fields are as long as a record holds them."""

_CUT: Final = "…(cut)"
_MAX_DETAILS: Final = 64
_MAX_DEPTH: Final = 4
_LARGEST: Final = 2**63 - 1
_T = TypeVar("_T")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_HASH_HEX: Final = 64
_ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_LONGEST_ESCAPE: Final = 6


class RecordError(ValueError):
    """Octets that are not the canonical form of an event."""


def canonical_record(stream: str, sequence: int, previous: bytes, draft: EventDraft) -> bytes:
    """Encode an event in its place; `previous` is the hash of the record before it, 32 zero octets for the first.

    Raises `InvariantError` for details that no record may hold: floats, or integers beyond 63 bits.
    """
    return encode_capped(stream, sequence, previous, capped(draft))


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands in a record in the place of some fields of its event."""

    actor_id: str
    actor_source: str
    object: str
    details: Mapping[str, JsonValue]
    pseudonyms: int | None
    """Number of the key whose pseudonyms these are; None where nothing is replaced."""


def encode_capped(stream: str, sequence: int, previous: bytes, draft: CappedDraft, shown: Shown | None = None) -> bytes:
    """Like `canonical_record`, for an event that was capped already; with `shown` in the place of what it names.

    The fields stand in the order that sorted keys have: written out, since an enrolment waits for two of these.
    """
    if shown is None:
        shown = Shown(draft.actor.id, draft.actor.source, draft.object, draft.details, None)
    under = "" if shown.pseudonyms is None else f',"pseudonyms":{shown.pseudonyms}'
    text = (
        f'{{"action":{_quoted(draft.action)},"actor":{{"id":{_quoted(shown.actor_id)}'
        f',"kind":{_quoted(draft.actor.kind)},"source":{_quoted(shown.actor_source)}}}'
        f',"at":"{time_text(draft.at)}","details":{_ENCODER.encode({**shown.details})}'
        f',"group":{_quoted_or_null(draft.group)},"object":{_quoted(shown.object)},"outcome":{_quoted(draft.outcome)}'
        f',"previous":"{previous.hex()}"{under},"reason":{_quoted_or_null(draft.reason_id)}'
        f',"security":{"true" if draft.security else "false"},"sequence":{sequence}'
        f',"serial":{_quoted_or_null(draft.serial)},"stream":{_quoted(stream)}'
        f',"transaction":{_quoted_or_null(draft.transaction_id)}}}'
    )
    return text.encode()


def _quoted_or_null(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def record_hash(record: bytes) -> bytes:
    """SHA-256 of a canonical record, 32 octets."""
    return hashlib.sha256(record).digest()


def read_record(record: bytes) -> tuple[str, int, bytes, EventDraft]:
    """Read a canonical record: stream, sequence, previous hash, event.

    Only the one form that `canonical_record` writes is read; anything else raises `RecordError`.
    """
    try:
        fields = json.loads(record, parse_float=_refuse, parse_constant=_refuse)
        stream, sequence = _exactly(str, fields["stream"]), _exactly(int, fields["sequence"])
        previous = bytes.fromhex(fields["previous"])
        draft = _read_draft(fields)
        under = _exactly(int, fields["pseudonyms"]) if "pseudonyms" in fields else None
        short = capped(draft)
        shown = Shown(short.actor.id, short.actor.source, short.object, short.details, under)
        again = encode_capped(stream, sequence, previous, short, shown)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError, InvariantError) as error:
        raise RecordError(f"not a record: {type(error).__name__}") from None
    if again != record or len(previous) * 2 != _HASH_HEX:
        raise RecordError("not in canonical form")
    return stream, sequence, previous, draft


def read_fields(record: str) -> dict[str, Any] | None:
    """Read a record into its fields, None where it is not sorted JSON without white space.

    Quicker than `read_record`: for who goes through a log of millions. The fields are those that were written where the
    hash is.
    """
    try:
        fields = json.loads(record)
        return fields if isinstance(fields, dict) and _ENCODER.encode(fields) == record else None
    except (ValueError, TypeError, RecursionError):
        return None


def capped(draft: EventDraft) -> CappedDraft:
    """Cut every field that is too long, with a marker, and replace what UTF-8 or a database cannot hold (AUD-5).

    Capping twice changes nothing. At most 64 details are kept.
    """
    details = _capped_details(draft.details)
    actor = draft.actor
    texts = (actor.id, actor.source, draft.object, draft.group, draft.reason_id, draft.transaction_id, draft.serial)
    short = tuple([None if text is None else _text(text) for text in texts])
    if short == texts and details == draft.details:
        return CappedDraft(draft)
    whole = replace(
        draft,
        actor=Actor(actor.kind, _text(actor.id), _text(actor.source)),
        object=_text(draft.object),
        group=_optional(draft.group),
        reason_id=_optional(draft.reason_id),
        transaction_id=_optional(draft.transaction_id),
        serial=_optional(draft.serial),
        details=details,
    )
    return CappedDraft(whole)


def _capped_details(details: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    items = sorted(details.items())
    kept = {_text(key): _detail(value) for key, value in items[:_MAX_DETAILS]}
    if len(items) > _MAX_DETAILS:
        kept = dict(list(kept.items())[: _MAX_DETAILS - 1]) | {_CUT: len(items) - _MAX_DETAILS + 1}
    return kept


def _canonical(value: JsonValue | Mapping[str, object]) -> bytes:
    return _ENCODER.encode(value).encode()


def time_text(at: datetime) -> str:
    """Write a time as records hold it, in their details too: UTC, in milliseconds, as `2026-03-01T09:00:00.000Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _refuse(text: str) -> NoReturn:
    raise RecordError(f"{text} is not a number that a record may hold")


def _exactly(kind: type[_T], value: object) -> _T:
    if type(value) is not kind:
        raise RecordError(f"{value!r} is not a {kind.__name__}")
    return value


def _read_draft(fields: dict[str, Any]) -> EventDraft:
    return EventDraft(
        at=datetime.fromisoformat(fields["at"]),
        actor=Actor(ActorKind(fields["actor"]["kind"]), fields["actor"]["id"], fields["actor"]["source"]),
        action=Action(fields["action"]),
        object=fields["object"],
        outcome=Outcome(fields["outcome"]),
        group=fields["group"],
        reason_id=fields["reason"],
        transaction_id=fields["transaction"],
        serial=fields["serial"],
        security=_exactly(bool, fields["security"]),
        details=fields["details"],
    )


# --- capping --------------------------------------------------------------------------------------------------------


def _optional(text: str | None) -> str | None:
    return None if text is None else _text(text)


def _text(text: str, longest: int = FIELD_OCTETS) -> str:
    if len(text) <= longest and text.isascii() and "\x00" not in text:
        return text
    # PostgreSQL stores no NUL, and UTF-8 has no lone surrogates; a peer's text may hold both.
    text = _LONE_SURROGATE.sub("\ufffd", text.replace("\x00", "\u2400"))
    if len(text) * 4 <= longest or len(octets := text.encode()) <= longest:
        return text
    return octets[: longest - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _detail(value: JsonValue) -> JsonValue:
    """Cap one entry of `details`: its JSON has at most 1 KiB, its strings are cut sooner where that is needed."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    longest = FIELD_OCTETS
    shortened = _shortened(value, longest, _MAX_DEPTH)
    if _is_short(shortened):
        return shortened
    while len(_canonical(shortened)) > FIELD_OCTETS and longest > len(_CUT.encode()):
        longest //= 2
        shortened = _shortened(value, longest, _MAX_DEPTH)
    return shortened if len(_canonical(shortened)) <= FIELD_OCTETS else _CUT


def _is_short(value: JsonValue) -> bool:
    """Whether it fits without a look at its JSON: one number, or a few short texts, even if all of it is escaped."""
    if not isinstance(value, list):
        return value is None or isinstance(value, int)
    texts = [item for item in value if isinstance(item, str)]
    octets = sum(_LONGEST_ESCAPE * len(text) + 3 for text in texts)
    return len(texts) == len(value) and octets < FIELD_OCTETS


def _shortened(value: JsonValue, longest: int, depth: int) -> JsonValue:
    """Cut strings to `longest` octets and lists and objects to `longest` / 16 entries."""
    if isinstance(value, str):
        return _text(value, max(longest, len(_CUT.encode())))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise InvariantError("an event holds an integer of more than 63 bits")
        return value
    if depth == 0:
        return _CUT
    most = max(longest // 16, 1)
    if isinstance(value, list):
        kept = [_shortened(item, longest, depth - 1) for item in value[:most]]
        return kept if len(value) <= most else [*kept[:-1], _CUT]
    if isinstance(value, dict):
        pairs = sorted(value.items())
        if len(pairs) > most:
            pairs = [*pairs[: most - 1], (_CUT, _CUT)]
        return {_text(key, longest): _shortened(item, longest, depth - 1) for key, item in pairs}
    raise InvariantError(f"an event holds a {type(value).__name__}")
