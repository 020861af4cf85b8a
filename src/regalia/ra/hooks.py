"""Messages that a connector's system sends us: that something has changed, within seconds and not at the next reading.

A message is signed as ours are (CON-6), not older than five minutes, and good once. What it says of devices and users
is merged as a page of a reading would be, and what follows for them follows at once, under the same brake.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome
from regalia.model.connector import SweepPage
from regalia.model.fleet import Device
from regalia.ports.fleet import Bearer
from regalia.ports.sign_in import SignIns
from regalia.ra.alert_message import WINDOW, is_signed
from regalia.ra.bringing import check_groups
from regalia.ra.counting import Counts
from regalia.ra.follow_run import FollowStore, follow_bearers
from regalia.ra.record_events import connector_actor
from regalia.ra.sources import source_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.errors import Reason
    from regalia.model import JsonValue
    from regalia.model.connector import Connector
    from regalia.model.fleet import User
    from regalia.ports import Clock
    from regalia.ports.connectors import ConnectorKinds
    from regalia.ra.sweeping import Sweeper

__all__ = [
    "MOST_OCTETS",
    "HookAnswer",
    "HookDesk",
    "HookStore",
    "Limited",
    "Message",
    "Receipt",
    "Stranger",
    "Unreadable",
]

MOST_OCTETS: Final = 256 << 10
MOST_RECORDS: Final = 500
_WRONG_PER_MINUTE: Final = 30
"""From one source; then it is not listened to."""
_LONGEST_ID: Final = 200
_TOLD: Final = 20
"""External ids that an event names."""
_FIELDS: Final = frozenset({"id", "occurred_at", "devices", "users", "gone"})
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_NO_KEY: Final = bytes(32)
"""What a message to no connector of ours is compared with, so that it takes as long."""


class HookStore(FollowStore, SignIns, Protocol):
    """What is read and written."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came."""

    connector: str
    timestamp: str
    signature: str
    body: bytes
    source: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """It was taken in; `repeated`: it was before, and nothing was done now."""

    id: str
    repeated: bool = False
    left_out: int = 0
    """Of how many that it names something newer is known, or nothing at all."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a message says."""

    id: str
    page: SweepPage
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stranger:
    """Nobody who may say so: one constant answer, whatever is wrong."""


@dataclass(frozen=True, slots=True)
class Limited:
    """Nobody who may say so, too often."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Somebody who may, and what is wrong."""

    detail: str


HookAnswer = Receipt | Stranger | Limited | Unreadable


class HookDesk:
    """Takes messages in; from any thread."""

    def __init__(
        self,
        *,
        store: HookStore,
        kinds: ConnectorKinds,
        sweeper: Sweeper,
        key_of: Callable[[Connector], bytes],
        clock: Clock,
    ) -> None:
        """`key_of` gives the key that messages to a connector are signed with."""
        self._store = store
        self._kinds = kinds
        self._sweeper = sweeper
        self._key_of = key_of
        self._clock = clock
        self._wrong = Counts(reasons.HOOK_LIMITED, "source", _WRONG_PER_MINUTE)
        self._lock = threading.Lock()

    def receive(self, message: Message) -> HookAnswer:
        """Take one message in, and let follow what does.

        Raises `UnavailableError`: the sender tries again, with the same id or another one.
        """
        now = self._clock.now()
        if self._is_limited(message, now):
            return Limited()
        connector = self._store.connector(message.connector)
        key = _NO_KEY if connector is None else self._key_of(connector)
        signed = is_signed(key, message.timestamp, message.body, message.signature, now)
        if connector is None or connector.disabled_at is not None or not signed:
            self._turn_away(message, connector, now)
            return Stranger()
        try:
            # Its id is in what is signed: one beside it could be exchanged by whoever repeats the message.
            said = self._read(message.body, now)
        except AdminError as error:
            self._refuse(reasons.HOOK_UNREADABLE, connector, message, now, detail=error.detail[:500])
            return Unreadable(error.detail)
        receipt = _digest(connector, said.id)[:16].hex()
        if self._store.is_spent(_digest(connector, said.id)):
            self._refuse(reasons.HOOK_REPEATED, connector, message, now, security=True)
            return Receipt(receipt, repeated=True)
        # Used up once it is done: a message that a crash cut off does with its next try what it wanted. Two that come
        # at once say the same of the same records.
        records = self._sweeper.take(connector.name, said.page, said_at=said.occurred_at)
        made = Receipt(receipt, left_out=max(0, len(_named(said.page)) - len(records)))
        self._store.record((_received(connector.name, message.source, said.page, made, now),))
        self._store.spend(_digest(connector, said.id), now + 2 * WINDOW)
        # One message is one run, whose brake counts all of it before anything is done. Where its turn does not come
        # while the sender waits, the job's next run does what follows.
        follow_bearers(self._store, tuple(map(_bearer, records)), self._clock.now())
        return made

    # --- reading ----------------------------------------------------------------------------------------------------

    def _read(self, body: bytes, now: datetime) -> _Said:
        """Read a message. Raises `AdminError` CON-077, CON-081."""
        try:
            said = json.loads(body, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise AdminError(reasons.HOOK_UNREADABLE, f"it is not JSON: {error}"[:200]) from None
        if not isinstance(said, dict) or set(said) - _FIELDS:
            raise AdminError(reasons.HOOK_UNREADABLE, "an object with `id`, and `devices`, `users` or `gone`")
        message_id, occurred_at = said.pop("id", None), _occurred(said.pop("occurred_at", None), now)
        if not isinstance(message_id, str) or not _is_id(message_id) or not said:
            raise AdminError(reasons.HOOK_UNREADABLE, "id: a text that is used once, and something said beside it")
        gone = said.pop("gone", [])
        if not isinstance(gone, list) or not all(isinstance(each, str) and _is_id(each) for each in gone):
            raise AdminError(reasons.HOOK_UNREADABLE, "gone: a list of ids")
        parts = {
            name: json.dumps({name: said[name]}).encode() if name in said else None for name in ("devices", "users")
        }
        page = self._kinds.read_inventory(parts["devices"], parts["users"])
        if len(page.devices) + len(page.users) + len(gone) > MOST_RECORDS:
            raise AdminError(reasons.HOOK_UNREADABLE, f"more than {MOST_RECORDS} devices and users")
        check_groups(self._store, page)
        return _Said(message_id, SweepPage(page.devices, page.users, tuple(gone), full=False), occurred_at)

    # --- who is turned away -----------------------------------------------------------------------------------------

    def _is_limited(self, message: Message, now: datetime) -> bool:
        with self._lock:
            return self._wrong.used_up(source_of(message.source), now) is not None

    def _turn_away(self, message: Message, connector: Connector | None, now: datetime) -> None:
        """Count a stranger; the first in a minute of a source, and the last before it is limited, are on record."""
        with self._lock:
            count = self._wrong.add(source_of(message.source), now).count
        if count in {1, _WRONG_PER_MINUTE}:
            reason = reasons.HOOK_STRANGER if count == 1 else reasons.HOOK_LIMITED
            self._refuse(reason, connector, message, now, security=True)

    def _refuse(
        self,
        reason: Reason,
        connector: Connector | None,
        message: Message,
        now: datetime,
        *,
        detail: str = "",
        security: bool = False,
    ) -> None:
        name = connector.name if connector is not None else ""
        event = EventDraft(
            now,
            connector_actor(name),
            Action.HOOK_REFUSED,
            f"connector:{name}",
            Outcome.REFUSED,
            reason_id=reason.id,
            security=security,
            details={"title": reason.title, "source": message.source, "detail": detail},
        )
        self._store.record((event,))


def _named(page: SweepPage) -> tuple[str, ...]:
    devices, users = ((each.external_id for each in some) for some in (page.devices, page.users))
    return (*dict.fromkeys(devices), *dict.fromkeys(users), *dict.fromkeys(page.gone))


def _received(connector: str, source: str, page: SweepPage, receipt: Receipt, now: datetime) -> EventDraft:
    named: list[JsonValue] = [*_named(page)]
    details: dict[str, JsonValue] = {
        "connector": connector,
        "receipt": receipt.id,
        "source": source,
        "named": named[:_TOLD],
        "many": len(named),
        "left_out": receipt.left_out,
    }
    actor = connector_actor(connector)
    return EventDraft(now, actor, Action.HOOK_RECEIVED, f"connector:{connector}", Outcome.OK, details=details)


def _bearer(record: Device | User) -> Bearer:
    return Bearer(record.id, None) if isinstance(record, Device) else Bearer(None, record.id)


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.isprintable()


def _digest(connector: Connector, message_id: str) -> bytes:
    return hashlib.sha256(b"hook\x00" + connector.id.bytes + message_id.encode("utf-8", "surrogatepass")).digest()


def _occurred(text: object, now: datetime) -> datetime | None:
    """Read when it was so; None where the message does not say. Raises `AdminError` CON-081."""
    if text is None:
        return None
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    try:
        at = datetime.fromisoformat(found[0]) if found else None
    except ValueError:
        at = None
    if at is None or at > now + WINDOW:
        detail = "occurred_at: a time that is past, with its zone, such as 2026-03-01T09:00:00.250Z"
        raise AdminError(reasons.HOOK_UNREADABLE, detail)
    return at.astimezone(UTC)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
