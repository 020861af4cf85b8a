"""Messages to a connector: signed, fresh, once; and what they say follows at once."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ra.test_follow_run import Fleet
from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.errors import UnavailableError
from regalia.model import Action
from regalia.model.connector import SweepPage
from regalia.model.fleet import DeviceState
from regalia.ports import EventFilter
from regalia.ra.alert_message import signature_of
from regalia.ra.hooks import HookDesk, Limited, Message, Receipt, Stranger, Unreadable
from regalia.ra.sweeping import Sweeper
from vouching_parts import reported_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memory_store import MemoryStore
    from regalia.model import EventDraft
    from regalia.model.connector import Connector
    from regalia.model.fleet import Device
    from regalia.ra.hooks import HookAnswer

KEY = b"k" * 32
WIPED = {"devices": [{"id": "device-1", "platform": "windows", "pending": "wipe"}]}


def key_of(connector: Connector) -> bytes:
    """Give the one connector of these tests its key, and others another one."""
    return KEY if connector.name == "intune" else b"o" * 32


@dataclass
class Scene:
    """A fleet of two devices, and the desk."""

    fleet: Fleet = field(default_factory=lambda: Fleet(2))
    sent: int = 0

    def __post_init__(self) -> None:
        fleet = self.fleet
        sweeper = Sweeper(fleet.store, fleet.clock, fleet.entropy)
        self.desk = HookDesk(
            store=fleet.store, kinds=fleet.connectors.kinds, sweeper=sweeper, key_of=key_of, clock=fleet.clock
        )

    def message(self, said: Any, key: bytes = KEY, **changes: Any) -> Message:  # noqa: ANN401 - JSON, or octets
        """Make a message of now, signed with this key."""
        self.sent += 1
        body = said if isinstance(said, bytes) else json.dumps({"id": f"m-{self.sent}", **said}).encode()
        stamp = int(self.fleet.clock.now().timestamp())
        made = Message("intune", str(stamp), signature_of(key, stamp, body), body, "192.0.2.9")
        return replace(made, **changes)

    def send(self, said: Any, **changes: Any) -> HookAnswer:  # noqa: ANN401 - the same
        """Send one."""
        return self.desk.receive(self.message(said, **changes))

    def events(self, action: Action) -> list[Any]:
        """Return what was recorded of an action."""
        return [each.draft for each in self.fleet.store.events(EventFilter(limit=1_000)) if each.draft.action is action]


@pytest.fixture
def scene() -> Scene:
    """Return it."""
    return Scene()


def test_a_wipe_is_followed_at_once(scene: Scene) -> None:
    """What a message says of a device has its consequence before the message is answered."""
    answer = scene.send(WIPED)
    assert isinstance(answer, Receipt)
    assert not answer.repeated
    assert is_final(scene.fleet.row(1))
    assert not is_final(scene.fleet.row(2))
    (event,) = scene.events(Action.HOOK_RECEIVED)
    assert event.details["receipt"] == answer.id
    assert event.details["named"] == ["device-1"]


def test_users_and_who_is_gone(scene: Scene) -> None:
    """A message may say that a user is disabled, and that a device is gone for good."""
    assert isinstance(scene.send({"users": [{"id": "user-1", "enabled": False}], "gone": ["device-2"]}), Receipt)
    user = scene.fleet.store.user_of("intune", "user-1")
    assert user is not None
    assert user.state.enabled is False
    assert is_final(scene.fleet.row(2))


def test_a_message_is_good_once(scene: Scene) -> None:
    """CON-6: what is overheard and sent again does nothing, also when the device is fine again by then."""
    message = scene.message({"devices": [{"id": "device-1", "compliant": True}]})
    first = scene.desk.receive(message)
    scene.send({"devices": [{"id": "device-1", "compliant": False}]})
    again = scene.desk.receive(message)
    assert isinstance(first, Receipt)
    assert again == Receipt(first.id, repeated=True)
    device = scene.fleet.store.device_of("intune", "device-1")
    assert device is not None
    assert device.state.compliant is False
    (event,) = scene.events(Action.HOOK_REFUSED)
    assert (event.reason_id, event.security) == (reasons.HOOK_REPEATED.id, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"connector": "nobody"},
        {"connector": "jamf"},
        {"signature": ""},
        {"signature": "v1=" + "0" * 64},
        {"signature": "v0=ü"},
        {"timestamp": ""},
        {"timestamp": "0"},
        {"timestamp": "9" * 40},
        {"timestamp": "-1"},
        {"body": b'{"gone": ["device-1"]}'},
        {"key": b"another key of as many octets!!!"},
    ],
)
def test_whoever_cannot_sign_is_a_stranger(scene: Scene, changes: dict[str, Any]) -> None:
    """CON-6, CON-079: another key, body, time or connector has the same answer, and changes nothing."""
    assert scene.send(WIPED, **changes) == Stranger()
    assert scene.fleet.revoked() == 0
    (event,) = scene.events(Action.HOOK_REFUSED)
    assert (event.reason_id, event.security) == (reasons.HOOK_STRANGER.id, True)


def test_a_message_says_what_it_says_and_no_more(scene: Scene) -> None:
    """CON-5: what a message leaves out stays as it was: a lost device that is compliant is lost."""
    scene.send({"devices": [{"id": "device-1", "lost": True, "pending": "wipe", "platform": "ios"}]})
    scene.send({"devices": [{"id": "device-1", "compliant": True}]})
    device = scene.fleet.store.device_of("intune", "device-1")
    assert device is not None
    assert (device.state.lost, device.state.compliant, device.state.pending) == (True, True, "wipe")
    assert device.platform == "ios"
    scene.send({"users": [{"id": "user-1", "enabled": False}]})
    scene.send({"users": [{"id": "user-1", "risk": "low"}]})
    user = scene.fleet.store.user_of("intune", "user-1")
    assert user is not None
    assert (user.state.enabled, user.state.risk) == (False, "low")


def said(at: Any, **facts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Make a message about the device that says when it was so."""
    return {"occurred_at": at.isoformat() if hasattr(at, "isoformat") else at, "devices": [{"id": "device-1", **facts}]}


def state(scene: Scene) -> tuple[Any, ...]:
    """Return what is known of the device."""
    device = scene.fleet.store.device_of("intune", "device-1")
    assert device is not None
    return device.state.present, device.state.lost, device.state.compliant, device.user


def left_out(answer: HookAnswer) -> int:
    """Say how much of a message was left out."""
    assert isinstance(answer, Receipt)
    return answer.left_out


def test_a_late_message_undoes_nothing_newer(scene: Scene) -> None:
    """CON-6: what was so before what was said since is left out, fact by fact, and told; the rest of it counts."""
    clock = scene.fleet.clock
    first = clock.now()
    clock.advance(timedelta(minutes=2))
    assert left_out(scene.send(said(first + timedelta(seconds=60), lost=False))) == 0
    assert left_out(scene.send(said(first + timedelta(seconds=30), lost=True))) == 1
    assert state(scene)[:3] == (True, False, None)
    assert scene.events(Action.HOOK_RECEIVED)[-1].details["left_out"] == 1
    assert left_out(scene.send(said(first + timedelta(seconds=45), lost=True, compliant=True, user="u-2"))) == 0
    assert state(scene) == (True, False, True, "u-2")
    assert left_out(scene.send(said(first + timedelta(seconds=40), compliant=False, user="u-3"))) == 1
    assert left_out(scene.send(said(first + timedelta(seconds=61), lost=True))) == 0
    assert state(scene) == (True, True, True, "u-2")
    device = scene.fleet.store.device_of("intune", "device-1")
    assert device is not None
    assert device.evidence["said"] == {"id": "device-1", "lost": True, "compliant": True, "user": "u-2"}


def test_who_is_gone_does_not_come_back_by_a_late_message(scene: Scene) -> None:
    """What was so before a device was deleted brings it not back, and a deletion before it was seen again is none."""
    clock = scene.fleet.clock
    first = clock.now()
    clock.advance(timedelta(minutes=2))
    gone = {"gone": ["device-1"]}
    assert left_out(scene.send({"occurred_at": (first + timedelta(seconds=60)).isoformat(), **gone})) == 0
    assert left_out(scene.send(said(first + timedelta(seconds=59), lost=False))) == 0
    assert state(scene)[:2] == (False, False)
    assert left_out(scene.send(said(first + timedelta(seconds=61), lost=False))) == 0
    assert state(scene)[0] is True
    assert left_out(scene.send({"occurred_at": (first + timedelta(seconds=60)).isoformat(), **gone})) == 1
    assert state(scene)[0] is True


def test_a_sweep_is_newer_than_what_was_before_it(scene: Scene) -> None:
    """What everything was said of at once is as old as that, for each fact."""
    clock = scene.fleet.clock
    clock.advance(timedelta(minutes=2))
    before, sweeper = clock.now(), Sweeper(scene.fleet.store, clock, scene.fleet.entropy)
    clock.advance(timedelta(seconds=10))
    report = reported_device("device-1", state=DeviceState(lost=False, compliant=True))
    sweeper.take("intune", SweepPage((report,)))
    assert left_out(scene.send(said(before, lost=True, compliant=False))) == 1
    assert state(scene)[:3] == (True, False, True)
    assert left_out(scene.send(said(clock.now(), lost=True))) == 0
    assert state(scene)[:3] == (True, True, True)
    assert left_out(scene.send(said(before, compliant=False))) == 1


def test_what_says_no_time_is_never_late(scene: Scene) -> None:
    """A message without a time counts when it comes, also on a node whose clock is behind that of another one."""
    clock = scene.fleet.clock
    assert left_out(scene.send(said(clock.now() + timedelta(minutes=4), lost=True))) == 0
    assert left_out(scene.send({"devices": [{"id": "device-1", "lost": False}]})) == 0
    assert state(scene)[1] is False
    clock.advance(timedelta(seconds=-2))
    assert left_out(scene.send({"devices": [{"id": "device-1", "lost": True}]})) == 0
    assert left_out(scene.send({"gone": ["device-1"]})) == 0
    assert state(scene)[:2] == (False, True)


@pytest.mark.parametrize(
    "at", ["yesterday", "2026-03-01T09:00:00", 7, "", "2026-13-01T09:00:00Z", "2999-01-01T00:00:00Z", ["x"]]
)
def test_a_time_that_is_none_is_told(scene: Scene, at: Any) -> None:  # noqa: ANN401 - JSON
    """CON-081: a time has its zone and is past."""
    answer = scene.send(said(at, lost=True))
    assert isinstance(answer, Unreadable)
    assert answer.detail.startswith("occurred_at")
    assert state(scene)[1] is None


class BusyStore:
    """A store in which others change a record a few times, just before somebody else does."""

    def __init__(self, store: MemoryStore, times: int) -> None:
        self._store = store
        self._times = times

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put_devices(self, devices: Sequence[tuple[Device | None, Device]], events: Sequence[EventDraft]) -> bool:
        """Lose, as often as there are others."""
        self._times -= 1
        return self._times < 0 and self._store.put_devices(devices, events)


@pytest.mark.parametrize(("times", "taken"), [(1, True), (3, True), (9, False)])
def test_a_message_that_meets_others_is_not_lost(scene: Scene, times: int, *, taken: bool) -> None:
    """A wipe that comes while a sweep writes the same record is taken, or its sender is told to send it again."""
    fleet = scene.fleet
    store: Any = BusyStore(fleet.store, times)
    scene.desk = HookDesk(
        store=fleet.store,
        kinds=fleet.connectors.kinds,
        sweeper=Sweeper(store, fleet.clock, fleet.entropy),
        key_of=key_of,
        clock=fleet.clock,
    )
    with nullcontext() if taken else pytest.raises(UnavailableError):
        scene.send(WIPED)
    assert is_final(fleet.row(1)) is taken


def test_a_message_that_was_cut_off_is_not_used_up(scene: Scene) -> None:
    """A message whose records were not kept comes again as it is, and does what it wanted; only then is it used up."""
    fleet, message = scene.fleet, scene.message(WIPED)
    store: Any = BusyStore(fleet.store, 9)
    cut_off = HookDesk(
        store=fleet.store,
        kinds=fleet.connectors.kinds,
        sweeper=Sweeper(store, fleet.clock, fleet.entropy),
        key_of=key_of,
        clock=fleet.clock,
    )
    with pytest.raises(UnavailableError):
        cut_off.receive(message)
    again = scene.desk.receive(message)
    assert isinstance(again, Receipt)
    assert not again.repeated
    assert is_final(fleet.row(1))
    assert scene.desk.receive(message) == Receipt(again.id, repeated=True)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_message_is_refused(scene: Scene, minutes: int) -> None:
    """CON-6: five minutes either way."""
    message = scene.message(WIPED)
    scene.fleet.clock.advance(timedelta(minutes=minutes))
    assert scene.desk.receive(message) == Stranger()
    assert scene.fleet.revoked() == 0


def test_a_disabled_connector_hears_nothing(scene: Scene) -> None:
    """Whoever disables a connector closes this door, too."""
    store = scene.fleet.store
    connector = store.connector("intune")
    assert connector is not None
    assert store.change_connector(connector, replace(connector, disabled_at=scene.fleet.clock.now()), None, ())
    assert scene.send(WIPED) == Stranger()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"gone": [], "gone": ["device-1"]}',
        b'{"gone": ["device-1"]}',
        {"id": "", "gone": ["device-1"]},
        {"id": "x" * 201, "gone": ["device-1"]},
        {"id": "a\nb", "gone": ["device-1"]},
        {"id": 7, "gone": ["device-1"]},
        {"event": "wipe"},
        {"gone": "device-1"},
        {"gone": [1]},
        {"gone": [""]},
        {"devices": {}},
        {"devices": [{"serial": "x"}]},
        {"devices": [{"id": "device-1", "pending": "wipe"}, {"id": "2", "colour": "red"}]},
        {"devices": [{"id": "device-1", "group": "no-such-group"}]},
        {"gone": [f"d-{number}" for number in range(501)]},
    ],
)
def test_what_cannot_be_read_is_told(scene: Scene, said: Any) -> None:  # noqa: ANN401 - JSON, or octets
    """CON-081: the sender is known, so it hears what is wrong; nothing of the message is taken."""
    answer = scene.send(said)
    assert isinstance(answer, Unreadable)
    assert answer.detail
    assert scene.fleet.revoked() == 0
    assert scene.events(Action.HOOK_REFUSED)[-1].reason_id == reasons.HOOK_UNREADABLE.id


def test_a_stranger_is_counted(scene: Scene) -> None:
    """CON-082: after thirty in a minute a source is not listened to; the log has two lines of it, not thirty."""
    for _ in range(30):
        assert scene.send(WIPED, signature="") == Stranger()
    assert scene.send(WIPED) == Limited()
    assert isinstance(scene.send(WIPED, source="192.0.2.10"), Receipt)
    told = [event.reason_id for event in scene.events(Action.HOOK_REFUSED)]
    assert sorted(told) == [reasons.HOOK_STRANGER.id, reasons.HOOK_LIMITED.id]
    scene.fleet.clock.advance(timedelta(minutes=1, seconds=1))
    assert isinstance(scene.send({"gone": []}), Receipt | Unreadable)


def test_many_messages_meet_the_brake() -> None:
    """REV-7: a system that says of everybody that they are wiped, one by one, gets no further than the brake."""
    scene = Scene(Fleet(60))
    for number in range(1, 61):
        scene.send({"devices": [{"id": f"device-{number}", "pending": "wipe"}]})
    assert scene.fleet.revoked() == 20
