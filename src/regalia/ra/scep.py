"""The SCEP conversation (RFC 8894): a message's octets in, a CertRep's octets out.

The order of checks is security.md §3; what a stranger learns of a refusal is R6's table and nothing more. Steps 1 and
2 end as `Unreadable` (the face answers 400), what is too much as `Limited` (429), "come back later" as
`UnavailableError` (503), all else as a signed CertRep.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.errors import InvariantError, PeerError, Stage, UnavailableError
from regalia.model import Certificate, Denied, Pending
from regalia.ra.addressed import addressed
from regalia.ra.enrol import Enroller, EnrolStore
from regalia.ra.legacy import legacy_uses
from regalia.ra.limits import Limited, Sender
from regalia.ra.refusals import Refused
from regalia.ra.renew import live_signer
from regalia.ra.request import EnrolmentRequest, PollRequest, RetrievalRequest
from regalia.ra.scep_reply import FAIL_INFO, CertRep, Reply, begin_reply
from regalia.wire.algorithms import Accepted, Digest
from regalia.wire.cms import certs_only, decrypt_content, encrypted_key_for
from regalia.wire.cms_build import crl_only
from regalia.wire.csr import read_csr, verify_possession
from regalia.wire.public_key import can_decrypt
from regalia.wire.scep import MessageType, build_next_ca, capabilities, read_message, verify_message
from regalia.wire.scep_data import read_issuer_and_serial

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Credential, Door, Endpoint
    from regalia.ports import Catalogue, Clock, Entropy, KeyStore
    from regalia.ra.limits import Limits
    from regalia.ra.refusals import Refusals
    from regalia.ra.retrieve import Retriever
    from regalia.wire.cms import EncryptedKey
    from regalia.wire.scep import PkiMessage, RawMessage, Transaction

__all__ = ["FAIL_INFO", "CertRep", "Limited", "ScepAnswer", "ScepService", "ScepStore", "Unreadable"]

_CLOCK_TOLERANCE = timedelta(hours=24)
_SPARE_KEY_OCTETS = 32
_NEXT_CAS_KEPT = 256
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

_Request = EnrolmentRequest | PollRequest | RetrievalRequest

_ENROLS = frozenset({MessageType.PKCS_REQ, MessageType.RENEWAL_REQ})
_RETRIEVES = frozenset({MessageType.GET_CERT, MessageType.GET_CRL})


@dataclass(frozen=True, slots=True)
class _Verified:
    """Steps 3 to 6 done: a genuine message, and whose it is."""

    message: PkiMessage
    signer: Certificate | None


class ScepService:
    """Serves every SCEP endpoint of a deployment."""

    def __init__(  # noqa: PLR0913 - the rooms that a conversation passes through, each named at the one call
        self,
        *,
        doors: Catalogue,
        store: ScepStore,
        keys: KeyStore,
        enroller: Enroller,
        retriever: Retriever,
        limits: Limits,
        refusals: Refusals,
        clock: Clock,
        entropy: Entropy,
        challenge_mac: Callable[[str], bytes],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """`stopwatch` tells seconds that only ever rise; who waits for `CertRep.opening_began` reads the same."""
        self._doors = doors
        self._store = store
        self._keys = keys
        self._enroller = enroller
        self._retriever = retriever
        self._limits = limits
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy
        self._challenge_mac = challenge_mac
        self._stopwatch = stopwatch
        self._seen: dict[str, Door] = {}
        self._next_ca: dict[tuple[bytes, ...], bytes] = {}
        # What is not in this table is refused (MSG-1).
        self._served: dict[str, Callable[[Sender, _Verified, str], _Request]] = {
            MessageType.PKCS_REQ: self._enrolment,
            MessageType.RENEWAL_REQ: self._enrolment,
            MessageType.CERT_POLL: self._poll,
            MessageType.GET_CERT: self._retrieval,
            MessageType.GET_CRL: self._retrieval,
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
        """Return an endpoint as it last was, without asking anybody: for GetCACaps, GetCACert and GetNextCACert alone.

        While the database is away the catalogue is forgotten, since nobody would tell of a change. What these say is
        public and rarely changes, so devices go on to learn it (RES-7); whoever enrols is told to come again.
        """
        return self._seen.get(endpoint)

    def ca_capabilities(self, door: Door) -> bytes:
        """GetCACaps (R1)."""
        return capabilities(_accepted(door.endpoint), next_ca=door.successor is not None)

    def ca_certificates(self, door: Door) -> bytes:
        """GetCACert: RA, issuing CA, what stands between it and the root, and the root, in this order (R2).

        The endpoint may leave the root out. Where the CA is its own RA, it is that one certificate alone, bare.
        """
        if self.is_own_ra(door):
            return door.authority.certificate_der
        authorities = [door.authority, *door.between, *([door.root] if door.endpoint.include_root else [])]
        chain = [door.ra.certificate_der, *(authority.certificate_der for authority in authorities)]
        return certs_only(chain, ordered=True)

    def is_own_ra(self, door: Door) -> bool:
        """Whether GetCACert is one bare certificate (RFC 8894 §4.2.1.1)."""
        return door.ra.certificate_id == door.authority.certificate_id

    def next_ca_certificates(self, door: Door) -> bytes | None:
        """GetNextCACert (RFC 8894 §4.7): the successor and its RA, signed by the present RA; None where none is chosen.

        The RA is there for devices to encrypt to: an EC key of the successor itself could open nothing. The message is
        the same for everybody, so it is signed once: nobody can make us use the key by asking.
        """
        if door.successor is None:
            return None
        every = (door.successor_ra, door.successor) if door.successor_ra is not None else (door.successor,)
        following = tuple(dict.fromkeys(each.certificate_der for each in every))
        which = (*following, door.ra.certificate_der)
        message = self._next_ca.get(which)
        if message is None:
            key, digest = self._keys.open(door.ra.key_id), Digest.SHA256
            message = build_next_ca(
                list(following),
                digest=digest,
                ra_certificate=door.ra.certificate_der,
                sign=lambda data: key.sign(data, digest),
            )
            if len(self._next_ca) >= _NEXT_CAS_KEPT:
                self._next_ca.clear()
            self._next_ca[which] = message
        return message

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
            raw = read_message(body, _accepted(door.endpoint))
            if raw.transaction is None:
                # Nothing can be signed in reply; the administrator gets the precise reason, which this raises.
                verify_message(raw, _accepted(door.endpoint))
                raise InvariantError("a message without transactionID was verified")
        except PeerError as fault:
            self._record(sender, None, Denied(fault.reason, fault.detail), described)
            return Unreadable(fault.reason)
        sender = replace(sender, door=addressed(door, raw, sender.at))
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
        message = verified.message
        sender = replace(sender, signer=verified.signer)
        described = _described(message, described, sender.at)
        judged = self._judged(sender, message)
        if isinstance(judged, Limited):
            return self._too_much(sender, judged, transaction, described)
        reply, began = self._reply(sender.door, raw, transaction), self._stopwatch()
        try:
            request = self._served[message.message_type](sender, verified, described)
        except PeerError as fault:
            retrieves = message.message_type in _RETRIEVES
            refused = self._refused(sender, reply, fault, described, reasons.CERTIFICATE_UNKNOWN if retrieves else None)
            opened = not retrieves and fault.reason.stage is not Stage.ENVELOPE
            return refused if opened else self._unread(sender, refused, began)
        if isinstance(request, RetrievalRequest):
            return self._retrieved(sender, reply, message, request, began)
        return self._ended(sender, reply, message, request, judged)

    def _ended(
        self,
        sender: Sender,
        reply: Reply,
        message: PkiMessage,
        request: EnrolmentRequest | PollRequest,
        repeats_only: Denied | None,
    ) -> CertRep:
        """Steps 8 to 10, and what comes of them."""
        if isinstance(request, PollRequest):
            ended = self._enroller.poll(request)
        else:
            ended = self._enroller.enrol(request, repeats_only=repeats_only)
        if isinstance(ended, Certificate) and ended.der is not None:
            return reply.success(message, certs_only([ended.der]), self._secret(request, ended), issued=True)
        if isinstance(ended, Pending):
            return reply.pending(message)
        if isinstance(ended, Denied):
            self._limits.denied(sender, ended)
            return reply.failure(ended.reason)
        raise UnavailableError(reasons.IN_PROGRESS if isinstance(ended, Certificate) else ended.reason)

    def _secret(self, request: EnrolmentRequest | PollRequest, certificate: Certificate) -> str | None:
        """Find the challenge that keys the answer; None where the sender can decrypt."""
        if not request.keyed_by_challenge:
            return None
        if isinstance(request, PollRequest):
            secret = self._enroller.kept_challenge(certificate)
            if secret is None:
                # Forgotten since the poll was judged: the next one is told that it is over.
                raise UnavailableError(reasons.IN_PROGRESS, f"certificate {certificate.id}")
        else:
            secret = request.csr.challenge
        if secret is None:
            raise InvariantError(f"certificate {certificate.id} was granted to a key that cannot decrypt, for nothing")
        return secret

    def _unread(self, sender: Sender, refused: CertRep, began: float) -> CertRep:
        """Count a content that is of no use, and have its answer wait (ENV-3, ENV-9)."""
        self._limits.unreadable(sender)
        return replace(refused, opening_began=began)

    def _retrieved(
        self, sender: Sender, reply: Reply, message: PkiMessage, request: RetrievalRequest, began: float
    ) -> CertRep:
        """GetCert or GetCRL: who signed it can decrypt, or it had not come so far.

        No signature inside proves who wrote the content, as a request's does. Whoever captured a request could change
        its ciphertext into an IssuerAndSerialNumber and read the challenge octet by octet, if he were told apart what
        has a bad padding and what names no certificate of his: so both have one answer, one count and one wait.
        """
        is_certificate = message.message_type == MessageType.GET_CERT
        found = self._retriever.certificate(request) if is_certificate else self._retriever.crl(request)
        if isinstance(found, Denied):
            refused = reply.failure(found.reason)
            return self._unread(sender, refused, began) if found.reason is reasons.CERTIFICATE_UNKNOWN else refused
        return reply.success(message, certs_only([found]) if is_certificate else crl_only(found), None)

    def _judged(self, sender: Sender, message: PkiMessage) -> Limited | Denied | None:
        """Ask the limits; `Denied` is what a renewal is told unless it repeats one that was answered."""
        judged: Limited | Denied | None = self._limits.opening(sender)
        if judged is None and sender.signer is not None and message.message_type in _ENROLS:
            judged = self._limits.renewal(sender, sender.signer)
        elif judged is None and message.message_type == MessageType.PKCS_REQ:
            judged = self._limits.first_enrolment(sender, message.transaction.octets, _signer_key_sha256(message))
        # Last, because it counts: what another limit refuses takes nothing from the group's share.
        return judged if isinstance(judged, Limited) else self._limits.request(sender) or judged

    # --- steps 3 to 7 -----------------------------------------------------------------------------------------------

    def _verified(self, door: Door, raw: RawMessage, now: datetime) -> _Verified:
        message = verify_message(raw, _accepted(door.endpoint))
        if message.message_type not in self._served:
            raise PeerError(reasons.MESSAGE_TYPE_REFUSED, f"messageType {message.message_type}")
        self._check_time(door, message, now)
        signer = live_signer(self._store, door, message.signer, message.signer_facts, now)
        if signer is None and message.message_type == MessageType.RENEWAL_REQ:
            raise PeerError(reasons.RENEWAL_NEEDS_CERTIFICATE)
        if signer is not None and message.message_type == MessageType.CERT_POLL:
            # Only first enrolments are ever held: there is nothing that a certificate could ask for.
            raise PeerError(reasons.POLL_UNKNOWN, f"signed with serial {signer.serial:x}")
        if message.message_type in _RETRIEVES and not can_decrypt(message.signer_facts.public_key):
            raise PeerError(reasons.RETRIEVAL_NEEDS_DECRYPTION)
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
        accepted = _accepted(door.endpoint)
        csr = read_csr(self._content(door, message))
        check_key(csr.public_key, door.profile, small_exponents=accepted.legacy)
        verify_possession(csr, accepted)
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
            described=described + _dropped(csr.dropped),
            keyed_by_challenge=not can_decrypt(message.signer_facts.public_key),
            legacy=legacy_uses(message, accepted, csr),
        )

    def _poll(self, sender: Sender, verified: _Verified, described: str) -> PollRequest:
        """Read a CertPoll without opening its content: transactionID and signer say whose poll it is, and nothing else.

        Clients differ in whom they name in it. And no signature inside proves who wrote it: whoever has a conversation
        of his own could otherwise change a captured request into a poll, and read its challenge octet by octet by
        whether the padding was good.
        """
        message = verified.message
        self._recipient(sender.door, message)
        return PollRequest(
            door=sender.door,
            transaction_id=message.transaction.octets,
            key_sha256=_signer_key_sha256(message),
            source=sender.source,
            received_at=sender.at,
            described=described,
            keyed_by_challenge=not can_decrypt(message.signer_facts.public_key),
            legacy=legacy_uses(message, _accepted(sender.door.endpoint)),
        )

    def _retrieval(self, sender: Sender, verified: _Verified, described: str) -> RetrievalRequest:
        """Step 7 of GetCert and GetCRL, which fail like all others, too (R6)."""
        message = verified.message
        return RetrievalRequest(
            door=sender.door,
            transaction_id=message.transaction.octets,
            wanted=read_issuer_and_serial(self._content(sender.door, message)),
            signer=verified.signer,
            key_sha256=_signer_key_sha256(message),
            source=sender.source,
            received_at=sender.at,
            described=described,
            legacy=legacy_uses(message, _accepted(sender.door.endpoint)),
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    def _reply(self, door: Door, raw: RawMessage, transaction: Transaction) -> Reply:
        return begin_reply(self._keys, self._entropy, door, raw, transaction)

    def _refused(
        self, sender: Sender, reply: Reply, fault: PeerError, described: str, told: Reason | None = None
    ) -> CertRep:
        """Refuse; `told` is what the stranger is told instead of the fault that goes on record."""
        # A captured request that somebody signed anew is an attack by nature, whatever stage finds it (SIG-6).
        attack = fault.reason is reasons.KEY_NOT_BOUND or (
            fault.reason.stage is Stage.SIGNER and fault.reason is not reasons.RETRIEVAL_NEEDS_DECRYPTION
        )
        denied = Denied(fault.reason, fault.detail, security=attack)
        self._record(sender, reply.transaction, denied, described)
        return reply.failure(told or fault.reason)

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


def _accepted(endpoint: Endpoint) -> Accepted:
    return Accepted(legacy=endpoint.legacy, non_rsa=endpoint.non_rsa)


def _signer_key_sha256(message: PkiMessage) -> bytes:
    return hashlib.sha256(message.signer_facts.public_key).digest()


def _described(message: PkiMessage, described: str, now: datetime) -> str:
    off = message.signing_time is not None and abs(message.signing_time - now) > _CLOCK_TOLERANCE
    return f"messageType {message.message_type}, {described}, {message.digest}, {message.enveloped.cipher}" + (
        ", its clock is more than 24 hours off" if off else ""
    )


def _dropped(items: tuple[str, ...]) -> str:
    text = ", ".join(items)
    shown = text if len(text) <= _DROPPED_SHOWN else text[:_DROPPED_SHOWN] + "…"
    return f", dropped from the request: {shown}" if items else ""
