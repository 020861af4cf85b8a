"""`regalia ca request|sign|accept`: an issuing authority whose issuer's key is on another machine, or another PKI's."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.sign_request import read_wish
from regalia.ca.templates import ISSUING_LIFETIME
from regalia.ca.urls import Urls
from regalia.cli.authorities import authority_record, found_authority
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.files import certificates_pem, http_url, read_certificates, read_file, request_pem, write_new
from regalia.cli.fingerprints import fingerprints
from regalia.cli.first_group import GROUP, open_first_group
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, print_record
from regalia.cli.publish import publish
from regalia.errors import AdminError, InvariantError
from regalia.model import AuthorityState, KeyKind
from regalia.wire import oids
from regalia.wire.certificate import read_certificate
from regalia.wire.csr import key_of_info
from regalia.wire.names import name_text

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.ca.sign_request import Wish
    from regalia.model import Authority

__all__ = ["ACCEPT_EXAMPLES", "REQUEST_EXAMPLES", "SIGN_EXAMPLES", "accept", "request", "sign"]

REQUEST_EXAMPLES = examples(
    "ca request staff-ca-1 --group staff --parent root --csr staff-ca-1.csr",
    "ca request staff-ca-1 --group staff --csr staff-ca-1.csr",
)
SIGN_EXAMPLES = examples(
    "ca sign default-ca-1.csr --out default-ca-1.pem",
    "ca sign other.csr --out other.pem --name other-ca --url http://pki.example.org:8080 --dry-run",
)
ACCEPT_EXAMPLES = examples(
    "ca accept default-ca-1 --certificate default-ca-1.pem",
    "ca accept staff-ca-1 --certificate staff-ca-1.pem --chain corporate-chain.p7b",
)

_DAY = timedelta(days=1)


def request(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the authority to be.", show_default=False)],
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="The group that it will issue for.")],
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent",
            metavar="ROOT",
            help="The root of this PKI that will sign it on its own machine.",
            show_default="another PKI",
        ),
    ] = None,
    csr: Annotated[
        Path | None,
        typer.Option("--csr", readable=False, metavar="FILE", help="Where the request goes.", show_default="NAME.csr"),
    ] = None,
    organisation: Annotated[
        str | None, typer.Option("--organisation", metavar="O", help="Stands in its name.", show_default=False)
    ] = None,
    key: Annotated[KeyKind, typer.Option("--key", help="Kind of its key.")] = KeyKind.P256,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make an issuing authority's key here, and the request that a CA elsewhere is to sign."""
    with opened(home) as regalia:
        made = regalia.hierarchy.request(
            name, group=group, parent=parent, organisation=organisation, key_kind=key, actor=administrator()
        )
        if made.csr is None:
            raise InvariantError(f"request {name} is not signed")
        path = write_new(csr or Path(f"{name}.csr"), request_pem(made.csr))
        wish = read_wish(made.csr)
        record = {
            "name": name,
            "group": group,
            "parent": parent,
            "key": made.key_kind,
            "key_sha256": wish.key_sha256,
            "subject": name_text(wish.subject),
            "request": path,
        }
        print_record(record, as_json=as_json)
        if not as_json:
            note(f"Next, with the certificate that comes back: regalia ca accept {name} --certificate FILE")


def sign(  # noqa: PLR0913 - a command has as many options as it has
    *,
    csr: Annotated[
        Path, typer.Argument(metavar="CSR", readable=False, help="The request, PEM or DER.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", readable=False, metavar="FILE", help="Where the certificate goes.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="What it is called here.", show_default="the CSR's file"),
    ] = None,
    root: Annotated[
        str | None, typer.Option("--root", metavar="ROOT", help="The root that signs.", show_default="the first")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Where the root's CRL will be served.", show_default="what the request says"
        ),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=7305, metavar="N", help="How long it is valid.")
    ] = ISSUING_LIFETIME // _DAY,
    root_key: RootKey = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a root here sign the request of an issuing authority that works elsewhere."""
    wish = read_wish(read_file(csr))
    with opened(home, root_key=root_key) as regalia:
        above = regalia.registry.root() if root is None else found_authority(regalia, root)
        called = name or csr.name.partition(".")[0]
        crl, issuer = _urls(wish, above, url)
        if out.exists():
            raise AdminError(reasons.FILE_REFUSED, f"{out} exists: nothing is written over it")
        plan = [
            f"sign {name_text(wish.subject)} as an issuing CA of {above.name} for {days} days",
            f"certify the key {wish.key_kind} with SHA-256 {wish.key_sha256}",
            f"name {crl} as the place of the root's CRL, and {issuer} as that of its certificate",
        ]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        signed = regalia.hierarchy.sign(
            called, wish, root=above, crl=crl, issuer=issuer, actor=administrator(), lifetime=timedelta(days=days)
        )
        write_new(out, certificates_pem([signed.certificate_der]))
        sha256 = fingerprints(signed.certificate_der)["sha256"]
        regalia.transcript.note(
            administrator(),
            f"signed request SHA-256 {wish.csr_sha256} under {above.name}: authority {called}, "
            f"key SHA-256 {wish.key_sha256}, certificate SHA-256 {sha256}",
        )
        print_record(_signed_record(signed, out), as_json=as_json)


def _urls(wish: "Wish", root: "Authority", url: str | None) -> tuple[str, str]:
    """Choose where the root's CRL and certificate will be served."""
    if url is not None:
        urls = Urls(http_url("--url", url))
        return urls.crl(root.name), urls.issuer(root.name)
    if wish.crl is None or wish.issuer is None:
        told = "the request does not say where the root's CRL is served: name the system with --url http://HOST:PORT"
        raise AdminError(reasons.AUTHORITY_REQUEST_REFUSED, told)
    return wish.crl, wish.issuer


def _signed_record(signed: "Authority", out: Path) -> dict[str, object]:
    facts = read_certificate(signed.certificate_der)
    return {
        "name": signed.name,
        "parent": signed.parent,
        "subject": name_text(facts.subject),
        "serial": f"{facts.serial:x}",
        "not_after": facts.not_after,
        **fingerprints(signed.certificate_der),
        "file": out,
    }


def accept(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the request.", show_default=False)],
    certificate: Annotated[
        Path, typer.Option("--certificate", readable=False, metavar="FILE", help="What the other CA made.")
    ],
    chain: Annotated[
        list[Path] | None,
        typer.Option(
            "--chain", readable=False, metavar="FILE", help="What stands above it, up to the root; may be repeated."
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take the certificate that was made for a request; the authority can issue from then on.

    In a home that has no group yet, the group, profile and endpoint that `init` speaks of are made as well.
    """
    given = [der for path in (certificate, *(chain or ())) for der in read_certificates(path)]
    with opened(home) as regalia:
        made = regalia.hierarchy.accept(
            name, _leafmost(regalia, name, given), given, actor=administrator(), state=_state_to_be(regalia, name)
        )
        publish(regalia, name)
        opens = not regalia.store.groups() and made.group == GROUP
        if opens:
            open_first_group(regalia, name)
        print_record(authority_record(regalia, made) | _beneath(regalia, made), as_json=as_json)
        if not as_json:
            _tell_next(regalia, made, opens=opens)


def _state_to_be(regalia: "App", name: str) -> AuthorityState:
    """Whether it begins to issue at once: where its group has an authority already, `ca activate` says when."""
    waiting = regalia.store.authority_request(name)
    taken = waiting is not None and regalia.store.group(waiting.group) is not None
    return AuthorityState.NEXT if taken else AuthorityState.ACTIVE


def _leafmost(regalia: "App", name: str, given: list[bytes]) -> bytes:
    """Take the certificate that is meant out of what was given: files often hold a chain, in any order."""
    waiting = regalia.store.authority_request(name)
    known = regalia.store.authority(name)
    for der in given:
        if waiting is not None and read_certificate(der).public_key == key_of_info(waiting.info):
            return der
        if known is not None and der == known.certificate_der:
            return der
    return given[0]


def _beneath(regalia: "App", made: "Authority") -> dict[str, object]:
    chain = []
    above = regalia.store.authority(made.parent) if made.parent is not None else None
    while above is not None:
        chain.append(above.name)
        above = regalia.store.authority(above.parent) if above.parent is not None else None
    return {"chain": chain, **fingerprints(made.certificate_der)}


def _names_our_crl(regalia: "App", made: "Authority") -> bool:
    """Whether its certificate says that the issuer's CRL is served from here."""
    points = read_certificate(made.certificate_der).extension(oids.CE_CRL_DISTRIBUTION_POINTS)
    return points is not None and regalia.urls.crl(made.parent or "").encode() in points.value


def _tell_next(regalia: "App", made: "Authority", *, opens: bool) -> None:
    for authority in regalia.store.authorities():
        ours = authority.name == made.parent and _names_our_crl(regalia, made)
        if ours and regalia.store.last_crl(authority.name) is None:
            note(f"Next, so that its status can be asked for: regalia ca crl {authority.name} --import FILE")
    if opens:
        note(f"Group {GROUP} has an endpoint now. Next: regalia serve")
    elif made.state is AuthorityState.NEXT:
        note(f"Next, when devices should move over: regalia ca activate {made.name}")
    elif made.group is not None and regalia.store.group(made.group) is None:
        note(f"Next: regalia group create {made.group} --authority {made.name}")
