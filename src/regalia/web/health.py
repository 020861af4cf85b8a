"""Health: alive means that the loop answers; ready means that a device that asks now gets its certificate."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from regalia.ca.crl_plan import lists_of
from regalia.errors import UnavailableError
from regalia.model import STANDING_PURPOSES, AuthorityKind, AuthorityState, crl_name
from regalia.ports import Authorities, Crls, Probe
from regalia.reasons import SIGNER_AWAY
from regalia.web.answers import NO_STORE, answer
from regalia.wire.certificate import read_certificate

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from starlette.types import Receive, Scope, Send

    from regalia.model import Authority
    from regalia.ports import Clock, CrlFiles, KeyStore
    from regalia.web.answers import Answer
    from regalia.web.pool import Pool

__all__ = ["ALIVE", "Readiness", "ReadinessStore", "ReadyFace"]

_JSON = b"application/json"
_FRESH = timedelta(seconds=1)
_CHECKS = ("database", "authorities", "keys", "crls")
_PATIENCE = timedelta(seconds=5)
"""How long the last answer stands while the database takes its time."""
_COPIED_WITHIN = timedelta(seconds=60)
"""A copy is made within seconds. A node that served an old CRL for longer would hold back a revocation (REV-3)."""

_log = structlog.get_logger("regalia.web")

ALIVE = answer(200, b'{"status":"ok"}', _JSON, NO_STORE)


class ReadinessStore(Authorities, Crls, Probe, Protocol):
    """What readiness asks."""


class Readiness:
    """Whether this process can issue, and can say what it has revoked."""

    def __init__(self, store: ReadinessStore, keys: KeyStore, crl_files: CrlFiles, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._crl_files = crl_files
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[datetime, dict[str, bool]] | None = None
        self._looking = clock.now()
        self._trouble = ""

    def checks(self) -> dict[str, bool]:
        """Return what was checked. An answer is good for a second: strangers may ask as often as they like."""
        last, now = self._last, self._clock.now()
        if last is not None and timedelta(0) <= now - last[0] < _FRESH:
            return last[1]
        # A database that hangs keeps one thread, and not everyone who asks meanwhile.
        if not self._lock.acquire(blocking=last is None):
            hangs = abs(now - self._looking) > _PATIENCE
            return dict.fromkeys(_CHECKS, False) if last is None or hangs else last[1]
        try:
            self._looking = now
            found = self._look(now)
            self._tell(last[1] if last is not None else None, found)
            self._last = (now, found)
        finally:
            self._lock.release()
        return found

    def _look(self, now: datetime) -> dict[str, bool]:
        try:
            # A write, since that is what an enrolment needs: on a full disk everything can still be read.
            self._store.probe(now)
            issuing = [
                authority
                for authority in self._store.authorities()
                if authority.kind is AuthorityKind.ISSUING and authority.state is AuthorityState.ACTIVE
            ]
            keys = all(self._has(key_id) for authority in issuing for key_id in self._key_ids(authority))
            crls = all(self._fresh(authority, now) for authority in issuing)
            valid = all(_is_valid(authority, now) for authority in issuing)
        except UnavailableError as unavailable:
            self._trouble = unavailable.detail
            return dict.fromkeys(_CHECKS, False)
        return dict(zip(_CHECKS, (True, bool(issuing) and valid, bool(issuing) and keys, crls), strict=True))

    def _tell(self, before: dict[str, bool] | None, found: dict[str, bool]) -> None:
        """Log each change, once: whoever runs the server reads there what `/readyz` tells nobody."""
        failed = [name for name, fine in found.items() if not fine]
        if failed and found != before:
            _log.warning("not-ready", checks=failed, detail=self._trouble if "database" in failed else "")
        elif not failed and before is not None and found != before:
            _log.info("ready")

    def _has(self, key_id: UUID) -> bool:
        """Whether a key can be used; a signer that is away holds up issuing, and nothing else."""
        try:
            return self._keys.holds(key_id)
        except UnavailableError as unavailable:
            if unavailable.reason is not SIGNER_AWAY:
                raise
            return False

    def _key_ids(self, authority: Authority) -> list[UUID]:
        newest = [self._store.credentials(purpose, authority.name)[:1] for purpose in STANDING_PURPOSES]
        return [authority.key_id, *(credential.key_id for found in newest for credential in found)]

    def _fresh(self, authority: Authority, now: datetime) -> bool:
        """Whether there is a CRL that is good now, and this node serves it or has had no minute yet to take it over."""
        return all(self._list_fresh(crl_name(authority.name, shard), now) for shard in lists_of(authority))

    def _list_fresh(self, name: str, now: datetime) -> bool:
        last = self._store.last_crl(name)
        if last is None or now >= last.next_update:
            return False
        here = self._crl_files.digest(name)
        return here == last.sha256 or (here is not None and now - last.published_at < _COPIED_WITHIN)


def _is_valid(authority: Authority, now: datetime) -> bool:
    facts = read_certificate(authority.certificate_der)
    return facts.not_before <= now < facts.not_after


class ReadyFace:
    """`/readyz`: 200 or 503, and which of the checks failed, in words that name nothing of the inside."""

    def __init__(self, readiness: Readiness, pool: Pool) -> None:
        self._readiness = readiness
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = await self._pool.run(self._answer)
        await given(scope, receive, send)

    def _answer(self) -> Answer:
        checks = self._readiness.checks()
        ready = all(checks.values())
        body = json.dumps({"ready": ready, "checks": checks}, separators=(",", ":")).encode()
        retry = () if ready else ((b"retry-after", b"10"),)
        return answer(200 if ready else 503, body, _JSON, NO_STORE, *retry)
