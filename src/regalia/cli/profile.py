"""`regalia profile`: what certificates look like."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.profile import specimens
from regalia.ca.profile_safety import EVERYTHING, NAMES_FROM_REQUEST
from regalia.cli.certificate_text import certificate_text
from regalia.cli.context import administrator, opened
from regalia.cli.faults import FoundError
from regalia.cli.group import found_group
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say
from regalia.errors import AdminError
from regalia.model import NamesFrom, Profile

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["app"]

app = noun_app("Profiles: what certificates look like and how long they live.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.", show_default=False)]
GroupName = Annotated[str, typer.Option("--group", metavar="GROUP", help="The group that it belongs to.")]
File = Annotated[
    Path, typer.Option("--file", readable=False, metavar="FILE", help="The document, TOML or JSON; - reads stdin.")
]

_FINDINGS = (reasons.PROFILE_REFUSED, reasons.LINT_REFUSED)
_UNVERIFIED = "Names come from the request, verified by nobody"
_MAX_OCTETS = 1_048_576


@app.command(
    epilog=examples(
        "profile create laptop --group staff --file laptop.toml",
        "profile create kiosk --group staff --file kiosk.toml --acknowledge-csr-names",
    )
)
def create(
    *,
    name: Name,
    group: GroupName,
    file: File,
    acknowledge: Annotated[
        list[str] | None,
        typer.Option(
            "--acknowledge",
            metavar="WHAT",
            help="Answer for something unsafe, by its name; may be given several times.",
        ),
    ] = None,
    csr_names: Annotated[
        bool, typer.Option("--acknowledge-csr-names", help="The same as --acknowledge names-from-request.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep a document as a new profile, or as the next version of one. Endpoints use it from then on."""
    document = _read(file)
    with opened(home) as regalia:
        profile = regalia.registry.create_profile(
            name, group, document, actor=administrator(), acknowledged=_answered(acknowledge, csr_names=csr_names)
        )
        print_record(_record(profile), as_json=as_json)


@app.command("list", epilog=examples("profile list", "profile list --json"))
def list_(*, home: Home = None, as_json: Json = False) -> None:
    """List the profiles, the newest version of each."""
    with opened(home) as regalia:
        rows = [_record(profile) for profile in regalia.store.profiles()]
        columns = ("name", "version", "group", "names_from", "validity", "keys", "created_at")
        empty = "No profiles. Create one with `regalia profile create NAME --group GROUP --file FILE`."
        print_table(rows, columns, as_json=as_json, empty=empty)


@app.command(epilog=examples("profile show eap-tls", "profile show eap-tls --version 1 --json"))
def show(
    *,
    name: Name,
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="An older one.", show_default="the newest")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show a profile with its document."""
    with opened(home) as regalia:
        profile = regalia.store.profile(name, version)
        if profile is None:
            raise AdminError(reasons.NOT_FOUND, f"profile {name}" + (f" version {version}" if version else ""))
        record = _record(profile)
        document = json.loads(profile.document)
        if as_json:
            print_json(record | {"document": document})
            return
        print_record(record, as_json=False)
        say()
        print_json(document)


@app.command(
    epilog=examples(
        "profile check --group staff --file laptop.toml", "profile check laptop --group staff --file - --json"
    )
)
def check(
    *,
    group: GroupName,
    file: File,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The profile that it will be.")] = "unnamed",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Validate a document, and show a certificate as it would be issued. Exit code 3 with all that is wrong."""
    document = _read(file)
    with opened(home) as regalia:
        try:
            profile = regalia.registry.check_profile(name, group, document, acknowledged=EVERYTHING)
        except AdminError as error:
            if error.reason in _FINDINGS:
                raise FoundError(error.reason, error.detail) from error
            raise
        _print_checked(regalia, profile, as_json=as_json)


def _answered(acknowledge: list[str] | None, *, csr_names: bool) -> set[str]:
    """Take the names of what somebody answers for. Raises `AdminError` ADM-018 for one that there is not."""
    given = set(acknowledge or ()) | ({NAMES_FROM_REQUEST} if csr_names else set())
    unknown = sorted(given - EVERYTHING)
    if unknown:
        raise AdminError(reasons.USAGE, f"--acknowledge {unknown[0]}: known are {', '.join(sorted(EVERYTHING))}")
    return given


def _print_checked(regalia: "App", profile: Profile, *, as_json: bool) -> None:
    authority = regalia.store.authority(found_group(regalia, profile.group).authority)
    if authority is None:
        raise AdminError(reasons.NOT_FOUND, f"the authority of group {profile.group}")
    text = certificate_text(specimens(profile, authority, regalia.urls, regalia.clock.now())[0])
    if as_json:
        print_json(_record(profile) | {"valid": True, "specimen": text})
        return
    note("The document is valid. A certificate would be, with names, key and serial of its own:")
    for line in text:
        say(line)
    if profile.names_from is NamesFrom.CSR:
        note(f"{_UNVERIFIED}: `profile create` asks for --acknowledge-csr-names.")


def _read(file: Path) -> str:
    try:
        if str(file) == "-":
            return sys.stdin.read(_MAX_OCTETS)
        with file.open(encoding="utf-8") as opened_file:
            return opened_file.read(_MAX_OCTETS)
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{file} is not UTF-8 text") from error


def _record(profile: Profile) -> dict[str, object]:
    keys = [f"RSA from {profile.rsa_min_bits} bits"] if profile.rsa_min_bits else []
    keys += [curve.upper() for curve in profile.curves]
    keys += ["Ed25519"] if profile.ed25519 else []
    keys += [parameters.upper() for parameters in profile.ml_dsa]
    return {
        "name": profile.name,
        "version": profile.version,
        "group": profile.group,
        "names_from": profile.names_from,
        "unverified": profile.names_from is NamesFrom.CSR,
        "validity": f"{profile.validity.duration.total_seconds() / 86_400:g} days",
        "keys": keys,
        "key_usage": profile.key_usage,
        "organisation": profile.organisation,
        "created_at": profile.created_at,
    }
