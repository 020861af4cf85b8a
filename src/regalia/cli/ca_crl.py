"""`regalia ca crl`: CRLs made by hand, carried out, and brought in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.crl_copy import CrlCopier
from regalia.cli.authorities import crl_record, found_authority
from regalia.cli.context import administrator, opened
from regalia.cli.files import crl_pem, read_crl_file, write_new
from regalia.cli.options import Home, Json, RootKey, examples
from regalia.cli.output import note, print_record, print_table
from regalia.cli.publish import publish
from regalia.errors import AdminError, InvariantError

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Authority

__all__ = ["CRL_EXAMPLES", "crl"]

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
    with opened(home, root_key=root_key) as regalia:
        if name is not None and import_ is not None:
            print_record(_imported(regalia, found_authority(regalia, name), import_), as_json=as_json)
            return
        wanted = regalia.store.authorities() if name is None else (found_authority(regalia, name),)
        rows = []
        for authority in wanted:
            if not regalia.keys.holds(authority.key_id):
                _key_missing(authority, named=name is not None)
                continue
            publish(regalia, authority.name)
            rows.append({"authority": authority.name} | crl_record(regalia, authority))
            if out is not None:
                write_new(out, crl_pem(_published(regalia, authority)))
            regalia.transcript.note(administrator(), f"published CRL {rows[-1]['number']} of {authority.name}")
        print_table(rows, ("authority", "number", "entries", "next_update", "file"), as_json=as_json)


def _published(regalia: "App", authority: "Authority") -> bytes:
    last = regalia.store.last_crl(authority.name)
    if last is None:
        raise InvariantError(f"no CRL of {authority.name} was published")
    return b"".join(regalia.store.crl_octets(last))


def _imported(regalia: "App", authority: "Authority", path: Path) -> dict[str, object]:
    if regalia.keys.holds(authority.key_id):
        raise AdminError(
            reasons.AUTHORITY_CRL_REFUSED, f"{authority.name} signs its own here: its key is on this machine"
        )
    before = regalia.store.last_crl(authority.name)
    published = regalia.carried_crls.publish(authority, read_crl_file(path), actor=administrator())
    if published == before:
        note(f"Nothing is new: this is CRL {published.number} of {authority.name}, which is served already.")
    CrlCopier(regalia.store, regalia.crl_files).copy(authority)
    return {"authority": authority.name} | crl_record(regalia, authority)


def _key_missing(authority: "Authority", *, named: bool) -> None:
    if named:
        raise AdminError(reasons.ROOT_KEY_ELSEWHERE, f"authority {authority.name} signs with key {authority.key_id}")
    note(f"Left out {authority.name}: its key is not here. Name the medium with --root-key DIR.")
