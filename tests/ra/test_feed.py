"""What a connector's feed wants revoked is revoked where it is its own, and every wish has an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ra.test_follow_run import Fleet
from regalia import reasons
from regalia.ca.revoke import is_final
from regalia.model.connector import NotAsked, RevocationResult, RevocationWish, Told
from regalia.ra.feed import answer_feed

if TYPE_CHECKING:
    from collections.abc import Sequence

AWAY = NotAsked(reasons.CONNECTOR_AWAY, "no answer")


@dataclass
class Feed:
    """A system that wants some certificates revoked, and remembers what it is told."""

    wanted: tuple[RevocationWish, ...] | NotAsked = ()
    hears: bool = True
    told: list[RevocationResult] = field(default_factory=list)

    def wishes(self, most: int) -> tuple[RevocationWish, ...] | NotAsked:
        """See `ports.RevocationFeed`."""
        return self.wanted if isinstance(self.wanted, NotAsked) else self.wanted[:most]

    def report(self, results: Sequence[RevocationResult]) -> Told | NotAsked:
        """See `ports.RevocationFeed`."""
        self.told += results
        return Told() if self.hears else AWAY


def wish(*serials: int, context: str = "w", authority: str | None = None) -> RevocationWish:
    """Make a wish."""
    return RevocationWish(context, serials, None, authority)


def answered(fleet: Fleet, *wishes: RevocationWish) -> list[RevocationResult]:
    """Have the feed say so, and return what it is told."""
    feed = Feed(wishes)
    answer_feed(fleet.store, "intune", feed, fleet.clock.now())
    return feed.told


def test_a_wish_is_done_and_told() -> None:
    """The certificate is revoked for the cause `requested`, and the next time it was revoked before."""
    fleet = Fleet(2)
    (done,) = answered(fleet, wish(1 << 8))
    assert done == RevocationResult("w", done=True)
    assert is_final(fleet.row(1))
    assert not is_final(fleet.row(2))
    (again,) = answered(fleet, wish(1 << 8, context="w2"))
    assert (again.context, again.done) == ("w2", True)


def test_the_likeliest_serial_counts() -> None:
    """Feeds spell serial numbers in several ways: the first that is a certificate of the connector's is meant."""
    fleet = Fleet(2)
    (done,) = answered(fleet, wish(0x1FF, 2 << 8, 1 << 8))
    assert done.done
    assert (is_final(fleet.row(1)), is_final(fleet.row(2))) == (False, True)


def test_nobody_elses_certificate_is_touched() -> None:
    """A feed that names a serial of another connector's device, of none at all, or of another CA finds nothing."""
    fleet = Fleet(2)
    other = fleet.store.device(UUID(int=2))
    assert other is not None
    assert fleet.store.put_devices([(other, replace(other, connector="jamf"))], ())
    for each in (wish(2 << 8), wish(77), wish(), wish(1 << 8, authority="another-ca")):
        (result,) = answered(fleet, each)
        assert (result.done, result.found, result.retry) == (False, False, False)
    assert fleet.revoked() == 0


def test_a_certificate_without_a_record_is_nobodys() -> None:
    """What was issued by a challenge of ours is out of every feed's reach."""
    fleet = Fleet(1)
    row = fleet.row(1)
    intent = replace(row.intent, device_id=None, id=UUID(int=4711), serial=4711)
    fleet.store.begin(intent, ())
    fleet.store.finish(intent.id, b"der", fleet.clock.now(), ())
    (result,) = answered(fleet, wish(4711))
    assert not result.found


def test_a_mass_of_wishes_meets_the_brake() -> None:
    """REV-7: a feed that suddenly wants everything revoked gets nothing, and the run that is stopped shows it all."""
    fleet = Fleet(60)
    results = answered(fleet, *(wish(number << 8, context=str(number)) for number in range(1, 41)))
    assert all(result.retry and "without two administrators" in result.detail for result in results)
    assert fleet.revoked() == 0
    stopped = fleet.run().stopped
    assert stopped is not None
    assert (stopped.ends, fleet.revoked()) == ({"default": 40}, 0)


def test_its_group_may_say_otherwise() -> None:
    """Where a group's rules put on hold what the system wants revoked, the feed hears that it was not revoked."""
    fleet = Fleet(1)
    document = '{"rules": {"requested": {"consequence": "hold"}}}'
    assert fleet.store.set_follow("default", document, ())
    (result,) = answered(fleet, wish(1 << 8))
    assert (result.done, result.found, result.retry) == (False, True, False)
    assert fleet.row(1).revocation is not None
    assert not is_final(fleet.row(1))


@pytest.mark.parametrize("hears", [True, False])
def test_what_was_not_heard_is_done_all_the_same(*, hears: bool) -> None:
    """Whether the report arrives or not, what was done stays done, and the same wish is answered again."""
    fleet = Fleet(1)
    feed = Feed((wish(1 << 8),), hears=hears)
    answer = answer_feed(fleet.store, "intune", feed, fleet.clock.now())
    assert (answer.failed is None) is hears
    assert is_final(fleet.row(1))


def test_a_feed_that_is_away_changes_nothing() -> None:
    """CON-5: no answer is no wish."""
    fleet = Fleet(1)
    feed = Feed(AWAY)
    assert answer_feed(fleet.store, "intune", feed, fleet.clock.now()).failed == AWAY
    assert (feed.told, fleet.revoked()) == ([], 0)
    assert answer_feed(fleet.store, "intune", Feed(()), fleet.clock.now()).results == ()
