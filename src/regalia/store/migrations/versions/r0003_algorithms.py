"""Old algorithms, keys that cannot decrypt, the challenges that key the answers to their polls, look-up by subject.

The code before this step goes on working with it: the new columns have defaults, and nothing refers to the new table.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
ALTER TABLE endpoint ADD COLUMN legacy SMALLINT DEFAULT 0 NOT NULL;
ALTER TABLE endpoint ADD COLUMN non_rsa SMALLINT DEFAULT 0 NOT NULL;
CREATE INDEX certificate_subject ON certificate (subject);
CREATE TABLE sealed_challenge (
    enrolment_id {octets} NOT NULL,
    sealed {octets} NOT NULL,
    PRIMARY KEY (enrolment_id),
    FOREIGN KEY (enrolment_id) REFERENCES enrolment (id) ON DELETE CASCADE
);
"""


def upgrade() -> None:
    """Add the columns, then the table."""
    for statement in _STEPS.format(octets=_OCTETS[op.get_bind().dialect.name]).split(";\n"):
        if statement.strip():
            op.execute(statement)
