"""What routers, firewalls and printers do in their own way, each habit written by hand, and our answer.

As in `test_quirks`: where a habit was seen stands in brackets, and docs/conformance/scep.md has a row for each.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from habits import Client, Site, name_of, opened_site

from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import issuer_and_subject
from scep_parts import algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from habits import Heard

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of them."""
    with opened_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@dataclass(frozen=True)
class Era:
    """What a device of some age encrypts and digests with."""

    digest: str
    cipher: str

    def client(self, site: Site, endpoint: str) -> Client:
        """A device of that age; MD5 and DES are written by `message`."""
        cipher = Cipher.TRIPLE_DES_CBC if self.cipher == "3des" else Cipher.AES128_CBC
        return site.client(endpoint, digest=Digest.SHA1 if self.digest == "sha1" else Digest.SHA256, cipher=cipher)

    def message(self, device: Client) -> bytes:
        """Its first enrolment."""
        request = device.pkcs10(device.challenge())
        envelope = device.sealed_with_des(request) if self.cipher == "des" else device.sealed(request)
        if self.digest != "md5":
            return device.signed(envelope)
        hashed = hashes.Hash(hashes.MD5())  # noqa: S303 - the habit
        hashed.update(envelope)
        return device.signed(
            envelope,
            digest_algorithm=algorithm(oids.MD5),
            message_digest=hashed.finalize(),
            sign=lambda data: device.key.sign(data, padding.PKCS1v15(), hashes.MD5()),  # noqa: S303 - the habit
        )


OLD = Era("sha1", "3des")
OLDEST = [Era("md5", "des"), Era("sha1", "des"), Era("sha256", "des"), Era("md5", "3des"), Era("md5", "aes")]
BOTH = pytest.mark.parametrize("endpoint", ["default", "old"])


def folded(message: bytes) -> str:
    """Base64 with an escaped line break after every 64 characters, the plus escaped and nothing else."""
    text = base64.b64encode(message).decode()
    return "%0A".join(text[at : at + 64] for at in range(0, len(text), 64)).replace("+", "%2B")


def mirrored(device: Client, heard: Heard) -> None:
    """The certificate came under the algorithms that the device asked with."""
    reply = device.read(heard)
    assert (reply.raw.digest, reply.cipher) == (device.digest, device.cipher)
    assert len(reply.certificates) == 1


# --- Cisco ----------------------------------------------------------------------------------------------------------


def test_cisco_asks_over_http_1_0(site: Site) -> None:
    """Cisco IOS asks pkiclient.exe over HTTP/1.0 without Host, naming its trustpoint (micromdm issue 211): answered."""
    heard = site.raw(b"GET /scep/default/pkiclient.exe?operation=GetCACert&message=TP-self HTTP/1.0\r\n\r\n")
    assert len(heard.certificates) == 3
    heard = site.raw(b"GET /scep/default/cgi-bin/pkiclient.exe?operation=GetCACaps&message=TP-self HTTP/1.0\r\n\r\n")
    assert (heard.status, heard.headers["content-type"]) == (200, "text/plain")


def test_cisco_breaks_lines_in_a_get(site: Site) -> None:
    """Cisco ignores POSTPKIOperation and folds its base64 with %0A (step-ca issue 2100): issued."""
    device = site.client()
    heard = site.get_message(b"", folded(device.first()), path="/scep/default/pkiclient.exe")
    device.enrolled(heard)


def test_cisco_does_not_read_a_stronger_reply(site: Site) -> None:
    """Cisco gives up with E_ENCRYPT_ALG_NOT_SUPPORTED on what it did not send (EJBCA issue 176): replies mirror it."""
    device = OLD.client(site, "old")
    mirrored(device, site.get_message(b"", folded(OLD.message(device)), path=device.path))
    modern = site.client("old", cipher=Cipher.AES256_CBC, digest=Digest.SHA512)
    mirrored(modern, site.post(modern.first(), path=modern.path))


@BOTH
@pytest.mark.parametrize("era", OLDEST, ids=lambda era: f"{era.digest}-{era.cipher}")
def test_cisco_of_old_has_des_and_md5(site: Site, era: Era, endpoint: str) -> None:
    """Old Cisco releases send DES-CBC and MD5 (step-ca issue 916): refused anywhere, badAlg, SCEP-020 or SCEP-023."""
    issued, device = site.issued(), era.client(site, endpoint)
    told = device.refused(site.get_message(b"", folded(era.message(device)), path=device.path))
    expected = reasons.DIGEST_REFUSED if era.digest == "md5" or (era.digest, endpoint) == ("sha1", "default") else None
    assert told == (FailInfo.BAD_ALG, (expected or reasons.CIPHER_REFUSED).id)
    assert site.issued() == issued


def test_cisco_names_itself_twice(site: Site) -> None:
    """Cisco's request has unstructuredName beside CN, its signer another subject (OpenXPKI issue 360): issued."""
    device = site.client()
    subject = name_of(
        (oids.UNSTRUCTURED_NAME, der.utf8_string("router-1.example.com")),
        (oids.AT_COMMON_NAME, der.printable_string(device.cn)),
    )
    message = device.signed(device.sealed(device.pkcs10(device.challenge(), subject=subject)))
    assert device.enrolled(site.post(message)).subject.rfc4514_string() == f"CN={device.cn}"


def test_cisco_renews_by_a_pkcsreq(site: Site) -> None:
    """Cisco renews with a PKCSReq of a new key, signed by the old certificate (Dogtag PR 3413): issued."""
    device, successor = site.client(), site.client()
    first = device.enrolled(site.post(device.first()))
    device.transaction = successor.transaction
    reply = device.read(site.post(device.signed(device.sealed(device.pkcs10(key=successor.key)))))
    renewed = x509.load_der_x509_certificate(reply.certificates[0])
    assert renewed.public_key() == successor.key.public_key()
    assert renewed.subject == first.subject


# --- Juniper, MikroTik, printers ------------------------------------------------------------------------------------


def test_juniper_has_triple_des(site: Site) -> None:
    """Juniper SRX sends triple DES and SHA-1 by default (micromdm issue 208): issued where `legacy` is on, mirrored."""
    device = OLD.client(site, "old")
    mirrored(device, site.post(OLD.message(device), path=device.path))


def test_juniper_is_refused_elsewhere(site: Site) -> None:
    """Juniper's triple DES and SHA-1 at an endpoint without the switch: refused, badAlg, SCEP-020."""
    device = OLD.client(site, "default")
    assert device.refused(site.post(OLD.message(device))) == (FailInfo.BAD_ALG, reasons.DIGEST_REFUSED.id)
    half = Era("sha256", "3des").client(site, "default")
    assert half.refused(site.post(half.first())) == (FailInfo.BAD_ALG, reasons.CIPHER_REFUSED.id)


def test_mikrotik_tries_triple_des_and_polls(site: Site) -> None:
    """MikroTik posts triple DES with SHA-1 and polls while PENDING (its manual): issued at a `legacy` endpoint."""
    device = OLD.client(site, "old-queue")
    assert device.read(site.post(OLD.message(device), path=device.path)).status is PkiStatus.PENDING
    names = issuer_and_subject(name_of(), name_of((oids.AT_COMMON_NAME, der.printable_string(device.cn))))
    poll = device.signed(device.sealed(names), MessageType.CERT_POLL)
    assert device.read(site.post(poll, path=device.path)).status is PkiStatus.PENDING
    site.approve(device)
    mirrored(device, site.post(poll, path=device.path))


def test_mikrotik_falls_back_to_des(site: Site) -> None:
    """MikroTik falls back to GET with DES and MD5 (its manual): refused even with `legacy`, badAlg, SCEP-020."""
    era = Era("md5", "des")
    device = era.client(site, "old")
    told = device.refused(site.get_message(era.message(device), path=device.path))
    assert told == (FailInfo.BAD_ALG, reasons.DIGEST_REFUSED.id)


@BOTH
def test_mikrotik_makes_small_keys_unless_told(site: Site, endpoint: str) -> None:
    """MikroTik's key-bits are 1024 by default (its manual): refused anywhere, badMessageCheck, SCEP-035."""
    device = site.client(endpoint, key=generate_private_key(65537, 1024))  # noqa: S505 - the habit
    told = device.refused(site.post(device.first(), path=device.path))
    assert told == (FailInfo.BAD_MESSAGE_CHECK, reasons.SIGNER_KEY_REFUSED.id)


def test_mikrotik_asks_for_the_next_ca(site: Site) -> None:
    """MikroTik asks for the next CA (its manual): without one it is HTTP 404, and the capabilities do not offer it."""
    assert site.get("/scep/default?operation=GetNextCACert&message=x").status == 404
    assert site.reason() == reasons.NEXT_CA_UNKNOWN.id
    assert b"GetNextCACert" not in site.get("/scep/default?operation=GetCACaps").body


def test_printers_speak_the_oldest_draft(site: Site) -> None:
    """Printers send GET, triple DES, SHA-1 and one static challenge for all: issued at a `legacy` endpoint."""
    device = OLD.client(site, "old-static")
    mirrored(device, site.get_message(OLD.message(device), path=device.path))
    other = OLD.client(site, "old-static")
    other.transaction = Transaction(b"1")  # they count from one
    mirrored(other, site.get_message(OLD.message(other), path=other.path))
