"""Bytes that nobody here made: a fuzzing corpus, the samples of RFC 8894, and messages of real clients."""

from __future__ import annotations

import zipfile
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from regalia import reasons
from regalia.errors import PeerError, Stage
from regalia.model import Names, San, SanKind
from regalia.wire import cms, der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import Csr, read_csr, verify_possession, without_challenge
from regalia.wire.scep import PkiMessage, Transaction, judge_envelope, read_message, verify_message
from regalia.wire.scep_client import read_certs_only, read_reply

if TYPE_CHECKING:
    from regalia.wire.algorithms import Oaep

VECTORS = Path(__file__).parents[1] / "vectors"


# --- OpenSSL's fuzzing corpus ---------------------------------------------------------------------------------------


def _corpus() -> list[bytes]:
    with zipfile.ZipFile(VECTORS / "openssl-cms-corpus.zip") as archive:
        return [archive.read(name) for name in archive.namelist() if not name.endswith("/")]


def _verify(body: bytes) -> object:
    return verify_message(read_message(body))


def _reply(body: bytes) -> object:
    return read_reply(
        body, transaction=Transaction(b"1"), sender_nonce=b"1", ra_certificates=[], decrypt=lambda _: bytes(16)
    )


@pytest.mark.parametrize("reader", [read_message, _verify, _reply, judge_envelope, read_certs_only, read_csr])
def test_only_peererror_leaves_for_the_cms_corpus(reader: object) -> None:
    """Each of 1 389 inputs is soon read or refused, with nothing but DerError behind a refusal (IN-1)."""
    assert callable(reader)
    slowest = 0.0
    bodies = _corpus()
    for body in bodies:
        begun = process_time()
        try:
            reader(body)
        except PeerError as refused:
            causes = (type(None), der.DerError, PeerError)
            assert type(refused.__cause__) in causes, refused.__cause__  # noqa: PT017 - reading is an outcome too
        slowest = max(slowest, process_time() - begun)
    assert len(bodies) == 1389
    assert slowest < 1.0, "the slowest takes a few milliseconds; asn1crypto took 2.8 s for one of its kind"


# --- jscep's samples ------------------------------------------------------------------------------------------------


def _sample(name: str) -> bytes:
    return (VECTORS / "jscep" / name).read_bytes()


def test_jscep_request_is_read_layer_by_layer() -> None:
    """RFC 8894's sample request is understood down to its names; its RSA-1536 keys are refused by size (KEY-1)."""
    raw = read_message(_sample("scep_req2.der"))
    assert raw.transaction == Transaction(b"7XXEY-ERLPU-2JDR9")
    assert raw.digest is Digest.SHA256
    with pytest.raises(PeerError) as refused:
        verify_message(raw)
    assert refused.value.reason is reasons.SIGNER_KEY_REFUSED
    assert raw.signed_data.content == _sample("scep_req1.der")
    assert judge_envelope(_sample("scep_req1.der")).cipher is Cipher.AES128_CBC


def test_jscep_csr_is_read() -> None:
    """The innermost layer's names, challenge and dropped parts come out; its key is too short to verify with."""
    read = read_csr(_sample("scep_req0.der"))
    sans = {San(SanKind.EMAIL, "dave@wetas-r-us.com"), San(SanKind.URI, "http://www.wetas-r-us.com")}
    assert read.asked == Names("Test SCEP PKI user", frozenset(sans))
    assert read.challenge == "NQ3C6-GS3ZN-2XPGL-SEJTQ"
    assert read.dropped == ("C=NZ", "O=Dave's Wetaburgers", "OU=Procurement")
    with pytest.raises(PeerError) as refused:
        verify_possession(read)
    assert refused.value.reason is reasons.KEY_REFUSED


def test_jscep_response_is_read_layer_by_layer() -> None:
    """The sample response is understood too: no senderNonce, one certificate inside, a signer too short to believe."""
    raw = read_message(_sample("scep_resp2.der"))
    assert raw.sender_nonce is None
    assert raw.attributes is not None
    assert raw.attributes.one(oids.PKI_STATUS, der.PRINTABLE_STRING).content == b"0"
    assert len(read_certs_only(_sample("scep_resp0.der"))) == 1
    with pytest.raises(PeerError) as refused:
        read_reply(
            _sample("scep_resp2.der"),
            transaction=Transaction(b"7XXEY-ERLPU-2JDR9"),
            sender_nonce=bytes(16),
            ra_certificates=raw.signed_data.certificates,
            decrypt=lambda _: b"",
        )
    assert "1536 bits" in refused.value.detail


# --- real clients ---------------------------------------------------------------------------------------------------


def _client(name: str) -> bytes:
    return (VECTORS / "clients" / name).read_bytes()


def _decrypt(ciphertext: bytes, oaep: Oaep | None) -> bytes:
    assert oaep is None  # none of these clients uses it
    key = load_pem_private_key(_client("ra-key.pem"), None)
    assert isinstance(key, RSAPrivateKey)
    return key.decrypt(ciphertext, PKCS1v15())


def _open(name: str) -> tuple[PkiMessage, Csr]:
    message = verify_message(read_message(_client(name)))
    key = cms.encrypted_key_for(message.enveloped, _client("ra.der"))
    assert key is not None
    read = read_csr(cms.decrypt_content(message.enveloped, key, _decrypt, bytes(32)))
    verify_possession(read)
    return message, read


def test_strongswan_enrols() -> None:
    """StrongSwan's PKCSReq verifies and opens; its unsorted attributes are read and signed for (R7)."""
    message, read = _open("strongswan-pkcsreq.der")
    assert (message.message_type, message.digest, message.enveloped.cipher) == ("19", Digest.SHA256, Cipher.AES128_CBC)
    assert len(message.transaction.octets) == 40
    assert read.asked == Names("ss1", frozenset({San(SanKind.DNS, "ss1.example.com")}))
    assert (read.challenge, read.extensions) == ("hunter2", ())
    assert message.signer_facts.public_key == read.public_key
    assert b"hunter2" not in without_challenge(read)


def test_strongswan_renews() -> None:
    """StrongSwan's RenewalReq is signed by the old certificate for a new key, and asks for its common name alone."""
    message, read = _open("strongswan-renewalreq.der")
    assert message.message_type == "17"
    assert (read.asked, read.challenge) == (Names("ss1"), None)
    assert message.signer_facts.public_key != read.public_key
    assert not message.signer_facts.self_issued


def test_certmonger_enrols() -> None:
    """Certmonger's PKCSReq verifies and opens: AES-256, a long decimal transactionID, friendlyName in the request."""
    message, read = _open("certmonger-pkcsreq.der")
    assert (message.message_type, message.enveloped.cipher) == ("19", Cipher.AES256_CBC)
    assert message.transaction.octets.isdigit()
    assert len(message.transaction.octets) > 70
    assert read.asked == Names("cm1", frozenset({San(SanKind.DNS, "cm1.example.com")}))
    assert (read.challenge, read.dropped) == ("hunter2", ("friendlyName",))
    assert [item.oid for item in read.extensions] == [oids.CE_BASIC_CONSTRAINTS, oids.CE_SUBJECT_KEY_IDENTIFIER]


def test_certmonger_renews_with_a_pkcsreq() -> None:
    """Certmonger renews by PKCSReq signed with its certificate, same key, same transaction, same used challenge."""
    first, _ = _open("certmonger-pkcsreq.der")
    again, read = _open("certmonger-renewal.der")
    assert again.message_type == "19"
    assert again.transaction == first.transaction
    assert again.signer_facts.public_key == first.signer_facts.public_key == read.public_key
    assert (first.signer_facts.self_issued, again.signer_facts.self_issued) == (True, False)
    assert read.challenge == "hunter2"


def test_scepclient_is_refused_for_what_it_uses() -> None:
    """Micromdm's scepclient is answerable, and refused for SHA-1 and single DES by name (R1)."""
    raw = read_message(_client("scepclient-pkcsreq.der"))
    assert raw.transaction == Transaction(b"FQl9QaqxzL+NsaAohIl6GqEwG0A=")
    assert (len(raw.sender_nonce or b""), raw.digest) == (16, None)
    with pytest.raises(PeerError) as refused:
        verify_message(raw)
    assert refused.value.reason.stage is Stage.ALGORITHM
    assert refused.value.detail == "digest SHA-1; signature sha1WithRSAEncryption; content cipher DES-CBC"


def test_scepclients_envelope_is_constructed() -> None:
    """Its encryptedContent is the constructed form that R7 tolerates: structure is not what it is refused for."""
    content = read_message(_client("scepclient-pkcsreq.der")).signed_data.content or b""
    sealed = cms.read_sealed_content(content)
    assert len(sealed.ciphertext) % 8 == 0
    facts = read_certificate(_client("ra.der"))
    assert cms.names_certificate(sealed.recipients[0].rid, issuer=facts.issuer, serial=facts.serial, ski=facts.ski)
