"""The checker finds a planted violation of each invariant, and nothing where everything held."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tools.faults.checker import INVARIANTS, Evidence, Outcomes, check, outcomes
from tools.faults.phases import read_ended
from tools.faults.report import LEAST_RATIO, Report

from faults.evidence import (
    a_crl,
    a_poll,
    a_receipt,
    a_run,
    a_signature,
    altered,
    an_enrolment,
    an_id,
    certificate,
    event,
)
from regalia.ra.audit import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def first(rows: Sequence[Any], **changes: object) -> list[Any]:
    """Change the first row."""
    return [replace(rows[0], **changes), *rows[1:]]


def line(entry: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Change a line of a journal."""
    return {**entry, **changes}


def without(evidence: Evidence, number: int) -> Evidence:
    """Lose a certificate's row."""
    return altered(evidence, certificates=lambda rows: [row for row in rows if row.id != an_id(number)])


PLANTED: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "signed before it was committed": (
        "I1",
        lambda run: replace(run, signatures=[line(a_signature(1), committed=False)]),
    ),
    "signed, and the row is gone": ("I1", lambda run: without(run, 4)),
    "signed over other octets": (
        "I1",
        lambda run: altered(run, certificates=lambda rows: first(rows, tbs_sha256=b"other")),
    ),
    "a signature in no journal": ("I1", lambda run: replace(run, signatures=run.signatures[:-1])),
    "one serial in two rows": (
        "I2",
        lambda run: altered(run, certificates=lambda rows: [*rows, replace(certificate(9), serial=0x104)]),
    ),
    "one serial signed in two ways": (
        "I2",
        lambda run: replace(run, signatures=[*run.signatures, line(a_signature(1), signature_sha256="00")]),
    ),
    "one serial in two hands": (
        "I2",
        lambda run: replace(run, clients=[*run.clients, line(a_receipt(1, 1), der="00")]),
    ),
    "a certificate that the database lost": (
        "I3",
        lambda run: altered(run, certificates=lambda rows: first(rows, der=None, state="intent")),
    ),
    "two certificates for one conversation": (
        "I4",
        lambda run: replace(run, clients=[a_receipt(1, 1), a_receipt(1, 4)]),
    ),
    "the certificate of another conversation": ("I4", lambda run: replace(run, clients=[a_receipt(1, 4)])),
    "another serial, and the first was not abandoned": (
        "I4",
        lambda run: altered(run, certificates=lambda rows: [replace(row, state="issued") for row in rows]),
    ),
    "another serial before the first was abandoned": (
        "I4",
        lambda run: altered(
            run,
            events=lambda rows: [
                replace(row, position=99) if row.action == "certificate.abandoned" else row for row in rows
            ],
        ),
    ),
    "a failure for a good request": (
        "I4",
        lambda run: replace(run, clients=[line(a_receipt(1, 1), event="wrong", what="FAILURE")]),
    ),
    "a conversation without an end": (
        "I4",
        lambda run: replace(run, clients=[line(a_receipt(1, 1), event="unfinished")]),
    ),
    "two certificates for one challenge": (
        "I5",
        lambda run: altered(
            run,
            certificates=lambda rows: [*rows, certificate(9)],
            enrolments=lambda rows: [*rows, replace(an_enrolment(9, 9), challenge_mac=rows[2].challenge_mac)],
        ),
    ),
    "a challenge used by nobody": (
        "I5",
        lambda run: altered(run, challenges=lambda rows: first(rows, consumed_by=an_id(1_005))),
    ),
    "revoked, then good": ("I6", lambda run: replace(run, polls=[*run.polls, a_poll(0x101, "good", 30.0)])),
    "revoked, then unknown": ("I6", lambda run: replace(run, polls=[*run.polls, a_poll(0x101, "unknown", 30.0)])),
    "revoked, then good at another node": (
        "I6",
        lambda run: replace(run, polls=[*run.polls, line(a_poll(0x101, "good", 30.0), node="other")]),
    ),
    "a serial that left the CRL": ("I6", lambda run: replace(run, polls=[line(a_crl(2, 1.0), gone=["101"])])),
    "a revocation that the database lost": ("I6", lambda run: altered(run, revocations=lambda rows: rows[1:])),
    "a CRL number that fell": ("I7", lambda run: replace(run, polls=[a_crl(2, 1.0), a_crl(1, 2.0)])),
    "two CRLs of one number": (
        "I7",
        lambda run: replace(run, polls=[a_crl(1, 1.0), line(a_crl(1, 2.0), sha256="00", node="other")]),
    ),
    "a CRL that does not verify": ("I7", lambda run: replace(run, polls=[line(a_crl(1, 1.0), why="its signature")])),
    "a CRL that nobody recorded": ("I7", lambda run: replace(run, polls=[a_crl(9, 1.0)])),
    "a broken chain": ("I8", lambda run: replace(run, broken_streams=[Finding("node/0", 7, "changed")])),
    "a decision without an event": ("I8", lambda run: altered(run, events=lambda rows: rows[1:])),
    "a decision with two events": ("I8", lambda run: altered(run, events=lambda rows: [*rows, rows[0]])),
    "an event without a decision": (
        "I8",
        lambda run: altered(run, events=lambda rows: [*rows, event(11, "certificate.issued", "certificate:999")]),
    ),
    "a refusal without an event": (
        "I8",
        lambda run: altered(run, enrolments=lambda rows: [*rows, an_enrolment(6, 0, state="refused")]),
    ),
    "a refusal of what was not refused": (
        "I8",
        lambda run: altered(
            run,
            events=lambda rows: [
                *rows,
                event(11, "enrolment.refused", "endpoint:default", enrolment=str(an_id(1_001))),
            ],
        ),
    ),
    "an intent beyond its lease": (
        "I9",
        lambda run: altered(run, certificates=lambda rows: [*rows, certificate(9, state="intent")]),
    ),
    "an enrolment that was left behind": (
        "I9",
        lambda run: altered(run, enrolments=lambda rows: first(rows, state="intent")),
    ),
    "a certificate for the stranger": (
        "I10",
        lambda run: replace(run, rogues=[line(run.rogues[0], outcome="SUCCESS")]),
    ),
    "an intent for the stranger": (
        "I10",
        lambda run: altered(run, certificates=lambda rows: [*rows, certificate(5, state="abandoned")]),
    ),
    "a refusal without a row": (
        "I10",
        lambda run: altered(run, enrolments=lambda rows: [row for row in rows if row.state != "refused"]),
    ),
    "an enrolment of the stranger": (
        "I10",
        lambda run: altered(run, enrolments=lambda rows: [*rows[:3], an_enrolment(5, 4)]),
    ),
    "a challenge that the stranger used up": (
        "I10",
        lambda run: altered(run, challenges=lambda rows: [*rows[:3], replace(rows[3], consumed_by=an_id(1_001))]),
    ),
    "a table that a burst of refusals changed": (
        "I10",
        lambda run: replace(run, burst=({"certificate": "4 rows"}, {"certificate": "5 rows"})),
    ),
}


def test_nothing_is_found_where_everything_held() -> None:
    """A run in which all invariants held has no violation."""
    assert check(a_run()) == ()


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_violation_is_found(planted: str) -> None:
    """The invariant that was broken is among those that are named."""
    invariant, plant = PLANTED[planted]
    assert invariant in {violation.invariant for violation in check(plant(a_run()))}


def test_each_invariant_has_a_planted_violation() -> None:
    """None of the ten is checked by a function that cannot find anything."""
    assert {invariant for invariant, _ in PLANTED.values()} == {judge.__name__.upper() for judge in INVARIANTS}
    assert len(INVARIANTS) == 10


def test_good_at_another_node_that_has_not_heard_yet() -> None:
    """Another node may answer good for as long as a notice takes; that is no violation (R9)."""
    run = a_run()
    polls = [*run.polls, line(a_poll(0x101, "good", 22.0), node="other")]
    assert check(replace(run, polls=polls)) == ()


def test_interrupted_intents_are_counted() -> None:
    """Finished needs the certificate with one signature, abandoned the revocation; the rest is lost."""
    run = a_run()
    assert outcomes(run) == Outcomes(finished=1, abandoned=1, lost=0)
    assert outcomes(without(run, 1)) == Outcomes(finished=0, abandoned=1, lost=1)
    assert outcomes(altered(run, revocations=lambda rows: rows[:1])) == Outcomes(finished=1, abandoned=0, lost=1)
    twice = replace(run, signatures=[*run.signatures, line(a_signature(1), signature_sha256="00")])
    assert outcomes(twice) == Outcomes(finished=0, abandoned=1, lost=1)
    left = altered(run, certificates=lambda rows: first(rows, state="intent", der=None))
    assert outcomes(left) == Outcomes(finished=0, abandoned=1, lost=1)


def test_a_report_fails_for_what_was_lost_and_for_too_few_that_finished() -> None:
    """The ratio is of all phases in which the key was there, and one lost intent is too many in any phase."""
    held = read_ended(_ended(finished=99, abandoned=1))
    report = Report(1, "", {}, {"kills": held})
    assert report.outcomes.ratio == LEAST_RATIO
    assert report.violations == ()
    too_few = Report(1, "", {}, {"kills": held, "more": read_ended(_ended(finished=0, abandoned=1))})
    assert len(too_few.violations) == 1
    away = Report(1, "", {}, {"kills": held, "key away": read_ended(_ended(finished=1, abandoned=9, key_away=True))})
    assert away.violations == ()
    lost = Report(1, "", {}, {"kills": held, "key away": read_ended(_ended(finished=1, lost=1, key_away=True))})
    assert lost.violations == ("key away: 1 lost",)


def _ended(*, finished: int = 0, abandoned: int = 0, lost: int = 0, key_away: bool = False) -> dict[str, Any]:
    """What a phase tells that found nothing but these outcomes."""
    return {
        "database": "sqlite",
        "violations": [],
        "outcomes": {"finished": finished, "abandoned": abandoned, "lost": lost},
        "kills": 1,
        "struck": {},
        "clients": {},
        "polls": {},
        "rogues": {},
        "signatures": 0,
        "seconds": 1.0,
        "key_away": key_away,
        "back": {},
    }
