"""Table definitions of what sign-in remembers. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from regalia.store.table_parts import metadata, required

__all__ = ["sign_in_spent", "sign_in_try"]

sign_in_try = Table(
    "sign_in_try",
    metadata,
    Column("subject", Text, primary_key=True),
    required("tries", BigInteger),
    required("last_at", BigInteger),
)

sign_in_spent = Table(
    "sign_in_spent",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    required("until_at", BigInteger),
)
