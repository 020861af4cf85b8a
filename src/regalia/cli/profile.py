"""`regalia profile`: what certificates look like."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.profile_ready_made import READY_MADE
from regalia.ca.profile_safety import EVERYTHING, NAMES_FROM_REQUEST, findings_of
from regalia.cli.context import administrator, opened
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_json, print_record, print_table, say
from regalia.cli.profile_check import print_checked, print_findings
from regalia.errors import AdminError
from regalia.model import NamesFrom, Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.app import App

__all__ = ["app"]

app = noun_app("Profiles: what certificates look like and how long they live.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.", show_default=False)]
GroupName = Annotated[str, typer.Option("--group", metavar="GROUP", help="The group that it belongs to.")]
File = Annotated[
    Path, typer.Option("--file", readable=False, metavar="FILE", help="The document, TOML or JSON; - reads stdin.")
]

OptionalFile = Annotated[
    Path | None,
    typer.Option(
        "--file", readable=False, metavar="FILE", help="The document, TOML or JSON; - reads stdin.", show_default=False
    ),
]

_FINDINGS = (reasons.PROFILE_REFUSED, reasons.LINT_REFUSED)
_MAX_OCTETS = 1_048_576


@app.command(
    epilog=examples(
        "profile create laptop --group staff --ready-made eap-tls-device",
        "profile create kiosk --group staff --file kiosk.toml --acknowledge names-from-request",
    )
)
def create(
    *,
    name: Name,
    group: GroupName,
    file: OptionalFile = None,
    ready_made: Annotated[
        str | None,
        typer.Option(
            "--ready-made", metavar="NAME", help="Instead of a file: see `profile ready-made`.", show_default=False
        ),
    ] = None,
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
    document = _chosen(file, ready_made)
    with opened(home) as regalia:
        profile = regalia.registry.create_profile(
            name, group, document, actor=administrator(), acknowledged=_answered(acknowledge, csr_names=csr_names)
        )
        if not as_json:
            print_findings(findings_of(profile), acknowledged=True)
        print_record(_record(profile), as_json=as_json)


@app.command("ready-made", epilog=examples("profile ready-made", "profile ready-made eap-tls-device > laptop.toml"))
def ready_made_(
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which one.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the profiles that come with the product, or print the document of one, with its comments."""
    if name is not None:
        document = _ready_made(name)
        if as_json:
            print_json({"name": name, "document": document})
        else:
            for line in document.splitlines():
                say(line)
        return
    rows = [{"name": each.name, "for": each.title} for each in READY_MADE.values()]
    print_table(rows, ("name", "for"), as_json=as_json, empty="")


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
    diff: Annotated[bool, typer.Option("--diff", help="What differs from the version before.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show a profile with its document, or what its version changed."""
    with opened(home) as regalia:
        profile = _found(regalia, name, version)
        if diff:
            before = _found(regalia, name, profile.version - 1) if profile.version > 1 else None
            _print_difference(profile, before, as_json=as_json)
            return
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
    example: Annotated[
        Path | None,
        typer.Option(
            "--example",
            readable=False,
            metavar="FILE",
            help="Further examples, `[[example]]` tables.",
            show_default=False,
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Validate a document, judge its examples, and show the certificates. Exit code 3 with all that is wrong."""
    document = _read(file)
    with opened(home) as regalia:
        try:
            profile = regalia.registry.check_profile(name, group, document, acknowledged=EVERYTHING)
        except AdminError as error:
            if error.reason in _FINDINGS:
                raise FoundError(error.reason, error.detail) from error
            raise
        further = _read(example) if example is not None else None
        print_checked(regalia, profile, _record(profile), further, as_json=as_json)


def _found(regalia: "App", name: str, version: int | None) -> Profile:
    profile = regalia.store.profile(name, version)
    if profile is None:
        raise AdminError(reasons.NOT_FOUND, f"profile {name}" + (f" version {version}" if version else ""))
    return profile


def _print_difference(profile: Profile, before: Profile | None, *, as_json: bool) -> None:
    old = dict(_flat(json.loads(before.document))) if before is not None else {}
    new = dict(_flat(json.loads(profile.document)))
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if as_json:
        rows = [{"key": key, "before": old.get(key), "after": new.get(key)} for key in changed]
        print_json({"name": profile.name, "version": profile.version, "changes": rows})
        return
    note(
        f"{profile.name} version {profile.version}, beside " + (f"version {before.version}:" if before else "nothing:")
    )
    for key in changed:
        for sign, values in (("-", old), ("+", new)):
            if key in values:
                say(f"{sign} {key} = {values[key]}")


def _flat(value: object, path: str = "") -> "Iterator[tuple[str, str]]":
    """A document as dotted keys with their values as JSON; tables in lists have their number, from 1."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{path}[{number}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _chosen(file: Path | None, ready_made: str | None) -> str:
    """Take the document that a command names. Raises `AdminError` ADM-018 unless there is exactly one."""
    if (file is None) is (ready_made is None):
        raise AdminError(reasons.USAGE, "name either --file or --ready-made")
    return _read(file) if file is not None else _ready_made(ready_made or "")


def _ready_made(name: str) -> str:
    found = READY_MADE.get(name)
    if found is None:
        raise AdminError(reasons.NOT_FOUND, f"no ready-made profile {name}; there are {', '.join(READY_MADE)}")
    return found.document


def _answered(acknowledge: list[str] | None, *, csr_names: bool) -> set[str]:
    """Take the names of what somebody answers for. Raises `AdminError` ADM-018 for one that there is not."""
    given = set(acknowledge or ()) | ({NAMES_FROM_REQUEST} if csr_names else set())
    unknown = sorted(given - EVERYTHING)
    if unknown:
        raise AdminError(reasons.USAGE, f"--acknowledge {unknown[0]}: known are {', '.join(sorted(EVERYTHING))}")
    return given


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
    keys = [f"RSA from {profile.rsa_min_bits} bits"] if profile.rsa_min_bits and not profile.rsa_bits else []
    keys += [f"RSA of {bits} bits" for bits in profile.rsa_bits]
    keys += [curve.upper() for curve in profile.curves]
    keys += ["Ed25519"] if profile.ed25519 else []
    keys += [parameters.upper() for parameters in profile.ml_dsa]
    return {
        "name": profile.name,
        "version": profile.version,
        "group": profile.group,
        "names_from": profile.names_from if profile.name_rules is None else "templates",
        "unverified": profile.names_from is NamesFrom.CSR,
        "validity": f"{profile.validity.duration.total_seconds() / 86_400:g} days",
        "keys": keys,
        "key_usage": profile.key_usage,
        "organisation": profile.organisation,
        "created_at": profile.created_at,
    }
