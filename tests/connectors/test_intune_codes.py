"""Intune's codes: one table, complete, each with words for people."""

from __future__ import annotations

import pytest

from connectors.microsoft_parts import ASKED, CHALLENGE, Cloud, intune, refusing
from regalia import reasons
from regalia.connectors.intune_codes import REFUSALS, refused
from regalia.errors import Stage
from regalia.model.connector import Refused

SECURITY = {
    "SubjectNameMismatch",
    "SubjectAltNameMismatch",
    "RegisteredKeyMismatch",
    "SigningCertThumbprintMismatch",
    "SignatureValidationFailed",
}
REASONS = {
    "CertificateRequestDecodingFailed": reasons.CONNECTOR_REQUEST_UNREAD,
    "ChallengePasswordMissing": reasons.CONNECTOR_CHALLENGE_FOREIGN,
    "ChallengeExpired": reasons.CONNECTOR_CHALLENGE_TIME,
    "SubjectNameMismatch": reasons.CONNECTOR_REQUEST_DIFFERS,
    "RegisteredKeyMismatch": reasons.CONNECTOR_KEY_FOREIGN,
    "ScepProfileNoLongerTargetedToTheClient": reasons.CONNECTOR_NOT_ASSIGNED,
    "BadDeviceIdInChallenge": reasons.CONNECTOR_OBJECT_UNKNOWN,
    "SignatureValidationFailed": reasons.CONNECTOR_CHALLENGE_FORGED,
    "Unknown": reasons.CONNECTOR_REFUSED,
    "SomethingNew2027": reasons.CONNECTOR_REFUSED,
}


def test_the_table_is_complete() -> None:
    """There are 23 codes of refusal; each has a meaning, a hint and a reason that the device is told badRequest for."""
    assert len(REFUSALS) == 23
    for refusal in REFUSALS.values():
        assert refusal.meaning
        assert refusal.hint
        assert refusal.reason.stage is Stage.EVIDENCE
    assert {code for code, refusal in REFUSALS.items() if refusal.security} == SECURITY


@pytest.mark.parametrize(("code", "reason"), REASONS.items(), ids=REASONS)
def test_a_code_becomes_its_reason(code: str, reason: object) -> None:
    """Intune's code arrives as our reason, with the code as Intune spelled it; an unknown one is a refusal, too."""
    answer = intune(Cloud().say("/validateRequest", refusing(code, "Because."))).authorise(ASKED, within=15)
    assert isinstance(answer, Refused)
    assert (answer.reason, answer.code) == (reason, code)
    assert "Because." in answer.detail
    assert "client-request-id" in answer.detail


def test_a_code_is_known_in_any_case() -> None:
    """A code in other letters is the same refusal; `success` in small letters is none of the yeses."""
    assert refused("challengeexpired", "", None).reason is reasons.CONNECTOR_CHALLENGE_TIME
    answer = intune(Cloud().say("/validateRequest", refusing("success"))).authorise(ASKED, within=15)
    assert isinstance(answer, Refused)


def test_a_description_is_cut_and_cleaned() -> None:
    """CHA-4: the challenge, parts of it, control characters and what is too long do not get into the detail."""
    found = refused("Unknown", f"x\x1b[31m {CHALLENGE} {CHALLENGE[3:90]} y {'word ' * 200}", CHALLENGE)
    assert CHALLENGE[3:90] not in found.detail
    assert "\x1b" not in found.detail
    assert "hunter2" not in repr(refused("hunter2", "no such thing as hunter2", "hunter2"))
    assert len(found.detail) < 400
