"""The text that searches look into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regalia.wire.search_text import BETWEEN, Words, beginnings, needles, remainders, wanted_text

DIGEST = "0123456789abcdef" * 4
WORDS = Words(("Laptop-17", None, "", "aa:bb:cc:dd", "Straße\x1f\x00x"), (DIGEST, None))


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("l", True),
        ("LAP", True),
        ("op-1", True),
        ("op", False),
        ("laptop-17", True),
        ("laptop-171", False),
        ("aa:bb", True),
        ("b:c", True),
        ("straße", True),
        ("\x1f\x00x", False),
        (DIGEST[:4], True),
        (DIGEST, True),
        (DIGEST.upper(), True),
        (":".join(DIGEST[at : at + 2] for at in range(0, 64, 2)), True),
        (DIGEST[:30] + "0", False),
        (DIGEST[20:40], False),
        (DIGEST + "0", False),
    ],
)
def test_what_is_found(question: str, *, found: bool) -> None:
    """A field's beginning is found, its middle from three characters on, of a digest its beginning, with any length."""
    assert WORDS.match(wanted_text(question)) is found


def test_nothing_is_asked_for() -> None:
    """White space asks for nothing."""
    assert wanted_text(" \t ") == ""


def test_only_the_beginning_of_a_digest_stands_in_the_text() -> None:
    """What an index holds of a digest is short; the whole stands beside it."""
    assert DIGEST not in WORDS.text()
    assert DIGEST in WORDS.whole()
    assert WORDS.text().startswith(BETWEEN)
    assert WORDS.text().endswith(BETWEEN)


@given(st.text(max_size=100), st.lists(st.text(max_size=40), max_size=4), st.lists(st.text(max_size=80), max_size=3))
def test_what_an_index_is_asked_finds_all_that_match(question: str, short: list[str], long: list[str]) -> None:
    """Whatever `match` finds has one of the needles or beginnings in its text: an index passes nothing over."""
    wanted, words = wanted_text(question), Words(tuple(short), tuple(long))
    if wanted and words.match(wanted):
        assert any(each in words.text() for each in (*needles(wanted), *beginnings(wanted)))


@given(st.text(max_size=100))
def test_needles_are_long_enough(question: str) -> None:
    """No needle is shorter than a trigram, and none can end a text early."""
    wanted = wanted_text(question)
    for each in (*needles(wanted), *beginnings(wanted), *remainders(wanted)):
        assert len(each) >= 3 or not wanted
        assert "\x00" not in each
