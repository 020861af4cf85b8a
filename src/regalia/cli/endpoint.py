"""`regalia endpoint`: the doors that devices enrol at."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.fingerprints import fingerprints
from regalia.cli.options import DryRun, Home, Json, Yes, examples, noun_app
from regalia.cli.output import print_record, print_table
from regalia.errors import AdminError
from regalia.model import Endpoint
from regalia.ra.registry import EndpointOptions

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["app", "endpoint_url", "found_endpoint"]

app = noun_app("Endpoints: the doors that devices enrol at.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the endpoint: a part of its URL.", show_default=False)
]


class Protocol(StrEnum):
    """What is spoken at an endpoint."""

    SCEP = "scep"


class Authoriser(StrEnum):
    """Who says yes to a device."""

    ONE_TIME = "one-time"


@app.command(
    epilog=examples(
        "endpoint create laptops --group staff --profile laptop --authoriser one-time",
        "endpoint create ipads --group staff --profile laptop --authoriser one-time --no-root",
    )
)
def create(
    *,
    name: Name,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="The group that devices join here.")],
    profile: Annotated[str, typer.Option("--profile", metavar="PROFILE", help="What their certificates look like.")],
    authoriser: Annotated[Authoriser, typer.Option("--authoriser", help="Who says yes.")] = Authoriser.ONE_TIME,
    protocol: Annotated[Protocol, typer.Option("--protocol", help="What devices speak.")] = Protocol.SCEP,
    no_root: Annotated[
        bool, typer.Option("--no-root", help="Leave the root out of GetCACert: for fleets of Apple devices only.")
    ] = False,
    check_signing_time: Annotated[
        bool, typer.Option("--check-signing-time", help="Refuse messages signed more than 24 hours off.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open an endpoint and print its URL."""
    del authoriser, protocol  # one of each so far
    options = EndpointOptions(include_root=not no_root, check_signing_time=check_signing_time)
    with opened(home) as regalia:
        endpoint = regalia.registry.create_endpoint(
            name, group=group, profile=profile, actor=administrator(), options=options
        )
        print_record(_record(regalia, endpoint), as_json=as_json)


@app.command("list", epilog=examples("endpoint list", "endpoint list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the endpoints with their URLs."""
    with opened(home) as regalia:
        rows = [_record(regalia, endpoint) for endpoint in regalia.store.endpoints()]
        empty = "No endpoints. Open one with `regalia endpoint create NAME --group GROUP --profile PROFILE`."
        columns = ("name", "enabled", "group", "profile", "authoriser", "url")
        print_table(rows, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("endpoint show default", "endpoint show default --json"))
def show(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Show an endpoint: its URL, and the fingerprints that a device's configuration asks for."""
    with opened(home) as regalia:
        record = _record(regalia, found_endpoint(regalia, name))
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
        now = regalia.clock.now()
        waiting = sum(
            challenge.consumed_at is None and challenge.revoked_at is None and challenge.expires_at > now
            for challenge in regalia.store.challenges(name)
        )
        effect = f"no device of group {endpoint.group} enrols or renews there any more"
        plan = [f"close {endpoint_url(regalia, endpoint)} for good: {effect}; open challenges lost: {waiting}"]
        if agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            regalia.registry.disable_endpoint(name, actor=administrator())
            print_record(_record(regalia, found_endpoint(regalia, name)), as_json=as_json)


def found_endpoint(regalia: "App", name: str) -> Endpoint:
    """Look an endpoint up. Raises `AdminError` ADM-004."""
    endpoint = regalia.store.endpoint(name)
    if endpoint is None:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name}")
    return endpoint


def endpoint_url(regalia: "App", endpoint: Endpoint) -> str:
    """Tell where devices find an endpoint."""
    return f"{regalia.config.server.url}/{endpoint.protocol}/{endpoint.name}"


def _record(regalia: "App", endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "url": endpoint_url(regalia, endpoint),
        "enabled": endpoint.enabled,
        "group": endpoint.group,
        "protocol": endpoint.protocol,
        "profile": endpoint.profile,
        "authoriser": endpoint.authoriser,
        "include_root": endpoint.include_root,
        "check_signing_time": endpoint.check_signing_time,
        "created_at": endpoint.created_at,
    }
