"""The questions of every enrolment and every OCSP answer are answered through an index (performance.md §5)."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from regalia.store import (
    blocklists,
    brakes,
    certificates,
    challenges,
    connector_notices,
    conversations,
    crls,
    devices,
    ends,
    enrolments,
    events,
    fleet_records,
    fleet_users,
    following,
    issuance,
    ndes,
)
from regalia.store.session import Statement  # noqa: TC001 - the table below holds values of it
from regalia.store.tables import device, fleet_user

QUESTIONS: dict[str, Statement] = {
    "what a request meets": enrolments._MET,  # noqa: SLF001 - the statements are what is tested
    "conversation": enrolments._OPEN,  # noqa: SLF001 - the statements are what is tested
    "transaction holder": enrolments._BOUND,  # noqa: SLF001 - the same
    "holders of another key": conversations.HOLDERS,
    "polled": enrolments._OF_TRANSACTION,  # noqa: SLF001 - the same
    "queue": enrolments._PENDING_COUNT,  # noqa: SLF001 - the same
    "expired in the queue": enrolments._PENDING_SINCE,  # noqa: SLF001 - the same
    "dismissal": enrolments._DISMISS,  # noqa: SLF001 - the same
    "approval": conversations._APPROVE,  # noqa: SLF001 - the same
    "enrolment": enrolments._BY_ID,  # noqa: SLF001 - the same
    "forgotten refusals": enrolments._FORGET,  # noqa: SLF001 - the same
    "challenge": challenges.BY_MAC,
    "consumption": challenges.CONSUME,
    "certificate": certificates._BY_ID,  # noqa: SLF001 - the same
    "serial": certificates._ALL_OF_SERIAL,  # noqa: SLF001 - the same
    "status": certificates._STATUS,  # noqa: SLF001 - the same
    "key": certificates.BY_KEY,
    "begun for a device": certificates._BEGUN_FOR_DEVICE,  # noqa: SLF001 - the same
    "begun in a chain": certificates._BEGUN_IN_CHAIN,  # noqa: SLF001 - the same
    "generation": certificates._NEWEST_GENERATION,  # noqa: SLF001 - the same
    "expired intents": issuance._EXPIRED,  # noqa: SLF001 - the same
    "intents of another clock": issuance._FROM_THE_FUTURE,  # noqa: SLF001 - the same
    "signing intent": issuance._CERTIFICATE_INTENT,  # noqa: SLF001 - the same
    "issued": issuance._TO_ISSUED,  # noqa: SLF001 - the same
    "enrolment issued": issuance._ENROLMENT_ISSUED,  # noqa: SLF001 - the same
    "CRL entries": crls._ENTRIES,  # noqa: SLF001 - the same
    "CRL entries of before": crls._UNWRITTEN,  # noqa: SLF001 - the same
    "held in a CRL": crls._HELD,  # noqa: SLF001 - the same
    "revoked since a CRL": crls._REVOKED_SINCE,  # noqa: SLF001 - the same
    "released since a CRL": crls._RELEASED_SINCE,  # noqa: SLF001 - the same
    "changed since a CRL": crls._CHANGED,  # noqa: SLF001 - the same
    "base of a delta": crls._DELTA_BASE,  # noqa: SLF001 - the same
    "held in a chain": certificates._HELD_SINCE,  # noqa: SLF001 - the same
    "revoked or held": conversations.REVOKED_ALREADY,
    "compromised key": certificates._COMPROMISED,  # noqa: SLF001 - the same
    "good static challenges": challenges._GOOD_STATIC,  # noqa: SLF001 - the same
    "overtaken CRL": crls._OVERTAKEN,  # noqa: SLF001 - the same
    "piece of a CRL": crls._CHUNK,  # noqa: SLF001 - the same
    "last CRL": crls._LAST,  # noqa: SLF001 - the same
    "handed out in a minute": ndes.MADE,
    "open at a page": ndes.OPEN,
    "page": ndes._PAGE,  # noqa: SLF001 - the same
    "piece of a blocklist": blocklists._PIECE,  # noqa: SLF001 - the same
    "an own key": blocklists._IS_OWN,  # noqa: SLF001 - the same
    "head": events._HEAD,  # noqa: SLF001 - the same
    "page of a stream": events._PAGE_OF_STREAM,  # noqa: SLF001 - the same
    "record of a device": devices._RECORDS._named,  # noqa: SLF001 - the same
    "device by an alias": devices._RECORDS._by_key,  # noqa: SLF001 - the same
    "devices that no sweep saw": devices._RECORDS._unseen,  # noqa: SLF001 - the same
    "record of a user": fleet_users._RECORDS._named,  # noqa: SLF001 - the same
    "user by a name": fleet_users._RECORDS._by_key,  # noqa: SLF001 - the same
    "users that no sweep saw": fleet_users._RECORDS._unseen,  # noqa: SLF001 - the same
    "devices with certificates": following._DEVICES,  # noqa: SLF001 - the same
    "some devices": fleet_records._by_ids(device, 4),  # noqa: SLF001 - the same
    "some users of a system": fleet_records._by_names(fleet_user, 4),  # noqa: SLF001 - the same
    "users with certificates": following._USERS,  # noqa: SLF001 - the same
    "certificates of a device": following._of_devices(4),  # noqa: SLF001 - the same
    "certificates of a user": following._of_users(4),  # noqa: SLF001 - the same
    **{f"changed bearers {number}": each for number, each in enumerate(following.CHANGED, 1)},
    "causes of some": following._causes(4)[0],  # noqa: SLF001 - the same
    "holds of administrators": following._causes(4)[1],  # noqa: SLF001 - the same
    "causes of one": ends._OPEN_CAUSES,  # noqa: SLF001 - the same
    "end of a cause": ends.END_CAUSE,
    "ended lately": following._ENDED_SINCE,  # noqa: SLF001 - the same
    "a stopped run": brakes._OF_DIGEST,  # noqa: SLF001 - the same
    "open sweep": brakes._OPEN_SWEEP,  # noqa: SLF001 - the same
    "last sweep": brakes._LAST,  # noqa: SLF001 - the same
    "notice of an enrolment": connector_notices._OF_ENROLMENT,  # noqa: SLF001 - the same
    "notices that are due": connector_notices._DUE,  # noqa: SLF001 - the same
    "attempt at a notice": connector_notices._CLAIM,  # noqa: SLF001 - the same
}


def plan(url: str, statement: Statement) -> str:
    """Return the database's plan; PostgreSQL is kept from walking over small tables."""
    if url.startswith("postgresql"):
        compiled = statement.postgresql
        values = [compiled.literals.get(name) for name in compiled.order]
        with psycopg.connect(url) as connection:
            connection.execute("SET enable_seqscan = off")
            rows = psycopg.RawCursor(connection).execute(f"EXPLAIN {compiled.text}".encode(), values).fetchall()
            return "\n".join(str(row[0]) for row in rows)
    compiled = statement.sqlite
    names = dict.fromkeys(statement.postgresql.order) | dict(compiled.literals)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        return "\n".join(str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {compiled.text}", names))


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_walks_over_a_table(url: str, name: str) -> None:
    """No statement on the way of an enrolment reads a whole table, on either database."""
    steps = plan(url, QUESTIONS[name])
    assert steps
    # SQLite's name for a row that is read nowhere: which conditions there are, whatever there is.
    assert "SCAN" not in steps.replace("SCAN CONSTANT ROW", "").replace("SCAN always", "")
    assert "Seq Scan" not in steps


@pytest.mark.parametrize("statement", [following._DEVICES_LIVE, following._USERS_LIVE], ids=["devices", "users"])  # noqa: SLF001 - the same
def test_what_the_brake_counts_is_bound(sqlite_url: str, statement: Statement) -> None:
    """Live certificates of devices and users are counted among those that are bound, however many others there are."""
    assert "certificate_device_id" in plan(sqlite_url, statement) or "certificate_user_id" in plan(
        sqlite_url, statement
    )
