"""Requests that ask for rights and names that no request may have, or that say something twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.forgery import csr_of, message_of, raw_extension, rdn, requested
from attacks.harness import Target, refused, rightful
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter
from regalia.ra.scep import CertRep
from regalia.wire import der, oids
from regalia.wire.certificate import (
    authority_information_access,
    basic_constraints,
    crl_distribution_points,
    extended_key_usage,
    key_usage,
)
from regalia.wire.scep import PkiStatus, Transaction
from scep_parts import attribute
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

TRUE = b"\x01\x01\xff"
SID_EXTENSION = der.sequence(
    der.context(
        0,
        der.oid("1.3.6.1.4.1.311.25.2.1"),
        der.context(0, der.octet_string(b"S-1-5-21-1111111111-2222222222-3333333333-500")),
    )
)
UPN = der.context(0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.context(0, der.utf8_string("administrator@example.com")))

FORBIDDEN = {
    "CA:TRUE": basic_constraints(ca=True).encode(),
    "CA:TRUE, not critical": raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(TRUE)),
    "CA:TRUE as 1": raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(b"\x01\x01\x01")),
    "path length alone": raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(der.integer(0))),
    "basicConstraints that cannot be read": raw_extension(oids.CE_BASIC_CONSTRAINTS, b"\x30\x03"),
    "keyCertSign": key_usage(("keyCertSign",)).encode(),
    "keyCertSign among others": key_usage(("digitalSignature", "keyCertSign")).encode(),
    "cRLSign": key_usage(("cRLSign",)).encode(),
    "keyUsage of three octets": raw_extension(oids.CE_KEY_USAGE, b"\x03\x04\x00\xff\xff\xff"),
    "codeSigning": extended_key_usage([oids.KP_CODE_SIGNING]).encode(),
    "codeSigning beside clientAuth": extended_key_usage([oids.KP_CLIENT_AUTH, oids.KP_CODE_SIGNING]).encode(),
    "anyExtendedKeyUsage": extended_key_usage([oids.ANY_EXTENDED_KEY_USAGE]).encode(),
    "OCSPSigning": extended_key_usage([oids.KP_OCSP_SIGNING]).encode(),
    "enrolment agent": extended_key_usage([oids.KP_MS_ENROLMENT_AGENT]).encode(),
    "empty extKeyUsage": raw_extension(oids.CE_EXT_KEY_USAGE, der.sequence()),
    "SID": raw_extension(oids.MS_NTDS_CA_SECURITY, SID_EXTENSION),
    "template name": raw_extension(oids.MS_CERTIFICATE_TEMPLATE_NAME, der.tlv(0x1E, "SubCA".encode("utf-16-be"))),
    "template": raw_extension(oids.MS_CERTIFICATE_TEMPLATE, der.sequence(der.oid("1.3.6.1.4.1.311.21.8.1.2.3"))),
    "application policies": raw_extension(
        oids.MS_APPLICATION_POLICIES, der.sequence(der.sequence(der.oid(oids.KP_MS_ENROLMENT_AGENT)))
    ),
    "nameConstraints": raw_extension(oids.CE_NAME_CONSTRAINTS, der.sequence(), critical=True),
    "policyMappings": raw_extension(oids.CE_POLICY_MAPPINGS, der.sequence()),
    "AIA": authority_information_access(ocsp="http://ocsp.attacker.example").encode(),
    "CRLDP": crl_distribution_points("http://crl.attacker.example").encode(),
    "ocsp-nocheck": raw_extension(oids.PKIX_OCSP_NOCHECK, der.null()),
    "CT poison": raw_extension(oids.CT_POISON, der.null(), critical=True),
}


@pytest.mark.parametrize("extension", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("form", [oids.EXTENSION_REQUEST, oids.MICROSOFT_EXTENSION_REQUEST], ids=["PKCS #9", "MS"])
def test_no_request_asks_for_rights(world: Target, extension: bytes, form: str) -> None:
    """POL-2, CON-4: each extension that makes more of a device than a device, in both attributes that can carry it."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, requested(extension, oid=form), challenge=secret))
    attempt = refused(world, message, reasons.EXTENSION_FORBIDDEN, security=True)
    assert attempt.events[0].details["extensions"]
    rightful(world, secret)


@pytest.mark.parametrize("extension", ["CA:TRUE", "codeSigning", "SID"])
def test_no_renewal_asks_for_rights(world: Target, extension: str) -> None:
    """POL-2, REN-3: the same with a good certificate for evidence instead of a challenge."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    device = device.fresh("renewal")
    message = message_of(device, csr_of(device, requested(FORBIDDEN[extension])))
    refused(world, message, reasons.EXTENSION_FORBIDDEN, security=True)


@pytest.mark.parametrize("extension", ["CA:TRUE", "keyCertSign", "OCSPSigning", "SID", "AIA"])
def test_a_profile_that_takes_names_from_requests_takes_no_rights(world: Target, extension: str) -> None:
    """POL-1, POL-2: `from-csr` is about names alone."""
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    world.registry.create_profile("open", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    world.registry.create_endpoint("open", group="default", profile="open", actor=ADMIN)
    secret, device = world.mint(endpoint="open"), Device(world, endpoint="open")
    message = message_of(device, csr_of(device, requested(FORBIDDEN[extension]), challenge=secret))
    refused(world, message, reasons.EXTENSION_FORBIDDEN, security=True, endpoint="open")
    rightful(world, secret, endpoint="open")


HARMLESS = {
    "CA:FALSE": basic_constraints(ca=False).encode(),
    "CA:FALSE in full": raw_extension(oids.CE_BASIC_CONSTRAINTS, der.sequence(b"\x01\x01\x00")),
    "emailProtection": extended_key_usage([oids.KP_EMAIL_PROTECTION]).encode(),
    "serverAuth": extended_key_usage([oids.KP_SERVER_AUTH]).encode(),
    "smart card logon": extended_key_usage([oids.KP_MS_SMARTCARD_LOGON]).encode(),
    "nonRepudiation": key_usage(("contentCommitment",)).encode(),
    "another SKI": raw_extension(oids.CE_SUBJECT_KEY_IDENTIFIER, der.octet_string(b"chosen")),
    "another AKI": raw_extension(
        oids.CE_AUTHORITY_KEY_IDENTIFIER, der.sequence(der.context(0, b"x", constructed=False))
    ),
    "certificatePolicies": raw_extension(
        oids.CE_CERTIFICATE_POLICIES, der.sequence(der.sequence(der.oid("2.5.29.32.0")))
    ),
    "issuerAltName": raw_extension("2.5.29.18", der.sequence(der.context(2, b"ca.example.com", constructed=False))),
    "netscape cert type": raw_extension("2.16.840.1.113730.1.1", b"\x03\x02\x00\x07"),
    "unknown, critical": raw_extension("1.3.6.1.4.1.99999.1", b"\x05\x00", critical=True),
    "TLS feature": raw_extension("1.3.6.1.5.5.7.1.24", der.sequence(der.integer(5))),
}


@pytest.mark.parametrize("extension", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_a_request_may_say_changes_no_octet_of_the_rights(world: Target, extension: bytes) -> None:
    """POL-1, POL-2, R5: what is not refused is dropped: the certificate's extensions are those of one without it."""
    issued = []
    for number, attributes in enumerate([[requested(extension)], []]):
        world.pass_minutes()
        device = Device(world, key=rsa_key(number), transaction=Transaction(b"%d" % number))
        csr = csr_of(device, *attributes, challenge=world.mint("laptop-1"))
        answer = world.send(message_of(device, csr))
        assert isinstance(answer, CertRep)
        assert answer.issued, world.last_event().draft.details
        row = max(
            world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF)), key=lambda r: r.intent.created_at
        )
        assert row.der is not None
        found = x509.load_der_x509_certificate(row.der)
        issued.append(
            {e.oid: e.value for e in found.extensions if e.oid.dotted_string != oids.CE_SUBJECT_KEY_IDENTIFIER}
        )
        assert found.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value == x509.SubjectKeyIdentifier.from_public_key(device.key.public_key())
    assert issued[0] == issued[1]


# --- names ----------------------------------------------------------------------------------------------------------


def general_names(*each: bytes) -> bytes:
    """A requested subjectAltName."""
    return requested(raw_extension(oids.CE_SUBJECT_ALT_NAME, der.sequence(*each)))


def dns(text: bytes) -> bytes:
    """A dNSName of any octets."""
    return der.context(2, text, constructed=False)


MALFORMED = {
    "wildcard": dns(b"*.example.com"),
    "wildcard inside": dns(b"a*.example.com"),
    "bare wildcard": dns(b"*"),
    "single label": dns(b"localhost"),
    "trailing dot": dns(b"laptop-1.example.com."),
    "leading dot": dns(b".example.com"),
    "empty label": dns(b"laptop-1..example.com"),
    "underscore": dns(b"_ldap.example.com"),
    "space": dns(b"laptop-1 .example.com"),
    "NUL": dns(b"laptop-1.example.com\x00.attacker.example"),
    "newline": dns(b"laptop-1.example.com\n"),
    "address as name": dns(b"192.0.2.1"),
    "bad punycode": dns(b"xn--\x7f.example.com"),
    "long label": dns(b"a" * 64 + b".example.com"),
    "long name": dns(b".".join([b"a" * 60] * 5) + b".com"),
    "empty name": dns(b""),
    "IP of five octets": der.context(7, b"\xc0\x00\x02\x01\x01", constructed=False),
    "IP with a mask": der.context(7, b"\xc0\x00\x02\x00\xff\xff\xff\x00", constructed=False),
    "IP of no octets": der.context(7, b"", constructed=False),
    "UPN": UPN,
    "UPN of another arc": der.context(0, der.oid("1.2.3"), der.context(0, der.utf8_string("a"))),
    "SID URI": der.context(6, b"tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500", constructed=False),
    "SID URI in other letters": der.context(
        6, b"TAG:Microsoft.com,2022-09-14:SID:S-1-5-21-1-2-3-500", constructed=False
    ),
    "SID URI escaped": der.context(6, b"tag:microsoft%2ecom,2022-09-14:sid:S-1-5-21-1-2-3-500", constructed=False),
    "relative URI": der.context(6, b"//example.com/", constructed=False),
    "directoryName": der.context(4, der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string("ceo"))))),
    "registeredID": der.context(8, b"\x2a\x03", constructed=False),
    "x400Address": der.context(3, der.sequence()),
    "two at signs": der.context(1, b"a@b@example.com", constructed=False),
    "quoted local part": der.context(1, b'"a b"@example.com', constructed=False),
}


def test_a_upn_is_a_name_that_the_binding_has_or_has_not(world: Target) -> None:
    """R5.2, POL-2: a user principal name that the challenge was not made for is outside it, as any name is."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, general_names(UPN), challenge=secret))
    refused(world, message, reasons.NAMES_OUTSIDE_BINDING)
    rightful(world, secret)


@pytest.mark.parametrize("kind", [kind for kind in MALFORMED if kind != "UPN"])
def test_no_request_asks_for_a_name_that_no_certificate_carries(world: Target, kind: str) -> None:
    """POL-2, POL-5, IN-8: malformed, boundless and Windows names are refused even where they would only be dropped."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, general_names(MALFORMED[kind]), challenge=secret))
    refused(world, message, reasons.NAME_MALFORMED)
    rightful(world, secret)


@pytest.mark.parametrize("name", ["wildcard", "UPN", "SID URI", "NUL", "IP of five octets"])
def test_a_profile_that_takes_names_from_requests_takes_no_such_name(world: Target, name: str) -> None:
    """POL-1, POL-5: where the request chooses its names, these are refused all the same."""
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    world.registry.create_profile("open", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    world.registry.create_endpoint("open", group="default", profile="open", actor=ADMIN)
    secret, device = world.mint(endpoint="open"), Device(world, endpoint="open")
    message = message_of(device, csr_of(device, general_names(MALFORMED[name]), challenge=secret))
    refused(world, message, reasons.NAME_MALFORMED, endpoint="open")
    rightful(world, secret, endpoint="open")


UNSEEN = {
    "NUL": "laptop-1\x00",
    "escape": "laptop-1\x1b[2J",
    "newline": "laptop-1\nCN=ceo",
    "delete": "laptop-1\x7f",
    "C1": "laptop-1\x85",
    "bidi override": "1-potpal\u202e",
    "bidi isolate": "\u2067laptop-1\u2069",
    "zero-width space": "laptop\u200b-1",
    "zero-width joiner": "laptop\u200d-1",
    "byte order mark": "\ufefflaptop-1",
    "soft hyphen": "lap\u00adtop-1",
    "hangul filler": "laptop-1\u3164",
    "line separator": "laptop-1\u2028",
    "tag characters": "laptop-1\U000e0041",
    "65 characters": "l" * 65,
    "leading space": " laptop-1",
    "trailing space": "laptop-1 ",
    "wildcard": "*.example.com",
}


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN.keys())
def test_no_common_name_holds_what_does_not_print(world: Target, text: str) -> None:
    """IN-6, IN-8: controls, bidi and zero-width characters are refused, and the event shows them escaped."""
    secret, device = world.mint("laptop-1"), Device(world)
    subject = der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string(text))))
    message = message_of(device, csr_of(device, subject=subject, challenge=secret))
    attempt = refused(world, message, reasons.NAME_MALFORMED)
    assert str(attempt.events[0].details["detail"]).isprintable()
    rightful(world, secret)


UNREADABLE_SUBJECTS = {
    "surrogates in UTF-8": rdn((oids.AT_COMMON_NAME, der.tlv(0x0C, b"\xed\xa0\x80"))),
    "surrogate in a BMPString": rdn((oids.AT_COMMON_NAME, der.tlv(0x1E, b"\xd8\x00"))),
    "odd BMPString": rdn((oids.AT_COMMON_NAME, der.tlv(0x1E, b"\x00a\x00"))),
    "UniversalString beyond Unicode": rdn((oids.AT_COMMON_NAME, der.tlv(0x1C, b"\x00\x11\x00\x00"))),
    "not ASCII in a PrintableString": rdn((oids.AT_COMMON_NAME, der.tlv(0x13, b"laptop\xff"))),
    "no string": rdn((oids.AT_COMMON_NAME, der.integer(1))),
    "empty": rdn((oids.AT_COMMON_NAME, der.utf8_string(""))),
    "empty RDN": der.tlv(der.SET),
}


@pytest.mark.parametrize("subject", UNREADABLE_SUBJECTS.values(), ids=UNREADABLE_SUBJECTS.keys())
def test_a_common_name_that_does_not_decode_is_refused(world: Target, subject: bytes) -> None:
    """IN-4, IN-8: strings decode strictly, and emptiness is a fault."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, subject=der.sequence(subject), challenge=secret))
    refused(world, message, reasons.CSR_REFUSED)
    rightful(world, secret)


@pytest.mark.parametrize("count", [21, 100, 1000])
def test_no_request_asks_for_more_names_than_fit(world: Target, count: int) -> None:
    """IN-8: at most 20 alternative names."""
    secret, device = world.mint("laptop-1"), Device(world)
    each = [dns(b"host-%d.example.com" % number) for number in range(count)]
    message = message_of(device, csr_of(device, general_names(*each), challenge=secret))
    refused(world, message, reasons.NAME_MALFORMED)
    rightful(world, secret)


# --- said twice -----------------------------------------------------------------------------------------------------

SAN_LAPTOP = raw_extension(oids.CE_SUBJECT_ALT_NAME, der.sequence(dns(b"laptop-1.example.com")))
SAN_MAIL = raw_extension(oids.CE_SUBJECT_ALT_NAME, der.sequence(dns(b"mail.example.com")))
CN_LAPTOP, CN_CEO = (oids.AT_COMMON_NAME, der.utf8_string("laptop-1")), (oids.AT_COMMON_NAME, der.utf8_string("ceo"))

TWICE = {
    "two extension requests": ([requested(SAN_LAPTOP), requested(SAN_MAIL)], None),
    "the same one twice": ([requested(SAN_LAPTOP), requested(SAN_LAPTOP)], None),
    "one standard, one Microsoft": (
        [requested(SAN_LAPTOP), requested(SAN_MAIL, oid=oids.MICROSOFT_EXTENSION_REQUEST)],
        None,
    ),
    "two values of one request": (
        [attribute(oids.EXTENSION_REQUEST, der.sequence(SAN_LAPTOP), der.sequence(SAN_MAIL))],
        None,
    ),
    "an extension twice": ([requested(SAN_LAPTOP, SAN_MAIL)], None),
    "an unknown extension twice": ([requested(raw_extension("1.2.3", b""), raw_extension("1.2.3", b""))], None),
    "two common names": ([], rdn(CN_LAPTOP) + rdn(CN_CEO)),
    "the same common name twice": ([], rdn(CN_LAPTOP) + rdn(CN_LAPTOP)),
    "two common names in one RDN": ([], rdn(CN_LAPTOP, CN_CEO)),
    "a type twice in one RDN": (
        [],
        rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("a")), (oids.AT_ORGANIZATION_NAME, der.utf8_string("b"))),
    ),
    "an unknown attribute twice": ([attribute("1.2.3.4", der.null())] * 2, None),
}


@pytest.mark.parametrize(("attributes", "subject"), TWICE.values(), ids=TWICE.keys())
def test_what_a_request_says_twice_it_says_not_at_all(
    world: Target, attributes: list[bytes], subject: bytes | None
) -> None:
    """POL-4: what policy reads is the only reading there is, in either order of the two."""
    secret, device = world.mint("laptop-1", "laptop-1.example.com"), Device(world)
    whole = None if subject is None else der.sequence(subject)
    refused(
        world, message_of(device, csr_of(device, *attributes, subject=whole, challenge=secret)), reasons.CSR_AMBIGUOUS
    )
    rightful(world, secret)


def test_a_common_name_in_a_multi_valued_rdn_is_judged_like_any_other(world: Target) -> None:
    """POL-4, POL-1: CN=ceo beside an O in one RDN is a common name, not a part of an organisation."""
    secret, device = world.mint("laptop-1"), Device(world)
    subject = der.sequence(rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("Example")), CN_CEO))
    message = message_of(device, csr_of(device, subject=subject, challenge=secret))
    refused(world, message, reasons.NAMES_OUTSIDE_BINDING)
    rightful(world, secret)


@pytest.mark.parametrize("oid", [oids.AT_EMAIL_ADDRESS, oids.AT_USER_ID, oids.AT_SERIAL_NUMBER, "2.5.4.3.1"])
def test_a_name_in_another_attribute_reaches_no_certificate(world: Target, oid: str) -> None:
    """POL-1, R5: emailAddress, UID and whatever looks like a CN is dropped, and the certificate has the binding."""
    secret, device = world.mint("laptop-1"), Device(world)
    subject = der.sequence(rdn(CN_LAPTOP), rdn((oid, der.utf8_string("administrator"))))
    answer = world.send(message_of(device, csr_of(device, subject=subject, challenge=secret)))
    assert isinstance(answer, CertRep)
    assert answer.issued
    (row,) = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert row.der is not None
    assert x509.load_der_x509_certificate(row.der).subject.rfc4514_string() == "CN=laptop-1"


def test_a_renewal_does_not_launder_what_the_first_request_only_wished_for(world: Target) -> None:
    """R5, REN-3: a bearer's first CSR asked for `ceo` and got its key's name; asking again changes nothing."""
    device = Device(world)
    device.enrol(names("ceo", "mail.example.com"), world.mint())
    renewed = device.fresh("renewal")
    assert renewed.enrol(names("ceo", "mail.example.com"), None).status is PkiStatus.SUCCESS
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    assert {row.intent.names for row in rows} == {names(f"d-{rows[0].intent.key_sha256.hex()[:20]}")}
    assert all(row.intent.unverified for row in rows)


def test_the_authoritys_own_name_is_nobodys(world: Target) -> None:
    """REN-2, POL-5: a device named like its CA would look self-issued to every path builder, ours included."""
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    world.registry.create_profile("open", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    world.registry.create_endpoint("open", group="default", profile="open", actor=ADMIN)
    door = world.store.door("open")
    assert door is not None
    issuer = x509.load_der_x509_certificate(door.authority.certificate_der).subject
    (cn,) = issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert len(issuer.rdns) == 1
    secret, device = world.mint(endpoint="open"), Device(world, endpoint="open")
    message = device.message(device.csr(names(str(cn.value).upper()), secret))
    refused(world, message, reasons.NAME_PROTECTED, endpoint="open")


# --- whatever a request says ----------------------------------------------------------------------------------------

_FORBIDDEN_OIDS = frozenset(
    value for name, value in vars(oids).items() if name.startswith(("CE_", "PE_", "MS_", "PKIX_", "CT_"))
)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40)
_ARCS = st.lists(st.integers(0, 100_000), min_size=1, max_size=5)
_UNKNOWN_OID = st.builds(lambda arcs: ".".join(map(str, (1, 3, 6, 1, 4, 1, 99_999, *arcs))), _ARCS)
_VALUE = st.binary(max_size=40) | st.sampled_from([der.sequence(TRUE), der.octet_string(b"x"), der.null()])
_HARMLESS_EXTENSION = st.sampled_from(sorted(HARMLESS.values())) | st.builds(
    raw_extension, _UNKNOWN_OID, _VALUE, critical=st.booleans()
)
_ANY_EXTENSION = st.sampled_from(sorted(FORBIDDEN.values())) | st.builds(
    raw_extension, st.sampled_from(sorted(_FORBIDDEN_OIDS)), _VALUE, critical=st.booleans()
)
_HARMLESS_RDN = st.tuples(
    st.sampled_from([oids.AT_ORGANIZATION_NAME, oids.AT_EMAIL_ADDRESS, oids.AT_USER_ID, oids.AT_SERIAL_NUMBER])
    | _UNKNOWN_OID,
    _TEXT,
)
_OWN_NAME = st.just((oids.AT_COMMON_NAME, "laptop-1"))
_ANY_RDN = st.tuples(st.just(oids.AT_COMMON_NAME), _TEXT)
_SANS = st.sampled_from([(), (b"laptop-1.example.com",), (b"laptop-1.example.com",) * 2])
_ANY_SANS = st.lists(st.binary(max_size=30), max_size=3).map(tuple)
_ATTRIBUTE = st.builds(attribute, _UNKNOWN_OID, st.builds(der.utf8_string, _TEXT))


@dataclass(frozen=True)
class Wish:
    """All that a request may say beside its key and its challenge."""

    subject: list[tuple[str, str]]
    sans: tuple[bytes, ...]
    extensions: list[bytes]
    attributes: list[bytes]

    def csr(self, device: Device, challenge: str) -> bytes:
        """The request that says so."""
        wanted = [raw_extension(oids.CE_SUBJECT_ALT_NAME, der.sequence(*map(dns, self.sans)))] if self.sans else []
        extensions = [*self.extensions, *wanted]
        subject = der.sequence(*(rdn((oid, der.utf8_string(text))) for oid, text in self.subject))
        attributes = [*self.attributes, *([requested(*extensions)] if extensions else [])]
        return csr_of(device, *attributes, subject=subject, challenge=challenge)


_MODEST = st.builds(
    Wish,
    st.lists(_HARMLESS_RDN, max_size=3).flatmap(lambda dropped: _OWN_NAME.map(lambda own: [*dropped, own])),
    _SANS,
    st.lists(_HARMLESS_EXTENSION, max_size=3, unique_by=lambda extension: der.read_one(extension).children()[0].raw),
    st.lists(_ATTRIBUTE, max_size=2, unique_by=lambda each: der.read_one(each).children()[0].raw),
)
"""What does no harm and is dropped: most of these must be issued, or the property would hold of nothing."""
_GREEDY = st.builds(
    Wish,
    st.lists(_HARMLESS_RDN | _OWN_NAME | _ANY_RDN, max_size=4),
    _SANS | _ANY_SANS,
    st.lists(_HARMLESS_EXTENSION | _ANY_EXTENSION, max_size=3),
    st.lists(_ATTRIBUTE, max_size=3),
)


def fields(der_octets: bytes) -> dict[str, object]:
    """Everything that a certificate says, but for its serial number and its signature."""
    found = x509.load_der_x509_certificate(der_octets)
    tbs = der.read_one(der_octets).children()[0].children()
    return {
        "version": found.version,
        "algorithm": tbs[2].raw,
        "issuer": tbs[3].raw,
        "life": found.not_valid_after_utc - found.not_valid_before_utc,
        "subject": tbs[5].raw,
        "key": tbs[6].raw,
        "extensions": tbs[7].raw,
        "parts": len(tbs),
    }


def test_no_request_puts_anything_into_a_certificate(record_property: Callable[[str, object], None]) -> None:
    """POL-1, POL-2, POL-4: what is issued is what a plain request gets, to the octet; a third and more is issued."""
    world = Target()
    outcomes: Counter[bool] = Counter()
    plain = _issued(world, Device(world), Wish([], (), [], []), -1)
    assert plain is not None
    expected = fields(plain)
    assert x509.load_der_x509_certificate(plain).subject.rfc4514_string() == "CN=laptop-1"

    @settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
    @given(wish=_MODEST | _GREEDY)
    def holds(wish: Wish) -> None:
        number = outcomes.total()
        device = Device(world, transaction=Transaction(b"property %d" % number), source=f"198.51.100.{number % 250}")
        octets = _issued(world, device, wish, number)
        outcomes[octets is not None] += 1
        if octets is not None:
            assert fields(octets) == expected

    holds()
    record_property("issued", f"{outcomes[True]} of {outcomes.total()}")
    assert outcomes[True] >= 0.3 * outcomes.total(), outcomes


def _issued(world: Target, device: Device, wish: Wish, number: int) -> bytes | None:
    """Enrol in a minute and with a key's allowance of its own; the certificate, if there is one."""
    world.pass_minutes(60 * 24 if number % 4 == 0 else 2)
    secret = world.mint("laptop-1", "laptop-1.example.com")
    before = {row.id for row in world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=10_000))}
    answer = world.send(message_of(device, wish.csr(device, secret)), source=device.source)
    assert isinstance(answer, CertRep), answer
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=10_000))
    fresh = [row.der for row in rows if row.id not in before]
    assert len(fresh) == answer.issued
    return fresh[0] if fresh else None
