"""OpenSSL as an independent writer and reader of what is beyond R1's plain list: OAEP, PSS, other keys, passwords."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from regalia.errors import PeerError
from regalia.wire import cms
from regalia.wire.algorithms import Accepted, Cipher, Digest, Oaep
from regalia.wire.cms_build import PasswordRecipient, build_enveloped, crl_only
from regalia.wire.csr import read_csr, verify_possession
from regalia.wire.pwri import open_password_recipient
from regalia.wire.rsa_parameters import pss_identifier
from regalia.wire.scep import build_next_ca, check_signature, judge_envelope, read_message
from regalia.wire.scep_client import read_next_ca
from regalia.wire.signature import signer_scheme
from scep_parts import CONTENT_KEY, DEVICE, IV, NON_RSA, NONCE, RA, Identity, Request, algorithm, key_identity, pss

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real

BOTH = Accepted(legacy=True, non_rsa=True)
KEYS = ["p-256", "p-384", "ed25519"]
"""What OpenSSL 3.0 has of `NON_RSA`."""


def openssl(directory: Path, *arguments: str, feed: bytes = b"") -> bytes:
    """Run it; its output."""
    run = subprocess.run(["openssl", *arguments], input=feed, capture_output=True, cwd=directory, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def write(directory: Path, name: str, owner: Identity) -> None:
    """Key and certificate as PEM."""
    key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / f"{name}.key").write_bytes(key)
    (directory / f"{name}.pem").write_bytes(openssl(directory, "x509", "-inform", "DER", feed=owner.certificate))


def check(signed: bytes, owner: Identity, accepted: Accepted = BOTH) -> Digest:
    """Verify a SignedData by anybody as step 5 does; its digest."""
    raw = read_message(signed, accepted)
    signer, digest = raw.signed_data.signers[0], raw.digest
    assert digest is not None
    scheme = signer_scheme(signer.signature_algorithm, digest, accepted)
    assert scheme is not None
    check_signature(raw, digest, scheme, owner.spki, accepted)
    return digest


def sign(directory: Path, *options: str) -> bytes:
    """`openssl cms -sign` with the device's key."""
    return openssl(
        directory,
        *("cms", "-sign", "-nodetach", "-binary", "-nosmimecap", "-outform", "DER"),
        *("-signer", "device.pem", "-inkey", "device.key", *options),
        feed=b"content " * 100,
    )


# --- signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("salt", ["digest", "max", "0", "20"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_we_verify_pss_by_openssl(tmp_path: Path, digest: str, salt: str) -> None:
    """RSASSA-PSS by OpenSSL verifies without a switch, whatever salt it chose."""
    write(tmp_path, "device", DEVICE())
    options = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", f"rsa_pss_saltlen:{salt}")
    signed = sign(tmp_path, "-md", digest, *options)
    assert check(signed, DEVICE(), Accepted()).value == digest


def test_another_digest_in_openssls_mask_is_refused(tmp_path: Path) -> None:
    """RSASSA-PSS with SHA-1 in MGF1 beside SHA-256 is refused."""
    write(tmp_path, "device", DEVICE())
    signed = sign(tmp_path, "-md", "sha256", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_mgf1_md:sha1")
    with pytest.raises(ValueError, match="MGF1 digest SHA-1"):
        check(signed, DEVICE())


def test_we_verify_sha_1_by_openssl(tmp_path: Path) -> None:
    """SHA-1 by OpenSSL verifies where legacy is on; its digest is none elsewhere."""
    write(tmp_path, "device", DEVICE())
    signed = sign(tmp_path, "-md", "sha1")
    assert check(signed, DEVICE()) is Digest.SHA1
    assert read_message(signed).digest is None


@pytest.mark.parametrize("kind", ["p-256", "p-384"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_we_verify_ecdsa_by_openssl(tmp_path: Path, kind: str, digest: str) -> None:
    """ECDSA by OpenSSL verifies on either curve with each digest (RFC 5754)."""
    write(tmp_path, "device", key_identity(kind))
    assert check(sign(tmp_path, "-md", digest), key_identity(kind)).value == digest


@pytest.mark.parametrize("kind", ["p-256", "p-384"])
def test_openssl_verifies_our_requests_by_other_keys(tmp_path: Path, kind: str) -> None:
    """A request signed by our client with an EC key is what OpenSSL verifies."""
    _, oid, digest = NON_RSA[kind]
    request = Request(signer=key_identity(kind), digest=digest, signature_algorithm=algorithm(oid, b""))
    content = openssl(tmp_path, "cms", "-verify", "-inform", "DER", "-noverify", "-binary", feed=request.build())
    assert judge_envelope(content).cipher is Cipher.AES128_CBC


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
def test_openssl_verifies_our_pss(tmp_path: Path, digest: Digest) -> None:
    """A request signed with RSASSA-PSS under the parameters that we write is what OpenSSL verifies."""
    request = Request(digest=digest, signature_algorithm=pss_identifier(digest), sign=pss(DEVICE(), digest))
    openssl(tmp_path, "cms", "-verify", "-inform", "DER", "-noverify", "-binary", feed=request.build())


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        (("-sha256", "-sigopt", "rsa_padding_mode:pss"), Accepted()),
        (("-sha512", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"), Accepted()),
        (("-sha1",), Accepted(legacy=True)),
    ],
    ids=["PSS, longest salt", "PSS", "SHA-1"],
)
def test_requests_by_openssl_prove_possession(tmp_path: Path, options: tuple[str, ...], accepted: Accepted) -> None:
    """PKCS #10 by OpenSSL with PSS proves possession everywhere, with SHA-1 where legacy is on (ENV-6)."""
    write(tmp_path, "device", DEVICE())
    made = openssl(tmp_path, "req", "-new", "-subj", "/CN=d", "-key", "device.key", "-outform", "DER", *options)
    verify_possession(read_csr(made), accepted)
    if accepted.legacy:
        with pytest.raises(PeerError):
            verify_possession(read_csr(made))


@pytest.mark.parametrize("kind", KEYS)
def test_requests_by_openssl_with_other_keys_prove_possession(tmp_path: Path, kind: str) -> None:
    """PKCS #10 by OpenSSL with EC and Ed25519 keys proves possession where such keys are taken (ENV-6)."""
    write(tmp_path, "device", key_identity(kind))
    made = openssl(tmp_path, "req", "-new", "-subj", "/CN=d", "-key", "device.key", "-outform", "DER")
    verify_possession(read_csr(made), Accepted(non_rsa=True))


# --- envelopes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [None, "sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("mask", [None, "sha1", "sha256"])
def test_we_open_oaep_by_openssl(tmp_path: Path, digest: str | None, mask: str | None) -> None:
    """RSAES-OAEP by OpenSSL opens with each digest, and with another one in MGF1."""
    write(tmp_path, "ra", RA())
    options = ["-keyopt", "rsa_padding_mode:oaep"]
    options += ["-keyopt", f"rsa_oaep_md:{digest}"] if digest else []
    options += ["-keyopt", f"rsa_mgf1_md:{mask}"] if mask else []
    made = openssl(
        tmp_path,
        *("cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", "-recip", "ra.pem", *options),
        feed=b"plain " * 50,
    )
    enveloped = judge_envelope(made)
    key = cms.encrypted_key_for(enveloped, RA().certificate)
    assert key is not None
    expected = Digest(digest or "sha1")
    assert key.oaep == Oaep(expected, Digest(mask) if mask else expected)
    assert cms.decrypt_content(enveloped, key, RA().decrypt, bytes(32)) == b"plain " * 50


def test_oaep_with_a_label_by_openssl_is_refused(tmp_path: Path) -> None:
    """RSAES-OAEP with a label is refused, though it names itself rightly."""
    write(tmp_path, "ra", RA())
    options = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_label:6c6162656c")
    made = openssl(tmp_path, "cms", "-encrypt", "-aes128", "-outform", "DER", "-recip", "ra.pem", *options, feed=b"x")
    with pytest.raises(PeerError, match="with a label"):
        judge_envelope(made)


def test_we_open_triple_des_by_openssl(tmp_path: Path) -> None:
    """Triple DES by OpenSSL opens where legacy is on, and is refused elsewhere (ENV-5)."""
    write(tmp_path, "ra", RA())
    made = openssl(tmp_path, "cms", "-encrypt", "-binary", "-des3", "-outform", "DER", "ra.pem", feed=b"plain")
    enveloped = judge_envelope(made, Accepted(legacy=True))
    key = cms.encrypted_key_for(enveloped, RA().certificate)
    assert key is not None
    assert cms.decrypt_content(enveloped, key, RA().decrypt, bytes(32)) == b"plain"
    with pytest.raises(PeerError, match="triple DES"):
        judge_envelope(made)


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("secret", ["hunter2", "gerät-7 €"])
def test_openssl_opens_what_we_put_under_a_challenge(tmp_path: Path, cipher: Cipher, secret: str) -> None:
    """PasswordRecipientInfo of ours opens with `openssl cms -decrypt -pwri_password` and the challenge's UTF-8."""
    recipient = PasswordRecipient(secret, NONCE, IV)
    made = build_enveloped(b"plain " * 50, recipient=recipient, cipher=cipher, content_key=CONTENT_KEY, iv=IV)
    plain = openssl(tmp_path, "cms", "-decrypt", "-binary", "-inform", "DER", "-pwri_password", secret, feed=made)
    assert plain == b"plain " * 50
    wrong = ["openssl", "cms", "-decrypt", "-inform", "DER", "-pwri_password", secret + "x"]
    assert subprocess.run(wrong, input=made, capture_output=True, check=False).stdout != plain


@pytest.mark.parametrize("cipher", [Cipher.AES128_CBC, Cipher.AES192_CBC, Cipher.AES256_CBC])
def test_we_open_what_openssl_puts_under_a_password(tmp_path: Path, cipher: Cipher) -> None:
    """`openssl cms -encrypt -pwri_password` is what our client opens."""
    options = ("-binary", f"-{cipher.value}", "-outform", "DER", "-pwri_password", "hunter2")
    made = openssl(tmp_path, "cms", "-encrypt", *options, feed=b"plain " * 50)
    sealed = cms.read_sealed_content(made)
    info = sealed.recipients[0].other
    assert info is not None
    assert sealed.cipher.parameters is not None
    key = open_password_recipient(info, "hunter2", cipher)
    enveloped = cms.EnvelopedData((), cipher, sealed.cipher.parameters.content, sealed.ciphertext)
    assert cms.open_content(enveloped, key) == b"plain " * 50


# --- CRLs and the next CA -------------------------------------------------------------------------------------------


def _crl(directory: Path) -> bytes:
    write(directory, "ca", RA())
    (directory / "index.txt").touch()
    (directory / "number").write_text("01\n")
    (directory / "ca.cnf").write_text(
        "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=1\n"
    )
    made = openssl(directory, "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem")
    return openssl(directory, "crl", "-outform", "DER", feed=made)


def test_openssl_reads_our_crl_only_message(tmp_path: Path) -> None:
    """A CRL-only message holds the CRL for `openssl pkcs7`, and theirs holds it for us (RFC 8894 §3.4)."""
    crl = _crl(tmp_path)
    shown = openssl(tmp_path, "pkcs7", "-inform", "DER", "-print_certs", feed=crl_only(crl))
    assert shown.count(b"BEGIN X509 CRL") == 1
    assert b"BEGIN CERTIFICATE" not in shown
    theirs = openssl(tmp_path, "crl2pkcs7", "-inform", "DER", "-outform", "DER", feed=crl)
    assert cms.read_crl_only(theirs) == cms.read_crl_only(crl_only(crl)) == crl


def test_openssl_verifies_the_next_ca(tmp_path: Path) -> None:
    """GetNextCACert's answer verifies with `openssl cms` and holds a bag that `openssl pkcs7` reads."""
    write(tmp_path, "ra", RA())
    sign_with = RA().signer(Digest.SHA256)
    made = build_next_ca([DEVICE().certificate], digest=Digest.SHA256, ra_certificate=RA().certificate, sign=sign_with)
    options = ("-inform", "DER", "-noverify", "-binary", "-certfile", "ra.pem", "-nointern")
    bag = openssl(tmp_path, "cms", "-verify", *options, feed=made)
    assert b"-----BEGIN CERTIFICATE" in openssl(tmp_path, "pkcs7", "-inform", "DER", "-print_certs", feed=bag)


def test_we_believe_a_next_ca_by_openssl(tmp_path: Path) -> None:
    """A certs-only message by OpenSSL, signed by OpenSSL, is read as the next CA."""
    write(tmp_path, "device", RA())
    write(tmp_path, "next", DEVICE())
    bag = openssl(tmp_path, "crl2pkcs7", "-nocrl", "-certfile", "next.pem", "-outform", "DER")
    options = (
        "-nodetach",
        "-binary",
        "-nosmimecap",
        "-outform",
        "DER",
        "-signer",
        "device.pem",
        "-inkey",
        "device.key",
    )
    made = openssl(tmp_path, "cms", "-sign", *options, feed=bag)
    assert read_next_ca(made, ra_certificates=[RA().certificate]) == (DEVICE().certificate,)
