"""What table definitions are made of. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, SmallInteger, Text

__all__ = ["metadata", "optional", "required"]

metadata = MetaData()


def required(name: str, kind: type[Text | LargeBinary | BigInteger | SmallInteger]) -> Column[object]:
    """Make a column that is never NULL."""
    return Column(name, kind, nullable=False)


def optional(name: str, kind: type[Text | LargeBinary | BigInteger | SmallInteger]) -> Column[object]:
    """Make a column that may be NULL."""
    return Column(name, kind, nullable=True)
