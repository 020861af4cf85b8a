"""DER: values to octets and back, and octets that are no DER."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire import der
from regalia.wire.der import DerError

INTEGERS = [(0, "020100"), (127, "02017f"), (128, "02020080"), (-1, "0201ff"), (-128, "020180"), (65537, "0203010001")]
OIDS = [
    ("2.5.4.3", "0603550403"),
    ("1.2.840.113549.1.7.2", "06092a864886f70d010702"),
    ("2.16.840.1.113733.1.9.2", "060a6086480186f845010902"),
    ("2.999.3", "0603883703"),
    ("0.9.2342.19200300.100.1.25", "060a0992268993f22c640119"),
]


@pytest.mark.parametrize(("value", "octets"), INTEGERS)
def test_integers_both_ways(value: int, octets: str) -> None:
    """An INTEGER is written minimally and read back."""
    assert der.integer(value).hex() == octets
    assert der.read_one(bytes.fromhex(octets)).as_integer() == value


@pytest.mark.parametrize(("dotted", "octets"), OIDS)
def test_oids_both_ways(dotted: str, octets: str) -> None:
    """An OBJECT IDENTIFIER is written and read in dotted form."""
    assert der.oid(dotted).hex() == octets
    assert der.read_one(bytes.fromhex(octets)).as_oid() == dotted


@given(st.integers())
def test_every_integer_comes_back(value: int) -> None:
    """Any INTEGER survives the round trip."""
    assert der.read_one(der.integer(value)).as_integer() == value


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=8))
def test_every_oid_comes_back(first: int, second: int, rest: list[int]) -> None:
    """Any OBJECT IDENTIFIER survives the round trip."""
    dotted = ".".join(map(str, (first, second, *rest)))
    assert der.read_one(der.oid(dotted)).as_oid() == dotted


@given(st.binary(max_size=70_000))
def test_every_content_comes_back(content: bytes) -> None:
    """Any content survives the round trip, whatever length form it needs."""
    assert der.read_one(der.octet_string(content), der.OCTET_STRING).content == content


@given(st.binary(max_size=64))
def test_only_dererror_leaves_the_reader(octets: bytes) -> None:
    """Whatever the octets, reading gives elements that join to the input, or DerError (IN-1)."""
    try:
        elements = der.read_all(octets)
    except DerError:
        return
    assert b"".join(element.raw for element in elements) == octets


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("", "nothing"),
        ("02", "no length"),
        ("0202 01", "content cut"),
        ("3080 0000", "indefinite length"),
        ("0481 01 00", "long form where short does"),
        ("0482 0081" + "00" * 129, "leading zero in the length"),
        ("0485 0000000001 00", "length of five octets"),
        ("1f01 00", "high tag number"),
        ("020101 00", "octets after the end (IN-5)"),
    ],
)
def test_what_is_no_der_is_refused(octets: str, why: str) -> None:
    """Octets that are not exactly one DER element are refused."""
    with pytest.raises(DerError):
        der.read_one(bytes.fromhex(octets))
    assert why


@pytest.mark.parametrize("octets", ["0200", "02020001", "0202ff80", "040101"])
def test_integers_that_are_none_are_refused(octets: str) -> None:
    """An INTEGER that is empty, not minimal or of another type is refused."""
    with pytest.raises(DerError):
        der.read_one(bytes.fromhex(octets)).as_integer()


@pytest.mark.parametrize("octets", ["0600", "060180", "0602802a", "0641" + "2a" * 65, "020101"])
def test_oids_that_are_none_are_refused(octets: str) -> None:
    """An OBJECT IDENTIFIER that is empty, cut, padded, over 64 octets or of another type is refused (IN-3)."""
    with pytest.raises(DerError):
        der.read_one(bytes.fromhex(octets)).as_oid()


def test_sets_are_sorted_by_octets() -> None:
    """A SET OF is written in the order of its encodings (X.690 §11.6)."""
    assert der.set_of([der.integer(5), der.boolean(value=True), der.integer(1)]).hex() == "31090101ff020101020105"


def test_times_change_form_in_2050() -> None:
    """A Time is UTCTime through 2049 and GeneralizedTime after (RFC 5280 §4.1.2.5)."""
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC))[2:] == b"491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC))[2:] == b"20500101000000Z"
