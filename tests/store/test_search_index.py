"""What searches go by: it follows what is written, passes nothing over, and loses what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.model import EnrolmentState, Names
from regalia.ports import ChallengeFilter, EnrolmentFilter
from regalia.store.search import CHALLENGES, ENROLMENTS
from store.databases import query, run
from store.samples import NOW, a_challenge, an_enrolment, an_id, an_intent
from store.test_contract_certificates import issue

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.store import SqlStore

LATER = NOW + timedelta(days=1)
LONG_AFTER = NOW + timedelta(days=1_000)
RARE = "\u1e85\u1e8d\u1e8f"
"""Characters that nothing else has."""


def a_refused(number: int, name: str = "phone") -> object:
    """Return an enrolment that was refused."""
    return replace(an_enrolment(number), state=EnrolmentState.REFUSED, asked=Names(f"{name}-{number}"), lineage=None)


def count(url: str, noun: str) -> object:
    """Count what is in the index."""
    return query(url, f"SELECT count(*) FROM {noun}_text")[0][0]  # noqa: S608 - a noun of ours


def test_it_takes_up_what_is_settled(sql: SqlStore, url: str) -> None:
    """What is younger than some seconds waits, what was only begun too; again takes up nothing."""
    for number in (1, 2):
        issue(sql, number)
    sql.begin(an_intent(3), ())
    assert sql.index_more(NOW) == 0
    assert sql.index_more(LATER) == 2
    assert sql.index_more(LATER) == 0
    assert count(url, "certificate") == 2
    sql.finish(an_id("certificate", 3), b"der", NOW, ())
    assert [sql.index_more(LATER) for _ in range(3)].count(1) == 1


def test_it_finds_stragglers(sql: SqlStore, url: str) -> None:
    """What is committed late, with an id before others that are in the index, is taken up all the same."""
    sql.record_refusal(a_refused(5), ())  # type: ignore[arg-type]  # an enrolment
    sql.index_more(LATER)
    sql.record_refusal(a_refused(2), ())  # type: ignore[arg-type]  # an enrolment
    while sql.index_more(LATER):
        pass
    for _ in range(3):
        sql.index_more(LATER)
    assert count(url, "enrolment") == 2
    assert [row.id for row in sql.enrolment_page(EnrolmentFilter(search="phone-2")).items] == [an_id("enrolment", 2)]


def test_a_deleted_refusal_leaves_it(sql: SqlStore, url: str) -> None:
    """R13: when a refused enrolment is deleted after its time, so is what searches had of it."""
    sql.record_refusal(a_refused(1), ())  # type: ignore[arg-type]  # an enrolment
    sql.index_more(LATER)
    assert sql.forget_refusals(LONG_AFTER) == 1
    assert count(url, "enrolment") == 0
    assert sql.enrolment_page(EnrolmentFilter(search="phone")).items == ()


def test_priv_1_what_is_forgotten_leaves_it(sql: SqlStore, url: str, tmp_path: Path) -> None:
    """PRIV-1: names that are forgotten are found no more, nor left in the files of the index."""
    sql.record_refusal(a_refused(1, RARE), ())  # type: ignore[arg-type]  # an enrolment
    sql.add_challenge(replace(a_challenge(2), binding=Names(RARE), device=None), ())
    sql.index_more(LATER)
    assert len(sql.enrolment_page(EnrolmentFilter(search=RARE)).items) == 1
    assert len(sql.challenge_page(ChallengeFilter(search=RARE)).items) == 1
    assert sql.forget_personal(LONG_AFTER, lambda _: ()).any
    for _ in range(3):
        sql.index_more(LATER)
        assert sql.enrolment_page(EnrolmentFilter(search=RARE)).items == ()
        assert sql.challenge_page(ChallengeFilter(search=RARE)).items == ()
    assert len(sql.enrolment_page(EnrolmentFilter(search="transaction 1")).items) == 1
    if url.startswith("sqlite"):
        left = b"".join(file.read_bytes() for file in tmp_path.glob("regalia.db*"))
        assert RARE[1:].encode() not in left


@pytest.mark.parametrize("noun", [ENROLMENTS.noun, CHALLENGES.noun])
def test_priv_1_whoever_forgets(sql: SqlStore, url: str, noun: str) -> None:
    """PRIV-1: the database itself takes out of the index what changes, whichever version of the code changes it."""
    sql.record_refusal(a_refused(1), ())  # type: ignore[arg-type]  # an enrolment
    sql.add_challenge(a_challenge(1), ())
    sql.index_more(LATER)
    assert count(url, noun) == 1
    column = {"enrolment": "source", "challenge": "device"}[noun]
    run(url, f"UPDATE {noun} SET {column} = ''")  # noqa: S608 - the same
    assert count(url, noun) == 0
