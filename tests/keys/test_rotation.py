"""Rotation of a master key: interrupted anywhere, everything opens; ended, everything is under the new key alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock, MemoryStore, SeededEntropy
from regalia import reasons
from regalia.ca.scopes import ROOT_SCOPE, ca_ra_scope, ca_scope, ra_scope
from regalia.errors import AdminError
from regalia.keys.master import (
    KeyRing,
    MasterKey,
    MasterKeyOrigin,
    create_master_key,
    former_file,
    load_master_key,
    load_signer_key,
    master_ring,
    next_file,
    signer_ring,
)
from regalia.keys.medium import MediumVault
from regalia.keys.rotation import Rewrapper, create_signer_key, finish, prepare, promote
from regalia.keys.sealing import MasterSealer
from regalia.keys.software import SoftwareKeys
from regalia.keys.wrapping import Wrapping
from regalia.model import KeyKind
from store.samples import a_pending_enrolment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from regalia.ports import WrappedKey

SCOPES = (ROOT_SCOPE, ca_scope("staff"), ra_scope("staff"), ca_ra_scope("old"))


class KilledError(Exception):
    """The process ends here."""


class Mortal(MemoryStore):
    """A store whose process ends before the nth row that a rotation writes."""

    left = 1_000

    def replace_wrapped(self, former: WrappedKey, fresh: WrappedKey) -> bool:
        """Count, then write."""
        self.left -= 1
        if self.left < 0:
            raise KilledError
        return super().replace_wrapped(former, fresh)


class House:
    """A home with keys of every kind, and a held request with its sealed challenge."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.entropy = SeededEntropy()
        self.store = Mortal()
        create_master_key(home, self.entropy)
        keys = SoftwareKeys(self.store, FakeClock(), self.entropy, self.ring())
        self.keys = [keys.generate(KeyKind.P256, scope).id for scope in SCOPES]
        self.held = a_pending_enrolment()
        sealed = MasterSealer(self.ring(), self.entropy).seal(f"enrolment:{self.held.id}", b"challenge")
        self.store.hold(self.held, (), sealed_challenge=sealed)
        self.challenge = self.master().challenge_mac()("secret")

    def ring(self) -> KeyRing:
        """The master key as a process that starts now reads it."""
        return master_ring(self.home, {})

    def signers(self) -> KeyRing:
        """The key of CA keys as a process that starts now reads it."""
        return signer_ring(self.home, {})

    def master(self) -> MasterKey:
        """The current master key."""
        return load_master_key(self.home, {})

    def rewrapper(self) -> Rewrapper:
        """What a command that starts now rewraps with."""
        return Rewrapper(self.store, self.ring(), self.signers(), self.entropy)

    def opens(self, master: KeyRing | MasterKey, signers: KeyRing | MasterKey) -> None:
        """See that a process with these keys opens everything; raises AdminError where not."""
        for row in self.store.wrapped_keys():
            Wrapping(master if row.scope in SCOPES[2:] else signers, self.entropy).unwrap(row)
        sealed = self.store.sealed_challenge(self.held.id)
        assert sealed is not None
        assert MasterSealer(master, self.entropy).unseal(f"enrolment:{self.held.id}", sealed) == b"challenge"
        assert master.challenge_mac()("secret") == self.challenge


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Make one."""
    return House(tmp_path)


def steps(house: House) -> Iterator[Callable[[], object]]:
    """List what the command does, one by one."""
    yield lambda: prepare(house.master(), house.entropy, challenges=True)
    yield lambda: promote(house.master())
    yield lambda: house.rewrapper().run()
    yield lambda: finish(house.master())


@pytest.mark.parametrize("killed_after", range(5))
def test_everything_opens_after_each_step(house: House, killed_after: int) -> None:
    """A process that started before, and one that starts then, open every key and secret; challenges go on working."""
    before, before_signers = house.ring(), house.signers()
    house.opens(before, before_signers)
    for _, step in zip(range(killed_after), steps(house), strict=False):
        step()
    house.opens(before, before_signers)
    house.opens(house.ring(), house.signers())


def test_killed_while_rows_are_written_it_goes_on(house: House) -> None:
    """Whichever row was the last, everything opens, and the same command does the rest."""
    for step in list(steps(house))[:2]:
        step()
    for row in range(len(SCOPES)):
        house.store.left = row
        with pytest.raises(KilledError):
            house.rewrapper().run()
        house.opens(house.ring(), house.signers())
        house.store.left = 1
        with pytest.raises(KilledError):
            house.rewrapper().run()
        if row == 1:
            break
    house.store.left = 1_000
    done = house.rewrapper().run()
    assert 0 < done.keys < len(SCOPES)
    finish(house.master())
    house.opens(house.master(), house.master())


def test_in_the_end_the_former_key_opens_nothing(house: House) -> None:
    """All is under the new key alone, and the files of the rotation are gone."""
    former = house.master()
    for step in steps(house):
        step()
    assert sorted(path.name for path in house.home.iterdir()) == ["master.key"]
    assert house.master().octets != former.octets
    house.opens(house.master(), house.master())
    for row in house.store.wrapped_keys():
        with pytest.raises(AdminError):
            Wrapping(former, house.entropy).unwrap(row)
    assert house.rewrapper().run().keys == 0


def test_killed_between_the_two_names_it_goes_on(house: House) -> None:
    """The former key's file is written before the new one takes its place: with both there nothing is lost."""
    prepare(house.master(), house.entropy, challenges=True)
    current = house.master()
    former_file(current.path).write_bytes(current.path.read_bytes())
    former_file(current.path).chmod(0o600)
    house.opens(house.ring(), house.signers())
    fresh = next_file(current.path).read_bytes()
    assert promote(house.master())
    assert current.path.read_bytes() == fresh
    assert not promote(house.master())
    house.opens(house.ring(), house.signers())


def test_a_server_wraps_under_the_new_key_at_once(house: House) -> None:
    """A process that started before the rotation wraps and seals under the new key from then on."""
    ring = house.ring()
    keys, sealer = SoftwareKeys(house.store, FakeClock(), house.entropy, ring), MasterSealer(ring, house.entropy)
    sealer.seal("before", b"")
    for step in list(steps(house))[:2]:
        step()
    made = keys.generate(KeyKind.P256, ra_scope("later"))
    sealed = sealer.seal("s", b"after")
    row = house.store.get_key(made.id)
    assert row is not None
    Wrapping(house.master(), house.entropy).unwrap(row)
    assert MasterSealer(house.master(), house.entropy).unseal("s", sealed) == b"after"


def test_another_node_opens_with_the_next_keys_file(house: House, tmp_path: Path) -> None:
    """A node with a copy of `.next` opens what another node has wrapped anew, before it takes the key over itself."""
    node = tmp_path / "node"
    node.mkdir()
    prepare(house.master(), house.entropy, challenges=True)
    for name in ("master.key", "master.key.next"):
        (node / name).write_bytes((house.home / name).read_bytes())
        (node / name).chmod(0o600)
    promote(house.master())
    house.rewrapper().run()
    house.opens(master_ring(node, {}), signer_ring(node, {}))


def test_keys_on_a_medium_are_wrapped_anew_there(house: House, tmp_path: Path) -> None:
    """A key that was moved out is named until its medium was brought: without it the former key may not go."""
    medium = tmp_path / "medium"
    medium.mkdir()
    SoftwareKeys(house.store, FakeClock(), house.entropy, house.ring()).move_out(house.keys[0], medium)
    for step in list(steps(house))[:2]:
        step()
    assert house.rewrapper().run().missing == (house.keys[0],)
    brought = house.rewrapper().run([medium])
    assert (brought.missing, brought.on_media) == ((), 1)
    row = MediumVault(medium).get_key(house.keys[0])
    assert row is not None
    Wrapping(house.master(), house.entropy).unwrap(row)


def test_the_signer_gets_a_key_of_its_own(house: House) -> None:
    """CA keys go under it, the faces' stay under the master key; so does the key of a CA that is its own RA (R2)."""
    running = house.signers()
    house.opens(house.ring(), running)
    create_signer_key(house.home / "signer.key", house.entropy)
    assert house.rewrapper().run().keys == 2
    own = load_signer_key(house.home, {})
    assert own is not None
    house.opens(house.master(), own)
    house.opens(house.ring(), running)
    for key_id in house.keys[:2]:
        row = house.store.get_key(key_id)
        assert row is not None
        with pytest.raises(AdminError):
            Wrapping(house.master(), house.entropy).unwrap(row)
    with pytest.raises(AdminError) as there:
        create_signer_key(house.home / "signer.key", house.entropy)
    assert there.value.reason is reasons.HOME_USED


def test_keys_of_other_sites_are_left_alone(house: House, tmp_path: Path) -> None:
    """A CA key under a key that is not ours is counted and stays as it is; a face's key like that is told."""
    (tmp_path / "site").mkdir()
    site = create_master_key(tmp_path / "site", SeededEntropy(9))
    theirs = SoftwareKeys(house.store, FakeClock(), SeededEntropy(8), site).generate(KeyKind.P256, ca_scope("plant"))
    row = house.store.get_key(theirs.id)
    assert house.rewrapper().run().foreign == 1
    assert house.store.get_key(theirs.id) == row
    SoftwareKeys(house.store, FakeClock(), SeededEntropy(7), site).generate(KeyKind.P256, ra_scope("plant"))
    with pytest.raises(AdminError) as refused:
        house.rewrapper().run()
    assert refused.value.reason is reasons.MASTER_KEY_REFUSED


def test_a_key_that_systemd_gave_cannot_be_rotated_there(house: House) -> None:
    """A credential is a copy, and a link is not the file: both are refused with the way out."""
    copy = MasterKey(bytes(32), house.home / "master.key", MasterKeyOrigin.CREDENTIAL, beside_database=False)
    link = house.home / "link"
    link.symlink_to(house.home / "master.key")
    named = MasterKey(bytes(32), link, MasterKeyOrigin.FILE, beside_database=False)
    for key in (copy, named):
        for call in (promote, finish):
            with pytest.raises(AdminError) as refused:
                call(key)
            assert refused.value.reason is reasons.FILE_REFUSED


def test_files_that_are_no_keys_are_refused(house: House) -> None:
    """A second line is the challenges' key or the file is refused; so is a file beside it that is no key (SEC-3)."""
    path = house.home / "master.key"
    good = path.read_bytes()
    for text in (good + b"x\n", good + b"challenges 00\n", good + b"challenges " + b"g" * 64 + b"\n"):
        path.write_bytes(text)
        with pytest.raises(AdminError) as refused:
            house.ring().current()
        assert refused.value.reason is reasons.MASTER_KEY_REFUSED
    path.write_bytes(good)
    next_file(path).write_bytes(good)
    next_file(path).chmod(0o644)
    with pytest.raises(AdminError) as loose:
        house.ring().current()
    assert loose.value.reason is reasons.PERMISSIONS_REFUSED
