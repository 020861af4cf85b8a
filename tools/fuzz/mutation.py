"""Structure-aware mutation of DER.

A mutation knows where elements begin and end. More than half of them rebuild the lengths around what they changed, so
that the readers behind the outermost one are reached; the others leave the lengths as lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from regalia.wire import der
from regalia.wire.der import DerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

__all__ = ["INTERESTING", "Node", "mutate", "parse"]

INTERESTING = (
    b"",
    b"\x05\x00",
    b"\x30\x00",
    b"\x31\x00",
    b"\x04\x00",
    b"\x02\x00",
    b"\x02\x01\xff",
    b"\x02\x81\x81" + b"\x7f" * 129,
    b"\x06\x00",
    b"\x06\x01\x80",
    b"\x06\x41" + b"\x81" * 64 + b"\x01",
    b"\x03\x00",
    b"\x03\x01\x00",
    b"\x03\x02\x07\x80",
    b"\x0c\x04\xff\xff\xff\xff",
    b"\x0c\x03\xe2\x80\xae",
    b"\x13\x01\x00",
    b"\x13\x04\x1b[2J",
    b"\x1e\x02\xd8\x00",
    b"\x17\x0d999999999999Z",
    b"\x18\x0f00000000000000Z",
    b"\x01\x01\x01",
    b"\x30\x80\x00\x00",
    b"\x24\x80\x04\x01a\x00\x00",
    b"\x30\x84\xff\xff\xff\xff",
    b"\xbf\x81\x01\x00",
    b"\xa0\x00",
    b"\x80\x00",
    b"\x00\x00",
)
"""Elements at the edge of what readers expect."""


@dataclass
class Node:
    """An element that can be taken apart and put together again."""

    tag: int
    content: bytes
    children: list[Node] | None = None
    """None where it is primitive, or holds something that is not DER."""

    def encode(self) -> bytes:
        """Put it together with right lengths."""
        if self.children is None:
            return der.tlv(self.tag, self.content)
        return der.tlv(self.tag, *(child.encode() for child in self.children))

    def all(self) -> list[Node]:
        """It and everything inside."""
        return [self, *(node for child in self.children or () for node in child.all())]


def parse(octets: bytes) -> list[Node]:
    """Take elements apart, down through OCTET and BIT STRINGs that hold elements themselves."""
    return [_node(item) for item in der.read_all(octets)]


def _node(item: der.Tlv) -> Node:
    if item.tag & 0x20:
        try:
            return Node(item.tag, item.content, parse(item.content))
        except DerError:
            return Node(item.tag, item.content)
    if item.tag == der.OCTET_STRING and item.content[:1] in (b"\x30", b"\x31", b"\x04", b"\x03", b"\x02"):
        try:
            inside = parse(item.content)
        except DerError:
            return Node(item.tag, item.content)
        return Node(item.tag, item.content, inside)
    return Node(item.tag, item.content)


# --- one mutation ---------------------------------------------------------------------------------------------------


def mutate(octets: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Change octets in one to four places."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        octets = _raw(octets, random) if random.random() < 0.4 else _structured(octets, random, others)
    return octets


def _raw(octets: bytes, random: Random) -> bytes:
    """Flip, cut, insert or repeat octets; lengths stay as they are."""
    if not octets:
        return random.choice(INTERESTING)
    at = random.randrange(len(octets))
    span = random.choice((1, 1, 2, 4, 16, 64))
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: octets[:at] + bytes((octets[at] ^ 1 << random.randrange(8),)) + octets[at + 1 :],
        lambda: octets[:at] + bytes((random.choice((0, 1, 0x7F, 0x80, 0x84, 0xFE, 0xFF)),)) + octets[at + 1 :],
        lambda: octets[:at],
        lambda: octets[:at] + octets[at + span :],
        lambda: octets[:at] + random.randbytes(span) + octets[at:],
        lambda: octets[:at] + octets[at : at + span] * 2 + octets[at + span :],
        lambda: octets + random.choice(INTERESTING),
    )
    return random.choice(changes)()


def _structured(octets: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Change one element and rebuild the lengths of all that hold it."""
    try:
        roots = parse(octets)
    except DerError:
        return _raw(octets, random)
    top = Node(der.SEQUENCE, b"", roots)
    families = [node.children for node in top.all() if node.children]
    if not families:
        return _raw(octets, random)
    siblings = random.choice(families)
    _change(siblings, random.randrange(len(siblings)), random, top, others)
    return b"".join(child.encode() for child in top.children or ())


def _change(siblings: list[Node], at: int, random: Random, top: Node, others: Sequence[bytes]) -> None:
    node = siblings[at]
    kind = random.randrange(10)
    if kind == 0:
        del siblings[at]
    elif kind == 1:
        siblings.insert(at, node)
    elif kind == 2:
        siblings[at] = Splice(random.choice(top.all()[1:]).encode())
    elif kind == 3:
        siblings[at : at + 1] = [Splice(random.choice(INTERESTING))]
    elif kind == 4:
        siblings.insert(at, Splice(random.choice(INTERESTING)))
    elif kind == 5:
        siblings[at] = Node(random.choice((node.tag ^ 0x20, node.tag ^ 0x80, random.randrange(256))), node.encode()[2:])
    elif kind == 6:
        siblings[at] = Node(node.tag, _raw(node.content, random))
    elif kind == 7:
        siblings[at] = Node(node.tag, random.randbytes(random.choice((0, 1, 15, 16, 17, 255, 256, 1000))))
    elif kind == 8:
        siblings[at] = Node(node.tag, node.content * random.choice((0, 2, 40)))
    else:
        siblings[at] = Splice(random.choice(others) if others else node.encode() * 2)
        random.shuffle(siblings)


@dataclass
class Splice(Node):
    """Octets put in as they are, element or not."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(0, octets)

    def encode(self) -> bytes:
        """Those octets."""
        return self.content
