"""Looking things up for a desk: what is not there and what the caller does not see are the same (AUTHZ-4).

Each raises `AdminError` ADM-004 with the same words for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.errors import AdminError
from regalia.ports import ChallengeFilter
from regalia.ports.fleet import DeviceFilter
from regalia.ra.figures import endpoints_of_source
from regalia.verbs.lookup import by_prefix
from regalia.verbs.paging import MOST

if TYPE_CHECKING:
    from uuid import UUID

    from regalia.model import Authority, Challenge, Endpoint, Group, Profile
    from regalia.model.connector import Connector
    from regalia.model.fleet import Device
    from regalia.verbs.verb import Desk

__all__ = [
    "endpoints_of",
    "found_authority",
    "found_challenge",
    "found_connector",
    "found_device",
    "found_endpoint",
    "found_group",
    "found_profile",
    "seen_endpoints",
]


def found_group(desk: Desk, name: str) -> Group:
    """Look a group up."""
    group = desk.services.store.group(name)
    if group is None or group.name not in desk.reach:
        raise AdminError(reasons.NOT_FOUND, f"group {name}")
    return group


def found_endpoint(desk: Desk, name: str) -> Endpoint:
    """Look an endpoint up."""
    endpoint = desk.services.store.endpoint(name)
    if endpoint is None or endpoint.group not in desk.reach:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {name}")
    return endpoint


def found_profile(desk: Desk, name: str, version: int | None = None) -> Profile:
    """Look a profile up: one version, or the newest."""
    profile = desk.services.store.profile(name, version)
    if profile is None or profile.group not in desk.reach:
        which = f" version {version}" if version is not None else ""
        raise AdminError(reasons.NOT_FOUND, f"profile {name}{which}")
    return profile


def found_authority(desk: Desk, name: str) -> Authority:
    """Look an authority up: of a group that the caller sees, or one above all groups."""
    authority = desk.services.store.authority(name)
    if authority is None or (authority.group is not None and authority.group not in desk.reach):
        raise AdminError(reasons.NOT_FOUND, f"authority {name}")
    return authority


def seen_endpoints(desk: Desk) -> frozenset[str]:
    """Name the endpoints of the groups that the caller sees."""
    return frozenset(each.name for each in desk.services.store.endpoints() if each.group in desk.reach)


def endpoints_of(desk: Desk, source: str) -> frozenset[str]:
    """Name the endpoints, and the doors of administrators, that a way of enrolling has: none for an unknown one."""
    store = desk.services.store
    return endpoints_of_source(source, store.endpoints(), store.profiles())


def found_challenge(desk: Desk, text: str) -> Challenge:
    """Look a challenge up by its id, or the beginning of it. Raises ADM-018, too, where that does not tell which."""
    store, groups = desk.services.store, desk.reach.groups

    def by_id(challenge_id: UUID) -> Challenge | None:
        found = store.challenge_by_id(challenge_id)
        return found if found is not None and found.endpoint in seen_endpoints(desk) else None

    return by_prefix(
        text,
        "challenge",
        by_id,
        lambda: store.challenge_page(ChallengeFilter(limit=MOST, groups=groups, search=text)).items,
    )


def found_connector(desk: Desk, name: str) -> Connector:
    """Look a connector up: it belongs to no group, so only a verb that counts everywhere shows one."""
    connector = desk.services.store.connector(name)
    if connector is None:
        raise AdminError(reasons.NOT_FOUND, f"connector {name}")
    return connector


def found_device(desk: Desk, text: str) -> Device:
    """Look a device up by the id of its record, or the beginning of it; one of no group only for who sees all."""
    store, groups = desk.services.store, desk.reach.groups

    def by_id(device_id: UUID) -> Device | None:
        found = store.device(device_id)
        return found if found is not None and found.group in desk.reach else None

    return by_prefix(
        text, "device", by_id, lambda: store.device_page(DeviceFilter(groups=groups, search=text, limit=MOST)).items
    )
