"""`regalia challenge`: secrets that let a device enrol, one once, or static ones many."""

from typing import Annotated, Any, Final

import typer

from regalia.cli.context import agreed, reached
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_answer, print_json, print_table, say, utc
from regalia.cli.span import checked_span
from regalia.verbs import challenge as verbs
from regalia.verbs.challenge import ChallengeDoubt as Doubt
from regalia.verbs.names import NamesAsked
from regalia.verbs.paging import gathered

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

app = noun_app("Challenges: secrets that let a device enrol.")


def _several(flag: str, metavar: str, text: str) -> Any:  # noqa: ANN401 - what typer.Option says it returns
    return typer.Option(flag, metavar=metavar, help=f"{text}; may be given several times.", show_default=False)


@app.command(
    epilog=examples(
        "challenge create --endpoint default --cn laptop-17 --dns laptop-17.example.com",
        "challenge create --endpoint default --cn laptop-17 --ttl 8h --quiet > laptop-17.challenge",
    )
)
def create(  # noqa: PLR0913 - one for each option
    *,
    endpoint: Annotated[str, typer.Option("--endpoint", metavar="ENDPOINT", help="Where it is good.")],
    cn: Annotated[
        str | None, typer.Option("--cn", metavar="NAME", help="Common name of the certificate.", show_default=False)
    ] = None,
    dns: Annotated[list[str] | None, _several("--dns", "NAME", "DNS name")] = None,
    email: Annotated[list[str] | None, _several("--email", "ADDRESS", "E-mail address")] = None,
    uri: Annotated[list[str] | None, _several("--uri", "URI", "URI")] = None,
    ip: Annotated[list[str] | None, _several("--ip", "ADDRESS", "IP address")] = None,
    upn: Annotated[list[str] | None, _several("--upn", "NAME", "User principal name")] = None,
    permanent_identifier: Annotated[
        list[str] | None, _several("--permanent-identifier", "ID[/OID]", "Permanent identifier (RFC 4043)")
    ] = None,
    hardware_module: Annotated[
        list[str] | None, _several("--hardware-module", "OID/HEX", "Hardware module (RFC 4108)")
    ] = None,
    sid: Annotated[
        str | None,
        typer.Option("--sid", metavar="SID", help="Windows SID that you vouch for.", show_default=False),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="ID", help="The device, as your inventory calls it.", show_default=False),
    ] = None,
    ttl: Annotated[str, typer.Option("--ttl", metavar="SPAN", help="How long it is good: 90s, 60m, 8h or 7d.")] = "60m",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the secret and nothing else.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Create a challenge. Its secret is shown now and never again; the certificate gets exactly these names."""
    binding = {
        "dns": dns,
        "email": email,
        "uri": uri,
        "ip": ip,
        "upn": upn,
        "permanent_identifier": permanent_identifier,
        "hardware_module": hardware_module,
    }
    span = checked_span("--ttl", ttl)
    with reached(home) as door:
        names = NamesAsked(cn=cn, sid=sid, **{kind: tuple(texts or ()) for kind, texts in binding.items()})
        created = door.ask(
            verbs.CREATE, verbs.CreateChallenge(endpoint=endpoint, binding=names, device=device, ttl=span)
        )
    for doubt in created.doubts:
        note(_DOUBTS[doubt].format(created.profile))
    if quiet and not as_json:
        say(created.secret)
    else:
        print_answer(created, as_json=as_json, without=("profile", "doubts"))


@app.command("list", epilog=examples("challenge list --endpoint default", "challenge list --json"))
def list_(
    *,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="ENDPOINT", help="Of this one only.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the challenges, newest first. Their secrets are known to nobody but their bearers."""
    with reached(home) as door:
        asked = verbs.ListChallenges(endpoint=endpoint)
        found = gathered(lambda page: door.ask(verbs.LIST, page), asked, _ALL)
    if as_json:
        print_json([each.model_dump(mode="json") for each in found.items])
        return
    rows = [each.model_dump() | _row(each) for each in found.items]
    empty = "No challenges. Create one with `regalia challenge create --endpoint ENDPOINT --cn NAME`."
    print_table(rows, ("id", "endpoint", "kind", "state", "good", "names"), as_json=False, empty=empty)


@app.command(epilog=examples("challenge revoke 019a1b2c", "challenge revoke 019a1b2c --dry-run"))
def revoke(
    *,
    challenge: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Withdraw a challenge: a one-time one that nobody has used yet, or a static one."""
    with reached(home) as door:
        asked = verbs.RevokeChallenge(id=challenge)
        if agreed(door.plan(verbs.REVOKE, asked).would, yes=yes, dry_run=dry_run, as_json=as_json):
            print_answer(door.ask(verbs.REVOKE, asked), as_json=as_json)


_BEARER: Final = (
    "A bearer challenge: it names no device, so whoever holds it can enrol. The certificate will {}, and is "
    "marked unverified. Name the device with --cn or --dns to avoid that."
)
_DOUBTS: Final = {
    Doubt.NAMED_BY_SERVER: _BEARER.format("be named d- and 20 hexadecimal digits of its key's hash"),
    Doubt.NAMED_BY_PROFILE: _BEARER.format("be named as its profile says, if that needs no name of a binding"),
    Doubt.NAMED_BY_DEVICE: _BEARER.format("carry the names that the device asks for"),
    Doubt.SID_UNWRITTEN: "Profile {} writes no SID: see `microsoft.sid` in its document.",
}


def _row(challenge: verbs.ChallengeRecord) -> dict[str, object]:
    """Say in a word what it is, and until when it is good: what a static one has besides says nothing."""
    kind = "bearer" if challenge.bearer and challenge.kind is verbs.ChallengeKind.ONE_TIME else challenge.kind
    if challenge.state is not verbs.ChallengeState.OPEN:
        return {"kind": kind, "good": None}
    return {"kind": kind, "good": f"until {utc(challenge.expires_at)}" if challenge.expires_at else "until rotated"}
