"""Verbs about one certificate: what others are told of it, by the answers themselves, and its life."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.reasons import NOT_FOUND
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import certificate_end as ends
from regalia.verbs import certificate_status as verbs
from regalia.verbs.certificate import LIST as CERTIFICATES
from regalia.verbs.certificate import KindAsked, ListCertificates
from regalia.verbs.certificate_status import What
from regalia.verbs.fields import ReasonName
from world import ADMIN, Device, World, names, rsa_key

if TYPE_CHECKING:
    from regalia.verbs.certificate_status import CertificateStatus, HappeningRecord


@pytest.fixture
def world() -> World:
    """Return a system whose CRL is published, and a device with a certificate."""
    made = World()
    made.clock.advance(timedelta(minutes=1))
    Device(made).enrol(names("laptop-1"), made.mint("laptop-1", device="INV-1"))
    publish(made)
    return made


def publish(world: World) -> None:
    """Publish what changed."""
    world.clock.advance(timedelta(minutes=1))
    world.crls.publish("default-ca-1")


def door(world: World, *groups: str) -> LocalDoor:
    """Return the door of somebody who may do everything, or of a reader of groups."""
    grants = (Grant(Role.OPERATOR_READ_ONLY, Reach(frozenset(groups))),) if groups else EVERYTHING
    return LocalDoor(world, Caller(ADMIN, grants, fresh=True, local=not groups))


def serials(world: World, kind: KindAsked = KindAsked.LEAF) -> list[str]:
    """Return the serials of certificates, newest first."""
    return [each.serial for each in door(world).ask(CERTIFICATES, ListCertificates(kind=kind, all=True)).items]


def status(world: World, serial: str) -> CertificateStatus:
    """Ask what others are told."""
    return door(world).ask(verbs.STATUS, verbs.OneCertificate(serial=serial))


def life(world: World, serial: str) -> tuple[HappeningRecord, ...]:
    """Ask what happened."""
    return door(world).ask(verbs.LIFE, verbs.OneCertificate(serial=serial)).life


def test_others_are_told_what_is_true_and_when_it_was_said(world: World) -> None:
    """REV-1, REV-2: OCSP follows a hold at once, the CRL with its next issue; both say until when they are good."""
    (serial,) = serials(world)
    told, now = status(world, serial), world.clock.now()
    assert told.ocsp is not None
    assert (told.ocsp.answer, told.ocsp.reason, told.ocsp.since) == ("good", None, None)
    assert told.ocsp.next_update == now.replace(microsecond=0) + timedelta(minutes=10)
    assert [(each.name, each.delta, each.listed) for each in told.crls] == [("default-ca-1", False, False)]
    door(world).ask(ends.HOLD, ends.HoldCertificate(serial=serial, note="lost"))
    world.ocsp.drop("default-ca-1", int(serial, 16))
    told = status(world, serial)
    assert told.ocsp is not None
    assert (told.ocsp.answer, told.ocsp.reason) == ("revoked", "certificate-hold")
    assert [each.listed for each in told.crls] == [False]
    publish(world)
    (crl,) = status(world, serial).crls
    assert (crl.listed, crl.reason, crl.since) == (True, "certificate-hold", told.ocsp.since)
    door(world).ask(ends.REVOKE, ends.RevokeCertificate(serial=serial, reason=ReasonName.SUPERSEDED))
    publish(world)
    (crl,) = status(world, serial).crls
    assert (crl.listed, crl.reason) == (True, "superseded")


def test_an_answer_is_the_one_that_is_remembered(world: World) -> None:
    """What is told is what a device is told by this process, with the age that the answer has."""
    (serial,) = serials(world)
    first = status(world, serial).ocsp
    world.clock.advance(timedelta(minutes=2))
    again = status(world, serial)
    assert again.ocsp == first
    assert again.asked_at == world.clock.now()


def test_a_root_has_a_crl_alone(world: World) -> None:
    """Of what a root issued no OCSP speaks, and nothing is published before its CRL is."""
    (serial,) = serials(world, KindAsked.ISSUING)
    told = status(world, serial)
    assert (told.ocsp, told.crls) == (None, ())


def test_a_life_is_told_from_the_request_to_the_end(world: World) -> None:
    """What happened to a certificate stands in the order of time, the newest first, with who did it and why."""
    (serial,) = serials(world)
    for note in ("lost", "found"):
        world.clock.advance(timedelta(hours=1))
        if note == "lost":
            door(world).ask(ends.HOLD, ends.HoldCertificate(serial=serial, note=note))
        else:
            door(world).ask(ends.RELEASE, ends.ReleaseCertificate(serial=serial, note=note))
    world.clock.advance(timedelta(hours=1))
    door(world).ask(ends.REVOKE, ends.RevokeCertificate(serial=serial, reason=ReasonName.SUPERSEDED))
    told = life(world, serial)
    assert [each.what.value for each in told] == ["revoked", "released", "held", "issued", "validated", "requested"]
    assert [each.note for each in told][:3] == ["by os:tester: superseded", "by os:tester: found", "by os:tester: lost"]
    assert "default-ca-1" in told[3].note
    assert [each.at for each in told] == sorted((each.at for each in told), reverse=True)


def test_a_renewal_is_told_on_both_sides(world: World) -> None:
    """REN-1: the old certificate names the one that came of it, the new one that which it renewed."""
    device = Device(world, rsa_key(1)).fresh("transaction-2")
    device.enrol(names("laptop-2"), world.mint("laptop-2"))
    old = serials(world)[0]
    assert What.RENEWED not in {each.what for each in life(world, old)}
    world.clock.advance(timedelta(days=300))
    assert device.fresh("transaction-3").enrol(names("laptop-2"), None).certificates
    new = serials(world)[0]
    assert next((each.what, each.serial) for each in life(world, old)) == (What.RENEWED, new)
    assert [(each.what, each.serial) for each in life(world, new)][-1] == (What.REQUESTED, old)
    world.clock.advance(timedelta(days=200))
    assert life(world, old)[0].what is What.ENDED


def test_what_is_foreign_is_not_there(world: World) -> None:
    """AUTHZ-4: of a certificate of another group nothing is told, as if there were none."""
    (serial,) = serials(world)
    world.open_group("other")
    asked, elsewhere = verbs.OneCertificate(serial=serial), door(world, "other")
    with pytest.raises(AdminError) as raised:
        elsewhere.ask(verbs.STATUS, asked)
    assert raised.value.reason is NOT_FOUND
    with pytest.raises(AdminError) as raised:
        elsewhere.ask(verbs.LIFE, asked)
    assert raised.value.reason is NOT_FOUND
    assert door(world, "default").ask(verbs.LIFE, asked).serial == serial
