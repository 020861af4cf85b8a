"""Copies that look after themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from fakes import MemoryCrlFiles, MemorySigner
from regalia.ca.crl import CrlPublisher
from regalia.ca.crl_copy import CrlCopier
from regalia.jobs.copy_crls import CopyCrls
from world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ca.crl import CrlStore
    from regalia.model import CrlRecord

NAME = "default-ca-1"
SERVED = f"published/{NAME}"


class Copying(World):
    """A deployment where another node publishes, and this one has the job."""

    def __init__(self) -> None:
        super().__init__()
        self.here = MemoryCrlFiles()
        self.there = self.publisher(self.files)
        self.job = CopyCrls(self.store, self.keys, CrlCopier(self.store, self.here), self.publisher(self.here))

    def publisher(self, files: MemoryCrlFiles) -> CrlPublisher:
        """Make the publisher of a node."""
        return CrlPublisher(
            self.store, files, MemorySigner(self.store, self.keys, files), self.clock, self.entropy, self.urls
        )

    def run(self) -> None:
        """Run the job now."""
        self.job.run(self.clock.now())


@pytest.fixture
def world() -> Copying:
    """A root and an issuing authority with their first CRLs, made elsewhere."""
    world = Copying()
    for name in ("root", NAME):
        world.there.publish(name)
    return world


def test_a_node_has_every_crl_after_its_first_look(world: Copying) -> None:
    """A node that starts serves the CRLs that others made, the root's too."""
    world.run()
    assert world.here.files == world.files.files
    assert set(world.here.files) == {SERVED, "published/root"}


def test_a_notice_is_heeded_at_once(world: Copying) -> None:
    """Told of a new CRL, the job looks although it just did."""
    world.run()
    world.there.publish(NAME)
    world.job.hear()
    world.run()
    assert world.here.files == world.files.files


def test_a_notice_that_was_missed_costs_five_seconds(world: Copying) -> None:
    """Without a notice the job looks every five seconds, and when the clock went back."""
    world.run()
    world.there.publish(NAME)
    world.clock.advance(timedelta(seconds=5))
    world.run()
    assert world.here.files == world.files.files
    world.there.publish(NAME)
    world.clock.advance(timedelta(seconds=-1))
    world.run()
    assert world.here.files == world.files.files


def test_what_cannot_be_copied_is_published_anew(world: Copying) -> None:
    """A CRL whose octets the database lost is made again by a node that has the key; others are copied meanwhile."""
    lost = Lost(world)
    job = CopyCrls(world.store, world.keys, CrlCopier(cast("CrlStore", lost), world.here), world.publisher(world.here))
    job.run(world.clock.now())
    assert world.here.files["published/root"] == world.files.files["published/root"]
    assert world.here.files[SERVED] != world.files.files[SERVED]
    last = world.store.last_crl(NAME)
    assert last is not None
    assert world.here.digest(NAME) == last.sha256


def test_a_root_whose_key_is_elsewhere_is_told_and_keeps_nothing_waiting(world: Copying) -> None:
    """R10: the root's CRL is made by hand; until then the job says so, and copies the others."""
    root = world.store.authority("root")
    assert root is not None
    del world.keys.private[root.key_id]
    lost = Lost(world, "root")
    job = CopyCrls(world.store, world.keys, CrlCopier(cast("CrlStore", lost), world.here), world.publisher(world.here))
    with pytest.raises(ExceptionGroup) as caught:
        job.run(world.clock.now())
    assert "the CRL root has to be made anew" in str(caught.value.exceptions[0])
    assert set(world.here.files) == {SERVED}


class Lost:
    """The store without the octets of one authority's CRL."""

    def __init__(self, world: Copying, name: str = NAME) -> None:
        self._world = world
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._world.store, name)

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """Give nothing of it."""
        if record.authority != self._name:
            yield from self._world.store.crl_octets(record)
