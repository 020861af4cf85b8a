"""What our own SCEP client met."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "CLIENT_CAPS_WEAK",
    "CLIENT_CA_UNUSABLE",
    "CLIENT_CHALLENGE_NEEDED",
    "CLIENT_DENIED",
    "CLIENT_FILE",
    "CLIENT_FINGERPRINT",
    "CLIENT_HTTP_REFUSED",
    "CLIENT_NO_NEXT_CA",
    "CLIENT_PENDING",
    "CLIENT_REPLY_REFUSED",
    "CLIENT_UNREACHABLE",
]

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
CLIENT_CHALLENGE_NEEDED = Reason(
    "CLI-010",
    Stage.CLIENT,
    "a key that cannot decrypt needs a challenge",
    "Give one with --challenge-file where the command takes it, for each renewal a fresh one: it keys the reply. With an RSA key it is not needed.",
)
CLIENT_NO_NEXT_CA = Reason(
    "CLI-011",
    Stage.CLIENT,
    "the SCEP server has no next CA certificate",
    "Nothing is wrong: a server offers GetNextCACert once the successor of its CA is chosen. Ask again later.",
)
