"""A request beside what its profile gives: each field, on both sides, and how they compare."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from regalia import reasons
from regalia.model import NO_NAMES, ConversationKey, Enrolment, EnrolmentState, Names, San, SanKind
from regalia.model.profile import Align, ExpiryRule
from regalia.verbs.enrolment_compared import Part, Verdict, compared
from world import World, names, rsa_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from regalia.errors import Reason
    from regalia.model import Profile
    from regalia.verbs.enrolment_compared import ComparedField

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING_ELSE = dict.fromkeys(("data_encipherment", "key_agreement", "crl_sign", "encipher_only", "decipher_only"))


@pytest.fixture
def profile() -> Profile:
    """Return the profile of the default endpoint."""
    door = World().store.door("default")
    assert door is not None
    return door.profile


def request(
    *extensions: x509.ExtensionType, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None, o: str = ""
) -> bytes:
    """Make a PKCS #10 request by a library that is not ours."""
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, "laptop-1")]
    subject += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o)] if o else []
    builder = x509.CertificateSigningRequestBuilder(x509.Name(subject))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key or rsa_key(0), SHA256()).public_bytes(Encoding.DER)


def usage(**bits: bool) -> x509.KeyUsage:
    """Make a KeyUsage of the bits that are named."""
    known = ("digital_signature", "content_commitment", "key_encipherment", "key_cert_sign", *EVERYTHING_ELSE)
    return x509.KeyUsage(**{name: bits.get(name, False) for name in known})


def enrolment(
    asked: Names,
    allowed: Names,
    csr: bytes | None = None,
    *,
    state: EnrolmentState = EnrolmentState.REFUSED,
    reason: Reason | None = None,
) -> Enrolment:
    """Make an enrolment of these names."""
    return Enrolment(
        id=UUID(int=1),
        key=ConversationKey("default", b"1", bytes(32), None, None),
        group="default",
        profile="eap-tls",
        profile_version=1,
        state=state,
        asked=asked,
        allowed=allowed,
        csr=request() if csr is None else csr,
        source="192.0.2.1",
        created_at=NOW,
        updated_at=NOW,
        lineage=None,
        reason_id=reason.id if reason is not None else None,
    )


def field(found: tuple[ComparedField, ...], part: Part, kind: str = "") -> ComparedField:
    """Return the one field of a part and kind."""
    fields = [each for each in found if (each.part, each.kind) == (part, kind)]
    assert len(fields) == 1, found
    return fields[0]


@pytest.mark.parametrize(
    ("asked", "allowed", "state", "verdict"),
    [
        ("laptop-1", "laptop-1", EnrolmentState.REFUSED, Verdict.SAME),
        ("laptop-2", "laptop-1", EnrolmentState.REFUSED, Verdict.DIFFERS),
        ("laptop-2", "laptop-1", EnrolmentState.ISSUED, Verdict.REPLACED),
        (None, "laptop-1", EnrolmentState.ISSUED, Verdict.ADDED),
    ],
)
def test_a_name_is_compared_with_the_one_of_its_kind(
    profile: Profile, asked: str | None, allowed: str, state: EnrolmentState, verdict: Verdict
) -> None:
    """A common name stands beside the common name, and whether its difference matters depends on the outcome."""
    found = field(compared(enrolment(names(asked), names(allowed), state=state), profile), Part.SUBJECT, "cn")
    assert (found.given, found.asked) == ((allowed,), (asked,) if asked else ())
    assert found.verdict is verdict


def test_a_name_of_a_kind_that_nobody_gives_is_not_allowed(profile: Profile) -> None:
    """What was asked for beyond the names that are given is what a refusal is about, and is left out of an issue."""
    asked = Names("laptop-1", frozenset({San(SanKind.DNS, "a.example.test"), San(SanKind.UPN, "x@example.test")}))
    allowed = names("laptop-1", "a.example.test")
    refused = compared(enrolment(asked, allowed), profile)
    assert [(each.part, each.kind, each.verdict) for each in refused[:3]] == [
        (Part.SUBJECT, "cn", Verdict.SAME),
        (Part.ALTERNATIVE_NAME, "dns", Verdict.SAME),
        (Part.ALTERNATIVE_NAME, "upn", Verdict.NOT_ALLOWED),
    ]
    issued = compared(enrolment(asked, allowed, state=EnrolmentState.ISSUED), profile)
    assert field(issued, Part.ALTERNATIVE_NAME, "upn").verdict is Verdict.LEFT_OUT


def test_where_nobody_said_which_names_are_given_nothing_is_judged(profile: Profile) -> None:
    """A request that was refused before has names of one side only, and no verdict on them."""
    found = field(compared(enrolment(names("laptop-1"), NO_NAMES), profile), Part.SUBJECT, "cn")
    assert (found.given, found.verdict) == ((), Verdict.NOT_JUDGED)


def test_keys_are_named_as_one_asks_for_them(profile: Profile) -> None:
    """A key that the profile allows is allowed; one that it does not, or that is weak, is not (KEY-1)."""
    found = field(compared(enrolment(NO_NAMES, NO_NAMES), profile), Part.KEY)
    assert found.asked == ("RSA-2048",)
    assert found.given == ("RSA ≥ 2048", "P-256", "P-384")
    assert found.verdict is Verdict.ALLOWED
    only_ec = replace(profile, rsa_min_bits=0, ed25519=True, ml_dsa=("ml-dsa-44",))
    found = field(compared(enrolment(NO_NAMES, NO_NAMES), only_ec), Part.KEY)
    assert found.given == ("P-256", "P-384", "Ed25519", "ML-DSA-44")
    assert found.verdict is Verdict.NOT_ALLOWED
    assert field(compared(enrolment(NO_NAMES, NO_NAMES), replace(profile, rsa_bits=(3072,))), Part.KEY).given[0] == (
        "RSA-3072"
    )
    weak = enrolment(NO_NAMES, NO_NAMES, reason=reasons.KEY_WEAK)
    assert field(compared(weak, profile), Part.KEY).verdict is Verdict.NOT_ALLOWED


def test_usages_are_those_that_the_key_can_have(profile: Profile) -> None:
    """An EC key gets no keyEncipherment, and what was asked for beyond that is left out; keyCertSign is not allowed."""
    asked = usage(digital_signature=True, key_encipherment=True)
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    found = compared(enrolment(NO_NAMES, NO_NAMES, request(asked, client)), profile)
    assert field(found, Part.KEY_USAGE).verdict is Verdict.SAME
    assert field(found, Part.EXTENDED_KEY_USAGE).verdict is Verdict.SAME
    curve = request(asked, client, key=ec.generate_private_key(ec.SECP256R1()))
    usages = field(compared(enrolment(NO_NAMES, NO_NAMES, curve), profile), Part.KEY_USAGE)
    assert (usages.given, usages.verdict) == (("digitalSignature",), Verdict.LEFT_OUT)
    bare = field(compared(enrolment(NO_NAMES, NO_NAMES), profile), Part.KEY_USAGE)
    assert (bare.asked, bare.verdict) == ((), Verdict.ADDED)
    signs = request(usage(digital_signature=True, key_cert_sign=True))
    found = compared(enrolment(NO_NAMES, NO_NAMES, signs), profile)
    assert field(found, Part.KEY_USAGE).verdict is Verdict.NOT_ALLOWED


def test_what_nothing_is_given_for_is_told(profile: Profile) -> None:
    """A CA's basic constraints are not allowed, and what nobody reads of a request is left out (POL-2, R5.2)."""
    authority = x509.BasicConstraints(ca=True, path_length=None)
    found = compared(enrolment(NO_NAMES, NO_NAMES, request(authority, o="Example")), profile)
    others = [(each.asked, each.verdict) for each in found if each.part is Part.OTHER]
    assert others == [
        (("basicConstraints CA:TRUE",), Verdict.NOT_ALLOWED),
        (("O=Example",), Verdict.LEFT_OUT),
    ]


def test_the_validity_is_told_in_units_of_every_language(profile: Profile) -> None:
    """Nobody asks for a validity: the profile gives it, with its last day where it has one."""
    found = field(compared(enrolment(NO_NAMES, NO_NAMES), profile), Part.VALIDITY)
    assert (found.given, found.asked, found.verdict) == (("≤ 365 d",), (), Verdict.ADDED)
    short = replace(
        profile,
        validity=replace(profile.validity, duration=timedelta(hours=12)),
        expiry=ExpiryRule(datetime(2026, 7, 1, tzinfo=UTC), Align.NONE),
    )
    assert field(compared(enrolment(NO_NAMES, NO_NAMES), short), Part.VALIDITY).given == ("≤ 12 h", "≤ 2026-07-01")


def test_what_has_no_request_is_compared_by_its_names(profile: Profile) -> None:
    """Where no request is kept, names and validity are all there is; without its profile nothing is said."""
    found = compared(enrolment(names("laptop-1"), names("laptop-1"), b""), profile)
    assert [each.part for each in found] == [Part.SUBJECT, Part.VALIDITY]
    assert compared(enrolment(names("laptop-1"), names("laptop-1")), None) == ()
