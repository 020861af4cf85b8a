"""Our CMS before OpenSSL's own tools, and theirs before ours."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from regalia.wire import cms
from regalia.wire.algorithms import Cipher, Digest
from regalia.wire.scep import FailInfo, Transaction, build_failure, build_success, judge_envelope, read_message
from regalia.wire.scep_client import read_certs_only
from scep_parts import CONTENT_KEY, DEVICE, IV, NONCE, RA, Identity, Request, identity

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.real


def _openssl(directory: Path, *arguments: str, feed: bytes = b"") -> bytes:
    run = subprocess.run(["openssl", *arguments], input=feed, capture_output=True, cwd=directory, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def _write(directory: Path, name: str, owner: Identity) -> None:
    key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / f"{name}.key").write_bytes(key)
    (directory / f"{name}.der").write_bytes(owner.certificate)
    _openssl(directory, "x509", "-inform", "DER", "-in", f"{name}.der", "-out", f"{name}.pem")


@pytest.mark.parametrize("digest", [Digest.SHA256, Digest.SHA384, Digest.SHA512])
@pytest.mark.parametrize("cipher", Cipher)
def test_openssl_verifies_and_decrypts_a_success(tmp_path: Path, digest: Digest, cipher: Cipher) -> None:
    """`openssl cms` verifies a CertRep's signature, decrypts its envelope and finds the leaf inside."""
    _write(tmp_path, "device", DEVICE())
    leaf = identity("leaf").certificate
    reply = build_success(
        transaction=Transaction(b"1"),
        recipient_nonce=NONCE,
        sender_nonce=NONCE,
        digest=digest,
        cipher=cipher,
        content=cms.certs_only([leaf]),
        recipient=DEVICE().certificate,
        content_key=CONTENT_KEY,
        iv=IV,
        ra_certificate=RA().certificate,
        sign=RA().signer(digest),
    )
    envelope = _openssl(tmp_path, "cms", "-verify", "-inform", "DER", "-noverify", "-binary", feed=reply)
    inner = _openssl(
        tmp_path, "cms", "-decrypt", "-inform", "DER", "-inkey", "device.key", "-recip", "device.pem", feed=envelope
    )
    assert inner == cms.certs_only([leaf])
    assert b"-----BEGIN CERTIFICATE" in _openssl(tmp_path, "pkcs7", "-inform", "DER", "-print_certs", feed=inner)


def test_openssl_verifies_a_failure(tmp_path: Path) -> None:
    """`openssl cms` verifies a FAILURE with its content of no octets, and reads it back as the same DER."""
    reply = build_failure(
        transaction=Transaction(b"1"),
        recipient_nonce=NONCE,
        sender_nonce=NONCE,
        digest=Digest.SHA256,
        fail_info=FailInfo.BAD_ALG,
        fail_info_text="why",
        ra_certificate=RA().certificate,
        sign=RA().signer(Digest.SHA256),
    )
    assert _openssl(tmp_path, "cms", "-verify", "-inform", "DER", "-noverify", "-binary", feed=reply) == b""
    assert _openssl(tmp_path, "cms", "-cmsout", "-inform", "DER", "-outform", "DER", feed=reply) == reply


def test_openssl_verifies_our_requests(tmp_path: Path) -> None:
    """`openssl cms` verifies a request made by our client's builders."""
    request = Request()
    content = _openssl(tmp_path, "cms", "-verify", "-inform", "DER", "-noverify", "-binary", feed=request.build())
    assert judge_envelope(content).cipher is Cipher.AES128_CBC


@pytest.mark.parametrize("stream", [["-stream"], ["-nodetach"]], ids=["indefinite lengths", "definite"])
def test_we_read_what_openssl_signs(tmp_path: Path, stream: list[str]) -> None:
    """SignedData by `openssl cms -sign`, streamed with indefinite lengths or not, is read with its content (R7)."""
    _write(tmp_path, "device", DEVICE())
    signed = _openssl(
        tmp_path,
        *("cms", "-sign", "-nodetach", "-binary", *stream, "-outform", "DER"),
        *("-signer", "device.pem", "-inkey", "device.key", "-nosmimecap"),
        feed=b"content " * 1000,
    )
    assert (b"\x30\x80" in signed[:2]) is (stream == ["-stream"])
    raw = read_message(signed)
    assert raw.signed_data.content == b"content " * 1000
    assert raw.signed_data.certificates == (DEVICE().certificate,)


@pytest.mark.parametrize("stream", [["-stream"], []], ids=["indefinite lengths", "definite"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc"])
@pytest.mark.parametrize("rid", [[], ["-keyid"]], ids=["issuer and serial", "SKI"])
def test_we_open_what_openssl_encrypts(tmp_path: Path, cipher: str, stream: list[str], rid: list[str]) -> None:
    """EnvelopedData by `openssl cms -encrypt` opens, in BER and DER, by issuer and serial and by SKI (R7)."""
    _write(tmp_path, "ra", RA())
    sealed = _openssl(
        tmp_path,
        *("cms", "-encrypt", "-binary", f"-{cipher}", *stream, *rid, "-outform", "DER", "ra.pem"),
        feed=b"plain " * 500,
    )
    enveloped = judge_envelope(sealed)
    key = cms.encrypted_key_for(enveloped, RA().certificate)
    assert key is not None
    assert cms.decrypt_content(enveloped, key, RA().decrypt, bytes(32)) == b"plain " * 500


def test_we_read_openssls_certs_only(tmp_path: Path) -> None:
    """A degenerate message by `openssl crl2pkcs7` gives its certificates."""
    _write(tmp_path, "ra", RA())
    bag = _openssl(tmp_path, "crl2pkcs7", "-nocrl", "-certfile", "ra.pem", "-outform", "DER")
    assert read_certs_only(bag) == (RA().certificate,)
