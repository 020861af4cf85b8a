"""`regalia ca rotate|activate|rotate-ra`: a group's next authority is made and takes over; a new RA key."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.cli.authorities import authority_record, found_authority
from regalia.cli.context import administrator, agreed, opened
from regalia.cli.files import request_pem, write_new
from regalia.cli.fingerprints import fingerprints
from regalia.cli.options import DryRun, Home, Json, RootKey, Yes, examples
from regalia.cli.output import note, print_record
from regalia.cli.publish import publish
from regalia.cli.span import read_span
from regalia.errors import AdminError, InvariantError
from regalia.model import AuthorityKind, KeyKind

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Authority, AuthorityRequest

__all__ = [
    "ACTIVATE_EXAMPLES",
    "ROTATE_EXAMPLES",
    "ROTATE_RA_EXAMPLES",
    "activate",
    "pending_request",
    "rotate",
    "rotate_ra",
    "written_request",
]

ROTATE_EXAMPLES = examples("ca rotate default", "ca rotate staff --key p-384 --overlap 60d --root-key /media/usb")
ACTIVATE_EXAMPLES = examples("ca activate default-ca-2", "ca activate default-ca-2 --yes --json")
ROTATE_RA_EXAMPLES = examples("ca rotate-ra default", "ca rotate-ra default --json")

_NEVER = "never"

Group = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.", show_default=False)]


def rotate(
    *,
    group: Group,
    key: Annotated[
        KeyKind | None,
        typer.Option("--key", "--key-kind", help="Kind of its key.", show_default="as the present one's"),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="ROOT", help="The root that signs it.", show_default="the present one's"),
    ] = None,
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="SPAN", help="When it takes over by itself; never: when you activate it."),
    ] = "30d",
    csr: Annotated[
        Path | None,
        typer.Option(
            "--csr",
            readable=False,
            metavar="FILE",
            help="Where its request goes, if the root's key is on another machine.",
            show_default="NAME.csr",
        ),
    ] = None,
    root_key: RootKey = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make the authority that follows a group's present one, and announce it to devices (GetNextCACert)."""
    span = None if overlap == _NEVER else read_span("--overlap", overlap)
    with opened(home, root_key=root_key) as regalia:
        _group, present = regalia.rollover.group_and_authority(group)
        root = found_authority(regalia, parent or present.parent or "")
        if root.kind is not AuthorityKind.ROOT or not regalia.keys.holds(root.key_id):
            _request(regalia, present, root, key or present.key_kind, csr, as_json=as_json)
            return
        made = regalia.rollover.rotate(group, root=root, actor=administrator(), key_kind=key, overlap=span)
        publish(regalia, made.name)
        record = authority_record(regalia, made) | {"activates_at": made.activates_at}
        print_record(record | fingerprints(made.certificate_der), as_json=as_json)
        if not as_json:
            _tell_next(made)


def _tell_next(made: "Authority") -> None:
    when = "It takes over by itself then; earlier" if made.activates_at is not None else "When devices should move over"
    note(f"{when}: regalia ca activate {made.name}")


def _request(
    regalia: "App", present: "Authority", root: "Authority", key: KeyKind, csr: Path | None, *, as_json: bool
) -> None:
    """Make the request that the root's machine, or another PKI, is to sign."""
    group = present.group or ""
    following = regalia.rollover.next_of(group)
    if following is not None:
        raise AdminError(reasons.ROLLOVER_REFUSED, f"{following.name} is next already: activate or revoke it")
    request = pending_request(regalia, group) or regalia.hierarchy.request(
        regalia.rollover.free_name(group),
        group=group,
        parent=root.name if root.kind is AuthorityKind.ROOT else None,
        key_kind=key,
        actor=administrator(),
    )
    path = written_request(request, csr)
    print_record({"name": request.name, "group": group, "key": request.key_kind, "request": path}, as_json=as_json)
    if not as_json:
        if root.kind is AuthorityKind.ROOT:
            note(f"The key of {root.name} is not here. There: regalia ca sign {path.name} --out {request.name}.pem")
        note(f"Then here: regalia ca accept {request.name} --certificate {request.name}.pem")


def pending_request(regalia: "App", group: str) -> "AuthorityRequest | None":
    """Find the newest request of a group that waits for its certificate."""
    waiting = [request for request in regalia.store.authority_requests() if request.group == group]
    return waiting[-1] if waiting else None


def written_request(request: "AuthorityRequest", csr: Path | None) -> Path:
    """Write a request to a file, unless that very request is there already. Raises `AdminError` ADM-020."""
    if request.csr is None:
        raise InvariantError(f"request {request.name} is not signed")
    path, octets = csr or Path(f"{request.name}.csr"), request_pem(request.csr)
    if path.is_file() and path.read_bytes() == octets:
        return path
    return write_new(path, octets)


def activate(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the next authority.", show_default=False)],
    yes: Yes = False,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let a next authority issue from now on, on every worker and node; the present one issues no more."""
    with opened(home) as regalia:
        authority = found_authority(regalia, name)
        if authority.group is None:
            raise AdminError(reasons.AUTHORITY_STATE, f"{name} issues for no group")
        _group, present = regalia.rollover.group_and_authority(authority.group)
        plan = [
            f"let {name} issue for group {authority.group} from now on",
            f"let {present.name} issue no more; what it issued stays good, and renews into {name}",
        ]
        if not agreed(plan, yes=yes, dry_run=dry_run, as_json=as_json):
            return
        activated = regalia.rollover.activate(name, actor=administrator())
        print_record(authority_record(regalia, activated) | {"replaces": present.name}, as_json=as_json)


def rotate_ra(*, group: Group, home: Home = None, as_json: Json = False) -> None:
    """Give a group a new RA key at once. The former one still opens messages, until its overlap is over."""
    with opened(home) as regalia:
        made = regalia.rollover.rotate_ra(group, actor=administrator())
        days = regalia.config.issuance.ra_overlap_days
        record = {
            "group": group,
            "authority": made.authority,
            "key_id": made.key_id,
            "not_after": made.not_after,
            "former_open_for_days": days,
        }
        print_record(record | fingerprints(made.certificate_der), as_json=as_json)
