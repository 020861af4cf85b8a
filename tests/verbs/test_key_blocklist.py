"""Verbs about lists of keys that strangers have."""

from __future__ import annotations

import base64
import hashlib

import pytest

from regalia.ca.blocklist import ListFormat
from regalia.errors import AdminError
from regalia.model import Grant, Role
from regalia.verbs import Caller, LocalDoor, ask
from regalia.verbs import key_blocklist as verbs
from regalia.verbs.content import certificates_text, request_text
from regalia.wire.certificate import read_certificate
from world import ADMIN, Device, World, names, spki


@pytest.fixture
def world() -> World:
    """Return a system."""
    return World()


@pytest.fixture
def door(world: World) -> LocalDoor:
    """Return somebody's door who may do everything."""
    return LocalDoor(world, Caller(ADMIN, (Grant(Role.ADMIN),)))


def refused(door: LocalDoor, asked: verbs.ImportBlocklist) -> str:
    """Import what is refused, and return the reason's id."""
    with pytest.raises(AdminError) as error:
        door.ask(verbs.IMPORT, asked)
    return error.value.reason.id


def test_a_key_is_found_on_an_imported_list(world: World, door: LocalDoor) -> None:
    """A request's key is blocked from the import of a list that has it until that list is removed."""
    device = Device(world)
    asked = verbs.CheckKey(csr=request_text(device.csr(names("a"), None)))
    assert not door.ask(verbs.CHECK, asked).blocked
    digest = hashlib.sha256(spki(device.key)).hexdigest()
    made = door.ask(verbs.IMPORT, verbs.ImportBlocklist(name="leaked", content=f"# é\n{digest}  a key\n"))
    assert (made.keys, made.source_sha256) == (1, hashlib.sha256(f"# é\n{digest}  a key\n".encode()).digest())
    assert door.ask(verbs.CHECK, asked).list == "leaked"
    assert door.ask(verbs.LIST, verbs.ListBlocklists()).items == (made,)
    gone = verbs.RemoveBlocklist(name="leaked")
    assert door.plan(verbs.REMOVE, gone).would == ("let 1 keys be certified again",)
    assert door.ask(verbs.REMOVE, gone).removed
    assert not door.ask(verbs.CHECK, asked).blocked


def test_a_certificate_is_checked_by_its_key(world: World, door: LocalDoor) -> None:
    """A certificate's key is told by its SHA-256."""
    root = world.store.authorities()[0].certificate_der
    told = door.ask(verbs.CHECK, verbs.CheckKey(certificate=certificates_text([root])))
    assert told.key_sha256 == hashlib.sha256(read_certificate(root).public_key).digest()


def test_what_is_no_list_is_refused(door: LocalDoor) -> None:
    """What is not of its format is ADM-046, what is not base64 ADM-083; a list that is not there cannot be removed."""
    assert refused(door, verbs.ImportBlocklist(name="a", content="what")) == "ADM-046"
    assert refused(door, verbs.ImportBlocklist(name="a", content="*", form=ListFormat.BADKEYS)) == "ADM-083"
    one = base64.b64encode(bytes(15)).decode()
    assert refused(door, verbs.ImportBlocklist(name="a", content=one, form=ListFormat.BADKEYS)) == "ADM-046"
    for face in (door.plan, door.ask):
        with pytest.raises(AdminError, match="blocklist a"):
            face(verbs.REMOVE, verbs.RemoveBlocklist(name="a"))


@pytest.mark.parametrize(
    "asked",
    [
        verbs.CheckKey(),
        verbs.CheckKey(csr="a", certificate="b"),
        verbs.CheckKey(csr="-----BEGIN"),
        verbs.CheckKey(certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
        verbs.CheckKey(csr="-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"),
        verbs.CheckKey(certificate="é"),
    ],
)
def test_what_is_no_key_is_refused(door: LocalDoor, asked: verbs.CheckKey) -> None:
    """Whatever is given in the place of a request or a certificate ends in a refusal."""
    with pytest.raises(AdminError):
        door.ask(verbs.CHECK, asked)


def test_who_reads_everywhere_may_check_and_change_nothing(world: World) -> None:
    """AUTHZ-1: an auditor lists and checks; importing is refused with ADM-070."""
    auditor = Caller(ADMIN, (Grant(Role.AUDITOR),))
    assert ask(verbs.LIST, world, auditor, verbs.ListBlocklists()).items == ()
    with pytest.raises(AdminError) as error:
        ask(verbs.IMPORT, world, auditor, verbs.ImportBlocklist(name="a", content="b"))
    assert error.value.reason.id == "ADM-070"
