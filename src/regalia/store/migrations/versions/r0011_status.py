"""Holds, partial and delta CRLs, the octets of each entry, and keys that are known to be compromised.

A hold is a row of its own beside the revocations, which stay what they were: final. A hold ends once, by a release or
by a final revocation, which ends it by a trigger. Positions, where a hold begins and ends, come from the counter of its
authority as those of revocations do, so that a snapshot of a CRL knows both.

The code before this step goes on working; it knows no holds and no shards, so use either only when every node runs the
code after it.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

_OPEN = 9_223_372_036_854_775_807
"""Where a hold ends that has not ended: beyond every position."""

_STEPS = f"""
ALTER TABLE authority ADD COLUMN crl_shards BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authority ADD COLUMN crl_lists BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authority ADD COLUMN crl_delta SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE authority ADD COLUMN crl_full SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE certificate ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE crl ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE crl ADD COLUMN base BIGINT;
ALTER TABLE crl ADD COLUMN partial SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE revocation ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revocation ADD COLUMN entry {{octets}};
CREATE INDEX revocation_entries ON revocation (authority, shard, serial, position, not_after, entry)
 WHERE entry IS NOT NULL;
CREATE INDEX revocation_unwritten ON revocation (authority, shard, serial, position, not_after, at, reason)
 WHERE entry IS NULL;
CREATE INDEX revocation_position ON revocation (authority, position);
DROP INDEX revocation_listed;
CREATE TABLE hold (
    certificate_id {{octets}} NOT NULL,
    position BIGINT NOT NULL,
    authority TEXT NOT NULL,
    shard BIGINT NOT NULL,
    serial {{octets}} NOT NULL,
    not_after BIGINT NOT NULL,
    entry {{octets}} NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL,
    ended_position BIGINT NOT NULL DEFAULT {_OPEN},
    released SMALLINT NOT NULL DEFAULT 0,
    ended_by TEXT,
    ended_at BIGINT,
    ended_note TEXT,
    PRIMARY KEY (certificate_id, position),
    FOREIGN KEY (certificate_id) REFERENCES certificate (id)
){{compact}};
CREATE UNIQUE INDEX hold_open ON hold (certificate_id) WHERE ended_position = {_OPEN};
CREATE INDEX hold_position ON hold (authority, position, ended_position);
CREATE INDEX hold_ended ON hold (authority, ended_position);
CREATE TABLE compromised_key (
    key_sha256 {{octets}} NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (key_sha256)
){{compact}}
"""
_SPELLINGS = {
    "sqlite": {"octets": "BLOB", "compact": " WITHOUT ROWID"},
    "postgresql": {"octets": "BYTEA", "compact": ""},
}

_KEPT = ("certificate_id", "position", "authority", "shard", "serial", "not_after", "entry", "cause", "actor", "at")
_END_CHANGED = (
    f"OLD.ended_position <> {_OPEN} OR NEW.ended_position = {_OPEN} OR NEW.ended_position <= OLD.position"
    " OR NEW.ended_at IS NULL OR NEW.note <> OLD.note OR "
) + " OR ".join(f"NEW.{column} <> OLD.{column}" for column in _KEPT)
_NOT_HOLDABLE = (
    f"NEW.ended_position = {_OPEN} AND ("  # noqa: S608 - a number of ours
    "EXISTS (SELECT 1 FROM revocation WHERE certificate_id = NEW.certificate_id)"
    " OR NOT EXISTS (SELECT 1 FROM certificate WHERE id = NEW.certificate_id AND state = 'issued'))"
)
"""One that has ended is history, and comes back with a backup."""
_END_WITH_REVOCATION = (
    "UPDATE hold SET ended_position = NEW.position, ended_by = NEW.actor,"  # noqa: S608 - a number of ours
    " ended_at = NEW.at, ended_note = NEW.note"
    f" WHERE certificate_id = NEW.certificate_id AND ended_position = {_OPEN};"
)

_REFUSED = (
    ("hold_ends_once", "UPDATE", "hold", _END_CHANGED, "a hold ends once and is otherwise what it was"),
    ("hold_stays", "DELETE", "hold", "1 = 1", "a hold that was is not forgotten"),
    ("compromised_key_stays", "UPDATE", "compromised_key", "1 = 1", "a compromise is not taken back"),
    ("compromised_key_is_kept", "DELETE", "compromised_key", "1 = 1", "a compromise is not taken back"),
    ("revocation_is_final", "INSERT", "revocation", "NEW.reason IN (6, 8)", "a hold is no revocation"),
    ("certificate_keeps_its_list", "UPDATE", "certificate", "NEW.shard <> OLD.shard", "the list is in the certificate"),
)
"""Name, what is refused, of which table, when, and why: for each row."""


def upgrade() -> None:
    """Make columns, indexes and the table, then the triggers."""
    database = op.get_bind().dialect.name
    for statement in _STEPS.format_map(_SPELLINGS[database]).split(";\n"):
        op.execute(statement)
    if database == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()


def _sqlite_triggers() -> None:
    for name, change, table, condition, why in _REFUSED:
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {change} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{why}'); END"
        )
    op.execute(
        f"CREATE TRIGGER hold_begins BEFORE INSERT ON hold WHEN {_NOT_HOLDABLE}"
        " BEGIN SELECT RAISE(ABORT, 'revoked is final'); END"
    )
    op.execute(f"CREATE TRIGGER revocation_ends_hold AFTER INSERT ON revocation BEGIN {_END_WITH_REVOCATION} END")


def _postgresql_triggers() -> None:
    for name, change, table, condition, why in _REFUSED:
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION regalia_refuse('{why}')"
        )
    op.execute(
        "CREATE FUNCTION regalia_hold_begins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {_NOT_HOLDABLE} THEN RAISE EXCEPTION 'revoked is final' USING ERRCODE = 'restrict_violation'; END IF;"
        " RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER hold_begins BEFORE INSERT ON hold FOR EACH ROW EXECUTE FUNCTION regalia_hold_begins()")
    op.execute(
        "CREATE FUNCTION regalia_revocation_ends_hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" {_END_WITH_REVOCATION} RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER revocation_ends_hold AFTER INSERT ON revocation"
        " FOR EACH ROW EXECUTE FUNCTION regalia_revocation_ends_hold()"
    )
    for table in ("hold", "compromised_key"):
        op.execute(
            f"CREATE TRIGGER final_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION regalia_refuse('nothing is emptied')"
        )
