"""Web hooks that vouch, and what they send."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = ["HOOK_VERDICT_NO"]

HOOK_VERDICT_NO = Reason(
    "CON-078",
    Stage.EVIDENCE,
    "the web hook refused the request",
    "See the code in the detail, and the record of the system behind the web hook for the same transaction.",
)
