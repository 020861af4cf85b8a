"""Several workers and several nodes: one PKI, whoever answers, and whoever is restarted or killed meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import ssl
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest
from cluster import Node, cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from fleet import Fleet

from interop.checks import CRL_SECONDS
from interop.laptop import Laptop
from interop.openssl import fetch, read_certificate
from interop.programs import wait_for
from interop.server import Server
from postgres import running_postgres
from regalia.app import build
from regalia.config import load_config
from regalia.model import Action, CertificateKind
from regalia.ports import CertificateFilter, EventFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tools.postgres import Cluster

    from regalia.app import App

pytestmark = [pytest.mark.real, pytest.mark.serial, pytest.mark.timeout(300)]

GIVE_UP_SECONDS = 6
"""Thrice the 2 s of DESIGN §8."""
PLENTY = {"limits__wrong_challenges_per_source": "100000", "server__connections_per_source": "1000"}


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Cluster]:
    """A server that commits durably, as in production."""
    with running_postgres("max_connections=100") as server:
        yield server


def new_database(server: Cluster) -> str:
    """Make an empty database and return its URL."""
    return server.create(f"nodes_{next(_numbers)}")


@pytest.fixture
def nodes(tmp_path: Path, postgresql: Cluster) -> Iterator[list[Node]]:
    """Two nodes on one PostgreSQL, running, with two workers each."""
    with cluster(tmp_path, new_database(postgresql)) as made:
        for node in made:
            node.start()
        yield made


@contextmanager
def opened(node: Node) -> Iterator[App]:
    """Open a home beside its server, as a command does."""
    app = build(load_config({}, home=node.home))
    try:
        yield app
    finally:
        app.close()


def status(node: Node, leaf: x509.Certificate, issuer: x509.Certificate) -> str:
    """Ask a node's OCSP, without a nonce, so that it may answer from memory."""
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    asked = urllib.request.Request(  # noqa: S310 - our own listener
        f"{node.device}/ocsp/default-ca-1",
        request.public_bytes(serialization.Encoding.DER),
        {"Content-Type": "application/ocsp-request"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - the same
        return ocsp.load_der_ocsp_response(answer.read()).certificate_status.name.lower()


def seconds_until(what: str, look: Callable[[], bool], *, give_up: float) -> float:
    """Wait, and print and return how long it took."""
    begun = time.monotonic()
    wait_for(what, lambda: look() or None, seconds=give_up)
    took = time.monotonic() - begun
    sys.stdout.write(f"{what}: {took:.2f} s\n")
    return took


def metrics(admin: str) -> dict[str, float]:
    """Scrape the admin listener."""
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"{admin}/metrics", timeout=10, context=insecure) as answer:  # noqa: S310 - the same
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


# --- two nodes ------------------------------------------------------------------------------------------------------


def test_two_nodes_are_one_pki(
    nodes: list[Node], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What one node issued the other renews; a revocation on one is told by the other's OCSP in 2 s, then its CRL."""
    one, two = nodes
    server = one.administered
    assert all(fetch(f"{node.device}/readyz") for node in nodes)
    device = tmp_path / "laptop"
    device.mkdir()
    laptop = Laptop(device, server).enrolled("lap-nodes")
    first = read_certificate(laptop.certificate)
    elsewhere = Laptop(device, Server(one.home, two.device, two.pid))
    new = ("--new-key", "new.key", "--new-cert", "new.pem")
    ended = elsewhere.scep("renew", "--key", "device.key", "--cert", "device.pem", *new)
    assert ended.code == 0, ended.stderr
    renewed = read_certificate(device / "new.pem")
    assert renewed.serial_number != first.serial_number
    assert server.certificate(renewed.serial_number) == renewed.public_bytes(serialization.Encoding.DER)

    issuer = x509.load_pem_x509_certificate(fetch(f"{two.device}/ca/default-ca-1.pem"))
    for node in nodes:
        for _ in range(8):  # so that each worker remembers it
            assert status(node, renewed, issuer) == "good"
    server.revoke(renewed.serial_number)
    took = seconds_until(
        "OCSP on the other node",
        lambda: all(status(two, renewed, issuer) == "revoked" for _ in range(8)),
        give_up=GIVE_UP_SECONDS,
    )
    record_property("ocsp_other_node_seconds", round(took, 2))

    def listed(node: Node) -> bool:
        crl = x509.load_der_x509_crl(fetch(f"{node.device}/crl/default-ca-1.crl"))
        return crl.get_revoked_certificate_by_serial_number(renewed.serial_number) is not None

    took = seconds_until("CRL on both nodes", lambda: listed(one) and listed(two), give_up=CRL_SECONDS)
    record_property("crl_both_nodes_seconds", round(took, 2))
    served = {node.device: fetch(f"{node.device}/crl/default-ca-1.crl") for node in nodes}
    assert served[one.device] == served[two.device]
    assert x509.load_der_x509_crl(served[two.device]).is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # EC
    assert server.verify_events()["intact"] is True


def test_a_node_that_was_away_takes_over_what_happened(nodes: list[Node]) -> None:
    """A node that starts again serves the CRLs that were published meanwhile, from the first ready answer on."""
    one, two = nodes
    assert two.stop() == 0
    before = (two.home / "crl/published/default-ca-1.crl").read_bytes()
    one.administered._run("ca", "crl", "default-ca-1")  # noqa: SLF001 - a command like its others
    published = fetch(f"{one.device}/crl/default-ca-1.crl")
    assert published != before
    two.start()
    seconds_until("the copy", lambda: fetch(f"{two.device}/crl/default-ca-1.crl") == published, give_up=GIVE_UP_SECONDS)


# --- under load -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[list[Node], Fleet]]:
    """A fleet that enrols: at two nodes on PostgreSQL, at one with SQLite; two workers each."""
    database = new_database(request.getfixturevalue("postgresql")) if request.param == "postgresql" else None
    with cluster(tmp_path, database, PLENTY | {"issuance__lease_seconds": "2"}) as nodes, opened(nodes[0]) as app:
        for node in nodes:
            node.start()
        fleet = Fleet([node.device for node in nodes], app)
        fleet.start()
        try:
            fleet.wait_for(20)
            yield nodes, fleet
        finally:
            fleet.stop()


def lost_nothing(nodes: list[Node], fleet: Fleet) -> None:
    """Stop the fleet: whoever began has one certificate, the one that the store has, and the log is whole."""
    fleet.stop()
    assert fleet.failed == []
    found = fleet.app.store.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=10_000))
    stored = sorted(each.der for each in found if each.der is not None and each.revocation is None)
    assert stored == sorted(each.certificate for each in fleet.enrolled)
    assert nodes[0].administered.verify_events()["intact"] is True
    attempts = Counter(each.attempts for each in fleet.enrolled)
    sys.stdout.write(f"{len(fleet.enrolled)} enrolled; attempts: {sorted(attempts.items())}\n")


def test_a_rolling_restart_loses_no_enrolment(loaded: tuple[list[Node], Fleet]) -> None:
    """Each node is stopped and started again while devices enrol: all of them get their certificate, by themselves."""
    nodes, fleet = loaded
    for node in nodes:
        assert node.stop() == 0
        node.start()
        fleet.wait_for(20)
    lost_nothing(nodes, fleet)


def test_workers_that_end_or_are_killed_come_back(loaded: tuple[list[Node], Fleet]) -> None:
    """A worker that is ended or killed while devices enrol is replaced, its counts stay, and no enrolment is lost."""
    nodes, fleet = loaded
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        for node in nodes:
            workers = node.workers_running()
            os.kill(workers[0], number)
            wait_for(
                "the next worker",
                lambda node=node, workers=workers: len(set(node.workers_running()) - set(workers)) or None,  # type: ignore[misc] # bound at once
                seconds=GIVE_UP_SECONDS,
            )
            fleet.wait_for(10)
    lost_nothing(nodes, fleet)
    for node in nodes:
        ended = [(line.get("signal"), line.get("code")) for line in node.log("worker-ended")]
        assert ended == [(None, 0), (9, None), (9, None)]
        assert len(node.log("worker-started")) == 5


# --- one node -------------------------------------------------------------------------------------------------------


def test_metrics_are_those_of_all_workers(tmp_path: Path) -> None:
    """Whichever worker is asked, the counts are the sums over all, dead ones included."""
    with cluster(tmp_path, None, PLENTY, workers=3) as (node,):
        admin = node.start()["admin"]
        for _ in range(30):
            assert fetch(f"{node.device}/healthz")
        with opened(node) as app:
            fleet = Fleet([node.device], app, clients=4)
            fleet.start()
            fleet.wait_for(20)
            fleet.stop()
        counted = metrics(admin)
        assert counted["regalia_enrolments_issued_total"] == len(fleet.enrolled)
        assert counted["regalia_worker_starts_total"] == 3
        os.kill(node.workers_running()[0], signal.SIGKILL)
        wait_for("the next worker", lambda: node.log("worker-started")[3:] or None, seconds=GIVE_UP_SECONDS)
        wait_for(
            "its count", lambda: metrics(admin)["regalia_worker_starts_total"] == 4 or None, seconds=GIVE_UP_SECONDS
        )
        for _ in range(6):
            assert metrics(admin)["regalia_enrolments_issued_total"] == len(fleet.enrolled)
        assert node.stop() == 0
        with opened(node) as app:
            for action in (Action.SERVER_STARTED, Action.SERVER_STOPPED):
                assert len(app.store.events(EventFilter(action=action))) == 1


def test_every_worker_hears_of_a_revocation(tmp_path: Path) -> None:
    """R9: with SQLite, too, what one worker remembers of a certificate is dropped by all when a command revokes it."""
    with cluster(tmp_path, None, workers=3) as (node,):
        node.start()
        device = tmp_path / "laptop"
        device.mkdir()
        leaf = read_certificate(Laptop(device, node.administered).enrolled("lap-workers").certificate)
        issuer = x509.load_pem_x509_certificate(fetch(f"{node.device}/ca/default-ca-1.pem"))

        def all_say(wanted: str) -> bool:
            return all(status(node, leaf, issuer) == wanted for _ in range(15))

        assert all_say("good")
        node.administered.revoke(leaf.serial_number)
        seconds_until("OCSP of all workers", lambda: all_say("revoked"), give_up=GIVE_UP_SECONDS)
        assert node.stop() == 0


def test_a_killed_supervisor_leaves_the_port(tmp_path: Path) -> None:
    """When the supervisor was killed its workers end by themselves, and the next `serve` has the address."""
    with cluster(tmp_path, None) as (node,):
        node.start()
        workers = node.workers_running()
        assert len(workers) == 2
        node.stop(signal.SIGKILL)

        def gone() -> bool:
            try:
                fetch(f"{node.device}/healthz")
            except (URLError, OSError):
                return True
            return False

        seconds_until("the workers' end", gone, give_up=GIVE_UP_SECONDS)
        node.start()
        assert node.stop() == 0
