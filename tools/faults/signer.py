"""A signer that keeps a journal outside the product, and looks from outside whether the intent is committed (I1)."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import UnavailableError
from tools.faults.ledger import LookError, committed_intent

if TYPE_CHECKING:
    import random
    from uuid import UUID

    from regalia.ports import IntentSigner
    from tools.faults.journal import Journal
    from tools.faults.ledger import Look

__all__ = ["AbsentSigner", "JournalSigner"]


class AbsentSigner:
    """A signer whose key cannot be reached now and then, as one in a device on the network."""

    def __init__(self, real: IntentSigner, absent: float, dice: random.Random) -> None:
        """`absent` is how often, from 0 to 1."""
        self._real = real
        self.absent = absent
        self._dice = dice

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign, or be away: what was begun may then be abandoned."""
        if self._dice.random() < self.absent:
            raise UnavailableError(reasons.ISSUER_UNAVAILABLE, "the key is away")
        return self._real.sign_intent(row_id)


class JournalSigner:
    """`IntentSigner` around the real one."""

    def __init__(self, real: IntentSigner, look: Look, journal: Journal) -> None:
        self._real = real
        self._look = look
        self._journal = journal

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign; the line is written and synced before anybody has the signature."""
        try:
            found = committed_intent(self._look, row_id)
        except LookError as error:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, f"the signer's look: {error}") from error
        signature = self._real.sign_intent(row_id)
        self._journal.write(
            at=time.time(),
            pid=os.getpid(),
            row=str(row_id),
            committed=found is not None,
            kind=found.kind if found is not None else "",
            authority=found.authority if found is not None else "",
            number=f"{found.number:x}" if found is not None else "",
            tbs_sha256=found.tbs_sha256 if found is not None else b"",
            key=found.key_id if found is not None else b"",
            signature_sha256=hashlib.sha256(signature).digest(),
        )
        return signature
