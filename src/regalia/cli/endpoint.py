"""`regalia endpoint`: the doors that devices enrol at."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.endpoint_values import FILE_EXAMPLES, VALUES_EXAMPLES, file, values
from regalia.cli.ndes import EXAMPLES as NDES_EXAMPLES
from regalia.cli.ndes import ndes_page
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_page, say, utc
from regalia.cli.secret import secret_in
from regalia.cli.span import checked_span
from regalia.errors import AdminError
from regalia.model import Authoriser
from regalia.verbs import endpoint as verbs
from regalia.verbs.paging import gathered

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

app = noun_app("Endpoints: the doors that devices enrol at.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the endpoint: a part of its URL.", show_default=False)
]


ConnectorName = Annotated[
    str | None,
    typer.Option(
        "--connector",
        metavar="NAME",
        help="Which connector, with `--authoriser connector`.",
        show_default=False,
    ),
]
SecretFile = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        show_default=False,
        help="Take this file's one line as the static challenge, or - for standard input; a random one if not given.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the static challenge and nothing else.")]


@app.command(
    epilog=examples(
        "endpoint create laptops --group staff --profile laptop --authoriser approval",
        "endpoint create phones --group staff --profile phone --authoriser connector --connector intune",
    )
)
def create(  # noqa: PLR0913 - one for each option
    *,
    name: Name,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="The group that devices join here.")],
    profile: Annotated[str, typer.Option("--profile", metavar="PROFILE", help="What their certificates look like.")],
    authoriser: Annotated[
        Authoriser,
        typer.Option(
            "--authoriser",
            help="Who says yes: a challenge for each device, one secret for all, an administrator, or a connector.",
        ),
    ] = Authoriser.ONE_TIME,
    connector: ConnectorName = None,
    protocol: Annotated[verbs.Protocol, typer.Option("--protocol", help="What devices speak.")] = verbs.Protocol.SCEP,
    no_root: Annotated[
        bool, typer.Option("--no-root", help="Leave the root out of GetCACert: for fleets of Apple devices only.")
    ] = False,
    check_signing_time: Annotated[
        bool, typer.Option("--check-signing-time", help="Refuse messages signed more than 24 hours off.")
    ] = False,
    legacy: Annotated[
        bool,
        typer.Option("--legacy/--no-legacy", help="Also take SHA-1 and triple DES, from devices that know no better."),
    ] = False,
    non_rsa: Annotated[
        bool, typer.Option("--non-rsa/--no-non-rsa", help="Also take keys that cannot decrypt: ECDSA, Ed25519, ML-DSA.")
    ] = False,
    secret_file: SecretFile = None,
    quiet: Quiet = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open an endpoint and print its URL; the static challenge, where it has one, is shown now and never again."""
    _check_secret(authoriser, given=secret_file is not None or quiet)
    secret = secret_in(secret_file, reasons.FILE_REFUSED) if secret_file is not None else None
    with reached(home) as door:
        asked = verbs.CreateEndpoint(
            name=name,
            group=group,
            profile=profile,
            authoriser=authoriser,
            connector=connector,
            protocol=protocol,
            include_root=not no_root,
            check_signing_time=check_signing_time,
            legacy=legacy,
            non_rsa=non_rsa,
            secret=secret,
        )
        made = door.ask(verbs.CREATE, asked)
    for meaning in _meanings(made):
        note(meaning)
    _tell_secret(made, quiet=quiet, as_json=as_json, without=("pending_days",))


@app.command(
    epilog=examples(
        "endpoint change laptops --authoriser connector --connector intune",
        "endpoint change laptops --authoriser one-time --dry-run",
    )
)
def change(
    *,
    name: Name,
    authoriser: Annotated[Authoriser, typer.Option("--authoriser", help="Who says yes from now on.")],
    connector: ConnectorName = None,
    secret_file: SecretFile = None,
    quiet: Quiet = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let somebody else say yes at an endpoint; what was issued there stays."""
    _check_secret(authoriser, given=secret_file is not None or quiet)
    secret = secret_in(secret_file, reasons.FILE_REFUSED) if secret_file is not None else None
    with reached(home) as door:
        asked = verbs.ChangeEndpoint(name=name, authoriser=authoriser, connector=connector, secret=secret)
        if not agreed(door.plan(verbs.CHANGE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        made = door.ask(verbs.CHANGE, asked)
    for meaning in _meanings(made):
        note(meaning)
    _tell_secret(made, quiet=quiet, as_json=as_json, without=("pending_days",))


def _check_secret(authoriser: Authoriser, *, given: bool) -> None:
    if given and authoriser not in (Authoriser.STATIC, Authoriser.APPROVAL):
        raise AdminError(reasons.USAGE, "--secret-file and --quiet are for a static challenge: static or approval")


@app.command(
    "rotate-secret",
    epilog=examples(
        "endpoint rotate-secret printers", "endpoint rotate-secret printers --overlap 30d --quiet > secret"
    ),
)
def rotate_secret(
    *,
    name: Name,
    secret_file: SecretFile = None,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="SPAN", help="How long the former one stays good; 0d ends it now.")
    ] = "7d",
    quiet: Quiet = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give an endpoint a new static challenge, shown now and never again. Two are good at a time at most."""
    span = checked_span("--overlap", overlap)
    secret = secret_in(secret_file, reasons.FILE_REFUSED) if secret_file is not None else None
    with reached(home) as door:
        made = door.ask(verbs.ROTATE_SECRET, verbs.RotateSecret(name=name, secret=secret, overlap=span))
    for former in made.former:
        until = f"until {utc(former.good_until)}" if former.good_until is not None else "until rotated"
        note(f"Static challenge {former.id} {'has ended' if former.ended else f'stays good {until}'}.")
    _tell_secret(made, quiet=quiet, as_json=as_json, without=("former",))


@app.command("list", epilog=examples("endpoint list", "endpoint list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the endpoints with their URLs."""
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListEndpoints(), _ALL)
    empty = "No endpoints. Open one with `regalia endpoint create NAME --group GROUP --profile PROFILE`."
    columns = ("name", "enabled", "group", "profile", "authoriser", "pending", "url")
    print_page(found, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("endpoint show default", "endpoint show default --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show an endpoint: its URL, and the fingerprints that a device's configuration asks for."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SHOW, verbs.EndpointName(name=name)), as_json=as_json)


@app.command(epilog=examples("endpoint disable laptops", "endpoint disable laptops --dry-run"))
def disable(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Close an endpoint for good: devices can neither enrol nor renew there. Their certificates stay valid."""
    with reached(home) as door:
        asked = verbs.EndpointName(name=name)
        if agreed(door.plan(verbs.DISABLE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.DISABLE, asked), as_json=as_json)


app.command("ndes-page", epilog=NDES_EXAMPLES)(ndes_page)
app.command("values", epilog=VALUES_EXAMPLES)(values)
app.command("file", epilog=FILE_EXAMPLES)(file)


def _tell_secret(
    made: verbs.EndpointOpened | verbs.SecretRotated, *, quiet: bool, as_json: bool, without: tuple[str, ...]
) -> None:
    if quiet and not as_json:
        say(made.secret or "")
    else:
        print_answer(made, as_json=as_json, without=without)


_NON_RSA_RENEWALS: Final = {
    True: "Each renewal of theirs needs a fresh challenge, too.",
    False: "A static challenge keys no renewal, so they enrol anew instead.",
}
"""By whether each request brings a challenge of its own."""


def _meanings(made: verbs.EndpointOpened) -> Iterator[str]:
    """Say what the switches do that are on, and what a static challenge is worth (POL-3, R5.5); a paragraph each."""
    if made.legacy:
        yield (
            "Legacy: messages signed with SHA-1 or encrypted with triple DES are taken here, and answered alike. "
            "GetCACaps says so to every device, so keep this endpoint for those that know nothing better."
        )
    if made.non_rsa:
        each = made.authoriser in (Authoriser.ONE_TIME, Authoriser.CONNECTOR)
        yield (
            "Non-RSA: keys that cannot decrypt are taken here, and the reply is encrypted under the challenge of the "
            f"same request (RFC 8894 §3.1). {_NON_RSA_RENEWALS[each]}"
        )
    if made.authoriser is Authoriser.STATIC:
        yield (
            "A static challenge: its bearers are many, so the server names the certificates. Whoever knows it can "
            "enrol. Each certificate is named d- and 20 hexadecimal digits of its key's hash, has no other name, and "
            "is marked unverified."
        )
    if made.authoriser is Authoriser.CONNECTOR:
        yield (
            f"Connector {made.connector} is asked about each request. While it does not answer, nobody enrols here: "
            "devices are told to come again. `regalia connector show` has what is entered on its side."
        )
    if made.authoriser is Authoriser.APPROVAL:
        yield (
            "The static challenge only lets a request into the queue: its bearers are many, so each request waits for "
            "`regalia enrolment approve`, which certifies the names that the device asked for. Nobody but you compares "
            f"them with the device. What nobody decides within {made.pending_days} days is refused."
        )
