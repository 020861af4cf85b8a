"""Flaws that were published of other SCEP servers and that no other file of this folder has whole.

The table at the end of `docs/conformance/attacks.md` says which test holds against which flaw.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from attacks.forgery import csr_of, message_of
from attacks.harness import Target, attack, refused
from forge import REQUEST_NONCE
from regalia import reasons
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.model import Authoriser, CertificateKind, CertificateState
from regalia.ports import CertificateFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire import der, oids
from regalia.wire.scep import FailInfo, PkiStatus, Transaction
from scep_parts import attribute
from signing_device import SigningDevice, open_signing_endpoint
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING: dict[str, Callable[[], list[bytes]]] = {
    "no attribute": list,
    "an empty string": lambda: [attribute(oids.CHALLENGE_PASSWORD, der.printable_string(""))],
    "an empty UTF8String": lambda: [attribute(oids.CHALLENGE_PASSWORD, der.utf8_string(""))],
    "a NULL": lambda: [attribute(oids.CHALLENGE_PASSWORD, der.null())],
    "the word null": lambda: [attribute(oids.CHALLENGE_PASSWORD, der.printable_string("null"))],
}
SWITCHES = {
    "plain": EndpointOptions(),
    "legacy": EndpointOptions(legacy=True),
    "non-rsa": EndpointOptions(non_rsa=True),
    "both": EndpointOptions(legacy=True, non_rsa=True, check_signing_time=True),
}


def doors(world: Target) -> list[str]:
    """An endpoint for each way to say yes, profile, set of switches; half of them have a challenge, half have none.

    What a connector says yes to is its own: see `lab/test_attacks.py`.
    """
    document = DEFAULT_DOCUMENT.replace('names = "binding"', 'names = "from-csr"')
    world.registry.create_profile("open", "default", document, actor=ADMIN, acknowledged=["names-from-request"])
    made = []
    for authoriser, (switch, options), profile, minted in product(
        [each for each in Authoriser if each is not Authoriser.CONNECTOR],
        SWITCHES.items(),
        ("default", "open"),
        (False, True),
    ):
        if authoriser is Authoriser.STATIC and profile == "open":
            continue  # not to be had (RA-028)
        name = f"{authoriser}-{switch}-{profile}-{'some' if minted else 'none'}"
        world.registry.create_endpoint(
            name, group="default", profile=profile, actor=ADMIN, authoriser=authoriser, options=options
        )
        if minted and authoriser is Authoriser.ONE_TIME:
            world.mint("laptop-1", endpoint=name)
        elif minted:
            world.desk.rotate(name, actor=ADMIN)
        made.append(name)
    return made


@pytest.mark.parametrize("message_type", ["19", "17"])
def test_no_door_opens_without_a_challenge(message_type: str) -> None:
    """MSG-1, MSG-2, IN-4: each kind of door, profile and switch, with a challenge or none yet: absent, empty, null."""
    world = Target()
    tried = 0
    for endpoint, (kind, nothing) in product(doors(world), NOTHING.items()):
        world.pass_minutes(1)
        device = Device(world, endpoint=endpoint, transaction=Transaction(f"{endpoint} {kind}".encode()))
        message = message_of(
            device,
            csr_of(device, *nothing()),
            values={
                oids.CONTENT_TYPE: der.oid(oids.ID_DATA),
                oids.MESSAGE_TYPE: der.printable_string(message_type),
                oids.TRANSACTION_ID: device.transaction.encoded,
                oids.SENDER_NONCE: der.octet_string(REQUEST_NONCE),
            },
        )
        attempt = attack(world, message, endpoint=endpoint)
        expected = FailInfo.BAD_MESSAGE_CHECK if kind == "a NULL" and message_type == "19" else FailInfo.BAD_REQUEST
        assert attempt.told == (PkiStatus.FAILURE, expected), (endpoint, kind)
        assert attempt.changed == ()
        tried += 1
    assert tried == 5 * (2 * 4 * 2 * 2 + 4 * 2)
    assert not world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))


@pytest.mark.parametrize("kind", ["p-256", "ed25519"])
def test_a_key_that_only_signs_opens_no_door_without_a_challenge(world: Target, kind: str) -> None:
    """MSG-2, IN-4: its answer would be keyed by the challenge that is not there."""
    open_signing_endpoint(world)
    device = SigningDevice(world, kind)
    for challenge in (None, ""):
        answer = world.send(device.message(device.csr(names("laptop-1"), challenge)), "signing")
        assert isinstance(answer, CertRep)
        assert not answer.issued
    assert world.last_event().draft.reason_id == reasons.CHALLENGE_MISSING.id
    assert not world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))


@pytest.mark.parametrize("authoriser", [Authoriser.ONE_TIME, Authoriser.STATIC, Authoriser.APPROVAL])
def test_enrolling_another_devices_name_ends_no_certificate(world: Target, authoriser: Authoriser) -> None:
    """REV-1, REN-1: who knows a shared secret or has a second challenge for a name does not put its holder out."""
    victim = Device(world, transaction=Transaction(b"victim"))
    victim.enrol(names("laptop-1"), world.mint("laptop-1"))
    endpoint = "default" if authoriser is Authoriser.ONE_TIME else "shared"
    secret = world.mint("laptop-1") if authoriser is Authoriser.ONE_TIME else world.open_endpoint("shared", authoriser)
    thief = Device(world, key=rsa_key(1), endpoint=endpoint, transaction=Transaction(b"thief"))
    message = thief.message(thief.csr(names("laptop-1"), secret))
    answer = world.send(message, endpoint)
    assert isinstance(answer, CertRep)
    rows = world.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))
    (held,) = [row for row in rows if row.der == victim.certificate]
    assert held.state is CertificateState.ISSUED
    assert world.store.revocation_count(held.intent.authority) == 0
    assert victim.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


def test_a_request_without_a_challenge_beside_a_good_one_is_refused(world: Target) -> None:
    """CHA-1, R3: the open transaction of a device does not vouch for a second request in it without a challenge."""
    device = Device(world)
    device.enrol(names("laptop-1"), world.mint("laptop-1"))
    again = Device(world, transaction=device.transaction)
    refused(world, message_of(again, csr_of(again)), reasons.CHALLENGE_MISSING)
