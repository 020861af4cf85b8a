"""A server's API within this process: the real admin application over a home, and a real `ApiDoor` to it.

Only the socket is left out. The caller is who runs the command, as somebody who may do everything, so that what a
command prints is the same both ways.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2

from fakes import FakeCallers
from regalia.app import build
from regalia.app.serving import admin_face
from regalia.cli.context import administrator
from regalia.client.api import ApiDoor
from regalia.config import load_config
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller
from regalia.web.metrics import Metrics
from regalia.web.pool import Pool
from web.asgi import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from regalia.verbs import Door

__all__ = ["AsgiTransport", "far_home"]

_TOKEN = "of-this-test"


class AsgiTransport(httpx2.BaseTransport):
    """Hands requests to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask as a server does."""
        heard = ask(
            self._app,
            request.url.raw_path.decode("ascii"),
            method=request.method,
            headers=[(name.lower(), value) for name, value in request.headers.raw],
            body=(request.read(),),
            source="127.0.0.1",
        )
        assert heard.complete, "an answer without its end"
        # As octets that are not read yet: the door reads them from what would be a socket.
        return httpx2.Response(heard.status, headers=heard.headers, stream=httpx2.ByteStream(heard.body))


@contextmanager
def far_home(home: Path) -> Iterator[Door]:
    """Serve a home, and reach it. Raises what opening the home does."""
    app = build(load_config(home=home))
    pool = Pool("api", threads=1, queue=4)
    try:
        callers = FakeCallers({_TOKEN: Caller(administrator(), EVERYTHING, fresh=True, local=True)})
        served = admin_face(app, Metrics(app.clock), callers, status=pool, api=pool)
        with ApiDoor("https://localhost:8443", _TOKEN, transport=AsgiTransport(served)) as door:
            yield door
    finally:
        pool.close()
        app.close()
