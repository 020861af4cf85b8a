"""Table definitions of alerts, their targets and their outbox. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, UniqueConstraint, text

from regalia.store.table_parts import metadata, optional, required

__all__ = ["alert", "alert_delivery", "alert_target"]

alert = Table(
    "alert",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("condition", Text),
    required("object", Text),
    required("severity", Text),
    required("summary", Text),
    required("remedy", Text),
    optional("group", Text),
    required("opened_at", BigInteger),
    required("told_at", BigInteger),
    optional("closed_at", BigInteger),
    required("note", Text),
    optional("acknowledged_at", BigInteger),
    required("acknowledged_by", Text),
    # What is wrong is told once, however many see it.
    Index(
        "alert_open",
        "condition",
        "object",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
)

alert_target = Table(
    "alert_target",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("name", Text),
    required("kind", Text),
    required("address", Text),
    required("sealed", LargeBinary),
    required("created_at", BigInteger),
    required("created_by", Text),
    UniqueConstraint("name", name="alert_target_name"),
)

alert_delivery = Table(
    "alert_delivery",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("target", LargeBinary),
    required("target_name", Text),
    optional("alert", LargeBinary),
    required("occasion", Text),
    required("body", Text),
    required("created_at", BigInteger),
    required("next_at", BigInteger),
    required("state", Text),
    required("attempts", BigInteger),
    optional("last_at", BigInteger),
    required("last_error", Text),
    Index(
        "alert_delivery_due",
        "next_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)
"""Of a message that is being sent, `next_at` is when another process may take it over."""
