"""What depends on what is about to end: how many devices, in words."""

from typing import TYPE_CHECKING

from regalia.model import CertificateKind
from regalia.ports import CertificateFilter

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["counted", "live_certificates"]

_MOST = 1_000


def live_certificates(regalia: "App", authority: str) -> int:
    """Count the device certificates of an authority that are in use; stops beyond a thousand."""
    now = regalia.clock.now()
    wanted = CertificateFilter(
        kind=CertificateKind.LEAF, authority=authority, revoked=False, live_at=now, limit=_MOST + 1
    )
    return len(regalia.store.certificates(wanted))


def counted(number: int, noun: str) -> str:
    """Say how many."""
    if number > _MOST:
        return f"more than {_MOST} {noun}s"
    return f"{number} {noun}" + ("" if number == 1 else "s")
