"""`/crl/{authority}.crl`: the published file, streamed (RFC 5280 §4.2.1.13); the database is not asked (RES-7)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.web.answers import NOT_FOUND, READING_ONLY, Answer, answer
from regalia.web.conditional import etag_of, range_of, unless_known

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from regalia.ports import CrlFiles
    from regalia.web.pool import Pool

__all__ = ["CrlFace"]

_PATH = re.compile(r"/crl/([a-z][a-z0-9-]{0,49})\.crl")
_CHUNK = 262_144
_CACHE = (b"cache-control", b"public, max-age=60, stale-if-error=86400")
"""A revocation is in the CRL within 60 seconds, and should not wait much longer in a proxy; an old CRL beats none."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A CRL file, and the answer without its body."""

    file: IO[bytes]
    length: int
    head: Answer


class CrlFace:
    """Serves CRLs."""

    def __init__(self, files: CrlFiles, pool: Pool) -> None:
        self._files = files
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = _PATH.fullmatch(scope["path"])
        if scope["method"] not in {"GET", "HEAD"}:
            await READING_ONLY(scope, receive, send)
            return
        opened = await self._pool.run(lambda: self._open(found[1])) if found is not None else None
        if opened is None:
            await NOT_FOUND(scope, receive, send)
            return
        with opened.file:
            head = unless_known(scope, opened.head)
            if head.status != 200 or scope["method"] != "GET":
                await head(scope, receive, send)
                return
            asked = range_of(scope, opened.length, dict(head.headers)[b"etag"])
            if asked is None:
                await self._stream(opened, head, 0, opened.length, send)
            elif asked[0] == opened.length:
                whole = (b"content-range", b"bytes */%d" % opened.length)
                await answer(416, b"", b"text/plain", whole)(scope, receive, send)
            else:
                await self._stream(opened, _part(head, asked, opened.length), *asked, send)

    def _open(self, authority: str) -> _Opened | None:
        published = self._files.published(authority)
        if published is None:
            return None
        try:
            file = Path(published.path).open("rb")  # noqa: SIM115 - closed by the caller, who streams it
        except OSError as error:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"CRL file: {error}") from error
        # Of the open file: a new CRL may have taken the name since `published` looked.
        facts = os.fstat(file.fileno())
        modified = formatdate(facts.st_mtime, usegmt=True).encode()
        headers = (
            _CACHE,
            etag_of(f"{facts.st_mtime_ns:x}-{facts.st_size:x}"),
            (b"last-modified", modified),
            (b"accept-ranges", b"bytes"),
        )
        described = answer(200, b"", b"application/pkix-crl", *headers)
        sized = tuple(
            (name, b"%d" % facts.st_size if name == b"content-length" else value) for name, value in described.headers
        )
        return _Opened(file, facts.st_size, Answer(200, sized, b""))

    async def _stream(self, opened: _Opened, head: Answer, first: int, last: int, send: Send) -> None:
        """Send the octets from the first to the last one, or to the end if that is before."""
        await send({"type": "http.response.start", "status": head.status, "headers": head.headers})
        left = min(last + 1, opened.length) - first
        opened.file.seek(first)
        if not left:
            await send({"type": "http.response.body", "body": b""})
        while left:
            chunk = await self._pool.run(partial(opened.file.read, min(_CHUNK, left)))
            if not chunk:
                raise UnavailableError(reasons.STORE_UNAVAILABLE, "a CRL file became shorter")
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})


def _part(head: Answer, asked: tuple[int, int], length: int) -> Answer:
    """Make the head of a 206, whose body are the octets from the first to the last one."""
    own = {b"content-length": b"%d" % (asked[1] - asked[0] + 1)}
    headers = tuple((name, own.get(name, value)) for name, value in head.headers)
    return Answer(206, (*headers, (b"content-range", b"bytes %d-%d/%d" % (*asked, length))), b"")
