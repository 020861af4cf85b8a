"""Figures: what was counted, when, and of which part of it; what they are counted of is in `ports.figures`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

__all__ = ["Counted", "Figure", "Subject"]


class Subject(StrEnum):
    """What is counted. Each says what `Figure.part` and `Figure.what` are of it."""

    OUTCOMES = "outcomes"
    """How enrolments ended on a day: the source that they came by; the id of the reason, empty where it was issued."""
    SO_FAR = "so-far"
    """What was issued on an earlier day until the time of day when it was counted."""
    STANDING = "standing"
    """Live certificates: their issuer; within how many days they end, empty beyond the last of `HORIZONS`."""
    DEVICES = "devices"
    """Devices that have a live certificate."""
    LAPSED = "lapsed"
    """Certificates that ended in 30 days, which nothing came after."""
    ENDED_DAY = "ended-day"
    """Certificates that were revoked, or held until now, in 24 hours: the cause; `revoked` or `held`."""
    ENDED_MONTH = "ended-month"
    """The same in 30 days."""
    WAITED = "waited"
    """What followed today without a delay in the rules: the cause; the milliseconds that it took since the news."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How many of one group, or of all those that were asked for. Figures of one subject can be added up."""

    number: int
    group: str = ""
    part: str = ""
    what: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """All figures of a subject, of one day (UTC) where it has days. What is not among them is none."""

    subject: Subject
    at: datetime
    """When they were counted."""
    figures: tuple[Figure, ...]
    day: date | None = None
