"""Publishing CRLs: what is on them, that they are verified before anybody sees them, and when a new one is due."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fakes import MemoryCrlFiles
from regalia import reasons
from regalia.ca.crl import ISSUING_LIFETIME, ROOT_LIFETIME, CrlPublisher
from regalia.errors import AdminError, InvariantError, UnavailableError
from regalia.model import Action, KeyKind, RevocationReason
from small_ca import ADMIN, SmallCa, profile_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from regalia.ca.crl import CrlStore
    from regalia.model import Authority
    from regalia.ports import IntentSigner, PublishedCrl, StreamedFile

_SERIAL = 1 << 130


class _World:
    """An authority with a publisher."""

    def __init__(self) -> None:
        self.ca = SmallCa()
        self.authority = self.ca.issuing()
        self.publisher = self.with_(self.ca.files, self.ca.signer)

    def with_(self, files: MemoryCrlFiles, signer: IntentSigner) -> CrlPublisher:
        """Make a publisher on other files or with another signer."""
        return CrlPublisher(self.ca.store, files, signer, self.ca.clock, self.ca.entropy, self.ca.urls)

    def published(self, authority: str = "default") -> x509.CertificateRevocationList:
        """The CRL that is served, by an independent parser."""
        return x509.load_der_x509_crl(self.ca.files.files[f"published/{authority}"])

    def revoked(self, count: int) -> None:
        """Issue and revoke certificates."""
        for serial in range(_SERIAL, _SERIAL + count):
            self.ca.leaf(self.authority, serial)
            self.ca.revoke(self.authority, serial)

    def spool(self) -> list[str]:
        """Spool files that are left."""
        return [path for path in self.ca.files.files if path.startswith("spool/")]


@pytest.fixture
def world() -> _World:
    """Give each test its own authority."""
    return _World()


# --- what is on it ---------------------------------------------------------------------------------------------------


def test_rev2_a_crl_lists_what_is_revoked(world: _World) -> None:
    """REV-2: number, times, key and every revoked serial of the snapshot; the record and the event agree with it."""
    world.revoked(3)
    world.ca.leaf(world.authority, _SERIAL + 3)
    record = world.publisher.publish("default")
    crl = world.published()
    assert [entry.serial_number for entry in crl] == [_SERIAL, _SERIAL + 1, _SERIAL + 2]
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == record.number
    assert crl.next_update_utc == record.next_update == world.ca.clock.now() + ISSUING_LIFETIME
    assert (record.entries, record.snapshot, record.authority) == (3, 3, "default")
    assert world.ca.store.last_crl("default") == record
    event = world.ca.store.log[-1].draft
    assert (event.action, event.object, event.group) == (Action.CRL_PUBLISHED, "authority:default", "default")
    assert event.details["number"] == str(record.number)
    assert event.details["entries"] == 3
    assert world.spool() == []


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.RSA_2048])
def test_openssl_verifies_the_crl(world: _World, tmp_path: Path, kind: KeyKind) -> None:
    """`openssl crl` verifies the signature of an authority of each kind, with and without entries."""
    authority = world.ca.issuing(f"of-{kind.value.replace('-', '')}", key_kind=kind)
    pem = x509.load_der_x509_certificate(authority.certificate_der).public_bytes(Encoding.PEM)
    (tmp_path / "ca.pem").write_bytes(pem)
    for turn in range(2):
        world.publisher.publish(authority.name)
        (tmp_path / "p.crl").write_bytes(world.ca.files.files[f"published/{authority.name}"])
        command = ["openssl", "crl", "-inform", "DER", "-in", "p.crl", "-CAfile", "ca.pem", "-noout", "-text"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "verify OK" in done.stderr
        assert ("No Revoked Certificates" in done.stdout) is (turn == 0)
        world.ca.leaf(authority, _SERIAL + turn)
        world.ca.revoke(authority, _SERIAL + turn)


def test_the_root_signs_for_a_year(world: _World) -> None:
    """R10: the root's CRL, with P-384 and SHA-384, is good for a year and lists a revoked issuing authority."""
    certificate = world.ca.store.certificate(world.authority.certificate_id)
    assert certificate is not None
    world.ca.revoke(world.ca.root, certificate.serial, RevocationReason.CESSATION_OF_OPERATION)
    world.publisher.publish("root")
    crl = world.published("root")
    assert crl.next_update_utc == world.ca.clock.now() + ROOT_LIFETIME
    assert [entry.serial_number for entry in crl] == [certificate.serial]
    assert crl.signature_hash_algorithm is not None
    assert crl.signature_hash_algorithm.name == "sha384"


def test_rev5_an_expired_certificate_is_listed_once_more_then_dropped(world: _World) -> None:
    """REV-5: the first CRL after its notAfter still lists a certificate, the next one does not."""
    profile = profile_of('[validity]\nduration = "1d"\n[usage]\nextended-key-usage = ["clientAuth"]\n')
    world.ca.leaf(world.authority, _SERIAL, profile)
    world.ca.revoke(world.authority, _SERIAL)
    lengths = []
    for _ in range(4):
        world.publisher.publish("default")
        lengths.append(len(world.published()))
        world.ca.later(hours=20)
    assert lengths == [1, 1, 1, 0]


def test_rev5_a_crl_in_the_second_of_notafter_is_not_beyond_it(world: _World) -> None:
    """REV-5 and RFC 5280 §3.3: the certificate is good in that second, so a later CRL still has to list it."""
    profile = profile_of('[validity]\nduration = "1d"\nbackdate = "0m"\n[usage]\nextended-key-usage = ["clientAuth"]\n')
    world.ca.leaf(world.authority, _SERIAL, profile)
    world.ca.revoke(world.authority, _SERIAL)
    lengths = []
    for _ in range(3):
        world.ca.later(hours=24)
        world.publisher.publish("default")
        lengths.append(len(world.published()))
    assert lengths == [1, 1, 0]


def test_rev2_numbers_only_grow(world: _World) -> None:
    """REV-2: each CRL has a higher number than the one before, also within one millisecond."""
    numbers = [world.publisher.publish("default").number for _ in range(3)]
    assert numbers == sorted(set(numbers))


# --- when it is due --------------------------------------------------------------------------------------------------


def test_rev3_a_crl_is_due_at_first_after_a_revocation_and_at_half_life(world: _World) -> None:
    """REV-3: due where there is none, where something was revoked since, and when half of its life is over."""
    assert world.publisher.due("default")
    world.publisher.publish("default")
    assert not world.publisher.due("default")
    world.revoked(1)
    assert world.publisher.due("default")
    world.publisher.publish("default")
    assert not world.publisher.due("default")
    world.ca.clock.advance(ISSUING_LIFETIME / 2 - timedelta(seconds=1))
    assert not world.publisher.due("default")
    world.ca.later(seconds=1)
    assert world.publisher.due("default")


def test_a_missing_copy_is_no_reason_for_a_new_crl(world: _World) -> None:
    """A node without its file takes a copy of what is published, instead of signing again."""
    world.publisher.publish("default")
    del world.ca.files.files["published/default"]
    assert not world.publisher.due("default")


# --- what can go wrong -----------------------------------------------------------------------------------------------


def test_an_unknown_authority_has_no_crl(world: _World) -> None:
    """An administrator who misspells an authority is told so."""
    with pytest.raises(AdminError) as caught:
        world.publisher.publish("defualt")
    assert caught.value.reason is reasons.NOT_FOUND


def test_a_clock_that_went_back_publishes_nothing(world: _World) -> None:
    """A CRL is never older than the one before it: behind its thisUpdate nothing is signed."""
    number = world.publisher.publish("default").number
    world.ca.later(minutes=-1)
    with pytest.raises(UnavailableError, match="the clock says"):
        world.publisher.publish("default")
    assert world.published().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number


def test_a_key_that_is_elsewhere_leaves_the_old_crl(world: _World) -> None:
    """R10: with the root's key moved out nothing is published, and no spool file stays."""
    world.publisher.publish("root")
    before = world.ca.files.files["published/root"]
    del world.ca.keys.private[world.ca.root.key_id]
    with pytest.raises(UnavailableError):
        world.publisher.publish("root")
    assert world.ca.files.files["published/root"] == before
    assert world.spool() == []


class _WrongSigner:
    """A signer that signs with whatever key it likes."""

    def __init__(self, ca: SmallCa, instead: Authority) -> None:
        self._ca = ca
        self._instead = instead

    def sign_intent(self, row_id: UUID) -> bytes:
        """Sign the list with another authority's key."""
        intent = self._ca.store.signing_intent(row_id)
        assert intent is not None
        assert intent.tbs_path is not None
        data = b"".join(self._ca.files.read(intent.tbs_path))
        return self._ca.keys.open(self._instead.key_id).sign(data, "sha256")


def test_rev2_a_signature_by_another_key_is_not_published(world: _World) -> None:
    """REV-2: what does not verify with the authority's key is not seen by anybody, nor recorded."""
    other = world.ca.issuing("other")
    publisher = world.with_(world.ca.files, _WrongSigner(world.ca, other))
    with pytest.raises(InvariantError, match="its signature"):
        publisher.publish("default")
    assert world.ca.store.last_crl("default") is None
    assert list(world.ca.files.files) == []


class _ForgetfulFiles(MemoryCrlFiles):
    """Files that lose the first entry on their way into the list."""

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write without the first entry what is a list of entries."""
        octets = b"".join(chunks)
        # The entries are what is written first; the first of them is a SEQUENCE with a length of one octet.
        return super().write([octets if self.files else octets[2 + octets[1] :]])


def test_rev2_a_crl_that_lost_an_entry_is_not_published(world: _World) -> None:
    """REV-2: a list that lacks a revoked serial of its snapshot is found by reading it back."""
    world.revoked(2)
    files = world.ca.files = _ForgetfulFiles()
    world.ca.signer = type(world.ca.signer)(world.ca.store, world.ca.keys, files)
    with pytest.raises(InvariantError, match="its entries"):
        world.with_(files, world.ca.signer).publish("default")
    assert files.files == {}


class _TornFiles(MemoryCrlFiles):
    """Files that lose the end of what is written last, the finished CRL."""

    def write(self, chunks: Iterable[bytes]) -> StreamedFile:
        """Write less than was asked for."""
        octets = b"".join(chunks)
        return super().write([octets if len(self.files) < 2 else octets[:-1]])


def test_rev2_a_torn_crl_is_not_published(world: _World) -> None:
    """REV-2: a file that cannot be read back is not seen by anybody."""
    files = world.ca.files = _TornFiles()
    world.ca.signer = type(world.ca.signer)(world.ca.store, world.ca.keys, files)
    with pytest.raises(InvariantError, match="cut"):
        world.with_(files, world.ca.signer).publish("default")
    assert files.files == {}


class _RacingSigner:
    """A signer during whose work another process publishes."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._raced = False

    def sign_intent(self, row_id: UUID) -> bytes:
        """Let the other one publish first."""
        if not self._raced:
            self._raced = True
            self._world.publisher.publish("default")
        return self._world.ca.signer.sign_intent(row_id)


def test_a_newer_crl_is_never_replaced_by_an_older_one(world: _World) -> None:
    """Of two publishers at once the one with the lower number gives way."""
    with pytest.raises(UnavailableError) as caught:
        world.with_(world.ca.files, _RacingSigner(world)).publish("default")
    assert caught.value.reason is reasons.IN_PROGRESS
    last = world.ca.store.last_crl("default")
    assert last is not None
    assert world.published().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == last.number
    assert world.spool() == []


class _OvertakenStore:
    """A store after whose commit another process of this node publishes a newer CRL."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._overtaken = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._world.ca.store, name)

    def finish_crl(self, *given: Any) -> bool:  # noqa: ANN401 - as the port has it
        """Commit, and be overtaken before the file is in place."""
        done = self._world.ca.store.finish_crl(*given)
        if not self._overtaken:
            self._overtaken = True
            self._world.publisher.publish("default")
        return done


def test_rev2_what_a_node_serves_never_goes_back(world: _World) -> None:
    """REV-2: a publisher who is overtaken between its commit and its file leaves the newer file where it is."""
    store = cast("CrlStore", _OvertakenStore(world))
    publisher = CrlPublisher(store, world.ca.files, world.ca.signer, world.ca.clock, world.ca.entropy, world.ca.urls)
    record = publisher.publish("default")
    last = world.ca.store.last_crl("default")
    assert last is not None
    assert last.number > record.number
    assert world.published().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == last.number
    assert world.spool() == []


class _FullFiles(MemoryCrlFiles):
    """Files on a disk that takes no more renames."""

    def publish(self, authority: str, path: str) -> PublishedCrl:
        """Refuse."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{authority} {path}: disk full")


def test_a_crl_is_published_where_its_record_is(world: _World) -> None:
    """The database is the origin: a node whose own file fails has published all the same, for the other nodes."""
    world.ca.files = files = _FullFiles()
    world.ca.signer = type(world.ca.signer)(world.ca.store, world.ca.keys, files)
    with pytest.raises(UnavailableError, match="disk full"):
        world.with_(files, world.ca.signer).publish("default")
    last = world.ca.store.last_crl("default")
    assert last is not None
    assert hashlib.sha256(b"".join(world.ca.store.crl_octets(last))).digest() == last.sha256


def test_the_actor_stands_in_the_event(world: _World) -> None:
    """An administrator who publishes by hand is named; the job is `system crl`."""
    world.publisher.publish("default", ADMIN)
    assert world.ca.store.log[-1].draft.actor == ADMIN
    world.publisher.publish("default")
    assert world.ca.store.log[-1].draft.actor.kind == "system"
