"""The one parser boundary (IN-1): whatever goes wrong while hostile bytes are read leaves as a `PeerError`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from regalia.errors import InvariantError, PeerError, RegaliaError
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.errors import Reason

__all__ = ["reading"]


@contextmanager
def reading(reason: Reason) -> Iterator[None]:
    """Turn what the readers inside raise into `PeerError(reason)`; our own errors pass."""
    try:
        yield
    except (RegaliaError, InvariantError):
        raise
    except DerError as fault:
        raise PeerError(reason, str(fault)) from fault
    except Exception as fault:  # IN-1: a bug in a reader must not become a 5xx; tests look for this cause
        raise PeerError(reason, f"unreadable ({type(fault).__name__})") from fault
