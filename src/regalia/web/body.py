"""Reading a request's body within its limit, whether its length was announced or not (RES-1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope

__all__ = ["read_body"]

_DRAINED = 262_144
"""Octets beyond the limit that are read and dropped, so that a client that sends before it reads sees our answer."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Return the body, or None where it is longer than `limit` octets. Raises `ClientDisconnect`.

    A body that is announced as too long by far is not waited for; whoever asked with Expect: 100-continue is not told
    to go on. No more than `limit` octets and one network read are ever held.
    """
    headers = dict(scope["headers"])
    announced = _announced(headers.get(b"content-length", b""))
    if announced > limit and (announced > limit + _DRAINED or b"expect" in headers):
        return None
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")  # nearly every body comes in one piece
        return whole if len(whole) <= limit else None
    return await _joined(message, receive, limit)


async def _joined(message: Message, receive: Receive, limit: int) -> bytes | None:
    body = bytearray()
    octets = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        octets += len(chunk)
        if octets <= limit:
            body += chunk
        else:
            body.clear()
        if not message.get("more_body", False) or octets > limit + _DRAINED:
            return bytes(body) if octets <= limit else None
        message = await receive()


def _announced(value: bytes) -> int:
    # The server has refused what is no number; more than twelve digits are too many whatever they say.
    return int(value[:12]) if value.isdigit() else 0
