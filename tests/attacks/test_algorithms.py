"""Algorithms that are not on the list, and everything that could make an oracle of the RA's private key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.forgery import close_primes, csr_of, message_of, request_of
from attacks.harness import Target, attack, masked, refused, rightful
from forge import envelope, swap_oid
from regalia import reasons
from regalia.ra.registry import EndpointOptions
from regalia.wire import der, oids
from regalia.wire.algorithms import Digest
from regalia.wire.names import encode_name
from scep_parts import algorithm
from world import ADMIN, Device, names, rsa_key, spki

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.errors import Reason

# --- in clear -------------------------------------------------------------------------------------------------------

DIGEST_ALGORITHMS = {
    "MD5": oids.MD5,
    "SHA-1": oids.SHA1,
    "SHA-224": oids.SHA224,
    "SHA3-256": "2.16.840.1.101.3.4.2.8",
    "SHA-512/256": "2.16.840.1.101.3.4.2.6",
    "MD2": "1.2.840.113549.2.2",
    "unknown": "1.2.3.4",
}


@pytest.mark.parametrize("oid", DIGEST_ALGORITHMS.values(), ids=DIGEST_ALGORITHMS.keys())
def test_a_digest_that_is_not_on_the_list_is_refused(world: Target, oid: str) -> None:
    """SIG-5, R1: MD5, SHA-1 and others are refused by name, before anything is computed with them."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, challenge=secret), digest_algorithm=algorithm(oid))
    refused(world, message, reasons.DIGEST_REFUSED)
    rightful(world, secret)


def test_a_message_rightly_signed_with_sha1_is_refused(world: Target) -> None:
    """SIG-5, R1: what micromdm's scepclient sends by default, with a signature that verifies."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, challenge=secret), digest=Digest.SHA1)
    refused(world, message, reasons.DIGEST_REFUSED)
    rightful(world, secret)


SIGNATURES = {
    "MD5 with RSA": algorithm(oids.MD5_WITH_RSA),
    "SHA-1 with RSA": algorithm(oids.SHA1_WITH_RSA),
    "SHA-384 with RSA over SHA-256": algorithm(oids.SHA384_WITH_RSA),
    "SHA-512 with RSA over SHA-256": algorithm(oids.SHA512_WITH_RSA),
    "PSS": algorithm(oids.RSASSA_PSS),
    "PSS with parameters": algorithm(oids.RSASSA_PSS, der.sequence()),
    "ECDSA with an RSA key": algorithm(oids.ECDSA_WITH_SHA256, b""),
    "OAEP": algorithm(oids.RSAES_OAEP),
    "parameters that are not NULL": algorithm(oids.RSA_ENCRYPTION, der.integer(1)),
    "the digest alone": algorithm(oids.SHA256),
    "unknown": algorithm("1.2.3.4"),
}


@pytest.mark.parametrize("identifier", SIGNATURES.values(), ids=SIGNATURES.keys())
def test_a_signature_algorithm_that_is_not_on_the_list_is_refused(world: Target, identifier: bytes) -> None:
    """SIG-5, R1: wrong ones, and right ones that do not agree with the digest."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, challenge=secret), signature_algorithm=identifier)
    refused(world, message, reasons.SIGNATURE_ALGORITHM_REFUSED)
    rightful(world, secret)


CIPHERS = {
    "DES": oids.DES_CBC,
    "triple DES": oids.DES_EDE3_CBC,
    "RC2": oids.RC2_CBC,
    "RC4": "1.2.840.113549.3.4",
    "AES-128-ECB": "2.16.840.1.101.3.4.1.1",
    "AES-128-GCM": oids.AES128_GCM,
    "AES-128-CFB": "2.16.840.1.101.3.4.1.4",
    "ChaCha20-Poly1305": "1.2.840.113549.1.9.16.3.18",
    "none": "1.2.3.4",
}


def sealed_with(device: Device, secret: str, *, cipher: bytes | None = None, transport: bytes | None = None) -> bytes:
    """A good envelope whose algorithm identifiers are replaced."""
    outer, inner = der.read_one(envelope(device, csr_of(device, challenge=secret))).children()
    version, infos, content = inner.children()[0].children()
    info = infos.children()[0].children()
    parts = content.children()
    recipient = der.sequence(info[0].raw, info[1].raw, transport or info[2].raw, info[3].raw)
    sealed = der.sequence(parts[0].raw, cipher or parts[1].raw, parts[2].raw)
    return der.sequence(outer.raw, der.context(0, der.sequence(version.raw, der.set_of([recipient]), sealed)))


@pytest.mark.parametrize("oid", CIPHERS.values(), ids=CIPHERS.keys())
@pytest.mark.parametrize("iv", [0, 8, 16])
def test_a_cipher_that_is_not_on_the_list_is_refused(world: Target, oid: str, iv: int) -> None:
    """ENV-5, R1: single DES, RC2 and their kind, before the private key is used; with whatever parameters."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = sealed_with(device, secret, cipher=algorithm(oid, der.octet_string(bytes(iv))))
    refused(world, message_of(device, b"", content=content), reasons.CIPHER_REFUSED)
    rightful(world, secret)


@pytest.mark.parametrize("oid", [oids.RSAES_OAEP, oids.RSASSA_PSS, oids.SHA256_WITH_RSA, "1.2.3.4", oids.EC_PUBLIC_KEY])
def test_a_key_transport_that_is_not_on_the_list_is_refused(world: Target, oid: str) -> None:
    """ENV-5, R1: OAEP without its parameters; a signature algorithm transports no key."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = sealed_with(device, secret, transport=algorithm(oid))
    refused(world, message_of(device, b"", content=content), reasons.KEY_TRANSPORT_REFUSED)
    rightful(world, secret)


@pytest.mark.parametrize("parameters", [b"", der.null(), der.octet_string(bytes(15)), der.octet_string(bytes(17))])
def test_an_iv_that_is_none_is_refused(world: Target, parameters: bytes) -> None:
    """ENV-5, IN-4: absent, NULL, too short and too long: a fault in clear."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = sealed_with(device, secret, cipher=algorithm(oids.AES128_CBC, parameters))
    refused(world, message_of(device, b"", content=content), reasons.ENVELOPE_STRUCTURE_REFUSED)
    rightful(world, secret)


def test_everything_wrong_with_a_client_is_told_at_once(world: Target) -> None:
    """R1: SHA-1 and DES in one message: one event that names both, badAlg to the client."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = sealed_with(device, secret, cipher=algorithm(oids.DES_CBC, der.octet_string(bytes(8))))
    message = message_of(device, b"", content=content, digest_algorithm=algorithm(oids.SHA1))
    attempt = refused(world, message, reasons.DIGEST_REFUSED)
    assert {"SHA-1", "DES-CBC"} <= set(str(attempt.events[0].details["detail"]).replace(";", " ").split())


def test_the_answer_is_no_weaker_than_the_list(world: Target) -> None:
    """MSG-4, R1: a refusal of SHA-1 is itself signed with SHA-256, whatever the request liked."""
    device = Device(world)
    message = message_of(device, csr_of(device), digest_algorithm=algorithm(oids.SHA1))
    attempt = refused(world, message, reasons.DIGEST_REFUSED)
    assert attempt.reply.digest is Digest.SHA256


OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
OAEP_SHA256 = algorithm(
    oids.RSAES_OAEP,
    der.sequence(
        der.context(0, algorithm(oids.SHA256)),
        der.context(1, algorithm(oids.MGF1, algorithm(oids.SHA256))),
    ),
)


# --- decrypted content: one answer ----------------------------------------------------------------------------------


def cbc(plaintext: bytes, key: bytes = bytes(16), *, pad: bytes | None = None) -> bytes:
    """AES-CBC under a zero IV with a padding of any form."""
    fill = 16 - len(plaintext) % 16
    padded = plaintext + (bytes((fill,)) * fill if pad is None else pad)
    encryptor = BlockCipher(AES(key), CBC(bytes(16))).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def made(
    device: Device,
    ciphertext: bytes,
    *,
    transported: bytes | None = None,
    encrypted_key: bytes | None = None,
    cipher: str = oids.AES128_CBC,
    iv: bytes = bytes(16),
    oaep: bool = False,
) -> bytes:
    """An envelope of any ciphertext, any transported key, or any RSA block, by PKCS #1 v1.5 or OAEP with SHA-256."""
    door = device.world.store.door(device.endpoint)
    assert door is not None
    outer, inner = der.read_one(envelope(device, b"x")).children()
    version, infos, _content = inner.children()[0].children()
    info = infos.children()[0].children()
    public = device.world.keys.private[door.ra.key_id].public_key()
    block = encrypted_key
    if block is None:
        block = public.encrypt(  # type: ignore[union-attr]  # the RA's key is RSA
            bytes(16) if transported is None else transported, OAEP if oaep else padding.PKCS1v15()
        )
    transport = OAEP_SHA256 if oaep else info[2].raw
    recipient = der.sequence(info[0].raw, info[1].raw, transport, der.octet_string(block))
    content = der.sequence(
        der.oid(oids.ID_DATA),
        algorithm(cipher, der.octet_string(iv)),
        der.context(0, ciphertext, constructed=False),
    )
    return der.sequence(outer.raw, der.context(0, der.sequence(version.raw, der.set_of([recipient]), content)))


def raw_rsa(device: Device, block: bytes) -> bytes:
    """Encrypt a block of 256 octets without any padding of ours."""
    door = device.world.store.door(device.endpoint)
    assert door is not None
    numbers = device.world.keys.private[door.ra.key_id].public_key().public_numbers()
    assert isinstance(numbers, RSAPublicNumbers)
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(256, "big")


def block(body: bytes, kind: int = 2) -> bytes:
    """A PKCS #1 block of 256 octets: 0, kind, non-zero padding, 0, body."""
    return b"\x00" + bytes((kind,)) + b"\xaa" * (253 - len(body)) + b"\x00" + body


_RDNS: list[bytes] = [part.raw for part in der.read_one(encode_name(cn="laptop-1")).children()]
STEP_7: dict[str, tuple[Callable[[Device, bytes], bytes], Reason]] = {
    "a key of 8 octets": (lambda d, c: made(d, cbc(c), transported=bytes(8)), reasons.DECRYPTION_FAILED),
    "a key of 24 octets": (lambda d, c: made(d, cbc(c), transported=bytes(24)), reasons.DECRYPTION_FAILED),
    "no key": (lambda d, c: made(d, cbc(c), transported=b""), reasons.DECRYPTION_FAILED),
    "another key": (lambda d, c: made(d, cbc(c), transported=b"\x01" * 16), reasons.DECRYPTION_FAILED),
    "AES-256 with a key for AES-128": (
        lambda d, c: made(d, cbc(c), cipher=oids.AES256_CBC),
        reasons.DECRYPTION_FAILED,
    ),
    "a random block": (lambda d, c: made(d, cbc(c), encrypted_key=b"\x5a" * 256), reasons.DECRYPTION_FAILED),
    "a block of zeros": (lambda d, c: made(d, cbc(c), encrypted_key=bytes(256)), reasons.DECRYPTION_FAILED),
    "a block above the modulus": (
        lambda d, c: made(d, cbc(c), encrypted_key=b"\xff" * 256),
        reasons.DECRYPTION_FAILED,
    ),
    "a short block": (lambda d, c: made(d, cbc(c), encrypted_key=b"\x5a" * 128), reasons.DECRYPTION_FAILED),
    "a long block": (lambda d, c: made(d, cbc(c), encrypted_key=b"\x5a" * 300), reasons.DECRYPTION_FAILED),
    "no block": (lambda d, c: made(d, cbc(c), encrypted_key=b""), reasons.DECRYPTION_FAILED),
    "block type 1": (
        lambda d, c: made(d, cbc(c), encrypted_key=raw_rsa(d, block(bytes(16), 1))),
        reasons.DECRYPTION_FAILED,
    ),
    "block without a zero": (
        lambda d, c: made(d, cbc(c), encrypted_key=raw_rsa(d, b"\x00\x02" + b"\xaa" * 254)),
        reasons.DECRYPTION_FAILED,
    ),
    "block that begins with one": (
        lambda d, c: made(d, cbc(c), encrypted_key=raw_rsa(d, b"\x01" + block(bytes(16))[1:])),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, a key of 8 octets": (
        lambda d, c: made(d, cbc(c), transported=bytes(8), oaep=True),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, a random block": (
        lambda d, c: made(d, cbc(c), encrypted_key=b"\x5a" * 256, oaep=True),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, a block above the modulus": (
        lambda d, c: made(d, cbc(c), encrypted_key=b"\xff" * 256, oaep=True),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, a block that begins with one": (
        lambda d, c: made(d, cbc(c), encrypted_key=raw_rsa(d, b"\x01" + bytes(255)), oaep=True),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, a block of PKCS #1 v1.5": (
        lambda d, c: made(d, cbc(c), encrypted_key=raw_rsa(d, block(bytes(16))), oaep=True),
        reasons.DECRYPTION_FAILED,
    ),
    "OAEP, text": (lambda d, _: made(d, cbc(b"hello"), oaep=True), reasons.CSR_REFUSED),
    "padding of zeros": (
        lambda d, c: made(d, cbc(c[:-1] if not len(c) % 16 else c, pad=_zeros(c))),
        reasons.DECRYPTION_FAILED,
    ),
    "padding of 17": (lambda d, c: made(d, cbc(_whole(c), pad=b"\x11" * 16)), reasons.DECRYPTION_FAILED),
    "padding with a wrong octet": (
        lambda d, c: made(d, cbc(_whole(c), pad=b"\x0f" + b"\x10" * 15)),
        reasons.DECRYPTION_FAILED,
    ),
    "padding that is longer": (lambda d, c: made(d, cbc(_whole(c), pad=b"\x10" * 32)), reasons.CSR_REFUSED),
    "no ciphertext": (lambda d, _: made(d, b""), reasons.DECRYPTION_FAILED),
    "half a block": (lambda d, c: made(d, cbc(c)[:-8]), reasons.DECRYPTION_FAILED),
    "a block cut": (lambda d, c: made(d, cbc(c)[:-16]), reasons.DECRYPTION_FAILED),
    "a block too many": (lambda d, c: made(d, cbc(c) + bytes(16)), reasons.DECRYPTION_FAILED),
    "blocks swapped": (
        lambda d, c: made(d, cbc(c)[16:32] + cbc(c)[:16] + cbc(c)[32:]),
        reasons.CSR_REFUSED,
    ),
    "nothing": (lambda d, _: made(d, cbc(b"")), reasons.CSR_REFUSED),
    "text": (lambda d, _: made(d, cbc(b"hello")), reasons.CSR_REFUSED),
    "a trailing octet": (lambda d, c: made(d, cbc(c + b"\x00")), reasons.CSR_REFUSED),
    "two requests": (lambda d, c: made(d, cbc(c + c)), reasons.CSR_REFUSED),
    "a request cut": (lambda d, c: made(d, cbc(c[:-1])), reasons.CSR_REFUSED),
    "an overlong length": (lambda d, c: made(d, cbc(b"\x30\x83\x00" + c[2:])), reasons.CSR_REFUSED),
    "an indefinite length": (lambda d, c: made(d, cbc(b"\x30\x80" + c[4:] + b"\x00\x00")), reasons.CSR_REFUSED),
    "sixty deep": (lambda d, _: made(d, cbc(b"\x30\x80" * 60)), reasons.CSR_REFUSED),
    "a spoilt signature": (lambda d, c: made(d, cbc(c[:-1] + bytes((c[-1] ^ 1,)))), reasons.POSSESSION_UNPROVEN),
    "a weak key": (lambda d, _: made(d, cbc(weak_csr(d))), reasons.KEY_WEAK),
    "a small key": (lambda d, _: made(d, cbc(csr_of(d, public_key=small_key()))), reasons.KEY_REFUSED),
    "another's key": (
        lambda d, _: made(d, cbc(Device(d.world, key=rsa_key(1)).csr(names("laptop-1"), None))),
        reasons.KEY_NOT_BOUND,
    ),
    "a certificate": (lambda d, _: made(d, cbc(d.self_signed())), reasons.CSR_REFUSED),
    "two common names": (
        lambda d, _: made(d, cbc(csr_of(d, subject=der.sequence(*_RDNS, *_RDNS)))),
        reasons.CSR_AMBIGUOUS,
    ),
}


def _whole(csr: bytes) -> bytes:
    """A request cut to whole blocks: what follows is padding alone."""
    return csr[: len(csr) // 16 * 16]


def _zeros(csr: bytes) -> bytes:
    return bytes(16 - (len(csr) - (not len(csr) % 16)) % 16)


def weak_csr(device: Device) -> bytes:
    """A request for a key with close primes."""
    return csr_of(device, public_key=spki(close_primes()))


def small_key() -> bytes:
    """The SubjectPublicKeyInfo of a key of 1024 bits."""
    modulus = (1 << 1023) | 0x10001
    key = der.sequence(der.integer(modulus), der.integer(65537))
    return der.sequence(algorithm(oids.RSA_ENCRYPTION), der.bit_string(key))


@pytest.mark.parametrize("debug", [False, True])
def test_whatever_is_wrong_inside_the_envelope_gets_one_answer(*, debug: bool) -> None:
    """ENV-1, ENV-2, ENV-3, ENV-4, R6: some forty faults, octet for octet one answer, its nonce and signature aside."""
    world = Target()
    world.open_group("lab", debug=True)
    endpoint = "lab" if debug else "default"
    device = Device(world, endpoint=endpoint)
    secret = world.mint("laptop-1", endpoint=endpoint)
    csr = csr_of(device, challenge=secret)
    answers = {}
    for fault, (make, reason) in STEP_7.items():
        world.pass_minutes()
        message = message_of(device, b"", content=make(device, csr))
        # What a wrong key makes of a ciphertext ends in a right padding once in 256 times, and is no request then.
        by_chance = reasons.CSR_REFUSED if reason is reasons.DECRYPTION_FAILED else None
        attempt = refused(world, message, reason, alternative=by_chance, endpoint=endpoint)
        answers[fault] = masked(attempt)
        assert attempt.attribute(oids.FAIL_INFO_TEXT) is None
    assert len(set(answers.values())) == 1


TRIPLE_DES: dict[str, bytes] = {
    "another key": bytes(range(24)),
    "two equal neighbours": bytes(range(8)) * 2 + bytes(8),
    "single DES three times": bytes(range(8)) * 3,
    "a key of 16 octets": bytes(range(16)),
    "a key of 8 octets": bytes(8),
    "no key": b"",
}


def test_an_old_cipher_fails_like_a_new_one(world: Target) -> None:
    """ENV-2, ENV-3, ENV-5, R6: triple DES at a legacy endpoint, with keys that are none of it: one answer with AES."""
    options = EndpointOptions(legacy=True)
    world.registry.create_endpoint("old", group="default", profile="default", actor=ADMIN, options=options)
    device = Device(world, endpoint="old")
    whole = bytes(64)
    answers = set()
    for key in TRIPLE_DES.values():
        content = made(device, whole, transported=key, cipher=oids.DES_EDE3_CBC, iv=bytes(8))
        # What a wrong key makes of zeros ends in a right padding now and then, and is no request then.
        attempt = refused(
            world,
            message_of(device, b"", content=content),
            reasons.DECRYPTION_FAILED,
            alternative=reasons.CSR_REFUSED,
            endpoint="old",
        )
        answers.add(masked(attempt))
    modern = message_of(device, b"", content=made(device, whole, transported=bytes(8)))
    answers.add(
        masked(refused(world, modern, reasons.DECRYPTION_FAILED, alternative=reasons.CSR_REFUSED, endpoint="old"))
    )
    assert len(answers) == 1


def test_only_what_is_wrong_inside_gets_that_answer(world: Target) -> None:
    """R6: the comparison above can fail: a refusal of step 9 is another answer."""
    device = Device(world)
    inside = refused(world, message_of(device, b"", content=made(device, cbc(b"x"))), reasons.CSR_REFUSED)
    after = refused(world, message_of(device, csr_of(device)), reasons.CHALLENGE_MISSING)
    assert masked(inside) != masked(after)


@pytest.mark.parametrize("kind", ["absent", "empty", "wrong", "used", "expired", "revoked", "other's", "other name"])
def test_whatever_is_wrong_with_a_challenge_gets_one_answer(world: Target, kind: str) -> None:
    """CHA-1, R6: absent, used, expired, revoked, another's, right with another name: all the same to who asks."""
    device = Device(world)
    world.open_group("staff")
    expired = world.mint("laptop-1", minutes=1)
    used, gone = world.mint("laptop-9"), world.mint("laptop-1")
    world.desk.revoke(next(c.id for c in world.store.challenges() if c.binding == names("laptop-1")), ADMIN)
    world.clock.advance(timedelta(minutes=2))
    Device(world, key=rsa_key(2)).fresh("user").enrol(names("laptop-9"), used)
    challenge, wanted = {
        "absent": (None, "laptop-1"),
        "empty": ("", "laptop-1"),
        "wrong": ("wrong", "laptop-1"),
        "used": (used, "laptop-9"),
        "expired": (expired, "laptop-1"),
        "revoked": (gone, "laptop-1"),
        "other's": (world.mint("laptop-1", endpoint="staff"), "laptop-1"),
        "other name": (world.mint("laptop-1"), "ceo"),
    }[kind]
    reference = masked(attack(world, message_of(device, csr_of(device, challenge="reference"))))
    csr = csr_of(device, challenge=challenge, subject=encode_name(cn=wanted))
    answer = attack(world, message_of(device, csr))
    assert answer.changed == ()
    assert masked(answer) == reference


def test_a_captured_envelope_with_blocks_appended_tells_nothing(world: Target) -> None:
    """ENV-4: the oracle that trailing octets would make: 64 last octets tried on a captured envelope, one answer."""
    secret, victim = world.mint("laptop-1"), Device(world)
    captured = cbc(csr_of(victim, challenge=secret))
    thief = Device(world, key=rsa_key(1)).fresh("thief")
    answers = set()
    for last in range(64):
        world.pass_minutes(1)
        chosen = captured[-32:-17] + bytes((captured[-17] ^ last,)) + captured[-16:]
        message = message_of(thief, b"", content=made(thief, captured + chosen))
        attempt = attack(world, message)
        assert attempt.changed == ()
        answers.add(masked(attempt))
    assert len(answers) == 1


@settings(max_examples=40)
@given(block_of=st.binary(min_size=0, max_size=300), content=st.binary(max_size=64))
def test_no_block_and_no_ciphertext_gets_another_answer(block_of: bytes, content: bytes) -> None:
    """ENV-1, ENV-2, ENV-3: any RSA block beside any ciphertext."""
    world = _SHARED[0] if _SHARED else Target()
    _SHARED[:] = [world]
    world.pass_minutes(1)
    device = Device(world)
    attempt = attack(world, message_of(device, b"", content=made(device, content, encrypted_key=block_of)))
    _REFERENCE[:] = _REFERENCE or [masked(attempt)]
    assert attempt.changed == ()
    assert masked(attempt) == _REFERENCE[0]


_SHARED: list[Target] = []
_REFERENCE: list[bytes] = []


def test_the_ras_signature_is_no_decryption(world: Target) -> None:
    """ENV-8, SIG-4: what the RA signs is a SET of attributes of its own making: no octets of a request go in raw."""
    device = Device(world)
    first = attack(world, message_of(device, csr_of(device)))
    again = attack(world, message_of(device, csr_of(device)))
    assert first.attribute(oids.SENDER_NONCE) != again.attribute(oids.SENDER_NONCE)
    assert first.reply.signed_data.signers[0].signature != again.reply.signed_data.signers[0].signature


def test_a_valid_envelope_resigned_with_another_digest_is_one_message(world: Target) -> None:
    """SIG-1, R1: SHA-512 attributes over a messageDigest made with SHA-256 bind nothing."""
    secret, device = world.mint("laptop-1"), Device(world)
    content = envelope(device, csr_of(device, challenge=secret))
    message = message_of(device, b"", content=content, digest=Digest.SHA512, message_digest=Digest.SHA256.of(content))
    refused(world, message, reasons.DIGEST_MISMATCH)
    rightful(world, secret)


def test_an_algorithm_changed_after_signing_does_not_verify(world: Target) -> None:
    """SIG-1: SignerInfo's algorithms are not signed; changed to another one on the list they verify nothing."""
    secret, device = world.mint("laptop-1"), Device(world)
    good = request_of(device, csr_of(device, challenge=secret)).build()
    refused(world, swap_oid(good, oids.SHA256, oids.SHA512), reasons.DIGEST_MISMATCH)
    info = der.read_one(good).children()[1].children()[0].children()[4].children()[0].children()
    assert device.key.sign(b"\x31" + info[3].raw[1:], padding.PKCS1v15(), hashes.SHA256()) == info[5].content
    rightful(world, secret)
