"""A signer that keeps a journal outside the product, and looks from outside whether the intent is committed (I1)."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

from tools.faults.ledger import committed_intent

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.ports import IntentSigner
    from tools.faults.journal import Journal
    from tools.faults.ledger import Look

__all__ = ["JournalSigner"]


class JournalSigner:
    """`IntentSigner` around the real one."""

    def __init__(self, real: IntentSigner, look: Look, journal: Journal) -> None:
        self._real = real
        self._look = look
        self._journal = journal

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign; the line is written and synced before anybody has the signature."""
        found = committed_intent(self._look, row_id)
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
