"""Table definitions of what was counted. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table, Text

from regalia.store.table_parts import metadata, required

__all__ = ["figure", "figure_count"]

figure = Table(
    "figure",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("group", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    required("number", BigInteger),
    sqlite_with_rowid=False,
)
"""`day` is its midnight; 0 where a subject has no days. What is none has no row."""

figure_count = Table(
    "figure_count",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    required("at", BigInteger),
    sqlite_with_rowid=False,
)
"""When each was counted, also where there was nothing to count."""
