"""The SCEP face (RFC 8894 §4): HTTP in, one call of `ScepService` in the enrolment pool, HTTP out.

What can be said without knowing the endpoint (method, operation, sizes, base64) is worked out first and answered last:
an endpoint that is not there, or not any more, answers 404 to whatever it is asked, by the same way and in the same
time (R6). This listener never looks at Host: certmonger and Cisco IOS speak HTTP/1.0 without one.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.ra.scep import CertRep, Limited
from regalia.ra.sources import source_of
from regalia.web.answers import (
    BAD_REQUEST,
    METHOD_NOT_ALLOWED,
    NO_STORE,
    NOT_FOUND,
    TOO_LARGE,
    TOO_MANY,
    URL_TOO_LONG,
    answer,
    with_headers,
)
from regalia.web.body import read_body
from regalia.web.scep_query import PKI_OPERATION, decode_message, operation

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from regalia.model import Door
    from regalia.ports import Catalogue
    from regalia.ra.scep import ScepService
    from regalia.web.answers import Answer
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pool

__all__ = ["ScepFace", "ScepLimits", "peer_address", "uniform_moment"]

_ALIASES: Final = frozenset({"", "/pkiclient.exe", "/cgi-bin/pkiclient.exe", "/mscep.dll"})
"""What clients append to the URL that they were given (scep.md §1); nothing else is tolerated (R7)."""

_ENDPOINT = re.compile(r"[a-z][a-z0-9-]{0,39}")

_NOT_FOUND_SECONDS = 0.05
"""A look into the database and a record of the refusal fit into it on any machine that serves at all."""

_FLOOR_SECONDS: Final = 0.025
"""The uniform answer of step 7 leaves at a multiple of this after the step began (ENV-3): what the content was, and so
where it failed, is lost in it."""

_FINE_SECONDS: Final = 0.002
"""The end of such a wait, for which the event loop's clock is too coarse: twice its step."""

_TOO_MANY_SECONDS: Final = 0.5
"""What is over a limit waits so long, so that a source that asks again at once is kept busy by waiting."""

_HELD_PER_SOURCE: Final = 50
"""How many of them wait at a time for one source, which may have as many connections. Behind a trusted proxy those are
everybody's, and one device must not fill them with answers that wait."""

_CAPABILITIES = b"text/plain"
_CERTIFICATE = b"application/x-x509-ca-cert"
_CERTIFICATES = b"application/x-x509-ca-ra-cert"
_NEXT_CERTIFICATES = b"application/x-x509-next-ca-cert"
_MESSAGE = b"application/x-pki-message"


@dataclass(frozen=True, slots=True)
class ScepLimits:
    """Sizes in octets (R7)."""

    post: int = 65_536
    url: int = 49_152
    message: int = 32_768
    """Of a GET, after its base64 is undone."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a well-formed request wants."""

    operation: str
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class _Refused:
    """What is wrong with the request, and what its sender hears of it."""

    fault: PeerError
    answer: Answer


def uniform_moment(began: float, now: float) -> float:
    """Say when an answer leaves that must not tell how long it took: the next multiple of 25 ms after `began` (ENV-3).

    Both, and the result, are seconds of one clock; `now` is not before `began`.
    """
    return began + max(math.ceil((now - began) / _FLOOR_SECONDS), 1) * _FLOOR_SECONDS


@dataclass(frozen=True, slots=True)
class _Given:
    """An answer, and what it waits for."""

    answer: Answer
    opening_began: float | None = None
    """As in `CertRep`."""

    def leaves_at(self, asked_at: float, now: float) -> float:
        """Say when it may leave, `now` being the earliest; all in seconds of `time.monotonic`."""
        if self.answer is NOT_FOUND:
            # A disabled endpoint is found in memory, an unknown one looked for in the database: the wait hides which.
            return asked_at + _NOT_FOUND_SECONDS
        if self.answer.status == TOO_MANY.status:
            return now + _TOO_MANY_SECONDS
        if self.opening_began is not None:
            return uniform_moment(self.opening_began, now)
        return now


async def _until(moment: float) -> None:
    """Wait for a moment of `time.monotonic`, and no less.

    uvloop counts whole milliseconds from when it is asked. What they leave over is as long as the work before it was,
    modulo one millisecond, and the answer would tell of it (ENV-3): the end is therefore slept to the microsecond.
    """
    while (left := moment - time.monotonic()) > _FINE_SECONDS:  # noqa: ASYNC110 - no event, but a moment
        await asyncio.sleep(left - _FINE_SECONDS / 2)
    if left > 0:
        time.sleep(left)  # noqa: ASYNC251 - other threads go on, and the loop stands still for less than 2 ms


class ScepFace:
    """Serves every path below `/scep/`."""

    def __init__(
        self,
        *,
        service: ScepService,
        doors: Catalogue,
        pool: Pool,
        limits: ScepLimits,
        metrics: Metrics,
    ) -> None:
        self._service = service
        self._doors = doors
        self._pool = pool
        self._limits = limits
        self._metrics = metrics
        self._held: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        endpoint, slash, rest = scope["path"].removeprefix("/scep/").partition("/")
        known_path = _ENDPOINT.fullmatch(endpoint) is not None and slash + rest in _ALIASES
        asked = await self._read(scope, receive)
        source = peer_address(scope)
        began = time.monotonic()
        if known_path:
            given = await self._pool.run(lambda: self._given(endpoint, asked, source))
        else:
            given = await self._pool.run(lambda: _Given(self._no_such_path(endpoint, scope["path"], source)))
        now = time.monotonic()
        leaves_at = given.leaves_at(began, now)
        # Here and not in the pool: whoever waits keeps no thread from the others.
        if given.answer.status == TOO_MANY.status:
            await self._hold(source_of(source), leaves_at - now)
        else:
            await _until(leaves_at)
        await given.answer(scope, receive, send)

    async def _hold(self, source: str, seconds: float) -> None:
        """Wait, unless too many of the source's answers do."""
        if self._held[source] >= _HELD_PER_SOURCE:
            return
        self._held[source] += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._held[source] -= 1
            if not self._held[source]:
                del self._held[source]

    # --- in the event loop: reading ---------------------------------------------------------------------------------

    async def _read(self, scope: Scope, receive: Receive) -> _Asked | _Refused:
        method, query = scope["method"], scope["query_string"]
        if method not in {"GET", "HEAD", "POST"}:
            return _Refused(PeerError(reasons.METHOD_REFUSED, method), METHOD_NOT_ALLOWED)
        octets = len(scope["raw_path"]) + 1 + len(query)
        if octets > self._limits.url:
            fault = PeerError(reasons.MESSAGE_TOO_LARGE, f"a URL of {octets} octets, {self._limits.url} allowed")
            return _Refused(fault, URL_TOO_LONG)
        body = await read_body(scope, receive, self._limits.post) if method == "POST" else b""
        if body is None:
            fault = PeerError(reasons.MESSAGE_TOO_LARGE, f"a body of more than {self._limits.post} octets")
            return _Refused(fault, TOO_LARGE)
        try:
            return self._asked(method, query, body)
        except PeerError as fault:
            too_long = fault.reason is reasons.MESSAGE_TOO_LARGE
            return _Refused(fault, URL_TOO_LONG if too_long else BAD_REQUEST)

    def _asked(self, method: str, query: bytes, body: bytes) -> _Asked:
        wanted = operation(query)
        fits = {"POST": wanted == PKI_OPERATION, "HEAD": wanted != PKI_OPERATION, "GET": True}[method]
        if not fits:
            # A POST carries a message and nothing else (RFC 8894 §4.1); a HEAD would throw a certificate away.
            raise PeerError(reasons.OPERATION_REFUSED, f"{method} {wanted}")
        if wanted != PKI_OPERATION:
            # Clients append message=<CA identifier> to these; there is one answer whatever it says.
            return _Asked(wanted)
        return _Asked(wanted, body if method == "POST" else decode_message(query, self._limits.message))

    # --- in the pool: answering -------------------------------------------------------------------------------------

    def _given(self, endpoint: str, asked: _Asked | _Refused, source: str) -> _Given:
        try:
            door = self._service.door(endpoint)
        except UnavailableError:
            door = self._service.seen_door(endpoint)
            if door is None or not isinstance(asked, _Asked) or asked.operation == PKI_OPERATION:
                raise
        if door is None:
            closed = self._doors.door(endpoint) is not None
            reason = reasons.ENDPOINT_DISABLED if closed else reasons.ENDPOINT_UNKNOWN
            self._service.refuse_http(reason, endpoint, source)
            return _Given(NOT_FOUND)
        if isinstance(asked, _Refused):
            self._service.refuse_http(asked.fault.reason, endpoint, source, asked.fault.detail)
            return _Given(asked.answer)
        if asked.operation == PKI_OPERATION:
            return self._replied(door, asked.message, source)
        return _Given(self._told(door, asked.operation, source))

    def _replied(self, door: Door, message: bytes, source: str) -> _Given:
        replied = self._service.pki_operation(door, message, source)
        if isinstance(replied, Limited):
            return _Given(with_headers(TOO_MANY, (b"retry-after", b"%d" % replied.retry_after)))
        if not isinstance(replied, CertRep):
            return _Given(BAD_REQUEST)
        if replied.issued:
            self._metrics.issued()
        return _Given(answer(200, replied.der, _MESSAGE, NO_STORE), replied.opening_began)

    def _told(self, door: Door, operation: str, source: str) -> Answer:
        """Say what every device may know of an endpoint."""
        if operation == "GetCACert":
            media = _CERTIFICATE if self._service.is_own_ra(door) else _CERTIFICATES
            return answer(200, self._service.ca_certificates(door), media, NO_STORE)
        if operation == "GetCACaps":
            return answer(200, self._service.ca_capabilities(door), _CAPABILITIES, NO_STORE)
        following = self._service.next_ca_certificates(door)
        if following is None:
            # RFC 8894 §4.7 has no answer for it; not there is what it is, and GetCACaps has not offered it.
            self._service.refuse_http(reasons.NEXT_CA_UNKNOWN, door.endpoint.name, source)
            return NOT_FOUND
        return answer(200, following, _NEXT_CERTIFICATES, NO_STORE)

    def _no_such_path(self, endpoint: str, path: str, source: str) -> Answer:
        # Names that no endpoint can have go into the record with their odd characters escaped (IN-6).
        self._service.refuse_http(reasons.ENDPOINT_UNKNOWN, ascii(endpoint)[1:-1], source, ascii(path[:120]))
        return NOT_FOUND


def peer_address(scope: Scope) -> str:
    """Name the socket's peer (RES-6); what a proxy claims in headers is not read."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
