"""Table definitions of who administers. See `tables`.

Secrets are here as their SHA-256 only; `grants` and `granted` are JSON, each grant as its role and the groups in which
it counts, null for everywhere.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text, UniqueConstraint, text

from regalia.store.table_parts import metadata, optional, required

__all__ = [
    "admin_session",
    "administrator",
    "administrator_passkey",
    "administrator_subject",
    "api_token",
    "kept_answer",
    "proposal",
    "setup_link",
]

administrator = Table(
    "administrator",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("name", Text),
    required("display", Text),
    required("state", Text),
    required("created_at", BigInteger),
    required("created_by", Text),
    required("grants", Text),
    optional("password_hash", Text),
    optional("totp_sealed", LargeBinary),
    optional("totp_last_step", BigInteger),
    optional("password_set_at", BigInteger),
    optional("last_seen_at", BigInteger),
    UniqueConstraint("name", name="administrator_name"),
)

administrator_passkey = Table(
    "administrator_passkey",
    metadata,
    Column("credential_id", LargeBinary, primary_key=True),
    Column("administrator", LargeBinary, ForeignKey("administrator.id"), nullable=False),
    required("place", BigInteger),
    required("public_key", LargeBinary),
    required("sign_count", BigInteger),
    required("label", Text),
    required("created_at", BigInteger),
    optional("last_used_at", BigInteger),
    Index("administrator_passkey_of", "administrator", "place"),
)
"""`place` is which one of its administrator's it is, from 0 on."""

administrator_subject = Table(
    "administrator_subject",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("administrator", LargeBinary, ForeignKey("administrator.id"), nullable=False),
    required("place", BigInteger),
    required("linked_at", BigInteger),
    Index("administrator_subject_of", "administrator", "place"),
)

setup_link = Table(
    "setup_link",
    metadata,
    Column("secret_sha256", LargeBinary, primary_key=True),
    optional("administrator", LargeBinary),
    required("created_at", BigInteger),
    required("expires_at", BigInteger),
    optional("used_at", BigInteger),
)

admin_session = Table(
    "admin_session",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("secret_sha256", LargeBinary),
    required("administrator", LargeBinary),
    required("kind", Text),
    required("source", Text),
    required("created_at", BigInteger),
    required("seen_at", BigInteger),
    required("authenticated_at", BigInteger),
    required("ends_at", BigInteger),
    optional("ended_at", BigInteger),
    optional("granted", Text),
    UniqueConstraint("secret_sha256", name="admin_session_secret"),
    Index("admin_session_of", "administrator", "id"),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("name", Text),
    required("secret_sha256", LargeBinary),
    optional("owner", LargeBinary),
    required("grants", Text),
    required("created_at", BigInteger),
    required("created_by", Text),
    required("expires_at", BigInteger),
    optional("last_used_at", BigInteger),
    required("last_source", Text),
    optional("revoked_at", BigInteger),
    UniqueConstraint("secret_sha256", name="api_token_secret"),
    Index(
        "api_token_name",
        "name",
        unique=True,
        sqlite_where=text("revoked_at IS NULL"),
        postgresql_where=text("revoked_at IS NULL"),
    ),
)

proposal = Table(
    "proposal",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("verb", Text),
    required("asked", Text),
    required("summary", Text),
    optional("group", Text),
    required("proposed_by", Text),
    optional("proposer", LargeBinary),
    required("proposed_at", BigInteger),
    required("expires_at", BigInteger),
    required("state", Text),
    required("decided_by", Text),
    optional("decided_at", BigInteger),
    required("note", Text),
    required("outcome", Text),
)

kept_answer = Table(
    "kept_answer",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    required("request_sha256", LargeBinary),
    required("status", BigInteger),
    required("body", LargeBinary),
    required("at", BigInteger),
    Index("kept_answer_at", "at"),
)
"""`status` is 0 while the first request is at work."""
