"""Endpoints: the doors that devices enrol at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import Authoriser, Endpoint, EnrolmentState, Right
from regalia.ports import COUNTED, EnrolmentFilter
from regalia.ports.connectors import Ability
from regalia.ra.challenges import NO_EXPIRY
from regalia.ra.registry import EndpointOptions
from regalia.verbs.challenge import good_challenges
from regalia.verbs.fields import Name, Secret, Span, is_empty, span_of
from regalia.verbs.finding import found_connector, found_endpoint, found_group, found_profile
from regalia.verbs.ndes import NdesRecord, ndes_fields
from regalia.verbs.paging import ListAsked, millis, page_of_few
from regalia.verbs.verb import Asked, Desk, Hex, Page, Record, Time, Verb
from regalia.verbs.wording import fingerprints, utc

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.model import Challenge

__all__ = [
    "CHANGE",
    "CREATE",
    "DISABLE",
    "LIST",
    "ROTATE_SECRET",
    "SHOW",
    "VERBS",
    "ChangeEndpoint",
    "CreateEndpoint",
    "EndpointName",
    "EndpointOpened",
    "EndpointRecord",
    "EndpointShown",
    "ListEndpoints",
    "Protocol",
    "RotateSecret",
    "SecretRotated",
]

_WITH_STATIC = (Authoriser.STATIC, Authoriser.APPROVAL)
"""Authorisers with static challenges."""
_MOST_PENDING = 100_000
"""More than any quota lets in."""


class Protocol(StrEnum):
    """What is spoken at an endpoint."""

    SCEP = "scep"


StaticSecret = Annotated[
    Secret | None,
    Field(repr=False, description="The static challenge, 20 to 128 characters; a random one if not given."),
]


class CreateEndpoint(Asked):
    """Where devices are to enrol, and how."""

    name: Annotated[Name, Field(description="A part of its URL.")]
    group: Annotated[Name, Field(description="The group that devices join here.")]
    profile: Annotated[Name, Field(description="What their certificates look like.")]
    authoriser: Annotated[
        Authoriser,
        Field(
            description="Who says yes: a challenge for each device, one secret for all, an administrator, a connector."
        ),
    ] = Authoriser.ONE_TIME
    connector: Annotated[Name | None, Field(description="Which connector, where one says yes.")] = None
    protocol: Protocol = Protocol.SCEP
    include_root: Annotated[bool, Field(description="Whether GetCACert has the root: no Apple device needs it.")] = True
    check_signing_time: Annotated[bool, Field(description="Refuse messages signed more than 24 hours off.")] = False
    legacy: Annotated[bool, Field(description="Also take SHA-1 and triple DES.")] = False
    non_rsa: Annotated[bool, Field(description="Also take keys that cannot decrypt: ECDSA, Ed25519, ML-DSA.")] = False
    secret: StaticSecret = None


class EndpointName(Asked):
    """Which one."""

    name: Name


class ChangeEndpoint(EndpointName):
    """Which one, and who says yes there from now on."""

    authoriser: Authoriser
    connector: Annotated[Name | None, Field(description="Which connector, where one says yes.")] = None
    secret: StaticSecret = None


class ListEndpoints(ListAsked):
    """Which ones."""

    group: Annotated[Name | None, Field(description="Of this group only.")] = None


class RotateSecret(EndpointName):
    """Which one, and what becomes of the former challenge."""

    secret: StaticSecret = None
    overlap: Annotated[Span, Field(description="How long the former one stays good; `0d` ends it now.")] = "7d"


class EndpointRecord(Record):
    """An endpoint."""

    name: str
    url: str
    enabled: bool
    group: str
    protocol: str
    profile: str
    authoriser: Authoriser
    connector: Annotated[str | None, Field(exclude_if=is_empty, description="That says yes.")] = None
    pending: Annotated[int, Field(description="How many enrolments wait for approval.")]
    include_root: bool
    check_signing_time: bool
    legacy: bool
    non_rsa: bool
    created_at: Time


class _Secret(Record):
    secret: Annotated[
        str | None,
        Field(repr=False, exclude_if=is_empty, description="The static challenge, shown now and never again."),
    ] = None


class EndpointOpened(EndpointRecord, _Secret):
    """A new endpoint; with its challenge, where it has a static one."""

    # The fields of the last base come first.
    pending_days: Annotated[
        int | None, Field(description="What nobody decides within so many days is refused; null where nothing waits.")
    ]


class FormerChallenge(Record):
    """A static challenge that was good until a new one came."""

    id: UUID
    ended: bool
    good_until: Annotated[Time | None, Field(description="Null where no end is known.")]


class SecretRotated(EndpointRecord, _Secret):
    """An endpoint with its new static challenge."""

    former: tuple[FormerChallenge, ...]


class EndpointShown(EndpointRecord):
    """An endpoint with what a device's configuration asks for; what it does not have is left out."""

    static_challenges: Annotated[
        tuple[str, ...] | None, Field(exclude_if=is_empty, description="Ids of those that are good, and until when.")
    ] = None
    ndes_page: Annotated[NdesRecord | None, Field(exclude_if=is_empty)] = None
    authority: Annotated[str | None, Field(exclude_if=is_empty)] = None
    authority_sha256: Annotated[Hex | None, Field(exclude_if=is_empty)] = None
    authority_sha1: Annotated[Hex | None, Field(exclude_if=is_empty)] = None
    root_sha256: Annotated[Hex | None, Field(exclude_if=is_empty)] = None
    root_sha1: Annotated[Hex | None, Field(exclude_if=is_empty)] = None
    ra_not_after: Annotated[Time | None, Field(exclude_if=is_empty)] = None


def create_endpoint(desk: Desk, asked: CreateEndpoint) -> EndpointOpened:
    """Open it; the static challenge, where it has one, is made at once.

    Raises `AdminError`: ADM-003 name taken, ADM-004 no such group, or no such profile of it, ADM-005 bad name, ADM-018
    a secret where none is used, ADM-024 one that anybody could guess, ADM-037 and RA-028 what does not go together,
    CON-064 and CON-065 for the connector.
    """
    services, is_static = desk.services, asked.authoriser in _WITH_STATIC
    _check_secret(asked.authoriser, asked.secret)
    _check_connector(desk, asked.connector)
    group, profile = found_group(desk, asked.group), _profile_of(desk, asked)
    secret = services.challenges.checked(asked.secret) if asked.secret is not None else None
    options = EndpointOptions(
        include_root=asked.include_root,
        check_signing_time=asked.check_signing_time,
        legacy=asked.legacy,
        non_rsa=asked.non_rsa,
    )
    made = services.registry.create_endpoint(
        asked.name,
        group=group.name,
        profile=profile,
        actor=desk.actor,
        authoriser=asked.authoriser,
        connector=asked.connector,
        options=options,
    )
    told = services.challenges.rotate(made.name, secret=secret, actor=desk.actor).secret if is_static else None
    waits = services.practice.pending_days if asked.authoriser is Authoriser.APPROVAL else None
    return EndpointOpened(secret=told, **_fields(desk, made), pending_days=waits)


def change_endpoint(desk: Desk, asked: ChangeEndpoint) -> EndpointOpened:
    """Let somebody else say yes there; where that is a static challenge, a new one is made and the former ones end.

    Raises `AdminError`: ADM-004 no such endpoint, or a disabled one, ADM-018 and ADM-024 as when it is created, RA-028,
    CON-064, CON-065.
    """
    before, services = _enabled(desk, asked.name), desk.services
    _check_secret(asked.authoriser, asked.secret)
    _check_connector(desk, asked.connector)
    secret = services.challenges.checked(asked.secret) if asked.secret is not None else None
    after = services.registry.change_endpoint(
        before, authoriser=asked.authoriser, connector=asked.connector, actor=desk.actor
    )
    told = None
    if after.authoriser in _WITH_STATIC and before.authoriser not in _WITH_STATIC:
        told = services.challenges.rotate(after.name, secret=secret, overlap=timedelta(0), actor=desk.actor).secret
    waits = services.practice.pending_days if asked.authoriser is Authoriser.APPROVAL else None
    return EndpointOpened(secret=told, **_fields(desk, after), pending_days=waits)


def plan_change(desk: Desk, asked: ChangeEndpoint) -> tuple[str, ...]:
    """Say who says yes from now on, and who cannot come any more."""
    endpoint = _enabled(desk, asked.name)
    _check_secret(asked.authoriser, asked.secret)
    _check_connector(desk, asked.connector)
    who = f"connector {asked.connector}" if asked.connector is not None else asked.authoriser.value
    steps = [f"have {who} say yes at {endpoint.name} instead of {endpoint.connector or endpoint.authoriser.value}"]
    lost = len(good_challenges(desk, endpoint.name))
    if lost and asked.authoriser is not endpoint.authoriser:
        steps.append(f"take no open challenge of it any more: {lost}")
    return tuple(steps)


def _check_secret(authoriser: Authoriser, secret: str | None) -> None:
    if secret is not None and authoriser not in _WITH_STATIC:
        raise AdminError(reasons.USAGE, "a secret is for a static challenge: static or approval")


def _check_connector(desk: Desk, name: str | None) -> None:
    """See that a connector is there and can vouch. Its name is no secret to who arranges endpoints."""
    if name is None:
        return
    connector = found_connector(desk, name)
    if Ability.VOUCHES not in desk.services.connectors.abilities(connector):
        raise AdminError(reasons.CONNECTOR_UNFIT, f"{name} is of kind {connector.kind}, which vouches for nobody")


def _profile_of(desk: Desk, asked: CreateEndpoint) -> str:
    """Look the profile up; one of another group is none."""
    try:
        return found_profile(desk, asked.profile).name
    except AdminError:
        raise AdminError(reasons.NOT_FOUND, f"group {asked.group} with a profile {asked.profile}") from None


def rotate_secret(desk: Desk, asked: RotateSecret) -> SecretRotated:
    """Give it a new static challenge. Two are good at a time at most.

    Raises `AdminError`: ADM-004 no such endpoint, or none with static challenges, ADM-018 a span of more than 30 days,
    ADM-024 a secret that anybody could guess, or that was used before.
    """
    endpoint, services = found_endpoint(desk, asked.name), desk.services
    before = good_challenges(desk, endpoint.name)
    overlap = span_of(asked.overlap, "--overlap")
    minted = services.challenges.rotate(endpoint.name, secret=asked.secret, overlap=overlap, actor=desk.actor)
    after = {each.id: each for each in services.store.challenges(endpoint.name)}
    at = minted.challenge.created_at
    former = tuple(_former(after[each.id], at) for each in before)
    return SecretRotated(secret=minted.secret, **_fields(desk, endpoint), former=former)


def list_endpoints(desk: Desk, asked: ListEndpoints) -> Page[EndpointRecord]:
    """List them, the oldest first."""
    if asked.group is not None:
        found_group(desk, asked.group)
    return page_of_few(
        asked,
        "endpoint.list",
        (
            each
            for each in desk.services.store.endpoints()
            if each.group in desk.reach and asked.group in (None, each.group)
        ),
        place=lambda each: (millis(each.created_at), each.name),
        words=lambda each: (each.name, each.group, each.profile),
        record=lambda each: EndpointRecord(**_fields(desk, each)),
    )


def show_endpoint(desk: Desk, asked: EndpointName) -> EndpointShown:
    """Show it with the fingerprints that a device's configuration asks for."""
    endpoint, store = found_endpoint(desk, asked.name), desk.services.store
    more: dict[str, Any] = {}
    if endpoint.authoriser in _WITH_STATIC:
        good = good_challenges(desk, endpoint.name)
        more["static_challenges"] = tuple(f"{each.id} {_good_until(each)}" for each in good)
    page, door = store.ndes_page(endpoint.name), store.door(endpoint.name)
    if page is not None:
        more["ndes_page"] = NdesRecord(**ndes_fields(page))
    if door is not None:
        more |= {"authority": door.authority.name, "ra_not_after": door.ra.not_after}
        for whose, certificate in (("authority", door.authority), ("root", door.root)):
            hashes = fingerprints(certificate.certificate_der)
            more |= {f"{whose}_{kind}": value for kind, value in hashes.items()}
    return EndpointShown(**_fields(desk, endpoint), **more)


def disable_endpoint(desk: Desk, asked: EndpointName) -> EndpointRecord:
    """Close it for good. Raises `AdminError` ADM-004, also where it is disabled already."""
    _enabled(desk, asked.name)
    desk.services.registry.disable_endpoint(asked.name, actor=desk.actor)
    return EndpointRecord(**_fields(desk, found_endpoint(desk, asked.name)))


def plan_disabling(desk: Desk, asked: EndpointName) -> tuple[str, ...]:
    """Say who cannot come any more."""
    endpoint = _enabled(desk, asked.name)
    effect = f"no device of group {endpoint.group} enrols or renews there any more"
    lost = len(good_challenges(desk, endpoint.name))
    closing = f"close {_url(desk, endpoint)} for good: {effect}; open challenges lost: {lost}"
    held = _pending(desk, endpoint)
    if not held:
        return (closing,)
    return (closing, f"leave {held} pending enrolment{'s' if held > 1 else ''} that can only be denied then")


def _enabled(desk: Desk, name: str) -> Endpoint:
    endpoint = found_endpoint(desk, name)
    if not endpoint.enabled:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name} is disabled already")
    return endpoint


def _url(desk: Desk, endpoint: Endpoint) -> str:
    return desk.services.urls.endpoint(endpoint.protocol, endpoint.name)


def _former(challenge: Challenge, at: datetime) -> FormerChallenge:
    ended = challenge.revoked_at is not None or challenge.expires_at <= at
    until = challenge.expires_at if challenge.expires_at < NO_EXPIRY and not ended else None
    return FormerChallenge(id=challenge.id, ended=ended, good_until=until)


def _good_until(challenge: Challenge) -> str:
    """Say until when a challenge is good, as far as is known now."""
    return "until rotated" if challenge.expires_at >= NO_EXPIRY else f"until {utc(challenge.expires_at)}"


def _pending(desk: Desk, endpoint: Endpoint) -> int:
    """Count what waits for approval; none does at other endpoints than those with approval."""
    if endpoint.authoriser is not Authoriser.APPROVAL:
        return 0
    wanted, store = EnrolmentFilter(EnrolmentState.PENDING, endpoint.name, limit=1), desk.services.store
    counted = store.enrolment_page(wanted).total
    if counted is not None and counted <= COUNTED:
        return counted
    return len(store.enrolments(replace(wanted, limit=_MOST_PENDING)))


def _fields(desk: Desk, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "url": _url(desk, endpoint),
        "enabled": endpoint.enabled,
        "group": endpoint.group,
        "protocol": endpoint.protocol,
        "profile": endpoint.profile,
        "authoriser": endpoint.authoriser,
        "connector": endpoint.connector,
        "pending": _pending(desk, endpoint),
        "include_root": endpoint.include_root,
        "check_signing_time": endpoint.check_signing_time,
        "legacy": endpoint.legacy,
        "non_rsa": endpoint.non_rsa,
        "created_at": endpoint.created_at,
    }


CREATE = Verb(
    "endpoint.create",
    "POST",
    "/endpoints",
    Right.ARRANGE,
    CreateEndpoint,
    EndpointOpened,
    create_endpoint,
    "Open an endpoint. The static challenge, where it has one, is in this answer only.",
    secret=True,
)
ROTATE_SECRET = Verb(
    "endpoint.rotate-secret",
    "POST",
    "/endpoints/{name}/rotate-secret",
    Right.ARRANGE,
    RotateSecret,
    SecretRotated,
    rotate_secret,
    "Give an endpoint a new static challenge, which is in this answer only.",
    secret=True,
)
LIST = Verb(
    "endpoint.list",
    "GET",
    "/endpoints",
    Right.READ,
    ListEndpoints,
    Page[EndpointRecord],
    list_endpoints,
    "List the endpoints with their URLs, the oldest first.",
)
SHOW = Verb(
    "endpoint.show",
    "GET",
    "/endpoints/{name}",
    Right.READ,
    EndpointName,
    EndpointShown,
    show_endpoint,
    "Show an endpoint: its URL, and the fingerprints that a device's configuration asks for.",
)
DISABLE = Verb(
    "endpoint.disable",
    "POST",
    "/endpoints/{name}/disable",
    Right.ARRANGE,
    EndpointName,
    EndpointRecord,
    disable_endpoint,
    "Close an endpoint for good: devices can neither enrol nor renew there. Their certificates stay valid.",
    plan=plan_disabling,
)

CHANGE = Verb(
    "endpoint.change",
    "POST",
    "/endpoints/{name}/change",
    Right.ARRANGE,
    ChangeEndpoint,
    EndpointOpened,
    change_endpoint,
    "Let somebody else say yes at an endpoint: a challenge, an administrator or a connector.",
    plan=plan_change,
    secret=True,
)

VERBS = (CREATE, CHANGE, ROTATE_SECRET, LIST, SHOW, DISABLE)
