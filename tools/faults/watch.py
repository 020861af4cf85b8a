"""What a node serves beside enrolments, looked at all the time: CRL, CA certificate, OCSP, readiness (RES-7)."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Seen", "Watch"]

_EVERY: Final = 0.2
_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer, or none."""

    at: float
    """`time.monotonic()` of the question."""
    status: int
    """0 where there was no answer."""
    seconds: float


class Watch:
    """A thread for each address, so that one that hangs keeps no other waiting."""

    def __init__(self, url: str, paths: Mapping[str, str]) -> None:
        """`paths` by what lies there."""
        self._host = url.removeprefix("http://")
        self._stop = threading.Event()
        self._seen: dict[str, list[Seen]] = {what: [] for what in paths}
        self._threads = [
            threading.Thread(target=self._look, args=(what, path), name=f"watch-{what}", daemon=True)
            for what, path in paths.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _SECONDS)

    def between(self, what: str, begin: float, end: float) -> list[Seen]:
        """Return what was asked or waited for between two times of `time.monotonic()`."""
        return [seen for seen in tuple(self._seen[what]) if begin <= seen.at + seen.seconds and seen.at < end]

    def settled(self, what: str, end: float) -> None:
        """Wait until what was asked before `end` has its answer, or none."""
        until = time.monotonic() + 2 * _SECONDS
        while time.monotonic() < until and not any(seen.at >= end for seen in tuple(self._seen[what])):
            time.sleep(_EVERY)

    def _look(self, what: str, path: str) -> None:
        while not self._stop.wait(_EVERY):
            began = time.monotonic()
            status = 0
            with closing(http.client.HTTPConnection(self._host, timeout=_SECONDS)) as connection:
                try:
                    connection.request("GET", path)
                    response = connection.getresponse()
                    response.read()
                    status = response.status
                except (OSError, http.client.HTTPException):
                    status = 0
            self._seen[what].append(Seen(began, status, time.monotonic() - began))
