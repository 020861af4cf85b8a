"""The table of what is unsafe: each row is found, and what needs no acknowledgement gives no unsafe certificate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from regalia import reasons
from regalia.ca.profile import specimens
from regalia.ca.profile_purposes import ALLOWED_PURPOSES, NEVER_PURPOSES
from regalia.ca.profile_safety import EVERYTHING, RULES, Severity, findings_of
from regalia.ca.profile_variables import VARIABLES, sample_facts
from regalia.errors import AdminError
from regalia.wire import oids
from regalia.wire.names import SID_URI
from small_ca import SmallCa, profile_of

_CA = SmallCa()
_AUTHORITY = _CA.issuing()

CLIENT = {"validity": {"duration": "365d"}, "usage": {"extended-key-usage": ["clientAuth"]}}


def _with(document: dict[str, Any], **changes: object) -> str:
    return json.dumps({**document, **{key.replace("_", "-"): value for key, value in changes.items()}})


def _usage(*purposes: str) -> dict[str, object]:
    return {"extended-key-usage": list(purposes)}


def _san(kind: str, value: str) -> list[dict[str, str]]:
    return [{"kind": kind, "value": value}]


ACKNOWLEDGED = {
    "names-from-request": [
        _with(CLIENT, names="from-csr"),
        _with(CLIENT, subject={"cn": "{request.cn}"}),
        _with(CLIENT, subject={"cn": "{binding.cn}"}, san=_san("dns", "{request.dns?}")),
    ],
    "spoofable-names": [
        _with(CLIENT, subject={"cn": "{device.name}"}),
        _with(CLIENT, san=_san("uri", "urn:serial:{device.serial?}"), subject={"cn": "{device.id}"}),
    ],
    "upn-from-request": [_with(CLIENT, subject={"cn": "{binding.cn}"}, san=_san("upn", "{request.upn?}"))],
    "server-names-from-request": [_with(CLIENT, names="from-csr", usage=_usage("serverAuth"))],
    "server-and-client": [_with(CLIENT, usage=_usage("clientAuth", "serverAuth"))],
    "unknown-purpose": [_with(CLIENT, usage=_usage("clientAuth", "1.3.6.1.4.1.311.99.1"))],
    "long-validity": [
        _with(CLIENT, validity={"duration": "826d"}),
        _with(CLIENT, validity={"duration": "399d"}, usage=_usage("serverAuth")),
    ],
}
"""Documents that do what each name answers for."""


@pytest.mark.parametrize(
    ("name", "document"), [(name, document) for name, several in ACKNOWLEDGED.items() for document in several]
)
def test_what_is_unsafe_needs_its_acknowledgement_by_name(name: str, document: str) -> None:
    """POL-6, RAD-5: refused without the name, refused with all others, read with all of them."""
    for given_names in ((), EVERYTHING - {name}):
        with pytest.raises(AdminError) as caught:
            profile_of(document, acknowledged=given_names)
        assert caught.value.reason is reasons.ACKNOWLEDGEMENT_NEEDED
        assert f"--acknowledge {name}" in caught.value.detail
    assert name in {finding.rule.name for finding in findings_of(profile_of(document, acknowledged=EVERYTHING))}


def test_each_acknowledgement_has_a_document_here() -> None:
    """The table above is whole."""
    assert set(ACKNOWLEDGED) == EVERYTHING


@pytest.mark.parametrize(
    "document",
    [
        _with(CLIENT, usage=_usage("anyExtendedKeyUsage")),
        _with(CLIENT, usage=_usage("pkinitClient"), names="from-csr"),
        _with(CLIENT, usage=_usage("msSmartcardLogon"), subject={"cn": "{request.cn}"}),
        _with(CLIENT, usage=_usage("msSmartcardLogon"), subject={"cn": "{device.name}"}),
        _with(CLIENT, subject={"cn": "*.example.com"}),
        _with(CLIENT, san=_san("dns", "*.example.com")),
        _with(CLIENT, san=_san("dns", "localhost")),
        _with(CLIENT, san=_san("uri", f"{SID_URI}S-1-5-21-1-2-3-4")),
        _with(CLIENT, san=_san("uri", SID_URI + "{device.id}")),
        _with(CLIENT, subject={"cn": "{user.sid}"}),
        _with(CLIENT, subject={"cn": "x"}, microsoft={"sid": "S-1-5-21-1-2-3-4"}),
        _with(CLIENT, subject={"cn": "x"}, microsoft={"sid": "{request.cn}"}),
        _with(CLIENT, subject={"cn": "x"}, microsoft={"sid": "S-1-5-21-{binding.cn}"}),
        _with(CLIENT, policies={"always": ["2.5.29.32.0"]}),
        _with(CLIENT, keys={"rsa-min-bits": 1024}),
        _with(CLIENT, keys={"rsa-bits": [1024]}),
        _with(CLIENT, validity={"duration": "30d", "backdate": "2h"}),
        _with(CLIENT, subject={"ou": "nobody"}),
        *(_with(CLIENT, usage=_usage(purpose)) for purpose in sorted(NEVER_PURPOSES)),
    ],
)
def test_what_is_never_issued_is_refused_whatever_is_acknowledged(document: str) -> None:
    """POL-2, POL-5: no acknowledgement makes a CA, a SID of a device's choice or a wildcard."""
    with pytest.raises(AdminError) as caught:
        profile_of(document, acknowledged=EVERYTHING)
    assert caught.value.reason is reasons.PROFILE_REFUSED


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("person-on-the-air", _with(CLIENT, subject={"cn": "{user.name}"})),
        ("person-on-the-air", _with(CLIENT, san=_san("upn", "{binding.upn}"))),
        ("same-for-all", _with(CLIENT, subject={"cn": "kiosk"})),
        ("same-for-all", _with(CLIENT, subject={"cn": "kiosk of {group}"})),
        ("needs-connector", _with(CLIENT, subject={"cn": "{binding.cn}", "ou": "{user.name?}"})),
        ("short-keys", _with(CLIENT, validity={"duration": "3650d"})),
    ],
)
def test_what_is_unwise_is_told(name: str, document: str) -> None:
    """PRIV-2 and others: a warning is no refusal."""
    found = findings_of(profile_of(document, acknowledged=EVERYTHING))
    assert name in {finding.rule.name for finding in found if finding.rule.severity is Severity.WARN}


def test_the_rows_have_names_of_their_own() -> None:
    """A name stands for one row, and each row that can be acknowledged or warned of looks at profiles."""
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.found is not None for rule in RULES if rule.severity is not Severity.NEVER)


# --- documents by chance ----------------------------------------------------------------------------------------------

_REFERENCES = st.sampled_from([f"{{{name}{mark}}}" for name in VARIABLES for mark in ("", "?")])
_TEXTS = st.sampled_from(["x", "example.com", "*.", ".", "urn:device:", "@example.com", "localhost", SID_URI, "co.uk"])
_TEMPLATES = st.lists(st.one_of(_REFERENCES, _TEXTS), min_size=1, max_size=3).map("".join)
_KINDS = st.sampled_from(["dns", "email", "uri", "ip", "upn", "permanent-identifier", "hardware-module"])
_PURPOSES = st.sampled_from([*ALLOWED_PURPOSES, *sorted(NEVER_PURPOSES), "1.3.6.1.4.1.99999.5", "1.3.6.1.5.5.7.3.99"])
_FITTING = {
    "dns": ["{binding.dns}", "{device.dns}", "{request.dns}", "{device.id}.example.com"],
    "upn": ["{binding.upn}", "{user.upn}", "{request.upn}"],
    "email": ["{binding.email}", "{user.email}", "{request.email}"],
    "uri": ["{binding.uri}", "urn:device:{device.id}", "urn:name:{device.name}", "{request.uri}"],
}
_FINE_SANS = st.sampled_from([{"kind": kind, "value": value} for kind, values in _FITTING.items() for value in values])
_ODD_SANS = st.builds(lambda kind, value: {"kind": kind, "value": value}, _KINDS, _TEMPLATES)
_FINE_TEMPLATES = st.sampled_from(
    ["{device.id}", "{binding.cn}", "{binding.cn?}", "d-{key.hash20}", "{device.name}", "x"]
)


def _mostly(fine: st.SearchStrategy[object], odd: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.integers(0, 9).flatmap(lambda draw: odd if draw == 9 else fine)


_PARTS: dict[str, st.SearchStrategy[object]] = {
    "names": _mostly(st.just("binding"), st.just("from-csr")),
    "subject": st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("cn", "o", "uid", "serial-number"), _mostly(_FINE_TEMPLATES, _TEMPLATES))
    ),
    "san": _mostly(st.lists(_FINE_SANS, max_size=2), st.lists(_ODD_SANS, min_size=1, max_size=2)),
    "microsoft": _mostly(
        st.fixed_dictionaries({}, optional={"sid": st.sampled_from(["{binding.sid}", "{user.sid?}"])}),
        st.fixed_dictionaries(
            {
                "sid": st.sampled_from(["{binding.sid}", "{request.cn}", "S-1-5-21-1-2-3-4"]),
                "sid-forms": st.sampled_from([["extension"], ["uri"], ["extension", "uri"]]),
            }
        ),
    ),
    "keys": _mostly(
        st.sampled_from([{}, {"rsa-min-bits": 0}, {"rsa-bits": [3072]}]),
        st.sampled_from([{"rsa-min-bits": 1024}, {"curves": ["p-192"]}, {"curves": [], "rsa-min-bits": 0}]),
    ),
    "policies": _mostly(st.sampled_from([{}, {"always": ["1.2.3"]}]), st.just({"always": ["2.5.29.32.0"]})),
    "validity": st.fixed_dictionaries(
        {"duration": st.sampled_from(["1d", "365d", "398d", "399d", "826d"])},
        optional={
            "backdate": _mostly(st.sampled_from(["0m", "1h"]), st.just("2h")),
            "align": _mostly(st.just("none"), st.sampled_from(["day", "month"])),
        },
    ),
    "usage": st.fixed_dictionaries(
        {
            "extended-key-usage": _mostly(
                st.sampled_from([["clientAuth"], ["serverAuth"], ["clientAuth", "serverAuth"], ["msSmartcardLogon"]]),
                st.lists(_PURPOSES, max_size=3),
            )
        },
        optional={"key-usage": _mostly(st.just(["digitalSignature"]), st.sampled_from([["keyCertSign"], ["cRLSign"]]))},
    ),
}


_NEEDED = ("validity", "usage")
_OTHERS = {key: part for key, part in _PARTS.items() if key not in _NEEDED}


def test_a_profile_without_acknowledgement_gives_no_unsafe_certificate() -> None:
    """Holds 4: whatever a document says, what it gives without acknowledgement is read as safe by a foreign parser."""
    accepted: list[str] = []

    @settings(max_examples=300, database=None)
    @given(st.fixed_dictionaries({key: _PARTS[key] for key in _NEEDED}, optional=_OTHERS))
    def judged(document: dict[str, object]) -> None:
        try:
            profile = profile_of(json.dumps(document))
        except AdminError:
            return
        accepted.append(profile.document)
        for specimen in specimens(profile, _AUTHORITY, _CA.urls, _CA.clock.now()):
            _is_safe(x509.load_der_x509_certificate(specimen), document)

    judged()
    # A test that refuses all documents would hold for a table that refuses everything.
    assert len(set(accepted)) >= 20


def _is_safe(certificate: x509.Certificate, document: dict[str, object]) -> None:
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert not usage.key_cert_sign
    assert not usage.crl_sign
    purposes = {each.dotted_string for each in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value}
    assert purposes
    assert not purposes & NEVER_PURPOSES
    assert not {oids.KP_SERVER_AUTH, oids.KP_CLIENT_AUTH} <= purposes
    assert not any(each.startswith("1.3.6.1.5.5.7.3.") and each not in ALLOWED_PURPOSES.values() for each in purposes)
    _has_a_safe_life(certificate, purposes)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048)
    _has_safe_names(certificate, document, authenticates=purposes != {oids.KP_SERVER_AUTH})


def _has_a_safe_life(certificate: x509.Certificate, purposes: set[str]) -> None:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life <= timedelta(days=398 if oids.KP_SERVER_AUTH in purposes else 825)
    now = datetime.fromtimestamp(_CA.clock.now().timestamp(), UTC)
    assert certificate.not_valid_before_utc >= now - timedelta(hours=1, seconds=1)


def _has_safe_names(certificate: x509.Certificate, document: dict[str, object], *, authenticates: bool) -> None:
    """Samples stand for values: one of a request or of a spoofable variable may not have come through."""
    text = certificate.public_bytes(Encoding.DER).decode("latin-1")
    facts = sample_facts()
    said = json.dumps(document)
    assert "{request." not in said
    assert document.get("names") != "from-csr"
    for attribute in certificate.subject:
        assert not str(attribute.value).startswith("*")
    hosts, addresses = _alternatives(certificate)
    for name in hosts:
        assert "*" not in name
        assert name.count(".") >= 1
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    for name in (*hosts, *addresses, *common) if authenticates else ():
        assert facts["device.name"][0] not in name
        assert facts["device.imei"][0] not in name
    if "S-1-5-21-" in text:
        assert '"sid": "{binding.sid' in said or '"sid": "{user.sid' in said
        assert "S-1-5-21-1-2-3-4" not in text


def _alternatives(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Read DNS names, and URIs and e-mail addresses."""
    try:
        sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    others = sans.get_values_for_type(x509.RFC822Name) + sans.get_values_for_type(x509.UniformResourceIdentifier)
    return sans.get_values_for_type(x509.DNSName), others
