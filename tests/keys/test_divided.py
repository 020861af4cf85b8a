"""Keys that are divided between this process and signers: each call goes to whoever has the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, SeededEntropy
from keys.test_signer import ROW, Bench
from regalia import reasons
from regalia.ca.key_events import key_destroyed
from regalia.ca.scopes import ROOT_SCOPE, ca_ra_scope, ca_scope, ra_scope
from regalia.errors import AdminError, UnavailableError
from regalia.keys.ca_keys import SoftwareCaKeys
from regalia.keys.divided import DividedKeys, DividedSigner, KeysHere
from regalia.keys.master import MasterKey, MasterKeyOrigin
from regalia.keys.medium import FallbackVault, MediumVault
from regalia.keys.signer import LocalSigner
from regalia.keys.software import SoftwareKeys
from regalia.model import Actor, ActorKind, KeyKind
from regalia.ports import SOFTWARE

if TYPE_CHECKING:
    from pathlib import Path

    from regalia.ports import KeyVault

ADMIN = Actor(ActorKind.ADMIN, "os:root")


class Divided:
    """A process with the faces' keys, a signer for all groups, and one for the group `plant` under a key of its own."""

    def __init__(self, home: Path) -> None:
        self.bench = Bench(home)
        self.faces = SoftwareKeys(self.bench.store, FakeClock(), SeededEntropy(1), self.bench.master)
        self.signers_key = MasterKey(bytes([7] * 32), home, MasterKeyOrigin.HOME, beside_database=True)
        self.plants_key = MasterKey(bytes([9] * 32), home, MasterKeyOrigin.HOME, beside_database=True)
        plant = self.holder(self.plants_key, 3)
        self.signer = DividedSigner(self.bench.store, self.holder(self.signers_key, 2), {"plant": plant})
        self.keys = DividedKeys(self.faces, self.signer, self.bench.store)

    def holder(self, master: MasterKey, seed: int, vault: KeyVault | None = None) -> KeysHere:
        """Hold CA keys under a master key."""
        store, vault = self.bench.store, vault or self.bench.store
        signer = LocalSigner(store, self.bench.files, SoftwareCaKeys(vault, master, SeededEntropy()))
        return KeysHere(
            SoftwareKeys(vault, FakeClock(), SeededEntropy(seed), master), store, None, signer, to_token=False
        )


@pytest.fixture
def divided(tmp_path: Path) -> Divided:
    """Make one."""
    return Divided(tmp_path)


def test_a_key_is_made_where_its_scope_belongs(divided: Divided) -> None:
    """R10: CA keys lie under the signer's key, a site's under its own, the rest and a CA-as-RA's under the master's."""
    own = {
        ROOT_SCOPE: divided.signers_key,
        ca_scope("staff"): divided.signers_key,
        ca_scope("plant"): divided.plants_key,
        ra_scope("plant"): divided.bench.master,
        ca_ra_scope("old"): divided.bench.master,
    }
    for scope, master in own.items():
        key = divided.keys.generate(KeyKind.P256, scope)
        assert divided.keys.holds(key.id)
        divided.keys.prove(key.id)
        SoftwareKeys(divided.bench.store, FakeClock(), SeededEntropy(), master).prove(key.id)
        assert divided.keys.proves_master_key(key.id) == (master == divided.bench.master)


@pytest.mark.parametrize("group", ["staff", "plant"])
def test_a_row_is_signed_by_whoever_has_its_key(divided: Divided, group: str) -> None:
    """The row's key says which signer is asked, and that one alone can."""
    key = divided.keys.generate(KeyKind.P256, ca_scope(group))
    divided.bench.certificate(key)
    assert divided.signer.sign_intent(ROW) == divided.signer.sign_intent(ROW)
    assert divided.signer.repeats(key.id)
    without = DividedSigner(divided.bench.store, divided.holder(divided.signers_key, 4), {})
    if group == "plant":
        with pytest.raises(AdminError):
            without.sign_intent(ROW)
    else:
        assert without.sign_intent(ROW) == divided.signer.sign_intent(ROW)


def test_a_row_that_nobody_knows_is_refused_as_ever(divided: Divided) -> None:
    """ISS-1: routes do not change that an unknown row gets no signature."""
    with pytest.raises(UnavailableError) as refused:
        divided.signer.sign_intent(ROW)
    assert refused.value.reason is reasons.IN_PROGRESS


def test_a_key_dies_where_it_lies(divided: Divided) -> None:
    """Destroying goes to the holder, and the record tells of it."""
    for scope in (ca_scope("plant"), ra_scope("staff")):
        key = divided.keys.generate(KeyKind.P256, scope)
        event = key_destroyed(key.id, at=FakeClock().now(), actor=ADMIN, why="")
        assert divided.keys.destroy(key.id, (event,))
        assert not divided.keys.holds(key.id)
        record = divided.bench.store.key_record(key.id)
        assert record is not None
        assert record.destroyed_by == "admin os:root"


def test_a_root_on_a_medium_is_read_here_whoever_signs_otherwise(divided: Divided, tmp_path: Path) -> None:
    """R10: `--root-key` brings the key to this process; all others stay with the signer."""
    medium = tmp_path / "medium"
    medium.mkdir()
    key = divided.keys.generate(KeyKind.P384, ROOT_SCOPE)
    record = divided.bench.store.key_record(key.id)
    assert record is not None
    assert record.location == SOFTWARE
    divided.keys.move_out(key.id, medium)
    divided.bench.certificate(key)
    with pytest.raises(UnavailableError):
        divided.signer.sign_intent(ROW)
    brought = divided.holder(divided.signers_key, 5, FallbackVault(divided.bench.store, MediumVault(medium)))
    signer = DividedSigner(divided.bench.store, divided.holder(divided.plants_key, 6), {}, brought)
    assert signer.sign_intent(ROW)
