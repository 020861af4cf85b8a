"""`/api/v1`: a route for every verb (AUTHZ-1).

The order of checks is: who asks, how much they ask, a token in the URL, which verb, the body's type, size and fields,
the right to it; and only then what it does. Until the first is answered, everybody hears the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

import structlog
from starlette.requests import ClientDisconnect

from regalia import reasons
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError
from regalia.model import Action, EventDraft, Outcome, Right
from regalia.ra.tokens import TOKEN_FORM
from regalia.verbs import ask, plan
from regalia.verbs.proposal_record import proposal_record
from regalia.verbs.verb import Asked, ProposedError, Record, Verb
from regalia.web.answers import NO_STORE, Answer, answer, with_headers
from regalia.web.api_forms import Form, Invalid, json_object, query_fields, segments
from regalia.web.api_repeats import JSON, repeat_key
from regalia.web.body import read_body
from regalia.web.conditional import etag_of, unless_known
from regalia.web.edge import INCIDENT_HEADER
from regalia.web.problems import STRANGER, fault, invalid, limited, problem, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from regalia.model import JsonValue
    from regalia.ra.api_limits import ApiLimits
    from regalia.verbs import Caller, Services
    from regalia.web.answers import Header
    from regalia.web.api_repeats import Repeats
    from regalia.web.callers import Callers
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pool

__all__ = ["BODY_OCTETS", "PREFIX", "ApiFace", "ApiParts", "Pages", "Route", "right_refused", "routes_of"]

PREFIX: Final = "/api/v1"
BODY_OCTETS: Final = 1 << 20
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})
_CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})
_KNOWN: Final = frozenset({reasons.AUTHENTICATION_OLD, reasons.FOREIGN_REQUEST})
"""What is told to somebody who is known; every other refusal of credentials is told as if there were none."""
_TOKEN_FIELDS: Final = frozenset({"access_token", "token", "api_key", "apikey", "authorization", "bearer"})
"""Names under which programs put tokens into queries (RFC 6750 §2.3 and worse); none where a verb has such a field."""
_MEDIA = re.compile(rb"\s*application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?", re.IGNORECASE)

_log = structlog.get_logger("regalia.web")


# --- routes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Route:
    """Where a verb is."""

    verb: Verb[Any, Any]
    form: Form
    parts: tuple[str, ...]
    """What stands between the slashes behind the prefix; `{field}` for a field."""
    creates: bool
    """Whether it adds to a collection: POST where a GET lists. It is then answered 201."""

    def fits(self, path: Sequence[str]) -> Mapping[str, str] | None:
        """Return the fields that a path has, or None where it is another path. No field is empty."""
        if len(path) != len(self.parts):
            return None
        found: dict[str, str] = {}
        for part, text in zip(self.parts, path, strict=True):
            if part.startswith("{"):
                if not text:
                    return None
                found[part[1:-1]] = text
            elif part != text:
                return None
        return found


def routes_of(verbs: Iterable[Verb[Any, Any]]) -> tuple[Route, ...]:
    """Make the routes, in the order of the verbs.

    Raises `InvariantError` where a verb does not say its right, what it asks for or what it gives (AUTHZ-1), or has
    the place of another: no path leads to two verbs, whatever the things are called that stand in it.
    """
    known = tuple(verbs)
    listed = {verb.path for verb in known if verb.method == "GET"}
    routes: dict[tuple[str, tuple[str, ...]], Route] = {}
    for verb in known:
        _complete(verb)
        parts = tuple(verb.path.removeprefix("/").split("/"))
        place = verb.method, tuple("{}" if part.startswith("{") else part for part in parts)
        if place in routes:
            raise InvariantError(f"{verb.name} and {routes[place].verb.name} have the same path")
        routes[place] = Route(verb, Form(verb), parts, creates=verb.method == "POST" and verb.path in listed)
    shapes = sorted({shape for _, shape in routes})
    for first, second in combinations(shapes, 2):
        if len(first) == len(second) and all(a == b or "{}" in (a, b) for a, b in zip(first, second, strict=True)):
            raise InvariantError(f"/{'/'.join(first)} and /{'/'.join(second)} can be the same path")
    return tuple(routes.values())


def _complete(verb: Verb[Any, Any]) -> None:
    right: object = verb.right
    if not isinstance(right, Right):
        raise InvariantError(f"{verb.name} names no right")
    for what, schema, base in (("asks for", verb.asks, Asked), ("gives", verb.gives, Record)):
        made: object = schema
        if not (isinstance(made, type) and issubclass(made, base)):
            raise InvariantError(f"{verb.name} has no schema of what it {what}")
    if verb.method not in _METHODS or not re.fullmatch(r"(/([a-z0-9.-]+|\{[a-z_]+\}))+", verb.path):
        raise InvariantError(f"{verb.name}: {verb.method} {verb.path} is no place")


# --- the face -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the API stands on."""

    services: Services
    callers: Callers
    limits: ApiLimits
    repeats: Repeats
    pool: Pool
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class _Said:
    """What a request says beside who sent it."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: bytes
    key: str | None


class Pages(Protocol):
    """What everybody may read."""

    def has(self, path: str) -> bool:
        """Whether there is a page at this path."""

    def page(self, path: str) -> Answer:
        """Return it. May be slow: it is called in a thread."""


class ApiFace:
    """Everything below `/api/v1`."""

    def __init__(self, parts: ApiParts, verbs: Iterable[Verb[Any, Any]], pages: Pages) -> None:
        """Raise `InvariantError` as `routes_of` does."""
        self._parts = parts
        self._routes = routes_of(verbs)
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            given = await self._answered(scope, receive)
        except ClientDisconnect:
            raise
        except Invalid as wrong:
            given = invalid(wrong.fields)
        except RegaliaError as refused:
            given = problem_of(refused)
            if isinstance(refused, UnavailableError):
                _log.info("unavailable", listener="admin", reason=refused.reason.id, detail=refused.detail)
        except Exception:  # noqa: BLE001 - the edge of the API: a bug is told as all problems are, and is in the log
            incident = uuid4().hex
            self._parts.metrics.incident()
            _log.exception("incident", listener="admin", incident=incident, path=scope["path"])
            given = fault(incident, INCIDENT_HEADER)
        await given(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Answer:
        if self._pages.has(scope["path"]) and scope["method"] in {"GET", "HEAD"}:
            return unless_known(scope, await self._parts.pool.run(partial(self._pages.page, scope["path"])))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        caller = await self._caller(scope, changes=method != "GET")
        if isinstance(caller, Answer):
            return caller
        query = query_fields(scope["query_string"])
        found = self._found(method, scope["raw_path"], query)
        if isinstance(found, Answer):
            return found
        route, path = found
        key = repeat_key(scope["headers"]) if route.verb.changes else None
        if isinstance(key, Answer):
            return key
        said = _Said(path, query, await _body(scope, receive) if route.form.has_body else b"", key)
        done = await self._parts.pool.run(partial(self._done, caller, route, said))
        return unless_known(scope, done) if method == "GET" else done

    # --- who asks ---------------------------------------------------------------------------------------------------

    async def _caller(self, scope: Scope, *, changes: bool) -> Caller | Answer:
        headers: Sequence[Header] = scope["headers"]
        if not any(name in _CREDENTIALS for name, _ in headers):
            return STRANGER
        client = scope.get("client")
        source = client[0] if client else ""
        return await self._parts.pool.run(partial(self._admitted, headers, source, changes=changes))

    def _admitted(self, headers: Sequence[Header], source: str, *, changes: bool) -> Caller | Answer:
        limits, now = self._parts.limits, self._parts.services.clock.now()
        too_much = limits.arrival(source, now)
        if too_much is not None:
            return limited(too_much)
        try:
            caller = self._parts.callers.caller(headers, source, changes=changes)
        except AdminError as refused:
            if refused.reason in _KNOWN:
                return problem_of(refused)
            caller = None
        if caller is None:
            if any(name == b"authorization" for name, _ in headers):
                limits.refused(source, now)
            return STRANGER
        too_much = limits.request(caller.actor.id, source, now)
        return caller if too_much is None else limited(too_much)

    # --- what is asked ----------------------------------------------------------------------------------------------

    def _found(
        self, method: str, raw_path: bytes, query: Sequence[tuple[str, str]]
    ) -> tuple[Route, Mapping[str, str]] | Answer:
        path = segments(raw_path.removeprefix(f"{PREFIX}/".encode()))
        fitting = [(route, fields) for route in self._routes if path and (fields := route.fits(path)) is not None]
        asked_for = next((found for found in fitting if found[0].verb.method == method), None)
        named = asked_for[0].form.in_query if asked_for is not None else {}
        if TOKEN_FORM.search("/".join(path or ())) or any(_is_token(*field, named) for field in query):
            return problem(reasons.TOKEN_IN_URL, 400)
        if asked_for is not None:
            return asked_for
        if not fitting:
            return problem(reasons.API_PATH_UNKNOWN, 404)
        taken = {route.verb.method for route, _ in fitting}
        allowed = sorted(taken | ({"HEAD"} if "GET" in taken else set()))
        return with_headers(problem(reasons.API_METHOD_REFUSED, 405), (b"allow", ", ".join(allowed).encode()))

    # --- doing it, in a thread --------------------------------------------------------------------------------------

    def _done(self, caller: Caller, route: Route, said: _Said) -> Answer:
        try:
            return self._given(caller, route, said)
        except AdminError as refused:
            if refused.reason is reasons.RIGHT_MISSING:
                # AUD-1. How often somebody can ask for what they may not is bounded by their limit.
                self._parts.services.store.record(
                    (right_refused(caller, route.verb, self._parts.services.clock.now()),)
                )
            raise

    def _given(self, caller: Caller, route: Route, said: _Said) -> Answer:
        services = self._parts.services
        asked, dry = route.form.read(said.path, said.query, json_object(said.body) if route.form.has_body else {})
        if dry:
            return _json(200, plan(route.verb, services, caller, asked))

        def do() -> Answer:
            try:
                given = ask(route.verb, services, caller, asked)
            except ProposedError as proposed:
                return _json(202, proposal_record(proposed.proposal))
            return _json(201 if route.creates else 200, given, tagged=not route.verb.changes)

        return do() if said.key is None else self._parts.repeats.once(caller, said.key, route.verb, asked, do)


def _json(status: int, record: Record, *, tagged: bool = False) -> Answer:
    body = record.model_dump_json().encode()
    headers = (etag_of(hashlib.sha256(body).hexdigest()[:32]),) if tagged else ()
    return answer(status, body, JSON, NO_STORE, *headers)


def right_refused(caller: Caller, verb: Verb[Any, Any], at: datetime) -> EventDraft:
    """Note for the log that somebody asked for what their roles do not allow (AUD-1)."""
    reason = reasons.RIGHT_MISSING
    details: dict[str, JsonValue] = {"right": verb.right.value, "title": reason.title}
    event = EventDraft(at, caller.actor, Action.RIGHT_REFUSED, f"verb:{verb.name}", Outcome.REFUSED, details=details)
    return replace(event, reason_id=reason.id, security=True)


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Read the body. WEB-5: a form of a stranger's page cannot send this type without being asked first."""
    declared = [value for name, value in scope["headers"] if name == b"content-type"]
    if len(declared) != 1 or not _MEDIA.fullmatch(declared[0]):
        raise AdminError(reasons.API_MEDIA_REFUSED)
    body = await read_body(scope, receive, BODY_OCTETS)
    if body is None:
        raise AdminError(reasons.API_BODY_TOO_LARGE)
    return body


def _is_token(name: str, value: str, named: Mapping[str, object]) -> bool:
    return (name.lower() in _TOKEN_FIELDS and name not in named) or TOKEN_FORM.search(value) is not None
