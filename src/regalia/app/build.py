"""Wiring of the services: `build(config)` is `open_home`, which gives a `Ground`, and `wire`, which gives an `App`.

They are two so that a test can stand the services on ports of its own (a store that ends the process, a signer that
keeps a journal): `wire(config, replace(ground, signer=...))`.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from regalia import reasons
from regalia.app.alerts import alert_desk
from regalia.app.connectors import ConnectorLinks, RegisteredKinds, outgoing_of
from regalia.app.custody import Custody, divided
from regalia.app.practice import practice_of
from regalia.ca.authority import Ceremony
from regalia.ca.carried_crl import CrlImporter
from regalia.ca.crl import CrlPublisher
from regalia.ca.hierarchy import Hierarchy
from regalia.ca.importing import Importer
from regalia.ca.issue import Issuer
from regalia.ca.recover import Recovery
from regalia.ca.rollover import Rollover
from regalia.ca.status import OcspResponder
from regalia.ca.urls import Urls
from regalia.errors import AdminError, RegaliaError, UnavailableError
from regalia.keys.master import master_ring
from regalia.keys.medium import FallbackVault, MediumVault
from regalia.keys.sealing import MasterSealer
from regalia.keys.software import SoftwareKeys
from regalia.model import STANDING_PURPOSES, Actor, ActorKind
from regalia.ra.administration import AdminDesk
from regalia.ra.api_limits import ApiLimits
from regalia.ra.approval import ApprovalDesk
from regalia.ra.challenges import ChallengeDesk
from regalia.ra.checkpoints import CheckpointDesk
from regalia.ra.connectors import ConnectorDesk
from regalia.ra.containment import Containment
from regalia.ra.enrol import Enroller
from regalia.ra.gates import Gates
from regalia.ra.limits import Allowances, Limits
from regalia.ra.ndes import NdesService
from regalia.ra.ndes_pages import NdesDesk
from regalia.ra.notices import Teller
from regalia.ra.order import OrderDesk
from regalia.ra.personal import PersonalDesk
from regalia.ra.proposals import ProposalDesk, TwoPersons
from regalia.ra.protected import ProtectedNames
from regalia.ra.refusals import WINDOW, Refusals
from regalia.ra.registry import Registry
from regalia.ra.retrieve import Retriever
from regalia.ra.scep import ScepService
from regalia.ra.tokens import TokenDesk
from regalia.ra.vouching import Voucher
from regalia.store import migrations
from regalia.store.checkpoint_files import CheckpointDirectory
from regalia.store.crl_files import DirectoryCrlFiles
from regalia.store.store import open_store
from regalia.store.transcript_file import HomeTranscript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from regalia.config import Config, LimitSettings
    from regalia.errors import Reason
    from regalia.keys.divided import DividedKeys
    from regalia.keys.master import KeyRing
    from regalia.keys.signer_client import SignerAddress
    from regalia.model.connector import Connector
    from regalia.ports import Clock, Entropy, IntentSigner, Sealer
    from regalia.ra.alerts import AlertDesk
    from regalia.store.store import SqlStore
    from regalia.verbs.services import Practice

__all__ = [
    "NODE_FILE",
    "App",
    "Ground",
    "SystemClock",
    "SystemEntropy",
    "build",
    "node_name",
    "open_checked_store",
    "open_home",
    "wire",
]

NODE_FILE = "node"
"""Holds the name under which this home writes its event streams. `init` writes it last: with it a home is one."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, cut to milliseconds as the store keeps it."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


class SystemEntropy:
    """The kernel's random number generator."""

    def octets(self, count: int) -> bytes:
        """Return `count` random octets."""
        return os.urandom(count)


@dataclass(frozen=True, slots=True)
class App:
    """Everything that faces, jobs and commands work with."""

    config: Config
    master: KeyRing
    clock: Clock
    entropy: Entropy
    store: SqlStore
    crl_files: DirectoryCrlFiles
    keys: DividedKeys
    urls: Urls
    ceremony: Ceremony
    hierarchy: Hierarchy
    importer: Importer
    carried_crls: CrlImporter
    registry: Registry
    rollover: Rollover
    containment: Containment
    challenges: ChallengeDesk
    approvals: ApprovalDesk
    protected: ProtectedNames
    orders: OrderDesk
    ndes: NdesService
    ndes_pages: NdesDesk
    recovery: Recovery
    refusals: Refusals
    scep: ScepService
    ocsp: OcspResponder
    crls: CrlPublisher
    checkpoints: CheckpointDesk
    personal: PersonalDesk
    api_limits: ApiLimits
    transcript: HomeTranscript
    alerts: AlertDesk
    administrators: AdminDesk
    tokens: TokenDesk
    proposals: ProposalDesk
    connectors: ConnectorDesk
    links: ConnectorLinks
    gates: Gates
    teller: Teller

    def hook_key(self, connector: Connector) -> str:
        """Return the key that messages to a connector are signed with: another one once its secret is set anew."""
        return self.master.hook_key(connector.id, connector.secret_set_at).hex()

    @property
    def checkpoint_copy(self) -> CheckpointDirectory | None:
        """The copy of the checkpoints outside the home, where there is to be one."""
        directory = self.config.audit.checkpoint_directory
        return CheckpointDirectory(directory) if directory is not None else None

    @property
    def practice(self) -> Practice:
        """What the settings say, for verbs."""
        return practice_of(self.config, self.master)

    def close(self) -> None:
        """Write what is counted and let go of the database."""
        # Where it is away, the job that does the same has said so every few seconds; the rest must end all the same.
        with suppress(UnavailableError):
            self.refusals.flush(self.clock.now() + WINDOW)
        self.store.close()


def node_name(home: Path) -> str:
    """Read the name under which this home writes its event streams; `init` chose it once."""
    try:
        return (home / NODE_FILE).read_text("ascii").strip()
    except FileNotFoundError:
        raise AdminError(reasons.HOME_MISSING, str(home)) from None
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{home / NODE_FILE}: {error.strerror}") from error


def build(
    config: Config,
    *,
    medium: Path | None = None,
    observe: Callable[[Reason], None] | None = None,
    node: str | None = None,
    workers: int = 1,
    beside: SignerAddress | None = None,
) -> App:
    """Open a home.

    `medium` is a directory with key files that were moved out (`--root-key`); `observe` hears of every refusal; `node`
    is the home's name where its file is not written yet; `workers` is how many processes share this node's limits;
    `beside` is the signer that `serve` started for its workers.

    Raises `AdminError`: ADM-002 nothing was initialised here, ADM-010 or ADM-011 for the master key, ADM-012 for an
    old schema; `UnavailableError` where the database does not answer.
    """
    app = wire(config, open_home(config, medium=medium, node=node, beside=beside), observe=observe, workers=workers)
    try:
        # Before the first event that names anybody.
        app.personal.provide_key(Actor(ActorKind.SYSTEM, "pseudonyms"))
    except RegaliaError:
        app.close()
        raise
    return app


@dataclass(frozen=True, slots=True)
class Ground:
    """What the services of one home stand on."""

    node: str
    clock: Clock
    entropy: Entropy
    master: KeyRing
    store: SqlStore
    crl_files: DirectoryCrlFiles
    keys: DividedKeys
    signer: IntentSigner


def open_home(
    config: Config, *, medium: Path | None = None, node: str | None = None, beside: SignerAddress | None = None
) -> Ground:
    """Open keys and database, and see that they belong together. Arguments and errors are those of `build`."""
    clock, entropy = SystemClock(), SystemEntropy()
    node = node or node_name(config.home)
    master = master_ring(config.home, config.key_environment)
    master.current()
    store = open_checked_store(config, node, clock, MasterSealer(master, entropy))
    vault = FallbackVault(store, MediumVault(medium)) if medium is not None else store
    crl_files = DirectoryCrlFiles(config.home / "crl")
    custody = Custody(config, store, vault, crl_files, clock, entropy, on_medium=medium is not None)
    try:
        keys, signer = divided(custody, SoftwareKeys(vault, clock, entropy, master), beside)
        _prove_master_key(store, keys)
    except RegaliaError:
        store.close()
        raise
    return Ground(node, clock, entropy, master, store, crl_files, keys, signer)


@dataclass(frozen=True, slots=True)
class _Common:
    """What many services of one home share."""

    config: Config
    ground: Ground
    urls: Urls
    prefix: int
    """First octet of serials."""
    challenge_mac: Callable[[str], bytes]
    issuer: Issuer
    refusals: Refusals
    protected: ProtectedNames
    allowances: Allowances
    links: ConnectorLinks
    gates: Gates
    """One for everything in this process that asks connectors."""


def wire(config: Config, ground: Ground, *, observe: Callable[[Reason], None] | None = None, workers: int = 1) -> App:
    """Give each service its ports; nothing is decided here.

    `workers` is how many processes of this node share its limits.
    """
    store, clock, entropy = ground.store, ground.clock, ground.entropy
    common = _common(config, ground, observe, workers)
    ceremony = _ceremony(common)
    hierarchy = _hierarchy(common, ceremony)
    rollover = _rollover(common, ceremony)
    recovery = Recovery(store, common.issuer, clock, reaches=ground.keys.prove)
    teller = _teller(common)
    enroller = _enroller(common, recovery, teller)
    return App(
        config=config,
        master=ground.master,
        clock=clock,
        entropy=entropy,
        store=store,
        crl_files=ground.crl_files,
        keys=ground.keys,
        urls=common.urls,
        ceremony=ceremony,
        carried_crls=CrlImporter(store, clock, entropy),
        hierarchy=hierarchy,
        importer=Importer(ceremony, hierarchy, store=store, clock=clock, entropy=entropy),
        rollover=rollover,
        containment=_containment(common, rollover, hierarchy),
        registry=Registry(store, ceremony, clock, common.urls),
        challenges=ChallengeDesk(store, clock, entropy, common.challenge_mac),
        approvals=_approvals(common, teller),
        protected=common.protected,
        orders=OrderDesk(store=store, enroller=enroller, clock=clock),
        ndes=_ndes(common),
        ndes_pages=NdesDesk(store, clock, entropy),
        recovery=recovery,
        refusals=common.refusals,
        scep=_scep(common, enroller),
        ocsp=_ocsp(common),
        checkpoints=CheckpointDesk(store, ground.keys, clock),
        personal=PersonalDesk(store, MasterSealer(ground.master, entropy), clock, entropy),
        crls=_crls(common),
        transcript=HomeTranscript(config.home, clock),
        alerts=alert_desk(config, store, MasterSealer(ground.master, entropy), clock, entropy),
        administrators=AdminDesk(store, clock, entropy),
        tokens=TokenDesk(store, clock, entropy),
        proposals=ProposalDesk(store, clock, entropy, TwoPersons(config.admin.two_persons)),
        connectors=_connectors(common),
        links=common.links,
        gates=common.gates,
        teller=teller,
        api_limits=ApiLimits(store, common.allowances),
    )


def _common(config: Config, ground: Ground, observe: Callable[[Reason], None] | None, workers: int) -> _Common:
    lease = timedelta(seconds=config.issuance.lease_seconds)
    return _Common(
        config=config,
        ground=ground,
        urls=Urls(config.server.url, config.server.enrol_url),
        prefix=serial_prefix(ground.node),
        challenge_mac=ground.master.challenge_mac(),
        issuer=Issuer(ground.store, ground.signer, ground.clock, lease=lease),
        refusals=Refusals(ground.store, observe=observe),
        protected=_protected(config),
        allowances=_allowances(config.limits).shared_by(workers),
        links=ConnectorLinks(
            ground.store,
            MasterSealer(ground.master, ground.entropy),
            ground.clock,
            ground.entropy,
            outgoing_of(config),
        ),
        # One thread is left for whoever asks no connector.
        gates=Gates(together=max(1, config.server.threads - 1)),
    )


def _connectors(common: _Common) -> ConnectorDesk:
    ground = common.ground
    kinds = RegisteredKinds(outgoing_of(common.config), ground.clock, ground.entropy, ground.store)
    return ConnectorDesk(ground.store, kinds, MasterSealer(ground.master, ground.entropy), ground.clock, ground.entropy)


# --- authorities ----------------------------------------------------------------------------------------------------


def _ceremony(common: _Common) -> Ceremony:
    ground = common.ground
    return Ceremony(
        common.issuer,
        authorities=ground.store,
        keys=ground.keys,
        clock=ground.clock,
        entropy=ground.entropy,
        urls=common.urls,
        serial_prefix=common.prefix,
    )


def _hierarchy(common: _Common, ceremony: Ceremony) -> Hierarchy:
    ground = common.ground
    return Hierarchy(
        ceremony,
        store=ground.store,
        signer=ground.signer,
        clock=ground.clock,
        entropy=ground.entropy,
        urls=common.urls,
    )


def _rollover(common: _Common, ceremony: Ceremony) -> Rollover:
    ground = common.ground
    overlap = timedelta(days=common.config.issuance.ra_overlap_days)
    return Rollover(ground.store, ceremony, ground.keys, ground.clock, ra_overlap=overlap)


def _containment(common: _Common, rollover: Rollover, hierarchy: Hierarchy) -> Containment:
    ground = common.ground
    holder = f"{ground.node}/{ground.entropy.octets(8).hex()}"
    return Containment(ground.store, rollover, hierarchy, ground.keys, ground.clock, holder=holder, pause=time.sleep)


def _crls(common: _Common) -> CrlPublisher:
    ground, settings = common.ground, common.config.crl
    return CrlPublisher(
        ground.store,
        ground.crl_files,
        ground.signer,
        ground.clock,
        ground.entropy,
        common.urls,
        issuing_lifetime=timedelta(days=settings.issuing_days),
        delta_lifetime=timedelta(hours=settings.delta_hours),
    )


def _ocsp(common: _Common) -> OcspResponder:
    ground, settings = common.ground, common.config.ocsp
    return OcspResponder(
        ground.store,
        ground.keys,
        ground.clock,
        lifetime=timedelta(seconds=settings.good_seconds),
        hold_lifetime=timedelta(seconds=min(settings.hold_seconds, settings.good_seconds)),
    )


# --- enrolment ------------------------------------------------------------------------------------------------------


def _teller(common: _Common) -> Teller:
    ground = common.ground
    return Teller(
        store=ground.store,
        links=common.links,
        gates=common.gates,
        sealer=MasterSealer(ground.master, ground.entropy),
        clock=ground.clock,
        entropy=ground.entropy,
    )


def _enroller(common: _Common, recovery: Recovery, teller: Teller) -> Enroller:
    ground = common.ground
    voucher = Voucher(
        links=common.links, gates=common.gates, store=ground.store, clock=ground.clock, entropy=ground.entropy
    )
    return Enroller(
        store=ground.store,
        issuer=common.issuer,
        recovery=recovery,
        refusals=common.refusals,
        clock=ground.clock,
        entropy=ground.entropy,
        urls=common.urls,
        serial_prefix=common.prefix,
        pause=time.sleep,
        sealer=MasterSealer(ground.master, ground.entropy),
        certificates_per_device=common.config.limits.certificates_per_device,
        protected=common.protected,
        voucher=voucher,
        teller=teller,
        pending_per_group=common.config.limits.pending_per_group,
    )


def _scep(common: _Common, enroller: Enroller) -> ScepService:
    ground = common.ground
    retriever = Retriever(store=ground.store, refusals=common.refusals, clock=ground.clock, urls=common.urls)
    return ScepService(
        doors=ground.store,
        store=ground.store,
        keys=ground.keys,
        enroller=enroller,
        retriever=retriever,
        limits=Limits(ground.store, common.allowances),
        refusals=common.refusals,
        clock=ground.clock,
        entropy=ground.entropy,
        challenge_mac=common.challenge_mac,
    )


def _ndes(common: _Common) -> NdesService:
    ground = common.ground
    return NdesService(
        store=ground.store,
        refusals=common.refusals,
        allowances=common.allowances,
        clock=ground.clock,
        entropy=ground.entropy,
        challenge_mac=common.challenge_mac,
    )


def _approvals(common: _Common, teller: Teller) -> ApprovalDesk:
    ground = common.ground
    return ApprovalDesk(
        store=ground.store,
        issuer=common.issuer,
        clock=ground.clock,
        entropy=ground.entropy,
        urls=common.urls,
        serial_prefix=common.prefix,
        pending_life=timedelta(days=common.config.limits.pending_days),
        protected=common.protected,
        records=ground.store,
        teller=teller,
    )


def _protected(config: Config) -> ProtectedNames:
    """POL-5: what our own servers are called, and the administrator's list."""
    called = (config.server.url, config.server.enrol_url or "")
    own = (*(urlsplit(url).hostname or "" for url in called), *config.server.tls_names)
    return ProtectedNames.of((*own, *config.issuance.protected_names))


def open_checked_store(config: Config, node: str, clock: Clock, sealer: Sealer | None) -> SqlStore:
    """Open the database if its schema is the one that this code needs."""
    url = config.database.connection_url()
    schema = migrations.check(url)
    if not schema.ready:
        raise AdminError(reasons.SCHEMA_OLD, f"it is at {schema.current or 'nothing'}, needed is {schema.needed}")
    return open_store(url, node=node, clock=clock, sealer=sealer)


def _allowances(limits: LimitSettings) -> Allowances:
    return Allowances(**{each.name: getattr(limits, each.name) for each in fields(Allowances)})


def serial_prefix(node: str) -> int:
    """Turn a node's name into the first octet of its serials, 0x01 to 0x7f (security.md §6.2)."""
    return hashlib.sha256(node.encode()).digest()[0] % 0x7F + 1


def _prove_master_key(store: SqlStore, keys: DividedKeys) -> None:
    """Refuse another home's master key before anything is told with it: a challenge made under it would never work.

    One key that opens is proof; a single row that was altered is no reason to stop the other groups. Where the
    authorities' keys are on a token, which knows nothing of the master key, it is their RA and OCSP keys that prove it.
    """
    refused: AdminError | None = None
    for key_id in _sealed_keys(store):
        if not keys.proves_master_key(key_id):
            continue
        try:
            keys.prove(key_id)
        except AdminError as error:
            refused = error
        else:
            return
    if refused is not None:
        raise refused


def _sealed_keys(store: SqlStore) -> Iterator[UUID]:
    authorities = store.authorities()
    yield from (authority.key_id for authority in authorities)
    for authority in authorities:
        for purpose in STANDING_PURPOSES:
            yield from (credential.key_id for credential in store.credentials(purpose, authority.name))
