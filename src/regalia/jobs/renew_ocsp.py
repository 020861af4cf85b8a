"""Signs OCSP answers anew before this process forgets them, for whoever asks often: nobody waits for a signature."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["OcspAnswers", "RenewOcsp"]

_EVERY: Final = timedelta(seconds=5)
_WITHIN: Final = timedelta(seconds=20)
"""Four looks: one that fails, or finds too much, leaves room for others."""
_MOST: Final = 500
"""Answers in one run, a tenth of a second of work: what is more is signed when it is asked for."""


class OcspAnswers(Protocol):
    """What remembers OCSP answers and can sign them."""

    def renew(self, within: timedelta, most: int) -> int:
        """Sign anew what was asked for and ends soon."""


class RenewOcsp:
    """In every process: each has a memory of its own."""

    name = "renew-ocsp"
    every = _EVERY
    scope = Scope.PROCESS

    def __init__(self, answers: OcspAnswers) -> None:
        self._answers = answers

    def run(self, now: datetime) -> None:
        """Renew what ends before the next looks."""
        del now
        self._answers.renew(_WITHIN, _MOST)
