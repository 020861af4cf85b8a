"""Both listeners in one event loop, with what runs beside them, from the first socket to the last answer.

Order at the end: no new connections, answers that were begun are finished, what runs beside stops, then `at_end`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from regalia import reasons
from regalia.errors import AdminError
from regalia.web.connections import OpenConnections
from regalia.web.edge import Edge
from regalia.web.handshake import TlsDoor
from regalia.web.protocol import BoundedProtocol, ConnectionLimits, bounded_protocol
from regalia.web.proxies import TrustedProxies
from regalia.web.tls import ReloadingContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from starlette.types import ASGIApp

    from regalia.web.tls import TlsSource

__all__ = ["GRACE_SECONDS", "Bound", "Listener", "Serving", "open_sockets", "run", "serve"]

KEEP_ALIVE_SECONDS: Final = 30
GRACE_SECONDS: Final = 20
_BACKLOG = 2048
_DATE_SECONDS = 1.0
_TLS_LOOK_SECONDS = 5.0

_log = structlog.get_logger("regalia.web")


@dataclass(frozen=True, slots=True)
class Listener:
    """One application and where it listens."""

    name: str
    app: ASGIApp
    host: str
    port: int
    """0 lets the system choose."""
    tls: TlsSource | None = None
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    sockets: Sequence[socket.socket] = ()
    """Opened before by `open_sockets`, for several processes that share them; none: opened here."""
    connections: OpenConnections = field(default_factory=OpenConnections)
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    """Peers that many devices come through."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a listener really listens."""

    name: str
    host: str
    port: int
    tls: bool

    @classmethod
    def of(cls, name: str, host: str, sockets: Sequence[socket.socket], *, tls: bool) -> Bound:
        """Describe opened sockets; all have one port."""
        return cls(name, host, sockets[0].getsockname()[1], tls=tls)

    @property
    def url(self) -> str:
        """Its address as a URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Serving:
    """What to run and whom to tell."""

    listeners: Sequence[Listener]
    on_ready: Callable[[Sequence[Bound]], None]
    """Called once, when every listener answers."""
    beside: Sequence[Callable[[asyncio.Event], Awaitable[None]]] = ()
    """Coroutines that run until the event that they are given is set: the job loop."""
    at_end: Callable[[], None] = lambda: None
    """Called last, when nothing answers and nothing runs beside: the place to write what is still in memory."""
    until: int | None = None
    """A descriptor whose end of file ends it, too: a pipe from a process without which there is no sense in serving."""


def run(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP looks for new certificates at once. To be called in the main thread.

    Raises `AdminError` ADM-019 where an address cannot be opened, ADM-020 where a certificate cannot be used.
    """

    async def whole() -> None:
        stop, look = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, look.set)
        if serving.until is not None:
            _stop_at_end_of(serving.until, stop, loop)
        await serve(serving, stop, look)

    factory = uvicorn.Config(serving.listeners[0].app, log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(whole())


def _stop_at_end_of(descriptor: int, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    def ended() -> None:
        # It stays readable at its end, and nobody writes to it before.
        loop.remove_reader(descriptor)
        stop.set()

    loop.add_reader(descriptor, ended)


async def serve(serving: Serving, stop: asyncio.Event, look: asyncio.Event | None = None) -> None:
    """Serve until `stop` is set, or until something that must not end does; raises what ended it."""
    with contextlib.ExitStack() as opened:
        prepared = [_prepare(listener, opened) for listener in serving.listeners]
        servers = [server for server, _, _ in prepared]
        contexts = [context for _, _, context in prepared if context is not None]
        running = [asyncio.create_task(server.serve(sockets=sockets)) for server, sockets, _ in prepared]
        halt = asyncio.Event()
        beside: list[asyncio.Task[None]] = []
        try:
            await _all_started(servers, running)
            serving.on_ready(
                [
                    Bound.of(listener.name, listener.host, sockets, tls=listener.tls is not None)
                    for listener, (_, sockets, _) in zip(serving.listeners, prepared, strict=True)
                ]
            )
            beside += [asyncio.create_task(_awaited(started(halt))) for started in serving.beside]
            beside.append(asyncio.create_task(_watch_tls(contexts, halt, look or asyncio.Event())))
            await _until(stop, [*running, *beside])
        finally:
            for server in servers:
                server.end()
            ended = await asyncio.gather(*running, return_exceptions=True)
            halt.set()
            ended += await asyncio.gather(*beside, return_exceptions=True)
            serving.at_end()
    for outcome in ended:
        if isinstance(outcome, BaseException):
            raise outcome


class _Server(uvicorn.Server):
    """One listener; signals are ours, TLS is agreed on at a door of ours, and it says when it answers."""

    def __init__(self, listener: Listener, context: ReloadingContext | None) -> None:
        super().__init__(_config(listener))
        self.answering = asyncio.Event()
        self._ending = asyncio.Event()
        self._listener = listener
        self._context = context
        self._door: TlsDoor | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `run`: two servers share one process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        # With no sockets of its own uvicorn accepts nothing, and does all the rest.
        await super().startup([] if self._context is not None else sockets)
        if self._context is not None:
            listener = self._listener
            context, speaks = self._context.context, self._speaks
            limits, counted = listener.limits, listener.connections
            self._door = TlsDoor(sockets or (), context, limits, counted, listener.proxies, speaks)
            self._door.open()
        self.answering.set()

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn's own loop wakes ten times to write one date."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _DATE_SECONDS)

    def end(self) -> None:
        """Have it end."""
        self.should_exit = True
        self._ending.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and finish what was begun."""
        if self._door is not None:
            self._door.close()
        await super().shutdown(sockets)

    def _speaks(self, accepted: Callable[[], None]) -> asyncio.Protocol:
        made = self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls its own
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        assert isinstance(made, BoundedProtocol)  # noqa: S101 - `_config` names no other
        made.accepted = accepted
        return made


def _prepare(
    listener: Listener, opened: contextlib.ExitStack
) -> tuple[_Server, list[socket.socket], ReloadingContext | None]:
    context = ReloadingContext(listener.name, listener.tls) if listener.tls is not None else None
    sockets = list(listener.sockets) or open_sockets(listener.name, listener.host, listener.port)
    for each in sockets:
        opened.callback(each.close)
    return _Server(listener, context), sockets, context


def _config(listener: Listener) -> uvicorn.Config:
    from_memory = listener.app.from_memory if isinstance(listener.app, Edge) else None
    return uvicorn.Config(
        listener.app,
        http=bounded_protocol(listener.limits, listener.connections, listener.proxies, from_memory),
        ws="none",
        lifespan="off",
        log_config=None,
        # Warnings are about what strangers send: they would let anybody fill the log.
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def open_sockets(name: str, host: str, port: int) -> list[socket.socket]:
    """Open every address that the host's name stands for and this machine has, all on one port; 0 chooses one.

    `name` is the listener's. Raises `AdminError` ADM-019.
    """
    opened: list[socket.socket] = []
    missing = OSError("the name stands for no address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                each = socket.create_server((address[0], port, *address[2:]), family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                # `localhost` names ::1 on machines that have no IPv6.
                missing = error
                continue
            opened.append(each)
            port = each.getsockname()[1]
        if not opened:
            raise missing
    except (OSError, UnicodeError) as error:
        for each in opened:
            each.close()
        told = f"{name} on {host}:{port}: {_why(error)}"
        raise AdminError(reasons.LISTENER_REFUSED, told) from error
    return opened


def _why(error: OSError | UnicodeError) -> str:
    """Say it in the system's words; `socket.create_server` repeats the address in its own."""
    number = error.errno if isinstance(error, OSError) else None
    # Name resolution has negative numbers, with words of its own.
    return os.strerror(number) if number is not None and number > 0 else str(error)


async def _all_started(servers: Sequence[_Server], running: Sequence[asyncio.Task[None]]) -> None:
    """Wait until each listener answers; raise what kept one from it."""
    started = [asyncio.create_task(_answering(server)) for server in servers]
    try:
        for each in started:
            await asyncio.wait({each, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    task.result()
    finally:
        for each in started:
            each.cancel()


async def _answering(server: _Server) -> None:
    await server.answering.wait()


async def _awaited(started: Awaitable[None]) -> None:
    await started


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the event, or for a task that ends although nobody asked it to."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def _watch_tls(contexts: Sequence[ReloadingContext], halt: asyncio.Event, look: asyncio.Event) -> None:
    """Look for new certificates every few seconds, and at once when `look` is set."""
    while not halt.is_set():
        for context in contexts:
            # Reading may wait for a database, and must not keep the loop; taking over must not be between two steps.
            take = await asyncio.to_thread(context.look)
            if take is not None:
                take()
        look.clear()
        waits = {asyncio.create_task(event.wait()) for event in (halt, look)}
        await asyncio.wait(waits, timeout=_TLS_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
