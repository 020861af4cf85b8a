"""`regalia key-blocklist`: lists of keys that no certificate may have."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.blocklist import ListFormat, blocked_by, import_blocklist, remove_blocklist
from regalia.cli.cert_issue import read_request
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_record, print_table
from regalia.client.files import load_certificate
from regalia.errors import AdminError, PeerError
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import read_csr

if TYPE_CHECKING:
    from regalia.ports import Blocklist

__all__ = ["app"]

app = noun_app("Keys that no certificate may have, because strangers have them too.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the list.", show_default=False)]


@app.command(
    "import",
    epilog=examples(
        "key-blocklist import debian --file blocklist.dat --format badkeys",
        "key-blocklist import leaked --file leaked.txt",
    ),
)
def import_(
    *,
    name: Name,
    file: Annotated[Path, typer.Option("--file", readable=False, metavar="FILE", help="The list.")],
    form: Annotated[ListFormat, typer.Option("--format", help="How it is written.")] = ListFormat.HEX,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Import a list of keys, in place of the one of this name. It counts at once, for every request on every node."""
    with opened(home) as regalia:
        try:
            with file.open("rb") as source:
                blocklist = import_blocklist(
                    regalia.store,
                    regalia.clock,
                    regalia.entropy,
                    name=name,
                    file=source,
                    form=form,
                    actor=administrator(),
                )
        except OSError as error:
            raise AdminError(reasons.FILE_REFUSED, f"{file}: {error.strerror}") from error
        print_record(_record(blocklist), as_json=as_json)


@app.command("list", epilog=examples("key-blocklist list", "key-blocklist list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the lists, with how many keys each holds."""
    with opened(home) as regalia:
        rows = [_record(blocklist) for blocklist in regalia.store.blocklists()]
        empty = "No lists. Import one with `regalia key-blocklist import NAME --file FILE`."
        print_table(rows, ("name", "keys", "hashed", "imported_at", "imported_by"), as_json=as_json, empty=empty)


@app.command(
    epilog=examples("key-blocklist check --csr radius.csr", "key-blocklist check --certificate old.pem --json")
)
def check(
    *,
    csr: Annotated[
        Path | None, typer.Option("--csr", readable=False, metavar="FILE", help="A request.", show_default=False)
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", readable=False, metavar="FILE", help="A certificate, PEM.", show_default=False),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tell whether the key of a request or a certificate is on a list."""
    if (csr is None) is (certificate is None):
        raise AdminError(reasons.USAGE, "give --csr FILE or --certificate FILE")
    public_key = _key_of_request(csr) if csr is not None else _key_of_certificate(certificate or Path())
    with opened(home) as regalia:
        found = blocked_by(regalia.store, public_key)
        told = {"key_sha256": hashlib.sha256(public_key).digest(), "blocked": found is not None, "list": found}
        print_record(told, as_json=as_json)


@app.command(epilog=examples("key-blocklist remove leaked", "key-blocklist remove leaked --dry-run"))
def remove(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Forget a list: its keys may be certified again."""
    with opened(home) as regalia:
        found = next((each for each in regalia.store.blocklists() if each.name == name), None)
        if found is None:
            raise AdminError(reasons.NOT_FOUND, f"blocklist {name}")
        if agreed([f"let {found.keys} keys be certified again"], yes=yes, dry_run=dry_run, as_json=as_json):
            remove_blocklist(regalia.store, regalia.clock, name=name, actor=administrator())
            print_record(_record(found) | {"removed": True}, as_json=as_json)


def _key_of_request(path: Path) -> bytes:
    try:
        return read_csr(read_request(path)).public_key
    except PeerError as fault:
        raise AdminError(fault.reason, fault.detail) from fault


def _key_of_certificate(path: Path) -> bytes:
    return read_certificate(load_certificate(path)).public_key


def _record(blocklist: "Blocklist") -> dict[str, object]:
    return {
        "name": blocklist.name,
        "keys": blocklist.keys,
        "hashed": blocklist.hashed,
        "source_sha256": blocklist.source_sha256,
        "imported_at": blocklist.imported_at,
        "imported_by": blocklist.imported_by,
    }
