"""Who asks: the port between the faces of the admin listener and what knows tokens and sessions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from regalia import reasons
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.verbs import Caller
    from regalia.web.answers import Header

__all__ = ["Callers", "FirstKnown", "TokenCallers"]

_BEARER: Final = re.compile(rb"[Bb]earer +([A-Za-z0-9._~+/=-]{1,512})")
"""RFC 6750 §2.1."""


class Callers(Protocol):
    """Knows callers by what their requests bring: a token in `authorization`, a session in `cookie`."""

    def caller(self, headers: Sequence[Header], source: str, *, changes: bool) -> Caller | None:
        """Say who asks; None where the request brings nothing of the kind that is known here.

        `headers` are those of the request, names in lower case; `source` is the socket peer's address; `changes` says
        that the request would change something, so that what a browser sends by itself is not enough (WEB-5).

        Raises `AdminError`: API-001 for credentials that are unknown, ended or revoked, which a stranger is told no
        more about; AUTH-xxx where they are known and not enough for this request, which is 403. `UnavailableError`
        where the store does not answer. May be slow: it is called in a thread.
        """


class FirstKnown:
    """Several kinds of credentials, tried one after the other; the first that the request brings decides."""

    def __init__(self, *kinds: Callers) -> None:
        self._kinds = kinds

    def caller(self, headers: Sequence[Header], source: str, *, changes: bool) -> Caller | None:
        """Say who asks."""
        for kind in self._kinds:
            caller = kind.caller(headers, source, changes=changes)
            if caller is not None:
                return caller
        return None


class TokenCallers:
    """Knows callers by the token in `authorization` (AUTHZ-7)."""

    def __init__(self, look_up: Callable[[str, str], Caller | None]) -> None:
        """`look_up` takes a token and the source's address; None for a token that is not valid."""
        self._look_up = look_up

    def caller(self, headers: Sequence[Header], source: str, *, changes: bool) -> Caller | None:
        """Say whose token it is; no browser sends one by itself, so it is enough for changes."""
        del changes
        found = [value for name, value in headers if name == b"authorization"]
        if not found:
            return None
        token = _BEARER.fullmatch(found[0])
        caller = self._look_up(token[1].decode(), source) if token is not None and len(found) == 1 else None
        if caller is None:
            raise AdminError(reasons.CREDENTIALS_REFUSED)
        return caller
