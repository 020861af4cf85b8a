"""What the first page counts: counting it, and keeping it, so that no page counts a million rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from regalia.model.figures import Counted, Figure, Subject

__all__ = ["HORIZONS", "Counting", "Figures"]

HORIZONS: Final = (7, 30, 90)
"""Days within which certificates end, as they are counted."""


class Counting(Protocol):
    """Counts certificates of devices and enrolments, by group. What belongs to no group is counted under the name ``.

    Live is what is issued, has not ended and is neither revoked nor on hold.
    """

    def first_issued(self) -> datetime | None:
        """Return when the first one was begun; None where there is none."""

    def count_outcomes(self, begin: datetime, end: datetime) -> tuple[Figure, ...]:
        """Count what was begun and issued, and what was refused, from `begin` to before `end`.

        `part` is the endpoint, `what` the reason that refused, empty where it was issued.
        """

    def count_standing(self, now: datetime) -> tuple[Figure, ...]:
        """Count live certificates. `part` is the issuer, `what` the first of `HORIZONS` that they end within."""

    def count_devices(self, now: datetime) -> tuple[Figure, ...]:
        """Count the devices of live certificates, by record or else by name; one in two groups counts in both."""

    def count_lapsed(self, since: datetime, now: datetime) -> tuple[Figure, ...]:
        """Count those that ended between, not revoked or held, which no other one of chain, device or name followed."""

    def count_ended(self, since: datetime) -> tuple[Figure, ...]:
        """Count what was revoked since then, or is on hold since then or later.

        `part` is the cause: of what followed the earliest that held then (`model.fleet.Cause`), else who had it done,
        as `administrator` or `superseded`. `what` is `revoked` or `held`.
        """

    def count_waits(self, since: datetime) -> tuple[Figure, ...]:
        """Count what followed by itself since then, at the first time for each certificate.

        `part` is the cause, `what` the milliseconds from when it was said to the revocation or the hold.
        """


class Figures(Protocol):
    """Keeps what was counted: of each subject, and day where it has days, the last time."""

    def keep_figures(self, counted: Sequence[Counted]) -> None:
        """Replace what was kept of these."""

    def figures(self, since: date, groups: frozenset[str] | None) -> tuple[Counted, ...]:
        """Return all of these groups (None: of all), without the days before; in no order.

        Those of `Subject.STANDING` are by group, all others sums.
        """

    def figures_kept(self) -> Mapping[tuple[Subject, date | None], datetime]:
        """Say of which subjects and days something is kept, and when it was counted."""

    def forget_figures(self, before: date) -> None:
        """Delete those of earlier days."""
