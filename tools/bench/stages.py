"""One enrolment stage by stage: the calls of `ra.scep` and `ra.enrol` in their order, with a clock between them.

The stages end where the product's public functions end; TX1, signature and TX2 are told apart by wrapping two ports.
The sum is shown beside the product's own entry, so that a walk which no longer does what the product does is seen.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia.app.build import node_name, serial_prefix
from regalia.ca.issue import Issuer, prepare_leaf
from regalia.ca.keycheck import check_key
from regalia.keys.signer import LocalSigner
from regalia.model import Approved, Certificate, Denied, Unavailable, new_id
from regalia.ra.decide import decide
from regalia.ra.explain import stages
from regalia.ra.renew import live_signer
from regalia.ra.request import EnrolmentRequest
from regalia.wire.cms import decrypt_content, encrypted_key_for
from regalia.wire.csr import read_csr, verify_possession
from regalia.wire.scep import build_success, read_message, verify_message
from tools.bench.measure import Stopwatch, VoidRunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.app import App
    from regalia.model import CertificateIntent, Door, Enrolment, EventDraft, StageNote
    from regalia.ports import Begun, IntentSigner, Issuance, PrivateKey
    from regalia.wire.csr import Csr
    from regalia.wire.scep import PkiMessage

__all__ = ["STAGES", "Walk"]

STAGES: Final = (
    "parse",
    "signature",
    "signer",
    "envelope",
    "CSR",
    "conversation",
    "decide",
    "prepare and lint",
    "record",
    "TX1",
    "sign",
    "check and assemble",
    "TX2",
    "build",
)
_REPLAY: Final = timedelta(hours=24)


class _TimedIssuance:
    """The port `Issuance`, each call a stage."""

    def __init__(self, issuance: Issuance) -> None:
        self._issuance = issuance
        self.watch = Stopwatch()

    def begin(
        self,
        intent: CertificateIntent,
        events: Sequence[EventDraft],
        *,
        enrolment: Enrolment | None = None,
        consume: UUID | None = None,
        closes: UUID | None = None,
        resumes: UUID | None = None,
    ) -> Begun:
        """TX1."""
        self.watch.mark("record")
        begun = self._issuance.begin(
            intent, events, enrolment=enrolment, consume=consume, closes=closes, resumes=resumes
        )
        self.watch.mark("TX1")
        return begun

    def finish(
        self,
        certificate_id: UUID,
        der: bytes,
        at: datetime,
        events: Sequence[EventDraft],
        stages: Sequence[StageNote] = (),
    ) -> bool:
        """TX2."""
        self.watch.mark("check and assemble")
        finished = self._issuance.finish(certificate_id, der, at, events, stages)
        self.watch.mark("TX2")
        return finished

    def abandon(self, certificate_id: UUID, at: datetime, events: Sequence[EventDraft]) -> bool:
        """Not on this way."""
        return self._issuance.abandon(certificate_id, at, events)

    def expired_intents(self, now: datetime, limit: int) -> tuple[Certificate, ...]:
        """Not on this way."""
        return self._issuance.expired_intents(now, limit)


class _TimedSigner:
    """The port `IntentSigner`; the row is read back within it."""

    def __init__(self, signer: IntentSigner, timed: _TimedIssuance) -> None:
        self._signer = signer
        self._timed = timed

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign a committed row."""
        signature = self._signer.sign_intent(row_id)
        self._timed.watch.mark("sign")
        return signature


class Walk:
    """Enrols at one endpoint of an opened home, stage by stage."""

    def __init__(self, app: App, door: Door) -> None:
        self._app = app
        self._door = door
        self._mac = app.master.challenge_mac()
        self._prefix = serial_prefix(node_name(app.config.home))
        self._timed = _TimedIssuance(app.store)
        signer = LocalSigner(app.store, app.crl_files, app.store, app.master, app.entropy)
        self._issuer = Issuer(self._timed, _TimedSigner(signer, self._timed), app.clock)

    def enrol(self, body: bytes) -> tuple[bytes, dict[str, float]]:
        """Answer a PKIOperation; the CertRep and the CPU seconds of each stage. Raises `VoidRunError` at a refusal."""
        watch = self._timed.watch = Stopwatch()
        raw = read_message(body)
        watch.mark("parse")
        message = verify_message(raw)
        watch.mark("signature")
        now = self._app.clock.now()
        live_signer(self._app.store, self._door, message.signer, message.signer_facts, now)
        watch.mark("signer")
        ra = self._app.keys.open(self._door.ra.key_id)
        content = self._opened(message, ra)
        watch.mark("envelope")
        csr = read_csr(content)
        check_key(csr.public_key, self._door.profile)
        verify_possession(csr)
        watch.mark("CSR")
        issued = self._issued(message, csr, now, watch)
        reply = self._reply(message, ra, issued)
        watch.mark("build")
        return reply, watch.stages

    def _opened(self, message: PkiMessage, ra: PrivateKey) -> bytes:
        encrypted_key = encrypted_key_for(message.enveloped, self._door.ra.certificate_der)
        if encrypted_key is None:
            raise VoidRunError("the request is not for this endpoint")
        return decrypt_content(message.enveloped, encrypted_key, ra.decrypt, self._app.entropy.octets(32))

    def _issued(self, message: PkiMessage, csr: Csr, now: datetime, watch: Stopwatch) -> bytes:
        app = self._app
        request = EnrolmentRequest(
            door=self._door,
            transaction_id=message.transaction.octets,
            csr=csr,
            signer=None,
            challenge_mac=self._mac(csr.challenge) if csr.challenge else None,
            source="127.0.0.1",
            received_at=now,
            described=f"messageType {message.message_type}, {message.digest}, {message.enveloped.cipher}",
        )
        held = app.store.transaction_holder(self._door.endpoint.name, request.transaction_id, now - _REPLAY)
        if app.store.conversation(request.conversation) is not None or held is not None:
            raise VoidRunError("the conversation is not new")
        watch.mark("conversation")
        decision = decide(request, app.store, new_id(now, app.entropy.octets(10)))
        if not isinstance(decision, Approved):
            raise VoidRunError(f"refused: {decision.reason}, {decision.detail}")
        notes = stages(request, now, described=decision.order.authorisation.by)
        order = replace(decision.order, enrolment=replace(decision.order.enrolment, stages=notes))
        watch.mark("decide")
        prepared = prepare_leaf(order, now=now, entropy=app.entropy, serial_prefix=self._prefix, urls=app.urls)
        if isinstance(prepared, (Denied, Unavailable)):
            raise VoidRunError(f"refused: {prepared.reason}, {prepared.detail}")
        watch.mark("prepare and lint")
        issued = self._issuer.issue(
            prepared, actor=request.actor, enrolment=order.enrolment, consume=order.authorisation.challenge_id
        )
        if not isinstance(issued, Certificate) or issued.der is None:
            raise VoidRunError(f"not issued: {issued}")
        return issued.der

    def _reply(self, message: PkiMessage, ra: PrivateKey, leaf: bytes) -> bytes:
        octets, cipher = self._app.entropy.octets, message.enveloped.cipher
        return build_success(
            transaction=message.transaction,
            recipient_nonce=message.sender_nonce,
            sender_nonce=octets(16),
            digest=message.digest,
            cipher=cipher,
            leaf=leaf,
            recipient=message.signer,
            content_key=octets(cipher.key_octets),
            iv=octets(16),
            ra_certificate=self._door.ra.certificate_der,
            sign=lambda data: ra.sign(data, message.digest),
        )
