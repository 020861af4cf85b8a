"""The attack catalogue where nothing vouches for the request itself: a shared secret, and an inventory.

Whoever has the secret and a device's name could be anybody. So one certificate lives, and a second key waits for a
person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fakes import FakeClock
from regalia import reasons
from regalia.connectors.registry import Parts, linked
from regalia.model import Action, Names, new_id
from regalia.model.connector import Connector
from regalia.ports import EventFilter
from regalia.ra.alert_message import signature_of
from regalia.ra.hooks import HookDesk, Message, Receipt
from regalia.ra.sweeping import Sweeper
from regalia.store import SqlStore, open_store
from regalia.wire.scep import FailInfo, MessageType, PkiStatus
from vouching_parts import VouchedWorld
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from regalia.errors import Reason
    from regalia.wire.scep_client import Reply

SECRET = "a-challenge-of-many-letters"
HOOK_KEY = b"k" * 32
BY_ID = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.id}"
"""


@dataclass
class Scene:
    """An inventory of two devices, one of which has a certificate, and whoever has the secret of the profile."""

    url: str
    world: VouchedWorld = field(init=False)
    store: SqlStore = field(init=False)
    sent: int = 0

    def __post_init__(self) -> None:
        clock = FakeClock()
        self.store = open_store(self.url, node="node", clock=clock)
        self.world = world = VouchedWorld(document=BY_ID, clock=clock, store=self.store)
        connector = Connector(new_id(clock.now(), bytes(10)), "mdm", "inventory", {}, clock.now())
        assert self.store.add_connector(connector, None, ())
        parts = Parts(world.outgoing, clock, world.entropy, devices=self.store)
        world.ways.links["mdm"] = linked(connector, SECRET, parts)
        sweeper = Sweeper(self.store, clock, world.entropy)
        self.desk = HookDesk(
            store=self.store, kinds=world.connectors.kinds, sweeper=sweeper, key_of=lambda _: HOOK_KEY, clock=clock
        )
        devices = [{"id": f"device-{number}", "serial": f"C02-{number}", "group": "default"} for number in (1, 2)]
        self.tell(self.message({"devices": devices}))
        assert self.ask(self.device(0)).status is PkiStatus.SUCCESS

    def message(self, said: dict[str, Any]) -> Message:
        """Make a message of the system that the inventory is of."""
        self.sent += 1
        body = json.dumps({"id": f"m-{self.sent}", **said}).encode()
        stamp = int(self.world.clock.now().timestamp())
        return Message("mdm", str(stamp), signature_of(HOOK_KEY, stamp, body), body, "192.0.2.7")

    def tell(self, message: Message, *, repeated: bool = False) -> None:
        """Bring it."""
        answer = self.desk.receive(message)
        assert isinstance(answer, Receipt)
        assert answer.repeated is repeated

    def device(self, key: int, transaction: str = "t-1", certificate: bytes | None = None) -> Device:
        """Return whoever has this key."""
        return Device(self.world, rsa_key(key), endpoint="mdm", certificate=certificate).fresh(transaction)

    def ask(self, device: Device, wanted: Names | None = None, challenge: str | None = SECRET) -> Reply:
        """Send a request as a SCEP message, and read the answer as its sender does."""
        csr = device.csr(wanted or names("C02-1"), challenge)
        kind = MessageType.PKCS_REQ if device.certificate is None else MessageType.RENEWAL_REQ
        return device.open(self.world.send(device.message(csr, message_type=kind), device.endpoint), csr)

    def live(self) -> list[bytes]:
        """Return the keys of devices' certificates that are good."""
        rows = self.store.certificates_after(None, 1_000)
        return [row.intent.key_sha256 for row in rows if row.intent.profile is not None and row.revocation is None]

    def told(self, *, security: bool | None = None) -> set[str]:
        """Return the ids of the reasons that the log has."""
        drafts = [event.draft for event in self.store.events(EventFilter(limit=1_000))]
        return {draft.reason_id for draft in drafts if draft.reason_id and security in {None, draft.security}}


@pytest.fixture
def scene(url: str) -> Iterator[Scene]:
    """Return it, on each database."""
    made = Scene(url)
    yield made
    made.store.close()


def _no_secret(scene: Scene) -> Reply:
    return scene.ask(scene.device(1, "t-2"), names("C02-2"), None)


def _guessed(scene: Scene) -> Reply:
    return scene.ask(scene.device(1, "t-2"), names("C02-2"), SECRET[:-1] + "t")


def _nobodys_name(scene: Scene) -> Reply:
    return scene.ask(scene.device(1, "t-2"), names("dc.example.org"))


def _two_names(scene: Scene) -> Reply:
    return scene.ask(scene.device(1, "t-2"), names("C02-9", "C02-2"))


def _wiped(scene: Scene) -> Reply:
    scene.tell(scene.message({"devices": [{"id": "device-2", "pending": "wipe"}]}))
    return scene.ask(scene.device(1, "t-2"), names("C02-2"))


def _gone(scene: Scene) -> Reply:
    scene.tell(scene.message({"gone": ["device-2"]}))
    return scene.ask(scene.device(1, "t-2"), names("C02-2"))


def _renamed(scene: Scene) -> Reply:
    scene.tell(scene.message({"devices": [{"id": "device-2", "serial": "C02-8", "group": "default"}]}))
    return scene.ask(scene.device(1, "t-2"), names("C02-2"))


def _other_group(scene: Scene) -> Reply:
    scene.world.new_group("guests")
    return scene.ask(replace(scene.device(1, "t-2"), endpoint="mdm-guests"), names("C02-2"))


ATTACKS: dict[str, tuple[Callable[[Scene], Reply], Reason]] = {
    "without the secret": (_no_secret, reasons.INVENTORY_CHALLENGE),
    "a guessed secret": (_guessed, reasons.INVENTORY_CHALLENGE),
    "a name that no device has": (_nobodys_name, reasons.INVENTORY_UNMATCHED),
    "a device's name beside another one": (_two_names, reasons.INVENTORY_UNMATCHED),
    "a wiped device": (_wiped, reasons.BEARER_UNFIT),
    "a device that is gone": (_gone, reasons.INVENTORY_UNMATCHED),
    "a device's former name": (_renamed, reasons.INVENTORY_UNMATCHED),
    "at another group's endpoint": (_other_group, reasons.DEVICE_ELSEWHERE),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_none(scene: Scene, name: str) -> None:
    """Holds 4: the attacker hears badRequest and nothing more, the log has the reason, and nothing is issued."""
    attack, reason = ATTACKS[name]
    before = scene.live()
    reply = attack(scene)
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert (reply.fail_info_text, reply.certificates) == (None, ())
    assert scene.live() == before
    assert reason.id in scene.told()


def test_a_second_key_waits_for_a_person(scene: Scene) -> None:
    """Holds 4, CON-4: who has secret and name gets PENDING and a security event; the device's own key stays good."""
    mine = scene.live()
    thief = scene.device(1, "t-2")
    assert scene.ask(thief).status is PkiStatus.PENDING
    assert thief.poll().status is PkiStatus.PENDING
    assert (scene.live(), scene.told(security=True)) == (mine, {reasons.SECOND_KEY.id})
    scene.world.approvals.deny(scene.world.pending().id, ADMIN, "not one of ours")
    polled = thief.poll()
    assert (polled.status, polled.certificates) == (PkiStatus.FAILURE, ())
    again = scene.ask(scene.device(2, "t-3"))
    assert again.status is PkiStatus.PENDING
    assert scene.live() == mine


def test_an_approved_second_key_is_the_devices(scene: Scene) -> None:
    """A person who knows that the device was set up anew lets its new key in."""
    device = scene.device(1, "t-2")
    assert scene.ask(device).status is PkiStatus.PENDING
    scene.world.approve()
    assert device.poll().status is PkiStatus.SUCCESS
    assert len(scene.live()) == 2


def test_a_repeated_message_brings_nobody_back(scene: Scene) -> None:
    """Holds 4, CON-6: a captured message that the device is fine does nothing after it was wiped, now or later."""
    fine = scene.message({"devices": [{"id": "device-1", "serial": "C02-1", "group": "default", "pending": "none"}]})
    scene.tell(fine)
    assert len(scene.live()) == 1
    scene.tell(scene.message({"devices": [{"id": "device-1", "pending": "wipe"}]}))
    assert scene.live() == []
    scene.tell(fine, repeated=True)
    scene.world.clock.advance(timedelta(minutes=20))
    assert not isinstance(scene.desk.receive(fine), Receipt)
    assert scene.ask(scene.device(0, "t-4")).status is PkiStatus.FAILURE
    assert scene.live() == []
    assert {reasons.HOOK_REPEATED.id, reasons.HOOK_STRANGER.id} <= scene.told(security=True)


def test_a_key_stolen_before_the_wipe_renews_nothing(scene: Scene) -> None:
    """Holds 4: once its device is wiped, a certificate is revoked, and neither it nor the secret gets another one."""
    reply = scene.ask(scene.device(0))
    certificate = reply.certificates[0]
    scene.tell(scene.message({"devices": [{"id": "device-1", "pending": "wipe"}]}))
    assert scene.live() == []
    for stolen in (scene.device(1, "t-9", certificate), scene.device(0, "t-8")):
        key = replace(stolen, key=rsa_key(0))
        heard = scene.ask(key, challenge=None if stolen.certificate else SECRET)
        assert (heard.status, heard.certificates) == (PkiStatus.FAILURE, ())
    assert reasons.SIGNER_REVOKED.id in scene.told()
    assert [event.draft.action for event in scene.store.events(EventFilter(action=Action.CERTIFICATE_REVOKED))]
