"""Wiring of the server: both listeners, the pools behind them and the jobs beside them."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from regalia.app.build import App, SystemClock, build, node_name
from regalia.app.log import set_up_log
from regalia.ca.crl_copy import CrlCopier
from regalia.errors import UnavailableError
from regalia.jobs.copy_crls import CopyCrls
from regalia.jobs.housekeeping import FlushRefusals, ForgetRefusals, SweepSpool
from regalia.jobs.lint_sample import LintSample
from regalia.jobs.loop import JobLoop
from regalia.jobs.publish_crl import PublishCrls
from regalia.jobs.recover import Recover
from regalia.jobs.renew_credentials import RenewAdminTls, RenewCredentials
from regalia.jobs.watch_changes import WatchChanges
from regalia.keys.admin_tls import make_admin_tls, needs_renewal, read_admin_tls
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.store.store import open_change_feed
from regalia.web.admin import admin_app
from regalia.web.device import device_app
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics, crl_times
from regalia.web.pool import Pool, Pools
from regalia.web.scep import ScepLimits
from regalia.web.serve import Listener, Serving, run
from regalia.web.tls import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from starlette.types import ASGIApp

    from regalia.config import Config
    from regalia.jobs.loop import Job
    from regalia.model import JsonValue
    from regalia.ports import ChangeFeed
    from regalia.web.serve import Bound

__all__ = ["record_server", "serve"]

_STATUS_THREADS = 2
_STATUS_QUEUE = 256


def serve(config: Config, on_ready: Callable[[Sequence[Bound]], None]) -> None:
    """Open the home and answer devices and administrators until SIGTERM or SIGINT.

    `on_ready` is called once, when both listeners answer. Raises what `build` raises; `AdminError` ADM-019 where an
    address cannot be opened.
    """
    set_up_log(config.log)
    metrics = Metrics(SystemClock())
    app = build(config, observe=metrics.refused)
    # Nothing was read yet, so nothing is remembered that a change could have made old unheard.
    feed = open_change_feed(config.database.connection_url())
    try:
        app.keys.self_test()
        _serve(app, feed, metrics, on_ready)
    finally:
        feed.close()
        app.close()


def _serve(app: App, feed: ChangeFeed, metrics: Metrics, on_ready: Callable[[Sequence[Bound]], None]) -> None:
    server = app.config.server
    pools = Pools(
        enrolment=Pool("enrolment", threads=server.threads, queue=server.queue),
        status=Pool("status", threads=_STATUS_THREADS, queue=_STATUS_QUEUE),
    )
    metrics.watch_pools((pools.enrolment, pools.status))
    metrics.watch_crls(lambda: crl_times(app.store, app.store))
    tls = read_admin_tls(app.config.home)
    node = node_name(app.config.home)
    loop = JobLoop(
        _jobs(app, feed),
        leases=app.store,
        clock=app.clock,
        node=node,
        holder=f"{node}:{os.getpid()}",
        observe=lambda name, ok: metrics.job_ran(name, ok=ok),
    )

    def ready(bound: Sequence[Bound]) -> None:
        record_server(app, Action.SERVER_STARTED, [f"{each.name} {each.url}" for each in bound])
        on_ready(bound)

    def at_end() -> None:
        pools.close()
        record_server(app, Action.SERVER_STOPPED, [])

    run(
        Serving(
            listeners=(
                Listener("device", _device(app, pools, metrics), server.listen.host, server.listen.port),
                Listener(
                    "admin",
                    _admin(app, pools, metrics),
                    server.admin_listen.host,
                    server.admin_listen.port,
                    tls=TlsFiles(tls.certificate, tls.key),
                ),
            ),
            on_ready=ready,
            beside=(loop.run,),
            at_end=at_end,
        )
    )


def _device(app: App, pools: Pools, metrics: Metrics) -> ASGIApp:
    limits = app.config.limits
    return device_app(
        scep=app.scep,
        doors=app.store,
        ocsp=app.ocsp,
        authorities=app.store,
        crl_files=app.crl_files,
        readiness=Readiness(app.store, app.keys, app.clock),
        pools=pools,
        metrics=metrics,
        clock=app.clock,
        limits=ScepLimits(post=limits.post_octets, url=limits.url_octets, message=limits.message_octets),
    )


def _admin(app: App, pools: Pools, metrics: Metrics) -> ASGIApp:
    known = {app.config.server.admin_listen.host, urlsplit(app.config.server.url).hostname or "localhost"}
    return admin_app(
        readiness=Readiness(app.store, app.keys, app.clock), metrics=metrics, pool=pools.status, hosts=known
    )


def _jobs(app: App, feed: ChangeFeed) -> tuple[Job, ...]:
    copies = CopyCrls(app.store, app.keys, CrlCopier(app.store, app.crl_files), app.crls)
    return (
        copies,
        Recover(app.recovery),
        PublishCrls(app.store, app.keys, app.crls, every=timedelta(seconds=app.config.crl.check_seconds)),
        RenewCredentials(app.store, app.ceremony),
        RenewAdminTls(lambda now: _renew_admin_tls(app, now)),
        FlushRefusals(app.refusals),
        ForgetRefusals(app.store),
        SweepSpool(app.crl_files.sweep),
        LintSample(app.store),
        WatchChanges(feed, app.ocsp, app.store.invalidate, copies.hear),
    )


def _renew_admin_tls(app: App, now: datetime) -> bool:
    if not needs_renewal(app.config.home, now):
        return False
    host = urlsplit(app.config.server.url).hostname or "localhost"
    make_admin_tls(app.config.home, host, now=now, entropy=app.entropy)
    return True


def record_server(app: App, action: Action, listeners: list[str]) -> None:
    """Record the start or the end, if the database takes it; OCSP and CRLs are served without it, too (RES-7)."""
    actor = Actor(ActorKind.SYSTEM, "server")
    details: dict[str, JsonValue] = {"listeners": [*listeners]}
    event = EventDraft(app.clock.now(), actor, action, "server", Outcome.OK, details=details)
    try:
        app.store.record((event,))
    except UnavailableError as unavailable:
        structlog.get_logger("regalia.app").error("not-recorded", action=action.value, detail=unavailable.detail)
