"""Administrators, sessions, tokens, proposals; and what sign-in remembers."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
CREATE TABLE sign_in_try (
    subject TEXT NOT NULL,
    tries BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (subject)
);
CREATE TABLE sign_in_spent (
    digest {octets} NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (digest)
);
"""


def upgrade() -> None:
    """Add the tables."""
    dialect = op.get_bind().dialect.name
    steps = _STEPS.format(octets=_OCTETS[dialect])
    for statement in steps.split(";\n"):
        if statement.strip():
            op.execute(statement)
