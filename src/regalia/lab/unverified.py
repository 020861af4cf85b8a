"""What nobody could check against a live tenant, each a switch: the emulator behaves either way.

An administrator or a test sets these where the truth turns out to be different; the connector has to live with both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENTRA_ANSWERS", "EntraAnswer", "Unverified"]


@dataclass(frozen=True, slots=True)
class EntraAnswer:
    """How the token endpoint says one thing."""

    code: int
    """AADSTS."""
    error: str
    """OAuth's."""
    status: int
    text: str


ENTRA_ANSWERS: Final[Mapping[str, EntraAnswer]] = MappingProxyType(
    {
        "unknown-tenant": EntraAnswer(90002, "invalid_request", 400, "Tenant '{detail}' not found."),
        "unknown-app": EntraAnswer(
            700016, "unauthorized_client", 400, "Application with identifier '{detail}' was not found in the directory."
        ),
        "missing-parameter": EntraAnswer(
            900144, "invalid_request", 400, "The request body must contain the following parameter: '{detail}'."
        ),
        "grant-type": EntraAnswer(70003, "unsupported_grant_type", 400, "The grant type '{detail}' is not supported."),
        "no-credential": EntraAnswer(
            7000216, "invalid_client", 401, "'client_assertion' or 'client_secret' is required for this grant type."
        ),
        "bad-secret": EntraAnswer(7000215, "invalid_client", 401, "Invalid client secret provided."),
        "expired-secret": EntraAnswer(7000222, "invalid_client", 401, "The provided client secret keys are expired."),
        "bad-scope": EntraAnswer(
            1002012, "invalid_scope", 400, "The scope '{detail}' is not valid: it must end with '/.default'."
        ),
        "unknown-resource": EntraAnswer(
            500011, "invalid_resource", 400, "The resource principal named {detail} was not found in the tenant."
        ),
        "several-scopes": EntraAnswer(70011, "invalid_scope", 400, "The scope '{detail}' is not valid."),
        "assertion": EntraAnswer(
            700027, "invalid_client", 401, "Client assertion failed signature validation: {detail}"
        ),
        "assertion-issuer": EntraAnswer(
            700021, "invalid_client", 401, "Client assertion application identifier doesn't match 'client_id'."
        ),
        "assertion-audience": EntraAnswer(
            700023, "invalid_client", 401, "Client assertion audience claim does not match: {detail}"
        ),
        "assertion-time": EntraAnswer(
            700024, "invalid_client", 401, "Client assertion is not within its valid time range: {detail}"
        ),
        "assertion-replayed": EntraAnswer(50013, "invalid_client", 401, "Client assertion was used before: {detail}"),
    }
)
"""Codes and statuses are from memory of what administrators meet; texts are ours."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """One field for each open question."""

    entra_answers: Mapping[str, EntraAnswer] = field(default_factory=lambda: ENTRA_ANSWERS)
    unknown_transaction: str = "Unknown"
    """What a notification of a transaction that was never validated is answered with."""
    single_use: bool = False
    """A challenge may be validated in one transaction only."""
    used_challenge: str = "ChallengeExpired"
    """What the second is answered with, where `single_use` is on."""
    clock_skew_seconds: int = 300
    """How far in the future a challenge may have been made."""
    cool_down_seconds: int = 3600
    """How long the revocation queue answers empty after a download."""
    revocation_role: str = "scep_challenge_provider"
    """What the feed needs; empty for any token of the right audience."""
    revokes_what_leaves: bool = True
    """Wiping, retiring, deleting, losing the profile and editing it enqueue what was issued."""
    narrow_permissions: bool = True
    """Device.Read.All and the like suffice; else Directory.Read.All is needed."""
    account_enabled_by_select_only: bool = True
    """Graph leaves a user's `accountEnabled` out unless it is selected."""
    devices_by_key: bool = True
    """`/devices(deviceId='…')` is understood."""
    most_groups: int = 20
    """How many ids `checkMemberGroups` takes."""
    stale_delta_code: str = "syncStateNotFound"
    """The code in the 410 that answers a token that is too old; `resyncRequired` is the other one."""
    risky_users: bool = True
    """`/identityProtection/riskyUsers/{id}` is the path."""
