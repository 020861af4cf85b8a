"""One fake per port: whole stories run in memory with these and nothing else.

`MemoryStore` passes the same contract tests as the SQL store (tests/store), so what it promises is what the product
keeps. Nothing here is a mock: no expectations, no recorded calls, only the behaviour that the port's docstring states.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import (
    Change,
    KeyKind,
    new_id,
)
from regalia.ports import SOFTWARE, KeptAnswer, KeyRecord, NewKey, OutgoingResponse, PublishedCrl, StreamedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from regalia.model import Actor, AlertTarget, Delivery, EventDraft
    from regalia.ports import Events, Intents, OutgoingRequest
    from regalia.verbs import Caller
    from regalia.wire.algorithms import Oaep

__all__ = [
    "FakeCallers",
    "FakeClock",
    "MemoryAnswers",
    "MemoryCrlFiles",
    "MemoryFeed",
    "MemoryKeys",
    "MemoryOutgoing",
    "MemorySealer",
    "MemorySender",
    "MemorySigner",
    "MemoryStore",
    "MemoryTranscript",
    "SeededEntropy",
]

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - an RA mirrors a legacy device's digest
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let time pass (or, with a negative span, go back)."""
        self._now += by


class SeededEntropy:
    """Octets that look random and are the same in each run."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = 0
        self._lock = threading.Lock()

    def octets(self, count: int) -> bytes:
        """Return the next `count` octets."""
        with self._lock:
            self._count += 1
            return hashlib.shake_256(f"{self._seed}/{self._count}".encode()).digest(count)


class MemoryKeys:
    """Private keys in memory. Key pairs are real; RSA ones are made once per test run, since they take long."""

    _rsa_pool: tuple[rsa.RSAPrivateKey, ...] = ()

    def __init__(self, events: Events | None = None) -> None:
        self._events = events
        self.private: dict[UUID, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self._rsa_used = 0

    def generate(
        self, kind: KeyKind, scope: str, told: Callable[[NewKey], Sequence[EventDraft]] = lambda _: ()
    ) -> NewKey:
        """Make a key pair; where a store was given, the events are recorded in it, and the key in its inventory."""
        key = self._make(kind)
        key_id = new_id(datetime.now(UTC), hashlib.sha256(str(len(self.private)).encode()).digest())
        self.private[key_id] = key
        made = NewKey(key_id, _spki(key))
        if isinstance(self._events, MemoryStore):
            digest = hashlib.sha256(made.public_key).digest()
            record = KeyRecord(key_id, kind, scope, SOFTWARE, digest, datetime.now(UTC))
            self._events.add_token_key(record, told(made))
        elif self._events is not None:
            self._events.record(told(made))
        return made

    def _make(self, kind: KeyKind) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        if kind is KeyKind.P256:
            return ec.generate_private_key(ec.SECP256R1())
        if kind is KeyKind.P384:
            return ec.generate_private_key(ec.SECP384R1())
        if kind is not KeyKind.RSA_2048:
            return rsa.generate_private_key(65537, int(kind.value.removeprefix("rsa-")))
        if self._rsa_used == len(MemoryKeys._rsa_pool):
            MemoryKeys._rsa_pool = (*MemoryKeys._rsa_pool, rsa.generate_private_key(65537, 2048))
        self._rsa_used += 1
        return MemoryKeys._rsa_pool[self._rsa_used - 1]

    def open(self, key_id: UUID) -> MemoryPrivateKey:
        """Use a key."""
        if key_id not in self.private:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"no key {key_id}")
        return MemoryPrivateKey(self.private[key_id])

    def holds(self, key_id: UUID) -> bool:
        """Whether the key is here."""
        return key_id in self.private

    def move_out(self, key_id: UUID, directory: Path, events: Sequence[EventDraft] = ()) -> Path:
        """Write the key into `directory` and forget it."""
        if self._events is not None:
            self._events.record(events)
        target = directory / f"{key_id}.key"
        target.write_bytes(
            self.private.pop(key_id).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return target

    def destroy(self, key_id: UUID, events: Sequence[EventDraft]) -> bool:
        """Forget a key; its record stays where a store was given."""
        if self.private.pop(key_id, None) is None:
            return False
        if isinstance(self._events, MemoryStore):
            self._events.end_key(key_id, events)
        elif self._events is not None:
            self._events.record(events)
        return True


def _spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class MemoryPrivateKey:
    """A private key to use."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return _spki(self._key)

    def sign(self, data: bytes, digest: str) -> bytes:
        """Sign, deterministically."""
        return _sign(self._key, data, _HASHES[digest])

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        """RSA PKCS#1 v1.5, rejecting implicitly, or OAEP."""
        if not isinstance(self._key, rsa.RSAPrivateKey):
            raise InvariantError("only RSA keys decrypt")
        if oaep is None:
            return self._key.decrypt(ciphertext, padding.PKCS1v15())
        mask = padding.MGF1(oaep.mask_digest.hash())
        try:
            return self._key.decrypt(ciphertext, padding.OAEP(mask, oaep.digest.hash(), None))
        except ValueError:
            return b""


class MemorySealer:
    """Keeps secrets in memory; what it hands out only says where."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], bytes] = {}

    def seal(self, scope: str, secret: bytes) -> bytes:
        """Keep a secret."""
        sealed = len(self._kept).to_bytes(8, "big")
        self._kept[scope, sealed] = secret
        return sealed

    def unseal(self, scope: str, sealed: bytes) -> bytes:
        """Return it to whoever names the same scope."""
        secret = self._kept.get((scope, sealed))
        if secret is None:
            raise AdminError(reasons.MASTER_KEY_REFUSED, f"nothing is sealed for {scope}")
        return secret


def _sign(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    data: bytes,
    algorithm: hashes.HashAlgorithm | utils.Prehashed,
) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), algorithm)
    return key.sign(data, ec.ECDSA(algorithm, deterministic_signing=True))


class MemorySigner:
    """Signs committed intents, and only those."""

    def __init__(self, intents: Intents, keys: MemoryKeys, files: MemoryCrlFiles | None = None) -> None:
        self._intents = intents
        self._keys = keys
        self._files = files

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign what the row holds."""
        intent = self._intents.signing_intent(row_id)
        if intent is None:
            raise UnavailableError(reasons.IN_PROGRESS, f"no open intent {row_id}")
        key = self._keys.private.get(intent.key_id)
        if key is None:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, f"no key {intent.key_id}")
        data = intent.tbs
        if data is None:
            if self._files is None or intent.tbs_path is None:
                raise InvariantError("a CRL intent without its file")
            data = b"".join(self._files.read(intent.tbs_path))
            if hashlib.sha256(data).digest() != intent.tbs_sha256:
                raise InvariantError("the file is not the one that was recorded")
        p384 = isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 384
        return _sign(key, data, hashes.SHA384() if p384 else hashes.SHA256())


class MemoryCrlFiles:
    """CRL files in a dictionary."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._count = 0
        self._lock = threading.Lock()

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write a new spool file."""
        self._count += 1
        path = f"spool/{self._count}"
        self.files[path] = b"".join(chunks)
        return StreamedFile(path, len(self.files[path]), hashlib.sha256(self.files[path]).digest())

    def read(self, path: str) -> Iterator[bytes]:
        """Read it back."""
        yield self.files[path]

    def discard(self, path: str) -> None:
        """Forget it."""
        self.files.pop(path, None)

    def publish(self, authority: str, path: str) -> PublishedCrl:
        """Put it in the place of the authority's CRL."""
        self.files[f"published/{authority}"] = self.files.pop(path)
        return PublishedCrl(
            f"published/{authority}", len(self.files[f"published/{authority}"]), datetime(2026, 3, 1, tzinfo=UTC)
        )

    def published(self, authority: str) -> PublishedCrl | None:
        """What is served now."""
        path = f"published/{authority}"
        if path not in self.files:
            return None
        return PublishedCrl(path, len(self.files[path]), datetime(2026, 3, 1, tzinfo=UTC))

    def digest(self, authority: str) -> bytes | None:
        """SHA-256 of what is served now."""
        octets = self.files.get(f"published/{authority}")
        return None if octets is None else hashlib.sha256(octets).digest()

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Keep other threads out."""
        with self._lock:
            yield


class MemoryTranscript:
    """What was done by hand, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, actor: Actor, what: str) -> None:
        """Append a line."""
        self.lines.append(f"{actor.id} {what}")


class FakeCallers:
    """Knows callers by their bearer tokens, which the test hands out."""

    def __init__(self, known: Mapping[str, Caller]) -> None:
        self.known = dict(known)

    def caller(self, headers: Sequence[tuple[bytes, bytes]], source: str, *, changes: bool) -> Caller | None:
        """Say who asks; one whose name begins with `session` must come from a page of ours to change anything."""
        brought = dict(headers).get(b"authorization")
        if brought is None:
            return None
        found = self.known.get(brought.decode("latin-1").removeprefix("Bearer "))
        if found is None:
            raise AdminError(reasons.CREDENTIALS_REFUSED)
        if changes and found.actor.id.startswith("session"):
            raise AdminError(reasons.FOREIGN_REQUEST)
        return replace(found, actor=replace(found.actor, source=source))


class MemoryAnswers:
    """Answers kept for repeats, in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[datetime, KeptAnswer]] = {}

    def begin_answer(self, caller: str, key: str, request_sha256: bytes, at: datetime) -> KeptAnswer | None:
        """Take the key, or return what it has."""
        found = self.kept.get((caller, key))
        if found is not None:
            return found[1]
        self.kept[caller, key] = at, KeptAnswer(request_sha256, 0, b"")
        return None

    def keep_answer(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep an answer."""
        self.kept[caller, key] = self.kept[caller, key][0], answer

    def drop_answer(self, caller: str, key: str) -> None:
        """Forget a key."""
        del self.kept[caller, key]

    def forget_answers(self, before: datetime) -> None:
        """Forget what is older."""
        self.kept = {key: each for key, each in self.kept.items() if each[0] >= before}


class MemoryOutgoing:
    """Answers what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[OutgoingRequest] = []

    def exchange(self, request: OutgoingRequest) -> OutgoingResponse:
        """Answer with the status of the moment."""
        self.requests.append(request)
        return OutgoingResponse(self.status, {}, b"")


class MemorySender:
    """Takes messages to targets, or refuses them while it has a fault."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.closed: set[str] = set()
        """Names of targets that refuse what they are sent."""
        self.sent: list[tuple[str, Delivery]] = []

    def send(self, target: AlertTarget, delivery: Delivery, at: datetime) -> None:
        """Keep it."""
        del at
        if self.fault is not None:
            raise self.fault
        if target.name in self.closed:
            raise UnavailableError(reasons.WEB_HOOK_REFUSED, "it answers 500")
        self.sent.append((target.name, delivery))


class MemoryFeed:
    """Change notices handed over by the test."""

    def __init__(self) -> None:
        self.up = True
        self.waiting: list[Change] = []

    def wait(self, timeout: float) -> tuple[Change, ...] | None:
        """Return what came, at once."""
        del timeout
        if not self.up:
            return None
        changes, self.waiting = tuple(self.waiting), []
        return changes
