"""The management's part in an enrolment: a profile is made a device's own and handed to it, with a challenge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.lab.challenge import mint, rendered_names
from regalia.lab.devices.delivery import Delivery

if TYPE_CHECKING:
    from regalia.lab.challenge import ChallengeService
    from regalia.lab.directory import ManagedDevice, ScepProfile
    from regalia.lab.tenant import Tenant

__all__ = ["delivered"]


def delivered(service: ChallengeService, tenant: Tenant, managed: ManagedDevice, profile: ScepProfile) -> Delivery:
    """Return what a device gets; a `ValueError` where the profile is not for it."""
    challenge = mint(service, tenant, managed, profile)
    subject, sans = rendered_names(tenant, managed, profile)
    return Delivery(
        urls=profile.scep_urls,
        subject=tuple(subject),
        challenge=challenge,
        sans=tuple(sans),
        key_usage=tuple(sorted(profile.key_usage)),
        ekus=profile.ekus,
        key_size=profile.key_size,
        hash_algorithm=profile.hash_algorithm,
        root_thumbprint=profile.root_thumbprint,
        trusted_root=profile.trusted_root,
        renewal_threshold=profile.renewal_threshold,
    )
