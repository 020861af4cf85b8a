"""Alerts, their targets and their outbox; and what jobs did.

The code before this step goes on working with it: nothing refers to the new tables, and the new columns may be empty.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
ALTER TABLE job ADD COLUMN began_at BIGINT;
ALTER TABLE job ADD COLUMN last_began BIGINT;
ALTER TABLE job ADD COLUMN last_success BIGINT;
ALTER TABLE job ADD COLUMN every_ms BIGINT;
ALTER TABLE job ADD COLUMN wanted_at BIGINT;
CREATE TABLE alert (
    id {octets} NOT NULL,
    condition TEXT NOT NULL,
    object TEXT NOT NULL,
    severity TEXT NOT NULL,
    summary TEXT NOT NULL,
    remedy TEXT NOT NULL,
    "group" TEXT,
    opened_at BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    closed_at BIGINT,
    note TEXT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX alert_open ON alert (condition, object) WHERE closed_at IS NULL;
CREATE TABLE alert_target (
    id {octets} NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    sealed {octets} NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT alert_target_name UNIQUE (name)
);
CREATE TABLE alert_delivery (
    id {octets} NOT NULL,
    target {octets} NOT NULL,
    target_name TEXT NOT NULL,
    alert {octets},
    occasion TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    last_at BIGINT,
    last_error TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX alert_delivery_due ON alert_delivery (next_at) WHERE state = 'waiting';
CREATE INDEX event_refused ON event (at) WHERE outcome = 'refused'
"""


def upgrade() -> None:
    """Change the table of jobs and make the new ones."""
    database = op.get_bind().dialect.name
    for statement in _STEPS.format(octets=_OCTETS[database]).split(";\n"):
        op.execute(statement)
