"""The part of the store's fake that knows connectors, devices and users, and what follows. See `memory_store`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from regalia.model import Hold, Revocation, RevocationReason
from regalia.ports import COUNTED, Listed, SealedSecret
from regalia.ports.fleet import FOLLOWED, FOLLOWING, Bearer, KeptCause, differs

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from regalia.model import Certificate, EventDraft
    from regalia.model.connector import Connector
    from regalia.model.fleet import Cause, Device, FoundCause, User
    from regalia.ports import Place
    from regalia.ports.fleet import DeviceFilter, Notice, Stopped, Sweep, UserFilter

__all__ = ["MemoryFleet"]

_Record = TypeVar("_Record", bound="Device | User")


class MemoryFleet:
    """See `ports.fleet`."""

    _lock: threading.RLock
    _certificates: dict[UUID, Certificate]

    def __init__(self) -> None:
        super().__init__()
        self._connectors: dict[str, Connector] = {}
        self._connector_secrets: dict[UUID, bytes] = {}
        self._devices: dict[UUID, Device] = {}
        self._users: dict[UUID, User] = {}
        self._sweeps: dict[UUID, Sweep] = {}
        self._kept: list[KeptCause] = []
        self._stops: dict[UUID, Stopped] = {}
        self._notices: dict[UUID, Notice] = {}
        self._changed: dict[UUID, datetime] = {}
        self._ended: list[tuple[datetime, UUID]] = []

    if TYPE_CHECKING:

        def record(self, events: Sequence[EventDraft]) -> None:
            """Append events: the whole store does."""

        def revoke(self, revocation: Revocation, events: Sequence[EventDraft]) -> bool:
            """See `memory_status`."""

        def hold_certificate(self, hold: Hold, events: Sequence[EventDraft]) -> bool:
            """See `memory_status`."""

        def release_certificate(
            self,
            certificate_id: UUID,
            at: datetime,
            by: str,
            note: str,
            events: Sequence[EventDraft],
            *,
            instead: Hold | None = None,
        ) -> bool:
            """See `memory_status`."""

    # connectors

    def add_connector(self, connector: Connector, sealed: bytes | None, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if connector.name in self._connectors:
                return False
            self._connectors[connector.name] = connector
            self._put_secret(connector, sealed)
            self.record(events)
            return True

    def connector(self, name: str) -> Connector | None:
        """See the port."""
        return self._connectors.get(name)

    def connectors(self) -> tuple[Connector, ...]:
        """See the port."""
        return tuple(self._connectors[name] for name in sorted(self._connectors))

    def connector_secret(self, connector_id: UUID) -> bytes | None:
        """See the port."""
        return self._connector_secrets.get(connector_id)

    def change_connector(
        self, before: Connector, after: Connector, sealed: bytes | None, events: Sequence[EventDraft]
    ) -> bool:
        """See the port."""
        with self._lock:
            if self._connectors.get(before.name) != before:
                return False
            self._connectors[after.name] = after
            self._put_secret(after, sealed)
            self.record(events)
            return True

    def _put_secret(self, connector: Connector, sealed: bytes | None) -> None:
        if sealed is not None:
            self._connector_secrets[connector.id] = sealed

    # devices and users

    def device(self, device_id: UUID) -> Device | None:
        """See the port."""
        return self._devices.get(device_id)

    def devices(self, device_ids: Sequence[UUID]) -> Mapping[UUID, Device]:
        """See the port."""
        return {each: self._devices[each] for each in device_ids if each in self._devices}

    def device_of(self, connector: str, external_id: str) -> Device | None:
        """See the port."""
        found = (d for d in self._devices.values() if (d.connector, d.external_id) == (connector, external_id))
        return next(found, None)

    def devices_by(self, connector: str, kind: str, value: str) -> tuple[Device, ...]:
        """See the port."""
        return tuple(
            device
            for device in self._devices.values()
            if device.connector == connector
            and ((kind, value) in device.aliases or (kind == "serial" and device.serial == value))
        )

    def device_page(self, wanted: DeviceFilter) -> Listed[Device]:
        """See the port."""
        found = [
            device
            for device in self._devices.values()
            if wanted.connector in (None, device.connector)
            and wanted.group in (None, device.group)
            and (wanted.groups is None or device.group in wanted.groups)
            and wanted.platform in (None, device.platform)
            and wanted.present in (None, device.state.present)
            and _begins(
                wanted.search,
                str(device.id),
                device.name,
                device.serial,
                device.external_id,
                *(value for _, value in device.aliases),
            )
        ]
        return _page(found, wanted.after, wanted.limit, counted=not wanted.search)

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            return self._put(self._devices, self.device_of, devices, events)

    def user(self, user_id: UUID) -> User | None:
        """See the port."""
        return self._users.get(user_id)

    def users(self, user_ids: Sequence[UUID]) -> Mapping[UUID, User]:
        """See the port."""
        return {each: self._users[each] for each in user_ids if each in self._users}

    def users_of(self, connector: str, external_ids: Sequence[str]) -> Mapping[str, User]:
        """See the port."""
        found = {each: self.user_of(connector, each) for each in external_ids}
        return {name: user for name, user in found.items() if user is not None}

    def user_of(self, connector: str, external_id: str) -> User | None:
        """See the port."""
        found = (u for u in self._users.values() if (u.connector, u.external_id) == (connector, external_id))
        return next(found, None)

    def users_by(self, connector: str, kind: str, value: str) -> tuple[User, ...]:
        """See the port."""
        values: dict[str, Callable[[User], tuple[str | None, ...]]] = {
            "upn": lambda user: (user.upn,),
            "email": lambda user: user.email,
            "sid": lambda user: (user.sid,),
            "sam": lambda user: (user.sam_account,),
        }
        users = (user for user in self._users.values() if user.connector == connector)
        return tuple(user for user in users if value in values[kind](user))

    def user_page(self, wanted: UserFilter) -> Listed[User]:
        """See the port."""
        found = [
            user
            for user in self._users.values()
            if wanted.connector in (None, user.connector)
            and wanted.present in (None, user.state.present)
            and _begins(wanted.search, str(user.id), user.name, user.upn, user.external_id, *user.email)
        ]
        return _page(found, wanted.after, wanted.limit, counted=not wanted.search)

    def put_users(self, users: Sequence[tuple[User | None, User]], events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            return self._put(self._users, self.user_of, users, events)

    def _put(
        self,
        kept: dict[UUID, _Record],
        named: Callable[[str, str], _Record | None],
        records: Sequence[tuple[_Record | None, _Record]],
        events: Sequence[EventDraft],
    ) -> bool:
        for before, after in records:
            if before is None and named(after.connector, after.external_id) is not None:
                return False
            if before is not None and kept.get(before.id) != before:
                return False
        for before, after in records:
            kept[after.id] = after
            if before is None or differs(before, after):
                self._changed[after.id] = max(after.seen_at, after.state_since, *(each.at for each in events))
        self.record(events)
        return True

    # sweeps

    def open_sweep(self, connector: str) -> Sweep | None:
        """See the port."""
        return next((s for s in self._sweeps.values() if s.connector == connector and s.ended_at is None), None)

    def last_sweep(self, connector: str, *, complete: bool = True, full: bool = False) -> Sweep | None:
        """See the port."""
        found = [
            sweep
            for sweep in self._sweeps.values()
            if sweep.connector == connector
            and sweep.ended_at is not None
            and sweep.complete >= complete
            and sweep.full >= full
        ]
        return max(found, key=lambda sweep: (sweep.ended_at or sweep.began_at, sweep.id), default=None)

    def put_sweep(self, before: Sweep | None, after: Sweep, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if (before is None and self.open_sweep(after.connector) is not None) or (
                before is not None and self._sweeps.get(before.id) != before
            ):
                return False
            self._sweeps[after.id] = after
            self.record(events)
            return True

    def unseen_devices(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[Device, ...]:
        """See the port."""
        return _unseen(self._devices, connector, since, after, limit)

    def unseen_users(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[User, ...]:
        """See the port."""
        return _unseen(self._users, connector, since, after, limit)

    # following

    def causes_of(self, certificate_ids: Sequence[UUID]) -> tuple[KeptCause, ...]:
        """See the port."""
        kept = [each for each in self._kept if each.certificate_id in certificate_ids]
        for which in dict.fromkeys(certificate_ids):
            row = self._certificates.get(which)
            held = None if row is None else row.revocation
            if held is None or held.reason is not RevocationReason.CERTIFICATE_HOLD or held.cause in FOLLOWED:
                continue
            kept.append(KeptCause(which, None, held.at, held.note, held.at))
        return tuple(sorted(kept, key=lambda each: (each.kept_at, each.cause or "")))

    def follow(
        self,
        certificate_id: UUID,
        *,
        causes: Sequence[FoundCause],
        ended: Sequence[Cause],
        status: Revocation | Hold | None,
        release: bool,
        at: datetime,
        events: Sequence[EventDraft],
    ) -> bool:
        """See the port."""
        with self._lock:
            if isinstance(status, Revocation) and not self.revoke(status, ()):
                return False
            if isinstance(status, Hold) and not self.hold_certificate(status, ()):
                return False
            shares = [each for each in self.causes_of([certificate_id]) if each.cause is None and not each.ended_at]
            if release and (shares or not self.release_certificate(certificate_id, at, FOLLOWING, "", ())):
                return False
            if status is not None and status.cause == FOLLOWING:
                self._ended.append((at, certificate_id))
            self._keep(certificate_id, causes, ended, at)
            self.record(events)
            return True

    def _keep(self, certificate_id: UUID, causes: Sequence[FoundCause], ended: Sequence[Cause], at: datetime) -> None:
        found = {each.cause: each for each in causes}
        for index, kept in enumerate(self._kept):
            if kept.certificate_id != certificate_id or kept.ended_at is not None or kept.cause is None:
                continue
            if kept.cause in found:
                again = found.pop(kept.cause)
                self._kept[index] = replace(kept, since=again.since, why=again.why)
            elif kept.cause in ended:
                self._kept[index] = replace(kept, ended_at=at)
        self._kept += [KeptCause(certificate_id, each.cause, each.since, each.why, at) for each in found.values()]

    def _live(self, now: datetime) -> list[Certificate]:
        found = [
            row
            for row in self._certificates.values()
            if row.der is not None
            and row.intent.not_after > now
            and (row.revocation is None or row.revocation.reason is RevocationReason.CERTIFICATE_HOLD)
        ]
        return sorted(found, key=lambda row: (row.intent.created_at, row.id))

    def bearers(self, now: datetime, after: UUID | None, limit: int) -> tuple[Bearer, ...]:
        """See the port."""
        intents = [row.intent for row in self._live(now)]
        found = {Bearer(each.device_id, None) for each in intents if each.device_id is not None}
        found |= {Bearer(None, each.user_id) for each in intents if each.device_id is None and each.user_id is not None}
        return tuple(sorted((b for b in found if after is None or b.id > after), key=lambda b: b.id)[:limit])

    def changed_bearers(self, since: datetime, most: int) -> tuple[Bearer, ...]:
        """See the port."""
        changed = {each for each, at in self._changed.items() if at >= since}
        owners = {(each.connector, each.external_id) for each in self._users.values() if each.id in changed}
        found = {
            Bearer(each.id, None)
            for each in self._devices.values()
            if each.id in changed or (each.connector, each.user) in owners
        }
        kept = {each.certificate_id for each in self._kept if each.kept_at >= since}
        for row in self._certificates.values():
            intent = row.intent
            if intent.created_at >= since or intent.id in kept or intent.user_id in changed:
                found |= {Bearer(intent.device_id, None)} if intent.device_id is not None else set()
                found |= {Bearer(None, intent.user_id)} if not intent.device_id and intent.user_id else set()
        return tuple(found)[:most]

    def live_certificates(self, bearers: Sequence[Bearer], now: datetime) -> Mapping[Bearer, Sequence[Certificate]]:
        """See the port."""
        found: dict[Bearer, list[Certificate]] = {}
        for row in self._live(now):
            device, user = row.intent.device_id, row.intent.user_id
            bearer = Bearer(device, None if device is not None else user)
            if bearer in bearers:
                found.setdefault(bearer, []).append(row)
        return found

    def live_count(self, now: datetime) -> Mapping[str, int]:
        """See the port."""
        bound = (row.intent for row in self._live(now) if row.intent.device_id or row.intent.user_id)
        return Counter(intent.group or "" for intent in bound)

    def ended_since(self, since: datetime) -> Mapping[str, int]:
        """See the port."""
        which = {each for at, each in self._ended if at >= since}
        return Counter(self._certificates[each].intent.group or "" for each in which)

    # the brake

    def stopped(self, digest: str) -> Stopped | None:
        """See the port."""
        return next((stop for stop in self.open_stops() if stop.digest == digest), None)

    def open_stops(self) -> tuple[Stopped, ...]:
        """See the port."""
        found = [stop for stop in self._stops.values() if stop.closed_at is None]
        return tuple(sorted(found, key=lambda stop: (stop.at, stop.id), reverse=True))

    def put_stopped(self, before: Stopped | None, after: Stopped, events: Sequence[EventDraft]) -> bool:
        """See the port."""
        with self._lock:
            if before is not None and self._stops.get(before.id) != before:
                return False
            if before is None:
                for stop in self.open_stops():
                    self._stops[stop.id] = replace(stop, closed_at=after.at)
            self._stops[after.id] = after
            self.record(events)
            return True

    # notices

    def queue_notice(self, notice: Notice, events: Sequence[EventDraft]) -> None:
        """See the port."""
        with self._lock:
            self._put_notice(notice)
            self.record(events)

    def _put_notice(self, notice: Notice) -> None:
        earlier = [each.id for each in self._notices.values() if each.enrolment_id == notice.enrolment_id]
        for each in earlier:
            del self._notices[each]
        self._notices[notice.id] = notice

    def notice_of(self, enrolment_id: UUID) -> Notice | None:
        """See the port."""
        return next((each for each in self._notices.values() if each.enrolment_id == enrolment_id), None)

    def due_notices(self, now: datetime, limit: int) -> tuple[Notice, ...]:
        """See the port."""
        found = [each for each in self._notices.values() if each.told_at is None and each.due_at <= now]
        return tuple(sorted(found, key=lambda each: (each.due_at, each.id))[:limit])

    def claim_notice(self, notice: Notice, at: datetime, until: datetime) -> Notice | None:
        """See the port."""
        del at
        with self._lock:
            if self._notices.get(notice.id) != notice or notice.told_at is not None:
                return None
            self._notices[notice.id] = replace(notice, attempts=notice.attempts + 1, due_at=until)
            return self._notices[notice.id]

    def conclude_notice(
        self, claimed: Notice, after: Notice, revocation: Revocation | None, events: Sequence[EventDraft]
    ) -> bool:
        """See the port."""
        with self._lock:
            if self._notices.get(claimed.id) != claimed or claimed.told_at is not None:
                return False
            if revocation is not None and not self.revoke(revocation, ()):
                return False
            self._notices[after.id] = after
            self.record(events)
            return True

    # what is sealed

    def sealed_for_connectors(self) -> Iterator[SealedSecret]:
        """Return the secrets of connectors, and what they are to be told."""
        for connector_id, sealed in sorted(self._connector_secrets.items()):
            yield SealedSecret(f"connector:{connector_id}", connector_id.bytes, sealed)
        for notice in sorted(self._notices.values(), key=lambda each: each.id):
            if notice.sealed:
                yield SealedSecret(f"notice:{notice.id}", notice.id.bytes, notice.sealed)

    def reseal_for_connector(self, former: SealedSecret, fresh: bytes) -> bool:
        """Put a new seal into the place of the old one."""
        if former not in tuple(self.sealed_for_connectors()) or not isinstance(former.which, bytes):
            return False
        which = UUID(bytes=former.which)
        if which in self._connector_secrets:
            self._connector_secrets[which] = fresh
        else:
            self._notices[which] = replace(self._notices[which], sealed=fresh)
        return True


def _begins(search: str, *values: str | None) -> bool:
    wanted = search.casefold()
    return not wanted or any(value is not None and value.casefold().startswith(wanted) for value in values)


def _page(found: Sequence[_Record], after: Place | None, limit: int, *, counted: bool) -> Listed[_Record]:
    def place(record: _Record) -> tuple[str, str]:
        return record.name.casefold().encode().hex(), record.id.hex

    rows = sorted(found, key=place)
    behind = [row for row in rows if after is None or place(row) > tuple(map(str, after))]
    shown = behind[:limit]
    following = place(shown[-1]) if len(behind) > len(shown) else None
    # What a text finds is counted where one page has it.
    counts = after is None and (counted or following is None)
    return Listed(tuple(shown), following, min(len(rows), COUNTED + 1) if counts else None)


def _unseen(
    kept: Mapping[UUID, _Record], connector: str, since: datetime, after: UUID | None, limit: int
) -> tuple[_Record, ...]:
    found = [
        record
        for record in kept.values()
        if record.connector == connector
        and record.state.present
        and record.seen_at < since
        and (after is None or record.id > after)
    ]
    return tuple(sorted(found, key=lambda record: record.id)[:limit])
