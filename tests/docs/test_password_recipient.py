"""The worked example of docs/reference/password-recipient.md is what the code writes, and what its words describe."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from docs.console import blocks
from regalia.wire import oids
from regalia.wire.algorithms import Cipher
from regalia.wire.cms import read_sealed_content
from regalia.wire.cms_build import PasswordRecipient, build_enveloped
from regalia.wire.pwri import ITERATIONS, open_password_recipient

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "password-recipient.md").read_text("utf-8")
ROW = re.compile(r"^\| ([^|]+) \| `([^`|]+)` \|$", re.MULTILINE)
EXAMPLE = dict(ROW.findall(PAGE.partition("## A worked example")[2]))


def octets(name: str) -> bytes:
    """A value of the example."""
    return bytes.fromhex(EXAMPLE[name])


def envelope() -> bytes:
    """The example's ContentInfo."""
    lines = [line.strip() for block in blocks(PAGE) for line in block.lines]
    quoted = [found[1] for line in lines if (found := re.fullmatch(r"'([A-Za-z0-9+/=]+)' \\", line))]
    return base64.b64decode("".join(quoted), validate=True)


def encrypt(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """AES-CBC without padding."""
    encryptor = BlockCipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """AES-CBC without padding."""
    decryptor = BlockCipher(AES(key), CBC(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def test_the_example_is_what_we_write() -> None:
    """With the example's values in place of random ones the code writes the example's octets."""
    recipient = PasswordRecipient(EXAMPLE["password"], salt=octets("salt"), iv=octets("IV of the wrap"))
    written = build_enveloped(
        octets("content"),
        recipient=recipient,
        cipher=Cipher.AES128_CBC,
        content_key=octets("content key"),
        iv=octets("IV of the content"),
    )
    assert written == envelope()
    for name in ("salt", "iterations", "IV of the wrap", "encryptedKey", "IV of the content", "encryptedContent"):
        assert octets(name) in written, name


def test_the_words_lead_to_the_example() -> None:
    """Whoever follows the page step by step, without our code, comes to the example's octets."""
    iterations = int.from_bytes(octets("iterations"), "big")
    assert iterations == ITERATIONS == 100_000
    kek = hashlib.pbkdf2_hmac("sha256", EXAMPLE["password"].encode(), octets("salt"), iterations, 16)
    assert kek == octets("KEK")
    key, iv, block = octets("content key"), octets("IV of the wrap"), octets("before wrapping")
    assert block[:20] == bytes((len(key),)) + bytes(octet ^ 0xFF for octet in key[:3]) + key
    assert len(block) == 32
    once = encrypt(kek, iv, block)
    assert encrypt(kek, once[-16:], once) == octets("encryptedKey")
    content = octets("content")
    fill = 16 - len(content) % 16
    assert encrypt(key, octets("IV of the content"), content + bytes((fill,)) * fill) == octets("encryptedContent")


def test_the_words_lead_back() -> None:
    """Unwrapping as the page says gives the block that was wrapped."""
    kek, iv, wrapped = octets("KEK"), octets("IV of the wrap"), octets("encryptedKey")
    last = decrypt(kek, wrapped[-32:-16], wrapped[-16:])
    first_pass = decrypt(kek, last, wrapped[:-16]) + last
    assert decrypt(kek, iv, first_pass) == octets("before wrapping")


def test_we_read_the_example() -> None:
    """Our client opens the example with its password and with no other."""
    sealed = read_sealed_content(envelope())
    (recipient,) = sealed.recipients
    assert recipient.other is not None
    key = open_password_recipient(recipient.other, EXAMPLE["password"], Cipher.AES128_CBC)
    assert key == octets("content key")
    with pytest.raises(ValueError, match="under another challenge"):
        open_password_recipient(recipient.other, EXAMPLE["password"][:-1], Cipher.AES128_CBC)


@pytest.mark.parametrize(
    "oid",
    [oids.PBKDF2, oids.HMAC_WITH_SHA256, oids.PWRI_KEK, oids.ED25519, oids.ML_DSA_44, oids.ML_DSA_65, oids.ML_DSA_87],
)
def test_the_identifiers_are_those_of_the_code(oid: str) -> None:
    """Each identifier that the page tells stands in it as the code has it."""
    assert oid in PAGE
