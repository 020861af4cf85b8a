"""Lists of blocked keys, the keys of our own listeners, and an index of what has not expired.

The code before this step goes on working with it: nothing refers to the new tables.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
CREATE TABLE key_blocklist (
    id {octets} NOT NULL,
    name TEXT NOT NULL,
    hashed TEXT NOT NULL,
    keys BIGINT NOT NULL,
    source_sha256 {octets} NOT NULL,
    imported_at BIGINT NOT NULL,
    imported_by TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT key_blocklist_name UNIQUE (name)
);
CREATE TABLE key_blocklist_piece (
    blocklist_id {octets} NOT NULL,
    first {octets} NOT NULL,
    hashes {octets} NOT NULL,
    PRIMARY KEY (blocklist_id, first),
    FOREIGN KEY(blocklist_id) REFERENCES key_blocklist (id)
);
CREATE TABLE own_key (
    key_sha256 {octets} NOT NULL,
    purpose TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (key_sha256)
);
CREATE INDEX certificate_end ON certificate (not_after, id);
"""


def upgrade() -> None:
    """Add the tables."""
    dialect = op.get_bind().dialect.name
    steps = _STEPS.format(octets=_OCTETS[dialect])
    for statement in steps.split(";\n"):
        if statement.strip():
            op.execute(statement)
