"""CRLs that were signed elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from foreign_pki import NOW, ForeignCa
from regalia import reasons
from regalia.ca.carried_crl import CrlImporter, read_carried
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ca.status import OcspResponder
from regalia.errors import AdminError
from regalia.model import Action, AuthorityKind, AuthorityState, RevocationReason
from regalia.wire.certificate import read_certificate
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Authority, Revocation

ROOT = ForeignCa("Corp Root")


def point(
    *,
    name: str | None = None,
    users: bool = False,
    cas: bool = False,
    attributes: bool = False,
) -> x509.IssuingDistributionPoint:
    """Say what a CRL is about."""
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(name)] if name is not None else None,
        relative_name=None,
        only_contains_user_certs=users,
        only_contains_ca_certs=cas,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=attributes,
    )


def refused(octets: bytes, kind: AuthorityKind = AuthorityKind.ROOT) -> str:
    """What is said of a CRL that cannot be taken."""
    with pytest.raises(AdminError) as error:
        read_carried(octets, ROOT.der, kind)
    assert error.value.reason is reasons.AUTHORITY_CRL_REFUSED
    return error.value.detail


def test_a_crl_is_read_with_its_entries() -> None:
    """Number, times and each serial with its reason come out; what was only held counts as revoked for good."""
    flags = x509.ReasonFlags
    octets = ROOT.crl(5, [(0xABC, flags.key_compromise), (1 << 150, flags.certificate_hold)], extension=point(cas=True))
    carried = read_carried(octets, ROOT.der, AuthorityKind.ROOT)
    assert (carried.number, carried.entries, carried.this_update) == (5, 2, NOW)
    assert carried.next_update == NOW + timedelta(days=30)
    assert [(int.from_bytes(serial, "big"), reason) for serial, _, reason in carried.revoked()] == [
        (0xABC, RevocationReason.KEY_COMPROMISE),
        (1 << 150, RevocationReason.UNSPECIFIED),
    ]


def test_faults_of_a_crl_are_told() -> None:
    """Another authority's list, a forged one, a delta, one without a number and one beyond ours are refused."""
    assert "it is the CRL of CN=Other" in refused(ForeignCa("Other").crl(1))
    assert "its signature does not verify" in refused(ForeignCa("Corp Root").crl(1))
    assert "it is a delta CRL" in refused(ROOT.crl(2, extension=x509.DeltaCRLIndicator(1)))
    assert "it has no number" in refused(ROOT.crl(None))
    assert "more than 62 bits" in refused(ROOT.crl(1 << 62))
    assert "it cannot be read" in refused(b"nothing")


@pytest.mark.parametrize(
    "scope",
    [point(name="http://crl.example/part-1"), point(users=True), point(attributes=True)],
    ids=["one of several", "users", "attributes"],
)
@pytest.mark.parametrize("kind", [AuthorityKind.ROOT, AuthorityKind.ISSUING])
def test_a_crl_of_some_certificates_is_refused(scope: x509.IssuingDistributionPoint, kind: AuthorityKind) -> None:
    """A partial CRL, and one of users or of attributes, leaves certificates out that may be revoked."""
    assert "it covers only some certificates" in refused(ROOT.crl(2, extension=scope), kind)


def test_a_crl_of_cas_is_whole_for_those_that_certify_nobody_else() -> None:
    """Where only CAs are listed, a root's or an intermediate's CRL is whole, and an issuing authority's is not."""
    octets = ROOT.crl(2, extension=point(cas=True))
    for kind in (AuthorityKind.ROOT, AuthorityKind.INTERMEDIATE):
        assert read_carried(octets, ROOT.der, kind).number == 2
    assert "it covers only some certificates" in refused(octets, AuthorityKind.ISSUING)


def test_a_crl_with_an_unknown_critical_extension_is_refused() -> None:
    """What nobody knows and is critical may change what the CRL says (RFC 5280 §5.2)."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.7"), b"\x05\x00")
    assert "the critical extension 1.3.6.1.4.1.99999.7" in refused(ROOT.crl(2, extension=unknown))


def far_root(world: World) -> Authority:
    """A root of another machine."""
    return world.hierarchy.trust("far", ROOT.der, actor=ADMIN)


def test_a_brought_crl_is_published() -> None:
    """A root's CRL from its own machine is recorded and served, and only newer ones follow it."""
    world = World()
    importer, root = CrlImporter(world.store, world.clock, world.entropy), far_root(world)
    record = importer.publish(root, ROOT.crl(5), actor=ADMIN)
    assert world.store.last_crl("far") == record
    assert b"".join(world.store.crl_octets(record)) != b""
    assert world.last_event().draft.action is Action.CRL_IMPORTED
    for octets, told in (
        (ROOT.crl(5), "its number 5 is not above 5, which is served"),
        (ROOT.crl(6, at=NOW - timedelta(days=40)), "it has ended: nextUpdate 2026-02-19"),
        (ROOT.crl(6, at=NOW + timedelta(hours=1)), "it is from the future"),
    ):
        with pytest.raises(AdminError, match="ADM-032") as error:
            importer.publish(root, octets, actor=ADMIN)
        assert told in error.value.detail
    assert importer.publish(root, ROOT.crl(6), actor=ADMIN).number == 6


def test_an_authority_that_its_root_revoked_issues_no_more() -> None:
    """Once a root's CRL lists an authority, the authority is revoked here too, with the reason that the CRL gives."""
    world = World()
    importer = CrlImporter(world.store, world.clock, world.entropy)
    far_root(world)
    request = world.hierarchy.request("far-ca", group="far", actor=ADMIN)
    assert request.csr is not None
    authority = world.hierarchy.accept("far-ca", ROOT.certify_request(request.csr), actor=ADMIN)
    serial = read_certificate(authority.certificate_der).serial
    importer.publish(_root(world), ROOT.crl(5, [(serial + 1, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert _state(world) is AuthorityState.ACTIVE
    importer.publish(_root(world), ROOT.crl(6, [(serial, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert _state(world) is AuthorityState.REVOKED
    events = [event.draft for event in world.store.log[-3:]]
    assert [event.action for event in events] == [
        Action.CERTIFICATE_REVOKED,
        Action.AUTHORITY_REVOKED,
        Action.CRL_IMPORTED,
    ]
    assert {event.details["reason"] for event in events[:2]} == {"superseded"}
    count = len(world.store.log)
    importer.publish(_root(world), ROOT.crl(7, [(serial, x509.ReasonFlags.superseded)]), actor=ADMIN)
    assert [event.draft.action for event in world.store.log[count:]] == [Action.CRL_IMPORTED]


def chained(world: World) -> tuple[ForeignCa, ForeignCa, Authority]:
    """An authority of group `far` under an intermediate under a root, both elsewhere."""
    root = ForeignCa("Far Root")
    policy = ForeignCa("Far Policy CA", root)
    request = world.hierarchy.request("far-ca", group="far", actor=ADMIN)
    assert request.csr is not None
    authority = world.hierarchy.accept(
        "far-ca", policy.certify_request(request.csr), (root.der, policy.der), actor=ADMIN
    )
    return root, policy, authority


def _revocation(world: World, name: str) -> Revocation:
    authority = world.store.authority(name)
    assert authority is not None
    certificate = world.store.certificate(authority.certificate_id)
    assert certificate is not None
    assert certificate.revocation is not None
    return certificate.revocation


def _publish(world: World, name: str, octets: bytes) -> None:
    authority = world.store.authority(name)
    assert authority is not None
    CrlImporter(world.store, world.clock, world.entropy).publish(authority, octets, actor=ADMIN)


def _lists(ca: ForeignCa, number: int, certificate: bytes, at: datetime = NOW) -> bytes:
    """A CRL of a CA that lists a certificate as compromised."""
    return ca.crl(number, [(read_certificate(certificate).serial, x509.ReasonFlags.ca_compromise)], at=at)


def test_what_an_authority_issued_is_revoked_once_its_root_says_that_it_is_compromised() -> None:
    """The authority's certificate has the reason and the time of the CRL, and OCSP says the same of every leaf."""
    world = World()
    _, policy, authority = chained(world)
    world.registry.create_group("far", actor=ADMIN, authority="far-ca")
    world.registry.create_profile("far", "far", DEFAULT_DOCUMENT, actor=ADMIN)
    world.registry.create_endpoint("far", group="far", profile="far", actor=ADMIN)
    device = Device(world, endpoint="far")
    device.enrol(names("laptop-1"), world.mint("laptop-1", endpoint="far"))
    assert device.certificate is not None
    leaf, issuer = (x509.load_der_x509_certificate(der) for der in (device.certificate, authority.certificate_der))
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    body = request.public_bytes(serialization.Encoding.DER)
    assert OcspResponder(world.store, world.keys, world.clock).answer(body).status == "good"
    world.clock.advance(timedelta(hours=2))
    _publish(world, "far-policy-ca", _lists(policy, 6, authority.certificate_der))
    end = _revocation(world, "far-ca")
    assert (end.reason, end.cause, end.at) == (RevocationReason.CA_COMPROMISE, "crl", NOW)
    assert OcspResponder(world.store, world.keys, world.clock).answer(body).status == "revoked"
    last = world.store.last_crl("far-policy-ca")
    assert last is not None
    assert last.snapshot == world.store.revocation_count("far-policy-ca")


def test_all_below_an_intermediate_ends_with_it() -> None:
    """An authority below an intermediate that its root revoked is revoked with it, for its reason."""
    world = World()
    root, policy, _ = chained(world)
    _publish(world, "far-root", _lists(root, 6, policy.der))
    for name in ("far-policy-ca", "far-ca"):
        authority = world.store.authority(name)
        assert authority is not None
        assert authority.state is AuthorityState.REVOKED
        assert _revocation(world, name).reason is RevocationReason.CA_COMPROMISE


def test_the_crl_that_is_served_brought_again_finishes_what_it_began() -> None:
    """After an end in between, the very same CRL ends the authority that it lists, and is not published twice."""
    world = World()
    _, policy, authority = chained(world)
    octets = _lists(policy, 6, authority.certificate_der)
    _publish(world, "far-policy-ca", octets)
    first = world.store.last_crl("far-policy-ca")
    world.store.set_authority_state("far-ca", AuthorityState.ACTIVE, ())
    count = len(world.store.log)
    world.clock.advance(timedelta(days=40))
    _publish(world, "far-policy-ca", octets)
    assert _state(world) is AuthorityState.REVOKED
    assert [event.draft.action for event in world.store.log[count:]] == [Action.AUTHORITY_REVOKED]
    _publish(world, "far-policy-ca", octets)
    assert len(world.store.log) == count + 1
    assert world.store.last_crl("far-policy-ca") == first


def test_an_authority_that_was_ended_by_its_state_alone_gets_its_revocation() -> None:
    """Where only the state says revoked, the CRL brought again gives the certificate its reason."""
    world = World()
    _, policy, authority = chained(world)
    world.store.set_authority_state("far-ca", AuthorityState.REVOKED, ())
    _publish(world, "far-policy-ca", _lists(policy, 6, authority.certificate_der))
    assert _revocation(world, "far-ca").reason is RevocationReason.CA_COMPROMISE


def _root(world: World) -> Authority:
    root = world.store.authority("far")
    assert root is not None
    return root


def _state(world: World) -> AuthorityState:
    authority = world.store.authority("far-ca")
    assert authority is not None
    return authority.state


def raw_crl(entry: x509.RevokedCertificate) -> bytes:
    """Make a CRL with one entry that `ForeignCa.crl` does not make."""
    builder = x509.CertificateRevocationListBuilder(issuer_name=ROOT.name)
    made = builder.last_update(NOW).next_update(NOW + timedelta(days=30)).add_revoked_certificate(entry)
    signed = made.add_extension(x509.CRLNumber(2), critical=False).sign(ROOT.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def with_a_longer_serial(octets: bytes, serial: bytes) -> bytes:
    """Put one more octet into a serial of a CRL, and sign it again: no library makes such a one."""
    crl = x509.load_der_x509_crl(octets)
    tbs, rest = crl.tbs_certlist_bytes, octets[octets.index(crl.tbs_certlist_bytes) + len(crl.tbs_certlist_bytes) :]
    entry = tbs.index(b"\x02\x14" + serial)
    inside = bytearray(tbs[: entry + 2] + b"\x7f" + tbs[entry + 2 :])
    # The lengths of the whole, of the list, of the entry and of the serial; each has one octet here.
    for length in (1, entry - 3, entry - 1, entry + 1):
        inside[length] += 1
    made = bytes(inside)
    assert isinstance(ROOT.key, ec.EllipticCurvePrivateKey)
    signature = ROOT.key.sign(made, ec.ECDSA(hashes.SHA256()))
    algorithm = rest[: rest[1] + 2]
    bits = b"\x03" + bytes([len(signature) + 1]) + b"\x00" + signature
    content = made + algorithm + bits
    return b"\x30\x81" + bytes([len(content)]) + content


def test_an_entry_that_cannot_be_kept_is_told() -> None:
    """A serial that is longer than any may be, and an entry that is of another CA's certificate, are named."""
    longest = x509.RevokedCertificateBuilder().serial_number((1 << 159) - 1).revocation_date(NOW)
    octets = raw_crl(longest.build())
    assert len(read_carried(octets, ROOT.der, AuthorityKind.ROOT).revoked()) == 1
    assert "more than 20 octets" in refused(with_a_longer_serial(octets, b"\x7f" + b"\xff" * 19))
    other = x509.CertificateIssuer([x509.DirectoryName(ForeignCa("Other").name)])
    assert "it may be of another CA" in refused(raw_crl(longest.add_extension(other, critical=True).build()))
