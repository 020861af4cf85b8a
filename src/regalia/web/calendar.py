"""`/calendar/SECRET.ics`: what ends, for calendars, which bring nothing but an address (RFC 5545).

The secret stands in the path, since a calendar sends no header. It opens this and nothing else, and is no token of the
API; a stranger is told as much as of a path that is not there.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from regalia.errors import AdminError
from regalia.ra.tokens import bearer_of_calendar
from regalia.verbs import Caller, ask
from regalia.verbs.calendar import CALENDARS, SHOW, ShowCalendar
from regalia.web.answers import NO_STORE, NOT_FOUND, TOO_MANY, answer, with_headers
from regalia.web.conditional import etag_of, unless_known
from regalia.web.scep import peer_address
from regalia.wire.icalendar import CalendarEntry, calendar_octets

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from regalia.ra.api_limits import ApiLimits
    from regalia.ra.limits import Limited
    from regalia.verbs.calendar import EndRecord
    from regalia.verbs.services import Services
    from regalia.web.answers import Answer
    from regalia.web.pool import Pool

__all__ = ["PATH", "CalendarFace"]

PATH: Final = CALENDARS.rstrip("/")
_ENDING: Final = ".ics"
_MEDIA: Final = b"text/calendar; charset=utf-8"
_REMINDERS: Final = {"authority": 90}
_REMINDER: Final = 30
"""Days before the end of what nobody renews by itself."""
_WHAT: Final = {
    "authority": "Authority {} ends",
    "ra": "RA certificate of {} ends",
    "ocsp": "OCSP certificate of {} ends",
    "tls": "Certificate of server {} ends",
    "root-crl": "CRL of {} ends",
}
_DO: Final = {
    "authority": "What it issues ends with it. Make its successor in time.",
    "root-crl": "Publish the next one with the root's key.",
}
_BY_ITSELF: Final = "It is renewed by itself as long as the server runs."


class CalendarFace:
    """Serves every path below `/calendar/`."""

    def __init__(self, services: Services, limits: ApiLimits, pool: Pool) -> None:
        self._services = services
        self._limits = limits
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name, source = scope["path"].removeprefix(CALENDARS), peer_address(scope)
        # What fails from here on is logged with its path.
        scope["path"] = PATH
        scope["raw_path"] = PATH.encode()
        given = NOT_FOUND
        if name.endswith(_ENDING):
            given = await self._pool.run(lambda: self._answered(name.removesuffix(_ENDING), source))
        await unless_known(scope, given)(scope, receive, send)

    def _answered(self, secret: str, source: str) -> Answer:
        now = self._services.clock.now()
        limited = self._limits.arrival(source, now)
        if limited is not None:
            return _later(limited)
        try:
            bearer = bearer_of_calendar(self._services.store, secret, now=now, source=source)
            limited = self._limits.request(bearer.actor.id, source, now)
            if limited is not None:
                return _later(limited)
            caller = Caller(bearer.actor, bearer.grants, administrator=bearer.administrator, program=True)
            shown = ask(SHOW, self._services, caller, ShowCalendar())
        except AdminError:
            self._limits.refused(source, now)
            return NOT_FOUND
        url = self._services.practice.admin_url
        host = urlsplit(url).hostname or "localhost"
        octets = calendar_octets(
            f"Regalia, {host}", "-//Regalia//Expiries//EN", (_entry(each, url, host) for each in shown.ends)
        )
        return answer(200, octets, _MEDIA, NO_STORE, etag_of(hashlib.sha256(octets).hexdigest()))


def _later(limited: Limited) -> Answer:
    return with_headers(TOO_MANY, (b"retry-after", b"%d" % limited.retry_after))


def _entry(end: EndRecord, url: str, host: str) -> CalendarEntry:
    return CalendarEntry(
        uid=f"{end.id}@{host}",
        stamp=end.since,
        at=end.ends_at,
        summary=_WHAT[end.what].format(end.name),
        description=_BY_ITSELF if end.renews else _DO[end.what],
        url=url + end.path,
        reminder_days=0 if end.renews else _REMINDERS.get(end.what, _REMINDER),
    )
