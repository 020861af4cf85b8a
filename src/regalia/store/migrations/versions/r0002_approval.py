"""Approval, static challenges, quotas, and CRLs that every node can copy.

The code before this step goes on working with it: the new column has a default, and nothing that code writes is
refused that was right before.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_OCTETS = {"sqlite": "BLOB", "postgresql": "BYTEA"}

_STEPS = """
ALTER TABLE challenge ADD COLUMN reusable SMALLINT DEFAULT 0 NOT NULL;
DROP INDEX enrolment_refused;
CREATE INDEX enrolment_refused ON enrolment (updated_at) WHERE state = 'refused';
CREATE INDEX enrolment_pending ON enrolment ("group") WHERE state = 'pending';
CREATE INDEX enrolment_pending_since ON enrolment (created_at) WHERE state = 'pending';
CREATE INDEX certificate_device ON certificate (device, created_at) WHERE device IS NOT NULL;
CREATE TABLE crl_chunk (
    crl_id {octets} NOT NULL,
    position BIGINT NOT NULL,
    octets {octets} NOT NULL,
    PRIMARY KEY (crl_id, position),
    FOREIGN KEY (crl_id) REFERENCES crl (id)
);
"""

_SIGNED = "what was or may have been signed is final"

_FINAL = (
    (
        "challenge_used_once",
        "UPDATE ON challenge",
        "OLD.consumed_at IS NOT NULL OR OLD.reusable = 1 AND NEW.consumed_at IS NOT NULL",
        "a challenge is used once, and a static one never used up",
    ),
    ("crl_final", "UPDATE ON crl", "OLD.published_at IS NOT NULL", "a published CRL is final"),
    ("tbs_unchanged", "UPDATE ON certificate_tbs", None, _SIGNED),
    ("tbs_kept", "DELETE ON certificate_tbs", None, _SIGNED),
    ("der_unchanged", "UPDATE ON certificate_der", None, _SIGNED),
    ("der_kept", "DELETE ON certificate_der", None, _SIGNED),
)
"""Trigger, what is refused, when (always where None), and why: for each row."""

_OVERTAKEN = (
    "EXISTS (SELECT 1 FROM crl WHERE authority = NEW.authority AND number > NEW.number AND published_at IS NOT NULL)"
)

_REFUSE_OVERTAKEN = f"""
CREATE FUNCTION regalia_refuse_overtaken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {_OVERTAKEN} THEN
        RAISE EXCEPTION 'CRL numbers only rise' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Change the tables, then add the triggers."""
    database = op.get_bind().dialect.name
    for statement in _STEPS.format(octets=_OCTETS[database]).split(";\n"):
        if statement.strip():
            op.execute(statement)
    if database == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _sqlite() -> None:
    for name, change, condition, why in _FINAL:
        when = f" WHEN {condition}" if condition else ""
        _sqlite_trigger(f"{name} BEFORE {change}{when}", why)
    _sqlite_trigger(
        f"crl_overtaken BEFORE UPDATE ON crl WHEN NEW.published_at IS NOT NULL AND {_OVERTAKEN}",
        "CRL numbers only rise",
    )


def _sqlite_trigger(head: str, why: str) -> None:
    op.execute(f"CREATE TRIGGER {head} BEGIN SELECT RAISE(ABORT, '{why}'); END")


def _postgresql() -> None:
    # A CRL's octets are as good as random: trying to compress them is lost time.
    op.execute("ALTER TABLE crl_chunk ALTER COLUMN octets SET STORAGE EXTERNAL")
    for name, change, condition, why in _FINAL:
        when = f" WHEN ({condition})" if condition else ""
        op.execute(f"CREATE TRIGGER {name} BEFORE {change} FOR EACH ROW{when} EXECUTE FUNCTION regalia_refuse('{why}')")
    for table in ("certificate_tbs", "certificate_der"):
        op.execute(
            f"CREATE TRIGGER final_all BEFORE TRUNCATE ON {table} EXECUTE FUNCTION regalia_refuse('nothing is emptied')"
        )
    op.execute(_REFUSE_OVERTAKEN)
    op.execute(
        "CREATE TRIGGER crl_overtaken BEFORE UPDATE ON crl"
        " FOR EACH ROW WHEN (NEW.published_at IS NOT NULL) EXECUTE FUNCTION regalia_refuse_overtaken()"
    )
