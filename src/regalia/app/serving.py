"""Wiring of the server: the listeners, the pools behind them and the jobs beside them, in one process or several."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import structlog

from regalia.app.alerts import alert_jobs
from regalia.app.build import App, SystemClock, build, node_name
from regalia.app.device_tls import device_tls, issues_own, server_certificates
from regalia.app.door import door_of
from regalia.app.log import set_up_log
from regalia.app.signing import own_signer
from regalia.app.supervisor import Supervisor
from regalia.ca.crl_copy import CrlCopier
from regalia.console.frame import console_files
from regalia.console.registry import console_ways
from regalia.errors import UnavailableError
from regalia.jobs.audit_certificates import AuditCertificates
from regalia.jobs.checkpoint import CopyCheckpoints, MakeCheckpoints
from regalia.jobs.connectors import AnswerFeeds, FollowFleet, SweepConnectors, TellConnectors
from regalia.jobs.copy_crls import CopyCrls
from regalia.jobs.figures import CountFigures
from regalia.jobs.housekeeping import (
    ExpirePending,
    FlushRefusals,
    ForgetChallenges,
    ForgetPersonal,
    ForgetRefusals,
    ForgetSignIns,
    SweepSpool,
    TidyAdministration,
)
from regalia.jobs.index_search import IndexSearch
from regalia.jobs.loop import JobLoop
from regalia.jobs.own_keys import KnowOwnKeys
from regalia.jobs.publish_crl import PublishCrls
from regalia.jobs.recover import Recover
from regalia.jobs.renew_credentials import RenewAdminTls, RenewCredentials, RenewTls
from regalia.jobs.renew_ocsp import RenewOcsp
from regalia.jobs.rollover import RollOver
from regalia.jobs.watch_changes import WatchChanges
from regalia.keys.admin_tls import make_admin_tls, needs_renewal, read_admin_tls
from regalia.keys.tls_files import TlsFiles
from regalia.model import Action, Actor, ActorKind, EventDraft, Outcome
from regalia.ra.checkpoints import Copier
from regalia.ra.hooks import HookDesk
from regalia.ra.sweeping import Pace, Sweeper
from regalia.store.checkpoint_files import CheckpointDirectory
from regalia.store.store import open_change_feed, open_store
from regalia.verbs import VERBS
from regalia.verbs.bearer import caller_of_token
from regalia.web.admin import Mount, admin_app
from regalia.web.api import PREFIX, ApiFace, ApiParts
from regalia.web.api_pages import ApiPages
from regalia.web.api_repeats import Repeats
from regalia.web.calendar import PATH as CALENDAR
from regalia.web.calendar import CalendarFace
from regalia.web.callers import FirstKnown, TokenCallers
from regalia.web.connections import OpenConnections
from regalia.web.device import device_app
from regalia.web.face import PagePools, PagesFace, gathered_ways
from regalia.web.health import Readiness
from regalia.web.metrics import Metrics, crl_times
from regalia.web.pool import Pool, Pools
from regalia.web.protocol import ConnectionLimits
from regalia.web.proxies import ProxyHeader, TrustedProxies
from regalia.web.rendering import static_files
from regalia.web.scep import ScepLimits
from regalia.web.serve import Bound, Listener, Serving, open_sockets, run
from regalia.web.sessions import SessionCallers
from regalia.web.sign_in import door_ways

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from datetime import datetime

    from starlette.types import ASGIApp

    from regalia.app.supervisor import Seat
    from regalia.config import Address, Config, ServerSettings
    from regalia.jobs.loop import Job
    from regalia.keys.signer_client import UnixAddress
    from regalia.model import JsonValue
    from regalia.ports import ChangeFeed, Clock, Events
    from regalia.verbs import Verb
    from regalia.web.callers import Callers
    from regalia.web.door import Backing
    from regalia.web.tls import TlsSource

__all__ = ["Opening", "admin_face", "record_server", "serve", "serve_app"]

_DEVICE: Final = "device"
_DEVICE_TLS: Final = "device-tls"
_ADMIN: Final = "admin"

_STATUS_THREADS = 2
_STATUS_QUEUE = 256
_API_THREADS = 2
_API_QUEUE = 64
_PASSWORD_QUEUE = 8
_DOOR_THREADS = 4
_PROVIDER_THREADS = 4

Ready = Callable[[Sequence[Bound]], None]


@dataclass(frozen=True, slots=True)
class Opening:
    """What the workers share of one listener; made before they are forked."""

    sockets: Sequence[socket.socket] = ()
    connections: OpenConnections = field(default_factory=OpenConnections)


def serve(config: Config, on_ready: Ready) -> None:
    """Open the home and answer devices and administrators until SIGTERM or SIGINT.

    `on_ready` is called once, when all listeners answer, in all workers. Raises what `build` raises; `AdminError`
    ADM-019 where an address cannot be opened.
    """
    set_up_log(config.log)
    metrics = Metrics(SystemClock(), workers=config.server.workers)
    _serve_together(config, metrics, on_ready)


def _serve_together(config: Config, metrics: Metrics, on_ready: Ready) -> None:
    """Start the workers and look after them. The sockets are opened first, and are the same in all of them."""
    node, server = node_name(config.home), config.server
    if not config.database.is_sqlite:
        # Once for all workers; on SQLite nobody waits for it.
        import_module("regalia.store.postgresql")
    with contextlib.ExitStack() as opened:
        openings: dict[str, Opening] = {}
        bound: list[Bound] = []
        for name, address in _addresses(server):
            sockets = open_sockets(name, address.host, address.port)
            for each in sockets:
                opened.callback(each.close)
            openings[name] = Opening(sockets, OpenConnections(server.workers))
            bound.append(Bound.of(name, address.host, sockets, tls=name != _DEVICE))

        own = own_signer() if config.signer.address is None else None
        beside = own.address if own is not None else None
        sign = (lambda seat: own.run(config, seat)) if own is not None else None

        def work(seat: Seat) -> None:
            if own is not None:
                own.listening.close()
            metrics.begin(seat.number)
            for opening in openings.values():
                opening.connections.begin(seat.number)
            with _opened(config, metrics, beside) as (app, feed):
                serve_app(app, feed, metrics, lambda _: seat.ready(), openings=openings, until=seat.until)

        started = False

        def ready() -> None:
            nonlocal started
            started = True
            _record_alone(config, node, Action.SERVER_STARTED, bound)
            on_ready(bound)

        try:
            Supervisor(server.workers, work, ready, on_stop=opened.close, sign=sign).run()
        finally:
            if own is not None:
                own.listening.close()
            if started:
                _record_alone(config, node, Action.SERVER_STOPPED)


@contextlib.contextmanager
def _opened(config: Config, metrics: Metrics, beside: UnixAddress | None) -> Iterator[tuple[App, ChangeFeed]]:
    app = build(config, observe=metrics.refused, workers=config.server.workers, beside=beside)
    # Nothing was read yet, so nothing is remembered that a change could have made old unheard.
    feed = open_change_feed(config.database.connection_url())
    try:
        app.keys.self_test()
        yield app, feed
    finally:
        feed.close()
        app.close()


def serve_app(
    app: App,
    feed: ChangeFeed,
    metrics: Metrics,
    on_ready: Ready,
    *,
    openings: Mapping[str, Opening] | None = None,
    until: int | None = None,
) -> None:
    """Serve with services that are wired, in this process, until SIGTERM or SIGINT.

    `feed` was opened before anything was read; both are the caller's to close. `openings` have what several processes
    share, by the listener's name; without them the addresses of the configuration are opened
    here. The end of file of `until` ends it, too. Raises `AdminError` ADM-019 where an address cannot be opened,
    ADM-020 for the files of a TLS listener; what `device_tls` raises.
    """
    server = app.config.server
    pools = Pools(
        enrolment=Pool("enrolment", threads=server.threads, queue=server.queue),
        status=Pool("status", threads=_STATUS_THREADS, queue=_STATUS_QUEUE),
        files=Pool("files", threads=_STATUS_THREADS, queue=_STATUS_QUEUE),
    )
    # What administrators ask for may take long; it keeps neither devices nor status waiting (RES-3).
    api = Pool("api", threads=_API_THREADS, queue=_API_QUEUE)
    # One at a time: a password's hash takes 64 MiB.
    passwords = Pool("passwords", threads=1, queue=_PASSWORD_QUEUE)
    # Strangers knock here, and a provider may hang: neither keeps who is signed in waiting, nor the second who has a
    # passkey.
    pages = Pool("door", threads=_DOOR_THREADS, queue=_API_QUEUE)
    providers = Pool("providers", threads=_PROVIDER_THREADS, queue=_API_QUEUE)
    metrics.watch_pools((pools.enrolment, pools.status, api))
    bound = openings[_ADMIN].sockets if openings is not None else ()
    backing = door_of(app, app.config.admin_url(bound[0].getsockname()[1] if bound else None))
    metrics.watch_crls(lambda: crl_times(app.store, app.store))
    own = read_admin_tls(app.config.home)
    tls: dict[str, TlsSource] = {_ADMIN: TlsFiles(own.certificate, own.key)}
    device = _device(app, pools, metrics)
    apps = {
        _DEVICE: device,
        _DEVICE_TLS: device,
        _ADMIN: admin_face(
            app,
            metrics,
            _callers(app, backing),
            status=pools.status,
            api=api,
            door=_pages(backing, PagePools(pages, passwords, providers, api)),
        ),
    }
    node = node_name(app.config.home)
    holder = f"{node}:{os.getpid()}"
    issued = server_certificates(app, holder) if issues_own(server) else None
    if server.listen_tls is not None:
        tls[_DEVICE_TLS] = device_tls(app, issued)
    loop = JobLoop(
        (*_jobs(app, feed), *((RenewTls(issued),) if issued is not None else ())),
        leases=app.store,
        clock=app.clock,
        node=node,
        holder=holder,
        observe=lambda name, ok: metrics.job_ran(name, ok=ok),
    )
    run(
        Serving(
            listeners=[_listener(name, apps[name], server, openings, tls.get(name)) for name, _ in _addresses(server)],
            on_ready=on_ready,
            beside=(loop.run,),
            at_end=lambda: _close(pools, api, passwords, pages, providers),
            until=until,
        )
    )


def _close(pools: Pools, *others: Pool) -> None:
    pools.close()
    for each in others:
        each.close()


def _addresses(server: ServerSettings) -> list[tuple[str, Address]]:
    """List the listeners and where they listen."""
    named = ((_DEVICE, server.listen), (_DEVICE_TLS, server.listen_tls), (_ADMIN, server.admin_listen))
    return [(name, address) for name, address in named if address is not None]


def _listener(
    name: str,
    app: ASGIApp,
    server: ServerSettings,
    openings: Mapping[str, Opening] | None,
    tls: TlsSource | None,
) -> Listener:
    opening = openings[name] if openings is not None else Opening()
    address = dict(_addresses(server))[name]
    # Administrators come directly: nobody in front of them can say who they are.
    proxies = TrustedProxies(server.trusted_proxies, ProxyHeader(server.proxy_header))
    return Listener(
        name,
        app,
        address.host,
        address.port,
        tls=tls,
        limits=ConnectionLimits(per_source=server.connections_per_source, connections=server.connections),
        sockets=opening.sockets,
        connections=opening.connections,
        proxies=TrustedProxies() if name == _ADMIN else proxies,
    )


def _device(app: App, pools: Pools, metrics: Metrics) -> ASGIApp:
    limits = app.config.limits
    return device_app(
        scep=app.scep,
        ndes=app.ndes,
        doors=app.store,
        ocsp=app.ocsp,
        authorities=app.store,
        crl_files=app.crl_files,
        readiness=Readiness(app.store, app.keys, app.crl_files, app.clock),
        pools=pools,
        metrics=metrics,
        clock=app.clock,
        limits=ScepLimits(post=limits.post_octets, url=limits.url_octets, message=limits.message_octets),
        hooks=HookDesk(
            store=app.store,
            kinds=app.connectors.kinds,
            sweeper=Sweeper(app.store, app.clock, app.entropy),
            key_of=lambda connector: app.hook_key(connector).encode(),
            clock=app.clock,
        ),
    )


def _callers(app: App, backing: Backing) -> Callers:
    """Say who may ask the API: programs with their tokens, and browsers with their sessions."""
    tokens = TokenCallers(lambda token, source: caller_of_token(app.store, token, now=app.clock.now(), source=source))
    return FirstKnown(tokens, SessionCallers(backing.sessions, backing.admin_url))


def _pages(backing: Backing, pools: PagePools) -> PagesFace:
    """Put the door and the console together."""
    files = {**static_files(), **console_files()}
    return PagesFace(backing, pools, gathered_ways(door_ways(backing), console_ways(backing)), files)


def admin_face(
    app: App,
    metrics: Metrics,
    callers: Callers,
    *,
    status: Pool,
    api: Pool,
    verbs: Sequence[Verb[Any, Any]] = (),
    door: PagesFace | None = None,
) -> ASGIApp:
    """Make the admin listener's application: health and metrics in the pool `status`, the API in one of its own."""
    hosts = (app.config.server.url, app.config.admin_url())
    known = {app.config.server.admin_listen.host, *(urlsplit(url).hostname or "localhost" for url in hosts)}
    asked = verbs or tuple(VERBS.values())
    parts = ApiParts(
        services=app,
        callers=callers,
        limits=app.api_limits,
        repeats=Repeats(app.store, app.clock, app.master.challenge_mac()),
        pool=api,
        metrics=metrics,
    )
    return admin_app(
        readiness=Readiness(app.store, app.keys, app.crl_files, app.clock),
        metrics=metrics,
        pool=status,
        hosts=known,
        mounts=[
            Mount(PREFIX, ApiFace(parts, asked, ApiPages(asked)), None),
            Mount(CALENDAR, CalendarFace(app, app.api_limits, api)),
            *(door.mounts() if door else ()),
        ],
    )


def _jobs(app: App, feed: ChangeFeed) -> tuple[Job, ...]:
    copies = CopyCrls(app.store, app.keys, CrlCopier(app.store, app.crl_files), app.crls)
    return (
        copies,
        Recover(app.recovery),
        PublishCrls(
            app.store,
            app.keys,
            app.crls,
            app.crl_files,
            every=timedelta(seconds=app.config.crl.check_seconds),
            alert_octets=app.config.crl.alert_octets,
        ),
        RenewCredentials(app.store, app.store, app.ceremony),
        RollOver(app.rollover),
        RenewAdminTls(lambda now: _renew_admin_tls(app, now)),
        FlushRefusals(app.refusals),
        ForgetRefusals(app.store),
        ForgetChallenges(app.store),
        ForgetSignIns(app.store),
        TidyAdministration(app.store, app.proposals, after=timedelta(days=app.config.audit.personal_days)),
        ExpirePending(app.approvals.expire),
        SweepSpool(app.crl_files.sweep),
        AuditCertificates(app.store, app.urls, app.entropy),
        ForgetPersonal(
            app.personal,
            after=timedelta(days=app.config.audit.personal_days),
            keys_after=timedelta(days=app.config.audit.pseudonym_days),
        ),
        MakeCheckpoints(app.checkpoints),
        *_copies(app),
        KnowOwnKeys(app.store, lambda: _listener_keys(app.config)),
        IndexSearch(app.store),
        CountFigures(app.store, app.clock),
        RenewOcsp(app.ocsp),
        *alert_jobs(app, node_name(app.config.home)),
        *_fleet_jobs(app),
        WatchChanges(feed, app.ocsp, app.store.invalidate, copies.hear, app.keys.let_go),
    )


def _fleet_jobs(app: App) -> Iterator[Job]:
    """What connectors are asked by itself, and what follows from it."""
    settings = app.config.fleet
    poll = timedelta(minutes=settings.poll_minutes)
    pace = Pace(full=timedelta(minutes=settings.sweep_minutes))
    yield SweepConnectors(app.store, app.links, Sweeper(app.store, app.clock, app.entropy, pace), app.clock, every=poll)
    yield AnswerFeeds(app.store, app.links, every=poll)
    yield FollowFleet(app.store, app.entropy, every=timedelta(seconds=settings.follow_seconds))
    yield TellConnectors(app.teller)


def _copies(app: App) -> Iterator[Job]:
    directory = app.config.audit.checkpoint_directory
    if directory is not None:
        yield CopyCheckpoints(Copier(app.store, CheckpointDirectory(directory)))


def _listener_keys(config: Config) -> Iterator[tuple[bytes, str]]:
    """Say which keys this node's listeners have in files; what an authority of ours issued is known anyway."""
    own = read_admin_tls(config.home)
    yield TlsFiles(own.certificate, own.key).key_sha256(), "admin listener"
    if config.server.tls_certificate is not None and config.server.tls_key is not None:
        yield TlsFiles(config.server.tls_certificate, config.server.tls_key).key_sha256(), "device listener"


def _renew_admin_tls(app: App, now: datetime) -> bool:
    if not needs_renewal(app.config.home, now):
        return False
    host = urlsplit(app.config.server.url).hostname or "localhost"
    make_admin_tls(app.config.home, host, now=now, entropy=app.entropy)
    return True


def _record_alone(config: Config, node: str, action: Action, bound: Sequence[Bound] = ()) -> None:
    """Record for all workers, in the process that started them, which has no store open otherwise."""
    clock = SystemClock()
    store = open_store(config.database.connection_url(), node=node, clock=clock)
    try:
        record_server(store, clock, action, bound)
    finally:
        store.close()


def record_server(store: Events, clock: Clock, action: Action, bound: Sequence[Bound] = ()) -> None:
    """Record the start or the end, if the database takes it; OCSP and CRLs are served without it, too (RES-7)."""
    actor = Actor(ActorKind.SYSTEM, "server")
    details: dict[str, JsonValue] = {"listeners": [f"{each.name} {each.url}" for each in bound]}
    event = EventDraft(clock.now(), actor, action, "server", Outcome.OK, details=details)
    try:
        store.record((event,))
    except UnavailableError as unavailable:
        structlog.get_logger("regalia.app").error("not-recorded", action=action.value, detail=unavailable.detail)
