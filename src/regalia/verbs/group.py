"""Groups: segregated populations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia.model import STANDING_PURPOSES, CredentialPurpose, Group, KeyKind, Right
from regalia.verbs.fields import Name
from regalia.verbs.finding import found_group
from regalia.verbs.paging import ListAsked, millis, page_of_few
from regalia.verbs.publishing import publish_lists
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "CREATE",
    "HOLDERS",
    "LIST",
    "RESUME",
    "SHOW",
    "SUSPEND",
    "VERBS",
    "CreateGroup",
    "GroupName",
    "GroupRecord",
    "GroupShown",
    "GroupState",
    "HolderRecord",
    "ListGroups",
    "ListHolders",
    "ResumeGroup",
    "ShowGroup",
    "SuspendGroup",
]

GroupName = Annotated[Name, Field(description="Name of the group.", examples=["default"])]


class CreateGroup(Asked):
    """What it is to be."""

    name: GroupName
    authority: Annotated[
        Name | None, Field(description="An authority that was made for it; a new one if not given.")
    ] = None
    key: Annotated[KeyKind, Field(description="Kind of the new authority's key.")] = KeyKind.P256
    debug: Annotated[bool, Field(description="Tell refused devices the reason.")] = False
    ca_as_ra: Annotated[
        bool, Field(description="Its RSA key also opens devices' messages: GetCACert is one certificate.")
    ] = False
    acknowledge_ca_as_ra: Annotated[bool, Field(description="Yes, the CA's key may be in every worker.")] = False


class ListGroups(ListAsked):
    """Some or all."""


class ShowGroup(Asked):
    """Which one."""

    name: GroupName


class SuspendGroup(ShowGroup):
    """Which one, and why."""

    reason: Annotated[str, Field(max_length=1_000, description="Why, for the audit log and colleagues.")]


class ResumeGroup(ShowGroup):
    """Which one."""


class ListHolders(ListAsked):
    """Of which group."""

    name: GroupName


class GroupRecord(Record):
    """A group in a list."""

    name: str
    authority: str
    suspended_at: Time | None
    debug: bool
    profiles: tuple[str, ...]
    endpoints: tuple[str, ...]
    created_at: Time


class GroupShown(GroupRecord):
    """A group with what it stands on."""

    suspended_why: str | None
    ra_not_after: Time | None
    ocsp_not_after: Time | None


class GroupState(Record):
    """Whether a group issues."""

    name: str
    authority: str
    suspended_at: Time | None
    suspended_why: str | None


class HolderRecord(Record):
    """Somebody whose certificate a revoked authority issued, and who has no other one since."""

    device: str | None
    subject: str
    unverified: bool
    endpoint: str | None
    authority: str
    serial: Annotated[str, Field(description="Of the newest certificate that counts; hexadecimal, as in lists.")]
    not_after: Time
    certificates: Annotated[int, Field(description="How many count.")]


def create_group(desk: Desk, asked: CreateGroup) -> GroupRecord:
    """Create it with an authority, unless one is named, an RA credential and an OCSP signer.

    Raises what `Registry.create_group` does, and CA-010 where a CRL has to be signed and the key is elsewhere.
    """
    services = desk.services
    group = services.registry.create_group(
        asked.name,
        actor=desk.actor,
        authority=asked.authority,
        key_kind=asked.key,
        debug=asked.debug,
        ca_as_ra=asked.ca_as_ra,
        acknowledged=asked.acknowledge_ca_as_ra,
    )
    if services.crls.due(group.authority):
        # `serve` would do so too, but a device may enrol and be verified before it looks.
        publish_lists(services, group.authority, desk.actor)
    return GroupRecord(**_fields(desk, group))


def _makes_authority(desk: Desk, asked: CreateGroup) -> bool:
    """Whether a new authority comes with it (AUTHZ-5)."""
    del desk
    return asked.authority is None


def list_groups(desk: Desk, asked: ListGroups) -> Page[GroupRecord]:
    """All that the caller sees, the oldest first."""
    return page_of_few(
        asked,
        "group.list",
        (group for group in desk.services.store.groups() if group.name in desk.reach),
        place=lambda group: (millis(group.created_at), group.name),
        words=lambda group: (group.name, group.authority),
        record=lambda group: GroupRecord(**_fields(desk, group)),
    )


def show_group(desk: Desk, asked: ShowGroup) -> GroupShown:
    """One group."""
    group = found_group(desk, asked.name)
    ends: dict[str, Any] = {f"{purpose}_not_after": _end(desk, group, purpose) for purpose in STANDING_PURPOSES}
    return GroupShown(**_fields(desk, group), suspended_why=group.suspended_why or None, **ends)


def suspend_group(desk: Desk, asked: SuspendGroup) -> GroupState:
    """Let it issue nothing from now on. Raises `AdminError` ADM-004, ADM-039 suspended already."""
    group = found_group(desk, asked.name)
    return _state(desk.services.containment.suspend(group.name, asked.reason, actor=desk.actor))


def resume_group(desk: Desk, asked: ResumeGroup) -> GroupState:
    """Let it issue again. Raises `AdminError` ADM-004, ADM-039 not suspended, or its authority is revoked."""
    return _state(desk.services.containment.resume(found_group(desk, asked.name).name, actor=desk.actor))


def list_holders(desk: Desk, asked: ListHolders) -> Page[HolderRecord]:
    """List who has to enrol anew, by device and subject."""
    return page_of_few(
        asked,
        "group.holders",
        desk.services.containment.holders(found_group(desk, asked.name).name),
        place=lambda each: (each.device or "", "" if each.device else each.subject),
        words=lambda each: (each.device, each.subject, each.endpoint, each.authority, f"{each.serial:x}"),
        record=lambda each: HolderRecord(
            device=each.device,
            subject=each.subject,
            unverified=each.unverified,
            endpoint=each.endpoint,
            authority=each.authority,
            serial=f"{each.serial:x}",
            not_after=each.not_after,
            certificates=each.certificates,
        ),
    )


def _state(group: Group) -> GroupState:
    return GroupState(
        name=group.name,
        authority=group.authority,
        suspended_at=group.suspended_at,
        suspended_why=group.suspended_why or None,
    )


def _end(desk: Desk, group: Group, purpose: CredentialPurpose) -> datetime | None:
    credentials = desk.services.store.credentials(purpose, group.authority)
    return credentials[0].not_after if credentials else None


def _fields(desk: Desk, group: Group) -> dict[str, Any]:
    store = desk.services.store
    return {
        "name": group.name,
        "authority": group.authority,
        "suspended_at": group.suspended_at,
        "debug": group.debug,
        "profiles": tuple(profile.name for profile in store.profiles() if profile.group == group.name),
        "endpoints": tuple(endpoint.name for endpoint in store.endpoints() if endpoint.group == group.name),
        "created_at": group.created_at,
    }


CREATE = Verb(
    "group.create",
    "POST",
    "/groups",
    Right.RULE,
    CreateGroup,
    GroupRecord,
    create_group,
    "Create a group with an issuing authority, an RA credential and an OCSP signer of its own.",
    everywhere=True,
    two_persons=_makes_authority,
)
LIST = Verb(
    "group.list",
    "GET",
    "/groups",
    Right.READ,
    ListGroups,
    Page[GroupRecord],
    list_groups,
    "List the groups, the oldest first.",
)
SHOW = Verb(
    "group.show",
    "GET",
    "/groups/{name}",
    Right.READ,
    ShowGroup,
    GroupShown,
    show_group,
    "Show a group with its authority, credentials, profiles and endpoints.",
)
SUSPEND = Verb(
    "group.suspend",
    "POST",
    "/groups/{name}/suspend",
    Right.CONTAIN,
    SuspendGroup,
    GroupState,
    suspend_group,
    "Stop all issuance in a group. Its OCSP, CRL and CA certificates are served on.",
)
RESUME = Verb(
    "group.resume",
    "POST",
    "/groups/{name}/resume",
    Right.CONTAIN,
    ResumeGroup,
    GroupState,
    resume_group,
    "Let a suspended group issue again.",
)
HOLDERS = Verb(
    "group.holders",
    "GET",
    "/groups/{name}/holders",
    Right.READ,
    ListHolders,
    Page[HolderRecord],
    list_holders,
    "List who has to enrol anew, because the authority of their certificate was revoked.",
)

VERBS = (CREATE, LIST, SHOW, SUSPEND, RESUME, HOLDERS)
