"""Authorities that take over at a time, credentials whose key is gone, groups that are suspended.

The code before this step goes on working with it: each new column is null or has a default.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_STEPS = (
    "ALTER TABLE authority ADD COLUMN state_since BIGINT",
    "ALTER TABLE authority ADD COLUMN activates_at BIGINT",
    "ALTER TABLE credential ADD COLUMN ended_at BIGINT",
    'ALTER TABLE "group" ADD COLUMN suspended_at BIGINT',
    "ALTER TABLE \"group\" ADD COLUMN suspended_why TEXT DEFAULT '' NOT NULL",
)


def upgrade() -> None:
    """Add the columns."""
    for statement in _STEPS:
        op.execute(statement)
