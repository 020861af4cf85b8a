"""What the pages at the administrators' door have in common: what stands behind them, and how they refuse."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from regalia import reasons
from regalia.ra.break_glass import Wait
from regalia.ra.sign_in import SECRET_OCTETS, secret_text
from regalia.web.answers import NO_STORE, Answer, answer
from regalia.web.rendering import page
from regalia.web.sessions import DOOR_COOKIE, SESSION_COOKIE, form_token, kept_cookie, removed_cookie

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from regalia.errors import AdminError, RegaliaError
    from regalia.ports import Clock, Entropy, Sealer
    from regalia.ra.api_limits import ApiLimits
    from regalia.ra.break_glass import BreakGlass
    from regalia.ra.oidc import OidcDesk
    from regalia.ra.passkeys import PasskeyDesk
    from regalia.ra.setting_up import SetUpDesk
    from regalia.ra.sign_in import Doorkeeper, Known, Opened, SessionDesk
    from regalia.verbs import Services
    from regalia.web.answers import Header
    from regalia.web.reader import Reader
    from regalia.web.visit import Visit
    from regalia.words import Words

__all__ = [
    "Backing",
    "Framed",
    "again_path",
    "door_page",
    "entered",
    "json_answer",
    "new_door",
    "onward",
    "problem_of",
    "question_answer",
    "refused_json",
    "refused_page",
    "script_words",
    "see_other",
    "status_of",
]

_STATUS: Final = {
    reasons.SIGN_IN_LATER: 429,
    reasons.SESSION_OVER: 401,
    reasons.PROVIDER_UNREACHABLE: 503,
    reasons.PASSWORD_REFUSED: 400,
    reasons.ACCOUNT_NAME_REFUSED: 400,
    reasons.LAST_WAY_IN: 409,
}
_TOLD: Final = frozenset({reasons.PASSWORD_REFUSED, reasons.ROUND_TRIP_REFUSED})
"""Whose detail is our own words about what the reader did; every other one is for the log."""


@dataclass(frozen=True, slots=True)
class Framed:
    """A page for somebody who is signed in, before it stands in the console's frame."""

    template: str
    """The console's, which also knows its title."""
    values: Mapping[str, object] = field(default_factory=dict)
    error: RegaliaError | None = None
    """What was refused, told with its details: the reader is known."""
    status: int = 200
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind the pages."""

    admin_url: str
    """Where administrators find us, `https://HOST[:PORT]` (WEB-9)."""
    sessions: SessionDesk
    passkeys: PasskeyDesk
    break_glass: BreakGlass
    oidc: OidcDesk
    set_up: SetUpDesk
    doorkeeper: Doorkeeper
    sealer: Sealer
    clock: Clock
    entropy: Entropy
    services: Services
    """What verbs use, for the pages that ask them as the API does."""
    limits: ApiLimits
    """How much one caller may ask of verbs, by a page or by the API."""
    framing: Callable[[Backing, Visit, Known, Framed], Answer]
    """Puts pages of somebody who is signed in into the console's frame."""

    @property
    def host(self) -> str:
        """Host and port of the admin URL, for people and for the Host header."""
        return urlsplit(self.admin_url).netloc

    def framed(self, visit: Visit, known: Known, given: Framed) -> Answer:
        """Show a page to somebody who is signed in."""
        return self.framing(self, visit, known, given)


def new_door(backing: Backing, visit: Visit) -> tuple[str, tuple[Header, ...]]:
    """Return the browser's door secret, and the cookie to set where it had none."""
    if visit.door:
        return visit.door, ()
    secret = secret_text(backing.entropy.octets(SECRET_OCTETS))
    return secret, (kept_cookie(DOOR_COOKIE, secret),)


def door_page(
    backing: Backing,
    visit: Visit,
    template: str,
    *headers: Header,
    error: AdminError | None = None,
    **values: object,
) -> Answer:
    """Render a page whose forms are bound to the browser's door."""
    secret, cookies = new_door(backing, visit)
    problem, status = None, 200
    if error is not None:
        problem, status = problem_of(visit.reader.words, error), status_of(error)
        headers = (*headers, *_retry(error))
    values = {"token": form_token(secret), "problem": problem, **values}
    return _page(backing, visit.reader, template, *cookies, *headers, status=status, **values)


def _page(
    backing: Backing, reader: Reader, template: str, *headers: Header, status: int = 200, **values: object
) -> Answer:
    said = script_words(reader.words)
    return page(template, reader, *headers, status=status, host=backing.host, said=said, **values)


def entered(opened: Opened, following: str, *, as_json: bool) -> Answer:
    """Give a browser its session, take what it had before, and send it on."""
    cookies = (kept_cookie(SESSION_COOKIE, opened.secret), removed_cookie(DOOR_COOKIE))
    return json_answer(200, {"next": following}, *cookies) if as_json else see_other(following, *cookies)


def see_other(path: str, *headers: Header) -> Answer:
    """Send a browser to a path of ours, with GET."""
    return answer(303, b"", b"text/plain; charset=utf-8", NO_STORE, (b"location", path.encode("ascii")), *headers)


def onward(backing: Backing, reader: Reader, title: str, lead: str, url: str, *headers: Header) -> Answer:
    """Send a browser on by a page, so that the next request is one of ours (SameSite) or no form's (form-action)."""
    return _page(backing, reader, "onward.html", *headers, title=title, lead=lead, url=url, problem=None)


def json_answer(status: int, document: object, *headers: Header) -> Answer:
    """Answer a script of ours."""
    return answer(status, json.dumps(document).encode(), b"application/json", NO_STORE, *headers)


def question_answer(options: str) -> Answer:
    """Give a script of ours what the browser is to be asked."""
    return answer(200, options.encode(), b"application/json", NO_STORE)


def problem_of(words: Words, error: AdminError) -> dict[str, str]:
    """Say what happened and what to do, in words that tell a stranger nothing (IN-2)."""
    reason = error.reason
    what = words(error.detail if reason in _TOLD and error.detail else reason.title)
    if isinstance(error, Wait):
        then = words("Try again in %(length)s, or use a passkey.") % {"length": words.span(_rounded(error.seconds))}
    else:
        then = words(reason.remedy).replace("`", "")
    return {"what": f"{what[:1].upper()}{what[1:]}.", "then": then, "id": reason.id}


def status_of(error: AdminError) -> int:
    """Say with which number an error is answered."""
    return _STATUS.get(error.reason, 403)


def refused_json(words: Words, error: AdminError, following: str = "") -> Answer:
    """Refuse a script of ours; `following` is where the browser has to go first."""
    document = {"problem": problem_of(words, error)} | ({"next": following} if following else {})
    return json_answer(status_of(error), document, *_retry(error))


def refused_page(
    backing: Backing, reader: Reader, error: AdminError, back: str, back_words: str, *headers: Header
) -> Answer:
    """Refuse a person."""
    return _page(
        backing,
        reader,
        "refused.html",
        *headers,
        *_retry(error),
        status=status_of(error),
        title=reader.words("This did not work"),
        problem=problem_of(reader.words, error),
        back=back,
        back_words=back_words,
    )


def script_words(words: Words) -> dict[str, tuple[str, str] | str]:
    """List what the door's script says of itself: what happened and what to do, by the browser's name of it."""
    return {
        "NotAllowedError": (
            words("The passkey was not used."),
            words("It was cancelled or took too long; nothing has changed."),
        ),
        "InvalidStateError": (
            words("This authenticator has a passkey for this account already."),
            words("Use another one."),
        ),
        "SecurityError": (
            words("This address cannot have passkeys."),
            words("Open the page under the address that admin.url names; an IP address has none."),
        ),
        "other": (words("The browser could not use the passkey."), ""),
        "unexpected": (words("The server did not answer as expected."), words("Try again in a minute.")),
        "meaning": words("What %(id)s means"),
    }


def again_path(following: str, door: str = "/sign-in/again") -> str:
    """Say where somebody proves (anew) who they are, on the way to a path."""
    return f"{door}?next={quote(following, safe='/')}"


def _retry(error: AdminError) -> tuple[Header, ...]:
    return ((b"retry-after", b"%d" % error.seconds),) if isinstance(error, Wait) else ()


def _rounded(seconds: int) -> timedelta:
    """Seconds below two minutes, else whole minutes, none too few."""
    return timedelta(seconds=seconds if seconds < 120 else -(-seconds // 60) * 60)
