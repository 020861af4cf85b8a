"""What sign-in remembers: counted tries, and what was good once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select, text, update

from regalia.ports import NO_TRIES, Tries
from regalia.store.session import LostError, Noun, Statement, Transaction, inserting
from regalia.store.tables import sign_in_spent, sign_in_try
from regalia.store.values import from_millis, millis

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.store.session import Columns

__all__ = ["SqlSignIns"]

_TRIES = Statement(select(sign_in_try).where(sign_in_try.c.subject == bindparam("subject")))
_FIRST_TRY = inserting(sign_in_try)
_NEXT_TRY = Statement(
    update(sign_in_try)
    .where(sign_in_try.c.subject == bindparam("which"), sign_in_try.c.tries == bindparam("before"))
    .values(tries=bindparam("after"), last_at=bindparam("at"))
)
_FORGET_TRIES = Statement(delete(sign_in_try).where(sign_in_try.c.subject == bindparam("subject")))
_SPEND = Statement(
    text("INSERT INTO sign_in_spent (digest, until_at) VALUES (:digest, :until) ON CONFLICT (digest) DO NOTHING")
)
_IS_SPENT = Statement(select(sign_in_spent.c.digest).where(sign_in_spent.c.digest == bindparam("digest")))
_FORGET_SPENT = Statement(delete(sign_in_spent).where(sign_in_spent.c.until_at < bindparam("before")))
_FORGET_OLD_TRIES = Statement(delete(sign_in_try).where(sign_in_try.c.last_at < bindparam("before")))


class SqlSignIns(Noun):
    """See `ports.SignIns`."""

    def tries(self, subject: str) -> Tries:
        """Return the tries of a subject."""
        row = self._database.row(_TRIES, {"subject": subject})
        return NO_TRIES if row is None else Tries(row["tries"], from_millis(row["last_at"]))

    def count_try(self, subject: str, before: Tries, at: datetime) -> bool:
        """Count one more; False where the count is not `before` any more."""

        def unit(transaction: Transaction) -> None:
            if not before.count:
                transaction.run(_FIRST_TRY, {"subject": subject, "tries": 1, "last_at": millis(at)})
                return
            values: Columns = {"which": subject, "before": before.count, "after": before.count + 1, "at": millis(at)}
            if not transaction.run(_NEXT_TRY, values):
                raise LostError

        return self._won(unit)

    def forget_tries(self, subject: str) -> None:
        """Begin anew."""
        self._database.write(lambda transaction: transaction.run(_FORGET_TRIES, {"subject": subject}))

    def spend(self, digest: bytes, until: datetime) -> bool:
        """Use up what is good once."""
        values: Columns = {"digest": digest, "until": millis(until)}
        return bool(self._database.write(lambda transaction: transaction.run(_SPEND, values)))

    def is_spent(self, digest: bytes) -> bool:
        """Whether it was used up."""
        return self._database.row(_IS_SPENT, {"digest": digest}) is not None

    def forget_sign_ins(self, spent_before: datetime, tried_before: datetime) -> None:
        """Forget what has ended by itself."""

        def unit(transaction: Transaction) -> None:
            transaction.run(_FORGET_SPENT, {"before": millis(spent_before)})
            transaction.run(_FORGET_OLD_TRIES, {"before": millis(tried_before)})

        self._database.write(unit)
