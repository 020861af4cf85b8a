"""One attack at a time: octets in, the answer out, and everything that must not have changed compared before and after.

What a stranger may learn is R6's table, written here once more and on its own: a mistake in the product's table must
not be a mistake of the tests as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.errors import Stage
from regalia.model import Action, Enrolment, EnrolmentState, Outcome
from regalia.ra.limits import Limited
from regalia.ra.scep import CertRep, Unreadable
from regalia.wire import oids
from regalia.wire.algorithms import STANDARD, Digest
from regalia.wire.scep import FailInfo, PkiStatus, Transaction, check_signature, read_message
from regalia.wire.signature import signer_scheme
from world import Device, World, names

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from regalia.errors import Reason
    from regalia.model import EventDraft
    from regalia.ra.scep import ScepAnswer
    from regalia.wire.scep import RawMessage

__all__ = [
    "Attempt",
    "Target",
    "attack",
    "limited",
    "masked",
    "refused",
    "rightful",
    "snapshot",
    "spki_of",
]

R6 = {
    Stage.ALGORITHM: FailInfo.BAD_ALG,
    Stage.SIGNATURE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.ENVELOPE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.SIGNER: FailInfo.BAD_REQUEST,
    Stage.TIME: FailInfo.BAD_TIME,
    Stage.CONVERSATION: FailInfo.BAD_REQUEST,
    Stage.RETRIEVAL: FailInfo.BAD_CERT_ID,
    Stage.EVIDENCE: FailInfo.BAD_REQUEST,
    Stage.POLICY: FailInfo.BAD_REQUEST,
    Stage.ISSUANCE: FailInfo.BAD_REQUEST,
}
"""Stage of the refusal → failInfo. Stage MESSAGE is HTTP 400."""

ENROLMENT_ROW = frozenset({Stage.CONVERSATION, Stage.EVIDENCE, Stage.POLICY, Stage.ISSUANCE})
"""R13: a refusal from step 8 on is also a refused Enrolment."""

_NOT_STATE = frozenset({"_lock", "_stream", "log"})


class Target(World):
    """A world under attack: it remembers the secrets that it handed out, to look for them where they must not be."""

    def __init__(self) -> None:
        self.minted: list[str] = []
        super().__init__()
        self.began = self.clock.now()

    def mint(
        self,
        cn: str | None = None,
        *dns: str,
        endpoint: str = "default",
        minutes: int = 60,
        device: str | None = None,
    ) -> str:
        """Hand out a one-time challenge and remember it."""
        self.minted.append(super().mint(cn, *dns, endpoint=endpoint, minutes=minutes, device=device))
        return self.minted[-1]

    def put_back(self, state: dict[str, object]) -> None:
        """Restore what `held` copied, an hour later: a new world costs more than most attacks.

        No limit of the hour before is left, and no refusal folds into it.
        """
        self.clock.advance(timedelta(minutes=61))
        self.refusals.flush(self.clock.now())
        # Years that a test let pass are taken back, or our own certificates would expire in the course of the tests.
        self.began += timedelta(minutes=61)
        self.clock.advance(self.began - self.clock.now())
        for name, value in _containers(self).items():
            value.clear()
            kept = state[name]
            if isinstance(value, dict):
                assert isinstance(kept, dict)
                value.update(kept)
            else:
                assert isinstance(kept, list)
                value.extend(kept)

    def held(self) -> dict[str, object]:
        """Copy everything that a test can change."""
        return {name: value.copy() for name, value in _containers(self).items()}

    def pass_minutes(self, minutes: int = 2) -> None:
        """Let limits and the folding of refusals (R13) begin anew."""
        self.clock.advance(timedelta(minutes=minutes))


@dataclass(frozen=True)
class Attempt:
    """What one message led to."""

    answer: ScepAnswer
    events: tuple[EventDraft, ...]
    """New records of the log."""
    rows: tuple[Enrolment, ...]
    """New enrolments."""
    changed: tuple[str, ...]
    """Whatever else of the store is not as it was."""

    @property
    def reply(self) -> RawMessage:
        """The CertRep, read."""
        assert isinstance(self.answer, CertRep), self.answer
        return read_message(self.answer.der)

    def attribute(self, oid: str) -> bytes | None:
        """Content of one signed attribute of the reply."""
        assert self.reply.attributes is not None
        value = self.reply.attributes.maybe(oid)
        return None if value is None else value.content

    @property
    def told(self) -> tuple[PkiStatus, FailInfo | None]:
        """PkiStatus and failInfo."""
        status, fail_info = self.attribute(oids.PKI_STATUS), self.attribute(oids.FAIL_INFO)
        assert status is not None
        return PkiStatus(status.decode()), None if fail_info is None else FailInfo(int(fail_info))


def snapshot(world: World) -> dict[str, object]:
    """Copy everything that the store, the key store and the CRL directory hold, but the log."""
    held = {name: value for name, value in vars(world.store).items() if name not in _NOT_STATE}
    held |= {"keys": world.keys.private, "files": world.files.files}
    return {name: value.copy() if isinstance(value, dict | list) else value for name, value in held.items()}


def _containers(world: Target) -> dict[str, Any]:
    """Every dictionary and list that a world keeps its state in."""
    found = {name: value for name, value in vars(world.store).items() if isinstance(value, dict | list)}
    return found | {
        "keys": world.keys.private,
        "files": world.files.files,
        "secrets": world.secrets,
        "minted": world.minted,
    }


def attack(world: World, octets: bytes, *, endpoint: str = "default", source: str = "192.0.2.66") -> Attempt:
    """Send a message and compare the store before and after."""
    before, log = snapshot(world), len(world.store.log)
    answer = world.send(octets, endpoint, source)
    after = snapshot(world)
    enrolments, earlier = after.pop("_enrolments"), before.pop("_enrolments")
    assert isinstance(enrolments, dict)
    assert isinstance(earlier, dict)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if any(enrolments.get(key) != row for key, row in earlier.items()):
        changed.append("_enrolments")
    return Attempt(
        answer,
        tuple(event.draft for event in world.store.log[log:]),
        tuple(row for key, row in enrolments.items() if key not in earlier),
        tuple(changed),
    )


def refused(
    world: World,
    octets: bytes,
    reason: Reason,
    *,
    security: bool | None = None,
    unreadable: bool | None = None,
    row: bool | None = None,
    alternative: Reason | None = None,
    endpoint: str = "default",
    source: str = "192.0.2.66",
) -> Attempt:
    """Attack, and check everything that is true of each refusal (R6, R13, I10, AUD-1, CHA-4, MSG-4).

    `security`: whether the event must be a security event; None where it may be either. `unreadable`: HTTP 400
    whatever the reason, for messages whose transactionID cannot be trusted. `row`: whether there is a refused
    Enrolment. By default both go by the reason's stage. `alternative`: what it may be as well, of the same stage.
    """
    attempt = attack(world, octets, endpoint=endpoint, source=source)
    (event,) = attempt.events
    if alternative is not None and event.reason_id == alternative.id:
        assert alternative.stage is reason.stage
        reason = alternative
    assert event.reason_id == reason.id, (event.reason_id, event.details)
    assert (event.action, event.outcome) == (Action.ENROLMENT_REFUSED, Outcome.REFUSED)
    assert (event.object, event.actor.source) == (f"endpoint:{endpoint}", source)
    assert event.details["title"] == reason.title
    assert reason.remedy
    assert security in (None, event.security), f"security={event.security}"
    assert attempt.changed == ()
    _check_rows(attempt, reason, reason.stage in ENROLMENT_ROW if row is None else row)
    _check_secrets(world, attempt)
    if unreadable if unreadable is not None else reason.stage is Stage.MESSAGE:
        assert isinstance(attempt.answer, Unreadable), attempt.answer
    else:
        _check_reply(world, attempt, octets, endpoint, R6[reason.stage])
    return attempt


def limited(
    world: World,
    octets: bytes,
    reason: Reason,
    *,
    alarm: bool,
    folded: bool = False,
    endpoint: str = "default",
    source: str = "192.0.2.66",
) -> Attempt:
    """Attack, and check a 429: when to come again, one event unless it is folded (R13), and the alarm of CHA-3 once."""
    attempt = attack(world, octets, endpoint=endpoint, source=source)
    assert isinstance(attempt.answer, Limited), attempt.answer
    assert attempt.answer.reason is reason
    assert 1 <= attempt.answer.retry_after <= 3600
    expected = [(Action.LIMIT_REACHED, reason.id)] * alarm + [(Action.ENROLMENT_REFUSED, reason.id)] * (not folded)
    assert [(each.action, each.reason_id) for each in attempt.events] == expected
    assert all(each.security for each in attempt.events if each.action is Action.LIMIT_REACHED)
    assert (attempt.changed, attempt.rows) == ((), ())
    _check_secrets(world, attempt)
    return attempt


def _check_rows(attempt: Attempt, reason: Reason, expected: bool) -> None:  # noqa: FBT001 - one private caller
    assert len(attempt.rows) == expected
    for row in attempt.rows:
        assert (row.state, row.reason_id, row.certificate_id) == (EnrolmentState.REFUSED, reason.id, None)
        assert not row.stages[-1].ok


def _check_secrets(world: World, attempt: Attempt) -> None:
    kept = repr(attempt.events) + repr(attempt.rows)
    assert not [secret for secret in getattr(world, "minted", ()) if secret in kept]


def _check_reply(world: World, attempt: Attempt, octets: bytes, endpoint: str, fail_info: FailInfo) -> None:
    assert attempt.told == (PkiStatus.FAILURE, fail_info)
    door = world.store.door(endpoint)
    assert door is not None
    reply, asked = attempt.reply, read_message(octets)
    digest = reply.digest or Digest.SHA256
    scheme = signer_scheme(reply.signed_data.signers[0].signature_algorithm, digest, STANDARD)
    assert scheme is not None
    check_signature(reply, digest, scheme, spki_of(door.ra.certificate_der))
    assert reply.transaction == asked.transaction
    assert attempt.attribute(oids.RECIPIENT_NONCE) == asked.sender_nonce
    nonce = attempt.attribute(oids.SENDER_NONCE) or b""
    assert len(nonce) == 16
    assert nonce != asked.sender_nonce
    if not door.group.debug:
        assert attempt.attribute(oids.FAIL_INFO_TEXT) is None


def spki_of(certificate: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a certificate."""
    key: PublicKeyTypes = x509.load_der_x509_certificate(certificate).public_key()
    assert isinstance(key, RSAPublicKey)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def masked(attempt: Attempt) -> bytes:
    """The whole answer with its own nonce and its signature blotted out: all that a stranger can compare."""
    assert isinstance(attempt.answer, CertRep)
    nonce, signature = attempt.attribute(oids.SENDER_NONCE), attempt.reply.signed_data.signers[0].signature
    assert nonce is not None
    return attempt.answer.der.replace(nonce, bytes(16)).replace(signature, bytes(len(signature)))


def rightful(world: World, secret: str, cn: str = "laptop-1", *dns: str, endpoint: str = "default") -> None:
    """Enrol the device that the challenge was made for, with a transaction of its own: the attack consumed nothing."""
    device = Device(world, endpoint=endpoint, transaction=Transaction(b"the rightful device"))
    assert device.enrol(names(cn, *dns), secret).status is PkiStatus.SUCCESS
