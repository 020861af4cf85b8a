"""Verbs that make authorities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from regalia.errors import AdminError
from regalia.model import AuthorityState, Grant, Role
from regalia.verbs import Caller, LocalDoor, Page
from regalia.verbs import authority as looking
from regalia.verbs import authority_making as verbs
from regalia.verbs import authority_succession as succession
from regalia.verbs.fields import ReasonName
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable

RULER = Caller(ADMIN, (Grant(Role.ADMIN),), fresh=True, local=True)


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return somebody's door who may do everything."""
    return LocalDoor(world, RULER)


def refused(act: Callable[[], object]) -> str:
    """Do what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        act()
    return error.value.reason.id


def pem_of(door: LocalDoor, name: str) -> str:
    """Give an authority's certificate."""
    return door.ask(looking.EXPORT, looking.ExportAuthority(name=name)).certificates[0]


def test_creates_an_issuing_authority_and_a_root(world: World, door: LocalDoor) -> None:
    """What is created has a CRL, and the transcript says so; what is neither is ADM-018."""
    made = door.ask(verbs.CREATE, verbs.CreateAuthority(name="default-ca-2", group="default"))
    assert (made.parent, made.key) == ("root", "p-256")
    assert door.ask(verbs.CREATE, verbs.CreateAuthority(name="root-2", root=True)).key == "p-384"
    assert [line.split(",")[0] for line in world.transcript.lines] == [
        "os:tester created issuing default-ca-2",
        "os:tester created root root-2",
    ]
    assert world.store.last_crl("default-ca-2") is not None
    for asked in (
        verbs.CreateAuthority(name="a"),
        verbs.CreateAuthority(name="a", group="default", root=True),
        verbs.CreateAuthority(name="a", root=True, parent="root"),
    ):
        for face in (door.plan, door.ask):
            with pytest.raises(AdminError) as error:
                face(verbs.CREATE, asked)
            assert error.value.reason.id == "ADM-018"


def signed(here: LocalDoor, there: LocalDoor, request: verbs.RequestAuthority) -> verbs.Signed:
    """Have the other system's root sign a request."""
    made = here.ask(verbs.REQUEST, request)
    asked = verbs.SignRequest(csr=made.csr, name=request.name, url="http://pki.example.test")
    plan = there.plan(verbs.SIGN, asked)
    assert made.key_sha256 in plan.would[1]
    return there.ask(verbs.SIGN, asked)


def test_an_authority_comes_from_another_system(door: LocalDoor) -> None:
    """A request that another system's root signed becomes an authority here, under that root."""
    other = World(url="http://root.example.test")
    there = LocalDoor(other, RULER)
    root = pem_of(there, "root")
    door.ask(verbs.TRUST, verbs.TrustAuthority(name="foreign", certificate=root))
    request = verbs.RequestAuthority(name="staff-ca-1", group="staff", parent="foreign")
    made = signed(door, there, request)
    assert other.transcript.lines[-1].startswith("os:tester signed request SHA-256 ")
    taken = door.ask(verbs.ACCEPT, verbs.AcceptCertificate(name="staff-ca-1", certificates=root + made.certificate))
    assert (taken.chain, taken.sha256, taken.state) == (("foreign",), made.sha256, AuthorityState.ACTIVE)
    assert (taken.opened_group, taken.group_is_there) == (None, False)
    twice = verbs.SignRequest(csr=pem_of(door, "root"), name="x")
    assert refused(lambda: there.plan(verbs.SIGN, twice)) == "ADM-031"


def test_a_plan_to_sign_refuses_what_signing_would(world: World, door: LocalDoor) -> None:
    """Plan and deed refuse a name that is taken, a URL that is none, and a root that is not one."""
    made = door.ask(verbs.REQUEST, verbs.RequestAuthority(name="a", group="staff"))
    for asked, reason in (
        (verbs.SignRequest(csr=made.csr, name="root", url="http://h"), "ADM-003"),
        (verbs.SignRequest(csr=made.csr, name="b", url="h"), "ADM-018"),
        (verbs.SignRequest(csr=made.csr, name="b", url="http://["), "ADM-018"),
        (verbs.SignRequest(csr=made.csr, name="b"), "ADM-031"),
        (verbs.SignRequest(csr=made.csr, name="b", url="http://h", root="default-ca-1"), "ADM-017"),
        (verbs.SignRequest(csr=made.csr, name="b", url="http://h", root="nobody"), "ADM-004"),
    ):
        for face in (door.plan, door.ask):
            with pytest.raises(AdminError) as error:
                face(verbs.SIGN, asked)
            assert error.value.reason.id == reason
    assert world.store.authority("b") is None


def test_two_roots_certify_each_other(door: LocalDoor) -> None:
    """Both certificates are given by whom and for whom, and are exported with their subject."""
    door.ask(verbs.CREATE, verbs.CreateAuthority(name="root-2", root=True))
    asked = verbs.CrossRoots(name="root", other="root-2")
    assert len(door.plan(verbs.CROSS, asked).would) == 1
    page = door.ask(verbs.CROSS, asked)
    rows = page.model_dump(mode="json")["items"]
    assert [(row["by"], row["for"]) for row in rows] == [("root", "root-2"), ("root-2", "root")]
    assert Page[verbs.CrossMade].model_validate(page.model_dump(mode="json")).items == page.items
    found = door.ask(looking.EXPORT, looking.ExportAuthority(name="root-2", cross=True)).certificates
    assert len(found) == 1
    assert refused(lambda: door.plan(verbs.CROSS, verbs.CrossRoots(name="root", other="x"))) == "ADM-004"


def test_an_authority_follows_another_one(world: World, door: LocalDoor) -> None:
    """A next authority is announced, activated and then replaces the present one; nobody is activated twice."""
    made = door.ask(succession.ROTATE, succession.RotateAuthority(group="default", overlap="never")).made
    assert made is not None
    assert (made.name, made.state, made.activates_at) == ("default-ca-2", AuthorityState.NEXT, None)
    asked = succession.ActivateAuthority(name="default-ca-2")
    assert len(door.plan(succession.ACTIVATE, asked).would) == 2
    assert door.ask(succession.ACTIVATE, asked).replaces == "default-ca-1"
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as error:
            face(succession.ACTIVATE, asked)
        assert error.value.reason.id == "ADM-017"
    group = world.store.group("default")
    assert group is not None
    assert group.authority == "default-ca-2"


def test_a_root_elsewhere_is_asked_by_a_request(world: World, door: LocalDoor) -> None:
    """Without the root's key, rotating makes one request, and gives the same one again."""
    root = world.store.authority("root")
    assert root is not None
    del world.keys.private[root.key_id]
    first = door.ask(succession.ROTATE, succession.RotateAuthority(group="default"))
    assert first.made is None
    assert first.request is not None
    assert (first.request.name, first.request.root) == ("default-ca-2", "root")
    assert door.ask(succession.ROTATE, succession.RotateAuthority(group="default")) == first


def test_a_new_ra_key_is_given_at_once(door: LocalDoor) -> None:
    """A group's new RA credential is told with how long the former one stays open."""
    made = door.ask(succession.ROTATE_RA, succession.RotateRa(group="default"))
    assert (made.authority, made.former_open_for_days) == ("default-ca-1", 30)
    assert refused(lambda: door.ask(succession.ROTATE_RA, succession.RotateRa(group="x"))) == "ADM-004"


def test_an_authority_is_revoked_once(world: World, door: LocalDoor) -> None:
    """Revoking tells who is cut off, publishes the root's CRL, and is refused the second time, planned or done."""
    asked = succession.RevokeAuthority(name="default-ca-1", reason=ReasonName.CA_COMPROMISE)
    assert door.plan(succession.REVOKE, asked).would[1:] == ("cut off group default", "cut off endpoint default")
    done = door.ask(succession.REVOKE, asked)
    last = world.store.last_crl("root")
    assert last is not None
    assert (done.state, done.reason, done.crl_number) == ("revoked", "ca-compromise", str(last.number))
    assert "reason ca_compromise" in world.transcript.lines[-1]
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError) as error:
            face(succession.REVOKE, asked)
        assert error.value.reason.id == "ADM-008"
    root = asked.model_copy(update={"name": "root"})
    assert refused(lambda: door.plan(succession.REVOKE, root)) == "ADM-017"
