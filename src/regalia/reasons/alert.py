"""What we call ourselves, and alerts: addresses that must not be called, answers that did not come, mail, targets."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "ALERT_STATE",
    "DELIVERY_STATE",
    "MAIL_FAILED",
    "MAIL_NOT_SET",
    "OUTGOING_FAILED",
    "OUTGOING_REFUSED",
    "OUTGOING_UNTRUSTED",
    "TARGET_REFUSED",
    "WEB_HOOK_REFUSED",
]

OUTGOING_REFUSED = Reason(
    "ALERT-001",
    Stage.ADMIN,
    "the address is not one that this server calls",
    "Use https and a public address, or open the private one with its port in `[outgoing]`.",
)
OUTGOING_FAILED = Reason(
    "ALERT-002",
    Stage.ADMIN,
    "no usable answer came from outside",
    "See that the other side runs and that this machine reaches it; its certificate must be trusted here.",
)
MAIL_NOT_SET = Reason(
    "ALERT-003",
    Stage.ADMIN,
    "no mail server is set",
    "Set `alerts.mail_server` and `alerts.mail_from`, then restart the server.",
)
MAIL_FAILED = Reason(
    "ALERT-004",
    Stage.ADMIN,
    "the mail server did not take the message",
    "See what it says in the detail, and that `[alerts]` names the right server, user and password.",
)
TARGET_REFUSED = Reason(
    "ALERT-005",
    Stage.ADMIN,
    "the target is not usable",
    "Give one plain e-mail address, or one https URL without user, password and fragment.",
)
WEB_HOOK_REFUSED = Reason(
    "ALERT-006",
    Stage.ADMIN,
    "the web hook did not answer with success",
    "See the receiver's own log: anything but a status from 200 to 299 is tried again later.",
)
ALERT_STATE = Reason(
    "ALERT-007",
    Stage.ADMIN,
    "the alert is not in a state for this",
    "See `regalia alert show`: what is closed needs no acknowledgement.",
)
DELIVERY_STATE = Reason(
    "ALERT-008",
    Stage.ADMIN,
    "the delivery is not in a state for this",
    "See `regalia alert delivery list`: what still waits is tried by itself, and a target that was removed gets nothing.",
)
OUTGOING_UNTRUSTED = Reason(
    "ALERT-009",
    Stage.ADMIN,
    "the server outside shows a certificate that is not trusted here",
    "Name the PEM file of its authority, or of the proxy that opens TLS on the way, in `outgoing.ca_file`.",
)
