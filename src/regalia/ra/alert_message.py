"""What a target is told: JSON, and how a web hook is signed (CON-6)."""

from __future__ import annotations

import hmac
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.wire.event import time_text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Alert, Finding, Occasion

__all__ = ["WINDOW", "body_of", "is_signed", "signature_of"]

WINDOW: Final = timedelta(minutes=5)
"""How far from its own clock a receiver lets a timestamp be."""
_VERSION: Final = "v1="


def body_of(
    delivery_id: UUID, occasion: Occasion, at: datetime, where: str, finding: Finding, alert: Alert | None
) -> str:
    """Write a message once: every attempt sends these octets. `where` is the installation's URL."""
    told = {
        "id": None if alert is None else str(alert.id),
        "condition": finding.condition.value,
        "object": finding.object,
        "group": finding.group,
        "severity": finding.severity.value,
        "summary": finding.summary,
        "remedy": finding.remedy,
        "opened_at": None if alert is None else time_text(alert.opened_at),
        "closed_at": None if alert is None or alert.closed_at is None else time_text(alert.closed_at),
        "note": None if alert is None else alert.note or None,
    }
    message = {"id": str(delivery_id), "occasion": occasion.value, "at": time_text(at), "from": where, "alert": told}
    return json.dumps(message, separators=(",", ":"))


def signature_of(secret: bytes, timestamp: int, body: bytes) -> str:
    """Sign a message at a time: HMAC-SHA-256 over the timestamp in decimal, a full stop, and the body (CON-6)."""
    return _VERSION + hmac.digest(secret, b"%d." % timestamp + body, "sha256").hex()


def is_signed(secret: bytes, timestamp: str, body: bytes, signature: str, now: datetime) -> bool:
    """Judge a message as its receiver should: the signature is ours, and made within five minutes of now."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    at = int(timestamp)
    expected = signature_of(secret, at, body).encode()
    fresh = abs(now.timestamp() - at) <= WINDOW.total_seconds()
    return hmac.compare_digest(expected, signature.encode("utf-8", "replace")) and fresh
