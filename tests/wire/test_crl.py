"""CRLs: streamed lists that an independent parser and OpenSSL accept, and the reader that verifies them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from regalia.model import RevocationReason, RevokedEntry
from regalia.wire import der
from regalia.wire.certificate import Extension, SignatureAlgorithm, freshest_crl
from regalia.wire.crl import (
    CrlFacts,
    Tally,
    certificate_list_chunks,
    counted,
    delta_crl_indicator,
    encode_entry,
    find_entry,
    issuing_distribution_point,
    read_crl,
    tbs_chunks,
    verify_crl_signature,
)
from regalia.wire.names import encode_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_EAST = timezone(timedelta(hours=5))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
_KEYS: dict[SignatureAlgorithm, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
    SignatureAlgorithm.ECDSA_SHA256: ec.generate_private_key(ec.SECP256R1()),
    SignatureAlgorithm.ECDSA_SHA384: ec.generate_private_key(ec.SECP384R1()),
    SignatureAlgorithm.RSA_SHA256: rsa.generate_private_key(65537, 2048),
}


def _revoked(serial: int, at: datetime, reason: RevocationReason) -> RevokedEntry:
    """Make an entry as it is stored."""
    return RevokedEntry(serial.to_bytes(20, "big"), (at - _EPOCH) // timedelta(milliseconds=1), reason)


_ENTRIES = st.builds(
    _revoked,
    st.integers(1, 2**159 - 1),
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware by timezones
    st.sampled_from(RevocationReason),
)


def _spki(algorithm: SignatureAlgorithm) -> bytes:
    return _KEYS[algorithm].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(algorithm: SignatureAlgorithm, data: bytes) -> bytes:
    key = _KEYS[algorithm]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), algorithm.hash)
    return key.sign(data, ec.ECDSA(algorithm.hash))


def _crl(
    entries: Sequence[RevokedEntry],
    algorithm: SignatureAlgorithm = SignatureAlgorithm.ECDSA_SHA256,
    number: int = 1_772_355_600_000_000_000,
    more: Sequence[Extension] = (),
) -> bytes:
    encoded = [encode_entry(entry) for entry in entries]
    tbs = b"".join(
        tbs_chunks(
            issuer=encode_name(cn="Issuing CA"),
            algorithm=algorithm,
            this_update=_NOW,
            next_update=_NOW + timedelta(days=7),
            number=number,
            authority_key=b"k" * 20,
            entries_length=sum(map(len, encoded)),
            entries=encoded,
            more=more,
        )
    )
    return b"".join(certificate_list_chunks(len(tbs), [tbs], algorithm, _sign(algorithm, tbs)))


@settings(deadline=None, max_examples=50)
@given(st.lists(_ENTRIES, max_size=40, unique_by=lambda revoked: revoked.serial))
def test_a_crl_is_read_the_same(entries: list[RevokedEntry]) -> None:
    """Issuer, times, number, key and every entry are what an independent parser reads."""
    theirs = x509.load_der_x509_crl(_crl(entries))
    assert theirs.issuer.public_bytes() == encode_name(cn="Issuing CA")
    assert (theirs.last_update_utc, theirs.next_update_utc) == (_NOW, _NOW + timedelta(days=7))
    assert theirs.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1_772_355_600_000_000_000
    assert theirs.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == b"k" * 20
    assert [(each.serial_number, each.revocation_date_utc) for each in theirs] == [
        (int.from_bytes(revoked.serial, "big"), datetime.fromtimestamp(revoked.at // 1000, UTC)) for revoked in entries
    ]
    key = _KEYS[SignatureAlgorithm.ECDSA_SHA256].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert theirs.is_signature_valid(key)


@pytest.mark.parametrize("reason", RevocationReason)
def test_the_reason_is_there_unless_it_is_unspecified(reason: RevocationReason) -> None:
    """RFC 5280 §5.3.1: unspecified is said by saying nothing; the others are not critical."""
    (theirs,) = x509.load_der_x509_crl(_crl([_revoked(5, _NOW, reason)]))
    found = [(each.critical, each.value) for each in theirs.extensions]
    if reason is RevocationReason.UNSPECIFIED:
        assert found == []
    else:
        ((critical, value),) = found
        assert not critical
        assert isinstance(value, x509.CRLReason)
        assert value.public_bytes() == bytes((0x0A, 1, reason))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(_ENTRIES, max_size=40, unique_by=lambda revoked: revoked.serial),
    st.integers(min_value=1, max_value=1 << 159),
    st.integers(min_value=1, max_value=200),
)
def test_an_entry_is_found_by_its_serial(entries: list[RevokedEntry], other: int, size: int) -> None:
    """Whatever is listed is found with its time and reason, however the CRL is cut into chunks; nothing else is."""
    crl = _crl(entries)
    chunks = [crl[at : at + size] for at in range(0, len(crl), size)]
    listed = {int.from_bytes(each.serial, "big"): each for each in entries}
    for serial, entry in listed.items():
        found = find_entry(iter(chunks), serial)
        assert found is not None
        assert (int.from_bytes(found.serial, "big"), found.at, found.reason) == (
            serial,
            entry.at // 1000 * 1000,
            entry.reason,
        )
    if other not in listed:
        assert find_entry(iter(chunks), other) is None


def test_an_empty_crl_has_no_list() -> None:
    """RFC 5280 §5.1.2.6: revokedCertificates is absent where nothing is revoked."""
    tbs = der.read_one(_crl([])).children()[0].children()
    assert [part.tag for part in tbs] == [0x02, 0x30, 0x30, 0x17, 0x17, 0xA0]


@pytest.mark.parametrize("algorithm", list(_KEYS))
@pytest.mark.parametrize("count", [0, 1, 2000])
def test_our_reader_sees_what_was_written(algorithm: SignatureAlgorithm, count: int) -> None:
    """REV-2: count, serials, times and signature come out of the stream, whatever its chunks."""
    entries = [_revoked(2**100 + number, _NOW, RevocationReason(number % 6)) for number in range(count)]
    tally = Tally()
    list(counted([[encode_entry(entry) for entry in entries]], tally))
    octets = _crl(entries, algorithm)
    for size in (7, 1000, len(octets)):
        facts = read_crl((octets[at : at + size] for at in range(0, len(octets), size)), algorithm)
        assert (facts.entries, facts.entries_sha256) == (count, tally.sha256)
        assert (facts.this_update, facts.next_update) == (_NOW, _NOW + timedelta(days=7))
        assert (facts.issuer, facts.authority_key) == (encode_name(cn="Issuing CA"), b"k" * 20)
        assert facts.octets == len(octets)
        assert verify_crl_signature(facts, _spki(algorithm))


def _facts() -> CrlFacts:
    return read_crl([_crl([_revoked(5, _NOW, RevocationReason.SUPERSEDED)])], SignatureAlgorithm.ECDSA_SHA256)


def test_a_signature_by_another_key_does_not_verify() -> None:
    """REV-2: another key, another key type or a broken key: not verified."""
    facts = _facts()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert verify_crl_signature(facts, _spki(SignatureAlgorithm.ECDSA_SHA256))
    assert not verify_crl_signature(facts, other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    assert not verify_crl_signature(facts, _spki(SignatureAlgorithm.RSA_SHA256))
    assert not verify_crl_signature(facts, b"\x30\x00")


def test_a_changed_octet_is_refused_or_does_not_verify() -> None:
    """REV-2: no octet of a CRL can change without the reader or the signature telling."""
    octets = _crl([_revoked(5, _NOW, RevocationReason.SUPERSEDED)])
    for position in range(len(octets)):
        changed = bytearray(octets)
        changed[position] ^= 0x01
        try:
            facts = read_crl([bytes(changed)], SignatureAlgorithm.ECDSA_SHA256)
        except der.DerError:
            continue
        assert not verify_crl_signature(facts, _spki(SignatureAlgorithm.ECDSA_SHA256))


def test_a_crl_that_is_cut_or_trailed_is_refused() -> None:
    """IN-5: every prefix of a CRL, and a CRL with something behind it, raise DerError."""
    octets = _crl([_revoked(5, _NOW, RevocationReason.SUPERSEDED)])
    for end in range(len(octets)):
        with pytest.raises(der.DerError):
            read_crl([octets[:end]], SignatureAlgorithm.ECDSA_SHA256)
    with pytest.raises(der.DerError):
        read_crl([octets, b"\x00"], SignatureAlgorithm.ECDSA_SHA256)


def test_a_crl_by_another_algorithm_is_refused() -> None:
    """What was to be signed with P-384 is not accepted with another algorithm."""
    with pytest.raises(der.DerError):
        read_crl([_crl([])], SignatureAlgorithm.ECDSA_SHA384)


def test_an_empty_list_of_entries_is_refused() -> None:
    """RFC 5280 §5.1.2.6: revokedCertificates that is present and empty is not what we write."""
    tbs = b"".join(part.raw for part in der.read_one(_crl([])).children()[0].children()[:-1])
    with pytest.raises(der.DerError, match="empty"):
        read_crl([der.sequence(der.sequence(tbs, der.sequence()))], SignatureAlgorithm.ECDSA_SHA256)


@settings(deadline=None, max_examples=50)
@given(_ENTRIES)
def test_an_entry_is_what_der_writes(entry: RevokedEntry) -> None:
    """The quick writer of entries writes what the general one does, reason and all."""
    extension = der.sequence(der.oid("2.5.29.21"), der.octet_string(der.tlv(0x0A, bytes((entry.reason,)))))
    parts = (der.integer(int.from_bytes(entry.serial, "big")), der.time(datetime.fromtimestamp(entry.at // 1000, UTC)))
    assert encode_entry(entry) == der.sequence(*parts, *([der.sequence(extension)] if entry.reason else []))


def test_pages_of_entries_are_put_together_and_counted() -> None:
    """However entries are divided into pages, octets, count and hash are the same."""
    entries = [encode_entry(_revoked(2**130 + number, _NOW, RevocationReason.SUPERSEDED)) for number in range(10)]
    seen = set()
    for size in (1, 3, 10):
        tally = Tally()
        octets = b"".join(counted((entries[at : at + size] for at in range(0, 10, size)), tally))
        seen.add((octets, tally.count, tally.sha256))
    assert seen == {(b"".join(entries), 10, tally.sha256)}


def test_the_scope_of_a_partial_delta_is_what_others_read() -> None:
    """RFC 5280 §5.2.4 to §5.2.6: scope, base and freshest CRL, the first two critical, and our reader has them."""
    url = "http://pki.example.test/crl/staff-ca-3.crl"
    more = (
        delta_crl_indicator(7),
        issuing_distribution_point(url, users_only=True),
        freshest_crl("http://pki.example.test/crl/staff-ca-3-delta.crl"),
    )
    octets = _crl([_revoked(5, _NOW, RevocationReason.CERTIFICATE_HOLD)], more=more)
    theirs = x509.load_der_x509_crl(octets).extensions
    scope = theirs.get_extension_for_class(x509.IssuingDistributionPoint)
    assert scope.critical
    assert scope.value == x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(url)],
        None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    base = theirs.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (base.critical, base.value.crl_number) == (True, 7)
    freshest = theirs.get_extension_for_class(x509.FreshestCRL)
    assert not freshest.critical
    assert read_crl([octets], SignatureAlgorithm.ECDSA_SHA256).more == more


def test_an_extension_that_we_never_write_is_refused() -> None:
    """A CRL with an extension of somebody else's is none of ours."""
    with pytest.raises(der.DerError, match="extensions"):
        read_crl([_crl([], more=[Extension("1.2.3.4", critical=False, value=b"")])], SignatureAlgorithm.ECDSA_SHA256)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.sampled_from([UTC, _EAST])))  # noqa: DTZ001 - made aware by timezones
def test_revocation_times_are_written_as_der_writes_them(at: datetime) -> None:
    """The quick form of UTCTime is the same octets as the general one, in every zone and century."""
    content = der.read_one(encode_entry(_revoked(5, at, RevocationReason.UNSPECIFIED))).children()
    assert content[1].raw == der.time(at)


@pytest.mark.parametrize("algorithm", list(_KEYS))
def test_openssl_reads_the_crl(tmp_path: Path, algorithm: SignatureAlgorithm) -> None:
    """`openssl crl` shows number, serial and reason."""
    path = tmp_path / "p.crl"
    path.write_bytes(_crl([_revoked(0x7A11, _NOW, RevocationReason.KEY_COMPROMISE)], algorithm))
    command = ["openssl", "crl", "-inform", "DER", "-in", str(path), "-noout", "-text"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Serial Number: 7A11" in text
    assert "Key Compromise" in text
    assert "X509v3 CRL Number" in text
    assert "Version 2" in text
