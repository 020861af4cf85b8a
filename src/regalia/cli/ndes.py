"""`regalia endpoint ndes-page`: the page of an endpoint for MDMs that read Microsoft's."""

from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples
from regalia.cli.output import note, print_answer
from regalia.cli.secret import secret_in
from regalia.errors import AdminError
from regalia.model import NdesEncoding
from regalia.verbs import ndes as verbs
from regalia.verbs.challenge import ChallengeDoubt

__all__ = ["EXAMPLES", "ndes_page"]

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
    with reached(home) as door:
        if off:
            closing = verbs.ClosePage(name=name)
            if agreed(door.plan(verbs.CLOSE, closing).would, yes=yes, dry_run=dry_run, as_json=as_json):
                print_answer(door.ask(verbs.CLOSE, closing), as_json=as_json)
            return
        asked = verbs.SetPage(
            name=name,
            user=user,
            password=secret_in(password_file, reasons.FILE_REFUSED) if password_file is not None else None,
            digits=digits,
            acknowledge_short=acknowledge_short,
            encoding=encoding,
            cache=cache,
            rate=rate,
            networks=tuple(network) if network else None,
            certsrv=certsrv,
            allow_binding=allow_binding,
        )
        if dry_run:
            agreed(door.plan(verbs.SET, asked).would, yes=True, dry_run=True, as_json=as_json)
            return
        page = door.ask(verbs.SET, asked)
    for doubt in page.doubts:
        note(_BEARERS.format(_NAMES[doubt]))
    print_answer(page, as_json=as_json, without=("doubts",))


_NAMES: Final = {
    ChallengeDoubt.NAMED_BY_SERVER: "be named d- and 20 hexadecimal digits of its key's hash",
    ChallengeDoubt.NAMED_BY_DEVICE: "carry the names that the device asks for",
}
_BEARERS: Final = (
    "The page hands out bearer challenges: they name no device, so whoever holds one can enrol. The certificate "
    "will {}, and is marked unverified. With --allow-binding the MDM can name the device in the page's URL."
)
"""What challenges without names mean (R5.4)."""
