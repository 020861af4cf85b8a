"""Records of devices: rows ⇄ values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from regalia.model.fleet import Device, DeviceState, PendingAction, Platform
from regalia.store.fleet_records import Keys, Records, folded, record_text
from regalia.store.listing import group_columns, in_groups
from regalia.store.session import Noun
from regalia.store.tables import device, device_key
from regalia.store.values import from_millis, millis, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from regalia.model import EventDraft
    from regalia.ports import Listed
    from regalia.ports.fleet import DeviceFilter
    from regalia.store.session import Columns, Row, Transaction

__all__ = ["SqlDevices"]

_FLAGS: Final = ("managed", "enabled", "compliant", "lost", "risk")


class SqlDevices(Noun):
    """See `ports.fleet.Devices`, and `ports.fleet.Sweeps` for whom a sweep did not see."""

    def device(self, device_id: UUID) -> Device | None:
        """Find by our id."""
        return _RECORDS.one(self._database, device_id)

    def devices(self, device_ids: Sequence[UUID]) -> Mapping[UUID, Device]:
        """Find several at once."""
        return _RECORDS.several(self._database, device_ids)

    def device_of(self, connector: str, external_id: str) -> Device | None:
        """Find by its system's id."""
        return _RECORDS.named(self._database, connector, external_id)

    def devices_by(self, connector: str, kind: str, value: str) -> tuple[Device, ...]:
        """Find by an alias, or by `serial`."""
        return _RECORDS.by_key(self._database, connector, kind, value)

    def device_page(self, wanted: DeviceFilter) -> Listed[Device]:
        """Find one page, by name."""
        where: dict[str, str] = {}
        values: Columns = {}
        asked = {
            "connector": wanted.connector,
            "group": wanted.group,
            "platform": None if wanted.platform is None else wanted.platform.value,
            "present": None if wanted.present is None else int(wanted.present),
        }
        for name, value in asked.items():
            if value is not None:
                where[name], values[name] = f'c."{name}" = :{name}', plain(value) if isinstance(value, str) else value
        if wanted.groups is not None:
            # AUTHZ-4: whatever else is asked.
            names = sorted(wanted.groups)
            where["group" if "group" not in where and len(names) == 1 else "groups"] = in_groups('c."group"', names)
            values |= group_columns(names)
        return _RECORDS.page(
            self._database, where, values, search=wanted.search, limit=wanted.limit, after=wanted.after
        )

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """Add and change; False, and nothing done, where one has changed."""

        def unit(transaction: Transaction) -> None:
            _RECORDS.put(transaction, devices, events)
            transaction.record(events)

        return self._won(unit)

    def unseen_devices(self, connector: str, since: datetime, after: UUID | None, limit: int) -> tuple[Device, ...]:
        """Return those that are present and that nothing was said of since then."""
        return _RECORDS.unseen(self._database, connector, since, after, limit)


def _keys(value: Device) -> Keys:
    serial = frozenset({("serial", value.serial)}) if value.serial is not None else frozenset()
    return serial | frozenset(value.aliases)


def _columns(value: Device) -> Columns:
    return {
        "id": value.id.bytes,
        "connector": value.connector,
        "external_id": value.external_id,
        "group": value.group,
        "name": plain(value.name),
        "folded": folded(value.name),
        "platform": value.platform.value,
        "present": int(value.state.present),
        "facts": record_text(_facts(value)),
        "evidence": record_text(value.evidence),
        "state_since": millis(value.state_since),
        "first_seen_at": millis(value.first_seen_at),
        "seen_at": millis(value.seen_at),
        "missed_sweeps": value.missed_sweeps,
        "owner": None if value.user is None else plain(value.user),
    }


def _facts(value: Device) -> dict[str, object]:
    """What is known; what nobody said is left out."""
    state = value.state
    facts: dict[str, object] = {name: getattr(state, name) for name in _FLAGS}
    if state.pending is not PendingAction.NONE:
        facts["pending"] = state.pending.value
    facts |= {
        "serial": value.serial,
        "user": value.user,
        "sid": value.sid,
        "aliases": [list(alias) for alias in value.aliases] or None,
        "dns": list(value.dns) or None,
        "memberships": sorted(value.memberships) or None,
        "memberships_known": value.memberships_known or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _read(row: Row) -> Device:
    facts: dict[str, Any] = json.loads(row["facts"])
    state = DeviceState(
        present=bool(row["present"]),
        pending=PendingAction(facts.get("pending", PendingAction.NONE)),
        **{name: facts.get(name) for name in _FLAGS},
    )
    return Device(
        id=UUID(bytes=row["id"]),
        connector=row["connector"],
        external_id=row["external_id"],
        group=row["group"],
        name=row["name"],
        platform=Platform(row["platform"]),
        state=state,
        state_since=from_millis(row["state_since"]),
        first_seen_at=from_millis(row["first_seen_at"]),
        seen_at=from_millis(row["seen_at"]),
        serial=facts.get("serial"),
        aliases=tuple((kind, value) for kind, value in facts.get("aliases", ())),
        user=facts.get("user"),
        sid=facts.get("sid"),
        dns=tuple(facts.get("dns", ())),
        memberships=frozenset(facts.get("memberships", ())),
        memberships_known=facts.get("memberships_known", False),
        evidence=json.loads(row["evidence"]),
        missed_sweeps=row["missed_sweeps"],
    )


_RECORDS: Final = Records(device, device_key, _columns, _read, _keys)
