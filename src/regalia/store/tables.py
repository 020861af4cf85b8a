"""Table definitions, one per kind of row.

Ids are 16 raw octets (UUIDv7, so that rows of one table lie in the order of their creation), hashes raw octets,
serials 20 octets big-endian (so that octet order is numeric order), times milliseconds since 1970 in UTC, names and
other sets canonical JSON, truth values 0 or 1. Nothing needs the driver's type conversion: SQLite and PostgreSQL give
back what was put in.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from regalia.store.table_parts import metadata
from regalia.store.table_parts import optional as _optional
from regalia.store.table_parts import required as _required
from regalia.store.tables_administration import (
    admin_session,
    administrator,
    administrator_passkey,
    administrator_subject,
    api_token,
    kept_answer,
    proposal,
    setup_link,
)
from regalia.store.tables_alerts import alert, alert_delivery, alert_target
from regalia.store.tables_figures import figure, figure_count
from regalia.store.tables_fleet import (
    certificate_cause,
    connector,
    connector_notice,
    device,
    device_key,
    fleet_user,
    fleet_user_key,
    followed_end,
    stopped_run,
    sweep,
)
from regalia.store.tables_keys import key_blocklist, key_blocklist_piece, key_record, own_key, wrapped_key
from regalia.store.tables_search import certificate_text, challenge_text, enrolment_text, search_progress
from regalia.store.tables_sign_in import sign_in_spent, sign_in_try
from regalia.store.tables_status import OPEN, compromised_key, crl, crl_chunk, hold, revocation

__all__ = [
    "OPEN",
    "admin_session",
    "administrator",
    "administrator_passkey",
    "administrator_subject",
    "alert",
    "alert_delivery",
    "alert_target",
    "api_token",
    "authority",
    "authority_counter",
    "authority_request",
    "certificate",
    "certificate_cause",
    "certificate_der",
    "certificate_tbs",
    "certificate_text",
    "challenge",
    "challenge_text",
    "change",
    "checkpoint",
    "checkpoint_key",
    "compromised_key",
    "connector",
    "connector_notice",
    "credential",
    "crl",
    "crl_chunk",
    "device",
    "device_key",
    "endpoint",
    "enrolment",
    "enrolment_text",
    "event",
    "event_stream",
    "figure",
    "figure_count",
    "fleet_user",
    "fleet_user_key",
    "followed_end",
    "group",
    "hold",
    "job",
    "kept_answer",
    "key_blocklist",
    "key_blocklist_piece",
    "key_record",
    "metadata",
    "ndes_page",
    "own_key",
    "profile",
    "proposal",
    "pseudonym_key",
    "retention",
    "revocation",
    "sealed_challenge",
    "search_progress",
    "setup_link",
    "sign_in_spent",
    "sign_in_try",
    "stopped_run",
    "sweep",
    "wrapped_key",
]

_Position = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is spelled INTEGER."""

# --- the catalogue --------------------------------------------------------------------------------------------------

authority = Table(
    "authority",
    metadata,
    Column("name", Text, primary_key=True),
    _required("kind", Text),
    _optional("parent", Text),
    _optional("group", Text),
    _required("state", Text),
    _required("key_id", LargeBinary),
    _required("key_kind", Text),
    _required("certificate_id", LargeBinary),
    _required("certificate_der", LargeBinary),
    _required("created_at", BigInteger),
    _optional("state_since", BigInteger),
    _optional("activates_at", BigInteger),
    Column("crl_shards", BigInteger, nullable=False, server_default="0"),
    Column("crl_lists", BigInteger, nullable=False, server_default="0"),
    Column("crl_delta", SmallInteger, nullable=False, server_default="0"),
    Column("crl_full", SmallInteger, nullable=False, server_default="1"),
)

authority_counter = Table(
    "authority_counter",
    metadata,
    Column("authority", Text, primary_key=True),
    _required("revocations", BigInteger),
    _required("crl_number", BigInteger),
)
"""What an authority counts: revocations, for CRL snapshots, and its last CRL number. Its row is the lock for both."""

authority_request = Table(
    "authority_request",
    metadata,
    Column("name", Text, primary_key=True),
    _required("id", LargeBinary),
    _required("group", Text),
    _optional("parent", Text),
    _required("key_id", LargeBinary),
    _required("key_kind", Text),
    _required("info", LargeBinary),
    _optional("csr", LargeBinary),
    _required("created_at", BigInteger),
    UniqueConstraint("id", name="authority_request_id"),
)
"""Issuing authorities to be. A row without `csr` is an intent; it goes when the certificate comes."""

credential = Table(
    "credential",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    _required("purpose", Text),
    _required("group", Text),
    _required("authority", Text),
    _required("key_id", LargeBinary),
    _required("certificate_id", LargeBinary),
    _required("certificate_der", LargeBinary),
    _required("not_before", BigInteger),
    _required("not_after", BigInteger),
    _required("created_at", BigInteger),
    _optional("ended_at", BigInteger),
    Index("credential_authority", "authority", "purpose", "id"),
    Index("credential_group", "group", "purpose", "id"),
)

group = Table(
    "group",
    metadata,
    Column("name", Text, primary_key=True),
    _required("authority", Text),
    _required("debug", SmallInteger),
    _required("created_at", BigInteger),
    _optional("suspended_at", BigInteger),
    Column("suspended_why", Text, nullable=False, server_default=""),
    Column("follow", Text, nullable=False, server_default=""),
)

profile = Table(
    "profile",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    _required("group", Text),
    _required("document", Text),
    _required("created_at", BigInteger),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("name", Text, primary_key=True),
    _required("group", Text),
    _required("protocol", Text),
    _required("profile", Text),
    _required("authoriser", Text),
    _required("enabled", SmallInteger),
    _required("include_root", SmallInteger),
    _required("check_signing_time", SmallInteger),
    _required("created_at", BigInteger),
    Column("legacy", SmallInteger, nullable=False, server_default="0"),
    Column("non_rsa", SmallInteger, nullable=False, server_default="0"),
    _optional("connector", Text),
)

# --- evidence and conversations -------------------------------------------------------------------------------------

challenge = Table(
    "challenge",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    _required("endpoint", Text),
    _required("mac", LargeBinary),
    _required("binding", Text),
    _optional("device", Text),
    _required("created_at", BigInteger),
    _required("created_by", Text),
    _required("expires_at", BigInteger),
    _optional("revoked_at", BigInteger),
    _optional("consumed_at", BigInteger),
    _optional("consumed_by", LargeBinary),
    _optional("consumed_key", LargeBinary),
    _optional("consumed_source", Text),
    Column("reusable", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("mac", name="challenge_mac"),
    Index("challenge_endpoint", "endpoint", "id"),
    sqlite_with_rowid=False,
)

enrolment = Table(
    "enrolment",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    _optional("open_key", LargeBinary),
    _required("endpoint", Text),
    _required("transaction_id", LargeBinary),
    _required("key_sha256", LargeBinary),
    _optional("signer_serial", LargeBinary),
    _optional("challenge_mac", LargeBinary),
    _required("group", Text),
    _required("profile", Text),
    _required("profile_version", BigInteger),
    _required("state", Text),
    _required("asked", Text),
    _required("allowed", Text),
    _required("csr", LargeBinary),
    _required("source", Text),
    _required("created_at", BigInteger),
    _required("updated_at", BigInteger),
    _optional("chain", LargeBinary),
    _optional("generation", BigInteger),
    _optional("lineage", Text),
    _optional("certificate_id", LargeBinary),
    _optional("reason_id", Text),
    _required("detail", Text),
    _required("stages", Text),
    # A conversation that is neither refused nor closed exists once (R3).
    Index(
        "enrolment_open",
        "open_key",
        unique=True,
        sqlite_where=text("open_key IS NOT NULL"),
        postgresql_where=text("open_key IS NOT NULL"),
    ),
    # R3's rule on transactionIDs asks for NEW signers only.
    Index(
        "enrolment_transaction",
        "transaction_id",
        "endpoint",
        sqlite_where=text("signer_serial IS NULL"),
        postgresql_where=text("signer_serial IS NULL"),
    ),
    Index("enrolment_group", "group", "id"),
    # A chain's beginning is generation 0 and needs no looking for.
    Index(
        "enrolment_chain",
        "chain",
        "generation",
        sqlite_where=text("generation > 0"),
        postgresql_where=text("generation > 0"),
    ),
    Index(
        "enrolment_refused",
        "updated_at",
        "id",
        sqlite_where=text("state = 'refused'"),
        postgresql_where=text("state = 'refused'"),
    ),
    # Who waits for a decision: few rows, and none of an enrolment that waits for nobody.
    Index(
        "enrolment_pending",
        "group",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "enrolment_pending_since",
        "created_at",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
)
"""`chain` and `generation` repeat the lineage; `stages` is JSON, a line for each time that stages were added."""

# --- certificates ---------------------------------------------------------------------------------------------------

certificate = Table(
    "certificate",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    _required("kind", Text),
    _required("authority", Text),
    _required("key_id", LargeBinary),
    _required("serial", LargeBinary),
    _optional("group", Text),
    _optional("profile", Text),
    _optional("profile_version", BigInteger),
    _required("subject", Text),
    _required("names", Text),
    _optional("device", Text),
    _required("unverified", SmallInteger),
    _required("key_sha256", LargeBinary),
    _required("not_before", BigInteger),
    _required("not_after", BigInteger),
    _optional("enrolment_id", LargeBinary),
    _required("generation", BigInteger),
    _required("lease_until", BigInteger),
    _required("created_at", BigInteger),
    _required("state", Text),
    _optional("issued_at", BigInteger),
    Column("shard", BigInteger, nullable=False, server_default="0"),
    _optional("device_id", LargeBinary),
    _optional("user_id", LargeBinary),
    # The serial comes first so that it is found without its authority as well (ISS-1).
    UniqueConstraint("serial", "authority", name="certificate_serial"),
    Index("certificate_key", "key_sha256"),
    Index("certificate_subject", "subject"),
    # What has expired, the last to do so first.
    Index("certificate_end", "not_after", "id"),
    Index(
        "certificate_intent",
        "lease_until",
        sqlite_where=text("state = 'intent'"),
        postgresql_where=text("state = 'intent'"),
    ),
    # A device that nobody names costs nothing here.
    Index(
        "certificate_device",
        "device",
        "created_at",
        sqlite_where=text("device IS NOT NULL"),
        postgresql_where=text("device IS NOT NULL"),
    ),
    # Whom certificates are bound to, in the order in which what follows walks over them; newest first for a list.
    Index(
        "certificate_device_id",
        "device_id",
        "id",
        sqlite_where=text("device_id IS NOT NULL"),
        postgresql_where=text("device_id IS NOT NULL"),
    ),
    Index(
        "certificate_user_id",
        "user_id",
        "id",
        sqlite_where=text("user_id IS NOT NULL"),
        postgresql_where=text("user_id IS NOT NULL"),
    ),
    # What one group has, newest first: the list of whoever sees no other (AUTHZ-4).
    Index("certificate_group", "group", "id"),
    Index(
        "certificate_own",
        "id",
        sqlite_where=text("kind <> 'leaf'"),
        postgresql_where=text("kind <> 'leaf'"),
    ),
    sqlite_with_rowid=False,
)

certificate_tbs = Table(
    "certificate_tbs",
    metadata,
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), primary_key=True),
    _required("tbs", LargeBinary),
    sqlite_with_rowid=False,
)
"""What is to be signed, from TX1 on. The bulk of a certificate lies away from the columns that queries walk over."""

certificate_der = Table(
    "certificate_der",
    metadata,
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), primary_key=True),
    _required("der", LargeBinary),
    sqlite_with_rowid=False,
)
"""The certificate, from TX2 on."""

sealed_challenge = Table(
    "sealed_challenge",
    metadata,
    Column("enrolment_id", LargeBinary, ForeignKey("enrolment.id", ondelete="CASCADE"), primary_key=True),
    _required("sealed", LargeBinary),
)

ndes_page = Table(
    "ndes_page",
    metadata,
    Column("endpoint", Text, primary_key=True),
    _required("user", Text),
    _required("password_hash", Text),
    _required("digits", SmallInteger),
    _required("encoding", Text),
    _required("cache", BigInteger),
    _required("per_minute", BigInteger),
    _required("networks", Text),
    _required("certsrv", SmallInteger),
    _required("allow_binding", SmallInteger),
    _required("changed_at", BigInteger),
    # Microsoft's own paths lead to one endpoint at most.
    Index(
        "ndes_page_certsrv",
        "certsrv",
        unique=True,
        sqlite_where=text("certsrv = 1"),
        postgresql_where=text("certsrv = 1"),
    ),
)

# --- events, changes, jobs ------------------------------------------------------------------------------------------

event_stream = Table(
    "event_stream",
    metadata,
    Column("name", Text, primary_key=True),
    _required("sequence", BigInteger),
    _required("hash", LargeBinary),
    _required("holder", LargeBinary),
    _required("lease_until", BigInteger),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("position", _Position, primary_key=True, autoincrement=True),
    _required("stream", Text),
    _required("sequence", BigInteger),
    _required("previous", LargeBinary),
    _required("hash", LargeBinary),
    _required("record", Text),
    _required("at", BigInteger),
    _required("action", Text),
    _required("object", Text),
    _optional("group", Text),
    _required("outcome", Text),
    _required("security", SmallInteger),
    _optional("serial", Text),
    _optional("transaction_id", Text),
    _optional("personal", Text),
    UniqueConstraint("stream", "sequence", name="event_sequence"),
    Index("event_object", "object", "position"),
    # What was refused lately: few rows, and none of what was allowed.
    Index(
        "event_refused",
        "at",
        sqlite_where=text("outcome = 'refused'"),
        postgresql_where=text("outcome = 'refused'"),
    ),
    Index(
        "event_security",
        "position",
        sqlite_where=text("security = 1"),
        postgresql_where=text("security = 1"),
    ),
)
"""`record` is the canonical text; the columns after it repeat what queries ask for. `personal` is JSON: what the
record's pseudonyms stand for, until it is forgotten."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _required("at", BigInteger),
    _required("key_number", BigInteger),
    _required("record", Text),
    _required("hash", LargeBinary),
    _required("signature", LargeBinary),
)
"""`record` is the canonical text that was signed."""

checkpoint_key = Table(
    "checkpoint_key",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _required("key_id", LargeBinary),
    _required("public_key", LargeBinary),
    _required("created_at", BigInteger),
)

pseudonym_key = Table(
    "pseudonym_key",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _optional("sealed", LargeBinary),
    _required("created_at", BigInteger),
    _required("until", BigInteger),
    _optional("destroyed_at", BigInteger),
)
"""`sealed` is NULL once the key is destroyed."""

retention = Table(
    "retention",
    metadata,
    Column("name", Text, primary_key=True),
    _required("done", LargeBinary),
    _required("at", BigInteger),
)
"""How far the rows of a table have been gone through for personal data that is too old."""

change = Table(
    "change",
    metadata,
    Column("sequence", _Position, primary_key=True, autoincrement=True),
    _required("topic", Text),
    _required("key", Text),
    sqlite_autoincrement=True,
)
"""Notices for other processes on SQLite; PostgreSQL has NOTIFY and leaves this table empty."""

job = Table(
    "job",
    metadata,
    Column("name", Text, primary_key=True),
    _optional("holder", Text),
    _required("lease_until", BigInteger),
    _optional("last_run", BigInteger),
    _required("last_error", Text),
    _optional("began_at", BigInteger),
    _optional("last_began", BigInteger),
    _optional("last_success", BigInteger),
    _optional("every_ms", BigInteger),
    _optional("wanted_at", BigInteger),
)
