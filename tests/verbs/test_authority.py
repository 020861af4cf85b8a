"""Verbs about authorities: what there is, their certificates and CRLs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import Grant, Reach, Role
from regalia.verbs import Caller, LocalDoor, ask
from regalia.verbs import authority as verbs
from regalia.verbs import authority_making as making
from regalia.verbs.content import certificates_from, certificates_text, crl_from, crl_text
from regalia.verbs.cps import CPS, TO_STATE, WriteCps
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

RULER = Caller(ADMIN, (Grant(Role.ADMIN),), fresh=True, local=True)


@pytest.fixture
def world() -> World:
    """Return a system with a second group."""
    world = World()
    world.clock.advance(timedelta(minutes=1))
    world.open_group("staff")
    return world


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return somebody's door who may do everything."""
    return LocalDoor(world, RULER)


def bounded(role: Role) -> Caller:
    """Return somebody whose role counts in group `staff` alone."""
    return Caller(ADMIN, (Grant(role, Reach(frozenset({"staff"}))),), fresh=True)


def refused(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


def test_lists_and_shows_authorities(door: LocalDoor) -> None:
    """Authorities are listed oldest first, those of one time by name; one is shown with what depends on it."""
    listed = door.ask(verbs.LIST, verbs.ListAuthorities()).items
    assert [each.name for each in listed] == ["default-ca-1", "root", "staff-ca-1"]
    root = door.ask(verbs.SHOW, verbs.ShowAuthority(name="root"))
    assert root.depends_on_it == ("authority default-ca-1 of group default", "authority staff-ca-1 of group staff")
    staff = door.ask(verbs.SHOW, verbs.ShowAuthority(name="staff-ca-1"))
    assert staff.depends_on_it == ("group staff", "endpoint staff")
    assert staff.custody == "on this machine"


def test_foreign_authorities_are_missing(world: World, door: LocalDoor) -> None:
    """AUTHZ-4: who is bounded to a group sees its authority and the roots, in lists, in trees and one by one."""
    reader = LocalDoor(world, bounded(Role.OPERATOR_READ_ONLY))
    assert [each.name for each in reader.ask(verbs.LIST, verbs.ListAuthorities()).items] == ["root", "staff-ca-1"]
    (root,) = reader.ask(verbs.TREE, verbs.ShowTree()).authorities
    assert [node.name for node in root.below] == ["staff-ca-1"]
    shown = reader.ask(verbs.SHOW, verbs.ShowAuthority(name="root"))
    assert shown.depends_on_it == ("authority staff-ca-1 of group staff",)
    with pytest.raises(AdminError) as foreign:
        reader.ask(verbs.SHOW, verbs.ShowAuthority(name="default-ca-1"))
    with pytest.raises(AdminError) as missing:
        reader.ask(verbs.SHOW, verbs.ShowAuthority(name="nowhere-ca-1"))
    assert foreign.value.reason == missing.value.reason
    assert foreign.value.detail == missing.value.detail.replace("nowhere", "default")
    export = verbs.ExportAuthority(name="default-ca-1")
    assert refused(lambda: reader.ask(verbs.EXPORT, export)) == "ADM-004"
    door.ask(making.REQUEST, making.RequestAuthority(name="next", group="default"))
    assert len(door.ask(verbs.TREE, verbs.ShowTree()).requests) == 1
    assert reader.ask(verbs.TREE, verbs.ShowTree()).requests == ()


def test_the_tree_says_who_depends_on_each(door: LocalDoor) -> None:
    """The tree has groups, endpoints and credentials of each issuing authority."""
    (root,) = door.ask(verbs.TREE, verbs.ShowTree()).authorities
    told = root.model_dump(mode="json")
    assert told["depends_on_it"] == {}
    users = told["below"][0]["depends_on_it"]
    assert (users["groups"], users["endpoints"]) == (["default"], ["default"])
    assert [each["purpose"] for each in users["credentials"]] == ["ra", "ocsp"]
    assert verbs.Tree.model_validate({"authorities": [told], "requests": []}).authorities == (root,)


def test_exports_a_chain(world: World, door: LocalDoor) -> None:
    """A chain begins with the authority and ends with its root; without cross-certificates that is ADM-004."""
    chain = door.ask(verbs.EXPORT, verbs.ExportAuthority(name="staff-ca-1", chain=True)).certificates
    ders = [certificates_from(text)[0] for text in chain]
    names = {each.certificate_der: each.name for each in world.store.authorities()}
    assert [names[der] for der in ders] == ["staff-ca-1", "root"]
    assert refused(lambda: door.ask(verbs.EXPORT, verbs.ExportAuthority(name="root", cross=True))) == "ADM-004"


def test_publishes_and_gives_a_crl(world: World, door: LocalDoor) -> None:
    """A CRL that was published now is given as it is, and the transcript has its number."""
    assert refused(lambda: door.ask(verbs.CRL_CONTENT, verbs.ShowCrl(name="root"))) == "ADM-004"
    made = door.ask(verbs.CRL, verbs.PublishCrl(name="root"))
    text = door.ask(verbs.CRL_CONTENT, verbs.ShowCrl(name="root"))
    assert text.number == made.number
    assert world.transcript.lines == [f"os:tester published CRL {made.number} of root"]
    again = verbs.ImportCrl(name="root", crl=text.crl)
    assert refused(lambda: door.ask(verbs.CRL_IMPORT, again)) == "ADM-032"


def test_publishes_nothing_without_the_key(world: World, door: LocalDoor) -> None:
    """ADM-009: the CRL of a root whose key is elsewhere cannot be made here."""
    root = world.store.authority("root")
    assert root is not None
    del world.keys.private[root.key_id]
    assert refused(lambda: door.ask(verbs.CRL, verbs.PublishCrl(name="root"))) == "ADM-009"


def test_what_cannot_be_read_is_refused(world: World, door: LocalDoor) -> None:
    """A CRL of a version that there is not is ADM-032, such a certificate ADM-083."""
    door.ask(verbs.CRL, verbs.PublishCrl(name="root"))
    crl = crl_from(door.ask(verbs.CRL_CONTENT, verbs.ShowCrl(name="root")).crl)
    root = world.store.authority("root")
    assert root is not None
    del world.keys.private[root.key_id]
    asked = verbs.ImportCrl(name="root", crl=crl_text(crl.replace(b"\x02\x01\x01", b"\x02\x01\x59", 1)))
    assert refused(lambda: door.ask(verbs.CRL_IMPORT, asked)) == "ADM-032"
    odd = root.certificate_der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x59", 1)
    trusted = making.TrustAuthority(name="x", certificate=certificates_text([odd]))
    assert refused(lambda: door.plan(making.TRUST, trusted)) == "ADM-083"


def test_a_plan_of_crls_is_checked_before_it_is_made(door: LocalDoor) -> None:
    """Plan and deed refuse a plan whose CRLs could grow too large; one that fits is made."""
    large = verbs.ChangeCrlPlan(name="staff-ca-1", fleet=10_000_000)
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as error:
            face(verbs.CHANGE_PLAN, large)
        assert error.value.reason.id == "ADM-050"
    asked = verbs.ChangeCrlPlan(name="staff-ca-1", shards=2, delta=True)
    assert len(door.plan(verbs.CHANGE_PLAN, asked).would) == 2
    made = door.ask(verbs.CHANGE_PLAN, asked)
    assert (made.shards, made.lists, made.delta) == (2, 3, "on")
    assert door.ask(verbs.PLAN, verbs.ShowCrlPlan(name="staff-ca-1")) == made


def test_a_group_s_administrator_rules_no_authority(world: World) -> None:
    """AUTHZ-1: whoever rules one group publishes, plans and makes no authority; ADM-070 says so."""
    asked = verbs.PublishCrl(name="staff-ca-1")
    assert refused(lambda: ask(verbs.CRL, world, bounded(Role.ADMIN), asked)) == "ADM-070"
    made = making.CreateAuthority(name="staff-ca-2", group="staff")
    assert refused(lambda: ask(making.CREATE, world, bounded(Role.ADMIN), made)) == "ADM-070"
    trusted = making.TrustAuthority(name="x", certificate=certificates_text([]) or "x")
    assert refused(lambda: ask(making.TRUST, world, bounded(Role.ADMIN), trusted)) == "ADM-070"


def test_writes_a_practice_statement(world: World, door: LocalDoor) -> None:
    """The statement names every authority, and counts the places that are left to the organisation."""
    made = door.ask(CPS, WriteCps())
    assert made.places == made.text.count(f"**{TO_STATE}") > 0
    assert all(each.name in made.facts["authorities"] for each in world.store.authorities())
    assert refused(lambda: ask(CPS, world, bounded(Role.AUDITOR), WriteCps())) == "ADM-070"
