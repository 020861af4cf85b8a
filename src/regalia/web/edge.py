"""The outermost edge of both listeners: whatever goes wrong inside, a stranger sees a constant answer and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog
from starlette.requests import ClientDisconnect

from regalia.errors import UnavailableError
from regalia.web.answers import BAD_REQUEST, UNAVAILABLE, with_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from regalia.web.answers import FromMemory
    from regalia.web.metrics import Metrics

__all__ = ["INCIDENT_HEADER", "Edge"]

INCIDENT_HEADER: Final = b"regalia-incident"
"""Leads from an answer to the line of our log that says what happened; nothing else of it leaves the house."""

_log = structlog.get_logger("regalia.web")


class Edge:
    """Wraps an application so that it always answers and never says why it could not."""

    def __init__(self, app: ASGIApp, listener: str, metrics: Metrics, from_memory: FromMemory | None = None) -> None:
        """`listener` names it in the log; `from_memory` answers before the application is asked."""
        self.from_memory = from_memory
        self._app = app
        self._listener = listener
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            # Neither listener speaks WebSocket, and there is no lifespan to tell of: app starts and stops everything.
            raise ValueError(f"{scope['type']} is not served")
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            # It hung up, or took longer than it may; there is nobody to answer unless it is still there.
            await self._finish(BAD_REQUEST, started, scope, receive, send)
        except UnavailableError as unavailable:
            _log.info("unavailable", listener=self._listener, reason=unavailable.reason.id, detail=unavailable.detail)
            await self._finish(UNAVAILABLE, started, scope, receive, send)
        except Exception:  # noqa: BLE001 - see below
            # The one place where the web catches everything: a bug of ours must not close the listener, nor show a
            # trace. It is our fault, so it is 503, and the log has the trace under the id that the answer names.
            incident = uuid4().hex
            self._metrics.incident()
            _log.exception("incident", listener=self._listener, incident=incident, path=scope["path"])
            named = with_headers(UNAVAILABLE, (INCIDENT_HEADER, incident.encode()))
            await self._finish(named, started, scope, receive, send)

    @staticmethod
    async def _finish(app: ASGIApp, started: bool, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: FBT001 - one private caller
        # An answer that has begun cannot be taken back: it stays unfinished, and the server closes the connection.
        if not started:
            await app(scope, receive, send)
