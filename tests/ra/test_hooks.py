"""Messages to a connector: signed, fresh, once; and what they say follows at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ra.test_follow_run import Fleet
from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.model import Action
from regalia.ports import EventFilter
from regalia.ra.alert_message import signature_of
from regalia.ra.hooks import HookDesk, Limited, Message, Receipt, Stranger, Unreadable
from regalia.ra.sweeping import Sweeper

if TYPE_CHECKING:
    from regalia.model.connector import Connector
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
