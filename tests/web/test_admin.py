"""The admin listener, health and metrics."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import structlog

from memory_store import MemoryStore
from regalia import reasons
from regalia.errors import UnavailableError
from regalia.model import CertificateKind, CredentialPurpose, CrlIntent, CrlRecord
from regalia.web.admin import admin_app
from regalia.web.health import Readiness
from regalia.web.metrics import crl_times
from web.asgi import ask
from world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.types import ASGIApp

    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pools

NAME = "default-ca-1"
LOCAL = ((b"host", b"localhost:8443"),)
PATHS = ("/healthz", "/readyz", "/metrics", "/nothing")


def publish_crl(world: World) -> None:
    """Leave the record of a CRL that is good for a day."""
    now = world.clock.now()
    authority = world.store.authority(NAME)
    assert authority is not None
    reserved = world.store.reserve_crl(UUID(int=1), NAME, now)
    until = now + timedelta(days=1)
    intent = CrlIntent(reserved.id, NAME, authority.key_id, reserved.number, now, until, 0, bytes(32), "spool/1", now)
    world.store.begin_crl(intent)
    digest = hashlib.sha256(b"crl").digest()
    record = CrlRecord(NAME, reserved.number, now, until, 0, reserved.snapshot, digest, now)
    world.store.finish_crl(reserved.id, record, (b"crl",), ())
    world.files.files[f"published/{NAME}"] = b"crl"


@pytest.fixture
def world() -> World:
    """A deployment that is ready."""
    made = World()
    publish_crl(made)
    return made


@pytest.fixture
def readiness(world: World) -> Readiness:
    """What tells so."""
    return Readiness(world.store, world.keys, world.files, world.clock)


@pytest.fixture
def app(readiness: Readiness, metrics: Metrics, pools: Pools) -> ASGIApp:
    """The admin application of pki.example.test."""
    return admin_app(readiness=readiness, metrics=metrics, pool=pools.status, hosts=["PKI.example.test", "192.0.2.5"])


# --- the guard ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:1", b"127.0.0.1:8443", b"[::1]:8443", b"pki.example.test", b"192.0.2.5:1"]
)
def test_known_hosts_are_served(app: ASGIApp, host: bytes) -> None:
    """WEB-9: the configured names and the local ones, with any port."""
    assert ask(app, "/healthz", headers=((b"host", host),)).status == 200


@pytest.mark.parametrize(
    "hosts",
    [(), (b"",), (b"evil.example",), (b"localhost.evil.example",), (b"[::2]",), (b"localhost", b"evil.example")],
)
@pytest.mark.parametrize("path", PATHS)
def test_other_hosts_are_misdirected(app: ASGIApp, hosts: Sequence[bytes], path: str) -> None:
    """WEB-9: a page of a stranger whose name points here learns nothing, whatever it asks for."""
    heard = ask(app, path, headers=[(b"host", host) for host in hosts])
    assert (heard.status, heard.body) == (421, b"misdirected request\n")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [LOCAL, ()])
def test_every_answer_is_hardened(app: ASGIApp, path: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """WEB-2: each answer has the headers, refusals too."""
    heard = ask(app, path, headers=headers)
    assert heard.headers["content-security-policy"].startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in heard.headers["content-security-policy"]
    assert heard.headers["x-content-type-options"] == "nosniff"
    assert heard.headers["referrer-policy"] == "no-referrer"
    assert heard.headers["cross-origin-opener-policy"] == "same-origin"
    assert heard.headers["cross-origin-resource-policy"] == "same-origin"
    assert heard.headers["strict-transport-security"] == "max-age=31536000"
    assert heard.headers["cache-control"] == "no-store"
    assert "camera=()" in heard.headers["permissions-policy"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/metrics/", "/scep/default?operation=GetCACaps", "/api/v1"])
def test_there_is_nothing_else(app: ASGIApp, path: str) -> None:
    """WEB-8: the admin listener has three paths, and none of the devices'."""
    assert ask(app, path, headers=LOCAL).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", PATHS)
def test_it_is_read_only(app: ASGIApp, path: str, method: str) -> None:
    """405 for anything but GET and HEAD."""
    assert ask(app, path, method=method, headers=LOCAL).status == 405


def test_a_long_url_is_414(app: ASGIApp) -> None:
    """RES-1: 8 KiB are enough here."""
    assert ask(app, "/healthz?" + "a" * 8_192, headers=LOCAL).status == 414


# --- health ---------------------------------------------------------------------------------------------------------


def test_alive_is_a_constant(app: ASGIApp, world: World, pools: Pools) -> None:
    """Alive says that the loop answers, whatever has become of the rest."""
    world.keys.private.clear()
    pools.status.close()
    heard = ask(app, "/healthz", headers=LOCAL)
    assert (heard.status, heard.body) == (200, b'{"status":"ok"}')


def test_ready_means_that_it_can_issue(app: ASGIApp) -> None:
    """With the database, the keys and a fresh CRL, the answer is 200."""
    heard = ask(app, "/readyz", headers=LOCAL)
    assert heard.status == 200
    assert json.loads(heard.body) == {
        "ready": True,
        "checks": {"database": True, "authorities": True, "keys": True, "crls": True},
    }


@pytest.mark.parametrize("kind", [CertificateKind.ISSUING, CertificateKind.RA, CertificateKind.OCSP])
def test_not_ready_without_a_key(app: ASGIApp, world: World, kind: CertificateKind) -> None:
    """The issuing key, the RA key and the OCSP key must all be here; the answer names none of them."""
    door = world.store.door("default")
    assert door is not None
    keys = {
        CertificateKind.ISSUING: door.authority.key_id,
        CertificateKind.RA: door.ra.key_id,
        CertificateKind.OCSP: world.store.credentials(CredentialPurpose.OCSP, NAME)[0].key_id,
    }
    del world.keys.private[keys[kind]]
    heard = ask(app, "/readyz", headers=LOCAL)
    assert heard.status == 503
    assert int(heard.headers["retry-after"]) > 0
    assert json.loads(heard.body) == {
        "ready": False,
        "checks": {"database": True, "authorities": True, "keys": False, "crls": True},
    }


def test_not_ready_with_an_expired_crl(app: ASGIApp, world: World) -> None:
    """When the CRL has run out, devices' certificates are refused everywhere, so this is not ready."""
    world.clock.advance(timedelta(days=1))
    assert json.loads(ask(app, "/readyz", headers=LOCAL).body)["checks"]["crls"] is False


def test_not_ready_before_the_first_crl(metrics: Metrics, pools: Pools) -> None:
    """A new authority without a CRL is not ready yet."""
    world = World()
    app = admin_app(
        readiness=Readiness(world.store, world.keys, world.files, world.clock),
        metrics=metrics,
        pool=pools.status,
        hosts=(),
    )
    assert ask(app, "/readyz", headers=LOCAL).status == 503


def test_not_ready_with_an_old_copy_of_the_crl(app: ASGIApp, world: World) -> None:
    """REV-3: a node that serves an older CRL than the published one is ready for a minute; one without any is not."""

    def fresh() -> bool:
        return bool(json.loads(ask(app, "/readyz", headers=LOCAL).body)["checks"]["crls"])

    assert fresh()
    world.files.files[f"published/{NAME}"] = b"the one before"
    world.clock.advance(timedelta(seconds=59))
    assert fresh()
    world.clock.advance(timedelta(seconds=1))
    assert not fresh()
    world.files.files[f"published/{NAME}"] = b"crl"
    world.clock.advance(timedelta(seconds=1))
    assert fresh()
    del world.files.files[f"published/{NAME}"]
    world.clock.advance(timedelta(seconds=1))
    assert not fresh()


class Down(MemoryStore):
    """A database that takes no writes: gone, or on a full disk."""

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Fail."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"secret detail of {job} {holder} {now} {until}")


@pytest.mark.parametrize(
    ("store", "checks"),
    [
        (Down(), {"database": False, "authorities": False, "keys": False, "crls": False}),
        (MemoryStore(), {"database": True, "authorities": False, "keys": False, "crls": True}),
    ],
    ids=["down", "nothing to issue with"],
)
def test_not_ready_without_a_database(
    world: World, metrics: Metrics, pools: Pools, store: MemoryStore, checks: dict[str, bool]
) -> None:
    """A database that is down, or holds no authority, is not ready; nothing of the inside is told."""
    app = admin_app(
        readiness=Readiness(store, world.keys, world.files, world.clock), metrics=metrics, pool=pools.status, hosts=()
    )
    heard = ask(app, "/readyz", headers=LOCAL)
    assert heard.status == 503
    assert json.loads(heard.body)["checks"] == checks


@pytest.mark.parametrize("days", [-400, 365 * 30], ids=["not yet", "no more"])
def test_not_ready_with_an_issuer_that_is_not_valid(world: World, readiness: Readiness, days: int) -> None:
    """RES-7: an authority before or after its validity issues nothing, so the node is not ready."""
    world.clock.advance(timedelta(days=days))
    assert readiness.checks()["authorities"] is False


class Hanging(MemoryStore):
    """A database that does not answer, and does not refuse either."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def lease(self, job: str, holder: str, now: datetime, until: datetime) -> bool:
        """Answer when it is let."""
        self.hangs.set()
        assert self.go_on.wait(20)
        return super().lease(job, holder, now, until)


def test_a_database_that_hangs_keeps_one_thread() -> None:
    """RES-7: others who ask meanwhile get the last answer at once, and after five seconds the truth."""
    store = Hanging()
    world = World(store=store)
    publish_crl(world)
    readiness = Readiness(store, world.keys, world.files, world.clock)
    assert all(readiness.checks().values())
    world.clock.advance(timedelta(seconds=1))
    store.hangs.clear()
    store.go_on.clear()
    looking = threading.Thread(target=readiness.checks)
    looking.start()
    try:
        assert store.hangs.wait(20)
        world.clock.advance(timedelta(seconds=5))
        assert all(readiness.checks().values())
        world.clock.advance(timedelta(seconds=1))
        assert not any(readiness.checks().values())
    finally:
        store.go_on.set()
        looking.join(20)
    world.clock.advance(timedelta(seconds=1))
    assert all(readiness.checks().values())


def test_why_a_node_is_not_ready_is_in_the_log(world: World) -> None:
    """RES-7: each change is one line for whoever runs the server; `/readyz` names the check and nothing else."""
    store = Down()
    readiness = Readiness(store, world.keys, world.files, world.clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            readiness.checks()
            world.clock.advance(timedelta(seconds=1))
    (line,) = lines
    assert (line["event"], line["checks"]) == ("not-ready", ["database", "authorities", "keys", "crls"])
    assert line["detail"].startswith("secret detail")


def test_readiness_is_looked_up_once_a_second(world: World, readiness: Readiness) -> None:
    """Strangers who ask without end cost one look a second."""
    assert all(readiness.checks().values())
    world.keys.private.clear()
    assert all(readiness.checks().values())
    world.clock.advance(timedelta(seconds=1))
    assert not all(readiness.checks().values())


# --- metrics --------------------------------------------------------------------------------------------------------


def test_metrics_show_what_was_counted(app: ASGIApp, metrics: Metrics, pools: Pools, world: World) -> None:
    """Each count is there under our prefix, and the gauges are looked up when asked for."""
    metrics.refused(reasons.CHALLENGE_USED)
    metrics.issued()
    metrics.ocsp_answered("good", cached=True)
    metrics.job_ran("recover", ok=False)
    metrics.incident()
    metrics.watch_pools((pools.enrolment, pools.status))
    metrics.watch_crls(lambda: [(NAME, world.clock.now() - timedelta(hours=1), world.clock.now())])
    heard = ask(app, "/metrics", headers=LOCAL)
    assert heard.headers["content-type"].startswith("text/plain; version=")
    lines = heard.body.decode().splitlines()
    for line in (
        f'regalia_refusals_total{{reason="{reasons.CHALLENGE_USED.id}"}} 1.0',
        "regalia_enrolments_issued_total 1.0",
        'regalia_ocsp_answers_total{cache="hit",status="good"} 1.0',
        'regalia_job_runs_total{job="recover",outcome="failed"} 1.0',
        "regalia_incidents_total 1.0",
        'regalia_pool_depth{pool="enrolment"} 0.0',
        'regalia_pool_depth{pool="status"} 1.0',
        f'regalia_crl_age_seconds{{authority="{NAME}"}} 3600.0',
        f'regalia_crl_valid_seconds{{authority="{NAME}"}} 0.0',
    ):
        assert line in lines
    assert all(line.startswith(("#", "regalia_")) for line in lines)


def test_crl_times_come_from_the_record(world: World, metrics: Metrics) -> None:
    """The age of a CRL is that of the last one on record; an authority without one has none."""
    metrics.watch_crls(lambda: crl_times(world.store, world.store))
    world.clock.advance(timedelta(minutes=5))
    assert metrics.registry.get_sample_value("regalia_crl_valid_seconds", {"authority": "root"}) is None
    assert metrics.registry.get_sample_value("regalia_crl_valid_seconds", {"authority": NAME}) == 24 * 3600.0
