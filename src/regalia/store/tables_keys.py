"""Table definitions of keys: our own, where they are, and those that nobody gets a certificate for. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, Table, Text, UniqueConstraint

from regalia.store.table_parts import metadata, optional, required

__all__ = ["key_blocklist", "key_blocklist_piece", "key_record", "own_key", "wrapped_key"]

wrapped_key = Table(
    "wrapped_key",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("kind", Text),
    required("scope", Text),
    required("public_key", LargeBinary),
    required("blob", LargeBinary),
    required("created_at", BigInteger),
)

key_record = Table(
    "key_record",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("kind", Text),
    required("scope", Text),
    required("location", Text),
    required("key_sha256", LargeBinary),
    required("created_at", BigInteger),
    optional("destroyed_at", BigInteger),
    optional("destroyed_by", Text),
)
"""Every key that there ever was; no row is deleted."""

key_blocklist = Table(
    "key_blocklist",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("name", Text),
    required("hashed", Text),
    required("keys", BigInteger),
    required("source_sha256", LargeBinary),
    required("imported_at", BigInteger),
    required("imported_by", Text),
    UniqueConstraint("name", name="key_blocklist_name"),
)

key_blocklist_piece = Table(
    "key_blocklist_piece",
    metadata,
    Column("blocklist_id", LargeBinary, ForeignKey("key_blocklist.id"), primary_key=True),
    Column("first", LargeBinary, primary_key=True),
    required("hashes", LargeBinary),
)
"""Some thousands of truncated hashes in ascending order, and the first of them."""

own_key = Table(
    "own_key",
    metadata,
    Column("key_sha256", LargeBinary, primary_key=True),
    required("purpose", Text),
    required("added_at", BigInteger),
)
"""Keys of our listeners whose certificate no authority of ours made: certified for nobody, like those that one did."""
