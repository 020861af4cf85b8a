"""One bad specimen for each rule of the native lint, which that rule finds and no other one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.ca.lint import LINT_RULES, lint_leaf, rule_of
from regalia.ca.profile import leaf_tbs
from regalia.model import Align, ExpiryRule, Names, Profile, San, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import (
    Extension,
    SignatureAlgorithm,
    encode_tbs,
    ocsp_nocheck,
    read_certificate,
    subject_alt_name,
)
from regalia.wire.names import encode_name, encode_sans, name_text
from small_ca import NAMES, SmallCa, ec_spki, profile_of

if TYPE_CHECKING:
    from regalia.wire.certificate import TbsCertificate

_CA = SmallCa()
_AUTHORITY = _CA.issuing()
_ISSUER = read_certificate(_AUTHORITY.certificate_der)
_PROFILE = profile_of()
_KEY = ec_spki()
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def _tbs(names: Names = NAMES, key: bytes = _KEY, profile: Profile = _PROFILE) -> TbsCertificate:
    return leaf_tbs(
        profile, _AUTHORITY, serial=1 << 130, names=names, public_key=key, now=_CA.clock.now(), urls=_CA.urls
    )


@dataclass(frozen=True, slots=True)
class Specimen:
    """A certificate, and what was authorised when it was made."""

    octets: bytes
    names: Names = NAMES
    profile: Profile = _PROFILE

    def findings(self) -> tuple[str, ...]:
        """Lint it."""
        return lint_leaf(
            self.octets,
            profile=self.profile,
            authority=_AUTHORITY,
            names=self.names,
            public_key=_KEY,
            urls=_CA.urls,
        )


def _changed(**fields: object) -> Specimen:
    return Specimen(encode_tbs(replace(_tbs(), **fields)))  # type: ignore[arg-type]  # of any field


def _extension(oid: str) -> Extension:
    return next(each for each in _tbs().extensions if each.oid == oid)


def _with(*extensions: Extension, without: str = "") -> Specimen:
    kept = tuple(each for each in _tbs().extensions if each.oid != without)
    return _changed(extensions=(*kept, *extensions))


def _named(names: Names) -> Specimen:
    return Specimen(encode_tbs(_tbs(names)), names)


def _under(profile: Profile, rendered: Profile | None = None) -> Specimen:
    return Specimen(encode_tbs(_tbs(profile=rendered or profile)), profile=profile)


def _with_unique_identifier() -> Specimen:
    parts = [part.raw for part in der.read_one(encode_tbs(_tbs())).children()]
    parts.insert(7, der.tlv(0x81, b"\x00\x01"))
    return Specimen(der.sequence(*parts))


_OTHER_SANS = subject_alt_name(encode_sans(frozenset({San(SanKind.DNS, "dc01.example.com")})))
_USAGE = _extension(oids.CE_KEY_USAGE)

SPECIMENS: dict[str, Specimen] = {
    "size": _with(Extension("1.2.3.4", critical=False, value=bytes(10_000))),
    "form": _with_unique_identifier(),
    "readable": Specimen(b"\x30\x00\x00"),
    "algorithm": _changed(signature=SignatureAlgorithm.ECDSA_SHA384),
    "serial": _changed(serial=7),
    "issuer": _changed(issuer=encode_name(cn="Somebody")),
    "self-issued": _named(Names(name_text(_ISSUER.subject).removeprefix("CN="))),
    "times": _changed(not_after=_tbs().not_before),
    "duration": _changed(not_after=_tbs().not_after + _SECOND),
    "last-day": _under(replace(_PROFILE, expiry=ExpiryRule(_CA.clock.now() + _DAY, Align.NONE)), _PROFILE),
    "issuer-end": _changed(not_before=_ISSUER.not_after - _DAY, not_after=_ISSUER.not_after + _SECOND),
    "subject": _changed(subject=encode_name(cn="admin")),
    "nobody": _named(Names()),
    "name": _named(Names("laptop", frozenset({San(SanKind.DNS, "*.example.com")}))),
    "key": Specimen(encode_tbs(_tbs(key=ec_spki()))),
    "alternative-names": _with(_OTHER_SANS, without=oids.CE_SUBJECT_ALT_NAME),
    "extension-missing": _with(without=oids.CE_AUTHORITY_KEY_IDENTIFIER),
    "extension-foreign": _with(ocsp_nocheck()),
    "extension-critical": _with(replace(_USAGE, critical=False), without=oids.CE_KEY_USAGE),
    "extension-value": _with(replace(_USAGE, value=b"\x03\x02\x02\x04"), without=oids.CE_KEY_USAGE),
    "purpose": _under(replace(_PROFILE, extended_key_usage=(oids.ANY_EXTENDED_KEY_USAGE,))),
}


@pytest.mark.parametrize("rule", SPECIMENS)
def test_r8_each_rule_has_a_specimen_that_only_it_finds(rule: str) -> None:
    """R8: a certificate with one fault has one finding, of the rule that is about this fault."""
    assert [rule_of(finding) for finding in SPECIMENS[rule].findings()] == [rule]


def test_r8_each_rule_is_among_them() -> None:
    """R8: there is no rule of the lint without a specimen."""
    assert set(SPECIMENS) == set(LINT_RULES)


def test_r8_what_the_profile_renders_is_no_specimen() -> None:
    """R8: without a fault there is no finding, so each specimen's is about its own."""
    assert Specimen(encode_tbs(_tbs())).findings() == ()


_ALL = [each.oid for each in _tbs().extensions]


@pytest.mark.parametrize("oid", _ALL, ids=oids.describe)
def test_r8_each_extension_has_its_three_faults(oid: str) -> None:
    """R8: each extension that is missing, of another criticality or of another value is one finding that names it."""
    extension = _extension(oid)
    faults = {
        "extension-missing": _with(without=oid),
        "extension-critical": _with(replace(extension, critical=not extension.critical), without=oid),
        "extension-value": _with(replace(extension, value=_spoilt(extension.value)), without=oid),
    }
    for rule, specimen in faults.items():
        findings = specimen.findings()
        names_it = [oids.describe(oid) in finding for finding in findings]
        if oid == oids.CE_SUBJECT_ALT_NAME and rule != "extension-critical":
            # Its value is compared as a set of names.
            assert "alternative-names" in {rule_of(finding) for finding in findings}
            continue
        assert ([rule_of(finding) for finding in findings], names_it) == ([rule], [True])


def _spoilt(value: bytes) -> bytes:
    """Change a value and leave its structure as it is."""
    if value == b"\x30\x00":
        return bytes.fromhex("30030101ff")
    if value[:1] == b"\x03":
        return b"\x03\x02\x02\x04"
    return value[:-1] + bytes([value[-1] ^ 1])


def test_a_finding_of_somebody_else_is_no_rule() -> None:
    """What pkilint finds has codes of its own."""
    with pytest.raises(ValueError, match="unpack"):
        rule_of("pkix.invalid_uri_syntax: at certificate")
