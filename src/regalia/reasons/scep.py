"""Refusals of SCEP messages: HTTP, structure, algorithms, signature, signer, decrypted content."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "ATTRIBUTES_REFUSED",
    "BASE64_REFUSED",
    "CIPHER_REFUSED",
    "CSR_AMBIGUOUS",
    "CSR_REFUSED",
    "DECRYPTION_FAILED",
    "DIGEST_MISMATCH",
    "DIGEST_REFUSED",
    "ENDPOINT_DISABLED",
    "ENDPOINT_UNKNOWN",
    "ENVELOPE_STRUCTURE_REFUSED",
    "KEY_NOT_BOUND",
    "KEY_REFUSED",
    "KEY_TRANSPORT_REFUSED",
    "KEY_WEAK",
    "MESSAGE_TOO_LARGE",
    "MESSAGE_TYPE_REFUSED",
    "METHOD_REFUSED",
    "NEXT_CA_UNKNOWN",
    "NOT_SIGNED_DATA",
    "OPERATION_REFUSED",
    "POSSESSION_UNPROVEN",
    "RECIPIENT_UNKNOWN",
    "RENEWAL_NEEDS_CERTIFICATE",
    "RETRIEVAL_NEEDS_DECRYPTION",
    "RETRIEVAL_REFUSED",
    "SIGNATURE_ALGORITHM_REFUSED",
    "SIGNATURE_INVALID",
    "SIGNER_CERTIFICATE_MISSING",
    "SIGNER_COMPROMISED",
    "SIGNER_COUNT",
    "SIGNER_EXPIRED",
    "SIGNER_FOREIGN",
    "SIGNER_IS_OURS",
    "SIGNER_KEY_REFUSED",
    "SIGNER_NOT_ON_RECORD",
    "SIGNER_REVOKED",
    "SIGNER_SUPERSEDED",
    "SIGNER_WITHDRAWN",
    "SIGNING_TIME_REFUSED",
    "STRUCTURE_REFUSED",
    "TRANSACTION_UNTRUSTED",
]

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
    "The client must ask ?operation=GetCACaps, GetCACert, GetNextCACert or PKIOperation exactly once; check the URL for a leftover query.",
)
MESSAGE_TOO_LARGE = Reason(
    "SCEP-005",
    Stage.HTTP,
    "the message is larger than the limit",
    "A SCEP request is 2 to 6 KiB; look for a proxy or a client that attaches a chain.",
)
BASE64_REFUSED = Reason("SCEP-006", Stage.HTTP, "the GET message is not base64", _CLIENT_FAULT)
NEXT_CA_UNKNOWN = Reason(
    "SCEP-007",
    Stage.HTTP,
    "GetNextCACert was asked while no next CA is chosen",
    "Nothing is wrong: GetCACaps does not offer it, and the device asked all the same. It asks again later.",
)

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
    "Configure the client for SHA-256. For devices that know only SHA-1, create an endpoint with `--legacy`; MD5 is never taken.",
)
SIGNATURE_ALGORITHM_REFUSED = Reason(
    "SCEP-021",
    Stage.ALGORITHM,
    "the client signed with an algorithm that is not allowed",
    "Configure the client for RSA with SHA-256, PKCS#1 v1.5 or PSS. For ECDSA, Ed25519 and ML-DSA keys create an endpoint with `--non-rsa`, for SHA-1 one with `--legacy`.",
)
KEY_TRANSPORT_REFUSED = Reason(
    "SCEP-022",
    Stage.ALGORITHM,
    "the client encrypted the content key with an algorithm that is not allowed",
    "Configure the client for RSA key transport, PKCS#1 v1.5 or OAEP without a label; no switch allows another.",
)
CIPHER_REFUSED = Reason(
    "SCEP-023",
    Stage.ALGORITHM,
    "the client encrypted with a cipher that is not allowed",
    "Configure the client for AES. For devices that know only triple DES, create an endpoint with `--legacy`; single DES and RC2 are never taken, and micromdm's scepclient knows nothing else.",
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
    "Let the device generate an RSA key of 2048 to 8192 bits, or P-256 or P-384 for an endpoint with `--non-rsa`; the exponent 3 is taken by one with `--legacy`.",
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
    "Served are PKCSReq (19), RenewalReq (17), CertPoll (20), GetCert (21) and GetCRL (22).",
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
SIGNER_NOT_ON_RECORD = Reason(
    "SCEP-059",
    Stage.SIGNER,
    "this group's authority signed the certificate, and it is not on record",
    "After a restore it was issued later than the backup: enrol the device anew with a challenge. "
    "Without one, somebody else signs with the authority's key: treat it as compromised.",
)
SIGNER_COMPROMISED = Reason(
    "SCEP-060",
    Stage.SIGNER,
    "the authority that issued the signing certificate is revoked",
    "Its certificates prove nothing any more: hand the device a new challenge. `regalia group holders` lists who needs one.",
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
RETRIEVAL_NEEDS_DECRYPTION = Reason(
    "SCEP-049",
    Stage.SIGNER,
    "GetCert or GetCRL was signed with a key that cannot decrypt the answer",
    "Let the device fetch the CRL from the URL in its certificate; `regalia cert export` has the certificate.",
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
RETRIEVAL_REFUSED = Reason(
    "SCEP-058",
    Stage.RETRIEVAL,
    "the decrypted content of GetCert or GetCRL is not exactly one issuer and serial number",
    _CLIENT_FAULT,
)
