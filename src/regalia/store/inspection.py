"""Reading again what was issued: rows → values, a page at a time, and the records of the log beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, literal_column, select

from regalia.model import Event
from regalia.ports import IssuedRecord
from regalia.store.certificates import certificate_rows, read_certificate_row
from regalia.store.session import Call, Noun, Row, Statement
from regalia.store.tables import certificate, event
from regalia.store.values import serial_or_none
from regalia.wire.event import read_record
from regalia.wire.personal import without_pseudonyms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from regalia.model import Certificate

__all__ = ["SqlInspection"]

_MOST_EVENTS = 100
"""Of one certificate: it is begun, issued, held and released now and then, revoked, found wrong once a day."""

_PAGE = Statement(
    certificate_rows().where(certificate.c.id > bindparam("after")).order_by(certificate.c.id).limit(bindparam("most"))
)
_EVENTS = Statement(
    select(event)
    .where(event.c.object == bindparam("object"))
    .order_by(event.c.position)
    .limit(literal_column(str(_MOST_EVENTS)))
)
_ISSUED = Statement(
    select(event.c.position, event.c.serial)
    .where(event.c.position > bindparam("after"), event.c.action == literal_column("'certificate.issued'"))
    .order_by(event.c.position)
    .limit(bindparam("most"))
)
_KNOWN = Statement(select(certificate.c.serial).where(certificate.c.serial == bindparam("serial")).limit(1))


class SqlInspection(Noun):
    """See `ports.Inspection`."""

    def certificates_after(self, after: UUID | None, limit: int) -> tuple[Certificate, ...]:
        """Return the next ones behind an id, oldest first."""
        rows = self._database.rows(_PAGE, {"after": b"" if after is None else after.bytes, "most": limit})
        return tuple(read_certificate_row(row) for row in rows)

    def events_about(self, objects: Sequence[str]) -> tuple[tuple[Event, ...], ...]:
        """Return what the log says of each object, oldest first."""
        calls: list[Call] = [(_EVENTS, {"object": each}) for each in objects]
        return tuple(tuple(_read(rows)) for rows in self._database.look_up(calls)) if calls else ()

    def issued_on_record(self, after: int, limit: int) -> tuple[IssuedRecord, ...]:
        """Return the next records of issued certificates behind a position."""
        rows = self._database.rows(_ISSUED, {"after": after, "most": limit})
        return tuple(IssuedRecord(row["position"], _serial(row["serial"])) for row in rows)

    def missing_serials(self, serials: Sequence[int]) -> tuple[int, ...]:
        """Return those of the serials that no certificate has."""
        asked = [(serial, serial_or_none(serial)) for serial in serials]
        calls: list[Call] = [(_KNOWN, {"serial": octets}) for _, octets in asked if octets is not None]
        found = iter(self._database.look_up(calls)) if calls else iter(())
        return tuple(serial for serial, octets in asked if octets is None or not next(found))


def _serial(text: str | None) -> int:
    try:
        return int(text or "", 16)
    except ValueError:
        # Altered; `event verify` says so. No certificate has it, which is what an audit then tells.
        return 0


def _read(rows: Sequence[Row]) -> Iterator[Event]:
    for row in rows:
        try:
            stream, sequence, previous, draft = read_record(row["record"].encode())
            yield Event(stream, sequence, previous, row["hash"], without_pseudonyms(draft, row["personal"]))
        except ValueError:
            continue
