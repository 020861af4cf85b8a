"""The administrators' door: `/sign-in`, `/set-up`, `/account`, `/proposals`, `/sign-out`, and their pages' files.

Every path stands in one table with what a request to it must bring; whatever is not in it is 404. What is asked with
POST comes from a page of ours with the token of its browser's door or session (WEB-5); GET changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.web.account_pages import AccountPages
from regalia.web.admin import Mount
from regalia.web.answers import BAD_REQUEST, NO_STORE, NOT_FOUND, TOO_LARGE, answer, not_among
from regalia.web.door import again_path, refused_json, refused_page, see_other
from regalia.web.proposal_pages import PROPOSALS, ProposalPages
from regalia.web.rendering import STATIC, static_files
from regalia.web.sessions import CSRF_HEADER, SESSION_COOKIE, is_from_us, is_token, removed_cookie
from regalia.web.set_up_pages import SetUpPages
from regalia.web.sign_in_pages import SignInPages
from regalia.web.visit import HOME, NotReadError, read_visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from regalia.ra.sign_in import Known
    from regalia.web.answers import Answer
    from regalia.web.door import Backing
    from regalia.web.pool import Pool
    from regalia.web.visit import Visit

__all__ = ["SignInFace"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_PROVIDER: Final = re.compile(r"(/sign-in(?:/again)?/oidc)/([a-z][a-z0-9-]{0,39})((?:/callback|/arrive)?)")
_BACK: Final = {HOME: "To the account", PROPOSALS: "To the proposals"}
_OTHER_TYPE = answer(415, b"unsupported media type\n", b"text/plain; charset=utf-8", NO_STORE)


class _Needs(Enum):
    """What a request must bring."""

    NOTHING = auto()
    DOOR = auto()
    """The token of its browser's door: nobody is signed in."""
    SESSION = auto()
    """A session; and its token where something changes."""


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a request leads."""

    needs: _Needs
    answer: Callable[[Visit, Known | None], Answer]
    json: bool = False
    """Whether scripts of ours ask, with JSON; else forms do."""
    slow: bool = False
    """Whether passwords are hashed."""
    abroad: bool = False
    """Whether an identity provider is asked, which may take its time."""
    asks: bool = False
    """Whether verbs are asked: some take long."""


class SignInFace:
    """Serves the door's paths. `mounts` says which these are."""

    def __init__(self, backing: Backing, pool: Pool, passwords: Pool, providers: Pool, verbs: Pool) -> None:
        """`passwords` is a small pool: a hash takes 64 MiB and a fifth of a second.

        `providers` is one of its own: a provider that hangs must not keep passkeys and rescue links waiting.
        `verbs` is the API's, for the same work.
        """
        self._backing = backing
        self._pool = pool
        self._passwords = passwords
        self._providers = providers
        self._verbs = verbs
        self._files = static_files()
        self._pages = SignInPages(backing)
        self._ways = _ways(self._pages, SetUpPages(backing), AccountPages(backing), ProposalPages(backing))

    def mounts(self) -> tuple[Mount, ...]:
        """List the paths for the admin listener."""
        paths = ("/sign-in", "/sign-out", "/set-up", HOME, PROPOSALS, STATIC.rstrip("/"), "/")
        return tuple(Mount(path, self, _METHODS) for path in paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = await self._answered(scope, receive)
        await given(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Answer:
        path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
        if path in self._files and method == "GET":
            return self._files[path]
        ways = self._found(path)
        if not ways:
            return NOT_FOUND
        way = ways.get(method)
        if way is None:
            return not_among(frozenset({*ways, *({"HEAD"} if "GET" in ways else ())}))
        elsewhere = self._elsewhere(scope, method)
        if elsewhere is not None:
            return elsewhere
        try:
            visit = await read_visit(scope, receive)
        except NotReadError as error:
            return {413: TOO_LARGE, 415: _OTHER_TYPE}.get(error.status, BAD_REQUEST)
        if method == "POST" and visit.is_json != way.json:
            return _OTHER_TYPE
        return await self._pool_of(way).run(lambda: self._judged(way, visit))

    def _pool_of(self, way: _Way) -> Pool:
        if way.asks:
            return self._verbs
        return self._passwords if way.slow else self._providers if way.abroad else self._pool

    def _found(self, path: str) -> dict[str, _Way]:
        match = _PROVIDER.fullmatch(path)
        if match is None:
            return self._ways.get(path, {})
        base, key, what = match.groups()
        again = base.startswith("/sign-in/again")
        if not what:
            needs = _Needs.SESSION if again else _Needs.DOOR
            return {"POST": _Way(needs, lambda visit, known: self._pages.depart(visit, known, key), abroad=True)}
        if again:
            return {}
        if what == "/callback":
            return {"GET": _Way(_Needs.NOTHING, lambda visit, known: self._pages.called_back(visit, known, key))}
        return {"GET": _Way(_Needs.NOTHING, lambda visit, _: self._pages.arrive(visit, key), abroad=True)}

    def _elsewhere(self, scope: Scope, method: str) -> Answer | None:
        """Send a browser that came by another name of ours to the configured one: passkeys know no other (WEB-9)."""
        named = b"".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1").lower()
        if named == self._backing.host or method != "GET":
            return None
        query = scope["query_string"]
        target = self._backing.admin_url.encode() + scope["raw_path"] + (b"?" + query if query else b"")
        return answer(307, b"", b"text/plain; charset=utf-8", NO_STORE, (b"location", target))

    # --- judging ----------------------------------------------------------------------------------------------------

    def _judged(self, way: _Way, visit: Visit) -> Answer:
        try:
            known = self._backing.sessions.known(visit.session) if way.needs is _Needs.SESSION else None
            if visit.method == "POST":
                self._judge_origin(way, visit)
            return way.answer(visit, known)
        except AdminError as error:
            return self._refused(visit, error)

    def _judge_origin(self, way: _Way, visit: Visit) -> None:
        """WEB-5."""
        secret = visit.session if way.needs is _Needs.SESSION else visit.door
        token = visit.header(CSRF_HEADER) if visit.is_json else visit.form.get("token", "")
        if not is_token(secret, token) or not is_from_us(visit.headers, self._backing.admin_url):
            detail = "without the token of its browser, or from another site's page"
            raise self._backing.doorkeeper.refusal(reasons.FOREIGN_REQUEST, visit.source, detail)

    def _refused(self, visit: Visit, error: AdminError) -> Answer:
        place = PROPOSALS if visit.path.startswith(PROPOSALS) else HOME
        following = visit.path if visit.method == "GET" else place
        if error.reason is reasons.SESSION_OVER:
            # Whoever follows a link from elsewhere brings no cookie (SameSite), and may well be signed in: a page that
            # took the cookie from them would let any site sign them out.
            gone = (removed_cookie(SESSION_COOKIE),) if visit.session else ()
            path = "/sign-in" if following == HOME else f"/sign-in?next={following}"
            return refused_json(error, path) if visit.is_json else see_other(path, *gone)
        if error.reason is reasons.AUTHENTICATION_OLD:
            path = again_path(following)
            return refused_json(error, path) if visit.is_json else see_other(path)
        if visit.is_json:
            return refused_json(error)
        back, words = (
            ("/sign-in", "To the sign-in page") if visit.path.startswith("/sign-in") else (place, _BACK[place])
        )
        return refused_page(self._backing, error, back, words)


def _ways(
    pages: SignInPages, set_up: SetUpPages, account: AccountPages, proposals: ProposalPages
) -> dict[str, dict[str, _Way]]:
    """The table: path, method, what it needs, what answers."""

    def home(visit: Visit, known: Known | None) -> Answer:
        del visit, known
        return see_other(HOME)

    def door(call: Callable[[Visit], Answer], *, json: bool = False, slow: bool = False) -> _Way:
        return _Way(_Needs.DOOR, lambda visit, _: call(visit), json, slow)

    def own(call: Callable[[Visit, Known], Answer], *, json: bool = False, asks: bool = False) -> _Way:
        def with_known(visit: Visit, known: Known | None) -> Answer:
            if known is None:
                raise AdminError(reasons.SESSION_OVER)
            return call(visit, known)

        return _Way(_Needs.SESSION, with_known, json, asks=asks)

    nothing = _Needs.NOTHING
    session = _Needs.SESSION
    return {
        "/": {"GET": _Way(nothing, home)},
        "/sign-in": {"GET": _Way(nothing, lambda visit, _: pages.show(visit, None))},
        "/sign-in/password": {"POST": _Way(_Needs.DOOR, pages.password, slow=True)},
        "/sign-in/passkey/question": {"POST": _Way(_Needs.DOOR, pages.question, json=True)},
        "/sign-in/passkey": {"POST": _Way(_Needs.DOOR, pages.passkey, json=True)},
        "/sign-in/again": {"GET": _Way(session, pages.show)},
        "/sign-in/again/password": {"POST": _Way(session, pages.password, slow=True)},
        "/sign-in/again/passkey/question": {"POST": _Way(session, pages.question, json=True)},
        "/sign-in/again/passkey": {"POST": _Way(session, pages.passkey, json=True)},
        "/set-up": {"GET": _Way(nothing, lambda visit, _: set_up.show(visit)), "POST": door(set_up.open)},
        "/set-up/passkey/question": {"POST": door(set_up.question, json=True)},
        "/set-up/passkey": {"POST": door(set_up.passkey, json=True)},
        "/set-up/factor": {"POST": door(set_up.factor)},
        "/set-up/password": {"POST": door(set_up.password, slow=True)},
        HOME: {"GET": own(account.show)},
        "/account/passkey/question": {"POST": own(account.question, json=True)},
        "/account/passkey": {"POST": own(account.add, json=True)},
        "/account/passkey/remove": {"POST": own(account.remove)},
        "/account/session/end": {"POST": own(account.end)},
        PROPOSALS: {"GET": own(proposals.show, asks=True)},
        f"{PROPOSALS}/approve": {"POST": own(proposals.approve, asks=True)},
        f"{PROPOSALS}/refuse": {"POST": own(proposals.refuse, asks=True)},
        f"{PROPOSALS}/withdraw": {"POST": own(proposals.withdraw, asks=True)},
        "/sign-out": {"POST": own(account.sign_out)},
    }
