"""The attack catalogue against a fleet of Intune's: real messages, the real connector, and nobody keeps a certificate.

One row is one attack. Each begins with the same set-up as the control row, in which the honest device gets its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fakes import FakeClock
from lab_parts import device_key, request_for
from regalia import reasons
from regalia.connectors.registry import Parts, linked
from regalia.lab.directory import ActionResult
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET
from regalia.model import Authoriser, new_id
from regalia.model.connector import Connector
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.ports import EventFilter
from regalia.ra.follow_run import carry_out
from regalia.ra.sweeping import Sweeper
from regalia.store import SqlStore, open_store
from regalia.wire.scep import FailInfo, MessageType, PkiStatus
from regalia.wire.scep_client import issuer_and_serial
from vouching_parts import VouchedWorld
from world import Device, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric import rsa

    from lab_parts import Asked, Rehearsal
    from regalia.errors import Reason
    from regalia.wire.scep_client import Reply

LAB_PROFILE = """
[validity]
duration = "365d"
[usage]
extended-key-usage = ["clientAuth"]
[subject]
cn = "{device.entra_id}"
[[san]]
kind = "uri"
value = "IntuneDeviceId://{device.id}"
"""
FOREIGN_SID = "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1004336348-1177238915-682003330-500"
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


def _utf8(text: str) -> bytes:
    return b"\x0c" + bytes([len(text)]) + text.encode()


@dataclass
class Scene:
    """A world whose connector is Intune's, and whoever attacks it."""

    lab: Rehearsal
    url: str
    """Of the database."""
    world: VouchedWorld = field(init=False)
    store: SqlStore = field(init=False)

    def __post_init__(self) -> None:
        lab, clock = self.lab, FakeClock(self.lab.clock())
        self.store = open_store(self.url, node="node", clock=clock)
        outgoing = HttpOutgoing(
            opened=tuple(Opened.parse(base) for base in (lab.at.login, lab.at.graph, lab.at.intune)),
            ca_file=lab.cloud.ca_file,
        )
        settings = {
            "tenant": lab.domain,
            "client_id": CLIENT_ID,
            "authority": lab.at.login,
            "graph": lab.at.graph,
            "common_name": "entra-device-id",
        }
        self.world = VouchedWorld(document=LAB_PROFILE, clock=clock, store=self.store)
        connector = Connector(new_id(clock.now(), bytes(10)), "mdm", "intune", settings, clock.now())
        assert self.store.add_connector(connector, None, ())
        parts = Parts(outgoing, clock, self.world.entropy, devices=self.store)
        self.link = linked(connector, CLIENT_SECRET, parts)
        self.world.ways.links["mdm"] = self.link

    def send(
        self,
        asked: Asked,
        transaction: str = "t-1",
        *,
        key: rsa.RSAPrivateKey | None = None,
        endpoint: str = "mdm",
        signer: bytes | None = None,
    ) -> Reply:
        """Send a request as a SCEP message, and read the answer as its sender does."""
        own = key or device_key()
        sender = Device(self.world, own, endpoint=endpoint, certificate=signer).fresh(transaction)
        csr = asked.der(own)
        kind = MessageType.PKCS_REQ if signer is None else MessageType.RENEWAL_REQ
        return sender.open(self.world.send(sender.message(csr, message_type=kind), endpoint), csr)

    def issued(self) -> int:
        """Count the certificates of devices that are good."""
        rows = self.store.certificates_after(None, 1_000)
        return sum(row.intent.profile is not None and row.revocation is None for row in rows)

    def told(self) -> set[str]:
        """Return the ids of the reasons that the log has."""
        found = self.store.events(EventFilter(limit=1_000))
        return {event.draft.reason_id for event in found if event.draft.reason_id}

    def sweep(self) -> None:
        """Read the inventory, and do what follows."""
        self.world.clock.advance(timedelta(hours=2))
        sweep = Sweeper(self.store, self.world.clock, self.world.entropy).read("mdm", self.link, pages=100)  # type: ignore[arg-type]
        assert sweep is not None
        assert sweep.complete, sweep.why
        carry_out(self.store, self.world.entropy, self.world.clock.now())

    def wipe(self) -> None:
        """Have an administrator of Intune's wipe the first device."""
        wiping = ActionResult("wipe", "pending", self.lab.clock(), self.lab.clock())
        managed = replace(self.lab.first(), management_state="wipePending", actions=(wiping,))
        self.lab.tenant.managed.put(managed)


@pytest.fixture
def scene(lab: Rehearsal, url: str) -> Iterator[Scene]:
    """Return it, on each database."""
    made = Scene(lab, url)
    yield made
    made.store.close()


def _other_device(scene: Scene) -> Reply:
    return scene.send(request_for(scene.lab.first(2), scene.lab.asked().challenge))


def _other_name(scene: Scene) -> Reply:
    return scene.send(scene.lab.asked().but(common_name="dc.example.org"))


def _other_tenant(scene: Scene) -> Reply:
    managed = scene.lab.first(0, scene.lab.other)
    return scene.send(request_for(managed, scene.lab.cloud.challenge(managed.id, tenant=scene.lab.other)))


def _other_endpoint(scene: Scene) -> Reply:
    scene.world.open_endpoint("codes", Authoriser.STATIC)
    return scene.send(scene.lab.asked(), endpoint="codes")


def _made_up(scene: Scene) -> Reply:
    return scene.send(scene.lab.asked().but(challenge="self-made"))


def _no_challenge(scene: Scene) -> Reply:
    return scene.send(scene.lab.asked().but(challenge=None))


def _too_late(scene: Scene) -> Reply:
    asked = scene.lab.asked()
    scene.lab.clock.move(timedelta(hours=2))
    scene.world.clock.advance(timedelta(hours=2))
    return scene.send(asked)


def _foreign_sid(scene: Scene) -> Reply:
    asked = scene.lab.asked()
    return scene.send(asked.but(sans=(*asked.sans, x509.UniformResourceIdentifier(FOREIGN_SID))))


def _foreign_upn(scene: Scene) -> Reply:
    asked = scene.lab.asked()
    return scene.send(asked.but(sans=(*asked.sans, x509.OtherName(UPN, _utf8("admin@example.org")))))


def _foreign_dns(scene: Scene) -> Reply:
    asked = scene.lab.asked()
    return scene.send(asked.but(sans=(*asked.sans, x509.DNSName("dc.example.org"))))


def _wiped(scene: Scene) -> Reply:
    asked = scene.lab.asked()
    scene.wipe()
    return scene.send(asked)


def _other_group(scene: Scene) -> Reply:
    scene.world.new_group("guests")
    scene.sweep()
    record = scene.store.device_of("mdm", scene.lab.first().id)
    assert record is not None
    assert scene.store.put_devices([(record, replace(record, group="default"))], ())
    asked = scene.lab.asked()
    return scene.send(asked, endpoint="mdm-guests")


ATTACKS: dict[str, tuple[Callable[[Scene], Reply], Reason]] = {
    "challenge of another device": (_other_device, reasons.CONNECTOR_REQUEST_DIFFERS),
    "challenge for another name": (_other_name, reasons.CONNECTOR_REQUEST_DIFFERS),
    "challenge of another tenant": (_other_tenant, reasons.CONNECTOR_CHALLENGE_FOREIGN),
    "challenge at another endpoint": (_other_endpoint, reasons.CHALLENGE_UNKNOWN),
    "challenge made up": (_made_up, reasons.CONNECTOR_CHALLENGE_FOREIGN),
    "no challenge": (_no_challenge, reasons.CONNECTOR_CHALLENGE_FOREIGN),
    "challenge at another time": (_too_late, reasons.CONNECTOR_CHALLENGE_TIME),
    "foreign SID": (_foreign_sid, reasons.CONNECTOR_REQUEST_DIFFERS),
    "foreign UPN": (_foreign_upn, reasons.CONNECTOR_REQUEST_DIFFERS),
    "foreign DNS name": (_foreign_dns, reasons.CONNECTOR_REQUEST_DIFFERS),
    "device of another group": (_other_group, reasons.DEVICE_ELSEWHERE),
    "wiped device": (_wiped, reasons.BEARER_UNFIT),
}


def test_the_honest_device_gets_one(scene: Scene) -> None:
    """The control row: with the same set-up, a right request gets a certificate with the names of its record."""
    reply = scene.send(scene.lab.asked())
    assert (reply.status, scene.issued()) == (PkiStatus.SUCCESS, 1)
    (row,) = [row for row in scene.store.certificates_after(None, 1_000) if row.der == reply.certificates[0]]
    assert row.intent.names.cn == scene.lab.first().entra_device_id


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_none(scene: Scene, name: str) -> None:
    """Holds 4: the attacker hears badRequest and nothing more, the log has the reason, and nothing is issued."""
    attack, reason = ATTACKS[name]
    reply = attack(scene)
    assert (reply.status, reply.fail_info) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST)
    assert (reply.fail_info_text, reply.certificates) == (None, ())
    assert (scene.told(), scene.issued()) == ({reason.id}, 0)


def test_a_renamed_device_gets_the_name_on_record(scene: Scene) -> None:
    """Holds 4: a verdict on a former name yields the present name of the record, and not the one asked for."""
    asked = scene.lab.asked()
    present = scene.lab.first(2).entra_device_id
    scene.lab.tenant.managed.put(replace(scene.lab.first(), entra_device_id=present))
    (certificate, *_) = scene.send(asked).certificates
    (row,) = [row for row in scene.store.certificates_after(None, 1_000) if row.der == certificate]
    assert row.intent.names.cn == present != asked.common_name


def test_a_captured_conversation_serves_no_other_key(scene: Scene) -> None:
    """Holds 4, R3: the device's own request with another key in its transaction is refused without asking Intune."""
    asked = scene.lab.asked()
    assert scene.send(asked).status is PkiStatus.SUCCESS
    asked_before = len(scene.lab.tenant.validations)
    reply = scene.send(asked, key=rsa_key(0))
    assert (reply.status, reply.fail_info, reply.certificates) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST, ())
    assert (scene.told(), scene.issued()) == ({reasons.TRANSACTION_TAKEN.id}, 1)
    assert len(scene.lab.tenant.validations) == asked_before


def fetched(scene: Scene, sender: Device, certificate: bytes) -> tuple[bytes, ...]:
    """Return what a GetCert for a certificate is answered with."""
    read = x509.load_der_x509_certificate(certificate)
    wanted = issuer_and_serial(read.issuer.public_bytes(), read.serial_number)
    answer = scene.world.send(sender.message(wanted, message_type=MessageType.GET_CERT), sender.endpoint)
    return sender.open(answer, wanted).certificates


def test_a_key_stolen_before_the_wipe_serves_nobody_after_it(scene: Scene) -> None:
    """Holds 4: after the wipe the certificate is revoked; its key renews nothing, fetches nothing, polls nothing."""
    asked = scene.lab.asked()
    (certificate,) = scene.send(asked).certificates[:1]
    stolen = Device(scene.world, device_key(), endpoint="mdm", certificate=certificate).fresh("t-9")
    assert fetched(scene, stolen, certificate) == (certificate,)
    scene.wipe()
    scene.sweep()
    assert scene.issued() == 0
    renewal = scene.send(asked.but(challenge=None), "t-9", signer=certificate)
    polled = stolen.poll()
    again = scene.send(asked)
    for reply in (renewal, polled, again):
        assert (reply.status, reply.fail_info, reply.certificates) == (PkiStatus.FAILURE, FailInfo.BAD_REQUEST, ())
    assert fetched(scene, stolen, certificate) == ()
    assert reasons.SIGNER_REVOKED.id in scene.told()
    assert scene.issued() == 0
