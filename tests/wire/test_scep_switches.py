"""SCEP messages where an endpoint takes more than R1's list: legacy, keys that are not RSA, and OAEP everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP

from forge import OAEP_LABEL, oaep_transport, rekeyed
from regalia import reasons
from regalia.errors import PeerError
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import STANDARD, Accepted, Cipher, Digest, Oaep
from regalia.wire.cms_build import PasswordRecipient, build_enveloped
from regalia.wire.public_key import key_algorithm
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.scep import PkiMessage, capabilities, judge_envelope, read_message, verify_message
from scep_parts import (
    CONTENT_KEY,
    DEVICE,
    IV,
    NON_RSA,
    RA,
    Identity,
    Request,
    _self_signed,
    algorithm,
    key_identity,
    make_csr,
    pss,
)

if TYPE_CHECKING:
    from regalia.errors import Reason

LEGACY, KEYS = Accepted(legacy=True), Accepted(non_rsa=True)
BOTH = Accepted(legacy=True, non_rsa=True)
IV8 = der.octet_string(IV[:8])


def verified(request: Request, accepted: Accepted) -> PkiMessage:
    """A request that is accepted."""
    return verify_message(read_message(request.build(), accepted), accepted)


def refusal(request: Request, accepted: Accepted = STANDARD) -> PeerError:
    """Why it is not."""
    with pytest.raises(PeerError) as refused:
        verified(request, accepted)
    return refused.value


def opened(message: PkiMessage) -> bytes:
    """What the envelope holds."""
    key = cms.encrypted_key_for(message.enveloped, RA().certificate)
    assert key is not None
    return cms.decrypt_content(message.enveloped, key, RA().decrypt, bytes(32))


def sealed(*, transport: bytes, encrypted_key: bytes, cipher: Cipher = Cipher.AES128_CBC) -> bytes:
    """An envelope around a good request, its one recipient written by hand."""
    whole = build_enveloped(make_csr(), recipient=RA().certificate, cipher=cipher, content_key=CONTENT_KEY, iv=IV)
    return rekeyed(whole, transport, encrypted_key)


def under(content_cipher: bytes) -> bytes:
    """A good envelope but for the AlgorithmIdentifier of its content cipher."""
    oid, explicit = der.read_one(Request().envelope()).children()
    version, recipients, content = der.read_one(explicit.content).children()
    parts = content.children()
    inner = der.sequence(parts[0].raw, content_cipher, parts[2].raw)
    return der.sequence(oid.raw, der.context(0, der.sequence(version.raw, recipients.raw, inner)))


# --- key transport --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", Digest)
@pytest.mark.parametrize("mask", Digest)
def test_oaep_is_taken_everywhere(digest: Digest, mask: Digest) -> None:
    """RSAES-OAEP opens with SHA-1, its default, and SHA-2, and another digest in MGF1, without a switch (R1)."""
    public = RA().rsa.public_key()
    encrypted = public.encrypt(CONTENT_KEY[:16], OAEP(MGF1(mask.hash()), digest.hash(), None))
    content = sealed(transport=oaep_transport(digest, mask), encrypted_key=encrypted)
    message = verified(Request(content=content), STANDARD)
    key = cms.encrypted_key_for(message.enveloped, RA().certificate)
    assert key is not None
    assert key.oaep == Oaep(digest, mask)
    assert opened(message) == make_csr()


@pytest.mark.parametrize(
    ("transport", "named"),
    [
        (oaep_transport(Digest.SHA1, Digest.SHA1, OAEP_LABEL), "label"),
        (algorithm(oids.RSAES_OAEP, der.sequence(der.context(0, algorithm(oids.MD5)))), "digest MD5"),
        (algorithm(oids.RSAES_OAEP, b""), "without its parameters"),
        (algorithm(oids.RSAES_OAEP), "without its parameters"),
        (algorithm(oids.RSAES_OAEP, der.sequence(der.null())), "parameters that are not its own"),
        (algorithm(oids.RSA_ENCRYPTION, der.sequence()), "rsaEncryption"),
        (algorithm(oids.RSASSA_PSS, der.sequence()), "RSASSA-PSS"),
    ],
)
def test_other_key_transports_are_refused_in_clear(transport: bytes, named: str) -> None:
    """A label, another digest or algorithm is refused by name, whatever is switched on, before a key is touched."""
    refused = refusal(Request(content=sealed(transport=transport, encrypted_key=bytes(256))), BOTH)
    assert refused.reason is reasons.KEY_TRANSPORT_REFUSED
    assert named in refused.detail


def test_oaep_fails_in_the_one_way() -> None:
    """OAEP around the wrong octets, with a label in secret or of another digest fails like any decryption (ENV-3)."""
    public = RA().rsa.public_key()
    padded = OAEP(MGF1(Digest.SHA1.hash()), Digest.SHA1.hash(), None)
    told = set()
    for octets in (
        public.encrypt(CONTENT_KEY[:16], OAEP(MGF1(Digest.SHA1.hash()), Digest.SHA1.hash(), b"label")),
        public.encrypt(CONTENT_KEY[:16], OAEP(MGF1(Digest.SHA1.hash()), Digest.SHA256.hash(), None)),
        public.encrypt(CONTENT_KEY[:15], padded),
        public.encrypt(bytes(16), padded),
        bytes(256),
        b"",
    ):
        transport = oaep_transport(Digest.SHA1, Digest.SHA1)
        message = verified(Request(content=sealed(transport=transport, encrypted_key=octets)), STANDARD)
        with pytest.raises(PeerError) as refused:
            opened(message)
        told.add(str(refused.value))
    assert told == {str(PeerError(reasons.DECRYPTION_FAILED))}


# --- legacy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", [oids.RSA_ENCRYPTION, oids.SHA1_WITH_RSA])
def test_sha_1_and_triple_des_need_the_switch(signature: str) -> None:
    """SHA-1 and triple DES are taken where the endpoint is a legacy one (SIG-5, ENV-5), and nowhere else."""
    request = Request(
        digest=Digest.SHA1, signature_algorithm=algorithm(signature), envelope_cipher=Cipher.TRIPLE_DES_CBC
    )
    message = verified(request, LEGACY)
    assert (message.digest, message.enveloped.cipher) == (Digest.SHA1, Cipher.TRIPLE_DES_CBC)
    assert opened(message) == make_csr()
    assert read_message(request.build(), LEGACY).digest is Digest.SHA1
    assert read_message(request.build()).digest is None
    for accepted in (STANDARD, KEYS):
        refused = refusal(request, accepted)
        assert refused.reason is reasons.DIGEST_REFUSED
        assert "triple DES" in refused.detail
        assert (oids.describe(oids.SHA1_WITH_RSA) in refused.detail) is (signature == oids.SHA1_WITH_RSA)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest_algorithm": algorithm(oids.MD5)}, reasons.DIGEST_REFUSED),
        ({"digest_algorithm": algorithm(oids.SHA224)}, reasons.DIGEST_REFUSED),
        ({"signature_algorithm": algorithm(oids.MD5_WITH_RSA)}, reasons.SIGNATURE_ALGORITHM_REFUSED),
        ({"signature_algorithm": algorithm(oids.SHA1_WITH_RSA)}, reasons.SIGNATURE_ALGORITHM_REFUSED),
        ({"signature_algorithm": algorithm(oids.ECDSA_WITH_SHA1, b"")}, reasons.SIGNATURE_ALGORITHM_REFUSED),
    ],
)
def test_no_switch_takes_more(changes: dict[str, Any], reason: Reason) -> None:
    """MD5, SHA-224, SHA-1 under another digest and ECDSA with SHA-1 are refused whatever is switched on (R1)."""
    assert refusal(Request(**changes), BOTH).reason is reason


@pytest.mark.parametrize("oid", [oids.DES_CBC, oids.RC2_CBC, oids.AES128_GCM, oids.AES256_GCM])
def test_single_des_and_others_are_never_taken(oid: str) -> None:
    """Single DES, RC2 and GCM inside EnvelopedData are refused whatever is switched on (R1, ENV-5)."""
    content = under(algorithm(oid, IV8))
    refused = refusal(Request(content=content), BOTH)
    assert refused.reason is reasons.CIPHER_REFUSED
    assert oids.describe(oid) in refused.detail


@pytest.mark.parametrize(("cipher", "octets"), [(Cipher.TRIPLE_DES_CBC, 16), (Cipher.AES128_CBC, 8)])
def test_the_iv_is_one_block(cipher: Cipher, octets: int) -> None:
    """Triple DES has an IV of 8 octets and AES of 16; one with the other's is refused."""
    content = under(algorithm(cipher.oid, der.octet_string(IV[:octets])))
    refused = refusal(Request(content=content), LEGACY)
    assert refused.reason is reasons.ENVELOPE_STRUCTURE_REFUSED
    assert refused.detail == f"the IV is not {cipher.block_octets} octets"


ONE, TWO = CONTENT_KEY[:8], CONTENT_KEY[8:16]


@pytest.mark.parametrize(
    "key",
    [ONE * 3, ONE * 2 + TWO, TWO + ONE * 2, TWO + ONE + bytes(octet ^ 1 for octet in ONE), ONE + TWO],
    ids=["one key", "first two", "last two", "but for the parity", "two keys"],
)
def test_triple_des_that_is_single_is_no_key(key: bytes) -> None:
    """Keys under which triple DES is single DES, or that are too short, fail like a wrong key (ENV-2)."""
    encrypted = RA().rsa.public_key().encrypt(key, OAEP(MGF1(Digest.SHA1.hash()), Digest.SHA1.hash(), None))
    content = sealed(
        transport=oaep_transport(Digest.SHA1, Digest.SHA1),
        encrypted_key=encrypted,
        cipher=Cipher.TRIPLE_DES_CBC,
    )
    with pytest.raises(PeerError) as refused:
        opened(verified(Request(content=content), LEGACY))
    assert refused.value.reason is reasons.DECRYPTION_FAILED


def test_an_exponent_of_3_needs_the_switch() -> None:
    """A signer's RSA key with the exponent 3 is taken where the endpoint is a legacy one, and nowhere else (KEY-1)."""
    owner = _self_signed("three", rsa.generate_private_key(3, 2048), 77)
    assert verified(Request(signer=owner), LEGACY).signer == owner.certificate
    refused = refusal(Request(signer=owner), KEYS)
    assert refused.reason is reasons.SIGNER_KEY_REFUSED
    assert refused.detail == "its RSA exponent is 3"


# --- PSS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_pss_is_taken_everywhere(digest: Digest) -> None:
    """A message signed with RSASSA-PSS is verified without a switch; salt and digests are its parameters' (R1)."""
    request = Request(digest=digest, signature_algorithm=pss_identifier(digest), sign=pss(DEVICE(), digest))
    assert verified(request, STANDARD).digest is digest
    for wrong in (pss(DEVICE(), digest, salt=20), pss(DEVICE(), digest, mask=Digest.SHA1), DEVICE().signer(digest)):
        request.sign = wrong
        assert refusal(request).reason is reasons.SIGNATURE_INVALID
    for other in Digest:
        if other is not digest:
            mixed = Request(digest=digest, signature_algorithm=pss_identifier(other), sign=pss(DEVICE(), other))
            assert refusal(mixed, BOTH).reason is reasons.SIGNATURE_ALGORITHM_REFUSED


# --- keys that are not RSA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NON_RSA)
def test_other_keys_need_the_switch(kind: str) -> None:
    """ECDSA, Ed25519 and ML-DSA sign requests to the RSA RA where `non-rsa` is on, and nowhere else (R1)."""
    _, oid, digest = NON_RSA[kind]
    request = Request(signer=key_identity(kind), digest=digest, signature_algorithm=algorithm(oid, b""))
    message = verified(request, KEYS)
    assert message.signer_facts.public_key == key_identity(kind).spki
    assert opened(message) == make_csr()
    for accepted in (STANDARD, LEGACY):
        refused = refusal(request, accepted)
        assert refused.reason is reasons.SIGNATURE_ALGORITHM_REFUSED
        assert refused.detail == f"signature {oids.describe(oid)}; signer's key {key_name(key_identity(kind))}"


def key_name(owner: Identity) -> str:
    """What a detail calls the algorithm of a key."""
    return str(key_algorithm(owner.spki))


@pytest.mark.parametrize("kind", NON_RSA)
def test_a_signature_must_be_of_the_keys_kind(kind: str) -> None:
    """A key that is not RSA under rsaEncryption, and RSA under another name, are refused by name in clear."""
    _, oid, digest = NON_RSA[kind]
    owner = key_identity(kind)
    refused = refusal(Request(signer=owner, digest=digest, sign=lambda _: bytes(64)), KEYS)
    assert refused.reason is reasons.SIGNATURE_ALGORITHM_REFUSED
    assert refused.detail == f"signature rsaEncryption by a key {key_name(owner)}"
    swapped = Request(digest=digest, signature_algorithm=algorithm(oid, b""))
    assert refusal(swapped, KEYS).detail == f"signature {oids.describe(oid)} by a key rsaEncryption"


@pytest.mark.parametrize("kind", NON_RSA)
def test_a_forged_signature_of_other_keys_is_refused(kind: str) -> None:
    """A signature over other octets, or of no octets, does not verify with any kind of key (SIG-1)."""
    _, oid, digest = NON_RSA[kind]
    owner = key_identity(kind)
    for forged in (owner.sign(b"other octets", digest), b"", bytes(100)):
        request = Request(signer=owner, digest=digest, signature_algorithm=algorithm(oid, b""), signature=forged)
        assert refusal(request, KEYS).reason is reasons.SIGNATURE_INVALID


def test_ed25519_has_sha_512_beside_it() -> None:
    """Ed25519 over signedAttrs digested with SHA-256 is refused (RFC 8419 §3.1)."""
    request = Request(
        signer=key_identity("ed25519"), digest=Digest.SHA256, signature_algorithm=algorithm(oids.ED25519, b"")
    )
    assert refusal(request, KEYS).detail == "signature Ed25519 over digest SHA-256"


def test_other_curves_are_refused() -> None:
    """A P-521 signer is refused for its curve where `non-rsa` is on (R1)."""
    owner = _self_signed("large", ec.generate_private_key(ec.SECP521R1()), 78)
    request = Request(signer=owner, digest=Digest.SHA512, signature_algorithm=algorithm(oids.ECDSA_WITH_SHA512, b""))
    refused = refusal(request, KEYS)
    assert (refused.reason, refused.detail) == (reasons.SIGNER_KEY_REFUSED, "its curve is P-521")


def test_a_password_is_no_way_to_our_ra() -> None:
    """A request under a password is refused whatever is switched on: our RA has an RSA key (RFC 8894 §3.1)."""
    with pytest.raises(PeerError) as refused:
        judge_envelope(sealed_for_password(), BOTH)
    assert refused.value.reason is reasons.KEY_TRANSPORT_REFUSED
    assert refused.value.detail == "recipient of kind pwri"


def sealed_for_password() -> bytes:
    """An envelope under a challenge, as only a server writes it."""
    recipient = PasswordRecipient("hunter2", IV, IV, 1000)
    return build_enveloped(make_csr(), recipient=recipient, cipher=Cipher.AES128_CBC, content_key=CONTENT_KEY, iv=IV)


# --- capabilities ---------------------------------------------------------------------------------------------------


def test_capabilities_are_what_is_taken() -> None:
    """GetCACaps lists SHA-1 and DES3 where they are taken, GetNextCACert where there is a next CA (R1, SIG-5)."""
    usual = ["POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "AES", "SCEPStandard"]
    for accepted in (STANDARD, KEYS):
        assert capabilities(accepted).decode() == "".join(f"{word}\n" for word in usual)
    assert capabilities(LEGACY).decode().split() == [*usual, "SHA-1", "DES3"]
    assert capabilities(next_ca=True).decode().split() == [*usual, "GetNextCACert"]
    assert capabilities(BOTH, next_ca=True).decode().split() == [*usual, "SHA-1", "DES3", "GetNextCACert"]
