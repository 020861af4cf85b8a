"""CRLs that publish themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from fakes import MemorySigner
from regalia.ca.crl import CrlPublisher
from regalia.ca.revoke import revoke
from regalia.errors import InvariantError
from regalia.jobs.publish_crl import PublishCrls
from regalia.model import Actor, AuthorityState, Certificate, CertificateKind, CrlRecord, RevocationReason
from regalia.ports import CertificateFilter
from world import ADMIN, Device, World, names

NAME = "default-ca-1"


class Publishing(World):
    """A world with the job."""

    def __init__(self) -> None:
        super().__init__()
        signer = MemorySigner(self.store, self.keys, self.files)
        publisher = CrlPublisher(self.store, self.files, signer, self.clock, self.entropy, self.urls)
        self.job = PublishCrls(self.store, self.keys, publisher, self.files, alert_octets=800)

    def run(self) -> None:
        """Run the job now."""
        self.job.run(self.clock.now())

    def crl(self, authority: str = NAME) -> x509.CertificateRevocationList:
        """Read what is published."""
        return x509.load_der_x509_crl(self.files.files[f"published/{authority}"])

    def leaf(self, index: int) -> Certificate:
        """Enrol a device and return its certificate's row."""
        self.clock.advance(timedelta(seconds=1))
        Device(self).fresh(f"transaction {index}").enrol(names("laptop-1"), self.mint("laptop-1"))
        return self.store.certificates(CertificateFilter(kind=CertificateKind.LEAF))[0]

    def revoke(self, certificate: Certificate) -> None:
        """Revoke it."""
        revoke(self.store, self.clock, certificate, reason=RevocationReason.SUPERSEDED, actor=ADMIN, note="")


@pytest.fixture
def world() -> Publishing:
    """A root and an issuing authority, no CRL yet."""
    return Publishing()


def test_each_authority_gets_its_first_crl(world: Publishing) -> None:
    """An authority without a CRL, the root included, has one after the first run."""
    world.run()
    for name in (NAME, "root"):
        authority = world.store.authority(name)
        assert authority is not None
        issuer = x509.load_der_x509_certificate(authority.certificate_der)
        assert world.crl(name).is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # it is an EC key
        assert len(world.crl(name)) == 0


def test_nothing_is_published_that_is_not_due(world: Publishing) -> None:
    """Without a revocation the CRL stays until half of its life is over."""
    world.run()
    first = world.crl()
    world.clock.advance(timedelta(hours=1))
    world.run()
    assert world.crl() == first
    world.clock.advance(timedelta(days=4))
    world.run()
    assert world.crl() != first


def test_many_revocations_are_one_crl(world: Publishing) -> None:
    """REV-3: what is revoked between two runs is in the next CRL together."""
    world.run()
    leaves = [world.leaf(index) for index in range(3)]
    for leaf in leaves:
        world.revoke(leaf)
    before = world.store.last_crl(NAME)
    world.clock.advance(timedelta(seconds=20))
    world.run()
    after = world.store.last_crl(NAME)
    assert before is not None
    assert after is not None
    assert after.number > before.number
    assert {entry.serial_number for entry in world.crl()} == {leaf.serial for leaf in leaves}


def test_the_interval_keeps_the_minute() -> None:
    """A revocation reaches the CRL within 60 seconds, though one run may fail."""
    assert Publishing().job.every * 3 <= timedelta(minutes=1)


def test_a_root_whose_key_is_away_is_left_alone(world: Publishing) -> None:
    """R10: with the root's key moved out, the issuing authorities' CRLs are published and nothing fails."""
    root = world.store.authority("root")
    assert root is not None
    del world.keys.private[root.key_id]
    world.run()
    assert world.files.published("root") is None
    assert world.files.published(NAME) is not None


def test_one_authority_that_cannot_keeps_no_other_waiting(world: Publishing) -> None:
    """A clock behind one authority's CRL is that authority's trouble; it is raised when the others are done."""
    world.clock.advance(timedelta(days=1))
    world.run()
    world.open_group("second")
    world.revoke(world.leaf(1))
    world.clock.advance(timedelta(minutes=-2))
    with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="CA-010")):
        world.run()
    assert world.files.published("second-ca-1") is not None


def test_one_that_does_not_verify_keeps_no_other_waiting(world: Publishing) -> None:
    """REV-3: an authority whose key is not that of its certificate gets no CRL, and the others get theirs."""
    world.open_group("second")
    authority = world.store.authority(NAME)
    assert authority is not None
    world.keys.private[authority.key_id] = ec.generate_private_key(ec.SECP256R1())
    with pytest.RaisesGroup(pytest.RaisesExc(InvariantError, match="its signature")):
        world.run()
    assert world.files.published(NAME) is None
    assert world.files.published("second-ca-1") is not None


def test_every_list_of_a_plan_is_published(world: Publishing) -> None:
    """Partial and delta CRLs publish themselves as the full one does, and go on after the plan ended."""
    for shards, delta in ((2, True), (0, False)):
        world.store.set_crl_plan(NAME, shards, (), lists=shards, delta=delta, full=True)
        world.run()
        world.clock.advance(timedelta(days=4))
    world.run()
    assert {path for path in world.files.files if "ca-1" in path and path.startswith("published/")} == {
        f"published/{NAME}{which}" for which in ("", "-delta", "-1", "-1-delta", "-2", "-2-delta")
    }
    for which in ("", "-1", "-2"):
        assert (
            x509.load_der_x509_crl(world.files.files[f"published/{NAME}{which}"]).last_update_utc == world.clock.now()
        )


def test_a_retired_authority_publishes_no_more(world: Publishing) -> None:
    """The CRL of a retiring and of a revoked authority goes on; a retired one has nothing left to tell of."""
    world.run()
    for state, goes_on in (
        (AuthorityState.RETIRING, True),
        (AuthorityState.REVOKED, True),
        (AuthorityState.RETIRED, False),
    ):
        world.store.set_authority_state(NAME, state, ())
        world.clock.advance(timedelta(days=4))
        world.run()
        assert (world.crl().last_update_utc == world.clock.now()) is goes_on


def test_rev5_a_large_crl_is_a_warning(world: Publishing, capsys: pytest.CaptureFixture[str]) -> None:
    """REV-5: from the size on that the settings name, each publication says how large the CRL is."""
    world.run()
    assert "crl-large" not in capsys.readouterr().out
    for index in range(12):
        world.revoke(world.leaf(index))
    world.run()
    assert "crl-large" in capsys.readouterr().out


class _Numberless(CrlPublisher):
    """A publisher for whom one list never gets its number."""

    def publish(self, name: str, actor: Actor = ADMIN, *, shard: int = 0) -> CrlRecord:
        """Publish all lists but the first partial one."""
        if shard == 1:
            raise InvariantError("no number")
        return super().publish(name, actor, shard=shard)


def test_a_list_that_cannot_be_published_keeps_no_other_waiting(world: Publishing) -> None:
    """Of the lists of one authority each is tried, and what failed is raised at the end."""
    world.store.set_crl_plan(NAME, 3, (), lists=3, delta=False, full=True)
    signer = MemorySigner(world.store, world.keys, world.files)
    publisher = _Numberless(world.store, world.files, signer, world.clock, world.entropy, world.urls)
    with pytest.raises(ExceptionGroup) as caught:
        PublishCrls(world.store, world.keys, publisher, world.files).run(world.clock.now())
    assert [str(failure) for failure in caught.value.exceptions] == ["no number"]
    published = {path for path in world.files.files if path.startswith(f"published/{NAME}")}
    assert published == {f"published/{NAME}", f"published/{NAME}-2", f"published/{NAME}-3"}
