"""`regalia init`: from an empty directory to a PKI that can serve."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from regalia import reasons
from regalia.cli.context import administrator
from regalia.cli.fingerprints import fingerprints
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_json, say
from regalia.config import CONFIG_FILE, default_url, find_home, load_config, write_initial
from regalia.errors import AdminError, RegaliaError
from regalia.model import Action, Authority, AuthorityKind, EventDraft, Outcome
from regalia.ports import EventFilter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from regalia.app import App
    from regalia.config import Config
    from regalia.keys.admin_tls import AdminTls
    from regalia.model import JsonValue

__all__ = ["app", "initialise"]

ROOT = "root"
GROUP = "default"
PROFILE = "eap-tls"
ENDPOINT = "default"

app = noun_app("Set up a home.")


@dataclass(frozen=True, slots=True)
class _Joined:
    """What `initialise` made beside a Regalia that was there."""

    config: Config
    node: str
    roots: tuple[Authority, ...]
    admin_tls: AdminTls


@dataclass(frozen=True, slots=True)
class _Made:
    """What `initialise` made, for the one who asked."""

    config: Config
    master_key: Path
    master_key_beside: bool
    root: Authority
    issuing: Authority
    admin_tls: AdminTls


@app.command(
    epilog=examples(
        "init --home /srv/pki --url http://pki.example.org:8080",
        "init --database postgresql://regalia@db.example.org/regalia --organisation 'Example AG'",
    )
)
def init(
    home: Home = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="What devices call; stands in every certificate.", show_default="this host"),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", metavar="URL", help="postgresql://…; SQLite in the home if not given.")
    ] = None,
    organisation: Annotated[
        str | None, typer.Option("--organisation", metavar="O", help="Stands in the CA's names.")
    ] = None,
    as_json: Json = False,  # noqa: FBT002 - typer declares a flag so
) -> None:
    """Set up a home: a root CA, group `default` with its own issuing CA, a profile and a SCEP endpoint.

    Nothing is asked. A home that is in use is refused and not touched. With the URL of a PostgreSQL database that holds
    a Regalia, and its master key named in REGALIA_MASTER_KEY_FILE, the home becomes another node of that one.
    """
    made = initialise(find_home(named=home), url=url, database=database, organisation=organisation)
    if isinstance(made, _Joined):
        if as_json:
            print_json(_record_joined(made))
        else:
            _tell_joined(made)
    elif as_json:
        print_json(_record(made))
    else:
        _tell(made)


def initialise(
    home: Path, *, url: str | None = None, database: str | None = None, organisation: str | None = None
) -> _Made | _Joined:
    """Make a home, or leave nothing behind.

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
        return _join(home) if joins is not None else _fill(home, organisation)
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


def _fill(home: Path, organisation: str | None) -> _Made:
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
            root, issuing = _found(regalia, organisation)
        finally:
            regalia.close()
        create_private(home / NODE_FILE, f"{node}\n".encode())
    return _Made(config, master.path, master.beside_database, root, issuing, admin_tls)


def _join(home: Path) -> _Joined:
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
    return _Joined(config, node, roots, admin_tls)


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
    if migrations.upgrade(url).current is not None:
        raise AdminError(reasons.HOME_USED, f"another init was faster in {config.database.url}")
    try:
        yield
    except BaseException:
        # If the database is what failed, the next init says what to do with what is left.
        with suppress(RegaliaError):
            migrations.remove(url)
        raise


def _found(regalia: App, organisation: str | None) -> tuple[Authority, Authority]:
    """Make the root, the first group and what belongs to it, through the services that everything uses (R8)."""
    from regalia.ca.profile import DEFAULT_DOCUMENT  # noqa: PLC0415 - help must not wait for it

    actor = administrator()
    regalia.keys.self_test()
    root = regalia.ceremony.create_root(ROOT, actor=actor, organisation=organisation)
    group = regalia.registry.create_group(GROUP, actor=actor)
    regalia.registry.create_profile(PROFILE, GROUP, DEFAULT_DOCUMENT, actor=actor)
    regalia.registry.create_endpoint(ENDPOINT, group=GROUP, profile=PROFILE, actor=actor)
    issuing = regalia.store.authority(group.authority)
    if issuing is None:
        raise AdminError(reasons.NOT_FOUND, group.authority)
    for authority in (root, issuing):
        regalia.crls.publish(authority.name)
    details: dict[str, JsonValue] = {"url": regalia.config.server.url}
    now = regalia.clock.now()
    regalia.store.record((EventDraft(now, actor, Action.HOME_INITIALISED, "home", Outcome.OK, details=details),))
    return root, issuing


def _record(made: _Made) -> dict[str, object]:
    return {
        "home": made.config.home,
        "endpoint": _endpoint(made),
        "root": {"name": made.root.name, **fingerprints(made.root.certificate_der)},
        "issuing": {"name": made.issuing.name, **fingerprints(made.issuing.certificate_der)},
        "admin_certificate_sha256": made.admin_tls.sha256,
        "master_key": made.master_key,
        "master_key_beside_database": made.master_key_beside,
    }


def _record_joined(made: _Joined) -> dict[str, object]:
    return {
        "home": made.config.home,
        "joined": made.config.database.url,
        "node": made.node,
        "url": made.config.server.url,
        "roots": [{"name": root.name, **fingerprints(root.certificate_der)} for root in made.roots],
        "admin_certificate_sha256": made.admin_tls.sha256,
    }


def _tell_joined(made: _Joined) -> None:
    say(f"{made.config.home} is another node of the PKI in {made.config.database.url} now.")
    say()
    for root in made.roots:
        say(f"{'root CA':<12} {root.name}, SHA-256 {fingerprints(root.certificate_der)['sha256']}")
    say(f"{'url':<12} {made.config.server.url}")
    say(f"{'admin':<12} https://{made.config.server.admin_listen}, certificate SHA-256 {made.admin_tls.sha256}")
    say()
    note(f"Next, with the same master key: regalia serve --home {made.config.home}")


def _endpoint(made: _Made) -> str:
    return f"{made.config.server.url}/scep/{ENDPOINT}"


def _tell(made: _Made) -> None:
    home = made.config.home
    say(f"A PKI lives in {home} now.")
    say()
    for label, authority in (("root CA", made.root), ("issuing CA", made.issuing)):
        say(f"{label:<12} {authority.name}, SHA-256 {fingerprints(authority.certificate_der)['sha256']}")
    say(f"{'endpoint':<12} {_endpoint(made)}")
    say(f"{'admin':<12} https://{made.config.server.admin_listen}, certificate SHA-256 {made.admin_tls.sha256}")
    say()
    if made.master_key_beside:
        note(f"Keys and lock lie in one place: {made.master_key} opens the keys beside it. See docs/tasks/install.md.")
    note(f"The root's key is on this machine. Move it out: regalia ca offline root --to DIR --home {home}")
    note(f"Next: regalia serve --home {home}")
