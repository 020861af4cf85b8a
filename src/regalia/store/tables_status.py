"""Table definitions of what ended or suspended certificates, and of CRLs. See `tables`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from regalia.store.table_parts import metadata, optional, required

__all__ = ["OPEN", "compromised_key", "crl", "crl_chunk", "hold", "revocation"]

revocation = Table(
    "revocation",
    metadata,
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), primary_key=True),
    required("authority", Text),
    required("serial", LargeBinary),
    required("not_after", BigInteger),
    required("position", BigInteger),
    required("reason", SmallInteger),
    required("cause", Text),
    required("actor", Text),
    required("at", BigInteger),
    required("note", Text),
    Column("shard", BigInteger, nullable=False, server_default="0"),
    optional("entry", LargeBinary),
    # Everything that a CRL says and asks, in its order: a list is read from here alone.
    Index(
        "revocation_entries",
        "authority",
        "shard",
        "serial",
        "position",
        "not_after",
        "entry",
        sqlite_where=text("entry IS NOT NULL"),
        postgresql_where=text("entry IS NOT NULL"),
    ),
    # The same for rows from before entries were kept.
    Index(
        "revocation_unwritten",
        "authority",
        "shard",
        "serial",
        "position",
        "not_after",
        "at",
        "reason",
        sqlite_where=text("entry IS NULL"),
        postgresql_where=text("entry IS NULL"),
    ),
    Index("revocation_position", "authority", "position"),
    sqlite_with_rowid=False,
)
"""`position` is the authority's counter after this one: a CRL snapshot holds all up to a position. `entry` is the DER
of what a CRL says about it."""

OPEN: Final = 9_223_372_036_854_775_807
"""Where a hold ends that has not ended: beyond every position."""

hold = Table(
    "hold",
    metadata,
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    required("authority", Text),
    required("shard", BigInteger),
    required("serial", LargeBinary),
    required("not_after", BigInteger),
    required("entry", LargeBinary),
    required("cause", Text),
    required("actor", Text),
    required("at", BigInteger),
    required("note", Text),
    Column("ended_position", BigInteger, nullable=False, server_default=str(OPEN)),
    Column("released", SmallInteger, nullable=False, server_default="0"),
    optional("ended_by", Text),
    optional("ended_at", BigInteger),
    optional("ended_note", Text),
    Index(
        "hold_open",
        "certificate_id",
        unique=True,
        sqlite_where=text(f"ended_position = {OPEN}"),
        postgresql_where=text(f"ended_position = {OPEN}"),
    ),
    Index("hold_position", "authority", "position", "ended_position"),
    Index("hold_ended", "authority", "ended_position"),
    sqlite_with_rowid=False,
)
"""Certificates that were on hold, each time: `position` and `ended_position` are those of the authority's counter."""

compromised_key = Table(
    "compromised_key",
    metadata,
    Column("key_sha256", LargeBinary, primary_key=True),
    required("actor", Text),
    required("at", BigInteger),
    required("note", Text),
    sqlite_with_rowid=False,
)
"""Keys that no certificate is issued for again, whatever their certificates were revoked for."""

crl = Table(
    "crl",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("authority", Text),
    required("number", BigInteger),
    required("snapshot", BigInteger),
    required("reserved_at", BigInteger),
    optional("key_id", LargeBinary),
    optional("this_update", BigInteger),
    optional("next_update", BigInteger),
    optional("entries", BigInteger),
    optional("tbs_sha256", LargeBinary),
    optional("tbs_path", Text),
    optional("created_at", BigInteger),
    optional("sha256", LargeBinary),
    optional("published_at", BigInteger),
    Column("shard", BigInteger, nullable=False, server_default="0"),
    Column("base", BigInteger, nullable=True),
    Column("partial", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("authority", "number", name="crl_number"),
)
"""Reserved, then an intent (`tbs_sha256`), then published (`published_at`). `authority` is the CRL's own name, which
for a partial or a delta CRL is longer than its authority's (`model.crl_name`)."""

crl_chunk = Table(
    "crl_chunk",
    metadata,
    Column("crl_id", LargeBinary, ForeignKey("crl.id"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    required("octets", LargeBinary),
)
"""The signed CRL in pieces of at most 256 KiB; only the newest published one of an authority has any."""
