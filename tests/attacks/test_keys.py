"""Keys that are weak, malformed or nobody's, as the signer's and as the requested one."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attacks.forgery import certificate, close_primes, csr_of, message_of, request_of, sha256_rsa
from attacks.harness import Target, refused
from regalia import reasons
from regalia.model import Revocation, RevocationReason
from regalia.wire import der, oids
from regalia.wire.names import encode_name
from regalia.wire.scep import PkiStatus, Transaction
from scep_parts import Identity, algorithm
from world import Device, names, rsa_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

P256_GENERATOR = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
"""SEC 2 §2.4.2."""
P256_PRIME = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def rsa_spki(modulus: int, exponent: int = 65537) -> bytes:
    """An RSA SubjectPublicKeyInfo of any numbers."""
    return der.sequence(
        algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.integer(modulus), der.integer(exponent)))
    )


def ec_spki(parameters: bytes, point: bytes) -> bytes:
    """An EC SubjectPublicKeyInfo of any parameters."""
    return der.sequence(der.sequence(der.oid(oids.EC_PUBLIC_KEY), parameters), der.bit_string(point))


def library_spki(key: PrivateKeyTypes) -> bytes:
    """A public key as a library encodes it."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def explicit_p256() -> bytes:
    """P-256 spelt out with another generator: the point itself, so that its private key is 1 (CVE-2020-0601)."""
    field = der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(P256_PRIME))
    curve = der.sequence(
        der.octet_string((P256_PRIME - 3).to_bytes(32, "big")), der.octet_string(P256_B.to_bytes(32, "big"))
    )
    return der.sequence(
        der.integer(1), field, curve, der.octet_string(P256_GENERATOR), der.integer(P256_ORDER), der.integer(1)
    )


@cache
def modulus_of(bits: int) -> int:
    """An odd number without small factors of so many bits: a modulus as far as its form goes."""
    candidate = (1 << (bits - 1)) | (rsa_key(0).public_key().public_numbers().n % (1 << (bits - 2))) | 1
    while math.gcd(candidate, math.prod(range(3, 752, 2))) != 1:
        candidate += 2
    return candidate


def roca_modulus() -> int:
    """A power of 65537 modulo each prime up to 167, as the faulty generator's were, without a small factor."""
    primes = [n for n in range(2, 168) if all(n % d for d in range(2, n))]
    product = math.prod(primes)
    candidate = pow(65537, 12345, product) + product * ((1 << 2047) // product + 1)
    while math.gcd(candidate, math.prod(range(3, 752, 2))) != 1:
        candidate += product
    return candidate


def point(curve: ec.EllipticCurve, *, spoilt: bool = False, compressed: bool = False) -> bytes:
    """A point of a curve, or one beside it."""
    form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
    octets = ec.generate_private_key(curve).public_key().public_bytes(Encoding.X962, form)
    return octets[:-1] + bytes((octets[-1] ^ 1,)) if spoilt else octets


P256, P521 = der.oid(oids.SECP256R1), der.oid(oids.SECP521R1)
N = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n

REFUSED = {
    "RSA-1024": lambda: rsa_spki(modulus_of(1024)),
    "RSA-2047": lambda: rsa_spki(modulus_of(2047)),
    "RSA-8193": lambda: rsa_spki(modulus_of(8193)),
    "RSA-16384": lambda: rsa_spki(modulus_of(16384)),
    "exponent 1": lambda: rsa_spki(N, 1),
    "exponent 3": lambda: rsa_spki(N, 3),
    "exponent 65536": lambda: rsa_spki(N, 65536),
    "exponent 65538": lambda: rsa_spki(N, 65538),
    "exponent of 257 bits": lambda: rsa_spki(N, (1 << 256) | 1),
    "exponent -1": lambda: rsa_spki(N, -1),
    "exponent beyond the modulus": lambda: rsa_spki(N, N + 2),
    "modulus 0": lambda: rsa_spki(0),
    "modulus -n": lambda: rsa_spki(-N),
    "explicit curve": lambda: ec_spki(explicit_p256(), P256_GENERATOR),
    "implicit curve": lambda: ec_spki(der.null(), P256_GENERATOR),
    "P-224": lambda: ec_spki(der.oid("1.3.132.0.33"), point(ec.SECP224R1())),
    "secp256k1": lambda: ec_spki(der.oid("1.3.132.0.10"), point(ec.SECP256K1())),
    "P-521, not in the profile": lambda: ec_spki(P521, point(ec.SECP521R1())),
    "beside the curve": lambda: ec_spki(P256, point(ec.SECP256R1(), spoilt=True)),
    "at infinity": lambda: ec_spki(P256, b"\x00"),
    "of another curve": lambda: ec_spki(P256, point(ec.SECP384R1())),
    "compressed": lambda: ec_spki(P256, point(ec.SECP256R1(), compressed=True)),
    "hybrid": lambda: ec_spki(P256, b"\x06" + P256_GENERATOR[1:]),
    "no point": lambda: ec_spki(P256, b""),
    "DSA": lambda: library_spki(dsa_key()),
    "Ed25519": lambda: library_spki(ed25519.Ed25519PrivateKey.generate()),
    "Ed448": lambda: library_spki(ed448.Ed448PrivateKey.generate()),
    "X25519": lambda: library_spki(x25519.X25519PrivateKey.generate()),
    "RSASSA-PSS": lambda: der.sequence(
        algorithm(oids.RSASSA_PSS, b""), der.bit_string(der.sequence(der.integer(N), der.integer(65537)))
    ),
    "unknown": lambda: der.sequence(algorithm("1.2.3.4"), der.bit_string(b"key")),
    "no key": der.sequence,
    "RSA without parameters": lambda: der.sequence(
        algorithm(oids.RSA_ENCRYPTION, b""), der.bit_string(der.sequence(der.integer(N), der.integer(65537)))
    ),
    "trailing octets": lambda: der.sequence(
        algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.integer(N), der.integer(65537)) + b"\x00")
    ),
    "a third number": lambda: der.sequence(
        algorithm(oids.RSA_ENCRYPTION),
        der.bit_string(der.sequence(der.integer(N), der.integer(65537), der.integer(1))),
    ),
    "unused bits": lambda: der.sequence(
        algorithm(oids.RSA_ENCRYPTION), der.bit_string(der.sequence(der.integer(N), der.integer(65537)), 1)
    ),
}


def dsa_key() -> dsa.DSAPrivateKey:
    """A DSA key; nobody makes them any more."""
    return dsa.generate_private_key(1024)  # noqa: S505 - the fault that is tested


def live(world: Target) -> Device:
    """A device with a certificate, so that the requested key can be any."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    return device.fresh("renewal")


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_a_key_that_may_not_be_certified_is_refused(world: Target, make: object) -> None:
    """KEY-1, ENV-6: each wrong type, size and form, renewed to by a good device; before its signature is looked at."""
    assert callable(make)
    device = live(world)
    message = message_of(device, csr_of(device, public_key=make()))
    refused(world, message, reasons.KEY_REFUSED)
    assert device.fresh("again").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


WEAK = {
    "ROCA": (roca_modulus, "ROCA"),
    "close primes": (lambda: close_primes().public_key().public_numbers().n, "Fermat"),
    "a factor of 3": (lambda: 3 * modulus_of(2047), "prime factor"),
    "a factor of 751": (lambda: 751 * modulus_of(2040), "prime factor"),
    "even": (lambda: N - 1, "prime factor"),
    "a square": (lambda: rsa_key(0).private_numbers().p ** 2, "Fermat"),
}


@pytest.mark.parametrize(("make", "said"), WEAK.values(), ids=WEAK.keys())
def test_a_key_that_can_be_factored_is_refused(world: Target, make: object, said: str) -> None:
    """KEY-2: ROCA, primes next to each other, small factors; the event says which."""
    assert callable(make)
    device = live(world)
    attempt = refused(world, message_of(device, csr_of(device, public_key=rsa_spki(make()))), reasons.KEY_WEAK)
    assert said in str(attempt.events[0].details["detail"])


def test_a_weak_key_signs_for_itself_in_vain(world: Target) -> None:
    """KEY-2: a first enrolment by a key with close primes, with valid signatures all over and a good challenge."""
    secret, device = world.mint("laptop-1"), Device(world, key=close_primes())
    refused(world, device.message(device.csr(names("laptop-1"), secret)), reasons.KEY_WEAK)
    again = Device(world, transaction=Transaction(b"with a good key"))
    assert again.enrol(names("laptop-1"), secret).status is PkiStatus.SUCCESS


SIGNERS = {
    "RSA-1024": (lambda: rsa_spki(modulus_of(1024)), reasons.SIGNER_KEY_REFUSED),
    "RSA-16384": (lambda: rsa_spki(modulus_of(16384)), reasons.SIGNER_KEY_REFUSED),
    "exponent 1": (lambda: rsa_spki(N, 1), reasons.SIGNER_KEY_REFUSED),
    "exponent 3": (lambda: rsa_spki(N, 3), reasons.SIGNER_KEY_REFUSED),
    "exponent of 257 bits": (lambda: rsa_spki(N, (1 << 256) | 1), reasons.SIGNER_KEY_REFUSED),
    "even modulus": (lambda: rsa_spki(N - 1), reasons.SIGNER_KEY_REFUSED),
    "P-256": (lambda: ec_spki(P256, P256_GENERATOR), reasons.SIGNATURE_ALGORITHM_REFUSED),
    "explicit curve": (lambda: ec_spki(explicit_p256(), P256_GENERATOR), reasons.SIGNATURE_ALGORITHM_REFUSED),
    "DSA": (lambda: library_spki(dsa_key()), reasons.SIGNATURE_ALGORITHM_REFUSED),
    "Ed448": (lambda: library_spki(ed448.Ed448PrivateKey.generate()), reasons.SIGNATURE_ALGORITHM_REFUSED),
    "no key": (der.sequence, reasons.SIGNER_CERTIFICATE_MISSING),
}


@pytest.mark.parametrize(("make", "reason"), SIGNERS.values(), ids=SIGNERS.keys())
def test_a_signer_with_such_a_key_is_refused_before_it_is_verified_with(
    world: Target, make: object, reason: object
) -> None:
    """KEY-1, R1, RES-4: the bounds come before the signature: with e = 1 anything verifies, with 16384 bits slowly."""
    assert callable(make)
    device, name = Device(world), encode_name(cn="SCEP signer")
    signer = certificate(device.key, make(), issuer=name, subject=name, serial=1, device=device)
    csr = csr_of(device, challenge=world.mint("laptop-1"))
    good = request_of(device, csr)
    good.signer = Identity(device.key, device.self_signed())
    good.certificates = [signer]
    assert isinstance(reason, type(reasons.SIGNER_KEY_REFUSED))
    refused(world, good.build(), reason)


def test_an_exponent_of_one_forges_nothing(world: Target) -> None:
    """KEY-1, SIG-1: with e = 1 the padded digest is its own signature: a forgery that any verifier would accept."""
    device, name = Device(world), encode_name(cn="SCEP signer")
    signer = certificate(device.key, rsa_spki(N, 1), issuer=name, subject=name, serial=1, device=device)
    good = request_of(device, csr_of(device, challenge=world.mint("laptop-1")))
    good.certificates = [signer]
    info = der.read_one(good.build()).children()[1].children()[0].children()[4].children()[0].children()
    digest = der.sequence(algorithm(oids.SHA256), der.octet_string(good.digest.of(b"\x31" + info[3].raw[1:])))
    good.signature = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest)) + b"\x00" + digest
    refused(world, good.build(), reasons.SIGNER_KEY_REFUSED)


def test_a_key_that_was_compromised_once_stays_out(world: Target) -> None:
    """KEY-2: in a new transaction, with a new challenge and the same names."""
    device = live(world)
    (row,) = world.store.certificates_by_key(hashlib.sha256(device.public_key()).digest())
    gone = Revocation(row.id, RevocationReason.KEY_COMPROMISE, "administrator", "os:tester", world.clock.now())
    world.store.revoke(gone, ())
    again = Device(world, transaction=Transaction(b"again"))
    message = again.message(again.csr(names("laptop-1"), world.mint("laptop-1")))
    refused(world, message, reasons.KEY_BLOCKED, security=True)


@pytest.mark.parametrize("whose", ["ra", "authority", "root"])
def test_our_own_keys_are_certified_for_nobody(world: Target, whose: str) -> None:
    """KEY-2, SIG-4: a request for the public key of our RA or CA, by a device that cannot know the private one."""
    door = world.store.door("default")
    assert door is not None
    key_id = {"ra": door.ra.key_id, "authority": door.authority.key_id, "root": door.root.key_id}[whose]
    key = world.keys.private[key_id]
    device = live(world)
    refused(world, message_of(device, csr_of(device, public_key=library_spki(key))), reasons.POSSESSION_UNPROVEN)
    # With the private key in hand even the proof holds, and the key is known for whose it is.
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    refused(world, device.message(device.csr(names("laptop-1"), None, key=key)), reasons.KEY_BLOCKED, security=True)


@pytest.mark.parametrize(
    "signature_algorithm",
    [
        algorithm("1.2.840.113549.1.1.4"),
        algorithm(oids.SHA1_WITH_RSA),
        algorithm(oids.RSASSA_PSS),
        algorithm(oids.RSA_ENCRYPTION),
        algorithm(oids.ECDSA_WITH_SHA256, b""),
        algorithm(oids.SHA384_WITH_RSA),
        algorithm("1.2.3.4"),
        sha256_rsa[:-2] + b"\x04\x00",
    ],
    ids=["MD5", "SHA-1", "PSS", "rsaEncryption", "ECDSA", "SHA-384 claimed", "unknown", "odd parameters"],
)
def test_a_proof_of_possession_with_another_algorithm_is_none(world: Target, signature_algorithm: bytes) -> None:
    """ENV-6, SIG-5, R1: MD5 and SHA-1 prove nothing, nor does a name that is not the algorithm's."""
    secret, device = world.mint("laptop-1"), Device(world)
    message = message_of(device, csr_of(device, challenge=secret, algorithm=signature_algorithm))
    refused(world, message, reasons.POSSESSION_UNPROVEN)


def test_a_proof_of_possession_with_sha1_is_none(world: Target) -> None:
    """SIG-5: a signature that is right, made with SHA-1."""
    secret, device = world.mint("laptop-1"), Device(world)
    good = der.read_one(csr_of(device, challenge=secret)).children()[0].raw
    weak = device.key.sign(good, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the fault that is tested
    csr = csr_of(device, challenge=secret, algorithm=algorithm(oids.SHA1_WITH_RSA), signature=weak)
    refused(world, message_of(device, csr), reasons.POSSESSION_UNPROVEN)
