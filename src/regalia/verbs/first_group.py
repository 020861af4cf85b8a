"""The first group: what `init` makes, or the first acceptance of a certificate where the root's key is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.ca.profile import DEFAULT_DOCUMENT

if TYPE_CHECKING:
    from regalia.model import Actor, Group
    from regalia.verbs.services import Services

__all__ = ["ENDPOINT", "GROUP", "PROFILE", "make_first_group"]

GROUP: Final = "default"
PROFILE: Final = "eap-tls"
ENDPOINT: Final = "default"


def make_first_group(services: Services, actor: Actor, authority: str | None = None) -> Group:
    """Make the first group with a profile and a SCEP endpoint; with a new authority unless one is named."""
    registry = services.registry
    group = registry.create_group(GROUP, actor=actor, authority=authority)
    registry.create_profile(PROFILE, GROUP, DEFAULT_DOCUMENT, actor=actor)
    registry.create_endpoint(ENDPOINT, group=GROUP, profile=PROFILE, actor=actor)
    return group
