"""The first group, in the name of who commands here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.cli.context import administrator
from regalia.verbs.first_group import ENDPOINT, GROUP, PROFILE, make_first_group

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.model import Group

__all__ = ["ENDPOINT", "GROUP", "PROFILE", "open_first_group"]


def open_first_group(regalia: App, authority: str | None = None) -> Group:
    """Make it; with a new authority unless one is named."""
    return make_first_group(regalia, administrator(), authority)
