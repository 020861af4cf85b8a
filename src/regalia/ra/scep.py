"""The SCEP conversation (RFC 8894): a message's octets in, a CertRep's octets out.

The order of checks is security.md §3; what a stranger learns of a refusal is R6's table and nothing more. Steps 1 and
2 end as `Unreadable` (the face answers 400), "come back later" as `UnavailableError` (503), all else as a signed
CertRep.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.errors import InvariantError, PeerError, Stage, UnavailableError
from regalia.model import Certificate, Denied
from regalia.ra.enrol import Enroller, EnrolStore
from regalia.ra.refusals import Refused
from regalia.ra.renew import live_signer
from regalia.ra.request import EnrolmentRequest
from regalia.wire.algorithms import Digest
from regalia.wire.cms import certs_only, decrypt_content, encrypted_key_for
from regalia.wire.csr import read_csr, verify_possession
from regalia.wire.scep import (
    FailInfo,
    MessageType,
    build_failure,
    build_success,
    capabilities,
    read_message,
    verify_message,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.errors import Reason
    from regalia.model import Credential, Door
    from regalia.ports import Catalogue, Clock, Entropy, KeyStore, PrivateKey
    from regalia.ra.refusals import Refusals
    from regalia.wire.csr import Csr
    from regalia.wire.scep import PkiMessage, RawMessage, Transaction

__all__ = ["FAIL_INFO", "CertRep", "ScepAnswer", "ScepService", "ScepStore", "Unreadable"]

FAIL_INFO = {
    Stage.ALGORITHM: FailInfo.BAD_ALG,
    Stage.SIGNATURE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.ENVELOPE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.TIME: FailInfo.BAD_TIME,
    Stage.SIGNER: FailInfo.BAD_REQUEST,
    Stage.CONVERSATION: FailInfo.BAD_REQUEST,
    Stage.EVIDENCE: FailInfo.BAD_REQUEST,
    Stage.POLICY: FailInfo.BAD_REQUEST,
    Stage.ISSUANCE: FailInfo.BAD_REQUEST,
}
"""R6: what a stranger learns of a refusal, by the stage that refused."""

_SERVED = (MessageType.PKCS_REQ, MessageType.RENEWAL_REQ)
_CLOCK_TOLERANCE = timedelta(hours=24)
_NONCE_OCTETS = 16
_SPARE_KEY_OCTETS = 32
_DROPPED_SHOWN = 500
"""Characters of what was dropped from a request that its stages keep: a request has room for hundreds of items, and
refused ones are kept for a month."""


class ScepStore(EnrolStore, Protocol):
    """What the SCEP conversation needs to know."""


@dataclass(frozen=True, slots=True)
class CertRep:
    """A signed answer."""

    der: bytes
    issued: bool = False
    """Whether it carries a certificate; for who counts."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No SCEP message could be understood, or its transaction not be named."""

    reason: Reason


ScepAnswer = CertRep | Unreadable


@dataclass(frozen=True, slots=True)
class _Opened:
    """Step 7 done: the CSR, and what to answer with."""

    message: PkiMessage
    signer: Certificate | None
    csr: Csr


class ScepService:
    """Serves every SCEP endpoint of a deployment."""

    def __init__(
        self,
        *,
        doors: Catalogue,
        store: ScepStore,
        keys: KeyStore,
        enroller: Enroller,
        refusals: Refusals,
        clock: Clock,
        entropy: Entropy,
        challenge_mac: Callable[[str], bytes],
    ) -> None:
        self._doors = doors
        self._store = store
        self._keys = keys
        self._enroller = enroller
        self._refusals = refusals
        self._clock = clock
        self._entropy = entropy
        self._challenge_mac = challenge_mac

    def door(self, endpoint: str) -> Door | None:
        """Find an enabled SCEP endpoint; unknown and disabled are the same to a stranger (R6)."""
        door = self._doors.door(endpoint)
        return door if door is not None and door.endpoint.enabled and door.endpoint.protocol == "scep" else None

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
        described = f"{len(body)} octets"
        try:
            raw = read_message(body)
            if raw.transaction is None:
                # Nothing can be signed in reply; the administrator gets the precise reason, which this raises.
                verify_message(raw)
                raise InvariantError("a message without transactionID was verified")
        except PeerError as fault:
            self._record(door, None, Denied(fault.reason, fault.detail), source, described)
            return Unreadable(fault.reason)
        ra = self._keys.open(door.ra.key_id)
        now = self._clock.now()
        try:
            opened = self._open(door, raw, now)
        except PeerError as fault:
            denied = Denied(fault.reason, fault.detail, security=fault.reason.stage is Stage.SIGNER)
            self._record(door, raw.transaction, denied, source, described)
            return self._failure(door, raw, raw.transaction, ra, denied)
        request = self._request(door, opened, source, now, described)
        ended = self._enroller.enrol(request)
        if isinstance(ended, Certificate) and ended.der is not None:
            return self._success(door, opened.message, ra, ended.der)
        if isinstance(ended, Denied):
            return self._failure(door, raw, raw.transaction, ra, ended)
        raise UnavailableError(reasons.IN_PROGRESS if isinstance(ended, Certificate) else ended.reason)

    # --- steps 3 to 7 -----------------------------------------------------------------------------------------------

    def _open(self, door: Door, raw: RawMessage, now: datetime) -> _Opened:
        message = verify_message(raw)
        if message.message_type not in _SERVED:
            raise PeerError(reasons.MESSAGE_TYPE_REFUSED, f"messageType {message.message_type}")
        self._check_time(door, message, now)
        signer = live_signer(self._store, door, message.signer, message.signer_facts, now)
        if signer is None and message.message_type == MessageType.RENEWAL_REQ:
            raise PeerError(reasons.RENEWAL_NEEDS_CERTIFICATE)
        credential, encrypted_key = self._recipient(door, message)
        return _Opened(message, signer, self._csr(door, message, credential, encrypted_key, signer))

    def _check_time(self, door: Door, message: PkiMessage, now: datetime) -> None:
        if not door.endpoint.check_signing_time or message.signing_time is None:
            return
        if abs(message.signing_time - now) > _CLOCK_TOLERANCE:
            raise PeerError(reasons.SIGNING_TIME_REFUSED, f"it says {message.signing_time:%Y-%m-%d %H:%M} UTC")

    def _recipient(self, door: Door, message: PkiMessage) -> tuple[Credential, bytes]:
        """Find our RA credential among the recipients; a device may still hold the previous one (ENV-8)."""
        for credential in (door.ra, *door.former_ras):
            encrypted_key = encrypted_key_for(message.enveloped, credential.certificate_der)
            if encrypted_key is not None:
                return credential, encrypted_key
        raise PeerError(reasons.RECIPIENT_UNKNOWN)

    def _csr(
        self, door: Door, message: PkiMessage, credential: Credential, encrypted_key: bytes, signer: Certificate | None
    ) -> Csr:
        """Step 7, one combined step: whatever fails here fails alike to a stranger (ENV-3)."""
        key = self._keys.open(credential.key_id)
        spare = self._entropy.octets(_SPARE_KEY_OCTETS)
        csr = read_csr(decrypt_content(message.enveloped, encrypted_key, key.decrypt, spare))
        check_key(csr.public_key, door.profile)
        verify_possession(csr)
        if signer is None and csr.public_key != message.signer_facts.public_key:
            # Without this, whoever captures a message can re-sign it and receive the certificate (SIG-6).
            raise PeerError(reasons.KEY_NOT_BOUND)
        return csr

    def _request(self, door: Door, opened: _Opened, source: str, now: datetime, described: str) -> EnrolmentRequest:
        message, csr = opened.message, opened.csr
        off = message.signing_time is not None and abs(message.signing_time - now) > _CLOCK_TOLERANCE
        described = (
            f"messageType {message.message_type}, {described}, {message.digest}, {message.enveloped.cipher}"
            + (f", dropped from the request: {_shortened(', '.join(csr.dropped))}" if csr.dropped else "")
            + (", its clock is more than 24 hours off" if off else "")
        )
        return EnrolmentRequest(
            door=door,
            transaction_id=message.transaction.octets,
            csr=csr,
            signer=opened.signer,
            challenge_mac=self._challenge_mac(csr.challenge) if csr.challenge else None,
            source=source,
            received_at=now,
            described=described,
        )

    # --- answers ----------------------------------------------------------------------------------------------------

    def _success(self, door: Door, message: PkiMessage, ra: PrivateKey, leaf: bytes) -> CertRep:
        """Reply with the leaf alone: Apple pairs the first certificate that it finds with its key (scep.md §4.3)."""
        cipher = message.enveloped.cipher
        return CertRep(
            build_success(
                transaction=message.transaction,
                recipient_nonce=message.sender_nonce,
                sender_nonce=self._entropy.octets(_NONCE_OCTETS),
                digest=message.digest,
                cipher=cipher,
                leaf=leaf,
                recipient=message.signer,
                content_key=self._entropy.octets(cipher.key_octets),
                iv=self._entropy.octets(16),
                ra_certificate=door.ra.certificate_der,
                sign=lambda data: ra.sign(data, message.digest),
            ),
            issued=True,
        )

    def _failure(
        self, door: Door, raw: RawMessage, transaction: Transaction, ra: PrivateKey, denied: Denied
    ) -> CertRep:
        digest = raw.digest or Digest.SHA256
        stage = denied.reason.stage
        # The uniform reply of step 7 says the same for every cause, debugging or not (R6).
        tell = door.group.debug and stage is not Stage.ENVELOPE
        return CertRep(
            build_failure(
                transaction=transaction,
                recipient_nonce=raw.sender_nonce,
                sender_nonce=self._entropy.octets(_NONCE_OCTETS),
                digest=digest,
                fail_info=FAIL_INFO[stage],
                fail_info_text=str(denied.reason) if tell else None,
                ra_certificate=door.ra.certificate_der,
                sign=lambda data: ra.sign(data, digest),
            )
        )

    def _record(self, door: Door, transaction: Transaction | None, denied: Denied, source: str, described: str) -> None:
        self._refusals.record(
            Refused(
                at=self._clock.now(),
                source=source,
                endpoint=door.endpoint.name,
                denied=denied,
                group=door.group.name,
                transaction_id=transaction.text if transaction is not None else None,
                message=described,
            )
        )


def _shortened(text: str) -> str:
    return text if len(text) <= _DROPPED_SHOWN else text[:_DROPPED_SHOWN] + "…"
