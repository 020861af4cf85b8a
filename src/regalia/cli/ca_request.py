"""`regalia ca request|sign|accept`: an issuing authority whose issuer's key is on another machine, or another PKI's."""

from pathlib import Path
from typing import Annotated

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.files import certificates_pem, http_url, read_certificates, read_file, request_pem, write_new
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, print_record
from regalia.errors import AdminError
from regalia.model import AuthorityState, KeyKind
from regalia.verbs import authority_making as verbs

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

_FOR_PEOPLE = {"crl_wanted", "opened_group", "group_is_there"}
"""What of an answer is said in words."""


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
    with reached(home) as door:
        asked = verbs.RequestAuthority(name=name, group=group, parent=parent, organisation=organisation, key=key)
        made = door.ask(verbs.REQUEST, asked)
    path = write_new(csr or Path(f"{name}.csr"), made.csr.encode("ascii"))
    print_record(made.model_dump(mode="json", exclude={"csr"}) | {"request": path}, as_json=as_json)
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
    ] = verbs.DAYS,
    root_key: RootKey = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a root here sign the request of an issuing authority that works elsewhere."""
    request = _request_text(csr)
    if url is not None:
        http_url("--url", url)
    if out.exists():
        raise AdminError(reasons.FILE_REFUSED, f"{out} exists: nothing is written over it")
    called = name or csr.name.partition(".")[0]
    with reached(home, root_key=root_key) as door:
        asked = verbs.SignRequest(csr=request, name=called, root=root, url=url, days=days)
        if not agreed(door.plan(verbs.SIGN, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        signed = door.ask(verbs.SIGN, asked)
    write_new(out, signed.certificate.encode("ascii"))
    print_record(signed.model_dump(mode="json", exclude={"certificate"}) | {"file": out}, as_json=as_json)


def _request_text(path: Path) -> str:
    """Read a request, PEM or DER, as PEM; whether it is one is for the verb to say."""
    octets = read_file(path)
    return (request_pem(octets) if octets[:1] == b"\x30" else octets).decode("ascii", "replace")


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
    with reached(home) as door:
        asked = verbs.AcceptCertificate(name=name, certificates=certificates_pem(given).decode("ascii"))
        made = door.ask(verbs.ACCEPT, asked)
    print_record(made.model_dump(mode="json", exclude=_FOR_PEOPLE), as_json=as_json)
    if not as_json:
        _tell_next(made)


def _tell_next(made: verbs.Accepted) -> None:
    if made.crl_wanted is not None:
        note(f"Next, so that its status can be asked for: regalia ca crl {made.crl_wanted} --import FILE")
    if made.opened_group is not None:
        note(f"Group {made.opened_group} has an endpoint now. Next: regalia serve")
    elif made.state is AuthorityState.NEXT:
        note(f"Next, when devices should move over: regalia ca activate {made.name}")
    elif made.group is not None and not made.group_is_there:
        note(f"Next: regalia group create {made.group} --authority {made.name}")
