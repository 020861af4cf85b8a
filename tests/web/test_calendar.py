"""The calendar of what ends: an address of its own, what it shows, and to whom it is nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from regalia.errors import AdminError
from regalia.model import Actor, ActorKind, CertificateKind, Grant, Reach, Role, new_id
from regalia.ra.api_limits import ApiLimits
from regalia.ra.limits import Allowances
from regalia.ra.roles import EVERYTHING
from regalia.ra.tokens import bearer_of_token
from regalia.reasons import CREDENTIALS_REFUSED, GRANT_TOO_MUCH
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import calendar as verbs
from regalia.verbs import token as tokens
from regalia.web.calendar import CalendarFace
from store.samples import an_intent
from web.asgi import ask
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from regalia.verbs.calendar import MadeCalendar
    from regalia.web.pool import Pools
    from web.asgi import Heard


@pytest.fixture
def world() -> World:
    """Return a system with two groups."""
    made = World()
    made.open_group("other")
    return made


@pytest.fixture
def face(world: World, pools: Pools) -> CalendarFace:
    """Return what serves calendars."""
    return CalendarFace(world, ApiLimits(world.store, Allowances(wrong_tokens_per_source=3)), pools.status)


def door(world: World, *groups: str) -> LocalDoor:
    """Return the door of somebody who may do everything, or of a reader of groups."""
    grants = (Grant(Role.OPERATOR_READ_ONLY, Reach(frozenset(groups))),) if groups else EVERYTHING
    return LocalDoor(world, Caller(ADMIN, grants, fresh=True, local=not groups))


def make(world: World, *groups: str) -> MadeCalendar:
    """Make an address."""
    return door(world, *groups).ask(verbs.CREATE, verbs.CreateCalendar(name="mine"))


def get(face: CalendarFace, address: str, source: str = "192.0.2.1") -> Heard:
    """Ask as a calendar does."""
    return ask(face, urlsplit(address).path, source=source)


def test_a_calendar_shows_what_ends(world: World, face: CalendarFace) -> None:
    """Authorities and credentials of ours stand in it, each once, with UIDs that the next look has as well."""
    address = make(world).address
    heard = get(face, address)
    assert (heard.status, heard.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    text = heard.body.decode().replace("\r\n ", "")
    ends = door(world).ask(verbs.SHOW, verbs.ShowCalendar()).ends
    assert {each.what for each in ends} == {"authority", "ra", "ocsp"}
    assert text.count("BEGIN:VEVENT\r\n") == len(ends)
    for each in ends:
        assert text.count(f"UID:{each.id}@") == 1
        assert f"DTSTART:{each.ends_at:%Y%m%dT%H%M%SZ}" in text
    assert "SUMMARY:Authority default-ca-1 ends" in text
    world.clock.advance(timedelta(hours=6))
    assert get(face, address).body == heard.body


def test_a_server_is_in_it_and_no_device(world: World, face: CalendarFace) -> None:
    """A server's newest certificate is an entry, whose hostile name stays a text; no certificate of a device is."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    hostile = "CN=radius\r\nEND:VEVENT\r\nATTACH:file"
    for number in (1, 2):
        world.clock.advance(timedelta(minutes=1))
        intent = replace(
            an_intent(number),
            id=new_id(world.clock.now(), bytes(10)),
            kind=CertificateKind.TLS,
            subject=hostile,
            group="default",
            not_after=world.clock.now() + timedelta(days=60),
        )
        world.store.begin(intent, ())
        assert world.store.finish(intent.id, b"der", world.clock.now(), ())
    told = [each for each in door(world).ask(verbs.SHOW, verbs.ShowCalendar()).ends if each.what == "tls"]
    assert [each.ends_at for each in told] == [world.clock.now() + timedelta(days=60)]
    octets = get(face, make(world).address).body.replace(b"\r\n ", b"")
    assert b"SUMMARY:Certificate of server radius\\nEND:VEVENT\\nATTACH:file ends\r\n" in octets
    assert b"laptop-1" not in octets


def test_an_address_reads_ones_groups(world: World, face: CalendarFace) -> None:
    """AUTHZ-4: what its owner does not see is not in it, roots among it."""
    text = get(face, make(world, "other").address).body.decode()
    assert "other-ca-1" in text
    assert "default-ca-1" not in text
    assert "Authority root" not in text


def test_an_address_opens_nothing_else(world: World, face: CalendarFace) -> None:
    """AUTHZ-7: its secret is no token of the API, and a token of the API is no address."""
    secret = urlsplit(make(world).address).path.removeprefix("/calendar/").removesuffix(".ics")
    with pytest.raises(AdminError) as raised:
        bearer_of_token(world.store, secret, now=world.clock.now(), source="192.0.2.1")
    assert raised.value.reason is CREDENTIALS_REFUSED
    token = door(world).ask(tokens.CREATE, tokens.CreateToken(name="program")).secret
    assert get(face, f"/calendar/{token}.ics").status == 404
    assert secret not in json.dumps([each.draft.details for each in world.store.events_about(["token:mine"])[0]])


def test_an_address_is_revoked(world: World, face: CalendarFace) -> None:
    """Whoever revokes its token ends the address; after its time it ends by itself. Both are as if it never was."""
    made = make(world)
    assert get(face, made.address).status == 200
    world.clock.advance(timedelta(days=367))
    assert get(face, made.address).status == 404
    again = door(world).ask(verbs.CREATE, verbs.CreateCalendar(name="again"))
    assert get(face, again.address, "192.0.2.2").status == 200
    door(world).ask(tokens.REVOKE, tokens.NameToken(token_id=str(again.id)))
    refused = get(face, again.address, "192.0.2.2")
    assert (refused.status, refused.body) == (404, get(face, "/calendar/nothing.ics", "192.0.2.2").body)


def test_a_secret_is_not_left_in_the_request(world: World, face: CalendarFace) -> None:
    """What stands around the face, and writes a request's path into a log where it fails, sees no secret in it."""
    address, seen = make(world).address, []

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        await face(scope, receive, send)
        seen.extend([scope["path"], scope["raw_path"]])

    assert ask(around, urlsplit(address).path).status == 200
    assert seen == ["/calendar", b"/calendar"]


def test_a_stranger_guesses_few_times(world: World, face: CalendarFace) -> None:
    """RES-5: an address that asks for calendars that are not there has to wait; others do not."""
    address = make(world).address
    for _ in range(3):
        assert get(face, "/calendar/rgc_nothing.ics").status == 404
    assert get(face, address).status == 429
    assert get(face, address, "192.0.2.7").status == 200


def test_a_program_makes_none(world: World) -> None:
    """A token cannot make an address that would outlive what it was given."""
    program = Caller(Actor(ActorKind.ADMIN, "token:program"), EVERYTHING, program=True, fresh=True)
    with pytest.raises(AdminError) as raised:
        LocalDoor(world, program).ask(verbs.CREATE, verbs.CreateCalendar(name="mine"))
    assert raised.value.reason is GRANT_TOO_MUCH
