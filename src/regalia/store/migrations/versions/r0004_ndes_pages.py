"""Pages that hand out challenges as Microsoft's NDES does.

The code before this step goes on working with it: nothing refers to the new table.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_STEPS = """
CREATE TABLE ndes_page (
    endpoint TEXT NOT NULL,
    "user" TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    digits SMALLINT NOT NULL,
    encoding TEXT NOT NULL,
    cache BIGINT NOT NULL,
    per_minute BIGINT NOT NULL,
    networks TEXT NOT NULL,
    certsrv SMALLINT NOT NULL,
    allow_binding SMALLINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (endpoint)
);
CREATE UNIQUE INDEX ndes_page_certsrv ON ndes_page (certsrv) WHERE certsrv = 1;
"""


def upgrade() -> None:
    """Add the table."""
    for statement in _STEPS.split(";\n"):
        if statement.strip():
            op.execute(statement)
