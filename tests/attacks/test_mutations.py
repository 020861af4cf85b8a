"""Twenty thousand times one good message with something changed in it, through the whole device listener."""

from __future__ import annotations

from collections import Counter
from random import Random
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import pytest
from tools.fuzz.mutation import mutate

from attacks.front import no_reader_failed, opened
from attacks.memory import FLAT, resident
from attacks.messages import good_messages, issued
from regalia.wire import oids
from regalia.wire.scep import PkiStatus, read_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEED = 20261122
MUTATIONS = 20_000
SLOW = 0.5
"""Seconds that the worst answer may take; decides at three times that (R13)."""
SOURCES = 8


def flipped(octets: bytes, random: Random) -> bytes:
    """One to eight bits turned over."""
    changed = bytearray(octets)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(octets: bytes, random: Random) -> bytes:
    """Cut somewhere, or octets put behind the end."""
    if random.random() < 0.2:
        return octets + random.randbytes(random.randint(1, 40))
    return octets[: random.randrange(len(octets))]


def spliced(octets: bytes, random: Random, others: list[bytes]) -> bytes:
    """The beginning of one message and the end of another, or a piece of one in the middle of the other."""
    other = random.choice(others)
    at, start = random.randrange(len(octets)), random.randrange(len(other))
    if random.random() < 0.5:
        return octets[:at] + other[start:]
    piece = other[start : start + random.choice((1, 4, 32, 300))]
    return octets[:at] + piece + octets[at + len(piece) :]


def relabelled(octets: bytes, random: Random) -> bytes:
    """An octet that looks like a tag or a length made another one."""
    places = [at for at in range(len(octets) - 1) if octets[at] in b"\x02\x04\x06\x13\x30\x31\xa0\x80\x81\x82"]
    at = random.choice(places)
    values = b"\x00\x01\x02\x03\x04\x05\x06\x0c\x13\x16\x17\x24\x30\x31\x7f\x80\x81\x82\x84\xa0\xa1\xff"
    return octets[:at] + bytes((random.choice(values),)) + octets[at + 1 :]


def changed(octets: bytes, random: Random, others: list[bytes]) -> bytes:
    """Change a message in one of the ways."""
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: flipped(octets, random),
        lambda: truncated(octets, random),
        lambda: spliced(octets, random, others),
        lambda: relabelled(octets, random),
        lambda: mutate(octets, random, others),
        lambda: mutate(octets, random, others),  # twice: it comes furthest in
    )
    return random.choice(ways)()


@pytest.mark.real  # not for what it needs, but for its half a minute
@pytest.mark.timeout(600)
def test_a_changed_message_issues_nothing_or_what_it_would_have(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """IN-1, IN-2, IN-3, MSG-1, SIG-1: bits, ends, splices, tags, lengths, elements: no 5xx, flat memory."""
    random = Random(SEED)  # noqa: S311 - the same octets for who repeats it
    with opened(tmp_path) as front:
        good, allowed = good_messages(front.world)
        bodies = [each.octets for each in good]
        worst, slowest, answers = 0.0, 0.0, Counter[str]()
        held = 0
        for number in range(MUTATIONS):
            chosen = random.choice(good)
            body = changed(chosen.octets, random, bodies)
            begun, used = perf_counter(), process_time()
            heard = front.send(
                f"/scep/{chosen.endpoint}?operation=PKIOperation",
                method="POST",
                body=body[:65_536],
                source=f"192.0.2.{number % SOURCES}",
            )
            worst, slowest = max(worst, perf_counter() - begun), max(slowest, process_time() - used)
            answers[answer_of(heard.status, heard.body)] += 1
            if number == MUTATIONS // 4:
                held = resident()
        grown = resident() - held
        rows = issued(front.world)
        no_reader_failed(front)
    # What is still valid is the very same conversation, and each of those ends in one certificate.
    assert Counter(rows) <= allowed, Counter(rows) - allowed
    record_property("seed", SEED)
    record_property("messages", MUTATIONS)
    record_property("answers", dict(answers))
    record_property("worst ms", round(worst * 1000, 1))
    record_property("worst CPU ms", round(slowest * 1000, 1))
    record_property("grown KiB", grown // 1024)
    assert slowest < 3 * SLOW
    assert grown < FLAT
    assert answers["400"] > MUTATIONS // 10
    assert answers["FAILURE"] > MUTATIONS // 10


def answer_of(status: int, body: bytes) -> str:
    """HTTP's number, or the pkiStatus of a CertRep."""
    if status != 200:
        return str(status)
    attributes = read_message(body).attributes
    value = attributes.maybe(oids.PKI_STATUS) if attributes else None
    assert value is not None
    return PkiStatus(value.content.decode()).name
