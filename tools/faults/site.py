"""One deployment under test: its database, its nodes with their homes, and the journals beside them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.app.build import wire
from regalia.ca.revoke import revoke
from regalia.cli.soft_token import make_soft_token
from regalia.config import load_config
from regalia.errors import AdminError, UnavailableError
from regalia.model import Actor, ActorKind, RevocationReason
from tools.bench.devices import Server
from tools.bench.homes import make_home
from tools.faults.ledger import look_at
from tools.faults.server import Plan, opened_ground

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from regalia.app import App
    from regalia.cli.soft_token import SoftToken
    from regalia.model import Names
    from regalia.ra.challenges import Minted
    from tools.faults.ledger import Look
    from tools.faults.wiring import CrashPoint

__all__ = ["ACTOR", "ENDPOINT", "SETTINGS", "Office", "Site", "make_site", "opened_office"]

ACTOR: Final = Actor(ActorKind.ADMIN, "os:faults")
ENDPOINT: Final = "default"
SETTINGS: Final = {
    # All clients come from one address, and what they send on purpose is wrong often: limits have tests of their own.
    "limits.wrong_challenges_per_source": "1000000",
    "limits.wrong_challenges_per_group": "1000000",
    "limits.unreadable_per_source": "1000000",
    "limits.unreadable_per_group": "1000000",
    "limits.requests_per_group": "1000000",
    "crl.check_seconds": "1",
}
"""What differs from the defaults in every run."""


@dataclass(frozen=True, slots=True)
class Site:
    """A deployment of one node."""

    directory: Path
    home: Path
    port: int
    database: str
    """URL by which the product reaches its database."""
    look_url: str
    """URL by which we look at it: past any proxy."""
    clock: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    absent: float = 0.0
    """How often the CA's key cannot be reached in the server."""
    token: SoftToken | None = None
    """Where the CA keys lie, if not in software."""

    @property
    def url(self) -> str:
        """Base URL of the device listener."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def look(self) -> Look:
        """A look at the database."""
        return look_at(self.look_url)

    def journal(self, name: str) -> Path:
        """Path of a journal."""
        return self.directory / f"{name}.journal"

    def plan(self, point: CrashPoint | None = None, workers: int = 1) -> Plan:
        """Plan a life of the server."""
        listen = {"server.listen": f"127.0.0.1:{self.port}", "server.admin_listen": "127.0.0.1:0"}
        return Plan(
            home=self.home,
            signatures=self.journal("signatures"),
            strikes=self.journal("strikes"),
            log=self.directory / "server.log",
            look=self.look_url,
            clock=self.clock,
            point=point,
            workers=workers,
            absent=self.absent,
            settings={**SETTINGS, **listen, **self.settings},
        )

    @property
    def offset_now(self) -> float:
        """By how many seconds the clock of servers and office is off."""
        return float(self.clock.read_text("ascii"))

    def offset(self, seconds: float) -> None:
        """Set the clock of servers and office off by so many seconds."""
        new = self.clock.with_suffix(".new")
        new.write_text(repr(seconds), "ascii")
        new.replace(self.clock)


def make_site(
    directory: Path,
    *,
    database: str | None = None,
    look_url: str | None = None,
    home: Path | None = None,
    settings: Mapping[str, str] | None = None,
    hsm: bool = False,
) -> Site:
    """Initialise a home in a directory, or at `home`; SQLite where no database is named.

    With `hsm` the CA keys are on a SoftHSM token of its own, which this process and its children see from then on.
    """
    token = make_soft_token(directory / "token") if hsm else None
    with _told(token):
        made = make_home(home or directory / "home", database)
    url = load_config({}, home=made.path).database.connection_url()
    site = Site(directory, made.path, made.port, url, look_url or url, directory / "clock", settings or {}, token=token)
    site.offset(0)
    return site


@contextmanager
def _told(token: SoftToken | None) -> Iterator[None]:
    """Have the environment say where new CA keys go, as an administrator would for `regalia init`."""
    if token is None:
        yield
        return
    os.environ.update(token.variables())
    try:
        yield
    finally:
        for name in token.variables().keys() - token.environment().keys():
            del os.environ[name]


class Office:
    """The administrator: hands out challenges and revokes, in a process of its own beside the server's."""

    def __init__(self, app: App) -> None:
        self.app = app
        door = app.scep.door(ENDPOINT)
        if door is None:
            raise RuntimeError(f"no endpoint {ENDPOINT}")
        self.server = Server(door.ra.certificate_der, door.authority.certificate_der)
        self.issuer = door.authority.name
        self.root = door.root.certificate_der

    def challenge(self, names: Names) -> Minted | None:
        """Hand out a one-time challenge bound to names; None where the database does not answer."""
        try:
            return self.app.challenges.mint(ENDPOINT, binding=names, device=None, ttl=timedelta(days=2), actor=ACTOR)
        except UnavailableError:
            return None

    def revoke(self, serial: int) -> bool:
        """Revoke a certificate; False where that could not be done now."""
        try:
            found = self.app.store.certificate_by_serial(self.issuer, serial)
            if found is None:
                return False
            revoke(self.app.store, self.app.clock, found, reason=RevocationReason.SUPERSEDED, actor=ACTOR)
        except UnavailableError:
            return False
        except AdminError as refused:
            # The answer to an earlier attempt was lost.
            return refused.reason is reasons.ALREADY_REVOKED
        return True


@contextmanager
def opened_office(site: Site) -> Iterator[Office]:
    """Open the home as a command beside the server does."""
    config = load_config({}, home=site.home)
    app = wire(config, opened_ground(config, replace(site.plan(), absent=0.0)))
    try:
        yield Office(app)
    finally:
        app.close()
