"""The real connector against the laboratory: from a challenge of Intune's to a certificate, and what gets none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from fakes import FakeClock
from lab_parts import request_for
from regalia import reasons
from regalia.connectors.registry import Parts, linked
from regalia.lab.directory import ActionResult
from regalia.lab.sample import CLIENT_ID, CLIENT_SECRET
from regalia.model import Certificate, Denied, Unavailable, new_id
from regalia.model.connector import Connector
from regalia.net.addresses import Opened
from regalia.net.http import HttpOutgoing
from regalia.ra.request import EnrolmentRequest
from regalia.wire.csr import read_csr
from vouching_parts import VouchedWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab_parts import Asked, Rehearsal
    from regalia.errors import Reason
    from regalia.ra.enrol import Ended

PROFILE = """
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


@pytest.fixture
def world(lab: Rehearsal) -> VouchedWorld:
    """A world whose connector is Intune's, in the laboratory."""
    clock = FakeClock(lab.clock())
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
    made = VouchedWorld(document=PROFILE, clock=clock)
    connector = Connector(new_id(clock.now(), bytes(10)), "mdm", "intune", settings, clock.now())
    made.ways.links["mdm"] = linked(connector, CLIENT_SECRET, Parts(outgoing, clock, made.entropy, devices=made.store))
    return made


def enrolled(world: VouchedWorld, asked: Asked, transaction: str = "t-1", endpoint: str = "mdm") -> Ended:
    """Have the decision room judge a request of a device."""
    door = world.store.door(endpoint)
    assert door is not None
    csr = read_csr(asked.der())
    return world.enroller.enrol(
        EnrolmentRequest(
            door=door,
            transaction_id=transaction.encode(),
            csr=csr,
            signer=None,
            challenge_mac=world.challenge_mac(csr.challenge) if csr.challenge else None,
            source="192.0.2.1",
            received_at=world.clock.now(),
            described="a message of the laboratory",
        )
    )


def test_a_device_of_intunes_gets_the_names_of_its_record(lab: Rehearsal, world: VouchedWorld) -> None:
    """Verdict, look-up by Graph, names, certificate and success notification: all by the real calls."""
    managed = lab.first()
    ended = enrolled(world, lab.asked())
    assert isinstance(ended, Certificate), ended
    assert ended.intent.names.cn == managed.entra_device_id
    record = world.store.device_of("mdm", managed.id)
    assert record is not None
    assert ended.intent.device_id == record.id
    assert ended.intent.enrolment_id is not None
    notice = world.store.notice_of(ended.intent.enrolment_id)
    assert notice is not None
    assert notice.told_at is not None
    assert enrolled(world, lab.asked(), "t-2").__class__ is Certificate


def test_another_devices_challenge_serves_nobody(lab: Rehearsal, world: VouchedWorld) -> None:
    """Holds 4: a captured challenge with one's own names is refused by Intune, with its code on record."""
    stolen = lab.asked().challenge
    own = request_for(lab.first(2), stolen)
    ended = enrolled(world, own)
    assert isinstance(ended, Denied)
    assert ended.facts["code"] in {"SubjectNameMismatch", "SubjectAltNameMismatch"}
    assert not world.store.devices_by("mdm", "entra", lab.first(2).entra_device_id)


def _extra_email(lab: Rehearsal, asked: Asked) -> Asked:
    del lab
    return asked.but(sans=(*asked.sans, x509.RFC822Name("admin@example.org")))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda _, asked: asked.but(challenge="self-made"), reasons.CONNECTOR_CHALLENGE_FOREIGN),
        (_extra_email, reasons.CONNECTOR_REQUEST_DIFFERS),
        (lambda _, asked: asked.but(common_name="dc.example.org"), reasons.CONNECTOR_REQUEST_DIFFERS),
    ],
    ids=["challenge", "san", "cn"],
)
def test_what_intune_refuses_is_refused(
    lab: Rehearsal, world: VouchedWorld, changed: Callable[[Rehearsal, Asked], Asked], reason: Reason
) -> None:
    """Each refusal of Intune's is one of ours by name, and nothing is issued."""
    ended = enrolled(world, changed(lab, lab.asked()))
    assert isinstance(ended, Denied), ended
    assert ended.reason is reason


def test_a_foreign_tenants_challenge_is_refused(lab: Rehearsal, world: VouchedWorld) -> None:
    """A challenge of another tenant proves nothing here."""
    managed = lab.first(0, lab.other)
    ended = enrolled(world, request_for(managed, lab.cloud.challenge(managed.id, tenant=lab.other)))
    assert isinstance(ended, Denied), ended


def test_a_wiped_device_gets_none_though_intune_says_yes(lab: Rehearsal, world: VouchedWorld) -> None:
    """A device that is being wiped is refused by its record, whatever its challenge is worth."""
    asked = lab.asked()
    managed = lab.first()
    wiping = ActionResult("wipe", "pending", lab.clock(), lab.clock())
    lab.tenant.managed.put(replace(managed, management_state="wipePending", actions=(wiping,)))
    ended = enrolled(world, asked)
    assert isinstance(ended, Denied), ended
    assert ended.reason is reasons.BEARER_UNFIT


def test_a_wrong_secret_is_no_verdict(lab: Rehearsal, world: VouchedWorld) -> None:
    """CON-5: who cannot sign in cannot ask, which is 503 and neither a yes nor a refusal."""
    application = lab.tenant.applications[CLIENT_ID]
    lab.tenant.applications.put(replace(application, secrets=()))
    ended = enrolled(world, lab.asked())
    assert isinstance(ended, Unavailable), ended
    assert ended.reason is reasons.CONNECTOR_SIGN_IN
