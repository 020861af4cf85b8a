"""Copies of CRLs: each node serves what the database holds, and never an older one than it served before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509

from fakes import MemoryCrlFiles
from regalia import reasons
from regalia.ca.crl import CrlPublisher
from regalia.ca.crl_copy import Copied, CrlCopier
from regalia.errors import UnavailableError
from small_ca import SmallCa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.ca.crl import CrlStore
    from regalia.model import CrlRecord

SERVED = "published/default"


class Nodes:
    """Two nodes on one database: `here` looks after its copies, `there` publishes."""

    def __init__(self) -> None:
        self.ca = SmallCa()
        self.authority = self.ca.issuing()
        self.here = MemoryCrlFiles()
        self.publisher = CrlPublisher(
            self.ca.store, self.ca.files, self.ca.signer, self.ca.clock, self.ca.entropy, self.ca.urls
        )
        self.copier = self.copying()

    def copying(self, store: object = None) -> CrlCopier:
        """Make a copier, on another store if one is given."""
        return CrlCopier(cast("CrlStore", store or self.ca.store), self.here)

    @property
    def there(self) -> dict[str, bytes]:
        """The files of the node that publishes."""
        return self.ca.files.files


@pytest.fixture
def nodes() -> Nodes:
    """One authority and no CRL yet."""
    return Nodes()


def test_a_copy_is_the_published_crl(nodes: Nodes) -> None:
    """What another node published is served here, octet for octet; a second look changes nothing."""
    assert nodes.copier.copy(nodes.authority) is Copied.CURRENT
    nodes.publisher.publish("default")
    assert nodes.copier.copy(nodes.authority) is Copied.MADE
    assert nodes.here.files == {SERVED: nodes.there[SERVED]}
    assert nodes.copier.copy(nodes.authority) is Copied.CURRENT


@pytest.mark.parametrize("octets", [b"", b"no CRL", None], ids=["empty", "garbage", "older"])
def test_whatever_else_lies_there_is_replaced(nodes: Nodes, octets: bytes | None) -> None:
    """A file that is empty, no CRL at all or an older CRL makes room for the published one."""
    nodes.publisher.publish("default")
    nodes.here.files[SERVED] = nodes.there[SERVED] if octets is None else octets
    nodes.publisher.publish("default")
    assert nodes.copier.copy(nodes.authority) is Copied.MADE
    assert nodes.here.files[SERVED] == nodes.there[SERVED]


def test_rev2_a_newer_crl_than_the_database_has_stays(nodes: Nodes) -> None:
    """REV-2: after a restore of the database the numbers that this node served do not fall; a new CRL is asked for."""
    record = nodes.publisher.publish("default")
    nodes.publisher.publish("default")
    nodes.here.files[SERVED] = newer = nodes.there[SERVED]
    assert nodes.copying(_Restored(nodes, record)).copy(nodes.authority) is Copied.UNUSABLE
    assert nodes.here.files == {SERVED: newer}


def test_octets_that_are_not_those_recorded_are_not_served(nodes: Nodes) -> None:
    """A CRL that somebody altered or removed in the database is not put over what is served."""
    nodes.publisher.publish("default")
    nodes.copier.copy(nodes.authority)
    before = dict(nodes.here.files)
    nodes.publisher.publish("default")
    for octets in (b"", nodes.there[SERVED][:-1], b"altered"):
        assert nodes.copying(_Altered(nodes, octets)).copy(nodes.authority) is Copied.UNUSABLE
        assert nodes.here.files == before


def test_a_newer_crl_that_comes_while_one_is_read_is_copied(nodes: Nodes) -> None:
    """A node reads the newest: one that is replaced half-way is left, and its successor taken."""
    nodes.publisher.publish("default")
    assert nodes.copying(_Busy(nodes, times=1)).copy(nodes.authority) is Copied.MADE
    last = nodes.ca.store.last_crl("default")
    crl = x509.load_der_x509_crl(nodes.here.files[SERVED])
    assert last is not None
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == last.number


def test_who_never_comes_to_an_end_gives_up(nodes: Nodes) -> None:
    """Where each CRL is replaced while it is read, the look ends and the next one tries again."""
    nodes.publisher.publish("default")
    with pytest.raises(UnavailableError) as caught:
        nodes.copying(_Busy(nodes, times=9)).copy(nodes.authority)
    assert caught.value.reason is reasons.IN_PROGRESS
    assert nodes.here.files == {}


class _Around:
    """The store, with something in the way."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self.nodes.ca.store, name)


class _Restored(_Around):
    """A store that was set back to an earlier CRL."""

    def __init__(self, nodes: Nodes, last: CrlRecord) -> None:
        super().__init__(nodes)
        self._last = last

    def last_crl(self, authority: str) -> CrlRecord:
        """Return the earlier one."""
        assert authority == self._last.authority
        return self._last


class _Altered(_Around):
    """A store with other octets than those that were recorded."""

    def __init__(self, nodes: Nodes, octets: bytes) -> None:
        super().__init__(nodes)
        self._octets = octets

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """Give them."""
        assert record.authority == "default"
        yield self._octets


class _Busy(_Around):
    """A store in which a newer CRL comes while one is read."""

    def __init__(self, nodes: Nodes, *, times: int) -> None:
        super().__init__(nodes)
        self._left = times

    def crl_octets(self, record: CrlRecord) -> Iterator[bytes]:
        """Give half of it."""
        if self._left:
            self._left -= 1
            yield self.nodes.there[SERVED][:50]
            self.nodes.publisher.publish("default")
        yield from self.nodes.ca.store.crl_octets(record)
