"""What validateRequest answers to each thing that can be wrong with a request or its challenge."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lab_parts import Asked, device_key, request_for
from regalia.lab.challenge import ChallengeService, mint, sealed
from regalia.lab.changes import apply
from regalia.lab.verdicts import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_parts import Rehearsal

DNS = x509.DNSName("vpn.example")
DEVIATIONS: dict[str, tuple[Callable[[Asked], Asked], str]] = {
    "no challenge": (lambda it: it.but(challenge=None), "ChallengePasswordMissing"),
    "a static challenge": (lambda it: it.but(challenge="s3cret"), "ChallengeDecodingError"),
    "a truncated challenge": (lambda it: it.but(challenge=str(it.challenge)[:400]), "ChallengeDecodingError"),
    "no subject": (lambda it: it.but(common_name=None), "SubjectNameMissing"),
    "another subject": (lambda it: it.but(common_name="somebody"), "SubjectNameMismatch"),
    "no alternative name": (lambda it: it.but(sans=()), "SubjectAltNameMissing"),
    "another alternative name": (lambda it: it.but(sans=(DNS,)), "SubjectAltNameMismatch"),
    "one alternative name more": (lambda it: it.but(sans=(*it.sans, DNS)), "SubjectAltNameMismatch"),
    "no key usage": (lambda it: it.but(usages=None), "KeyUsageMismatch"),
    "a usage less": (lambda it: it.but(usages=frozenset({"digital_signature"})), "KeyUsageMismatch"),
    "a usage more": (
        lambda it: it.but(usages=frozenset({"digital_signature", "key_encipherment", "key_cert_sign"})),
        "KeyUsageMismatch",
    ),
    "no purpose": (lambda it: it.but(ekus=()), "EnhancedKeyUsageMissing"),
    "another purpose": (lambda it: it.but(ekus=("1.3.6.1.5.5.7.3.1",)), "EnhancedKeyUsageMismatch"),
    "a shorter key": (lambda it: it.but(bits=1024), "KeyLengthMismatch"),
}


@pytest.mark.parametrize("what", DEVIATIONS)
def test_deviations(lab: Rehearsal, what: str) -> None:
    """Each deviation of a request from what its challenge expects has its code."""
    change, code = DEVIATIONS[what]
    answer = lab.validate(change(lab.asked()).base64())
    assert (answer["code"], "errorDescription" in answer) == (code, True)


@pytest.mark.parametrize("encoded", ["%%%", "AAAA", "MIIB", base64.b64encode(b"\x30\x00").decode()])
def test_what_is_no_request(lab: Rehearsal, encoded: str) -> None:
    """What is no base64 of a PKCS #10 cannot be decoded."""
    assert lab.validate(encoded)["code"] == "CertificateRequestDecodingFailed"


def test_a_request_that_was_changed(lab: Rehearsal) -> None:
    """A request that its own key did not sign like this is not read."""
    octets = bytearray(lab.asked().der())
    octets[-1] ^= 1
    assert lab.validate(base64.b64encode(octets).decode())["code"] == "CertificateRequestDecodingFailed"


def test_a_challenge_with_a_changed_bit(lab: Rehearsal) -> None:
    """A challenge that was changed is not signed any more."""
    asked = lab.asked()
    octets = bytearray(base64.b64decode(str(asked.challenge)))
    octets[-1] ^= 1
    forged = base64.b64encode(octets).decode()
    assert lab.validate(asked.but(challenge=forged).base64())["code"] == "SignatureValidationFailed"


def test_a_challenge_of_somebody_else(lab: Rehearsal) -> None:
    """A challenge that another key signed, under whatever name, is told from one that is damaged."""
    managed = lab.first()
    forged = mint(ChallengeService(), lab.tenant, managed, lab.tenant.profiles.all()[0])
    assert lab.validate(request_for(managed, forged).base64())["code"] == "SigningCertThumbprintMismatch"


def test_a_challenge_of_another_tenant(lab: Rehearsal) -> None:
    """A device of another tenant brings a challenge that this one cannot decrypt."""
    managed = lab.first(0, lab.other)
    challenge = lab.cloud.challenge(managed.id, tenant=lab.other)
    assert lab.validate(request_for(managed, challenge).base64())["code"] == "ChallengeDecryptionError"


def test_an_unreadable_content(lab: Rehearsal) -> None:
    """A challenge whose content is another document than it should be is not understood."""
    challenge = sealed(lab.cloud.challenges, lab.tenant, {"version": 2})
    assert lab.validate(request_for(lab.first(), challenge).base64())["code"] == "ChallengeDeserializationError"


def test_an_old_challenge(lab: Rehearsal) -> None:
    """A challenge is good for an hour."""
    asked = lab.asked()
    lab.clock.move(timedelta(minutes=59))
    assert lab.validate(asked.base64())["code"] == "Success"
    lab.clock.move(timedelta(minutes=1, seconds=1))
    assert lab.validate(asked.base64())["code"] == "ChallengeExpired"


def test_a_challenge_from_the_future(lab: Rehearsal) -> None:
    """A challenge that was made later than now, beyond the skew, says that a clock is wrong."""
    lab.clock.move(timedelta(hours=2))
    asked = lab.asked()
    lab.clock.move(timedelta(hours=-2))
    assert lab.validate(asked.base64())["code"] == "ChallengeInvalidTimestamp"


def test_a_profile_that_was_taken_back(lab: Rehearsal) -> None:
    """A challenge of a profile that is not assigned any more is refused, though nothing in it changed."""
    asked = lab.asked()
    apply(lab.tenant, "edit-profile", {"profile": lab.tenant.profiles.all()[0].id, "groups": []})
    assert lab.validate(asked.base64())["code"] == "ScepProfileNoLongerTargetedToTheClient"


def test_a_device_that_left_the_group(lab: Rehearsal) -> None:
    """Who leaves the inner one of nested groups loses the profile."""
    asked, managed = lab.asked(), lab.first()
    device = lab.tenant.entra_device_of(managed)
    assert device is not None
    inner = next(group for group in lab.tenant.groups.all() if device.id in group.members)
    apply(lab.tenant, "group", {"group": inner.id, "remove": [device.id]})
    assert lab.validate(asked.base64())["code"] == "ScepProfileNoLongerTargetedToTheClient"


@pytest.mark.parametrize(
    ("change", "code"),
    [("delete", "BadDeviceIdInChallenge"), ("delete-user", "BadUserIdInChallenge")],
)
def test_ids_that_are_gone(lab: Rehearsal, change: str, code: str) -> None:
    """A challenge of a device or a user that is deleted names an id that nobody knows."""
    asked, managed = lab.asked(), lab.first()
    apply(lab.tenant, change, {"device": managed.id, "user": managed.user_id})
    assert lab.validate(asked.base64())["code"] == code


def test_a_challenge_that_nobody_asked_for(lab: Rehearsal) -> None:
    """A challenge whose request id Intune does not remember is refused."""
    asked = lab.asked()
    lab.tenant.challenges.clear()
    assert lab.validate(asked.base64())["code"] == "BadCertificateRequestIdInChallenge"


def test_registered_keys(lab: Rehearsal) -> None:
    """Where the profile wants a registered key, none in the list, another one and the right one are three answers."""
    profile, managed = lab.tenant.profiles.all()[0], lab.first()
    lab.tenant.profiles.put(replace(profile, registered_key=True))
    info = device_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    right = base64.b64encode(hashlib.sha256(info).digest()).decode()
    codes = []
    for keys in ((), ("AAAA",), (right,)):
        lab.tenant.managed.put(replace(managed, registered_keys=keys))
        codes.append(lab.validate(lab.asked().base64())["code"])
    assert codes == ["AadKeyIdentifierListMissing", "RegisteredKeyMismatch", "Success"]


def test_a_challenge_in_two_transactions(lab: Rehearsal) -> None:
    """Whether a challenge serves twice is nobody's knowledge, so it is a switch; the same transaction may repeat."""
    asked = lab.asked().base64()
    assert [lab.validate(asked, one)["code"] for one in ("a", "b")] == ["Success", "Success"]
    lab.tenant.unverified = replace(lab.tenant.unverified, single_use=True)
    fresh = lab.asked(2).base64()
    assert [lab.validate(fresh, one)["code"] for one in ("c", "c", "d")] == ["Success", "Success", "ChallengeExpired"]


def test_user_certificates(lab: Rehearsal) -> None:
    """A profile of type User expects the names of the device's user."""
    profile, managed = lab.tenant.profiles.all()[0], lab.first()
    lab.tenant.profiles.put(
        replace(profile, subject="CN={{UserName}}", sans=(("UPN", "{{UserPrincipalName}}"),), for_user=True)
    )
    name = str(managed.user_principal_name)
    value = b"\x0c" + bytes([len(name)]) + name.encode()
    upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), value)
    asked = lab.asked().but(common_name=name.partition("@")[0], sans=(upn,))
    assert lab.validate(asked.base64())["code"] == "Success"
    assert lab.validate(asked.but(common_name="user00000").base64())["code"] == "SubjectNameMismatch"


def test_a_reason_is_kept_for_whoever_rehearses(lab: Rehearsal) -> None:
    """The verdict's reason is kept beside it, and not sent."""
    asked = lab.asked().but(common_name="somebody")
    verdict = judge(lab.cloud.challenges, lab.tenant, "t", asked.base64())
    assert "somebody" in verdict.detail
    assert "somebody" not in str(lab.validate(asked.base64()))
    assert "somebody" in lab.tenant.validations[-1].detail
