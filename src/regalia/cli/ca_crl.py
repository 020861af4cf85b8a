"""`regalia ca crl`: CRLs made by hand, carried out, and brought in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import reached
from regalia.cli.files import crl_pem, read_crl_file, write_new
from regalia.cli.options import Home, Json, RootKey, examples
from regalia.cli.output import note, print_answer, print_table
from regalia.errors import AdminError
from regalia.verbs import authority as verbs
from regalia.verbs.paging import gathered

if TYPE_CHECKING:
    from regalia.verbs import Door
    from regalia.verbs.authority_facts import CrlState

__all__ = ["CRL_EXAMPLES", "crl"]

_MOST = 100_000
CRL_EXAMPLES = examples("ca crl root --out root.crl", "ca crl root --import root.crl")


def crl(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="All whose key is here if not given.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", readable=False, metavar="FILE", help="Also write it here, to be carried elsewhere."),
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", readable=False, metavar="FILE", help="Publish this one, which was signed elsewhere."),
    ] = None,
    root_key: RootKey = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Publish a CRL now. `serve` does so by itself, except for a root whose key is offline."""
    if name is None and (out is not None or import_ is not None):
        raise AdminError(reasons.USAGE, "--out and --import are about one authority: name it")
    if out is not None and import_ is not None:
        raise AdminError(reasons.USAGE, "either --out or --import")
    with reached(home, root_key=root_key) as door:
        if name is not None and import_ is not None:
            print_answer(_imported(door, name, import_), as_json=as_json)
            return
        if name is None:
            rows = _all(door)
        else:
            rows = [door.ask(verbs.CRL, verbs.PublishCrl(name=name))]
            if out is not None:
                write_new(out, door.ask(verbs.CRL_CONTENT, verbs.ShowCrl(name=name)).crl.encode("ascii"))
    columns = ("authority", "number", "entries", "next_update", "file")
    print_table([row.model_dump(mode="json") for row in rows], columns, as_json=as_json)


def _all(door: "Door") -> "list[CrlState]":
    """Publish those whose key is here, and tell of the others."""
    rows = []
    for authority in gathered(lambda part: door.ask(verbs.LIST, part), verbs.ListAuthorities(), _MOST).items:
        try:
            rows.append(door.ask(verbs.CRL, verbs.PublishCrl(name=authority.name)))
        except AdminError as error:
            if error.reason is not reasons.ROOT_KEY_ELSEWHERE:
                raise
            note(f"Left out {authority.name}: its key is not here. Name the medium with --root-key DIR.")
    return rows


def _imported(door: "Door", name: str, path: Path) -> "CrlState":
    before = door.ask(verbs.SHOW, verbs.ShowAuthority(name=name)).crl_number
    crl = crl_pem(read_crl_file(path)).decode("ascii")
    published = door.ask(verbs.CRL_IMPORT, verbs.ImportCrl(name=name, crl=crl))
    if published.number == before:
        note(f"Nothing is new: this is CRL {published.number} of {name}, which is served already.")
    return published
