"""Challenges: secrets that let a device enrol."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import NamesFrom, Right
from regalia.ports import ChallengeFilter
from regalia.ra.challenges import NO_EXPIRY
from regalia.verbs.fields import Id, Name, Span, span_of
from regalia.verbs.finding import found_challenge, found_endpoint
from regalia.verbs.names import NamesAsked, names_of
from regalia.verbs.paging import ListAsked, page_of, place_after
from regalia.verbs.verb import Asked, Desk, Page, Record, Time, Verb

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Challenge, Names, Profile

__all__ = [
    "CREATE",
    "LIST",
    "REVOKE",
    "VERBS",
    "ChallengeCreated",
    "ChallengeDoubt",
    "ChallengeKind",
    "ChallengeRecord",
    "ChallengeState",
    "CreateChallenge",
    "ListChallenges",
    "RevokeChallenge",
    "good_challenges",
    "state_of",
]


class ChallengeKind(StrEnum):
    """How often it is good."""

    ONE_TIME = "one-time"
    STATIC = "static"


class ChallengeState(StrEnum):
    """What became of it."""

    OPEN = "open"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


class ChallengeDoubt(StrEnum):
    """What whoever made a challenge should know of it."""

    NAMED_BY_SERVER = "named-by-server"
    """A bearer challenge: the certificate is named after its key, and unverified (R5.4)."""
    NAMED_BY_PROFILE = "named-by-profile"
    """A bearer challenge: the profile's templates name the certificate, if they need no name of a binding."""
    NAMED_BY_DEVICE = "named-by-device"
    """A bearer challenge: the certificate carries what the device asks for, and is unverified."""
    SID_UNWRITTEN = "sid-unwritten"
    """It vouches for a SID that the endpoint's profile writes into no certificate."""


class CreateChallenge(Asked):
    """Whom it is for, and where and how long it is good."""

    endpoint: Name
    binding: Annotated[
        NamesAsked,
        Field(description="The names that the certificate gets, exactly; none makes a challenge for whoever bears it."),
    ] = NamesAsked()
    device: Annotated[
        str | None, Field(min_length=1, max_length=256, description="The device, as your inventory calls it.")
    ] = None
    ttl: Annotated[Span, Field(description="How long it is good: 30 days at most.")] = "60m"


class ListChallenges(ListAsked):
    """Which ones."""

    endpoint: Annotated[Name | None, Field(description="Of this endpoint only.")] = None


class RevokeChallenge(Asked):
    """Which one."""

    id: Id


class ChallengeRecord(Record):
    """A challenge; its secret is known to nobody but its bearers."""

    id: UUID
    endpoint: str
    kind: ChallengeKind
    state: ChallengeState
    bearer: bool
    names: tuple[str, ...]
    device: str | None
    created_at: Time
    created_by: str
    expires_at: Time | None
    used_at: Time | None
    used_by: UUID | None
    used_from: str | None
    revoked_at: Time | None


class _Told(Record):
    secret: Annotated[str, Field(repr=False, description="Shown now and never again.")]
    url: str


class ChallengeCreated(ChallengeRecord, _Told):
    """A challenge with its secret, and where a device shows it."""

    # The fields of the last base come first.
    profile: Annotated[str, Field(description="The profile of the endpoint.")]
    doubts: tuple[ChallengeDoubt, ...]


def create_challenge(desk: Desk, asked: CreateChallenge) -> ChallengeCreated:
    """Make a one-time challenge.

    Raises `AdminError`: ADM-004 no such endpoint, or none with one-time challenges; ADM-015 a name that no certificate
    may carry; ADM-018 a span that is not between a second and 30 days.
    """
    endpoint, binding = found_endpoint(desk, asked.endpoint), names_of(asked.binding)
    services = desk.services
    minted = services.challenges.mint(
        endpoint.name, binding=binding, device=asked.device, ttl=span_of(asked.ttl, "--ttl"), actor=desk.actor
    )
    return ChallengeCreated(
        secret=minted.secret,
        url=services.urls.endpoint(endpoint.protocol, endpoint.name),
        **_fields(minted.challenge, desk.now()),
        profile=endpoint.profile,
        doubts=_doubts(binding, asked.device, services.store.profile(endpoint.profile)),
    )


def list_challenges(desk: Desk, asked: ListChallenges) -> Page[ChallengeRecord]:
    """List them, newest first."""
    if asked.endpoint is not None:
        found_endpoint(desk, asked.endpoint)
    wanted = ChallengeFilter(
        asked.endpoint,
        limit=asked.limit,
        groups=desk.reach.groups,
        search=asked.q or "",
        after=place_after(asked, "challenge.list"),
    )
    now, found = desk.now(), desk.services.store.challenge_page(wanted)
    return page_of(asked, "challenge.list", found, lambda each: ChallengeRecord(**_fields(each, now)))


def revoke_challenge(desk: Desk, asked: RevokeChallenge) -> ChallengeRecord:
    """Withdraw it. Raises `AdminError`: ADM-004, ADM-018 a beginning that several have, ADM-014 used or revoked."""
    found = _open(desk, asked.id)
    desk.services.challenges.revoke(found.id, desk.actor)
    return ChallengeRecord(**_fields(desk.services.store.challenge_by_id(found.id) or found, desk.now()))


def plan_revocation(desk: Desk, asked: RevokeChallenge) -> tuple[str, ...]:
    """Say who loses it."""
    found = _open(desk, asked.id)
    where = f"challenge {found.id} at endpoint {found.endpoint}"
    if found.reusable:
        return (f"withdraw static {where}: no further device enrols with it, and those that did go on",)
    return (f"withdraw {where}, made for {', '.join(found.binding.listed()) or 'whoever bears it'}",)


def state_of(challenge: Challenge, now: datetime) -> ChallengeState:
    """Say what became of a challenge."""
    if challenge.consumed_at is not None:
        return ChallengeState.USED
    if challenge.revoked_at is not None:
        return ChallengeState.REVOKED
    return ChallengeState.OPEN if challenge.expires_at > now else ChallengeState.EXPIRED


def good_challenges(desk: Desk, endpoint: str) -> tuple[Challenge, ...]:
    """Find the challenges that open an endpoint now, newest first."""
    now, known = desk.now(), desk.services.store.challenges(endpoint)
    return tuple(each for each in known if state_of(each, now) is ChallengeState.OPEN)


def _open(desk: Desk, text: str) -> Challenge:
    found = found_challenge(desk, text)
    if found.revoked_at is not None or found.consumed_at is not None:
        raise AdminError(reasons.CHALLENGE_NOT_OPEN, f"challenge {found.id} is {state_of(found, desk.now())}")
    return found


def _doubts(binding: Names, device: str | None, profile: Profile | None) -> tuple[ChallengeDoubt, ...]:
    rules = profile.name_rules if profile is not None else None
    doubts = []
    if not binding and (device is None or rules is None):
        if rules is not None:
            doubts.append(ChallengeDoubt.NAMED_BY_PROFILE)
        elif profile is not None and profile.names_from is NamesFrom.CSR:
            doubts.append(ChallengeDoubt.NAMED_BY_DEVICE)
        else:
            doubts.append(ChallengeDoubt.NAMED_BY_SERVER)
    if binding.sid is not None and (rules is None or rules.sid is None):
        doubts.append(ChallengeDoubt.SID_UNWRITTEN)
    return tuple(doubts)


def _fields(challenge: Challenge, now: datetime) -> dict[str, Any]:
    return {
        "id": challenge.id,
        "endpoint": challenge.endpoint,
        "kind": ChallengeKind.STATIC if challenge.reusable else ChallengeKind.ONE_TIME,
        "state": state_of(challenge, now),
        "bearer": not challenge.binding,
        "names": challenge.binding.listed(),
        "device": challenge.device,
        "created_at": challenge.created_at,
        "created_by": challenge.created_by,
        "expires_at": challenge.expires_at if challenge.expires_at < NO_EXPIRY else None,
        "used_at": challenge.consumed_at,
        "used_by": challenge.consumed_by,
        "used_from": challenge.consumed_source,
        "revoked_at": challenge.revoked_at,
    }


CREATE = Verb(
    "challenge.create",
    "POST",
    "/challenges",
    Right.OPEN_DOOR,
    CreateChallenge,
    ChallengeCreated,
    create_challenge,
    "Create a one-time challenge. Its secret is in this answer only; the certificate gets exactly its names.",
    secret=True,
)
LIST = Verb(
    "challenge.list",
    "GET",
    "/challenges",
    Right.READ,
    ListChallenges,
    Page[ChallengeRecord],
    list_challenges,
    "List the challenges, newest first.",
)
REVOKE = Verb(
    "challenge.revoke",
    "POST",
    "/challenges/{id}/revoke",
    Right.OPEN_DOOR,
    RevokeChallenge,
    ChallengeRecord,
    revoke_challenge,
    "Withdraw a challenge: a one-time one that nobody has used yet, or a static one.",
    plan=plan_revocation,
)

VERBS = (CREATE, LIST, REVOKE)
