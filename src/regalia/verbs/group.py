"""Groups: segregated populations."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from regalia.model import STANDING_PURPOSES, CredentialPurpose, Group, Right
from regalia.verbs.finding import found_group
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

__all__ = ["LIST", "SHOW", "VERBS", "GroupName", "GroupRecord", "GroupShown", "ListGroups", "ShowGroup"]

GroupName = Annotated[str, Field(description="Name of the group.", examples=["default"])]


class ListGroups(Asked):
    """Nothing can be said."""


class ShowGroup(Asked):
    """Which one."""

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


def list_groups(desk: Desk, asked: ListGroups) -> Page[GroupRecord]:
    """All that the caller sees, in the order of their names."""
    del asked
    groups = [group for group in desk.services.store.groups() if group.name in desk.reach]
    return Page(items=tuple(GroupRecord(**_fields(desk, group)) for group in groups))


def show_group(desk: Desk, asked: ShowGroup) -> GroupShown:
    """One group."""
    group = found_group(desk, asked.name)
    ends = {f"{purpose}_not_after": _end(desk, group, purpose) for purpose in STANDING_PURPOSES}
    return GroupShown(**_fields(desk, group), suspended_why=group.suspended_why or None, **ends)


def _end(desk: Desk, group: Group, purpose: CredentialPurpose) -> object:
    credentials = desk.services.store.credentials(purpose, group.authority)
    return credentials[0].not_after if credentials else None


def _fields(desk: Desk, group: Group) -> dict[str, object]:
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


LIST = Verb("group.list", "GET", "/groups", Right.READ, ListGroups, Page[GroupRecord], list_groups, "List the groups.")
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

VERBS = (LIST, SHOW)
