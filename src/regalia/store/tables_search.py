"""Table definitions of what searches look into. See `tables`.

A job fills them behind what they are about (`search`); each row has a number of its own, which SQLite's index of words
goes by. On SQLite a virtual table `…_words` (FTS5, trigrams) holds the index, kept by triggers; on PostgreSQL an index
of that name (pg_trgm). Neither is described here: what they hold is what stands in `text`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text, UniqueConstraint

from regalia.store.table_parts import metadata, optional, required

__all__ = ["certificate_text", "challenge_text", "enrolment_text", "search_progress"]

_Position = BigInteger().with_variant(Integer(), "sqlite")

certificate_text = Table(
    "certificate_text",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=True),
    required("id", LargeBinary),
    optional("group", Text),
    required("text", Text),
    required("whole", Text),
    UniqueConstraint("id", name="certificate_text_id"),
)

enrolment_text = Table(
    "enrolment_text",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("id", LargeBinary, ForeignKey("enrolment.id", ondelete="CASCADE"), nullable=False),
    optional("group", Text),
    required("text", Text),
    required("whole", Text),
    UniqueConstraint("id", name="enrolment_text_id"),
)

challenge_text = Table(
    "challenge_text",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=True),
    required("id", LargeBinary),
    optional("group", Text),
    required("text", Text),
    required("whole", Text),
    UniqueConstraint("id", name="challenge_text_id"),
)

search_progress = Table(
    "search_progress",
    metadata,
    Column("noun", Text, primary_key=True),
    required("done", LargeBinary),
)
"""How far each noun's rows are in the index: all up to `done`, but for stragglers, which the job looks for."""
