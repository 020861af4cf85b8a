"""Whether somebody really left a group: a sweep's list of members is older than its last page.

Members are listed when a sweep begins, so whoever joined since then looks as if they were outside. Before a membership
that is on record is taken away, its system is asked about this one device or user; where it does not answer, what was
known stays as it was (CON-5).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from regalia.model.connector import NotAsked

if TYPE_CHECKING:
    from regalia.model.connector import ReportedDevice, ReportedUser, SweepPage
    from regalia.model.fleet import Device, User
    from regalia.ports.connectors import Inventory

__all__ = ["KnownRecords", "confirmed"]

_MOST: Final = 50
"""Look-ups for one page; who is not asked about keeps their memberships until the next sweep."""
_SECONDS: Final = 10.0


class KnownRecords(Protocol):
    """What was known before."""

    def device_of(self, connector: str, external_id: str) -> Device | None:
        """See `ports.Devices`."""

    def user_of(self, connector: str, external_id: str) -> User | None:
        """See `ports.Users`."""


def confirmed(store: KnownRecords, name: str, link: Inventory, page: SweepPage) -> SweepPage:
    """Ask about each one on a page who seems to have left a group, and return it with what is sure."""
    asking = _Asking()
    devices = tuple(_device(each, store, name, link, asking) for each in page.devices)
    users = tuple(_user(each, store, name, link, asking) for each in page.users)
    return replace(page, devices=devices, users=users)


class _Asking:
    """Counts what is asked: so often at most, and no more once nobody answers."""

    def __init__(self) -> None:
        self._left = _MOST

    @property
    def goes_on(self) -> bool:
        """Whether another one may be asked about."""
        return self._left > 0

    def answered(self, found: ReportedDevice | ReportedUser | NotAsked | None) -> None:
        """Count one."""
        self._left = 0 if isinstance(found, NotAsked) else self._left - 1


def _left(before: Device | User | None, report: ReportedDevice | ReportedUser) -> bool:
    """Whether a report takes away what is on record."""
    return before is not None and before.memberships_known and bool(before.memberships - report.memberships)


def _device(report: ReportedDevice, store: KnownRecords, name: str, link: Inventory, asking: _Asking) -> ReportedDevice:
    if not report.memberships_known or not _left(store.device_of(name, report.external_id), report):
        return report
    found = None
    if asking.goes_on:
        found = link.device(report.external_id, within=_SECONDS)
        asking.answered(found)
    return _sure(report) if found is None or isinstance(found, NotAsked) else found


def _user(report: ReportedUser, store: KnownRecords, name: str, link: Inventory, asking: _Asking) -> ReportedUser:
    if not report.memberships_known or not _left(store.user_of(name, report.external_id), report):
        return report
    found = None
    if asking.goes_on:
        found = link.user(report.external_id, within=_SECONDS)
        asking.answered(found)
    return _sure(report) if found is None or isinstance(found, NotAsked) else found


_Report = TypeVar("_Report", "ReportedDevice", "ReportedUser")


def _sure(report: _Report) -> _Report:
    """Leave the memberships out: nobody confirmed that they are fewer."""
    return replace(report, memberships_known=False)
