"""OCSP: hostile requests, and responses that an independent parser and OpenSSL accept."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp as their_ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from regalia.errors import InvariantError
from regalia.model import RevocationReason
from regalia.wire import der, oids
from regalia.wire.certificate import (
    SignatureAlgorithm,
    TbsCertificate,
    assemble,
    basic_constraints,
    encode_tbs,
    extended_key_usage,
    key_identifier,
    key_usage,
    ocsp_nocheck,
)
from regalia.wire.names import encode_name
from regalia.wire.ocsp import (
    CertId,
    CertStatus,
    OcspFault,
    OcspStatus,
    ResponderIdentity,
    SingleAnswer,
    build_response,
    error_response,
    issuer_hashes,
    read_request,
)

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.wire.certificate import Extension

_NOW = datetime.now(UTC).replace(microsecond=0)
_CA_KEY = ec.generate_private_key(ec.SECP256R1())
_RESPONDER_KEY = ec.generate_private_key(ec.SECP256R1())
_LEAF_KEY = ec.generate_private_key(ec.SECP256R1())


def _spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificate(serial: int, cn: str, key: ec.EllipticCurvePrivateKey, *extensions: Extension) -> bytes:
    tbs = encode_tbs(
        TbsCertificate(
            serial=serial,
            signature=SignatureAlgorithm.ECDSA_SHA256,
            issuer=encode_name(cn="CA"),
            not_before=_NOW - timedelta(hours=1),
            not_after=_NOW + timedelta(days=1),
            subject=encode_name(cn=cn),
            public_key=_spki(key),
            extensions=extensions,
        )
    )
    return assemble(tbs, SignatureAlgorithm.ECDSA_SHA256, _CA_KEY.sign(tbs, ec.ECDSA(hashes.SHA256())))


_CA = _certificate(1, "CA", _CA_KEY, basic_constraints(ca=True), key_usage(("keyCertSign", "cRLSign")))
_RESPONDER = _certificate(
    2,
    "OCSP",
    _RESPONDER_KEY,
    key_usage(("digitalSignature",)),
    extended_key_usage((oids.KP_OCSP_SIGNING,)),
    ocsp_nocheck(),
)
_LEAF = _certificate(0x7A11, "leaf", _LEAF_KEY)
_IDENTITY = ResponderIdentity(_RESPONDER, key_identifier(_spki(_RESPONDER_KEY)))


def _request(algorithm: hashes.HashAlgorithm, nonce: bytes | None = None) -> bytes:
    builder = their_ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(_LEAF), x509.load_der_x509_certificate(_CA), algorithm
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def _sign(data: bytes) -> bytes:
    return _RESPONDER_KEY.sign(data, ec.ECDSA(hashes.SHA256()))


def _answer(cert_id: CertId, status: CertStatus = CertStatus.GOOD, **more: object) -> SingleAnswer:
    return SingleAnswer(cert_id, status, _NOW, _NOW + timedelta(minutes=10), **more)  # type: ignore[arg-type]  # of any field


def _response(answer: SingleAnswer, nonce: bytes | None = None) -> bytes:
    return build_response([answer], responder=_IDENTITY, produced_at=_NOW, nonce=nonce, sign=_sign)


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("algorithm", "oid"), [(hashes.SHA1(), oids.SHA1), (hashes.SHA256(), oids.SHA256)])  # noqa: S303 - nearly every client asks by SHA-1
def test_rev6_requests_by_sha1_and_sha256_are_read(algorithm: hashes.HashAlgorithm, oid: str) -> None:
    """REV-6: the CertID's hashes are those that we compute for the issuer, for both digests."""
    request = read_request(_request(algorithm, b"n" * 32))
    (cert_id,) = request.cert_ids
    assert (cert_id.hash_oid, cert_id.serial, request.nonce) == (oid, 0x7A11, b"n" * 32)
    assert (cert_id.name_hash, cert_id.key_hash) == issuer_hashes(oid, encode_name(cn="CA"), _spki(_CA_KEY))


def test_certids_by_other_digests_are_not_looked_up() -> None:
    """A CertID by SHA-512 has no place in our index."""
    with pytest.raises(der.DerError):
        issuer_hashes(oids.SHA512, encode_name(cn="CA"), _spki(_CA_KEY))


def _raw_request(
    count: int = 1, nonce: bytes | None = None, *, before: bytes = b"", critical: bool = False, single: bytes = b""
) -> bytes:
    cert_id = der.sequence(
        der.sequence(der.oid(oids.SHA1)), der.octet_string(b"n" * 20), der.octet_string(b"k" * 20), der.integer(5)
    )
    extensions = b""
    if nonce is not None:
        flag = der.boolean(True) if critical else b""  # noqa: FBT003 - boolean() encodes exactly one
        nonce_extension = der.sequence(der.oid(oids.PKIX_OCSP_NONCE), flag, der.octet_string(nonce))
        extensions = der.context(2, der.sequence(nonce_extension))
    return der.sequence(der.sequence(before, der.sequence(*[der.sequence(cert_id, single)] * count), extensions))


def test_rev6_limits_hold_at_their_edge() -> None:
    """REV-6: 16 CertIDs, nonces of 1 and 128 octets, absent parameters and a requestor name are served."""
    assert len(read_request(_raw_request(16)).cert_ids) == 16
    for nonce in (b"n", b"n" * 128):
        assert read_request(_raw_request(nonce=der.octet_string(nonce))).nonce == nonce
    requestor = der.context(1, der.context(4, encode_name(cn="me")))
    assert read_request(_raw_request(before=der.context(0, der.integer(0)) + requestor)).nonce is None
    assert read_request(_raw_request(nonce=der.octet_string(b"n"), critical=True)).nonce == b"n"


_UNKNOWN_CRITICAL = der.context(
    0,
    der.sequence(der.sequence(der.oid("1.2.3"), der.boolean(True), der.octet_string(b""))),  # noqa: FBT003 - the same
)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30\x00",
        der.sequence(der.sequence()),
        _raw_request(0),
        _raw_request(17),
        _raw_request() + b"\x00",
        _raw_request(nonce=der.octet_string(b"")),
        _raw_request(nonce=der.octet_string(b"n" * 129)),
        _raw_request(nonce=b"raw"),
        _raw_request(before=der.context(0, der.integer(1))),
        _raw_request(single=_UNKNOWN_CRITICAL),
        _raw_request(nonce=der.octet_string(b"n" * 5000)),
        der.sequence(der.sequence(der.sequence(der.sequence(der.sequence(der.integer(1)))))),
    ],
)
def test_rev6_requests_beyond_the_limits_are_malformed(octets: bytes) -> None:
    """REV-6: empty, trailed, too many, too long or not understood gives malformedRequest."""
    with pytest.raises(OcspFault) as caught:
        read_request(octets)
    assert caught.value.status is OcspStatus.MALFORMED_REQUEST


@settings(deadline=None)
@given(st.data())
def test_in1_a_damaged_request_is_read_or_malformed(data: st.DataObject) -> None:
    """IN-1: whatever the octets, the reader answers or faults, nothing else."""
    octets = bytearray(_raw_request(2, der.octet_string(b"n" * 8)))
    for _ in range(data.draw(st.integers(1, 5))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_request(bytes(octets))
    except OcspFault:
        return


# --- responses -------------------------------------------------------------------------------------------------------


def test_a_good_answer_is_read_the_same() -> None:
    """A good answer by key identifier, with certificate, times and nonce, is what an independent parser reads."""
    request = read_request(_request(hashes.SHA256(), b"n" * 16))
    theirs = their_ocsp.load_der_ocsp_response(_response(_answer(request.cert_ids[0]), b"n" * 16))
    assert theirs.response_status is their_ocsp.OCSPResponseStatus.SUCCESSFUL
    assert theirs.certificate_status is their_ocsp.OCSPCertStatus.GOOD
    assert theirs.responder_key_hash == _IDENTITY.key_hash
    assert (theirs.this_update_utc, theirs.next_update_utc) == (_NOW, _NOW + timedelta(minutes=10))
    assert theirs.produced_at_utc == _NOW
    assert theirs.serial_number == 0x7A11
    assert theirs.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 16
    assert [certificate.public_bytes(Encoding.DER) for certificate in theirs.certificates] == [_RESPONDER]
    _RESPONDER_KEY.public_key().verify(theirs.signature, theirs.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))


def test_the_certid_is_repeated_octet_for_octet() -> None:
    """A CertID with absent hash parameters comes back without them: clients compare octets."""
    (cert_id,) = read_request(_raw_request()).cert_ids
    assert cert_id.raw in _response(_answer(cert_id))


@pytest.mark.parametrize(
    ("reason", "theirs"),
    [
        (RevocationReason.UNSPECIFIED, None),
        (RevocationReason.KEY_COMPROMISE, x509.ReasonFlags.key_compromise),
        (RevocationReason.PRIVILEGE_WITHDRAWN, x509.ReasonFlags.privilege_withdrawn),
    ],
)
def test_a_revoked_answer_is_read_the_same(reason: RevocationReason, theirs: x509.ReasonFlags | None) -> None:
    """Time and reason of a revocation arrive; unspecified is left out."""
    (cert_id,) = read_request(_request(hashes.SHA1())).cert_ids  # noqa: S303 - nearly every client asks by SHA-1
    at = _NOW - timedelta(minutes=3)
    read = their_ocsp.load_der_ocsp_response(
        _response(_answer(cert_id, CertStatus.REVOKED, revoked_at=at, reason=reason))
    )
    assert read.certificate_status is their_ocsp.OCSPCertStatus.REVOKED
    assert (read.revocation_time_utc, read.revocation_reason) == (at, theirs)


def test_an_unknown_answer_is_read_the_same() -> None:
    """A serial that was never issued is unknown."""
    (cert_id,) = read_request(_raw_request()).cert_ids
    read = their_ocsp.load_der_ocsp_response(_response(_answer(cert_id, CertStatus.UNKNOWN)))
    assert read.certificate_status is their_ocsp.OCSPCertStatus.UNKNOWN


def test_a_revoked_answer_needs_its_time() -> None:
    """Revoked without a time would be signed nonsense: it is our bug."""
    (cert_id,) = read_request(_raw_request()).cert_ids
    with pytest.raises(InvariantError):
        _response(_answer(cert_id, CertStatus.REVOKED))


def test_several_answers_come_in_one_response() -> None:
    """Each CertID of a request gets its answer, in order."""
    cert_ids = read_request(_raw_request(3)).cert_ids
    octets = build_response(
        [_answer(cert_id) for cert_id in cert_ids], responder=_IDENTITY, produced_at=_NOW, nonce=None, sign=_sign
    )
    assert len(list(their_ocsp.load_der_ocsp_response(octets).responses)) == 3


@pytest.mark.parametrize("status", OcspStatus)
def test_error_responses_are_read_the_same(status: OcspStatus) -> None:
    """Each unsuccessful status is read as itself."""
    assert their_ocsp.load_der_ocsp_response(error_response(status)).response_status.value == status


@pytest.mark.parametrize(
    ("status", "words"), [(CertStatus.GOOD, "leaf.pem: good"), (CertStatus.REVOKED, "leaf.pem: revoked")]
)
def test_openssl_verifies_the_response(tmp_path: Path, status: CertStatus, words: str) -> None:
    """`openssl ocsp -respin` verifies responder, signature and status."""
    (cert_id,) = read_request(_request(hashes.SHA1())).cert_ids  # noqa: S303 - nearly every client asks by SHA-1
    revoked_at = _NOW if status is CertStatus.REVOKED else None
    (tmp_path / "r.der").write_bytes(_response(_answer(cert_id, status, revoked_at=revoked_at)))
    for name, octets in (("ca", _CA), ("leaf", _LEAF)):
        (tmp_path / f"{name}.pem").write_bytes(x509.load_der_x509_certificate(octets).public_bytes(Encoding.PEM))
    command = ["openssl", "ocsp", "-respin", "r.der", "-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem"]
    done = subprocess.run([*command, "-no_nonce"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert words in done.stdout
    assert "Response verify OK" in done.stderr
