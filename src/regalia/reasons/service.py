"""Issuance that failed, and what is our side's fault: come back later."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "BUSY",
    "CRL_UNPUBLISHED",
    "GROUP_SUSPENDED",
    "IN_PROGRESS",
    "ISSUER_UNAVAILABLE",
    "KEY_BOUND",
    "KEY_NEEDED",
    "LINT_REFUSED",
    "PIN_REFUSED",
    "SIGNER_AWAY",
    "SIGNER_BUSY",
    "SIGNER_REFUSED",
    "STORE_UNAVAILABLE",
    "TOKEN_KEY_REFUSED",
    "TOKEN_UNAVAILABLE",
]

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
CRL_UNPUBLISHED = Reason(
    "CA-014",
    Stage.SERVICE,
    "no CRL of the authority is published yet",
    "The server publishes one within a minute of its start; see `regalia ca crl list`.",
)

# --- Keys on a token -----------------------------------------------------------------------------------------------
TOKEN_UNAVAILABLE = Reason(
    "CA-020",
    Stage.SERVICE,
    "the token with the CA keys cannot be reached",
    "Nothing is lost: devices retry, status goes on. See that the token is there and that `[keys]` names its module and label.",
)
PIN_REFUSED = Reason(
    "CA-021",
    Stage.SERVICE,
    "the token's PIN is missing or was refused",
    "Correct the file that `keys.pkcs11_pin_file` names. A refused PIN is not tried a second time: three may lock the token.",
)
TOKEN_KEY_REFUSED = Reason(
    "CA-022",
    Stage.ADMIN,
    "a key on the token is not fit to be a CA's",
    "A CA's key is sensitive, not extractable, and signs: let Regalia make it, or correct its attributes on the token.",
)
KEY_BOUND = Reason(
    "CA-023",
    Stage.ADMIN,
    "the key cannot leave its token",
    "Take the token away instead, or back the key up by the token's own means.",
)
KEY_NEEDED = Reason(
    "CA-024",
    Stage.ADMIN,
    "something still needs the key",
    "Read what would stop working; repeat with --although-needed if that is what you want.",
)

GROUP_SUSPENDED = Reason(
    "CA-015",
    Stage.SERVICE,
    "the group is suspended",
    "An administrator stopped it: `regalia group show` says why, `regalia group resume` ends it. Devices retry by themselves.",
)

# --- The signer, where it is a process of its own ------------------------------------------------------------------
SIGNER_AWAY = Reason(
    "CA-025",
    Stage.SERVICE,
    "the signer does not answer",
    "See that it runs and that `[signer]` leads to it; devices retry by themselves, and what was begun is finished.",
)
SIGNER_BUSY = Reason(
    "CA-026",
    Stage.SERVICE,
    "the signer was asked for more than it takes",
    "Devices retry by themselves; the signer's log says who asks so much.",
)
SIGNER_REFUSED = Reason(
    "CA-027",
    Stage.SERVICE,
    "the signer does not know this caller",
    "Compare the user, or the certificate's name, that calls with those that the signer was started for.",
)
