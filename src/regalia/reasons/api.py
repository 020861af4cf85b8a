"""What the API refuses, and what our client of it met."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "ANSWER_NOT_KEPT",
    "API_BODY_REFUSED",
    "API_BODY_TOO_LARGE",
    "API_CALLER_BUSY",
    "API_FAULT",
    "API_FILE",
    "API_LOCAL_ONLY",
    "API_MEDIA_REFUSED",
    "API_METHOD_REFUSED",
    "API_PATH_UNKNOWN",
    "API_SERVER_ANSWER",
    "API_SERVER_UNREACHABLE",
    "API_SERVER_UNTRUSTED",
    "API_SOURCE_GUESSING",
    "CREDENTIALS_REFUSED",
    "REPEAT_DIFFERS",
    "REPEAT_UNDER_WAY",
    "SECOND_PERSON_NEEDED",
    "TOKEN_IN_URL",
]

# --- What the API refuses -------------------------------------------------------------------------------------------
CREDENTIALS_REFUSED = Reason(
    "API-001",
    Stage.HTTP,
    "the request has no credentials that are valid here",
    "Send a token that has not ended as `Authorization: Bearer TOKEN`.",
)
API_PATH_UNKNOWN = Reason(
    "API-002",
    Stage.HTTP,
    "the API has nothing at this path",
    "The document at /api/v1/openapi.json lists all paths.",
)
API_METHOD_REFUSED = Reason(
    "API-003", Stage.HTTP, "the path does not take this method", "The header Allow of the answer names those it takes."
)
API_MEDIA_REFUSED = Reason(
    "API-004", Stage.HTTP, "the body is not declared as JSON", "Send `Content-Type: application/json`."
)
API_BODY_REFUSED = Reason(
    "API-005",
    Stage.HTTP,
    "the body is not one JSON object that can be read",
    "Send one object in UTF-8 that names each field once; `{}` where there is nothing to say.",
)
API_BODY_TOO_LARGE = Reason(
    "API-006", Stage.HTTP, "the body is too large", "Send at most 1 MiB; divide what is longer."
)
TOKEN_IN_URL = Reason(
    "API-007",
    Stage.HTTP,
    "there is a token in the URL",
    "Revoke this token: URLs are written to logs. Send its successor as `Authorization: Bearer TOKEN`.",
)
REPEAT_DIFFERS = Reason(
    "API-008",
    Stage.HTTP,
    "the Idempotency-Key was used for another request",
    "Choose a new key for each request; repeat a request with exactly what it had the first time.",
)
REPEAT_UNDER_WAY = Reason(
    "API-009",
    Stage.HTTP,
    "the first request with this Idempotency-Key has not ended",
    "Ask again in some seconds. If it stays so, the server ended meanwhile: look whether it was done, then use a new key.",
)
ANSWER_NOT_KEPT = Reason(
    "API-010",
    Stage.HTTP,
    "it was done, but its answer held a secret that is kept nowhere",
    "It was not done again. End what was made, and make another with a new Idempotency-Key.",
)
API_CALLER_BUSY = Reason(
    "API-011",
    Stage.LIMIT,
    "one caller asks too much of the API",
    "The header Retry-After says when to go on. `limits.requests_per_caller` says how much is allowed.",
)
API_SOURCE_GUESSING = Reason(
    "API-012",
    Stage.LIMIT,
    "one address sends too many credentials that are not valid",
    "Look who it is; a program with an old token is the usual cause. `limits.wrong_tokens_per_source` says how many are allowed.",
)
API_FAULT = Reason(
    "API-013",
    Stage.HTTP,
    "the server met a fault of its own",
    "The server's log has the cause under the incident's id. Whether the request was done is not certain: look before it is repeated.",
)
SECOND_PERSON_NEEDED = Reason(
    "API-014",
    Stage.CLIENT,
    "this waits for a second administrator",
    "Nothing is done yet. Another administrator decides on the proposal that is named.",
)

# --- Our client of it -----------------------------------------------------------------------------------------------
API_LOCAL_ONLY = Reason(
    "API-015",
    Stage.ADMIN,
    "this acts on the machine where it runs",
    "Run it on the server itself, without --server and REGALIA_SERVER.",
)
API_SERVER_UNREACHABLE = Reason(
    "API-016",
    Stage.CLIENT,
    "the server's API cannot be reached",
    "Check the URL, and that its admin listener can be reached from here: `server.admin_listen`.",
)
API_SERVER_UNTRUSTED = Reason(
    "API-017",
    Stage.CLIENT,
    "the server's certificate is not the one that is expected",
    "Name the right one by `--server-ca FILE` or `--server-ca sha256:HEX`; `regalia doctor` on the server says its SHA-256. If it changed and nobody renewed it, somebody stands in between.",
)
API_SERVER_ANSWER = Reason(
    "API-018",
    Stage.CLIENT,
    "the server's answer cannot be understood",
    "Use the version of `regalia` that the server has, and see that the URL is that of its admin listener.",
)
API_FILE = Reason(
    "API-019",
    Stage.CLIENT,
    "a file for the way to the server cannot be used",
    "Check its path, its content, and that nobody else can read the token: chmod 600.",
)
