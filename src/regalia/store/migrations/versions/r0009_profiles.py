"""Profiles of the authority: all that is new about them stands in their documents."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Change nothing: a document and a set of names are text, and both read as they were written before."""
