"""Faults on order, at one place each, and the journal of what was called: what stands before every hop of the cloud."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from dataclasses import dataclass, replace
from email.utils import format_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from regalia.lab.answers import internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ABORT", "Call", "Fault", "FaultKind", "Hop", "HopName", "Journal"]

ABORT: Final = "regalia.lab.abort"
"""The extension of the scope by which the connection can be dropped without a word."""
_KEPT: Final = 20_000
_PAGE: Final = "<!doctype html><title>Access denied</title><p>Ask your network administrator."


class HopName(StrEnum):
    """The hosts that a connector speaks to."""

    LOGIN = "login"
    GRAPH = "graph"
    INTUNE = "intune"


class FaultKind(StrEnum):
    """What goes wrong."""

    DELAY = "delay"
    """The answer comes `seconds` later."""
    RESET = "reset"
    """The connection ends without an answer."""
    UNAUTHORIZED = "unauthorized"
    """401, whatever the token."""
    FORBIDDEN = "forbidden"
    THROTTLED = "throttled"
    """429, with `Retry-After` where `retry_after` is set."""
    INTERNAL_ERROR = "internal-error"
    """500 with Intune's body."""
    UNAVAILABLE = "unavailable"
    """503, with `Retry-After` where `retry_after` is set."""
    TRUNCATED = "truncated"
    """The answer's JSON stops in the middle; its length is that of what is sent."""
    MISSING_DESCRIPTION = "missing-description"
    """A verdict without `errorDescription`."""
    UNKNOWN_CODE = "unknown-code"
    """A verdict that nobody has heard of."""
    EMPTY = "empty"
    """A list with nothing in it and nothing behind it; no octets at all where the answer is no list."""
    HALF_SWEEP = "half-sweep"
    """The first page of a list is answered; what follows it is 503."""
    PROXY = "proxy"
    """407 with a page: a proxy on the way wants a credential of its own."""
    WEB_PAGE = "web-page"
    """200 with a page for people, as a web filter answers."""
    NOT_RECORDED = "not-recorded"
    """`{"value": false}` for uploaded results, which are not looked at."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One order. Of those that fit a call the oldest happens."""

    hop: HopName
    kind: FaultKind
    path: str = ""
    """Part of the paths that it is for; empty: all of the hop."""
    times: int | None = None
    """How often it happens; None: until it is taken back."""
    after: int = 0
    """How many calls that fit go well before."""
    seconds: float = 0.0
    retry_after: int | str | None = None
    """Seconds or an HTTP date."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the administrator of a rehearsal may read it: no body, no credential."""

    at: str
    hop: str
    method: str
    path: str
    query: str
    status: int | None
    """None where the connection was dropped."""
    fault: str | None
    client_request_id: str | None
    user_agent: str | None


class Journal:
    """Orders, and what was called, for all hops of one cloud."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: deque[Call] = deque(maxlen=_KEPT)

    def order(self, fault: Fault) -> None:
        """Take an order."""
        with self._lock:
            self._faults.append(fault)

    def faults(self) -> tuple[Fault, ...]:
        """Return what is still to happen."""
        return tuple(self._faults)

    def clear_faults(self) -> None:
        """Take all orders back."""
        with self._lock:
            self._faults.clear()

    def calls(self, path: str = "") -> tuple[Call, ...]:
        """Return the calls whose path has `path` in it, the oldest first."""
        with self._lock:
            return tuple(call for call in self._calls if path in call.path)

    def clear_calls(self) -> None:
        """Forget them."""
        with self._lock:
            self._calls.clear()

    def write(self, call: Call) -> None:
        """Add a call."""
        with self._lock:
            self._calls.append(call)

    def due(self, hop: HopName, path: str, query: str) -> Fault | None:
        """Return the fault of this call, and count it."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.hop is not hop or fault.path not in path:
                    continue
                if fault.kind is FaultKind.HALF_SWEEP and "skiptoken" not in query:
                    continue
                if fault.after:
                    self._faults[index] = replace(fault, after=fault.after - 1)
                    continue
                if fault.times is not None:
                    self._faults[index] = replace(fault, times=fault.times - 1)
                    if fault.times <= 1:
                        del self._faults[index]
                return fault
        return None


class Hop:
    """ASGI around one host's application: the fault first, then the truth, or both."""

    def __init__(self, app: ASGIApp, name: HopName, journal: Journal, clock: Callable[[], datetime]) -> None:
        self._app = app
        self._name = name
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        query = scope["query_string"].decode("latin-1")
        fault = self._journal.due(self._name, scope["path"], query)
        status: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
                dated = format_datetime(self._clock(), usegmt=True).encode()
                message["headers"] = [*message["headers"], (b"date", dated)]
                self._write(scope, query, message["status"], fault)
            await send(message)

        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.kind is FaultKind.RESET:
            self._write(scope, query, None, fault)
            scope["extensions"][ABORT]["abort"]()
            return
        instead = None if fault is None else _instead(fault)
        if instead is not None:
            await instead(scope, receive, watched)
        elif fault is None or fault.kind is FaultKind.DELAY:
            await self._app(scope, receive, watched)
        else:
            await _bent(self._app, fault, scope, receive, watched)

    def _write(self, scope: Scope, query: str, status: int | None, fault: Fault | None) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._journal.write(
            Call(
                at=self._clock().isoformat(),
                hop=self._name.value,
                method=scope["method"],
                path=scope["path"],
                query=query,
                status=status,
                fault=fault.kind.value if fault else None,
                client_request_id=headers.get("client-request-id"),
                user_agent=headers.get("useragent") or headers.get("user-agent"),
            )
        )


def _instead(fault: Fault) -> Response | None:
    """Return the answer of a fault that needs no true one."""
    later = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
    match fault.kind:
        case FaultKind.UNAUTHORIZED:
            return _error(401, "InvalidAuthenticationToken", "Access token validation failure.", {})
        case FaultKind.FORBIDDEN:
            return _error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.", {})
        case FaultKind.THROTTLED:
            return _error(429, "TooManyRequests", "Too many requests.", later)
        case FaultKind.INTERNAL_ERROR:
            return internal_error()
        case FaultKind.UNAVAILABLE | FaultKind.HALF_SWEEP:
            return _error(503, "ServiceUnavailable", "The service is temporarily unavailable.", later)
        case FaultKind.PROXY | FaultKind.WEB_PAGE:
            return _page(asks=fault.kind is FaultKind.PROXY)
        case FaultKind.NOT_RECORDED:
            return JSONResponse({"value": False})
        case _:
            return None


def _page(*, asks: bool) -> Response:
    """Answer as what stands on the way does; `asks` for a user's name and password."""
    return HTMLResponse(_PAGE, 407, {"proxy-authenticate": 'Basic realm="proxy"'}) if asks else HTMLResponse(_PAGE)


def _error(status: int, code: str, message: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


async def _bent(app: ASGIApp, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the application answer, whose deeds stay done, and send something else in its answer's place."""
    start: MutableMapping[str, Any] = {"status": 500}
    body = b""

    async def kept(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")

    await app(scope, receive, kept)
    response = Response(_changed(fault.kind, body), start["status"], media_type="application/json")
    await response(scope, receive, send)


def _changed(kind: FaultKind, body: bytes) -> bytes:
    if kind is FaultKind.TRUNCATED:
        return body[: len(body) // 2]
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return b""
    if kind is FaultKind.EMPTY:
        return json.dumps({"value": []}).encode() if isinstance(answer.get("value"), list) else b""
    if kind is FaultKind.MISSING_DESCRIPTION:
        answer.pop("errorDescription", None)
    if kind is FaultKind.UNKNOWN_CODE:
        answer |= {"code": "ChallengeFromTheFuture"}
    return json.dumps(answer).encode()
