"""What a browser asks of a page, read within bounds; and where it may be sent afterwards."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from regalia.web.body import read_body
from regalia.web.reader import Reader, reader_of
from regalia.web.scep import peer_address
from regalia.web.sessions import DOOR_COOKIE, SESSION_COOKIE, TRIP_COOKIE, cookie_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope

    from regalia.web.answers import Header

__all__ = ["HOME", "Bounds", "NotReadError", "Visit", "local_path", "read_visit"]

HOME: Final = "/"
_NOWHERE: Final[Mapping[str, str]] = {}
_LOCAL: Final = re.compile(r"/(?!/)[A-Za-z0-9/_.~%&=?+-]{0,500}")


class NotReadError(Exception):
    """The request cannot be read: its body is too long (413), of another type (415), or not what it says (400)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a request may say."""

    octets: int = 32_768
    """Of its body."""
    fields: int = 20
    """Of its query, and of its form or object."""
    repeated: frozenset[str] = frozenset()
    """Names that may be there several times, as ticked boxes are."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request."""

    method: str
    path: str
    source: str
    headers: tuple[Header, ...]
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    """Fields of a form, or of a JSON object whose other members are written as JSON."""
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of form and query, what may be there several times: never in `query` or `form`."""
    place: Mapping[str, str] = field(default_factory=dict)
    """What stands in the path in the places of names."""
    asked: str = ""
    """Path and query, as they came."""
    is_json: bool = False
    reader: Reader = field(default_factory=Reader)
    door: str = ""
    session: str = ""
    trip: str = ""

    def header(self, name: bytes) -> str:
        """Return a header that is there once; else nothing."""
        found = [value for key, value in self.headers if key == name]
        return found[0].decode("latin-1") if len(found) == 1 else ""


_SMALL: Final = Bounds()


def local_path(text: str) -> str:
    """Return where to go after a sign-in: a path of ours as it was given, or the dashboard for anything else.

    An open redirect needs a scheme, a host, or a browser that takes two slashes, a backslash or a control character for
    the beginning of one.
    """
    fine = _LOCAL.fullmatch(text) is not None and "//" not in text and "/.." not in text
    return text if fine and not text.startswith(("/sign-in", "/sign-out", "/set-up")) else HOME


async def read_visit(
    scope: Scope, receive: Receive, bounds: Bounds = _SMALL, place: Mapping[str, str] = _NOWHERE
) -> Visit:
    """Read a request. Raises `NotReadError`, `ClientDisconnect`."""
    headers = tuple(scope["headers"])
    form: Mapping[str, str] = {}
    ticked: Mapping[str, tuple[str, ...]] = {}
    is_json = False
    if scope["method"] == "POST":
        body = await read_body(scope, receive, bounds.octets)
        if body is None:
            raise NotReadError(413)
        media = [value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"]
        is_json = media == [b"application/json"]
        if not is_json and media != [b"application/x-www-form-urlencoded"]:
            raise NotReadError(415)
        form, ticked = (_object(body, bounds), {}) if is_json else _pairs(body.decode("latin-1"), bounds)
    given = scope["query_string"].decode("latin-1")
    query, chosen = _pairs(given, bounds)
    return Visit(
        method="GET" if scope["method"] == "HEAD" else scope["method"],
        path=scope["path"],
        source=peer_address(scope),
        headers=headers,
        query=query,
        form=form,
        several={**chosen, **ticked},
        place=place,
        asked=scope["raw_path"].decode("latin-1") + (f"?{given}" if given else ""),
        is_json=is_json,
        reader=reader_of(headers),
        door=cookie_of(headers, DOOR_COOKIE),
        session=cookie_of(headers, SESSION_COOKIE),
        trip=cookie_of(headers, TRIP_COOKIE),
    )


def _pairs(text: str, bounds: Bounds) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Read a form or a query, each name once but for those that may repeat.

    What two programs read differently is refused.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=bounds.fields)
    except ValueError:
        raise NotReadError(400) from None
    several = {
        wanted: tuple(value for name, value in pairs if name == wanted)
        for name, _ in pairs
        if (wanted := name) in bounds.repeated
    }
    once = [(name, value) for name, value in pairs if name not in bounds.repeated]
    fields = dict(once)
    if len(fields) != len(once):
        raise NotReadError(400)
    return fields, several


def _object(body: bytes, bounds: Bounds) -> dict[str, str]:
    try:
        document: Any = json.loads(body)
        if not isinstance(document, dict) or len(document) > bounds.fields:
            raise NotReadError(400)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in document.items()}
        # Half a surrogate pair is no text: nothing behind this could hash or keep it.
        "".join(fields.values()).encode()
    except (ValueError, RecursionError):
        raise NotReadError(400) from None
    return fields
