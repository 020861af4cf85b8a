"""Serial numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fakes import SeededEntropy
from regalia.ca.serial import new_serial
from regalia.errors import InvariantError
from regalia.wire import der

NOW = datetime(2026, 3, 1, 9, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("prefix", [0x01, 0x42, 0x7F])
def test_serial_begins_with_its_prefix(prefix: int) -> None:
    """A serial has 20 octets that begin with the prefix, so that its INTEGER needs no octet for the sign (§6.2)."""
    serial = new_serial(SeededEntropy(), NOW, prefix)
    assert der.integer(serial)[:3] == bytes((0x02, 20, prefix))


def test_serials_of_one_minute_are_neighbours() -> None:
    """What follows the prefix is the time in minutes, so that indexes grow at their end; the rest is random."""
    entropy = SeededEntropy()
    first, second = (new_serial(entropy, NOW).to_bytes(20, "big") for _ in range(2))
    later = new_serial(entropy, NOW + timedelta(minutes=1)).to_bytes(20, "big")
    assert first[:4] == second[:4] < later[:4]
    assert first[4:] != second[4:]


def test_serials_are_drawn_anew() -> None:
    """Each serial takes 128 bits from the source of randomness."""
    entropy = SeededEntropy()
    assert len({new_serial(entropy, NOW) for _ in range(50)}) == 50


@pytest.mark.parametrize("prefix", [0x00, 0x80, 0x100, -1])
def test_prefix_that_would_change_the_length_is_a_bug(prefix: int) -> None:
    """A prefix that makes the serial shorter or negative is refused."""
    with pytest.raises(InvariantError):
        new_serial(SeededEntropy(), NOW, prefix)
