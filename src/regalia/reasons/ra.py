"""Refusals that are decided: conversation, evidence, names and policy; and the limits."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "APPROVAL_DENIED",
    "APPROVAL_EXPIRED",
    "CERTIFICATE_UNKNOWN",
    "CHALLENGE_EXPIRED",
    "CHALLENGE_MISSING",
    "CHALLENGE_REPLAYED",
    "CHALLENGE_REVOKED",
    "CHALLENGE_UNKNOWN",
    "CHALLENGE_USED",
    "CONDITION_FAILED",
    "CONDITION_UNMET",
    "CONVERSATION_CHANGED",
    "CRL_TOO_LARGE",
    "DEVICE_QUOTA",
    "EXTENSION_FORBIDDEN",
    "GROUP_BUSY",
    "GROUP_GUESSING",
    "GROUP_UNREADABLE",
    "KEY_BLOCKED",
    "KEY_OF_ANOTHER",
    "KEY_ON_HOLD",
    "KEY_REUSED",
    "NAMES_CHANGED_ON_RENEWAL",
    "NAMES_OUTSIDE_BINDING",
    "NAME_MALFORMED",
    "NAME_PROTECTED",
    "NO_NAMES",
    "POLL_UNKNOWN",
    "PROFILE_QUOTA",
    "QUEUE_FULL",
    "RENEWALS_SPENT",
    "RENEWAL_CHALLENGE_WRONG",
    "RENEWAL_EARLY",
    "RENEWAL_NEEDS_CHALLENGE",
    "RENEWAL_QUOTA",
    "SOURCE_GUESSING",
    "SOURCE_UNREADABLE",
    "STATIC_NAMES_FROM_REQUEST",
    "TRANSACTION_TAKEN",
    "VARIABLE_MISSING",
]

# --- Conversation (step 8, R3) -------------------------------------------------------------------------------------
CONVERSATION_CHANGED = Reason(
    "RA-001",
    Stage.CONVERSATION,
    "the same transaction came again asking for other names",
    "Let the device start a new transaction.",
)
TRANSACTION_TAKEN = Reason(
    "RA-002",
    Stage.CONVERSATION,
    "the transactionID is in use with another key",
    "Two devices use one transactionID, or one generated a new key without a new transaction. Let it start a new one.",
)

POLL_UNKNOWN = Reason(
    "RA-003",
    Stage.CONVERSATION,
    "a poll for an enrolment that is not waiting, or not this device's",
    "It was denied, expired or never begun, or another key began it: let the device enrol anew.",
)

# --- GetCert and GetCRL (MSG-3) ------------------------------------------------------------------------------------
CERTIFICATE_UNKNOWN = Reason(
    "RA-004",
    Stage.RETRIEVAL,
    "GetCert or GetCRL for a certificate that is unknown, or not this device's",
    "A device may ask for certificates with its own key, and for those of its chain of renewals, and for nobody else's.",
)
CRL_TOO_LARGE = Reason(
    "RA-005",
    Stage.RETRIEVAL,
    "the CRL is too large for a GetCRL answer",
    "Let the device fetch it from the URL in its certificate.",
)

# --- Evidence (step 9) ---------------------------------------------------------------------------------------------
CHALLENGE_MISSING = Reason(
    "RA-010",
    Stage.EVIDENCE,
    "no challenge in the request",
    "Create one with `regalia challenge create` and put it into the device's SCEP profile.",
)
CHALLENGE_UNKNOWN = Reason(
    "RA-011",
    Stage.EVIDENCE,
    "the challenge is not one of this endpoint's",
    "Check for a copied space or a challenge of another endpoint; create a new one if in doubt.",
)
CHALLENGE_EXPIRED = Reason(
    "RA-012", Stage.EVIDENCE, "the challenge has expired", "Create a new one, with a longer --ttl if devices need it."
)
CHALLENGE_USED = Reason(
    "RA-013", Stage.EVIDENCE, "the challenge was already used by this key", "A challenge enrols once. Create a new one."
)
CHALLENGE_REPLAYED = Reason(
    "RA-014",
    Stage.EVIDENCE,
    "a used challenge was shown again with another key",
    "Somebody else knows the challenge: compare both keys and sources in the event, revoke the certificate if the first one was not your device.",
)
CHALLENGE_REVOKED = Reason(
    "RA-015", Stage.EVIDENCE, "the challenge was revoked", "Create a new one if the device should enrol after all."
)
RENEWAL_CHALLENGE_WRONG = Reason(
    "RA-016",
    Stage.EVIDENCE,
    "the renewal carries a challenge that this device did not enrol with",
    "Remove the challenge from the renewal, or let the device enrol anew with a fresh key.",
)

APPROVAL_DENIED = Reason(
    "RA-017",
    Stage.EVIDENCE,
    "an administrator denied the enrolment",
    "The event names who denied it and why. A device that asks again is held again.",
)
APPROVAL_EXPIRED = Reason(
    "RA-018",
    Stage.EVIDENCE,
    "nobody approved the enrolment in time",
    "Let the device ask again, and decide with `regalia enrolment approve` or `deny`.",
)

RENEWAL_NEEDS_CHALLENGE = Reason(
    "RA-019",
    Stage.EVIDENCE,
    "a renewal with a key that cannot decrypt lacks a fresh one-time challenge",
    "Hand the device a new challenge of this endpoint with the same names; one with an RSA key needs none to renew.",
)

# --- Names and policy (step 10) ------------------------------------------------------------------------------------
NAMES_OUTSIDE_BINDING = Reason(
    "RA-020",
    Stage.POLICY,
    "the request asks for a name outside the challenge's binding",
    "Compare asked and allowed below; create a challenge with the right --cn and --dns, or correct the device's profile.",
)
NAMES_CHANGED_ON_RENEWAL = Reason(
    "RA-021",
    Stage.POLICY,
    "the renewal asks for a name that this device did not have",
    "A renewal keeps its names. To change them, enrol anew with a challenge.",
)
EXTENSION_FORBIDDEN = Reason(
    "RA-022",
    Stage.POLICY,
    "the request asks for an extension that no request may set",
    "Remove it from the device's request template; rights come from the profile alone.",
)
NAME_MALFORMED = Reason(
    "RA-023",
    Stage.POLICY,
    "a requested name is malformed or not allowed in any certificate",
    "Names must be plain text without control characters, DNS names fully qualified and without wildcards.",
)
KEY_OF_ANOTHER = Reason(
    "RA-024", Stage.POLICY, "the key was certified before for other names", "Let the device generate a new key."
)
KEY_BLOCKED = Reason(
    "RA-025",
    Stage.POLICY,
    "the key is known to be compromised, or belongs to the CA itself",
    "Let the device generate a new key.",
)
KEY_ON_HOLD = Reason(
    "RA-038",
    Stage.POLICY,
    "a certificate with this key is on hold",
    "Release or revoke that certificate: `regalia cert show SERIAL` says why it is on hold.",
)
NO_NAMES = Reason(
    "RA-026",
    Stage.POLICY,
    "no name is left for the certificate",
    "The profile takes names from the request and it has none: let the device ask for a common name or a DNS name.",
)

DEVICE_QUOTA = Reason(
    "RA-027",
    Stage.POLICY,
    "the device had as many certificates today as one may have",
    "Look for a device that enrols in a loop, or for a copied challenge; `limits.certificates_per_device` sets how many.",
)
STATIC_NAMES_FROM_REQUEST = Reason(
    "RA-028",
    Stage.POLICY,
    "a static challenge cannot vouch for names from the request",
    "Who knows the secret could have any name. Use a profile without `names = from-csr`, or an endpoint with approval.",
)

# --- Profiles (step 10) ----------------------------------------------------------------------------------------------
CONDITION_UNMET = Reason(
    "RA-030",
    Stage.POLICY,
    "a condition of the profile is not met",
    "The detail is the profile's own message. Correct the request, or the condition, and look with `profile check`.",
)
CONDITION_FAILED = Reason(
    "RA-031",
    Stage.POLICY,
    "a condition of the profile could not be evaluated",
    "What cannot be evaluated is refused. Run `regalia profile check` with an example like this request.",
)
VARIABLE_MISSING = Reason(
    "RA-032",
    Stage.POLICY,
    "the profile needs a fact that is not known of this request",
    "Give the challenge what the template asks for, or write a question mark behind the variable where it may be missing.",
)
NAME_PROTECTED = Reason(
    "RA-033",
    Stage.POLICY,
    "the name is protected, a public suffix, or outside the profile's domains",
    "No device gets a name of the PKI's servers or on the list `issuance.protected_names`; others lie in the profile's `domains`.",
)
RENEWAL_EARLY = Reason(
    "RA-034",
    Stage.POLICY,
    "the renewal comes before the profile's window",
    "The device may renew from the time that the detail names; `renewal.window` of the profile sets it.",
)
RENEWALS_SPENT = Reason(
    "RA-035",
    Stage.POLICY,
    "the certificate was renewed as often as the profile allows",
    "Let the device enrol anew with a challenge; `renewal.most` of the profile sets how often it may renew.",
)
PROFILE_QUOTA = Reason(
    "RA-036",
    Stage.POLICY,
    "the device has as many certificates as the profile allows",
    "Revoke one that is not in use, or raise `limits.live` or `limits.per-day` in the profile.",
)
KEY_REUSED = Reason(
    "RA-037",
    Stage.POLICY,
    "the key was certified before, and the profile wants a new one each time",
    "Let the device generate a new key for each request.",
)

# --- Limits: 429, decided before any private-key operation (CHA-3, ENV-9, RES-5) -------------------------------------
SOURCE_GUESSING = Reason(
    "LIM-001",
    Stage.LIMIT,
    "too many wrong challenges from this address",
    "Look at its refusals: a device with an old profile, or somebody who guesses. It may try again after a minute.",
)
GROUP_GUESSING = Reason(
    "LIM-002",
    Stage.LIMIT,
    "too many wrong challenges in this group",
    "Somebody may be guessing from many addresses. Renewals go on; first enrolments wait for the next minute.",
)
SOURCE_UNREADABLE = Reason(
    "LIM-003",
    Stage.LIMIT,
    "too many messages from this address whose content could not be opened",
    "Devices whose profile asks for a key that this group does not take look like this, and so does an attack on the RA key.",
)
GROUP_UNREADABLE = Reason(
    "LIM-004",
    Stage.LIMIT,
    "too many messages to this group whose content could not be opened",
    "Look at the refusals before it: an attack on the RA key needs this many.",
)
GROUP_BUSY = Reason(
    "LIM-005",
    Stage.LIMIT,
    "the group had as many requests this minute as it may have",
    "Devices retry by themselves; `limits.requests_per_group` sets how many.",
)
RENEWAL_QUOTA = Reason(
    "LIM-006",
    Stage.LIMIT,
    "the device renewed as often today as one may",
    "Look for a device that renews in a loop; `limits.certificates_per_device` sets how often.",
)
QUEUE_FULL = Reason(
    "LIM-007",
    Stage.LIMIT,
    "the group's queue for approval is full",
    "Decide with `regalia enrolment approve` and `deny`; `limits.pending_per_group` sets its length.",
)
