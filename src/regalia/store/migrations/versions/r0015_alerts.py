"""Alerts and what jobs did."""

from __future__ import annotations

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Change nothing yet."""
