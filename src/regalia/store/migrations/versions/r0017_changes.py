"""When records of devices and users last changed, and whose devices are: what is read between two whole runs.

The code before this step goes on working with it: what it writes is read by the whole run of every hour.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

_USER = {"sqlite": "json_extract(facts, '$.user')", "postgresql": "facts::json ->> 'user'"}

_CHANGES = """
ALTER TABLE device ADD COLUMN changed_at BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE device ADD COLUMN owner TEXT;
ALTER TABLE fleet_user ADD COLUMN changed_at BIGINT DEFAULT 0 NOT NULL;
UPDATE device SET owner = {user};
CREATE INDEX device_changed ON device (changed_at);
CREATE INDEX device_owner ON device (connector, owner) WHERE owner IS NOT NULL;
CREATE INDEX fleet_user_changed ON fleet_user (changed_at)
"""


def upgrade() -> None:
    """Add the columns, and say of each device whose it is."""
    for statement in _CHANGES.format(user=_USER[op.get_bind().dialect.name]).split(";\n"):
        op.execute(statement)
