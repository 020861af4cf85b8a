"""How things stand: whom live certificates are bound to, read page by page, so that a fleet of any size is a stream."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia.ca.revoke import is_final
from regalia.errors import AdminError, UnavailableError
from regalia.model import RevocationReason
from regalia.model.fleet import Cause, FoundCause
from regalia.ports import Catalogue
from regalia.ports.fleet import BROUGHT, Bearer, Connectors, Devices, Following, Sweeps, Users
from regalia.ra.follow_rules import FollowRules, read_follow_rules
from regalia.ra.following import LiveCertificate, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Certificate
    from regalia.model.fleet import Device, User
    from regalia.ports.fleet import KeptCause, Sweep

__all__ = ["StandingStore", "live_certificate", "reached_connectors", "rules_of_groups", "standings", "standings_of"]

_PAGE: Final = 500
"""Bearers that are in memory at a time."""
_OLD: Final = timedelta(hours=24)
"""After so long what an inventory said is no ground for anything any more."""


class StandingStore(Catalogue, Connectors, Devices, Users, Sweeps, Following, Protocol):
    """What is read for it."""


def rules_of_groups(store: Catalogue) -> Mapping[str, FollowRules]:
    """Read the rules of all groups. Raises `UnavailableError` where one's do not open: nothing follows on a guess."""
    found: dict[str, FollowRules] = {}
    for group in store.groups():
        if not group.follow:
            continue
        try:
            found[group.name] = read_follow_rules(group.follow)
        except AdminError as error:
            raise UnavailableError(error.reason, f"the rules of group {group.name}: {error.detail}") from error
    return found


def standings(store: StandingStore, now: datetime) -> Iterator[Standing]:
    """Walk over everybody whom live certificates are bound to; each certificate is in one standing."""
    reached = _Reached(store, now)
    after: UUID | None = None
    while True:
        page = store.bearers(now, after, _PAGE)
        yield from _of_page(store, page, now, reached)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def standings_of(store: StandingStore, bearers: Sequence[Bearer], now: datetime) -> Iterator[Standing]:
    """Say how things stand with some of them, each named once."""
    reached = _Reached(store, now)
    for first in range(0, len(bearers), _PAGE):
        yield from _of_page(store, bearers[first : first + _PAGE], now, reached)


def reached_connectors(store: StandingStore, now: datetime) -> frozenset[str]:
    """Name the connectors whose word counts at present (CON-5)."""
    reached = _Reached(store, now)
    return frozenset(each.name for each in store.connectors() if reached(each.name))


class _Reached:
    """Which connectors' word counts at present; each is looked at once."""

    def __init__(self, store: StandingStore, now: datetime) -> None:
        self._store = store
        self._now = now
        self._known: dict[str, bool] = {}

    def __call__(self, name: str) -> bool:
        if name not in self._known:
            self._known[name] = self._is_reached(name)
        return self._known[name]

    def _is_reached(self, name: str) -> bool:
        """A connector is out while it is disabled, when its last reading broke off, or was long ago (CON-5)."""
        connector = self._store.connector(name)
        if connector is None or connector.disabled_at is not None:
            return False
        # One that is open with a reason stands at the page that nobody answered.
        under_way = self._store.open_sweep(name)
        last = self._store.last_sweep(name, complete=False)
        if under_way is not None and under_way.why:
            return False
        return last is None or (last.complete and not self._is_old(last))

    def _is_old(self, last: Sweep) -> bool:
        """Whether nobody read it for so long that what it said is of another day: we were down, or could not ask.

        An inventory that people bring was never asked, and is as old as they leave it.
        """
        return last.cursor != BROUGHT and last.ended_at is not None and last.ended_at + _OLD <= self._now


def _of_page(store: StandingStore, page: Sequence[Bearer], now: datetime, reached: _Reached) -> Iterator[Standing]:
    rows = store.live_certificates(page, now)
    kept: defaultdict[UUID, list[KeptCause]] = defaultdict(list)
    for cause in store.causes_of([row.id for found in rows.values() for row in found]):
        kept[cause.certificate_id].append(cause)
    records = _Records(store, rows)
    for bearer in (each for each in page if each in rows):
        device = records.device(bearer)
        for user, certificates in records.by_user(device, rows[bearer]):
            record = device or user
            yield Standing(
                device,
                user,
                tuple(live_certificate(each, kept[each.id]) for each in certificates),
                reachable=record is not None and reached(record.connector),
            )


class _Records:
    """The records of a page's devices and users, read together: one by one they cost most of a walk."""

    def __init__(self, store: StandingStore, rows: Mapping[Bearer, Sequence[Certificate]]) -> None:
        self._devices = store.devices([each.device_id for each in rows if each.device_id is not None])
        owners: defaultdict[str, list[str]] = defaultdict(list)
        for device in self._devices.values():
            if device.user:
                owners[device.connector].append(device.user)
        self._owners = {connector: store.users_of(connector, names) for connector, names in owners.items()}
        intents = (row.intent for found in rows.values() for row in found)
        self._users = store.users([each.user_id for each in intents if each.user_id is not None])

    def device(self, bearer: Bearer) -> Device | None:
        """Return a bearer's device, if it has one."""
        return self._devices.get(bearer.device_id) if bearer.device_id is not None else None

    def by_user(
        self, device: Device | None, rows: Iterable[Certificate]
    ) -> Iterator[tuple[User | None, list[Certificate]]]:
        """Part one bearer's certificates by whose names they carry; those of nobody are with the device's user."""
        owner = self._owners[device.connector].get(device.user) if device is not None and device.user else None
        owner_id = None if owner is None else owner.id
        parts: defaultdict[UUID | None, list[Certificate]] = defaultdict(list)
        for row in rows:
            parts[row.intent.user_id or owner_id].append(row)
        for user_id, found in parts.items():
            yield (owner if user_id == owner_id else self._users.get(user_id) if user_id is not None else None), found


def live_certificate(certificate: Certificate, kept: Sequence[KeptCause]) -> LiveCertificate:
    """Put a certificate and what is kept beside it together, as rules look at them."""
    intent, end = certificate.intent, certificate.revocation
    held_at = end.at if end is not None and end.reason is RevocationReason.CERTIFICATE_HOLD else None
    lasting = [each for each in kept if each.ended_at is None]
    causes = tuple(FoundCause(each.cause, each.since, each.why) for each in lasting if each.cause is not None)
    return LiveCertificate(
        id=certificate.id,
        serial=certificate.serial,
        group=intent.group or "",
        profile=intent.profile or "",
        issued_at=certificate.issued_at or intent.created_at,
        not_after=intent.not_after,
        key_sha256=intent.key_sha256,
        of_user=intent.user_id is not None,
        kept=causes,
        held_at=held_at,
        held_by_others=held_at is not None and (not causes or any(each.cause is None for each in lasting)),
        revoked=is_final(certificate),
        requested=next((each for each in causes if each.cause is Cause.REQUESTED), None),
    )
