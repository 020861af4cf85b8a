"""`regalia endpoint ndes-page`: the page of an endpoint for MDMs that read Microsoft's."""

from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import note, print_record
from regalia.cli.secret import secret_in
from regalia.errors import AdminError
from regalia.model import NamesFrom, NdesEncoding, NdesPage
from regalia.ra.ndes_pages import NdesOptions

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["EXAMPLES", "ndes_page", "ndes_record"]

EXAMPLES = examples(
    "endpoint ndes-page laptops --user svc-ndes --password-file password --network 192.0.2.7/32",
    "endpoint ndes-page laptops --off",
)


def ndes_page(  # noqa: PLR0913 - one for each option
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the endpoint.", show_default=False)],
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="Whom the MDM logs in as.", show_default=False)
    ] = None,
    password_file: Annotated[
        str | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            show_default=False,
            help="Take this file's one line as the password, or - for standard input.",
        ),
    ] = None,
    digits: Annotated[
        int | None,
        typer.Option(
            "--digits", metavar="N", help="Hexadecimal digits of a challenge, 32 at first.", show_default=False
        ),
    ] = None,
    acknowledge_short: Annotated[
        bool, typer.Option("--acknowledge-short", help="Yes, fewer than 32 digits are fewer than 128 random bits.")
    ] = False,
    encoding: Annotated[
        NdesEncoding | None,
        typer.Option("--encoding", help="How the page is encoded, utf-16le at first.", show_default=False),
    ] = None,
    cache: Annotated[
        int | None,
        typer.Option(
            "--cache",
            metavar="N",
            help="Challenges open at a time; 0, as at first, for any number.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="N", help="Challenges in 60 seconds, 300 at first.", show_default=False),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="CIDR",
            show_default=False,
            help="From where it may be asked, or any; may be given several times.",
        ),
    ] = None,
    certsrv: Annotated[
        bool | None,
        typer.Option(
            "--certsrv/--no-certsrv", help="Serve Microsoft's own paths below /certsrv, too.", show_default=False
        ),
    ] = None,
    allow_binding: Annotated[
        bool | None,
        typer.Option(
            "--allow-binding/--no-allow-binding",
            help="Let the page's URL name device, cn, dns, email, uri and ip.",
            show_default=False,
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Close the page.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open, change or close the page where an MDM fetches one-time challenges. What is not given stays as it is."""
    if off and (user, password_file, digits, encoding, cache, rate, network, certsrv, allow_binding) != (None,) * 9:
        raise AdminError(reasons.USAGE, "--off closes the page; there is nothing to set besides")
    with opened(home) as regalia:
        if off:
            _close(regalia, name, yes=yes, dry_run=dry_run, as_json=as_json)
            return
        options = NdesOptions(
            user=user,
            password=secret_in(password_file, reasons.FILE_REFUSED) if password_file is not None else None,
            digits=digits,
            encoding=encoding,
            cache=cache,
            per_minute=rate,
            networks=None if not network else tuple(network),
            certsrv=certsrv,
            allow_binding=allow_binding,
        )
        page = regalia.ndes_pages.check(name, options, acknowledged=acknowledge_short)
        if dry_run:
            agreed([f"open the page {_paths(page)} for {page.user}"], yes=True, dry_run=True, as_json=as_json)
            return
        page = regalia.ndes_pages.set(name, options, actor=administrator(), acknowledged=acknowledge_short)
        if not page.allow_binding:
            note(_bearer(regalia, name))
        print_record(ndes_record(page), as_json=as_json)


def _close(regalia: "App", name: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    page = regalia.store.ndes_page(name)
    if page is None:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name} has no NDES page")
    plan = [f"close the page {_paths(page)}: no MDM gets a challenge there any more; those handed out stay good"]
    if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
        regalia.ndes_pages.remove(name, actor=administrator())
        print_record({"endpoint": name, "page": None}, as_json=as_json)


def ndes_record(page: NdesPage) -> dict[str, object]:
    """Show a page, without what is secret of it."""
    return {
        "endpoint": page.endpoint,
        "page": _paths(page),
        "user": page.user,
        "digits": page.digits,
        "encoding": page.encoding,
        "cache": page.cache,
        "rate": page.per_minute,
        "networks": page.networks,
        "certsrv": page.certsrv,
        "allow_binding": page.allow_binding,
        "changed_at": page.changed_at,
    }


def _paths(page: NdesPage) -> str:
    """Name the page by its path: which host and port lead there over TLS, the network around us decides."""
    return f"/mscep_admin/{page.endpoint}" + (" and /certsrv/mscep_admin/" if page.certsrv else "")


def _bearer(regalia: "App", name: str) -> str:
    """Say what challenges without names mean (R5.4)."""
    endpoint = regalia.store.endpoint(name)
    profile = regalia.store.profile(endpoint.profile) if endpoint is not None else None
    names = "be named d- and 20 hexadecimal digits of its key's hash"
    if profile is not None and profile.names_from is NamesFrom.CSR:
        names = "carry the names that the device asks for"
    return (
        "The page hands out bearer challenges: they name no device, so whoever holds one can enrol. The certificate "
        f"will {names}, and is marked unverified. With --allow-binding the MDM can name the device in the page's URL."
    )
