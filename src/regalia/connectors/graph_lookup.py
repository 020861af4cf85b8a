"""One device or one user by Graph, now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from regalia import reasons
from regalia.connectors.graph_facts import EntraDevice, device_of, entra_of, is_id, risk_of, user_of
from regalia.connectors.graph_queries import entra_select, managed_path, user_path
from regalia.connectors.microsoft_http import CallError
from regalia.model.connector import NotAsked, ReportedDevice, ReportedUser

if TYPE_CHECKING:
    from regalia.connectors.graph_calls import GraphCalls
    from regalia.connectors.pace import Budget, Pace
    from regalia.connectors.settings import IntuneSettings
    from regalia.model.event import JsonValue
    from regalia.ports.outside import Clock

__all__ = ["GraphLookup"]

_MOST_PAGES: Final = 20
"""Of one device's groups."""
_AT_A_TIME: Final = 20
"""Groups of one question about a user."""


class GraphLookup:
    """Looks one object up, in Intune and in Entra ID."""

    def __init__(self, calls: GraphCalls, settings: IntuneSettings, clock: Clock, pace: Pace) -> None:
        self._calls = calls
        self._settings = settings
        self._clock = clock
        self._pace = pace

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """Look one device up, in Intune and in Entra ID."""
        if not is_id(external_id):
            return NotAsked(reasons.CONNECTOR_GARBLED, "it is no id of a device in Intune")
        budget = self._pace.enrolment(within)
        try:
            answer = self._calls.one("managed device", managed_path(external_id, self._settings), budget)
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
            answer = self._calls.one("user", user_path(external_id, self._settings), budget)
            if answer is None:
                return None
            groups = self._groups_of_user(external_id, budget)
            risk = self._risk(answer.body.get("id"), budget)
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
        page = self._calls.page(
            "device", f"/v1.0/devices?$filter={condition}&$select={entra_select(self._settings)}", budget
        )
        found = [entra_of(item) for item in page.items] if page is not None else []
        return next((entra for entra in found if entra and entra.device_id == device_id.lower()), None)

    def _risk(self, user: JsonValue, budget: Budget) -> str | None:
        if not self._settings.risk or not isinstance(user, str) or not is_id(user):
            return None
        answer = self._calls.one("risk of a user", f"{self._settings.risky_users}/{quote(user.lower())}", budget)
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
