"""`regalia challenge`: secrets that let a device enrol, one once, or static ones many."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.endpoint import endpoint_url, found_endpoint, good_until
from regalia.cli.lookup import by_prefix
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say
from regalia.cli.span import read_span
from regalia.errors import AdminError, PeerError
from regalia.model import Challenge, Names, NamesFrom, Profile, SanKind
from regalia.ra.challenges import NO_EXPIRY
from regalia.wire.names import make_san

__all__ = ["app", "names_from_options", "state_of"]

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
    asked = {
        SanKind.DNS: dns,
        SanKind.EMAIL: email,
        SanKind.URI: uri,
        SanKind.IP: ip,
        SanKind.UPN: upn,
        SanKind.PERMANENT_IDENTIFIER: permanent_identifier,
        SanKind.HARDWARE_MODULE: hardware_module,
    }
    binding = replace(names_from_options(cn, asked), sid=sid)
    with opened(home) as regalia:
        minted = regalia.challenges.mint(
            endpoint, binding=binding, device=device, ttl=read_span("--ttl", ttl), actor=administrator()
        )
        found = found_endpoint(regalia, endpoint)
        profile = regalia.store.profile(found.profile)
        if not binding and (device is None or profile is None or profile.name_rules is None):
            note(_bearer(profile))
        if sid is not None and (profile is None or profile.name_rules is None or profile.name_rules.sid is None):
            note(f"Profile {found.profile} writes no SID: see `microsoft.sid` in its document.")
        if quiet and not as_json:
            say(minted.secret)
            return
        record = {"secret": minted.secret, "url": endpoint_url(regalia, found)}
        print_record(record | _record(minted.challenge, regalia.clock.now()), as_json=as_json)


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
    with opened(home) as regalia:
        if endpoint is not None:
            found_endpoint(regalia, endpoint)
        now = regalia.clock.now()
        found = regalia.store.challenges(endpoint)
        if as_json:
            print_json([_record(challenge, now) for challenge in found])
            return
        rows = [_record(challenge, now) | _row(challenge, now) for challenge in found]
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
    with opened(home) as regalia:
        found = by_prefix(challenge, "challenge", regalia.store.challenge_by_id, regalia.store.challenges)
        now = regalia.clock.now()
        if found.revoked_at is not None or found.consumed_at is not None:
            raise AdminError(reasons.CHALLENGE_NOT_OPEN, f"challenge {found.id} is {state_of(found, now)}")
        plan = [_withdrawal(found)]
        if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            regalia.challenges.revoke(found.id, administrator())
            after = regalia.store.challenge_by_id(found.id) or found
            print_record(_record(after, now), as_json=as_json)


def _withdrawal(challenge: Challenge) -> str:
    where = f"challenge {challenge.id} at endpoint {challenge.endpoint}"
    if challenge.reusable:
        return f"withdraw static {where}: no further device enrols with it, and those that did go on"
    return f"withdraw {where}, made for {', '.join(challenge.binding.listed()) or 'whoever bears it'}"


def names_from_options(cn: str | None, asked: dict[SanKind, list[str] | None]) -> Names:
    """Make names of what was typed. Raises `AdminError` ADM-015 that tells which one is not usable."""
    try:
        sans = frozenset(make_san(kind, text) for kind, texts in asked.items() for text in texts or ())
    except PeerError as fault:
        raise AdminError(reasons.BINDING_REFUSED, fault.detail) from fault
    return Names(cn, sans)


def state_of(challenge: Challenge, now: datetime) -> str:
    """Say what became of a challenge."""
    if challenge.consumed_at is not None:
        return "used"
    if challenge.revoked_at is not None:
        return "revoked"
    return "open" if challenge.expires_at > now else "expired"


def _bearer(profile: Profile | None) -> str:
    """Say what a challenge without names means (R5.4)."""
    names = "be named d- and 20 hexadecimal digits of its key's hash"
    if profile is not None and profile.name_rules is not None:
        names = "be named as its profile says, if that needs no name of a binding"
    elif profile is not None and profile.names_from is NamesFrom.CSR:
        names = "carry the names that the device asks for"
    return (
        f"A bearer challenge: it names no device, so whoever holds it can enrol. The certificate will {names}, and is "
        "marked unverified. Name the device with --cn or --dns to avoid that."
    )


def _row(challenge: Challenge, now: datetime) -> dict[str, object]:
    """Say in a word what it is, and until when it is good: what a static one has besides says nothing."""
    kind = "static" if challenge.reusable else "one-time" if challenge.binding else "bearer"
    return {"kind": kind, "good": good_until(challenge) if state_of(challenge, now) == "open" else None}


def _record(challenge: Challenge, now: datetime) -> dict[str, object]:
    return {
        "id": challenge.id,
        "endpoint": challenge.endpoint,
        "kind": "static" if challenge.reusable else "one-time",
        "state": state_of(challenge, now),
        "bearer": not challenge.binding,
        "names": challenge.binding.listed(),
        "device": challenge.device,
        "created_at": challenge.created_at,
        "created_by": challenge.created_by,
        "expires_at": challenge.expires_at if challenge.expires_at < NO_EXPIRY else None,
        "used_at": challenge.consumed_at,
        "used_by": challenge.consumed_by,
        "used_from": challenge.consumed_source,
        "revoked_at": challenge.revoked_at,
    }
