"""Names: what may stand in a certificate, how it is encoded, how names compare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import thread_time

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.errors import InvariantError, PeerError
from regalia.model import Names, San, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import SignatureAlgorithm, TbsCertificate, assemble, encode_tbs, subject_alt_name
from regalia.wire.names import (
    check_names,
    check_organisation,
    encode_name,
    encode_sans,
    make_san,
    name_text,
    read_sans,
    same_name,
)

_LABEL = st.from_regex(r"[a-z0-9]([a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
_DNS = st.builds(lambda host, zone: f"{host}.{zone}.example", _LABEL, _LABEL)
_SANS = st.one_of(
    _DNS.map(lambda text: San(SanKind.DNS, text)),
    st.builds(lambda local, domain: San(SanKind.EMAIL, f"{local}@{domain}"), _LABEL, _DNS),
    st.builds(lambda path: San(SanKind.URI, f"urn:device:{path}"), _LABEL),
    st.ip_addresses().map(lambda address: San(SanKind.IP, str(address))),
)
# The independent parser counts 64 UTF-8 octets where RFC 5280 counts 64 characters.
_CN = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=32).filter(
    lambda text: (
        not text.startswith("*") and len(text.encode()) <= 64 and not set(text) & set("\u115f\u1160\u3164\uffa0")
    )
)


def _refusal(names: Names) -> str:
    with pytest.raises(PeerError) as caught:
        check_names(names)
    assert caught.value.reason is reasons.NAME_MALFORMED
    assert caught.value.detail.isprintable()
    return caught.value.detail


# --- IN-8, POL-2, POL-5 ---------------------------------------------------------------------------------------------


@given(_CN, st.frozensets(_SANS, max_size=20))
def test_ordinary_names_pass(cn: str, sans: frozenset[San]) -> None:
    """Printing text and normalised alternative names are accepted."""
    check_names(Names(cn, sans))


@pytest.mark.parametrize(
    ("cn", "why"),
    [
        ("", "is empty"),
        (" laptop", "begins or ends with a space"),
        ("x" * 65, "65 characters"),
        ("a\x00b", "U+0000"),
        ("a\x9fb", "U+009F"),
        ("a\u202eb", "U+202E"),
        ("a\u2066b", "U+2066"),
        ("a\u200bb", "U+200B"),
        ("a\ufeffb", "U+FEFF"),
        ("a\u3164b", "U+3164"),
        ("a\ud800b", "U+D800"),
        ("a\u2028b", "U+2028"),
        ("*", "wildcard"),
        ("*.example.com", "wildcard"),
    ],
)
def test_in8_common_names_that_mislead_are_refused(cn: str, why: str) -> None:
    """IN-8: a common name with characters that do not print, too long, padded or wild is refused and shown escaped."""
    assert why in _refusal(Names(cn))


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        (SanKind.DNS, "*.example.com", "wildcard"),
        (SanKind.DNS, "host", "fully qualified"),
        (SanKind.DNS, "host.example.com.", "letters, digits and hyphens"),
        (SanKind.DNS, "-a.example.com", "letters, digits and hyphens"),
        (SanKind.DNS, "a_b.example.com", "letters, digits and hyphens"),
        (SanKind.DNS, "büro.example.com", "xn--"),
        (SanKind.DNS, "xn--.example.com", "xn--"),
        (SanKind.DNS, "xn--abc-.example.com", "xn--"),
        (SanKind.DNS, "a..example.com", "letters, digits and hyphens"),
        (SanKind.DNS, "host.example.com\n", "letters, digits and hyphens"),
        (SanKind.DNS, "192.0.2.7", "an address is not a DNS name"),
        (SanKind.DNS, ".".join(["a" * 60] * 5), "longer than 253"),
        (SanKind.DNS, "a" * 64 + ".example.com", "letters, digits and hyphens"),
        (SanKind.EMAIL, "alice", "one @"),
        (SanKind.EMAIL, "a@b@example.com", "one @"),
        (SanKind.EMAIL, "@example.com", "quoting"),
        (SanKind.EMAIL, "a b@example.com", "quoting"),
        (SanKind.EMAIL, "alice@localhost", "fully qualified"),
        (SanKind.EMAIL, "a" * 65 + "@example.com", "one @"),
        (SanKind.URI, "no-scheme", "absolute URI"),
        (SanKind.URI, "urn:bürö", "absolute URI"),
        (SanKind.URI, "urn:a b", "absolute URI"),
        (SanKind.URI, "urn:%zz", "absolute URI"),
        (SanKind.URI, "urn:" + "a" * 300, "absolute URI"),
        (SanKind.IP, "192.0.2.300", "not an IP address"),
        (SanKind.IP, "fe80::1%eth0", "zone"),
        (SanKind.IP, "192.0.2.0/24", "not an IP address"),
        (SanKind.OTHER, "1.2.3:00", "do not issue"),
    ],
)
def test_pol5_malformed_alternative_names_are_refused(kind: SanKind, text: str, why: str) -> None:
    """POL-5: an alternative name that breaks the rule of its kind is refused, also when asked for as it stands."""
    assert why in _refusal(Names(None, frozenset({San(kind, text)})))
    with pytest.raises(PeerError, match="RA-023"):
        make_san(kind, text)


@pytest.mark.parametrize(
    "uri",
    [
        "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-2-3-500",
        "TAG:Microsoft.com,2022-09-14:SID:S-1-5-21-1-2-3-500",
        "tag:microsoft.com,2022-09-14:%73id:S-1-5-21-1-2-3-500",
    ],
)
def test_pol2_a_sid_in_a_uri_is_refused(uri: str) -> None:
    """POL-2: the URI form of a Windows SID is refused however it is spelt."""
    assert "SID" in _refusal(Names(None, frozenset({San(SanKind.URI, uri)})))


def test_in8_more_than_twenty_alternative_names_are_refused() -> None:
    """IN-8: the twenty-first alternative name is one too many."""
    sans = [San(SanKind.DNS, f"h{number}.example.com") for number in range(21)]
    check_names(Names(None, frozenset(sans[:20])))
    assert "21 alternative names" in _refusal(Names(None, frozenset(sans)))


def test_a_name_that_is_not_in_normal_form_is_refused() -> None:
    """A name that was not made by make_san cannot reach a certificate."""
    assert "normal form" in _refusal(Names(None, frozenset({San(SanKind.DNS, "HOST.example.com")})))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (SanKind.DNS, "Host.Example.COM", "host.example.com"),
        (SanKind.DNS, "xn--bro-hoa.example.com", "xn--bro-hoa.example.com"),
        (SanKind.EMAIL, "Alice.B@Example.COM", "Alice.B@example.com"),
        (SanKind.URI, "urn:uuid:F81D4FAE", "urn:uuid:F81D4FAE"),
        (SanKind.IP, "2001:DB8:0:0::1", "2001:db8::1"),
    ],
)
def test_make_san_normalises(kind: SanKind, text: str, value: str) -> None:
    """DNS names and e-mail domains become lower-case, addresses take their shortest form."""
    assert make_san(kind, text) == San(kind, value)


def test_an_organisation_follows_the_same_rules() -> None:
    """An organisation with a bidirectional control is refused."""
    check_organisation("Müller & Söhne")
    with pytest.raises(PeerError, match=r"U\+202E"):
        check_organisation("a\u202eb")


# --- encoding -------------------------------------------------------------------------------------------------------


@given(_CN, st.none() | _CN)
def test_what_we_encode_as_a_name_is_read_the_same(cn: str, organisation: str | None) -> None:
    """A Name of ours is read by an independent parser with the same values in the same order."""
    rdns = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    if organisation is not None:
        rdns.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    assert encode_name(cn=cn, organisation=organisation) == x509.Name(rdns).public_bytes()


def test_no_names_give_the_empty_name() -> None:
    """Without CN and O the Name is an empty SEQUENCE."""
    assert encode_name(cn=None) == b"\x30\x00"


def test_in8_a_subject_over_one_kibibyte_is_refused() -> None:
    """IN-8: the whole subject has at most 1 KiB."""
    with pytest.raises(PeerError, match="1024"):
        encode_name(cn="\U0001f4bb" * 64, organisation="\U0001f4bb" * 250)


@given(st.frozensets(_SANS, min_size=1, max_size=20))
def test_alternative_names_survive_the_way_there_and_back(sans: frozenset[San]) -> None:
    """GeneralNames of ours are read by us and by an independent parser with the same values."""
    encoded = encode_sans(sans)
    theirs = x509.Extension(x509.SubjectAlternativeName.oid, critical=False, value=_their_san(encoded))
    assert read_sans(encoded) == sans
    assert theirs.value.public_bytes() == encoded


def _their_san(general_names: bytes) -> x509.SubjectAlternativeName:
    """Read by way of a request, the shortest thing that carries a SAN and that the independent parser reads."""
    extension = der.sequence(der.oid(oids.CE_SUBJECT_ALT_NAME), der.octet_string(general_names))
    request = der.sequence(
        der.oid("1.2.840.113549.1.9.14"),
        der.set_of([der.sequence(extension)]),
    )
    spki = der.sequence(der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null()), der.bit_string(b"\x30\x00"))
    info = der.sequence(der.integer(0), der.sequence(), spki, der.context(0, request))
    csr = der.sequence(info, der.sequence(der.oid(oids.SHA256_WITH_RSA), der.null()), der.bit_string(b""))
    found = x509.load_der_x509_csr(csr).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return found.value


def test_other_kinds_are_read_but_never_written() -> None:
    """An unknown otherName or a directoryName is read as OTHER with its octets, and cannot be encoded."""
    upn = der.context(0, der.oid("1.3.6.1.4.1.311.20.2.9"), der.context(0, der.utf8_string("a@b")))
    directory = der.context(4, encode_name(cn="x"))
    odd_ip = der.context(7, b"12345", constructed=False)
    sans = read_sans(der.sequence(upn, directory, odd_ip))
    assert San(SanKind.OTHER, "1.3.6.1.4.1.311.20.2.9:0c03614062") in sans
    assert San(SanKind.OTHER, f"[4]:{encode_name(cn='x').hex()}") in sans
    assert San(SanKind.OTHER, f"[7]:{b'12345'.hex()}") in sans
    with pytest.raises(InvariantError):
        encode_sans(sans)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30\x00",
        der.sequence(der.utf8_string("host.example.com")),
        der.sequence(der.context(2, b"h\xf6st.example.com", constructed=False)),
        der.sequence(der.context(0, der.oid("1.2.3"))),
        der.sequence(der.context(2, b"a.b", constructed=False)) + b"\x00",
    ],
)
def test_in4_general_names_that_are_none_are_refused(octets: bytes) -> None:
    """IN-4, IN-5: empty, untagged, non-ASCII, cut or trailed GeneralNames raise DerError."""
    with pytest.raises(der.DerError):
        read_sans(octets)


@given(st.binary(max_size=200))
def test_in1_readers_raise_der_error_and_nothing_else(octets: bytes) -> None:
    """IN-1: whatever the octets, a reader of names answers or raises DerError."""
    for reader in (read_sans, name_text):
        try:
            reader(octets)
        except der.DerError:
            continue


# --- text and comparison --------------------------------------------------------------------------------------------


@given(_CN, st.none() | _CN)
def test_name_text_agrees_with_an_independent_writer(cn: str, organisation: str | None) -> None:
    """The RFC 4514 text of our names reads back to the same Name."""
    encoded = encode_name(cn=cn, organisation=organisation)
    assert x509.Name.from_rfc4514_string(name_text(encoded)).public_bytes() == encoded


def test_name_text_escapes_what_does_not_print() -> None:
    """Controls in a foreign name show as hex pairs, unknown types as dotted identifiers."""
    hostile = der.set_of([der.sequence(der.oid(oids.AT_COMMON_NAME), der.utf8_string("#a\x00\u202e, "))])
    strange = der.set_of([der.sequence(der.oid("1.2.3.4"), der.integer(7))])
    assert name_text(der.sequence(hostile, strange)) == "1.2.3.4=#020107,CN=\\#a\\00\\e2\\80\\ae\\,\\ "


def _cn(value: bytes) -> bytes:
    return der.sequence(der.set_of([der.sequence(der.oid(oids.AT_COMMON_NAME), value)]))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (der.printable_string("Staff CA"), True),
        (der.utf8_string("STAFF  ca "), True),
        (der.tlv(0x1E, "Staff CA".encode("utf-16-be")), True),
        (der.utf8_string("Staff\u00a0CA"), True),
        (der.utf8_string("StaffCA"), False),
        (der.integer(1), False),
        (der.utf8_string("Staff CB"), False),
    ],
)
def test_names_compare_by_rfc_5280(other: bytes, same: bool) -> None:  # noqa: FBT001 - a table of outcomes
    """RFC 5280 §7.1, R7: case, runs of spaces and string type do not matter, everything else does."""
    assert same_name(_cn(der.utf8_string("Staff CA")), _cn(other)) is same


def test_names_with_rdns_in_another_order_differ() -> None:
    """The order of RDNs matters, the order of attributes within one does not."""
    cn = der.sequence(der.oid(oids.AT_COMMON_NAME), der.utf8_string("a"))
    o = der.sequence(der.oid(oids.AT_ORGANIZATION_NAME), der.utf8_string("b"))
    assert not same_name(
        der.sequence(der.set_of([cn]), der.set_of([o])), der.sequence(der.set_of([o]), der.set_of([cn]))
    )
    assert same_name(der.sequence(der.tlv(der.SET, cn, o)), der.sequence(der.tlv(der.SET, o, cn)))


def test_a_name_that_cannot_be_read_equals_only_itself() -> None:
    """Broken octets compare octet for octet."""
    assert same_name(b"\x30\x05", b"\x30\x05")
    assert not same_name(b"\x30\x05", encode_name(cn="a"))


def test_a_name_of_more_than_a_kibibyte_equals_only_itself() -> None:
    """IN-3, IN-8, RES-4: two names of 40 000 octets of combining marks are told apart without being normalised."""
    marks = "a" + "\u0301" * 10_000 + "\u0327" * 10_000
    one, other = _cn(der.utf8_string(marks)), _cn(der.utf8_string(marks + "b"))
    begun = thread_time()
    assert not same_name(one, other)
    assert same_name(one, bytes(one))
    assert thread_time() - begun < 0.1, "a comparison by RFC 5280 takes more than a second"


# --- names of Windows, of devices and of hardware ---------------------------------------------------------------------

_OTHERS = (
    San(SanKind.UPN, "Ada.Lovelace@example.com"),
    San(SanKind.UPN, "zoë@example.com"),
    San(SanKind.PERMANENT_IDENTIFIER, "C02XK1ZZJGH5"),
    San(SanKind.PERMANENT_IDENTIFIER, "a/b/1.3.6.1.4.1.99999"),
    San(SanKind.HARDWARE_MODULE, "1.3.6.1.4.1.99999.1/00ff10"),
)


@pytest.mark.parametrize("san", _OTHERS, ids=str)
def test_other_names_survive_writing_and_reading(san: San) -> None:
    """UPN, permanentIdentifier (RFC 4043) and hardwareModuleName (RFC 4108) come back as they were written."""
    check_names(Names(sans=frozenset({san})))
    assert read_sans(encode_sans(frozenset({san}))) == {san}


@pytest.mark.parametrize("san", _OTHERS, ids=str)
def test_other_names_are_read_alike_by_a_parser_of_other_make(san: San) -> None:
    """An independent reader finds an otherName of the right type, and the octets of the standard in it."""
    names = x509.load_der_x509_certificate(_certificate_with(encode_sans(frozenset({san})))).extensions
    (name,) = names.get_extension_for_class(x509.SubjectAlternativeName).value
    assert isinstance(name, x509.OtherName)
    if san.kind is SanKind.UPN:
        assert name.type_id.dotted_string == "1.3.6.1.4.1.311.20.2.3"
        assert asn1.decode_der(str, name.value) == san.value
    elif san.kind is SanKind.PERMANENT_IDENTIFIER:
        read = asn1.decode_der(_PermanentIdentifier, name.value)
        assigner = f"/{read.assigner.dotted_string}" if read.assigner is not None else ""
        assert f"{read.value}{assigner}" == san.value
    else:
        module = asn1.decode_der(_HardwareModuleName, name.value)
        assert f"{module.type.dotted_string}/{module.number.hex()}" == san.value


@asn1.sequence
class _PermanentIdentifier:
    value: str | None
    assigner: x509.ObjectIdentifier | None


@asn1.sequence
class _HardwareModuleName:
    type: x509.ObjectIdentifier
    number: bytes


def _certificate_with(general_names: bytes) -> bytes:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    tbs = TbsCertificate(
        serial=1 << 100,
        signature=SignatureAlgorithm.ECDSA_SHA256,
        issuer=encode_name(cn="x"),
        not_before=now,
        not_after=now + timedelta(days=1),
        subject=encode_name(cn="y"),
        public_key=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        extensions=(subject_alt_name(general_names),),
    )
    octets = encode_tbs(tbs)
    return assemble(octets, tbs.signature, key.sign(octets, ec.ECDSA(hashes.SHA256())))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SanKind.UPN, "ada"),
        (SanKind.UPN, "ada@localhost"),
        (SanKind.UPN, "a b@example.com"),
        (SanKind.UPN, "EXAMPLE\\ada@example.com"),
        (SanKind.UPN, "ada@lovelace@example.com"),
        (SanKind.UPN, "ad\u202ea@example.com"),
        (SanKind.PERMANENT_IDENTIFIER, ""),
        (SanKind.PERMANENT_IDENTIFIER, "a\u0000b"),
        (SanKind.PERMANENT_IDENTIFIER, "x" * 257),
        (SanKind.HARDWARE_MODULE, "00ff"),
        (SanKind.HARDWARE_MODULE, "1.3.6.1/0F"),
        (SanKind.HARDWARE_MODULE, "1.3.6.1/"),
        (SanKind.HARDWARE_MODULE, "1.40.6/00"),
    ],
)
def test_pol5_other_names_that_no_certificate_carries(kind: SanKind, text: str) -> None:
    """POL-5 and IN-8: a UPN has one @ and a whole domain; identifiers print; modules are an OID and hex digits."""
    with pytest.raises(PeerError):
        check_names(Names(sans=frozenset({San(kind, text)})))


def test_other_names_of_another_form_are_what_nobody_issues() -> None:
    """A UPN that is no UTF8String, or an identifier with something behind it, is read as OTHER, which is refused."""
    upn = der.context(0, der.oid(oids.ON_MS_UPN), der.context(0, der.printable_string("a@example.com")))
    odd = der.sequence(der.utf8_string("a"), der.oid("1.2.3"), der.null())
    permanent = der.context(0, der.oid(oids.ON_PERMANENT_IDENTIFIER), der.context(0, odd))
    ambiguous = der.context(
        0, der.oid(oids.ON_PERMANENT_IDENTIFIER), der.context(0, der.sequence(der.utf8_string("a/1.2.3")))
    )
    for name in (upn, permanent, ambiguous):
        (read,) = read_sans(der.sequence(name))
        assert read.kind is SanKind.OTHER


def test_pol2_a_sid_stands_only_where_it_was_vouched_for() -> None:
    """POL-2: the URI form of a SID is allowed for exactly the SID that the names were vouched for with."""
    sid = "S-1-5-21-3623811015-3361044348-30300820-1013"
    uri = frozenset({San(SanKind.URI, f"tag:microsoft.com,2022-09-14:sid:{sid}")})
    check_names(Names("x", uri, sid=sid))
    for names in (Names("x", uri), Names("x", uri, sid=sid[:-1]), Names("x", sid="S-1-5-21-x"), Names(sid="500")):
        with pytest.raises(PeerError):
            check_names(names)


# --- further attributes of a subject ---------------------------------------------------------------------------------


def test_a_subject_goes_from_the_general_to_the_special() -> None:
    """Attributes stand in one order, whatever order they came in; those of one kind keep theirs."""
    rdns = (("ou", "Sales"), ("dc", "com"), ("dc", "example"), ("ou", "North"), ("serial-number", "C02"), ("c", "DE"))
    subject = x509.load_der_x509_certificate(_named(encode_name(cn="x", organisation="Example", rdns=rdns))).subject
    assert subject.rfc4514_string() == "CN=x,2.5.4.5=C02,OU=North,OU=Sales,O=Example,DC=example,DC=com,C=DE"
    assert encode_name(cn="x", rdns=(("o", "Example"),)) == encode_name(cn="x", organisation="Example")


def _named(subject: bytes) -> bytes:
    certificate = der.read_one(_certificate_with(encode_sans(frozenset({San(SanKind.DNS, "a.example.com")}))))
    info, algorithm, signature = certificate.children()
    parts = [part.raw for part in info.children()]
    parts[5] = subject
    return der.sequence(der.sequence(*parts), algorithm.raw, signature.raw)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("c", "de"),
        ("c", "DEU"),
        ("dc", "example.com"),
        ("serial-number", "ä"),
        ("ou", "x" * 65),
        ("ou", " x"),
        ("ou", "a\u200bb"),
        ("e", "a@example.com"),
    ],
)
def test_in8_attributes_that_a_subject_cannot_hold(keyword: str, text: str) -> None:
    """IN-8: length, alphabet and form of each attribute of a subject are judged before it is written."""
    with pytest.raises(PeerError):
        check_names(Names("x", rdns=((keyword, text),)))
