"""`regalia cert`: certificates."""

import base64
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.bearer import print_causes
from regalia.cli.cert_audit import AUDIT_EXAMPLES, audit
from regalia.cli.cert_end import HOLD_EXAMPLES, RELEASE_EXAMPLES, REVOKE_EXAMPLES, hold, release, revoke
from regalia.cli.cert_issue import ISSUE_EXAMPLES, issue
from regalia.cli.cert_record import COLUMNS, Serial
from regalia.cli.context import reached
from regalia.cli.options import Home, Json, Limit, examples, noun_app
from regalia.cli.output import print_answer, print_json, print_page, say
from regalia.errors import AdminError
from regalia.model import CertificateState
from regalia.verbs import certificate as verbs
from regalia.verbs import certificate_renewal as renewal
from regalia.verbs.certificate import KindAsked as Kind
from regalia.verbs.content import certificates_from
from regalia.verbs.paging import gathered

__all__ = ["app"]

app = noun_app("Certificates: look, issue, hold, revoke, audit, export.")
app.command(epilog=ISSUE_EXAMPLES)(issue)
app.command(epilog=HOLD_EXAMPLES)(hold)
app.command(epilog=RELEASE_EXAMPLES)(release)
app.command(epilog=REVOKE_EXAMPLES)(revoke)
app.command(epilog=AUDIT_EXAMPLES)(audit)

_EMPTY = (
    "No certificates match; --all has those that expired, too. `regalia enrolment list` shows what devices asked for."
)


class Format(StrEnum):
    """How a certificate is written."""

    PEM = "pem"
    DER = "der"


@app.command(
    "list", epilog=examples("cert list --group staff --limit 20", "cert list --expired --device INV-17 --json")
)
def list_(  # noqa: PLR0913 - one for each option
    *,
    group: Annotated[
        str | None, typer.Option("--group", metavar="GROUP", help="Only of this group.", show_default=False)
    ] = None,
    authority: Annotated[
        str | None, typer.Option("--authority", metavar="NAME", help="Only of this issuer.", show_default=False)
    ] = None,
    kind: Annotated[Kind, typer.Option("--kind", help="Devices have leaves; the others are our own.")] = Kind.LEAF,
    revoked: Annotated[
        bool | None, typer.Option("--revoked/--not-revoked", help="Only these.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="NAME", help="Only with this subject, as `CN=lap1`.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="Only of this device.", show_default=False)
    ] = None,
    device_id: Annotated[
        str | None,
        typer.Option(
            "--device-id", metavar="ID", help="Only bound to this record of `device list`.", show_default=False
        ),
    ] = None,
    without_renewal: Annotated[
        bool, typer.Option("--without-renewal", help="Those that will expire without renewing, with the reason.")
    ] = False,
    state: Annotated[
        CertificateState | None, typer.Option("--state", help="Only in this state.", show_default=False)
    ] = None,
    expired: Annotated[bool, typer.Option("--expired", help="Those that have expired, the last one first.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Live and expired ones, and those that were never issued.")
    ] = False,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Only what this text is found in.", show_default=False),
    ] = None,
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the devices' certificates that have not expired, newest first; `--kind` lists our own."""
    if expired and every:
        raise AdminError(reasons.USAGE, "--all has the expired ones among it: give one of them")
    if subject and "=" not in subject:
        raise AdminError(reasons.USAGE, f"--subject is the whole subject: write CN={subject}")
    if without_renewal:
        others = (authority, revoked, subject, device, device_id, state, expired or None, every or None)
        if kind is not Kind.LEAF or any(each is not None for each in others):
            raise AdminError(reasons.USAGE, "--without-renewal goes with --group, --search and --limit only")
        _list_unrenewed(group, search, limit, home, as_json=as_json)
        return
    with reached(home) as door:
        asked = verbs.ListCertificates(
            group=group,
            authority=authority,
            kind=kind,
            revoked=revoked,
            subject=subject,
            device=device,
            device_id=device_id,
            state=state,
            expired=expired,
            all=every,
            q=search,
        )
        found = gathered(partial(door.ask, verbs.LIST), asked, limit)
    print_page(found, COLUMNS, as_json=as_json, empty=_EMPTY)


def _list_unrenewed(group: str | None, search: str | None, limit: int, home: Path | None, *, as_json: bool) -> None:
    with reached(home) as door:
        asked = renewal.ListUnrenewed(group=group, q=search)
        found = gathered(partial(door.ask, renewal.LIST), asked, limit)
    empty = "None: each certificate that lives was renewed, or can be expected to be."
    print_page(found, ("serial", "subject", "group", "endpoint", "not_after", "why"), as_json=as_json, empty=empty)


@app.command(epilog=examples("cert show 1f3a", "cert show 1F:3A --json"))
def show(*, serial: Serial, home: Home = None, as_json: Json = False) -> None:
    """Show a certificate: its status, its names and who vouched for them, where it came from."""
    with reached(home) as door:
        shown = door.ask(verbs.SHOW, verbs.ShowCertificate(serial=serial))
    print_answer(shown, as_json=as_json, without=("causes", "explained"))
    if shown.causes and not as_json:
        say()
        say("How it stands:")
        print_causes(shown.explained, shown.causes)


@app.command(
    epilog=examples("cert export 1f3a --chain > laptop-17.pem", "cert export 1f3a --format der --out laptop.cer")
)
def export(
    *,
    serial: Serial,
    out: Annotated[
        Path | None, typer.Option("--out", readable=False, metavar="FILE", help="Where to.", show_default="stdout")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="PEM is text, DER the bare octets.")] = Format.PEM,
    chain: Annotated[bool, typer.Option("--chain", help="Its issuers behind it, the root last. PEM only.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a certificate, alone or with its chain."""
    if chain and form is Format.DER:
        raise AdminError(reasons.USAGE, "--chain makes several certificates and DER holds one: use --format pem")
    with reached(home) as door:
        found = door.ask(verbs.EXPORT, verbs.ExportCertificate(serial=serial, chain=chain))
    octets = certificates_from(found.content)[0] if form is Format.DER else found.content.encode("ascii")
    if out is not None:
        _write(out, octets)
    if as_json:
        content = base64.b64encode(octets).decode("ascii") if form is Format.DER else found.content
        print_json({"serial": found.serial, "format": form, "file": out, "content": content})
    elif out is None:
        _to_stdout(octets, form)


def _write(path: Path, octets: bytes) -> None:
    try:
        path.write_bytes(octets)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


def _to_stdout(octets: bytes, form: Format) -> None:
    if form is Format.PEM:
        sys.stdout.write(octets.decode("ascii"))
    elif sys.stdout.isatty():
        raise AdminError(reasons.USAGE, "DER is not text: name a file with --out, or redirect stdout")
    else:
        sys.stdout.buffer.write(octets)
