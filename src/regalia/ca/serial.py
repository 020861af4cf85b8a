"""Serial numbers: positive, unguessable, 20 octets (RFC 5280 §4.1.2.2, security.md §6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.errors import InvariantError

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import Entropy

__all__ = [
    "NODE_PREFIX",
    "new_serial",
]

NODE_PREFIX = 0x01
"""First octet of the serials of a node that was given no other one."""

_RANDOM_OCTETS = 16
_TIME_OCTETS = 3
_MINUTE = 60


def new_serial(entropy: Entropy, now: datetime, prefix: int = NODE_PREFIX) -> int:
    """Draw a serial of 20 octets: the prefix octet, 0x01 to 0x7f, the minute in 24 bits, then 128 random bits.

    The prefix keeps the first bit clear and the first octet non-zero, so that every serial has the same length and
    no encoder needs an octet for the sign; nodes with different prefixes cannot meet. The minute tells no more than
    the certificate's notBefore, and makes neighbours in every index of what is issued together: among a million
    certificates an enrolment on SQLite grows by half as much as with a wholly random serial. It comes around after
    32 years, which matters to nobody: the random bits alone are enough.
    """
    if not 0x01 <= prefix <= 0x7F:
        msg = f"serial prefix 0x{prefix:02x} is not within 0x01 to 0x7f"
        raise InvariantError(msg)
    minute = int(now.timestamp()) // _MINUTE % (1 << 8 * _TIME_OCTETS)
    leading = bytes((prefix,)) + minute.to_bytes(_TIME_OCTETS, "big")
    return int.from_bytes(leading + entropy.octets(_RANDOM_OCTETS), "big")
