"""Serial numbers: positive, unguessable, at most 17 octets (RFC 5280 §4.1.2.2, security.md §6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regalia.errors import InvariantError

if TYPE_CHECKING:
    from regalia.ports import Entropy

__all__ = [
    "NODE_PREFIX",
    "new_serial",
]

NODE_PREFIX = 0x01
"""First octet of the serials of a node that was given no other one."""

_RANDOM_OCTETS = 16


def new_serial(entropy: Entropy, prefix: int = NODE_PREFIX) -> int:
    """Draw a serial: the prefix octet, 0x01 to 0x7f, then 128 random bits.

    The prefix keeps the first bit clear and the first octet non-zero, so that every serial has the same length and
    no encoder needs an octet for the sign; nodes with different prefixes cannot meet.
    """
    if not 0x01 <= prefix <= 0x7F:
        msg = f"serial prefix 0x{prefix:02x} is not within 0x01 to 0x7f"
        raise InvariantError(msg)
    return int.from_bytes(bytes((prefix,)) + entropy.octets(_RANDOM_OCTETS), "big")
