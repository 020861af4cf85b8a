"""What each code of Intune's verdict means: 23 refusals, one table. Whatever is not in it is a refusal, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.model.connector import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.errors import Reason

__all__ = ["REFUSALS", "SUCCESS", "Refusal", "refused"]

SUCCESS: Final = "Success"
_LONGEST_CODE: Final = 100
_LONGEST_TEXT: Final = 255
_LONGEST_WORD: Final = 64
"""No word of a sentence is longer; challenges are."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code."""

    reason: Reason
    meaning: str
    hint: str
    security: bool = False


_FOREIGN: Final = reasons.CONNECTOR_CHALLENGE_FOREIGN
_DIFFERS: Final = reasons.CONNECTOR_REQUEST_DIFFERS
_TIME: Final = reasons.CONNECTOR_CHALLENGE_TIME
_UNKNOWN: Final = reasons.CONNECTOR_OBJECT_UNKNOWN

REFUSALS: Final[Mapping[str, Refusal]] = {
    "CertificateRequestDecodingFailed": Refusal(
        reasons.CONNECTOR_REQUEST_UNREAD,
        "Intune cannot read the certificate request",
        "If other devices enrol, this one's request was damaged or is unusual; else report it as a fault of Regalia",
    ),
    "ChallengePasswordMissing": Refusal(
        _FOREIGN,
        "the request has no challenge",
        "The device does not use a SCEP profile of Intune: give it another endpoint, or assign it the profile",
    ),
    "ChallengeDeserializationError": Refusal(
        _FOREIGN,
        "the challenge was decrypted, and its content cannot be read",
        "See that the profile's URL is this connector's endpoint and that nothing on the way shortens requests",
    ),
    "ChallengeDecryptionError": Refusal(
        _FOREIGN,
        "the challenge is not for this tenant",
        "The device belongs to another tenant, or the connector's tenant is not the devices'",
    ),
    "ChallengeDecodingError": Refusal(
        _FOREIGN,
        "the challenge is none of Intune's",
        "A challenge of another kind was sent to this endpoint: static ones and our own have endpoints of their own",
    ),
    "ChallengeInvalidTimestamp": Refusal(
        _TIME, "the challenge's time is not acceptable", "Compare the clocks; the device fetches a fresh challenge"
    ),
    "ChallengeExpired": Refusal(
        _TIME,
        "the challenge has expired",
        "The device fetches a fresh one at its next check-in; synchronise it in Intune to have that now",
    ),
    "SubjectNameMissing": Refusal(
        _DIFFERS, "the request has no subject", "See the subject name format of the SCEP profile"
    ),
    "SubjectNameMismatch": Refusal(
        _DIFFERS,
        "the request's subject is not the profile's",
        "Known cause: one of + , ; = in the profile's subject name format; put the value into quotation marks",
        security=True,
    ),
    "SubjectAltNameMissing": Refusal(
        _DIFFERS, "the request has no alternative name", "See the subject alternative names of the SCEP profile"
    ),
    "SubjectAltNameMismatch": Refusal(
        _DIFFERS,
        "the request's alternative names are not the profile's",
        "See the variables of the SCEP profile's alternative names; one may be empty for this device",
        security=True,
    ),
    "KeyUsageMismatch": Refusal(
        _DIFFERS, "the request's key usage is not the profile's", "See the key usage of the SCEP profile"
    ),
    "KeyLengthMismatch": Refusal(
        _DIFFERS,
        "the key is not as long as the profile says",
        "See the key size of the SCEP profile; a TPM may not make keys of 4096 bits",
    ),
    "EnhancedKeyUsageMissing": Refusal(
        _DIFFERS, "the request has no extended key usage", "See the extended key usages of the SCEP profile"
    ),
    "EnhancedKeyUsageMismatch": Refusal(
        _DIFFERS,
        "the request's extended key usages are not the profile's",
        "See the extended key usages of the SCEP profile",
    ),
    "AadKeyIdentifierListMissing": Refusal(
        reasons.CONNECTOR_KEY_FOREIGN,
        "the challenge lists no registered key",
        "The profile wants a key that is registered with Entra ID, and the user has none: see Windows Hello",
    ),
    "RegisteredKeyMismatch": Refusal(
        reasons.CONNECTOR_KEY_FOREIGN,
        "the key is none of those that are registered",
        "If the device was not set up anew just now, look at where the request came from",
        security=True,
    ),
    "SigningCertThumbprintMismatch": Refusal(
        reasons.CONNECTOR_KEY_FOREIGN,
        "the message was signed by another certificate than Intune expects",
        "Look at where the request came from: the challenge may have been taken from another device",
        security=True,
    ),
    "ScepProfileNoLongerTargetedToTheClient": Refusal(
        reasons.CONNECTOR_NOT_ASSIGNED,
        "the SCEP profile is no longer assigned to the device or its user",
        "See the profile's assignments in Intune; nothing is wrong if it was taken away on purpose",
    ),
    "SignatureValidationFailed": Refusal(
        reasons.CONNECTOR_CHALLENGE_FORGED,
        "the challenge's signature is wrong",
        "Look at where the request came from: somebody may have made or altered the challenge",
        security=True,
    ),
    "BadCertificateRequestIdInChallenge": Refusal(
        _UNKNOWN, "Intune does not know the challenge's request", "The device fetches a fresh one at its next check-in"
    ),
    "BadDeviceIdInChallenge": Refusal(
        _UNKNOWN, "Intune does not know the challenge's device", "It was deleted or wiped; enrol it with Intune again"
    ),
    "BadUserIdInChallenge": Refusal(
        _UNKNOWN, "Intune does not know the challenge's user", "The user was deleted, or has no licence of Intune"
    ),
}

_OTHER: Final = Refusal(
    reasons.CONNECTOR_REFUSED,
    "Intune refused with a code that is not known here",
    "Look the code up with Microsoft; a later version of Regalia may explain it",
)


def refused(code: str, description: str, challenge: str | None) -> Refused:
    """Make the refusal of a code, which is anything but `Success`.

    `description` is Intune's own text, of which the challenge and what may be a part of one is taken out (CHA-4).
    """
    by_name = {name.lower(): refusal for name, refusal in REFUSALS.items()}
    found = by_name.get(code.lower(), _OTHER)
    said = _scrubbed(description, challenge)
    detail = f"{found.meaning}; Intune says: {said}" if said else found.meaning
    return Refused(found.reason, _shown(code, challenge), detail, found.hint, found.security)


def _shown(code: str, challenge: str | None) -> str:
    return _scrubbed(code, challenge)[:_LONGEST_CODE]


def _scrubbed(text: str, challenge: str | None) -> str:
    if challenge:
        text = text.replace(challenge, "[challenge]")
    words = re.sub(r"[^ -~\u00a0-\uffef]", " ", text).split()
    return " ".join("[…]" if len(word) > _LONGEST_WORD else word for word in words)[:_LONGEST_TEXT]
