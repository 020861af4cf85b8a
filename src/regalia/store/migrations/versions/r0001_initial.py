"""The first schema.

SQL as the databases read it; what they spell differently stands in braces. The triggers hold what no program is
trusted with: a revocation and an event are final, a certificate's end state too, and no number goes back.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None

_SPELLINGS = {
    "sqlite": {"octets": "BLOB", "counted": "INTEGER", "compact": " WITHOUT ROWID"},
    "postgresql": {"octets": "BYTEA", "counted": "BIGSERIAL", "compact": ""},
}

_TABLES = """
CREATE TABLE authority (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT,
    "group" TEXT,
    state TEXT NOT NULL,
    key_id {octets} NOT NULL,
    key_kind TEXT NOT NULL,
    certificate_id {octets} NOT NULL,
    certificate_der {octets} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE authority_counter (
    authority TEXT NOT NULL,
    revocations BIGINT NOT NULL,
    crl_number BIGINT NOT NULL,
    PRIMARY KEY (authority)
);
CREATE TABLE credential (
    id {octets} NOT NULL,
    purpose TEXT NOT NULL,
    "group" TEXT NOT NULL,
    authority TEXT NOT NULL,
    key_id {octets} NOT NULL,
    certificate_id {octets} NOT NULL,
    certificate_der {octets} NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX credential_authority ON credential (authority, purpose, id);
CREATE INDEX credential_group ON credential ("group", purpose, id);
CREATE TABLE "group" (
    name TEXT NOT NULL,
    authority TEXT NOT NULL,
    debug SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE profile (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    "group" TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE TABLE endpoint (
    name TEXT NOT NULL,
    "group" TEXT NOT NULL,
    protocol TEXT NOT NULL,
    profile TEXT NOT NULL,
    authoriser TEXT NOT NULL,
    enabled SMALLINT NOT NULL,
    include_root SMALLINT NOT NULL,
    check_signing_time SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE challenge (
    id {octets} NOT NULL,
    endpoint TEXT NOT NULL,
    mac {octets} NOT NULL,
    binding TEXT NOT NULL,
    device TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    consumed_at BIGINT,
    consumed_by {octets},
    consumed_key {octets},
    consumed_source TEXT,
    PRIMARY KEY (id),
    CONSTRAINT challenge_mac UNIQUE (mac)
){compact};
CREATE INDEX challenge_endpoint ON challenge (endpoint, id);
CREATE TABLE enrolment (
    id {octets} NOT NULL,
    open_key {octets},
    endpoint TEXT NOT NULL,
    transaction_id {octets} NOT NULL,
    key_sha256 {octets} NOT NULL,
    signer_serial {octets},
    challenge_mac {octets},
    "group" TEXT NOT NULL,
    profile TEXT NOT NULL,
    profile_version BIGINT NOT NULL,
    state TEXT NOT NULL,
    asked TEXT NOT NULL,
    allowed TEXT NOT NULL,
    csr {octets} NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    chain {octets},
    generation BIGINT,
    lineage TEXT,
    certificate_id {octets},
    reason_id TEXT,
    detail TEXT NOT NULL,
    stages TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE UNIQUE INDEX enrolment_open ON enrolment (open_key) WHERE open_key IS NOT NULL;
CREATE INDEX enrolment_transaction ON enrolment (transaction_id, endpoint) WHERE signer_serial IS NULL;
CREATE INDEX enrolment_chain ON enrolment (chain, generation) WHERE generation > 0;
CREATE INDEX enrolment_refused ON enrolment (created_at) WHERE state = 'refused';
CREATE TABLE certificate (
    id {octets} NOT NULL,
    kind TEXT NOT NULL,
    authority TEXT NOT NULL,
    key_id {octets} NOT NULL,
    serial {octets} NOT NULL,
    "group" TEXT,
    profile TEXT,
    profile_version BIGINT,
    subject TEXT NOT NULL,
    names TEXT NOT NULL,
    device TEXT,
    unverified SMALLINT NOT NULL,
    key_sha256 {octets} NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    enrolment_id {octets},
    generation BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    issued_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT certificate_serial UNIQUE (serial, authority)
){compact};
CREATE INDEX certificate_key ON certificate (key_sha256);
CREATE INDEX certificate_intent ON certificate (lease_until) WHERE state = 'intent';
CREATE INDEX certificate_own ON certificate (id) WHERE kind <> 'leaf';
CREATE TABLE certificate_tbs (
    certificate_id {octets} NOT NULL,
    tbs {octets} NOT NULL,
    PRIMARY KEY (certificate_id),
    FOREIGN KEY (certificate_id) REFERENCES certificate (id)
){compact};
CREATE TABLE certificate_der (
    certificate_id {octets} NOT NULL,
    der {octets} NOT NULL,
    PRIMARY KEY (certificate_id),
    FOREIGN KEY (certificate_id) REFERENCES certificate (id)
){compact};
CREATE TABLE revocation (
    certificate_id {octets} NOT NULL,
    authority TEXT NOT NULL,
    serial {octets} NOT NULL,
    not_after BIGINT NOT NULL,
    position BIGINT NOT NULL,
    reason SMALLINT NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (certificate_id),
    FOREIGN KEY (certificate_id) REFERENCES certificate (id)
){compact};
CREATE UNIQUE INDEX revocation_serial ON revocation (authority, serial);
CREATE TABLE crl (
    id {octets} NOT NULL,
    authority TEXT NOT NULL,
    number BIGINT NOT NULL,
    snapshot BIGINT NOT NULL,
    reserved_at BIGINT NOT NULL,
    key_id {octets},
    this_update BIGINT,
    next_update BIGINT,
    entries BIGINT,
    tbs_sha256 {octets},
    tbs_path TEXT,
    created_at BIGINT,
    sha256 {octets},
    published_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT crl_number UNIQUE (authority, number)
);
CREATE TABLE event_stream (
    name TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    hash {octets} NOT NULL,
    holder {octets} NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (name)
){compact};
CREATE TABLE event (
    position {counted} NOT NULL,
    stream TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    previous {octets} NOT NULL,
    hash {octets} NOT NULL,
    record TEXT NOT NULL,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    "group" TEXT,
    outcome TEXT NOT NULL,
    security SMALLINT NOT NULL,
    serial TEXT,
    transaction_id TEXT,
    PRIMARY KEY (position),
    CONSTRAINT event_sequence UNIQUE (stream, sequence)
);
CREATE INDEX event_object ON event (object, position);
CREATE INDEX event_security ON event (position) WHERE security = 1;
CREATE TABLE job (
    name TEXT NOT NULL,
    holder TEXT,
    lease_until BIGINT NOT NULL,
    last_run BIGINT,
    last_error TEXT NOT NULL,
    PRIMARY KEY (name)
);
CREATE TABLE wrapped_key (
    id {octets} NOT NULL,
    kind TEXT NOT NULL,
    scope TEXT NOT NULL,
    public_key {octets} NOT NULL,
    blob {octets} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);
"""

_NOTICES = {
    "sqlite": "CREATE TABLE change (sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
    ' "key" TEXT NOT NULL)',
    "postgresql": "CREATE TABLE change (sequence BIGSERIAL NOT NULL PRIMARY KEY, topic TEXT NOT NULL,"
    " key TEXT NOT NULL)",
}

_FINAL = (
    ("revocation", "UPDATE", None, "a revocation is final"),
    ("revocation", "DELETE", None, "a revocation is final"),
    ("event", "UPDATE", None, "an event is final"),
    ("event", "DELETE", None, "an event is final"),
    ("event_stream", "UPDATE", "NEW.sequence < OLD.sequence", "a stream does not get shorter"),
    ("event_stream", "DELETE", None, "a stream does not get shorter"),
    (
        "certificate",
        "UPDATE",
        "NEW.state <> OLD.state AND (OLD.state <> 'intent' OR NEW.state NOT IN ('issued', 'abandoned'))",
        "issued and abandoned are final",
    ),
    (
        "certificate",
        "UPDATE",
        "NEW.serial <> OLD.serial OR NEW.authority <> OLD.authority",
        "a serial is never used again",
    ),
    ("certificate", "DELETE", None, "a serial is never used again"),
    (
        "authority_counter",
        "UPDATE",
        "NEW.crl_number < OLD.crl_number OR NEW.revocations < OLD.revocations",
        "an authority does not count down",
    ),
    ("authority_counter", "DELETE", None, "an authority does not count down"),
    ("crl", "UPDATE", "NEW.number <> OLD.number OR NEW.authority <> OLD.authority", "CRL numbers only rise"),
)
"""Table, what is refused, when (always where None), and why: for each row."""

_NUMBER_TOO_LOW = "NEW.number <= (SELECT max(number) FROM crl WHERE authority = NEW.authority)"

_REFUSE = """
CREATE FUNCTION regalia_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END $$
"""
_REFUSE_LOW_NUMBER = f"""
CREATE FUNCTION regalia_refuse_low_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {_NUMBER_TOO_LOW} THEN
        RAISE EXCEPTION 'CRL numbers only rise' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Make the tables, then the triggers."""
    database = op.get_bind().dialect.name
    for statement in _TABLES.format_map(_SPELLINGS[database]).split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(_NOTICES[database])
    if database == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()


def _sqlite_triggers() -> None:
    for number, (table, change, condition, why) in enumerate(_FINAL):
        when = f" WHEN {condition}" if condition else ""
        _sqlite_trigger(f"final_{number} BEFORE {change} ON {table}{when}", why)
    _sqlite_trigger(f"crl_number_rises BEFORE INSERT ON crl WHEN {_NUMBER_TOO_LOW}", "CRL numbers only rise")


def _sqlite_trigger(head: str, why: str) -> None:
    op.execute(f"CREATE TRIGGER {head} BEGIN SELECT RAISE(ABORT, '{why}'); END")


def _postgresql_triggers() -> None:
    op.execute(_REFUSE)
    op.execute(_REFUSE_LOW_NUMBER)
    for number, (table, change, condition, why) in enumerate(_FINAL):
        when = f" WHEN ({condition})" if condition else ""
        op.execute(
            f"CREATE TRIGGER final_{number} BEFORE {change} ON {table}"
            f" FOR EACH ROW{when} EXECUTE FUNCTION regalia_refuse('{why}')"
        )
    for table in ("revocation", "event", "event_stream", "certificate", "authority_counter"):
        op.execute(
            f"CREATE TRIGGER final_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION regalia_refuse('nothing is emptied')"
        )
    op.execute(
        "CREATE TRIGGER crl_number_rises BEFORE INSERT ON crl FOR EACH ROW EXECUTE FUNCTION regalia_refuse_low_number()"
    )
