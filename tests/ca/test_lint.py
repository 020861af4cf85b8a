"""Lint: a right certificate has no finding, and each way to be wrong has its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.ca.lint import IGNORED, lint_full, lint_leaf
from regalia.ca.profile import DEFAULT_DOCUMENT, leaf_tbs, specimens
from regalia.model import KeyKind, Names, San, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import (
    Extension,
    SignatureAlgorithm,
    assemble,
    authority_information_access,
    authority_key_identifier,
    basic_constraints,
    crl_distribution_points,
    encode_tbs,
    extended_key_usage,
    key_usage,
    ocsp_nocheck,
    read_certificate,
    subject_alt_name,
    subject_key_identifier,
)
from regalia.wire.names import encode_name, encode_sans, name_text
from regalia.wire.public_key import key_algorithm
from small_ca import NAMES, SmallCa, ec_spki, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.wire.certificate import TbsCertificate

_CA = SmallCa()
_AUTHORITY = _CA.issuing()
_OTHER = _CA.issuing("other")
_PROFILE = profile_of()
_KEY = ec_spki()
_RSA_KEY = (
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
_ISSUER = read_certificate(_AUTHORITY.certificate_der)


def _tbs(names: Names = NAMES, key: bytes = _KEY) -> TbsCertificate:
    return leaf_tbs(
        _PROFILE, _AUTHORITY, serial=1 << 130, names=names, public_key=key, now=_CA.clock.now(), urls=_CA.urls
    )


def _lint(octets: bytes, names: Names = NAMES, key: bytes = _KEY) -> tuple[str, ...]:
    return lint_leaf(octets, profile=_PROFILE, authority=_AUTHORITY, names=names, public_key=key, urls=_CA.urls)


@pytest.mark.parametrize("key", [_KEY, _RSA_KEY], ids=["ec", "rsa"])
@pytest.mark.parametrize(
    "names",
    [
        NAMES,
        Names("only a name"),
        Names(None, frozenset({San(SanKind.IP, "192.0.2.7"), San(SanKind.URI, "urn:device:7")})),
        Names("a", frozenset(San(SanKind.DNS, f"h{number}.example.com") for number in range(20))),
    ],
)
def test_what_the_profile_renders_has_no_finding(names: Names, key: bytes) -> None:
    """Certificates as leaf_tbs builds them, for RSA and EC keys and all kinds of names, pass."""
    assert _lint(encode_tbs(_tbs(names, key)), names, key) == ()


def test_authorities_of_every_kind_lint_their_own_algorithm() -> None:
    """The signature algorithm in the certificate must be the authority's: another one is found."""
    tbs = _tbs()
    assert _lint(encode_tbs(replace(tbs, signature=SignatureAlgorithm.ECDSA_SHA384))) == (
        "the signature algorithm is not the authority's",
    )


_DAY = timedelta(days=1)
_CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "a small serial": ({"serial": 7}, "serial"),
    "a negative serial": ({"serial": -(1 << 130)}, "serial"),
    "a serial of 21 octets": ({"serial": 1 << 160}, "serial"),
    "another issuer": ({"issuer": encode_name(cn="Somebody")}, "issuer"),
    "an issuer in another string type": (
        {"issuer": _ISSUER.subject.replace(b"\x0c", b"\x13", 1)},
        "issuer",
    ),
    "a longer life": ({"not_after": _tbs().not_after + timedelta(seconds=1)}, "longer than the profile's"),
    "an end before the beginning": ({"not_after": _tbs().not_before}, "before it begins"),
    "a beginning before the issuer's": (
        {"not_before": _ISSUER.not_before - _DAY, "not_after": _ISSUER.not_before + _DAY},
        "POL-7",
    ),
    "an end after the issuer's": (
        {"not_before": _ISSUER.not_after - _DAY, "not_after": _ISSUER.not_after + _DAY},
        "POL-7",
    ),
    "another common name": ({"subject": encode_name(cn="admin")}, "subject"),
    "one more attribute": ({"subject": encode_name(cn="laptop", organisation="Evil")}, "subject"),
    "no subject": ({"subject": encode_name(cn=None)}, "subject"),
    "a subject in another string type": (
        {
            "subject": der.sequence(
                der.set_of([der.sequence(der.oid(oids.AT_COMMON_NAME), der.printable_string("laptop"))])
            )
        },
        "cannot be read",
    ),
    "another key": ({"public_key": ec_spki()}, "possession"),
    "no extensions": ({"extensions": ()}, "version 3"),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_r8_each_changed_field_is_found(change: str) -> None:
    """R8, POL-4: a certificate that differs in one field from what was authorised is found out."""
    fields, words = _CHANGES[change]
    findings = _lint(encode_tbs(replace(_tbs(), **fields)))  # type: ignore[arg-type]  # of any field
    assert any(words in finding for finding in findings), findings


_SANS = frozenset({San(SanKind.DNS, "laptop.example.com"), San(SanKind.DNS, "dc01.example.com")})
_URL = "http://elsewhere.example/x"


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (basic_constraints(ca=True), "basicConstraints does not say"),
        (Extension(oids.CE_BASIC_CONSTRAINTS, critical=False, value=b"\x30\x00"), "basicConstraints is not critical"),
        (key_usage(("digitalSignature", "keyCertSign")), "keyUsage does not say"),
        (key_usage(("digitalSignature", "keyEncipherment")), "keyUsage does not say"),
        (replace(key_usage(("digitalSignature",)), critical=False), "keyUsage is not critical"),
        (extended_key_usage((oids.KP_SERVER_AUTH,)), "extKeyUsage does not say"),
        (extended_key_usage((oids.KP_CLIENT_AUTH, oids.KP_SERVER_AUTH)), "extKeyUsage does not say"),
        (extended_key_usage((oids.KP_CLIENT_AUTH,), critical=True), "extKeyUsage is critical"),
        (subject_key_identifier(b"x" * 20), "subjectKeyIdentifier does not say"),
        (authority_key_identifier(b"x" * 20), "authorityKeyIdentifier does not say"),
        (subject_alt_name(encode_sans(_SANS)), "alternative names are not"),
        (subject_alt_name(encode_sans(NAMES.sans), critical=True), "subjectAltName is critical"),
        (crl_distribution_points(_URL), "cRLDistributionPoints does not say"),
        (authority_information_access(ocsp=_URL), "authorityInfoAccess does not say"),
        (ocsp_nocheck(), "ocsp-nocheck is not in the profile"),
        (Extension("1.2.3.4", critical=True, value=b"\x05\x00"), "1.2.3.4 is not in the profile"),
    ],
)
def test_r8_each_changed_extension_is_found(extension: Extension, words: str) -> None:
    """R8: an extension with another value or criticality, or one too many, is found and named."""
    tbs = _tbs()
    kept = tuple(each for each in tbs.extensions if each.oid != extension.oid)
    findings = _lint(encode_tbs(replace(tbs, extensions=(*kept, extension))))
    assert any(words in finding for finding in findings), findings


@pytest.mark.parametrize("position", range(8))
def test_r8_each_missing_extension_is_found(position: int) -> None:
    """R8: a certificate without one of its extensions is found out."""
    tbs = _tbs()
    kept = tbs.extensions[:position] + tbs.extensions[position + 1 :]
    name = oids.describe(tbs.extensions[position].oid)
    assert f"the extension {name} is missing" in _lint(encode_tbs(replace(tbs, extensions=kept)))


def test_r8_a_doubled_extension_is_found() -> None:
    """R8: two extensions of one kind, the second one a CA's, do not pass."""
    tbs = _tbs()
    doubled = replace(tbs, extensions=(*tbs.extensions, basic_constraints(ca=True)))
    assert "twice" in _lint(encode_tbs(doubled))[0]


def test_names_that_no_certificate_may_carry_are_found() -> None:
    """POL-6: names are checked again on the final certificate, whoever let them through before."""
    names = Names("laptop", frozenset({San(SanKind.DNS, "*.example.com")}))
    assert any("wildcard" in finding for finding in _lint(encode_tbs(_tbs(names)), names))


@pytest.mark.parametrize("spelt", [str, str.upper], ids=["same octets", "other case"])
def test_a_device_does_not_get_the_authoritys_own_name(spelt: Callable[[str], str]) -> None:
    """POL-5: whatever a binding or a request says, no device's certificate looks self-issued."""
    names = Names(spelt(name_text(_ISSUER.subject).removeprefix("CN=")))
    assert _lint(encode_tbs(_tbs(names)), names) == ("the subject is the authority's own name",)


def test_a_certificate_without_names_is_found() -> None:
    """A certificate that names nobody is never signed."""
    assert "the certificate names nobody" in _lint(encode_tbs(_tbs(Names())), Names())


def test_the_certificate_of_another_authority_is_found() -> None:
    """What was rendered for one group's authority does not pass for another's."""
    findings = lint_leaf(
        encode_tbs(_tbs()), profile=_PROFILE, authority=_OTHER, names=NAMES, public_key=_KEY, urls=_CA.urls
    )
    assert any("issuer" in finding for finding in findings)
    assert any("authorityKeyIdentifier" in finding for finding in findings)
    assert any("cRLDistributionPoints" in finding for finding in findings)


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", bytes(20_000)])
def test_octets_that_are_no_certificate_are_found(octets: bytes) -> None:
    """Empty, cut or endless octets give a finding, not an exception."""
    assert len(_lint(octets)) == 1


def test_unique_identifiers_are_found() -> None:
    """A field that no reader shows, issuerUniqueID, does not pass."""
    parts = [part.raw for part in der.read_one(encode_tbs(_tbs())).children()]
    parts.insert(7, der.tlv(0x81, b"\x00\x01"))
    assert "unique identifiers" in _lint(der.sequence(*parts))[0]


# --- pkilint ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.RSA_2048])
def test_specimens_of_the_default_profile_pass_in_full(kind: KeyKind) -> None:
    """R8: pkilint finds no error in what the default profile gives, under an EC and an RSA authority."""
    authority = _CA.issuing(f"lint-{kind.value.replace('-', '')}", key_kind=kind)
    for certificate in specimens(_PROFILE, authority, _CA.urls, _CA.clock.now()):
        assert lint_full(certificate) == ()


EVERY_KEY = DEFAULT_DOCUMENT.replace("ed25519 = false", "ed25519 = true").replace(
    "ml-dsa = []", 'ml-dsa = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]'
)


def test_specimens_of_every_type_of_key_pass_both_lints() -> None:
    """R8, KEY-1: RSA, P-256, Ed25519 and ML-DSA leaves are what profile and RFC 5280 ask, natively and in full."""
    profile = profile_of(EVERY_KEY)
    made = specimens(profile, _AUTHORITY, _CA.urls, _CA.clock.now())
    types = [key_algorithm(read_certificate(certificate).public_key).oid for certificate in made]
    assert types == [
        oids.RSA_ENCRYPTION,
        oids.EC_PUBLIC_KEY,
        oids.ED25519,
        oids.ML_DSA_44,
        oids.ML_DSA_65,
        oids.ML_DSA_87,
    ]
    for certificate in made:
        assert lint_full(certificate) == ()
        facts = read_certificate(certificate)
        names = Names("specimen", frozenset({San(SanKind.DNS, "specimen.example.com")}))
        tbs = der.read_one(certificate).children()[0].raw
        assert (
            lint_leaf(
                tbs, profile=profile, authority=_AUTHORITY, names=names, public_key=facts.public_key, urls=_CA.urls
            )
            == ()
        )


@pytest.mark.parametrize("usage", ["keyEncipherment", "keyAgreement"])
def test_a_key_usage_that_a_signing_key_cannot_have_is_found(usage: str) -> None:
    """RFC 8410 §5: an Ed25519 key neither enciphers keys nor agrees on them, whatever the profile lists."""
    profile = profile_of(EVERY_KEY.replace('"keyEncipherment"]', f'"{usage}"]'))
    key = (
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    tbs = leaf_tbs(
        profile, _AUTHORITY, serial=1 << 128, names=NAMES, public_key=key, now=_CA.clock.now(), urls=_CA.urls
    )
    wrong = tuple(
        key_usage(("digitalSignature", usage)) if each.oid == oids.CE_KEY_USAGE else each for each in tbs.extensions
    )
    found = [
        lint_leaf(encode_tbs(each), profile=profile, authority=_AUTHORITY, names=NAMES, public_key=key, urls=_CA.urls)
        for each in (tbs, replace(tbs, extensions=wrong))
    ]
    assert found == [(), ("the extension keyUsage does not say what it must",)]


def test_pkilint_finds_what_is_wrong() -> None:
    """R8: a certificate against RFC 5280 has findings with a code and a place."""
    tbs = _tbs()
    kept = tuple(each for each in tbs.extensions if each.oid != oids.CE_AUTHORITY_KEY_IDENTIFIER)
    wrong = encode_tbs(replace(tbs, serial=-5, extensions=kept))
    findings = lint_full(assemble(wrong, tbs.signature, bytes.fromhex("3006020101020101")))
    assert any("serial" in finding for finding in findings), findings
    assert any("authority_key_identifier" in finding for finding in findings), findings


def test_octets_that_are_no_certificate_are_a_finding() -> None:
    """What pkilint cannot read is a finding, not an exception."""
    assert lint_full(b"\x30\x00")
    assert lint_full(b"")


def test_ignored_findings_are_what_they_say() -> None:
    """A urn: URI is what the ignored finding is about: pkilint reports it, we do not."""
    names = Names("a", frozenset({San(SanKind.URI, "urn:device:7")}))
    tbs = _tbs(names)
    octets = assemble(encode_tbs(tbs), tbs.signature, bytes.fromhex("3006020101020101"))
    assert lint_full(octets) == ()
    assert all(reason for reason in IGNORED.values())
