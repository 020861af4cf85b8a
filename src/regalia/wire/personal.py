"""Personal data in the audit log: pseudonyms in the record, and what they stand for beside it (PRIV-1, AUD-6).

A record is kept for years and cannot be changed, so what may have to be forgotten does not stand in it. In its place
stands a pseudonym, HMAC-SHA-256 of the value under a key that can be destroyed, and the value itself lies beside the
record. As long as it lies there, it can be proved to be what was recorded; once it is gone, the chain of hashes still
holds, and equal pseudonyms of one key still mean equal values.

What stays in the record in clear is a list (`KEPT`); all that is not in it is treated as personal.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any, Final

from regalia.model import Actor, ActorKind
from regalia.wire.event import Shown
from regalia.wire.event_fields import KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import EventDraft, JsonValue
    from regalia.wire.event import CappedDraft

__all__ = ["Pseudonyms", "personal_agrees", "with_pseudonyms", "without_pseudonyms"]

_BLOCK: Final = 64
_INNER: Final = bytes(0x36 ^ octet for octet in range(256))
_OUTER: Final = bytes(0x5C ^ octet for octet in range(256))
_OCTETS: Final = 24
_MARK: Final = "~"
_ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_NOTHING: Final[frozenset[str]] = frozenset()
_BY_ADDRESS: Final = "source:"
"""Objects that are named by an address; all others have ids of ours, those of devices and users are their records'."""
_REMEMBERED: Final = 512


class Pseudonyms:
    """Makes pseudonyms under one key."""

    def __init__(self, number: int, key: bytes) -> None:
        """`number` is the key's in the database."""
        self.number = number
        # RFC 2104 with both beginnings computed once: half the time of a whole HMAC for each of five values an event.
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\x00")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))
        self._remembered: dict[str, str] = {}

    def of(self, value: JsonValue) -> str:
        """Return the pseudonym of a value: `~` and 24 octets in hexadecimal."""
        return self.of_json(_json(value))

    def of_json(self, text: str) -> str:
        """Return the pseudonym of a value by its JSON."""
        known = self._remembered.get(text)
        if known is not None:
            return known
        inner = self._inner.copy()
        inner.update(text.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        made = f"{_MARK}{outer.digest()[:_OCTETS].hex()}"
        # The two events of an enrolment hold the same values.
        if len(self._remembered) >= _REMEMBERED:
            self._remembered = {}
        self._remembered[text] = made
        return made


def _json(value: JsonValue) -> str:
    return _quoted(value) if isinstance(value, str) else _ENCODER.encode(value)


def with_pseudonyms(draft: CappedDraft, pseudonyms: Pseudonyms) -> tuple[Shown, str] | None:
    """Find what stands in the record with pseudonyms in the place of what is personal, and that, as JSON by its place.

    None where nothing is personal. An enrolment waits for two of these, so each value is written as JSON but once.
    """
    of_json = pseudonyms.of_json
    parts: list[str] = []
    actor, named = draft.actor, draft.object
    name, source = actor.id, actor.source
    # An administrator is accountable by name, and jobs have names of ours; a device is named by its address.
    if actor.kind is ActorKind.DEVICE:
        text = _quoted(name)
        parts.append(f'"actor.id":{text}')
        name = of_json(text)
    if source:
        text = _quoted(source)
        parts.append(f'"actor.source":{text}')
        source = of_json(text)
    if named.startswith(_BY_ADDRESS):
        kind, _, rest = named.partition(":")
        text = _quoted(rest)
        parts.append(f'"object":{text}')
        named = f"{kind}:{of_json(text)}"
    kept = KEPT.get(draft.action, _NOTHING)
    details: dict[str, JsonValue] = {}
    for key, value in draft.details.items():
        if key in kept:
            details[key] = value
            continue
        text = _json(value)
        parts.append(f"{_quoted(f'details.{key}')}:{text}")
        details[key] = of_json(text)
    if not parts:
        return None
    return Shown(name, source, named, details, pseudonyms.number), f"{{{','.join(parts)}}}"


def without_pseudonyms(draft: EventDraft, personal: str | None) -> EventDraft:
    """Put what was written beside a record back into it; with None the pseudonyms stay. Raises `ValueError`."""
    if personal is None:
        return draft
    values: dict[str, Any] = json.loads(personal)
    actor = Actor(
        draft.actor.kind,
        values.get("actor.id", draft.actor.id),
        values.get("actor.source", draft.actor.source),
    )
    named = draft.object
    if "object" in values:
        named = f"{named.partition(':')[0]}:{values['object']}"
    details = {key: values.get(f"details.{key}", value) for key, value in draft.details.items()}
    return replace(draft, actor=actor, object=named, details=details)


def personal_agrees(fields: Mapping[str, Any], personal: str, pseudonyms: Pseudonyms) -> bool:
    """Whether all that lies beside a record is what its pseudonyms stand for."""
    try:
        values: dict[str, Any] = json.loads(personal)
        for place, value in values.items():
            first, inner, second = place.partition(".")
            recorded = fields[first][second] if inner else fields[first].partition(":")[2]
            if recorded != pseudonyms.of(value):
                return False
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return True
