"""Whom a device addressed: behind which of a group's RA credentials it stands, and so which authority it asks.

RFC 8894 §5.1 lets the recipient of the envelope say so, and §4.7's rollover rests on it. A device that holds the
former RA certificate gets a reply that this very certificate signs; one that holds the next one's gets a certificate
of the next authority, which issues to nobody else yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.errors import PeerError
from regalia.wire.algorithms import Accepted
from regalia.wire.cms import encrypted_key_for
from regalia.wire.der import DerError
from regalia.wire.scep import judge_envelope

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Credential, Door
    from regalia.wire.cms import EnvelopedData
    from regalia.wire.scep import RawMessage

__all__ = ["addressed"]

_ANY = Accepted(legacy=True, non_rsa=True)
"""What the endpoint takes is judged when the message is verified; here only the recipients are looked at."""


def addressed(door: Door, raw: RawMessage, now: datetime) -> Door:
    """Return the door as whoever sent this message sees it. Nothing is verified, and no private key is used.

    Where the message names none of ours, or an RA certificate that has expired, it is the door as everybody sees it.
    """
    if not door.former_ras and door.successor is None:
        return door
    enveloped = _envelope(raw)
    if enveloped is None or encrypted_key_for(enveloped, door.ra.certificate_der) is not None:
        return door
    if door.successor is not None and door.successor_ra is not None and _names(enveloped, door.successor_ra):
        return replace(
            door,
            authority=door.successor,
            ra=door.successor_ra,
            former_ras=(door.ra, *door.former_ras),
            former=(door.authority, *door.former),
            successor=None,
            successor_ra=None,
        )
    for former in door.former_ras:
        if _names(enveloped, former) and former.not_before <= now < former.not_after:
            return replace(door, ra=former, former_ras=(door.ra, *(ra for ra in door.former_ras if ra is not former)))
    return door


def _names(enveloped: EnvelopedData, credential: Credential) -> bool:
    return encrypted_key_for(enveloped, credential.certificate_der) is not None


def _envelope(raw: RawMessage) -> EnvelopedData | None:
    try:
        return judge_envelope(raw.signed_data.content or b"", _ANY)
    except (PeerError, DerError):
        return None
