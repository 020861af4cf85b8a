"""Certificates: what we encode is what an independent parser reads, and foreign ones are read leniently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from regalia.errors import InvariantError
from regalia.model import KeyKind, San, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import (
    KEY_USAGES,
    Extension,
    SignatureAlgorithm,
    TbsCertificate,
    assemble,
    authority_information_access,
    authority_key_identifier,
    basic_constraints,
    crl_distribution_points,
    encode_tbs,
    extended_key_usage,
    key_identifier,
    key_usage,
    ocsp_nocheck,
    read_basic_constraints,
    read_certificate,
    read_extended_key_usage,
    read_key_usage,
    read_time,
    signature_algorithm_for,
    split,
    subject_alt_name,
    subject_key_identifier,
    verify_signature,
)
from regalia.wire.names import encode_name, encode_sans

_P256 = ec.generate_private_key(ec.SECP256R1())
_P384 = ec.generate_private_key(ec.SECP384R1())
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_THEIR_KEY_USAGE = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
    "encipherOnly": "encipher_only",
    "decipherOnly": "decipher_only",
}


_Pure = ed25519.Ed25519PrivateKey | mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | _Pure


def _spki(key: _Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _tbs(
    *extensions: Extension,
    serial: int = 1,
    not_before: datetime = _START,
    not_after: datetime = _START + timedelta(days=1),
    signature: SignatureAlgorithm = SignatureAlgorithm.ECDSA_SHA256,
) -> TbsCertificate:
    return TbsCertificate(
        serial=serial,
        signature=signature,
        issuer=encode_name(cn="Issuing CA", organisation="Example"),
        not_before=not_before,
        not_after=not_after,
        subject=encode_name(cn="laptop"),
        public_key=_spki(_P256),
        extensions=extensions,
    )


def _signed(tbs: TbsCertificate) -> bytes:
    octets = encode_tbs(tbs)
    return assemble(octets, tbs.signature, _P256.sign(octets, ec.ECDSA(hashes.SHA256())))


# --- what we write ---------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    serial=st.integers(min_value=1, max_value=2**159 - 1),
    not_before=st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2070, 1, 1)),  # noqa: DTZ001 - made aware below
    days=st.integers(min_value=0, max_value=9000),
)
def test_serial_and_validity_are_read_the_same(serial: int, not_before: datetime, days: int) -> None:
    """Serial and times, before and after 2050, are what an independent parser and our own reader see."""
    start = not_before.replace(microsecond=0, tzinfo=UTC)
    end = start + timedelta(days=days)
    octets = _signed(_tbs(serial=serial, not_before=start, not_after=end))
    theirs = x509.load_der_x509_certificate(octets)
    ours = read_certificate(octets)
    assert (theirs.version, theirs.serial_number) == (x509.Version.v3, serial)
    assert (theirs.not_valid_before_utc, theirs.not_valid_after_utc) == (start, end)
    assert (ours.version, ours.serial, ours.not_before, ours.not_after) == (3, serial, start, end)


def test_a_certificate_with_every_extension_is_read_the_same() -> None:
    """Each extension builder gives what an independent parser reads, with the right criticality."""
    sans = frozenset({San(SanKind.DNS, "a.example.com"), San(SanKind.IP, "2001:db8::1")})
    ski = key_identifier(_spki(_P256))
    octets = _signed(
        _tbs(
            basic_constraints(ca=True, path_length=0),
            key_usage(("digitalSignature", "keyEncipherment")),
            extended_key_usage((oids.KP_CLIENT_AUTH, oids.KP_SERVER_AUTH)),
            subject_key_identifier(ski),
            authority_key_identifier(ski),
            subject_alt_name(encode_sans(sans), critical=True),
            crl_distribution_points("http://ca.example/crl/x.crl"),
            authority_information_access(ocsp="http://ca.example/ocsp/x", ca_issuers="http://ca.example/ca/x.cer"),
            ocsp_nocheck(),
        )
    )
    theirs = x509.load_der_x509_certificate(octets)
    found = {extension.oid.dotted_string: extension for extension in theirs.extensions}
    expected: dict[str, tuple[x509.ExtensionType, bool]] = {
        oids.CE_BASIC_CONSTRAINTS: (x509.BasicConstraints(ca=True, path_length=0), True),
        oids.CE_KEY_USAGE: (_their_key_usage("digitalSignature", "keyEncipherment"), True),
        oids.CE_EXT_KEY_USAGE: (
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
            False,
        ),
        oids.CE_SUBJECT_KEY_IDENTIFIER: (x509.SubjectKeyIdentifier.from_public_key(_P256.public_key()), False),
        oids.CE_AUTHORITY_KEY_IDENTIFIER: (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(_P256.public_key()),
            False,
        ),
        oids.PKIX_OCSP_NOCHECK: (x509.OCSPNoCheck(), False),
    }
    for oid, (value, critical) in expected.items():
        assert (found[oid].value, found[oid].critical) == (value, critical)
    assert found[oids.CE_SUBJECT_ALT_NAME].critical
    assert len(found) == 9


def test_urls_are_read_the_same() -> None:
    """CRL, OCSP and issuer URLs come out of an independent parser as they went in."""
    octets = _signed(
        _tbs(
            crl_distribution_points("http://a/crl"),
            authority_information_access(ocsp="http://a/o", ca_issuers="http://a/i"),
        )
    )
    extensions = x509.load_der_x509_certificate(octets).extensions
    points = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for point in points for name in point.full_name or ()] == ["http://a/crl"]
    access = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [(each.access_method.dotted_string, each.access_location.value) for each in access] == [
        (oids.AD_OCSP, "http://a/o"),
        (oids.AD_CA_ISSUERS, "http://a/i"),
    ]


def _their_key_usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{theirs: ours in names for ours, theirs in _THEIR_KEY_USAGE.items()})


@settings(deadline=None)
@given(st.sets(st.sampled_from(KEY_USAGES), min_size=1))
def test_key_usages_are_read_the_same(names: set[str]) -> None:
    """Every combination of key usages is read by us, and encoded as an independent encoder does."""
    value = key_usage(tuple(names)).value
    assert set(read_key_usage(value)) == names
    if names.isdisjoint({"encipherOnly", "decipherOnly"}) or "keyAgreement" in names:
        assert value == _their_key_usage(*names).public_bytes()


@pytest.mark.parametrize("names", [(), ("digitalSignatures",)])
def test_a_key_usage_that_does_not_exist_is_our_bug(names: tuple[str, ...]) -> None:
    """A key usage that is empty or misspelt is never encoded."""
    with pytest.raises(InvariantError):
        key_usage(names)


def test_extended_key_usage_survives_the_way_there_and_back() -> None:
    """The purposes read are the purposes written; an empty list is refused (IN-4)."""
    purposes = (oids.KP_CLIENT_AUTH, oids.KP_MS_SMARTCARD_LOGON)
    assert read_extended_key_usage(extended_key_usage(purposes).value) == purposes
    with pytest.raises(der.DerError):
        read_extended_key_usage(b"\x30\x00")


def test_extensions_are_left_out_where_there_are_none() -> None:
    """A certificate without extensions has no empty Extensions (RFC 5280 §4.1.2.9)."""
    assert list(x509.load_der_x509_certificate(_signed(_tbs())).extensions) == []


# --- signatures ------------------------------------------------------------------------------------------------------


def test_the_algorithm_follows_the_key() -> None:
    """R0: P-384 signs with SHA-384, P-256 and RSA with SHA-256."""
    assert {kind: signature_algorithm_for(kind) for kind in KeyKind} == {
        KeyKind.P256: SignatureAlgorithm.ECDSA_SHA256,
        KeyKind.P384: SignatureAlgorithm.ECDSA_SHA384,
        KeyKind.RSA_2048: SignatureAlgorithm.RSA_SHA256,
        KeyKind.RSA_3072: SignatureAlgorithm.RSA_SHA256,
        KeyKind.RSA_4096: SignatureAlgorithm.RSA_SHA256,
    }


_PURE: dict[SignatureAlgorithm, _Pure] = {
    SignatureAlgorithm.ED25519: ed25519.Ed25519PrivateKey.generate(),
    SignatureAlgorithm.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate(),
    SignatureAlgorithm.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate(),
    SignatureAlgorithm.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate(),
}


def _sign(algorithm: SignatureAlgorithm, data: bytes) -> tuple[bytes, bytes]:
    """Signature and SubjectPublicKeyInfo."""
    if algorithm in _PURE:
        return _PURE[algorithm].sign(data), _spki(_PURE[algorithm])
    if algorithm.is_rsa:
        return _RSA.sign(data, padding.PKCS1v15(), algorithm.hash), _spki(_RSA)
    key = _P384 if algorithm is SignatureAlgorithm.ECDSA_SHA384 else _P256
    return key.sign(data, ec.ECDSA(algorithm.hash)), _spki(key)


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_signed_certificate_verifies_here_and_elsewhere(algorithm: SignatureAlgorithm) -> None:
    """What assemble puts together, split takes apart; the signature verifies for us and an independent verifier."""
    tbs = encode_tbs(_tbs(signature=algorithm))
    signature, spki = _sign(algorithm, tbs)
    octets = assemble(tbs, algorithm, signature)
    theirs = x509.load_der_x509_certificate(octets)
    assert split(octets) == (tbs, algorithm, signature)
    assert verify_signature(tbs, algorithm, signature, spki)
    assert theirs.signature_algorithm_oid.dotted_string == algorithm.value
    assert algorithm.takes_digest is (theirs.signature_hash_algorithm is not None)
    if theirs.signature_hash_algorithm is not None:
        assert theirs.signature_hash_algorithm.name == algorithm.digest
    assert theirs.tbs_certificate_bytes == tbs


def test_a_signature_does_not_verify_for_other_bytes_keys_or_algorithms() -> None:
    """A changed octet, another key, another key type or a broken key: the signature does not verify."""
    algorithm = SignatureAlgorithm.ECDSA_SHA256
    signature, spki = _sign(algorithm, b"tbs")
    other = ec.generate_private_key(ec.SECP256R1())
    assert verify_signature(b"tbs", algorithm, signature, spki)
    assert not verify_signature(b"tbx", algorithm, signature, spki)
    assert not verify_signature(b"tbs", algorithm, signature, _spki(other))
    assert not verify_signature(b"tbs", algorithm, signature, _spki(_RSA))
    assert not verify_signature(b"tbs", SignatureAlgorithm.RSA_SHA256, signature, spki)
    assert not verify_signature(b"tbs", algorithm, b"", spki)
    assert not verify_signature(b"tbs", algorithm, signature, spki[:-1])


@pytest.mark.parametrize("algorithm", _PURE)
def test_what_takes_no_digest_verifies_with_its_own_kind_of_key(algorithm: SignatureAlgorithm) -> None:
    """Ed25519 and ML-DSA verify only with a key of exactly that kind, and name no digest."""
    signature, spki = _sign(algorithm, b"tbs")
    assert verify_signature(b"tbs", algorithm, signature, spki)
    assert not verify_signature(b"tbx", algorithm, signature, spki)
    for other in SignatureAlgorithm:
        if other is not algorithm:
            assert not verify_signature(b"tbs", other, signature, spki)
            assert not verify_signature(b"tbs", algorithm, signature, _sign(other, b"tbs")[1])
    with pytest.raises(InvariantError):
        _ = algorithm.digest


def test_a_foreign_algorithm_is_not_split() -> None:
    """Only certificates signed as we sign can be taken apart for storage."""
    foreign = der.sequence(der.sequence(), der.sequence(der.oid(oids.RSA_ENCRYPTION), der.null()), der.bit_string(b"x"))
    with pytest.raises(der.DerError, match="not one of ours"):
        split(foreign)


# --- foreign certificates --------------------------------------------------------------------------------------------


def _windows_signer() -> bytes:
    """A self-signed signer as Windows' enrolment client makes: critical AuthorityKeyIdentifier, RSA."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SCEP Protocol Certificate")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(_RSA.public_key())
    builder = builder.serial_number(7).not_valid_before(_START).not_valid_after(_START + timedelta(days=7))
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(_RSA.public_key())
    builder = builder.add_extension(aki, critical=True)
    return builder.sign(_RSA, hashes.SHA256()).public_bytes(Encoding.DER)


def test_r7_the_self_signed_signer_of_windows_is_read() -> None:
    """A critical AuthorityKeyIdentifier in a self-signed signer does not stop us from reading it."""
    facts = read_certificate(_windows_signer())
    assert facts.self_issued
    assert facts.aki == key_identifier(_spki(_RSA))
    assert (facts.ski, facts.is_ca, facts.serial) == (None, False, 7)
    assert facts.public_key == _spki(_RSA)
    aki = facts.extension(oids.CE_AUTHORITY_KEY_IDENTIFIER)
    assert aki is not None
    assert aki.critical


def test_a_ca_is_known_by_its_basic_constraints() -> None:
    """BasicConstraints TRUE makes a CA, FALSE written in full does not."""
    assert read_certificate(_signed(_tbs(basic_constraints(ca=True)))).is_ca
    assert not read_certificate(_signed(_tbs(basic_constraints(ca=False)))).is_ca
    assert read_basic_constraints(b"\x30\x03\x01\x01\x00") == (False, None)
    assert read_basic_constraints(b"\x30\x06\x01\x01\xff\x02\x01\x03") == (True, 3)


@pytest.mark.parametrize(
    "value", [b"\x30\x06\x01\x01\xff\x02\x01\xff", b"\x30\x06\x01\x01\x00\x01\x01\xff", b"\x31\x00"]
)
def test_basic_constraints_that_make_no_sense_are_refused(value: bytes) -> None:
    """A negative path length, two booleans or another type raise DerError."""
    with pytest.raises(der.DerError):
        read_basic_constraints(value)


def test_a_version_1_certificate_is_read() -> None:
    """A certificate without version and extensions is version 1 and no CA."""
    parts = der.read_one(encode_tbs(_tbs())).children()[1:]
    tbs = der.sequence(*(part.raw for part in parts))
    facts = read_certificate(der.sequence(tbs, SignatureAlgorithm.ECDSA_SHA256.identifier, der.bit_string(b"x")))
    assert (facts.version, facts.is_ca, facts.extensions) == (1, False, ())


def test_in4_an_extension_that_stands_twice_is_refused() -> None:
    """A certificate that says something twice has no one meaning."""
    twice = _tbs(basic_constraints(ca=False), basic_constraints(ca=True))
    with pytest.raises(der.DerError, match="twice"):
        read_certificate(_signed(twice))


@pytest.mark.parametrize(
    ("tag", "text", "year"),
    [
        (der.UTC_TIME, b"500101000000Z", 1950),
        (der.UTC_TIME, b"491231235959Z", 2049),
        (der.GENERALIZED_TIME, b"20200101000000Z", 2020),
        (der.GENERALIZED_TIME, b"99991231235959Z", 9999),
    ],
)
def test_times_are_read_in_their_century(tag: int, text: bytes, year: int) -> None:
    """UTCTime covers 1950 to 2049; GeneralizedTime is read at any year."""
    assert read_time(der.read_one(der.tlv(tag, text))).year == year


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (der.UTC_TIME, b"2601010000Z"),
        (der.UTC_TIME, b"260101000000+0100"),
        (der.UTC_TIME, b"261301000000Z"),
        (der.GENERALIZED_TIME, b"20260101000000.5Z"),
        (der.GENERALIZED_TIME, b"2026010100000\xb2Z"),
        (der.OCTET_STRING, b"260101000000Z"),
    ],
)
def test_times_in_other_forms_are_refused(tag: int, text: bytes) -> None:
    """Offsets, fractions, missing seconds, odd digits and months that do not exist raise DerError."""
    with pytest.raises(der.DerError):
        read_time(der.read_one(der.tlv(tag, text)))


@settings(deadline=None)
@given(st.data())
def test_in1_a_damaged_certificate_is_read_or_refused(data: st.DataObject) -> None:
    """IN-1: a certificate with damaged octets is read or raises DerError, nothing else."""
    octets = bytearray(_windows_signer())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_certificate(bytes(octets))
    except der.DerError:
        return


@given(st.binary(max_size=100))
def test_in1_random_octets_are_refused(octets: bytes) -> None:
    """IN-1: random octets raise DerError."""
    with pytest.raises(der.DerError):
        read_certificate(octets)


def test_a_key_identifier_needs_a_key() -> None:
    """A SubjectPublicKeyInfo without bits has no identifier."""
    with pytest.raises(der.DerError):
        key_identifier(der.sequence(der.sequence(), der.tlv(der.BIT_STRING)))
    with pytest.raises(der.DerError):
        key_identifier(der.sequence())
