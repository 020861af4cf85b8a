"""What `doctor` looks at of the signer: what CA keys lie under, where it is, and rotations that were not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.cli.check import Check, Level
from regalia.errors import AdminError, UnavailableError
from regalia.keys.master import former_file, load_signer_key, next_file
from regalia.model import AuthorityKind, AuthorityState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App
    from regalia.keys.master import MasterKey

__all__ = ["signer_checks"]


def signer_checks(regalia: App) -> Iterator[Check]:
    """Say which key opens CA keys, whether each signer of the settings answers, and what a rotation left."""
    config = regalia.config
    try:
        own = load_signer_key(config.home, {**config.key_environment, **config.signer_environment})
    except AdminError as error:
        # As it should be where the signer is another user's, and a fault where this process has to sign.
        told = f"its key cannot be read here: {error.detail}"
        if config.signer.address is not None:
            yield Check("signer", Level.OK, told)
        else:
            yield Check("signer", Level.PROBLEM, told, error.reason.remedy)
        own = None
    else:
        yield _key(regalia, own)
    yield from _routes(regalia)
    for key in (regalia.master.current(), own):
        if key is not None:
            yield from _rotation(key)


def _key(regalia: App, own: MasterKey | None) -> Check:
    settings = regalia.config.signer
    where = f"the signer is at {settings.address}" if settings.address is not None else "serve starts its own signer"
    if own is not None:
        return Check("signer", Level.OK, f"{where}; the key {own.path} opens CA keys, the master key does not")
    if settings.address is not None:
        return Check("signer", Level.OK, f"{where}, with a key that is not here")
    told = "CA keys lie under the master key, which workers read too: see `regalia key separate-signer`"
    return Check("signer", Level.OK, f"{where}; {told}")


def _routes(regalia: App) -> Iterator[Check]:
    """Ask each signer elsewhere for one key of its own."""
    settings = regalia.config.signer
    routes = settings.by_group()
    for authority in regalia.store.authorities():
        address = routes.get(authority.group or "", settings.address)
        if address is None or authority.kind is AuthorityKind.ROOT or authority.state is not AuthorityState.ACTIVE:
            continue
        try:
            held = regalia.keys.holds(authority.key_id)
        except UnavailableError as error:
            yield Check("signer", Level.PROBLEM, f"{authority.name}: {error.detail}", error.reason.remedy)
        else:
            if held:
                yield Check("signer", Level.OK, f"{address} answers, and has the key of {authority.name}")


def _rotation(key: MasterKey) -> Iterator[Check]:
    for path, remedy in (
        (next_file(key.path), "Go on: `regalia key rotate-master`, on all nodes."),
        (former_file(key.path), "Go on: `regalia key rotate-master`, with `--medium` for keys on media."),
    ):
        if path.exists():
            yield Check("signer", Level.WARN, f"{path} is there: a rotation was begun and not finished", remedy)
