"""What a browser keeps of a session, and what a request must bring to be taken for its own (WEB-3, WEB-5).

Three cookies, all with the prefix that keeps other hosts and plain HTTP from setting them. The session's secret is in
one of them and its SHA-256 in the store; the token in our forms is derived from the secret, so that nobody else's page
knows it. Before there is a session a door secret stands in its place, and never becomes one.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, Final, Literal

from regalia import reasons
from regalia.errors import AdminError
from regalia.verbs import Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.ra.sign_in import Known, SessionDesk
    from regalia.web.answers import Header

__all__ = [
    "CSRF_HEADER",
    "DOOR_COOKIE",
    "SESSION_COOKIE",
    "TRIP_COOKIE",
    "SessionCallers",
    "caller_of",
    "cookie_of",
    "form_token",
    "is_from_us",
    "is_token",
    "kept_cookie",
    "removed_cookie",
]

SESSION_COOKIE: Final = "__Host-regalia"
DOOR_COOKIE: Final = "__Host-regalia-door"
"""What a browser has that nobody is signed in with: forms and challenges are bound to it."""
TRIP_COOKIE: Final = "__Host-regalia-trip"
"""What it keeps while its user is at an identity provider."""
CSRF_HEADER: Final = b"regalia-csrf"

_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{1,4000}")
_LONGEST: Final = 8_192


def cookie_of(headers: Sequence[Header], name: str) -> str:
    """Return a cookie's value; empty where it is not there, not one of ours, or there twice."""
    lines = b"; ".join(value for key, value in headers if key == b"cookie")[:_LONGEST].decode("latin-1")
    found = [value for part in lines.split(";") for key, _, value in [part.strip(" \t").partition("=")] if key == name]
    return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else ""


def kept_cookie(name: str, value: str, *, same_site: Literal["Strict", "Lax"] = "Strict", seconds: int = 0) -> Header:
    """Have a browser keep a cookie: as long as it runs, or for so many seconds."""
    age = f"; Max-Age={seconds}" if seconds else ""
    text = f"{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{age}"
    return b"set-cookie", text.encode("ascii")


def removed_cookie(name: str) -> Header:
    """Have a browser forget a cookie."""
    return b"set-cookie", f"{name}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0".encode("ascii")


def form_token(secret: str) -> str:
    """Derive what our own forms bring from the secret that they are bound to; it does not tell the secret."""
    return hmac.digest(secret.encode(), b"regalia form token", "sha256").hex()


def is_token(secret: str, given: str) -> bool:
    """Whether this is the token of a secret; nothing is the token of no secret."""
    return bool(secret) and hmac.compare_digest(form_token(secret).encode(), given.encode("utf-8", "replace"))


def is_from_us(headers: Sequence[Header], origin: str) -> bool:
    """Whether a request that changes something was sent by a page of ours, as its browser says.

    Sec-Fetch-Site decides; with our Referrer-Policy forms say `Origin: null`. A browser that says neither is refused.
    """
    origins = [value for name, value in headers if name == b"origin"]
    sites = [value for name, value in headers if name == b"sec-fetch-site"]
    ours = origin.encode("ascii")
    if sites:
        return sites == [b"same-origin"] and origins in ([], [b"null"], [ours])
    return origins == [ours]


def caller_of(known: Known, source: str) -> Caller:
    """Say who asks a verb, where somebody who is signed in does."""
    return Caller(known.actor(source), known.grants, known.fresh, administrator=known.administrator.id)


class SessionCallers:
    """See `web.callers.Callers`: knows browsers by their session."""

    def __init__(self, sessions: SessionDesk, origin: str) -> None:
        """`origin` is where our pages are, `https://HOST[:PORT]`."""
        self._sessions = sessions
        self._origin = origin

    def caller(self, headers: Sequence[Header], source: str, *, changes: bool) -> Caller | None:
        """Say who asks; None without the cookie. Raises `AdminError` AUTH-002, AUTH-004."""
        secret = cookie_of(headers, SESSION_COOKIE)
        if not secret:
            return None
        known = self._sessions.known(secret)
        sites = {value for name, value in headers if name == b"sec-fetch-site"}
        if sites - {b"same-origin", b"none"}:
            raise AdminError(reasons.FOREIGN_REQUEST, "another site's page asks")
        if changes:
            self._judge(headers, secret)
        return caller_of(known, source)

    def _judge(self, headers: Sequence[Header], secret: str) -> None:
        """WEB-5: what a foreign page can make a browser send has neither our token nor our content type."""
        tokens = [value.decode("latin-1") for name, value in headers if name == CSRF_HEADER]
        if len(tokens) != 1 or not is_token(secret, tokens[0]) or not is_from_us(headers, self._origin):
            raise AdminError(reasons.FOREIGN_REQUEST, "without the token of its session")
        media = [value.partition(b";")[0].strip().lower() for name, value in headers if name == b"content-type"]
        brings = any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers
        )
        if (brings or media) and media != [b"application/json"]:
            raise AdminError(reasons.FOREIGN_REQUEST, "its body is not application/json")
