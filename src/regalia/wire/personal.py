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
from base64 import urlsafe_b64encode
from dataclasses import replace
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any, Final

from regalia.model import Actor, ActorKind, EventDraft
from regalia.wire.event import CappedDraft
from regalia.wire.event_fields import KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.model import JsonValue

__all__ = ["Pseudonyms", "personal_agrees", "with_pseudonyms", "without_pseudonyms"]

_BLOCK: Final = 64
_INNER: Final = bytes(0x36 ^ octet for octet in range(256))
_OUTER: Final = bytes(0x5C ^ octet for octet in range(256))
_OCTETS: Final = 24
_MARK: Final = "~"
_ENCODER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_NOTHING: Final[frozenset[str]] = frozenset()
_NAMED_BY: Final = ("source:", "device:", "user:")
"""Objects that are named by a person's or a device's own name or address; all others have ids of ours."""
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
        """Return the pseudonym of a value: `~` and 24 octets in base64url."""
        return self._of(_quoted(value) if isinstance(value, str) else _ENCODER.encode(value))

    def _of(self, text: str) -> str:
        known = self._remembered.get(text)
        if known is not None:
            return known
        inner = self._inner.copy()
        inner.update(text.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        made = _MARK + urlsafe_b64encode(outer.digest()[:_OCTETS]).decode()
        # The two events of an enrolment hold the same values.
        if len(self._remembered) >= _REMEMBERED:
            self._remembered = {}
        self._remembered[text] = made
        return made


def with_pseudonyms(draft: CappedDraft, pseudonyms: Pseudonyms) -> tuple[CappedDraft, str | None]:
    """Put pseudonyms in the place of what is personal; return that too, as JSON by the place, None where nothing is."""
    personal: dict[str, JsonValue] = {}
    actor, named, details = draft.actor, draft.object, draft.details
    if actor.source or actor.kind is ActorKind.DEVICE:
        actor = _actor(actor, personal, pseudonyms)
    kind = next((kind for kind in _NAMED_BY if named.startswith(kind)), None)
    if kind is not None:
        personal["object"] = named.removeprefix(kind)
        named = kind + pseudonyms.of(named.removeprefix(kind))
    if not details.keys() <= (kept := KEPT.get(draft.action, _NOTHING)):
        details = dict(details)
        for key in details.keys() - kept:
            personal[f"details.{key}"] = details[key]
            details[key] = pseudonyms.of(details[key])
    if not personal:
        return draft, None
    # Spelled out: `dataclasses.replace` takes three times as long.
    whole = EventDraft(
        draft.at,
        actor,
        draft.action,
        named,
        draft.outcome,
        draft.group,
        draft.reason_id,
        draft.transaction_id,
        draft.serial,
        draft.security,
        details,
    )
    return CappedDraft(whole), _ENCODER.encode(personal)


def _actor(actor: Actor, personal: dict[str, JsonValue], pseudonyms: Pseudonyms) -> Actor:
    """An administrator is accountable by name, and jobs have names of ours; a device is named by its address."""
    name, source = actor.id, actor.source
    if actor.kind is ActorKind.DEVICE:
        personal["actor.id"] = name
        name = pseudonyms.of(name)
    if source:
        personal["actor.source"] = source
        source = pseudonyms.of(source)
    return Actor(actor.kind, name, source)


def without_pseudonyms(draft: EventDraft, personal: str | None) -> EventDraft:
    """Put what was written beside a record back into it; with None the pseudonyms stay. Raises `ValueError`."""
    if personal is None:
        return draft
    values: dict[str, Any] = json.loads(personal)
    actor = Actor(
        draft.actor.kind, values.get("actor.id", draft.actor.id), values.get("actor.source", draft.actor.source)
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
        return all(_recorded(fields, place) == pseudonyms.of(value) for place, value in values.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _recorded(fields: Mapping[str, Any], place: str) -> object:
    first, inner, second = place.partition(".")
    if not inner:
        return fields[first].partition(":")[2]
    return fields[first][second]
