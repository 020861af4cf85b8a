"""An index that holds all of what a CRL says, instead of one that only finds its rows.

That a certificate is revoked but once is what the table's primary key says, so the index need not. The code before this
step goes on working with it.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_STEPS = """
CREATE INDEX revocation_listed ON revocation (authority, serial, position, not_after, at, reason);
DROP INDEX revocation_serial;
"""


def upgrade() -> None:
    """Make the one, drop the other."""
    for statement in _STEPS.split(";\n"):
        if statement.strip():
            op.execute(statement)
