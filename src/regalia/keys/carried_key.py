"""Private keys that administrators bring: PEM, DER or PKCS #12, perhaps under a passphrase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.wrapping import sign_with, spki
from regalia.wire.certificate import SignatureAlgorithm, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.keys.wrapping import Keypair

__all__ = ["CarriedKey", "open_key_file", "open_pkcs12", "prove_pair"]

_PROOF = b"regalia: this signature proves that two halves of a key belong together"


@dataclass(frozen=True, slots=True)
class CarriedKey:
    """An opened private key, and the certificates that came in the same file."""

    key: Keypair
    certificate: bytes | None = None
    """DER of the key's own certificate."""
    chain: tuple[bytes, ...] = ()


def open_key_file(octets: bytes, passphrase: Callable[[], bytes]) -> CarriedKey:
    """Open a private key, PEM or DER; `passphrase` is asked only for one that is encrypted.

    OpenSSL checks that the key's numbers belong together. Raises `AdminError` ADM-033.
    """
    load = serialization.load_pem_private_key if b"-----BEGIN" in octets else serialization.load_der_private_key
    try:
        try:
            key = load(octets, password=None)
        except TypeError:
            # What `cryptography` says of a key that is encrypted.
            key = load(octets, password=passphrase())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused("the file is no private key, or the passphrase is another one") from error
    return CarriedKey(_usable(key))


def open_pkcs12(octets: bytes, passphrase: Callable[[], bytes]) -> CarriedKey:
    """Open a PKCS #12 file with a key and its certificate. Raises `AdminError` ADM-033."""
    try:
        opened = pkcs12.load_pkcs12(octets, passphrase() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused("the file is no PKCS #12, or the passphrase is another one") from error
    if opened.key is None:
        raise _refused("the PKCS #12 file holds no private key")
    own = opened.cert.certificate.public_bytes(Encoding.DER) if opened.cert is not None else None
    chain = tuple(other.certificate.public_bytes(Encoding.DER) for other in opened.additional_certs)
    return CarriedKey(_usable(opened.key), own, chain)


def prove_pair(key: Keypair) -> bytes:
    """Prove that the private half belongs to the public one, by a signature; return the public one as DER SPKI.

    Raises `AdminError` ADM-033.
    """
    public_key = spki(key)
    signature = sign_with(key, _PROOF, hashes.SHA256())
    algorithm = SignatureAlgorithm.RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else SignatureAlgorithm.ECDSA_SHA256
    if not verify_signature(_PROOF, algorithm, signature, public_key):
        raise _refused("a signature by its private half does not verify with its public one")
    return public_key


def _usable(key: object) -> Keypair:
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _refused("the key is neither RSA nor on an elliptic curve")
    return key


def _refused(detail: str) -> AdminError:
    return AdminError(reasons.AUTHORITY_KEY_REFUSED, detail)
