"""`regalia ca export|cross`: authorities' certificates in files, and roots that certify each other."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.urls import Urls
from regalia.cli.authorities import found_authority
from regalia.cli.context import administrator, agreed, opened, reached
from regalia.cli.files import http_url, read_certificates, write_new
from regalia.cli.fingerprints import fingerprints
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import print_json, print_table
from regalia.errors import AdminError
from regalia.verbs import authority as verbs
from regalia.verbs.content import certificates_from
from regalia.wire.certificate import read_certificate
from regalia.wire.cms import certs_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.app import App
    from regalia.model import Authority

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
    with opened(home, root_key=root_key) as regalia:
        pair = found_authority(regalia, old), found_authority(regalia, new)
        if import_:
            print_table(_brought(regalia, import_), _COLUMNS, as_json=as_json)
            return
        urls = _place(regalia, pair, url)
        plan = [f"have {old} certify the name and key of {new}, and {new} those of {old}"]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        rows = []
        for issuer, other in (pair, pair[::-1]):
            der = regalia.hierarchy.cross(issuer, other, actor=administrator(), urls=urls)
            rows.append(_row(issuer, other, der))
            told = f"{issuer.name} certified {other.name}, certificate SHA-256 {rows[-1]['sha256']}"
            regalia.transcript.note(administrator(), told)
        print_table(rows, _COLUMNS, as_json=as_json)


_COLUMNS = ("by", "for", "not_after", "sha256")


def _row(issuer: "Authority", other: "Authority", der: bytes) -> dict[str, object]:
    sha256 = fingerprints(der)["sha256"]
    return {"by": issuer.name, "for": other.name, "not_after": read_certificate(der).not_after, "sha256": sha256}


def _place(regalia: "App", pair: "tuple[Authority, Authority]", url: str | None) -> Urls:
    """See that both keys are here; say where the roots' CRLs are served."""
    for authority in pair:
        if not regalia.keys.holds(authority.key_id):
            raise AdminError(
                reasons.ROOT_KEY_ELSEWHERE, f"authority {authority.name} signs with key {authority.key_id}"
            )
    if url is not None:
        return Urls(http_url("--url", url))
    if not regalia.store.groups():
        raise AdminError(reasons.USAGE, "nothing is served from a root's home: name the system that does with --url")
    return regalia.urls


def _brought(regalia: "App", files: "Sequence[Path]") -> list[dict[str, object]]:
    """Keep the cross-certificates of files."""
    rows = []
    for der in (der for path in files for der in read_certificates(path)):
        issuer, other = regalia.hierarchy.accept_cross(der, actor=administrator())
        rows.append(_row(issuer, other, der))
    return rows
