"""Publishing CRLs beside a server that may be doing the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.crl_plan import lists_of
from regalia.errors import UnavailableError

if TYPE_CHECKING:
    from regalia.model import Actor
    from regalia.verbs.services import Services

__all__ = ["publish_lists"]

_RACES = 3


def publish_lists(services: Services, authority: str, actor: Actor) -> None:
    """Publish all lists of an authority now; what `serve` published meanwhile will do, if it says everything.

    Raises `UnavailableError` CA-010 where the key is elsewhere, CA-013 where others are always faster.
    """
    known = services.store.authority(authority)
    for shard in lists_of(known) if known is not None else (0,):
        _publish(services, authority, shard, actor)


def _publish(services: Services, authority: str, shard: int, actor: Actor) -> None:
    for turn in range(1, _RACES + 1):
        try:
            services.crls.publish(authority, actor, shard=shard)
        except UnavailableError as error:
            if error.reason is not reasons.IN_PROGRESS or turn == _RACES:
                raise
            if not services.crls.due(authority, shard):
                return
        else:
            return
