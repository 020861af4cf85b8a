"""Which role may do what: one table (AUTHZ-1). Whatever it does not name is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.model import EVERYWHERE, Grant, Reach, Right, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EVERYTHING", "ROLES", "reach_of"]

_READING: Final = frozenset({Right.READ, Right.READ_LOG, Right.READ_ACCESS})

ROLES: Final[Mapping[Role, frozenset[Right]]] = {
    Role.ADMIN: frozenset(Right),
    Role.ADMIN_READ_ONLY: _READING | {Right.OWN},
    Role.OPERATOR: frozenset(
        {
            Right.READ,
            Right.READ_LOG,
            Right.OPEN_DOOR,
            Right.DECIDE,
            Right.REVOKE,
            Right.ISSUE,
            Right.ARRANGE,
            Right.CONTAIN,
            Right.OWN,
        }
    ),
    Role.OPERATOR_READ_ONLY: frozenset({Right.READ, Right.READ_LOG, Right.OWN}),
    Role.AUDITOR: _READING | {Right.OWN},
    Role.HELPDESK: frozenset({Right.READ, Right.OPEN_DOOR, Right.REVOKE, Right.OWN}),
    Role.HELPDESK_READ_ONLY: frozenset({Right.READ, Right.OWN}),
}
"""Each within the groups of its grant; what belongs to no group needs a grant that counts everywhere."""

EVERYTHING: Final = (Grant(Role.ADMIN, EVERYWHERE),)
"""What somebody has who commands on the machine itself: whoever may read the home may command it (R9)."""

_NOWHERE: Final = Reach(frozenset())


def reach_of(grants: Iterable[Grant], right: Right) -> Reach:
    """Say where a right counts for somebody with these grants; an empty reach where nowhere."""
    reach = _NOWHERE
    for grant in grants:
        if right in ROLES[grant.role]:
            reach |= grant.reach
    return reach
