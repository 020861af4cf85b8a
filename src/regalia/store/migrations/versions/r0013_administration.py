"""Administrators, sessions, tokens, proposals; and what sign-in remembers."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
CREATE TABLE administrator (
    id {octets} NOT NULL,
    name TEXT NOT NULL,
    display TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    grants TEXT NOT NULL,
    password_hash TEXT,
    totp_sealed {octets},
    totp_last_step BIGINT,
    password_set_at BIGINT,
    last_seen_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT administrator_name UNIQUE (name)
);
CREATE TABLE administrator_passkey (
    credential_id {octets} NOT NULL,
    administrator {octets} NOT NULL,
    place BIGINT NOT NULL,
    public_key {octets} NOT NULL,
    sign_count BIGINT NOT NULL,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (credential_id),
    FOREIGN KEY (administrator) REFERENCES administrator (id)
);
CREATE INDEX administrator_passkey_of ON administrator_passkey (administrator, place);
CREATE TABLE administrator_subject (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    administrator {octets} NOT NULL,
    place BIGINT NOT NULL,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject),
    FOREIGN KEY (administrator) REFERENCES administrator (id)
);
CREATE INDEX administrator_subject_of ON administrator_subject (administrator, place);
CREATE TABLE setup_link (
    secret_sha256 {octets} NOT NULL,
    administrator {octets},
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (secret_sha256)
);
CREATE TABLE admin_session (
    id {octets} NOT NULL,
    secret_sha256 {octets} NOT NULL,
    administrator {octets} NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    ended_at BIGINT,
    granted TEXT,
    PRIMARY KEY (id),
    CONSTRAINT admin_session_secret UNIQUE (secret_sha256)
);
CREATE INDEX admin_session_of ON admin_session (administrator, id);
CREATE TABLE api_token (
    id {octets} NOT NULL,
    name TEXT NOT NULL,
    secret_sha256 {octets} NOT NULL,
    owner {octets},
    grants TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    last_source TEXT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT api_token_secret UNIQUE (secret_sha256)
);
CREATE UNIQUE INDEX api_token_name ON api_token (name) WHERE revoked_at IS NULL;
CREATE TABLE proposal (
    id {octets} NOT NULL,
    verb TEXT NOT NULL,
    asked TEXT NOT NULL,
    summary TEXT NOT NULL,
    "group" TEXT,
    proposed_by TEXT NOT NULL,
    proposer {octets},
    proposed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at BIGINT,
    note TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE kept_answer (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    request_sha256 {octets} NOT NULL,
    status BIGINT NOT NULL,
    body {octets} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX kept_answer_at ON kept_answer (at);
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
