"""Marks texts that are translated where they are shown, and not where they stand."""

from __future__ import annotations

__all__ = ["marked"]


def marked(text: str) -> str:
    """Return a text as it is: the catalogues' extraction finds it by this call."""
    return text
