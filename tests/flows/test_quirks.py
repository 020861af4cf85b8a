"""What Apple's, Microsoft's and Google's devices do in their own way, each habit written by hand, and our answer.

Where a habit was seen stands in brackets. The page docs/conformance/scep.md has a row for each test here, and
`test_quirks_table` holds the two together.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from habits import Site, attribute, opened_site

from ber_forms import constructed_content, indefinite, loosen
from forge import oaep_transport, rekeyed
from regalia import reasons
from regalia.wire import der, oids
from regalia.wire.algorithms import Digest
from regalia.wire.certificate import read_certificate
from regalia.wire.public_key import load_public_key
from regalia.wire.scep import FailInfo, PkiStatus, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of them."""
    with opened_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


def usages(certificate: x509.Certificate) -> x509.KeyUsage:
    """The key usage of a certificate."""
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


# --- Apple ----------------------------------------------------------------------------------------------------------


def test_apple_looks_for_the_ra_by_its_key_usage(site: Site) -> None:
    """Apple takes from a bag the certificate that may sign and decrypt (ultimate-ca-manager PR 102): the RA alone."""
    ra, *authorities = site.get("/scep/default?operation=GetCACert&message=Example%20CA").certificates
    assert (usages(ra).digital_signature, usages(ra).key_encipherment) == (True, True)
    assert len(authorities) == 2
    assert not any(usages(each).key_encipherment or usages(each).digital_signature for each in authorities)


def test_apple_may_be_spared_the_root(site: Site) -> None:
    """Apple renews otherwise with the root in the bag (step-ca issue 746): an endpoint may leave it out."""
    with_root = site.get("/scep/default?operation=GetCACert").certificates
    without = site.get("/scep/bare?operation=GetCACert").certificates
    assert without == with_root[:2]


def test_apple_pairs_the_first_certificate_with_its_key(site: Site) -> None:
    """Apple takes the first certificate of a reply for its own (ultimate-ca-manager issue 228): there is one alone."""
    device = site.client()
    reply = device.read(site.post(device.first()))
    (certificate,) = reply.certificates
    assert read_certificate(certificate).public_key == device.public_key()


class _AllOpen:
    """Chooses the looser of two forms, and pieces of one size."""

    @staticmethod
    def choice(forms: tuple[bytes, bytes]) -> bytes:
        return forms[1]

    @staticmethod
    def randint(low: int, high: int) -> int:
        del low
        return high


@pytest.mark.parametrize("form", ["primitive", "constructed", "indefinite", "indefinite to the outermost"])
def test_apple_writes_ber(site: Site, form: str) -> None:
    """Apple's EnvelopedData is BER of open lengths and pieces (ultimate-ca-manager PR 102, jscep issue 35): issued."""
    device = site.client()
    envelope = device.sealed(device.pkcs10(device.challenge()))
    if form != "primitive":
        envelope = constructed_content(envelope, open_ended=form != "constructed")
    message = device.signed(envelope)
    if form == "indefinite to the outermost":
        message = loosen(message, _AllOpen())
        assert message[1] == 0x80
    device.enrolled(site.post(message))


def test_apple_escapes_the_equals_sign_alone(site: Site) -> None:
    """Apple's GET leaves plus and slash bare (step-ca PR 1570): issued."""
    device = site.client()
    text = base64.b64encode(device.first()).decode()
    while "+" not in text or "/" not in text or not text.endswith("="):
        device.transaction = Transaction(device.transaction.octets + b"x")
        text = base64.b64encode(device.first()).decode()
    device.enrolled(site.get_message(b"", text.replace("=", "%3D")))


def test_apple_reads_the_capabilities(site: Site) -> None:
    """Apple refuses a CA without SHA-1, SHA-256 or SHA-512 or without AES (micromdm issues 23, 81): both are told."""
    told = site.get("/scep/default?operation=GetCACaps").body.split(b"\n")
    assert {b"SHA-256", b"SHA-512", b"AES", b"Renewal"} <= set(told)
    assert not {b"SHA-1", b"DES3", b"DES"} & set(told)
    assert {b"SHA-1", b"DES3"} <= set(site.get("/scep/old?operation=GetCACaps").body.split(b"\n"))


def test_apple_renews_by_a_pkcsreq(site: Site) -> None:
    """Apple renews with a PKCSReq signed by the old certificate (step-ca scep/api/api.go): issued, by the signer."""
    device = site.client()
    first = device.enrolled(site.post(device.first()))
    device.transaction = Transaction(b"renewal-of-" + device.transaction.octets)
    again = device.enrolled(site.post(device.signed(device.sealed(device.pkcs10()))))
    assert (again.subject, again.serial_number != first.serial_number) == (first.subject, True)


@pytest.mark.parametrize("octets", [8, 16, 20])
def test_apple_expects_its_nonce_as_long_as_it_was(site: Site, octets: int) -> None:
    """Old Apple devices send nonces of 8 octets (OpenXPKI, Crypt/PKCS7/SCEP.pm): echoed as sent; ours have 16."""
    device = site.client(nonce=bytes(range(200, 200 + octets)))
    reply = device.read(site.post(device.first()))
    assert reply.value(oids.RECIPIENT_NONCE) == device.nonce
    assert len(reply.value(oids.SENDER_NONCE)) == 16


def test_apple_makes_small_keys_unless_told(site: Site) -> None:
    """Apple's payload has Keysize 1024 by default (com.apple.security.scep): refused, badMessageCheck, SCEP-035."""
    device = site.client(key=generate_private_key(65537, 1024))  # noqa: S505 - the habit
    told = device.refused(site.post(device.first()))
    assert told == (FailInfo.BAD_MESSAGE_CHECK, reasons.SIGNER_KEY_REFUSED.id)


def test_apple_waits_only_when_told_to(site: Site) -> None:
    """Apple asks again while PENDING, `Retries` times (com.apple.security.scep): what was approved comes to it."""
    device = site.client("queue")
    message = device.first()
    assert device.read(site.post(message, path=device.path)).status is PkiStatus.PENDING
    assert device.read(site.post(message, path=device.path)).status is PkiStatus.PENDING
    approved = site.approve(device)
    assert device.enrolled(site.post(message, path=device.path)).serial_number == approved.serial


def test_apple_shows_nothing_of_an_http_error(site: Site) -> None:
    """Apple shows an HTTP 500 as nothing to go by (micromdm issue 37): a refusal is 200 with a signed FAILURE."""
    device = site.client()
    told = device.refused(site.post(device.signed(device.sealed(device.pkcs10("not-a-challenge")))))
    assert told == (FailInfo.BAD_REQUEST, reasons.CHALLENGE_UNKNOWN.id)


@pytest.mark.parametrize("outcome", ["success", "pending", "failure"])
def test_apple_compares_attributes(site: Site, outcome: str) -> None:
    """Apple's iOS crashed over a reply (micromdm issue 76): each attribute is there once, all in DER order."""
    device = site.client("queue" if outcome == "pending" else "default")
    message = device.signed(device.sealed(device.pkcs10("wrong"))) if outcome == "failure" else device.first()
    reply = device.read(site.post(message, path=device.path))
    assert reply.status is {"success": PkiStatus.SUCCESS, "pending": PkiStatus.PENDING}.get(outcome, PkiStatus.FAILURE)
    (signer,) = reply.raw.signed_data.signers
    parts = [part.raw for part in der.read_one(signer.signed_attributes or b"").children()]
    assert parts == sorted(parts)
    kinds = [der.read_one(part).children()[0].as_oid() for part in parts]
    assert len(set(kinds)) == len(kinds)
    assert {oids.CONTENT_TYPE, oids.MESSAGE_DIGEST, oids.MESSAGE_TYPE, oids.PKI_STATUS} <= set(kinds)


# --- Windows --------------------------------------------------------------------------------------------------------


def test_windows_marks_an_extension_of_its_signer_critical(site: Site) -> None:
    """Windows signs with a certificate whose authorityKeyIdentifier is critical (step-ca PR 1994): issued."""
    device = site.client()
    public, now = device.key.public_key(), site.world.clock.now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SCEP Protocol Certificate")])
    signer = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=True)
        .sign(device.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    device.enrolled(site.post(device.first(signer=signer)))


@pytest.mark.parametrize(
    ("digest", "mask"),
    [(Digest.SHA1, Digest.SHA1), (Digest.SHA256, Digest.SHA1), (Digest.SHA256, Digest.SHA256)],
    ids=["defaults", "sha-256 and the default mask", "sha-256"],
)
def test_windows_encrypts_with_oaep(site: Site, digest: Digest, mask: Digest) -> None:
    """Some Windows machines transport the key with RSAES-OAEP (bc-java PR 953): issued, whatever the parameters."""
    device = site.client()
    door = site.world.store.door("default")
    assert door is not None
    public = load_public_key(read_certificate(door.ra.certificate_der).public_key)
    assert isinstance(public, RSAPublicKey)
    key = bytes(range(32))[: device.cipher.key_octets]
    envelope = rekeyed(
        device.sealed(device.pkcs10(device.challenge())),
        oaep_transport(digest, mask),
        public.encrypt(key, OAEP(MGF1(mask.hash()), digest.hash(), None)),
    )
    device.enrolled(site.post(device.signed(envelope)))


def test_windows_needs_a_certificate_to_encrypt_to(site: Site) -> None:
    """Windows sends nothing where no certificate has keyEncipherment (ultimate-ca-manager issue 228): the first has."""
    ra = site.get("/certsrv/mscep/mscep.dll?operation=GetCACert&message=default").certificates[0]
    assert usages(ra).key_encipherment
    assert isinstance(ra.public_key(), RSAPublicKey)


@pytest.mark.parametrize(
    "path",
    [
        "/certsrv/mscep/mscep.dll",
        "/CertSrv/mscep/mscep.dll",
        "/certsrv/mscep/mscep.dll/pkiclient.exe",
        "/scep/default/mscep.dll",
        "/scep/default/pkiclient.exe",
        "/scep/default/cgi-bin/pkiclient.exe",
    ],
)
def test_windows_asks_where_ndes_would_be(site: Site, path: str) -> None:
    """Windows tools want paths like NDES's, and say message=default (micromdm issue 238): the endpoint answers."""
    plain = site.get("/scep/default?operation=GetCACert")
    asked = site.get(f"{path}?operation=GetCACert&message=default")
    assert (asked.status, asked.body) == (200, plain.body)
    assert site.get(f"{path}?operation=GetCACaps&message=default").status == 200
    device = site.client()
    device.enrolled(site.post(device.first(), "Content-Type: application/x-pki-message", path=path))


def test_windows_reads_404_elsewhere(site: Site) -> None:
    """Windows reports a path that is none of ours as 0x80190194 (ultimate-ca-manager issue 326): it is HTTP 404."""
    assert site.get("/certsrv/mscep/other.dll?operation=GetCACert&message=default").status == 404
    assert site.get("/scep/default/mscep.exe?operation=GetCACert&message=default").status == 404


def test_intune_gives_an_hour(site: Site) -> None:
    """Intune's challenges live 60 minutes (EJBCA issue 690): one that is late is refused, badRequest, RA-012."""
    device = site.client()
    challenge = site.world.mint(device.cn, minutes=60)
    site.world.clock.advance(timedelta(minutes=61))
    told = device.refused(site.post(device.signed(device.sealed(device.pkcs10(challenge)))))
    assert told == (FailInfo.BAD_REQUEST, reasons.CHALLENGE_EXPIRED.id)


def test_intune_renews_with_a_fresh_challenge(site: Site) -> None:
    """Intune is told to put a fresh challenge into a renewal: refused beside a live signer, badRequest, RA-016."""
    device = site.client()
    device.enrolled(site.post(device.first()))
    device.transaction = Transaction(b"fresh-" + device.transaction.octets)
    renewal = device.signed(device.sealed(device.pkcs10(site.world.mint(device.cn))))
    assert device.refused(site.post(renewal)) == (FailInfo.BAD_REQUEST, reasons.RENEWAL_CHALLENGE_WRONG.id)
    device.transaction = Transaction(b"habit-anew-" + device.transaction.octets)
    anew = device.signed(device.sealed(device.pkcs10(site.world.mint(device.cn))), signer=device.self_signed())
    device.enrolled(site.post(anew))


# --- Google ---------------------------------------------------------------------------------------------------------


def test_chromeos_reads_the_capabilities(site: Site) -> None:
    """ChromeOS looks for POSTPKIOperation, AES, SCEPStandard and Renewal (certctl, scep-server.md): all are told."""
    told = site.get("/scep/default?operation=GetCACaps").body.decode("ascii").split("\n")
    assert {"POSTPKIOperation", "AES", "SCEPStandard", "Renewal"} <= set(told)


def test_chromeos_digests_what_the_pieces_hold(site: Site) -> None:
    """ChromeOS's content comes in pieces, and the digest is of their octets (step-ca issue 908): issued."""
    device = site.client()
    parts = der.read_one(device.first()).children()
    signed = [part.raw for part in der.read_one(parts[1].content).children()]
    kind, content = der.read_one(signed[2]).children()
    octets = der.read_one(content.content).content
    pieces = b"".join(der.octet_string(octets[at : at + 400]) for at in range(0, len(octets), 400))
    signed[2] = der.sequence(kind.raw, der.context(0, indefinite(der.tlv(0x24, pieces))))
    message = der.sequence(parts[0].raw, der.context(0, der.sequence(*signed)))
    device.enrolled(site.post(message))


def test_google_makes_larger_keys(site: Site) -> None:
    """Google Workspace's profile has keys of 3072 bits and a static challenge over HTTP (SCEPman docs): issued."""
    device = site.client("static", key=generate_private_key(65537, 3072))
    certificate = device.enrolled(site.post(device.first(), path=device.path))
    public = certificate.public_key()
    assert isinstance(public, RSAPublicKey)
    assert public.key_size == 3072


def test_palo_alto_has_a_fixed_challenge(site: Site) -> None:
    """PAN-OS with a fixed challenge sends it for every device (its admin guide): issued, each with another name."""
    first, second = site.client("static"), site.client("static")
    subjects = {each.enrolled(site.post(each.first(), path=each.path)).subject for each in (first, second)}
    assert len(subjects) == 2
    assert all(subject.rfc4514_string().startswith("CN=d-") for subject in subjects)


def test_android_is_what_its_agent_is(site: Site) -> None:
    """Android has no SCEP of its own; an agent that adds attributes to its request is served: they are dropped."""
    device = site.client()
    extra = attribute(oids.UNSTRUCTURED_NAME, der.utf8_string("work profile"))
    request = device.pkcs10(device.challenge(), attributes=[extra])
    certificate = device.enrolled(site.post(device.signed(device.sealed(request))))
    assert certificate.subject.rfc4514_string() == f"CN={device.cn}"
