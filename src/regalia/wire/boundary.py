"""The one parser boundary (IN-1): whatever goes wrong while hostile bytes are read leaves as a `PeerError`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.errors import InvariantError, PeerError, RegaliaError
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from types import TracebackType

    from regalia.errors import Reason

__all__ = ["reading"]


class reading:  # noqa: N801 - used as a statement, `with reading(reason):`
    """Turn what the readers inside raise into `PeerError(reason)`; our own errors pass.

    A class rather than a generator: a request enters it six times, and this costs a third.
    """

    __slots__ = ("_reason",)

    def __init__(self, reason: Reason) -> None:
        self._reason = reason

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(fault, DerError):
            raise PeerError(self._reason, str(fault)) from fault
        # IN-1: a bug in a reader must not become a 5xx; tests look for this cause.
        if isinstance(fault, Exception) and not isinstance(fault, RegaliaError | InvariantError):
            raise PeerError(self._reason, f"unreadable ({type(fault).__name__})") from fault
