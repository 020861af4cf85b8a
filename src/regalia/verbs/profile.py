"""Profiles: what certificates look like and how long they live."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue

from regalia import reasons
from regalia.ca.profile_ready_made import READY_MADE
from regalia.ca.profile_safety import EVERYTHING, NAMES_FROM_REQUEST, Severity, findings_of
from regalia.errors import AdminError
from regalia.model import NamesFrom, Right
from regalia.verbs.fields import Name, is_empty
from regalia.verbs.finding import found_group, found_profile
from regalia.verbs.paging import ListAsked, page_of_few
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from regalia.model import Profile

__all__ = [
    "CREATE",
    "LIST",
    "READY_MADE_PROFILES",
    "SHOW",
    "VERBS",
    "CreateProfile",
    "Document",
    "FindingRecord",
    "ListProfiles",
    "ListReadyMade",
    "ProfileKept",
    "ProfileRecord",
    "ProfileShown",
    "ReadyMadeRecord",
    "ShowProfile",
    "checked",
    "found_document",
    "profile_fields",
    "profile_findings",
]

_BY_THE_DEVICE = frozenset({NAMES_FROM_REQUEST, "upn-from-request", "server-names-from-request"})
"""What lets the names of a request into certificates: a second administrator has to agree (AUTHZ-5)."""

Document = Annotated[str, Field(min_length=1, max_length=100_000, description="The document, TOML or JSON.")]


class CreateProfile(Asked):
    """Its document, or one that comes with the product."""

    name: Annotated[Name, Field(description="Name of the profile; one that there is gets its next version.")]
    group: Annotated[Name, Field(description="The group that it belongs to.")]
    document: Document | None = None
    ready_made: Annotated[Name | None, Field(description="Instead of a document: the name of a ready-made one.")] = None
    acknowledge: Annotated[
        tuple[Name, ...], Field(max_length=50, description="What somebody answers for, by its name.")
    ] = ()


class ListProfiles(ListAsked):
    """Which ones."""

    group: Annotated[Name | None, Field(description="Of this group only.")] = None


class ShowProfile(Asked):
    """Which one, and which version of it."""

    name: Name
    version: Annotated[int | None, Field(ge=1, le=1_000_000_000, description="The newest if not given.")] = None


class ListReadyMade(ListAsked):
    """Some or all."""


class ProfileRecord(Record):
    """A version of a profile."""

    name: str
    version: int
    group: str
    names_from: str
    unverified: Annotated[bool, Field(description="Whether nobody vouches for the names.")]
    validity: str
    keys: tuple[str, ...]
    key_usage: tuple[str, ...]
    organisation: str | None
    created_at: Time


class FindingRecord(Record):
    """Something unsafe."""

    rule: str
    severity: Severity
    where: str
    title: str
    why: str


class ProfileKept(ProfileRecord):
    """A profile that was kept."""

    findings: Annotated[
        tuple[FindingRecord, ...], Field(exclude_if=is_empty, description="What is unsafe about it; or left out.")
    ] = ()


class ProfileShown(ProfileRecord):
    """A profile with its document."""

    document: dict[str, JsonValue]


class ReadyMadeRecord(Record):
    """A profile that comes with the product."""

    name: str
    title: str
    document: str


def create_profile(desk: Desk, asked: CreateProfile) -> ProfileKept:
    """Keep it as a new profile, or as the next version of one.

    Raises `AdminError`: ADM-004 no such group, or no such ready-made one, ADM-018 where not exactly one document is
    named, or something to acknowledge that there is not, and what `Registry.check_profile` does.
    """
    document = found_document(asked)
    _claim(desk, asked.name, asked.group)
    profile = desk.services.registry.create_profile(
        asked.name, asked.group, document, actor=desk.actor, acknowledged=_answered(asked)
    )
    return ProfileKept(**profile_fields(profile), findings=profile_findings(profile))


def plan_creation(desk: Desk, asked: CreateProfile) -> tuple[str, ...]:
    """Say what is kept, who uses it, and what somebody answers for."""
    profile = checked(desk, asked.name, asked.group, found_document(asked), acknowledged=_answered(asked))
    uses = [each.name for each in desk.services.store.endpoints() if each.profile == profile.name and each.enabled]
    used = f"; endpoint {', '.join(uses)} uses it from then on" if uses else ""
    answered = (each for each in profile_findings(profile) if each.severity is Severity.ACKNOWLEDGE)
    return (
        f"keep profile {profile.name} version {profile.version} of group {profile.group}{used}",
        *(f"allow, at {each.where}: {each.title}: {each.why}" for each in answered),
    )


def checked(desk: Desk, name: str, group: str, document: str, *, acknowledged: frozenset[str] = EVERYTHING) -> Profile:
    """Validate a document. Raises what `Registry.check_profile` does, and ADM-004 for a group that is not seen."""
    _claim(desk, name, group)
    return desk.services.registry.check_profile(name, group, document, acknowledged=acknowledged)


def list_profiles(desk: Desk, asked: ListProfiles) -> Page[ProfileRecord]:
    """List the newest version of each, by name."""
    if asked.group is not None:
        found_group(desk, asked.group)
    return page_of_few(
        asked,
        "profile.list",
        (
            each
            for each in desk.services.store.profiles()
            if each.group in desk.reach and asked.group in (None, each.group)
        ),
        place=lambda each: (each.name,),
        words=lambda each: (each.name, each.group),
        record=lambda each: ProfileRecord(**profile_fields(each)),
    )


def show_profile(desk: Desk, asked: ShowProfile) -> ProfileShown:
    """Show one version. Raises `AdminError` ADM-004."""
    profile = found_profile(desk, asked.name, asked.version)
    return ProfileShown(**profile_fields(profile), document=json.loads(profile.document))


def list_ready_made(desk: Desk, asked: ListReadyMade) -> Page[ReadyMadeRecord]:
    """List what comes with the product, by name."""
    del desk
    return page_of_few(
        asked,
        "profile.ready-made",
        READY_MADE.values(),
        place=lambda each: (each.name,),
        words=lambda each: (each.name, each.title),
        record=lambda each: ReadyMadeRecord(name=each.name, title=each.title, document=each.document),
    )


def found_document(asked: CreateProfile) -> str:
    """Take the document that is named. Raises `AdminError`: ADM-018 unless there is exactly one, ADM-004."""
    if (asked.document is None) is (asked.ready_made is None):
        raise AdminError(reasons.USAGE, "name either a document or a ready-made profile")
    if asked.document is not None:
        return asked.document
    found = READY_MADE.get(asked.ready_made or "")
    if found is None:
        known = ", ".join(READY_MADE)
        raise AdminError(reasons.NOT_FOUND, f"no ready-made profile {asked.ready_made}; there are {known}")
    return found.document


def profile_findings(profile: Profile) -> tuple[FindingRecord, ...]:
    """Say what is unsafe about it."""
    return tuple(
        FindingRecord(
            rule=each.rule.name,
            severity=each.rule.severity,
            where=each.where,
            title=each.rule.title,
            why=each.rule.why,
        )
        for each in findings_of(profile)
    )


def profile_fields(profile: Profile) -> dict[str, Any]:
    """Say what it is."""
    keys = [f"RSA from {profile.rsa_min_bits} bits"] if profile.rsa_min_bits and not profile.rsa_bits else []
    keys += [f"RSA of {bits} bits" for bits in profile.rsa_bits]
    keys += [curve.upper() for curve in profile.curves]
    keys += ["Ed25519"] if profile.ed25519 else []
    keys += [parameters.upper() for parameters in profile.ml_dsa]
    return {
        "name": profile.name,
        "version": profile.version,
        "group": profile.group,
        "names_from": str(profile.names_from) if profile.name_rules is None else "templates",
        "unverified": profile.names_from is NamesFrom.CSR,
        "validity": f"{profile.validity.duration.total_seconds() / 86_400:g} days",
        "keys": tuple(keys),
        "key_usage": tuple(profile.key_usage),
        "organisation": profile.organisation,
        "created_at": profile.created_at,
    }


def _claim(desk: Desk, name: str, group: str) -> None:
    """Look whether a group may have a profile of this name; of a foreign one only the name is taken (AUTHZ-4)."""
    found_group(desk, group)
    latest = desk.services.store.profile(name)
    if latest is not None and latest.group not in desk.reach:
        raise AdminError(reasons.NAME_TAKEN, f"profile {name}")


def _answered(asked: CreateProfile) -> frozenset[str]:
    given = frozenset(asked.acknowledge)
    unknown = sorted(given - EVERYTHING)
    if unknown:
        raise AdminError(reasons.USAGE, f"--acknowledge {unknown[0]}: known are {', '.join(sorted(EVERYTHING))}")
    return given


def _lets_names_in(desk: Desk, asked: CreateProfile) -> bool:
    """Whether the names of a request get into certificates: nobody keeps such a profile without acknowledging it."""
    del desk
    return not _BY_THE_DEVICE.isdisjoint(asked.acknowledge)


CREATE = Verb(
    "profile.create",
    "POST",
    "/profiles",
    Right.ARRANGE,
    CreateProfile,
    ProfileKept,
    create_profile,
    "Keep a document as a new profile, or as the next version of one. Endpoints use it from then on.",
    plan=plan_creation,
    two_persons=_lets_names_in,
)
LIST = Verb(
    "profile.list",
    "GET",
    "/profiles",
    Right.READ,
    ListProfiles,
    Page[ProfileRecord],
    list_profiles,
    "List the profiles, the newest version of each.",
)
SHOW = Verb(
    "profile.show",
    "GET",
    "/profiles/{name}",
    Right.READ,
    ShowProfile,
    ProfileShown,
    show_profile,
    "Show a profile with its document.",
)
READY_MADE_PROFILES = Verb(
    "profile.ready-made",
    "GET",
    "/ready-made-profiles",
    Right.READ,
    ListReadyMade,
    Page[ReadyMadeRecord],
    list_ready_made,
    "List the profiles that come with the product, with their documents.",
)

VERBS = (CREATE, LIST, SHOW, READY_MADE_PROFILES)
