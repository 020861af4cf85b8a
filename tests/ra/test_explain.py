"""What `enrolment show` says first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from regalia.model import Authoriser, Enrolment, EnrolmentState
from regalia.ports import EnrolmentFilter
from regalia.ports.fleet import Notice
from regalia.ra.explain import delivery, explain
from regalia.ra.notices import GIVEN_UP
from world import ADMIN, Device, World, names


@pytest.fixture
def world() -> World:
    """A deployment with one endpoint of each kind."""
    made = World()
    made.open_endpoint("static", Authoriser.STATIC)
    made.open_endpoint("queue", Authoriser.APPROVAL)
    return made


def asked(world: World, endpoint: str) -> Enrolment:
    """Let a device ask for laptop-1; return what is stored."""
    device = Device(world, endpoint=endpoint)
    world.enroller.enrol(device.request(names("laptop-1"), world.secrets[endpoint]))
    return newest(world)


def newest(world: World) -> Enrolment:
    """Return the newest enrolment."""
    return world.store.enrolments(EnrolmentFilter(limit=1))[0]


def test_what_waits_says_since_when_and_how_to_decide(world: World) -> None:
    """The names that approval would grant stand beside those that were asked for, and the two commands below."""
    waiting = asked(world, "queue")
    explanation = explain(waiting)
    assert explanation.headline == "Waiting for approval since 2026-03-01 09:00 UTC."
    assert explanation.asked == explanation.allowed == ("cn:laptop-1",)
    assert f"regalia enrolment approve {waiting.id}" in explanation.remedy
    assert f"regalia enrolment deny {waiting.id}" in explanation.remedy


def test_what_was_approved_says_by_whom(world: World) -> None:
    """AUD-1: the enrolment itself names the administrator."""
    asked(world, "queue")
    world.approve()
    assert explain(newest(world)).headline == "Issued, approved by admin os:tester."


def test_what_was_denied_says_by_whom_and_why(world: World) -> None:
    """RA-017: with the note, the remedy and the page."""
    waiting = asked(world, "queue")
    explanation = explain(world.approvals.deny(waiting.id, ADMIN, "not ours"))
    assert explanation.headline == (
        "Refused at stage evidence: an administrator denied the enrolment (by admin os:tester: not ours)."
    )
    assert explanation.page == "errors/RA-017.md"


def test_what_a_static_challenge_enrolled_says_whose_name_it_has(world: World) -> None:
    """R5.5: asked for and not granted, which is no fault of anybody's."""
    issued = asked(world, "static")
    explanation = explain(issued)
    assert issued.state is EnrolmentState.ISSUED
    assert explanation.headline.startswith("Issued under a name that the server made from the key")
    assert explanation.difference == ("cn:laptop-1",)


def test_an_ordinary_enrolment_says_that_it_was_issued(world: World) -> None:
    """Nothing more is to be said of it."""
    Device(world).enrol(names("laptop-1"), world.mint("laptop-1"))
    assert explain(newest(world)).headline == "Issued."


def noticed(**changes: object) -> Notice:
    """What a connector was to be told of a certificate."""
    at = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
    made = Notice(UUID(int=1), "mdm", UUID(int=2), UUID(int=3), b"", at, attempts=4)
    return replace(made, **changes)  # type: ignore[arg-type]


TOLD = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("notice", "headline", "page"),
    [
        (noticed(told_at=TOLD), "Issued, approved by admin os:tester.", ""),
        (noticed(told_at=TOLD, refused="No"), "Issued, and revoked: connector mdm said No.", "errors/CON-010.md"),
        (noticed(told_at=TOLD, refused=GIVEN_UP), "could not be told of it in three days", ""),
        (noticed(), "Issued; connector mdm is still to be told of it.", ""),
    ],
    ids=["told", "refused", "given-up", "waits"],
)
def test_what_the_connector_took_no_note_of_is_not_issued_alone(
    world: World, notice: Notice, headline: str, page: str
) -> None:
    """R8: the headline says what became of the notice, with what to do where it did not go well."""
    asked(world, "queue")
    world.approve()
    explanation = explain(newest(world), notice)
    assert headline in explanation.headline
    assert (explanation.page, bool(explanation.remedy)) == (page, notice.told_at is None or bool(notice.refused))
    assert ("given up" in delivery(notice)) == (notice.refused == GIVEN_UP)


def test_what_the_connector_advises_comes_first(world: World) -> None:
    """A hint that belongs to its code stands before our own remedy."""
    denied = world.approvals.deny(asked(world, "queue").id, ADMIN, "no")
    assert explain(denied, hint="Ask again.").remedy.startswith("Ask again. ")
