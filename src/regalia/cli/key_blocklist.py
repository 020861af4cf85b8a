"""`regalia key-blocklist`: lists of keys that no certificate may have."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.blocklist import ListFormat, import_blocklist
from regalia.cli.cert_issue import read_request
from regalia.cli.context import administrator, agreed, opened, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_answer, print_page
from regalia.client.files import load_certificate
from regalia.errors import AdminError
from regalia.verbs import key_blocklist as verbs
from regalia.verbs.content import certificates_text, request_text
from regalia.verbs.paging import MOST

if TYPE_CHECKING:
    from typing import BinaryIO

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
    try:
        with file.open("rb") as source:
            content = verbs.content_of(source.read(verbs.LARGEST + 1), form)
            if content is None:
                made = _streamed(home, name, source, form)
            else:
                with reached(home) as door:
                    made = door.ask(verbs.IMPORT, verbs.ImportBlocklist(name=name, content=content, form=form))
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{file}: {error.strerror}") from error
    print_answer(made, as_json=as_json)


def _streamed(home: Path | None, name: str, source: "BinaryIO", form: ListFormat) -> verbs.BlocklistRecord:
    """Import a list that is too large to be given as text: on this machine, piece by piece."""
    source.seek(0)
    with opened(home) as regalia:
        made = import_blocklist(
            regalia.store, regalia.clock, regalia.entropy, name=name, file=source, form=form, actor=administrator()
        )
    return verbs.shown(made)


@app.command("list", epilog=examples("key-blocklist list", "key-blocklist list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the lists, with how many keys each holds."""
    with reached(home) as door:
        lists = door.ask(verbs.LIST, verbs.ListBlocklists(limit=MOST))
    empty = "No lists. Import one with `regalia key-blocklist import NAME --file FILE`."
    print_page(lists, ("name", "keys", "hashed", "imported_at", "imported_by"), as_json=as_json, empty=empty)


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
    given = (
        {"csr": request_text(read_request(csr))}
        if csr is not None
        else {"certificate": certificates_text([load_certificate(certificate or Path())])}
    )
    with reached(home) as door:
        asked = verbs.CheckKey(**given)
        print_answer(door.ask(verbs.CHECK, asked), as_json=as_json)


@app.command(epilog=examples("key-blocklist remove leaked", "key-blocklist remove leaked --dry-run"))
def remove(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Forget a list: its keys may be certified again."""
    with reached(home) as door:
        asked = verbs.RemoveBlocklist(name=name)
        if agreed(door.plan(verbs.REMOVE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.REMOVE, asked), as_json=as_json)
