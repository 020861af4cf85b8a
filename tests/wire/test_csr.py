"""PKCS #10 requests: what clients ask, what is refused, and proof of possession."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from regalia import reasons
from regalia.errors import PeerError
from regalia.model import Names, San, SanKind
from regalia.wire import der, oids
from regalia.wire.algorithms import STANDARD, Accepted, Digest, read_algorithm
from regalia.wire.certificate import SignatureAlgorithm
from regalia.wire.csr import Csr, build_csr, read_csr, verify_possession, without_challenge
from regalia.wire.rsa_parameters import pss_identifier
from scep_parts import (
    DEVICE,
    NON_RSA,
    algorithm,
    attribute,
    ec_identity,
    identity,
    key_identity,
    make_csr,
    pss,
)

BMP_STRING = 0x1E
TELETEX_STRING = 0x14


def rdn(*pairs: tuple[str, bytes]) -> bytes:
    """One RelativeDistinguishedName."""
    return der.tlv(der.SET, *(der.sequence(der.oid(oid), value) for oid, value in pairs))


def csr(
    *,
    subject: bytes | None = None,
    attributes: bytes = b"",
    version: int = 0,
    spki: bytes | None = None,
    after_info: bytes = b"",
    signature_algorithm: bytes | None = None,
    digest: Digest = Digest.SHA256,
) -> bytes:
    """A request with parts of choice, signed by the device."""
    name = der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string("device-1")))) if subject is None else subject
    info = der.sequence(
        der.integer(version), name, DEVICE().spki if spki is None else spki, der.context(0, attributes), after_info
    )
    signature = DEVICE().rsa.sign(info, PKCS1v15(), digest.hash())
    return der.sequence(info, signature_algorithm or algorithm(oids.SHA256_WITH_RSA), der.bit_string(signature))


def extensions(*items: tuple[str, bytes], kind: str = oids.EXTENSION_REQUEST) -> bytes:
    """An extension request attribute."""
    return attribute(kind, der.sequence(*(der.sequence(der.oid(oid), der.octet_string(value)) for oid, value in items)))


def dns(*names: str) -> tuple[str, bytes]:
    """A subjectAltName extension with DNS names."""
    value = der.sequence(*(der.context(2, name.encode(), constructed=False) for name in names))
    return oids.CE_SUBJECT_ALT_NAME, value


def refusal(octets: bytes) -> PeerError:
    """Why a request is refused."""
    with pytest.raises(PeerError) as refused:
        read_csr(octets)
    return refused.value


CHALLENGE = attribute(oids.CHALLENGE_PASSWORD, der.printable_string("hunter2"))


# --- reading --------------------------------------------------------------------------------------------------------


def test_an_independent_builder_and_our_reader_agree() -> None:
    """A request made by `cryptography` is read in full."""
    key = DEVICE().rsa
    built = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                    x509.NameAttribute(NameOID.COMMON_NAME, "Laptop 7"),
                ]
            )
        )
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"s3cret")
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("Laptop7.example.com"), x509.RFC822Name("a@Example.com")]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA384())
    )
    read = read_csr(built.public_bytes(Encoding.DER))
    verify_possession(read)
    assert read.asked == Names(
        "Laptop 7", frozenset({San(SanKind.DNS, "laptop7.example.com"), San(SanKind.EMAIL, "a@example.com")})
    )
    assert (read.challenge, read.dropped) == ("s3cret", ("C=DE", "O=Example"))
    assert [(item.oid, item.critical) for item in read.extensions] == [(oids.CE_BASIC_CONSTRAINTS, True)]
    assert read.public_key == DEVICE().spki
    assert read.signature_oid == oids.SHA384_WITH_RSA


_NAME = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=64)


@given(st.none() | _NAME, st.none() | _NAME, st.frozensets(st.sampled_from(["a.example", "b.example"])))
def test_what_our_client_builds_our_server_reads(cn: str | None, challenge: str | None, hosts: frozenset[str]) -> None:
    """Names and challenge of any text survive the way from the client's builder to the reader."""
    sans = frozenset(San(SanKind.DNS, host) for host in hosts)
    octets = build_csr(
        cn=cn,
        sans=sans,
        public_key=DEVICE().spki,
        challenge=challenge,
        sign=DEVICE().signer(Digest.SHA256),
        signature=SignatureAlgorithm.RSA_SHA256,
    )
    read = read_csr(octets)
    verify_possession(read)
    assert (read.asked, read.challenge, read.extensions) == (Names(cn, sans), challenge, ())


def test_an_independent_parser_reads_what_we_build() -> None:
    """`cryptography` reads our requests and finds their signature valid."""
    loaded = x509.load_der_x509_csr(make_csr())
    assert loaded.is_signature_valid
    assert loaded.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value == b"hunter2"


def test_attributes_come_in_any_order() -> None:
    """StrongSwan's unsorted attributes are read, and the signature holds over them as sent (R7)."""
    parts = [CHALLENGE, extensions(dns("a.example.com"))]
    for order in (parts, parts[::-1]):
        read = read_csr(csr(attributes=b"".join(order)))
        verify_possession(read)
        assert (read.challenge, len(read.asked.sans)) == ("hunter2", 1)


def test_microsofts_extension_request_is_one() -> None:
    """Extensions under Microsoft's own attribute type are read like the standard ones."""
    read = read_csr(csr(attributes=extensions(dns("a.example.com"), kind=oids.MICROSOFT_EXTENSION_REQUEST)))
    assert read.asked.sans == {San(SanKind.DNS, "a.example.com")}


def test_attributes_nobody_reads_are_listed() -> None:
    """FriendlyName and unknown attributes do not disturb and are named among what was dropped (R5)."""
    others = attribute(oids.FRIENDLY_NAME, der.tlv(BMP_STRING, b"\x00x")) + attribute("1.2.3.4", der.null(), der.null())
    assert read_csr(csr(attributes=others)).dropped == ("friendlyName", "1.2.3.4")


@pytest.mark.parametrize(
    ("value", "challenge"),
    [
        (der.printable_string("hunter2"), "hunter2"),
        (der.utf8_string("pä55"), "pä55"),
        (der.tlv(der.IA5_STRING, b"a_b@c"), "a_b@c"),
        (der.tlv(der.PRINTABLE_STRING, b"under_score"), "under_score"),
        (der.printable_string(""), None),
    ],
)
def test_challenges_of_three_string_types_are_read(value: bytes, challenge: str | None) -> None:
    """ChallengePassword is a PrintableString, UTF8String or IA5String; an empty one is none (IN-4)."""
    assert read_csr(csr(attributes=attribute(oids.CHALLENGE_PASSWORD, value))).challenge == challenge


@pytest.mark.parametrize(
    ("value", "cn"),
    [
        (der.utf8_string("Gerät"), "Gerät"),
        (der.printable_string("plain"), "plain"),
        (der.tlv(BMP_STRING, "Büro".encode("utf-16-be")), "Büro"),
        (der.tlv(TELETEX_STRING, b"B\xfcro"), "Büro"),
        (der.utf8_string("a\nb\u202e"), "a\nb\u202e"),
    ],
)
def test_common_names_come_as_asked(value: bytes, cn: str) -> None:
    """A common name of any string type is decoded and handed on unjudged: `check_names` judges it."""
    assert read_csr(csr(subject=der.sequence(rdn((oids.AT_COMMON_NAME, value))))).asked.cn == cn


def test_a_subject_may_be_empty() -> None:
    """An empty subject asks for no common name."""
    assert read_csr(csr(subject=der.sequence())).asked == Names()


def test_other_rdns_are_dropped_as_text() -> None:
    """What stands beside the common name is listed as text, escaped, or as hex where it is no string."""
    subject = der.sequence(
        rdn((oids.AT_ORGANIZATION_NAME, der.utf8_string("a\nb"))),
        rdn((oids.AT_SERIAL_NUMBER, der.printable_string("42")), (oids.UNSTRUCTURED_NAME, der.null())),
        rdn((oids.AT_ORGANIZATIONAL_UNIT_NAME, der.utf8_string("x" * 300))),
        rdn((oids.AT_ORGANIZATIONAL_UNIT_NAME, der.utf8_string("y"))),
    )
    expected = ("O=a\\nb", "serialNumber=42", "unstructuredName=#0500", f"OU={'x' * 256}…", "OU=y")
    assert read_csr(csr(subject=subject)).dropped == expected


# --- ambiguity (POL-4) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param(CHALLENGE * 2, id="challenge"),
        pytest.param(
            attribute(oids.CHALLENGE_PASSWORD, der.printable_string("a"), der.printable_string("b")), id="two values"
        ),
        pytest.param(extensions(dns("a.example")) * 2, id="extension request"),
        pytest.param(
            extensions(dns("a.example")) + extensions(dns("a.example"), kind=oids.MICROSOFT_EXTENSION_REQUEST),
            id="standard and Microsoft",
        ),
        pytest.param(extensions(dns("a.example"), dns("b.example")), id="alternative names"),
        pytest.param(
            extensions((oids.CE_KEY_USAGE, der.bit_string(b"\x80", 7)), (oids.CE_KEY_USAGE, b"\x05\x00")),
            id="key usage",
        ),
        pytest.param(attribute("1.2.3.4", der.null()) * 2, id="unknown"),
    ],
)
def test_attributes_and_extensions_stand_once(attributes: bytes) -> None:
    """An attribute, its value or an extension that stands twice is refused as ambiguous (POL-4)."""
    assert refusal(csr(attributes=attributes)).reason is reasons.CSR_AMBIGUOUS


@pytest.mark.parametrize(
    "subject",
    [
        der.sequence(
            rdn((oids.AT_COMMON_NAME, der.utf8_string("a"))), rdn((oids.AT_COMMON_NAME, der.utf8_string("b")))
        ),
        der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string("a")), (oids.AT_COMMON_NAME, der.utf8_string("b")))),
        der.sequence(rdn((oids.AT_SERIAL_NUMBER, der.utf8_string("a")), (oids.AT_SERIAL_NUMBER, der.utf8_string("b")))),
    ],
    ids=["two CNs", "two CNs in one RDN", "one type twice in one RDN"],
)
def test_names_stand_once(subject: bytes) -> None:
    """A second common name, or one type twice in one RDN, is refused as ambiguous (POL-4)."""
    assert refusal(csr(subject=subject)).reason is reasons.CSR_AMBIGUOUS


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"version": 1}, id="version"),
        pytest.param({"subject": der.set_of([])}, id="subject is a SET"),
        pytest.param({"subject": der.sequence(rdn())}, id="empty RDN (IN-4)"),
        pytest.param({"subject": der.sequence(rdn((oids.AT_COMMON_NAME, der.utf8_string(""))))}, id="empty CN (IN-4)"),
        pytest.param(
            {"subject": der.sequence(rdn((oids.AT_COMMON_NAME, der.tlv(der.UTF8_STRING, b"\xff"))))}, id="CN not UTF-8"
        ),
        pytest.param({"subject": der.sequence(rdn((oids.AT_COMMON_NAME, der.null())))}, id="CN no string"),
        pytest.param(
            {"subject": der.sequence(rdn((oids.AT_ORGANIZATION_NAME, der.tlv(der.UTF8_STRING, b"\xff"))))},
            id="O not UTF-8",
        ),
        pytest.param(
            {"subject": der.sequence(rdn((oids.AT_COMMON_NAME, der.tlv(BMP_STRING, b"\xd8\x00"))))}, id="lone surrogate"
        ),
        pytest.param({"spki": der.null()}, id="no key"),
        pytest.param({"after_info": der.null()}, id="something after the attributes"),
        pytest.param({"attributes": attribute(oids.CHALLENGE_PASSWORD)}, id="challenge without value (IN-4)"),
        pytest.param({"attributes": attribute("1.2.3.4")}, id="attribute without value (IN-4)"),
        pytest.param({"attributes": attribute(oids.CHALLENGE_PASSWORD, der.octet_string(b"x"))}, id="challenge type"),
        pytest.param(
            {"attributes": attribute(oids.CHALLENGE_PASSWORD, der.tlv(der.UTF8_STRING, b"\xff"))}, id="challenge octets"
        ),
        pytest.param({"attributes": extensions()}, id="no extension (IN-4)"),
        pytest.param({"attributes": extensions((oids.CE_SUBJECT_ALT_NAME, der.sequence()))}, id="no SAN (IN-4)"),
        pytest.param({"attributes": extensions((oids.CE_SUBJECT_ALT_NAME, b""))}, id="SAN of no octets"),
        pytest.param(
            {"attributes": extensions((oids.CE_SUBJECT_ALT_NAME, dns("a.example")[1] + b"\x00"))}, id="SAN and an octet"
        ),
        pytest.param({"attributes": attribute(oids.EXTENSION_REQUEST, der.sequence(der.sequence()))}, id="extension"),
        pytest.param(
            {
                "attributes": attribute(
                    oids.EXTENSION_REQUEST,
                    der.sequence(
                        der.sequence(der.oid(oids.CE_KEY_USAGE), der.boolean(value=False), der.octet_string(b""))
                    ),
                )
            },
            id="critical FALSE written out",
        ),
        pytest.param({"signature_algorithm": der.sequence()}, id="no signature algorithm"),
        pytest.param({"attributes": der.sequence(der.oid("1.2.3"))}, id="attribute without values"),
    ],
)
def test_requests_of_the_wrong_shape_are_refused(changes: dict[str, Any]) -> None:
    """Whatever is not exactly RFC 2986 in DER is refused."""
    assert refusal(csr(**changes)).reason is reasons.CSR_REFUSED


def test_trailing_octets_are_refused() -> None:
    """One octet after the request refuses it: else a CBC padding oracle on the challenge opens (ENV-4, IN-5)."""
    for octets in (make_csr() + b"\x00", make_csr() * 2, b"", b"\x30\x00"):
        assert refusal(octets).reason is reasons.CSR_REFUSED


def test_a_signature_is_a_whole_number_of_octets() -> None:
    """A signature with unused bits, or of no octets, is refused."""
    info, oid, _ = (part.raw for part in der.read_one(make_csr()).children())
    for bits in (der.bit_string(b"\x80", 7), der.bit_string(b""), der.octet_string(b"\x00\x01")):
        assert refusal(der.sequence(info, oid, bits)).reason is reasons.CSR_REFUSED


def test_ber_is_refused_in_a_request() -> None:
    """A request with an indefinite length is refused: its signature covers DER (IN-3, R7)."""
    parts = der.read_one(make_csr()).content
    assert refusal(b"\x30\x80" + parts + b"\x00\x00").reason is reasons.CSR_REFUSED


# --- proof of possession --------------------------------------------------------------------------------------------


def _by(key: object, spki: bytes, oid: bytes, digest: Digest) -> Csr:
    info = der.sequence(der.integer(0), der.sequence(), spki, der.context(0))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(info, PKCS1v15(), digest.hash())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(info, ec.ECDSA(digest.hash()))
    else:
        assert isinstance(key, ed25519.Ed25519PrivateKey)
        signature = key.sign(info)
    return read_csr(der.sequence(info, oid, der.bit_string(signature)))


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_rsa_and_ecdsa_with_sha_2_prove_possession(digest: Digest) -> None:
    """RSA PKCS #1 v1.5 and ECDSA on P-256 and P-384 with SHA-2 are verified over the octets as sent (ENV-6)."""
    rsa_oids = {Digest.SHA256: oids.SHA256_WITH_RSA, Digest.SHA384: oids.SHA384_WITH_RSA}
    ec_oids = {Digest.SHA256: oids.ECDSA_WITH_SHA256, Digest.SHA384: oids.ECDSA_WITH_SHA384}
    verify_possession(_by(DEVICE().key, DEVICE().spki, algorithm(rsa_oids.get(digest, oids.SHA512_WITH_RSA)), digest))
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        key = ec.generate_private_key(curve)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        oid = algorithm(ec_oids.get(digest, oids.ECDSA_WITH_SHA512), b"")
        verify_possession(_by(key, spki, oid, digest))


def _unproven(request: Csr, accepted: Accepted = STANDARD) -> PeerError:
    with pytest.raises(PeerError) as refused:
        verify_possession(request, accepted)
    return refused.value


def test_a_signature_over_other_octets_proves_nothing() -> None:
    """A request altered after signing, or signed by another key, is refused (ENV-6)."""
    good = read_csr(make_csr())
    assert _unproven(replace(good, info=good.info[:-1] + b"x")).reason is reasons.POSSESSION_UNPROVEN
    assert _unproven(replace(good, signature=b"\x01")).reason is reasons.POSSESSION_UNPROVEN
    assert _unproven(replace(good, public_key=identity("other").spki)).reason is reasons.POSSESSION_UNPROVEN


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_pss_proves_possession(digest: Digest) -> None:
    """RSASSA-PSS proves possession with the digest and salt of its parameters, and with no others (ENV-6, R1)."""
    good = read_csr(make_csr())
    identifier = read_algorithm(der.read_one(pss_identifier(digest)))
    request = replace(good, signature_algorithm=identifier)
    verify_possession(replace(request, signature=pss(DEVICE(), digest)(good.info)))
    for wrong in (pss(DEVICE(), digest, salt=20), pss(DEVICE(), digest, mask=Digest.SHA1), DEVICE().signer(digest)):
        assert _unproven(replace(request, signature=wrong(good.info))).reason is reasons.POSSESSION_UNPROVEN


def test_pss_with_sha_1_proves_nothing() -> None:
    """The defaults of PSS, and SHA-1 in its mask alone, prove nothing, and are named."""
    good, sha1, sha256 = read_csr(make_csr()), algorithm(oids.SHA1), algorithm(oids.SHA256)
    mixed = der.sequence(der.context(0, sha256), der.context(1, algorithm(oids.MGF1, sha1)))
    for parameters, named in ((der.sequence(), "digest SHA-1"), (mixed, "MGF1 digest SHA-1")):
        identifier = read_algorithm(der.read_one(algorithm(oids.RSASSA_PSS, parameters)))
        refused = _unproven(replace(good, signature_algorithm=identifier))
        assert refused.reason is reasons.POSSESSION_UNPROVEN
        assert named in refused.detail


def test_sha_1_proves_possession_at_legacy_endpoints() -> None:
    """sha1WithRSAEncryption and the exponent 3 are taken with legacy, and refused without it (SIG-5, KEY-1)."""
    old = _by(DEVICE().key, DEVICE().spki, algorithm(oids.SHA1_WITH_RSA), Digest.SHA1)
    verify_possession(old, Accepted(legacy=True))
    assert _unproven(old).reason is reasons.POSSESSION_UNPROVEN
    key = rsa.generate_private_key(3, 2048)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    three = _by(key, spki, algorithm(oids.SHA256_WITH_RSA), Digest.SHA256)
    verify_possession(three, Accepted(legacy=True))
    assert _unproven(three).reason is reasons.KEY_REFUSED


@pytest.mark.parametrize("kind", NON_RSA)
def test_other_keys_prove_possession_where_they_are_taken(kind: str) -> None:
    """EC, Ed25519 and ML-DSA keys prove possession with non-rsa; the last two nowhere else (ENV-6, R1)."""
    _, oid, digest = NON_RSA[kind]
    owner, good = key_identity(kind), read_csr(make_csr())
    identifier = read_algorithm(der.read_one(algorithm(oid, b"")))
    request = replace(good, public_key=owner.spki, signature_algorithm=identifier)
    signed = replace(request, signature=owner.sign(good.info, digest))
    verify_possession(signed, Accepted(non_rsa=True))
    assert _unproven(replace(signed, info=b"other"), Accepted(non_rsa=True)).reason is reasons.POSSESSION_UNPROVEN
    other = replace(signed, public_key=DEVICE().spki)
    assert _unproven(other, Accepted(non_rsa=True)).detail == f"signature {identifier} by a key rsaEncryption"
    if kind.startswith("p-"):
        verify_possession(signed)
    else:
        assert _unproven(signed).reason is reasons.KEY_REFUSED


@pytest.mark.parametrize("oid", [oids.SHA1_WITH_RSA, oids.RSASSA_PSS, oids.RSA_ENCRYPTION, oids.ECDSA_WITH_SHA256])
def test_other_algorithms_prove_nothing(oid: str) -> None:
    """SHA-1, PSS without parameters and an algorithm of another key type prove nothing, and are named."""
    refused = _unproven(_by(DEVICE().key, DEVICE().spki, algorithm(oid), Digest.SHA256))
    assert refused.reason is reasons.POSSESSION_UNPROVEN
    assert oids.describe(oid) in refused.detail


def test_wycheproof_signature_cases() -> None:
    """Wycheproof's RSA signatures prove possession exactly where they should; keys with e = 3 never do (KEY-1)."""
    vectors = Path(__file__).parents[1] / "vectors" / "wycheproof" / "rsa_signature_2048_sha256_test.json"
    good, seen = read_csr(make_csr()), {"valid": 0, "invalid": 0}
    for group in json.loads(vectors.read_text())["testGroups"]:
        key = bytes.fromhex(group["publicKeyDer"])
        for case in group["tests"]:
            request = replace(
                good, info=bytes.fromhex(case["msg"]), public_key=key, signature=bytes.fromhex(case["sig"])
            )
            if int(group["publicKey"]["publicExponent"], 16) < 65537:
                assert _unproven(request).reason is reasons.KEY_REFUSED
            elif case["result"] == "valid":
                verify_possession(request)
            elif case["result"] == "invalid":
                assert _unproven(request).reason is reasons.POSSESSION_UNPROVEN
            seen[case["result"]] = seen.get(case["result"], 0) + 1
    assert min(seen["valid"], seen["invalid"]) > 5


def _spki(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_keys_out_of_bounds_are_not_verified_with() -> None:
    """RSA below 2048 bits, P-521 and Ed25519 are refused before any signature is looked at (KEY-1)."""
    short = identity("short", 1024)
    big = ec.generate_private_key(ec.SECP521R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    cases = [
        (_by(short.key, short.spki, algorithm(oids.SHA256_WITH_RSA), Digest.SHA256), "1024 bits"),
        (_by(big, _spki(big), algorithm(oids.ECDSA_WITH_SHA512, b""), Digest.SHA512), "P-521"),
        (_by(edwards, _spki(edwards), algorithm(oids.ED25519, b""), Digest.SHA512), "Ed25519"),
    ]
    for request, named in cases:
        refused = _unproven(request)
        assert refused.reason is reasons.KEY_REFUSED
        assert named in refused.detail


def _point_off_the_curve() -> bytes:
    spki = bytearray(ec_identity("curve").spki)
    spki[-1] ^= 1
    return bytes(spki)


@pytest.mark.parametrize(
    "spki",
    [
        der.sequence(),
        der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(b"")),
        der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.integer(3)))),
        der.sequence(algorithm(oids.EC_PUBLIC_KEY, der.sequence()), der.bit_string(b"\x04" * 65)),
        der.sequence(algorithm(oids.EC_PUBLIC_KEY, der.oid(oids.SECP256R1)), der.bit_string(b"\x00")),
    ],
)
def test_keys_that_are_none_are_refused(spki: bytes) -> None:
    """A key that cannot be read, explicit curve parameters and the point at infinity are refused (KEY-1)."""
    assert _unproven(read_csr(csr(spki=spki))).reason is reasons.KEY_REFUSED


def test_a_point_off_its_curve_is_refused() -> None:
    """A public key that is not a point of its curve is refused (KEY-1)."""
    assert _unproven(read_csr(csr(spki=_point_off_the_curve()))).reason is reasons.KEY_REFUSED


# --- the challenge in storage ---------------------------------------------------------------------------------------


def test_the_challenge_is_overwritten_for_storage() -> None:
    """The stored request holds stars where the challenge stood, and is otherwise octet for octet the same (CHA-4)."""
    read = read_csr(csr(attributes=extensions(dns("hunter2.example.com")) + CHALLENGE))
    stored = without_challenge(read)
    stars = attribute(oids.CHALLENGE_PASSWORD, der.tlv(der.PRINTABLE_STRING, b"*" * 7))
    assert stored == read.der.replace(CHALLENGE, stars)
    again = read_csr(stored)
    assert (again.challenge, again.asked) == ("*" * 7, read.asked)
    assert San(SanKind.DNS, "hunter2.example.com") in again.asked.sans


def test_without_a_challenge_nothing_is_overwritten() -> None:
    """A request without challenge is stored as it came."""
    read = read_csr(make_csr(challenge=None))
    assert without_challenge(read) == read.der


@given(st.text(min_size=1, max_size=40), st.booleans())
def test_no_octet_of_a_challenge_is_stored(challenge: str, first: bool) -> None:  # noqa: FBT001 - drawn
    """Wherever the attribute stands and whatever the text, its octets and only its octets are gone (CHA-4)."""
    secret = attribute(oids.CHALLENGE_PASSWORD, der.utf8_string(challenge))
    other = extensions(dns("a.example.com"))
    read = read_csr(csr(attributes=secret + other if first else other + secret))
    stored = without_challenge(read)
    stars = "*" * len(challenge.encode())
    assert read_csr(stored).challenge == stars
    assert stored == read.der.replace(secret, attribute(oids.CHALLENGE_PASSWORD, der.utf8_string(stars)))


# --- whatever the bytes ---------------------------------------------------------------------------------------------


@given(st.data())
def test_only_peererror_leaves(data: st.DataObject) -> None:
    """A damaged request is read or refused, by PeerError and with nothing but DerError behind it (IN-1)."""
    octets = bytearray(make_csr())
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_csr(bytes(octets))
        verify_possession(read)
    except PeerError as refused:
        assert type(refused.__cause__) in (type(None), der.DerError)  # noqa: PT017 - a refusal is only one outcome
        return
    assert read.info in octets
