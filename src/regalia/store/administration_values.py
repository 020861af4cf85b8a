"""Values of administration as column values, and back; what several of its nouns share."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from regalia.model import Grant, Reach, Role
from regalia.store.values import millis

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from regalia.store.session import Columns

__all__ = ["grants_text", "json_text", "read_grants", "use_note"]

_MINUTE = timedelta(minutes=1)


def use_note(which: UUID, at: datetime) -> Columns:
    """Make the parameters that note a use of something, unless one of the last minute is noted."""
    return {"which": which.bytes, "at": millis(at), "before": millis(at - _MINUTE)}


def grants_text(grants: Iterable[Grant]) -> str:
    """JSON of grants: role and groups, null for everywhere."""
    told = [[each.role, None if each.reach.groups is None else sorted(each.reach.groups)] for each in grants]
    return json_text(told)


def json_text(value: object) -> str:
    """JSON without white space, ASCII only."""
    return json.dumps(value, separators=(",", ":"))


def read_grants(kept: str) -> tuple[Grant, ...]:
    """Read what `grants_text` wrote."""
    told: list[Any] = json.loads(kept)
    return tuple(Grant(Role(role), Reach(None if groups is None else frozenset(groups))) for role, groups in told)
