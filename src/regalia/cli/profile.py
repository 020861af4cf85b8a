"""`regalia profile`: what certificates look like."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.ca.profile_ready_made import READY_MADE
from regalia.ca.profile_safety import NAMES_FROM_REQUEST
from regalia.cli.context import reached
from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import note, print_answer, print_json, print_page, print_table, say
from regalia.cli.profile_check import print_checked, print_findings
from regalia.errors import AdminError
from regalia.verbs import profile as verbs
from regalia.verbs.paging import gathered
from regalia.verbs.profile_check import CHECK, CheckProfile

__all__ = ["app"]

_ALL: Final = 1_000_000
"""More than anybody reads."""

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
    if (file is None) is (ready_made is None):
        raise AdminError(reasons.USAGE, "name either --file or --ready-made")
    document = _read(file) if file is not None else None
    given = (*(acknowledge or ()), *((NAMES_FROM_REQUEST,) if csr_names else ()))
    with reached(home) as door:
        asked = verbs.CreateProfile(name=name, group=group, document=document, ready_made=ready_made, acknowledge=given)
        kept = door.ask(verbs.CREATE, asked)
    if not as_json:
        print_findings(kept.findings, acknowledged=True)
    print_answer(kept, as_json=as_json, without=("findings",))


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
    with reached(home) as door:
        found = gathered(lambda page: door.ask(verbs.LIST, page), verbs.ListProfiles(), _ALL)
    columns = ("name", "version", "group", "names_from", "validity", "keys", "created_at")
    empty = "No profiles. Create one with `regalia profile create NAME --group GROUP --file FILE`."
    print_page(found, columns, as_json=as_json, empty=empty)


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
    with reached(home) as door:
        profile = door.ask(verbs.SHOW, verbs.ShowProfile(name=name, version=version))
        if diff:
            number = profile.version - 1
            before = door.ask(verbs.SHOW, verbs.ShowProfile(name=name, version=number)) if number else None
            _print_difference(profile, before, as_json=as_json)
            return
    print_answer(profile, as_json=as_json, without=("document",))
    if not as_json:
        say()
        print_json(profile.document)


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
    document, further = _read(file), _read(example) if example is not None else None
    with reached(home) as door:
        try:
            asked = CheckProfile(group=group, document=document, name=name, examples=further)
            found = door.ask(CHECK, asked)
        except AdminError as error:
            if error.reason in _FINDINGS:
                raise FoundError(error.reason, error.detail) from error
            raise
    print_checked(found, as_json=as_json)


def _print_difference(profile: verbs.ProfileShown, before: verbs.ProfileShown | None, *, as_json: bool) -> None:
    old = dict(_flat(before.document)) if before is not None else {}
    new = dict(_flat(profile.document))
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


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """A document as dotted keys with their values as JSON; tables in lists have their number, from 1."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, 1):
            yield from _flat(inner, f"{path}[{number}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _ready_made(name: str) -> str:
    found = READY_MADE.get(name)
    if found is None:
        raise AdminError(reasons.NOT_FOUND, f"no ready-made profile {name}; there are {', '.join(READY_MADE)}")
    return found.document


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
