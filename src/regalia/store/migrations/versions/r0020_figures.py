"""What the first page counts.

The code before this step goes on working with it: nothing refers to the new tables, and a job of the code after it
fills them.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0017"

_BY_KEY = {"sqlite": " WITHOUT ROWID", "postgresql": ""}

_TABLES = """
CREATE TABLE figure (
    subject TEXT NOT NULL,
    day BIGINT NOT NULL,
    "group" TEXT NOT NULL,
    part TEXT NOT NULL,
    what TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (subject, day, "group", part, what)
){by_key};
CREATE TABLE figure_count (
    subject TEXT NOT NULL,
    day BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (subject, day)
){by_key}
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in _TABLES.format(by_key=_BY_KEY[op.get_bind().dialect.name]).split(";\n"):
        op.execute(statement)
