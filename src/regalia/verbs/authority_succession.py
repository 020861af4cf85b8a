"""Authorities follow one another and end: a group's next one, a new RA key, revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.ca.authority import revoke_authority
from regalia.errors import AdminError, InvariantError
from regalia.model import AuthorityKind, AuthorityState, KeyKind, Right
from regalia.verbs.authority_facts import AuthorityRecord, crl_state, dependents, printed, record_of, serial_of
from regalia.verbs.content import request_text
from regalia.verbs.fields import Name, Note, ReasonName, revocation_reason, span_of
from regalia.verbs.finding import found_authority
from regalia.verbs.publishing import publish_lists
from regalia.verbs.verb import Asked, Desk, Record, Time, Verb
from regalia.verbs.wording import fingerprints

if TYPE_CHECKING:
    from regalia.model import Authority, AuthorityRequest
    from regalia.verbs.services import Services

__all__ = [
    "ACTIVATE",
    "NEVER",
    "REVOKE",
    "ROTATE",
    "ROTATE_RA",
    "VERBS",
    "ActivateAuthority",
    "RequestWaiting",
    "RevokeAuthority",
    "RotateAuthority",
    "RotateRa",
    "Rotated",
    "next_authority",
    "pending_request",
    "request_waiting",
]

NEVER: Final = "never"


# --- a next authority -----------------------------------------------------------------------------------------------


class RotateAuthority(Asked):
    """The authority that follows a group's present one."""

    group: Name
    key: Annotated[KeyKind | None, Field(description="Kind of its key; as the present one's if not given.")] = None
    parent: Annotated[Name | None, Field(description="The root that signs it; the present one's if not given.")] = None
    overlap: Annotated[
        str,
        Field(
            pattern=r"^(never|[0-9]{1,6}[smhd])$",
            description="When it takes over by itself; `never`: when somebody activates it.",
            examples=["30d"],
        ),
    ] = "30d"


class NextAuthority(AuthorityRecord):
    """A next authority."""

    activates_at: Time | None
    """When it takes over by itself."""
    sha256: str
    sha1: str


class RequestWaiting(Record):
    """A request that waits for the root's machine, or another PKI."""

    name: str
    group: str
    key: KeyKind
    csr: str
    """PEM."""
    root: str | None
    """The root of this PKI that is to sign it; null where another PKI is."""


class Rotated(Record):
    """What came of it: an authority where the root's key is here, else a request."""

    made: NextAuthority | None
    request: RequestWaiting | None


def rotate(desk: Desk, asked: RotateAuthority) -> Rotated:
    """Make it, and announce it to devices."""
    services = desk.services
    overlap = None if asked.overlap == NEVER else span_of(asked.overlap, "overlap")
    present, root, is_here = _present_and_root(desk, asked)
    if not is_here:
        waiting = _request(desk, present, root, asked.key or present.key_kind)
        return Rotated(made=None, request=request_waiting(waiting, root))
    made = services.rollover.rotate(asked.group, root=root, actor=desk.actor, key_kind=asked.key, overlap=overlap)
    publish_lists(services, made.name, desk.actor)
    return Rotated(made=next_authority(services, made), request=None)


def plan_rotate(desk: Desk, asked: RotateAuthority) -> list[str]:
    """What is made, and when it takes over."""
    if asked.overlap != NEVER:
        span_of(asked.overlap, "overlap")
    present, root, is_here = _present_and_root(desk, asked)
    if not is_here:
        return [f"make a request for the authority that follows {present.name}, which {root.name} is to sign elsewhere"]
    desk.services.ceremony.check_issuer(root, AuthorityKind.ROOT)
    when = "when it is activated" if asked.overlap == NEVER else f"after {asked.overlap}"
    return [f"make the authority that follows {present.name}, signed by {root.name}, to take over {when}"]


def _present_and_root(desk: Desk, asked: RotateAuthority) -> tuple[Authority, Authority, bool]:
    """Find a group's authority, who signs the next one, and whether that one's key is here."""
    _group, present = desk.services.rollover.group_and_authority(asked.group)
    root = found_authority(desk, asked.parent or present.parent or "")
    is_here = root.kind is AuthorityKind.ROOT and desk.services.keys.holds(root.key_id)
    return present, root, is_here


def next_authority(services: Services, made: Authority) -> NextAuthority:
    """Show a next authority."""
    return NextAuthority(**dict(printed(services, made)), activates_at=made.activates_at)


def request_waiting(request: AuthorityRequest, root: Authority) -> RequestWaiting:
    """Show a request under an issuer whose key is elsewhere."""
    if request.csr is None:
        raise InvariantError(f"request {request.name} is not signed")
    return RequestWaiting(
        name=request.name,
        group=request.group,
        key=request.key_kind,
        csr=request_text(request.csr),
        root=root.name if root.kind is AuthorityKind.ROOT else None,
    )


def _request(desk: Desk, present: Authority, root: Authority, key: KeyKind) -> AuthorityRequest:
    """Make the request that the root's machine, or another PKI, is to sign; or take the one that waits."""
    services, group = desk.services, present.group or ""
    following = services.rollover.next_of(group)
    if following is not None:
        raise AdminError(reasons.ROLLOVER_REFUSED, f"{following.name} is next already: activate or revoke it")
    return pending_request(services, group) or services.hierarchy.request(
        services.rollover.free_name(group),
        group=group,
        parent=root.name if root.kind is AuthorityKind.ROOT else None,
        key_kind=key,
        actor=desk.actor,
    )


def pending_request(services: Services, group: str) -> AuthorityRequest | None:
    """Find the newest request of a group that waits for its certificate."""
    waiting = [request for request in services.store.authority_requests() if request.group == group]
    return waiting[-1] if waiting else None


class ActivateAuthority(Asked):
    """Which one."""

    name: Annotated[Name, Field(description="Name of the next authority.")]


class Activated(AuthorityRecord):
    """An authority that issues from now on."""

    replaces: str


def activate(desk: Desk, asked: ActivateAuthority) -> Activated:
    """Let it issue, on every worker and node; the present one issues no more."""
    _authority, present = _next_and_present(desk, asked)
    activated = desk.services.rollover.activate(asked.name, actor=desk.actor)
    return Activated(**dict(record_of(desk.services, activated)), replaces=present.name)


def plan_activate(desk: Desk, asked: ActivateAuthority) -> list[str]:
    """Who issues from then on, and who does no more."""
    authority, present = _next_and_present(desk, asked)
    desk.services.ceremony.check_issuer(authority, AuthorityKind.ISSUING, frozenset({AuthorityState.NEXT}))
    return [
        f"let {authority.name} issue for group {authority.group} from now on",
        f"let {present.name} issue no more; what it issued stays good, and renews into {authority.name}",
    ]


def _next_and_present(desk: Desk, asked: ActivateAuthority) -> tuple[Authority, Authority]:
    authority = found_authority(desk, asked.name)
    if authority.group is None:
        raise AdminError(reasons.AUTHORITY_STATE, f"{asked.name} issues for no group")
    _group, present = desk.services.rollover.group_and_authority(authority.group)
    return authority, present


class RotateRa(Asked):
    """Whose."""

    group: Name


class RaRotated(Record):
    """A new RA credential."""

    group: str
    authority: str
    key_id: UUID
    not_after: Time
    former_open_for_days: int
    sha256: str
    sha1: str


def rotate_ra(desk: Desk, asked: RotateRa) -> RaRotated:
    """Give a group a new RA key at once. The former one still opens messages, until its overlap is over."""
    made = desk.services.rollover.rotate_ra(asked.group, actor=desk.actor)
    return RaRotated(
        group=asked.group,
        authority=made.authority,
        key_id=made.key_id,
        not_after=made.not_after,
        former_open_for_days=desk.services.practice.ra_overlap_days,
        **fingerprints(made.certificate_der),
    )


# --- the end --------------------------------------------------------------------------------------------------------


class RevokeAuthority(Asked):
    """Which one, and why."""

    name: Name
    reason: Annotated[ReasonName, Field(description="What CRL and OCSP will say.")]
    note: Note = ""


class Revoked(AuthorityRecord):
    """An authority that is revoked."""

    reason: ReasonName
    crl_number: str | None
    """Of the root's CRL that says so."""


def revoke(desk: Desk, asked: RevokeAuthority) -> Revoked:
    """Revoke it at its root for good, and publish the root's CRL that says so."""
    services = desk.services
    authority, root = _revocable(desk, asked)
    revoked = revoke_authority(
        services.store,
        services.store,
        services.clock,
        authority,
        reason=revocation_reason(asked.reason),
        actor=desk.actor,
        note=asked.note,
    )
    publish_lists(services, root.name, desk.actor)
    cause = revocation_reason(asked.reason).name.lower()
    told = f"revoked authority {authority.name}, serial {serial_of(authority):x}, reason {cause}"
    services.transcript.note(desk.actor, told)
    return Revoked(
        **dict(record_of(services, revoked)), reason=asked.reason, crl_number=crl_state(services, root).number
    )


def plan_revoke(desk: Desk, asked: RevokeAuthority) -> list[str]:
    """Who is cut off."""
    authority, root = _revocable(desk, asked)
    plan = [f"revoke authority {authority.name} for good and publish the CRL of {root.name}"]
    return plan + [f"cut off {dependent}" for dependent in dependents(desk.services, authority)]


def _revocable(desk: Desk, asked: RevokeAuthority) -> tuple[Authority, Authority]:
    """Find it with the root that is to say so, and see that it can. A root has none."""
    authority = found_authority(desk, asked.name)
    if authority.parent is None:
        raise AdminError(reasons.AUTHORITY_STATE, f"{authority.name} is a root: remove it where it is trusted instead")
    if authority.state is AuthorityState.REVOKED:
        raise AdminError(reasons.ALREADY_REVOKED, f"authority {authority.name}")
    root = found_authority(desk, authority.parent)
    if not desk.services.keys.holds(root.key_id):
        raise AdminError(reasons.ROOT_KEY_ELSEWHERE, f"the CRL of {root.name} has to be signed with key {root.key_id}")
    return authority, root


ROTATE = Verb(
    "ca.rotate",
    "POST",
    "/groups/{group}/rotate-authority",
    Right.RULE,
    RotateAuthority,
    Rotated,
    rotate,
    "Make the authority that follows a group's present one, and announce it to devices.",
    plan=plan_rotate,
    everywhere=True,
    two_persons=lambda *_: True,
)
ACTIVATE = Verb(
    "ca.activate",
    "POST",
    "/authorities/{name}/activate",
    Right.RULE,
    ActivateAuthority,
    Activated,
    activate,
    "Let a next authority issue from now on.",
    plan=plan_activate,
    everywhere=True,
    two_persons=lambda *_: True,
)
ROTATE_RA = Verb(
    "ca.rotate-ra",
    "POST",
    "/groups/{group}/rotate-ra",
    Right.RULE,
    RotateRa,
    RaRotated,
    rotate_ra,
    "Give a group a new RA key at once.",
    everywhere=True,
)
REVOKE = Verb(
    "ca.revoke",
    "POST",
    "/authorities/{name}/revoke",
    Right.RULE,
    RevokeAuthority,
    Revoked,
    revoke,
    "Revoke an issuing authority at the root for good, and publish the root's CRL that says so.",
    plan=plan_revoke,
    everywhere=True,
    two_persons=lambda *_: True,
)

VERBS = (ROTATE, ACTIVATE, ROTATE_RA, REVOKE)
