"""An inventory that an administrator brings: looked at first, then taken whole or in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Action, EventDraft, Outcome
from regalia.ports import Catalogue, Events
from regalia.ports.fleet import DeviceFilter, UserFilter
from regalia.ra.sweeping import Sweeper, SweepingStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Actor, JsonValue
    from regalia.model.connector import Connector, SweepPage
    from regalia.ports import Clock, Entropy, Listed, Place

__all__ = ["BringingStore", "Brought", "bring_inventory", "check_groups", "look_at_inventory"]

_PAGE: Final = 1_000
_TOLD: Final = 20


class BringingStore(SweepingStore, Catalogue, Events, Protocol):
    """What an import reads and writes."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What an import shows, beside what is there."""

    devices: int
    users: int
    new_devices: int
    new_users: int
    missing_devices: int
    """Present ones that a complete import does not show: the second such import in a row makes them absent."""
    missing_users: int


def look_at_inventory(store: BringingStore, connector: Connector, page: SweepPage, *, partial: bool) -> Brought:
    """Compare, without doing anything.

    Raises `AdminError`: CON-077 where a device names a group that is not there; ADM-018 where a complete import has one
    of devices and users alone, and the other ones are known: they would all be missing.
    """
    check_groups(store, page)
    devices, users = {each.external_id for each in page.devices}, {each.external_id for each in page.users}
    known_devices = _known(
        lambda after: store.device_page(DeviceFilter(connector=connector.name, present=True, limit=_PAGE, after=after))
    )
    known_users = _known(
        lambda after: store.user_page(UserFilter(connector=connector.name, present=True, limit=_PAGE, after=after))
    )
    if not partial:
        for brought, known, what in ((devices, known_devices, "devices"), (users, known_users, "users")):
            if known and not brought:
                told = f"all {len(known)} known {what} would be missing: bring them, too, or say that it is partial"
                raise AdminError(reasons.USAGE, told)
    return Brought(
        devices=len(devices),
        users=len(users),
        new_devices=len(devices - known_devices),
        new_users=len(users - known_users),
        missing_devices=0 if partial else len(known_devices - devices),
        missing_users=0 if partial else len(known_users - users),
    )


class _Named(Protocol):
    @property
    def external_id(self) -> str: ...


def _known(page_after: Callable[[Place | None], Listed[_Named]]) -> set[str]:
    found: set[str] = set()
    after: Place | None = None
    while True:
        page = page_after(after)
        found.update(each.external_id for each in page.items)
        after = page.following
        if after is None:
            return found


def check_groups(store: Catalogue, page: SweepPage) -> None:
    """Raise `AdminError` CON-077 where a device names a group that is not there."""
    there = {group.name for group in store.groups()}
    wrong = sorted({each.group for each in page.devices if each.group is not None} - there)
    if wrong:
        raise AdminError(reasons.INVENTORY_FILE_REFUSED, f"there is no group {', '.join(wrong[:_TOLD])}")


def bring_inventory(
    store: BringingStore,
    clock: Clock,
    entropy: Entropy,
    connector: Connector,
    page: SweepPage,
    *,
    partial: bool,
    actor: Actor,
) -> Brought:
    """Take it: a complete one counts as a sweep, so that the second in a row that lacks somebody says they are gone.

    Raises what `look_at_inventory` does, before anything is done.
    """
    brought = look_at_inventory(store, connector, page, partial=partial)
    details: dict[str, JsonValue] = {"devices": brought.devices, "users": brought.users, "partial": partial}
    event = EventDraft(
        clock.now(), actor, Action.INVENTORY_IMPORTED, f"connector:{connector.name}", Outcome.OK, details=details
    )
    store.record((event,))
    sweeper = Sweeper(store, clock, entropy)
    if partial:
        sweeper.take(connector.name, page)
    else:
        sweeper.bring(connector.name, page)
    return brought
