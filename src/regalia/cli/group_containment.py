"""`regalia group suspend|resume|holders|replace-authority`: what is done when something was stolen."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from regalia import reasons
from regalia.cli.context import agreed, reached
from regalia.cli.files import write_new
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, print_answer, print_page
from regalia.errors import AdminError
from regalia.verbs import group as verbs
from regalia.verbs import group_replacement as replacement
from regalia.verbs.paging import gathered

__all__ = [
    "HOLDERS_EXAMPLES",
    "REPLACE_EXAMPLES",
    "RESUME_EXAMPLES",
    "SUSPEND_EXAMPLES",
    "holders",
    "replace_authority",
    "resume",
    "suspend",
]

SUSPEND_EXAMPLES = examples(
    "group suspend contractors --reason 'a laptop with the RA key was stolen'",
    "group suspend contractors --reason drill --json",
)
RESUME_EXAMPLES = examples("group resume contractors", "group resume contractors --json")
HOLDERS_EXAMPLES = examples("group holders contractors", "group holders contractors --csv")
REPLACE_EXAMPLES = examples(
    "group replace-authority contractors --compromised",
    "group replace-authority contractors --compromised --authority contractors-ca-1 --yes --root-key /media/usb",
)

_ALL: Final = 1_000_000
"""More than anybody reads."""
_COLUMNS = ("device", "subject", "unverified", "endpoint", "authority", "serial", "not_after", "certificates")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.", show_default=False)]


def suspend(
    *,
    name: Name,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log and colleagues.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Stop all issuance in a group, on every worker and node. Its OCSP, CRL and CA certificates are served on."""
    with reached(home) as door:
        print_answer(door.ask(verbs.SUSPEND, verbs.SuspendGroup(name=name, reason=reason)), as_json=as_json)
        if not as_json:
            note(f"Devices are told to come again later (503). To go on: regalia group resume {name}")


def resume(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Let a suspended group issue again."""
    with reached(home) as door:
        print_answer(door.ask(verbs.RESUME, verbs.ResumeGroup(name=name)), as_json=as_json)


def holders(
    *,
    name: Name,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List who has to enrol anew, because the authority of their certificate was revoked."""
    if as_csv and as_json:
        raise AdminError(reasons.USAGE, "either --csv or --json")
    with reached(home) as door:
        asked = verbs.ListHolders(name=name)
        found = gathered(lambda page: door.ask(verbs.HOLDERS, page), asked, _ALL)
    if as_csv:
        _print_csv([each.model_dump(mode="json") for each in found.items])
    else:
        print_page(found, _COLUMNS, as_json=as_json, empty="Nobody: each has a certificate of an authority in use.")


def _print_csv(rows: list[dict[str, object]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(row[column]) for column in _COLUMNS] for row in rows)


def _cell(value: object) -> str:
    """Write a value so that a spreadsheet takes no name of a device for a formula (IN-6)."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def replace_authority(
    *,
    name: Name,
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Its key may be in other hands: what it issued proves nothing.")
    ] = False,
    authority: Annotated[
        str | None,
        typer.Option(
            "--authority",
            metavar="NAME",
            help="The compromised one; named, the command can be repeated after its end.",
            show_default="the present one",
        ),
    ] = None,
    note_: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the audit log.")] = "",
    root_key: RootKey = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Replace a group's compromised authority: suspend, revoke, publish, make a new one, resume.

    Interrupted anywhere, the same command goes on. One that was rolled over in peace needs `ca rotate` instead.
    """
    with reached(home, root_key=root_key) as door:
        asked = replacement.ReplaceAuthority(name=name, compromised=compromised, authority=authority, note=note_)
        plan = door.plan(replacement.REPLACE_AUTHORITY, asked).would
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        ended = door.ask(replacement.REPLACE_AUTHORITY, asked)
    for step in ended.done if not as_json else ():
        note(f"Done: {step}")
    if ended.waits is not None:
        raise AdminError(reasons.REPLACEMENT_WAITS, _steps(name, ended.waits))
    if ended.replaced is not None:
        _tell(name, ended.replaced, as_json=as_json)


def _steps(group: str, waits: replacement.ReplacementWaits) -> str:
    """Say what has to be done where the root's key is, in the order in which it is done."""
    steps = [f"The key of {waits.root} is not here. Where it is on a medium: repeat with --root-key DIR. Else, there:"]
    if waits.revoke:
        steps += [f"  regalia ca revoke {each} --reason ca-compromise" for each in waits.revoke]
        steps.append(f"  regalia ca crl {waits.root} --out {waits.root}.crl")
    if waits.request is not None:
        path = _written(Path(f"{waits.request}.csr"), (waits.csr or "").encode("ascii"))
        steps.append(f"  regalia ca sign {path} --out {waits.request}.pem")
    steps.append("And here:")
    if waits.revoke:
        steps.append(f"  regalia ca crl {waits.root} --import {waits.root}.crl")
    if waits.request is not None:
        steps.append(f"  regalia ca accept {waits.request} --certificate {waits.request}.pem")
    steps.append(f"Group {group} stays suspended meanwhile; OCSP says revoked already.")
    return "\n".join(steps)


def _written(path: Path, request: bytes) -> Path:
    """Write a request to a file, unless that very request is there already. Raises `AdminError` ADM-020."""
    if path.is_file() and path.read_bytes() == request:
        return path
    return write_new(path, request)


def _tell(group: str, replaced: replacement.ReplacementDone, *, as_json: bool) -> None:
    print_answer(replaced, as_json=as_json, without=("suspended",))
    if as_json:
        return
    note(f"Who has to enrol anew: regalia group holders {group}")
    for name in replaced.unused:
        note(f"{name} was made before: its key may be in other hands, too. It is revoked; its root's CRL must say so.")
    if replaced.suspended is not None:
        note(f"Group {group} stays suspended {replaced.suspended}")
        note(f"To let it issue: regalia group resume {group}")
