"""Requests of issuing authorities whose certificate a CA elsewhere makes.

The code before this step goes on working with it: nothing refers to the new table.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEP = """
CREATE TABLE authority_request (
    name TEXT NOT NULL,
    id {octets} NOT NULL,
    "group" TEXT NOT NULL,
    parent TEXT,
    key_id {octets} NOT NULL,
    key_kind TEXT NOT NULL,
    info {octets} NOT NULL,
    csr {octets},
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name),
    CONSTRAINT authority_request_id UNIQUE (id)
)
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(_STEP.format(octets=_OCTETS[op.get_bind().dialect.name]))
