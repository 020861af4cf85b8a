"""`regalia endpoint`: the doors that devices enrol at."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.fingerprints import fingerprints
from regalia.cli.ndes import EXAMPLES as NDES_EXAMPLES
from regalia.cli.ndes import ndes_page, ndes_record
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_record, print_table, say, utc
from regalia.cli.secret import secret_in
from regalia.cli.span import read_span
from regalia.errors import AdminError
from regalia.model import Authoriser, Challenge, Endpoint, EnrolmentState
from regalia.ports import EnrolmentFilter
from regalia.ra.challenges import NO_EXPIRY
from regalia.ra.registry import EndpointOptions

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["app", "endpoint_url", "found_endpoint", "good_until"]

_MOST_PENDING = 100_000
"""More than any quota lets in."""

app = noun_app("Endpoints: the doors that devices enrol at.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the endpoint: a part of its URL.", show_default=False)
]


class Protocol(StrEnum):
    """What is spoken at an endpoint."""

    SCEP = "scep"


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
        "endpoint create ipads --group staff --profile laptop --authoriser one-time --no-root",
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
            help="Who says yes: a challenge for each device, one secret for all, or an administrator each time.",
        ),
    ] = Authoriser.ONE_TIME,
    protocol: Annotated[Protocol, typer.Option("--protocol", help="What devices speak.")] = Protocol.SCEP,
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
    del protocol  # one so far
    if authoriser is Authoriser.ONE_TIME and (secret_file is not None or quiet):
        raise AdminError(reasons.USAGE, "--secret-file and --quiet are for a static challenge: static or approval")
    options = EndpointOptions(
        include_root=not no_root, check_signing_time=check_signing_time, legacy=legacy, non_rsa=non_rsa
    )
    with opened(home) as regalia:
        chosen = _chosen(regalia, secret_file)
        endpoint = regalia.registry.create_endpoint(
            name, group=group, profile=profile, actor=administrator(), authoriser=authoriser, options=options
        )
        for meaning in _switches(options, authoriser):
            note(meaning)
        if authoriser is Authoriser.ONE_TIME:
            print_record(_record(regalia, endpoint), as_json=as_json)
            return
        minted = regalia.challenges.rotate(name, secret=chosen, actor=administrator())
        note(_meaning(regalia, authoriser))
        _tell_secret(minted.secret, _record(regalia, endpoint), quiet=quiet, as_json=as_json)


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
    span = read_span("--overlap", overlap)
    with opened(home) as regalia:
        endpoint = found_endpoint(regalia, name)
        before = _good(regalia, name)
        minted = regalia.challenges.rotate(
            name, secret=_chosen(regalia, secret_file), overlap=span, actor=administrator()
        )
        after = {challenge.id: challenge for challenge in regalia.store.challenges(name)}
        for challenge in before:
            note(_fate(after[challenge.id], minted.challenge.created_at))
        _tell_secret(minted.secret, _record(regalia, endpoint), quiet=quiet, as_json=as_json)


@app.command("list", epilog=examples("endpoint list", "endpoint list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the endpoints with their URLs."""
    with opened(home) as regalia:
        rows = [_record(regalia, endpoint) for endpoint in regalia.store.endpoints()]
        empty = "No endpoints. Open one with `regalia endpoint create NAME --group GROUP --profile PROFILE`."
        columns = ("name", "enabled", "group", "profile", "authoriser", "pending", "url")
        print_table(rows, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("endpoint show default", "endpoint show default --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show an endpoint: its URL, and the fingerprints that a device's configuration asks for."""
    with opened(home) as regalia:
        endpoint = found_endpoint(regalia, name)
        record = _record(regalia, endpoint)
        if endpoint.authoriser is not Authoriser.ONE_TIME:
            record["static_challenges"] = [f"{one.id} {good_until(one)}" for one in _good(regalia, name)]
        page = regalia.store.ndes_page(name)
        if page is not None:
            record["ndes_page"] = ndes_record(page)
        door = regalia.store.door(name)
        if door is not None:
            record["authority"] = door.authority.name
            for whose, certificate in (("authority", door.authority), ("root", door.root)):
                hashes = fingerprints(certificate.certificate_der)
                record |= {f"{whose}_{kind}": value for kind, value in hashes.items()}
            record["ra_not_after"] = door.ra.not_after
        print_record(record, as_json=as_json)


@app.command(epilog=examples("endpoint disable laptops", "endpoint disable laptops --dry-run"))
def disable(*, name: Name, yes: Yes = False, dry_run: DryRun = False, home: Home = None, as_json: Json = False) -> None:
    """Close an endpoint for good: devices can neither enrol nor renew there. Their certificates stay valid."""
    with opened(home) as regalia:
        endpoint = found_endpoint(regalia, name)
        if not endpoint.enabled:
            raise AdminError(reasons.NOT_FOUND, f"endpoint {name} is disabled already")
        effect = f"no device of group {endpoint.group} enrols or renews there any more"
        lost = len(_good(regalia, name))
        plan = [f"close {endpoint_url(regalia, endpoint)} for good: {effect}; open challenges lost: {lost}"]
        held = _pending(regalia, endpoint)
        if held:
            plan.append(f"leave {held} pending enrolment{'s' if held > 1 else ''} that can only be denied then")
        if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            regalia.registry.disable_endpoint(name, actor=administrator())
            print_record(_record(regalia, found_endpoint(regalia, name)), as_json=as_json)


app.command("ndes-page", epilog=NDES_EXAMPLES)(ndes_page)


def found_endpoint(regalia: "App", name: str) -> Endpoint:
    """Look an endpoint up. Raises `AdminError` ADM-004."""
    endpoint = regalia.store.endpoint(name)
    if endpoint is None:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name}")
    return endpoint


def endpoint_url(regalia: "App", endpoint: Endpoint) -> str:
    """Tell where devices find an endpoint."""
    return f"{regalia.config.server.url}/{endpoint.protocol}/{endpoint.name}"


def good_until(challenge: Challenge) -> str:
    """Say until when a challenge is good, as far as is known now."""
    return "until rotated" if challenge.expires_at >= NO_EXPIRY else f"until {utc(challenge.expires_at)}"


def _good(regalia: "App", endpoint: str) -> list[Challenge]:
    """List the challenges of an endpoint that open it now, newest first."""
    now = regalia.clock.now()
    return [
        challenge
        for challenge in regalia.store.challenges(endpoint)
        if challenge.consumed_at is None and challenge.revoked_at is None and challenge.expires_at > now
    ]


def _pending(regalia: "App", endpoint: Endpoint) -> int:
    """Count what waits for approval; one that others than approval endpoints cannot have."""
    if endpoint.authoriser is not Authoriser.APPROVAL:
        return 0
    wanted = EnrolmentFilter(EnrolmentState.PENDING, endpoint.name, limit=_MOST_PENDING)
    return len(regalia.store.enrolments(wanted))


def _chosen(regalia: "App", secret_file: str | None) -> str | None:
    """Read the secret that the administrator chose, and judge it before anything is changed."""
    return regalia.challenges.checked(secret_in(secret_file, reasons.FILE_REFUSED)) if secret_file is not None else None


def _tell_secret(secret: str, record: dict[str, object], *, quiet: bool, as_json: bool) -> None:
    if quiet and not as_json:
        say(secret)
    else:
        print_record({"secret": secret} | record, as_json=as_json)


def _fate(challenge: Challenge, now: datetime) -> str:
    ended = challenge.revoked_at is not None or challenge.expires_at <= now
    return f"Static challenge {challenge.id} {'has ended' if ended else f'stays good {good_until(challenge)}'}."


def _meaning(regalia: "App", authoriser: Authoriser) -> str:
    """Say what a static challenge is worth (POL-3, R5.5)."""
    if authoriser is Authoriser.STATIC:
        return (
            "A static challenge: its bearers are many, so the server names the certificates. Whoever knows it can "
            "enrol. Each certificate is named d- and 20 hexadecimal digits of its key's hash, has no other name, and "
            "is marked unverified."
        )
    return (
        "The static challenge only lets a request into the queue: its bearers are many, so each request waits for "
        "`regalia enrolment approve`, which certifies the names that the device asked for. Nobody but you compares "
        f"them with the device. What nobody decides within {regalia.config.limits.pending_days} days is refused."
    )


_NON_RSA_RENEWALS: Final = {
    True: "Each renewal of theirs needs a fresh challenge, too.",
    False: "A static challenge keys no renewal, so they enrol anew instead.",
}
"""By whether the endpoint has one-time challenges."""


def _switches(options: EndpointOptions, authoriser: Authoriser) -> list[str]:
    """Say what the switches do that are on, a paragraph each."""
    meanings = []
    if options.legacy:
        meanings.append(
            "Legacy: messages signed with SHA-1 or encrypted with triple DES are taken here, and answered alike. "
            "GetCACaps says so to every device, so keep this endpoint for those that know nothing better."
        )
    if options.non_rsa:
        meanings.append(
            "Non-RSA: keys that cannot decrypt are taken here, and the reply is encrypted under the challenge of the "
            f"same request (RFC 8894 §3.1). {_NON_RSA_RENEWALS[authoriser is Authoriser.ONE_TIME]}"
        )
    return meanings


def _record(regalia: "App", endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "url": endpoint_url(regalia, endpoint),
        "enabled": endpoint.enabled,
        "group": endpoint.group,
        "protocol": endpoint.protocol,
        "profile": endpoint.profile,
        "authoriser": endpoint.authoriser,
        "pending": _pending(regalia, endpoint),
        "include_root": endpoint.include_root,
        "check_signing_time": endpoint.check_signing_time,
        "legacy": endpoint.legacy,
        "non_rsa": endpoint.non_rsa,
        "created_at": endpoint.created_at,
    }
