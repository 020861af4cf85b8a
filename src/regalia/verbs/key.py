"""Keys: every private key that there ever was, where it lies, what it is for, and its end. None is ever shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.key_uses import uses_of_keys, what_needs
from regalia.errors import AdminError
from regalia.model import KeyKind, Right
from regalia.ports import ELSEWHERE, KeyRecord
from regalia.verbs.fields import Id, Note
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Hex, Page, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.ca.key_uses import KeyUse

__all__ = [
    "DESTROY",
    "ELSEWHERE",
    "LIST",
    "SHOW",
    "VERBS",
    "DestroyKey",
    "KeyShown",
    "ListKeys",
    "ShowKey",
]


class ListKeys(ListAsked):
    """Which ones."""

    here: Annotated[bool, Field(description="Leave out those that were destroyed.")] = False
    scope: Annotated[str | None, Field(max_length=128, description="Only those of this scope.")] = None


class ShowKey(Asked):
    """Which one."""

    key_id: Id


class DestroyKey(ShowKey):
    """Which one, and why."""

    why: Note = ""
    although_needed: Annotated[bool, Field(description="Also where an authority or a credential stops without it.")] = (
        False
    )


class KeyShown(Record):
    """A key."""

    id: UUID
    kind: KeyKind
    scope: str
    place: str
    """Where it lies, in a word or two."""
    location: str
    key_sha256: Hex
    created_at: Time
    used_by: tuple[str, ...]
    needed_by: tuple[str, ...]
    destroyed_at: Time | None
    destroyed_by: str | None


def list_keys(desk: Desk, asked: ListKeys) -> Page[KeyShown]:
    """All of them, oldest first: also those that were destroyed."""
    uses = _uses(desk)
    records = (
        record
        for record in desk.services.store.key_records()
        if not (asked.here and record.destroyed_at is not None) and asked.scope in (None, record.scope)
    )
    return page_of_few(
        asked,
        LIST.name,
        records,
        place=lambda record: (str(record.id),),
        words=lambda record: (str(record.id), record.scope, record.kind, record.location),
        record=lambda record: _shown(record, uses),
    )


def show_key(desk: Desk, asked: ShowKey) -> KeyShown:
    """One of them."""
    return _shown(_found(desk, asked.key_id), _uses(desk))


def destroy_key(desk: Desk, asked: DestroyKey) -> KeyShown:
    """Destroy it, in the database or on its token; its record stays. One that has ended stays as it is."""
    record = _found(desk, asked.key_id)
    if record.destroyed_at is None:
        _needed(desk, record, asked)
        event = key_destroyed(record.id, at=desk.now(), actor=desk.actor, why=asked.why)
        desk.services.keys.destroy(record.id, (event,))
    return show_key(desk, ShowKey(key_id=str(record.id)))


def plan_destroy(desk: Desk, asked: DestroyKey) -> list[str]:
    """What ends with it; nothing where it has ended."""
    record = _found(desk, asked.key_id)
    if record.destroyed_at is not None:
        return []
    end = f"destroy key {record.id} ({record.scope}, {_place(record)}) for good"
    if record.location == ELSEWHERE:
        end = f"record that key {record.id} ({record.scope}) is destroyed: its medium is yours to destroy"
    return [end, *(f"stop {what}" for what in _needed(desk, record, asked))]


def _needed(desk: Desk, record: KeyRecord, asked: DestroyKey) -> list[str]:
    """Name what stops without it. Raises `AdminError` CA-024 where there is something, and nobody said that it may."""
    needed = what_needs(record, _uses(desk).get(record.id, []))
    if needed and not asked.although_needed:
        raise AdminError(reasons.KEY_NEEDED, f"without key {record.id}: " + ", ".join(needed))
    return needed


def _found(desk: Desk, key_id: str) -> KeyRecord:
    store = desk.services.store
    return by_prefix(key_id, "key", store.key_record, lambda: reversed(store.key_records()))


def _uses(desk: Desk) -> Mapping[UUID, list[KeyUse]]:
    return uses_of_keys(desk.services.store, desk.now())


def _shown(record: KeyRecord, uses: Mapping[UUID, list[KeyUse]]) -> KeyShown:
    using = uses.get(record.id, [])
    return KeyShown(
        id=record.id,
        kind=record.kind,
        scope=record.scope,
        place=_place(record),
        location=record.location,
        key_sha256=record.key_sha256,
        created_at=record.created_at,
        used_by=tuple(use.what for use in using),
        needed_by=tuple(what_needs(record, using)),
        destroyed_at=record.destroyed_at,
        destroyed_by=record.destroyed_by,
    )


def _place(record: KeyRecord) -> str:
    """Say where a key lies, in a word or two: a URI is long."""
    if record.destroyed_at is not None:
        return "destroyed"
    token = record.token
    return record.location if token is None else f"token {token}"


LIST = Verb(
    "key.list",
    "GET",
    "/keys",
    Right.RULE,
    ListKeys,
    Page[KeyShown],
    list_keys,
    "List all keys that there ever were, oldest first.",
    everywhere=True,
)
SHOW = Verb(
    "key.show",
    "GET",
    "/keys/{key_id}",
    Right.RULE,
    ShowKey,
    KeyShown,
    show_key,
    "Show a key: the hash of its public half, where it lies, what uses it, and its end.",
    everywhere=True,
)
DESTROY = Verb(
    "key.destroy",
    "POST",
    "/keys/{key_id}/destroy",
    Right.RULE,
    DestroyKey,
    KeyShown,
    destroy_key,
    "Destroy a key for good. Its record stays.",
    plan=plan_destroy,
    everywhere=True,
    two_persons=lambda *_: True,
)

VERBS = (LIST, SHOW, DESTROY)
