"""Project Wycheproof's edge cases of the three primitives that a message goes through, with the verdict of each.

`docs/conformance/attacks.md` says which one it leaves open and what we make of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from regalia import reasons
from regalia.errors import PeerError
from regalia.keys.software import SoftwareKey
from regalia.model import Names
from regalia.wire import oids
from regalia.wire.algorithms import STANDARD, Accepted, AlgorithmIdentifier, Cipher, Digest
from regalia.wire.cms import (
    CertificateId,
    EncryptedKey,
    EnvelopedData,
    SignedData,
    SignerInfo,
    decrypt_content,
)
from regalia.wire.csr import Csr, verify_possession
from regalia.wire.der import DerError, Tlv
from regalia.wire.scep import RawMessage, SignedAttributes, check_signature
from regalia.wire.signature import signer_scheme

VECTORS = Path(__file__).parents[1] / "vectors" / "wycheproof"
PAGE = Path(__file__).parents[2] / "docs" / "conformance" / "attacks.md"
SPARE = b"\xa5" * 32


def cases(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every vector of a file, with the group that it stands in."""
    groups = json.loads((VECTORS / f"{name}_test.json").read_text("utf-8"))["testGroups"]
    return [(group, vector) for group in groups for vector in group["tests"]]


def named(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> pytest.MarkDecorator:
    """Parametrize by vector, named by number and verdict."""
    ids = [f"{vector['tcId']}-{vector['result']}" for _, vector in found]
    return pytest.mark.parametrize(("group", "vector"), found, ids=ids)


def failure_of(sealed: EnvelopedData, key: EncryptedKey, private: SoftwareKey) -> str:
    """What anybody could tell of a decryption that failed: the type, the reason and the detail of what it raised."""
    try:
        plaintext = decrypt_content(sealed, key, private.decrypt, SPARE)
    except PeerError as fault:
        return f"{type(fault).__name__} {fault}"
    # A wrong key makes a right padding of what it decrypts once in 256 times; the reader of requests refuses that.
    return f"{len(plaintext)} octets"


@named(cases("rsa_pkcs1_2048"))
def test_rsa_decryption_gives_the_plaintext_or_nothing_of_it(group: dict[str, Any], vector: dict[str, Any]) -> None:
    """ENV-1, ENV-2: valid, the plaintext; invalid, never that of the vector, and the failure of any wrong key."""
    key = load_der_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None)
    assert isinstance(key, RSAPrivateKey)
    private, octets = SoftwareKey(key), bytes.fromhex(vector["ct"])
    assert vector["result"] in {"valid", "invalid"}
    plaintext = private.decrypt(octets)
    if vector["result"] == "valid":
        assert plaintext == bytes.fromhex(vector["msg"])
        return
    assert plaintext != bytes.fromhex(vector["msg"]) or not vector["msg"]
    assert plaintext == private.decrypt(octets), "implicit rejection is deterministic (ENV-1)"
    random_block = (0x5A).to_bytes(1) * 256
    for cipher in Cipher:
        sealed = EnvelopedData((), cipher, bytes(16), bytes(range(64)))
        seen = failure_of(sealed, EncryptedKey(octets, None), private)
        assert seen == failure_of(sealed, EncryptedKey(random_block, None), private)


@named(cases("aes_cbc_pkcs5"))
def test_padding_is_checked_whole_and_fails_in_one_way(group: dict[str, Any], vector: dict[str, Any]) -> None:
    """ENV-3, ENV-4: valid, the plaintext; invalid, one reason without a detail, whatever octet is wrong."""
    cipher = {16: Cipher.AES128_CBC, 24: Cipher.AES192_CBC, 32: Cipher.AES256_CBC}[group["keySize"] // 8]
    sealed = EnvelopedData((), cipher, bytes.fromhex(vector["iv"]), bytes.fromhex(vector["ct"]))
    key = bytes.fromhex(vector["key"])
    if vector["result"] == "valid":
        opened = decrypt_content(sealed, EncryptedKey(b"", None), lambda _octets, _oaep: key, SPARE)
        assert opened == bytes.fromhex(vector["msg"])
        return
    assert vector["result"] == "invalid"
    with pytest.raises(PeerError) as refused:
        decrypt_content(sealed, EncryptedKey(b"", None), lambda _octets, _oaep: key, SPARE)
    assert (refused.value.reason, refused.value.detail) == (reasons.DECRYPTION_FAILED, "")
    assert refused.value.__cause__ is None


ACCEPTED = Accepted(legacy=True)
"""One group's exponent is 3, which only `legacy` takes; without it the key is refused before its signature is read."""


def csr_with(public_key: bytes, message: bytes, signature: bytes) -> Csr:
    """A request of which only key, signed octets and signature matter."""
    algorithm = AlgorithmIdentifier(oids.SHA256_WITH_RSA, None)
    return Csr(message, message, public_key, None, Names(), (), (), algorithm, signature, None)


def accepts(csr: Csr, accepted: Accepted) -> bool:
    """Whether the request's signature is taken."""
    try:
        verify_possession(csr, accepted)
    except PeerError as fault:
        if fault.reason in {reasons.POSSESSION_UNPROVEN, reasons.KEY_REFUSED}:
            return False
        raise
    return True


@named(cases("rsa_signature_2048_sha256"))
def test_an_rsa_signature_gets_the_verdict_given(group: dict[str, Any], vector: dict[str, Any]) -> None:
    """ENV-6, SIG-1, KEY-1: as a request's signature and, where the octets can be a SET, as the message's own."""
    public_key, message = bytes.fromhex(group["publicKeyDer"]), bytes.fromhex(vector["msg"])
    signature = bytes.fromhex(vector["sig"])
    expected = vector["result"] == "valid"
    if vector["result"] == "acceptable":
        assert f"{vector['tcId']} ({vector['comment']})" in PAGE.read_text("utf-8")
    csr = csr_with(public_key, message, signature)
    assert accepts(csr, ACCEPTED) is expected
    small_exponent = int(group["publicKey"]["publicExponent"], 16) == 3
    assert accepts(csr, Accepted()) is (expected and not small_exponent)
    if message[:1] == b"\x31" and not small_exponent:
        assert message_verifies(public_key, message, signature) is expected


def message_verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether these octets, as signed attributes under the tag of SET, are believed."""
    content = b"content"
    plain = AlgorithmIdentifier(oids.RSA_ENCRYPTION, None)
    digest = AlgorithmIdentifier(oids.SHA256, None)
    signer = SignerInfo(CertificateId(ski=b"x"), digest, b"\xa0" + message[1:], plain, signature)
    claimed = Tlv(0x04, Digest.SHA256.of(content), b"")
    attributes = SignedAttributes({oids.MESSAGE_DIGEST: [claimed]})
    signed_data = SignedData(oids.ID_DATA, content, (), (signer,))
    raw = RawMessage(signed_data, attributes, "", None, None, Digest.SHA256)
    scheme = signer_scheme(plain, Digest.SHA256, STANDARD)
    assert scheme is not None
    try:
        check_signature(raw, Digest.SHA256, scheme, public_key)
    except DerError:
        # The vectors' messages are no SETs: what is not believed as sent cannot be sorted and tried again.
        return False
    return True
