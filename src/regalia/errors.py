"""Errors and the reasons behind them.

    RegaliaError
    ├── PeerError          a peer sent something we refuse; carries a Reason
    ├── AdminError         an administrator asked for something that cannot be done; carries a Reason
    ├── UnavailableError   our fault or a dependency's: try again later; carries a Reason
    └── InvariantError     a bug of ours: what must hold did not

A refusal that is decided, not stumbled over, is a value (`model.Denied`), not an exception.

No HTTP numbers and no SCEP failInfo live here: each face owns its own table from `Stage` to its answer.
Every Reason has a page `docs/errors/<id>.md`; `tests/docs` asks for it. Ids are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AdminError",
    "InvariantError",
    "PeerError",
    "Reason",
    "RegaliaError",
    "Stage",
    "UnavailableError",
]


class Stage(StrEnum):
    """Where on the way of one enrolment something was refused; the order of security.md §3."""

    HTTP = "http"
    LIMIT = "limit"
    MESSAGE = "message"
    ALGORITHM = "algorithm"
    SIGNATURE = "signature"
    SIGNER = "signer"
    TIME = "time"
    ENVELOPE = "envelope"
    CONVERSATION = "conversation"
    RETRIEVAL = "retrieval"
    EVIDENCE = "evidence"
    NAMES = "names"
    """Told of an enrolment, and no refusal's: what is wrong with names is one of policy."""
    POLICY = "policy"
    ISSUANCE = "issuance"
    DELIVERY = "delivery"
    """Told of an enrolment, and no refusal's: whether its connector took note."""
    SERVICE = "service"
    ADMIN = "admin"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Reason:
    """One way to be refused, in words an administrator understands."""

    id: str
    stage: Stage
    title: str
    """What happened, as one clause without a full stop."""
    remedy: str
    """What to do next, as one or two full sentences."""

    def __str__(self) -> str:
        return f"{self.id} {self.title}"


class RegaliaError(Exception):
    """Base of all our errors. `detail` is for the administrator, never for a stranger."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class PeerError(RegaliaError):
    """The peer's bytes are refused. What the peer learns of it is the face's business."""


class AdminError(RegaliaError):
    """The administrator's request cannot be done as asked."""


class UnavailableError(RegaliaError):
    """We or a dependency cannot serve now; the same request may succeed later."""


class InvariantError(Exception):
    """What must always hold did not: a bug of ours. Never caused by content."""
