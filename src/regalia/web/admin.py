"""The admin listener's application: health, metrics and what is mounted, under names that it is known by (WEB-9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Route, Router

from regalia.web.answers import AT_ONCE, MISDIRECTED, NO_STORE, NOT_FOUND, READING_ONLY, URL_TOO_LONG, answer, not_among
from regalia.web.edge import Edge
from regalia.web.health import ALIVE, ReadyFace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from regalia.web.answers import Header
    from regalia.web.health import Readiness
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pool

__all__ = ["WRITING", "Mount", "admin_app"]

_URL_OCTETS = 8_192
_ALWAYS: Final = ("localhost", "127.0.0.1", "::1")

_HEADERS: Final[tuple[Header, ...]] = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
            b" form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"strict-transport-security", b"max-age=31536000"),
)
"""WEB-2, beside the nosniff and no-store that every answer here has anyway."""


_READING: Final = frozenset({"GET", "HEAD"})
WRITING: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A face with a path of its own: all that is at it and below it."""

    path: str
    """As `/api/v1`: no slash at its end. The longest that fits decides; `/` has what nothing else has."""
    app: ASGIApp
    """Sees the whole path, and answers 404 and 405 for what it does not know."""
    methods: frozenset[str] | None = _READING
    """What may come to it at all, everything else is 405 before it; None: all, and it says itself what it takes."""

    def has(self, path: str) -> bool:
        """Whether a path is its own."""
        return self.path in {"/", path} or path.startswith(f"{self.path}/")


def admin_app(
    *, readiness: Readiness, metrics: Metrics, pool: Pool, hosts: Iterable[str], mounts: Iterable[Mount] = ()
) -> ASGIApp:
    """Put the faces together. `hosts`: names and addresses, without ports, that administrators reach us by."""
    routes = Router(
        [
            Route("/healthz", ALIVE),
            Route("/readyz", ReadyFace(readiness, pool)),
            Route("/metrics", _MetricsFace(metrics, pool)),
        ],
        redirect_slashes=False,
        default=NOT_FOUND,
    )
    known = frozenset(host.lower().encode("idna" if not host.isascii() else "ascii") for host in (*_ALWAYS, *hosts))
    return _Hardened(Edge(_Guard(routes, tuple(mounts), known), "admin", metrics))


class _MetricsFace:
    """`/metrics`."""

    def __init__(self, metrics: Metrics, pool: Pool) -> None:
        self._metrics = metrics
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = await self._pool.run(self._metrics.render)
        await answer(200, text, CONTENT_TYPE_LATEST.encode(), NO_STORE)(scope, receive, send)


class _Guard:
    """Refuses other hosts' names (a page of a stranger whose name was pointed here), methods and long URLs."""

    def __init__(self, routes: Router, mounts: Sequence[Mount], hosts: frozenset[bytes]) -> None:
        self._routes = routes
        self._mounts = sorted(mounts, key=lambda mount: len(mount.path), reverse=True)
        self._own = {route.path for route in routes.routes if isinstance(route, Route)}
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [value for name, value in scope["headers"] if name == b"host"]
        mount = self._mount(scope["path"])
        if len(named) != 1 or _host(named[0]) not in self._hosts:
            app: ASGIApp = MISDIRECTED
        elif mount.methods is not None and scope["method"] not in mount.methods:
            app = READING_ONLY if mount.methods is _READING else not_among(mount.methods)
        elif len(scope["raw_path"]) + len(scope["query_string"]) > _URL_OCTETS:
            app = URL_TOO_LONG
        else:
            app = mount.app
        await app(scope, receive, send)

    def _mount(self, path: str) -> Mount:
        if path not in self._own:
            for mount in self._mounts:
                if mount.has(path):
                    return mount
        return Mount("/", self._routes)


def _host(value: bytes) -> bytes:
    """Return the host of `host[:port]`; IPv6 loses its brackets."""
    if value.startswith(b"["):
        return value[1:].partition(b"]")[0].lower()
    return value.partition(b":")[0].lower()


class _Hardened:
    """Adds WEB-2's headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": (*message["headers"], *_HEADERS)}
            await send(message)

        # The way on which constant answers leave in one piece passes by this place, and its headers.
        slow = {key: value for key, value in scope.items() if key != AT_ONCE}
        await self._app(slow, receive, hardened)
