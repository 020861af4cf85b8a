"""The inventory that Microsoft Graph gives: devices as Intune and Entra ID know them, and users.

A sweep reads, part by part, the members of the groups that matter, Entra's devices, Intune's devices (which are
reported, with what the parts before said of them) and users. Changes come from the two parts that Graph has a delta of.
A device that Entra tells a change of is read again from Intune. What earlier parts said lives in this process: a sweep
that another process began is begun anew, which shows everything and so harms nothing.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from regalia import reasons
from regalia.connectors.graph_facts import EntraDevice, device_of, entra_of, is_id, removed, risk_of, user_of
from regalia.connectors.graph_place import Directory, Place
from regalia.connectors.microsoft_http import CallError
from regalia.model.connector import NotAsked, ReportedDevice, ReportedUser, SweepPage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.connectors.graph_calls import GraphCalls, GraphPage
    from regalia.connectors.pace import Budget, Pace
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue
    from regalia.ports.outside import Clock, Entropy

__all__ = ["GraphInventory", "first_link"]

_MANAGED: Final = (
    "id,azureADDeviceId,deviceName,serialNumber,userId,userPrincipalName,complianceState,"
    "complianceGracePeriodExpirationDateTime,deviceRegistrationState,deviceActionResults,enrolledDateTime,"
    "lastSyncDateTime,operatingSystem,managementAgent,managedDeviceOwnerType,imei,meid,wiFiMacAddress"
)
_ENTRA: Final = "id,deviceId,accountEnabled,isCompliant,isManaged,displayName"
_SID: Final = ",onPremisesSecurityIdentifier"
_USER: Final = (
    "id,displayName,userPrincipalName,accountEnabled,onPremisesSecurityIdentifier,onPremisesSamAccountName,mail"
)
_GROUP: Final = "group:"
_MOST_LOOKED_UP: Final = 100
"""Devices of one page of changes; where more changed, a sweep is the shorter way."""
_MOST_PAGES: Final = 20
"""Of one device's groups."""
_AT_A_TIME: Final = 20
"""Groups of one question about a user."""


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
        parts = [f"{_GROUP}{group}" for group in settings.groups]
        parts += ["risk"] if settings.users and settings.risk else []
        parts += ["entra"] if settings.devices == "intune-and-entra" else []
        parts += ["managed"] if settings.devices != "none" else []
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
        what = f"members of group {place.part.removeprefix(_GROUP)}" if place.part.startswith(_GROUP) else place.part
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
        parts = self._parts() if place.full else [part for part in self._parts() if part in links]
        later = parts[parts.index(place.part) + 1 :] if place.part in parts else []
        if later:
            link = None if place.full else links[later[0]]
            return replace(told, cursor=Place(place.run, later[0], place.full, link, links).text())
        if place.full:
            with self._lock:
                self._known, self._building = directory, None
        first = next((part for part in self._parts() if part in links), None)
        delta = Place(place.run, first, full=False, link=links[first], links=links).text() if first else None
        return replace(told, next_delta=delta)

    def _told(self, place: Place, page: GraphPage, directory: Directory, budget: Budget) -> SweepPage | None:
        """Make reports of a page; None where too much changed to look it all up."""
        if place.part.startswith(_GROUP):
            for item in page.items:
                member = item.get("id")
                if isinstance(member, str):
                    directory.join(member.lower(), place.part.removeprefix(_GROUP))
            return SweepPage()
        if place.part == "risk":
            for item in page.items:
                user, risk = _lower(item.get("id")), risk_of(item)
                if user is not None and risk is not None:
                    directory.risks[user] = risk
            return SweepPage()
        if place.part == "managed":
            return SweepPage(devices=self._devices(page, directory))
        if place.part == "users":
            return self._users(page, directory, budget, full=place.full)
        changed = self._entra(page.items, directory)
        return SweepPage() if place.full else self._changed(changed, directory, budget)

    def _devices(self, page: GraphPage, directory: Directory) -> tuple[ReportedDevice, ...]:
        found: list[ReportedDevice] = []
        for item in page.items:
            name = item.get("azureADDeviceId")
            device_id = name.lower() if isinstance(name, str) else None
            report = self._report(item, directory.entra(device_id), directory, page.request_id, fresh=True)
            if report is None:
                # What cannot be read would look absent.
                raise CallError.of(reasons.CONNECTOR_GARBLED, "Graph managed: a device without an id")
            if device_id is not None:
                directory.managed[device_id] = report.external_id
            found.append(report)
        return tuple(found)

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

    def _entra(self, items: Sequence[Mapping[str, JsonValue]], directory: Directory) -> list[EntraDevice]:
        """Keep what Entra ID says; return those that it is about."""
        changed: dict[str, EntraDevice] = {}
        for item in items:
            object_id = item.get("id")
            before = directory.objects.get(object_id.lower()) if isinstance(object_id, str) else None
            entra = entra_of(item, before)
            if entra is not None:
                directory.keep(entra)
                changed[entra.object_id] = entra
        return list(changed.values())

    def _changed(self, changed: Sequence[EntraDevice], directory: Directory, budget: Budget) -> SweepPage | None:
        """Read from Intune again what Entra ID tells a change of; what Intune never listed waits for the next sweep."""
        ids = [(entra, directory.managed.get(entra.device_id or "")) for entra in changed]
        known = [(entra, managed) for entra, managed in ids if managed is not None]
        if len(known) > _MOST_LOOKED_UP:
            return None
        devices: list[ReportedDevice] = []
        gone: list[str] = []
        for entra, managed in known:
            answer = self._calls.one("managed device", _managed_path(managed, self._settings), budget)
            if answer is None:
                gone.append(managed)
                continue
            report = self._report(answer.body, entra, directory, answer.request_id, fresh=False)
            if report is not None:
                devices.append(report)
        return SweepPage(devices=tuple(devices), gone=tuple(gone))

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
                if self._calls.one("user", _user_path(report.external_id, self._settings), budget) is None:
                    gone.append(report.external_id)
        return SweepPage(users=tuple(users), gone=tuple(gone))

    # --- one of them --------------------------------------------------------------------------------------------------

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """Look one device up, in Intune and in Entra ID."""
        if not is_id(external_id):
            return NotAsked(reasons.CONNECTOR_GARBLED, "it is no id of a device in Intune")
        budget = self._pace.enrolment(within)
        try:
            answer = self._calls.one("managed device", _managed_path(external_id, self._settings), budget)
            if answer is None:
                return None
            entra = self._entra_device(answer.body.get("azureADDeviceId"), budget)
            groups = self._groups_of_device(entra, budget)
        except CallError as error:
            return error.answer
        report = device_of(
            answer.body, entra, groups, self._settings, now=self._clock.now(), request_id=answer.request_id
        )
        if report is None or report.external_id != external_id.lower():
            return NotAsked(reasons.CONNECTOR_GARBLED, f"Graph managed device: another one came, {answer.ids()}")
        return report

    def user(self, external_id: str, *, within: float) -> ReportedUser | NotAsked | None:
        """Look one user up."""
        if not is_id(external_id):
            return NotAsked(reasons.CONNECTOR_GARBLED, "it is no id of a user in Entra ID")
        budget = self._pace.enrolment(within)
        try:
            answer = self._calls.one("user", _user_path(external_id, self._settings), budget)
            if answer is None:
                return None
            groups = self._groups_of_user(external_id, budget)
            risk = self._risk(_lower(answer.body.get("id")), budget)
        except CallError as error:
            return error.answer
        report = user_of(answer.body, groups, self._settings, request_id=answer.request_id, risk=risk)
        if report is None or external_id.lower() not in (report.external_id, (report.upn or "").lower()):
            return NotAsked(reasons.CONNECTOR_GARBLED, f"Graph user: another one came, {answer.ids()}")
        return report

    def _entra_device(self, device_id: JsonValue, budget: Budget) -> EntraDevice | None:
        if self._settings.devices != "intune-and-entra" or not isinstance(device_id, str) or not is_id(device_id):
            return None
        condition = quote(f"deviceId eq '{device_id}'")
        page = self._calls.page("device", f"/v1.0/devices?$filter={condition}&$select={_entra(self._settings)}", budget)
        found = [entra_of(item) for item in page.items] if page is not None else []
        return next((entra for entra in found if entra and entra.device_id == device_id.lower()), None)

    def _risk(self, user: str | None, budget: Budget) -> str | None:
        if not self._settings.risk or user is None or not is_id(user):
            return None
        answer = self._calls.one("risk of a user", f"{self._settings.risky_users}/{quote(user)}", budget)
        return "none" if answer is None else risk_of(answer.body)

    def _groups_of_device(self, entra: EntraDevice | None, budget: Budget) -> frozenset[str] | None:
        if entra is None or not self._settings.groups:
            return None
        link: str | None = f"/v1.0/devices/{entra.object_id}/transitiveMemberOf?$select=id"
        found: set[str] = set()
        for _ in range(_MOST_PAGES):
            if link is None:
                return frozenset(found.intersection(self._settings.groups))
            page = self._calls.page("groups of a device", link, budget)
            if page is None:
                break
            found |= {str(item.get("id")).lower() for item in page.items}
            link = page.next_link
        raise CallError.of(reasons.CONNECTOR_GARBLED, "Graph groups of a device: the list has no end")

    def _groups_of_user(self, user: str, budget: Budget) -> frozenset[str] | None:
        found: set[str] = set()
        groups = self._settings.groups
        if not groups:
            return None
        for start in range(0, len(groups), _AT_A_TIME):
            some: list[JsonValue] = [*groups[start : start + _AT_A_TIME]]
            path = f"/v1.0/users/{quote(user)}/checkMemberGroups"
            answer = self._calls.posted("groups of a user", path, {"groupIds": some}, budget)
            value = answer.body.get("value") if answer is not None else None
            if not isinstance(value, list):
                raise CallError.of(reasons.CONNECTOR_GARBLED, "Graph groups of a user: no list came")
            found |= {str(each).lower() for each in value}
        return frozenset(found.intersection(groups))


def first_link(part: str, settings: IntuneSettings, *, most: int | None = None) -> str:
    """Say how a part begins. What is selected stands in the first link alone; Graph's own links carry it on."""
    if part.startswith(_GROUP):
        return f"/v1.0/groups/{part.removeprefix(_GROUP)}/transitiveMembers?$select=id&$top={most or 999}"
    if part == "managed":
        return f"{_managed_base(settings)}?$top={most or settings.page}&$select={_managed(settings)}"
    if part == "risk":
        return f"{settings.risky_users}?$select=id,riskLevel,riskState"
    if part == "entra":
        return f"/v1.0/devices/delta?$select={_entra(settings)}"
    return f"/v1.0/users/delta?$select={_user(settings)}"


def _managed_base(settings: IntuneSettings) -> str:
    return f"/{'beta' if settings.management_state else 'v1.0'}/deviceManagement/managedDevices"


def _managed(settings: IntuneSettings) -> str:
    return _MANAGED + (",managementState,lostModeState" if settings.management_state else "")


def _entra(settings: IntuneSettings) -> str:
    return _ENTRA + (_SID if settings.device_sid else "")


def _user(settings: IntuneSettings) -> str:
    return _USER + (",assignedLicenses" if settings.licences else "")


def _managed_path(external_id: str, settings: IntuneSettings) -> str:
    return f"{_managed_base(settings)}/{quote(external_id)}?$select={_managed(settings)}"


def _user_path(external_id: str, settings: IntuneSettings) -> str:
    return f"/v1.0/users/{quote(external_id)}?$select={_user(settings)}"


def _lower(value: JsonValue) -> str | None:
    return value.lower() if isinstance(value, str) else None
