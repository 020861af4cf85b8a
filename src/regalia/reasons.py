"""The registry of reasons: each refusal the product knows, with its id.

Grouped by the stage that refuses. A new reason is one constant here and one page under `docs/errors/`.
"""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = ["ALL", "by_id"]

_CLIENT_FAULT = (
    "The device or a middlebox sent it so; find the client's version in its own log and see docs/clients.md."
)

# --- HTTP: answered before a message is read -----------------------------------------------------------------------
ENDPOINT_UNKNOWN = Reason(
    "SCEP-001", Stage.HTTP, "no such endpoint", "Compare the URL on the device with `regalia endpoint list`."
)
ENDPOINT_DISABLED = Reason(
    "SCEP-002",
    Stage.HTTP,
    "the endpoint is disabled",
    "Create another endpoint or point the devices at one that is enabled: `regalia endpoint list`.",
)
METHOD_REFUSED = Reason("SCEP-003", Stage.HTTP, "HTTP method other than GET, HEAD or POST", _CLIENT_FAULT)
OPERATION_REFUSED = Reason(
    "SCEP-004",
    Stage.HTTP,
    "the operation parameter is missing, doubled or unknown",
    "The client must ask ?operation=GetCACaps, GetCACert or PKIOperation exactly once; check the URL for a leftover query.",
)
MESSAGE_TOO_LARGE = Reason(
    "SCEP-005",
    Stage.HTTP,
    "the message is larger than the limit",
    "A SCEP request is 2 to 6 KiB; look for a proxy or a client that attaches a chain.",
)
BASE64_REFUSED = Reason("SCEP-006", Stage.HTTP, "the GET message is not base64", _CLIENT_FAULT)

# --- The message as a structure (security.md §3 steps 1 and 2) -----------------------------------------------------
STRUCTURE_REFUSED = Reason(
    "SCEP-010", Stage.MESSAGE, "the message is not well-formed ASN.1 within our bounds", _CLIENT_FAULT
)
NOT_SIGNED_DATA = Reason("SCEP-011", Stage.MESSAGE, "the message is not CMS SignedData over id-data", _CLIENT_FAULT)
TRANSACTION_UNTRUSTED = Reason(
    "SCEP-012",
    Stage.MESSAGE,
    "the message has no usable transactionID",
    "A transactionID must be present once, printable and at most 255 octets. " + _CLIENT_FAULT,
)

# --- Algorithms, all in clear (R1) ---------------------------------------------------------------------------------
DIGEST_REFUSED = Reason(
    "SCEP-020",
    Stage.ALGORITHM,
    "the client signed with a digest that is not allowed",
    "Configure the client for SHA-256; SHA-1 and MD5 are refused.",
)
SIGNATURE_ALGORITHM_REFUSED = Reason(
    "SCEP-021",
    Stage.ALGORITHM,
    "the client signed with an algorithm that is not allowed",
    "Configure the client for RSA PKCS#1 v1.5 with SHA-256.",
)
KEY_TRANSPORT_REFUSED = Reason(
    "SCEP-022",
    Stage.ALGORITHM,
    "the client encrypted the content key with an algorithm that is not allowed",
    "Configure the client for RSA PKCS#1 v1.5 key transport.",
)
CIPHER_REFUSED = Reason(
    "SCEP-023",
    Stage.ALGORITHM,
    "the client encrypted with a cipher that is not allowed",
    "Configure the client for AES; single DES, triple DES and RC2 are refused. micromdm's scepclient cannot do AES.",
)

# --- Outer signature and attributes (steps 3 to 5) -----------------------------------------------------------------
SIGNER_COUNT = Reason("SCEP-030", Stage.SIGNATURE, "the message does not have exactly one signer", _CLIENT_FAULT)
SIGNER_CERTIFICATE_MISSING = Reason(
    "SCEP-031",
    Stage.SIGNATURE,
    "the signer's certificate is not in the message, not unique or not readable",
    _CLIENT_FAULT,
)
ATTRIBUTES_REFUSED = Reason(
    "SCEP-032", Stage.SIGNATURE, "a signed attribute is missing, doubled or of the wrong type", _CLIENT_FAULT
)
DIGEST_MISMATCH = Reason(
    "SCEP-033",
    Stage.SIGNATURE,
    "the messageDigest is not the digest of the content",
    "The message was altered on its way. Look for a proxy that rewrites bodies; otherwise treat it as an attack.",
)
SIGNATURE_INVALID = Reason(
    "SCEP-034",
    Stage.SIGNATURE,
    "the signature of the message does not verify",
    "The message was altered or signed with another key than its certificate names.",
)
SIGNER_KEY_REFUSED = Reason(
    "SCEP-035",
    Stage.SIGNATURE,
    "the signer's key is of a type or size we do not verify with",
    "Let the device generate an RSA key of 2048 to 8192 bits.",
)
ENVELOPE_STRUCTURE_REFUSED = Reason(
    "SCEP-036", Stage.SIGNATURE, "the content is not readable EnvelopedData", _CLIENT_FAULT
)
RECIPIENT_UNKNOWN = Reason(
    "SCEP-037",
    Stage.SIGNATURE,
    "the content is not encrypted for this endpoint's RA certificate",
    "The device holds an old or foreign RA certificate: let it fetch GetCACert again.",
)

# --- Message type and signer class (step 6) ------------------------------------------------------------------------
MESSAGE_TYPE_REFUSED = Reason(
    "SCEP-040",
    Stage.SIGNER,
    "the message type is not served here",
    "This endpoint serves PKCSReq (19), RenewalReq (17) and CertPoll (20).",
)
RENEWAL_NEEDS_CERTIFICATE = Reason(
    "SCEP-041",
    Stage.SIGNER,
    "a RenewalReq was signed by a self-signed certificate",
    "A renewal is signed with the certificate to be renewed; a device that lost it enrols anew with a challenge.",
)
SIGNER_FOREIGN = Reason(
    "SCEP-042",
    Stage.SIGNER,
    "the signing certificate is neither self-signed nor one that this group issued",
    "The device holds a certificate of another CA or group: enrol it anew with a challenge of this endpoint.",
)
SIGNER_EXPIRED = Reason(
    "SCEP-043",
    Stage.SIGNER,
    "the signing certificate is not within its validity",
    "Check the device's clock; a device whose certificate expired enrols anew with a challenge.",
)
SIGNER_REVOKED = Reason(
    "SCEP-044",
    Stage.SIGNER,
    "the signing certificate is revoked",
    "A revoked certificate cannot renew. If the device is trusted again, hand it a new challenge.",
)
SIGNER_SUPERSEDED = Reason(
    "SCEP-045",
    Stage.SIGNER,
    "the signing certificate was already replaced by a later generation",
    "Two devices may share one key, or a backup was restored. Enrol the device anew with a challenge.",
)
SIGNER_IS_OURS = Reason(
    "SCEP-046",
    Stage.SIGNER,
    "the signer is, or has the key of, a CA, RA or OCSP certificate",
    "No device holds such a key: treat it as an attack.",
)
SIGNER_WITHDRAWN = Reason(
    "SCEP-048",
    Stage.SIGNER,
    "another certificate of the same device was revoked",
    "Revoking the newest certificate ends the device's trust: an older one cannot renew around it. "
    "If the device is trusted again, hand it a new challenge.",
)
SIGNING_TIME_REFUSED = Reason(
    "SCEP-047",
    Stage.TIME,
    "the message's signing time is more than 24 hours off",
    "Correct the device's clock, or switch the endpoint's check-signing-time off.",
)

# --- Decrypted content (step 7): one uniform answer ----------------------------------------------------------------
DECRYPTION_FAILED = Reason(
    "SCEP-050",
    Stage.ENVELOPE,
    "the content could not be decrypted",
    "The device may hold an RA certificate whose key is gone, or the message was altered. Let it fetch GetCACert again.",
)
CSR_REFUSED = Reason(
    "SCEP-051", Stage.ENVELOPE, "the decrypted content is not exactly one PKCS#10 request", _CLIENT_FAULT
)
CSR_AMBIGUOUS = Reason(
    "SCEP-052",
    Stage.ENVELOPE,
    "the request says something twice",
    "An attribute, an extension or a common name is doubled. " + _CLIENT_FAULT,
)
POSSESSION_UNPROVEN = Reason(
    "SCEP-053",
    Stage.ENVELOPE,
    "the request's own signature does not verify",
    "The device did not prove that it holds the key. " + _CLIENT_FAULT,
)
KEY_REFUSED = Reason(
    "SCEP-054",
    Stage.ENVELOPE,
    "the requested key's type or size is not in the profile",
    "Set the device's key to what `regalia profile show` lists.",
)
KEY_WEAK = Reason(
    "SCEP-055",
    Stage.ENVELOPE,
    "the requested key is known to be weak",
    "Update the device's firmware or key generator, then let it make a new key.",
)
KEY_NOT_BOUND = Reason(
    "SCEP-056",
    Stage.ENVELOPE,
    "the message is signed with another key than the one requested",
    "A first enrolment must be signed with its own new key; a captured request re-signed by someone else looks the same.",
)
POLL_REFUSED = Reason(
    "SCEP-057", Stage.ENVELOPE, "the decrypted content of a poll is not exactly one issuer and subject", _CLIENT_FAULT
)

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
    "the key was revoked as compromised, or belongs to the CA itself",
    "Let the device generate a new key.",
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

# --- Issuance ------------------------------------------------------------------------------------------------------
LINT_REFUSED = Reason(
    "CA-001",
    Stage.ISSUANCE,
    "the certificate would break a rule of the profile or RFC 5280",
    "Nothing was signed. Read the finding in the event, then correct the profile or the challenge's names.",
)

# --- Our side: 503, never caused by content ------------------------------------------------------------------------
ISSUER_UNAVAILABLE = Reason(
    "CA-010",
    Stage.SERVICE,
    "the issuing authority cannot sign now",
    "See `regalia doctor`: its certificate may have expired or its key may be elsewhere.",
)
STORE_UNAVAILABLE = Reason(
    "CA-011",
    Stage.SERVICE,
    "the database does not answer",
    "See that the database runs and that `database.url` leads to it; devices retry by themselves.",
)
BUSY = Reason(
    "CA-012",
    Stage.SERVICE,
    "all workers are busy",
    "Devices retry by themselves; give the machine more cores if it stays so.",
)
IN_PROGRESS = Reason(
    "CA-013",
    Stage.SERVICE,
    "the same request is being worked on elsewhere",
    "The device retries by itself and gets the same certificate.",
)

# --- Administration ------------------------------------------------------------------------------------------------
HOME_USED = Reason(
    "ADM-001",
    Stage.ADMIN,
    "this home is already in use",
    "Nothing was touched. Choose another --home, or go on with the one that is there.",
)
HOME_MISSING = Reason(
    "ADM-002", Stage.ADMIN, "no Regalia lives in this home", "Run `regalia init` first, or name the right --home."
)
NAME_TAKEN = Reason("ADM-003", Stage.ADMIN, "the name is taken", "Choose another name.")
NOT_FOUND = Reason(
    "ADM-004", Stage.ADMIN, "there is no such object", "List what is there with the noun's `list` command."
)
NAME_REFUSED = Reason(
    "ADM-005",
    Stage.ADMIN,
    "the name is not usable",
    "Names have 1 to 40 characters: lower-case letters, digits and hyphens, beginning with a letter.",
)
CONFIG_REFUSED = Reason(
    "ADM-006", Stage.ADMIN, "the configuration is not valid", "Correct what is listed, then run `regalia config check`."
)
PROFILE_REFUSED = Reason(
    "ADM-007", Stage.ADMIN, "the profile is not valid", "Correct what is listed, then run `regalia profile check`."
)
ALREADY_REVOKED = Reason("ADM-008", Stage.ADMIN, "it is already revoked", "Nothing to do; revocation is final.")
ROOT_KEY_ELSEWHERE = Reason(
    "ADM-009",
    Stage.ADMIN,
    "the root key is not on this machine",
    "Bring the medium with the file KEY.key, and name its directory with --root-key DIR.",
)
MASTER_KEY_REFUSED = Reason(
    "ADM-010",
    Stage.ADMIN,
    "the master key is missing, unreadable or not the right one",
    "Set REGALIA_MASTER_KEY_FILE or the systemd credential regalia-master to the key that this home was made with.",
)
PERMISSIONS_REFUSED = Reason(
    "ADM-011",
    Stage.ADMIN,
    "a key or configuration file is readable by others",
    "chmod 600 the file and chmod 700 its directory.",
)
SCHEMA_OLD = Reason(
    "ADM-012", Stage.ADMIN, "the database schema is not the one this version needs", "Run `regalia db upgrade`."
)
ACKNOWLEDGEMENT_NEEDED = Reason(
    "ADM-013",
    Stage.ADMIN,
    "this needs an explicit acknowledgement",
    "Read what the message says and repeat with the flag that it names.",
)
CHALLENGE_NOT_OPEN = Reason(
    "ADM-014",
    Stage.ADMIN,
    "the challenge is not open",
    "Only a challenge that was neither used nor revoked can be revoked.",
)
BINDING_REFUSED = Reason(
    "ADM-015",
    Stage.ADMIN,
    "the binding's names are not usable",
    "Correct the named value; DNS names are fully qualified and without wildcards.",
)
CHAIN_BROKEN = Reason(
    "ADM-016",
    Stage.ADMIN,
    "the event log was altered",
    "Treat the database as tampered with: compare with a backup and with what the SIEM holds from before the named record.",
)
AUTHORITY_STATE = Reason("ADM-017", Stage.ADMIN, "the authority is not in a state for this", "See `regalia ca show`.")
USAGE = Reason(
    "ADM-018",
    Stage.ADMIN,
    "the command was used in a way it does not understand",
    "Add -h for its options and two examples.",
)
LISTENER_REFUSED = Reason(
    "ADM-019",
    Stage.ADMIN,
    "a listener cannot be opened",
    "Another program holds the address, or it is not one of this machine's: choose another with --listen or --admin-listen.",
)
FILE_REFUSED = Reason("ADM-020", Stage.ADMIN, "a file cannot be read or written", "Check the path and its permissions.")
INIT_UNFINISHED = Reason(
    "ADM-021",
    Stage.ADMIN,
    "an earlier init was ended before it was done",
    "Nothing of it is in use. Remove what is named, or make a new empty database, and run `regalia init` again.",
)
DATABASE_UNFIT = Reason(
    "ADM-022",
    Stage.ADMIN,
    "the database is not fit to hold a Regalia",
    "Name an empty database that its user owns: CREATE DATABASE regalia OWNER regalia.",
)
ENROLMENT_DECIDED = Reason(
    "ADM-023",
    Stage.ADMIN,
    "the enrolment does not wait for a decision",
    "Somebody decided it already, or it expired: see `regalia enrolment show`.",
)
SECRET_REFUSED = Reason(
    "ADM-024",
    Stage.ADMIN,
    "the static challenge is too short or too simple",
    "Leave it out, and a random one is made; or give at least 20 printable characters of which 8 differ.",
)

# --- Our SCEP client -----------------------------------------------------------------------------------------------
CLIENT_UNREACHABLE = Reason(
    "CLI-001",
    Stage.CLIENT,
    "the SCEP server cannot be reached",
    "Check the URL, name resolution and firewall; `regalia scep caps --url URL` is the shortest test.",
)
CLIENT_HTTP_REFUSED = Reason(
    "CLI-002",
    Stage.CLIENT,
    "the SCEP server answered with an HTTP error",
    "404: the path or endpoint is wrong. 400: the server could not read the message. 503: try again later.",
)
CLIENT_CAPS_WEAK = Reason(
    "CLI-003",
    Stage.CLIENT,
    "the SCEP server does not offer AES and SHA-256",
    "We do not fall back to DES, 3DES or SHA-1. Update the server.",
)
CLIENT_FINGERPRINT = Reason(
    "CLI-004",
    Stage.CLIENT,
    "no CA certificate has the expected fingerprint",
    "Somebody may stand in between, or the CA changed: compare with `regalia ca show` on the server.",
)
CLIENT_CA_UNUSABLE = Reason(
    "CLI-005",
    Stage.CLIENT,
    "GetCACert has no certificate that can encrypt and sign for SCEP",
    "The server needs an RSA RA certificate with digitalSignature and keyEncipherment.",
)
CLIENT_REPLY_REFUSED = Reason(
    "CLI-006",
    Stage.CLIENT,
    "the server's reply cannot be trusted",
    "Its signature, nonce, transaction or content is wrong. Somebody may stand in between, or the server is faulty.",
)
CLIENT_DENIED = Reason(
    "CLI-007",
    Stage.CLIENT,
    "the server refused the request",
    "The server tells strangers nothing more. Its administrator reads why with `regalia enrolment show TRANSACTION`, or else `regalia event tail`.",
)
CLIENT_PENDING = Reason(
    "CLI-008",
    Stage.CLIENT,
    "the server has not decided yet",
    "Ask the server's administrator to approve, then `regalia scep poll`, or run the same command again.",
)
CLIENT_FILE = Reason(
    "CLI-009",
    Stage.CLIENT,
    "a key or certificate file cannot be used",
    "Check the path and its permissions, the format (PEM), and that key and certificate belong together.",
)

ALL: tuple[Reason, ...] = tuple(value for value in globals().values() if isinstance(value, Reason))

_BY_ID = {reason.id: reason for reason in ALL}


def by_id(reason_id: str) -> Reason | None:
    """Find a reason by its id; None where there is none."""
    return _BY_ID.get(reason_id)
