"""`regalia group suspend|resume|holders|replace-authority`: what is done when something was stolen."""

import csv
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.authorities import authority_record, dependents
from regalia.cli.ca_rotate import written_request
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.fingerprints import fingerprints
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, plain, print_json, print_record, print_table
from regalia.cli.publish import publish
from regalia.errors import AdminError
from regalia.ra.containment import Waiting

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Group
    from regalia.ports import Holder
    from regalia.ra.containment import Replaced

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
    with opened(home) as regalia:
        print_record(_state(regalia.containment.suspend(name, reason, actor=administrator())), as_json=as_json)
        if not as_json:
            note(f"Devices are told to come again later (503). To go on: regalia group resume {name}")


def resume(*, name: Name, home: Home = None, as_json: Json = False) -> None:
    """Let a suspended group issue again."""
    with opened(home) as regalia:
        print_record(_state(regalia.containment.resume(name, actor=administrator())), as_json=as_json)


def _state(group: "Group") -> dict[str, object]:
    return {
        "name": group.name,
        "authority": group.authority,
        "suspended_at": group.suspended_at,
        "suspended_why": group.suspended_why or None,
    }


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
    with opened(home) as regalia:
        rows = [_row(holder) for holder in regalia.containment.holders(name)]
    if as_csv:
        _print_csv(rows)
    else:
        print_table(rows, _COLUMNS, as_json=as_json, empty="Nobody: each has a certificate of an authority in use.")


def _row(holder: "Holder") -> dict[str, object]:
    return {
        "device": holder.device,
        "subject": holder.subject,
        "unverified": holder.unverified,
        "endpoint": holder.endpoint,
        "authority": holder.authority,
        "serial": f"{holder.serial:x}",
        "not_after": holder.not_after,
        "certificates": holder.certificates,
    }


def _print_csv(rows: list[dict[str, object]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(plain(row[column])) for column in _COLUMNS] for row in rows)


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
    if not compromised:
        raise AdminError(
            reasons.ACKNOWLEDGEMENT_NEEDED, "this revokes the authority: say --compromised, or use ca rotate"
        )
    with opened(home, root_key=root_key) as regalia:
        if not agreed(_plan(regalia, name, authority), yes=yes, dry_run=dry_run, as_json=as_json):
            return
        ended = regalia.containment.replace(
            name,
            actor=administrator(),
            publish=lambda which: publish(regalia, which),
            compromised=authority,
            note=note_,
            tell=lambda text: None if as_json else note(f"Done: {text}"),
        )
        if isinstance(ended, Waiting):
            raise AdminError(reasons.REPLACEMENT_WAITS, _steps(ended))
        _tell(regalia, ended, as_json=as_json)


def _plan(regalia: "App", name: str, authority: str | None) -> list[str]:
    _group, present = regalia.rollover.group_and_authority(name)
    concerned = [f"cut off {each}" for each in dependents(regalia, present)]
    return [
        f"suspend group {name}, revoke authority {authority or present.name} for good and publish the root's CRL",
        *concerned,
        "make a new authority with RA and OCSP credentials, and resume the group unless somebody else suspended it",
        "have every device of the revoked one enrol anew, with a fresh challenge",
    ]


def _steps(waiting: Waiting) -> str:
    """Say what has to be done where the root's key is, in the order in which it is done."""
    steps = [
        f"The key of {waiting.root} is not here. Where it is on a medium: repeat with --root-key DIR. Else, there:"
    ]
    if waiting.crl:
        revoked = (waiting.former.name, *waiting.unused)
        steps += [f"  regalia ca revoke {each} --reason ca-compromise" for each in revoked]
        steps.append(f"  regalia ca crl {waiting.root} --out {waiting.root}.crl")
    if waiting.request is not None:
        path = written_request(waiting.request, None)
        steps.append(f"  regalia ca sign {path} --out {waiting.request.name}.pem")
    steps.append("And here:")
    if waiting.crl:
        steps.append(f"  regalia ca crl {waiting.root} --import {waiting.root}.crl")
    if waiting.request is not None:
        steps.append(f"  regalia ca accept {waiting.request.name} --certificate {waiting.request.name}.pem")
    steps.append(f"Group {waiting.group} stays suspended meanwhile; OCSP says revoked already.")
    return "\n".join(steps)


def _tell(regalia: "App", replaced: "Replaced", *, as_json: bool) -> None:
    concerned = len(regalia.containment.holders(replaced.group))
    record = authority_record(regalia, replaced.present) | fingerprints(replaced.present.certificate_der)
    record |= {"replaces": replaced.former.name, "holders": concerned, "unused": list(replaced.unused)}
    if as_json:
        print_json(record)
        return
    print_record(record, as_json=False)
    note(f"Who has to enrol anew: regalia group holders {replaced.group}")
    for name in replaced.unused:
        note(f"{name} was made before: its key may be in other hands, too. It is revoked; its root's CRL must say so.")
    if replaced.suspended:
        note(f"Group {replaced.group} stays suspended {replaced.suspended}")
        note(f"To let it issue: regalia group resume {replaced.group}")
