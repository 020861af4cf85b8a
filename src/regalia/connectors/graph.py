"""The inventory that Microsoft Graph gives: devices as Intune and Entra ID know them, and users.

A sweep reads, part by part, the members of the groups that matter, Entra's devices, Intune's devices (which are
reported, with what the parts before said of them) and users. Between sweeps Graph has a delta of Entra's devices and of
users; of Intune's devices it has none, so their list is read whole each time, since a wipe stands there and nowhere
else, and those are reported of whom it says something new. What earlier parts said lives in this process: a sweep that
another process began is begun anew, which shows everything and so harms nothing.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.connectors.graph_facts import device_of, entra_of, removed, risk_of, user_of
from regalia.connectors.graph_lookup import GraphLookup
from regalia.connectors.graph_place import Directory, Place
from regalia.connectors.graph_queries import GROUP, first_link, managed_path, user_path
from regalia.connectors.microsoft_http import CallError
from regalia.model.connector import NotAsked, ReportedDevice, ReportedUser, SweepPage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.connectors.graph_calls import GraphCalls, GraphPage
    from regalia.connectors.graph_facts import EntraDevice
    from regalia.connectors.pace import Budget, Pace
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue
    from regalia.ports.outside import Clock, Entropy

__all__ = ["GraphInventory"]

_MANAGED: Final = "managed"
"""Intune's devices: the part without a delta."""
_MOST_LOOKED_UP: Final = 100
"""Users of one page of changes; where more are gone, a sweep is the shorter way."""
_MOST_MISSED: Final = 20
"""Devices that are looked up because Intune lists them no more; the others wait for the next round, or for a sweep."""


class GraphInventory:
    """See `ports.Inventory`."""

    def __init__(
        self, calls: GraphCalls, settings: IntuneSettings, *, clock: Clock, entropy: Entropy, pace: Pace
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._pace = pace
        self._lookup = GraphLookup(calls, settings, clock, pace)
        self._lock = threading.Lock()
        self._building: Directory | None = None
        self._known: Directory | None = None

    # --- pages --------------------------------------------------------------------------------------------------------

    def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
        """Read one page of everything, or of changes where the cursor is from a page of changes."""
        place = Place.of_text(cursor) if cursor is not None else None
        if place is not None and not place.full:
            page = self._read(place)
            return page or NotAsked(reasons.CONNECTOR_GARBLED, "Graph no longer knows this place among the changes")
        if place is None or self._built(place.run) is None or place.part not in self._parts():
            place = self._begun()
        page = self._read(place)
        # Graph forgets places, too.
        return page or self._read(self._begun()) or NotAsked(reasons.CONNECTOR_GARBLED, "Graph knows no first page")

    def changes(self, delta: str) -> SweepPage | NotAsked | None:
        """Read what changed; None also where this process has not seen a whole sweep."""
        place = Place.of_text(delta)
        if place is None or place.full or self._seen(place.run) is None or place.part not in self._parts():
            return None
        return self._read(place)

    def _parts(self) -> list[str]:
        """List the parts of a sweep in their order."""
        settings = self._settings
        parts = [f"{GROUP}{group}" for group in settings.groups]
        parts += ["risk"] if settings.users and settings.risk else []
        parts += ["entra"] if settings.devices == "intune-and-entra" else []
        parts += [_MANAGED] if settings.devices != "none" else []
        return parts + (["users"] if settings.users else [])

    def _begun(self) -> Place:
        run = self._entropy.octets(12).hex()
        with self._lock:
            self._building = Directory(run)
        return Place(run, self._parts()[0], full=True)

    def _built(self, run: str) -> Directory | None:
        with self._lock:
            building = self._building
        return building if building is not None and building.run == run else None

    def _seen(self, run: str) -> Directory | None:
        with self._lock:
            known = self._known
        return known if known is not None and known.run == run else None

    def _read(self, place: Place) -> SweepPage | NotAsked | None:
        budget = self._pace.background(self._settings.seconds)
        try:
            return self._page(place, budget)
        except CallError as error:
            return error.answer

    def _page(self, place: Place, budget: Budget) -> SweepPage | None:
        directory = self._built(place.run) if place.full else self._seen(place.run)
        if directory is None:
            return None
        what = f"members of group {place.part.removeprefix(GROUP)}" if place.part.startswith(GROUP) else place.part
        link = place.link or first_link(place.part, self._settings)
        most = self._settings.page if place.part in ("entra", "users") else None
        page = self._calls.page(what, link, budget, most=most)
        if page is None:
            return None
        told = self._told(place, page, directory, budget)
        return None if told is None else self._placed(place, page, told, directory)

    def _placed(self, place: Place, page: GraphPage, told: SweepPage, directory: Directory) -> SweepPage:
        """Say where to go on after a page."""
        told = replace(told, full=place.full)
        if page.next_link is not None:
            return replace(told, cursor=replace(place, link=page.next_link).text())
        links = {**place.links, place.part: page.delta_link} if page.delta_link else dict(place.links)
        changing = [part for part in self._parts() if part in links or part == _MANAGED]
        parts = self._parts() if place.full else changing
        later = parts[parts.index(place.part) + 1 :] if place.part in parts else []
        if later:
            link = None if place.full else links.get(later[0])
            return replace(told, cursor=replace(place, part=later[0], link=link, links=links).text())
        if place.full:
            with self._lock:
                self._known, self._building = directory, None
        if not changing:
            return told
        first = changing[0]
        begin = Place(place.run, first, full=False, link=links.get(first), links=links, round=place.round + 1)
        return replace(told, next_delta=begin.text())

    def _told(self, place: Place, page: GraphPage, directory: Directory, budget: Budget) -> SweepPage | None:
        """Make reports of a page; None where too much changed to look it all up."""
        if place.part.startswith(GROUP):
            for item in page.items:
                member = item.get("id")
                if isinstance(member, str):
                    directory.join(member.lower(), place.part.removeprefix(GROUP))
            return SweepPage()
        if place.part == "risk":
            for item in page.items:
                user, risk = _lower(item.get("id")), risk_of(item)
                if user is not None and risk is not None:
                    directory.risks[user] = risk
            return SweepPage()
        if place.part == _MANAGED:
            devices = self._devices(page, directory, fresh=place.full)
            return SweepPage(devices=devices) if place.full else self._news(place, page, devices, directory, budget)
        if place.part == "users":
            return self._users(page, directory, budget, full=place.full)
        self._entra(page.items, directory)
        return SweepPage()

    def _devices(self, page: GraphPage, directory: Directory, *, fresh: bool) -> tuple[ReportedDevice, ...]:
        found: list[ReportedDevice] = []
        for item in page.items:
            name = item.get("azureADDeviceId")
            entra = directory.entra(name if isinstance(name, str) else None)
            report = self._report(item, entra, directory, page.request_id, fresh=fresh)
            if report is None:
                # What cannot be read would look absent.
                raise CallError.of(reasons.CONNECTOR_GARBLED, "Graph managed: a device without an id")
            found.append(report)
            if fresh:
                directory.managed[report.external_id] = _print(report)
        return tuple(found)

    def _news(
        self,
        place: Place,
        page: GraphPage,
        devices: Sequence[ReportedDevice],
        directory: Directory,
        budget: Budget,
    ) -> SweepPage:
        """Report what is new in Intune's list; what it lists no more is gone where Intune knows no such device."""
        directory.turn_to(place)
        news = {device.external_id: _print(device) for device in devices}
        directory.listed.update(news)
        directory.told.update({name: value for name, value in news.items() if directory.managed.get(name) != value})
        missed = (name for name in directory.managed if name not in directory.listed)
        asked = () if page.next_link else tuple(islice(missed, _MOST_MISSED))
        gone = tuple(name for name in asked if not self._has(name, budget))
        directory.told.update(dict.fromkeys(gone))
        return SweepPage(tuple(each for each in devices if each.external_id in directory.told), gone=gone)

    def _has(self, managed: str, budget: Budget) -> bool:
        return self._calls.one("managed device", managed_path(managed, self._settings), budget) is not None

    def _report(
        self,
        raw: Mapping[str, JsonValue],
        entra: EntraDevice | None,
        directory: Directory,
        request_id: str,
        *,
        fresh: bool,
    ) -> ReportedDevice | None:
        """Make a report. `fresh`: the groups were read in this same sweep; older ones would be said to be left."""
        listed = fresh and entra is not None and entra.removed is None and self._settings.groups
        groups = directory.of(entra.object_id) if listed and entra else None
        return device_of(raw, entra, groups, self._settings, now=self._clock.now(), request_id=request_id)

    def _entra(self, items: Sequence[Mapping[str, JsonValue]], directory: Directory) -> None:
        """Keep what Entra ID says; Intune's list, which comes after it, tells of those that it is about."""
        for item in items:
            object_id = item.get("id")
            before = directory.objects.get(object_id.lower()) if isinstance(object_id, str) else None
            entra = entra_of(item, before)
            if entra is not None:
                directory.keep(entra)

    def _users(self, page: GraphPage, directory: Directory, budget: Budget, *, full: bool) -> SweepPage | None:
        users: list[ReportedUser] = []
        gone: list[str] = []
        for item in page.items:
            listed = full and self._settings.groups and removed(item) is None
            groups = directory.of(_lower(item.get("id"))) if listed else None
            # Who is not on the list of risky users is no risk; without the list nothing is known.
            risk = directory.risks.get(_lower(item.get("id")) or "", "none") if self._settings.risk else None
            report = user_of(item, groups, self._settings, request_id=page.request_id, risk=risk)
            if report is None:
                raise CallError.of(reasons.CONNECTOR_GARBLED, "Graph users: a user without an id")
            if removed(item) != "deleted":
                users.append(report)
            elif not full:
                # It is for good only when Graph says so of the user itself, too.
                if len(gone) >= _MOST_LOOKED_UP:
                    return None
                if self._calls.one("user", user_path(report.external_id, self._settings), budget) is None:
                    gone.append(report.external_id)
        return SweepPage(users=tuple(users), gone=tuple(gone))

    # --- one of them --------------------------------------------------------------------------------------------------

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """Look one device up, in Intune and in Entra ID."""
        return self._lookup.device(external_id, within=within)

    def user(self, external_id: str, *, within: float) -> ReportedUser | NotAsked | None:
        """Look one user up."""
        return self._lookup.user(external_id, within=within)


def _lower(value: JsonValue) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _print(report: ReportedDevice) -> bytes:
    """Sum up what a report says, to tell news from what was said before: when a device last spoke is no news."""
    said = replace(report, evidence={}, memberships=frozenset(), memberships_known=False)
    return blake2b(repr(said).encode(), digest_size=16).digest()
