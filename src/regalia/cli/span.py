"""Spans of time as they are typed: 90s, 60m, 8h, 7d."""

import re
from datetime import timedelta
from typing import Final

from regalia import reasons
from regalia.errors import AdminError

__all__ = ["read_span"]

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_span(option: str, text: str) -> timedelta:
    """Read what was given with an option. Raises `AdminError` ADM-018 that names it."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise AdminError(reasons.USAGE, f"{option} {text}: write a number and s, m, h or d, as in 60m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
