"""Pages that hand out challenges: rows ⇄ values, and the counts that bound them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, select

from regalia.model import NDES_TTL, NdesEncoding, NdesPage, new_id
from regalia.ports import HandOut
from regalia.store.challenges import ADD_CHALLENGE, challenge_columns
from regalia.store.session import LostError, Noun, Row, Statement, Transaction, inserting
from regalia.store.tables import challenge, ndes_page
from regalia.store.values import from_millis, millis, storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from regalia.model import Challenge, EventDraft
    from regalia.store.session import Columns

__all__ = ["SqlNdesPages"]

_MINUTE = timedelta(minutes=1)

_PAGE = Statement(select(ndes_page).where(ndes_page.c.endpoint == bindparam("endpoint")))
_CERTSRV = Statement(select(ndes_page.c.endpoint).where(ndes_page.c.certsrv == 1))
_ADD = inserting(ndes_page)
_REMOVE = Statement(delete(ndes_page).where(ndes_page.c.endpoint == bindparam("endpoint")))

_made = select(func.count().label("count")).where(
    challenge.c.endpoint == bindparam("endpoint"),
    # Ids lie in the order of their making, so both counts read no further back than they have to.
    challenge.c.id >= bindparam("since"),
    challenge.c.created_by == bindparam("by"),
)
MADE = Statement(_made.where(challenge.c.id < bindparam("until")))
"""Challenges that a page made between two times."""
OPEN = Statement(
    _made.where(
        challenge.c.consumed_at.is_(None), challenge.c.revoked_at.is_(None), challenge.c.expires_at > bindparam("at")
    )
)
"""Challenges that a page made since then and a device can still use."""


class SqlNdesPages(Noun):
    """See `ports.NdesPages`."""

    def ndes_page(self, endpoint: str) -> NdesPage | None:
        """Return the page of an endpoint; from memory until the catalogue changes."""
        return self._remembered.get(f"ndes {endpoint}", lambda: self._load_ndes_page(endpoint))

    def _load_ndes_page(self, endpoint: str) -> NdesPage | None:
        row = self._database.row(_PAGE, {"endpoint": endpoint}) if storable(endpoint) else None
        return None if row is None else _read_page(row)

    def certsrv_endpoint(self) -> str | None:
        """Return whose /certsrv is; from memory until the catalogue changes."""
        return self._remembered.get("certsrv", self._load_certsrv)

    def _load_certsrv(self) -> str | None:
        row = self._database.row(_CERTSRV, {})
        return None if row is None else str(row["endpoint"])

    def set_ndes_page(self, page: NdesPage, events: Sequence[EventDraft]) -> bool:
        """Return False where another endpoint has /certsrv."""
        columns = _page_columns(page)

        def unit(transaction: Transaction) -> None:
            # Two that set the same page take turns, so that a conflict is about /certsrv and nothing else.
            transaction.one_at_a_time(b"ndes-page")
            transaction.run(_REMOVE, {"endpoint": page.endpoint})
            transaction.run(_ADD, columns)

        return self._change_catalogue(events, f"ndes:{page.endpoint}", unit)

    def remove_ndes_page(self, endpoint: str, events: Sequence[EventDraft]) -> bool:
        """Return False where there is none."""

        def unit(transaction: Transaction) -> None:
            if not transaction.run(_REMOVE, {"endpoint": endpoint}):
                raise LostError

        return self._change_catalogue(events, f"ndes:{endpoint}", unit)

    def hand_out(self, challenge: Challenge, page: NdesPage, events: Sequence[EventDraft]) -> HandOut:
        """Keep a challenge, unless the page may not hand out another one now."""
        columns = challenge_columns(challenge)

        def unit(transaction: Transaction) -> HandOut:
            # Counting and adding are one: of two that find the last place, one gets it.
            transaction.one_at_a_time(b"ndes\0" + page.endpoint.encode())
            if _made_lately(transaction, challenge) >= page.per_minute:
                return HandOut.TOO_FAST
            if page.cache and _open_now(transaction, challenge) >= page.cache:
                return HandOut.CACHE_FULL
            transaction.run(ADD_CHALLENGE, columns)
            transaction.record(events)
            return HandOut.KEPT

        return self._database.write(unit)


def _made_lately(transaction: Transaction, challenge: Challenge) -> int:
    # Clocks of two nodes may be a minute apart. What lies farther ahead was made before a clock was set back, and must
    # not close the page until it is that late again.
    values = _counted(challenge, challenge.created_at - _MINUTE)
    values["until"] = _least_id(challenge.created_at + _MINUTE)
    return _count(transaction.row(MADE, values))


def _open_now(transaction: Transaction, challenge: Challenge) -> int:
    values = _counted(challenge, challenge.created_at - NDES_TTL)
    values["at"] = millis(challenge.created_at)
    return _count(transaction.row(OPEN, values))


def _counted(challenge: Challenge, since: datetime) -> Columns:
    return {"endpoint": challenge.endpoint, "since": _least_id(since), "by": challenge.created_by}


def _least_id(at: datetime) -> bytes:
    return new_id(at, bytes(10)).bytes


def _count(row: Row | None) -> int:
    return 0 if row is None else int(row["count"])


def _read_page(row: Row) -> NdesPage:
    return NdesPage(
        endpoint=row["endpoint"],
        user=row["user"],
        password_hash=row["password_hash"],
        digits=row["digits"],
        encoding=NdesEncoding(row["encoding"]),
        cache=row["cache"],
        per_minute=row["per_minute"],
        networks=tuple(json.loads(row["networks"])),
        certsrv=bool(row["certsrv"]),
        allow_binding=bool(row["allow_binding"]),
        changed_at=from_millis(row["changed_at"]),
    )


def _page_columns(page: NdesPage) -> Columns:
    return {
        "endpoint": page.endpoint,
        "user": page.user,
        "password_hash": page.password_hash,
        "digits": page.digits,
        "encoding": str(page.encoding),
        "cache": page.cache,
        "per_minute": page.per_minute,
        "networks": json.dumps(page.networks, separators=(",", ":")),
        "certsrv": int(page.certsrv),
        "allow_binding": int(page.allow_binding),
        "changed_at": millis(page.changed_at),
    }
