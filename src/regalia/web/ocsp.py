"""`/ocsp/{authority}`: OCSP over HTTP by POST and GET (RFC 6960 appendix A, RFC 5019).

An answer that is remembered is given from the event loop, without thread, router or task (`from_memory`); the rest is
signed in the status pool.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import structlog

from regalia.ca.status import OcspAnswer
from regalia.errors import UnavailableError
from regalia.web.answers import METHOD_NOT_ALLOWED, NO_STORE, NOT_FOUND, TOO_LARGE, URL_OCTETS, answer
from regalia.web.body import read_body
from regalia.web.conditional import etag_of, unless_known
from regalia.wire.ocsp import MAX_REQUEST, OcspStatus, error_response

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from regalia.ca.status import OcspResponder
    from regalia.ports import Clock
    from regalia.web.answers import Answer
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pool

__all__ = ["OcspFace", "decode_path"]

_log = structlog.get_logger("regalia.web")

_PATH = re.compile(rb"/ocsp/([a-z][a-z0-9-]{0,39})(?:/(.*))?", re.DOTALL)
_MEDIA = b"application/ocsp-response"
_ELSEWHERE = OcspAnswer(error_response(OcspStatus.UNAUTHORIZED), "unauthorized", cacheable=False)
"""At one authority's address there are no answers about another's certificates."""
_TRY_LATER = OcspAnswer(error_response(OcspStatus.TRY_LATER), "try_later", cacheable=False)

_TO_STANDARD = bytes.maketrans(b"-_ ", b"+/+")


@lru_cache(maxsize=512)
def decode_path(text: bytes) -> bytes:
    """Decode what a GET has after the authority's name: base64 whose `/ + =` may have come raw or escaped.

    Empty where it is not base64: the responder answers malformedRequest to that, as to every other nonsense.
    """
    # A client that appends "/" to a URL which had one already; base64 of a SEQUENCE begins with M.
    plain = unquote_to_bytes(text).lstrip(b"/").rstrip(b"=").translate(_TO_STANDARD)
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return b""


class OcspFace:
    """Serves OCSP for every authority."""

    def __init__(self, responder: OcspResponder, pool: Pool, metrics: Metrics, clock: Clock) -> None:
        self._responder = responder
        self._clock = clock
        self._pool = pool
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = _PATH.fullmatch(scope["raw_path"])
        if found is None:
            await NOT_FOUND(scope, receive, send)
            return
        method = scope["method"]
        if method == "POST":
            body = await read_body(scope, receive, MAX_REQUEST)
            if body is None:
                await TOO_LARGE(scope, receive, send)
                return
        elif method in {"GET", "HEAD"}:
            body = decode_path(found[2] or b"")
        else:
            await METHOD_NOT_ALLOWED(scope, receive, send)
            return
        told = self._responder.remembered(body)
        if told is None:
            told = await self._pool.run(lambda: self._fresh(body))
        await self._given(scope, found[1], told)(scope, receive, send)

    def from_memory(self, scope: Scope, body: bytes) -> Answer | None:
        """Answer a request that has been read whole, if all it takes is remembered; `__call__` decides all others."""
        raw_path, method = scope["raw_path"], scope["method"]
        if not raw_path.startswith(b"/ocsp/") or len(raw_path) + len(scope["query_string"]) > URL_OCTETS:
            return None
        found = _PATH.fullmatch(raw_path)
        if found is None or method not in {"GET", "POST"} or len(body) > MAX_REQUEST:
            return None
        told = self._responder.remembered(body if method == "POST" else decode_path(found[2] or b""))
        return None if told is None else self._given(scope, found[1], told)

    def _given(self, scope: Scope, authority: bytes, told: OcspAnswer) -> Answer:
        """Make the HTTP answer at this authority's address, and count it."""
        asked = authority.decode()
        for name, _ in told.about:
            if name != asked:
                told = _ELSEWHERE
                break
        self._metrics.ocsp_answered(told.status, cached=told.remembered)
        if scope["method"] == "POST" or not told.cacheable or told.next_update is None:
            return _for_nobody_else(told.der)
        # Half of what is left, as in our own memory: an answer that spent the other half here is still good there.
        left = int((told.next_update - self._clock.now()).total_seconds()) // 2
        return unless_known(scope, _for_caches(told.der, told.this_update, told.next_update, max(left, 0)))

    def _fresh(self, body: bytes) -> OcspAnswer:
        """Ask the responder; where what it asks is away, say so in the protocol's own words (RFC 6960 §2.3).

        An answer of a client's own memory stays good, which an HTTP error might make it doubt; a balancer learns from
        `/readyz` that this node is cut off.
        """
        try:
            return self._responder.answer(body)
        except UnavailableError as unavailable:
            _log.info("unavailable", listener="device", reason=unavailable.reason.id, detail=unavailable.detail)
            return _TRY_LATER


@lru_cache(maxsize=1024)
def _for_nobody_else(der: bytes) -> Answer:
    return answer(200, der, _MEDIA, NO_STORE)


@lru_cache(maxsize=1024)
def _for_caches(der: bytes, this_update: datetime | None, next_update: datetime, seconds: int) -> Answer:
    """Tell caches on the way how long the answer is good, and never longer (RFC 5019 §5, R8)."""
    dates = [(b"last-modified", this_update), (b"expires", next_update)]
    return answer(
        200,
        der,
        _MEDIA,
        (b"cache-control", b"max-age=%d, public, no-transform, must-revalidate" % seconds),
        *((name, format_datetime(moment, usegmt=True).encode()) for name, moment in dates if moment is not None),
        etag_of(hashlib.sha256(der).hexdigest()),
    )
