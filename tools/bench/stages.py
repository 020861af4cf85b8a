"""One enrolment stage by stage: the product's own entry, with a clock at each port that it calls.

A home is wired as the product wires it, but for its ports: each call of one ends the stage of our own code before it,
and is a stage itself or a part of one. So the table shows what the product does, whatever that is.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from regalia.app.build import open_home, wire
from regalia.config import load_config
from tools.bench.measure import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from regalia.app import App
    from regalia.keys.divided import DividedKeys
    from regalia.ports import Entropy, IntentSigner, PrivateKey
    from regalia.store.store import SqlStore
    from regalia.wire.algorithms import Oaep
    from tools.bench.homes import Home

__all__ = ["STAGES", "Probe", "opened_with_probe"]

STAGES: Final = {
    "message": "read the message, check its signature",
    "reads": "all that is looked up in the database",
    "envelope": "limits, recipient, and what the reply begins with",
    "RA decryption": "the content's key",
    "request": "content, CSR, its key, proof of possession",
    "decision": "conversation, evidence, names, enrolment",
    "leaf": "serial, to-be-signed octets, lint, event",
    "TX1": "the durable intent",
    "CA signature": "read the row back, sign",
    "check": "verify our signature, assemble, event",
    "TX2": "the certificate, durable",
    "reply": "encrypt, attributes",
    "RA signature": "sign the CertRep",
}
"""By the name of each stage what happens in it, in the order in which they begin."""

_WRITES: Final = {"begin": ("TX1", "check"), "finish": ("TX2", "reply")}
"""Calls of the store that are no reading: their stage, and that of our own code after them."""
_SERIAL_OCTETS: Final = 16


class Probe:
    """Splits the CPU seconds of one enrolment at a time."""

    def __init__(self) -> None:
        self._watch = Stopwatch()
        self._own = ""

    def enrol(self, call: Callable[[], object]) -> dict[str, float]:
        """Make one call; CPU seconds by stage."""
        self._own = "message"
        watch = self._watch = Stopwatch()
        call()
        watch.mark(self._own)
        return watch.stages

    def around(self, stage: str, call: Callable[[], Any], then: str | None = None) -> Any:  # noqa: ANN401 - whatever the port returns
        """Make a call that is a stage itself; our own code goes on in the stage `then`, or in the one before."""
        self._watch.mark(self._own)
        answered = call()
        self._watch.mark(stage)
        self._own = then or self._own
        return answered

    def drawn(self, count: int) -> None:
        """Random octets were asked for: between decision and intent that is the serial, with which the leaf begins."""
        if self._own == "decision" and count == _SERIAL_OCTETS:
            self._watch.mark(self._own)
            self._own = "leaf"

    def looked_up(self, method: str) -> str | None:
        """Say which stage follows a reading of the store."""
        if method == "own_keys" and self._own == "message":
            return "envelope"  # whose certificate it is that signed: the message is read
        return "decision" if self._own == "request" else None


class _Store:
    """The store: two calls are transactions, the others reading."""

    def __init__(self, store: SqlStore, probe: Probe) -> None:
        self._store = store
        self._probe = probe

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        method, probe = getattr(self._store, name), self._probe

        def timed(*arguments: object, **named: object) -> object:
            stage, then = _WRITES.get(name) or ("reads", probe.looked_up(name))
            return probe.around(stage, lambda: method(*arguments, **named), then)

        if callable(method):
            setattr(self, name, timed)  # found at once the next time
            return timed
        return method


class _Key:
    """The RA's key."""

    def __init__(self, key: PrivateKey, probe: Probe) -> None:
        self._key = key
        self._probe = probe
        self.public_key = key.public_key

    def sign(self, data: bytes, digest: str) -> bytes:
        return cast("bytes", self._probe.around("RA signature", lambda: self._key.sign(data, digest)))

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        return cast(
            "bytes", self._probe.around("RA decryption", lambda: self._key.decrypt(ciphertext, oaep), "request")
        )


class _Keys:
    """The keys that faces use; opened before, since each is unwrapped once per process."""

    def __init__(self, keys: DividedKeys, probe: Probe) -> None:
        self._keys = keys
        self._probe = probe

    def open(self, key_id: UUID) -> PrivateKey:
        return _Key(self._keys.open(key_id), self._probe)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        return getattr(self._keys, name)


class _Signer:
    """The signer of intents."""

    def __init__(self, signer: IntentSigner, probe: Probe) -> None:
        self._signer = signer
        self._probe = probe

    def sign_intent(self, row_id: UUID) -> bytes:
        return cast("bytes", self._probe.around("CA signature", lambda: self._signer.sign_intent(row_id)))


class _Entropy:
    """Random octets."""

    def __init__(self, entropy: Entropy, probe: Probe) -> None:
        self._entropy = entropy
        self._probe = probe

    def octets(self, count: int) -> bytes:
        self._probe.drawn(count)
        return self._entropy.octets(count)


@contextmanager
def opened_with_probe(home: Home) -> Iterator[tuple[App, Probe]]:
    """Open a home in this process, with a probe at its ports."""
    config = load_config({}, home=home.path)
    ground, probe = open_home(config), Probe()
    app = wire(
        config,
        replace(
            ground,
            store=cast("SqlStore", _Store(ground.store, probe)),
            keys=cast("DividedKeys", _Keys(ground.keys, probe)),
            signer=_Signer(ground.signer, probe),
            entropy=_Entropy(ground.entropy, probe),
        ),
    )
    try:
        yield app, probe
    finally:
        app.close()
