"""Where systems that connectors stand for tell us of changes: `POST /hooks/{connector}`.

Whoever cannot sign gets one constant answer after a constant time, whether there is such a connector or not.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Final

from regalia.net.web_hook import SIGNATURE_HEADER, TIMESTAMP_HEADER
from regalia.ra.hooks import MOST_OCTETS, Limited, Message, Receipt, Stranger
from regalia.web.answers import NO_STORE, NOT_FOUND, TOO_LARGE, TOO_MANY, answer, with_headers
from regalia.web.body import read_body
from regalia.web.scep import peer_address

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from regalia.ra.hooks import HookAnswer, HookDesk
    from regalia.web.answers import Answer
    from regalia.web.pool import Pool

__all__ = ["HOOKS", "HooksFace"]

HOOKS: Final = "/hooks/"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TIMESTAMP: Final = TIMESTAMP_HEADER.lower().encode()
_SIGNATURE: Final = SIGNATURE_HEADER.lower().encode()
_STRANGER_SECONDS: Final = 0.05
"""Longer than a look into the database, so that the time does not tell which connectors there are."""
_JSON: Final = b"application/json"
_POST_ONLY = answer(405, b"method not allowed\n", b"text/plain; charset=utf-8", NO_STORE, (b"allow", b"POST"))
_LIMITED_SECONDS: Final = b"60"


class HooksFace:
    """Serves every path below `/hooks/`."""

    def __init__(self, desk: HookDesk, pool: Pool) -> None:
        self._desk = desk
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = asyncio.get_running_loop().time()
        given = await self._answered(scope, receive)
        if given is NOT_FOUND:
            await asyncio.sleep(began + _STRANGER_SECONDS - asyncio.get_running_loop().time())
        await given(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> ASGIApp:
        if scope["method"] != "POST":
            return _POST_ONLY
        name = scope["path"].removeprefix(HOOKS)
        body = await read_body(scope, receive, MOST_OCTETS)
        if body is None:
            return TOO_LARGE
        if _NAME.fullmatch(name) is None:
            return NOT_FOUND
        message = Message(
            connector=name,
            timestamp=_header(scope, _TIMESTAMP),
            signature=_header(scope, _SIGNATURE),
            body=body,
            source=peer_address(scope),
        )
        return _rendered(await self._pool.run(lambda: self._desk.receive(message)))


def _header(scope: Scope, wanted: bytes) -> str:
    """Read a header; one that is there twice says nothing."""
    values = [value for name, value in scope["headers"] if name == wanted]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _rendered(given: HookAnswer) -> Answer:
    match given:
        case Receipt():
            told = json.dumps({"receipt": given.id, "repeated": given.repeated, "left_out": given.left_out}).encode()
            return answer(202, told + b"\n", _JSON, NO_STORE)
        case Stranger():
            return NOT_FOUND
        case Limited():
            return with_headers(TOO_MANY, (b"retry-after", _LIMITED_SECONDS))
    return answer(422, json.dumps({"problem": given.detail}).encode() + b"\n", _JSON, NO_STORE)
