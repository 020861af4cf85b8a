"""Inventories are read page by page; what nobody answers changes nothing, and what two sweeps miss is absent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fakes import FakeClock, SeededEntropy
from memory_store import MemoryStore
from regalia import reasons
from regalia.model import Action
from regalia.model.connector import NotAsked, ReportedDevice, ReportedUser, SweepPage
from regalia.model.fleet import DeviceState, Platform, UserState
from regalia.ports import EventFilter
from regalia.ra.sweeping import Sweeper

if TYPE_CHECKING:
    from regalia.ports.fleet import Sweep

HOUR = timedelta(hours=1)


def shown(number: int, **state: Any) -> ReportedDevice:  # noqa: ANN401 - facts of a state
    """Make a device as a system reports it."""
    return ReportedDevice(f"d-{number}", f"laptop-{number}", Platform.WINDOWS, DeviceState(**state))


@dataclass
class System:
    """An inventory: these devices, so many a page."""

    devices: list[ReportedDevice] = field(default_factory=list)
    users: tuple[ReportedUser, ...] = ()
    a_page: int = 2
    fails_at: str | None = "never"
    changed: list[SweepPage | NotAsked | None] = field(default_factory=list)
    delta: str | None = None
    asked: list[str | None] = field(default_factory=list)

    def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
        """See `ports.Inventory`."""
        self.asked.append(cursor)
        first = int(cursor or 0)
        if self.fails_at == cursor:
            return NotAsked(reasons.CONNECTOR_AWAY, "no answer")
        more = first + self.a_page < len(self.devices)
        return SweepPage(
            tuple(self.devices[first : first + self.a_page]),
            () if more else self.users,
            cursor=str(first + self.a_page) if more else None,
            next_delta=None if more else self.delta,
        )

    def changes(self, delta: str) -> SweepPage | NotAsked | None:
        """See `ports.Inventory`."""
        self.asked.append(f"changes {delta}")
        return self.changed.pop(0)

    def device(self, external_id: str, *, within: float) -> ReportedDevice | None:
        """See `ports.Inventory`."""
        del within
        return next((each for each in self.devices if each.external_id == external_id), None)

    def user(self, external_id: str, *, within: float) -> ReportedUser | None:
        """See `ports.Inventory`."""
        del within
        return next((each for each in self.users if each.external_id == external_id), None)


@dataclass
class Scene:
    """A system, and what is kept of it."""

    system: System
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)
    entropy: SeededEntropy = field(default_factory=SeededEntropy)

    def read(self, pages: int = 100, after: timedelta = HOUR) -> Sweep | None:
        """Let some time pass, and read."""
        self.clock.advance(after)
        return Sweeper(self.store, self.clock, self.entropy).read("mdm", self.system, pages=pages)

    def present(self) -> set[str]:
        """Return who is not absent."""
        found = (self.store.device_of("mdm", f"d-{number}") for number in range(20))
        return {each.external_id for each in found if each is not None and each.state.present}

    def events(self, action: Action) -> list[dict[str, Any]]:
        """Return what was recorded of an action."""
        return [
            dict(event.draft.details)
            for event in self.store.events(EventFilter(limit=1_000))
            if event.draft.action is action
        ]


@pytest.fixture
def scene() -> Scene:
    """Return a system of five devices, in three pages."""
    return Scene(System([shown(number) for number in range(5)]))


def test_what_is_shown_becomes_a_record(scene: Scene) -> None:
    """A first sweep makes records, with one event each; the next one, which shows the same, has none."""
    sweep = scene.read()
    assert sweep is not None
    assert (sweep.complete, sweep.seen, sweep.why) == (True, 5, "")
    assert scene.present() == {"d-0", "d-1", "d-2", "d-3", "d-4"}
    scene.read()
    assert len(scene.events(Action.DEVICE_ADDED)) == 5
    assert scene.events(Action.DEVICE_CHANGED) == []
    device = scene.store.device_of("mdm", "d-0")
    assert device is not None
    assert (device.seen_at, device.first_seen_at) == (scene.clock.now(), scene.clock.now() - HOUR)


def test_a_state_that_changed_is_an_event(scene: Scene) -> None:
    """What a device was and is stands in the log, and since when it is so in its record."""
    scene.read()
    scene.system.devices[3] = shown(3, compliant=False)
    scene.read()
    (changed,) = scene.events(Action.DEVICE_CHANGED)
    assert changed["state"] == "present true, compliant false, pending none"
    assert changed["former"] == "present true, pending none"
    device = scene.store.device_of("mdm", "d-3")
    assert device is not None
    assert device.state_since == scene.clock.now()


def test_two_complete_sweeps_that_miss_a_device(scene: Scene) -> None:
    """REV-7: once missed is no absence; twice in a row is, and whoever comes back is present again."""
    scene.read()
    missing = scene.system.devices.pop()
    scene.read()
    assert "d-4" in scene.present()
    scene.read()
    assert "d-4" not in scene.present()
    (gone,) = scene.events(Action.DEVICE_ABSENT)
    assert gone["external_id"] == "d-4"
    scene.system.devices.append(missing)
    scene.read()
    assert "d-4" in scene.present()


def test_once_missed_and_shown_again_begins_anew(scene: Scene) -> None:
    """REV-7: two misses count in a row only."""
    scene.read()
    for _ in range(3):
        missing = scene.system.devices.pop()
        scene.read()
        scene.system.devices.append(missing)
        scene.read()
    assert "d-4" in scene.present()


@pytest.mark.parametrize("fails_at", [None, "2", "4"])
def test_an_outage_is_no_absence(scene: Scene, fails_at: str | None) -> None:
    """CON-5: whichever page fails, and however often, nobody is missing, and the reason is kept."""
    scene.read()
    scene.system.devices = [shown(number) for number in (0, 11, 12, 13, 14)]
    scene.system.fails_at = fails_at
    for _ in range(5):
        sweep = scene.read()
        assert sweep is not None
        assert (sweep.ended_at, sweep.why) == (None, "CON-020 no answer")
    assert {"d-1", "d-2", "d-3", "d-4"} <= scene.present()


def test_an_empty_answer_counts_for_nothing(scene: Scene) -> None:
    """REV-7: a system that shows nothing at all is taken for a faulty one."""
    scene.read()
    scene.system.devices.clear()
    for _ in range(4):
        scene.read()
    assert len(scene.present()) == 5


def test_a_sweep_goes_on_where_it_was(scene: Scene) -> None:
    """A job reads some pages at a time, and another process goes on; what was shown before counts as shown."""
    scene.read()
    for _ in range(3):
        sweep = scene.read(pages=1, after=timedelta(hours=1))
    assert sweep is not None
    assert (sweep.complete, sweep.seen) == (True, 5)
    assert scene.system.asked == [None, "2", "4"] * 2
    assert len(scene.present()) == 5


def test_a_failure_in_the_middle_is_made_good(scene: Scene) -> None:
    """The page that failed is read again at the next time, and the reason is forgotten."""
    scene.system.fails_at = "2"
    assert scene.read().why != ""  # type: ignore[union-attr]
    scene.system.fails_at = "never"
    sweep = scene.read(after=timedelta(minutes=5))
    assert sweep is not None
    assert (sweep.complete, sweep.why, sweep.seen) == (True, "", 5)
    assert scene.system.asked == [None, "2", "2", "4"]


def test_a_sweep_that_never_ends_is_given_up(scene: Scene) -> None:
    """After half a day its first pages are of another day: it is ended as broken off, and another one begins."""
    scene.system.fails_at = "2"
    scene.read()
    scene.read(after=timedelta(hours=13))
    (ended,) = scene.events(Action.SWEEP_ENDED)
    assert "CON-020" in ended["why"]
    assert scene.system.asked == [None, "2", None, "2"]


def test_changes_are_read_between_full_sweeps(scene: Scene) -> None:
    """A system that knows what changed is asked for that; after an hour it is read whole."""
    scene.system.delta = "place-1"
    scene.read()
    scene.system.changed = [
        SweepPage((shown(0, lost=True),), next_delta="place-2", full=False),
        SweepPage(gone=("d-1",), next_delta="place-3", full=False),
    ]
    for _ in range(2):
        scene.read(after=timedelta(minutes=5))
    assert scene.system.asked[3:] == ["changes place-1", "changes place-2"]
    device = scene.store.device_of("mdm", "d-0")
    assert device is not None
    assert device.state.lost
    assert scene.present() == {"d-0", "d-2", "d-3", "d-4"}
    scene.read()
    assert scene.system.asked[5:] == [None, "2", "4"]


def test_a_change_says_nothing_of_others(scene: Scene) -> None:
    """REV-7: what a delta does not show is not missed, however many there are."""
    scene.system.delta = "place"
    scene.read()
    scene.system.changed = [SweepPage((shown(0),), next_delta="place", full=False) for _ in range(5)]
    for _ in range(5):
        scene.read(after=timedelta(minutes=5))
    assert len(scene.present()) == 5


def test_a_place_that_is_forgotten_is_read_anew(scene: Scene) -> None:
    """Where the system no longer knows the place, a full sweep follows at once."""
    scene.system.delta = "place"
    scene.read()
    scene.system.changed = [None]
    sweep = scene.read(after=timedelta(minutes=5))
    assert sweep is not None
    assert (sweep.full, sweep.complete, sweep.seen) == (True, True, 5)


def test_nothing_is_due_before_its_time(scene: Scene) -> None:
    """A system without changes to ask for is read once an hour."""
    scene.read()
    assert scene.read(after=timedelta(minutes=5)) is None
    assert scene.system.asked == [None, "2", "4"]


def test_users_are_missed_as_devices_are(scene: Scene) -> None:
    """A user whom two sweeps do not show is absent; one who is shown without a name keeps the one that they had."""
    ada = ReportedUser("u-1", "Ada", UserState(enabled=True), upn="ada@example.org")
    eve = replace(ada, external_id="u-2", name="Eve")
    scene.system.users = (ada, eve)
    scene.read()
    scene.system.users = (replace(ada, name="", upn=None, state=UserState(enabled=False)), eve)
    scene.read()
    user = scene.store.user_of("mdm", "u-1")
    assert user is not None
    assert (user.name, user.upn, user.state.enabled) == ("Ada", "ada@example.org", False)
    scene.system.users = (eve,)
    scene.read()
    scene.read()
    user = scene.store.user_of("mdm", "u-1")
    assert user is not None
    assert not user.state.present


def test_devices_say_nothing_of_users(scene: Scene) -> None:
    """REV-7: sweeps that show devices and no user at all, as where users are not read, make no user absent."""
    scene.system.users = (ReportedUser("u-1", "Ada", UserState(enabled=True)),)
    scene.read()
    scene.system.users = ()
    for _ in range(3):
        scene.read()
    user = scene.store.user_of("mdm", "u-1")
    assert user is not None
    assert (user.state.present, user.missed_sweeps) == (True, 0)
    assert scene.present() == {f"d-{number}" for number in range(5)}


def member(number: int, *groups: str) -> ReportedDevice:
    """Make a device whose memberships are known."""
    return replace(shown(number), memberships=frozenset(groups), memberships_known=True)


@pytest.mark.parametrize("answer", ["still in", "left", "away", "nobody"])
def test_who_left_is_asked_for_by_name(scene: Scene, answer: str) -> None:
    """CON-5: a membership that a sweep does not show is taken away only once its system says so of this device."""
    answers: dict[str, ReportedDevice | NotAsked | None] = {
        "still in": member(0, "staff"),
        "left": member(0),
        "away": NotAsked(reasons.CONNECTOR_AWAY, "no answer"),
        "nobody": None,
    }

    class Asked(System):
        def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:  # type: ignore[override]
            del within
            assert external_id == "d-0"
            return answers[answer]

    scene.system = Asked([member(0, "staff"), member(1, "staff")])
    scene.read()
    scene.system.devices = [member(0), member(1, "staff")]
    scene.read()
    device = scene.store.device_of("mdm", "d-0")
    assert device is not None
    assert device.memberships == (frozenset() if answer == "left" else {"staff"})


def test_a_whole_inventory_is_brought(scene: Scene) -> None:
    """REV-7: two imports that lack a device make it absent, as two sweeps do; an empty one counts for nothing."""
    sweeper = Sweeper(scene.store, scene.clock, scene.entropy)
    for numbers in (range(5), range(4), (), range(4)):
        scene.clock.advance(HOUR)
        sweep = sweeper.bring("mdm", SweepPage(tuple(map(shown, numbers))))
        assert (sweep.complete, sweep.seen) == (True, len(numbers))
    assert scene.present() == {"d-0", "d-1", "d-2", "d-3"}


def test_a_device_that_is_shown_twice_is_one(scene: Scene) -> None:
    """A system that names a device on two pages, or twice on one, has one record of it; the last word counts."""
    scene.system.devices = [shown(0), shown(0, lost=True), shown(1), shown(0, lost=False)]
    scene.read()
    device = scene.store.device_of("mdm", "d-0")
    assert device is not None
    assert device.state.lost is False
    assert len(scene.events(Action.DEVICE_ADDED)) == 2
