"""The SCEP conversation (RFC 8894): a message's octets in, a CertRep's octets out.

The order of checks is security.md §3; what a stranger learns of a refusal is R6's table and nothing more. Steps 1 and
2 end as `Unreadable` (the face answers 400), what is too much as `Limited` (429), "come back later" as
`UnavailableError` (503), all else as a signed CertRep.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.errors import InvariantError, PeerError, Stage, UnavailableError
from regalia.model import Certificate, Denied, Pending
from regalia.ra.enrol import Enroller, EnrolStore
from regalia.ra.limits import Limited, Sender
from regalia.ra.refusals import Refused
from regalia.ra.renew import live_signer
from regalia.ra.request import EnrolmentRequest, PollRequest
from regalia.ra.scep_reply import FAIL_INFO, CertRep, Reply, begin_reply
from regalia.wire.cms import certs_only, decrypt_content, encrypted_key_for
from regalia.wire.csr import read_csr, verify_possession
from regalia.wire.scep_data import check_poll
from regalia.wire.scep import (
    MessageType,
    capabilities,
    read_message,
    verify_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Credential, Door
    from regalia.ports import Catalogue, Clock, Entropy, KeyStore
    from regalia.ra.limits import Limits
    from regalia.ra.refusals import Refusals
    from regalia.wire.cms import EncryptedKey
    from regalia.wire.scep import PkiMessage, RawMessage, Transaction

__all__ = ["FAIL_INFO", "CertRep", "Limited", "ScepAnswer", "ScepService", "ScepStore", "Unreadable"]

_CLOCK_TOLERANCE = timedelta(hours=24)
_SPARE_KEY_OCTETS = 32
_DROPPED_SHOWN = 500
"""Characters of what was dropped from a request that its stages keep: a request has room for hundreds of items, and
refused ones are kept for a month."""


class ScepStore(EnrolStore, Protocol):
    """What the SCEP conversation needs to know."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No SCEP message could be understood, or its transaction not be named."""

    reason: Reason


ScepAnswer = CertRep | Unreadable | Limited


@dataclass(frozen=True, slots=True)
class _Verified:
    """Steps 3 to 6 done: a genuine message, and whose it is."""

    message: PkiMessage
    signer: Certificate | None


class ScepService:
    """Serves every SCEP endpoint of a deployment."""

    def __init__(
        self,
        *,
        doors: Catalogue,
        store: ScepStore,
        keys: KeyStore,
        enroller: Enroller,
        limits: Limits,
        refusals: Refusals,
        clock: Clock,
        entropy: Entropy,
        challenge_mac: Callable[[str], bytes],
    ) -> None:
        self._doors = doors
        self._store = store
        self._keys = keys
        self._enroller = enroller
        self._limits = limits
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy
        self._challenge_mac = challenge_mac
        self._seen: dict[str, Door] = {}
        # What is not in this table is refused (MSG-1). GetCert and GetCRL are not: URLs in the certificate serve both.
        self._served: dict[str, Callable[[Sender, _Verified, str], EnrolmentRequest | PollRequest]] = {
            MessageType.PKCS_REQ: self._enrolment,
            MessageType.RENEWAL_REQ: self._enrolment,
            MessageType.CERT_POLL: self._poll,
        }

    def door(self, endpoint: str) -> Door | None:
        """Find an enabled SCEP endpoint; unknown and disabled are the same to a stranger (R6)."""
        door = self._doors.door(endpoint)
        if door is None or not door.endpoint.enabled or door.endpoint.protocol != "scep":
            self._seen.pop(endpoint, None)
            return None
        self._seen[endpoint] = door
        return door

    def seen_door(self, endpoint: str) -> Door | None:
        """Return an endpoint as it last was, without asking anybody: for GetCACaps and GetCACert alone.

        While the database is away the catalogue is forgotten, since nobody would tell of a change. What these two say
        is public and rarely changes, so devices go on to learn it (RES-7); whoever enrols is told to come again.
        """
        return self._seen.get(endpoint)

    def ca_capabilities(self) -> bytes:
        """GetCACaps (R1)."""
        return capabilities()

    def ca_certificates(self, door: Door) -> bytes:
        """GetCACert: RA, issuing CA and, unless the endpoint leaves it out, the root, in this order (R2)."""
        chain = [door.ra.certificate_der, door.authority.certificate_der]
        if door.endpoint.include_root:
            chain.append(door.root.certificate_der)
        return certs_only(chain, ordered=True)

    def refuse_http(self, reason: Reason, endpoint: str, source: str, detail: str = "") -> None:
        """Record what the face refused before a message was read."""
        self._refusals.record(
            Refused(at=self._clock.now(), source=source, endpoint=endpoint[:64], denied=Denied(reason, detail))
        )

    def pki_operation(self, door: Door, body: bytes, source: str) -> ScepAnswer:
        """Answer one PKIOperation.

        Raises `UnavailableError` where neither yes nor no can be said now (503); nothing that a message holds does.
        """
        sender = Sender(door, source, self._clock.now())
        described = f"{len(body)} octets"
        limited = self._limits.arrival(sender)
        if limited is not None:
            return self._too_much(sender, limited, None, described)
        try:
            raw = read_message(body)
            if raw.transaction is None:
                # Nothing can be signed in reply; the administrator gets the precise reason, which this raises.
                verify_message(raw)
                raise InvariantError("a message without transactionID was verified")
        except PeerError as fault:
            self._record(sender, None, Denied(fault.reason, fault.detail), described)
            return Unreadable(fault.reason)
        return self._answer(sender, raw, raw.transaction, described)

    def _answer(self, sender: Sender, raw: RawMessage, transaction: Transaction, described: str) -> ScepAnswer:
        """Steps 3 to 10. No private key is used before the limits were asked (R6)."""
        try:
            verified = self._verified(sender.door, raw, sender.at)
        except PeerError as fault:
            limited = self._limits.request(sender)
            if limited is not None:
                return self._too_much(sender, limited, transaction, described)
            return self._refused(sender, self._reply(sender.door, raw, transaction), fault, described)
        sender = replace(sender, signer=verified.signer)
        judged = self._judged(sender, verified.message)
        if isinstance(judged, Limited):
            return self._too_much(sender, judged, transaction, described)
        reply = self._reply(sender.door, raw, transaction)
        try:
            request = self._served[verified.message.message_type](sender, verified, described)
        except PeerError as fault:
            if fault.reason.stage is Stage.ENVELOPE:
                self._limits.unreadable(sender)
            return self._refused(sender, reply, fault, described)
        if isinstance(request, PollRequest):
            ended = self._enroller.poll(request)
        else:
            ended = self._enroller.enrol(request, repeats_only=judged)
        if isinstance(ended, Certificate) and ended.der is not None:
            return reply.success(verified.message, ended.der)
        if isinstance(ended, Pending):
            return reply.pending(verified.message)
        if isinstance(ended, Denied):
            self._limits.denied(sender, ended)
            return reply.failure(ended.reason)
        raise UnavailableError(reasons.IN_PROGRESS if isinstance(ended, Certificate) else ended.reason)

    def _judged(self, sender: Sender, message: PkiMessage) -> Limited | Denied | None:
        """Ask the limits; `Denied` is what a renewal is told unless it repeats one that was answered."""
        judged: Limited | Denied | None = self._limits.opening(sender)
        if judged is None and sender.signer is not None:
            judged = self._limits.renewal(sender, sender.signer)
        elif judged is None and message.message_type == MessageType.PKCS_REQ:
            judged = self._limits.first_enrolment(sender, message.transaction.octets, _signer_key_sha256(message))
        # Last, because it counts: what another limit refuses takes nothing from the group's share.
        return judged if isinstance(judged, Limited) else self._limits.request(sender) or judged

    # --- steps 3 to 7 -----------------------------------------------------------------------------------------------

    def _verified(self, door: Door, raw: RawMessage, now: datetime) -> _Verified:
        message = verify_message(raw)
        if message.message_type not in self._served:
            raise PeerError(reasons.MESSAGE_TYPE_REFUSED, f"messageType {message.message_type}")
        self._check_time(door, message, now)
        signer = live_signer(self._store, door, message.signer, message.signer_facts, now)
        if signer is None and message.message_type == MessageType.RENEWAL_REQ:
            raise PeerError(reasons.RENEWAL_NEEDS_CERTIFICATE)
        if signer is not None and message.message_type == MessageType.CERT_POLL:
            # Only first enrolments are ever held: there is nothing that a certificate could ask for.
            raise PeerError(reasons.POLL_UNKNOWN, f"signed with serial {signer.serial:x}")
        return _Verified(message, signer)

    def _check_time(self, door: Door, message: PkiMessage, now: datetime) -> None:
        if not door.endpoint.check_signing_time or message.signing_time is None:
            return
        if abs(message.signing_time - now) > _CLOCK_TOLERANCE:
            raise PeerError(reasons.SIGNING_TIME_REFUSED, f"it says {message.signing_time:%Y-%m-%d %H:%M} UTC")

    def _recipient(self, door: Door, message: PkiMessage) -> tuple[Credential, EncryptedKey]:
        """Find our RA credential among the recipients; a device may still hold the previous one (ENV-8)."""
        for credential in (door.ra, *door.former_ras):
            encrypted_key = encrypted_key_for(message.enveloped, credential.certificate_der)
            if encrypted_key is not None:
                return credential, encrypted_key
        raise PeerError(reasons.RECIPIENT_UNKNOWN)

    def _content(self, door: Door, message: PkiMessage) -> bytes:
        """Decrypt (ENV-1 to ENV-3)."""
        credential, encrypted_key = self._recipient(door, message)
        key = self._keys.open(credential.key_id)
        spare = self._entropy.octets(_SPARE_KEY_OCTETS)
        return decrypt_content(message.enveloped, encrypted_key, key.decrypt, spare)

    def _enrolment(self, sender: Sender, verified: _Verified, described: str) -> EnrolmentRequest:
        """Step 7, one combined step: whatever fails here fails alike to a stranger (ENV-3)."""
        door, message = sender.door, verified.message
        csr = read_csr(self._content(door, message))
        check_key(csr.public_key, door.profile)
        verify_possession(csr)
        if verified.signer is None and csr.public_key != message.signer_facts.public_key:
            # Without this, whoever captures a message can re-sign it and receive the certificate (SIG-6).
            raise PeerError(reasons.KEY_NOT_BOUND)
        return EnrolmentRequest(
            door=door,
            transaction_id=message.transaction.octets,
            csr=csr,
            signer=verified.signer,
            challenge_mac=self._challenge_mac(csr.challenge) if csr.challenge else None,
            source=sender.source,
            received_at=sender.at,
            described=_described(message, described, sender.at, csr.dropped),
        )

    def _poll(self, sender: Sender, verified: _Verified, described: str) -> PollRequest:
        """Step 7 of a CertPoll: it fails like that of a request, and for the same (R6)."""
        message = verified.message
        check_poll(self._content(sender.door, message))
        return PollRequest(
            door=sender.door,
            transaction_id=message.transaction.octets,
            key_sha256=_signer_key_sha256(message),
            source=sender.source,
            received_at=sender.at,
            described=_described(message, described, sender.at),
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    def _reply(self, door: Door, raw: RawMessage, transaction: Transaction) -> Reply:
        return begin_reply(self._keys, self._entropy, door, raw, transaction)

    def _refused(self, sender: Sender, reply: Reply, fault: PeerError, described: str) -> CertRep:
        # A captured request that somebody signed anew is an attack by nature, whatever stage finds it (SIG-6).
        attack = fault.reason.stage is Stage.SIGNER or fault.reason is reasons.KEY_NOT_BOUND
        denied = Denied(fault.reason, fault.detail, security=attack)
        self._record(sender, reply.transaction, denied, described)
        return reply.failure(fault.reason)

    def _too_much(self, sender: Sender, limited: Limited, transaction: Transaction | None, described: str) -> Limited:
        self._record(sender, transaction, Denied(limited.reason, limited.detail), described)
        return limited

    def _record(self, sender: Sender, transaction: Transaction | None, denied: Denied, described: str) -> None:
        self._refusals.record(
            Refused(
                at=self._clock.now(),
                source=sender.source,
                endpoint=sender.door.endpoint.name,
                denied=denied,
                group=sender.door.group.name,
                transaction_id=transaction.text if transaction is not None else None,
                message=described,
            )
        )


def _signer_key_sha256(message: PkiMessage) -> bytes:
    return hashlib.sha256(message.signer_facts.public_key).digest()


def _described(message: PkiMessage, described: str, now: datetime, dropped: tuple[str, ...] = ()) -> str:
    off = message.signing_time is not None and abs(message.signing_time - now) > _CLOCK_TOLERANCE
    return (
        f"messageType {message.message_type}, {described}, {message.digest}, {message.enveloped.cipher}"
        + (f", dropped from the request: {_shortened(', '.join(dropped))}" if dropped else "")
        + (", its clock is more than 24 hours off" if off else "")
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _DROPPED_SHOWN else text[:_DROPPED_SHOWN] + "…"
