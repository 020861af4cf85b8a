"""Conditional requests (RFC 9110 §13): who has the newest already is told so, and nothing is sent twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from regalia.web.answers import Answer

if TYPE_CHECKING:
    from starlette.types import Scope

    from regalia.web.answers import Header

__all__ = ["etag_of", "knows", "range_of", "unless_known"]

_KEPT = frozenset({b"cache-control", b"etag", b"expires", b"last-modified", b"x-content-type-options"})

_RANGE = re.compile(rb"bytes=([0-9]{0,12})-([0-9]{0,12})")
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})


def etag_of(text: str) -> Header:
    """Make the ETag header of a representation that `text` tells from all others."""
    return (b"etag", f'"{text}"'.encode())


def knows(scope: Scope, etag: bytes, modified: bytes | None = None) -> bool:
    """Whether the client has this representation already.

    If-None-Match names its entity tag (weak comparison) or any; without one, If-Modified-Since repeats our date, which
    is how Windows asks for CRLs.
    """
    asked = dict(scope["headers"])
    if b"if-none-match" in asked:
        tags = (tag.strip().removeprefix(b"W/") for tag in asked[b"if-none-match"].split(b","))
        return any(tag in (etag, b"*") for tag in tags)
    return modified is not None and asked.get(b"if-modified-since") == modified


def range_of(scope: Scope, length: int, etag: bytes) -> tuple[int, int] | None:
    """Read which octets are asked for, first and last, of a representation of so many (RFC 9110 §14).

    None where the whole is to be sent: nothing, several ranges, something unreadable or an older one was asked for. A
    range that lies behind the end is (length, length), which cannot be satisfied.
    """
    asked = dict(scope["headers"])
    found = _RANGE.fullmatch(asked.get(b"range", b""))
    if found is None or asked.get(b"if-range", etag) != etag or not length:
        return None
    first, last = found[1], found[2]
    if not first:
        if not last or not int(last):
            return None
        return max(0, length - int(last)), length - 1
    start, end = int(first), min(int(last), length - 1) if last else length - 1
    if start >= length:
        return length, length
    return (start, end) if start <= end else None


def unless_known(scope: Scope, given: Answer) -> Answer:
    """Return 304 without a body in the place of a 200 that the client has already."""
    if not any(name in _CONDITIONS for name, _ in scope["headers"]):
        return given
    headers = dict(given.headers)
    etag = headers.get(b"etag")
    if given.status != 200 or etag is None or not knows(scope, etag, headers.get(b"last-modified")):
        return given
    return Answer(304, tuple(header for header in given.headers if header[0] in _KEPT), b"")
