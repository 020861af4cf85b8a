"""Letting the brake go (REV-7): always two administrators, and always exactly what was shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from regalia.errors import AdminError
from regalia.model import Action, Actor, ActorKind, Grant, Role
from regalia.ports.fleet import Stopped
from regalia.ra.proposals import ProposalDesk, TwoPersons
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, ProposedError, ask, plan
from regalia.verbs import device_stops as verbs
from regalia.verbs import proposal as proposals
from verbs.test_proposal import LOCAL, a_person
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.model import Proposal

DIGEST = "ab" * 32
ASKED = verbs.LetGoOf(digest=DIGEST)


@dataclass(frozen=True)
class Scene:
    """A system with a stopped run and two administrators, each signed in."""

    world: World
    alice: Caller
    bob: Caller


def stopped(world: World, digest: str = DIGEST, number: int = 1) -> Stopped:
    """Have the brake stop a run."""
    run = Stopped(
        id=UUID(int=number),
        digest=digest,
        at=world.clock.now(),
        ends={"default": 40, "other": 2},
        live={"default": 100, "other": 900},
        why="group default: 40 of 100 live certificates would be revoked or held\nand so on",
        shown=frozenset({b"\x00" * 32}),
    )
    assert world.store.put_stopped(None, run, ())
    return run


@pytest.fixture
def scene() -> Scene:
    """Return it."""
    world = World()
    stopped(world)
    return Scene(world, a_person(world, "alice"), a_person(world, "bob"))


def proposed(scene: Scene, caller: Caller) -> Proposal:
    """Ask to let it go; return what was kept."""
    with pytest.raises(ProposedError) as kept:
        ask(verbs.LET_GO, scene.world, caller, ASKED)
    return kept.value.proposal


def approve(scene: Scene, caller: Caller, proposal: Proposal) -> proposals.ProposalShown:
    """Agree to it."""
    return ask(proposals.APPROVE, scene.world, caller, proposals.NameProposal(proposal_id=str(proposal.id)))


def reason(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as refused:
        act()
    return refused.value.reason.id


def test_two_let_it_go(scene: Scene) -> None:
    """The first asks, the second agrees; both stand in the row and in the log, and the run may go on."""
    proposal = proposed(scene, scene.alice)
    assert proposal.summary == (
        f"let the brake go for plan {DIGEST}, and for no other",
        "revoke or hold 40 of 100 live certificates of group default",
        "revoke or hold 2 of 900 live certificates of group other",
    )
    held = scene.world.store.stopped(DIGEST)
    assert held is not None
    assert held.let_go_at is None
    approve(scene, scene.bob, proposal)
    after = scene.world.store.stopped(DIGEST)
    assert after is not None
    assert (after.let_go_at, after.let_go_by) == (scene.world.clock.now(), ("user:alice", "user:bob"))
    events = [each.draft for each in scene.world.store.log if each.draft.action is Action.FOLLOW_LET_GO]
    assert [each.details["by"] for each in events] == [["user:alice", "user:bob"]]


def test_one_alone_never_does(scene: Scene) -> None:
    """ADM-075: neither who asked, nor with `two_persons = never`, nor on the machine itself is it done by one."""
    proposal = proposed(scene, scene.alice)
    assert reason(lambda: approve(scene, scene.alice, proposal)) == "ADM-075"
    scene.world.proposals = ProposalDesk(scene.world.store, scene.world.clock, scene.world.entropy, TwoPersons.NEVER)
    local = proposed(scene, LOCAL)
    assert reason(lambda: approve(scene, LOCAL, local)) == "ADM-075"
    held = scene.world.store.stopped(DIGEST)
    assert held is not None
    assert held.let_go_at is None
    approve(scene, scene.bob, local)
    after = scene.world.store.stopped(DIGEST)
    assert after is not None
    assert after.let_go_by == (ADMIN.id, "user:bob")


def test_a_plan_says_that_a_second_one_is_needed(scene: Scene) -> None:
    """Whoever looks first sees what would end, and that another one has to agree."""
    would = plan(verbs.LET_GO, scene.world, LOCAL, ASKED).would
    assert would[-1] == "wait until a second administrator agrees to all of this"


def test_another_plan_is_not_let_go(scene: Scene) -> None:
    """CON-068, ADM-076: what is agreed to is what was shown; a newer plan ends the consent to the older one."""
    proposal = proposed(scene, scene.alice)
    scene.world.clock.advance(timedelta(minutes=1))
    stopped(scene.world, "cd" * 32, 2)
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "CON-068"
    for run in scene.world.store.open_stops():
        assert run.let_go_at is None
    assert reason(lambda: ask(verbs.LET_GO, scene.world, scene.bob, ASKED)) == "CON-068"


def test_the_same_digest_with_other_numbers_is_shown_anew(scene: Scene) -> None:
    """ADM-076: where what was shown reads otherwise by now, agreeing is refused."""
    proposal = proposed(scene, scene.alice)
    before = scene.world.store.stopped(DIGEST)
    assert before is not None
    assert scene.world.store.put_stopped(before, replace(before, ends={"default": 41}), ())
    assert reason(lambda: approve(scene, scene.bob, proposal)) == "ADM-076"


def test_it_is_let_go_once(scene: Scene) -> None:
    """CON-068: what was let go is not let go again."""
    first, second = proposed(scene, scene.alice), proposed(scene, scene.alice)
    approve(scene, scene.bob, first)
    assert reason(lambda: approve(scene, scene.bob, second)) == "CON-068"


def test_a_token_that_is_nobodys_is_no_person(scene: Scene) -> None:
    """ADM-070: a program without an owner cannot be one of the two."""
    program = Caller(Actor(ActorKind.ADMIN, "token:ci"), EVERYTHING, program=True)
    assert reason(lambda: ask(verbs.LET_GO, scene.world, program, ASKED)) == "ADM-070"


def test_only_an_administrator_lets_it_go(scene: Scene) -> None:
    """ADM-070: an operator sees what is stopped, and lets nothing go."""
    operator = replace(scene.bob, grants=(Grant(Role.OPERATOR),))
    (listed,) = ask(verbs.LIST, scene.world, operator, verbs.ListStops()).items
    assert [(each.group, each.ends, each.live) for each in listed.groups] == [("default", 40, 100), ("other", 2, 900)]
    assert len(listed.why) == 2
    assert reason(lambda: ask(verbs.LET_GO, scene.world, operator, ASKED)) == "ADM-070"
