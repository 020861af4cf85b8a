"""Web hooks that vouch, and what they send."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = ["HOOK_LIMITED", "HOOK_REPEATED", "HOOK_STRANGER", "HOOK_UNREADABLE", "HOOK_VERDICT_NO"]

HOOK_VERDICT_NO = Reason(
    "CON-078",
    Stage.EVIDENCE,
    "the web hook refused the request",
    "See the code in the detail, and the record of the system behind the web hook for the same transaction.",
)

# --- What is sent to us -----------------------------------------------------------------------------------------------
HOOK_STRANGER = Reason(
    "CON-079",
    Stage.HTTP,
    "a message to a connector is not signed as it should be",
    "Compare key, clock and URL of the sender with `regalia connector hook`; if it is none of yours, nothing is to do.",
)
HOOK_REPEATED = Reason(
    "CON-080",
    Stage.HTTP,
    "a message to a connector has come before",
    "Have the sender give each attempt an id and a time of its own; else somebody repeats what they overheard.",
)
HOOK_UNREADABLE = Reason(
    "CON-081",
    Stage.HTTP,
    "a message to a connector cannot be read",
    "Mend what the answer names; the sender heard the same.",
)
HOOK_LIMITED = Reason(
    "CON-082",
    Stage.HTTP,
    "too many messages from one sender that are not signed as they should be",
    "It is let in again after a minute.",
)
