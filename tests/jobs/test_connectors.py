"""Jobs that ask connectors: side by side, as far as there is time, and what one does not answer is its own affair."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ra.test_feed import Feed, wish
from ra.test_follow_run import WIPED, Fleet
from ra.test_sweeping import System, shown
from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.errors import UnavailableError
from regalia.jobs.connectors import AnswerFeeds, FollowFleet, SweepConnectors, TellConnectors
from regalia.model.connector import Checked, Connector, NotAsked
from regalia.ra.sweeping import Sweeper

if TYPE_CHECKING:
    from regalia.model.connector import SweepPage
    from regalia.ports.connectors import Link

EVERY = timedelta(minutes=5)
WAIT = 10.0


class Read(System):
    """A link with an inventory."""

    name = "x"

    def check(self) -> tuple[Checked, ...]:
        """See `ports.Link`."""
        return ()


class Wanting(Feed):
    """A link with a feed."""

    name = "x"

    def check(self) -> tuple[Checked, ...]:
        """See `ports.Link`."""
        return ()


@dataclass
class Linked:
    """The links of a test, by name."""

    by_name: dict[str, Any]
    asked: list[str] = field(default_factory=list)

    def link(self, name: str) -> Link | NotAsked:
        """See `ports.Links`."""
        self.asked.append(name)
        found: Link | NotAsked = self.by_name.get(name, NotAsked(reasons.CONNECTOR_MISSING, name))
        return found


def fleet_of(*names: str) -> Fleet:
    """Make a fleet whose store has these connectors, beside `intune`."""
    fleet = Fleet(2)
    for number, name in enumerate(names, 100):
        fleet.store.add_connector(Connector(UUID(int=number), name, "intune", {}, fleet.clock.now()), None, ())
    return fleet


def sweep(fleet: Fleet, links: Linked) -> None:
    """Run the job once."""
    sweeper = Sweeper(fleet.store, fleet.clock, fleet.entropy)
    SweepConnectors(fleet.store, links, sweeper, fleet.clock, every=EVERY).run(fleet.clock.now())


def test_every_inventory_is_read_to_its_end() -> None:
    """A sweep of many pages is read in one run, and a connector without an inventory is passed by."""
    fleet = fleet_of("jamf", "feeds")
    sweep(fleet, Linked({"jamf": Read([shown(number) for number in range(90)]), "feeds": Wanting()}))
    last = fleet.store.last_sweep("jamf")
    assert last is not None
    assert last.seen == 90
    assert fleet.store.last_sweep("feeds", complete=False) is None


def test_a_run_leaves_the_rest_to_the_next_one() -> None:
    """Where the next run is near, a long sweep stays open at its place."""
    fleet = fleet_of("jamf")

    class Slow(Read):
        def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
            fleet.clock.advance(timedelta(seconds=20))
            return super().sweep(cursor)

    system = Slow([shown(number) for number in range(90)])
    sweep(fleet, Linked({"jamf": system}))
    sweeping = fleet.store.open_sweep("jamf")
    assert sweeping is not None
    assert (sweeping.seen, len(system.asked)) == (40, 20)
    for _ in range(2):
        sweep(fleet, Linked({"jamf": system}))
    assert fleet.store.open_sweep("jamf") is None


def test_one_that_hangs_keeps_nobody_waiting() -> None:
    """R8: while one connector does not answer at all, the others are read."""
    fleet = fleet_of("hangs", "jamf")
    others_done = threading.Event()

    class Hangs(Read):
        def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
            del cursor
            assert others_done.wait(WAIT)
            return NotAsked(reasons.CONNECTOR_AWAY, "no answer")

    class Done(Read):
        def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
            page = super().sweep(cursor)
            others_done.set()
            return page

    sweep(fleet, Linked({"hangs": Hangs(), "jamf": Done([shown(0)])}))
    assert others_done.is_set()
    hanging = fleet.store.open_sweep("hangs")
    assert hanging is not None
    assert hanging.why == "CON-020 no answer"


def test_who_is_disabled_or_cannot_be_linked_is_not_asked() -> None:
    """A disabled connector is left in peace, and one whose secret does not open fails no run."""
    fleet = fleet_of("jamf", "broken")
    jamf = fleet.store.connector("jamf")
    assert jamf is not None
    assert fleet.store.change_connector(jamf, replace(jamf, disabled_at=fleet.clock.now()), None, ())
    links = Linked({"jamf": Read([shown(0)])})
    sweep(fleet, links)
    assert sorted(links.asked) == ["broken", "intune"]


def test_a_fault_of_ours_fails_the_run_after_the_others() -> None:
    """A database that is away is the job's failure: it is noted, and all others were asked."""
    fleet = fleet_of("faulty", "jamf")

    class Faulty(Read):
        def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, str(cursor))

    with pytest.raises(UnavailableError):
        sweep(fleet, Linked({"faulty": Faulty(), "jamf": Read([shown(0)])}))
    assert fleet.store.last_sweep("jamf") is not None


def test_feeds_are_answered() -> None:
    """What a feed wants revoked is, and one that is away is asked again at the next time."""
    fleet = fleet_of("away")
    feed = Wanting((wish(1 << 8),))
    links = Linked({"intune": feed, "away": Wanting(NotAsked(reasons.CONNECTOR_AWAY))})
    AnswerFeeds(fleet.store, links, every=EVERY).run(fleet.clock.now())
    assert [result.done for result in feed.told] == [True]
    assert is_final(fleet.row(1))


def test_what_is_due_follows() -> None:
    """The job carries out what is planned, and a run that the brake stops does nothing."""
    fleet = Fleet(30)
    job = FollowFleet(fleet.store, fleet.entropy, every=EVERY)
    fleet.become(WIPED, 1)
    job.run(fleet.clock.now())
    assert fleet.revoked() == 1
    fleet.become(WIPED, *range(2, 31))
    job.run(fleet.clock.now())
    assert fleet.revoked() == 1
    assert len(fleet.store.open_stops()) == 1


def test_notices_are_told() -> None:
    """The job has what is due told."""

    class Teller:
        asked: Any = None

        def tell_due(self, now: Any) -> int:  # noqa: ANN401 - a moment
            self.asked = now
            return 0

    teller, fleet = Teller(), Fleet()
    TellConnectors(teller).run(fleet.clock.now())
    assert teller.asked == fleet.clock.now()
