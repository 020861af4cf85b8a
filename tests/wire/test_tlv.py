"""The bounded walk: what is within IN-3's limits passes, what is beyond does not, whatever else it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire import der
from regalia.wire.der import DerError
from regalia.wire.tlv import SCEP_LIMITS, survey, walk
from scep_parts import nest


def _padded(total: int) -> bytes:
    return der.octet_string(bytes(total - 4))


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (_padded(65536), _padded(65537)),
        (nest(33), nest(34)),
        (der.sequence(der.null() * 4095), der.sequence(der.null() * 4096)),
        (der.tlv(der.OID, b"\x2a" * 64), der.tlv(der.OID, b"\x2a" * 65)),
        (der.tlv(der.INTEGER, b"\x01" * 2100), der.tlv(der.INTEGER, b"\x01" * 2101)),
    ],
    ids=["octets", "depth", "elements", "oid", "integer"],
)
def test_each_limit_of_in_3_holds_exactly(within: bytes, beyond: bytes) -> None:
    """64 KiB, 32 levels below the first, 4096 elements, OIDs of 64 and INTEGERs of 2100 octets pass; one more is refused (IN-3)."""  # noqa: E501 - one sentence
    walk(within)
    with pytest.raises(DerError):
        walk(beyond)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("", "nothing at all (IN-4)"),
        ("30", "no length"),
        ("3003 0203 00", "a child longer than its parent"),
        ("3080 020100", "an indefinite length that nothing ends"),
        ("0480 0000", "an indefinite length on a primitive element"),
        ("3004 0000 0000", "end-of-contents inside a definite length"),
        ("0000", "end-of-contents alone"),
        ("3080 0001 00 0000", "end-of-contents with content"),
        ("3081 00", "a length longer than it needs to be"),
        ("3085 0000000000", "a length of five octets"),
        ("3f01 00", "a high tag number"),
        ("3000 00", "octets after the end (IN-5)"),
        ("0500 0500", "two elements"),
        ("3000 3000", "two structures"),
        ("3080 0000 00", "octets after the end of an indefinite length"),
        ("3082 01", "a length that is cut"),
    ],
)
def test_what_is_no_ber_is_refused(octets: str, why: str) -> None:
    """The walk refuses what is not exactly one element of the BER that R7 tolerates."""
    with pytest.raises(DerError):
        walk(bytes.fromhex(octets))
    assert why


@pytest.mark.parametrize(
    ("octets", "needs_work"),
    [
        ("3003 020100", False),
        ("3080 020100 0000", True),
        ("2403 0401 00", True),
        ("3080 3080 0000 0000", True),
        ("a003 0401 00", False),
    ],
)
def test_it_tells_where_normalising_is_needed(octets: str, needs_work: bool) -> None:  # noqa: FBT001 - a table's column
    """Indefinite lengths and constructed OCTET STRINGs are seen, so that DER costs no second pass."""
    assert survey(bytes.fromhex(octets)) is needs_work


def test_no_length_is_believed_before_it_is_seen() -> None:
    """A claimed length of 4 GiB in a message of six octets is refused at once."""
    with pytest.raises(DerError):
        walk(bytes.fromhex("3084ffffffff"))


@given(st.binary(max_size=200))
def test_only_dererror_leaves_the_walk(octets: bytes) -> None:
    """Whatever the octets, the walk ends and raises nothing but DerError (IN-1)."""
    try:
        walk(octets)
    except DerError:
        return
    assert octets


@given(st.binary(max_size=200))
def test_what_is_der_needs_no_work(octets: bytes) -> None:
    """Where the strict reader reads everything, the walk agrees that nothing is to be normalised."""
    element = der.sequence(der.octet_string(octets), der.set_of([der.integer(len(octets))]))
    assert survey(element, SCEP_LIMITS) is False


_BASE = der.sequence(
    der.sequence(der.integer(1), der.oid("1.2.840.113549")),
    der.context(0, der.octet_string(bytes(8))),
    der.octet_string(bytes(246)),
    der.null(),
)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 255)), max_size=4), st.integers(0, len(_BASE)))
def test_the_walk_and_the_strict_reader_agree(changes: list[tuple[int, int]], cut: int) -> None:
    """What the walk calls DER the strict reader reads to the ground, and the other way round, whatever was changed."""
    octets = bytearray(_BASE if cut % 3 else _BASE[:cut])
    for position, octet in changes:
        if position < len(octets):
            octets[position] = octet
    try:
        plain = not survey(bytes(octets))
    except DerError:
        plain = False
    assert plain is _reads_to_the_ground(bytes(octets))


def _reads_to_the_ground(octets: bytes) -> bool:
    """Read each level by the strict reader, and refuse the two things that it has no opinion on."""
    try:
        waiting = [der.read_one(octets)]
        while waiting:
            element = waiting.pop()
            if element.tag in (0x00, 0x24) or (
                element.tag == der.OID and len(element.content) > SCEP_LIMITS.oid_octets
            ):
                return False
            if element.tag & 0x20:
                waiting += element.children()
    except DerError:
        return False
    return True
