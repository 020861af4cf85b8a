"""CertReps: what a device is told, signed with the RA's key (RFC 8894 §3.3.2, MSG-4, R6)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import Stage
from regalia.wire.algorithms import Digest
from regalia.wire.cms_build import PasswordRecipient
from regalia.wire.scep import FailInfo, build_failure, build_pending, build_success

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.errors import Reason
    from regalia.model import Door
    from regalia.ports import Entropy, KeyStore
    from regalia.wire.scep import PkiMessage, RawMessage, Transaction

__all__ = ["FAIL_INFO", "CertRep", "Reply", "begin_reply"]

FAIL_INFO = {
    Stage.ALGORITHM: FailInfo.BAD_ALG,
    Stage.SIGNATURE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.ENVELOPE: FailInfo.BAD_MESSAGE_CHECK,
    Stage.TIME: FailInfo.BAD_TIME,
    Stage.SIGNER: FailInfo.BAD_REQUEST,
    Stage.CONVERSATION: FailInfo.BAD_REQUEST,
    Stage.RETRIEVAL: FailInfo.BAD_CERT_ID,
    Stage.EVIDENCE: FailInfo.BAD_REQUEST,
    Stage.POLICY: FailInfo.BAD_REQUEST,
    Stage.ISSUANCE: FailInfo.BAD_REQUEST,
}
"""R6: what a stranger learns of a refusal, by the stage that refused."""

_NONCE_OCTETS = 16
_SALT_OCTETS = 16
_SALT_OF = b"regalia reply under a challenge"
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class CertRep:
    """A signed answer."""

    der: bytes
    issued: bool = False
    """Whether it carries a certificate that an enrolment came to; for who counts."""
    opening_began: float | None = None
    """Set on the uniform answer of step 7: when that step began, in seconds of the service's stopwatch (ENV-3)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one message, before it is known what it says."""

    transaction: Transaction
    recipient_nonce: bytes | None
    """None where the message had no usable senderNonce."""
    digest: Digest
    sender_nonce: bytes
    ra_certificate: bytes
    sign: Callable[[bytes], bytes]
    entropy: Entropy
    tells: bool
    """Whether a refusal says its reason: the group's debug switch (R6)."""

    def success(self, message: PkiMessage, content: bytes, secret: str | None, *, issued: bool = False) -> CertRep:
        """Reply with what `certs_only` or `crl_only` made, for the key that signed the message.

        `secret` is the challenge that keys the answer where that key cannot decrypt (RFC 8894 §3.1). The reply to an
        enrolment holds the leaf alone: Apple pairs the first certificate that it finds with its key.
        """
        cipher = message.enveloped.cipher
        return CertRep(
            build_success(
                transaction=self.transaction,
                recipient_nonce=message.sender_nonce,
                sender_nonce=self.sender_nonce,
                digest=self.digest,
                cipher=cipher,
                content=content,
                recipient=message.signer if secret is None else self._under(secret),
                content_key=self.entropy.octets(cipher.key_octets),
                iv=self.entropy.octets(_BLOCK),
                ra_certificate=self.ra_certificate,
                sign=self.sign,
            ),
            issued=issued,
        )

    def _under(self, secret: str) -> PasswordRecipient:
        """Key the answer on the challenge; asked again, the salt is the same, so that the key is derived once.

        A derivation is 40 ms of work, and a device may repeat its request for a day. Two conversations have two salts.
        """
        named = _SALT_OF + self.ra_certificate + self.transaction.octets
        salt = hashlib.sha256(named).digest()[:_SALT_OCTETS]
        return PasswordRecipient(secret, salt=salt, iv=self.entropy.octets(_BLOCK))

    def pending(self, message: PkiMessage) -> CertRep:
        """Reply that somebody has yet to decide."""
        return CertRep(
            build_pending(
                transaction=self.transaction,
                recipient_nonce=message.sender_nonce,
                sender_nonce=self.sender_nonce,
                digest=self.digest,
                ra_certificate=self.ra_certificate,
                sign=self.sign,
            )
        )

    def failure(self, reason: Reason) -> CertRep:
        """Refuse."""
        # The uniform reply of step 7 says the same for every cause, debugging or not (R6); that of a retrieval, too.
        tell = self.tells and reason.stage is not Stage.ENVELOPE and reason is not reasons.CERTIFICATE_UNKNOWN
        return CertRep(
            build_failure(
                transaction=self.transaction,
                recipient_nonce=self.recipient_nonce,
                sender_nonce=self.sender_nonce,
                digest=self.digest,
                fail_info=FAIL_INFO[reason.stage],
                fail_info_text=str(reason) if tell else None,
                ra_certificate=self.ra_certificate,
                sign=self.sign,
            )
        )


def begin_reply(keys: KeyStore, entropy: Entropy, door: Door, raw: RawMessage, transaction: Transaction) -> Reply:
    """Open the RA key: from here on it is used."""
    ra, digest = keys.open(door.ra.key_id), raw.digest or Digest.SHA256
    return Reply(
        transaction=transaction,
        recipient_nonce=raw.sender_nonce,
        digest=digest,
        sender_nonce=entropy.octets(_NONCE_OCTETS),
        ra_certificate=door.ra.certificate_der,
        sign=lambda data: ra.sign(data, digest),
        entropy=entropy,
        tells=door.group.debug,
    )
