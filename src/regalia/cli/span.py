"""Spans of time as they are typed: 90s, 60m, 8h, 7d."""

from typing import TYPE_CHECKING

from regalia.verbs.fields import span_of

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["checked_span", "read_span"]


def read_span(option: str, text: str) -> "timedelta":
    """Read what was given with an option. Raises `AdminError` ADM-018 that names it."""
    return span_of(text, option)


def checked_span(option: str, text: str) -> str:
    """Return what was given with an option, for a verb to read. Raises what `read_span` does."""
    span_of(text, option)
    return text
