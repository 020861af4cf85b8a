"""Which role may do what: one table (AUTHZ-1). Whatever it does not name is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import EVERYWHERE, Grant, Reach, Right, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["EVERYTHING", "ROLES", "covers", "grant_text", "grant_texts", "reach_of", "read_grant", "within"]

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

_GROUP: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_NOWHERE: Final = Reach(frozenset())


def reach_of(grants: Iterable[Grant], right: Right) -> Reach:
    """Say where a right counts for somebody with these grants; an empty reach where nowhere."""
    reach = _NOWHERE
    for grant in grants:
        if right in ROLES[grant.role]:
            reach |= grant.reach
    return reach


def within(grants: Iterable[Grant], bound: Sequence[Grant]) -> tuple[Grant, ...]:
    """Cut grants down to what somebody with `bound` may do: a role counts where every right of it does, or nowhere."""
    cut = []
    for grant in grants:
        reach = grant.reach
        for right in ROLES[grant.role]:
            reach &= reach_of(bound, right)
        if reach != _NOWHERE:
            cut.append(Grant(grant.role, reach))
    return tuple(cut)


def covers(bound: Sequence[Grant], grants: Iterable[Grant]) -> bool:
    """Whether somebody with `bound` may do all that these grants allow: nobody hands out what they do not have."""
    return all(grant.reach <= reach_of(bound, right) for grant in grants for right in ROLES[grant.role])


def grant_text(grant: Grant) -> str:
    """Write a grant: `operator`, or `operator:guests,staff` where it counts in these groups only."""
    if grant.reach.groups is None:
        return grant.role.value
    return f"{grant.role}:{','.join(sorted(grant.reach.groups))}"


def grant_texts(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Write grants, in the order in which they are."""
    return tuple(map(grant_text, grants))


def read_grant(text: str) -> Grant:
    """Read a grant. Raises `AdminError` ADM-018 that says what is wrong."""
    name, colon, groups = text.partition(":")
    try:
        role = Role(name)
    except ValueError:
        raise AdminError(reasons.USAGE, f"{text!r}: the roles are {', '.join(Role)}") from None
    if not colon:
        return Grant(role)
    named = frozenset(groups.split(","))
    if not all(map(_GROUP.fullmatch, named)):
        raise AdminError(reasons.USAGE, f"{text!r}: write role:group,group")
    return Grant(role, Reach(named))
