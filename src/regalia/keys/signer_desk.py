"""What a signer does for those who may call it, and nothing else: sign committed intents, make and end CA keys.

It trusts no octets of a caller. What is signed comes from the committed row; a CRL's file comes from the caller and is
signed only where it is the one that the row describes (`signer.LocalSigner`). A key that is no CA's is refused here.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog

from regalia import reasons
from regalia.ca.scopes import is_ca_scope
from regalia.errors import AdminError, InvariantError, RegaliaError, UnavailableError
from regalia.keys.signer import LocalSigner
from regalia.keys.signer_rules import SignerRules
from regalia.keys.signer_wire import CALLS, Kind, Wire, WireError, read_events, write_refusal
from regalia.model import Action, AuthorityKind, AuthorityState, KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regalia.keys.signer_rules import SignerStore
    from regalia.model import EventDraft
    from regalia.ports import CaKeys, KeyStore, NewKey

__all__ = ["Bounds", "Desk"]

_ID: Final = 16
_EVENTS: Final = frozenset({Kind.EVENTS})
_FILE: Final = frozenset({Kind.DATA, Kind.END})
_MADE: Final = frozenset({Action.KEY_GENERATED, Action.KEY_IMPORTED})
_ENDED: Final = frozenset({Action.KEY_DESTROYED})
_OVER: Final = frozenset({AuthorityState.REVOKED, AuthorityState.RETIRED})

_log = structlog.get_logger("regalia.signer")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a signer lets itself be asked."""

    connections: int = 256
    """Open at a time, of callers that were let in."""
    handshakes: int = 64
    """Of those that have not shown yet who they are, at a time."""
    per_second: int = 10_000
    """Calls, of all callers together."""
    heavy: int = 4
    """CRL files and new keys that are worked on at a time."""
    frame_seconds: float = 10.0
    """How long a caller may take for a frame that it began, or between the frames of one call."""
    idle_seconds: float = 600.0
    """How long a connection may be silent between calls."""
    file_octets: int = 1 << 30
    file_seconds: float = 300.0


class _Rate:
    """So many calls a second; what was not used in the last second is lost."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        now = time.monotonic()
        with self._lock:
            self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Desk:
    """Answers one connection after the other's calls; for any number of threads."""

    def __init__(self, store: SignerStore, ca_keys: CaKeys, keys: KeyStore, bounds: Bounds) -> None:
        """`ca_keys` opens the CA keys that are here; `keys` makes and ends them."""
        self._store = store
        self._rules = SignerRules(store)
        self._ca_keys = ca_keys
        self._keys = keys
        self._bounds = bounds
        self._rate = _Rate(bounds.per_second)
        self._heavy = threading.BoundedSemaphore(bounds.heavy)

    def serve(self, wire: Wire, caller: str) -> None:
        """Answer the calls of a welcomed connection until it ends. Raises `WireError` where it breaks.

        Each refused call is a line of the log: who, what, why.
        """
        while True:
            kind, payload = wire.receive(CALLS, within=self._bounds.idle_seconds)
            try:
                if not self._rate.take():
                    raise UnavailableError(reasons.SIGNER_BUSY, f"more than {self._bounds.per_second} calls a second")
                self._answer(wire, caller, kind, payload)
            except (RegaliaError, InvariantError) as error:
                _log.warning("signer-refused", caller=caller, call=kind.name.lower(), why=str(error))
                wire.send(Kind.REFUSED, write_refusal(error))

    def _answer(self, wire: Wire, caller: str, kind: Kind, payload: bytes) -> None:
        which = UUID(bytes=payload[:_ID]) if kind is not Kind.GENERATE else None
        if which is None:
            self._generate(wire, caller, payload)
        elif kind is Kind.SIGN:
            wire.send(Kind.SIGNATURE, self._sign(wire, which, again=payload[_ID:] != b"\x00"))
        elif kind is Kind.HOLDS:
            self._check_scope(which)
            _say(wire, yes=self._keys.holds(which))
        elif kind is Kind.DESTROY:
            _say(wire, yes=self._destroy(which, caller, payload[_ID:]))
        else:
            key = self._ca_keys.ca_key(which)
            _say(wire, yes=key.repeatable or kind is Kind.PROVE)

    def _sign(self, wire: Wire, row_id: UUID, *, again: bool) -> bytes:
        """Sign a row. `again`: the caller lost the first answer, and only what repeats may be signed a second time."""
        if again:
            intent = self._store.signing_intent(row_id)
            if intent is not None and not self._ca_keys.ca_key(intent.key_id).repeatable:
                raise UnavailableError(reasons.SIGNER_AWAY, f"what became of the signature of {row_id} is not known")
        files = _SentFile(wire, self._bounds, self._heavy)
        return LocalSigner(self._store, files, self._ca_keys, self._rules).sign_intent(row_id)

    def _generate(self, wire: Wire, caller: str, payload: bytes) -> None:
        name, _, scope_octets = payload.partition(b"\x00")
        try:
            kind, scope = KeyKind(name.decode("ascii")), scope_octets.decode("ascii")
        except ValueError as error:
            raise WireError(f"a new key of no known kind: {error}") from error
        if not is_ca_scope(scope):
            raise InvariantError(f"a key for {scope} was to be made by the signer")

        def told(key: NewKey) -> Sequence[EventDraft]:
            wire.send(Kind.KEY, key.id.bytes + key.public_key)
            return _of_caller(read_events(wire.receive(_EVENTS)[1]), _MADE, key.id, caller)

        with _one_of(self._heavy, self._bounds):
            self._keys.generate(kind, scope, told)
        wire.send(Kind.DONE)

    def _destroy(self, key_id: UUID, caller: str, payload: bytes) -> bool:
        self._check_scope(key_id)
        events = _of_caller(read_events(payload), _ENDED, key_id, caller)
        if not events:
            raise InvariantError(f"key {key_id} was to be destroyed without an event")
        self._check_over(key_id)
        return self._keys.destroy(key_id, events)

    def _check_over(self, key_id: UUID) -> None:
        """Refuse the end of a root's key, and of one that an authority needs: a worker may be taken over (SEC-2).

        Who has the keys themselves may overrule that (`regalia key destroy --although-needed`), and nobody by a socket.
        """
        for authority in self._store.authorities():
            if authority.key_id == key_id and (authority.kind is AuthorityKind.ROOT or authority.state not in _OVER):
                told = f"key {key_id} is authority {authority.name}'s: it can be destroyed where the signer keeps it"
                raise AdminError(reasons.KEY_NEEDED, told)

    def _check_scope(self, key_id: UUID) -> None:
        record = self._store.key_record(key_id)
        if record is not None and not is_ca_scope(record.scope):
            raise InvariantError(f"key {key_id} ({record.scope}) is no CA's")


class _SentFile:
    """A CRL's file that the caller sends when it is asked for; `signer.TbsFiles`."""

    def __init__(self, wire: Wire, bounds: Bounds, heavy: threading.BoundedSemaphore) -> None:
        self._wire = wire
        self._bounds = bounds
        self._heavy = heavy

    def read(self, path: str) -> Iterator[bytes]:
        """Ask for the file under the name that the row has for it, and take what comes."""
        with _one_of(self._heavy, self._bounds):
            until, octets = time.monotonic() + self._bounds.file_seconds, 0
            self._wire.send(Kind.SEND, path.encode())
            while (got := self._wire.receive(_FILE))[0] is Kind.DATA:
                octets += len(got[1])
                if octets > self._bounds.file_octets or time.monotonic() > until:
                    raise WireError(f"a file that is too long or too slow, {octets} octets so far")
                yield got[1]


def _of_caller(
    events: Sequence[EventDraft], actions: frozenset[Action], key_id: UUID, caller: str
) -> tuple[EventDraft, ...]:
    """See that a caller's events tell of this key and of what is done with it, and say in them who called."""
    for event in events:
        if event.action not in actions or event.object != f"key:{key_id}":
            raise InvariantError(f"an event {event.action} of {event.object} with a call about key {key_id}")
    return tuple(replace(event, details={**event.details, "caller": caller}) for event in events)


def _say(wire: Wire, *, yes: bool) -> None:
    wire.send(Kind.YES if yes else Kind.NO)


@contextmanager
def _one_of(places: threading.BoundedSemaphore, bounds: Bounds) -> Iterator[None]:
    if not places.acquire(timeout=bounds.frame_seconds):
        raise UnavailableError(reasons.SIGNER_BUSY, f"{bounds.heavy} CRLs and new keys are being worked on")
    try:
        yield
    finally:
        places.release()
