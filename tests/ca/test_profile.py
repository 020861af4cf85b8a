"""Profiles: what a document may say, the certificate that follows, and what a request may not ask for."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.ca.profile import DEFAULT_DOCUMENT, forbidden_extensions, leaf_tbs, specimens
from regalia.ca.urls import Urls
from regalia.errors import AdminError, InvariantError, PeerError
from regalia.model import Authority, Names, NamesFrom, Profile, San, SanKind
from regalia.wire import der, oids
from regalia.wire.certificate import (
    CertificateFacts,
    Extension,
    basic_constraints,
    encode_tbs,
    extended_key_usage,
    key_usage,
    read_certificate,
    read_extended_key_usage,
    read_key_usage,
    read_tbs,
    subject_key_identifier,
)
from regalia.wire.names import name_text, read_sans
from small_ca import NAMES, SmallCa, ec_spki, profile_of

_CA = SmallCa()
_AUTHORITY = _CA.issuing()
_URLS = Urls("http://pki.example.test")
_NOW = _CA.clock.now()
_RSA_SPKI = (
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)


def _document(**changes: object) -> str:
    """The default document with dotted keys changed; None removes one."""
    document = tomllib.loads(DEFAULT_DOCUMENT)
    for dotted, value in changes.items():
        *path, last = dotted.replace("__", ".").replace("_", "-").split(".")
        place = document
        for step in path:
            place = place.setdefault(step, {})
        place[last] = value
        if value is None:
            del place[last]
    return json.dumps(document)


def _problems(document: str) -> str:
    with pytest.raises(AdminError) as caught:
        profile_of(document)
    assert caught.value.reason is reasons.PROFILE_REFUSED
    return caught.value.detail


# --- documents -------------------------------------------------------------------------------------------------------


def test_the_default_profile_is_an_eap_tls_client() -> None:
    """The default document: 365 days, five minutes back, RSA 2048 or P-256/P-384, clientAuth, names by binding."""
    profile = profile_of()
    assert profile.names_from is NamesFrom.BINDING
    assert (profile.validity.duration, profile.validity.backdate) == (timedelta(days=365), timedelta(minutes=5))
    assert (profile.rsa_min_bits, profile.curves) == (2048, ("p-256", "p-384"))
    assert profile.extended_key_usage == (oids.KP_CLIENT_AUTH,)
    assert (profile.ed25519, profile.ml_dsa) == (False, ())
    assert profile.organisation is None


def test_a_document_kept_before_a_key_was_known_reads_with_its_default() -> None:
    """What an earlier version of the product kept does not name Ed25519 and ML-DSA, and does not allow them."""
    kept = json.loads(profile_of().document)
    del kept["keys"]["ed25519"], kept["keys"]["ml-dsa"]
    assert profile_of(json.dumps(kept)) == profile_of()


def test_the_kept_document_is_canonical_and_reads_the_same() -> None:
    """What is kept is JSON with sorted keys and all defaults; read again it gives the same profile."""
    profile = profile_of('[validity]\nduration = "90d"\n[usage]\nextended-key-usage = ["clientAuth"]\n')
    assert profile_of(profile.document) == profile
    kept = json.loads(profile.document)
    assert profile.document == json.dumps(kept, sort_keys=True, separators=(",", ":"))
    assert kept["validity"] == {"backdate": "5m", "duration": "90d"}
    assert kept["keys"] == {"curves": ["p-256", "p-384"], "ed25519": False, "ml-dsa": [], "rsa-min-bits": 2048}


def test_every_problem_is_told_at_once() -> None:
    """ADM-007 lists all that is wrong, and suggests what a misspelt key may have meant."""
    text = _problems(_document(validity__duration="5y", keys__rsa_min_bits=1024, usage__key_usages=["x"], colour="red"))
    assert "validity.duration" in text
    assert "keys.rsa-min-bits" in text
    assert "usage.key-usages: there is no such key; did you mean usage.key-usage?" in text
    assert "colour: there is no such key" in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"usage__extended_key_usage": ["anyExtendedKeyUsage"]}, "allowed are clientAuth, serverAuth"),
        ({"usage__extended_key_usage": ["OCSPSigning"]}, "not allowed"),
        ({"usage__extended_key_usage": ["codeSigning"]}, "not allowed"),
        ({"usage__extended_key_usage": ["1.3.6.1.5.5.7.3.2"]}, "not allowed"),
        ({"usage__extended_key_usage": []}, "usage.extended-key-usage"),
        ({"usage__extended_key_usage": ["clientAuth", "clientAuth"]}, "twice"),
        ({"usage__key_usage": ["keyCertSign"]}, "not allowed"),
        ({"usage__key_usage": ["cRLSign"]}, "not allowed"),
        ({"usage__key_usage": []}, "usage.key-usage"),
        ({"usage__key_usage": ["keyEncipherment"]}, "elliptic curve"),
        ({"usage__key_usage": ["keyAgreement"]}, "RSA"),
        ({"validity__backdate": "61m"}, "more than one hour"),
        ({"validity__duration": "9m"}, "10 minutes"),
        ({"validity__duration": "3651d"}, "3650 days"),
        ({"validity__duration": 365}, "validity.duration"),
        ({"validity__duration": "365 d"}, "5m"),
        ({"validity__duration": None}, "validity.duration: is missing"),
        ({"keys__rsa_min_bits": 16384}, "8192"),
        ({"keys__rsa_min_bits": True}, "keys.rsa-min-bits"),
        ({"keys__curves": ["p-521"]}, "allowed are p-256, p-384"),
        ({"keys__curves": [], "keys__rsa_min_bits": 0}, "neither RSA nor a curve"),
        ({"keys__ml_dsa": ["ml-dsa-45"]}, "allowed are ml-dsa-44, ml-dsa-65, ml-dsa-87"),
        ({"keys__ed25519": "yes"}, "keys.ed25519"),
        ({"keys__ed25519": True, "keys__curves": [], "usage__key_usage": ["keyEncipherment"]}, "which only sign"),
        ({"keys__ml_dsa": ["ml-dsa-44"], "keys__rsa_min_bits": 0, "usage__key_usage": ["keyAgreement"]}, "only sign"),
        ({"names": "everything"}, "names"),
        ({"subject__organisation": "a\u202eb"}, "U+202E"),
        ({"subject__organisation": ""}, "empty"),
        ({"basic_constraints": {"ca": True}}, "no such key"),
    ],
)
def test_profiles_that_no_profile_may_be_are_refused(changes: dict[str, object], problem: str) -> None:
    """POL-2, POL-7, KEY-1: CA rights, purposes beyond the list, long back-dating and weak keys are refused."""
    assert problem in _problems(_document(**changes))


@pytest.mark.parametrize(
    "text", ['{"names": "binding", "names": "from-csr"}', "{", "names =", "[a", "[[[[" * 9000, "x" * 70_000]
)
def test_texts_that_are_no_document_are_refused(text: str) -> None:
    """Doubled keys, broken syntax, deep nesting and endless texts are refused, not stumbled over."""
    assert _problems(text)


def test_r5_names_from_the_request_need_an_acknowledgement() -> None:
    """R5.4: a profile that lets the device choose its names is refused until somebody answers for it."""
    document = _document(names="from-csr")
    with pytest.raises(AdminError) as caught:
        profile_of(document)
    assert caught.value.reason is reasons.ACKNOWLEDGEMENT_NEEDED
    assert profile_of(document, acknowledged=["names-from-request"]).names_from is NamesFrom.CSR


# --- the certificate -------------------------------------------------------------------------------------------------


def _leaf(
    profile: Profile, authority: Authority = _AUTHORITY, names: Names = NAMES, key: bytes = b""
) -> CertificateFacts:
    tbs = leaf_tbs(profile, authority, serial=1 << 100, names=names, public_key=key or ec_spki(), now=_NOW, urls=_URLS)
    return read_tbs(encode_tbs(tbs))


def test_pol1_a_leaf_is_what_the_profile_says() -> None:
    """POL-1: issuer, validity, usages, identifiers and URLs come from profile and authority."""
    issuer = read_certificate(_AUTHORITY.certificate_der)
    leaf = _leaf(profile_of())
    assert leaf.issuer == issuer.subject
    assert leaf.aki == issuer.ski
    assert leaf.not_before == max((_NOW - timedelta(minutes=5)).replace(microsecond=0), issuer.not_before)
    assert leaf.not_after - leaf.not_before == timedelta(days=365)
    assert not leaf.is_ca
    assert {extension.oid: extension.critical for extension in leaf.extensions} == {
        oids.CE_BASIC_CONSTRAINTS: True,
        oids.CE_KEY_USAGE: True,
        oids.CE_EXT_KEY_USAGE: False,
        oids.CE_SUBJECT_KEY_IDENTIFIER: False,
        oids.CE_AUTHORITY_KEY_IDENTIFIER: False,
        oids.CE_SUBJECT_ALT_NAME: False,
        oids.CE_CRL_DISTRIBUTION_POINTS: False,
        oids.PE_AUTHORITY_INFO_ACCESS: False,
    }


def _value(leaf: CertificateFacts, oid: str) -> bytes:
    extension = leaf.extension(oid)
    assert extension is not None
    return extension.value


def test_key_usages_follow_the_type_of_the_key() -> None:
    """RSA keys get keyEncipherment, keys on curves do not; the purposes are the profile's."""
    rsa_leaf, ec_leaf = _leaf(profile_of(), key=_RSA_SPKI), _leaf(profile_of())
    assert read_key_usage(_value(rsa_leaf, oids.CE_KEY_USAGE)) == ("digitalSignature", "keyEncipherment")
    assert read_key_usage(_value(ec_leaf, oids.CE_KEY_USAGE)) == ("digitalSignature",)
    assert read_extended_key_usage(_value(ec_leaf, oids.CE_EXT_KEY_USAGE)) == (oids.KP_CLIENT_AUTH,)


def test_names_are_rendered_with_the_organisation() -> None:
    """The subject holds the profile's organisation and the common name; alternative names are those of the set."""
    leaf = _leaf(profile_of(_document(subject__organisation="Example & Co")))
    assert name_text(leaf.subject) == "CN=laptop,O=Example & Co"
    assert read_sans(_value(leaf, oids.CE_SUBJECT_ALT_NAME)) == NAMES.sans


def test_alternative_names_are_critical_only_where_the_subject_is_empty() -> None:
    """RFC 5280 §4.2.1.6: without a subject the alternative names must be understood; without any they are absent."""
    sans = frozenset({San(SanKind.DNS, "a.example.com")})
    critical = _leaf(profile_of(), names=Names(None, sans)).extension(oids.CE_SUBJECT_ALT_NAME)
    assert critical is not None
    assert critical.critical
    assert _leaf(profile_of(), names=Names("only")).extension(oids.CE_SUBJECT_ALT_NAME) is None


def test_pol7_a_leaf_ends_with_its_issuer() -> None:
    """POL-7: the end is cut to the issuer's, and the beginning is not before the issuer's."""
    issuer = read_certificate(_AUTHORITY.certificate_der)
    document = _document(validity__duration="3650d", validity__backdate="60m")
    leaf = _leaf(profile_of(document, acknowledged=["long-validity"]))
    assert (leaf.not_before, leaf.not_after) == (issuer.not_before, issuer.not_after)


@pytest.mark.parametrize("bits", [0, 2048, 4096])
def test_a_specimen_is_a_finished_certificate(bits: int) -> None:
    """A specimen is read by an independent parser and has a key that the profile allows."""
    profile = profile_of(_document(keys__rsa_min_bits=bits))
    certificate = x509.load_der_x509_certificate(specimens(profile, _AUTHORITY, _URLS, _NOW)[0])
    key = certificate.public_key()
    if bits:
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == bits
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)


def test_urls_are_those_of_the_listener() -> None:
    """R11: CRL, OCSP and issuer addresses lie below the URL of init."""
    assert (_URLS.crl("a"), _URLS.ocsp("a"), _URLS.issuer("a")) == (
        "http://pki.example.test/crl/a.crl",
        "http://pki.example.test/ocsp/a",
        "http://pki.example.test/ca/a.cer",
    )


# --- what a request may ask for --------------------------------------------------------------------------------------


def _ext(oid: str, value: bytes = b"\x05\x00") -> Extension:
    return Extension(oid, critical=False, value=value)


@pytest.mark.parametrize(
    ("extension", "named"),
    [
        (basic_constraints(ca=True), "basicConstraints CA:TRUE"),
        (basic_constraints(ca=False, path_length=0), "basicConstraints CA:TRUE"),
        (_ext(oids.CE_BASIC_CONSTRAINTS), "basicConstraints that cannot be read"),
        (key_usage(("digitalSignature", "keyCertSign")), "keyUsage keyCertSign"),
        (key_usage(("cRLSign",)), "keyUsage cRLSign"),
        (extended_key_usage((oids.ANY_EXTENDED_KEY_USAGE,)), "extKeyUsage anyExtendedKeyUsage"),
        (extended_key_usage((oids.KP_CLIENT_AUTH, oids.KP_OCSP_SIGNING)), "extKeyUsage OCSPSigning"),
        (extended_key_usage((oids.KP_CODE_SIGNING,)), "extKeyUsage codeSigning"),
        (extended_key_usage((oids.KP_MS_ENROLMENT_AGENT,)), "extKeyUsage Microsoft enrolment agent"),
        (_ext(oids.CE_EXT_KEY_USAGE, b"\x30\x00"), "extKeyUsage that cannot be read"),
        (_ext(oids.MS_NTDS_CA_SECURITY), "Microsoft SID"),
        (_ext(oids.MS_CERTIFICATE_TEMPLATE), "Microsoft certificate template"),
        (_ext(oids.MS_CERTIFICATE_TEMPLATE_NAME), "Microsoft certificate template name"),
        (_ext(oids.MS_APPLICATION_POLICIES), "Microsoft application policies"),
        (_ext(oids.CE_NAME_CONSTRAINTS), "nameConstraints"),
        (_ext(oids.CE_POLICY_MAPPINGS), "policyMappings"),
        (_ext(oids.PE_AUTHORITY_INFO_ACCESS), "authorityInfoAccess"),
        (_ext(oids.CE_CRL_DISTRIBUTION_POINTS), "cRLDistributionPoints"),
        (_ext(oids.PKIX_OCSP_NOCHECK), "ocsp-nocheck"),
        (_ext(oids.CT_POISON), "certificate transparency poison"),
    ],
)
def test_pol2_what_no_request_may_set_is_forbidden(extension: Extension, named: str) -> None:
    """POL-2: each entry of the refusal list is found and named."""
    assert forbidden_extensions(profile_of(), (extension,)) == ((named,), ())


@pytest.mark.parametrize(
    "extension",
    [
        basic_constraints(ca=False),
        _ext(oids.CE_BASIC_CONSTRAINTS, b"\x30\x03\x01\x01\x00"),
        subject_key_identifier(b"k" * 20),
        key_usage(("digitalSignature", "keyEncipherment")),
        extended_key_usage((oids.KP_CLIENT_AUTH,)),
    ],
)
def test_r5_harmless_wishes_are_dropped_silently(extension: Extension) -> None:
    """R5.6: what the certificate has anyway is neither refused nor noted."""
    assert forbidden_extensions(profile_of(), (extension,)) == ((), ())


def test_r5_other_wishes_are_dropped_with_a_note() -> None:
    """R5.6: usages beyond the profile and extensions that we do not write are left out and named."""
    wishes = (
        key_usage(("digitalSignature", "dataEncipherment")),
        extended_key_usage((oids.KP_CLIENT_AUTH, oids.KP_EMAIL_PROTECTION)),
        _ext("1.2.840.113549.1.9.15"),
    )
    assert forbidden_extensions(profile_of(), wishes) == (
        (),
        ("keyUsage dataEncipherment", "extKeyUsage emailProtection", "1.2.840.113549.1.9.15"),
    )


def test_an_authority_without_a_key_identifier_cannot_issue() -> None:
    """A leaf needs its issuer's key identifier: a certificate without one is our bug, found before signing."""
    facts = der.read_one(_AUTHORITY.certificate_der).children()
    parts = [part.raw for part in facts[0].children()[:-1]]
    bare = der.sequence(der.sequence(*parts), facts[1].raw, facts[2].raw)
    with pytest.raises(InvariantError):
        _leaf(profile_of(), authority=replace(_AUTHORITY, certificate_der=bare))


# --- what documents say besides ---------------------------------------------------------------------------------------


def test_a_document_that_says_nothing_new_is_kept_as_it_always_was() -> None:
    """During an upgrade nodes of the version before read it too: new keys stand in it only where they say something."""
    kept = json.loads(profile_of().document)
    assert set(kept) == {"names", "validity", "keys", "usage", "subject"}
    assert kept["subject"] == {"organisation": None}
    newer = json.loads(profile_of(_document(validity__until="2030-12-31", keys__reuse="never")).document)
    assert newer["validity"] == {"duration": "365d", "backdate": "5m", "until": "2030-12-31"}
    assert newer["keys"]["reuse"] == "never"


def test_a_whole_document_survives_being_kept() -> None:
    """Every key that a document may have is kept and gives the same profile again."""
    document = """
domains = ["example.com"]
[subject]
cn = "{device.id}"
c = "DE"
dc = ["example", "com"]
o = "Example"
ou = ["Laptops", "{group}"]
serial-number = "{key.hash20}"
[[san]]
kind = "dns"
value = "{binding.dns?}"
[microsoft]
sid = "{binding.sid?}"
sid-forms = ["extension", "uri"]
template = "1.3.6.1.4.1.311.21.8.1.2"
template-version = [101, 3]
[validity]
duration = "365d"
until = 2030-12-31
align = "month"
[keys]
rsa-bits = [4096, 3072]
reuse = "never"
[usage]
extended-key-usage = ["clientAuth", "1.3.6.1.4.1.99999.7"]
[policies]
always = ["1.3.6.1.4.1.99999.1"]
attested = ["1.3.6.1.4.1.99999.2"]
[renewal]
window = "33%"
most = 5
[limits]
live = 2
per-day = 3
[[condition]]
expr = "device.id != ''"
message = "no device"
[[lint-ignore]]
code = "pkix.some_finding"
reason = "legal"
[[example]]
name = "one"
binding = { device = "x" }
"""
    profile = profile_of(document)
    assert profile_of(profile.document) == profile
    assert (profile.rsa_bits, profile.extended_key_usage[1]) == ((3072, 4096), "1.3.6.1.4.1.99999.7")
    leaf = _leaf(profile, names=Names("x", rdns=(("c", "DE"), ("dc", "com"), ("dc", "example"), ("o", "Example"))))
    assert name_text(leaf.subject) == "CN=x,O=Example,DC=example,DC=com,C=DE"
    assert leaf.not_after.day == 1
    assert _value(leaf, oids.MS_CERTIFICATE_TEMPLATE) == der.sequence(
        der.oid("1.3.6.1.4.1.311.21.8.1.2"), der.integer(101), der.integer(3)
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"usage__extended_key_usage": ["1.3.6.1.5.5.7.3.2"]}, 'write "clientAuth"'),
        ({"usage__extended_key_usage": ["1.3.6"]}, ""),
        ({"validity__until": "2030-02-30"}, "not a day"),
        ({"validity__align": "day", "validity__duration": "1d"}, "at least 2 days"),
        ({"keys__rsa_bits": [2048], "keys__rsa_min_bits": 3072}, "below rsa-min-bits"),
        ({"keys__rsa_bits": [2048], "keys__rsa_min_bits": 0}, "allows no RSA keys"),
        ({"domains": ["Example.com"]}, "small letters"),
        ({"domains": ["localhost"]}, "fully qualified"),
        ({"subject__o": "a", "subject__organisation": "b"}, "both organisation and o"),
        ({"subject__cn": "{binding.dns}"}, "may have several values"),
        ({"subject__cn": "{nobody}"}, "no variable {nobody}"),
        ({"subject__ou": "x"}, "neither a common name nor an alternative name"),
        ({"subject__c": "de", "subject__cn": "x"}, "two capital letters"),
        ({"san": [{"kind": "dns", "value": "{binding.dns}.{binding.ip}"}]}, "two variables"),
        ({"san": [{"kind": "x400", "value": "a"}]}, "allowed are dns"),
        ({"names": "from-csr", "subject__cn": "{binding.cn}"}, "templates take {request"),
        ({"microsoft": {"sid": "{binding.cn}"}}, "a SID is one of"),
        ({"renewal__window": "100%"}, "100%"),
        ({"limits__live": 0}, "limits.live"),
        ({"limits__overlap": "366d"}, "more than 365 days"),
        ({"limits__overlap": "a week"}, "not a number"),
        ({"condition": [{"expr": "1 + 1", "message": "x"}]}, "neither true nor false"),
        ({"condition": [{"expr": "true"}]}, "message: is missing"),
        ({"policies__always": ["x"]}, "not a dotted"),
        ({"policies__always": ["1.2.3"], "policies__bearer": ["1.2.3"]}, "same policy"),
        ({"conditions": []}, "did you mean condition"),
        ({"subject__serial_numbr": "x"}, "did you mean subject.serial-number"),
    ],
)
def test_what_a_document_says_wrong_is_told_in_its_words(changes: dict[str, object], problem: str) -> None:
    """ADM-007 names the key, what is wrong with it, and what may have been meant."""
    if problem:
        assert problem in _problems(_document(**changes))
    else:
        assert profile_of(_document(**changes)).version == 1


def test_exact_sizes_of_keys_are_exact() -> None:
    """KEY-1: where a profile lists sizes, no other is certified."""
    check_key(_RSA_SPKI, profile_of(_document(keys__rsa_bits=[2048, 4096])))
    with pytest.raises(PeerError) as caught:
        check_key(_RSA_SPKI, profile_of(_document(keys__rsa_bits=[3072, 4096])))
    assert "the profile allows 3072, 4096" in caught.value.detail
