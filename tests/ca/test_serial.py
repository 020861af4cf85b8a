"""Serial numbers."""

from __future__ import annotations

import pytest

from fakes import SeededEntropy
from regalia.ca.serial import new_serial
from regalia.errors import InvariantError
from regalia.wire import der


@pytest.mark.parametrize("prefix", [0x01, 0x42, 0x7F])
def test_serial_begins_with_its_prefix(prefix: int) -> None:
    """A serial has 17 octets that begin with the prefix, so that its INTEGER needs no octet for the sign (§6.2)."""
    serial = new_serial(SeededEntropy(), prefix)
    assert der.integer(serial)[:3] == bytes((0x02, 17, prefix))


def test_serials_are_drawn_anew() -> None:
    """Each serial takes 128 bits from the source of randomness."""
    entropy = SeededEntropy()
    assert len({new_serial(entropy) for _ in range(50)}) == 50


@pytest.mark.parametrize("prefix", [0x00, 0x80, 0x100, -1])
def test_prefix_that_would_change_the_length_is_a_bug(prefix: int) -> None:
    """A prefix that makes the serial shorter or negative is refused."""
    with pytest.raises(InvariantError):
        new_serial(SeededEntropy(), prefix)
