"""Roles: what they allow, how they are written, and that what is handed on is never more."""

from __future__ import annotations

from itertools import product

import pytest

from regalia.errors import AdminError
from regalia.model import EVERYWHERE, Grant, Reach, Right, Role
from regalia.ra.roles import EVERYTHING, ROLES, covers, grant_text, reach_of, read_grant, within

STAFF, GUESTS = Reach(frozenset({"staff"})), Reach(frozenset({"guests"}))
BOTH = Reach(frozenset({"staff", "guests"}))


def test_each_role_is_in_the_table_and_each_right_is_somebodys() -> None:
    """AUTHZ-1: the table names every role, and the administrator has every right."""
    assert set(ROLES) == set(Role)
    assert ROLES[Role.ADMIN] == set(Right)


@pytest.mark.parametrize("role", [Role.ADMIN_READ_ONLY, Role.OPERATOR_READ_ONLY, Role.HELPDESK_READ_ONLY])
def test_a_read_only_twin_has_no_more_than_its_twin(role: Role) -> None:
    """A twin reads what its twin reads, and has nothing else but what is its own."""
    twin = Role(role.value.removesuffix("-read-only"))
    reading = {Right.READ, Right.READ_LOG, Right.READ_ACCESS}
    assert ROLES[role] == (ROLES[twin] & reading) | {Right.OWN}


@pytest.mark.parametrize("text", ["admin", "operator:staff", "helpdesk:guests,staff"])
def test_a_grant_is_read_as_it_is_written(text: str) -> None:
    """A grant comes back as it was."""
    assert grant_text(read_grant(text)) == text


@pytest.mark.parametrize("text", ["", "root", "admin:", "admin:staff,", "Admin", "admin: staff"])
def test_what_is_no_grant_is_refused(text: str) -> None:
    """ADM-018: an unknown role, or a group that cannot be one, gives nobody anything."""
    with pytest.raises(AdminError, match="ADM-018"):
        read_grant(text)


def test_reaches_meet_and_join() -> None:
    """Everywhere is the whole: joined it stays, met it gives way."""
    assert STAFF | GUESTS == BOTH
    assert STAFF | EVERYWHERE == EVERYWHERE
    assert BOTH & STAFF == STAFF
    assert EVERYWHERE & STAFF == STAFF & EVERYWHERE == STAFF
    assert STAFF <= BOTH <= EVERYWHERE
    assert not EVERYWHERE <= BOTH
    assert None in EVERYWHERE
    assert None not in BOTH


def test_rights_of_several_grants_join() -> None:
    """A right counts where any grant gives it."""
    grants = (Grant(Role.HELPDESK, STAFF), Grant(Role.OPERATOR, GUESTS))
    assert reach_of(grants, Right.REVOKE) == BOTH
    assert reach_of(grants, Right.ARRANGE) == GUESTS
    assert reach_of(grants, Right.RULE) == Reach(frozenset())


def test_a_token_loses_what_its_owner_loses() -> None:
    """A role counts where its owner has every right of it, and nowhere else."""
    token = (Grant(Role.OPERATOR, BOTH), Grant(Role.HELPDESK))
    assert within(token, EVERYTHING) == token
    assert within(token, (Grant(Role.OPERATOR, STAFF),)) == (Grant(Role.OPERATOR, STAFF), Grant(Role.HELPDESK, STAFF))
    assert within(token, (Grant(Role.HELPDESK, GUESTS),)) == (Grant(Role.HELPDESK, GUESTS),)
    assert within(token, (Grant(Role.ADMIN_READ_ONLY),)) == ()


@pytest.mark.parametrize(("role", "other"), list(product(Role, Role)))
def test_what_is_cut_down_is_never_more(role: Role, other: Role) -> None:
    """AUTHZ-7: whatever two roles meet, what is left is within both."""
    for reach, bound in product((STAFF, BOTH, EVERYWHERE), repeat=2):
        left = within((Grant(role, reach),), (Grant(other, bound),))
        for right in Right:
            assert reach_of(left, right) <= reach_of((Grant(role, reach),), right)
            assert reach_of(left, right) <= reach_of((Grant(other, bound),), right)


def test_nobody_hands_out_what_they_do_not_have() -> None:
    """A role is covered where each of its rights is, from whichever grants."""
    assert covers(EVERYTHING, (Grant(Role.ADMIN),))
    assert covers((Grant(Role.OPERATOR, BOTH),), (Grant(Role.HELPDESK, STAFF),))
    assert not covers((Grant(Role.OPERATOR, STAFF),), (Grant(Role.HELPDESK, BOTH),))
    assert not covers((Grant(Role.OPERATOR),), (Grant(Role.AUDITOR),))
    assert not covers((Grant(Role.ADMIN, BOTH),), (Grant(Role.HELPDESK_READ_ONLY),))
    assert covers((Grant(Role.OPERATOR), Grant(Role.AUDITOR)), (Grant(Role.ADMIN_READ_ONLY),))
