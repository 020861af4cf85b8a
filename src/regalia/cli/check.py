"""What one check of `doctor` is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from regalia.cli.output import utc

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Check", "Level", "left"]


class Level(StrEnum):
    """How bad it is. Only a problem makes `doctor` end with 3."""

    OK = "ok"
    WARN = "warn"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    level: Level
    finding: str
    remedy: str = ""


def left(now: datetime, end: datetime) -> str:
    """Say until when something is good."""
    if end <= now:
        return f"ended on {utc(end)}"
    days = (end - now).days
    return f"is good until {utc(end)}, {days} day" + ("" if days == 1 else "s")
