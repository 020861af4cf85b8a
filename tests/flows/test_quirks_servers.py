"""What SCEP clients of servers and libraries do in their own way, each habit written by hand, and our answer.

As in `test_quirks`: where a habit was seen stands in brackets, and docs/conformance/scep.md has a row for each. Some of
these clients also run live, in tests/interop; here is what a version that is not installed would do as well.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from habits import Client, Site, attribute, common_name, opened_site

from ber_forms import constructed_content
from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import issuer_and_serial, issuer_and_subject
from scep_parts import algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real

VECTORS = Path(__file__).parents[1] / "vectors" / "clients"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of them."""
    with opened_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


def key_hash(device: Client, digest: str) -> str:
    """The digest of its SubjectPublicKeyInfo, in hexadecimal."""
    return hashlib.new(digest, device.public_key(), usedforsecurity=False).hexdigest()


def named(device: Client, transaction: str) -> Client:
    """The device under a transactionID of its own making."""
    device.transaction = Transaction(transaction.encode())
    return device


def extensions(*parts: tuple[str, bool, bytes]) -> bytes:
    """An extensionRequest of type, critical and value."""
    return attribute(
        oids.EXTENSION_REQUEST,
        der.sequence(
            *(
                der.sequence(der.oid(oid), der.boolean(value=True) if critical else b"", der.octet_string(value))
                for oid, critical, value in parts
            )
        ),
    )


# --- sscep ----------------------------------------------------------------------------------------------------------


def test_sscep_posts_without_a_content_type(site: Site) -> None:
    """The client sscep posts without Content-Type, under the MD5 of its key as transactionID (src/sscep.c): issued."""
    device = site.client()
    named(device, key_hash(device, "md5").upper())
    device.enrolled(site.post(device.first()))


def test_sscep_names_a_ca(site: Site) -> None:
    """The client sscep sends message=CAIdentifier with getca (src/sscep.c): answered as without."""
    asked = site.get("/scep/default?operation=GetCACert&message=CAIdentifier")
    assert asked.body == site.get("/scep/default?operation=GetCACert").body
    assert asked.headers["content-type"] == "application/x-x509-ca-ra-cert"


def test_sscep_compares_capabilities_by_case(site: Site) -> None:
    """The client sscep compares capabilities letter by letter (src/sscep.c): they are written as in RFC 8894 §3.5.2."""
    told = site.get("/scep/old?operation=GetCACaps").body.decode("ascii").split("\n")
    keywords = ["POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "AES", "SCEPStandard", "SHA-1", "DES3"]
    assert told == [*keywords, ""]


def test_sscep_renews_by_a_pkcsreq(site: Site) -> None:
    """The client sscep renews (-K, -O) with a PKCSReq signed by the old key (src/sscep.c): issued for the new key."""
    device, successor = site.client(), site.client()
    device.enrolled(site.post(device.first()))
    device.transaction = Transaction(key_hash(successor, "md5").upper().encode())
    (renewed,) = device.read(site.post(device.signed(device.sealed(device.pkcs10(key=successor.key))))).certificates
    assert read_certificate(renewed).public_key == successor.public_key()


@pytest.mark.parametrize("signs", ["certificate", "self-signed"])
def test_sscep_gets_certificate_and_crl_under_one_transaction(site: Site, signs: str) -> None:
    """The client sscep sends GetCert and GetCRL under a constant transactionID (src/sscep.c): both are answered."""
    device = site.client()
    device.enrolled(site.post(device.first()))
    assert device.certificate is not None
    facts = read_certificate(device.certificate)
    wanted = device.sealed(issuer_and_serial(facts.issuer, facts.serial))
    signer = device.self_signed() if signs == "self-signed" else None
    named(device, "SSCEP transactionId")
    for _ in range(2):
        got = device.read(site.post(device.signed(wanted, MessageType.GET_CERT, signer=signer)))
        assert got.certificates == (device.certificate,)
        listed = device.read(site.post(device.signed(wanted, MessageType.GET_CRL, signer=signer)))
        assert listed.status is PkiStatus.SUCCESS
        signed_data = der.read_one(der.read_one(listed.content).children()[1].content).children()
        (crl,) = [part.content for part in signed_data if part.tag == 0xA1]
        assert x509.load_der_x509_crl(crl).issuer == x509.load_der_x509_certificate(device.certificate).issuer


def test_sscep_of_today_cannot_read_des(site: Site) -> None:
    """OpenSSL 3 under sscep reads no DES (smallstep/scep issue 16): no answer holds any, whatever was asked with."""
    for endpoint in ("default", "old"):
        device = site.client(endpoint)
        message = device.signed(device.sealed_with_des(device.pkcs10(device.challenge())))
        assert device.refused(site.post(message, path=device.path)) == (
            FailInfo.BAD_ALG,
            reasons.CIPHER_REFUSED.id,
        )


# --- strongSwan -----------------------------------------------------------------------------------------------------


def test_strongswan_insists_on_sha_384(site: Site) -> None:
    """A strongSwan of 5.9.8 takes AES for missing without SHA-384 (its issue 1607): the keyword is always there."""
    for endpoint in ("default", "old"):
        assert "SHA-384" in site.get(f"/scep/{endpoint}?operation=GetCACaps").body.decode("ascii").split("\n")


def test_strongswan_verifies_one_signature_algorithm(site: Site) -> None:
    """In replies strongSwan verifies only rsaEncryption, and sends sha256WithRSAEncryption: taken, and so answered."""
    device = site.client()
    reply = device.read(site.post(device.first(signature_algorithm=algorithm(oids.SHA256_WITH_RSA))))
    (signer,) = reply.raw.signed_data.signers
    assert signer.signature_algorithm.oid == oids.RSA_ENCRYPTION
    assert reply.status is PkiStatus.SUCCESS


def test_strongswan_does_not_sort_attributes(site: Site) -> None:
    """The attributes of strongSwan's requests are not sorted: issued, the signature verified over them as they are."""
    device = site.client()
    password = attribute(oids.CHALLENGE_PASSWORD, der.printable_string(device.challenge()))
    wanted = extensions((oids.CE_KEY_USAGE, False, der.bit_string(b"\xa0", 5)))
    request = device.pkcs10(attributes=[password, wanted], in_order=False)
    parts = der.read_one(der.read_one(request).children()[0].raw).children()[3].children()
    assert [part.raw for part in parts] != sorted(part.raw for part in parts)
    device.enrolled(site.post(device.signed(device.sealed(request))))


def test_strongswan_posts_an_empty_content_type(site: Site) -> None:
    """A strongSwan posts an empty Content-Type, under the hexadecimal SHA-1 of its key (scep.c): issued."""
    device = site.client()
    named(device, key_hash(device, "sha1"))
    device.enrolled(site.post(device.first(), "Content-Type:"))


def test_strongswan_renews_by_a_renewalreq(site: Site) -> None:
    """A strongSwan renews with messageType 17 and asks for no SAN (scep.c): issued, with the old names."""
    device, successor = site.client(), site.client()
    first = device.enrolled(site.post(device.first()))
    named(device, key_hash(successor, "sha1"))
    renewal = device.signed(device.sealed(device.pkcs10(key=successor.key)), MessageType.RENEWAL_REQ)
    (renewed,) = device.read(site.post(renewal, "Content-Type:")).certificates
    assert x509.load_der_x509_certificate(renewed).subject == first.subject


def test_strongswan_polls(site: Site) -> None:
    """A strongSwan polls with CertPoll while PENDING (commands/scep.c): PENDING until it is approved, then SUCCESS."""
    device = site.client("queue")
    named(device, key_hash(device, "sha1"))
    assert device.read(site.post(device.first(), path=device.path)).status is PkiStatus.PENDING
    asked = device.sealed(issuer_and_subject(common_name("default-ca-1"), common_name(device.cn)))
    poll = device.signed(asked, MessageType.CERT_POLL)
    assert device.read(site.post(poll, path=device.path)).status is PkiStatus.PENDING
    approved = site.approve(device)
    assert device.enrolled(site.post(poll, path=device.path)).serial_number == approved.serial


# --- certmonger -----------------------------------------------------------------------------------------------------


def test_certmonger_gets_though_it_could_post(site: Site) -> None:
    """A certmonger sends by GET whatever is offered, with AES-256 (src/scep.c): issued, and answered with AES-256."""
    device = site.client(cipher=Cipher.AES256_CBC)
    reply = device.read(site.get_message(device.first()))
    assert (reply.status, reply.cipher) == (PkiStatus.SUCCESS, Cipher.AES256_CBC)


def test_certmonger_counts_cas_until_one_repeats(site: Site) -> None:
    """A certmonger asks GetCACert with message=0, 1, 2 until an answer repeats (src/scep.c): all are the same."""
    answers = {site.get(f"/scep/default?operation=GetCACert&message={number}").body for number in range(4)}
    assert len(answers) == 1
    assert site.get("/scep/default?operation=GetCACaps&message=0").status == 200


def test_certmonger_wants_all_attributes(site: Site) -> None:
    """A certmonger wants both nonces, transactionID, messageType 3 and id-data in a reply (src/scep.c): all there."""
    device = site.client()
    reply = device.read(site.get_message(device.first()))
    assert reply.value(oids.MESSAGE_TYPE) == b"3"
    assert reply.value(oids.CONTENT_TYPE) == der.read_one(der.oid(oids.ID_DATA)).content
    assert reply.value(oids.SENDER_NONCE)
    assert reply.value(oids.RECIPIENT_NONCE) == device.nonce
    assert reply.raw.signed_data.content_type == oids.ID_DATA


def test_certmonger_reads_pending_with_a_content(site: Site) -> None:
    """A certmonger reads PENDING only with a content, though empty: it has one, and the request again collects."""
    device = site.client("queue")
    reply = device.read(site.get_message(device.first(), path=device.path))
    assert (reply.status, reply.raw.signed_data.content) == (PkiStatus.PENDING, b"")
    approved = site.approve(device)
    # `getcert resubmit` makes the request anew: same key, other octets.
    anew = device.pkcs10(device.challenge(), attributes=[attribute(oids.FRIENDLY_NAME, der.utf8_string("anew"))])
    again = device.enrolled(site.get_message(device.signed(device.sealed(anew)), path=device.path))
    assert again.serial_number == approved.serial


def test_certmonger_has_long_transactions_and_more_extensions(site: Site) -> None:
    """A certmonger has a decimal transactionID of 78 digits, friendlyName, critical basicConstraints, SKI: issued."""
    device = site.client()
    named(device, str(int.from_bytes(b"\xff" * 32)))
    assert len(device.transaction.octets) == 78
    friendly = attribute(oids.FRIENDLY_NAME, der.tlv(0x1E, "cm1".encode("utf-16-be")))
    random_ski = bytes(range(20))
    more = extensions(
        (oids.CE_BASIC_CONSTRAINTS, True, der.sequence()),
        (oids.CE_SUBJECT_KEY_IDENTIFIER, False, der.octet_string(random_ski)),
    )
    request = device.pkcs10(device.challenge(), attributes=[friendly, more])
    certificate = device.enrolled(site.get_message(device.signed(device.sealed(request))))
    assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest != random_ski


def test_certmonger_renews_with_the_spent_challenge(site: Site) -> None:
    """A certmonger repeats key, transactionID and the spent challenge on a renewal: issued, the challenge ignored."""
    device = site.client()
    challenge = device.challenge()
    message = device.signed(device.sealed(device.pkcs10(challenge)))
    first = device.enrolled(site.get_message(message))
    renewal = device.signed(device.sealed(device.pkcs10(challenge)))
    second = device.enrolled(site.get_message(renewal))
    assert (second.subject, second.serial_number != first.serial_number) == (first.subject, True)


# --- micromdm -------------------------------------------------------------------------------------------------------


def test_micromdm_has_des_and_sha_1(site: Site) -> None:
    """A micromdm scepclient of 2.1.0 sends single DES and SHA-1: its own message is refused, badAlg, SCEP-020."""
    message = (VECTORS / "scepclient-pkcsreq.der").read_bytes()
    issued = site.issued()
    for endpoint, reason in (("default", reasons.DIGEST_REFUSED), ("old", reasons.CIPHER_REFUSED)):
        heard = site.post(message, "Content-Type: application/octet-stream", path=f"/scep/{endpoint}")
        assert heard.status == 200
        assert (der.oid(oids.FAIL_INFO) + der.tlv(der.SET, der.printable_string("0"))) in heard.body
        assert site.reason() == reason.id
    assert site.issued() == issued


def test_micromdm_divides_the_encrypted_content(site: Site) -> None:
    """A micromdm client's encryptedContent is constructed, its body an octet-stream (issue 218): issued, with AES."""
    device = site.client()
    named(device, base64.b64encode(hashlib.sha256(device.public_key()).digest()).decode())
    envelope = constructed_content(device.sealed(device.pkcs10(device.challenge())), open_ended=False)
    device.enrolled(site.post(device.signed(envelope), "Content-Type: application/octet-stream"))


def test_micromdm_renews_with_the_same_octets(site: Site) -> None:
    """A micromdm client renews by messageType 17 with the transactionID, key and request of before: issued anew."""
    device = site.client()
    request = device.pkcs10(device.challenge())
    first = device.enrolled(site.post(device.signed(device.sealed(request))))
    second = device.enrolled(site.post(device.signed(device.sealed(request), MessageType.RENEWAL_REQ)))
    assert second.serial_number != first.serial_number


# --- jscep and proxies of others ------------------------------------------------------------------------------------


def test_jscep_wants_plain_text(site: Site) -> None:
    """A jscep warns of capabilities that are not text/plain (Client.java): they are."""
    assert site.get("/scep/default?operation=GetCACaps").headers["content-type"] == "text/plain"


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_jscep_takes_the_strongest(site: Site, digest: Digest) -> None:
    """A jscep takes the strongest digest and cipher that it knows (Capabilities.java): issued, and mirrored."""
    device = site.client(digest=digest, cipher=Cipher.AES256_CBC)
    named(device, key_hash(device, digest.value))
    reply = device.read(site.post(device.first(), "Content-Type: application/octet-stream"))
    assert (reply.status, reply.raw.digest, reply.cipher) == (PkiStatus.SUCCESS, digest, Cipher.AES256_CBC)


def test_jscep_knows_a_message_type_of_old_drafts(site: Site) -> None:
    """A jscep knows UpdateReq, messageType 18 of old drafts, where `Update` is offered: it is not; SCEP-040."""
    assert b"Update" not in site.get("/scep/default?operation=GetCACaps").body
    device = site.client()
    told = device.refused(site.post(device.first(kind="18")))
    assert told == (FailInfo.BAD_REQUEST, reasons.MESSAGE_TYPE_REFUSED.id)


def test_openxpki_clients_add_parameters(site: Site) -> None:
    """Devices set up for OpenXPKI add parameters to the URL (its SCEP.pm): ignored; issued."""
    device = site.client()
    text = base64.b64encode(device.first()).decode()
    escaped = text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    device.enrolled(site.get(f"/scep/default?profile=vpn&operation=PKIOperation&message={escaped}&site=7"))
