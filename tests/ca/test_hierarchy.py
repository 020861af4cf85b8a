"""Authorities whose issuer's key is on another machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from foreign_pki import ForeignCa, Shape
from regalia.ca.authority import revoke_authority
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.ca.sign_request import read_wish
from regalia.errors import AdminError
from regalia.model import Action, AuthorityKind, AuthorityState, CredentialPurpose, RevocationReason
from regalia.wire.certificate import read_certificate, split, verify_signature
from regalia.wire.cms import read_certs_only
from world import ADMIN, Device, World, names

if TYPE_CHECKING:
    from regalia.model import Authority, AuthorityRequest


def two_machines() -> tuple[World, World]:
    """An online machine that knows the root of an offline one by its certificate alone."""
    offline, online = World(), World()
    root = _root(offline)
    online.hierarchy.trust("far-root", root.certificate_der, actor=ADMIN)
    return offline, online


def requested(online: World, name: str = "far-ca", group: str = "far") -> AuthorityRequest:
    """Make a request under the far root."""
    return online.hierarchy.request(name, group=group, parent="far-root", actor=ADMIN)


def signed(offline: World, request: AuthorityRequest) -> Authority:
    """Have the offline root sign it."""
    assert request.csr is not None
    wish = read_wish(request.csr)
    root = _root(offline)
    assert wish.crl is not None
    assert wish.issuer is not None
    return offline.hierarchy.sign(request.name, wish, root=root, crl=wish.crl, issuer=wish.issuer, actor=ADMIN)


def open_group(world: World, group: str, authority: str) -> None:
    """Create a group with an authority that is there, a profile and an endpoint."""
    world.registry.create_group(group, actor=ADMIN, authority=authority)
    world.registry.create_profile(group, group, DEFAULT_DOCUMENT, actor=ADMIN)
    world.registry.create_endpoint(group, group=group, profile=group, actor=ADMIN)


def _authority(world: World, name: str) -> Authority:
    authority = world.store.authority(name)
    assert authority is not None
    return authority


def _root(world: World) -> Authority:
    return _authority(world, "root")


def test_a_device_enrols_under_a_root_on_another_machine() -> None:
    """A request goes to the root's machine, its certificate comes back, and devices enrol under it."""
    offline, online = two_machines()
    made = signed(offline, requested(online))
    accepted = online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN)
    assert accepted.state is AuthorityState.ACTIVE
    assert accepted.parent == "far-root"
    open_group(online, "far", "far-ca")
    device = Device(online, endpoint="far")
    device.enrol(names("laptop-1"), online.mint("laptop-1", endpoint="far"))
    assert device.certificate is not None
    tbs, algorithm, signature = split(device.certificate)
    assert verify_signature(tbs, algorithm, signature, read_certificate(made.certificate_der).public_key)
    root = _root(offline)
    tbs, algorithm, signature = split(made.certificate_der)
    assert verify_signature(tbs, algorithm, signature, read_certificate(root.certificate_der).public_key)


def test_a_request_can_be_asked_for_again() -> None:
    """The same request comes back, also where a crash came before its signature; other wishes under its name do not."""
    _, online = two_machines()
    first = requested(online)
    assert requested(online) == first
    with pytest.raises(AdminError, match="ADM-003"):
        online.hierarchy.request("far-ca", group="other", parent="far-root", actor=ADMIN)
    with pytest.raises(AdminError, match="ADM-003"):
        online.hierarchy.request("root", group="far", actor=ADMIN)
    with pytest.raises(AdminError, match="ADM-004"):
        online.hierarchy.request("more", group="far", parent="nobody", actor=ADMIN)
    actions = [event.draft.action for event in online.store.log[-4:]]
    assert actions[-3:] == [Action.KEY_GENERATED, Action.AUTHORITY_REQUESTED, Action.AUTHORITY_REQUEST_SIGNED]


def test_an_unsigned_request_is_finished() -> None:
    """A crash between a request's record and its signature leaves an intent that the next command signs (ISS-2)."""
    _, online = two_machines()
    begun = requested(online)
    online.store.drop_authority_request("far-ca", ())
    assert online.store.add_authority_request(replace(begun, csr=None), ())
    assert requested(online).csr == begun.csr


def test_only_the_chosen_root_may_have_signed() -> None:
    """A certificate by another root than the request was made for is refused, though all else is right."""
    offline, online = two_machines()
    other = World()
    online.hierarchy.trust("other-root", _root(other).certificate_der, actor=ADMIN)
    made = signed(other, requested(online))
    with pytest.raises(AdminError, match="wrong issuer: it was to be issued under far-root"):
        online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN)
    good = signed(offline, requested(online))
    assert online.hierarchy.accept("far-ca", good.certificate_der, actor=ADMIN).name == "far-ca"


def test_an_acceptance_that_was_cut_short_is_finished() -> None:
    """An authority whose credentials were not made before a crash gets them when it is accepted again."""
    offline, online = two_machines()
    made = signed(offline, requested(online))
    online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN, state=AuthorityState.RETIRING)
    assert online.store.credentials(CredentialPurpose.RA, "far-ca") == ()
    online.store.set_authority_state("far-ca", AuthorityState.ACTIVE, ())
    online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN)
    assert len(online.store.credentials(CredentialPurpose.RA, "far-ca")) == 1
    assert len(online.store.credentials(CredentialPurpose.OCSP, "far-ca")) == 1
    online.hierarchy.accept("far-ca", made.certificate_der, actor=ADMIN)
    assert len(online.store.credentials(CredentialPurpose.RA, "far-ca")) == 1
    with pytest.raises(AdminError, match="ADM-004"):
        online.hierarchy.accept("nothing", made.certificate_der, actor=ADMIN)


def test_a_subordinate_under_another_pki_hands_out_the_whole_chain() -> None:
    """GetCACert has RA, issuing CA, what stands between and the root, in this order (R2)."""
    world = World()
    root = ForeignCa("Corp Root")
    policy = ForeignCa("Corp Policy CA", root, shape=Shape(path_length=1))
    request = world.hierarchy.request("corp-ca", group="corp", actor=ADMIN)
    assert request.csr is not None
    certificate = policy.certify_request(request.csr)
    authority = world.hierarchy.accept("corp-ca", certificate, (root.der, policy.der), actor=ADMIN)
    assert authority.parent == "corp-policy-ca"
    assert [one.kind.value for one in world.store.authorities()][-3:] == ["root", "intermediate", "issuing"]
    open_group(world, "corp", "corp-ca")
    door = world.scep.door("corp")
    assert door is not None
    answer = world.scep.ca_certificates(door)
    assert read_certs_only(answer) == (door.ra.certificate_der, certificate, policy.der, root.der)
    device = Device(world, endpoint="corp")
    device.enrol(names("laptop-1"), world.mint("laptop-1", endpoint="corp"))
    assert device.certificate is not None


def test_names_of_other_cas_are_made_of_their_common_names() -> None:
    """A CA of another PKI is called after its certificate, in letters that fit, and two are told apart."""
    world = World()
    for number, (cn, name) in enumerate((("Ünïted 7", "n-ted-7"), ("007", "ca-007"), ("Root", "root-2"))):
        root = ForeignCa(cn)
        request = world.hierarchy.request(f"sub-{number}", group=f"sub-{number}", actor=ADMIN)
        assert request.csr is not None
        made = world.hierarchy.accept(f"sub-{number}", root.certify_request(request.csr), (root.der,), actor=ADMIN)
        assert made.parent == name


def test_nobody_takes_the_name_of_another_authority() -> None:
    """A certificate with the name of an authority that has another key is refused, whoever signed it."""
    world = World()
    root = ForeignCa("Corp Root")
    world.hierarchy.trust("corp", root.der, actor=ADMIN)
    request = world.hierarchy.request("corp-ca", group="corp", actor=ADMIN)
    assert request.csr is not None
    csr = x509.load_der_x509_csr(request.csr)
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)

    def named(name: x509.Name) -> bytes:
        return root.certify(name, key, Shape(path_length=0)).public_bytes(Encoding.DER)

    own = _authority(world, "default-ca-1")
    taken = x509.load_der_x509_certificate(own.certificate_der).subject
    with pytest.raises(AdminError, match="is the name of authority default-ca-1, which has another key"):
        world.hierarchy.accept("corp-ca", named(taken), actor=ADMIN)
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corp Issuing")])
    assert world.hierarchy.accept("corp-ca", named(other), actor=ADMIN).state is AuthorityState.ACTIVE
    with pytest.raises(AdminError, match="is the name of authority corp-ca, which has another key"):
        world.hierarchy.trust("corp-2", ForeignCa("corp issuing").der, actor=ADMIN)
    double = ForeignCa("Corp Root")
    again = world.hierarchy.request("more-ca", group="corp", actor=ADMIN)
    assert again.csr is not None
    with pytest.raises(AdminError, match="is the name of authority corp, which has another key"):
        world.hierarchy.accept("more-ca", double.certify_request(again.csr), (double.der,), actor=ADMIN)


def test_roots_certify_each_other() -> None:
    """A cross-certificate has the other root's name, key and key identifier, and lives no longer than either."""
    world = World()
    old = _root(world)
    new = world.ceremony.create_root("root-2", actor=ADMIN)
    der = world.hierarchy.cross(old, new, actor=ADMIN)
    facts, own = read_certificate(der), read_certificate(new.certificate_der)
    assert (facts.subject, facts.public_key, facts.ski) == (own.subject, own.public_key, own.ski)
    assert facts.issuer == read_certificate(old.certificate_der).subject
    assert facts.aki == read_certificate(old.certificate_der).ski
    assert facts.not_after <= own.not_after
    tbs, algorithm, signature = split(der)
    assert verify_signature(tbs, algorithm, signature, read_certificate(old.certificate_der).public_key)
    for issuer, other in ((old, old), (old, _authority(world, "default-ca-1"))):
        with pytest.raises(AdminError, match="ADM-017"):
            world.hierarchy.cross(issuer, other, actor=ADMIN)


def test_a_cross_certificate_is_brought_in() -> None:
    """What the roots' own machine made is kept where both roots are known, once, and nothing else is."""
    offline, online = two_machines()
    second = offline.ceremony.create_root("root-2", actor=ADMIN)
    der = offline.hierarchy.cross(_root(offline), second, actor=ADMIN)
    with pytest.raises(AdminError, match="no root here has the name"):
        online.hierarchy.accept_cross(der, actor=ADMIN)
    online.hierarchy.trust("far-root-2", second.certificate_der, actor=ADMIN)
    issuer, other = online.hierarchy.accept_cross(der, actor=ADMIN)
    assert (issuer.name, other.name) == ("far-root", "far-root-2")
    assert online.last_event().draft.action is Action.AUTHORITY_CROSSED
    with pytest.raises(AdminError, match="ADM-003"):
        online.hierarchy.accept_cross(der, actor=ADMIN)
    with pytest.raises(AdminError, match="ADM-030"):
        online.hierarchy.accept_cross(second.certificate_der, actor=ADMIN)


@pytest.mark.parametrize(
    ("extension", "told"),
    [
        (x509.BasicConstraints(ca=False, path_length=None), "no CA's"),
        (x509.SubjectAlternativeName([x509.DNSName("a.example")]), "alternative names dns:a.example"),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), "it asks for the extension "),
    ],
    ids=["leaf", "names", "purposes"],
)
def test_a_request_that_is_no_cas_is_refused(extension: x509.ExtensionType, told: str) -> None:
    """What an issuing CA does not get is refused before a person is asked."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(extension, critical=False)
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)
    with pytest.raises(AdminError, match="ADM-031") as refused:
        read_wish(pem)
    assert told in refused.value.detail


def test_requests_are_read_as_hostile() -> None:
    """A request without a subject, with a key of another kind, altered or cut is refused."""
    key = ec.generate_private_key(ec.SECP256R1())
    empty = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Somebody")])
    odd = rsa.generate_private_key(public_exponent=65537, key_size=2560)
    unusual = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(odd, hashes.SHA256())
    good = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    der = good.public_bytes(Encoding.DER)
    assert read_wish(der).crl is None
    for octets, told in (
        (empty.public_bytes(Encoding.DER), "its subject is empty"),
        (unusual.public_bytes(Encoding.PEM), "its key is neither"),
        (der.replace(b"Somebody", b"Anybody!"), ""),
        (der[:-1], ""),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n*\n-----END CERTIFICATE REQUEST-----\n", "is not base64"),
    ):
        with pytest.raises(AdminError, match="ADM-031") as refused:
            read_wish(octets)
        assert told in refused.value.detail


def test_a_lost_authority_is_taken_in_to_be_revoked() -> None:
    """An issuing authority of which only the certificate is left is known below its root, and can be revoked."""
    before, lost = World(), World()
    made = lost.store.authority("default-ca-1")
    assert made is not None
    with pytest.raises(AdminError, match="the chain is incomplete"):
        before.hierarchy.recognise("default-ca-2", made.certificate_der, actor=ADMIN)
    root = _root(lost)
    before.hierarchy.recognise("far-root", root.certificate_der, actor=ADMIN)
    known = before.hierarchy.recognise("default-ca-2", made.certificate_der, actor=ADMIN)
    assert (known.kind, known.parent, known.group) == (AuthorityKind.ISSUING, "far-root", None)
    assert before.rollover.free_name("default") == "default-ca-3"
    revoked = revoke_authority(
        before.store, before.store, before.clock, known, reason=RevocationReason.CESSATION_OF_OPERATION, actor=ADMIN
    )
    assert revoked.state is AuthorityState.REVOKED
