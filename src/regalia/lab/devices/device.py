"""A simulated device: it takes what its management delivers and gets itself a certificate, or says why not."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from regalia.lab.devices.encoding import SEQUENCE, element
from regalia.lab.devices.messages import (
    CERT_POLL,
    PKCS_REQ,
    Envelope,
    Sent,
    Signer,
    enveloped,
    read_reply,
    signed,
)
from regalia.lab.devices.reports import DeviceError
from regalia.lab.devices.requests import request, self_signed
from regalia.lab.devices.server import met
from regalia.lab.devices.web import Answer, WebError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography import x509

    from regalia.lab.devices.delivery import Delivery
    from regalia.lab.devices.messages import Reply
    from regalia.lab.devices.platforms import Platform
    from regalia.lab.devices.server import Server
    from regalia.lab.devices.web import Web

__all__ = ["Held", "SimulatedDevice", "new_key"]

_OK: Final = 200
_BUSY: Final = frozenset({429, 503})
_RESENDS: Final = 2
_RESEND_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a device has once it enrolled."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    url: str
    transaction: str


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What does not change while a device asks for one certificate."""

    server: Server
    signer: Signer
    transaction: str


def new_key(bits: int) -> rsa.RSAPrivateKey:
    """Make a key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _now() -> datetime:
    return datetime.now(UTC)


def _by_chance(urls: Sequence[str]) -> str:
    return secrets.choice(urls)


class SimulatedDevice:
    """A device of a platform. `sleep` and `now` are the machine's unless a rehearsal turns them."""

    def __init__(
        self,
        platform: Platform,
        web: Web,
        *,
        now: Callable[[], datetime] = _now,
        sleep: Callable[[float], None] = time.sleep,
        make_key: Callable[[int], rsa.RSAPrivateKey] = new_key,
        choose: Callable[[Sequence[str]], str] = _by_chance,
    ) -> None:
        self.platform = platform
        self._web = web
        self._now = now
        self._sleep = sleep
        self._make_key = make_key
        self._choose = choose

    def enrol(self, delivery: Delivery) -> Held:
        """Get a certificate with a new key; a `DeviceError` says why there is none.

        Intune renews in the same way: a PKCSReq with a fresh challenge and a new key (SCEPman; Intune's documentation).
        """
        return self._certified(delivery, None)

    def is_due(self, held: Held, delivery: Delivery) -> bool:
        """Say whether the device would renew by itself now."""
        begin, end = held.certificate.not_valid_before_utc, held.certificate.not_valid_after_utc
        left = end - self._now()
        if left.total_seconds() <= 0:
            return self.platform.heals_when_expired
        return left <= (end - begin) * delivery.renewal_threshold / 100

    def renew(self, held: Held, delivery: Delivery) -> Held:
        """Renew as this platform does: with a fresh challenge as it enrolled, else with what it has."""
        if held.certificate.not_valid_after_utc <= self._now() and not self.platform.heals_when_expired:
            raise DeviceError(
                "expired", "this platform replaces no expired certificate by itself: deliver a new profile"
            )
        if delivery.challenge is not None:
            return self._certified(delivery, None)
        if not self.platform.renews_with_old_key:
            raise DeviceError("no challenge", "its management has to hand out a challenge for the renewal")
        return self._certified(delivery, held)

    def _certified(self, delivery: Delivery, old: Held | None) -> Held:
        if not delivery.urls:
            raise DeviceError("no URL", "the profile has no SCEP server URL")
        url = self._choose(delivery.urls) if self.platform.any_url else delivery.urls[0]
        server = met(url, delivery, self.platform, self._web)
        key = self._make_key(delivery.key_size)
        csr = request(delivery, key)
        certificate = self_signed(delivery, key, self.platform, self._now()) if old is None else old.certificate
        signer = Signer(key if old is None else old.key, certificate, server.digest)
        conversation = _Conversation(server, signer, _transaction(key))
        reply = self._said(conversation, PKCS_REQ, csr.public_bytes(Encoding.DER))
        if reply.pending:
            reply = self._polled(conversation, csr.subject.public_bytes())
        return Held(key, self._chosen(reply, key), url, conversation.transaction)

    def _polled(self, conversation: _Conversation, subject: bytes) -> Reply:
        """Ask again for what is pending, as often as the platform does (CertPoll, RFC 8894 §4.4)."""
        issuer = next(
            (one for one in conversation.server.certificates if one.subject == conversation.server.recipient.issuer),
            conversation.server.recipient,
        )
        question = element(SEQUENCE, issuer.subject.public_bytes(), subject)
        for _ in range(self.platform.polls):
            self._sleep(self.platform.poll_seconds)
            reply = self._said(conversation, CERT_POLL, question)
            if not reply.pending:
                return reply
        raise DeviceError("pending", f"nobody decided while the device asked {self.platform.polls} times")

    def _said(self, conversation: _Conversation, kind: int, content: bytes) -> Reply:
        server, habits = conversation.server, self.platform
        sent = Sent(conversation.transaction, os.urandom(habits.nonce_octets))
        envelope = Envelope(server.recipient, aes=server.aes, oaep=habits.oaep, indefinite=habits.indefinite)
        message = signed(enveloped(content, envelope), kind, sent, conversation.signer, self._now())
        answer = self._delivered(server, message)
        if answer.status != _OK:
            raise DeviceError(f"HTTP {answer.status}", "the server has no answer that a SCEP client reads")
        return read_reply(answer.body, sent, server.certificates, conversation.signer)

    def _delivered(self, server: Server, message: bytes) -> Answer:
        """Send a message, and the same octets again while nothing came back (unverified for each platform)."""
        glue = "&" if "?" in server.url else "?"
        target = f"{server.url}{glue}operation=PKIOperation"
        posted: bytes | None = message
        if not server.post:
            # Apple leaves `+` and `/` as they are.
            text = base64.b64encode(message).decode()
            target += f"&message={quote(text, safe='+/' if self.platform.bare_base64 else '')}"
            posted = None
        answer = self._tried(target, posted)
        for _ in range(_RESENDS):
            if isinstance(answer, Answer) and answer.status not in _BUSY:
                break
            self._sleep(_RESEND_SECONDS)
            answer = self._tried(target, posted)
        if isinstance(answer, WebError):
            raise DeviceError("no connection", f"PKIOperation: {answer}") from answer
        return answer

    def _tried(self, target: str, body: bytes | None) -> Answer | WebError:
        try:
            return self._web.ask(target, body, oldest_tls=self.platform.oldest_tls)
        except WebError as error:
            return error

    def _chosen(self, reply: Reply, key: rsa.RSAPrivateKey) -> x509.Certificate:
        public = _public(key)
        ours = [one for one in reply.certificates if _spki(one) == public]
        if self.platform.first_is_mine and reply.certificates[:1] != tuple(ours[:1]):
            raise DeviceError("22008", "mismatching public keys: the reply begins with another certificate")
        if not ours:
            raise DeviceError("no certificate", "none of the reply's certificates has the device's key")
        return ours[0]


def _public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _transaction(key: rsa.RSAPrivateKey) -> str:
    """Name the transaction after the key, as jscep and strongSwan do; what the platforms choose is unverified."""
    return hashlib.sha1(_public(key)).hexdigest()  # noqa: S324 - a name, and no secret
