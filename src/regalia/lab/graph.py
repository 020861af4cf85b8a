"""Microsoft Graph, as far as a connector reads it; and the discovery of Intune's services, in both dialects."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from regalia.lab.answers import AnswerError, error_answer, json_answer, timestamp
from regalia.lab.bearer import Caller, caller_of, demand
from regalia.lab.intune import services
from regalia.lab.odata import Cursor, Cursors, Resource, filtered, next_page, selected, shown
from regalia.lab.resources import DEVICES, GROUPS, MANAGED_DEVICES, MEMBERSHIP_PERMISSIONS, USERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response

    from regalia.lab.directory import User
    from regalia.lab.entra import Entra
    from regalia.lab.tenant import Keyed, Tenant

__all__ = ["Graph"]

_INTUNE_APP: Final = "0000000a-0000-0000-c000-000000000000"
_PAGE: Final = 100
_LARGEST_PAGE: Final = 999
_OPTIONS: Final = frozenset({"$select", "$filter", "$top", "$skiptoken"})
_DELTA_OPTIONS: Final = frozenset({"$select", "$skiptoken", "$deltatoken"})
_CERTIFICATES: Final = "deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates"

_Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request whose caller is known."""

    request: Request
    caller: Caller
    body: bytes
    beta: bool

    def parameter(self, name: str) -> str:
        return str(self.request.path_params[name])

    def option(self, name: str) -> str | None:
        # Graph writes $skiptoken and $deltaToken, and reads either in any case.
        found = {key.lower(): value for key, value in self.request.query_params.items()}
        return found.get(name)

    def only(self, allowed: Collection[str]) -> None:
        for key in self.request.query_params:
            if key.lower() not in allowed:
                raise AnswerError(400, "Request_UnsupportedQuery", f"The query option '{key}' is not supported here.")


class Graph:
    """The Graph host."""

    def __init__(
        self, base: str, intune: str, entra: Entra, audiences: Collection[str], legacy_audiences: Collection[str]
    ) -> None:
        self._base = base
        self._intune = intune
        self._entra = entra
        self._audiences = audiences
        self._legacy_audiences = legacy_audiences
        self.cursors = Cursors()
        self.page_size = _PAGE

    def routes(self) -> list[Route]:
        """Return its paths; those without a version first, since a version is any first segment."""
        legacy = f"/{{tenant}}/servicePrincipalsByAppId/{_INTUNE_APP}/serviceEndpoints"
        found = [Route(legacy, self._legacy_endpoints())]
        for version in ("v1.0", "beta"):
            found += self._version(version)
        return found

    def _version(self, version: str) -> list[Route]:
        table: list[tuple[str, Callable[[_Asked], _Answer]]] = [
            (f"servicePrincipals/appId={_INTUNE_APP}/endpoints", self._endpoints),
            (f"servicePrincipals(appId='{_INTUNE_APP}')/endpoints", self._endpoints),
            ("applications(appId='{key}')", self._application),
            ("devices(deviceId='{key}')", self._device_by_key),
            ("identityProtection/riskyUsers", self._risky_users),
            ("identityProtection/riskyUsers/{id}", self._risky_user),
        ]
        if version == "beta":
            table.append((_CERTIFICATES, self._certificates))
        for path, resource in (("devices", DEVICES), ("users", USERS), ("groups", GROUPS)):
            table.append((f"{path}/delta", self._delta(f"{version}/{path}/delta", resource)))
            table.append((f"{path}/{{id}}/transitiveMemberOf", self._member_of(resource)))
        for path, resource in _collections():
            table.append((path, self._list(f"{version}/{path}", resource)))
            table.append((f"{path}/{{id}}", self._one(resource)))
        routes = [Route(f"/{version}/{path}", self._answering(act, version), methods=["GET"]) for path, act in table]
        for path, resource in (("devices", DEVICES), ("users", USERS)):
            check = self._answering(self._check_member_groups(resource), version)
            routes.append(Route(f"/{version}/{path}/{{id}}/checkMemberGroups", check, methods=["POST"]))
        return routes

    def _answering(
        self, act: Callable[[_Asked], _Answer], version: str, audiences: Collection[str] | None = None
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = await request.body()
            clock = self._entra.clock
            try:
                caller = caller_of(request, self._entra, audiences or self._audiences)
                clock = caller.tenant.clock
                with caller.tenant.lock:
                    status, content = act(_Asked(request, caller, body, version == "beta"))
                return json_answer(request, content, status)
            except AnswerError as error:
                return error_answer(request, error, clock())

        return answer

    # --- lists, single objects, deltas ------------------------------------------------------------------------------

    def _list(self, path: str, resource: Resource[Any]) -> Callable[[_Asked], _Answer]:
        def act(asked: _Asked) -> _Answer:
            _may_read(asked, resource)
            asked.only(_OPTIONS)
            token = asked.option("$skiptoken")
            if token is not None:
                cursor = self._cursor(asked, path, token)
            else:
                select = _select(asked, resource)
                rows = filtered(resource, resource.table(asked.caller.tenant).all(), asked.option("$filter"))
                ids = tuple(row.id for row in rows)
                cursor = Cursor(path, asked.caller.tenant.id, select, ids, self._size(asked.option("$top")))
            return 200, self._page(asked, resource, cursor)

        return act

    def _delta(self, path: str, resource: Resource[Any]) -> Callable[[_Asked], _Answer]:
        def act(asked: _Asked) -> _Answer:
            _may_read(asked, resource)
            asked.only(_DELTA_OPTIONS)
            skip, delta = asked.option("$skiptoken"), asked.option("$deltatoken")
            table = resource.table(asked.caller.tenant)
            if skip is not None:
                cursor = self._cursor(asked, path, skip)
            elif delta is not None and delta != "latest":
                cursor = self._round(resource, self._cursor(asked, path, delta), asked)
            else:
                ids = () if delta == "latest" else tuple(row.id for row in table.all())
                select = _select(asked, resource)
                cursor = Cursor(path, asked.caller.tenant.id, select, ids, self.page_size, table.position())
            return 200, self._page(asked, resource, cursor)

        return act

    def _round(self, resource: Resource[Any], ended: Cursor, asked: _Asked) -> Cursor:
        """Begin the next round of a delta: what changed since the last in what was selected, and what is gone."""
        table = resource.table(asked.caller.tenant)
        changes = table.since(ended.delta_from or 0)
        watched = frozenset(resource.depends.values())
        if ended.select is not None:
            watched = frozenset(resource.depends[name] for name in ended.select if name in resource.depends)
        changed = {id_: change.fields for id_, change in changes.items() if change.removed or change.fields & watched}
        minimal = "return=minimal" in asked.request.headers.get("prefer", "").replace(" ", "").lower()
        return replace(
            ended,
            ids=tuple(changed),
            delta_from=table.position(),
            changed=changed,
            minimal=minimal,
            size=self.page_size,
        )

    def _cursor(self, asked: _Asked, path: str, token: str) -> Cursor:
        cursor = self.cursors.get(token)
        if cursor is None:
            code = asked.caller.tenant.unverified.stale_delta_code
            raise AnswerError(410, code, "The sync state generation is not found; start again without a token.")
        if cursor.path != path or cursor.tenant != asked.caller.tenant.id:
            raise AnswerError(400, "BadRequest", "The token is not of this request.")
        return cursor

    def _size(self, top: str | None) -> int:
        if top is None:
            return self.page_size
        if not top.isdecimal() or not 1 <= int(top) <= _LARGEST_PAGE:
            raise AnswerError(400, "BadRequest", f"Invalid page size specified: '{top}'. Must be between 1 and 999.")
        return int(top)

    def _page(self, asked: _Asked, resource: Resource[Any], cursor: Cursor) -> dict[str, Any]:
        ids, later = next_page(cursor)
        table = resource.table(asked.caller.tenant)
        values = [self._row(asked, resource, cursor, id_, table.get(id_)) for id_ in ids]
        content: dict[str, Any] = {
            "@odata.context": f"{self._base}/{cursor.path.replace('/', '/$metadata#', 1)}",
            "value": [value for value in values if value is not None],
        }
        here = f"{self._base}/{cursor.path}"
        if later is not None:
            content["@odata.nextLink"] = f"{here}?$skiptoken={self.cursors.keep(later)}"
        elif cursor.delta_from is not None:
            content["@odata.deltaLink"] = f"{here}?$deltatoken={self.cursors.keep(replace(cursor, ids=()))}"
        return content

    @staticmethod
    def _row(
        asked: _Asked, resource: Resource[Any], cursor: Cursor, id_: str, row: Keyed | None
    ) -> dict[str, Any] | None:
        if row is None:
            if cursor.delta_from is None:
                return None
            changes = resource.table(asked.caller.tenant).since(0)
            return {"id": id_, "@removed": {"reason": changes[id_].removed or "deleted"}}
        changed = cursor.changed.get(id_) if cursor.changed is not None and cursor.minimal else None
        return shown(resource, row, cursor.select, beta=asked.beta, changed=changed)

    def _one(self, resource: Resource[Any]) -> Callable[[_Asked], _Answer]:
        def act(asked: _Asked) -> _Answer:
            _may_read(asked, resource)
            asked.only({"$select"})
            row = _find(asked, resource)
            return 200, shown(resource, row, _select(asked, resource), beta=asked.beta)

        return act

    # --- what is no plain collection --------------------------------------------------------------------------------

    def _device_by_key(self, asked: _Asked) -> _Answer:
        _may_read(asked, DEVICES)
        key = asked.parameter("key").lower()
        if not asked.caller.tenant.unverified.devices_by_key:
            raise AnswerError(400, "BadRequest", "Resource not found for the segment 'devices'.")
        row = next((row for row in asked.caller.tenant.devices.all() if row.device_id.lower() == key), None)
        if row is None:
            raise _missing(DEVICES, key)
        return 200, shown(DEVICES, row, _select(asked, DEVICES), beta=asked.beta)

    def _member_of(self, resource: Resource[Any]) -> Callable[[_Asked], _Answer]:
        def act(asked: _Asked) -> _Answer:
            demand(asked.caller, _permissions(asked, MEMBERSHIP_PERMISSIONS))
            asked.only(_OPTIONS)
            row = _find(asked, resource)
            token = asked.option("$skiptoken")
            path = f"{'beta' if asked.beta else 'v1.0'}/{resource.kind}s/{row.id}/transitiveMemberOf"
            if token is not None:
                cursor = self._cursor(asked, path, token)
            else:
                ids = tuple(group.id for group in asked.caller.tenant.groups_of(row.id))
                size = self._size(asked.option("$top"))
                cursor = Cursor(path, asked.caller.tenant.id, _select(asked, GROUPS), ids, size)
            content = self._page(asked, GROUPS, cursor)
            content["value"] = [{"@odata.type": "#microsoft.graph.group"} | value for value in content["value"]]
            return 200, content

        return act

    def _check_member_groups(self, resource: Resource[Any]) -> Callable[[_Asked], _Answer]:
        def act(asked: _Asked) -> _Answer:
            demand(asked.caller, _permissions(asked, MEMBERSHIP_PERMISSIONS))
            row = _find(asked, resource)
            try:
                ids = json.loads(asked.body)["groupIds"]
            except (ValueError, KeyError, TypeError) as error:
                raise AnswerError(400, "BadRequest", "groupIds is missing") from error
            most = asked.caller.tenant.unverified.most_groups
            if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or len(ids) > most:
                raise AnswerError(400, "Request_BadRequest", f"groupIds is a list of at most {most} ids")
            asked_for = {one.lower() for one in ids}
            found = [group.id for group in asked.caller.tenant.groups_of(row.id) if group.id.lower() in asked_for]
            return 200, {"value": found}

        return act

    def _risky_user(self, asked: _Asked) -> _Answer:
        demand(asked.caller, ["IdentityRiskyUser.Read.All"])
        tenant = asked.caller.tenant
        user = tenant.users.get(asked.parameter("id")) if tenant.unverified.risky_users else None
        if user is None or user.risk is None:
            raise AnswerError(404, "ResourceNotFound", f"Resource '{asked.parameter('id')}' does not exist.")
        return 200, _risky(user)

    def _risky_users(self, asked: _Asked) -> _Answer:
        """List those at risk, on one page."""
        demand(asked.caller, ["IdentityRiskyUser.Read.All"])
        asked.only(_OPTIONS)
        tenant = asked.caller.tenant
        found = [user for user in tenant.users.all() if user.risk not in {None, "none"}]
        return 200, {"value": [_risky(user) for user in found] if tenant.unverified.risky_users else []}

    def _certificates(self, asked: _Asked) -> _Answer:
        demand(asked.caller, ["DeviceManagementConfiguration.Read.All", "DeviceManagementConfiguration.ReadWrite.All"])
        return 200, {"value": _certificate_states(asked.caller.tenant)}

    def _endpoints(self, asked: _Asked) -> _Answer:
        demand(asked.caller, ["Application.Read.All", "Directory.Read.All"])
        found = services(asked.caller.tenant, self._intune)
        return 200, {"value": [{"providerName": name, "uri": uri} for name, uri in found]}

    def _application(self, asked: _Asked) -> _Answer:
        """Show when the credentials of an app end, and of a secret its first characters only."""
        demand(asked.caller, ["Application.Read.All", "Directory.Read.All"])
        asked.only({"$select"})
        found = asked.caller.tenant.applications.get(asked.parameter("key"))
        if found is None:
            raise AnswerError(404, "Request_ResourceNotFound", f"Resource '{asked.parameter('key')}' does not exist.")
        secrets = [
            {"hint": one.value[:3], "endDateTime": timestamp(one.expires), "secretText": None} for one in found.secrets
        ]
        return 200, {"appId": found.id, "displayName": found.name, "passwordCredentials": secrets}

    def _legacy_endpoints(self) -> Callable[[Request], Awaitable[Response]]:
        def act(asked: _Asked) -> _Answer:
            if asked.parameter("tenant").lower() not in {name.lower() for name in asked.caller.tenant.names}:
                raise AnswerError(403, "Authentication_Unauthorized", "The token is not of this tenant.")
            demand(asked.caller, ["Application.Read.All", "Directory.Read.All"])
            found = services(asked.caller.tenant, self._intune)
            return 200, {"value": [_legacy(name, uri) for name, uri in found]}

        return self._answering(act, "v1.0", self._legacy_audiences)


def _risky(user: User) -> dict[str, Any]:
    state = "none" if user.risk == "none" else "atRisk"
    return {"id": user.id, "userPrincipalName": user.user_principal_name, "riskLevel": user.risk, "riskState": state}


def _collections() -> tuple[tuple[str, Resource[Any]], ...]:
    return (
        ("devices", DEVICES),
        ("users", USERS),
        ("groups", GROUPS),
        ("deviceManagement/managedDevices", MANAGED_DEVICES),
    )


def _permissions(asked: _Asked, names: Collection[str]) -> Collection[str]:
    narrow = asked.caller.tenant.unverified.narrow_permissions
    return names if narrow else [name for name in names if name == "Directory.Read.All"] or names


def _may_read(asked: _Asked, resource: Resource[Any]) -> None:
    demand(asked.caller, _permissions(asked, resource.permissions))


def _select(asked: _Asked, resource: Resource[Any]) -> tuple[str, ...] | None:
    known = frozenset(resource.depends) | _DERIVED
    select = selected(resource, asked.option("$select"), beta=asked.beta, known=known)
    if select is None and resource is USERS and not asked.caller.tenant.unverified.account_enabled_by_select_only:
        return (*sorted(USERS.usual), "accountEnabled")
    return select


_DERIVED: Final = frozenset(
    {"complianceGracePeriodExpirationDateTime", "deviceActionResults", "enrolledDateTime", "lastSyncDateTime"}
)


def _find(asked: _Asked, resource: Resource[Any]) -> Any:  # noqa: ANN401 - a row of whatever the collection holds
    key = asked.parameter("id")
    row = resource.table(asked.caller.tenant).get(key)
    if row is None and resource is USERS:
        users = asked.caller.tenant.users.all()
        row = next((user for user in users if user.user_principal_name.lower() == key.lower()), None)
    if row is None:
        raise _missing(resource, key)
    return row


def _missing(resource: Resource[Any], key: str) -> AnswerError:
    message = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    return AnswerError(404, resource.missing, message)


def _legacy(name: str, uri: str) -> dict[str, Any]:
    return {
        "odata.type": "Microsoft.DirectoryServices.ServiceEndpoint",
        "objectType": "ServiceEndpoint",
        "objectId": str(uuid.uuid5(uuid.NAMESPACE_URL, uri)),
        "deletionTimestamp": None,
        "capability": name,
        "serviceId": _INTUNE_APP,
        "serviceName": name,
        "uri": uri,
        "resourceId": _INTUNE_APP,
    }


def _certificate_states(tenant: Tenant) -> list[dict[str, Any]]:
    """Say what Intune thinks is issued: what was notified, with how far its revocation is."""
    words = {"queued": "pending", "downloaded": "issued", "revoked": "revoked", "failed": "failed"}
    revocations = {one.serial: one for one in tenant.revocations.values()}
    found = []
    for told in tenant.notifications:
        if not told.succeeded or told.code != "Success" or told.problems or told.challenge is None:
            continue
        device = tenant.managed.get(told.challenge.managed_device_id)
        serial = str(told.body["certificateserialnumber"])
        revocation = revocations.get(serial)
        changed = told.at if revocation is None else revocation.changed
        found.append(
            {
                "id": told.transaction_id,
                "managedDeviceDisplayName": device.name if device else None,
                "userPrincipalName": device.user_principal_name if device else None,
                "certificateSerialNumber": serial,
                "certificateThumbprint": told.body["certificatethumbprint"],
                "certificateExpirationDateTime": told.body["certificateexpirationdateutc"],
                "certificateRevokeStatus": words[revocation.state] if revocation else "none",
                "certificateRevokeStatusLastChangeDateTime": timestamp(changed or told.at),
            }
        )
    return found
