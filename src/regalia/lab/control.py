"""The control API: what a test, the demo or an administrator turns, and reads, while the cloud is up.

It takes JSON and nothing else, so that no page in a browser on this machine can turn anything.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from regalia.lab.challenge import mint
from regalia.lab.changes import ChangeError, apply, managed_device
from regalia.lab.delivering import delivered
from regalia.lab.faults import Fault, FaultKind, HopName
from regalia.lab.names import UnknownVariableError
from regalia.lab.tenant import MovableClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from regalia.lab.challenge import ChallengeService
    from regalia.lab.faults import Journal
    from regalia.lab.odata import Cursors
    from regalia.lab.tenant import Tenant, Tenants

__all__ = ["Control"]


class _WrongError(Exception):
    """The question is wrong."""


class Presenting(Protocol):
    """Shows another certificate."""

    def __call__(self, *, trusted: bool) -> None:
        """Show one of the cloud's own CA, or of one that nobody trusts."""


class Control:
    """The desk behind the control port."""

    def __init__(
        self,
        tenants: Tenants,
        journal: Journal,
        challenges: ChallengeService,
        cursors: Cursors,
        presenting: Presenting,
    ) -> None:
        """`presenting` is for the hosts; this port keeps its certificate."""
        self._tenants = tenants
        self._journal = journal
        self._challenges = challenges
        self._cursors = cursors
        self._presenting = presenting

    def routes(self) -> list[Route]:
        """Return its paths."""
        table: list[tuple[str, str, Callable[[Request, dict[str, Any]], object]]] = [
            ("GET", "/state", self._state),
            ("POST", "/changes", self._change),
            ("POST", "/challenges", self._challenge),
            ("POST", "/deliveries", self._deliver),
            ("POST", "/clock", self._clock),
            ("POST", "/tls", self._tls),
            ("GET", "/faults", self._faults),
            ("POST", "/faults", self._order),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/calls", self._calls),
            ("DELETE", "/calls", self._clear_calls),
            ("GET", "/validations", self._validations),
            ("GET", "/notifications", self._notifications),
            ("GET", "/revocations", self._revocations),
            ("DELETE", "/tokens", self._expire),
        ]
        return [Route(path, _answering(act), methods=[method]) for method, path, act in table]

    def _tenant(self, request: Request) -> Tenant:
        name = request.query_params.get("tenant")
        tenant = self._tenants.get(name) if name else self._tenants.first()
        if tenant is None:
            raise _WrongError(f"no tenant {name!r}")
        return tenant

    def _state(self, request: Request, _: dict[str, Any]) -> object:
        tenant = self._tenant(request)
        # Secrets of app registrations are not among what is shown.
        state: dict[str, object] = {
            "devices": [asdict(row) for row in tenant.devices.all()],
            "managed": [asdict(row) for row in tenant.managed.all()],
            "users": [asdict(row) for row in tenant.users.all()],
            "groups": [asdict(row) for row in tenant.groups.all()],
            "profiles": [asdict(row) for row in tenant.profiles.all()],
        }
        return {"id": tenant.id, "domains": tenant.domains, "now": tenant.clock(), "shard": tenant.shard} | state

    def _change(self, request: Request, body: dict[str, Any]) -> object:
        arguments = dict(body)
        apply(self._tenant(request), str(arguments.pop("change", "")), arguments)
        return {}

    def _challenge(self, request: Request, body: dict[str, Any]) -> object:
        tenant = self._tenant(request)
        managed, profile = tenant.managed.get(str(body.get("device"))), tenant.profiles.get(str(body.get("profile")))
        if managed is None or profile is None:
            raise _WrongError("device is the id of a managed device, profile that of a profile")
        lifetime = timedelta(seconds=float(body.get("seconds", 3600)))
        return {"challenge": mint(self._challenges, tenant, managed, profile, lifetime)}

    def _deliver(self, request: Request, body: dict[str, Any]) -> object:
        tenant = self._tenant(request)
        profiles = [one for one in tenant.profiles.all() if body.get("profile") in {None, one.id, one.name}]
        if not profiles:
            raise _WrongError(f"no profile {body.get('profile')!r}")
        managed = managed_device(tenant, body)
        delivery = delivered(self._challenges, tenant, managed, profiles[0])
        if tenant.withdraws_profiles:
            apply(tenant, "edit-profile", {"profile": profiles[0].id, "groups": []})
        return {"id": managed.id, "system": managed.operating_system, "delivery": delivery.document()}

    def _clock(self, request: Request, body: dict[str, Any]) -> object:
        clock = self._tenant(request).clock
        if not isinstance(clock, MovableClock):
            raise _WrongError("this tenant's clock cannot be moved from here")
        if body.get("right"):
            clock.set_right()
        else:
            clock.move(timedelta(seconds=float(body["seconds"])))
        return {"now": clock()}

    def _tls(self, _request: Request, body: dict[str, Any]) -> object:
        self._presenting(trusted=bool(body["trusted"]))
        return {}

    def _faults(self, _request: Request, _: dict[str, Any]) -> object:
        return [asdict(fault) for fault in self._journal.faults()]

    def _order(self, _request: Request, body: dict[str, Any]) -> object:
        given = dict(body)
        hop, kind = HopName(given.pop("hop", "")), FaultKind(given.pop("kind", ""))
        self._journal.order(Fault(hop, kind, **given))
        return {}

    def _clear_faults(self, _request: Request, _: dict[str, Any]) -> object:
        self._journal.clear_faults()
        return {}

    def _calls(self, request: Request, _: dict[str, Any]) -> object:
        return [asdict(call) for call in self._journal.calls(request.query_params.get("path", ""))]

    def _clear_calls(self, _request: Request, _: dict[str, Any]) -> object:
        self._journal.clear_calls()
        return {}

    def _validations(self, request: Request, _: dict[str, Any]) -> object:
        return [asdict(one) for one in list(self._tenant(request).validations)]

    def _notifications(self, request: Request, _: dict[str, Any]) -> object:
        return [asdict(one) for one in list(self._tenant(request).notifications)]

    def _revocations(self, request: Request, _: dict[str, Any]) -> object:
        return [asdict(one) for one in list(self._tenant(request).revocations.values())]

    def _expire(self, _request: Request, _: dict[str, Any]) -> object:
        self._cursors.expire()
        return {}


def _answering(act: Callable[[Request, dict[str, Any]], object]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            content = act(request, await _body(request))
        except KeyError as error:
            return JSONResponse({"error": f"{error.args[0]} is missing"}, 422)
        except (_WrongError, ChangeError, UnknownVariableError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 422)
        return Response(json.dumps(content, default=_plain), media_type="application/json")

    return answer


async def _body(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return {}
    # A form of a web page cannot send this type without asking first, which nobody answers here.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _WrongError("content-type must be application/json")
    body = json.loads(await request.body() or b"{}")
    if not isinstance(body, dict):
        raise _WrongError("the body is a JSON object")
    return body


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value).__name__)
