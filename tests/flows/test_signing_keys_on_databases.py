"""Keys that cannot decrypt, and retrievals, on the product as it is wired: each database, master key and all."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from cluster import cluster
from cryptography.hazmat.primitives.asymmetric import padding
from fleet import device_of

from postgres import running_postgres
from regalia.app import build
from regalia.ca.profile import DEFAULT_DOCUMENT
from regalia.config import load_config
from regalia.jobs.housekeeping import ForgetChallenges
from regalia.model import Action, Authoriser, EnrolmentState
from regalia.ports import EnrolmentFilter, EventFilter
from regalia.ra.registry import EndpointOptions
from regalia.ra.scep import CertRep
from regalia.wire.certificate import read_certificate
from regalia.wire.scep import FailInfo, MessageType, PkiStatus, Transaction
from regalia.wire.scep_client import issuer_and_serial, read_crl_reply
from signing_device import SigningDevice
from world import ADMIN, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster import Node

    from regalia.app import App
    from regalia.ra.scep import ScepAnswer
    from world import World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SOURCE = "192.0.2.1"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URL of an empty database."""
    with running_postgres() as server:
        yield server.create("signing")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def nodes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """One home with SQLite, or two on one PostgreSQL; nothing runs."""
    database = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with cluster(tmp_path_factory.mktemp("homes"), database) as made:
        with opened(made[0]) as app:
            options = EndpointOptions(non_rsa=True)
            app.registry.create_endpoint("signing", group="default", profile="eap-tls", actor=ADMIN, options=options)
            app.registry.create_endpoint(
                "queue",
                group="default",
                profile="eap-tls",
                actor=ADMIN,
                authoriser=Authoriser.APPROVAL,
                options=options,
            )
        yield made


class opened:  # noqa: N801 - reads as the verb that it is: with opened(node) as app
    """A home, opened as `serve` opens it, for a block."""

    def __init__(self, node: Node) -> None:
        self._app = build(load_config({**node.settings}, home=node.home))

    def __enter__(self) -> App:
        return self._app

    def __exit__(self, *_: object) -> None:
        self._app.close()


def world_of(app: App) -> World:
    """What a test's device needs of a world."""

    def send(body: bytes, endpoint: str = "default", source: str = SOURCE) -> ScepAnswer:
        door = app.scep.door(endpoint)
        assert door is not None
        return app.scep.pki_operation(door, body, source)

    return cast("World", SimpleNamespace(store=app.store, clock=app.clock, send=send))


def mint(app: App, cn: str, endpoint: str = "signing") -> str:
    """Hand out a one-time challenge."""
    return app.challenges.mint(endpoint, binding=names(cn), device=None, ttl=timedelta(hours=1), actor=ADMIN).secret


def test_a_held_challenge_outlives_the_process_that_sealed_it(nodes: list[Node]) -> None:
    """CHA-4, RFC 8894 §4.4: held by one node, approved by another, polled at a third; the database shows no secret."""
    with opened(nodes[0]) as app:
        secret = app.challenges.rotate("queue", actor=ADMIN).secret
        device = SigningDevice(world_of(app), endpoint="queue", transaction=Transaction(b"held"))
        assert device.enrol(names("laptop-q"), secret).status is PkiStatus.PENDING
    with opened(nodes[-1]) as app:
        (held,) = app.store.enrolments(EnrolmentFilter(state=EnrolmentState.PENDING))
        sealed = app.store.sealed_challenge(held.id)
        assert sealed is not None
        assert secret.encode() not in sealed
        approved = app.approvals.approve(held.id, ADMIN)
    with opened(nodes[0]) as app:
        again = replace(device, world=world_of(app))
        assert again.poll().certificates == (approved.der,)
        ForgetChallenges(app.store).run(app.clock.now() + timedelta(hours=24, seconds=1))
        assert app.store.sealed_challenge(held.id) is None
        assert again.poll().fail_info is FailInfo.BAD_REQUEST


def test_a_renewal_spends_its_challenge(nodes: list[Node]) -> None:
    """R4, R3: the answer comes again to the same request from another node; nobody else gets anything for it."""
    with opened(nodes[0]) as app:
        device = SigningDevice(world_of(app), transaction=Transaction(b"first"))
        assert device.enrol(names("laptop-r"), mint(app, "laptop-r")).status is PkiStatus.SUCCESS
        renewing = replace(device, transaction=Transaction(b"renewal"))
        assert renewing.enrol(names(), None).fail_info is FailInfo.BAD_REQUEST
        secret = mint(app, "laptop-r")
        old, renewed = renewing.certificate, renewing.enrol(names(), secret)
        assert renewed.status is PkiStatus.SUCCESS
    with opened(nodes[-1]) as app:
        again = replace(renewing, world=world_of(app), certificate=old)
        assert again.enrol(names(), secret).certificates == renewed.certificates
        thief = SigningDevice(world_of(app), transaction=Transaction(b"thief"))
        assert thief.enrol(names("laptop-r"), secret).fail_info is FailInfo.BAD_REQUEST


def test_a_device_gets_its_certificate_and_the_crl_again(nodes: list[Node]) -> None:
    """MSG-3: GetCert and GetCRL from the database, each one event; strange serial numbers are unknown like others."""
    with opened(nodes[0]) as app:
        published = app.crls.publish("default-ca-1")
        device = device_of(app, 0, b"retrieval")
        csr = device.csr(names("laptop-c"), mint(app, "laptop-c", "default"))
        (certificate,) = device.open(world_of(app).send(device.message(csr)), csr).certificates
        device.certificate = certificate
        facts = read_certificate(certificate)
        wanted = issuer_and_serial(facts.issuer, facts.serial)
        answer = world_of(app).send(device.message(wanted, message_type=MessageType.GET_CERT))
        assert device.open(answer, wanted).certificates == (certificate,)
        answer = world_of(app).send(device.message(wanted, message_type=MessageType.GET_CRL))
        assert isinstance(answer, CertRep)
        door = app.store.door("default")
        assert door is not None
        reply = read_crl_reply(
            answer.der,
            transaction=device.transaction,
            sender_nonce=hashlib.sha256(wanted).digest()[:16],
            ra_certificates=(door.ra.certificate_der,),
            decrypt=lambda sealed: device.key.decrypt(sealed, padding.PKCS1v15()),
        )
        assert reply.crl is not None
        assert hashlib.sha256(reply.crl).digest() == published.sha256
        for serial in (0, -1, 1, 1 << 159, 1 << 160, 1 << 2_000):
            strange = issuer_and_serial(facts.issuer, serial)
            answer = world_of(app).send(device.message(strange, message_type=MessageType.GET_CERT))
            assert device.open(answer, strange).fail_info is FailInfo.BAD_CERT_ID
        for action in (Action.CERTIFICATE_RETRIEVED, Action.CRL_RETRIEVED):
            assert len(app.store.events(EventFilter(action=action))) == 1


def test_profiles_of_new_keys_are_read_back(nodes: list[Node]) -> None:
    """KEY-1: a document that names Ed25519 and ML-DSA is the same profile when it comes from the database."""
    document = DEFAULT_DOCUMENT.replace("ed25519 = false", "ed25519 = true").replace(
        "ml-dsa = []", 'ml-dsa = ["ml-dsa-44"]'
    )
    with opened(nodes[0]) as app:
        made = app.registry.create_profile("new-keys", "default", document, actor=ADMIN)
    with opened(nodes[-1]) as app:
        found = app.store.profile("new-keys")
        assert found is not None
        assert (found.ed25519, found.ml_dsa) == (made.ed25519, made.ml_dsa) == (True, ("ml-dsa-44",))
