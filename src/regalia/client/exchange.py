"""Asking a SCEP server over HTTP with patience: what is sent again, after how long, and what is given up.

Equal octets are one conversation (R3), so a message may be sent again as often as it takes.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from regalia import reasons
from regalia.errors import PeerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.client.transport import HttpAnswer, Transport

__all__ = ["LONGEST_PAUSE", "TRIES", "Exchange"]

TRIES: Final = 4
"""How often one thing is asked while the server says 429 or 503, or its answer is lost."""
LONGEST_PAUSE: Final = 60
"""Seconds: a server that counts by the minute asks for no more. One that asks for more is not waited for."""
_PAUSE: Final = 2
"""Seconds to wait where the server does not say."""
_LATER: Final[dict[int, str]] = {
    HTTPStatus.TOO_MANY_REQUESTS: "the server says that it was asked too often (429)",
    HTTPStatus.SERVICE_UNAVAILABLE: "the server is busy (503)",
}


class Exchange:
    """One SCEP URL. `pause` waits a number of seconds; `progress` hears of each pause, in words."""

    def __init__(
        self, url: str, transport: Transport, pause: Callable[[float], None], progress: Callable[[str], None]
    ) -> None:
        self._url = url.rstrip("?&")
        self._transport = transport
        self._pause = pause
        self._progress = progress

    def ask(self, operation: str) -> bytes:
        """Ask for GetCACaps or GetCACert. Raises `UnavailableError` CLI-001 or CLI-002, `PeerError` CLI-002."""
        # A lost answer costs nothing here, and a wrong address is its likeliest cause: that is told at once.
        return self._until_answered(operation, self._target(operation), None, again_when_lost=False)

    def send(self, message: bytes, *, post: bool) -> bytes:
        """Send a message, by POST or in the URL. Raises what `ask` raises."""
        operation = "PKIOperation"
        target = self._target(operation)
        if not post:
            target += f"&message={quote(base64.b64encode(message).decode('ascii'), safe='')}"
        return self._until_answered(operation, target, message if post else None, again_when_lost=True)

    def _target(self, operation: str) -> str:
        return f"{self._url}{'&' if '?' in self._url else '?'}operation={operation}"

    def _until_answered(self, operation: str, target: str, body: bytes | None, *, again_when_lost: bool) -> bytes:
        answer = self._attempt(target, body)
        for _ in range(TRIES - 1):
            seconds = _pause_after(answer, again_when_lost=again_when_lost)
            if seconds is None:
                break
            told = "no answer came" if isinstance(answer, UnavailableError) else _LATER[answer.status]
            self._progress(f"{told}; trying again in {seconds} s")
            self._pause(seconds)
            answer = self._attempt(target, body)
        if isinstance(answer, UnavailableError):
            raise answer
        _check_status(answer, operation)
        return answer.body

    def _attempt(self, target: str, body: bytes | None) -> HttpAnswer | UnavailableError:
        """Exchange once. A message may have arrived although its answer was lost: that is for the caller to judge."""
        try:
            return self._transport.exchange(target, body)
        except UnavailableError as lost:
            return lost


def _pause_after(answer: HttpAnswer | UnavailableError, *, again_when_lost: bool) -> int | None:
    """Seconds until the same is asked again; None where it is not."""
    if isinstance(answer, UnavailableError):
        return _PAUSE if again_when_lost else None
    if answer.status not in _LATER:
        return None
    seconds = _PAUSE if answer.retry_after is None else answer.retry_after
    return seconds if seconds <= LONGEST_PAUSE else None


def _check_status(answer: HttpAnswer, operation: str) -> None:
    if answer.status == HTTPStatus.OK:
        return
    detail = f"{answer.status} to {operation}"
    if answer.status in _LATER:
        long = answer.retry_after is not None and answer.retry_after > LONGEST_PAUSE
        detail += f", not to be asked again for {answer.retry_after} s" if long else f", {TRIES} times"
        raise UnavailableError(reasons.CLIENT_HTTP_REFUSED, detail)
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        detail += "; redirects are not followed: give the final URL"
    raise PeerError(reasons.CLIENT_HTTP_REFUSED, detail)
