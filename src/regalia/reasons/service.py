"""Issuance that failed, and what is our side's fault: come back later."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "BUSY",
    "CRL_UNPUBLISHED",
    "IN_PROGRESS",
    "ISSUER_UNAVAILABLE",
    "LINT_REFUSED",
    "STORE_UNAVAILABLE",
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
