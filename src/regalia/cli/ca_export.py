"""`regalia ca export|cross`: authorities' certificates in files, and roots that certify each other."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.files import certificates_pem, http_url, read_certificates, write_new
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import print_json, print_page
from regalia.errors import AdminError
from regalia.verbs import authority as verbs
from regalia.verbs import authority_making as making
from regalia.verbs.content import certificates_from
from regalia.wire.cms import certs_only

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CROSS_EXAMPLES", "EXPORT_EXAMPLES", "cross", "export"]

EXPORT_EXAMPLES = examples("ca export root --out root.pem", "ca export default-ca-1 --chain --format p7c --out ca.p7c")
CROSS_EXAMPLES = examples("ca cross root root-2", "ca cross root root-2 --root-key /media/usb --yes --json")


class Format(StrEnum):
    """How certificates are written."""

    PEM = "pem"
    DER = "der"
    P7C = "p7c"


def export(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the authority.", show_default=False)],
    chain: Annotated[bool, typer.Option("--chain", help="With what stands above it, up to the root.")] = False,
    cross_: Annotated[bool, typer.Option("--cross", help="What other roots certified of its name and key.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.PEM,
    out: Annotated[
        Path | None, typer.Option("--out", readable=False, metavar="FILE", help="Where to.", show_default="stdout")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write an authority's certificate, its chain, or what other roots certified of it."""
    if chain and cross_:
        raise AdminError(reasons.USAGE, "either --chain or --cross")
    with reached(home) as door:
        wanted = door.ask(verbs.EXPORT, verbs.ExportAuthority(name=name, chain=chain, cross=cross_))
    octets = _written(wanted.certificates, format_)
    if out is not None:
        write_new(out, octets)
    if as_json:
        print_json(wanted.model_dump(mode="json") | {"file": out})
    if out is not None or as_json:
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(octets)
    sys.stdout.buffer.flush()


def _written(certificates: "Sequence[str]", format_: Format) -> bytes:
    if format_ is Format.PEM:
        return "".join(certificates).encode("ascii")
    ders = [der for text in certificates for der in certificates_from(text)]
    if format_ is Format.P7C:
        return certs_only(ders, ordered=True)
    if len(ders) > 1:
        raise AdminError(reasons.USAGE, f"DER holds one certificate, and these are {len(ders)}: take pem or p7c")
    return ders[0]


def cross(
    *,
    old: Annotated[str, typer.Argument(metavar="OLD", help="A root.", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another root.", show_default=False)],
    import_: Annotated[
        list[Path] | None,
        typer.Option("--import", readable=False, metavar="FILE", help="Keep what was made where their keys are."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where the roots' CRLs are served.", show_default="here"),
    ] = None,
    root_key: RootKey = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let two roots certify each other's name and key, so that whoever trusts one reaches what the other issues."""
    with reached(home, root_key=root_key) as door:
        if import_:
            given = certificates_pem([der for path in import_ for der in read_certificates(path)]).decode("ascii")
            made = door.ask(making.CROSS_IMPORT, making.ImportCross(certificates=given))
        else:
            if url is not None:
                http_url("--url", url)
            asked = making.CrossRoots(name=old, other=new, url=url)
            if not agreed(door.plan(making.CROSS, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
                return
            made = door.ask(making.CROSS, asked)
    print_page(made, ("by", "for", "not_after", "sha256"), as_json=as_json)
