"""PKCS #10 certification requests (RFC 2986), read as hostile and written as a client does.

The request's own octets are kept: its signature is verified over them as they came, because strongSwan does not sort
its attributes. Names come as they were asked and are judged elsewhere (`names.check_names`); all that says something
twice is refused here (POL-4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from regalia import reasons
from regalia.errors import PeerError
from regalia.model import Names
from regalia.wire import der, oids, tlv
from regalia.wire.algorithms import STANDARD, AlgorithmIdentifier, read_algorithm
from regalia.wire.boundary import reading
from regalia.wire.certificate import Extension, encode_extensions, subject_alt_name
from regalia.wire.der import DerError, Tlv
from regalia.wire.names import encode_name, encode_sans, read_name, read_sans, text_of
from regalia.wire.public_key import key_algorithm, key_fault, load_public_key
from regalia.wire.signature import SchemeRefusedError, request_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.model import San
    from regalia.wire.algorithms import Accepted
    from regalia.wire.certificate import SignatureAlgorithm

__all__ = [
    "Csr",
    "build_csr",
    "encode_info",
    "key_of_info",
    "read_csr",
    "subject_of",
    "verify_possession",
    "without_challenge",
]

_ATTRIBUTES = 0xA0
_EXTENSION_REQUESTS: Final = (oids.EXTENSION_REQUEST, oids.MICROSOFT_EXTENSION_REQUEST)
_CHALLENGE_CODECS: Final = {der.PRINTABLE_STRING: "ascii", der.IA5_STRING: "ascii", der.UTF8_STRING: "utf-8"}
_MAX_DROPPED: Final = 256
"""Characters of one dropped item that are kept for the administrator."""
_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]*")


class _Span(NamedTuple):
    """Where some octets lie in the request."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Csr:
    """A request as it was sent; nothing in it is proven or allowed yet."""

    der: bytes
    info: bytes
    """CertificationRequestInfo as sent: what the signature covers."""
    public_key: bytes
    """DER SubjectPublicKeyInfo as sent."""
    challenge: str | None
    """None also where it is empty (IN-4)."""
    asked: Names
    """Common name and alternative names as asked, not checked."""
    dropped: tuple[str, ...]
    """What the request said beyond that and nobody reads: `O=Example`, `friendlyName` (R5.2)."""
    extensions: tuple[Extension, ...]
    """Requested extensions other than subjectAltName, in their order."""
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    challenge_span: tuple[int, int] | None
    """Start and length of the challenge's octets in `der`."""

    @property
    def signature_oid(self) -> str:
        """Object identifier of the signature algorithm."""
        return self.signature_algorithm.oid


class _Attributes(NamedTuple):
    challenge: str | None
    challenge_span: _Span | None
    extensions: tuple[Extension, ...]
    dropped: tuple[str, ...]


# --- reading --------------------------------------------------------------------------------------------------------


def read_csr(octets: bytes) -> Csr:
    """Read exactly one DER CertificationRequest (ENV-4). Raises `PeerError` CSR_REFUSED or CSR_AMBIGUOUS."""
    with reading(reasons.CSR_REFUSED):
        tlv.walk(octets)
        outer = der.read_one(octets, der.SEQUENCE)
        info, algorithm, signature = _three_parts(outer)
        version, subject, public_key, attributes = _info_parts(info)
        if version.as_integer() != 0:
            raise DerError("the version is not 0")
        # The request begins with its info, and the info ends with its attributes.
        info_end = len(octets) - len(outer.content) + len(info.raw)
        attributes_start = info_end - len(attributes.content)
        read = _read_attributes(attributes, attributes_start)
        cn, dropped_names = _read_subject(subject)
        sans, extensions = _take_sans(read.extensions)
        return Csr(
            der=octets,
            info=info.raw,
            public_key=public_key.expect(der.SEQUENCE).raw,
            challenge=read.challenge,
            asked=Names(cn, sans),
            dropped=dropped_names + read.dropped,
            extensions=extensions,
            signature_algorithm=read_algorithm(algorithm),
            signature=_whole_octets(signature),
            challenge_span=read.challenge_span,
        )


def _three_parts(outer: Tlv) -> tuple[Tlv, Tlv, Tlv]:
    parts = outer.children()
    if len(parts) != 3:
        raise DerError("a request has three parts")
    return parts[0].expect(der.SEQUENCE), parts[1], parts[2]


def _info_parts(info: Tlv) -> tuple[Tlv, Tlv, Tlv, Tlv]:
    parts = info.children()
    if len(parts) != 4:
        raise DerError("CertificationRequestInfo has four parts")
    return parts[0], parts[1], parts[2], parts[3].expect(_ATTRIBUTES)


def _whole_octets(element: Tlv) -> bytes:
    content = element.expect(der.BIT_STRING).content
    if len(content) < 2 or content[0]:
        raise DerError("the signature is not a whole number of octets")
    return content[1:]


def _ambiguous(detail: str) -> PeerError:
    return PeerError(reasons.CSR_AMBIGUOUS, detail)


def _read_attributes(element: Tlv, start: int) -> _Attributes:
    """Read the attributes in any order (R7), each type once; `start` is where their content begins in the request."""
    seen: dict[str, Tlv] = {}
    spans: dict[str, int] = {}
    for item in element.children():
        oid, value = _read_attribute(item)
        if oid in seen:
            raise _ambiguous(f"{oids.describe(oid)} stands twice")
        # An attribute ends with its values, and its one value stands at the end.
        seen[oid], spans[oid] = value, start + len(item.raw) - len(value.content)
        start += len(item.raw)
    challenge, span = None, None
    if oids.CHALLENGE_PASSWORD in seen:
        value = seen.pop(oids.CHALLENGE_PASSWORD)
        challenge = _read_challenge(value) or None
        span = _Span(spans[oids.CHALLENGE_PASSWORD], len(value.content)) if challenge else None
    requests = [seen.pop(oid) for oid in _EXTENSION_REQUESTS if oid in seen]
    if len(requests) > 1:
        raise _ambiguous("there are two extension requests, a standard and a Microsoft one")
    extensions = _read_extensions(requests[0]) if requests else ()
    return _Attributes(challenge, span, extensions, tuple(oids.describe(oid) for oid in seen))


def _read_attribute(item: Tlv) -> tuple[str, Tlv]:
    """Read an attribute of exactly one value; unknown ones with several keep the last, which nobody looks at."""
    parts = item.expect(der.SEQUENCE).children()
    if len(parts) != 2:
        raise DerError("an attribute is not a type and its values")
    oid, values = parts[0].as_oid(), parts[1].expect(der.SET).children()
    if not values:
        raise DerError(f"{oids.describe(oid)} has no value")
    if len(values) > 1 and oid in (oids.CHALLENGE_PASSWORD, *_EXTENSION_REQUESTS):
        raise _ambiguous(f"{oids.describe(oid)} has {len(values)} values")
    return oid, values[-1]


def _read_challenge(value: Tlv) -> str:
    codec = _CHALLENGE_CODECS.get(value.tag)
    if codec is None:
        raise DerError("challengePassword is not a PrintableString, UTF8String or IA5String")
    try:
        return value.content.decode(codec)
    except UnicodeDecodeError:
        raise DerError("challengePassword does not decode") from None


def _read_extensions(value: Tlv) -> tuple[Extension, ...]:
    extensions = tuple(_read_extension(item) for item in value.expect(der.SEQUENCE).children())
    if not extensions:
        raise DerError("the extension request is empty")
    if len({extension.oid for extension in extensions}) < len(extensions):
        raise _ambiguous("an extension is requested twice")
    return extensions


def _read_extension(item: Tlv) -> Extension:
    parts = item.expect(der.SEQUENCE).children()
    if len(parts) not in (2, 3):
        raise DerError("an extension has two or three parts")
    if len(parts) == 3 and parts[1].raw != b"\x01\x01\xff":
        raise DerError("an extension's critical flag is not DER")
    return Extension(parts[0].as_oid(), len(parts) == 3, parts[-1].expect(der.OCTET_STRING).content)


def _take_sans(extensions: tuple[Extension, ...]) -> tuple[frozenset[San], tuple[Extension, ...]]:
    rest = tuple(extension for extension in extensions if extension.oid != oids.CE_SUBJECT_ALT_NAME)
    for extension in extensions:
        if extension.oid == oids.CE_SUBJECT_ALT_NAME:
            return read_sans(extension.value), rest
    return frozenset(), rest


def _read_subject(subject: Tlv) -> tuple[str | None, tuple[str, ...]]:
    """Read the common name and, as text, whatever else the subject says."""
    names: list[str] = []
    dropped: list[str] = []
    for rdn in read_name(subject.expect(der.SEQUENCE).raw):
        if len({oid for oid, _ in rdn}) < len(rdn):
            raise _ambiguous("a relative distinguished name holds one type twice")
        for oid, value in rdn:
            if oid == oids.AT_COMMON_NAME:
                names.append(text_of(value))
            else:
                dropped.append(f"{oids.describe(oid)}={_shown(value)}")
    if len(names) > 1:
        raise _ambiguous("there are two common names")
    if names == [""]:
        raise DerError("the common name is empty")
    return (names[0] if names else None), tuple(dropped)


def _shown(value: Tlv) -> str:
    """A value for people: text with what does not print escaped, or `#` and hex where it is no string."""
    try:
        text = text_of(value)
    except DerError:
        if value.tag in _STRING_TAGS:
            raise
        text = f"#{value.raw.hex()}"
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return escaped if len(escaped) <= _MAX_DROPPED else escaped[:_MAX_DROPPED] + "…"


_STRING_TAGS: Final = frozenset({der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING, 0x12, 0x14, 0x1A, 0x1C, 0x1E})


# --- proof of possession --------------------------------------------------------------------------------------------


def verify_possession(csr: Csr, accepted: Accepted = STANDARD) -> None:
    """Verify the request's own signature over the octets as sent (ENV-6).

    RSA with PKCS #1 v1.5 or PSS, and ECDSA, with SHA-256, SHA-384 or SHA-512; RSA with SHA-1 where `accepted` is
    legacy; Ed25519 and ML-DSA where it is `non_rsa`. Raises `PeerError`: KEY_REFUSED where the key is outside the
    bounds in which a signature is looked at at all (KEY-1), POSSESSION_UNPROVEN otherwise.
    """
    with reading(reasons.KEY_REFUSED):
        fault = key_fault(csr.public_key, accepted)
        if fault is not None:
            raise PeerError(reasons.KEY_REFUSED, fault)
        key = load_public_key(csr.public_key)
    with reading(reasons.POSSESSION_UNPROVEN):
        try:
            scheme = request_scheme(csr.signature_algorithm, accepted)
        except SchemeRefusedError as refused:
            raise PeerError(reasons.POSSESSION_UNPROVEN, str(refused)) from None
        of_key = key_algorithm(csr.public_key)
        if scheme.key_oid != of_key.oid:
            raise PeerError(reasons.POSSESSION_UNPROVEN, f"signature {csr.signature_algorithm} by a key {of_key}")
        if not scheme.holds(key, csr.signature, csr.info):
            raise PeerError(reasons.POSSESSION_UNPROVEN)


def without_challenge(csr: Csr) -> bytes:
    """The request for storage: its challenge overwritten by `*`, all else as sent (CHA-4)."""
    if csr.challenge_span is None:
        return csr.der
    start, length = csr.challenge_span
    return csr.der[:start] + b"*" * length + csr.der[start + length :]


# --- writing --------------------------------------------------------------------------------------------------------


def build_csr(
    *,
    cn: str | None,
    sans: frozenset[San],
    public_key: bytes,
    challenge: str | None,
    sign: Callable[[bytes], bytes],
    signature: SignatureAlgorithm,
) -> bytes:
    """Build a request. `sign` gets the CertificationRequestInfo and returns the signature octets."""
    attributes = []
    if challenge is not None:
        attributes.append(_attribute(oids.CHALLENGE_PASSWORD, _directory_string(challenge)))
    if sans:
        extension = subject_alt_name(encode_sans(sans), critical=cn is None)
        attributes.append(_attribute(oids.EXTENSION_REQUEST, encode_extensions([extension])))
    info = der.sequence(der.integer(0), encode_name(cn=cn), public_key, der.context(0, *sorted(attributes)))
    return der.sequence(info, signature.identifier, der.bit_string(sign(info)))


def encode_info(subject: bytes, public_key: bytes, extensions: Sequence[Extension]) -> bytes:
    """Encode a CertificationRequestInfo that asks for these extensions (RFC 2986 §4.1); `subject` is a DER Name.

    `certificate.assemble` puts the signature beside it.
    """
    wanted = _attribute(oids.EXTENSION_REQUEST, encode_extensions(extensions))
    return der.sequence(der.integer(0), subject, public_key, der.context(0, wanted))


def key_of_info(info: bytes) -> bytes:
    """The DER SubjectPublicKeyInfo in a CertificationRequestInfo of ours."""
    return _info_parts(der.read_one(info, der.SEQUENCE))[2].raw


def subject_of(csr: Csr) -> bytes:
    """The DER Name that a request was made for, as it was sent."""
    return _info_parts(der.read_one(csr.info, der.SEQUENCE))[1].raw


def _attribute(oid: str, value: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.set_of([value]))


def _directory_string(text: str) -> bytes:
    """PrintableString where it can be one (RFC 8894 §2.5.2 names it first), else UTF8String."""
    return der.printable_string(text) if _PRINTABLE.fullmatch(text) else der.utf8_string(text)
