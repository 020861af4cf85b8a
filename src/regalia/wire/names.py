"""Names: text to `Names` and DER, and back (RFC 5280 §4.1.2.4, §4.2.1.6, §7).

Writing is strict: what `check_names` lets through can stand in a certificate (IN-8, POL-5). Reading is tolerant of
content and strict of structure, so that a malformed name in a request reaches the policy that explains it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple
from urllib.parse import unquote

from regalia import reasons
from regalia.errors import InvariantError, PeerError
from regalia.model import Names, San, SanKind
from regalia.wire import der, oids

__all__ = [
    "MAX_COMMON_NAME",
    "MAX_SANS",
    "SID_URI",
    "SUBJECT_ATTRIBUTES",
    "SubjectAttribute",
    "check_common_name",
    "check_names",
    "check_organisation",
    "check_rdn",
    "check_sid",
    "encode_name",
    "encode_sans",
    "make_san",
    "name_text",
    "read_name",
    "read_sans",
    "same_name",
    "text_of",
]

MAX_COMMON_NAME: Final = 64
"""Characters: ub-common-name of RFC 5280 appendix A."""
MAX_SANS: Final = 20
_MAX_RDN_VALUE: Final = 256
_MAX_NAME: Final = 1024
_MAX_DNS: Final = 253
_MAX_EMAIL: Final = 254
_MAX_EMAIL_LOCAL: Final = 64

_IA5_TAG = {SanKind.EMAIL: 1, SanKind.DNS: 2, SanKind.URI: 6}
_IP_TAG = 7
_OTHER_NAME = 0xA0

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")

SID_URI: Final = "tag:microsoft.com,2022-09-14:sid:"
"""What Windows reads as a user's or machine's SID (KB5014754): never from a requester (POL-2)."""
_SID = re.compile(r"S-1-(?:0|[1-9][0-9]{0,14})(?:-(?:0|[1-9][0-9]{0,9})){1,15}")
_UPN_LOCAL = re.compile(r"[^\s@\"/\\\[\]:;|=,+*?<>]+")
"""What Windows lets stand before the @ of a user principal name."""
_DOTTED = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,18})){1,30}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}")
_MAX_UPN = 256

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters without width that Unicode does not class as format characters."""
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, format (bidi controls and zero-width among them), surrogates, line and paragraph separators."""


# --- rules ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def check_names(names: Names) -> None:
    """Refuse names that no certificate may carry (IN-8, POL-2, POL-5).

    Raises `PeerError` NAME_MALFORMED that tells the name and what is wrong with it. An enrolment asks for the same
    names up to three times, as asked, as granted and in the finished octets; what was refused is not remembered.
    """
    if names.cn is not None:
        check_common_name(names.cn)
    if len(names.sans) > MAX_SANS:
        raise _malformed(f"{len(names.sans)} alternative names where at most {MAX_SANS} are allowed")
    for keyword, text in names.rdns:
        check_rdn(keyword, text)
    sid_uri = None
    if names.sid is not None:
        check_sid(names.sid)
        sid_uri = San(SanKind.URI, SID_URI + names.sid)
    for san in sorted(names.sans):
        if san != sid_uri and make_san(san.kind, san.value) != san:
            raise _malformed(f"{_shown(str(san))} is not in its normal form")


def check_common_name(text: str) -> None:
    """Refuse a common name that is empty, long, padded, a wildcard or holds characters that do not print."""
    _check_text("common name", text, MAX_COMMON_NAME)
    if text == "*" or text.startswith("*."):
        raise _malformed(f"the common name {_shown(text)} is a wildcard")


def check_organisation(text: str) -> None:
    """Refuse an organisation by the same rules; at most 64 characters (ub-organization-name)."""
    _check_text("organisation", text, MAX_COMMON_NAME)


class SubjectAttribute(NamedTuple):
    """An attribute that a subject may have besides O of the profile and CN."""

    oid: str
    tag: int
    longest: int
    """Characters: the upper bounds of RFC 5280 appendix A."""


SUBJECT_ATTRIBUTES: Final = {
    "c": SubjectAttribute(oids.AT_COUNTRY_NAME, der.PRINTABLE_STRING, 2),
    "dc": SubjectAttribute(oids.AT_DOMAIN_COMPONENT, der.IA5_STRING, 63),
    "st": SubjectAttribute(oids.AT_STATE_OR_PROVINCE_NAME, der.UTF8_STRING, 128),
    "l": SubjectAttribute(oids.AT_LOCALITY_NAME, der.UTF8_STRING, 128),
    "o": SubjectAttribute(oids.AT_ORGANIZATION_NAME, der.UTF8_STRING, 64),
    "ou": SubjectAttribute(oids.AT_ORGANIZATIONAL_UNIT_NAME, der.UTF8_STRING, 64),
    "title": SubjectAttribute(oids.AT_TITLE, der.UTF8_STRING, 64),
    "surname": SubjectAttribute(oids.AT_SURNAME, der.UTF8_STRING, 64),
    "given-name": SubjectAttribute(oids.AT_GIVEN_NAME, der.UTF8_STRING, 64),
    "serial-number": SubjectAttribute(oids.AT_SERIAL_NUMBER, der.PRINTABLE_STRING, 64),
    "dn-qualifier": SubjectAttribute(oids.AT_DN_QUALIFIER, der.PRINTABLE_STRING, 64),
    "uid": SubjectAttribute(oids.AT_USER_ID, der.UTF8_STRING, 256),
}
"""By the keyword of profiles, in the order in which a subject has them: from what is general to what is special."""

_PRINTABLE: Final = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")


def check_rdn(keyword: str, text: str) -> None:
    """Refuse a text that the attribute of a subject cannot hold. Raises `PeerError` NAME_MALFORMED."""
    attribute = SUBJECT_ATTRIBUTES.get(keyword)
    if attribute is None:
        raise _malformed(f"{_shown(keyword)} is no attribute of a subject")
    _check_text(keyword, text, attribute.longest)
    if keyword == "c" and not re.fullmatch("[A-Z]{2}", text):
        raise _malformed(f"the c {_shown(text)} is not a country of two capital letters (ISO 3166)")
    if keyword == "dc" and not _LABEL.fullmatch(text):
        raise _malformed(f"the dc {_shown(text)} is not one label of a DNS name")
    if attribute.tag == der.PRINTABLE_STRING and not _PRINTABLE.fullmatch(text):
        raise _malformed(f"the {keyword} {_shown(text)} has characters that a PrintableString cannot hold")


def check_sid(text: str) -> None:
    """Refuse what is not a Windows SID in its usual text form. Raises `PeerError` NAME_MALFORMED."""
    if not _SID.fullmatch(text):
        raise _malformed(f"{_shown(text)} is not a Windows SID such as S-1-5-21-1-2-3-500")


def make_san(kind: SanKind, text: str) -> San:
    """Bring a subjectAltName into its normal form.

    Raises `PeerError` NAME_MALFORMED where no certificate may carry it.
    """
    if kind is SanKind.DNS:
        return San(kind, _dns(text, text))
    if kind is SanKind.EMAIL:
        return San(kind, _email(text))
    if kind is SanKind.URI:
        return San(kind, _uri(text))
    if kind is SanKind.IP:
        return San(kind, _ip(text))
    if kind is SanKind.UPN:
        return San(kind, _upn(text))
    if kind is SanKind.PERMANENT_IDENTIFIER:
        return San(kind, _permanent_identifier(text))
    if kind is SanKind.HARDWARE_MODULE:
        return San(kind, _hardware_module(text))
    raise _malformed(f"{_shown(text)} is of a kind that we do not issue")


def _malformed(detail: str) -> PeerError:
    return PeerError(reasons.NAME_MALFORMED, detail)


def _shown(text: str) -> str:
    """Quote a hostile text: ASCII only, escaped, cut."""
    return ascii(text if len(text) <= _MAX_RDN_VALUE else text[:_MAX_RDN_VALUE] + "…")


def _check_text(what: str, text: str, longest: int) -> None:
    if not text or text != text.strip():
        raise _malformed(f"the {what} {_shown(text)} is empty or begins or ends with a space")
    if len(text) > longest:
        raise _malformed(f"the {what} {_shown(text)} has {len(text)} characters where at most {longest} are allowed")
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if character in _UNSEEN or unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise _malformed(
                f"the {what} {_shown(text)} holds the character U+{ord(character):04X}, which does not print"
            )


def _dns(text: str, whole: str) -> str:
    """Normalise a DNS name; `whole` is the name it is a part of, for the message."""
    name = text.lower() if text.isascii() else text
    labels = name.split(".")
    if "*" in name:
        raise _malformed(f"{_shown(whole)} is a wildcard")
    if len(name) > _MAX_DNS:
        raise _malformed(f"{_shown(whole)} is longer than {_MAX_DNS} characters")
    if len(labels) < 2:
        raise _malformed(f"{_shown(whole)} is not a fully qualified DNS name")
    if not all(_LABEL.fullmatch(label) and _is_a_label(label) for label in labels):
        raise _malformed(f"{_shown(whole)} is not made of letters, digits and hyphens (RFC 5890: IDNs as xn--)")
    if labels[-1].isdigit():
        raise _malformed(f"{_shown(whole)} ends in a number: an address is not a DNS name")
    return name


def _is_a_label(label: str) -> bool:
    """Whether a label that claims to be an A-label decodes (RFC 5890 §2.3.2.1); other labels are fine."""
    if not label.startswith("xn--"):
        return True
    try:
        decoded = label[4:].encode().decode("punycode")
        return not decoded.isascii() and decoded.encode("punycode").decode() == label[4:]
    except UnicodeError:
        return False


def _email(text: str) -> str:
    local, at, domain = text.partition("@")
    if not at or "@" in domain or len(text) > _MAX_EMAIL or len(local) > _MAX_EMAIL_LOCAL:
        raise _malformed(f"{_shown(text)} is not one local part, one @ and one domain")
    if not _DOT_ATOM.fullmatch(local):
        raise _malformed(f"{_shown(text)} has a local part with characters that need quoting (RFC 5322 §3.2.3)")
    return f"{local}@{_dns(domain, text)}"


def _uri(text: str) -> str:
    if len(text) > _MAX_RDN_VALUE or not _URI.fullmatch(text):
        raise _malformed(f"{_shown(text)} is not an absolute URI of at most {_MAX_RDN_VALUE} ASCII characters")
    if unquote(text).casefold().startswith(SID_URI):
        raise _malformed(f"{_shown(text)} names a Windows SID, which is written only from directory data")
    return text


def _ip(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise _malformed(f"{_shown(text)} is not an IP address") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise _malformed(f"{_shown(text)} has a zone, which certificates do not carry")
    return str(address)


def _upn(text: str) -> str:
    local, at, domain = text.partition("@")
    _check_text("user principal name", text, _MAX_UPN)
    if not at or not _UPN_LOCAL.fullmatch(local):
        raise _malformed(f"{_shown(text)} is not a name, one @ and one domain")
    return f"{local}@{_dns(domain, text)}"


def _permanent_identifier(text: str) -> str:
    value, assigner = _split_permanent(text)
    _check_text("permanent identifier", value, _MAX_RDN_VALUE)
    if assigner is not None:
        der.oid(assigner)
    return text


def _split_permanent(text: str) -> tuple[str, str | None]:
    """Split `value/assigner`; what stands behind the last slash is an assigner only where it is an OID."""
    value, slash, assigner = text.rpartition("/")
    return (value, assigner) if slash and _is_oid(assigner) else (text, None)


def _is_oid(text: str) -> bool:
    if not _DOTTED.fullmatch(text):
        return False
    first, second = text.split(".")[:2]
    return first == "2" or int(second) < 40


def _hardware_module(text: str) -> str:
    module, slash, number = text.partition("/")
    if not slash or not _is_oid(module) or not _HEX.fullmatch(number):
        raise _malformed(f"{_shown(text)} is not a module type (OID), a slash and a serial number in small hex digits")
    return text


# --- writing --------------------------------------------------------------------------------------------------------


def encode_name(*, cn: str | None, organisation: str | None = None, rdns: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Encode a Name, each attribute an RDN of its own, in the order of `SUBJECT_ATTRIBUTES` and CN last.

    None of all gives the empty name. Raises `PeerError` NAME_MALFORMED where the whole is longer than 1 KiB (IN-8).
    """
    parts = [_rdn(oids.AT_COMMON_NAME, der.utf8_string(cn))] if cn is not None else []
    if organisation is not None:
        parts.insert(0, _rdn(oids.AT_ORGANIZATION_NAME, der.utf8_string(organisation)))
    if rdns:
        parts = _further(organisation, rdns) + parts[organisation is not None :]
    encoded = der.sequence(*parts)
    if len(encoded) > _MAX_NAME:
        raise _malformed(f"the subject has {len(encoded)} octets where at most {_MAX_NAME} are allowed")
    return encoded


def _further(organisation: str | None, rdns: tuple[tuple[str, str], ...]) -> list[bytes]:
    """Encode all but CN; what has the same attribute keeps its order."""
    places = {keyword: place for place, keyword in enumerate(SUBJECT_ATTRIBUTES)}
    first = (("o", organisation),) if organisation is not None else ()
    values = sorted((*first, *rdns), key=lambda value: places[value[0]])
    attributes = [(SUBJECT_ATTRIBUTES[keyword], text) for keyword, text in values]
    return [_rdn(attribute.oid, der.tlv(attribute.tag, text.encode())) for attribute, text in attributes]


def _rdn(attribute: str, value: bytes) -> bytes:
    return der.set_of([der.sequence(der.oid(attribute), value)])


def encode_sans(sans: frozenset[San]) -> bytes:
    """Encode GeneralNames in the order of `San`, so that equal sets give equal octets.

    Raises `InvariantError` for kinds or values that `check_names` refuses.
    """
    return der.sequence(*(_general_name(san) for san in sorted(sans)))


def _general_name(san: San) -> bytes:
    if san.kind is SanKind.IP:
        return der.context(_IP_TAG, ip_address(san.value).packed, constructed=False)
    if san.kind in _OTHER_NAMES:
        return der.context(0, der.oid(_OTHER_NAMES[san.kind]), der.context(0, _other_value(san)))
    if san.kind not in _IA5_TAG or not san.value.isascii():
        raise InvariantError(f"cannot encode {san}")
    return der.context(_IA5_TAG[san.kind], san.value.encode(), constructed=False)


_OTHER_NAMES: Final = {
    SanKind.UPN: oids.ON_MS_UPN,
    SanKind.PERMANENT_IDENTIFIER: oids.ON_PERMANENT_IDENTIFIER,
    SanKind.HARDWARE_MODULE: oids.ON_HARDWARE_MODULE_NAME,
}


def _other_value(san: San) -> bytes:
    if san.kind is SanKind.UPN:
        return der.utf8_string(san.value)
    if san.kind is SanKind.PERMANENT_IDENTIFIER:
        value, assigner = _split_permanent(san.value)
        return der.sequence(der.utf8_string(value), der.oid(assigner) if assigner is not None else b"")
    module, _, number = san.value.partition("/")
    return der.sequence(der.oid(module), der.octet_string(bytes.fromhex(number)))


# --- reading --------------------------------------------------------------------------------------------------------

_MAX_REMEMBERED: Final = 256
"""Octets of what is kept for the next one who reads it: an enrolment reads each of its names several times."""


def read_sans(octets: bytes) -> frozenset[San]:
    """Read GeneralNames; texts are lower-cased as normal form asks but not checked.

    Kinds that we do not issue come as OTHER with the value `oid:hex` (otherName) or `[n]:hex`.
    Raises `DerError` where the structure is not GeneralNames or a text is not ASCII.
    """
    return _read_short_sans(octets) if len(octets) <= _MAX_REMEMBERED else _read_sans(octets)


def _read_sans(octets: bytes) -> frozenset[San]:
    names = der.read_one(octets, der.SEQUENCE).children()
    if not names:
        raise der.DerError("GeneralNames is empty")
    return frozenset(_read_general_name(name) for name in names)


_read_short_sans = lru_cache(maxsize=256)(_read_sans)

_KIND_OF_TAG: Final = {0x80 | number: kind for kind, number in _IA5_TAG.items()}


def _read_general_name(name: der.Tlv) -> San:
    number = name.tag & 0x1F
    if not 0x80 <= name.tag < 0xC0:
        raise der.DerError("a GeneralName is not context-tagged")
    kind = _KIND_OF_TAG.get(name.tag)
    if kind is not None:
        return San(kind, _normal_case(kind, _ascii(name.content)))
    if name.tag == 0x80 | _IP_TAG and len(name.content) in (4, 16):
        packed = name.content
        return San(SanKind.IP, str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)))
    if name.tag == _OTHER_NAME:
        parts = name.children()
        if len(parts) != 2:
            raise der.DerError("otherName is not a type and a value")
        return _read_other_name(parts[0].as_oid(), parts[1])
    return San(SanKind.OTHER, f"[{number}]:{name.content.hex()}")


def _read_other_name(type_id: str, explicit: der.Tlv) -> San:
    """Read those that we issue; a value of another form than we would write stays what nobody issues."""
    other = San(SanKind.OTHER, f"{type_id}:{explicit.content.hex()}")
    kind = next((kind for kind, oid in _OTHER_NAMES.items() if oid == type_id), None)
    if kind is None:
        return other
    try:
        text = _OTHER_READERS[kind](der.read_one(explicit.content))
        if _other_value(San(kind, text)) != explicit.content:
            return other
    except (der.DerError, ValueError):
        return other
    return San(kind, _normal_case(SanKind.EMAIL, text) if kind is SanKind.UPN else text)


def _read_permanent(value: der.Tlv) -> str:
    parts = value.expect(der.SEQUENCE).children()
    text = text_of(parts.pop(0).expect(der.UTF8_STRING)) if parts else ""
    return f"{text}/{parts[0].as_oid()}" if parts else text


def _read_module(value: der.Tlv) -> str:
    parts = value.expect(der.SEQUENCE).children()
    if len(parts) != 2:
        raise der.DerError("HardwareModuleName is not a type and a serial number")
    return f"{parts[0].as_oid()}/{parts[1].expect(der.OCTET_STRING).content.hex()}"


_OTHER_READERS: Final = {
    SanKind.UPN: lambda value: text_of(value.expect(der.UTF8_STRING)),
    SanKind.PERMANENT_IDENTIFIER: _read_permanent,
    SanKind.HARDWARE_MODULE: _read_module,
}


def _ascii(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise der.DerError("IA5String is not ASCII") from None


def _normal_case(kind: SanKind, text: str) -> str:
    if kind is SanKind.DNS:
        return text.lower()
    if kind is SanKind.EMAIL:
        local, at, domain = text.rpartition("@")
        return f"{local}{at}{domain.lower()}"
    return text


_TEXT_CODECS: Final = {
    der.UTF8_STRING: "utf-8",
    der.PRINTABLE_STRING: "ascii",
    der.IA5_STRING: "ascii",
    0x12: "ascii",  # NumericString
    0x14: "latin-1",  # TeletexString, as everybody wrote it
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


def text_of(value: der.Tlv) -> str:
    """Read an attribute value of any string type. Raises `DerError` where it is none or does not decode."""
    codec = _TEXT_CODECS.get(value.tag)
    if codec is None:
        raise der.DerError(f"tag 0x{value.tag:02x} is not a string")
    try:
        return value.content.decode(codec)
    except UnicodeDecodeError:
        raise der.DerError("a string does not decode") from None


_Rdns = tuple[tuple[tuple[str, der.Tlv], ...], ...]


def read_name(octets: bytes) -> _Rdns:
    """Read a Name into RDNs of (attribute type, value). Raises `DerError`."""
    return _read_short_name(octets) if len(octets) <= _MAX_REMEMBERED else _read_name(octets)


def _read_name(octets: bytes) -> _Rdns:
    return tuple(_read_rdn(rdn) for rdn in der.read_one(octets, der.SEQUENCE).children())


_read_short_name = lru_cache(maxsize=256)(_read_name)


def _read_rdn(rdn: der.Tlv) -> tuple[tuple[str, der.Tlv], ...]:
    pairs = []
    for attribute in rdn.expect(der.SET).children():
        parts = attribute.expect(der.SEQUENCE).children()
        if len(parts) != 2:
            raise der.DerError("AttributeTypeAndValue is not a type and a value")
        pairs.append((parts[0].as_oid(), parts[1]))
    if not pairs:
        raise der.DerError("RelativeDistinguishedName is empty")
    return tuple(pairs)


_KEYWORDS: Final = {
    oids.AT_COMMON_NAME: "CN",
    oids.AT_LOCALITY_NAME: "L",
    oids.AT_STATE_OR_PROVINCE_NAME: "ST",
    oids.AT_ORGANIZATION_NAME: "O",
    oids.AT_ORGANIZATIONAL_UNIT_NAME: "OU",
    oids.AT_COUNTRY_NAME: "C",
    oids.AT_STREET_ADDRESS: "STREET",
    oids.AT_DOMAIN_COMPONENT: "DC",
    oids.AT_USER_ID: "UID",
}
"""The short names of RFC 4514 §3; other types are written as dotted object identifiers."""


def name_text(octets: bytes) -> str:
    """Write a Name as RFC 4514 text, most specific RDN first. Raises `DerError`."""
    return ",".join("+".join(_attribute_text(*pair) for pair in rdn) for rdn in reversed(read_name(octets)))


def _attribute_text(attribute: str, value: der.Tlv) -> str:
    keyword = _KEYWORDS.get(attribute)
    try:
        text = text_of(value)
    except der.DerError:
        keyword = None
        text = ""
    if keyword is None:
        return f"{attribute}=#{value.raw.hex()}"
    return f"{keyword}={_escape(text)}"


_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
"""Texts in which nothing can need to be escaped: almost all."""


def _escape(text: str) -> str:
    """Escape as RFC 4514 §2.4 asks, and all that does not print (IN-8) as hex pairs."""
    if _PLAIN.fullmatch(text):
        return text
    out = [_escape_character(character) for character in text]
    if text[:1] in ("#", " "):
        out[0] = "\\" + text[0]
    if len(text) > 1 and text[-1] == " ":
        out[-1] = "\\ "
    return "".join(out)


def _escape_character(character: str) -> str:
    if character in '"+,;<>\\':
        return "\\" + character
    if character in _UNSEEN or unicodedata.category(character) in _REFUSED_CATEGORIES:
        return "".join(f"\\{octet:02x}" for octet in character.encode("utf-8", "surrogatepass"))
    return character


def same_name(a: bytes, b: bytes) -> bool:
    """Compare two DER Names by RFC 5280 §7.1.

    Attribute values of string types compare after NFKC, case folding and joining of spaces, whichever string type
    carries them; others octet for octet; attributes of one RDN in any order. What cannot be read equals only itself,
    and so does a name of more than 1 KiB (IN-8): to normalise 60 000 octets of combining marks takes seconds.
    """
    if a == b:
        return True
    if max(len(a), len(b)) > _MAX_NAME:
        return False
    try:
        return _comparable_name(a) == _comparable_name(b)
    except der.DerError:
        return False


@lru_cache(maxsize=64)
def _comparable_name(octets: bytes) -> list[list[tuple[str, str]]]:
    """Of at most 1 KiB; the authorities' own names are asked for again and again."""
    return [_comparable(rdn) for rdn in read_name(octets)]


def _comparable(rdn: tuple[tuple[str, der.Tlv], ...]) -> list[tuple[str, str]]:
    return sorted((attribute, _comparable_value(value)) for attribute, value in rdn)


def _comparable_value(value: der.Tlv) -> str:
    try:
        text = text_of(value)
    except der.DerError:
        return "#" + value.raw.hex()  # never equals a text: those begin with a quotation mark
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return '"' + " ".join(folded.split())
