"""Making a home: claimed, filled and removed again where that fails; or joined to a Regalia that is there."""

from __future__ import annotations

import shutil
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from regalia import reasons
from regalia.cli.context import administrator
from regalia.config import CONFIG_FILE, default_url, load_config, write_initial
from regalia.errors import AdminError, RegaliaError
from regalia.model import Action, Authority, AuthorityKind, EventDraft, Outcome
from regalia.ports import EventFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.app import App
    from regalia.config import Config
    from regalia.keys.admin_tls import AdminTls
    from regalia.model import JsonValue

__all__ = ["Filled", "Joined", "make_home", "record_initialised"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Joined:
    """A home that was made beside a Regalia that was there."""

    config: Config
    node: str
    roots: tuple[Authority, ...]
    admin_tls: AdminTls


@dataclass(frozen=True, slots=True)
class Filled(Generic[T]):
    """A home that was made, and what was made in it."""

    config: Config
    master_key: Path
    master_key_beside: bool
    admin_tls: AdminTls
    made: T


def make_home(
    home: Path, fill: Callable[[App], T], *, url: str | None = None, database: str | None = None
) -> Filled[T] | Joined:
    """Make a home, or leave nothing behind. `fill` makes what it is for.

    Raises `AdminError`: ADM-001 the home or the database is in use, ADM-006 for the URLs, ADM-010 and ADM-011 for a
    master key that was named, ADM-012 to join a Regalia of another version, ADM-020 for files, ADM-021 where an init
    was killed before, ADM-022 for a database that is somebody else's; `UnavailableError` where it does not answer.
    """
    created = _claim(home)
    given = {"server.url": url, "database.url": database}
    options = {path: value for path, value in given.items() if value is not None}
    try:
        told = load_config(home=home, options=options)
        joins = _found_there(told)  # bad URLs too, before anything is written
        write_initial(home, url or joins or default_url(), database, told.keys)
    except BaseException:
        # Nothing here is ours yet: another init may be at work in the same directory.
        if created:
            with suppress(OSError):
                home.rmdir()
        raise
    # Only one process can have made that file, so what follows is ours.
    try:
        return _join(home) if joins is not None else _fill(home, fill)
    except BaseException:
        # Whatever ended it, a half-made PKI must not pass for one: what was just created is removed again.
        for path in (home,) if created else tuple(home.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _claim(home: Path) -> bool:
    """Make the directory, or accept an empty one; tell whether it was made."""
    try:
        home.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not home.is_dir() or any(home.iterdir()):
            raise _in_the_way(home) from None
        home.chmod(0o700)
        return False
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{home}: {error.strerror}") from error
    return True


def _in_the_way(home: Path) -> AdminError:
    """Tell a home from what an init left that was killed."""
    from regalia.app import NODE_FILE  # noqa: PLC0415 - help must not wait for the database driver

    if (home / CONFIG_FILE).exists() and not (home / NODE_FILE).exists():
        return AdminError(reasons.INIT_UNFINISHED, f"{home} is not complete")
    return AdminError(reasons.HOME_USED, str(home))


def _fill(home: Path, fill: Callable[[App], T]) -> Filled[T]:
    from regalia.app import NODE_FILE, SystemClock, SystemEntropy, build  # noqa: PLC0415 - help must not wait for the database driver
    from regalia.keys.admin_tls import make_admin_tls  # noqa: PLC0415 - the same
    from regalia.keys.master import create_master_key, load_master_key  # noqa: PLC0415 - the same
    from regalia.keys.private_files import create_private  # noqa: PLC0415 - the same

    config = load_config(home=home)
    entropy = SystemEntropy()
    named = config.key_environment
    master = load_master_key(home, named) if named else create_master_key(home, entropy)
    host = urlsplit(config.server.url).hostname or "localhost"
    admin_tls = make_admin_tls(home, host, now=SystemClock().now(), entropy=entropy)
    node = entropy.octets(4).hex()
    with _new_schema(config):
        regalia = build(config, node=node)
        try:
            regalia.keys.self_test()
            made = fill(regalia)
        finally:
            regalia.close()
        create_private(home / NODE_FILE, f"{node}\n".encode())
    return Filled(config, master.path, master.beside_database, admin_tls, made)


def _join(home: Path) -> Joined:
    """Make this home another node of the Regalia in its database."""
    from regalia.app import NODE_FILE, SystemClock, SystemEntropy, build  # noqa: PLC0415 - help must not wait for the database driver
    from regalia.ca.crl_copy import CrlCopier  # noqa: PLC0415 - the same
    from regalia.keys.admin_tls import make_admin_tls  # noqa: PLC0415 - the same
    from regalia.keys.private_files import create_private  # noqa: PLC0415 - the same

    config, entropy = load_config(home=home), SystemEntropy()
    node = entropy.octets(4).hex()
    regalia = build(config, node=node)  # which refuses a master key that is not theirs
    try:
        host = urlsplit(config.server.url).hostname or "localhost"
        admin_tls = make_admin_tls(home, host, now=SystemClock().now(), entropy=entropy)
        authorities = regalia.store.authorities()
        copier = CrlCopier(regalia.store, regalia.crl_files)
        for authority in authorities:
            copier.copy(authority)
        details: dict[str, JsonValue] = {"node": node, "url": config.server.url}
        event = EventDraft(
            regalia.clock.now(), administrator(), Action.NODE_JOINED, "home", Outcome.OK, details=details
        )
        regalia.store.record((event,))
    finally:
        regalia.close()
    create_private(home / NODE_FILE, f"{node}\n".encode())
    roots = tuple(authority for authority in authorities if authority.kind is AuthorityKind.ROOT)
    return Joined(config, node, roots, admin_tls)


def _found_there(config: Config) -> str | None:
    """See that the database is empty, or holds a Regalia whose master key was named: then return that one's URL.

    Anything else is refused, and told what it is.
    """
    from regalia.app import SystemClock  # noqa: PLC0415 - help must not wait for the database driver
    from regalia.store import migrations, open_store  # noqa: PLC0415 - the same

    url = config.database.connection_url()
    tables = migrations.tables_in(url)
    if not tables:
        return None
    named = config.database.url
    if "event_stream" not in tables:
        some = ", ".join(tables[:3]) + (" …" if tables[3:] else "")
        raise AdminError(reasons.DATABASE_UNFIT, f"{named} has tables that are not ours: {some}")
    schema = migrations.check(url)
    # SQLite is for one machine and one home (R9); on PostgreSQL whoever names the master key means to join.
    joins = not config.database.is_sqlite and bool(config.key_environment)
    if not schema.ready:
        told = f"{named} holds a Regalia already, schema {schema.current}"
        raise AdminError(reasons.SCHEMA_OLD if joins else reasons.HOME_USED, told)
    store = open_store(url, node="", clock=SystemClock())
    try:
        done = store.events(EventFilter(action=Action.HOME_INITIALISED, limit=1))
    finally:
        store.close()
    if not done:
        raise AdminError(reasons.INIT_UNFINISHED, f"{named} holds the beginnings of a Regalia")
    if not joins:
        how = "" if config.database.is_sqlite else "; to add a node to it, name its master key: see docs/tasks/nodes.md"
        raise AdminError(reasons.HOME_USED, f"{named} holds a Regalia already, schema {schema.current}{how}")
    return str(done[0].draft.details["url"])


@contextmanager
def _new_schema(config: Config) -> Iterator[None]:
    """Make the tables in an empty database; take them away again where what follows fails."""
    from regalia.store import migrations  # noqa: PLC0415 - help must not wait for the database driver

    url = config.database.connection_url()
    with _interrupt_held() as release:
        if migrations.upgrade(url).current is not None:
            raise AdminError(reasons.HOME_USED, f"another init was faster in {config.database.url}")
        try:
            release()
            yield
        except BaseException:
            # If the database is what failed, the next init says what to do with what is left.
            with suppress(RegaliaError):
                migrations.remove(url)
            raise


@contextmanager
def _interrupt_held() -> Iterator[Callable[[], None]]:
    """Have Ctrl-C wait until it is released: tables that were just made must have somebody who takes them away."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()


def record_initialised(regalia: App) -> None:
    """Record that this home is one, with the URL that further nodes take over."""
    details: dict[str, JsonValue] = {"url": regalia.config.server.url}
    event = EventDraft(
        regalia.clock.now(), administrator(), Action.HOME_INITIALISED, "home", Outcome.OK, details=details
    )
    regalia.store.record((event,))
