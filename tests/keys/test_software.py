"""Software keys: generated, wrapped, opened, moved out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from fakes import FakeClock, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, ca_ra_scope, ca_scope, ocsp_scope, ra_scope
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.keys.master import MasterKey, create_master_key
from regalia.keys.software import SoftwareKeys, require_implicit_rejection
from regalia.model import KeyKind
from regalia.wire.algorithms import Digest, Oaep

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import KeyVault

RA, OCSP = ra_scope("staff"), ocsp_scope("staff")


@pytest.fixture
def master(tmp_path: Path) -> MasterKey:
    """Make a master key in the test's directory."""
    return create_master_key(tmp_path, SeededEntropy(7))


@pytest.fixture
def vault() -> MemoryStore:
    """Make an empty vault."""
    return MemoryStore()


@pytest.fixture
def keys(vault: MemoryStore, master: MasterKey) -> SoftwareKeys:
    """Make a key store over the vault."""
    return _keys(vault, master)


def _keys(vault: KeyVault, master: MasterKey, seed: int = 0) -> SoftwareKeys:
    return SoftwareKeys(vault, FakeClock(), SeededEntropy(seed), master)


@pytest.mark.parametrize(
    ("kind", "size"),
    [(KeyKind.P256, 256), (KeyKind.P384, 384), (KeyKind.RSA_2048, 2048), (KeyKind.RSA_3072, 3072)],
)
def test_generated_key_is_of_its_kind(keys: SoftwareKeys, kind: KeyKind, size: int) -> None:
    """A generated key has the type, size and exponent that its kind names."""
    public = serialization.load_der_public_key(keys.generate(kind, OCSP).public_key)
    if isinstance(public, rsa.RSAPublicKey):
        assert (public.key_size, public.public_numbers().e) == (size, 65537)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert public.curve.key_size == size


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_ecdsa_signs_deterministically(keys: SoftwareKeys, digest: str) -> None:
    """An ECDSA signature verifies and is the same each time (ISS-2)."""
    made = keys.generate(KeyKind.P256, OCSP)
    key = keys.open(made.id)
    signature = key.sign(b"data", digest)
    assert key.sign(b"data", digest) == signature
    public = serialization.load_der_public_key(made.public_key)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(
        signature,
        b"data",
        ec.ECDSA({"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}.get(digest, hashes.SHA512())),
    )


def test_rsa_signs_and_decrypts(keys: SoftwareKeys) -> None:
    """An RA key signs with PKCS#1 v1.5 and decrypts what was encrypted to it."""
    made = keys.generate(KeyKind.RSA_2048, RA)
    key = keys.open(made.id)
    assert key.public_key == made.public_key
    public = serialization.load_der_public_key(made.public_key)
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(key.sign(b"data", "sha512"), b"data", padding.PKCS1v15(), hashes.SHA512())
    assert key.decrypt(public.encrypt(b"content key", padding.PKCS1v15())) == b"content key"


def test_decryption_never_says_why(keys: SoftwareKeys) -> None:
    """No ciphertext makes decryption raise: no random one, none of another length or above the modulus (ENV-1)."""
    key = keys.open(keys.generate(KeyKind.RSA_2048, RA).id)
    tampered = b"\x00" + SeededEntropy().octets(255)
    assert key.decrypt(tampered) == key.decrypt(tampered)
    for impossible in (b"", b"\x01" * 255, b"\x01" * 257, b"\xff" * 256):
        assert key.decrypt(impossible) == b""


@pytest.mark.parametrize("digest", Digest)
@pytest.mark.parametrize("mask", Digest)
def test_oaep_decrypts_and_never_says_why(keys: SoftwareKeys, digest: Digest, mask: Digest) -> None:
    """An RA key opens RSAES-OAEP with any two of our digests; whatever is wrong gives no octets, no error (ENV-1)."""
    key = keys.open(keys.generate(KeyKind.RSA_2048, RA).id)
    public = serialization.load_der_public_key(key.public_key)
    assert isinstance(public, rsa.RSAPublicKey)
    sealed = public.encrypt(b"content key", padding.OAEP(padding.MGF1(mask.hash()), digest.hash(), None))
    assert key.decrypt(sealed, Oaep(digest, mask)) == b"content key"
    labelled = public.encrypt(b"content key", padding.OAEP(padding.MGF1(mask.hash()), digest.hash(), b"label"))
    plain = public.encrypt(b"content key", padding.PKCS1v15())
    for wrong in (labelled, plain, b"", b"\xff" * 256, b"\x00" * 256):
        assert key.decrypt(wrong, Oaep(digest, mask)) == b""


def test_an_ra_key_mirrors_sha_1(keys: SoftwareKeys) -> None:
    """An RSA key signs with SHA-1, which replies at legacy endpoints need (SIG-5)."""
    key = keys.open(keys.generate(KeyKind.RSA_2048, RA).id)
    public = serialization.load_der_public_key(key.public_key)
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(key.sign(b"data", "sha1"), b"data", padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - legacy


def test_only_rsa_decrypts_and_only_known_digests_sign(keys: SoftwareKeys) -> None:
    """Asking a key for what it cannot do, SHA-1 of an EC key with it, is a bug, not an answer."""
    key = keys.open(keys.generate(KeyKind.P256, OCSP).id)
    with pytest.raises(InvariantError):
        key.decrypt(b"\x00" * 256)
    with pytest.raises(InvariantError):
        key.sign(b"data", "sha1")
    with pytest.raises(InvariantError):
        keys.open(keys.generate(KeyKind.RSA_2048, RA).id).sign(b"data", "md5")


def test_self_test_passes_here(keys: SoftwareKeys) -> None:
    """This machine's OpenSSL rejects implicitly (ENV-1)."""
    keys.self_test()


def test_self_test_refuses_what_raises_or_differs() -> None:
    """A decryption that raises for a random block, or answers it differently each time, is refused (ENV-1)."""
    answers = iter((b"a", b"b"))

    def raising(block: bytes) -> bytes:
        raise ValueError(block)

    for decrypt in (raising, lambda _: next(answers)):
        with pytest.raises(UnavailableError) as refused:
            require_implicit_rejection(decrypt, b"\x00" * 256)
        assert refused.value.reason is reasons.ISSUER_UNAVAILABLE


@pytest.mark.parametrize("scope", [ROOT_SCOPE, ca_scope("staff")])
def test_ca_keys_are_not_opened(keys: SoftwareKeys, scope: str) -> None:
    """A CA's key cannot be had from the key store: it signs committed intents alone (R8)."""
    made = keys.generate(KeyKind.P256, scope)
    assert keys.holds(made.id)
    with pytest.raises(InvariantError):
        keys.open(made.id)


def test_the_key_of_a_ca_that_is_its_own_ra_is_opened(keys: SoftwareKeys) -> None:
    """R2: the one scope of a CA's keys that faces use, since they open messages with it."""
    made = keys.generate(KeyKind.RSA_2048, ca_ra_scope("solo"))
    assert keys.open(made.id).public_key == made.public_key


def test_what_was_destroyed_elsewhere_is_not_kept_open(
    keys: SoftwareKeys, vault: MemoryStore, master: MasterKey
) -> None:
    """ENV-8: a process that is told to let go has no key any more that another one destroyed."""
    made = keys.generate(KeyKind.P256, ra_scope("staff"))
    here = _keys(vault, master, seed=1)
    here.open(made.id)
    assert vault.destroy_key(made.id)
    here.open(made.id)
    here.let_go()
    with pytest.raises(UnavailableError):
        here.open(made.id)


def test_key_that_is_not_here_is_unavailable(keys: SoftwareKeys, master: MasterKey, tmp_path: Path) -> None:
    """A key of another machine gives CA-010, to use and to move."""
    foreign = _keys(MemoryStore(), master).generate(KeyKind.P256, OCSP)
    assert not keys.holds(foreign.id)
    with pytest.raises(UnavailableError) as refused:
        keys.open(foreign.id)
    assert refused.value.reason is reasons.ISSUER_UNAVAILABLE
    with pytest.raises(UnavailableError):
        keys.move_out(foreign.id, tmp_path)


def test_another_process_opens_the_same_key(keys: SoftwareKeys, vault: MemoryStore, master: MasterKey) -> None:
    """What one process wrapped, another with the same master key opens, and both sign alike."""
    made = keys.generate(KeyKind.P256, OCSP)
    assert _keys(vault, master, 1).open(made.id).sign(b"x", "sha256") == keys.open(made.id).sign(b"x", "sha256")


def test_wrong_master_key_is_named(keys: SoftwareKeys, vault: MemoryStore, tmp_path: Path) -> None:
    """Another master key opens nothing, and the error names the file that it came from."""
    made = keys.generate(KeyKind.P256, OCSP)
    (tmp_path / "other").mkdir()
    other = create_master_key(tmp_path / "other", SeededEntropy(8))
    with pytest.raises(AdminError) as refused:
        _keys(vault, other).open(made.id)
    assert refused.value.reason is reasons.MASTER_KEY_REFUSED
    assert str(other.path) in refused.value.detail


def test_row_cannot_be_moved(keys: SoftwareKeys, vault: MemoryStore, master: MasterKey) -> None:
    """A wrapped key under another id, kind, scope or public key does not open, nor does a changed blob (SEC-1)."""
    row = vault.get_key(keys.generate(KeyKind.P256, OCSP).id)
    other = vault.get_key(keys.generate(KeyKind.P256, OCSP).id)
    assert row is not None
    assert other is not None
    flipped = row.blob[:-1] + bytes((row.blob[-1] ^ 1,))
    for moved in (
        replace(row, id=other.id),
        replace(row, kind=KeyKind.P384),
        replace(row, scope=ocsp_scope("guests")),
        replace(row, scope=RA),
        replace(row, public_key=other.public_key),
        replace(row, blob=other.blob),
        replace(row, blob=flipped),
        replace(row, blob=row.blob[:5]),
        replace(row, blob=b""),
    ):
        elsewhere = MemoryStore()
        elsewhere.put_key(moved)
        with pytest.raises(AdminError) as refused:
            _keys(elsewhere, master).open(moved.id)
        assert refused.value.reason is reasons.MASTER_KEY_REFUSED


def test_key_lies_encrypted(keys: SoftwareKeys, vault: MemoryStore) -> None:
    """A row does not hold the private key in the clear, and two wrappings share no nonce (SEC-1)."""
    rows = [vault.get_key(keys.generate(KeyKind.P256, OCSP).id) for _ in range(3)]
    blobs = [row.blob for row in rows if row is not None]
    assert len({blob[:12] for blob in blobs}) == 3
    prefix = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )[:26]
    assert not any(prefix in blob for blob in blobs)


def test_moved_key_is_gone_here(keys: SoftwareKeys, vault: MemoryStore, tmp_path: Path) -> None:
    """Moving a key out leaves one file of mode 0600 and nothing of it in vault or memory (R10)."""
    made = keys.generate(KeyKind.P256, OCSP)
    keys.open(made.id)
    path = keys.move_out(made.id, tmp_path)
    assert path == tmp_path / f"{made.id}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert vault.get_key(made.id) is None
    assert not keys.holds(made.id)
    with pytest.raises(UnavailableError):
        keys.open(made.id)


def test_key_stays_where_it_cannot_be_written(keys: SoftwareKeys, tmp_path: Path) -> None:
    """A medium that is missing or full of something else keeps the key where it is."""
    made = keys.generate(KeyKind.P384, ROOT_SCOPE)
    with pytest.raises(AdminError) as refused:
        keys.move_out(made.id, tmp_path / "missing")
    assert refused.value.reason is reasons.FILE_REFUSED
    (tmp_path / f"{made.id}.key").write_text("somebody else's", encoding="ascii")
    with pytest.raises(AdminError):
        keys.move_out(made.id, tmp_path)
    assert keys.holds(made.id)
    assert (tmp_path / f"{made.id}.key").read_text(encoding="ascii") == "somebody else's"


def test_interrupted_move_is_finished(keys: SoftwareKeys, vault: MemoryStore, tmp_path: Path) -> None:
    """A move that was cut off between writing and destroying ends well when it is asked for again."""
    made = keys.generate(KeyKind.P384, ROOT_SCOPE)
    row = vault.get_key(made.id)
    assert row is not None
    keys.move_out(made.id, tmp_path)
    vault.put_key(row)
    assert keys.move_out(made.id, tmp_path).exists()
    assert not keys.holds(made.id)


def test_key_that_does_not_open_is_not_moved(keys: SoftwareKeys, vault: MemoryStore, tmp_path: Path) -> None:
    """A row that the master key does not open stays: the file would be worthless, and destroying ours final."""
    made = keys.generate(KeyKind.P384, ROOT_SCOPE)
    (tmp_path / "other").mkdir()
    other = create_master_key(tmp_path / "other", SeededEntropy(8))
    with pytest.raises(AdminError):
        _keys(vault, other).move_out(made.id, tmp_path)
    assert keys.holds(made.id)
    assert not (tmp_path / f"{made.id}.key").exists()
