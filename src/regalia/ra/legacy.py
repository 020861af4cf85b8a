"""Old algorithms in use: each message that only the endpoint's `legacy` switch let in is on record (SIG-5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.wire import oids
from regalia.wire.algorithms import Digest
from regalia.wire.public_key import key_fault
from regalia.wire.signature import SchemeRefusedError, request_scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ra.request import EnrolmentRequest, PollRequest, RetrievalRequest
    from regalia.wire.algorithms import Accepted
    from regalia.wire.csr import Csr
    from regalia.wire.scep import PkiMessage

__all__ = ["legacy_events", "legacy_uses"]


def legacy_uses(message: PkiMessage, accepted: Accepted, csr: Csr | None = None) -> tuple[str, ...]:
    """Name, for people, what of a message that was taken would be refused without the switch."""
    return tuple(_uses(message, accepted, csr)) if accepted.legacy else ()


def _uses(message: PkiMessage, accepted: Accepted, csr: Csr | None) -> Iterator[str]:
    strict = replace(accepted, legacy=False)
    if message.digest is Digest.SHA1:
        yield "the message is signed with SHA-1"
    if message.enveloped.cipher.oid == oids.DES_EDE3_CBC:
        yield "the content is encrypted with triple DES"
    if key_fault(message.signer_facts.public_key, strict) is not None:
        yield "the signer's RSA exponent is 3"
    if csr is None:
        return
    if key_fault(csr.public_key, strict) is not None:
        yield "the requested key's RSA exponent is 3"
    try:
        request_scheme(csr.signature_algorithm, strict)
    except SchemeRefusedError:
        yield f"the request is signed with {csr.signature_algorithm}"


def legacy_events(request: EnrolmentRequest | PollRequest | RetrievalRequest) -> tuple[EventDraft, ...]:
    """Make the record of it; empty where nothing of the kind was used."""
    if not request.legacy:
        return ()
    return (
        EventDraft(
            at=request.received_at,
            actor=Actor(ActorKind.DEVICE, request.source, request.source),
            action=Action.LEGACY_USED,
            object=f"endpoint:{request.door.endpoint.name}",
            outcome=Outcome.OK,
            group=request.door.group.name,
            transaction_id=request.transaction_id.decode("utf-8", "replace"),
            details={"algorithms": list(request.legacy), "message": request.described},
        ),
    )
