"""`regalia init`: from an empty directory to a PKI that can serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.sign_request import read_wish
from regalia.cli.context import administrator
from regalia.cli.files import read_certificates, request_pem, write_new
from regalia.cli.fingerprints import fingerprints
from regalia.cli.first_group import ENDPOINT, GROUP, open_first_group
from regalia.cli.new_home import Filled, Joined, make_home, record_initialised
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_json, say
from regalia.config import find_home
from regalia.errors import AdminError, InvariantError

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.app import App
    from regalia.model import Authority

__all__ = ["app", "initialise"]

ROOT = "root"
FIRST = f"{GROUP}-ca-1"

app = noun_app("Set up a home.")


@dataclass(frozen=True, slots=True)
class _Made:
    """A root and the first group's issuing authority, both with their keys here."""

    root: Authority
    issuing: Authority
    set_up: str
    """Link for the first administrator."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A root whose key is elsewhere, and the request that goes there."""

    root: Authority
    request: Path
    key_sha256: str
    set_up: str


@app.command(
    epilog=examples(
        "init --home /srv/pki --url http://pki.example.org:8080",
        "init --root-certificate root.pem --url http://pki.example.org:8080",
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
    root_certificate: Annotated[
        str | None,
        typer.Option(
            "--root-certificate",
            metavar="FILE",
            help="A root on another machine: its key is never here.",
            show_default="a root is made here",
        ),
    ] = None,
    as_json: Json = False,  # noqa: FBT002 - typer declares a flag so
) -> None:
    """Set up a home: a root CA, group `default` with its own issuing CA, a profile and a SCEP endpoint.

    Nothing is asked. A home that is in use is refused and not touched. With the URL of a PostgreSQL database that holds
    a Regalia, and its master key named in REGALIA_MASTER_KEY_FILE, the home becomes another node of that one.
    """
    made = initialise(
        find_home(named=home),
        url=url,
        database=database,
        organisation=organisation,
        root_certificate=None if root_certificate is None else read_certificates(root_certificate)[0],
    )
    if isinstance(made, Joined):
        print_json(_record_joined(made)) if as_json else _tell_joined(made)
    else:
        print_json(_record(made)) if as_json else _tell(made)


def initialise(
    home: Path,
    *,
    url: str | None = None,
    database: str | None = None,
    organisation: str | None = None,
    root_certificate: bytes | None = None,
) -> Filled[_Made | _Waiting] | Joined:
    """Make a home, or leave nothing behind. Raises what `make_home` raises, and ADM-030 for a root's certificate."""

    def fill(regalia: App) -> _Made | _Waiting:
        if root_certificate is None:
            made: _Made | _Waiting = _found(regalia, organisation)
        else:
            made = _awaiting(regalia, root_certificate, organisation)
        record_initialised(regalia)
        return made

    return make_home(home, fill, url=url, database=database)


def _found(regalia: App, organisation: str | None) -> _Made:
    """Make the root, the first group and what belongs to it, through the services that everything uses (R8)."""
    root = regalia.ceremony.create_root(ROOT, actor=administrator(), organisation=organisation)
    group = open_first_group(regalia)
    issuing = regalia.store.authority(group.authority)
    if issuing is None:
        raise AdminError(reasons.NOT_FOUND, group.authority)
    for authority in (root, issuing):
        regalia.crls.publish(authority.name)
    return _Made(root, issuing, _set_up(regalia))


def _set_up(regalia: App) -> str:
    """Make the link for the first administrator: there is no default password, ever."""
    from regalia.ra.setting_up import make_setup_link, setup_url  # noqa: PLC0415 - help must not wait for the database driver

    secret = make_setup_link(regalia.store, regalia.clock, regalia.entropy, administrator())
    return setup_url(regalia.config.admin_url(), secret)


def _awaiting(regalia: App, certificate: bytes, organisation: str | None) -> _Waiting:
    """Take in the root's certificate, and make the first issuing authority's key and request."""
    actor = administrator()
    root = regalia.hierarchy.trust(ROOT, certificate, actor=actor)
    request = regalia.hierarchy.request(FIRST, group=GROUP, parent=ROOT, organisation=organisation, actor=actor)
    if request.csr is None:
        raise InvariantError(f"request {FIRST} is not signed")
    path = write_new(regalia.config.home / f"{FIRST}.csr", request_pem(request.csr))
    return _Waiting(root, path, read_wish(request.csr).key_sha256, _set_up(regalia))


def _record(filled: Filled[_Made | _Waiting]) -> dict[str, object]:
    made = filled.made
    record: dict[str, object] = {
        "home": filled.config.home,
        "endpoint": _endpoint(filled),
        "root": {"name": made.root.name, **fingerprints(made.root.certificate_der)},
    }
    if isinstance(made, _Made):
        record["issuing"] = {"name": made.issuing.name, **fingerprints(made.issuing.certificate_der)}
    else:
        record["request"] = {"name": FIRST, "file": made.request, "key_sha256": made.key_sha256}
    return record | {
        "admin_certificate_sha256": filled.admin_tls.sha256,
        "set_up": made.set_up,
        "master_key": filled.master_key,
        "master_key_beside_database": filled.master_key_beside,
    }


def _record_joined(made: Joined) -> dict[str, object]:
    return {
        "home": made.config.home,
        "joined": made.config.database.url,
        "node": made.node,
        "url": made.config.server.url,
        "roots": [{"name": root.name, **fingerprints(root.certificate_der)} for root in made.roots],
        "admin_certificate_sha256": made.admin_tls.sha256,
    }


def _tell_joined(made: Joined) -> None:
    say(f"{made.config.home} is another node of the PKI in {made.config.database.url} now.")
    say()
    for root in made.roots:
        say(f"{'root CA':<12} {root.name}, SHA-256 {fingerprints(root.certificate_der)['sha256']}")
    say(f"{'url':<12} {made.config.server.url}")
    say(f"{'admin':<12} https://{made.config.server.admin_listen}, certificate SHA-256 {made.admin_tls.sha256}")
    say()
    note(f"Next, with the same master key: regalia serve --home {made.config.home}")


def _endpoint(filled: Filled[_Made | _Waiting]) -> str:
    server = filled.config.server
    return f"{server.enrol_url or server.url}/scep/{ENDPOINT}"


def _tell(filled: Filled[_Made | _Waiting]) -> None:
    home, made = filled.config.home, filled.made
    say(f"A PKI lives in {home} now.")
    say()
    say(f"{'root CA':<12} {made.root.name}, SHA-256 {fingerprints(made.root.certificate_der)['sha256']}")
    if isinstance(made, _Made):
        say(f"{'issuing CA':<12} {made.issuing.name}, SHA-256 {fingerprints(made.issuing.certificate_der)['sha256']}")
        say(f"{'endpoint':<12} {_endpoint(filled)}")
    else:
        say(f"{'request':<12} {made.request}, key SHA-256 {made.key_sha256}")
    say(f"{'admin':<12} https://{filled.config.server.admin_listen}, certificate SHA-256 {filled.admin_tls.sha256}")
    say(f"{'set-up link':<12} {made.set_up}, for the first administrator, within 24 hours")
    say()
    if filled.master_key_beside:
        note(
            f"Keys and lock lie in one place: {filled.master_key} opens the keys beside it. See docs/tasks/install.md."
        )
    if isinstance(made, _Made):
        if filled.config.keys.store == "pkcs11":
            note(f"The CA keys are on token {filled.config.keys.pkcs11_token} and cannot leave it.")
        else:
            note(f"The root's key is on this machine. Move it out: regalia ca offline root --to DIR --home {home}")
        note(f"Next: regalia serve --home {home}")
        return
    note(f"The root's key is elsewhere. Take {made.request.name} to its machine, and there:")
    note(f"  regalia ca sign {made.request.name} --out {FIRST}.pem")
    note(f"  regalia ca crl {ROOT} --out {ROOT}.crl")
    note("Bring both files back, and here:")
    note(f"  regalia ca accept {FIRST} --certificate {FIRST}.pem --home {home}")
    note(f"  regalia ca crl {ROOT} --import {ROOT}.crl --home {home}")
    note(f"  regalia serve --home {home}")
