"""Pages for browsers: which path leads where, what a request to it must bring, and how it is refused.

Every path stands in a table of `Way`s; whatever is in none is 404. What is asked with POST comes from a page of ours
with the token of its browser's door or session (WEB-5); GET changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.web.admin import Mount
from regalia.web.answers import BAD_REQUEST, NO_STORE, NOT_FOUND, TOO_LARGE, answer, not_among
from regalia.web.door import Framed, again_path, refused_json, refused_page, see_other, status_of
from regalia.web.sessions import CSRF_HEADER, SESSION_COOKIE, is_from_us, is_token, removed_cookie
from regalia.web.visit import HOME, Bounds, NotReadError, local_path, read_visit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from regalia.ra.sign_in import Known
    from regalia.web.answers import Answer
    from regalia.web.door import Backing
    from regalia.web.pool import Pool
    from regalia.web.visit import Visit

__all__ = ["Needs", "PagePools", "PagesFace", "Way", "Ways", "gathered_ways"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_OTHER_TYPE = answer(415, b"unsupported media type\n", b"text/plain; charset=utf-8", NO_STORE)
_SMALL: Final = Bounds()


class Needs(Enum):
    """What a request must bring."""

    NOTHING = auto()
    DOOR = auto()
    """The token of its browser's door: nobody is signed in."""
    SESSION = auto()
    """A session; and its token where something changes."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request leads."""

    needs: Needs
    answer: Callable[[Visit, Known | None], Answer]
    json: bool = False
    """Whether scripts of ours ask, with JSON; else forms do."""
    slow: bool = False
    """Whether passwords are hashed."""
    abroad: bool = False
    """Whether an identity provider is asked, which may take its time."""
    asks: bool = False
    """Whether verbs are asked: some take long."""
    bounds: Bounds = _SMALL
    """How much a request may say."""
    back: str = HOME
    """Where somebody who was refused goes on."""


Ways = dict[str, dict[str, Way]]
"""Path, as `/certificates/{serial}`, and method. What stands in the place of a name in braces is `Visit.place`."""


@dataclass(frozen=True, slots=True)
class PagePools:
    """Where the pages' work is done."""

    pages: Pool
    passwords: Pool
    """A small one: a hash takes 64 MiB and a fifth of a second."""
    providers: Pool
    """One of its own: a provider that hangs must not keep passkeys and rescue links waiting."""
    verbs: Pool
    """The API's, for the same work."""

    def of(self, way: Way) -> Pool:
        """Say where a way's work is done."""
        if way.asks:
            return self.verbs
        return self.passwords if way.slow else self.providers if way.abroad else self.pages


def gathered_ways(*tables: Ways) -> Ways:
    """Put tables together. Raises `ValueError` where two have the same path."""
    found: Ways = {}
    for table in tables:
        if both := found.keys() & table.keys():
            raise ValueError(f"{sorted(both)} are there twice")
        found |= table
    return found


class PagesFace:
    """Serves the pages and their files. `mounts` says which paths these are."""

    def __init__(self, backing: Backing, pools: PagePools, ways: Ways, files: Mapping[str, Answer]) -> None:
        """`files` are answered as they are, by path."""
        self._backing = backing
        self._pools = pools
        self._files = files
        self._exact = {path: methods for path, methods in ways.items() if "{" not in path}
        self._patterns = [(path.split("/"), methods) for path, methods in ways.items() if "{" in path]

    def mounts(self) -> tuple[Mount, ...]:
        """Say that everything that is nobody else's is ours."""
        return (Mount("/", self, _METHODS),)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = await self._answered(scope, receive)
        await given(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
        if path in self._files and method == "GET":
            return self._files[path]
        ways, place = self._found(path)
        if not ways:
            return NOT_FOUND
        way = ways.get(method)
        if way is None:
            return not_among(frozenset({*ways, *({"HEAD"} if "GET" in ways else ())}))
        elsewhere = self._elsewhere(scope, method)
        if elsewhere is not None:
            return elsewhere
        try:
            visit = await read_visit(scope, receive, way.bounds, place)
        except NotReadError as error:
            return {413: TOO_LARGE, 415: _OTHER_TYPE}.get(error.status, BAD_REQUEST)
        if method == "POST" and visit.is_json != way.json:
            return _OTHER_TYPE
        return await self._pools.of(way).run(lambda: self._judged(way, visit))

    def _found(self, path: str) -> tuple[dict[str, Way], dict[str, str]]:
        exact = self._exact.get(path)
        if exact is not None:
            return exact, {}
        parts = path.split("/")
        for pattern, methods in self._patterns:
            place = _fitted(pattern, parts)
            if place is not None:
                return methods, place
        return {}, {}

    def _elsewhere(self, scope: Scope, method: str) -> Answer | None:
        """Send a browser that came by another name of ours to the configured one: passkeys know no other (WEB-9)."""
        named = b"".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1").lower()
        if named == self._backing.host or method != "GET":
            return None
        query = scope["query_string"]
        target = self._backing.admin_url.encode() + scope["raw_path"] + (b"?" + query if query else b"")
        return answer(307, b"", b"text/plain; charset=utf-8", NO_STORE, (b"location", target))

    # --- judging ----------------------------------------------------------------------------------------------------

    def _judged(self, way: Way, visit: Visit) -> Answer:
        known = None
        try:
            known = self._backing.sessions.known(visit.session) if way.needs is Needs.SESSION else None
            if visit.method == "POST":
                self._judge_origin(way, visit)
            return way.answer(visit, known)
        except AdminError as error:
            return self._refused(way, visit, known, error)

    def _judge_origin(self, way: Way, visit: Visit) -> None:
        """WEB-5."""
        secret = visit.session if way.needs is Needs.SESSION else visit.door
        token = visit.header(CSRF_HEADER) if visit.is_json else visit.form.get("token", "")
        if not is_token(secret, token) or not is_from_us(visit.headers, self._backing.admin_url):
            detail = "without the token of its browser, or from another site's page"
            raise self._backing.doorkeeper.refusal(reasons.FOREIGN_REQUEST, visit.source, detail)

    def _refused(self, way: Way, visit: Visit, known: Known | None, error: AdminError) -> Answer:
        following = local_path(visit.asked) if visit.method == "GET" else way.back
        if error.reason is reasons.SESSION_OVER:
            # Whoever follows a link from elsewhere brings no cookie (SameSite), and may well be signed in: a page that
            # took the cookie from them would let any site sign them out.
            gone = (removed_cookie(SESSION_COOKIE),) if visit.session else ()
            path = "/sign-in" if following == HOME else again_path(following, "/sign-in")
            return refused_json(visit.reader.words, error, path) if visit.is_json else see_other(path, *gone)
        if error.reason is reasons.AUTHENTICATION_OLD:
            path = again_path(following)
            return refused_json(visit.reader.words, error, path) if visit.is_json else see_other(path)
        if visit.is_json:
            return refused_json(visit.reader.words, error)
        at_door = visit.path.startswith("/sign-in")
        if known is not None and not at_door:
            return self._backing.framed(visit, known, Framed("error.html", {"back": way.back}, error, status_of(error)))
        words = visit.reader.words
        back, label = ("/sign-in", words("To the sign-in page")) if at_door else (way.back, words("To the dashboard"))
        return refused_page(self._backing, visit.reader, error, back, label)


def _fitted(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """Return what a path has in the places of a pattern; None where it is another path. No place is empty."""
    if len(pattern) != len(parts):
        return None
    place: dict[str, str] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{"):
            if not part:
                return None
            place[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return place
