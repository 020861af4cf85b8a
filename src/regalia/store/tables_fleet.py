"""Table definitions of connectors, of what they report and of what follows from it. See `tables`.

`settings`, `facts`, `evidence`, `ends`, `live` and `let_go_by` are JSON. `folded` is what a list is sorted and searched
by: a text without regard to case, as its octets, so that both databases put them into one order.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from regalia.store.table_parts import metadata, optional, required

__all__ = [
    "certificate_cause",
    "connector",
    "connector_notice",
    "device",
    "device_key",
    "fleet_user",
    "fleet_user_key",
    "followed_end",
    "stopped_run",
    "sweep",
]

connector = Table(
    "connector",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("name", Text),
    required("kind", Text),
    required("settings", Text),
    optional("sealed", LargeBinary),
    required("created_at", BigInteger),
    optional("secret_set_at", BigInteger),
    optional("disabled_at", BigInteger),
    required("version", BigInteger),
    UniqueConstraint("name", name="connector_name"),
)
"""`version` counts the changes of a row, here and below: whoever read it finds out whether it is still the one."""

device = Table(
    "device",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("connector", Text),
    required("external_id", Text),
    optional("group", Text),
    required("name", Text),
    required("folded", LargeBinary),
    required("platform", Text),
    required("present", SmallInteger),
    required("facts", Text),
    required("evidence", Text),
    required("state_since", BigInteger),
    required("first_seen_at", BigInteger),
    required("seen_at", BigInteger),
    required("missed_sweeps", BigInteger),
    required("version", BigInteger),
    Column("changed_at", BigInteger, nullable=False, server_default="0"),
    optional("owner", Text),
    UniqueConstraint("connector", "external_id", name="device_external_id"),
    Index("device_changed", "changed_at"),
    Index(
        "device_owner",
        "connector",
        "owner",
        sqlite_where=text("owner IS NOT NULL"),
        postgresql_where=text("owner IS NOT NULL"),
    ),
    # Lists in the order of names: of all, of one connector, of one group.
    Index("device_name", "folded", "id"),
    Index("device_connector", "connector", "folded", "id"),
    Index("device_group", "group", "folded", "id"),
    # Whom a complete sweep is to have seen. When it did is in no index: every sweep changes that of every row.
    Index(
        "device_present",
        "connector",
        "id",
        sqlite_where=text("present = 1"),
        postgresql_where=text("present = 1"),
    ),
)

device_key = Table(
    "device_key",
    metadata,
    Column("device", LargeBinary, ForeignKey("device.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    required("connector", Text),
    required("folded", LargeBinary),
    Index("device_key_value", "connector", "kind", "value"),
    Index("device_key_folded", "folded", "device"),
    sqlite_with_rowid=False,
)
"""Everything that a device is found by: its ids elsewhere, its serial and, for searches alone, its name and its id."""

fleet_user = Table(
    "fleet_user",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("connector", Text),
    required("external_id", Text),
    required("name", Text),
    required("folded", LargeBinary),
    required("present", SmallInteger),
    required("facts", Text),
    required("evidence", Text),
    required("state_since", BigInteger),
    required("first_seen_at", BigInteger),
    required("seen_at", BigInteger),
    required("missed_sweeps", BigInteger),
    required("version", BigInteger),
    Column("changed_at", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("connector", "external_id", name="fleet_user_external_id"),
    Index("fleet_user_changed", "changed_at"),
    Index("fleet_user_name", "folded", "id"),
    Index("fleet_user_connector", "connector", "folded", "id"),
    Index(
        "fleet_user_present",
        "connector",
        "id",
        sqlite_where=text("present = 1"),
        postgresql_where=text("present = 1"),
    ),
)

fleet_user_key = Table(
    "fleet_user_key",
    metadata,
    Column("fleet_user", LargeBinary, ForeignKey("fleet_user.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    required("connector", Text),
    required("folded", LargeBinary),
    Index("fleet_user_key_value", "connector", "kind", "value"),
    Index("fleet_user_key_folded", "folded", "fleet_user"),
    sqlite_with_rowid=False,
)

sweep = Table(
    "sweep",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("connector", Text),
    required("is_full", SmallInteger),
    required("began_at", BigInteger),
    optional("place", Text),
    required("seen", BigInteger),
    required("seen_users", BigInteger),
    optional("ended_at", BigInteger),
    required("complete", SmallInteger),
    optional("next_delta", Text),
    required("why", Text),
    required("version", BigInteger),
    # One at a time of each connector.
    Index(
        "sweep_open",
        "connector",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index("sweep_ended", "connector", "ended_at", "id"),
)

certificate_cause = Table(
    "certificate_cause",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), nullable=False),
    required("cause", Text),
    required("since", BigInteger),
    required("why", Text),
    required("kept_at", BigInteger),
    optional("ended_at", BigInteger),
    Index("certificate_cause_of", "certificate_id", "id"),
    # Each cause holds once.
    Index(
        "certificate_cause_open",
        "certificate_id",
        "cause",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
"""`cause` is empty where an administrator holds it."""

followed_end = Table(
    "followed_end",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("certificate_id", LargeBinary, ForeignKey("certificate.id"), nullable=False),
    required("group", Text),
    required("at", BigInteger),
    Index("followed_end_at", "at"),
)
"""Each time that following revoked or held a certificate: what the brake adds up."""

stopped_run = Table(
    "stopped_run",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("digest", Text),
    required("at", BigInteger),
    required("ends", Text),
    required("live", Text),
    required("why", Text),
    required("shown", LargeBinary),
    optional("let_go_at", BigInteger),
    required("let_go_by", Text),
    optional("closed_at", BigInteger),
    required("version", BigInteger),
    Index(
        "stopped_run_open",
        "digest",
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
)
"""`shown` is one fingerprint of 32 octets behind the other."""

connector_notice = Table(
    "connector_notice",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    required("connector", Text),
    required("enrolment_id", LargeBinary),
    optional("certificate_id", LargeBinary),
    required("sealed", LargeBinary),
    required("due_at", BigInteger),
    required("attempts", BigInteger),
    optional("told_at", BigInteger),
    required("refused", Text),
    UniqueConstraint("enrolment_id", name="connector_notice_enrolment"),
    Index(
        "connector_notice_due",
        "due_at",
        "id",
        sqlite_where=text("told_at IS NULL"),
        postgresql_where=text("told_at IS NULL"),
    ),
)
