"""Alerts by web hook: a signed POST (CON-6), through the one way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import TargetKind
from regalia.ports import OutgoingRequest
from regalia.ra.alert_message import signature_of

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import AlertTarget, Delivery
    from regalia.ports import AlertSender, Outgoing, Sealer

__all__ = ["ID_HEADER", "SIGNATURE_HEADER", "TIMESTAMP_HEADER", "TargetSender", "WebHookSender"]

ID_HEADER: Final = "Regalia-Delivery"
TIMESTAMP_HEADER: Final = "Regalia-Timestamp"
SIGNATURE_HEADER: Final = "Regalia-Signature"

_ANSWER_OCTETS: Final = 16 << 10
"""More than any answer that says something; nothing of it is kept."""


class WebHookSender:
    """Sends one message to one URL. Its id and its body are those of every attempt, its timestamp is this one's."""

    def __init__(self, outgoing: Outgoing, sealer: Sealer) -> None:
        self._outgoing = outgoing
        self._sealer = sealer

    def send(self, target: AlertTarget, delivery: Delivery, at: datetime) -> None:
        """See `ports.AlertSender`."""
        body, timestamp = delivery.body.encode(), int(at.timestamp())
        secret = self._sealer.unseal(target.scope, target.sealed)
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: str(delivery.id),
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: signature_of(secret, timestamp, body),
        }
        answer = self._outgoing.exchange(OutgoingRequest("POST", target.address, headers, body, _ANSWER_OCTETS))
        if not 200 <= answer.status <= 299:
            raise UnavailableError(reasons.WEB_HOOK_REFUSED, f"it answers {answer.status}")


class TargetSender:
    """Sends to targets of either kind."""

    def __init__(self, mail: AlertSender, web_hook: AlertSender) -> None:
        self._by_kind = {TargetKind.MAIL: mail, TargetKind.WEB_HOOK: web_hook}

    def send(self, target: AlertTarget, delivery: Delivery, at: datetime) -> None:
        """See `ports.AlertSender`."""
        self._by_kind[target.kind].send(target, delivery, at)
