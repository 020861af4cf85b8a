"""CMS (RFC 5652), as much of it as SCEP uses: SignedData with one signer, EnvelopedData, certs-only messages.

Structures are read without judging algorithms: identifiers come as they stand, and `scep` decides. Signed attributes
and certificates keep their octets. Everything here raises `DerError` except where a docstring says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from regalia import reasons
from regalia.errors import PeerError, UnavailableError
from regalia.wire import ber, der, oids, tlv
from regalia.wire.algorithms import read_algorithm
from regalia.wire.certificate import read_certificate
from regalia.wire.der import DerError, Tlv
from regalia.wire.names import same_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from regalia.wire.algorithms import AlgorithmIdentifier, Cipher, Oaep

__all__ = [
    "MAX_CERTIFICATES",
    "MAX_RECIPIENTS",
    "CertificateId",
    "EncryptedKey",
    "EnvelopedData",
    "Recipient",
    "SealedContent",
    "SignedData",
    "SignerInfo",
    "certs_only",
    "decrypt_content",
    "encrypted_key_for",
    "names_certificate",
    "open_content",
    "read_attributes",
    "read_certs_only",
    "read_content_info",
    "read_crl_only",
    "read_sealed_content",
    "read_signed_data",
    "signed_octets",
]

MAX_CERTIFICATES: Final = 10
"""SIG-3: the bag is a pool for look-up; a chain has three."""
MAX_RECIPIENTS: Final = 4
"""ENV-7."""

_CONTEXT_0 = 0xA0
_CONTEXT_1 = 0xA1
_PRIMITIVE_0 = 0x80


@dataclass(frozen=True, slots=True)
class CertificateId:
    """How a signer or recipient names its certificate: issuer and serial, or subjectKeyIdentifier alone."""

    issuer: bytes = b""
    """DER Name."""
    serial: int | None = None
    ski: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signer (RFC 5652 §5.3). Unsigned attributes are checked for place and then forgotten."""

    sid: CertificateId
    digest: AlgorithmIdentifier
    signed_attributes: bytes | None
    """The whole `[0]` element as sent; None where it is absent."""
    signature_algorithm: AlgorithmIdentifier
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedData:
    """SignedData (RFC 5652 §5.1)."""

    content_type: str
    content: bytes | None
    """Content octets of eContent; None where it is absent."""
    certificates: tuple[bytes, ...]
    """DER, in the order of the message, at most 10."""
    signers: tuple[SignerInfo, ...]
    crls: Tlv | None = None
    """The whole `[1]` element, not looked at; None where it is absent."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient (RFC 5652 §6.2). For kinds other than key transport only `kind` says something."""

    kind: str
    """`ktri`, `kari`, `kekri`, `pwri` or `ori`."""
    rid: CertificateId
    algorithm: AlgorithmIdentifier | None
    encrypted_key: bytes
    oaep: Oaep | None = None
    """Parameters of RSAES-OAEP, once `scep` has judged them; None for PKCS #1 v1.5."""
    other: Tlv | None = None
    """The whole element of another kind than key transport."""


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """What a recipient's private key opens."""

    octets: bytes
    oaep: Oaep | None = None
    """None for PKCS #1 v1.5."""


@dataclass(frozen=True, slots=True)
class SealedContent:
    """EnvelopedData (RFC 5652 §6.1) as it stands, its algorithms not judged yet."""

    recipients: tuple[Recipient, ...]
    cipher: AlgorithmIdentifier
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class EnvelopedData:
    """EnvelopedData whose algorithms are allowed."""

    recipients: tuple[Recipient, ...]
    cipher: Cipher
    iv: bytes
    """16 octets."""
    ciphertext: bytes


# --- layers ---------------------------------------------------------------------------------------------------------


def read_content_info(data: bytes, limits: tlv.Limits = tlv.SCEP_LIMITS) -> tuple[str, Tlv]:
    """Walk, normalise where needed (R7), and read a ContentInfo into its type and its content (RFC 5652 §3)."""
    if tlv.survey(data, limits):
        data = ber.normalise(data)
    parts = der.read_one(data, der.SEQUENCE).children()
    if len(parts) != 2:
        raise DerError("ContentInfo is not a type and a content")
    return parts[0].as_oid(), der.read_one(parts[1].expect(_CONTEXT_0).content, der.SEQUENCE)


def read_signed_data(element: Tlv) -> SignedData:
    """Read SignedData, with at most 10 certificates; CRLs in it are not looked at."""
    version, digests, content_info, *rest = _at_least(element, 4, "SignedData")
    version.as_integer()
    digests.expect(der.SET)
    content_type, content = _read_encapsulated(content_info)
    certificates: tuple[bytes, ...] = ()
    if rest[0].tag == _CONTEXT_0:
        certificates = _read_certificates(rest.pop(0))
    crls = rest.pop(0) if rest and rest[0].tag == _CONTEXT_1 else None
    if len(rest) != 1:
        raise DerError("SignedData does not end with its signers")
    signers = tuple(_read_signer(item) for item in rest[0].expect(der.SET).children())
    return SignedData(content_type, content, certificates, signers, crls)


def _at_least(element: Tlv, count: int, what: str) -> list[Tlv]:
    parts = element.expect(der.SEQUENCE).children()
    if len(parts) < count:
        raise DerError(f"{what} is cut")
    return parts


def _read_encapsulated(element: Tlv) -> tuple[str, bytes | None]:
    parts = element.expect(der.SEQUENCE).children()
    if not 1 <= len(parts) <= 2:
        raise DerError("encapContentInfo is not a type and a content")
    if len(parts) == 1:
        return parts[0].as_oid(), None
    return parts[0].as_oid(), der.read_one(parts[1].expect(_CONTEXT_0).content, der.OCTET_STRING).content


def _read_certificates(element: Tlv) -> tuple[bytes, ...]:
    certificates = element.children()
    if not 1 <= len(certificates) <= MAX_CERTIFICATES:
        raise DerError(f"{len(certificates)} certificates where 1 to {MAX_CERTIFICATES} are allowed")
    # Choices other than an X.509 certificate carry context tags (RFC 5652 §10.2.2): nobody sends them.
    return tuple(certificate.expect(der.SEQUENCE).raw for certificate in certificates)


def _read_signer(element: Tlv) -> SignerInfo:
    version, sid, digest, *rest = _at_least(element, 5, "SignerInfo")
    version.as_integer()
    signed_attributes = rest.pop(0).raw if rest[0].tag == _CONTEXT_0 else None
    if len(rest) == 3 and rest[2].tag == _CONTEXT_1:
        rest.pop()
    if len(rest) != 2:
        raise DerError("SignerInfo does not end with its signature")
    return SignerInfo(
        sid=_read_certificate_id(sid),
        digest=read_algorithm(digest),
        signed_attributes=signed_attributes,
        signature_algorithm=read_algorithm(rest[0]),
        signature=rest[1].expect(der.OCTET_STRING).content,
    )


def _read_certificate_id(element: Tlv) -> CertificateId:
    if element.tag == _PRIMITIVE_0:
        if not element.content:
            raise DerError("subjectKeyIdentifier is empty")
        return CertificateId(ski=element.content)
    parts = element.expect(der.SEQUENCE).children()
    if len(parts) != 2:
        raise DerError("issuerAndSerialNumber is not an issuer and a serial")
    return CertificateId(issuer=parts[0].expect(der.SEQUENCE).raw, serial=parts[1].as_integer())


def read_attributes(content: bytes) -> dict[str, list[Tlv]]:
    """Read the content of a SET OF Attribute, in any order (R7), into values by type.

    Raises `DerError`, also where an attribute has no value or a type stands twice (POL-4).
    """
    attributes: dict[str, list[Tlv]] = {}
    for item in der.read_all(content):
        parts = item.expect(der.SEQUENCE).children()
        if len(parts) != 2:
            raise DerError("Attribute is not a type and its values")
        oid, values = parts[0].as_oid(), parts[1].expect(der.SET).children()
        if not values or oid in attributes:
            raise DerError("an attribute has no value or stands twice")
        attributes[oid] = values
    return attributes


def signed_octets(signed_attributes: bytes) -> Iterator[bytes]:
    """The octets that a signature over signedAttrs may cover: as sent under the tag of SET, then sorted (R7)."""
    as_sent = b"\x31" + signed_attributes[1:]
    yield as_sent
    in_order = der.set_of(item.raw for item in der.read_one(as_sent).children())
    if in_order != as_sent:
        yield in_order


# --- EnvelopedData --------------------------------------------------------------------------------------------------


def read_sealed_content(data: bytes, limits: tlv.Limits = tlv.SCEP_LIMITS) -> SealedContent:
    """Read a whole ContentInfo that holds EnvelopedData over id-data, with at most 4 recipients."""
    content_type, element = read_content_info(data, limits)
    if content_type != oids.ID_ENVELOPED_DATA:
        raise DerError(f"{oids.describe(content_type)} where id-envelopedData was expected")
    version, *rest = _at_least(element, 3, "EnvelopedData")
    version.as_integer()
    if rest[0].tag == _CONTEXT_0:
        rest.pop(0)  # originatorInfo: certificates for key agreement
    if len(rest) == 3 and rest[2].tag == _CONTEXT_1:
        rest.pop()
    if len(rest) != 2:
        raise DerError("EnvelopedData is not recipients and a content")
    recipients = rest[0].expect(der.SET).children()
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise DerError(f"{len(recipients)} recipients where 1 to {MAX_RECIPIENTS} are allowed")
    cipher, ciphertext = _read_encrypted_content(rest[1])
    return SealedContent(tuple(_read_recipient(item) for item in recipients), cipher, ciphertext)


def _read_encrypted_content(element: Tlv) -> tuple[AlgorithmIdentifier, bytes]:
    parts = element.expect(der.SEQUENCE).children()
    if len(parts) != 3:
        raise DerError("encryptedContentInfo is not a type, an algorithm and a content")
    if parts[0].as_oid() != oids.ID_DATA:
        raise DerError("the encrypted content is not id-data")
    content = parts[2]
    if content.tag == _CONTEXT_0:
        # Apple and Go: [0] IMPLICIT OCTET STRING in its constructed form (R7).
        ciphertext = b"".join(piece.expect(der.OCTET_STRING).content for piece in content.children())
    else:
        ciphertext = content.expect(_PRIMITIVE_0).content
    return read_algorithm(parts[1]), ciphertext


_OTHER_RECIPIENTS: Final = {0xA1: "kari", 0xA2: "kekri", 0xA3: "pwri", 0xA4: "ori"}


def _read_recipient(element: Tlv) -> Recipient:
    if element.tag in _OTHER_RECIPIENTS:
        return Recipient(_OTHER_RECIPIENTS[element.tag], CertificateId(), None, b"", other=element)
    parts = element.expect(der.SEQUENCE).children()
    if len(parts) != 4:
        raise DerError("KeyTransRecipientInfo has four parts")
    parts[0].as_integer()
    encrypted_key = parts[3].expect(der.OCTET_STRING).content
    return Recipient("ktri", _read_certificate_id(parts[1]), read_algorithm(parts[2]), encrypted_key)


def names_certificate(named: CertificateId, *, issuer: bytes, serial: int, ski: bytes | None) -> bool:
    """Tell whether a signer or recipient means this certificate: issuer by octets first, then by RFC 5280 §7.1."""
    if named.ski is not None:
        return named.ski == ski
    return named.serial == serial and (named.issuer == issuer or same_name(named.issuer, issuer))


def encrypted_key_for(enveloped: EnvelopedData, certificate: bytes) -> EncryptedKey | None:
    """The encrypted key of the one recipient that names this certificate; None where none does or several do (ENV-7).

    `certificate` is DER and one of ours: a `DerError` for it is not the peer's fault.
    """
    facts = read_certificate(certificate)
    keys = [
        EncryptedKey(recipient.encrypted_key, recipient.oaep)
        for recipient in enveloped.recipients
        if names_certificate(recipient.rid, issuer=facts.issuer, serial=facts.serial, ski=facts.ski)
    ]
    return keys[0] if len(keys) == 1 else None


def decrypt_content(
    enveloped: EnvelopedData,
    encrypted_key: EncryptedKey,
    decrypt: Callable[[bytes, Oaep | None], bytes],
    spare_key: bytes,
) -> bytes:
    """Open the content: RSA, cipher, full check of the padding, with one way to fail (ENV-1 to ENV-3).

    `decrypt` is the private-key operation. What it returns or raises is never told apart: what is no key of the cipher
    is replaced by the beginning of `spare_key` (32 random octets) and the work goes on to fail like any other.
    Raises `PeerError` DECRYPTION_FAILED, and `UnavailableError` where the key cannot be reached.
    """
    try:
        key = decrypt(encrypted_key.octets, encrypted_key.oaep)
    except UnavailableError:
        raise  # our side: no content causes it, and a FAILURE would be final for the client
    except Exception:  # noqa: BLE001 - ENV-2: whatever a token or library raises looks like a wrong key
        key = b""
    cipher = enveloped.cipher
    return open_content(enveloped, key if cipher.fits(key) else spare_key[: cipher.key_octets])


def open_content(enveloped: EnvelopedData, key: bytes) -> bytes:
    """Decrypt with the content key itself, with full check of the padding. Raises `PeerError` DECRYPTION_FAILED."""
    cipher = enveloped.cipher
    try:
        decryptor = BlockCipher(cipher.with_key(key), CBC(enveloped.iv)).decryptor()
        padded = decryptor.update(enveloped.ciphertext) + decryptor.finalize()
        unpadder = PKCS7(cipher.block_octets * 8).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise PeerError(reasons.DECRYPTION_FAILED) from None


# --- certs-only and CRL-only ----------------------------------------------------------------------------------------

_SIGNED_DATA: Final = der.oid(oids.ID_SIGNED_DATA)
_EMPTY_SET: Final = der.set_of([])
_CERTS_ONLY_HEAD: Final = der.integer(1) + _EMPTY_SET + der.sequence(der.oid(oids.ID_DATA))
"""Version, no digests, no content."""


def certs_only(certificates: Sequence[bytes], *, ordered: bool = False) -> bytes:
    """Build the degenerate SignedData without signer and content (RFC 8894 §3.4): a whole ContentInfo.

    The certificates are sorted as DER asks; with `ordered` they keep their order, which GetCACert needs (R2).
    """
    bag = certificates if ordered else sorted(certificates)
    signed_data = der.sequence(_CERTS_ONLY_HEAD, der.tlv(_CONTEXT_0, *bag), _EMPTY_SET)
    return der.sequence(_SIGNED_DATA, der.tlv(_CONTEXT_0, signed_data))


def read_certs_only(data: bytes, limits: tlv.Limits = tlv.SCEP_LIMITS) -> tuple[bytes, ...]:
    """Read the certificates of a degenerate SignedData, in their order. Raises `DerError`, also where it has none."""
    content_type, element = read_content_info(data, limits)
    if content_type != oids.ID_SIGNED_DATA:
        raise DerError(f"{oids.describe(content_type)} where id-signedData was expected")
    signed_data = read_signed_data(element)
    if signed_data.signers or not signed_data.certificates:
        raise DerError("not a certs-only message")
    return signed_data.certificates


def read_crl_only(data: bytes, limits: tlv.Limits = tlv.SCEP_LIMITS) -> bytes:
    """Read the one CRL of a degenerate SignedData (RFC 8894 §3.4), DER. Raises `DerError`, also for several."""
    content_type, element = read_content_info(data, limits)
    if content_type != oids.ID_SIGNED_DATA:
        raise DerError(f"{oids.describe(content_type)} where id-signedData was expected")
    signed_data = read_signed_data(element)
    if signed_data.signers or signed_data.certificates or signed_data.crls is None:
        raise DerError("not a CRL-only message")
    crls = signed_data.crls.children()
    if len(crls) != 1:
        raise DerError(f"{len(crls)} CRLs where one was expected")
    return crls[0].expect(der.SEQUENCE).raw
