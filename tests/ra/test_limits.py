"""Limits: each one once with its default, decided before a private key is used, and never for ever."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fakes import FakeClock
from forge import envelope, signed
from memory_store import MemoryStore
from regalia import reasons
from regalia.config.settings import LimitSettings
from regalia.errors import UnavailableError
from regalia.model import Action, Authoriser, ConversationKey, Denied, new_id
from regalia.ports import EnrolmentFilter
from regalia.ra.limits import ALARM_PER_HOUR, Allowances, Limited, Limits, Sender
from regalia.ra.scep import CertRep, Unreadable
from regalia.wire.scep import MessageType, PkiStatus
from world import Device, World, names, rsa_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from regalia.errors import Reason
    from regalia.model import EventDraft
    from regalia.ports import KeyStore, PrivateKey
    from regalia.ra.scep import ScepAnswer
    from regalia.wire.algorithms import Oaep

HOME = "192.0.2.1"


# --- key stores that are watched --------------------------------------------------------------------------------------


@dataclass
class Used:
    """How often a private key was used."""

    times: int = 0


class WatchedKey:
    """A private key whose use is counted."""

    def __init__(self, key: PrivateKey, used: Used) -> None:
        self._key = key
        self._used = used

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self._key.public_key

    def sign(self, data: bytes, digest: str) -> bytes:
        """Count, and sign."""
        self._used.times += 1
        return self._key.sign(data, digest)

    def decrypt(self, ciphertext: bytes, oaep: Oaep | None = None) -> bytes:
        """Count, and decrypt."""
        self._used.times += 1
        return self._key.decrypt(ciphertext, oaep)


class WatchedKeys:
    """A key store that hands out watched keys."""

    def __init__(self, keys: KeyStore) -> None:
        self.generate = keys.generate
        self.holds = keys.holds
        self.move_out = keys.move_out
        self.destroy = keys.destroy
        self._keys = keys
        self.used = Used()

    def open(self, key_id: UUID) -> WatchedKey:
        """Use a key."""
        return WatchedKey(self._keys.open(key_id), self.used)


class Watched(World):
    """A world whose SCEP service uses watched keys."""

    def __init__(self, allowances: Allowances | None = None, store: MemoryStore | None = None) -> None:
        super().__init__(allowances=allowances, store=store)
        watched = WatchedKeys(self.keys)
        self.used = watched.used
        self.scep = self.service(watched)

    def alarms(self) -> list[tuple[str | None, str]]:
        """Reason and object of each alarm in the log."""
        drafts = [event.draft for event in self.store.log if event.draft.action is Action.LIMIT_REACHED]
        assert all(draft.security for draft in drafts)
        return [(draft.reason_id, draft.object) for draft in drafts]

    def refused_too_much(
        self, reason: Reason, body: bytes, endpoint: str = "default", *, source: str = HOME, folded: bool = False
    ) -> int:
        """Send what is too much, and see that R6 holds: no private key is used, and nothing is kept but one event.

        `folded`: its source was refused sixty times in this minute. Returns the seconds of Retry-After.
        """
        used, alarms, logged = self.used.times, len(self.alarms()), len(self.store.log)
        kept = self.store.enrolments(EnrolmentFilter(limit=10_000))
        answer = self.send(body, endpoint, source)
        assert isinstance(answer, Limited), answer
        assert answer.reason is reason
        assert answer.retry_after >= 1
        assert self.used.times == used
        assert self.store.enrolments(EnrolmentFilter(limit=10_000)) == kept
        written = [event.draft for event in self.store.log[logged:] if event.draft.action is not Action.LIMIT_REACHED]
        assert [(draft.action, draft.reason_id) for draft in written] == [
            (Action.ENROLMENT_REFUSED, reason.id) for _ in range(not folded)
        ]
        assert len(self.alarms()) - alarms <= 1
        return answer.retry_after


def wrong(world: World, source: str = HOME, endpoint: str = "default") -> ScepAnswer:
    """Send a first enrolment with a challenge that nobody handed out."""
    device = Device(world, key=rsa_key(1), endpoint=endpoint)
    return world.send(device.message(device.csr(names("laptop-1"), "guess")), endpoint, source)


def right(world: World, key: int = 2, endpoint: str = "default") -> bytes:
    """Make a first enrolment that would be granted."""
    device = Device(world, key=rsa_key(key), endpoint=endpoint).fresh(f"right-{key}")
    return device.message(device.csr(names(f"laptop-{key}"), world.mint(f"laptop-{key}", endpoint=endpoint)))


def unreadable(world: World, endpoint: str = "default") -> bytes:
    """Make a message whose content opens and is no request."""
    device = Device(world, key=rsa_key(1), endpoint=endpoint)
    return signed(device, envelope(device, b"nothing"))


def enrolled(world: World, key: int = 0) -> Device:
    """Enrol a device, from an address of its own."""
    device = Device(world, key=rsa_key(key), source="203.0.113.7").fresh(f"enrolled-{key}")
    assert device.enrol(names("laptop-1"), world.mint("laptop-1")).status is PkiStatus.SUCCESS
    return device


def granted(answer: ScepAnswer) -> bool:
    """Whether an answer carries a certificate."""
    return isinstance(answer, CertRep) and answer.issued


# --- wrong challenges -------------------------------------------------------------------------------------------------


def test_ten_wrong_challenges_close_first_enrolments_from_their_source() -> None:
    """CHA-3: ten a minute by default; others and renewals go on, and after the minute the source may try again."""
    world = Watched()
    renewing = replace(enrolled(world), source=HOME)
    for _ in range(10):
        assert isinstance(wrong(world), CertRep)
    assert world.alarms() == []
    seconds = world.refused_too_much(reasons.SOURCE_GUESSING, right(world))
    assert seconds == 60
    assert world.alarms() == [("LIM-001", f"source:{HOME}")]
    world.clock.advance(timedelta(seconds=20))
    assert world.refused_too_much(reasons.SOURCE_GUESSING, right(world)) == 40
    assert granted(world.send(right(world), source="192.0.2.2"))
    assert renewing.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS
    world.clock.advance(timedelta(seconds=40))
    assert granted(world.send(right(world, 3)))


def test_a_hundred_wrong_challenges_close_first_enrolments_of_the_group() -> None:
    """CHA-3: a hundred a minute from many addresses; renewals go on, and so do other groups."""
    world = Watched()
    world.open_group("staff")
    renewing = enrolled(world)
    for number in range(100):
        assert isinstance(wrong(world, f"198.51.100.{number // 10}"), CertRep)
    assert world.refused_too_much(reasons.GROUP_GUESSING, right(world)) == 60
    assert world.alarms() == [("LIM-002", "group:default")]
    assert renewing.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS
    assert granted(world.send(right(world, 3, "staff"), "staff"))


def test_every_way_that_a_challenge_is_wrong_counts() -> None:
    """CHA-3: missing, unknown, expired, used, replayed and revoked ones are all tries; a wrong name is none."""
    store, clock = MemoryStore(), FakeClock()
    world = World()
    door = world.store.door("default")
    assert door is not None
    sender = Sender(door, HOME, clock.now())
    wrong_ones = [f"RA-{number:03d}" for number in range(10, 16)]
    for reason_id in wrong_ones:
        limits = Limits(store, Allowances(wrong_challenges_per_source=1))
        reason = reasons.by_id(reason_id)
        assert reason is not None
        limits.denied(sender, Denied(reason))
        assert limits.first_enrolment(sender, b"t", bytes(32)) is not None, reason_id
    limits = Limits(store, Allowances(wrong_challenges_per_source=1))
    for reason in (reasons.NAMES_OUTSIDE_BINDING, reasons.TRANSACTION_TAKEN, reasons.POLL_UNKNOWN):
        limits.denied(sender, Denied(reason))
    assert limits.first_enrolment(sender, b"t", bytes(32)) is None


def test_a_wrong_challenge_of_a_live_signer_is_no_guess() -> None:
    """CHA-3 and R4: a device that renews with a foreign challenge is refused, and locks nobody out."""
    world = Watched()
    device = enrolled(world)
    for number in range(11):
        reply = device.fresh(f"renewal-{number}").enrol(names("laptop-1"), "guess")
        assert reply.status is PkiStatus.FAILURE
    assert granted(world.send(right(world), source=device.source))


def test_an_ipv6_network_is_one_source() -> None:
    """RES-6: whoever holds a /64 has ten tries, not ten for each of its addresses."""
    world = Watched()
    for number in range(10):
        wrong(world, f"2001:db8::{number:x}")
    world.refused_too_much(reasons.SOURCE_GUESSING, right(world), source="2001:db8::ffff")
    assert world.alarms() == [("LIM-001", "source:2001:db8::/64")]
    assert granted(world.send(right(world), source="2001:db8:0:1::1"))


# --- contents that cannot be opened -----------------------------------------------------------------------------------


def test_a_hundred_unreadable_contents_close_their_source() -> None:
    """ENV-9: whoever sends them is not listened to for the rest of the minute, whatever comes and wherever to."""
    world = Watched()
    world.open_group("staff")
    for _ in range(100):
        assert isinstance(world.send(unreadable(world)), CertRep)
    assert world.refused_too_much(reasons.SOURCE_UNREADABLE, right(world, 2, "staff"), "staff", folded=True) == 60
    world.refused_too_much(reasons.SOURCE_UNREADABLE, b"not even a message", "staff", folded=True)
    assert world.alarms() == [("LIM-003", f"source:{HOME}")]
    world.clock.advance(timedelta(minutes=1))
    assert granted(world.send(right(world)))


def test_a_thousand_unreadable_contents_close_the_group_to_strangers() -> None:
    """ENV-9: no more of a group's messages are opened for strangers, and holders of a certificate go on."""
    world = Watched()
    renewing = enrolled(world)
    for number in range(1_000):
        assert isinstance(world.send(unreadable(world), source=f"198.51.100.{number // 50}"), CertRep)
    assert world.refused_too_much(reasons.GROUP_UNREADABLE, right(world)) == 60
    # That of the hour, too.
    assert world.alarms() == [("LIM-004", "group:default")] * 2
    assert renewing.fresh("renewal").enrol(names("laptop-1"), None).status is PkiStatus.SUCCESS


def test_holders_of_a_certificate_are_counted_apart() -> None:
    """ENV-9: a thief of one device's key can close renewals for a minute, but not first enrolments."""
    world = Watched(Allowances(unreadable_per_group=3))
    device = enrolled(world)
    for number in range(3):
        world.send(signed(device, envelope(device, b"nothing")), source=f"198.51.100.{number}")
    again = device.fresh("renewal")
    world.refused_too_much(reasons.GROUP_UNREADABLE, again.message(again.csr(names("laptop-1"), None)))
    assert granted(world.send(right(world)))


def test_a_thousand_unreadable_contents_an_hour_are_an_alarm_of_their_own() -> None:
    """ENV-9: slow enough for the limit by the minute, and still told, once an hour."""
    world = World()
    door = world.store.door("default")
    assert door is not None
    limits, clock = Limits(world.store, Allowances()), FakeClock()
    logged = len(world.store.log)
    for _ in range(ALARM_PER_HOUR - 1):
        clock.advance(timedelta(seconds=1))
        limits.unreadable(Sender(door, HOME, clock.now()))
    assert len(world.store.log) == logged
    for _ in range(100):
        clock.advance(timedelta(seconds=1))
        limits.unreadable(Sender(door, HOME, clock.now()))
        assert limits.arrival(Sender(door, HOME, clock.now())) is None
    (alarm,) = world.store.log[logged:]
    assert alarm.draft.security
    assert (alarm.draft.action, alarm.draft.reason_id) == (Action.LIMIT_REACHED, "LIM-004")
    assert alarm.draft.details["detail"] == "1000 in 3600 seconds"


# --- requests, renewals, the queue ------------------------------------------------------------------------------------


def test_six_thousand_requests_a_minute_are_what_a_group_has() -> None:
    """RES-5: the next one is refused, for strangers and for holders of a certificate each for themselves."""
    world = World()
    world.open_group("staff")
    default, staff = world.store.door("default"), world.store.door("staff")
    assert default is not None
    assert staff is not None
    sender = Sender(default, HOME, world.clock.now())
    enrolled(world)
    (live,) = world.store.certificates_by_key(Device(world, key=rsa_key(0)).question().key_sha256)
    limits = Limits(world.store, Allowances())
    for _ in range(6_000):
        assert limits.request(sender) is None
    limited = limits.request(sender)
    assert limited is not None
    assert (limited.reason, limited.retry_after) == (reasons.GROUP_BUSY, 60)
    assert limits.request(replace(sender, door=staff)) is None
    assert limits.request(replace(sender, signer=live)) is None


def test_a_groups_share_is_used_by_what_is_answered_under_its_signature() -> None:
    """RES-5 and R6: polls and messages whose signature fails count, too, and beyond the share nothing is signed."""
    world = Watched(Allowances(requests_per_group=3))
    poller = Device(world)
    assert poller.poll().status is PkiStatus.FAILURE
    spoilt = bytearray(right(world))
    spoilt[-1] ^= 1
    assert isinstance(world.send(bytes(spoilt)), CertRep)
    assert isinstance(world.send(b"no message at all"), Unreadable)
    assert granted(world.send(right(world)))
    world.refused_too_much(reasons.GROUP_BUSY, right(world, 3))
    world.refused_too_much(reasons.GROUP_BUSY, bytes(spoilt))
    assert world.alarms() == [("LIM-005", "group:default")]


def test_what_another_limit_refuses_takes_nothing_from_the_groups_share() -> None:
    """RES-5: who guesses on behind his own limit does not use up what others need."""
    world = Watched(Allowances(requests_per_group=3, wrong_challenges_per_source=1))
    wrong(world)
    for _ in range(10):
        world.refused_too_much(reasons.SOURCE_GUESSING, right(world))
    assert granted(world.send(right(world), source="192.0.2.2"))


def renewed(device: Device, number: int) -> tuple[Device, bytes]:
    """Renew in a new transaction; return the device with its new certificate, and the message that it sent."""
    again = device.fresh(f"renewal-{number}")
    sent = again.message(again.csr(names("laptop-1"), None), message_type=MessageType.RENEWAL_REQ)
    assert again.enrol(names("laptop-1"), None, MessageType.RENEWAL_REQ).status is PkiStatus.SUCCESS
    return again, sent


def test_a_device_has_five_certificates_a_day() -> None:
    """RES-5 and R0: the first and four renewals; after a day it may go on."""
    world = Watched()
    device = enrolled(world)
    for number in range(4):
        device, _ = renewed(device, number)
    again = device.fresh("one more")
    message = again.message(again.csr(names("laptop-1"), None))
    assert 1 <= world.refused_too_much(reasons.RENEWAL_QUOTA, message) <= 3_600
    (alarm,) = world.alarms()
    assert alarm[0] == "LIM-006"
    assert granted(world.send(right(world)))
    world.clock.advance(timedelta(hours=24, seconds=1))
    renewed(device, 9)


def test_a_renewal_whose_answer_was_lost_is_answered_beyond_the_quota() -> None:
    """I4 and RES-5: the last renewal of the day is repeated, and gets the same certificate."""
    world = Watched(Allowances(certificates_per_device=2))
    device, sent = renewed(enrolled(world), 0)
    assert granted(world.send(sent))
    later = device.fresh("one more")
    world.refused_too_much(reasons.RENEWAL_QUOTA, later.message(later.csr(names("laptop-1"), None)))


def test_a_certificate_that_was_renewed_already_is_no_way_around_the_quota() -> None:
    """RES-5: what looks like a repetition and is none is a refusal, and nothing is issued."""
    world = Watched(Allowances(certificates_per_device=2))
    first = enrolled(world)
    old = replace(first)
    renewed(first, 0)
    reply = replace(old.fresh("another"), certificate=old.certificate).enrol(names("laptop-1"), None)
    assert reply.status is PkiStatus.FAILURE
    assert world.last_event().draft.reason_id == reasons.DEVICE_QUOTA.id


def test_a_thousand_may_wait_for_approval() -> None:
    """RES-5: the queue of a group is full at a thousand; who stands in it may ask again, and others are told 429."""
    world = Watched()
    world.open_endpoint("approved", Authoriser.APPROVAL)
    device = Device(world, endpoint="approved")
    assert device.enrol(names("laptop-1"), world.secrets["approved"]).status is PkiStatus.PENDING
    held = world.pending()
    for number in range(999):
        key = ConversationKey("approved", b"%d" % number, held.key.key_sha256, None, held.key.challenge_mac)
        other = replace(held, id=new_id(world.clock.now(), world.entropy.octets(10)), key=key)
        world.store.hold(other, ())
    late = Device(world, key=rsa_key(2), endpoint="approved").fresh("late")
    message = late.message(late.csr(names("laptop-2"), world.secrets["approved"]))
    world.refused_too_much(reasons.QUEUE_FULL, message, "approved")
    assert world.alarms() == [("LIM-007", "group:default")]
    assert device.enrol(names("laptop-1"), world.secrets["approved"]).status is PkiStatus.PENDING
    assert device.poll().status is PkiStatus.PENDING
    assert granted(world.send(right(world, 3)))
    world.approvals.deny(held.id, device.request(names("x"), None).actor)
    assert late.enrol(names("laptop-2"), world.secrets["approved"]).status is PkiStatus.PENDING


# --- events, clocks, memory, outages ----------------------------------------------------------------------------------


def test_what_a_limit_refuses_is_folded_and_its_alarm_is_not_repeated() -> None:
    """R13: sixty events a minute from one source, then a count; the alarm is once a minute, however many come."""
    world = Watched()
    for _ in range(100):
        wrong(world)
    refused = [event for event in world.store.log if event.draft.reason_id == "LIM-001"]
    assert [event.draft.action for event in refused].count(Action.LIMIT_REACHED) == 1
    assert len(refused) == 60 - 10 + 1
    world.clock.advance(timedelta(minutes=1))
    for _ in range(11):
        wrong(world)
    folded = [event.draft for event in world.store.log if event.draft.action is Action.REFUSALS_FOLDED]
    assert [draft.details["reasons"] for draft in folded] == [{"LIM-001": 40}]
    assert len(world.alarms()) == 2


@dataclass
class Counted:
    """Limits with one wrong challenge a minute, on a clock of their own."""

    limits: Limits
    sender: Sender
    clock: FakeClock

    def closed(self, source: str = HOME) -> Limited | None:
        """Judge a first enrolment now."""
        return self.limits.first_enrolment(self.now(source), b"t", bytes(32))

    def guess(self, source: str = HOME) -> None:
        """Count a wrong challenge now."""
        self.limits.denied(self.now(source), Denied(reasons.CHALLENGE_UNKNOWN))

    def now(self, source: str) -> Sender:
        """Name a sender."""
        return replace(self.sender, source=source, at=self.clock.now())


@pytest.fixture
def counted() -> Counted:
    """Count one guess by source."""
    return counting(MemoryStore())


def counting(store: MemoryStore) -> Counted:
    """Count in memory, with alarms into this store."""
    door = World().store.door("default")
    assert door is not None
    clock = FakeClock()
    allowances = Allowances(wrong_challenges_per_source=1, wrong_challenges_per_group=1_000_000)
    return Counted(Limits(store, allowances), Sender(door, HOME, clock.now()), clock)


@pytest.mark.parametrize("back", [timedelta(seconds=30), timedelta(hours=5), timedelta(days=400)])
def test_a_clock_that_is_set_back_locks_nobody_out_for_long(counted: Counted, back: timedelta) -> None:
    """CHA-3: a window lasts a minute at most by the new time, and what was counted in it is not forgotten."""
    counted.guess()
    counted.clock.advance(-back)
    limited = counted.closed()
    assert limited is not None
    assert limited.retry_after <= 60
    counted.clock.advance(timedelta(minutes=1))
    assert counted.closed() is None


def test_a_clock_that_is_set_forward_ends_the_window(counted: Counted) -> None:
    """CHA-3: a jump ahead is a minute that is over."""
    counted.guess()
    counted.clock.advance(timedelta(days=30))
    assert counted.closed() is None


def test_memory_stays_bounded_under_many_sources(counted: Counted) -> None:
    """CHA-3: beyond ten thousand sources a minute new ones share one count, which closes early and not late."""
    for number in range(10_000):
        counted.guess(f"10.0.{number // 256}.{number % 256}")
    assert counted.closed("10.1.0.0") is None
    counted.guess("10.1.0.0")
    assert counted.closed("10.1.0.1") is not None
    assert counted.closed("10.0.0.0") is not None
    counted.clock.advance(timedelta(minutes=1))
    counted.guess("10.1.0.0")
    assert counted.closed("10.1.0.0") is not None
    assert counted.closed("10.1.0.1") is None


def test_being_looked_at_costs_no_memory(counted: Counted) -> None:
    """Sources that do nothing wrong push nobody out of the count."""
    for number in range(20_000):
        assert counted.closed(f"10.0.{number // 256}.{number % 256}") is None
    counted.guess()
    assert counted.closed() is not None
    assert counted.closed("10.0.0.0") is None


class AwayStore(MemoryStore):
    """A store that cannot be reached while `away` is set."""

    away = False

    def record(self, events: Sequence[EventDraft]) -> None:
        """Write, or be unreachable."""
        if self.away:
            raise UnavailableError(reasons.STORE_UNAVAILABLE, "away")
        super().record(events)


def test_an_alarm_that_cannot_be_written_is_written_later() -> None:
    """CHA-3 and RES-7: while the database is away the limit holds, and the alarm waits for it."""
    store = AwayStore()
    counted = counting(store)
    counted.guess()
    store.away = True
    with pytest.raises(UnavailableError):
        counted.closed()
    store.away = False
    assert counted.closed() is not None
    assert counted.closed() is not None
    assert [event.draft.reason_id for event in store.log] == ["LIM-001"]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_workers_share_what_is_counted_in_memory() -> None:
    """RES-5: each has its part, rounded up and never none; what the store counts is for all of them."""
    shared = Allowances(wrong_challenges_per_source=10, unreadable_per_group=1).shared_by(4)
    assert (shared.wrong_challenges_per_source, shared.unreadable_per_group) == (3, 1)
    assert (shared.requests_per_group, shared.wrong_challenges_per_group) == (1_500, 25)
    assert (shared.certificates_per_device, shared.pending_per_group) == (5, 1_000)
    assert Allowances().shared_by(1) == Allowances()


def test_defaults_are_those_of_the_settings() -> None:
    """What holds where nothing is said is said in one place and repeated in the other."""
    settings = LimitSettings()
    assert {each.name: getattr(Allowances(), each.name) for each in fields(Allowances)} == {
        each.name: getattr(settings, each.name) for each in fields(Allowances)
    }
