"""Authorities that are imported with their keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fakes import MemoryKeys
from foreign_pki import ForeignCa, Shape
from regalia import reasons
from regalia.ca.importing import Former, Importer
from regalia.errors import AdminError
from regalia.model import Action, CredentialPurpose, new_id
from regalia.ports import NewKey
from world import ADMIN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regalia.model import EventDraft

ROOT = ForeignCa("Corp Root")


@dataclass(frozen=True)
class Brought:
    """A key that is kept in the fake's memory."""

    world: World
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    public_key: bytes
    origin: str = "file"

    def keep(self, scope: str, told: Callable[[NewKey], Sequence[EventDraft]]) -> NewKey:
        """Keep it."""
        del scope
        new = NewKey(new_id(self.world.clock.now(), self.world.entropy.octets(10)), self.public_key)
        keys = self.world.keys
        assert isinstance(keys, MemoryKeys)
        keys.private[new.id] = self.key
        self.world.store.record(told(new))
        return new


def importer(world: World) -> Importer:
    """The service of a world."""
    return Importer(world.ceremony, world.hierarchy, store=world.store, clock=world.clock, entropy=world.entropy)


def brought(world: World, ca: ForeignCa) -> Brought:
    """Its key."""
    return Brought(world, ca.key, ca.spki)


def test_an_issuing_authority_goes_on_here() -> None:
    """An imported authority has new credentials, its key is ours, and what it had revoked stays revoked (SEC-4)."""
    world = World()
    old = ForeignCa("Old", ROOT, shape=Shape(path_length=0))
    crl = old.crl(77, [(0xA01, x509.ReasonFlags.key_compromise)])
    made = importer(world).import_authority(
        "old", Former(old.der, (ROOT.der,), crl), brought(world, old), group="staff", actor=ADMIN
    )
    assert made.parent == "corp-root"
    assert world.keys.holds(made.key_id)
    assert len(world.store.credentials(CredentialPurpose.RA, "old")) == 1
    status = world.store.serial_status("old", 0xA01)
    assert status is not None
    assert status.revocation is not None
    reserved = world.store.reserve_crl(new_id(world.clock.now(), bytes(10)), "old", world.clock.now())
    assert reserved.number > 77
    told = {event.draft.action: event.draft for event in world.store.log}
    assert told[Action.KEY_IMPORTED].details["origin"] == "file"
    assert told[Action.AUTHORITY_IMPORTED].details["revoked"] == 1


def test_a_root_is_imported_with_its_key() -> None:
    """An imported root signs issuing authorities here, as one that was made here."""
    world = World()
    root = ForeignCa("Brought Root", key=ec.generate_private_key(ec.SECP384R1()))
    made = importer(world).import_authority("old-root", Former(root.der), brought(world, root), group=None, actor=ADMIN)
    assert made.parent is None
    issuing = world.ceremony.create_issuing("below", group="below", root=made, actor=ADMIN)
    assert issuing.parent == "old-root"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "it is not the key that the certificate certifies"),
        (rsa.generate_private_key(public_exponent=3, key_size=2048), "it is refused: an RSA key whose exponent"),
    ],
    ids=["another", "weak"],
)
def test_a_key_that_does_not_fit_is_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, told: str) -> None:
    """A key that belongs to another certificate, or is weak, is refused before anything is kept (KEY-1)."""
    world = World()
    before = len(world.store.log)
    other = ForeignCa("Other", key=key)
    with pytest.raises(AdminError) as refused:
        importer(world).import_authority("old", Former(ROOT.der), brought(world, other), group=None, actor=ADMIN)
    assert refused.value.reason is reasons.AUTHORITY_KEY_REFUSED
    assert told in refused.value.detail
    assert len(world.store.log) == before
    assert world.store.authority("old") is None


def test_an_import_is_all_or_nothing() -> None:
    """A chain that is missing, a CRL of somebody else or a name that is taken keep the key out, too."""
    world = World()
    old = ForeignCa("Old", ROOT)
    keys = len(world.keys.private)
    wrong = (
        ("old", Former(old.der), "ADM-030"),
        ("old", Former(old.der, (ROOT.der,), ROOT.crl(1)), "ADM-032"),
        ("root", Former(old.der, (ROOT.der,)), "ADM-003"),
        ("no name", Former(old.der, (ROOT.der,)), "ADM-005"),
    )
    for name, former, reason in wrong:
        with pytest.raises(AdminError, match=reason):
            importer(world).import_authority(name, former, brought(world, old), group="staff", actor=ADMIN)
    assert len(world.keys.private) == keys
    world.hierarchy.request("waits", group="staff", actor=ADMIN)
    with pytest.raises(AdminError, match="ADM-003"):
        importer(world).import_authority(
            "waits", Former(old.der, (ROOT.der,)), brought(world, old), group="staff", actor=ADMIN
        )


def test_a_key_in_use_is_not_imported_twice() -> None:
    """The key of an authority that is here already is refused, whatever certificate comes with it (KEY-2)."""
    world = World()
    importer(world).import_authority("one", Former(ROOT.der), brought(world, ROOT), group=None, actor=ADMIN)
    again = ForeignCa("Renewed", key=ROOT.key)
    with pytest.raises(AdminError, match="it is the key of an authority or credential here already"):
        importer(world).import_authority("two", Former(again.der), brought(world, again), group=None, actor=ADMIN)
