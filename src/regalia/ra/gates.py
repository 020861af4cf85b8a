"""How many may wait for a connector at a time, and when it is left in peace: so that one that hangs costs nobody else.

Whoever asks a connector holds a thread of the server. A connector gets few of them, all connectors together not all of
them; and one that did not answer several times in a row is asked again only after a pause, by one request first (R8).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from regalia import reasons
from regalia.model.connector import NotAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ENROLMENT_SECONDS", "Gates"]

ENROLMENT_SECONDS: Final = 15.0
"""What all questions of one enrolment take together at most (R8)."""
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Gate:
    inside: int = 0
    failures: int = 0
    """Questions in a row without an answer."""
    rests_until: float = 0.0
    tries: bool = False
    """Whether the one request after a pause is under way."""


class Gates:
    """The gates of all connectors of a process."""

    def __init__(
        self,
        *,
        places: int = 2,
        together: int = 3,
        failures: int = 5,
        rest: float = 30.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`places` at one connector, `together` at all of them; after `failures` in a row, `rest` seconds of peace.

        The places are threads of whoever calls, so there have to be more of those than `together`.
        """
        self._places = places
        self._together = together
        self._most_failures = failures
        self._rest = rest
        self._seconds = seconds
        self._lock = threading.Lock()
        self._gates: defaultdict[str, _Gate] = defaultdict(_Gate)
        self._inside = 0

    def ask(self, connector: str, question: Callable[[], _Answer | NotAsked]) -> _Answer | NotAsked:
        """Put a question to a connector, or say at once why it is not put."""
        gate = self._entered(connector)
        if isinstance(gate, NotAsked):
            return gate
        with self._left(gate):
            answer = question()
            self._note(gate, answered=not isinstance(answer, NotAsked))
        return answer

    def is_resting(self, connector: str) -> bool:
        """Whether it is left in peace at present; whoever can wait does."""
        with self._lock:
            gate = self._gates[connector]
            return gate.failures >= self._most_failures and self._seconds() < gate.rests_until

    def _entered(self, connector: str) -> _Gate | NotAsked:
        with self._lock:
            gate = self._gates[connector]
            if gate.failures >= self._most_failures and (gate.tries or self._seconds() < gate.rests_until):
                return NotAsked(reasons.CONNECTOR_RESTING, f"connector {connector}: {gate.failures} in a row")
            if gate.inside >= self._places or self._inside >= self._together:
                return NotAsked(reasons.CONNECTOR_CROWDED, f"connector {connector}: {gate.inside} wait for it")
            gate.tries = gate.failures >= self._most_failures
            gate.inside += 1
            self._inside += 1
            return gate

    @contextmanager
    def _left(self, gate: _Gate) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                gate.inside -= 1
                self._inside -= 1
                gate.tries = gate.tries and gate.inside > 0

    def _note(self, gate: _Gate, *, answered: bool) -> None:
        with self._lock:
            gate.failures = 0 if answered else gate.failures + 1
            if gate.failures >= self._most_failures:
                gate.rests_until = self._seconds() + self._rest
