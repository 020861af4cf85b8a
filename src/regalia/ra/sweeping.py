"""Reading a connector's inventory, page by page: what it shows becomes records, and what two sweeps miss is absent.

A sweep goes on where it stopped, also in another process. What nobody answers changes nothing (CON-5): a page that
fails leaves the sweep open at its place, with the reason, and only one that was read to its end says who is missing
(REV-7). Between full sweeps a system that can says what changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import Action, EventDraft, Outcome, new_id
from regalia.model.connector import NotAsked, SweepPage
from regalia.model.fleet import Device
from regalia.ports.fleet import BROUGHT, Devices, Sweep, Sweeps, Users
from regalia.ra.brake import SweepOutcome, is_absent, missed_after
from regalia.ra.confirming import confirmed
from regalia.ra.record_events import connector_actor, record_event, record_events
from regalia.ra.records import absent_record, device_record, user_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import JsonValue
    from regalia.model.connector import ReportedDevice, ReportedUser
    from regalia.model.fleet import User
    from regalia.ports import Clock, Entropy
    from regalia.ports.connectors import Inventory

__all__ = ["Pace", "Sweeper", "SweepingStore"]

_BATCH: Final = 500
"""Records that are looked at, and changed, in one transaction."""
_TRIES: Final = 5
"""How often a record that others change at the same moment is looked at anew."""


class SweepingStore(Devices, Users, Sweeps, Protocol):
    """Records, and how far their readings are."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a connector is read."""

    full: timedelta = timedelta(hours=1)
    """From the beginning of one full sweep to the next."""
    stale: timedelta = timedelta(hours=12)
    """After how long an open sweep is given up: its first pages are of another day."""


class Sweeper:
    """Reads inventories. One thread at a time reads a connector: a job's lease sees to it."""

    def __init__(self, store: SweepingStore, clock: Clock, entropy: Entropy, pace: Pace = Pace()) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._pace = pace

    def read(self, name: str, link: Inventory, *, pages: int) -> Sweep | None:
        """Read so many pages at most: of the sweep that is open, of a full one that is due, or of what changed.

        Returns the sweep as it stands; `ended_at` None: there is more, or `why` says what failed. None: nothing is due.
        """
        sweep = self._due(name)
        return None if sweep is None else self._read_on(sweep, link, pages)

    def _read_on(self, sweep: Sweep, link: Inventory, pages: int) -> Sweep:
        name = sweep.connector
        for _ in range(pages):
            page = self._page(sweep, link)
            if isinstance(page, NotAsked):
                return self._put(sweep, replace(sweep, why=f"{page.reason.id} {page.detail}".strip()[:1000]))
            if page is None:
                # Its place in the changes is forgotten over there: everything is read anew.
                self._ended(sweep, "the place in the system's changes is known no more")
                sweep = self._begun(name, full=True)
                continue
            self.take(name, confirmed(self._store, name, link, page))
            after = _counted(sweep, page)
            if page.cursor is None:
                return self._completed(after, sweep, page)
            sweep = self._put(sweep, replace(after, cursor=page.cursor, why=""))
        return sweep

    def bring(self, name: str, page: SweepPage) -> Sweep:
        """Take a whole inventory at once, as an import does: what it does not show is missed, as by any full sweep."""
        found = self._store.open_sweep(name)
        if found is not None:
            self._ended(found, "another one was brought")
        sweep = self._begun(name, full=True)
        self.take(name, page)
        return self._completed(replace(_counted(sweep, page), cursor=BROUGHT), sweep, page)

    def take(self, name: str, page: SweepPage, *, said_at: datetime | None = None) -> tuple[Device | User, ...]:
        """Make records of what is reported: a page of a sweep, an import, a web hook. Returns those it concerns.

        `said_at`: when it was so, for a message that may be late; what is newer on record stays.
        """
        taken: list[Device | User] = []
        for first in range(0, len(page.devices), _BATCH):
            taken += self._take_devices(name, page.devices[first : first + _BATCH], said_at)
        for first in range(0, len(page.users), _BATCH):
            taken += self._take_users(name, page.users[first : first + _BATCH], said_at)
        for external_id in page.gone:
            taken += self._take_gone(name, external_id, said_at)
        return tuple(taken)

    # --- the sweep itself -------------------------------------------------------------------------------------------

    def _due(self, name: str) -> Sweep | None:
        """Find the sweep to go on with, or begin one."""
        now, found = self._clock.now(), self._store.open_sweep(name)
        if found is not None and now - found.began_at < self._pace.stale:
            return found
        if found is not None:
            self._ended(found, f"it was not at its end after {self._pace.stale}; {found.why}")
        full = self._store.last_sweep(name, full=True)
        if full is None or now - full.began_at >= self._pace.full:
            return self._begun(name, full=True)
        last = self._store.last_sweep(name)
        return None if last is None or last.next_delta is None else self._begun(name, full=False)

    def _begun(self, name: str, *, full: bool) -> Sweep:
        now = self._clock.now()
        return self._put(None, Sweep(self._id(now), name, full, now, None, 0))

    def _page(self, sweep: Sweep, link: Inventory) -> SweepPage | NotAsked | None:
        if sweep.full or sweep.cursor is not None:
            return link.sweep(sweep.cursor)
        last = self._store.last_sweep(sweep.connector)
        if last is None or last.next_delta is None:
            return None
        return link.changes(last.next_delta)

    def _completed(self, sweep: Sweep, before: Sweep, page: SweepPage) -> Sweep:
        gone = self._miss(sweep, full=sweep.full and page.full)
        return self._put_end(before, replace(sweep, complete=True, next_delta=page.next_delta, why=""), gone)

    def _ended(self, sweep: Sweep, why: str) -> Sweep:
        """Give it up."""
        return self._put_end(sweep, replace(sweep, complete=False, next_delta=None, why=why))

    def _put_end(self, before: Sweep, after: Sweep, gone: int = 0) -> Sweep:
        now = self._clock.now()
        after = replace(after, ended_at=now)
        # A delta that showed nothing is the rule, every few minutes: no event of it.
        told = not after.complete or after.full or after.seen > 0
        details: dict[str, JsonValue] = {"full": after.full, "seen": after.seen, "absent": gone, "why": after.why}
        event = EventDraft(
            at=now,
            actor=connector_actor(after.connector),
            action=Action.SWEEP_ENDED,
            object=f"connector:{after.connector}",
            outcome=Outcome.OK if after.complete else Outcome.FAILED,
            details={"connector": after.connector, **details},
        )
        return self._put(before, after, (event,) if told else ())

    def _put(self, before: Sweep | None, after: Sweep, events: Sequence[EventDraft] = ()) -> Sweep:
        if self._store.put_sweep(before, after, events):
            return after
        # Somebody else is at it, without the lease: their place counts.
        return self._store.open_sweep(after.connector) or after

    # --- who is missing ---------------------------------------------------------------------------------------------

    def _miss(self, sweep: Sweep, *, full: bool) -> int:
        """Count a sweep against everything that it did not show; returns how many are absent by it.

        One that shows no device at all, or no user, says nothing of them: it may not have been asked for any.
        """
        devices = SweepOutcome(complete=True, full=full, seen=sweep.seen - sweep.seen_users)
        users = SweepOutcome(complete=True, full=full, seen=sweep.seen_users)
        gone = self._miss_devices(sweep, devices) if devices.tells_absence else 0
        return gone + (self._miss_users(sweep, users) if users.tells_absence else 0)

    def _miss_devices(self, sweep: Sweep, outcome: SweepOutcome) -> int:
        gone, after = 0, None
        while devices := self._store.unseen_devices(sweep.connector, sweep.began_at, after, _BATCH):
            missed = [(each, self._missed_device(each, outcome)) for each in devices]
            events = [self._absent(each) for _, each in missed if not each.state.present]
            gone += len(events) if self._store.put_devices(missed, events) else 0
            after = devices[-1].id
        return gone

    def _miss_users(self, sweep: Sweep, outcome: SweepOutcome) -> int:
        gone, after = 0, None
        while users := self._store.unseen_users(sweep.connector, sweep.began_at, after, _BATCH):
            missed = [(each, self._missed_user(each, outcome)) for each in users]
            events = [self._absent(each) for _, each in missed if not each.state.present]
            gone += len(events) if self._store.put_users(missed, events) else 0
            after = users[-1].id
        return gone

    def _missed_device(self, device: Device, outcome: SweepOutcome) -> Device:
        missed = missed_after(device.missed_sweeps, outcome, shown=False)
        if not is_absent(missed):
            return replace(device, missed_sweeps=missed)
        state = replace(device.state, present=False)
        return replace(device, missed_sweeps=missed, state=state, state_since=self._clock.now())

    def _missed_user(self, user: User, outcome: SweepOutcome) -> User:
        missed = missed_after(user.missed_sweeps, outcome, shown=False)
        if not is_absent(missed):
            return replace(user, missed_sweeps=missed)
        state = replace(user.state, present=False)
        return replace(user, missed_sweeps=missed, state=state, state_since=self._clock.now())

    def _absent(self, record: Device | User) -> EventDraft:
        why: dict[str, JsonValue] = {"why": f"{record.missed_sweeps} complete sweeps in a row did not show it"}
        return record_event(_absence(record), record, self._clock.now(), why)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def _take_devices(
        self, name: str, reports: Sequence[ReportedDevice], said_at: datetime | None, tries: int = _TRIES
    ) -> list[Device]:
        now = self._clock.now()
        last = {each.external_id: each for each in reports}.values()
        changed = [self._device(name, report, now, said_at) for report in last]
        # Of one that is late nothing changes.
        changed = [(before, after) for before, after in changed if after is not before]
        events = [event for before, after in changed for event in record_events(before, after, now)]
        if self._store.put_devices(changed, events):
            return [after for _, after in changed]
        # An enrolment or a web hook was faster: each one is looked at anew.
        left = tries - 1 if len(reports) == 1 else tries
        if not left:
            raise UnavailableError(reasons.IN_PROGRESS, f"record of device {reports[0].external_id}")
        return [each for report in reports for each in self._take_devices(name, [report], said_at, left)]

    def _device(
        self, name: str, report: ReportedDevice, now: datetime, said_at: datetime | None
    ) -> tuple[Device | None, Device]:
        before = self._store.device_of(name, report.external_id)
        record_id = self._id(now)
        return before, device_record(before, report, connector=name, record_id=record_id, at=now, said_at=said_at)

    def _take_users(
        self, name: str, reports: Sequence[ReportedUser], said_at: datetime | None, tries: int = _TRIES
    ) -> list[User]:
        now = self._clock.now()
        last = {each.external_id: each for each in reports}.values()
        changed = [self._user(name, report, now, said_at) for report in last]
        changed = [(before, after) for before, after in changed if after is not before]
        events = [event for before, after in changed for event in record_events(before, after, now)]
        if self._store.put_users(changed, events):
            return [after for _, after in changed]
        left = tries - 1 if len(reports) == 1 else tries
        if not left:
            raise UnavailableError(reasons.IN_PROGRESS, f"record of user {reports[0].external_id}")
        return [each for report in reports for each in self._take_users(name, [report], said_at, left)]

    def _user(
        self, name: str, report: ReportedUser, now: datetime, said_at: datetime | None
    ) -> tuple[User | None, User]:
        before = self._store.user_of(name, report.external_id)
        record_id = self._id(now)
        return before, user_record(before, report, connector=name, record_id=record_id, at=now, said_at=said_at)

    def _take_gone(self, name: str, external_id: str, said_at: datetime | None) -> list[Device | User]:
        """The system itself says that it is deleted for good: that alone confirms it. One of both has such an id."""
        now = self._clock.now()
        told: dict[str, JsonValue] = {"why": "its system says that it is deleted for good"}
        for _ in range(_TRIES):
            device, user = self._store.device_of(name, external_id), self._store.user_of(name, external_id)
            gone = None if device is None else absent_record(device, at=now, said_at=said_at)
            if device is not None and gone is not None and gone is not device:
                if self._store.put_devices([(device, gone)], [record_event(_absence(gone), gone, now, told)]):
                    return [gone]
                continue
            left = None if user is None else absent_record(user, at=now, said_at=said_at)
            if user is None or left is None or left is user:
                return []
            if self._store.put_users([(user, left)], [record_event(_absence(left), left, now, told)]):
                return [left]
        raise UnavailableError(reasons.IN_PROGRESS, f"record of {external_id}")

    def _id(self, now: datetime) -> UUID:
        return new_id(now, self._entropy.octets(10))


def _counted(sweep: Sweep, page: SweepPage) -> Sweep:
    users = len(page.users)
    return replace(sweep, seen=sweep.seen + len(page.devices) + users, seen_users=sweep.seen_users + users)


def _absence(record: Device | User) -> Action:
    return Action.DEVICE_ABSENT if isinstance(record, Device) else Action.USER_CHANGED
