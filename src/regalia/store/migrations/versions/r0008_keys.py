"""The inventory of keys: each key that there ever was, also after its end.

The code before this step goes on working with it: nothing refers to the new table, and a key that such code makes is
listed from the vault.
"""

from __future__ import annotations

import hashlib

from alembic import op
from sqlalchemy import text

revision = "0008"
down_revision = "0007"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_TABLE = """
CREATE TABLE key_record (
    id {octets} NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    location TEXT NOT NULL,
    key_sha256 {octets} NOT NULL,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    destroyed_by TEXT,
    PRIMARY KEY (id)
)
"""

_VAULT = text("SELECT id, kind, scope, public_key, created_at FROM wrapped_key")
_MOVED_OUT = text(
    'SELECT a.key_id, a.key_kind, a.kind, a."group", c.key_sha256, a.created_at FROM authority a'
    " JOIN certificate c ON c.id = a.certificate_id"
    " WHERE NOT EXISTS (SELECT 1 FROM wrapped_key w WHERE w.id = a.key_id)"
)
_INSERT = text(
    "INSERT INTO key_record (id, kind, scope, location, key_sha256, created_at)"
    " VALUES (:id, :kind, :scope, :location, :key_sha256, :created_at)"
)


def upgrade() -> None:
    """Add the table; record what lies in the vault, and the keys of authorities that were moved out."""
    connection = op.get_bind()
    op.execute(_TABLE.format(octets=_OCTETS[connection.dialect.name]))
    rows = [
        (row.id, row.kind, row.scope, "software", hashlib.sha256(row.public_key).digest(), row.created_at)
        for row in connection.execute(_VAULT).all()
    ]
    rows += [
        (key_id, key_kind, "ca:root" if kind == "root" else f"ca:group:{group}", "elsewhere", key_sha256, created_at)
        for key_id, key_kind, kind, group, key_sha256, created_at in connection.execute(_MOVED_OUT).all()
    ]
    for row in rows:
        columns = ("id", "kind", "scope", "location", "key_sha256", "created_at")
        connection.execute(_INSERT, dict(zip(columns, row, strict=True)))
