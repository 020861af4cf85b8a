"""Vouching: what stands between a connector's yes and a certificate."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "BEARER_UNFIT",
    "BEARER_UNKNOWN",
    "CHAIN_UNVOUCHED",
    "CONNECTOR_CROWDED",
    "CONNECTOR_RESTING",
    "DEVICE_ELSEWHERE",
    "SECOND_KEY",
    "VOUCHER_MISSING",
]

VOUCHER_MISSING = Reason(
    "CON-040",
    Stage.SERVICE,
    "the endpoint's connector vouches for nobody",
    "See `regalia connector show`: the endpoint needs a connector of a kind that authorises, and a server that has it.",
)
CONNECTOR_RESTING = Reason(
    "CON-041",
    Stage.SERVICE,
    "the connector did not answer several times in a row and is left in peace for a while",
    "See the event before it for the first fault; the next request after the pause tries again by itself.",
)
CONNECTOR_CROWDED = Reason(
    "CON-042",
    Stage.SERVICE,
    "as many requests as may wait for the connector already",
    "If it stays so, look at how long the connector's system takes to answer.",
)
BEARER_UNKNOWN = Reason(
    "CON-043",
    Stage.EVIDENCE,
    "the verdict names a device or user that the connector's inventory does not know",
    "See whether the object was deleted, and that the connector's inventory covers it.",
)
DEVICE_ELSEWHERE = Reason(
    "CON-044",
    Stage.EVIDENCE,
    "the device belongs to another group",
    "Move the device with `regalia device move` if it is meant to enrol here; else look at how it came to this endpoint's profile.",
)
BEARER_UNFIT = Reason(
    "CON-045",
    Stage.EVIDENCE,
    "a certificate would be revoked or put on hold at once",
    "See the cause in the detail; the device may ask again when it has ended.",
)
CHAIN_UNVOUCHED = Reason(
    "CON-046",
    Stage.EVIDENCE,
    "no connector ever vouched for the certificate that signs",
    "Let the device enrol with a challenge of its MDM.",
)
SECOND_KEY = Reason(
    "CON-047",
    Stage.EVIDENCE,
    "a second key for a device, and nobody vouched for it",
    "Find out whose key it is, then approve or deny the enrolment.",
)
