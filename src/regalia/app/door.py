"""Wiring of the administrators' door: sign-in, sessions, set-up links."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from regalia import reasons
from regalia.errors import AdminError
from regalia.keys.private_files import read_private
from regalia.keys.sealing import MasterSealer
from regalia.model import Grant, Reach, Role
from regalia.ra.break_glass import BreakGlass
from regalia.ra.oidc import OidcDesk
from regalia.ra.oidc_provider import OidcProvider, OidcSettings
from regalia.ra.passkeys import PasskeyDesk, RelyingParty
from regalia.ra.setting_up import SetUpDesk
from regalia.ra.sign_in import Doorkeeper, SessionDesk, SessionRules
from regalia.web.door import Backing

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.app.build import App
    from regalia.config import Config, OidcProviderSettings
    from regalia.ports.outgoing import Outgoing

__all__ = ["admin_url", "door_of"]

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HTTPS: Final = 443
_SECRET_OCTETS: Final = 4_096


def admin_url(config: Config, port: int | None = None) -> str:
    """Say where administrators' browsers find us; `port` is where the listener really is, where the system chose it.

    An address is no place for passkeys, so a listener on a loopback address is `localhost`.
    """
    if config.admin.url is not None:
        return config.admin.url
    listen = config.server.admin_listen
    host = "localhost" if listen.host in _LOOPBACK else (urlsplit(config.server.url).hostname or "localhost")
    host = f"[{host}]" if ":" in host else host
    number = port or listen.port
    return f"https://{host}" if number == _HTTPS else f"https://{host}:{number}"


def door_of(app: App, outgoing: Outgoing, url: str) -> Backing:
    """Put together what stands behind the pages; `url` is where browsers find us."""
    store, clock, entropy = app.store, app.clock, app.entropy
    sealer = MasterSealer(app.master, entropy)
    doorkeeper = Doorkeeper(app.refusals, clock)
    sessions = SessionDesk(store, clock, entropy, SessionRules(idle=timedelta(minutes=app.config.admin.idle_minutes)))
    party = RelyingParty(urlsplit(url).hostname or "localhost", url)
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
    )


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
        mapping=tuple((value, _grant(role)) for value, role in given.roles.items()),
        scope=given.scope,
    )


def _grant(text: str) -> Grant:
    """Read ROLE or ROLE:GROUP,GROUP, which the settings checked."""
    role, _, groups = text.partition(":")
    named = frozenset(group.strip() for group in groups.split(",") if group.strip())
    return Grant(Role(role), Reach(named if groups else None))
