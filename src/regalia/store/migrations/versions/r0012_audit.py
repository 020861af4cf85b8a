"""Checkpoints of the log and their keys, and personal data that can be forgotten.

The code before this step goes on working with it: the new column may be empty, nothing refers to the new tables, and
the triggers that are made anew refuse all that they refused but the removal of personal data.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
ALTER TABLE event ADD COLUMN personal TEXT;
CREATE TABLE checkpoint (
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    key_number BIGINT NOT NULL,
    record TEXT NOT NULL,
    hash {octets} NOT NULL,
    signature {octets} NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE checkpoint_key (
    number BIGINT NOT NULL,
    key_id {octets} NOT NULL,
    public_key {octets} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE pseudonym_key (
    number BIGINT NOT NULL,
    sealed {octets},
    created_at BIGINT NOT NULL,
    until BIGINT NOT NULL,
    destroyed_at BIGINT,
    PRIMARY KEY (number)
);
CREATE TABLE retention (
    name TEXT NOT NULL,
    done {octets} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (name)
);
"""

_EVENT = (
    'position, stream, sequence, previous, hash, record, at, action, object, "group", outcome, security, serial,'
    " transaction_id"
)
_CHALLENGE = "id, endpoint, mac, created_at, expires_at, revoked_at, consumed_at, consumed_by, consumed_key, reusable"
_NO_NAMES = r'{"cn"\:null,"sans"\:[]}'
"""The colons would begin parameters otherwise."""


def _differ(columns: str, other: str) -> str:
    new, old = (", ".join(f"{row}.{name.strip()}" for name in columns.split(",")) for row in ("NEW", "OLD"))
    return f"({new}) {other} ({old})"


def _finals(other: str) -> tuple[tuple[str, str, str, str | None, str], ...]:
    """Trigger, change, table, when it refuses (always where None), and why; `other` is how two rows are told apart."""
    used = (
        f"OLD.consumed_at IS NOT NULL AND ({_differ(_CHALLENGE, other)}"
        f" OR NEW.consumed_source <> '' AND {_differ('consumed_source', other)}"
        f" OR NEW.created_by <> '' AND {_differ('created_by', other)}"
        f" OR NEW.device IS NOT NULL AND {_differ('device', other)}"
        f" OR NEW.binding <> '{_NO_NAMES}' AND {_differ('binding', other)})"
    )
    return (
        (
            "final_2",
            "UPDATE",
            "event",
            f"NEW.personal IS NOT NULL OR {_differ(_EVENT, other)}",
            "an event is final",
        ),
        (
            "challenge_used_once",
            "UPDATE",
            "challenge",
            f"{used} OR OLD.reusable = 1 AND NEW.consumed_at IS NOT NULL",
            "a challenge is used once, and a static one never used up",
        ),
        ("checkpoint_final", "UPDATE", "checkpoint", None, "a checkpoint is final"),
        ("checkpoint_kept", "DELETE", "checkpoint", None, "a checkpoint is final"),
        ("checkpoint_key_final", "UPDATE", "checkpoint_key", None, "what signed checkpoints is final"),
        ("checkpoint_key_kept", "DELETE", "checkpoint_key", None, "what signed checkpoints is final"),
        (
            "pseudonym_key_destroyed",
            "UPDATE",
            "pseudonym_key",
            f"OLD.sealed IS NULL OR {_differ('number, created_at', other)}",
            "a key that was destroyed stays so",
        ),
        ("pseudonym_key_kept", "DELETE", "pseudonym_key", None, "that there was a key is not forgotten"),
    )


def upgrade() -> None:
    """Change the tables, then the triggers."""
    database = op.get_bind().dialect.name
    for statement in _STEPS.format(octets=_OCTETS[database]).split(";\n"):
        if statement.strip():
            op.execute(statement)
    if database == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _sqlite() -> None:
    op.execute("DROP TRIGGER final_2")
    op.execute("DROP TRIGGER challenge_used_once")
    for name, change, table, condition, why in _finals("IS NOT"):
        when = f" WHEN {condition}" if condition else ""
        op.execute(f"CREATE TRIGGER {name} BEFORE {change} ON {table}{when} BEGIN SELECT RAISE(ABORT, '{why}'); END")


def _postgresql() -> None:
    op.execute("DROP TRIGGER final_2 ON event")
    op.execute("DROP TRIGGER challenge_used_once ON challenge")
    for name, change, table, condition, why in _finals("IS DISTINCT FROM"):
        when = f" WHEN ({condition})" if condition else ""
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {change} ON {table}"
            f" FOR EACH ROW{when} EXECUTE FUNCTION regalia_refuse('{why}')"
        )
    for table in ("checkpoint", "checkpoint_key", "pseudonym_key"):
        op.execute(
            f"CREATE TRIGGER final_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION regalia_refuse('nothing is emptied')"
        )
