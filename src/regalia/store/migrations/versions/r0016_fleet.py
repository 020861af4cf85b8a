"""Connectors, the devices and users that they report, and what follows from their state.

The code before this step goes on working with it: nothing refers to the new tables, and the new columns may be empty.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

_SPELLINGS = {
    "sqlite": {"octets": "BLOB", "by_key": " WITHOUT ROWID"},
    "postgresql": {"octets": "BYTEA", "by_key": ""},
}

_COLUMNS = """
ALTER TABLE "group" ADD COLUMN follow TEXT DEFAULT '' NOT NULL;
ALTER TABLE endpoint ADD COLUMN connector TEXT;
ALTER TABLE certificate ADD COLUMN device_id {octets};
ALTER TABLE certificate ADD COLUMN user_id {octets};
CREATE INDEX certificate_device_id ON certificate (device_id, id) WHERE device_id IS NOT NULL;
CREATE INDEX certificate_user_id ON certificate (user_id, id) WHERE user_id IS NOT NULL
"""

_CONNECTORS = """
CREATE TABLE connector (
    id {octets} NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    settings TEXT NOT NULL,
    sealed {octets},
    created_at BIGINT NOT NULL,
    secret_set_at BIGINT,
    disabled_at BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT connector_name UNIQUE (name)
);
CREATE TABLE sweep (
    id {octets} NOT NULL,
    connector TEXT NOT NULL,
    is_full SMALLINT NOT NULL,
    began_at BIGINT NOT NULL,
    place TEXT,
    seen BIGINT NOT NULL,
    seen_users BIGINT NOT NULL,
    ended_at BIGINT,
    complete SMALLINT NOT NULL,
    next_delta TEXT,
    why TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX sweep_open ON sweep (connector) WHERE ended_at IS NULL;
CREATE INDEX sweep_ended ON sweep (connector, ended_at, id);
CREATE TABLE connector_notice (
    id {octets} NOT NULL,
    connector TEXT NOT NULL,
    enrolment_id {octets} NOT NULL,
    certificate_id {octets},
    sealed {octets} NOT NULL,
    due_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    told_at BIGINT,
    refused TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT connector_notice_enrolment UNIQUE (enrolment_id)
);
CREATE INDEX connector_notice_due ON connector_notice (due_at, id) WHERE told_at IS NULL
"""

_RECORDS = """
CREATE TABLE device (
    id {octets} NOT NULL,
    connector TEXT NOT NULL,
    external_id TEXT NOT NULL,
    "group" TEXT,
    name TEXT NOT NULL,
    folded {octets} NOT NULL,
    platform TEXT NOT NULL,
    present SMALLINT NOT NULL,
    facts TEXT NOT NULL,
    evidence TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    missed_sweeps BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT device_external_id UNIQUE (connector, external_id)
);
CREATE INDEX device_name ON device (folded, id);
CREATE INDEX device_connector ON device (connector, folded, id);
CREATE INDEX device_group ON device ("group", folded, id);
CREATE INDEX device_present ON device (connector, id) WHERE present = 1;
CREATE TABLE fleet_user (
    id {octets} NOT NULL,
    connector TEXT NOT NULL,
    external_id TEXT NOT NULL,
    name TEXT NOT NULL,
    folded {octets} NOT NULL,
    present SMALLINT NOT NULL,
    facts TEXT NOT NULL,
    evidence TEXT NOT NULL,
    state_since BIGINT NOT NULL,
    first_seen_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    missed_sweeps BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT fleet_user_external_id UNIQUE (connector, external_id)
);
CREATE INDEX fleet_user_name ON fleet_user (folded, id);
CREATE INDEX fleet_user_connector ON fleet_user (connector, folded, id);
CREATE INDEX fleet_user_present ON fleet_user (connector, id) WHERE present = 1
"""

_KEYS = """
CREATE TABLE {noun}_key (
    {noun} {octets} NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    connector TEXT NOT NULL,
    folded {octets} NOT NULL,
    PRIMARY KEY ({noun}, kind, value),
    FOREIGN KEY({noun}) REFERENCES {noun} (id)
){by_key};
CREATE INDEX {noun}_key_value ON {noun}_key (connector, kind, value);
CREATE INDEX {noun}_key_folded ON {noun}_key (folded, {noun})
"""

_FOLLOWING = """
CREATE TABLE certificate_cause (
    id {octets} NOT NULL,
    certificate_id {octets} NOT NULL,
    cause TEXT NOT NULL,
    since BIGINT NOT NULL,
    why TEXT NOT NULL,
    kept_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY(certificate_id) REFERENCES certificate (id)
);
CREATE INDEX certificate_cause_of ON certificate_cause (certificate_id, id);
CREATE UNIQUE INDEX certificate_cause_open ON certificate_cause (certificate_id, cause) WHERE ended_at IS NULL;
CREATE TABLE followed_end (
    id {octets} NOT NULL,
    certificate_id {octets} NOT NULL,
    "group" TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(certificate_id) REFERENCES certificate (id)
);
CREATE INDEX followed_end_at ON followed_end (at);
CREATE TABLE stopped_run (
    id {octets} NOT NULL,
    digest TEXT NOT NULL,
    at BIGINT NOT NULL,
    ends TEXT NOT NULL,
    live TEXT NOT NULL,
    why TEXT NOT NULL,
    shown {octets} NOT NULL,
    let_go_at BIGINT,
    let_go_by TEXT NOT NULL,
    closed_at BIGINT,
    version BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX stopped_run_open ON stopped_run (digest) WHERE closed_at IS NULL
"""


def upgrade() -> None:
    """Make the tables, and say in each certificate whom it is bound to."""
    spelled = _SPELLINGS[op.get_bind().dialect.name]
    nouns = ("device", "fleet_user")
    keys = (_KEYS.format(noun=noun, **spelled) for noun in nouns)
    for part in (*(each.format(**spelled) for each in (_COLUMNS, _CONNECTORS, _RECORDS)), *keys):
        _run(part)
    _run(_FOLLOWING.format(**spelled))


def _run(statements: str) -> None:
    for statement in statements.split(";\n"):
        op.execute(statement)
