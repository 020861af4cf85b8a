"""Every verb asked by every role in every scope: the matrix is made of the registry and the one table (AUTHZ-1)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from regalia.errors import AdminError, InvariantError
from regalia.model import EVERYWHERE, Grant, Reach, Right, Role
from regalia.ra.roles import ROLES
from regalia.verbs import VERBS, Asked, Caller, Desk, Record, Verb, ask
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Iterator

STAFF = Reach(frozenset({"staff"}))
READERS = (Role.ADMIN_READ_ONLY, Role.OPERATOR_READ_ONLY, Role.HELPDESK_READ_ONLY, Role.AUDITOR)
OWN = {
    "proposal.approve",
    "proposal.refuse",
    "proposal.withdraw",
    "session.end",
    "calendar.create",
    "token.create",
    "token.revoke",
}
"""What everybody may do with what is their own; a proposal is decided with the right to what it proposes."""
LOOKS = {"cert.audit", "endpoint.file", "event.export", "event.verify", "key-blocklist.check", "profile.check"}
"""What is asked by POST for its length, what it carries or the time it takes, and changes nothing but the log."""


class Nothing(Record):
    """What a probe gives."""


class NothingAsked(Asked):
    """What a probe is asked."""


def reach_at(verb: Verb[Any, Any], *grants: Grant) -> Reach | None:
    """Ask a verb as somebody with these grants, and tell how far it lets them reach; None where it refuses them."""
    desks: list[Desk] = []

    def probe(desk: Desk, asked: Asked) -> Nothing:
        del asked
        desks.append(desk)
        return Nothing()

    probed = replace(verb, path="/probe", asks=NothingAsked, run=probe, two_persons=None, fresh=False)
    with suppress(AdminError):
        ask(probed, None, Caller(ADMIN, grants), NothingAsked())  # type: ignore[arg-type]  # no service is used
        return desks[0].reach
    return None


def matrix() -> Iterator[tuple[str, Role]]:
    """Every verb with every role."""
    yield from product(sorted(VERBS), Role)


@pytest.mark.parametrize(("name", "role"), list(matrix()))
def test_the_matrix(name: str, role: Role) -> None:
    """AUTHZ-1: a verb is done by who has its right, as far as that reaches, and by nobody else."""
    verb, has = VERBS[name], VERBS[name].right in ROLES[role]
    assert reach_at(verb, Grant(role, EVERYWHERE)) == (EVERYWHERE if has else None)
    in_group = reach_at(verb, Grant(role, STAFF))
    assert in_group == (STAFF if has and not verb.everywhere else None)
    if in_group is not None:
        assert "staff" in in_group
        assert "guests" not in in_group
        assert None not in in_group
    assert reach_at(verb, Grant(role, Reach(frozenset()))) is None


@pytest.mark.parametrize("name", sorted(VERBS))
def test_nobody_without_a_role_does_anything(name: str) -> None:
    """Deny by default: who has no grant is refused whatever they ask."""
    assert reach_at(VERBS[name]) is None


@pytest.mark.parametrize("name", sorted(VERBS))
def test_who_only_reads_changes_nothing(name: str) -> None:
    """What changes anything but one's own is refused to each role that reads only."""
    verb = VERBS[name]
    if not verb.changes:
        return
    for role in READERS:
        if name in LOOKS:
            assert verb.right in {Right.READ, Right.READ_LOG}
        else:
            assert (reach_at(verb, Grant(role)) is not None) == (name in OWN)


def test_a_verb_without_a_right_is_none() -> None:
    """AUTHZ-1: a verb that names no right fails when it is made, so that nothing starts with it."""
    with pytest.raises(InvariantError, match="no right"):
        Verb("probe.do", "POST", "/probe", None, NothingAsked, Nothing, lambda *_: Nothing(), "Nothing.")  # type: ignore[arg-type]  # that is what is tested


def test_what_a_token_of_one_group_sees_is_of_that_group() -> None:
    """AUTHZ-4: no list, asked by somebody who counts in one group, tells a name of another."""
    world = World()
    world.open_group("elsewhere")
    world.mint("laptop", endpoint="elsewhere")
    caller = Caller(ADMIN, (Grant(Role.ADMIN, Reach(frozenset({"default"}))),), program=True)
    told = {}
    for name, verb in VERBS.items():
        if (
            verb.changes
            or verb.everywhere
            or verb.in_path
            or any(f.is_required() for f in verb.asks.model_fields.values())
        ):
            continue
        told[name] = ask(verb, world, caller, verb.asks()).model_dump_json()
    assert "default" in told["group.list"]
    assert [name for name, text in told.items() if "elsewhere" in text] == []
    assert len(told) > 5


def test_rights_that_concern_the_whole_are_asked_everywhere() -> None:
    """Who gives roles in one group only gives none: each verb about administrators counts everywhere."""
    bounded = {name for name, verb in VERBS.items() if verb.right is Right.GRANT and not verb.everywhere}
    assert bounded == set()
