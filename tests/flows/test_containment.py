"""The drill: a group's issuing key is taken, and a fleet comes back under another one."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cluster import cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import rsa_crt_dmp1, rsa_crt_dmq1, rsa_crt_iqmp
from cryptography.x509 import ocsp

from postgres import running_postgres
from regalia import reasons
from regalia.app import build
from regalia.config import load_config
from regalia.errors import UnavailableError
from regalia.jobs.watch_changes import WatchChanges
from regalia.model import Action, AuthorityState, CertificateKind
from regalia.ports import CertificateFilter, EventFilter
from regalia.ra.containment import Replaced
from regalia.ra.scep import CertRep
from regalia.store.store import open_change_feed
from regalia.wire.scep import MessageType
from world import ADMIN, Device, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cluster import Node

    from regalia.app import App
    from world import World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

OLD, NEW = "default-ca-1", "default-ca-2"
PLENTY = {
    "limits__requests_per_group": "1000000",
    "limits__unreadable_per_group": "1000000",
    "limits__unreadable_per_source": "1000000",
}
NOTICE_SECONDS = 6
"""Thrice the 2 s of DESIGN §8."""
TOGETHER = 20
"""Every so many-th device sends its message to both workers at once."""


def fleet_keys(count: int) -> list[rsa.RSAPrivateKey]:
    """Make distinct RSA-2048 keys cheaply: every pair of a few primes is one.

    Two keys that share a prime are worthless to a device, and as good as any to a server that verifies and encrypts.
    """
    primes: list[int] = []
    number = 0
    while len(primes) * (len(primes) - 1) // 2 < count:
        numbers = rsa_key(number).private_numbers()
        primes += [numbers.p, numbers.q]
        number += 1
    return [_key(p, q) for p, q in itertools.islice(itertools.combinations(primes, 2), count)]


def _key(p: int, q: int) -> rsa.RSAPrivateKey:
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    private = rsa.RSAPrivateNumbers(p, q, d, rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q), public)
    return private.private_key(unsafe_skip_rsa_key_validation=True)


@contextmanager
def workers(node: Node, count: int = 2) -> Iterator[list[App]]:
    """Open a home as so many workers do, each of which hears what the others change."""
    opened = [build(load_config({**node.settings}, home=node.home)) for _ in range(count)]
    feeds = [open_change_feed(app.config.database.connection_url()) for app in opened]
    stop = threading.Event()

    def watch(app: App, feed: Any) -> None:  # noqa: ANN401 - of either database
        job = WatchChanges(feed, app.ocsp, app.store.invalidate, lambda: None)
        while not stop.is_set():
            job.run(app.clock.now())

    threads = [threading.Thread(target=watch, args=pair) for pair in zip(opened, feeds, strict=True)]
    for thread in threads:
        thread.start()
    try:
        yield opened
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for feed in feeds:
            feed.close()
        for app in opened:
            app.close()


class Laptop:
    """One of the fleet: it speaks SCEP to whichever worker it is given."""

    def __init__(self, number: int, key: rsa.RSAPrivateKey, app: App) -> None:
        there = cast("World", SimpleNamespace(store=app.store, clock=app.clock))
        self.cn = f"laptop-{number}"
        self.name = f"device-{number}"
        self.device = Device(there, key)
        self._round = 0

    def message(self, challenge: str | None, message_type: str = MessageType.PKCS_REQ) -> tuple[bytes, bytes]:
        """Make a message of a new transaction."""
        self._round += 1
        self.device = self.device.fresh(f"{self.name}/{self._round}")
        csr = self.device.csr(names(self.cn), challenge)
        return csr, self.device.message(csr, message_type=message_type)

    def enrol(self, challenge: str, apps: Sequence[App]) -> None:
        """Enrol at one worker, or at all at once with the very same message: then they give one certificate."""
        self.device.certificate = None
        csr, body = self.message(challenge)
        if len(apps) == 1:
            answers = [send(apps[0], body)]
        else:
            with ThreadPoolExecutor(len(apps)) as pool:
                answers = list(pool.map(lambda app: send(app, body), apps))
        got = {self.device.open(answer, csr).certificates for answer in answers}
        ((certificate,),) = got
        self.device.certificate = certificate


def send(app: App, body: bytes) -> CertRep:
    """Put a message through a worker, again while another one has it in hand, as a client does."""
    for _ in range(20):
        door = app.scep.door("default")
        assert door is not None
        try:
            answer = app.scep.pki_operation(door, body, "192.0.2.1")
        except UnavailableError as unavailable:
            if unavailable.reason is not reasons.IN_PROGRESS:
                raise
            time.sleep(0.1)
        else:
            assert isinstance(answer, CertRep), answer
            return answer
    raise AssertionError("never answered")


def enrol_all(apps: Sequence[App], fleet: Sequence[Laptop]) -> None:
    """Hand each a challenge for its device and have it enrol; the workers share them."""

    def one(laptop: Laptop) -> None:
        number = int(laptop.name.partition("-")[2])
        app = apps[number % len(apps)]
        laptop.enrol(mint(app, laptop), apps if number % TOGETHER == 0 else [app])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, fleet))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so on every worker."""
    end = time.monotonic() + NOTICE_SECONDS
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def refused(app: App, body: bytes) -> str:
    """Send what a worker does not take now, and say why."""
    with pytest.raises(UnavailableError) as caught:
        send(app, body)
    return caught.value.reason.id


def ocsp_status(app: App, authority: str, serial: int) -> tuple[str, str]:
    """Ask a worker's responder for one serial, with a request that the cryptography package made."""
    found = app.store.authority(authority)
    assert found is not None
    ca = x509.load_der_x509_certificate(found.certificate_der)
    point = ca.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    digests = []
    for hashed in (ca.subject.public_bytes(), point):
        digest = hashes.Hash(hashes.SHA256())
        digest.update(hashed)
        digests.append(digest.finalize())
    asked = ocsp.OCSPRequestBuilder().add_certificate_by_hash(digests[0], digests[1], serial, hashes.SHA256())
    answer = app.ocsp.answer(asked.build().public_bytes(serialization.Encoding.DER))
    reason = ocsp.load_der_ocsp_response(answer.der).revocation_reason
    return answer.status, reason.value if reason is not None else ""


@pytest.fixture(params=["sqlite", "postgresql"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Node, int]]:
    """A home, and how many laptops it has: the thousand of the drill on SQLite, a tenth on PostgreSQL."""
    if request.param == "sqlite":
        with cluster(tmp_path, None, PLENTY) as (made,):
            yield made, 1000
        return
    with running_postgres("max_connections=60") as server, cluster(tmp_path, server.create("drill"), PLENTY) as made:
        yield made[0], 100


def test_a_fleet_comes_back_after_a_compromise(node: tuple[Node, int]) -> None:
    """Enrolled, contained by two administrators at once, all listed and revoked; all enrol anew and none is listed."""
    home, count = node
    with workers(home) as apps:
        one, other = apps
        fleet = [Laptop(number, key, apps[number % 2]) for number, key in enumerate(fleet_keys(count))]
        enrol_all(apps, fleet)
        leaves = CertificateFilter(kind=CertificateKind.LEAF, limit=10 * count)
        before = {laptop.name: laptop.device.certificate for laptop in fleet}
        serials = [certificate.serial for certificate in one.store.certificates(leaves)]
        assert len(serials) == len(set(before.values())) == count
        assert ocsp_status(other, OLD, serials[0]) == ("good", "")

        one.containment.suspend("default", "somebody has the key", actor=ADMIN)
        waiting = Laptop(count, rsa_key(0), one)
        challenge = mint(one, waiting)
        until(lambda: suspended(other))
        _csr, enrolling = waiting.message(challenge)
        _csr, renewing = fleet[0].message(None, MessageType.RENEWAL_REQ)
        assert {refused(app, body) for app in apps for body in (enrolling, renewing)} == {"CA-015"}

        replaced = at_once(apps)
        assert {each.present.name for each in replaced} == {NEW}
        assert [(a.name, a.state) for a in one.store.authorities()] == [
            ("root", AuthorityState.ACTIVE),
            (OLD, AuthorityState.REVOKED),
            (NEW, AuthorityState.ACTIVE),
        ]
        assert all(each.suspended.endswith("somebody has the key") for each in replaced)
        one.containment.resume("default", actor=ADMIN)
        listed = one.containment.holders("default")
        assert {holder.device for holder in listed} == {laptop.name for laptop in fleet}
        until(lambda: ocsp_status(other, OLD, serials[0]) == ("revoked", "cACompromise"))
        for app in apps:
            told = {ocsp_status(app, OLD, serial) for serial in serials}
            assert told == {("revoked", "cACompromise")}
        assert root_crl_lists(one, OLD)
        for laptop in fleet[:5]:
            _csr, body = laptop.message(None, MessageType.RENEWAL_REQ)
            send(other, body)
        newest = [event.draft for event in one.store.events(EventFilter(action=Action.ENROLMENT_REFUSED, limit=10))]
        assert {draft.reason_id for draft in newest} == {"SCEP-060"}

        enrol_all(apps, fleet)
        assert one.containment.holders("default") == ()
        after = [c for c in one.store.certificates(leaves) if c.intent.authority == NEW]
        assert len(after) == count
        assert not set(before.values()) & {laptop.device.certificate for laptop in fleet}


def mint(app: App, laptop: Laptop) -> str:
    """Hand out a challenge for a device."""
    binding = names(laptop.cn)
    return app.challenges.mint(
        "default", binding=binding, device=laptop.name, ttl=timedelta(hours=1), actor=ADMIN
    ).secret


def suspended(app: App) -> bool:
    """Whether a worker knows that its group is."""
    door = app.scep.door("default")
    assert door is not None
    return door.group.suspended_at is not None


def at_once(apps: Sequence[App]) -> list[Replaced]:
    """Have an administrator at each worker replace the authority, at the same time."""

    def replace(app: App) -> Replaced:
        done = app.containment.replace("default", actor=ADMIN, publish=lambda name: publish(app, name), compromised=OLD)
        assert isinstance(done, Replaced)
        return done

    with ThreadPoolExecutor(len(apps)) as pool:
        return list(pool.map(replace, apps))


def publish(app: App, authority: str) -> None:
    """Publish an authority's CRL."""
    app.crls.publish(authority, ADMIN)


def root_crl_lists(app: App, authority: str) -> bool:
    """Whether the published CRL of the root names the authority's certificate."""
    found, last = app.store.authority(authority), app.store.last_crl("root")
    assert found is not None
    assert last is not None
    crl = x509.load_der_x509_crl(b"".join(app.store.crl_octets(last)))
    serial = x509.load_der_x509_certificate(found.certificate_der).serial_number
    return crl.get_revoked_certificate_by_serial_number(serial) is not None
