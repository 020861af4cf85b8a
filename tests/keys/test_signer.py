"""The signer: committed intents and nothing else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from fakes import FakeClock, MemoryCrlFiles, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, ca_scope, ra_scope
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.ca_keys import SoftwareCaKeys
from regalia.keys.master import create_master_key
from regalia.keys.medium import FallbackVault, MediumVault
from regalia.keys.signer import LocalSigner
from regalia.keys.software import SoftwareKeys
from regalia.model import (
    NO_NAMES,
    Authority,
    AuthorityKind,
    AuthorityState,
    CertificateIntent,
    CertificateKind,
    CrlIntent,
    KeyKind,
)
from regalia.wire.certificate import (
    Extension,
    SignatureAlgorithm,
    TbsCertificate,
    assemble,
    basic_constraints,
    encode_tbs,
    key_usage,
    read_certificate,
    signature_algorithm_for,
    subject_key_identifier,
)
from regalia.wire.crl import tbs_chunks
from regalia.wire.names import encode_name

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import NewKey

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ROW = UUID(int=1)
AS_CA = (basic_constraints(ca=True), key_usage(("keyCertSign", "cRLSign")), subject_key_identifier(bytes(20)))


class Bench:
    """A store, its keys and a signer over them."""

    def __init__(self, home: Path) -> None:
        self.store = MemoryStore()
        self.files = MemoryCrlFiles()
        self.master = create_master_key(home, SeededEntropy())
        self.keys = SoftwareKeys(self.store, FakeClock(), SeededEntropy(), self.master)
        self.signer = LocalSigner(self.store, self.files, SoftwareCaKeys(self.store, self.master, SeededEntropy()))

    def authority(self, key: NewKey, kind: AuthorityKind = AuthorityKind.ISSUING) -> Authority:
        """Keep the authority of a key, once."""
        name, record = f"ca-{key.id}", self.store.key_record(key.id)
        key_kind = record.kind if record is not None else KeyKind.P256
        tbs = a_tbs(encode_name(cn=name), key.public_key, *AS_CA, subject=encode_name(cn=name))
        der = assemble(tbs, signature_algorithm_for(key_kind), b"")
        made = Authority(name, kind, None, None, AuthorityState.ACTIVE, key.id, key_kind, ROW, der, NOW)
        self.store.add_authority(made, ())
        return made

    def certificate(
        self, key: NewKey, tbs: bytes | None = None, row: UUID = ROW, kind: CertificateKind = CertificateKind.LEAF
    ) -> bytes:
        """Commit the intent of a certificate, of the key's authority where nothing else is said; return its octets."""
        tbs = tbs if tbs is not None else a_tbs(subject_of(self.authority(key)), key.public_key, serial=row.int)
        self.store.begin(
            CertificateIntent(
                id=row,
                kind=kind,
                authority="staff",
                key_id=key.id,
                serial=row.int,
                tbs=tbs,
                group="staff",
                profile=None,
                profile_version=None,
                subject="",
                names=NO_NAMES,
                device=None,
                unverified=False,
                key_sha256=bytes(32),
                not_before=NOW,
                not_after=NOW + timedelta(days=1),
                enrolment_id=None,
                generation=0,
                lease_until=NOW,
                created_at=NOW,
            ),
            (),
        )
        return tbs

    def crl(
        self,
        key: NewKey,
        chunks: tuple[bytes, ...] = (),
        recorded: bytes | None = None,
        *,
        row: UUID = ROW,
        head: bool = True,
    ) -> bytes:
        """Commit the intent of a CRL, whose file ends with these chunks; return its octets.

        With `head` it begins as a CRL of the key's authority does.
        """
        authority = self.authority(key)
        chunks = (*(a_list(subject_of(authority), authority.key_kind) if head else ()), *chunks)
        sha256 = hashlib.sha256(recorded if recorded is not None else b"".join(chunks)).digest()
        file = self.files.write(chunks)
        self.store.begin_crl(
            CrlIntent(row, f"ca-{key.id}", key.id, row.int, NOW, NOW + timedelta(days=7), 0, sha256, file.path, NOW)
        )
        return b"".join(chunks)


def a_tbs(
    issuer: bytes, public_key: bytes, *extensions: Extension, subject: bytes = b"0\x00", serial: int = 1
) -> bytes:
    """Make a TBSCertificate."""
    tbs = TbsCertificate(
        serial, SignatureAlgorithm.ECDSA_SHA256, issuer, NOW, NOW + timedelta(days=1), subject, public_key, extensions
    )
    return encode_tbs(tbs)


def a_list(issuer: bytes, kind: KeyKind) -> tuple[bytes, ...]:
    """Make a TBSCertList without entries."""
    chunks = tbs_chunks(
        issuer=issuer,
        algorithm=signature_algorithm_for(kind),
        this_update=NOW,
        next_update=NOW + timedelta(days=7),
        number=1,
        authority_key=bytes(20),
        entries_length=0,
        entries=(),
    )
    return tuple(chunks)


def subject_of(authority: Authority) -> bytes:
    """The DER Name of an authority."""
    return read_certificate(authority.certificate_der).subject


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make an empty bench."""
    return Bench(tmp_path)


def _verify(key: NewKey, signature: bytes, data: bytes, digest: hashes.HashAlgorithm) -> None:
    public = serialization.load_der_public_key(key.public_key)
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, data, padding.PKCS1v15(), digest)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(signature, data, ec.ECDSA(digest))


KINDS = [
    (KeyKind.P256, hashes.SHA256()),
    (KeyKind.P384, hashes.SHA384()),
    (KeyKind.RSA_2048, hashes.SHA256()),
]


@pytest.mark.parametrize(("kind", "digest"), KINDS)
def test_certificate_is_signed_from_its_row(bench: Bench, kind: KeyKind, digest: hashes.HashAlgorithm) -> None:
    """The signature is over the octets in the row, with the digest of the key's kind, equal each time (R8, ISS-2)."""
    key = bench.keys.generate(kind, ca_scope("staff"))
    tbs = bench.certificate(key)
    signature = bench.signer.sign_intent(ROW)
    assert bench.signer.sign_intent(ROW) == signature
    _verify(key, signature, tbs, digest)


@pytest.mark.parametrize(("kind", "digest"), KINDS)
def test_crl_is_hashed_by_the_signer(bench: Bench, kind: KeyKind, digest: hashes.HashAlgorithm) -> None:
    """A CRL's signature is over the file as the signer itself read it, equal each time (R8)."""
    key = bench.keys.generate(kind, ca_scope("staff"))
    tbs = bench.crl(key, (b"one ", b"two ", b"three"))
    signature = bench.signer.sign_intent(ROW)
    assert bench.signer.sign_intent(ROW) == signature
    _verify(key, signature, tbs, digest)


def test_file_that_was_exchanged_is_not_signed(bench: Bench) -> None:
    """A CRL file that is not the one on record gets no signature (R8)."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    bench.crl(key, (b"one",), b"another")
    with pytest.raises(InvariantError, match="not the one that was recorded"):
        bench.signer.sign_intent(ROW)


def test_nothing_is_signed_without_a_committed_intent(bench: Bench) -> None:
    """An unknown row, and one that was settled, get no signature (ISS-1); whoever lost that race may come again."""
    with pytest.raises(UnavailableError) as unknown:
        bench.signer.sign_intent(ROW)
    bench.certificate(bench.keys.generate(KeyKind.P256, ca_scope("staff")))
    bench.store.abandon(ROW, NOW, ())
    with pytest.raises(UnavailableError) as settled:
        bench.signer.sign_intent(ROW)
    assert [unknown.value.reason, settled.value.reason] == [reasons.IN_PROGRESS, reasons.IN_PROGRESS]


def test_only_ca_keys_sign_intents(bench: Bench) -> None:
    """An intent that names an RA key gets no signature: an RA key signs no certificates (ENV-8)."""
    bench.certificate(bench.keys.generate(KeyKind.RSA_2048, ra_scope("staff")))
    with pytest.raises(InvariantError, match="ra:"):
        bench.signer.sign_intent(ROW)


def test_key_that_is_elsewhere_is_unavailable(bench: Bench, tmp_path: Path) -> None:
    """After the root's key was moved out nothing is signed with it, also where it was used before (R10)."""
    key = bench.keys.generate(KeyKind.P384, ROOT_SCOPE)
    bench.certificate(key)
    first = bench.signer.sign_intent(ROW)
    bench.keys.move_out(key.id, tmp_path)
    with pytest.raises(UnavailableError) as refused:
        bench.signer.sign_intent(ROW)
    assert refused.value.reason is reasons.ISSUER_UNAVAILABLE
    vault = FallbackVault(bench.store, MediumVault(tmp_path))
    brought = LocalSigner(bench.store, bench.files, SoftwareCaKeys(vault, bench.master, SeededEntropy()))
    assert brought.sign_intent(ROW) == first


def test_key_under_another_master_key_is_not_used(bench: Bench, tmp_path: Path) -> None:
    """A signer with another master key says so."""
    bench.certificate(bench.keys.generate(KeyKind.P256, ca_scope("staff")))
    (tmp_path / "other").mkdir()
    other = create_master_key(tmp_path / "other", SeededEntropy(9))
    with pytest.raises(AdminError) as refused:
        LocalSigner(bench.store, bench.files, SoftwareCaKeys(bench.store, other, SeededEntropy())).sign_intent(ROW)
    assert refused.value.reason is reasons.MASTER_KEY_REFUSED


def test_each_row_has_its_own_signature(bench: Bench) -> None:
    """Two rows of one key have two signatures, and neither fits the other's octets."""
    key = bench.keys.generate(KeyKind.P256, ca_scope("staff"))
    first = bench.certificate(key)
    second = bench.certificate(key, row=UUID(int=2))
    signature = bench.signer.sign_intent(UUID(int=2))
    _verify(key, signature, second, hashes.SHA256())
    with pytest.raises(InvalidSignature):
        _verify(key, signature, first, hashes.SHA256())
