"""What a connector can do for the core: each ability is a protocol of its own, and few connectors have them all.

A call waits for at most what its `within` says and raises nothing: what went wrong is a value, so that an outage is
neither an open door nor a mass revocation (CON-5). Implementations live in `connectors`, one file each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.model.connector import (
        Asked,
        Checked,
        IssuedNotice,
        NotAsked,
        Refused,
        RefusedNotice,
        ReportedDevice,
        ReportedUser,
        RevocationResult,
        RevocationWish,
        SweepPage,
        Told,
        Verdict,
    )

__all__ = ["Authorizer", "ChallengeMinter", "Inventory", "Link", "Notifier", "RevocationFeed"]


class Link(Protocol):
    """One configured connector, ready to be asked. What else it is, `isinstance` on the protocols below tells."""

    @property
    def name(self) -> str:
        """The connector's name."""

    def check(self) -> tuple[Checked, ...]:
        """Try each thing that it needs, one by one, and name what is missing; nothing changes anywhere."""


@runtime_checkable
class Authorizer(Protocol):
    """Vouches for requests."""

    def authorise(self, asked: Asked, *, within: float) -> Verdict:
        """Say whether the system vouches for this request. `within`: seconds that this may take (R8)."""


@runtime_checkable
class Notifier(Protocol):
    """Wants to be told of outcomes. Telling twice is harmless: the transaction's id is the same."""

    @property
    def confirms(self) -> bool:
        """Whether the device gets its certificate only once the system took note (R8)."""

    def issued(self, notice: IssuedNotice, *, within: float) -> Told | Refused | NotAsked:
        """Tell of a certificate that is signed and not yet handed out. `Refused` ⇒ it is revoked."""

    def refused(self, notice: RefusedNotice, *, within: float) -> Told | Refused | NotAsked:
        """Tell of a request that was allowed and came to nothing here."""


@runtime_checkable
class ChallengeMinter(Protocol):
    """Hands out challenges for a device itself; ours to an MDM that asks are `ra.challenges`'."""

    def mint(self, device: str, *, within: float) -> str | NotAsked:
        """Return a fresh challenge for a device, by the system's id of it."""


@runtime_checkable
class RevocationFeed(Protocol):
    """Lists certificates that its system wants revoked."""

    def wishes(self, most: int) -> tuple[RevocationWish, ...] | NotAsked:
        """Fetch some. They come again until a result was reported."""

    def report(self, results: Sequence[RevocationResult]) -> Told | NotAsked:
        """Report what became of them."""


@runtime_checkable
class Inventory(Protocol):
    """Knows devices and users."""

    def sweep(self, cursor: str | None) -> SweepPage | NotAsked:
        """Read one page, from where the last one ended; None: from the beginning. A cursor outlives restarts."""

    def changes(self, delta: str) -> SweepPage | NotAsked | None:
        """Read what changed since; None where the place is no longer known, so that a sweep is due."""

    def device(self, external_id: str, *, within: float) -> ReportedDevice | NotAsked | None:
        """Look one device up now; None: the system says that there is none (404), which alone confirms absence."""

    def user(self, external_id: str, *, within: float) -> ReportedUser | NotAsked | None:
        """Look one user up now."""
