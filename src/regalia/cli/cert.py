"""`regalia cert`: certificates."""

import base64
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.revoke import revoke as revoke_certificate
from regalia.cli.ca import found_authority
from regalia.cli.cert_audit import AUDIT_EXAMPLES, audit
from regalia.cli.cert_issue import ISSUE_EXAMPLES, issue
from regalia.cli.chain import issuers, pem
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.fingerprints import fingerprints
from regalia.cli.group import found_group
from regalia.cli.options import DryRun, Home, Json, Limit, Yes, examples, noun_app
from regalia.cli.output import print_json, print_record, print_table, utc
from regalia.cli.reason import Reason, revocation_reason
from regalia.errors import AdminError
from regalia.model import Certificate, CertificateKind, CertificateState
from regalia.ports import CertificateFilter

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.app import App

__all__ = ["app", "status_of"]

app = noun_app("Certificates: look, issue, revoke, export.")
app.command(epilog=ISSUE_EXAMPLES)(issue)
app.command(epilog=AUDIT_EXAMPLES)(audit)

_SERIAL_BITS = 160
"""RFC 5280 §4.1.2.2: at most 20 octets."""

_EMPTY = "No certificates match. `regalia enrolment list` shows what devices asked for."

Serial = Annotated[
    str,
    typer.Argument(metavar="SERIAL", help="Its serial, hexadecimal; as OpenSSL prints it, too.", show_default=False),
]


class Kind(StrEnum):
    """What a certificate is for."""

    LEAF = "leaf"
    RA = "ra"
    OCSP = "ocsp"
    TLS = "tls"
    ISSUING = "issuing"
    ROOT = "root"
    ALL = "all"


class Format(StrEnum):
    """How a certificate is written."""

    PEM = "pem"
    DER = "der"


@app.command("list", epilog=examples("cert list --group staff --limit 20", "cert list --revoked --json"))
def list_(
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
    limit: Limit = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the devices' certificates, newest first; `--kind` lists our own."""
    if subject and "=" not in subject:
        raise AdminError(reasons.USAGE, f"--subject is the whole subject: write CN={subject}")
    with opened(home) as regalia:
        if group is not None:
            found_group(regalia, group)
        if authority is not None:
            found_authority(regalia, authority)
        now = regalia.clock.now()
        chosen = None if kind is Kind.ALL else CertificateKind(kind)
        wanted = CertificateFilter(
            kind=chosen,
            group=group,
            authority=authority,
            revoked=revoked,
            subject=subject,
            device=device,
            limit=limit,
        )
        rows = [_record(certificate, now) for certificate in regalia.store.certificates(wanted)]
        columns = ("serial", "kind", "status", "subject", "unverified", "group", "not_after")
        print_table(rows, columns, as_json=as_json, empty=_EMPTY)


@app.command(epilog=examples("cert show 1f3a", "cert show 1F:3A --json"))
def show(*, serial: Serial, home: Home = None, as_json: Json = False) -> None:
    """Show a certificate: its status, its names and who vouched for them, where it came from."""
    with opened(home) as regalia:
        certificate = _found(regalia, serial)
        record = _record(certificate, regalia.clock.now()) | _more(certificate)
        print_record(record, as_json=as_json)


@app.command(
    epilog=examples(
        "cert revoke 1f3a --reason key-compromise", "cert revoke 1f3a --reason superseded --note lost --yes"
    )
)
def revoke(
    *,
    serial: Serial,
    reason: Reason,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a device's certificate for good. OCSP says so at once, the CRL within a minute while `serve` runs."""
    cause = revocation_reason(reason)
    with opened(home) as regalia:
        certificate = _found(regalia, serial)
        _check_revocable(certificate)
        names = ", ".join(certificate.intent.names.listed()) or certificate.intent.subject
        names += " (unverified)" if certificate.intent.unverified else ""
        plan = [f"revoke 1 certificate for good: {certificate.serial:x}, {names}, {_holder(certificate)}"]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        revoke_certificate(regalia.store, regalia.clock, certificate, reason=cause, actor=administrator(), note=note)
        print_record(_record(_found(regalia, serial), regalia.clock.now()), as_json=as_json)


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
    with opened(home) as regalia:
        certificate = _found(regalia, serial)
        if certificate.der is None:
            raise AdminError(reasons.NOT_FOUND, f"serial {certificate.serial:x} was never signed")
        ders = [certificate.der, *(issuers(regalia, certificate) if chain else ())]
    octets = ders[0] if form is Format.DER else "".join(map(pem, ders)).encode("ascii")
    if out is not None:
        _write(out, octets)
    if as_json:
        content = base64.b64encode(octets).decode("ascii") if form is Format.DER else octets.decode("ascii")
        print_json({"serial": f"{certificate.serial:x}", "format": form, "file": out, "content": content})
    elif out is None:
        _to_stdout(octets, form)


def _found(regalia: "App", text: str) -> Certificate:
    # `openssl x509 -serial` prints serial=HEX, and its -text colons.
    digits = text.strip().lower().removeprefix("serial=").removeprefix("0x").replace(":", "")
    try:
        serial = int(digits, 16)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{text} is not a serial: give hexadecimal digits") from None
    if serial.bit_length() > _SERIAL_BITS:
        told = "is longer than a serial can be; is it a fingerprint? `openssl x509 -noout -serial` prints the serial"
        raise AdminError(reasons.USAGE, f"{text} {told}")
    found = regalia.store.find_serial(serial)
    if not found:
        raise AdminError(reasons.NOT_FOUND, f"certificate {digits}")
    return found[0]


def _check_revocable(certificate: Certificate) -> None:
    """Refuse what has its own way. Device certificates and former credentials are revoked here."""
    serial = f"serial {certificate.serial:x}"
    if certificate.intent.kind is CertificateKind.ROOT:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is a root: remove it where it is trusted instead")
    if certificate.intent.kind is CertificateKind.ISSUING:
        raise AdminError(reasons.AUTHORITY_STATE, f"{serial} is an issuing CA: use `regalia ca revoke`")
    if certificate.revocation is not None:
        raise AdminError(reasons.ALREADY_REVOKED, f"{serial}, {utc(certificate.revocation.at)}")


def _holder(certificate: Certificate) -> str:
    intent = certificate.intent
    if intent.kind is not CertificateKind.LEAF:
        return f"the {intent.kind.upper()} credential of group {intent.group}, which `serve` then replaces"
    return f"one device of group {intent.group} loses access"


def status_of(certificate: Certificate, now: "datetime") -> str:
    """Say in one word how a certificate stands, as OCSP sees it, or that its time is over."""
    if certificate.revocation is not None:
        return "revoked"
    if certificate.state is not CertificateState.ISSUED:
        return certificate.state.value
    return "expired" if certificate.intent.not_after <= now else "valid"


def _record(certificate: Certificate, now: "datetime") -> dict[str, object]:
    intent, revocation = certificate.intent, certificate.revocation
    return {
        "serial": f"{intent.serial:x}",
        "status": status_of(certificate, now),
        "kind": intent.kind,
        "subject": intent.subject,
        "names": intent.names.listed(),
        "unverified": intent.unverified,
        "device": intent.device,
        "group": intent.group,
        "authority": intent.authority,
        "not_before": intent.not_before,
        "not_after": intent.not_after,
        "revoked_at": revocation.at if revocation is not None else None,
        "revocation_reason": revocation.reason if revocation is not None else None,
        "revoked_by": revocation.actor if revocation is not None else None,
        "revocation_note": revocation.note if revocation is not None else None,
    }


def _more(certificate: Certificate) -> dict[str, object]:
    intent = certificate.intent
    profile = f"{intent.profile} v{intent.profile_version}" if intent.profile is not None else None
    return {
        "profile": profile,
        "enrolment": intent.enrolment_id,
        "generation": intent.generation,
        "issued_at": certificate.issued_at,
        "key_sha256": intent.key_sha256,
        **(fingerprints(certificate.der) if certificate.der is not None else {}),
    }


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
