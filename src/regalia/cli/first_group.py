"""The first group: what `init` makes, or the first `ca accept` where the root's key is elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.cli.context import administrator

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Group

__all__ = ["ENDPOINT", "GROUP", "PROFILE", "open_first_group"]

GROUP = "default"
PROFILE = "eap-tls"
ENDPOINT = "default"


def open_first_group(regalia: App, authority: str | None = None) -> Group:
    """Make the first group with a profile and a SCEP endpoint; with a new authority unless one is named."""
    from regalia.ca.profile import DEFAULT_DOCUMENT  # noqa: PLC0415 - help must not wait for it

    actor = administrator()
    group = regalia.registry.create_group(GROUP, actor=actor, authority=authority)
    regalia.registry.create_profile(PROFILE, GROUP, DEFAULT_DOCUMENT, actor=actor)
    regalia.registry.create_endpoint(ENDPOINT, group=GROUP, profile=PROFILE, actor=actor)
    return group
