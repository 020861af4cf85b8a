"""Content keys under a password: what we write, what we read, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from hypothesis import given
from hypothesis import strategies as st

from regalia.errors import InvariantError
from regalia.wire import der, oids
from regalia.wire.algorithms import Cipher
from regalia.wire.der import DerError
from regalia.wire.pwri import (
    ITERATIONS,
    MAX_ITERATIONS,
    PasswordRecipient,
    open_password_recipient,
    password_recipient_info,
)
from scep_parts import CONTENT_KEY, IV, algorithm

SALT = bytes(range(16))
SECRET = "hunter2"
FEW = 1000
"""Iterations where a test does not look at them."""


def recipient(secret: str = SECRET, iterations: int = FEW) -> PasswordRecipient:
    """A recipient by its challenge."""
    return PasswordRecipient(secret, SALT, IV, iterations)


def opened(info: bytes, secret: str = SECRET, cipher: Cipher = Cipher.AES128_CBC) -> bytes:
    """The content key."""
    return open_password_recipient(der.read_one(info), secret, cipher)


def refused(info: bytes, why: str, secret: str = SECRET, cipher: Cipher = Cipher.AES128_CBC) -> None:
    """The RecipientInfo is refused and says why."""
    with pytest.raises(DerError, match=why):
        opened(info, secret, cipher)


# --- what we write --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", Cipher)
@pytest.mark.parametrize("secret", ["hunter2", "ü€ 🔑", "x" * 300])
def test_what_is_wrapped_opens_with_the_challenge_alone(cipher: Cipher, secret: str) -> None:
    """The content key comes back under the same challenge, any other is refused (RFC 8894 §3.1)."""
    key = CONTENT_KEY[: cipher.key_octets]
    info = password_recipient_info(recipient(secret), key)
    assert opened(info, secret, cipher) == key
    for other in (secret[:-1] + "?", secret.upper() + "A", ""):
        refused(info, "another challenge", other, cipher)


def test_the_parameters_are_those_that_are_documented() -> None:
    """PBKDF2 with HMAC-SHA256 written out, 100 000 iterations, 16 octets of salt; AES as long as the key."""
    info = password_recipient_info(PasswordRecipient("hunter2", SALT, IV), CONTENT_KEY[:24])
    prf = algorithm(oids.HMAC_WITH_SHA256)
    kdf = der.oid(oids.PBKDF2) + der.sequence(der.octet_string(SALT), der.integer(100_000), prf)
    kek = algorithm(oids.PWRI_KEK, algorithm(oids.AES192_CBC, der.octet_string(IV)))
    version, derivation, encryption, wrapped = der.read_one(info, 0xA3).children()
    assert version.raw == der.integer(0)
    assert (derivation.tag, derivation.content) == (0xA0, kdf)
    assert encryption.raw == kek
    assert ITERATIONS == 100_000
    assert len(wrapped.content) == 32


@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_key_is_wrapped_as_rfc_3211_says(size: int) -> None:
    """Undone block by block with AES alone: length, three complemented octets, key; encrypted twice in one chain."""
    info = password_recipient_info(recipient(), CONTENT_KEY[:size])
    kek = PBKDF2HMAC(SHA256(), size, SALT, FEW).derive(b"hunter2")
    wrapped = der.read_one(info).children()[3].content
    aes = BlockCipher(AES(kek), ECB()).decryptor()  # noqa: S305 - block by block, as the text of the RFC goes
    blocks = [wrapped[at : at + 16] for at in range(0, len(wrapped), 16)]
    once: list[bytes] = [b""] * len(blocks)
    for at in reversed(range(len(blocks))):
        # The block before the first is the last of the first pass, which is what the last one decrypts to.
        before = blocks[at - 1] if at else once[-1]
        once[at] = bytes(a ^ b for a, b in zip(aes.update(blocks[at]), before, strict=True))
    plain = b"".join(
        bytes(a ^ b for a, b in zip(aes.update(block), before, strict=True))
        for block, before in zip(once, [IV, *once], strict=False)
    )
    assert plain[0] == size
    assert plain[1:4] == bytes(octet ^ 0xFF for octet in CONTENT_KEY[:3])
    assert plain[4 : 4 + size] == CONTENT_KEY[:size]


def test_padding_depends_on_the_secret_and_the_iv() -> None:
    """Two wraps of the same key under other secrets or IVs have nothing in common."""
    wraps = {
        password_recipient_info(made, CONTENT_KEY[:16])[-32:]
        for made in (recipient(), recipient("hunter3"), replace(recipient(), iv=SALT), replace(recipient(), salt=IV))
    }
    assert len(wraps) == 4
    assert len({octets[at : at + 16] for octets in wraps for at in (0, 16)}) == 8


@pytest.mark.parametrize(
    "broken", [replace(recipient(), salt=SALT[:8]), replace(recipient(), iv=IV[:8]), recipient("")]
)
def test_a_recipient_without_its_parts_is_our_bug(broken: PasswordRecipient) -> None:
    """No salt, IV or secret of the right length is our own mistake; an empty challenge keys nothing (IN-4)."""
    with pytest.raises(InvariantError):
        password_recipient_info(broken, CONTENT_KEY[:16])


# --- what we read ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Info:
    """A PasswordRecipientInfo, part by part, around the wrap that we make."""

    version: bytes = der.integer(0)
    salt: bytes = der.octet_string(SALT)
    iterations: bytes = der.integer(FEW)
    key_length: bytes = b""
    prf: bytes = algorithm(oids.HMAC_WITH_SHA256)
    kdf: str = oids.PBKDF2
    kek: bytes = algorithm(oids.AES128_CBC, der.octet_string(IV))
    wrap: str = oids.PWRI_KEK
    wrapped: bytes | None = None
    tag: int = 0xA3

    def build(self) -> bytes:
        """Encode it."""
        good = der.read_one(password_recipient_info(recipient(), CONTENT_KEY[:16])).children()[3].content
        parameters = der.sequence(self.salt, self.iterations, self.key_length, self.prf)
        return der.tlv(
            self.tag,
            self.version,
            der.context(0, der.oid(self.kdf), parameters),
            algorithm(self.wrap, self.kek),
            der.octet_string(good if self.wrapped is None else self.wrapped),
        )


def test_the_length_of_the_key_may_stand_there() -> None:
    """KeyLength is read where it is the cipher's (RFC 8018 appendix A.2)."""
    assert opened(Info().build()) == opened(Info(key_length=der.integer(16)).build()) == CONTENT_KEY[:16]


@pytest.mark.parametrize(
    ("info", "why"),
    [
        (Info(version=der.integer(1)), "version 0"),
        (Info(salt=der.sequence()), "tag"),
        (Info(salt=der.octet_string(bytes(7))), "7 octets of salt"),
        (Info(iterations=der.integer(999)), "999 iterations"),
        (Info(iterations=der.integer(MAX_ITERATIONS + 1)), "1000001 iterations"),
        (Info(iterations=der.integer(1 << 2000)), "iterations"),
        (Info(iterations=der.integer(-5000)), "iterations"),
        (Info(key_length=der.integer(32)), "keyLength"),
        (Info(key_length=der.integer(16) * 2), "two to four parts"),
        (Info(prf=b"", iterations=der.integer(FEW)), "another challenge"),
        (Info(prf=algorithm("1.2.840.113549.2.8")), "derived with 1.2.840.113549.2.8"),
        (Info(prf=algorithm(oids.HMAC_WITH_SHA256, der.integer(1))), "derived with hmacWithSHA256"),
        (Info(prf=algorithm(oids.HMAC_WITH_SHA512)), "another challenge"),
        (Info(kdf="1.2.840.113549.1.9.16.3.8"), "derived with"),
        (Info(wrap=oids.AES128_CBC), "encrypted with AES-128-CBC"),
        (Info(kek=b""), "encrypted with PWRI-KEK"),
        (Info(kek=algorithm(oids.DES_EDE3_CBC, der.octet_string(bytes(8)))), "triple DES"),
        (Info(kek=algorithm(oids.AES128_CBC, b"")), "encrypted with AES-128-CBC"),
        (Info(kek=algorithm(oids.AES128_CBC, der.octet_string(IV[:8]))), "not 16 octets"),
        (Info(kek=algorithm(oids.AES256_CBC, der.octet_string(IV))), "another challenge"),
        (Info(wrapped=b""), "whole blocks"),
        (Info(wrapped=bytes(16)), "whole blocks"),
        (Info(wrapped=bytes(33)), "whole blocks"),
        (Info(wrapped=bytes(32)), "another challenge"),
        (Info(tag=0xA1), "tag"),
    ],
)
def test_anything_else_is_refused_and_says_why(info: Info, why: str) -> None:
    """Other algorithms, counts out of bounds and parts of the wrong shape are refused before or after the password."""
    refused(info.build(), why)


def test_a_derivation_must_be_there() -> None:
    """Without keyDerivationAlgorithm the password would be the key itself: refused."""
    parts = [part.raw for part in der.read_one(Info().build()).children()]
    refused(der.tlv(0xA3, parts[0], *parts[2:]), "no key derivation")
    refused(der.tlv(0xA3, *parts, der.null()), "more than its parts")


def test_a_key_for_another_cipher_is_refused() -> None:
    """A wrapped key that is no key of the content's cipher is refused, single DES in the clothes of triple DES too."""
    info = password_recipient_info(recipient(), CONTENT_KEY[:16])
    refused(info, "another challenge", cipher=Cipher.AES256_CBC)
    weak = password_recipient_info(recipient(), CONTENT_KEY[:8] * 3)
    refused(weak, "another challenge", cipher=Cipher.TRIPLE_DES_CBC)


@given(st.data())
def test_damage_is_refused_and_nothing_else(data: st.DataObject) -> None:
    """A RecipientInfo with any one octet changed gives a key of the right length or is refused with DerError (IN-1).

    The wrap has no more than three octets of check: that the message was not altered is its signature's business.
    """
    octets = bytearray(Info().build())
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        key = opened(bytes(octets))
    except DerError:
        return
    assert len(key) == 16


def test_a_chained_wrap_has_no_shorter_form() -> None:
    """One pass of CBC alone, which a hasty implementer would write, is refused."""
    kek = PBKDF2HMAC(SHA256(), 16, SALT, FEW).derive(b"hunter2")
    plain = bytes((16, *(octet ^ 0xFF for octet in CONTENT_KEY[:3]))) + CONTENT_KEY[:16] + bytes(12)
    encryptor = BlockCipher(AES(kek), CBC(IV)).encryptor()
    refused(Info(wrapped=encryptor.update(plain) + encryptor.finalize()).build(), "another challenge")
