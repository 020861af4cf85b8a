"""The status of certificates by OCSP: fresh answers from committed rows, and a memory of answers that forgets in time.

CRLs, the other way to learn a status, are made in `ca.crl`; `CrlPublisher` is named here beside `OcspResponder`.
What is said follows ISS-7 and R8: a serial in its intent is unknown and never remembered, an abandoned one is revoked,
an issued one is good until its revocation is committed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia.ca.crl import CrlPublisher
from regalia.model import AuthorityKind, AuthorityState, CredentialPurpose, RevocationReason
from regalia.ports import Authorities, Certificates
from regalia.wire import oids
from regalia.wire.certificate import key_identifier, read_certificate
from regalia.wire.ocsp import (
    CertId,
    CertStatus,
    OcspFault,
    OcspStatus,
    ResponderIdentity,
    SingleAnswer,
    build_response,
    error_response,
    issuer_hashes,
    read_request,
)

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Credential, Revocation
    from regalia.ports import Clock, KeyStore, PrivateKey, SerialStatus
    from regalia.wire.ocsp import OcspRequest

__all__ = ["CrlPublisher", "OcspAnswer", "OcspMemory", "OcspResponder", "StatusStore"]

_LIFETIME: Final = timedelta(minutes=10)
"""How long an answer is good: no revocation is seen later than this by a client that remembers."""
_HOLD_LIFETIME: Final = timedelta(minutes=5)
"""The same for a certificate on hold: who is let in again should not wait."""
_UNKNOWN_LIFETIME: Final = timedelta(minutes=1)
"""The lease of an intent (R8): by then it is issued or abandoned."""
_BACKDATE: Final = timedelta(minutes=5)
"""For clients whose clock is behind."""
_INDEX_LIFETIME: Final = timedelta(seconds=30)
_INDEX_MINIMUM: Final = timedelta(seconds=1)
"""A foreign CertID makes us look for new authorities, but not more often than this."""
_MAX_SERIAL: Final = 1 << 160
_COMPROMISED: Final = frozenset({RevocationReason.KEY_COMPROMISE, RevocationReason.CA_COMPROMISE})


class StatusStore(Authorities, Certificates, Protocol):
    """The ports that answers come from."""


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """An OCSPResponse, and what a face needs to know to serve it."""

    der: bytes
    status: str
    """`good`, `revoked`, `unknown`, or the lower-case name of an unsuccessful `OcspStatus`; for several the worst."""
    cacheable: bool
    """Whether it may be remembered, by us or by anybody (R8): neither unknown, nor with a nonce, nor an error."""
    about: tuple[tuple[str, int], ...] = ()
    """Authority and serial of each answer."""
    this_update: datetime | None = None
    next_update: datetime | None = None
    """None for errors."""
    remembered: bool = False
    """It was not made for this request."""


def _fault(status: OcspStatus) -> OcspAnswer:
    return OcspAnswer(error_response(status), status.name.lower(), cacheable=False)


@dataclass(frozen=True, slots=True)
class _Responder:
    """One authority's responder, ready to sign."""

    identity: ResponderIdentity
    key: PrivateKey
    not_before: datetime
    not_after: datetime


class _Index:
    """Issuing authorities by the hashes that CertIDs name them with, and their responders once they were asked for."""

    def __init__(self, store: StatusStore, at: datetime) -> None:
        self.at = at
        self.responders: dict[str, _Responder] = {}
        self.compromised: dict[str, Revocation] = {}
        """Authorities whose key others may have, and what said so (RFC 6960 §2.7)."""
        self._names: dict[tuple[str, bytes, bytes], str] = {}
        for authority in store.authorities():
            if authority.kind is not AuthorityKind.ISSUING or authority.state is AuthorityState.RETIRED:
                # What CAs of CAs issue is looked up by CRL alone: nobody may speak for them here. A retired one has
                # nothing left to ask about.
                continue
            facts = read_certificate(authority.certificate_der)
            own = store.certificate(authority.certificate_id) if authority.state is AuthorityState.REVOKED else None
            if own is not None and own.revocation is not None and own.revocation.reason in _COMPROMISED:
                self.compromised[authority.name] = own.revocation
            for digest in (oids.SHA1, oids.SHA256):
                hashes = issuer_hashes(digest, facts.subject, facts.public_key)
                self._names[(digest, *hashes)] = authority.name

    def find(self, cert_id: CertId) -> str | None:
        """Name the authority that a CertID means."""
        return self._names.get((cert_id.hash_oid, cert_id.name_hash, cert_id.key_hash))


class OcspResponder:
    """Answers requests for all issuing authorities of this installation. Safe to call from several threads."""

    def __init__(
        self,
        store: StatusStore,
        keys: KeyStore,
        clock: Clock,
        *,
        lifetime: timedelta = _LIFETIME,
        hold_lifetime: timedelta = _HOLD_LIFETIME,
        memory: OcspMemory | None = None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lifetime = lifetime
        self._hold_lifetime = hold_lifetime
        self._memory = memory if memory is not None else OcspMemory()
        self._lock = threading.Lock()
        self._index: _Index | None = None

    def answer(self, body: bytes) -> OcspAnswer:
        """Answer an OCSPRequest, from memory where that is still right.

        What the request does wrong is answered by an unsuccessful OCSPResponse: malformedRequest, unauthorized for
        issuers that are not ours or not one, tryLater where no responder certificate is valid. Raises
        `UnavailableError` where the store or the key cannot be reached.
        """
        remembered = self.remembered(body)
        if remembered is not None:
            return remembered
        now = self._clock.now()
        ticket = self._memory.ticket()
        try:
            fresh = self._fresh(read_request(body), now)
        except OcspFault as fault:
            return _fault(fault.status)
        if fresh.cacheable:
            self._memory.put(ticket, body, fresh, now)
        return fresh

    def renew(self, within: timedelta, most: int) -> int:
        """Sign anew what was asked for since it was signed and is about to be forgotten, so that nobody waits for it.

        At most `most` answers, those that end first; returns how many. Raises `UnavailableError` where the store or
        the key cannot be reached: what is remembered stays so until its end.
        """
        now, renewed = self._clock.now(), 0
        for body in self._memory.ending(now, within, most):
            ticket = self._memory.ticket()
            try:
                fresh = self._fresh(read_request(body), now)
            except OcspFault:
                continue  # its responder is gone, say: who asks again is told
            if fresh.cacheable:
                self._memory.put(ticket, body, fresh, now)
                renewed += 1
        return renewed

    def remembered(self, body: bytes) -> OcspAnswer | None:
        """Look into the memory alone: no store, no key, no waiting."""
        return self._memory.get(body, self._clock.now())

    def drop(self, authority: str, serial: int) -> None:
        """Forget what was said about a serial: it was revoked."""
        self._memory.drop(authority, serial)

    def forget(self) -> None:
        """Forget every answer and who answers: an authority or its responder changed."""
        with self._lock:
            self._index = None
        self._memory.forget()

    def bypass(self, on: bool) -> None:  # noqa: FBT001 - a switch has one argument
        """Remember nothing while change notices do not come (R8), or begin again."""
        self._memory.bypass(on)

    def _fresh(self, request: OcspRequest, now: datetime) -> OcspAnswer:
        authority = self._authority_of(request, now)
        responder = self._responder_of(authority, now)
        answers = [self._single(authority, cert_id, now, responder.not_after) for cert_id in request.cert_ids]
        octets = build_response(
            answers,
            responder=responder.identity,
            produced_at=now,
            nonce=request.nonce,
            sign=lambda data: responder.key.sign(data, responder.identity.algorithm.digest),
        )
        statuses = {answer.status for answer in answers}
        return OcspAnswer(
            octets,
            max(statuses, key=_WORST.index).value,
            cacheable=request.nonce is None and CertStatus.UNKNOWN not in statuses,
            about=tuple((authority, cert_id.serial) for cert_id in request.cert_ids),
            this_update=max(answer.this_update for answer in answers),
            next_update=min(answer.next_update for answer in answers),
        )

    def _authority_of(self, request: OcspRequest, now: datetime) -> str:
        index = self._indexed(now, _INDEX_LIFETIME)
        if any(index.find(cert_id) is None for cert_id in request.cert_ids):
            index = self._indexed(now, _INDEX_MINIMUM)
        names = {index.find(cert_id) for cert_id in request.cert_ids}
        name = names.pop()
        if name is None or names:
            # A responder may speak for one issuer only: its certificate is signed by that issuer's key.
            raise OcspFault(OcspStatus.UNAUTHORIZED, "the issuer is not ours, or there are several")
        return name

    def _indexed(self, now: datetime, longest: timedelta) -> _Index:
        index = self._index
        if index is not None and timedelta() <= now - index.at < longest:
            return index
        with self._lock:
            if self._index is index or self._index is None:
                self._index = _Index(self._store, now)
            return self._index

    def _responder_of(self, authority: str, now: datetime) -> _Responder:
        index = self._indexed(now, _INDEX_LIFETIME)
        responder = index.responders.get(authority)
        if responder is None or not responder.not_before <= now < responder.not_after:
            responder = index.responders[authority] = self._open_responder(authority, now)
        return responder

    def _open_responder(self, authority: str, now: datetime) -> _Responder:
        """The newest OCSP credential that is valid and whose key is here."""
        credentials = self._store.credentials(CredentialPurpose.OCSP, authority)
        if not credentials:
            # Its key is elsewhere or lost: who asks again later hears no more (RFC 6960 §2.3).
            raise OcspFault(OcspStatus.UNAUTHORIZED, f"nobody here speaks for authority {authority}")
        for credential in credentials:
            if credential.not_before <= now < credential.not_after and self._keys.holds(credential.key_id):
                return self._responder(credential)
        raise OcspFault(OcspStatus.TRY_LATER, f"authority {authority} has no valid OCSP credential here")

    def _responder(self, credential: Credential) -> _Responder:
        key = self._keys.open(credential.key_id)
        identity = ResponderIdentity(credential.certificate_der, key_identifier(key.public_key))
        return _Responder(identity, key, credential.not_before, credential.not_after)

    def _single(self, authority: str, cert_id: CertId, now: datetime, latest: datetime) -> SingleAnswer:
        found: SerialStatus | None = None
        if 0 < cert_id.serial < _MAX_SERIAL:
            found = self._store.serial_status(authority, cert_id.serial)
        since = now - _BACKDATE
        until = min(now + self._lifetime, latest)
        revocation = found.revocation if found is not None else None
        if revocation is None or revocation.reason is RevocationReason.CERTIFICATE_HOLD:
            # Whoever has the authority's key can have issued this serial, too: the answer is the same for all of them.
            revocation = self._indexed(now, _INDEX_LIFETIME).compromised.get(authority, revocation)
        if revocation is not None:
            since = min(max(since, revocation.at), now)
            if revocation.reason is RevocationReason.CERTIFICATE_HOLD:
                until = min(now + self._hold_lifetime, latest)
            return SingleAnswer(cert_id, CertStatus.REVOKED, since, until, revocation.at, revocation.reason)
        if found is not None and found.issued:
            return SingleAnswer(cert_id, CertStatus.GOOD, since, until)
        return SingleAnswer(cert_id, CertStatus.UNKNOWN, since, min(now + _UNKNOWN_LIFETIME, latest))


_WORST: Final = (CertStatus.GOOD, CertStatus.UNKNOWN, CertStatus.REVOKED)


# --- memory ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Remembered:
    answer: OcspAnswer
    made: datetime
    until: datetime
    asked: bool = False
    """Whether somebody asked for it again since it was made."""


class OcspMemory:
    """Answers by the octets of their request: bounded, forgotten at half of their life or when a serial is dropped.

    `put` takes the ticket that was drawn before the rows were read: if anything was dropped in between, the answer may
    already be old and is not kept. Requests with a nonce are all different, and their answers are not cacheable.
    """

    def __init__(self, entries: int = 4096, octets: int = 512) -> None:
        """`entries`: how many answers at most. `octets`: longest request remembered; one CertID takes about 80."""
        self._entries = entries
        self._octets = octets
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._requests: dict[tuple[str, int], set[bytes]] = {}
        self._drops = 0
        self._bypassed = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, body: bytes, now: datetime) -> OcspAnswer | None:
        """Find the answer to these octets, if it is in the first half of its life."""
        with self._lock:
            remembered = self._kept.get(body)
            if remembered is None:
                return None
            if not remembered.made <= now < remembered.until:
                self._forget(body)
                return None
            self._kept.move_to_end(body)
            remembered.asked = True
            return remembered.answer

    def ending(self, now: datetime, within: timedelta, most: int) -> list[bytes]:
        """Requests whose answers end soon and were asked for since they were made, the first to end first."""
        with self._lock:
            soon = [
                (remembered.until, body)
                for body, remembered in self._kept.items()
                if remembered.asked and now < remembered.until <= now + within
            ]
        return [body for _, body in sorted(soon)[:most]]

    def ticket(self) -> int:
        """Draw before reading what an answer will say."""
        return self._drops

    def put(self, ticket: int, body: bytes, answer: OcspAnswer, now: datetime) -> None:
        """Keep a cacheable answer made at `now`."""
        if not answer.cacheable or answer.next_update is None or len(body) > self._octets:
            return
        remembered = _Remembered(replace(answer, remembered=True), now, now + (answer.next_update - now) / 2)
        with self._lock:
            if self._bypassed or ticket != self._drops:
                return
            self._kept[body] = remembered
            for subject in answer.about:
                self._requests.setdefault(subject, set()).add(body)
            while len(self._kept) > self._entries:
                self._forget(next(iter(self._kept)))

    def drop(self, authority: str, serial: int) -> None:
        """Forget all answers about a serial."""
        with self._lock:
            self._drops += 1
            for body in tuple(self._requests.get((authority, serial), ())):
                self._forget(body)

    def forget(self) -> None:
        """Forget everything, and go on remembering."""
        with self._lock:
            self._drops += 1
            self._kept.clear()
            self._requests.clear()

    def bypass(self, on: bool) -> None:  # noqa: FBT001 - a switch has one argument
        """Forget everything and remember nothing (True), or begin to remember (False)."""
        with self._lock:
            self._drops += 1
            self._bypassed = on
            self._kept.clear()
            self._requests.clear()

    def _forget(self, body: bytes) -> None:
        remembered = self._kept.pop(body)
        for subject in remembered.answer.about:
            bodies = self._requests.get(subject, set())
            bodies.discard(body)
            if not bodies:
                self._requests.pop(subject, None)
