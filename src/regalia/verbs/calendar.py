"""Verbs about what ends: a list of it, and addresses that calendars subscribe to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import AuthorityKind, AuthorityState, CertificateKind, Grant, Right, Role, crl_name
from regalia.ports import CertificateFilter
from regalia.ra.findings import STANDING
from regalia.ra.roles import covers, reach_of
from regalia.ra.tokens import LONGEST, NewToken
from regalia.verbs.fields import Name, Span, span_of
from regalia.verbs.verb import Asked, Record, Time, Verb
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import Authority
    from regalia.verbs.verb import Desk

__all__ = [
    "CALENDARS",
    "CREATE",
    "SHOW",
    "VERBS",
    "CalendarShown",
    "CreateCalendar",
    "EndRecord",
    "MadeCalendar",
    "ShowCalendar",
]

CALENDARS: Final = "/calendar/"
"""Below it on the admin listener are the addresses."""
_GONE: Final = frozenset({AuthorityState.RETIRED, AuthorityState.REVOKED})
_MOST: Final = 500
"""Servers whose certificates are ours; those of devices are not told."""
_REST: Final = timedelta(days=30)
"""So long something that ended stays in the list."""


class ShowCalendar(Asked):
    """All that the caller sees."""


class EndRecord(Record):
    """Something that ends."""

    id: Annotated[str, Field(description="The same as long as it is the same: another one once it is replaced.")]
    what: Annotated[str, Field(description="`authority`, `ra`, `ocsp`, `tls` or `root-crl`.")]
    name: str
    group: str | None
    since: Time
    ends_at: Time
    renews: Annotated[bool, Field(description="Whether it is renewed without anybody, as long as the server runs.")]
    path: Annotated[str, Field(description="Its page of the console.")]


class CalendarShown(Record):
    """What ends, the first first."""

    ends: tuple[EndRecord, ...]


class CreateCalendar(Asked):
    """Whose calendar, and how long."""

    name: Name
    ttl: Span = "366d"


class MadeCalendar(Record):
    """An address that calendars subscribe to."""

    id: UUID
    name: Annotated[str, Field(description="What `token.list` calls it, and `token.revoke` revokes.")]
    address: Annotated[str, Field(description="Whoever has it reads the calendar: shown once, and kept nowhere.")]
    expires_at: Time


def show_calendar(desk: Desk, asked: ShowCalendar) -> CalendarShown:
    """List authorities, our own credentials, servers' certificates and roots' CRLs, of what the caller sees."""
    del asked
    ends = [each for each in _ends(desk) if each.group in desk.reach and each.ends_at > desk.now() - _REST]
    return CalendarShown(ends=tuple(sorted(ends, key=lambda each: (each.ends_at, each.id))))


def _ends(desk: Desk) -> Iterator[EndRecord]:
    store = desk.services.store
    for authority in store.authorities():
        if authority.state in _GONE:
            continue
        facts = read_certificate(authority.certificate_der)
        path = f"/authorities/{authority.name}"
        yield EndRecord(
            id=f"authority-{authority.name}-{facts.serial:x}",
            what="authority",
            name=authority.name,
            group=authority.group,
            since=facts.not_before,
            ends_at=facts.not_after,
            renews=False,
            path=path,
        )
        yield from _credentials(desk, authority, path)
        last = store.last_crl(crl_name(authority.name)) if authority.kind is AuthorityKind.ROOT else None
        if last is not None:
            yield EndRecord(
                id=f"crl-{authority.name}-{last.number}",
                what="root-crl",
                name=authority.name,
                group=authority.group,
                since=last.this_update,
                ends_at=last.next_update,
                renews=False,
                path=path,
            )
    yield from _servers(desk)


def _credentials(desk: Desk, authority: Authority, path: str) -> Iterator[EndRecord]:
    for purpose in STANDING[authority.state]:
        for credential in desk.services.store.credentials(purpose, authority.name)[:1]:
            yield EndRecord(
                id=f"{purpose.value}-{authority.name}-{credential.id}",
                what=purpose.value,
                name=authority.name,
                group=authority.group,
                since=credential.not_before,
                ends_at=credential.not_after,
                renews=True,
                path=path,
            )


def _servers(desk: Desk) -> Iterator[EndRecord]:
    """Tell the newest certificate of each of our servers."""
    wanted = CertificateFilter(kind=CertificateKind.TLS, live_at=desk.now() - _REST, limit=_MOST)
    seen: set[str] = set()
    for each in desk.services.store.certificates(wanted):
        if each.revocation is None and each.intent.subject not in seen:
            seen.add(each.intent.subject)
            yield EndRecord(
                id=f"tls-{each.serial:x}",
                what="tls",
                name=each.intent.subject.removeprefix("CN="),
                group=each.intent.group,
                since=each.intent.not_before,
                ends_at=each.intent.not_after,
                renews=True,
                path=f"/certificates/{each.serial:x}",
            )


# --- addresses ------------------------------------------------------------------------------------------------------


def create_calendar(desk: Desk, asked: CreateCalendar) -> MadeCalendar:
    """Make an address. It reads the calendar and nothing else; it ends with its owner's rights, and by `token.revoke`.

    Raises `AdminError`: ADM-003 the name is taken, ADM-071 without the right to read, ADM-072 how long.
    """
    made = desk.services.tokens.create(_wanted(desk, asked), actor=desk.actor, bound=desk.caller.grants)
    address = f"{desk.services.practice.admin_url}{CALENDARS}{made.secret}.ics"
    return MadeCalendar(id=made.token.id, name=made.token.name, address=address, expires_at=made.token.expires_at)


def _wanted(desk: Desk, asked: CreateCalendar) -> NewToken:
    if desk.caller.program:
        raise AdminError(reasons.GRANT_TOO_MUCH, "a calendar is a person's: a program reads calendar.show")
    reach = reach_of(desk.caller.grants, Right.READ)
    reading = next((each for each in _READING if covers(desk.caller.grants, [Grant(each, reach)])), None)
    grants = (Grant(reading, reach),) if reading is not None else desk.caller.grants
    return NewToken(asked.name, grants, span_of(asked.ttl, "ttl"), desk.caller.administrator, calendar=True)


_READING: Final = (Role.HELPDESK_READ_ONLY, Role.OPERATOR_READ_ONLY)
"""Roles that read, the least first."""


def _plan_create(desk: Desk, asked: CreateCalendar) -> tuple[str, ...]:
    wanted = _wanted(desk, asked)
    return (f"make an address {wanted.name} whose bearer reads what ends, good for {asked.ttl}",)


SHOW = Verb(
    "calendar.show",
    "GET",
    "/calendar",
    Right.READ,
    ShowCalendar,
    CalendarShown,
    show_calendar,
    "Show when authorities, our own credentials, servers' certificates and roots' CRLs end.",
)
CREATE = Verb(
    "calendar.create",
    "POST",
    "/calendars",
    Right.OWN,
    CreateCalendar,
    MadeCalendar,
    create_calendar,
    f"Make an address that a calendar subscribes to, for at most {LONGEST.days} days; it is shown once.",
    plan=_plan_create,
    fresh=True,
    secret=True,
)

VERBS = (SHOW, CREATE)
