"""Signature algorithms of peers: what each endpoint takes, in SignerInfo and in requests, and what nobody takes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.wire import der, oids
from regalia.wire.algorithms import STANDARD, Accepted, AlgorithmIdentifier, Digest, read_algorithm
from regalia.wire.public_key import load_public_key
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.signature import SchemeRefusedError, request_scheme, signer_scheme
from scep_parts import DEVICE, NON_RSA, Identity, algorithm, key_identity, pss

LEGACY, KEYS = Accepted(legacy=True), Accepted(non_rsa=True)
BOTH = Accepted(legacy=True, non_rsa=True)
OCTETS = b"what is signed"
RSA_WITH = {
    Digest.SHA1: oids.SHA1_WITH_RSA,
    Digest.SHA256: oids.SHA256_WITH_RSA,
    Digest.SHA384: oids.SHA384_WITH_RSA,
    Digest.SHA512: oids.SHA512_WITH_RSA,
}


def _identifier(octets: bytes) -> AlgorithmIdentifier:
    return read_algorithm(der.read_one(octets))


def _holds(identifier: bytes, digest: Digest, owner: Identity, signature: bytes, accepted: Accepted) -> bool:
    scheme = signer_scheme(_identifier(identifier), digest, accepted)
    assert scheme is not None
    return scheme.holds(load_public_key(owner.spki), signature, OCTETS)


def _refusal(identifier: bytes, digest: Digest, accepted: Accepted = BOTH) -> str:
    with pytest.raises(SchemeRefusedError) as refused:
        signer_scheme(_identifier(identifier), digest, accepted)
    return str(refused.value)


def _pss_with(digest: Digest, salt: int) -> bytes:
    hashed = der.sequence(der.oid(digest.oid))
    mask = algorithm(oids.MGF1, hashed)
    parts = (der.context(0, hashed), der.context(1, mask), der.context(2, der.integer(salt)))
    return algorithm(oids.RSASSA_PSS, der.sequence(*parts))


# --- RSA ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
@pytest.mark.parametrize("salt", [0, 20, None, 150])
def test_pss_verifies_with_any_salt_that_fits(digest: Digest, salt: int | None) -> None:
    """RSASSA-PSS is taken everywhere, with any salt from none to what fits the key (R1)."""
    octets = digest.hash().digest_size if salt is None else salt
    identifier = _pss_with(digest, octets)
    good = pss(DEVICE(), digest, salt=salt)(OCTETS)
    assert _holds(identifier, digest, DEVICE(), good, STANDARD)
    assert request_scheme(_identifier(identifier), STANDARD).holds(load_public_key(DEVICE().spki), good, OCTETS)
    for bad in (pss(DEVICE(), digest, salt=octets + 1)(OCTETS), DEVICE().sign(OCTETS, digest), good[:-1], b""):
        assert not _holds(identifier, digest, DEVICE(), bad, STANDARD)


@pytest.mark.parametrize("salt", [191, 224, 1 << 40])
def test_a_salt_that_cannot_fit_never_verifies(salt: int) -> None:
    """A salt longer than the modulus has room for is a signature that does not hold, and no error (KEY-1)."""
    assert not _holds(_pss_with(Digest.SHA512, salt), Digest.SHA512, DEVICE(), bytes(256), STANDARD)


def test_the_largest_salt_that_fits_verifies() -> None:
    """A salt that fills the modulus, as OpenSSL 3.0 chooses, is taken, also where the modulus has an odd bit length."""
    for bits in (2048, 2049):
        key = rsa.generate_private_key(65537, bits)
        owner = Identity(key, b"")
        salt = (bits + 6) // 8 - 34
        signature = pss(owner, Digest.SHA256, salt=salt)(OCTETS)
        assert _holds(_pss_with(Digest.SHA256, salt), Digest.SHA256, owner, signature, STANDARD)


def test_pss_uses_one_digest_throughout() -> None:
    """The digest of PSS is the SignerInfo's and the mask's; another in either place is refused by name (R1)."""
    sha1, sha256 = algorithm(oids.SHA1), algorithm(oids.SHA256)
    mixed = algorithm(oids.RSASSA_PSS, der.sequence(der.context(0, sha256), der.context(1, algorithm(oids.MGF1, sha1))))
    assert _refusal(mixed, Digest.SHA256) == "signature RSASSA-PSS with digest SHA-256 and MGF1 digest SHA-1"
    defaults = algorithm(oids.RSASSA_PSS, der.sequence())
    assert _refusal(defaults, Digest.SHA256, STANDARD) == "signature RSASSA-PSS with digest SHA-1"
    assert _refusal(defaults, Digest.SHA256) == "signature RSASSA-PSS over digest SHA-256"
    assert _refusal(pss_identifier(Digest.SHA512), Digest.SHA256) == "signature RSASSA-PSS over digest SHA-256"
    assert _refusal(algorithm(oids.RSASSA_PSS), Digest.SHA256) == "signature RSASSA-PSS without its parameters"


def test_pss_with_sha_1_is_legacy() -> None:
    """The defaults of PSS, which are SHA-1, are taken where the endpoint is a legacy one (SIG-5)."""
    identifier = algorithm(oids.RSASSA_PSS, der.sequence())
    assert _holds(identifier, Digest.SHA1, DEVICE(), pss(DEVICE(), Digest.SHA1)(OCTETS), LEGACY)


@pytest.mark.parametrize("digest", Digest)
def test_pkcs1_verifies_under_either_name(digest: Digest) -> None:
    """PKCS #1 v1.5 verifies as rsaEncryption and under the digest's own name; SHA-1 where legacy (SIG-5)."""
    for identifier in (algorithm(oids.RSA_ENCRYPTION), algorithm(RSA_WITH[digest]), algorithm(RSA_WITH[digest], b"")):
        assert _holds(identifier, digest, DEVICE(), DEVICE().sign(OCTETS, digest), LEGACY)
        assert not _holds(identifier, digest, DEVICE(), pss(DEVICE(), digest)(OCTETS), LEGACY)


@pytest.mark.parametrize(
    ("identifier", "digest", "accepted"),
    [
        (algorithm(oids.SHA1_WITH_RSA), Digest.SHA1, STANDARD),
        (algorithm(oids.SHA1_WITH_RSA), Digest.SHA256, LEGACY),
        (algorithm(oids.SHA256_WITH_RSA), Digest.SHA1, LEGACY),
        (algorithm(oids.SHA256_WITH_RSA), Digest.SHA512, BOTH),
        (algorithm(oids.SHA256_WITH_RSA, der.integer(0)), Digest.SHA256, BOTH),
        (algorithm(oids.RSA_ENCRYPTION, der.sequence()), Digest.SHA256, BOTH),
        (algorithm(oids.MD5_WITH_RSA), Digest.SHA256, BOTH),
        (algorithm(oids.RSAES_OAEP, der.sequence()), Digest.SHA256, BOTH),
        (algorithm(oids.ECDSA_WITH_SHA1, b""), Digest.SHA1, BOTH),
        (algorithm(oids.ECDSA_WITH_SHA256, b""), Digest.SHA384, BOTH),
        (algorithm(oids.ECDSA_WITH_SHA256), Digest.SHA256, BOTH),
        (algorithm(oids.ECDSA_WITH_SHA256, b""), Digest.SHA256, LEGACY),
        (algorithm(oids.EC_PUBLIC_KEY, b""), Digest.SHA256, BOTH),
        (algorithm(oids.ED25519, b""), Digest.SHA512, LEGACY),
        (algorithm(oids.ED25519, b""), Digest.SHA256, BOTH),
        (algorithm(oids.ED25519), Digest.SHA512, BOTH),
        (algorithm(oids.ML_DSA_44, b""), Digest.SHA1, BOTH),
        (algorithm(oids.ML_DSA_65, b""), Digest.SHA256, BOTH),
        (algorithm(oids.ML_DSA_87, b""), Digest.SHA384, BOTH),
        (algorithm(oids.ML_DSA_87), Digest.SHA512, BOTH),
        (algorithm("1.2.3.4"), Digest.SHA256, BOTH),
    ],
)
def test_what_the_endpoint_does_not_take_is_named(identifier: bytes, digest: Digest, accepted: Accepted) -> None:
    """Weaker or mixed digests, stray parameters and what lacks its switch are refused, and the text names them."""
    read = _identifier(identifier)
    assert str(read) in _refusal(identifier, digest, accepted)
    assert signer_scheme(_identifier(algorithm(oids.RSA_ENCRYPTION)), None, accepted) is None


# --- keys that are not RSA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NON_RSA)
def test_other_keys_sign_where_they_are_taken(kind: str) -> None:
    """ECDSA, Ed25519 and ML-DSA verify in SignerInfo and requests (RFC 5754, RFC 8419, RFC 9882), others' do not."""
    _, oid, digest = NON_RSA[kind]
    owner, identifier = key_identity(kind), algorithm(oid, b"")
    signature = owner.sign(OCTETS, digest)
    assert _holds(identifier, digest, owner, signature, KEYS)
    key = load_public_key(owner.spki)
    assert request_scheme(_identifier(identifier), KEYS).holds(key, signature, OCTETS)
    for wrong in (signature[:-1], b"", bytes(len(signature)), DEVICE().sign(OCTETS, digest)):
        assert not _holds(identifier, digest, owner, wrong, KEYS)
    assert not _holds(identifier, digest, DEVICE(), signature, KEYS)


@pytest.mark.parametrize(("kind", "count"), [("ed25519", 1), ("ml-dsa-44", 3), ("ml-dsa-65", 2), ("ml-dsa-87", 1)])
def test_pure_signatures_stand_beside_strong_enough_digests(kind: str, count: int) -> None:
    """Ed25519 stands beside SHA-512 (RFC 8419 §3.1), ML-DSA beside what RFC 9882 §3.3 lists, never SHA-1."""
    identifier = _identifier(algorithm(NON_RSA[kind][1], b""))
    taken = []
    for digest in Digest:
        try:
            signer_scheme(identifier, digest, BOTH)
        except SchemeRefusedError:
            continue
        taken.append(digest)
    assert taken == list(Digest)[-count:]


def test_no_scheme_holds_with_another_kind_of_key() -> None:
    """A signature that claims one kind of key never verifies with another, whatever its octets."""
    owners = [DEVICE(), *(key_identity(kind) for kind in NON_RSA)]
    claims = [(algorithm(oids.RSA_ENCRYPTION), Digest.SHA256), (pss_identifier(Digest.SHA256), Digest.SHA256)]
    claims += [(algorithm(oid, b""), digest) for _, oid, digest in NON_RSA.values()]
    held = 0
    for identifier, digest in claims:
        scheme = signer_scheme(_identifier(identifier), digest, BOTH)
        assert scheme is not None
        for owner in owners:
            mine = owner.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            held += scheme.holds(load_public_key(mine), owner.sign(OCTETS, digest), OCTETS)
    assert held == len(claims) - 1 + 2  # each with its own key, PSS with none, and either curve under either ECDSA
