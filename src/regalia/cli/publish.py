"""Publishing CRLs, in the name of who commands here."""

from typing import TYPE_CHECKING

from regalia.cli.context import administrator
from regalia.verbs.publishing import publish_lists

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["publish"]


def publish(regalia: "App", authority: str) -> None:
    """Publish all lists of an authority now. Raises what `publish_lists` does."""
    publish_lists(regalia, authority, administrator())
