"""Renews what would expire by itself: RA and OCSP credentials, and the listeners' certificates (R11)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from regalia.ca.authority import renewal_due
from regalia.errors import InvariantError, RegaliaError
from regalia.jobs.loop import Scope
from regalia.model import STANDING_PURPOSES, Actor, ActorKind, AuthorityKind, AuthorityState, CredentialPurpose
from regalia.wire.event import time_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from regalia.ca.authority import Ceremony
    from regalia.ca.server_certificate import ServerCertificates
    from regalia.model import Authority
    from regalia.ports import Authorities, Successions

__all__ = ["RENEWAL", "RenewAdminTls", "RenewCredentials", "RenewTls"]

RENEWAL = Actor(ActorKind.SYSTEM, "renewal")

_ISSUES = frozenset({AuthorityState.NEXT, AuthorityState.ACTIVE})
_ANSWERS = frozenset({AuthorityState.RETIRING, AuthorityState.REVOKED})

_log = structlog.get_logger("regalia.jobs")


class RenewCredentials:
    """Makes a successor for each credential that is due, with a new key."""

    name = "renew-credentials"
    every = timedelta(minutes=10)
    scope = Scope.CLUSTER

    def __init__(self, authorities: Authorities, successions: Successions, ceremony: Ceremony) -> None:
        self._authorities = authorities
        self._successions = successions
        self._ceremony = ceremony

    def run(self, now: datetime) -> None:
        """Renew what is due. What one authority's key cannot do keeps no other waiting; all failures are raised."""
        failures: list[Exception] = []
        for authority in self._authorities.authorities():
            for purpose in self._wanted(authority, now):
                try:
                    self._renew(authority, purpose, now)
                except (RegaliaError, InvariantError) as failure:
                    failures.append(failure)
        if failures:
            raise ExceptionGroup("credentials not renewed", failures)

    def _wanted(self, authority: Authority, now: datetime) -> tuple[CredentialPurpose, ...]:
        """List the credentials that go on: all while it issues or will, status alone while what it issued lives."""
        if authority.kind is not AuthorityKind.ISSUING:
            return ()
        if authority.state in _ISSUES:
            return STANDING_PURPOSES
        lives = authority.state in _ANSWERS and self._successions.lives_on(authority.name, now)
        return (CredentialPurpose.OCSP,) if lives else ()

    def _renew(self, authority: Authority, purpose: CredentialPurpose, now: datetime) -> None:
        # An authority without any belongs to no group yet: `group create` makes the first ones.
        for newest in self._authorities.credentials(purpose, authority.name)[:1]:
            # An authority that is its own RA has that for life: `ca rotate` replaces both.
            if renewal_due(newest, now) and newest.key_id != authority.key_id:
                made = self._ceremony.create_credential(purpose, authority, actor=RENEWAL)
                _log.info(
                    "credential-renewed",
                    authority=authority.name,
                    purpose=purpose.value,
                    not_after=time_text(made.not_after),
                )


class RenewTls:
    """Makes the device listener's certificate anew in time, or where it was revoked; listeners look for it themselves.

    On each node, for its own names; where several have the same, one of them issues.
    """

    name = "renew-tls"
    every = timedelta(minutes=1)
    scope = Scope.NODE

    def __init__(self, certificates: ServerCertificates) -> None:
        self._certificates = certificates

    def run(self, now: datetime) -> None:
        """Renew if it is time."""
        del now
        made = self._certificates.renew(RENEWAL)
        if made is not None:
            _log.info("tls-certificate-renewed", authority=made.authority, not_after=time_text(made.not_after))


class RenewAdminTls:
    """Lets the admin listener's own certificate be made anew in time; each worker takes over the new files."""

    name = "renew-admin-tls"
    every = timedelta(hours=6)
    scope = Scope.NODE

    def __init__(self, renew: Callable[[datetime], bool]) -> None:
        """`renew` makes new files if it is time, and says whether it did."""
        self._renew = renew

    def run(self, now: datetime) -> None:
        """Renew if it is time."""
        if self._renew(now):
            _log.info("admin-certificate-renewed")
