"""Tells the database the keys of this node's listeners, so that no node certifies them for anybody (KEY-2)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from regalia.jobs.loop import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from regalia.ports import Blocklists

__all__ = ["KnowOwnKeys"]


class KnowOwnKeys:
    """Looks at the listeners' certificates at the start and every hour: their files may be replaced at any time."""

    name = "know-own-keys"
    every = timedelta(hours=1)
    scope = Scope.NODE

    def __init__(self, lists: Blocklists, keys: Callable[[], Iterable[tuple[bytes, str]]]) -> None:
        """`keys` gives the SHA-256 of each listener's SubjectPublicKeyInfo, and what it is for."""
        self._lists = lists
        self._keys = keys

    def run(self, now: datetime) -> None:
        """Tell them. Raises `AdminError` ADM-020 where a certificate cannot be read."""
        for key_sha256, purpose in self._keys():
            self._lists.add_own_key(key_sha256, purpose, now)
