"""What searches look into, and the indexes of lists by group.

The code before this step goes on working with it: a job of the code after it fills the new tables, and triggers take
out of them what is forgotten, whoever forgets it. On PostgreSQL it needs the extension pg_trgm, which the owner of a
database may create; where somebody else has created it, no right is needed.
"""

from __future__ import annotations

import hashlib

from alembic import op

revision = "0014"
down_revision = "0013"

_SPELLINGS = {
    "sqlite": {"octets": "BLOB", "counted": "INTEGER"},
    "postgresql": {"octets": "BYTEA", "counted": "BIGSERIAL"},
}
_NOUNS = {
    "certificate": "",
    "enrolment": ",\n    FOREIGN KEY(id) REFERENCES enrolment (id) ON DELETE CASCADE",
    "challenge": "",
}
"""With what refers to the rows that the text is about: those of enrolments are deleted one day."""

_TABLE = """
CREATE TABLE {noun}_text (
    position {counted} NOT NULL,
    id {octets} NOT NULL,
    "group" TEXT,
    text TEXT NOT NULL,
    whole TEXT NOT NULL,
    PRIMARY KEY (position),
    CONSTRAINT {noun}_text_id UNIQUE (id){reference}
)
"""
_PROGRESS = """
CREATE TABLE search_progress (
    noun TEXT NOT NULL,
    done {octets} NOT NULL,
    PRIMARY KEY (noun)
)
"""
_BY_GROUP = (
    'CREATE INDEX certificate_group ON certificate ("group", id)',
    'CREATE INDEX enrolment_group ON enrolment ("group", id)',
)

_FORGOTTEN = {
    "enrolment": ("asked", "allowed", "source", "lineage"),
    "challenge": ("binding", "device", "created_by"),
}
"""Where one of these columns changes, what was made of them goes."""

_LOCK = int.from_bytes(hashlib.sha256(b"search").digest()[:8], "big", signed=True)
"""What `Transaction.one_at_a_time` makes of the name that the job takes: it must not write what is forgotten now."""


def upgrade() -> None:
    """Add the tables, then what keeps their indexes."""
    database = op.get_bind().dialect.name
    spelled = _SPELLINGS[database]
    for noun, reference in _NOUNS.items():
        op.execute(_TABLE.format(noun=noun, reference=reference, **spelled))
    op.execute(_PROGRESS.format(**spelled))
    for statement in _BY_GROUP:
        op.execute(statement)
    if database == "sqlite":
        _sqlite()
    else:
        _postgresql()


def _sqlite() -> None:
    for noun in _NOUNS:
        op.execute(
            f"CREATE VIRTUAL TABLE {noun}_words USING fts5(text, content='{noun}_text', content_rowid='position',"
            " tokenize='trigram case_sensitive 1', columnsize=0)"
        )
        op.execute(
            f"CREATE TRIGGER {noun}_words_in AFTER INSERT ON {noun}_text BEGIN"  # noqa: S608 - words of ours, no values
            f" INSERT INTO {noun}_words (rowid, text) VALUES (NEW.position, NEW.text); END"
        )
        op.execute(
            f"CREATE TRIGGER {noun}_words_out AFTER DELETE ON {noun}_text BEGIN"  # noqa: S608 - words of ours, no values
            f" INSERT INTO {noun}_words ({noun}_words, rowid, text) VALUES ('delete', OLD.position, OLD.text); END"
        )
    for noun, columns in _FORGOTTEN.items():
        differs = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in columns)
        op.execute(
            f"CREATE TRIGGER {noun}_text_out AFTER UPDATE OF {', '.join(columns)} ON {noun} WHEN {differs} BEGIN"  # noqa: S608 - words of ours, no values
            f" DELETE FROM {noun}_text WHERE id = NEW.id; END"
        )


def _postgresql() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for noun in _NOUNS:
        op.execute(f"CREATE INDEX {noun}_words ON {noun}_text USING gin (text gin_trgm_ops)")
    for noun, columns in _FORGOTTEN.items():
        differs = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)
        op.execute(
            f"CREATE FUNCTION regalia_forget_{noun}_text() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"  # noqa: S608 - words of ours, no values
            f" PERFORM pg_advisory_xact_lock({_LOCK}); DELETE FROM {noun}_text WHERE id = NEW.id; RETURN NULL;"
            " END $$"
        )
        op.execute(
            f"CREATE TRIGGER {noun}_text_out AFTER UPDATE OF {', '.join(columns)} ON {noun} FOR EACH ROW"
            f" WHEN ({differs}) EXECUTE FUNCTION regalia_forget_{noun}_text()"
        )
