"""What the database itself refuses, whoever asks (REV-1, REV-2, AUD-2, ISS-1, CHA-1, I3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from regalia.model import Hold, Revocation, RevocationReason
from store.databases import REFUSALS, query, run
from store.samples import NOW, a_challenge, a_static_challenge, an_enrolment, an_event, an_id, an_intent
from store.test_contract_crls import an_intent_for, publish

if TYPE_CHECKING:
    from regalia.store import SqlStore

FINAL = {
    "un-revoke": "DELETE FROM revocation",
    "soften the reason": "UPDATE revocation SET reason = 0",
    "issued to intent": "UPDATE certificate SET state = 'intent' WHERE state = 'issued'",
    "issued to abandoned": "UPDATE certificate SET state = 'abandoned' WHERE state = 'issued'",
    "abandoned to issued": "UPDATE certificate SET state = 'issued' WHERE state = 'abandoned'",
    "an unknown state": "UPDATE certificate SET state = 'held' WHERE state = 'intent'",
    "forget a certificate": "DELETE FROM certificate WHERE state = 'intent'",
    "another serial": "UPDATE certificate SET serial = key_sha256",
    "another authority": "UPDATE certificate SET authority = 'other'",
    "change an event": "UPDATE event SET outcome = 'refused'",
    "remove an event": "DELETE FROM event",
    "shorten a stream": "UPDATE event_stream SET sequence = sequence - 1",
    "remove a stream": "DELETE FROM event_stream",
    "lower the CRL number": "UPDATE authority_counter SET crl_number = crl_number - 1",
    "lower the count": "UPDATE authority_counter SET revocations = 0",
    "forget the numbers": "DELETE FROM authority_counter",
    "renumber a CRL": "UPDATE crl SET number = number + 1",
    "another certificate": "UPDATE certificate_der SET der = certificate_id",
    "forget the octets": "DELETE FROM certificate_der",
    "another intent": "UPDATE certificate_tbs SET tbs = certificate_id",
    "forget what was signed": "DELETE FROM certificate_tbs",
    "publish below": "UPDATE crl SET published_at = 1 WHERE tbs_path = 'spool/below'",
    "change what is published": "UPDATE crl SET sha256 = tbs_sha256 WHERE published_at IS NOT NULL",
    "unpublish": "UPDATE crl SET published_at = NULL WHERE published_at IS NOT NULL",
    "use a challenge again": "UPDATE challenge SET consumed_at = 7 WHERE consumed_at IS NOT NULL",
    "give a challenge back": "UPDATE challenge SET consumed_at = NULL WHERE consumed_at IS NOT NULL",
    "use up a static challenge": "UPDATE challenge SET consumed_at = 7 WHERE reusable = 1",
    "forget a hold": "DELETE FROM hold",
    "change a hold": "UPDATE hold SET at = 0",
    "end a hold again": "UPDATE hold SET ended_position = ended_position + 1, ended_at = 7 WHERE ended_at IS NOT NULL",
    "a hold without an end": "UPDATE hold SET ended_position = 1 WHERE ended_at IS NULL",
    "hold what is revoked": "INSERT INTO hold (certificate_id, position, authority, shard, serial, not_after, entry,"
    " cause, actor, at, note) SELECT certificate_id, 99, authority, shard, serial, not_after, entry, cause, actor, at,"
    " note FROM revocation WHERE cause = 'administrator'",
    "revoke as a hold": "INSERT INTO revocation (certificate_id, authority, serial, not_after, position, reason, cause,"
    " actor, at, note) SELECT certificate_id, authority, serial, not_after, 99, 6, cause, actor, at, note FROM hold"
    " WHERE ended_at IS NULL",
    "another list": "UPDATE certificate SET shard = 1",
    "take a compromise back": "DELETE FROM compromised_key",
    "change a compromise": "UPDATE compromised_key SET key_sha256 = key_sha256",
    "a lower CRL": "INSERT INTO crl (id, authority, number, snapshot, reserved_at)"
    " SELECT certificate_id, authority, 1, 0, 0 FROM revocation WHERE cause = 'administrator'",
}

ROWS = [
    "SELECT * FROM revocation",
    "SELECT * FROM event",
    "SELECT * FROM event_stream",
    "SELECT * FROM certificate",
    "SELECT * FROM authority_counter",
    "SELECT * FROM certificate_der",
    "SELECT * FROM certificate_tbs",
    "SELECT * FROM crl",
    "SELECT * FROM challenge",
    "SELECT * FROM hold",
    "SELECT * FROM compromised_key",
]


@pytest.fixture
def filled(sql: SqlStore) -> SqlStore:
    """Return a store with a certificate in each state, a revocation, an event, challenges and CRLs."""
    for number in (1, 2, 3):
        sql.begin(an_intent(number), (an_event(number),))
    sql.finish(an_intent(1).id, b"der", NOW, ())
    sql.abandon(an_intent(2).id, NOW, ())
    sql.revoke(Revocation(an_intent(1).id, RevocationReason.KEY_COMPROMISE, "administrator", "os:root", NOW), ())
    for number in (5, 6):
        sql.begin(an_intent(number), ())
        sql.finish(an_intent(number).id, b"der", NOW, ())
        sql.hold_certificate(Hold(an_intent(number).id, "administrator", "os:root", NOW), ())
    sql.release_certificate(an_intent(5).id, NOW, "os:root", "", ())
    sql.compromise_key(an_intent(1).key_sha256, NOW, "os:root", "", ())
    below = sql.reserve_crl(an_id("crl", 1), "staff-ca", NOW)
    sql.begin_crl(replace(an_intent_for(below), tbs_path="spool/below"))
    publish(sql, sql.reserve_crl(an_id("crl", 2), "staff-ca", NOW))
    enrolment = an_enrolment(4)
    sql.add_challenge(a_challenge(1), ())
    sql.add_challenge(a_static_challenge(2), ())
    sql.begin(an_intent(4, enrolment), (), enrolment=enrolment, consume=a_challenge(1).id)
    return sql


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("name", FINAL)
def test_what_is_final_stays(url: str, name: str) -> None:
    """No statement undoes a revocation, an event, an end state, a serial or a number (REV-1, REV-2, AUD-2)."""
    before = [query(url, rows) for rows in ROWS]
    assert all(before)
    with pytest.raises(REFUSALS):
        run(url, FINAL[name])
    assert [query(url, rows) for rows in ROWS] == before
