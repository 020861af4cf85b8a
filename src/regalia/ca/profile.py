"""Profiles: the documents that administrators write, read strictly, and the certificates that follow from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypedDict

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from regalia import reasons
from regalia.ca.crl_plan import status_addresses
from regalia.ca.profile_document import read_document
from regalia.ca.profile_purposes import NEVER_PURPOSES, purpose_oid
from regalia.ca.profile_safety import Severity, findings_of, unacknowledged
from regalia.ca.profile_template import references_of, render_names
from regalia.ca.profile_variables import REQUEST_PREFIX, sample_facts
from regalia.errors import AdminError, InvariantError
from regalia.model import (
    Align,
    Assurance,
    Condition,
    DeviceLimits,
    ExpiryRule,
    KeyReuse,
    MicrosoftTemplate,
    Names,
    NamesFrom,
    PolicyRules,
    Profile,
    RenewalRule,
    San,
    SanKind,
    SidForm,
    ValidityRule,
)
from regalia.wire import der, oids
from regalia.wire.certificate import (
    TbsCertificate,
    assemble,
    authority_information_access,
    authority_key_identifier,
    basic_constraints,
    certificate_policies,
    certificate_template,
    crl_distribution_points,
    encode_tbs,
    extended_key_usage,
    freshest_crl,
    key_identifier,
    key_usage,
    microsoft_sid,
    read_basic_constraints,
    read_certificate,
    read_extended_key_usage,
    read_key_usage,
    signature_algorithm_for,
    subject_alt_name,
    subject_key_identifier,
)
from regalia.wire.names import encode_name, encode_sans
from regalia.wire.public_key import key_algorithm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from regalia.ca.profile_document import Microsoft, Policies, ProfileDocument
    from regalia.ca.urls import Urls
    from regalia.model import Authority, NameRules
    from regalia.wire.certificate import Extension, SignatureAlgorithm

__all__ = [
    "DEFAULT_DOCUMENT",
    "forbidden_extensions",
    "key_usages",
    "leaf_tbs",
    "read_profile",
    "specimen_key",
    "specimens",
    "unsigned",
    "writes_sid",
]

DEFAULT_DOCUMENT: Final = """\
# A device that proves itself to the network by EAP-TLS.
names = "binding"                 # or "from-csr": whatever the device asks for, verified by nobody

[validity]
duration = "365d"                 # never beyond the issuing authority's own end
backdate = "5m"                   # for devices whose clock is behind

[keys]
rsa-min-bits = 2048               # 0 allows no RSA keys
curves = ["p-256", "p-384"]
ed25519 = false
ml-dsa = []                       # any of "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]   # keyEncipherment is for RSA keys only; SCEP renewals need it
extended-key-usage = ["clientAuth"]
"""
"""The profile that `init` makes."""


def read_profile(
    document: str, *, name: str, version: int, group: str, now: datetime, acknowledged: Iterable[str] = ()
) -> Profile:
    """Read a profile's document, TOML or JSON.

    `acknowledged`: names of `profile_safety.RULES` that somebody answers for. Raises `AdminError`: PROFILE_REFUSED
    with every problem that was found, ACKNOWLEDGEMENT_NEEDED for what is unsafe and not acknowledged.
    """
    parsed = read_document(document)
    rules = parsed.name_rules()
    profile = Profile(
        name=name,
        version=version,
        group=group,
        names_from=NamesFrom.CSR if _asks_the_request(rules) else NamesFrom(parsed.names),
        validity=ValidityRule(parsed.validity.duration_span, parsed.validity.backdate_span),
        rsa_min_bits=parsed.keys.rsa_min_bits,
        curves=tuple(parsed.keys.curves),
        key_usage=tuple(parsed.usage.key_usage),
        extended_key_usage=tuple(purpose_oid(purpose) for purpose in parsed.usage.extended_key_usage),
        ed25519=parsed.keys.ed25519,
        ml_dsa=tuple(parsed.keys.ml_dsa),
        organisation=parsed.subject.organisation,
        document=parsed.canonical(),
        created_at=now,
        rsa_bits=tuple(sorted(parsed.keys.rsa_bits)),
        key_reuse=KeyReuse(parsed.keys.reuse),
        name_rules=rules,
        domains=tuple(parsed.domains),
        conditions=tuple(Condition(each.expr, each.message) for each in parsed.condition),
        policies=_policies(parsed.policies),
        microsoft_template=_template(parsed.microsoft),
        lint_ignored=tuple((each.code, each.reason) for each in parsed.lint_ignore),
        **_rules_in_time(parsed),
    )
    _judge_safety(profile, acknowledged)
    return profile


def _asks_the_request(rules: NameRules | None) -> bool:
    """Whether a template holds what the device asks for: it is then as unverified as names = "from-csr"."""
    if rules is None:
        return False
    templates = [rule.template for rule in rules.subject] + [rule.template for rule in rules.sans]
    return any(each.name.startswith(REQUEST_PREFIX) for template in templates for each in references_of(template))


class _InTime(TypedDict):
    expiry: ExpiryRule | None
    renewal: RenewalRule | None
    limits: DeviceLimits | None


def _rules_in_time(parsed: ProfileDocument) -> _InTime:
    validity, renewal, limits = parsed.validity, parsed.renewal, parsed.limits
    ends = validity.end is not None or validity.align != "none"
    bounded = renewal.window is not None or renewal.most is not None
    counted = limits.live is not None or limits.per_day is not None or limits.overlap is not None
    return _InTime(
        expiry=ExpiryRule(validity.end, Align(validity.align)) if ends else None,
        renewal=RenewalRule(renewal.span, renewal.share, renewal.most) if bounded else None,
        limits=DeviceLimits(limits.live, limits.per_day, limits.overlap_span) if counted else None,
    )


def _policies(parsed: Policies) -> PolicyRules | None:
    rules = PolicyRules(tuple(parsed.always), tuple(parsed.bearer), tuple(parsed.verified), tuple(parsed.attested))
    return rules if rules != PolicyRules((), (), (), ()) else None


def _template(parsed: Microsoft) -> MicrosoftTemplate | None:
    return MicrosoftTemplate(parsed.template, *parsed.template_version) if parsed.template is not None else None


def _judge_safety(profile: Profile, acknowledged: Iterable[str]) -> None:
    findings = findings_of(profile)
    never = [finding for finding in findings if finding.rule.severity is Severity.NEVER]
    if never:
        raise AdminError(
            reasons.PROFILE_REFUSED, "; ".join(f"{each.where}: {each.rule.title}: {each.rule.why}" for each in never)
        )
    missing = unacknowledged(findings, acknowledged)
    if missing:
        named = dict.fromkeys(finding.rule.name for finding in missing)
        raise AdminError(
            reasons.ACKNOWLEDGEMENT_NEEDED,
            "; ".join(f"{each.where}: {each.rule.title}: {each.rule.why}" for each in missing)
            + f". Repeat with {' '.join(f'--acknowledge {name}' for name in named)} if that is what you want",
        )


# --- the certificate that follows -----------------------------------------------------------------------------------

_FOR_RSA_ONLY: Final = frozenset({"keyEncipherment", "dataEncipherment"})
_FOR_EC_ONLY: Final = frozenset({"keyAgreement"})
_IMPOSSIBLE: Final = {oids.RSA_ENCRYPTION: _FOR_EC_ONLY, oids.EC_PUBLIC_KEY: _FOR_RSA_ONLY}
"""Key usages that keys of a type cannot have (RFC 3279 §2.3.1, RFC 8813 §3); those of all other types only sign."""


def leaf_tbs(
    profile: Profile,
    authority: Authority,
    *,
    serial: int,
    names: Names,
    public_key: bytes,
    now: datetime,
    urls: Urls,
    assurance: Assurance = Assurance.VERIFIED,
) -> TbsCertificate:
    """Render a leaf certificate: all but key, names and serial comes from the profile and its authority (POL-1).

    `public_key` is a DER SubjectPublicKeyInfo. The validity ends with the issuer's at the latest (POL-7).
    `assurance` chooses the policies.
    """
    fixed = _fixed(
        authority.name,
        authority.certificate_der,
        key_usages(profile, public_key),
        profile.extended_key_usage,
        urls,
        status_addresses(authority, serial, urls),
        profile.policies.of(assurance) if profile.policies is not None else (),
        profile.microsoft_template,
    )
    not_before = max((now - profile.validity.backdate).replace(microsecond=0), fixed.not_before)
    extensions = [
        *fixed.usages,
        subject_key_identifier(key_identifier(public_key)),
        *fixed.issuer_extensions,
    ]
    subject = encode_name(cn=names.cn, organisation=profile.organisation, rdns=names.rdns)
    if names.sans:
        subject_is_empty = names.cn is None and profile.organisation is None and not names.rdns
        extensions.append(subject_alt_name(encode_sans(names.sans), critical=subject_is_empty))
    if writes_sid(profile, names) and names.sid is not None:
        extensions.append(microsoft_sid(names.sid))
    return TbsCertificate(
        serial=serial,
        signature=signature_algorithm_for(authority.key_kind),
        issuer=fixed.issuer,
        not_before=not_before,
        not_after=_end(profile, not_before, fixed.not_after),
        subject=subject,
        public_key=public_key,
        extensions=tuple(extensions),
    )


def key_usages(profile: Profile, public_key: bytes) -> tuple[str, ...]:
    """List the key usages of a profile that a key can have; `public_key` is a DER SubjectPublicKeyInfo."""
    impossible = _IMPOSSIBLE.get(key_algorithm(public_key).oid, _FOR_RSA_ONLY | _FOR_EC_ONLY)
    return tuple([usage for usage in profile.key_usage if usage not in impossible])


def writes_sid(profile: Profile, names: Names) -> bool:
    """Whether a certificate has the extension for a Windows SID: a profile writes it, and there is one."""
    rules = profile.name_rules
    return (
        names.sid is not None and rules is not None and rules.sid is not None and SidForm.EXTENSION in rules.sid_forms
    )


def _end(profile: Profile, not_before: datetime, issuer_ends: datetime) -> datetime:
    end = min(not_before + profile.validity.duration, issuer_ends)
    rule = profile.expiry
    if rule is None:
        return end
    if rule.until is not None:
        end = min(end, rule.until)
    aligned = end
    if rule.align is not Align.NONE:
        aligned = end.replace(hour=0, minute=0, second=0)
    if rule.align is Align.MONTH:
        aligned = aligned.replace(day=1)
    # At the end of an authority's own life there may be no such moment left.
    return aligned if aligned > not_before else end


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What all leaves of a profile under an authority have in common, for one type of key."""

    issuer: bytes
    not_before: datetime
    not_after: datetime
    usages: tuple[Extension, ...]
    issuer_extensions: tuple[Extension, ...]
    """Whose key signs, and where to ask about it."""


@lru_cache(maxsize=1024)
def _fixed(
    authority: str,
    certificate: bytes,
    usages: tuple[str, ...],
    purposes: tuple[str, ...],
    urls: Urls,
    crls: tuple[str, ...],
    policies: tuple[str, ...],
    template: MicrosoftTemplate | None,
) -> _Fixed:
    """Remembered by all that goes in: another certificate of the authority is another entry."""
    issuer = read_certificate(certificate)
    if issuer.ski is None:
        raise InvariantError(f"the certificate of authority {authority} has no subjectKeyIdentifier")
    return _Fixed(
        issuer=issuer.subject,
        not_before=issuer.not_before,
        not_after=issuer.not_after,
        usages=(
            basic_constraints(ca=False),
            key_usage(usages),
            extended_key_usage(purposes),
            *([certificate_policies(policies)] if policies else []),
            *([certificate_template(template.oid, template.major, template.minor)] if template is not None else []),
        ),
        issuer_extensions=(
            authority_key_identifier(issuer.ski),
            crl_distribution_points(crls[0]),
            *map(freshest_crl, crls[1:]),
            authority_information_access(ocsp=urls.ocsp(authority), ca_issuers=urls.issuer(authority)),
        ),
    )


def specimens(profile: Profile, authority: Authority, urls: Urls, now: datetime) -> tuple[bytes, ...]:
    """Make certificates such as this profile gives, one for each type of key that it allows, for the full lint (R8).

    They are never stored and signed by nobody: keys and signatures are only of the right form.
    """
    return tuple(_specimen(profile, authority, urls, now, key) for key in _specimen_keys(profile))


def _specimen(profile: Profile, authority: Authority, urls: Urls, now: datetime, public_key: bytes) -> bytes:
    names = Names("specimen", frozenset({San(SanKind.DNS, "specimen.example.com")}))
    if profile.name_rules is not None:
        names = render_names(profile.name_rules, sample_facts()).names
    tbs = leaf_tbs(profile, authority, serial=1 << 128, names=names, public_key=public_key, now=now, urls=urls)
    return unsigned(encode_tbs(tbs), tbs.signature)


def unsigned(tbs_der: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """Finish a certificate with a signature that is only of the right form: nobody's key has made it."""
    signature = bytes(256)
    if not algorithm.is_rsa:
        signature = ec.generate_private_key(ec.SECP256R1()).sign(tbs_der, ec.ECDSA(hashes.SHA256()))
    return assemble(tbs_der, algorithm, signature)


def _specimen_keys(profile: Profile) -> Iterator[bytes]:
    if profile.rsa_min_bits:
        # Generating 8192 bits takes many seconds, and a lint looks at nothing but the size.
        bits = profile.rsa_bits[0] if profile.rsa_bits else profile.rsa_min_bits
        noise = int.from_bytes(hashlib.shake_256(b"specimen").digest(bits // 8), "big")
        yield _encoded(rsa.RSAPublicNumbers(65537, noise | 1 | 1 << (bits - 1)).public_key())
    if profile.curves:
        yield specimen_key("p-256" if "p-256" in profile.curves else "p-384")
    if profile.ed25519:
        yield specimen_key("ed25519")
    for name in profile.ml_dsa:
        yield specimen_key(name)


def specimen_key(kind: str) -> bytes:
    """Make a public key of a kind other than RSA: `p-256`, `p-384`, `ed25519`, `ml-dsa-44` and so on."""
    if kind in _CURVES:
        return _encoded(ec.generate_private_key(_CURVES[kind]).public_key())
    if kind == "ed25519":
        return _encoded(ed25519.Ed25519PrivateKey.generate().public_key())
    return _encoded(_ML_DSA[kind]().public_key())


_CURVES: Final[dict[str, ec.EllipticCurve]] = {"p-256": ec.SECP256R1(), "p-384": ec.SECP384R1()}
_MlDsaPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_ML_DSA: Final[dict[str, Callable[[], _MlDsaPrivateKey]]] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
}


def _encoded(
    key: rsa.RSAPublicKey
    | ec.EllipticCurvePublicKey
    | ed25519.Ed25519PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey,
) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


# --- what a request may ask for -------------------------------------------------------------------------------------

_FORBIDDEN_EXTENSIONS: Final = frozenset(
    {
        oids.MS_NTDS_CA_SECURITY,
        oids.MS_CERTIFICATE_TEMPLATE_NAME,
        oids.MS_CERTIFICATE_TEMPLATE,
        oids.MS_APPLICATION_POLICIES,
        oids.CE_NAME_CONSTRAINTS,
        oids.CE_POLICY_MAPPINGS,
        oids.PE_AUTHORITY_INFO_ACCESS,
        oids.CE_CRL_DISTRIBUTION_POINTS,
        oids.PKIX_OCSP_NOCHECK,
        oids.CT_POISON,
    }
)
_FORBIDDEN_USAGES: Final = frozenset({"keyCertSign", "cRLSign"})
_FORBIDDEN_PURPOSES: Final = NEVER_PURPOSES
_HARMLESS: Final = frozenset({oids.CE_SUBJECT_KEY_IDENTIFIER, oids.CE_SUBJECT_ALT_NAME})
"""The SKI is computed by us whatever is asked (R5.6); alternative names are judged as names (R5.2)."""


def forbidden_extensions(profile: Profile, extensions: Sequence[Extension]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sort the extensions that a request asks for into (forbidden, dropped), named for people (POL-2, R5.6).

    Forbidden: no request may set it, so the request is refused. Dropped: left out, worth a note. What the certificate
    has anyway, or what harms nobody, is in neither.
    """
    forbidden: list[str] = []
    dropped: list[str] = []
    for extension in extensions:
        if extension.oid in _FORBIDDEN_EXTENSIONS:
            forbidden.append(oids.describe(extension.oid))
        elif extension.oid in _JUDGES:
            bad, beyond = _judged(extension, profile)
            forbidden.extend(bad)
            dropped.extend(beyond)
        elif extension.oid not in _HARMLESS:
            dropped.append(oids.describe(extension.oid))
    return tuple(forbidden), tuple(dropped)


_Judgement = tuple[tuple[str, ...], tuple[str, ...]]


def _judged(extension: Extension, profile: Profile) -> _Judgement:
    try:
        return _JUDGES[extension.oid](extension.value, profile)
    except der.DerError:
        return (f"{oids.describe(extension.oid)} that cannot be read",), ()


def _judge_basic_constraints(value: bytes, profile: Profile) -> _Judgement:
    del profile
    is_ca, path_length = read_basic_constraints(value)
    return ("basicConstraints CA:TRUE",) if is_ca or path_length is not None else (), ()


def _judge_key_usage(value: bytes, profile: Profile) -> _Judgement:
    asked = read_key_usage(value)
    bad = tuple(f"keyUsage {usage}" for usage in asked if usage in _FORBIDDEN_USAGES)
    beyond = tuple(
        f"keyUsage {usage}" for usage in asked if usage not in _FORBIDDEN_USAGES and usage not in profile.key_usage
    )
    return bad, beyond


def _judge_extended_key_usage(value: bytes, profile: Profile) -> _Judgement:
    asked = read_extended_key_usage(value)
    bad = tuple(f"extKeyUsage {oids.describe(purpose)}" for purpose in asked if purpose in _FORBIDDEN_PURPOSES)
    beyond = tuple(
        f"extKeyUsage {oids.describe(purpose)}"
        for purpose in asked
        if purpose not in _FORBIDDEN_PURPOSES and purpose not in profile.extended_key_usage
    )
    return bad, beyond


_JUDGES: Final = {
    oids.CE_BASIC_CONSTRAINTS: _judge_basic_constraints,
    oids.CE_KEY_USAGE: _judge_key_usage,
    oids.CE_EXT_KEY_USAGE: _judge_extended_key_usage,
}
