"""An issuing authority is rolled over while devices go on: octets in, octets out."""

from __future__ import annotations

from datetime import timedelta

from regalia.client.authorities import judge
from regalia.wire.certificate import read_certificate
from regalia.wire.names import same_name
from regalia.wire.scep import MessageType
from regalia.wire.scep_client import read_certs_only, read_next_ca
from world import ADMIN, Device, World, names, rsa_key

WEEK = timedelta(days=7)
LAPTOP = names("laptop-1")


def issuer_of(world: World, certificate: bytes | None) -> str:
    """Name the authority that issued a certificate."""
    assert certificate is not None
    issuer = read_certificate(certificate).issuer
    (found,) = [
        authority.name
        for authority in world.store.authorities()
        if same_name(read_certificate(authority.certificate_der).subject, issuer)
    ]
    return found


def rolled(world: World, overlap: timedelta | None = WEEK) -> str:
    """Make the next authority of the group, and return its name."""
    return world.rollover.rotate("default", root=world.registry.root(), actor=ADMIN, overlap=overlap).name


def test_get_next_ca_cert_goes_live() -> None:
    """From rotation to activation GetCACaps offers GetNextCACert, which holds the next RA and CA, signed by the RA."""
    world = World()
    before = world.scep.door("default")
    assert before is not None
    assert b"GetNextCACert" not in world.scep.ca_capabilities(before)
    name = rolled(world)
    door = world.scep.door("default")
    assert door is not None
    assert b"GetNextCACert" in world.scep.ca_capabilities(door)
    body = world.scep.next_ca_certificates(door)
    assert body is not None
    told = read_next_ca(body, ra_certificates=(door.ra.certificate_der,))
    following = world.store.authority(name)
    assert following is not None
    assert following.certificate_der in told
    # What is told is enough for a client to set itself up with: an RA to encrypt to, and the CA above it.
    assert judge(told, None, world.clock.now()).chain[0] == following.certificate_der
    world.rollover.activate(name, actor=ADMIN)
    after = world.scep.door("default")
    assert after is not None
    assert world.scep.next_ca_certificates(after) is None
    assert read_certs_only(world.scep.ca_certificates(after))[1] == following.certificate_der


def test_clients_move_over() -> None:
    """A device enrolled before the activation renews by its old certificate, and gets one of the new authority."""
    world = World()
    device = Device(world)
    device.enrol(LAPTOP, world.mint("laptop-1"))
    assert issuer_of(world, device.certificate) == "default-ca-1"
    name = rolled(world)
    renewing = device.fresh("renewal-1")
    renewing.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, renewing.certificate) == "default-ca-1"
    world.clock.advance(WEEK)
    assert world.rollover.activate_due(world.clock.now()) == (name,)
    moved = renewing.fresh("renewal-2")
    moved.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, moved.certificate) == name
    assert [a.state for a in world.store.authorities()] == ["active", "retiring", "active"]
    again = moved.fresh("renewal-3")
    again.enrol(LAPTOP, None, MessageType.RENEWAL_REQ)
    assert issuer_of(world, again.certificate) == name


def test_both_are_accepted_by_recipient() -> None:
    """A message to the former RA opens, and that RA signs the reply; one to the next RA asks the next authority."""
    world = World()
    old = world.scep.door("default")
    assert old is not None
    name = rolled(world)
    early = Device(world, rsa_key(1))
    door = world.store.door("default")
    assert door is not None
    assert door.successor_ra is not None
    csr = early.csr(names("early"), world.mint("early"))
    answer = world.send(early.message(csr, recipient=door.successor_ra.certificate_der))
    reply = early.open(answer, csr, ra=door.successor_ra.certificate_der)
    assert issuer_of(world, reply.certificates[0]) == name
    world.rollover.activate(name, actor=ADMIN)
    late = Device(world, rsa_key(2)).fresh("transaction-2")
    csr = late.csr(names("late"), world.mint("late"))
    reply = late.open(world.send(late.message(csr, recipient=old.ra.certificate_der)), csr, ra=old.ra.certificate_der)
    assert issuer_of(world, reply.certificates[0]) == name
