"""Requests handed to an application without a socket, and the same application behind a real one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import uvicorn

from regalia.web.serve import Listener, Serving, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from regalia.web.serve import Bound

__all__ = ["Heard", "ask", "listening"]


@dataclass
class Heard:
    """An answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


def ask(
    app: ASGIApp,
    target: str,
    *,
    method: str = "GET",
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: Sequence[bytes] = (b"",),
    source: str = "192.0.2.1",
    hangs_up: bool = False,
    scheme: str = "http",
) -> Heard:
    """Ask an application as a server does; the body comes in the pieces given."""
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": scheme,
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [*headers],
        "client": (source, 40_000),
        "http_version": "1.0",
    }
    incoming: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": index < len(body) - 1} for index, piece in enumerate(body)
    ]
    if hangs_up:
        incoming[-1] = {"type": "http.disconnect"}
    heard = Heard()

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not heard.status, "two answers"
            heard.status = message["status"]
            heard.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            heard.body += message.get("body", b"")
            heard.complete = not message.get("more_body", False)

    asyncio.run(_run(app, scope, receive, send))
    return heard


async def _run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


@contextmanager
def listening(*listeners: Listener, beside: Sequence[Any] = ()) -> Iterator[Sequence[Bound]]:
    """Serve in a thread until the block ends; yields the real addresses."""
    ready = threading.Event()
    found: list[Sequence[Bound]] = []
    failed: list[BaseException] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def on_ready(bound: Sequence[Bound]) -> None:
        found.append(bound)
        ready.set()

    async def whole() -> None:
        stop = asyncio.Event()
        stops.append((asyncio.get_running_loop(), stop))
        await serve(Serving(listeners, on_ready, beside), stop)

    def run() -> None:
        try:
            # The loop that the product serves with: another one treats closed connections in its own way.
            factory = uvicorn.Config(listeners[0].app).get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(whole())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        for loop, stop in stops:
            if not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)
        thread.join(60)
    if failed:
        raise failed[0]
