"""Wiring of the administrators' door: sign-in, sessions, set-up links."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from regalia import reasons
from regalia.app.build import SystemClock, SystemEntropy, node_name
from regalia.console.registry import framed
from regalia.errors import AdminError, UnavailableError
from regalia.keys.private_files import read_private
from regalia.keys.sealing import MasterSealer
from regalia.model import Actor, ActorKind
from regalia.net.http import HttpOutgoing
from regalia.ra.break_glass import BreakGlass
from regalia.ra.oidc import OidcDesk
from regalia.ra.oidc_provider import OidcProvider, OidcSettings
from regalia.ra.passkeys import PasskeyDesk, RelyingParty
from regalia.ra.roles import read_grant
from regalia.ra.setting_up import SetUpDesk, make_setup_link, setup_url
from regalia.ra.sign_in import Doorkeeper, SessionDesk, SessionRules
from regalia.store.store import open_store
from regalia.web.door import Backing

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.app.build import App
    from regalia.config import Config, OidcProviderSettings

__all__ = ["door_of", "first_link"]

_SECRET_OCTETS: Final = 4_096


def door_of(app: App, url: str) -> Backing:
    """Put together what stands behind the pages; `url` is where browsers find us."""
    store, clock, entropy = app.store, app.clock, app.entropy
    sealer = MasterSealer(app.master, entropy)
    doorkeeper = Doorkeeper(app.refusals, clock)
    sessions = SessionDesk(store, clock, entropy, SessionRules(idle=timedelta(minutes=app.config.admin.idle_minutes)))
    party = RelyingParty(urlsplit(url).hostname or "localhost", url)
    opened = app.config.outgoing.identity_providers
    given = app.config.outgoing.ca_file
    outgoing = HttpOutgoing(opened=opened, ca_file=None if given is None else app.config.home / given)
    providers = [OidcProvider(_settings(app.config.home, each), outgoing) for each in app.config.admin.oidc]
    return Backing(
        admin_url=url,
        sessions=sessions,
        passkeys=PasskeyDesk(store, sealer, clock, doorkeeper, party),
        break_glass=BreakGlass(store, sealer, clock, entropy, doorkeeper),
        oidc=OidcDesk(store, sealer, clock, entropy, doorkeeper, providers, url),
        set_up=SetUpDesk(store, clock, entropy, doorkeeper, sessions),
        doorkeeper=doorkeeper,
        sealer=sealer,
        clock=clock,
        entropy=entropy,
        services=app,
        limits=app.api_limits,
        framing=framed,
    )


def first_link(config: Config, port: int) -> str | None:
    """Make a link for the first administrator; None where there is one, or the database does not answer now.

    For the process that starts the workers, which has no store open.
    """
    clock = SystemClock()
    store = open_store(config.database.connection_url(), node=node_name(config.home), clock=clock)
    try:
        if store.administrators():
            return None
        secret = make_setup_link(store, clock, SystemEntropy(), Actor(ActorKind.SYSTEM, "server"))
        return setup_url(config.admin_url(port), secret)
    except UnavailableError:
        return None
    finally:
        store.close()


def _settings(home: Path, given: OidcProviderSettings) -> OidcSettings:
    path = home / given.client_secret_file

    def secret() -> str:
        # Read each time: a secret that is replaced at the provider needs no restart here.
        try:
            return read_private(path, _SECRET_OCTETS).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AdminError(reasons.FILE_REFUSED, f"{path}: {error}") from error

    return OidcSettings(
        key=given.key,
        name=given.name,
        issuer=given.issuer,
        client_id=given.client_id,
        secret=secret,
        claim=given.claim,
        mapping=tuple((value, read_grant(role)) for value, role in given.roles.items()),
        scope=given.scope,
    )
