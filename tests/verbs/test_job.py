"""Verbs about jobs: what they show, and asking for a run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from regalia import reasons
from regalia.errors import AdminError
from regalia.jobs.loop import JobLoop, Scope
from regalia.model import Action, Grant, Reach, Role
from regalia.ra.roles import EVERYTHING
from regalia.verbs import Caller, LocalDoor
from regalia.verbs import job as verbs
from regalia.verbs.job import JobState
from world import ADMIN, World

MINUTE = timedelta(minutes=1)


class Work:
    """A job that takes two seconds, and fails when it is told to."""

    def __init__(self, world: World, scope: Scope = Scope.CLUSTER) -> None:
        self.name = "work"
        self.every = MINUTE
        self.scope = scope
        self.fails = False
        self._world = world

    def run(self, now: object) -> None:
        """Take its time."""
        del now
        self._world.clock.advance(timedelta(seconds=2))
        if self.fails:
            raise ValueError("broken")


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return the door of somebody who may do everything."""
    return LocalDoor(world, Caller(ADMIN, EVERYTHING))


def loop(world: World, work: Work) -> JobLoop:
    """Make the loop of one process."""
    return JobLoop((work,), leases=world.store, clock=world.clock, node="one", holder="one:17")


def test_what_a_job_did_is_shown(world: World, door: LocalDoor) -> None:
    """A job is listed with how its last run ended, how long it took and when it is due."""
    work = Work(world)
    made = loop(world, work)
    began = world.clock.now()
    made.run_once(work)
    (shown,) = door.ask(verbs.LIST, verbs.ListJobs()).items
    assert (shown.name, shown.state, shown.milliseconds, shown.every_seconds) == ("work", JobState.OK, 2_000, 60)
    ended = began + timedelta(seconds=2)
    assert (shown.last_run, shown.last_success, shown.next_due) == (ended, ended, ended + MINUTE)
    work.fails = True
    world.clock.advance(MINUTE)
    made.run_once(work)
    failed = door.ask(verbs.SHOW, verbs.ShowJob(name="work"))
    assert (failed.state, failed.last_error, failed.last_success) == (JobState.FAILED, "ValueError: broken", ended)
    world.store.lease("work", "two:4", world.clock.now(), world.clock.now() + MINUTE)
    running = door.ask(verbs.SHOW, verbs.ShowJob(name="work"))
    assert (running.state, running.holder) == (JobState.RUNNING, "two:4")
    world.clock.advance(2 * MINUTE)
    assert door.ask(verbs.SHOW, verbs.ShowJob(name="work")).holder is None


def test_a_run_that_was_asked_for(world: World, door: LocalDoor) -> None:
    """Who asks is on record; the job is wanted until its process has run it."""
    work = Work(world)
    made = loop(world, work)
    made.run_once(work)
    asked = door.ask(verbs.RUN, verbs.RunJob(name="work"))
    assert (asked.state, asked.wanted_at) == (JobState.WANTED, world.clock.now())
    event = world.store.log[-1].draft
    assert (event.action, event.object, event.actor) == (Action.JOB_WANTED, "job:work", ADMIN)
    made.run_wanted()
    assert door.ask(verbs.SHOW, verbs.ShowJob(name="work")).state is JobState.OK


def test_without_a_server_nothing_is_asked_for(world: World, door: LocalDoor) -> None:
    """Where no job ran lately nobody would run it: the request is refused with what to do, and not noted."""
    work = Work(world)
    loop(world, work).run_once(work)
    world.clock.advance(10 * MINUTE)
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.RUN, verbs.RunJob(name="work"))
    assert refused.value.reason is reasons.JOB_UNATTENDED
    assert world.store.job_status()[0].wanted_at is None
    with pytest.raises(AdminError) as unknown:
        door.ask(verbs.RUN, verbs.RunJob(name="other"))
    assert unknown.value.reason is reasons.NOT_FOUND


def test_a_node_that_is_away_is_asked_for_nothing(world: World, door: LocalDoor) -> None:
    """A job of a node is run by that node alone: that others are there does not help."""
    work = Work(world, Scope.NODE)
    loop(world, work).run_once(work)
    world.clock.advance(10 * MINUTE)
    world.store.finished("work@two", "two:1", world.clock.now(), "", every=MINUTE)
    with pytest.raises(AdminError) as refused:
        door.ask(verbs.RUN, verbs.RunJob(name="work@one"))
    assert refused.value.reason is reasons.JOB_UNATTENDED
    assert door.ask(verbs.RUN, verbs.RunJob(name="work@two")).state is JobState.WANTED


def test_jobs_concern_the_whole(world: World) -> None:
    """AUTHZ-1: jobs belong to no group, and who may only read runs none."""
    somewhere = LocalDoor(world, Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset({"default"}))),)))
    reader = LocalDoor(world, Caller(ADMIN, (Grant(Role.AUDITOR),)))
    assert reader.ask(verbs.LIST, verbs.ListJobs()).items == ()
    refusals = []
    with pytest.raises(AdminError) as refused:
        somewhere.ask(verbs.LIST, verbs.ListJobs())
    refusals.append(refused.value.reason)
    with pytest.raises(AdminError) as refused:
        reader.ask(verbs.RUN, verbs.RunJob(name="work"))
    refusals.append(refused.value.reason)
    assert refusals == [reasons.RIGHT_MISSING] * 2
