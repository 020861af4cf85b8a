"""Lint: is this exact certificate what profile, names and RFC 5280 say it must be? Asked before anything is signed.

`lint_leaf` reads the octets that will be signed, for every leaf, in microseconds. `lint_full` runs pkilint, which takes
milliseconds, on certificates of our own, on a specimen of each new profile version and on samples (R8).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from regalia.ca.crl_plan import status_addresses
from regalia.ca.profile_purposes import NEVER_PURPOSES
from regalia.errors import PeerError
from regalia.model import Assurance, SidForm
from regalia.wire import der, oids
from regalia.wire.certificate import (
    key_identifier,
    read_certificate,
    read_extended_key_usage,
    read_extension,
    read_key_usage,
    read_time,
    signature_algorithm_for,
)
from regalia.wire.names import check_names, read_name, read_sans, same_name, text_of
from regalia.wire.public_key import key_algorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from pkilint.validation import ValidationResult, Validator  # type: ignore[import-untyped]  # pkilint has no types

    from regalia.ca.urls import Urls
    from regalia.model import Authority, MicrosoftTemplate, Names, Profile
    from regalia.wire.certificate import CertificateFacts

__all__ = ["IGNORED", "LINT_RULES", "lint_full", "lint_leaf", "rule_of"]

LINT_RULES: Final[dict[str, re.Pattern[str]]] = {
    name: re.compile(finding, re.DOTALL)
    for name, finding in {
        "size": r"the certificate has \d+ octets where at most \d+ are allowed",
        "form": r"the certificate is not of version 3 .*",
        "readable": r"the certificate cannot be read: .*",
        "algorithm": r"the signature algorithm is not the authority's",
        "serial": r"the serial is not positive, .*",
        "issuer": r"the issuer is not the authority's subject, .*",
        "self-issued": r"the subject is the authority's own name",
        "times": r"the validity ends before it begins",
        "duration": r"the validity is longer than the profile's",
        "last-day": r"the validity reaches beyond the profile's last day",
        "issuer-end": r"the validity reaches beyond the authority's .*",
        "subject": r"the subject is not the authorised .*",
        "nobody": r"the certificate names nobody",
        "name": r"no certificate may name this: .*",
        "key": r"the public key is not the one whose possession was proved",
        "alternative-names": r"the alternative names are not the authorised ones",
        "extension-missing": r"the extension .* is missing",
        "extension-foreign": r"the extension .* is not in the profile",
        "extension-critical": r"the extension .* is (?:not )?critical",
        "extension-value": r"the extension .* does not say what it must",
        "purpose": r"no certificate is for .*",
    }.items()
}
"""The rules of `lint_leaf`, and how their findings read. A finding is of one; a test has a specimen of each."""

_MAX_OCTETS: Final = 10_000
_MIN_SERIAL_BITS: Final = 64
_MAX_SERIAL_BITS: Final = 159
_PARTS: Final = (0xA0, 0x02, 0x30, 0x30, 0x30, 0x30, 0x30, 0xA3)
"""Tags of a version 3 TBSCertificate with extensions and without unique identifiers."""
_VERSION_3: Final = bytes.fromhex("a003020102")


def lint_leaf(
    tbs_der: bytes,
    *,
    profile: Profile,
    authority: Authority,
    names: Names,
    public_key: bytes,
    urls: Urls,
    assurance: Assurance = Assurance.VERIFIED,
) -> tuple[str, ...]:
    """Read a leaf's TBSCertificate back and compare it with what it must be; return what is wrong, for people.

    Nothing here uses the values that the certificate was built from, only the octets (POL-4).
    """
    if len(tbs_der) > _MAX_OCTETS:
        return (f"the certificate has {len(tbs_der)} octets where at most {_MAX_OCTETS} are allowed",)
    issuer = read_certificate(authority.certificate_der)
    try:
        parts = der.read_one(tbs_der, der.SEQUENCE).children()
        if tuple([part.tag for part in parts]) != _PARTS or parts[0].raw != _VERSION_3:
            return ("the certificate is not of version 3 with extensions and without unique identifiers",)
        leaf = _read(parts)
        return tuple(
            chain(
                _form(leaf, authority),
                _place(leaf, issuer, profile),
                _who(leaf, profile, names, public_key),
                _extensions(leaf, profile, names, authority, urls, assurance),
            )
        )
    except der.DerError as error:
        return (f"the certificate cannot be read: {error}",)


def rule_of(finding: str) -> str:
    """Name the rule that a finding of `lint_leaf` is about. Raises `ValueError` for what is none."""
    (rule,) = (name for name, pattern in LINT_RULES.items() if pattern.fullmatch(finding))
    return rule


class _Leaf(NamedTuple):
    """The fields of the to-be-signed octets, as octets where nothing more is needed."""

    serial: int
    algorithm: bytes
    issuer: bytes
    not_before: datetime
    not_after: datetime
    subject: bytes
    public_key: bytes
    extensions: list[der.Tlv]


def _read(parts: Sequence[der.Tlv]) -> _Leaf:
    _, serial, algorithm, issuer, validity, subject, public_key, extensions = parts
    times = validity.children()
    if len(times) != 2:
        raise der.DerError("Validity is not two times")
    return _Leaf(
        serial=serial.as_integer(),
        algorithm=algorithm.raw,
        issuer=issuer.raw,
        not_before=read_time(times[0]),
        not_after=read_time(times[1]),
        subject=subject.raw,
        public_key=public_key.raw,
        extensions=der.read_one(extensions.content, der.SEQUENCE).children(),
    )


def _form(leaf: _Leaf, authority: Authority) -> Iterator[str]:
    if leaf.algorithm != signature_algorithm_for(authority.key_kind).identifier:
        yield "the signature algorithm is not the authority's"
    if not _MIN_SERIAL_BITS <= leaf.serial.bit_length() <= _MAX_SERIAL_BITS or leaf.serial < 0:
        yield "the serial is not positive, unguessable and of at most 20 octets"


def _place(leaf: _Leaf, issuer: CertificateFacts, profile: Profile) -> Iterator[str]:
    if leaf.issuer != issuer.subject:
        yield "the issuer is not the authority's subject, octet for octet"
    if same_name(leaf.subject, issuer.subject):
        # It would look self-issued (RFC 5280 §6.1): path builders, and our own look at signers, take it for another.
        yield "the subject is the authority's own name"
    if not leaf.not_before < leaf.not_after:
        yield "the validity ends before it begins"
    if leaf.not_after - leaf.not_before > profile.validity.duration:
        yield "the validity is longer than the profile's"
    if profile.expiry is not None and profile.expiry.until is not None and leaf.not_after > profile.expiry.until:
        yield "the validity reaches beyond the profile's last day"
    if leaf.not_before < issuer.not_before or leaf.not_after > issuer.not_after:
        yield "the validity reaches beyond the authority's (POL-7)"


def _who(leaf: _Leaf, profile: Profile, names: Names, public_key: bytes) -> Iterator[str]:
    expected = [(oids.AT_ORGANIZATION_NAME, profile.organisation), (oids.AT_COMMON_NAME, names.cn)]
    if names.rdns:
        expected = (
            sorted([expected[0], *((_TYPES[key], text) for key, text in names.rdns)], key=_place_of) + expected[1:]
        )
    found = [
        (attribute, text_of(value.expect(_TAGS.get(attribute, der.UTF8_STRING))))
        for rdn in read_name(leaf.subject)
        for attribute, value in rdn
    ]
    if found != [pair for pair in expected if pair[1] is not None]:
        yield "the subject is not the authorised common name and the profile's organisation"
    if not names:
        yield "the certificate names nobody"
    try:
        check_names(names)
    except PeerError as error:
        yield f"no certificate may name this: {error.detail}"
    if leaf.public_key != public_key:
        yield "the public key is not the one whose possession was proved"


_TAGS: Final = {
    oids.AT_COUNTRY_NAME: der.PRINTABLE_STRING,
    oids.AT_SERIAL_NUMBER: der.PRINTABLE_STRING,
    oids.AT_DN_QUALIFIER: der.PRINTABLE_STRING,
    oids.AT_DOMAIN_COMPONENT: der.IA5_STRING,
}
"""What is not an UTF8String in a subject (RFC 5280 §4.1.2.4, appendix A.1)."""
_TYPES: Final = {
    "c": oids.AT_COUNTRY_NAME,
    "dc": oids.AT_DOMAIN_COMPONENT,
    "st": oids.AT_STATE_OR_PROVINCE_NAME,
    "l": oids.AT_LOCALITY_NAME,
    "o": oids.AT_ORGANIZATION_NAME,
    "ou": oids.AT_ORGANIZATIONAL_UNIT_NAME,
    "title": oids.AT_TITLE,
    "surname": oids.AT_SURNAME,
    "given-name": oids.AT_GIVEN_NAME,
    "serial-number": oids.AT_SERIAL_NUMBER,
    "dn-qualifier": oids.AT_DN_QUALIFIER,
    "uid": oids.AT_USER_ID,
}
_PLACES: Final = {attribute: place for place, attribute in enumerate(_TYPES.values())}


def _place_of(value: tuple[str, str | None]) -> int:
    """From the general to the special; what has the same place keeps its order."""
    return _PLACES[value[0]]


# --- extensions -----------------------------------------------------------------------------------------------------

_SKI: Final = der.oid(oids.CE_SUBJECT_KEY_IDENTIFIER)
_SAN: Final = der.oid(oids.CE_SUBJECT_ALT_NAME)
_SID: Final = der.oid(oids.MS_NTDS_CA_SECURITY)
_OF_THE_DEVICE: Final = (_SKI, _SAN, _SID)
"""First octets of the extensions that differ from leaf to leaf."""


def _extensions(
    leaf: _Leaf, profile: Profile, names: Names, authority: Authority, urls: Urls, assurance: Assurance
) -> Iterator[str]:
    own: list[der.Tlv] = []
    common: list[der.Tlv] = []
    for item in leaf.extensions:
        (own if item.content.startswith(_OF_THE_DEVICE) else common).append(item)
    key_type = key_algorithm(leaf.public_key).oid
    yield from _of_all(
        b"".join([item.raw for item in common]),
        authority.name,
        authority.certificate_der,
        tuple([usage for usage in profile.key_usage if usage not in _IMPOSSIBLE.get(key_type, ())]),
        profile.extended_key_usage,
        urls,
        status_addresses(authority, leaf.serial, urls),
        profile.policies.of(assurance) if profile.policies is not None else (),
        profile.microsoft_template,
    )
    own_key = der.octet_string(key_identifier(leaf.public_key))
    expected: dict[str, _Expectation] = {oids.CE_SUBJECT_KEY_IDENTIFIER: (False, lambda value: value == own_key)}
    if names.sans:
        # Its value is compared below. Critical exactly where nothing else names anybody.
        expected[oids.CE_SUBJECT_ALT_NAME] = (leaf.subject == b"\x30\x00", lambda _: True)
    if names.sid is not None and profile.name_rules is not None and SidForm.EXTENSION in profile.name_rules.sid_forms:
        sid = names.sid.encode()
        object_sid = (der.OID, der.oid(oids.MS_NTDS_OBJECT_SID)[2:])
        expected[oids.MS_NTDS_CA_SECURITY] = (
            False,
            lambda value: _leaves(value) == [object_sid, (der.OCTET_STRING, sid)],
        )
    yield from _compared(own, expected)
    sans = [read_sans(read_extension(item).value) for item in own if item.content.startswith(_SAN)]
    if (sans[0] if sans else frozenset()) != names.sans:
        yield "the alternative names are not the authorised ones"


_IMPOSSIBLE: Final = {
    oids.RSA_ENCRYPTION: frozenset({"keyAgreement"}),
    oids.EC_PUBLIC_KEY: frozenset({"keyEncipherment", "dataEncipherment"}),
    **dict.fromkeys(
        (oids.ED25519, oids.ML_DSA_44, oids.ML_DSA_65, oids.ML_DSA_87),
        frozenset({"keyEncipherment", "dataEncipherment", "keyAgreement"}),
    ),
}
"""Key usages that a type of key cannot have, whatever the profile lists (RFC 3279 §2.3.1, RFC 8813 §3, RFC 8410 §5,
RFC 9881)."""

_Expectation = tuple[bool, "Callable[[bytes], bool]"]
"""Whether it is critical, and whether a value is right."""


@lru_cache(maxsize=1024)
def _of_all(
    octets: bytes,
    authority: str,
    certificate: bytes,
    usages: tuple[str, ...],
    purposes: tuple[str, ...],
    urls: Urls,
    crls: tuple[str, ...],
    policies: tuple[str, ...],
    template: MicrosoftTemplate | None,
) -> tuple[str, ...]:
    """Judge the extensions that all leaves of a profile have in common, given side by side.

    The judgement is remembered under exactly these octets, and all that they must say: others are read anew.
    """
    issuer = read_certificate(certificate)
    expected: dict[str, _Expectation] = {
        oids.CE_BASIC_CONSTRAINTS: (True, lambda value: value == b"\x30\x00"),
        oids.CE_KEY_USAGE: (True, lambda value: set(read_key_usage(value)) == set(usages) != set()),
        oids.CE_EXT_KEY_USAGE: (False, lambda value: read_extended_key_usage(value) == purposes),
        oids.CE_AUTHORITY_KEY_IDENTIFIER: (False, lambda value: _leaves(value) == [(0x80, issuer.ski)]),
        oids.CE_CRL_DISTRIBUTION_POINTS: (
            False,
            lambda value: _leaves(value) == [(0x86, crls[0].encode())],
        ),
        oids.PE_AUTHORITY_INFO_ACCESS: (
            False,
            lambda value: (
                _leaves(value)
                == [
                    (der.OID, der.oid(oids.AD_OCSP)[2:]),
                    (0x86, urls.ocsp(authority).encode()),
                    (der.OID, der.oid(oids.AD_CA_ISSUERS)[2:]),
                    (0x86, urls.issuer(authority).encode()),
                ]
            ),
        ),
    }
    if len(crls) > 1:
        expected[oids.CE_FRESHEST_CRL] = (False, lambda value: _leaves(value) == [(0x86, crls[1].encode())])
    if policies:
        arcs = [(der.OID, der.oid(policy)[2:]) for policy in policies]
        expected[oids.CE_CERTIFICATE_POLICIES] = (False, lambda value: _leaves(value) == arcs)
    if template is not None:
        said = der.sequence(der.oid(template.oid), der.integer(template.major), der.integer(template.minor))
        expected[oids.MS_CERTIFICATE_TEMPLATE] = (False, lambda value: value == said)
    never = [f"no certificate is for {oids.describe(purpose)}" for purpose in purposes if purpose in NEVER_PURPOSES]
    return (*never, *_compared(der.read_all(octets), expected))


def _compared(items: Sequence[der.Tlv], expected: Mapping[str, _Expectation]) -> Iterator[str]:
    found = {extension.oid: extension for extension in map(read_extension, items)}
    if len(found) < len(items):
        raise der.DerError("Extensions holds an extension twice")
    for oid in found.keys() ^ expected.keys():
        yield f"the extension {oids.describe(oid)} is {'missing' if oid in expected else 'not in the profile'}"
    for oid in found.keys() & expected.keys():
        critical, is_right = expected[oid]
        if found[oid].critical is not critical:
            yield f"the extension {oids.describe(oid)} is {'not ' if critical else ''}critical"
        if not is_right(found[oid].value):
            yield f"the extension {oids.describe(oid)} does not say what it must"


def _leaves(octets: bytes) -> list[tuple[int, bytes]]:
    """The primitive elements of a structure in order: (tag, content)."""
    leaves: list[tuple[int, bytes]] = []
    waiting = der.read_all(octets)[::-1]
    while waiting:
        element = waiting.pop()
        if element.tag & 0x20:
            waiting.extend(element.children()[::-1])
        else:
            leaves.append((element.tag, element.content))
    return leaves


# --- pkilint --------------------------------------------------------------------------------------------------------

IGNORED: Final[dict[str, str]] = {
    "pkix.invalid_uri_syntax": "URIs with a scheme that has no authority part, urn: and tag:, are legal (RFC 3986 §3)",
}
"""Findings of pkilint that are no errors of ours, each with the reason."""

_ONE_LABEL: Final = re.compile(r'Invalid domain name syntax: "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"')
"""A host of one label is a name in the preferred syntax (RFC 1034 §3.5), and small networks call our own server so."""


def lint_full(certificate_der: bytes, ignored: Collection[str] = ()) -> tuple[str, ...]:
    """Run pkilint's RFC 5280 rules over a finished certificate; return its errors as `code: message at place`.

    `ignored` are codes that the certificate's profile lists, each with its reason.

    The signature is not verified and may be of any key. Importing pkilint takes half a second, which is why it waits
    for the first call.
    """
    from pkilint.loader import RFC5280CertificateDocumentLoader  # type: ignore[import-untyped]  # noqa: PLC0415 - slow
    from pkilint.validation import ValidationFindingSeverity  # noqa: PLC0415 - slow

    try:
        document = RFC5280CertificateDocumentLoader().load_der_document(certificate_der, "certificate")
    except ValueError as error:
        return (f"pkilint cannot read the certificate: {error}",)
    results: list[ValidationResult] = _pkilint_rules().validate(document.root)
    return tuple(
        _in_words(result.node.path, description.finding.code, description.message)
        for result in results
        for description in result.finding_descriptions
        if description.finding.severity <= ValidationFindingSeverity.ERROR
        and description.finding.code not in IGNORED
        and description.finding.code not in ignored
        and not _ONE_LABEL.fullmatch(description.message or "")
    )


def _in_words(path: str, code: str, message: str | None) -> str:
    return f"{code}: {message} at {path}" if message else f"{code} at {path}"


@lru_cache(maxsize=1)
def _pkilint_rules() -> Validator:
    from pkilint.pkix import certificate, extension, name  # type: ignore[import-untyped]  # noqa: PLC0415 - slow

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
