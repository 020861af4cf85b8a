"""Publishing CRLs beside a server that may be doing the same."""

from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.crl_plan import lists_of
from regalia.cli.context import administrator
from regalia.errors import UnavailableError

if TYPE_CHECKING:
    from regalia.app import App

__all__ = ["publish"]

_RACES = 3


def publish(regalia: "App", authority: str) -> None:
    """Publish all lists of an authority now; what `serve` published meanwhile will do, if it says everything.

    Raises `UnavailableError` CA-010 where the key is elsewhere, CA-013 where others are always faster.
    """
    known = regalia.store.authority(authority)
    for shard in lists_of(known) if known is not None else (0,):
        _publish(regalia, authority, shard)


def _publish(regalia: "App", authority: str, shard: int) -> None:
    for turn in range(1, _RACES + 1):
        try:
            regalia.crls.publish(authority, administrator(), shard=shard)
        except UnavailableError as error:
            if error.reason is not reasons.IN_PROGRESS or turn == _RACES:
                raise
            if not regalia.crls.due(authority, shard):
                return
        else:
            return
