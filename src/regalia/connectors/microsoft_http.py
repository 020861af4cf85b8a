"""Calls with JSON to Microsoft's services: ids of each call, what is too much, and errors without secrets.

Nothing that the other side writes into an error reaches ours but its code and its ids, each in a narrow form: bodies of
errors have been seen to repeat requests, and requests carry tokens and challenges (CHA-4, SSRF-5).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from regalia import reasons
from regalia.errors import AdminError, UnavailableError
from regalia.model.connector import NotAsked
from regalia.ports.outgoing import MOST_OCTETS, OutgoingRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.connectors.pace import Budget
    from regalia.errors import Reason
    from regalia.model.event import JsonValue
    from regalia.ports.outgoing import Outgoing, OutgoingResponse
    from regalia.ports.outside import Clock, Entropy

__all__ = ["Answer", "Call", "CallError", "JsonCalls", "error_code", "read_json", "retry_after"]

_BUSY: Final = frozenset({429, 503, 504})
_PERHAPS_MOVED: Final = (404, 410)
_FIRST_PAUSE: Final = {429: 10.0}
"""Seconds before the second try where no Retry-After tells; each further pause is twice as long."""
_OTHER_PAUSE: Final = 1.0
_LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
"""No database keeps a NUL, and a lone surrogate is no text. A device's user chooses its name, so they are replaced."""
_DIGITS: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Call:
    """One question."""

    what: str
    """For errors: `Intune validateRequest`."""
    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    limit: int = MOST_OCTETS


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status of 2xx or 4xx."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, JsonValue]
    """Empty where a 4xx came with something else than a JSON object."""
    client_request_id: str
    """Ours, which Microsoft calls the activity's id."""
    request_id: str
    """Theirs; empty where none came."""

    def ids(self) -> str:
        """Say both ids, for whoever asks Microsoft."""
        theirs = f", request-id {self.request_id}" if self.request_id else ""
        return f"client-request-id {self.client_request_id}{theirs}"


class CallError(Exception):
    """No usable answer: what the port's method answers. `elsewhere`: the service may have moved."""

    def __init__(self, answer: NotAsked, *, elsewhere: bool = False, status: int = 0, code: int = 0) -> None:
        """`code` is Entra's, where a sign-in was refused with one."""
        super().__init__(str(answer.reason))
        self.answer = answer
        self.elsewhere = elsewhere
        self.status = status
        self.code = code

    @classmethod
    def of(cls, reason: Reason, detail: str) -> CallError:
        """Make one of a reason."""
        return cls(NotAsked(reason, detail))


class JsonCalls:
    """Asks, patiently within a budget."""

    def __init__(self, outgoing: Outgoing, clock: Clock, entropy: Entropy) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._entropy = entropy

    def call(self, call: Call, budget: Budget) -> Answer:
        """Ask until there is an answer of 2xx or 4xx. Raises `CallError`."""
        tried = 0
        while True:
            ours = str(UUID(bytes=self._entropy.octets(16), version=4))
            response = self._exchanged(call, ours, budget)
            if response.status not in _BUSY:
                return _answer(call, response, ours)
            tried += 1
            told = retry_after(response.headers, self._clock)
            pause = self._pause(response.status, tried) if told is None else told.total_seconds()
            if tried >= budget.tries or not budget.allows(pause):
                raise _busy(call, response, ours, pause, told=told is not None)
            budget.pace.wait(pause)

    def _exchanged(self, call: Call, ours: str, budget: Budget) -> OutgoingResponse:
        left = budget.left()
        if left <= 0:
            raise CallError.of(reasons.CONNECTOR_AWAY, f"{call.what}: no time is left for it")
        headers = {"Accept": "application/json", **call.headers, "client-request-id": ours}
        try:
            return self._outgoing.exchange(
                OutgoingRequest(call.method, call.url, headers, call.body, call.limit, timeout=left)
            )
        except (AdminError, UnavailableError) as error:
            untrusted = error.reason is reasons.OUTGOING_UNTRUSTED
            reason = reasons.CONNECTOR_UNTRUSTED if untrusted else reasons.CONNECTOR_AWAY
            # What `net` says names a kind of fault, never what came.
            told = NotAsked(reason, f"{call.what}: {error.detail}")
            raise CallError(told, elsewhere=isinstance(error, UnavailableError)) from None

    def _pause(self, status: int, tried: int) -> float:
        """Double the pause with each try, and spread it by a quarter, so that many nodes do not come back together."""
        spread = 1.0 + self._entropy.octets(1)[0] / 1024
        return _FIRST_PAUSE.get(status, _OTHER_PAUSE) * 2.0 ** (tried - 1) * spread


def _busy(call: Call, response: OutgoingResponse, ours: str, pause: float, *, told: bool) -> CallError:
    later = f", again in {round(pause)} s" if told else ""
    detail = f"{call.what}: HTTP {response.status}{later}, {_ids(response, ours)}"
    answer = NotAsked(reasons.CONNECTOR_BUSY, detail, timedelta(seconds=pause))
    # A service that says when to come back has not moved.
    return CallError(answer, elsewhere=response.status != 429 and not told, status=response.status)


def _answer(call: Call, response: OutgoingResponse, ours: str) -> Answer:
    status = response.status
    where = f"{call.what}: HTTP {status}, {_ids(response, ours)}"
    if status >= 500:
        answer = NotAsked(reasons.CONNECTOR_AWAY, where)
        raise CallError(answer, elsewhere=True, status=status)
    if _is_intercepted(response):
        raise CallError.of(reasons.CONNECTOR_INTERCEPTED, f"{where}, and a page for people")
    if not (200 <= status <= 299 or 400 <= status <= 499):
        raise CallError.of(reasons.CONNECTOR_GARBLED, where)
    body = read_json(response.body)
    if body is None and status <= 299:
        raise CallError.of(reasons.CONNECTOR_GARBLED, f"{where}, and no JSON object")
    theirs = _header_id(response) or _error_id(body or {})
    return Answer(status, response.headers, body or {}, ours, theirs)


def _is_intercepted(response: OutgoingResponse) -> bool:
    """Whether a proxy or a web filter speaks: it asks for its own credential, or shows a page where JSON belongs.

    A gateway of Microsoft's own answers with a page for a path that has moved.
    """
    if response.status == 407:
        return True
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "text/html" and response.status not in _PERHAPS_MOVED


def read_json(octets: bytes) -> dict[str, JsonValue] | None:
    """Read a JSON object; None where it is none. Numbers with a fraction become text, as an event's would."""
    try:
        read = _clean(json.loads(octets, parse_float=str, parse_constant=_never, object_pairs_hook=_once))
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _never(constant: str) -> None:
    raise ValueError(constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what says two things under one name: readers differ in which they believe."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _clean(value: Any) -> JsonValue:  # noqa: ANN401 - it is what a JSON reader gives
    if isinstance(value, str):
        return _UNFIT.sub("\ufffd", value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_UNFIT.sub("\ufffd", name): _clean(each) for name, each in value.items()}
    read: int | bool | None = value
    return read


def retry_after(headers: Mapping[str, str], clock: Clock) -> timedelta | None:
    """Read Retry-After in either form; None where there is none, or it says nothing."""
    text = headers.get("retry-after", "").strip()
    if _DIGITS.fullmatch(text):
        return min(timedelta(seconds=int(text)), _LONGEST_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(timedelta(0), min(at - clock.now(), _LONGEST_RETRY_AFTER))


def error_code(body: Mapping[str, JsonValue]) -> str:
    """Read the code of an error's body; empty where it has none of a code's form."""
    error = body.get("error")
    code = error.get("code") if isinstance(error, dict) else error
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _error_id(body: Mapping[str, JsonValue]) -> str:
    error = body.get("error")
    inner = error.get("innerError") if isinstance(error, dict) else None
    found = inner.get("request-id") if isinstance(inner, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else ""


def _header_id(response: OutgoingResponse) -> str:
    found = response.headers.get("request-id") or response.headers.get("x-ms-request-id") or ""
    return found if _ID.fullmatch(found) else ""


def _ids(response: OutgoingResponse, ours: str) -> str:
    theirs = _header_id(response)
    return f"client-request-id {ours}" + (f", request-id {theirs}" if theirs else "")
