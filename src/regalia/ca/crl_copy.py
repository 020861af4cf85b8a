"""A node's copies of the published CRLs: the database is the origin, a file is what is served."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.crl import CrlStore, Spool
from regalia.errors import UnavailableError
from regalia.wire.certificate import signature_algorithm_for
from regalia.wire.crl import read_crl
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from regalia.model import Authority
    from regalia.ports import CrlFiles

__all__ = ["Copied", "CrlCopier"]

_ATTEMPTS = 3
"""Newer CRLs may come while one is read; three in a row come from somebody who revokes in a loop."""


class Copied(StrEnum):
    """What came of looking at one authority's copy."""

    CURRENT = "current"
    """It was right, or there is no CRL yet."""
    MADE = "made"
    UNUSABLE = "unusable"
    """No copy can be made of what the database holds; a new CRL mends it."""


class CrlCopier:
    """Makes the file that this node serves the same as what the database holds."""

    def __init__(self, store: CrlStore, files: CrlFiles) -> None:
        self._store = store
        self._files = files

    def copy(self, authority: Authority, name: str | None = None) -> Copied:
        """Look, and copy where the file is missing or another one. `name`: of one of its CRLs, the full one if None.

        One process of a node at a time looks and puts in place, so that an older CRL is never put over a newer one.
        Raises `UnavailableError` CA-011 where the database or the disk does not answer; CA-013 where newer CRLs keep
        coming. Nothing is served that is not, octet for octet, what was recorded.
        """
        name = authority.name if name is None else name
        last = self._store.last_crl(name)
        if last is None or self._files.digest(name) == last.sha256:
            return Copied.CURRENT
        with self._files.one_at_a_time():
            for _ in range(_ATTEMPTS):
                copied = self._copy(authority, name)
                if copied is not None:
                    return copied
        raise UnavailableError(reasons.IN_PROGRESS, f"newer CRLs of {name} keep coming")

    def _copy(self, authority: Authority, name: str) -> Copied | None:
        """Copy the newest; None where a newer one came meanwhile."""
        last = self._store.last_crl(name)
        # Another process of this node may have made the copy while this one waited for its turn.
        if last is None or self._files.digest(name) == last.sha256:
            return Copied.CURRENT
        here = self._number_here(authority, name)
        if here is not None and here > last.number:
            # The database was restored from a backup: what relying parties have seen is not taken back.
            return Copied.UNUSABLE
        with Spool(self._files).opened() as spool:
            written = spool.write(self._store.crl_octets(last))
            if written.sha256 == last.sha256:
                self._files.publish(name, written.path)
                return Copied.MADE
        newest = self._store.last_crl(name)
        return Copied.UNUSABLE if newest == last else None

    def _number_here(self, authority: Authority, name: str) -> int | None:
        """Read the number of the file that is served; None where there is none, or it is no CRL of this authority."""
        published = self._files.published(name)
        if published is None:
            return None
        try:
            return read_crl(self._files.read(published.path), signature_algorithm_for(authority.key_kind)).number
        except DerError:
            return None
