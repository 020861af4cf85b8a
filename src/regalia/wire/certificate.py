"""X.509 certificates (RFC 5280): our own TBSCertificate writer, its extensions, and a reader for foreign certificates.

We encode certificates ourselves because the bytes to be signed are stored before they are signed (ISS-1): the signer
gets them from the committed row, and `assemble` puts the signature beside exactly those bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from regalia.errors import InvariantError
from regalia.model import KeyKind
from regalia.wire import der, oids
from regalia.wire.public_key import key_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "KEY_USAGES",
    "CertificateFacts",
    "Extension",
    "SignatureAlgorithm",
    "TbsCertificate",
    "assemble",
    "authority_information_access",
    "authority_key_identifier",
    "basic_constraints",
    "certificate_policies",
    "certificate_template",
    "crl_distribution_points",
    "encode_extensions",
    "encode_tbs",
    "extended_key_usage",
    "freshest_crl",
    "key_identifier",
    "key_usage",
    "microsoft_sid",
    "ocsp_nocheck",
    "read_authority_key_identifier",
    "read_basic_constraints",
    "read_certificate",
    "read_extended_key_usage",
    "read_extension",
    "read_extensions",
    "read_key_usage",
    "read_tbs",
    "read_time",
    "signature_algorithm_for",
    "split",
    "subject_alt_name",
    "subject_key_identifier",
    "verify_signature",
]


class SignatureAlgorithm(StrEnum):
    """What certificates and requests are signed with: by our authorities the first four, by devices' own keys all."""

    ECDSA_SHA256 = oids.ECDSA_WITH_SHA256
    ECDSA_SHA384 = oids.ECDSA_WITH_SHA384
    RSA_SHA256 = oids.SHA256_WITH_RSA
    RSA_SHA384 = oids.SHA384_WITH_RSA
    ED25519 = oids.ED25519
    ML_DSA_44 = oids.ML_DSA_44
    ML_DSA_65 = oids.ML_DSA_65
    ML_DSA_87 = oids.ML_DSA_87

    @property
    def is_rsa(self) -> bool:
        """Whether it is RSA PKCS#1 v1.5."""
        return self in (SignatureAlgorithm.RSA_SHA256, SignatureAlgorithm.RSA_SHA384)

    @property
    def takes_digest(self) -> bool:
        """Whether a digest is signed, as RSA and ECDSA do; Ed25519 and ML-DSA sign the octets themselves."""
        return self.is_rsa or self in (SignatureAlgorithm.ECDSA_SHA256, SignatureAlgorithm.ECDSA_SHA384)

    @property
    def digest(self) -> str:
        """`sha256` or `sha384`; only where it takes one."""
        if not self.takes_digest:
            raise InvariantError(f"{self.name} takes no digest")
        return "sha384" if self in (SignatureAlgorithm.ECDSA_SHA384, SignatureAlgorithm.RSA_SHA384) else "sha256"

    @property
    def hash(self) -> hashes.HashAlgorithm:
        """The digest for `cryptography`."""
        return hashes.SHA384() if self.digest == "sha384" else hashes.SHA256()

    @property
    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier: NULL parameters for RSA (RFC 4055 §5), else none (RFC 5758 §3.2, RFC 8410 §3)."""
        return _IDENTIFIERS[self]

    @classmethod
    def read(cls, identifier: bytes) -> SignatureAlgorithm:
        """Read a DER AlgorithmIdentifier that is exactly one of ours. Raises `DerError` for any other."""
        for algorithm in cls:
            if algorithm.identifier == identifier:
                return algorithm
        raise der.DerError("the signature algorithm is not one of ours")


_IDENTIFIERS: Final = {
    algorithm: der.sequence(der.oid(algorithm.value), *([der.null()] if algorithm.is_rsa else []))
    for algorithm in SignatureAlgorithm
}

_ALGORITHMS: Final = {
    KeyKind.P256: SignatureAlgorithm.ECDSA_SHA256,
    KeyKind.P384: SignatureAlgorithm.ECDSA_SHA384,
}


def signature_algorithm_for(kind: KeyKind) -> SignatureAlgorithm:
    """Choose the algorithm that a key of this kind signs certificates with."""
    return _ALGORITHMS.get(kind, SignatureAlgorithm.RSA_SHA256)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension; `value` is the content of extnValue."""

    oid: str
    critical: bool
    value: bytes

    def encode(self) -> bytes:
        """Encode it, leaving out `critical` where it is FALSE, as DER asks."""
        flag = der.boolean(True) if self.critical else b""  # noqa: FBT003 - boolean() encodes exactly one
        return der.sequence(der.oid(self.oid), flag, der.octet_string(self.value))


@dataclass(frozen=True, slots=True)
class TbsCertificate:
    """What is signed: a version 3 certificate without unique identifiers."""

    serial: int
    signature: SignatureAlgorithm
    issuer: bytes
    """DER Name, byte for byte the issuing certificate's subject."""
    not_before: datetime
    not_after: datetime
    subject: bytes
    """DER Name."""
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    extensions: tuple[Extension, ...]


# --- writing --------------------------------------------------------------------------------------------------------


def encode_tbs(tbs: TbsCertificate) -> bytes:
    """Encode a TBSCertificate (RFC 5280 §4.1)."""
    return der.sequence(
        der.context(0, der.integer(2)),
        der.integer(tbs.serial),
        tbs.signature.identifier,
        tbs.issuer,
        der.sequence(der.time(tbs.not_before), der.time(tbs.not_after)),
        tbs.subject,
        tbs.public_key,
        der.context(3, encode_extensions(tbs.extensions)) if tbs.extensions else b"",
    )


def encode_extensions(extensions: Sequence[Extension]) -> bytes:
    """Encode Extensions in the given order."""
    return der.sequence(*map(_encoded, extensions))


_encoded = lru_cache(maxsize=256)(Extension.encode)
"""All but two of a leaf's extensions are those of the leaf before."""


def assemble(tbs_der: bytes, algorithm: SignatureAlgorithm, signature: bytes) -> bytes:
    """Put a signature beside the bytes it signs; the same for certificates and CRLs."""
    return der.sequence(tbs_der, algorithm.identifier, der.bit_string(signature))


def split(certificate_der: bytes) -> tuple[bytes, SignatureAlgorithm, bytes]:
    """Take a certificate that we signed apart: to-be-signed bytes, algorithm, signature octets. Raises `DerError`."""
    tbs, algorithm, signature = _three_parts(certificate_der)
    if signature.content[:1] != b"\x00":
        raise der.DerError("the signature is not a whole number of octets")
    return tbs.raw, SignatureAlgorithm.read(algorithm.raw), signature.content[1:]


def _three_parts(certificate_der: bytes) -> tuple[der.Tlv, der.Tlv, der.Tlv]:
    parts = der.read_one(certificate_der, der.SEQUENCE).children()
    if len(parts) != 3:
        raise der.DerError("a certificate has three parts")
    return parts[0].expect(der.SEQUENCE), parts[1].expect(der.SEQUENCE), parts[2].expect(der.BIT_STRING)


_PURE: Final[
    dict[
        SignatureAlgorithm,
        type[ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey],
    ]
] = {
    SignatureAlgorithm.ED25519: ed25519.Ed25519PublicKey,
    SignatureAlgorithm.ML_DSA_44: mldsa.MLDSA44PublicKey,
    SignatureAlgorithm.ML_DSA_65: mldsa.MLDSA65PublicKey,
    SignatureAlgorithm.ML_DSA_87: mldsa.MLDSA87PublicKey,
}
"""Kinds of keys that sign without a digest."""


def verify_signature(tbs: bytes, algorithm: SignatureAlgorithm, signature: bytes, public_key: bytes) -> bool:
    """Tell whether `signature` over `tbs` verifies with a DER SubjectPublicKeyInfo of the algorithm's own key type."""
    try:
        key = _loaded(public_key)
        if algorithm.is_rsa and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, tbs, padding.PKCS1v15(), algorithm.hash)
        elif not algorithm.is_rsa and algorithm.takes_digest and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, tbs, ec.ECDSA(algorithm.hash))
        elif (pure := _PURE.get(algorithm)) is not None and isinstance(key, pure):
            key.verify(signature, tbs)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


_loaded = lru_cache(maxsize=32)(load_der_public_key)
"""Each certificate that we sign is verified with its authority's key; a key's first use costs twice the next ones."""


def key_identifier(spki: bytes) -> bytes:
    """SHA-1 of the subjectPublicKey bits, 20 octets (RFC 5280 §4.2.1.2 (1)). Raises `DerError`."""
    return hashlib.sha1(key_bits(spki), usedforsecurity=False).digest()


# --- extensions, written --------------------------------------------------------------------------------------------

KEY_USAGES: Final = (
    "digitalSignature",
    "contentCommitment",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""Names of the bits of KeyUsage, in order (RFC 5280 §4.2.1.3)."""


def basic_constraints(*, ca: bool, path_length: int | None = None) -> Extension:
    """Build a critical BasicConstraints (RFC 5280 §4.2.1.9)."""
    parts = [der.boolean(ca)] if ca else []
    if path_length is not None:
        parts.append(der.integer(path_length))
    return Extension(oids.CE_BASIC_CONSTRAINTS, critical=True, value=der.sequence(*parts))


def key_usage(names: Sequence[str]) -> Extension:
    """Build a critical KeyUsage from names of `KEY_USAGES`."""
    if not names or not set(names) <= set(KEY_USAGES):
        raise InvariantError(f"not key usages: {', '.join(names) or 'none'}")
    bits = sum(1 << (15 - KEY_USAGES.index(name)) for name in set(names))
    octets = bits.to_bytes(2, "big").rstrip(b"\x00")
    unused = (octets[-1] & -octets[-1]).bit_length() - 1
    return Extension(oids.CE_KEY_USAGE, critical=True, value=der.bit_string(octets, unused))


def extended_key_usage(purposes: Sequence[str], *, critical: bool = False) -> Extension:
    """Build an ExtKeyUsage from dotted object identifiers."""
    return Extension(oids.CE_EXT_KEY_USAGE, critical, der.sequence(*(der.oid(purpose) for purpose in purposes)))


def subject_key_identifier(ski: bytes) -> Extension:
    """Build a SubjectKeyIdentifier."""
    return Extension(oids.CE_SUBJECT_KEY_IDENTIFIER, critical=False, value=der.octet_string(ski))


def authority_key_identifier(ski: bytes) -> Extension:
    """Build an AuthorityKeyIdentifier that holds the issuer's SubjectKeyIdentifier and nothing else."""
    value = der.sequence(der.context(0, ski, constructed=False))
    return Extension(oids.CE_AUTHORITY_KEY_IDENTIFIER, critical=False, value=value)


def subject_alt_name(general_names: bytes, *, critical: bool = False) -> Extension:
    """Build a SubjectAltName from DER GeneralNames; critical where the subject is empty (RFC 5280 §4.2.1.6)."""
    return Extension(oids.CE_SUBJECT_ALT_NAME, critical, general_names)


def crl_distribution_points(url: str) -> Extension:
    """Build CRLDistributionPoints with one fullName URI."""
    full_name = der.context(0, _uri_name(url))
    value = der.sequence(der.sequence(der.context(0, full_name)))
    return Extension(oids.CE_CRL_DISTRIBUTION_POINTS, critical=False, value=value)


def freshest_crl(url: str) -> Extension:
    """Build FreshestCRL, where the delta CRL is, with one fullName URI (RFC 5280 §4.2.1.15, §5.2.6)."""
    return replace(crl_distribution_points(url), oid=oids.CE_FRESHEST_CRL)


def authority_information_access(*, ocsp: str | None = None, ca_issuers: str | None = None) -> Extension:
    """Build AuthorityInfoAccess with the URLs that are given (RFC 5280 §4.2.2.1)."""
    access = ((oids.AD_OCSP, ocsp), (oids.AD_CA_ISSUERS, ca_issuers))
    points = [der.sequence(der.oid(method), _uri_name(url)) for method, url in access if url is not None]
    return Extension(oids.PE_AUTHORITY_INFO_ACCESS, critical=False, value=der.sequence(*points))


def ocsp_nocheck() -> Extension:
    """Build id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1)."""
    return Extension(oids.PKIX_OCSP_NOCHECK, critical=False, value=der.null())


def certificate_policies(policies: Sequence[str]) -> Extension:
    """Build CertificatePolicies without qualifiers from dotted object identifiers (RFC 5280 §4.2.1.4)."""
    value = der.sequence(*(der.sequence(der.oid(policy)) for policy in policies))
    return Extension(oids.CE_CERTIFICATE_POLICIES, critical=False, value=value)


def certificate_template(template: str, major: int, minor: int) -> Extension:
    """Build Microsoft's CertificateTemplateOID ([MS-WCCE] §2.2.2.7.7.2)."""
    value = der.sequence(der.oid(template), der.integer(major), der.integer(minor))
    return Extension(oids.MS_CERTIFICATE_TEMPLATE, critical=False, value=value)


def microsoft_sid(sid: str) -> Extension:
    """Build Microsoft's SID extension: GeneralNames with one otherName that holds the SID as octets (KB5014754)."""
    value = der.context(0, der.octet_string(sid.encode("ascii")))
    name = der.context(0, der.oid(oids.MS_NTDS_OBJECT_SID), value)
    return Extension(oids.MS_NTDS_CA_SECURITY, critical=False, value=der.sequence(name))


def _uri_name(url: str) -> bytes:
    return der.context(6, url.encode("ascii"), constructed=False)


# --- extensions, read -----------------------------------------------------------------------------------------------


def read_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    """Read BasicConstraints into (cA, pathLenConstraint). Raises `DerError`."""
    parts = der.read_one(value, der.SEQUENCE).children()
    is_ca = False
    if parts and parts[0].tag == der.BOOLEAN:
        # FALSE written in full is not DER, but common (Java, old Windows), and its meaning is plain.
        is_ca = any(parts.pop(0).content)
    path_length = parts.pop(0).as_integer() if parts else None
    if parts or (path_length is not None and path_length < 0):
        raise der.DerError("BasicConstraints holds something else")
    return is_ca, path_length


def read_key_usage(value: bytes) -> tuple[str, ...]:
    """Read KeyUsage into names, in the order of the bits. Raises `DerError`."""
    content = der.read_one(value, der.BIT_STRING).content
    if not 1 <= len(content) <= 3:
        raise der.DerError("KeyUsage has more bits than there are names")
    bits = int.from_bytes(content[1:].ljust(2, b"\x00"), "big")
    return tuple(name for number, name in enumerate(KEY_USAGES) if bits & (1 << (15 - number)))


def read_extended_key_usage(value: bytes) -> tuple[str, ...]:
    """Read ExtKeyUsage into dotted object identifiers. Raises `DerError`, also where it is empty (IN-4)."""
    purposes = tuple(purpose.as_oid() for purpose in der.read_one(value, der.SEQUENCE).children())
    if not purposes:
        raise der.DerError("ExtKeyUsage is empty")
    return purposes


def read_authority_key_identifier(value: bytes) -> bytes | None:
    """Read the keyIdentifier of an AuthorityKeyIdentifier; None where it has only issuer and serial."""
    for part in der.read_one(value, der.SEQUENCE).children():
        if part.tag == 0x80:
            return part.content
    return None


def read_extensions(value: der.Tlv) -> tuple[Extension, ...]:
    """Read Extensions. Raises `DerError`, also where one stands twice (RFC 5280 §4.2)."""
    extensions = tuple(read_extension(item) for item in value.expect(der.SEQUENCE).children())
    if not extensions or len({extension.oid for extension in extensions}) < len(extensions):
        raise der.DerError("Extensions is empty or holds an extension twice")
    return extensions


def read_extension(item: der.Tlv) -> Extension:
    """Read one Extension. Raises `DerError`."""
    parts = item.expect(der.SEQUENCE).children()
    if len(parts) not in (2, 3):
        raise der.DerError("an Extension has two or three parts")
    critical = len(parts) == 3 and any(parts[1].expect(der.BOOLEAN).content)
    return Extension(parts[0].as_oid(), critical, parts[-1].expect(der.OCTET_STRING).content)


# --- certificates, read ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says, before anybody believes it."""

    version: int
    """1 to 3."""
    serial: int
    signature_oid: str
    """The algorithm inside the to-be-signed part."""
    issuer: bytes
    """DER Name."""
    not_before: datetime
    not_after: datetime
    subject: bytes
    """DER Name."""
    public_key: bytes
    """DER SubjectPublicKeyInfo."""
    extensions: tuple[Extension, ...]
    ski: bytes | None
    aki: bytes | None
    """keyIdentifier of the AuthorityKeyIdentifier."""
    is_ca: bool

    @property
    def self_issued(self) -> bool:
        """Whether issuer and subject are the same octets."""
        return self.issuer == self.subject

    def extension(self, oid: str) -> Extension | None:
        """Find an extension."""
        return next((extension for extension in self.extensions if extension.oid == oid), None)


@lru_cache(maxsize=64)
def read_certificate(octets: bytes) -> CertificateFacts:
    """Read a certificate that anybody may have made. The last few are remembered: our own are read for each request.

    Lenient where real signers of SCEP requests are odd: versions 1 and 2, any serial, any criticality (Windows marks
    the AuthorityKeyIdentifier of its self-signed signer as critical), any signature algorithm, GeneralizedTime before
    2050. Strict in structure. Verifies nothing. Raises `DerError`.
    """
    tbs, _, _ = _three_parts(octets)
    return read_tbs(tbs.raw)


def read_tbs(octets: bytes) -> CertificateFacts:
    """Read a TBSCertificate, as leniently as `read_certificate`. Raises `DerError`."""
    parts = der.read_one(octets, der.SEQUENCE).children()
    version = _read_version(parts.pop(0)) if parts and parts[0].tag == 0xA0 else 1
    if len(parts) < 6:
        raise der.DerError("TBSCertificate is cut")
    serial, signature, issuer, validity, subject, public_key, *rest = parts
    not_before, not_after = _read_validity(validity)
    extensions = _read_trailer(rest)
    return CertificateFacts(
        version=version,
        serial=serial.as_integer(),
        signature_oid=_first(signature.expect(der.SEQUENCE)).as_oid(),
        issuer=issuer.expect(der.SEQUENCE).raw,
        not_before=not_before,
        not_after=not_after,
        subject=subject.expect(der.SEQUENCE).raw,
        public_key=public_key.expect(der.SEQUENCE).raw,
        extensions=extensions,
        ski=_read_ski(extensions),
        aki=_read_aki(extensions),
        is_ca=_read_is_ca(extensions),
    )


def _first(parent: der.Tlv) -> der.Tlv:
    children = parent.children()
    if not children:
        raise der.DerError("a SEQUENCE is empty")
    return children[0]


def _read_version(explicit: der.Tlv) -> int:
    version = der.read_one(explicit.content).as_integer() + 1
    if not 1 <= version <= 3:
        raise der.DerError("there is no such certificate version")
    return version


def _read_validity(validity: der.Tlv) -> tuple[datetime, datetime]:
    times = validity.expect(der.SEQUENCE).children()
    if len(times) != 2:
        raise der.DerError("Validity is not two times")
    return read_time(times[0]), read_time(times[1])


def read_time(element: der.Tlv) -> datetime:
    """Read a Time in the forms of RFC 5280 §4.1.2.5; GeneralizedTime at any year. Raises `DerError`."""
    text = element.content.decode("latin-1")
    width = {der.UTC_TIME: 13, der.GENERALIZED_TIME: 15}.get(element.tag)
    # Python 3.14 takes 24 o'clock for the next day's 0, which RFC 5280 does not.
    if len(text) != width or text[-7:-5] > "23" or text[-1] != "Z" or not (text.isascii() and text[:-1].isdigit()):
        raise der.DerError("a time is not written as RFC 5280 asks")
    if element.tag == der.UTC_TIME:
        text = ("19" if text >= "5" else "20") + text
    try:
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    except ValueError:
        raise der.DerError("there is no such time") from None


def _read_trailer(parts: list[der.Tlv]) -> tuple[Extension, ...]:
    """Read what follows the key: unique identifiers, which nobody uses, and extensions."""
    extensions: tuple[Extension, ...] = ()
    for part in parts:
        if part.tag == 0xA3 and part is parts[-1]:
            extensions = read_extensions(der.read_one(part.content))
        elif part.tag not in (0x81, 0x82):
            raise der.DerError("TBSCertificate holds something else")
    return extensions


def _value(extensions: tuple[Extension, ...], oid: str) -> bytes | None:
    return next((extension.value for extension in extensions if extension.oid == oid), None)


def _read_ski(extensions: tuple[Extension, ...]) -> bytes | None:
    value = _value(extensions, oids.CE_SUBJECT_KEY_IDENTIFIER)
    return None if value is None else der.read_one(value, der.OCTET_STRING).content


def _read_aki(extensions: tuple[Extension, ...]) -> bytes | None:
    value = _value(extensions, oids.CE_AUTHORITY_KEY_IDENTIFIER)
    return None if value is None else read_authority_key_identifier(value)


def _read_is_ca(extensions: tuple[Extension, ...]) -> bool:
    value = _value(extensions, oids.CE_BASIC_CONSTRAINTS)
    return value is not None and read_basic_constraints(value)[0]
