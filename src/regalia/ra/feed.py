"""What a connector's system wants revoked: which certificate it means, whether that is its own, and what became of it.

A wish is a cause like others (`requested`): it is kept beside the certificate, the group's rules say what follows, and
the brake counts it. A serial number that is not a certificate of this connector's devices is not found, whosever it is:
a feed reaches no further than what its own system vouched for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.ca.revoke import is_final
from regalia.model.connector import NotAsked, RevocationResult
from regalia.model.fleet import Cause, FoundCause
from regalia.ports.fleet import Bearer
from regalia.ra.follow_run import follow_bearers

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from datetime import datetime
    from uuid import UUID

    from regalia.model import Certificate
    from regalia.model.connector import RevocationWish
    from regalia.ports.connectors import RevocationFeed
    from regalia.ra.follow_run import Done, FollowStore

__all__ = ["MOST_WISHES", "Answered", "answer_feed"]

MOST_WISHES: Final = 50
"""At a time; the others come again."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of some wishes."""

    results: tuple[RevocationResult, ...] = ()
    failed: NotAsked | None = None
    """The feed could not be read, or was not told; it says the same again."""


def answer_feed(store: FollowStore, name: str, feed: RevocationFeed, now: datetime) -> Answered:
    """Read a connector's feed once, do what follows, and report. Raises `UnavailableError` where the store is away."""
    wishes = feed.wishes(MOST_WISHES)
    if isinstance(wishes, NotAsked):
        return Answered(failed=wishes)
    if not wishes:
        return Answered()
    results = _granted(store, name, wishes, now)
    told = feed.report(results)
    return Answered(results, told if isinstance(told, NotAsked) else None)


def _granted(
    store: FollowStore, name: str, wishes: Sequence[RevocationWish], now: datetime
) -> tuple[RevocationResult, ...]:
    """Keep all the wishes first and count them together: a feed that wants too much at once gets nothing (REV-7)."""
    meant = [(wish, _meant(store, name, wish)) for wish in wishes]
    cause = FoundCause(Cause.REQUESTED, now, f"connector {name} asked for it")
    wanted = [each for _, each in meant if each is not None and not is_final(each)]
    busy = {each.id for each in wanted if not _keep(store, each, cause, now)}
    done = follow_bearers(store, [_bearer(each) for each in wanted], now)
    return tuple(_result(store, wish, each, done, busy) for wish, each in meant)


def _keep(store: FollowStore, certificate: Certificate, cause: FoundCause, now: datetime) -> bool:
    return store.follow(certificate.id, causes=(cause,), ended=(), status=None, release=False, at=now, events=())


def _result(
    store: FollowStore, wish: RevocationWish, certificate: Certificate | None, done: Done, busy: Container[UUID]
) -> RevocationResult:
    if certificate is None:
        return RevocationResult(wish.context, done=False, found=False, detail="no certificate of this connector's")
    if is_final(certificate):
        return RevocationResult(wish.context, done=True, detail="it was revoked before")
    after = store.certificate(certificate.id)
    if after is not None and is_final(after):
        return RevocationResult(wish.context, done=True)
    if certificate.id in busy:
        return RevocationResult(wish.context, done=False, retry=True, detail="its status is just changing")
    if done.why:
        return RevocationResult(wish.context, done=False, retry=True, detail="; ".join(done.why))
    # Its group says that something else follows: that is an answer, and no fault that passes.
    return RevocationResult(wish.context, done=False, detail="its group's rules do not revoke it")


def _bearer(certificate: Certificate) -> Bearer:
    intent = certificate.intent
    return Bearer(intent.device_id, None) if intent.device_id is not None else Bearer(None, intent.user_id)


def _meant(store: FollowStore, name: str, wish: RevocationWish) -> Certificate | None:
    """Find the certificate by the likeliest of the serial numbers that the wish may mean."""
    for serial in wish.serials:
        found = [
            each
            for each in store.find_serial(serial)
            if wish.authority in (None, each.intent.authority) and _is_of(store, name, each)
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _is_of(store: FollowStore, name: str, certificate: Certificate) -> bool:
    """Whether it is bound to a record of this connector."""
    device_id, user_id = certificate.intent.device_id, certificate.intent.user_id
    record = store.device(device_id) if device_id is not None else None
    if record is None and user_id is not None:
        owner = store.user(user_id)
        return owner is not None and owner.connector == name
    return record is not None and record.connector == name
