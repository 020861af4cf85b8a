"""Model values as column values, and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from regalia.errors import InvariantError, Stage
from regalia.model import ConversationKey, LineageLink, Names, San, SanKind, StageNote
from regalia.store.values import (
    from_millis,
    lineage_text,
    millis,
    names_text,
    open_key,
    plain,
    read_lineage,
    read_names,
    read_stages,
    serial_octets,
    stages_text,
    storable,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = some.integers(-(10**13), 253_402_300_799_999).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
SANS = some.builds(San, some.sampled_from(SanKind), some.text())
NAMES = some.builds(Names, some.none() | some.text(), some.frozensets(SANS, max_size=4))
OCTETS = some.binary(max_size=40)
KEYS = some.builds(
    ConversationKey,
    some.text(max_size=8),
    OCTETS,
    OCTETS,
    some.none() | some.integers(1, (1 << 159) - 1),
    some.none() | some.binary(min_size=1, max_size=40),
)
LINKS = some.builds(
    LineageLink,
    some.uuids(),
    some.integers(0, 10**6),
    some.none() | some.uuids(),
    NAMES,
    some.none() | some.text(),
    NAMES,
    some.none() | OCTETS,
    some.booleans(),
)
NOTES = some.builds(StageNote, some.sampled_from(Stage), some.booleans(), some.text(), TIMES)


@given(TIMES)
def test_times_are_exact(at: datetime) -> None:
    """A time of millisecond precision comes back as it was, in every year there is."""
    assert from_millis(millis(at)) == at


@given(NAMES, NAMES)
def test_names_have_one_spelling(first: Names, second: Names) -> None:
    """Names come back as they were, and two sets have the same text exactly when they are equal."""
    assert read_names(names_text(first)) == first
    assert (names_text(first) == names_text(second)) == (first == second)
    assert storable(names_text(first))


@given(LINKS)
def test_lineage_comes_back(link: LineageLink) -> None:
    """A lineage link comes back as it was, and is spelled as a JSON encoder spells it."""
    text = lineage_text(link)
    assert read_lineage(text) == link
    assert text == json.dumps(json.loads(text or ""), sort_keys=True, separators=(",", ":"))


@given(some.lists(NOTES, max_size=4), some.lists(NOTES, max_size=4))
def test_stages_are_appended_as_text(first: list[StageNote], second: list[StageNote]) -> None:
    """Stages that are written behind others are read behind them, whatever line breaks their notes hold."""
    assert read_stages(stages_text(first) + stages_text(second)) == (*first, *second)
    assert read_stages("") == ()
    assert stages_text(first) == json.dumps(json.loads(stages_text(first)), separators=(",", ":")) + "\n"


@given(KEYS, KEYS)
def test_conversation_keys_do_not_collide(first: ConversationKey, second: ConversationKey) -> None:
    """Two conversation keys share their hash only when they are the same (R3)."""
    assert (open_key(first) == open_key(second)) == (first == second)


@given(some.text(), OCTETS, OCTETS, some.integers(0, 40))
def test_conversation_keys_do_not_shift(endpoint: str, transaction: bytes, key: bytes, cut: int) -> None:
    """Octets that move from one part of a conversation key into the next make another key (R3)."""
    joined = transaction + key
    first = ConversationKey(endpoint, transaction, key, None, None)
    second = ConversationKey(endpoint, joined[:cut], joined[cut:], None, None)
    assert (open_key(first) == open_key(second)) == (first == second)


@given(some.integers(1, (1 << 159) - 1), some.integers(1, (1 << 159) - 1))
def test_serials_sort_as_numbers(first: int, second: int) -> None:
    """Serials as octets sort as the numbers do, and come back."""
    assert (serial_octets(first) < serial_octets(second)) == (first < second)
    assert int.from_bytes(serial_octets(first), "big") == first


@pytest.mark.parametrize("serial", [0, -5, 1 << 159])
def test_a_serial_that_no_certificate_may_have(serial: int) -> None:
    """Storing a serial beyond RFC 5280 §4.1.2.2 is a bug."""
    with pytest.raises(InvariantError):
        serial_octets(serial)


@given(some.text(some.characters(codec=None)) | some.just("\x00\ud800"))
def test_plain_text_can_be_stored(text: str) -> None:
    """Text made plain has neither NUL nor lone surrogates, and plain text stays as it is."""
    assert "\x00" not in plain(text)
    assert plain(text).encode().decode() == plain(text)
    assert plain(plain(text)) == plain(text)
    assert storable(text) == (plain(text) == text)
    assert json.loads(names_text(Names(text)))["cn"] == text


def test_a_missing_lineage_is_a_missing_value() -> None:
    """A refusal has no lineage, and none is stored."""
    assert lineage_text(None) is None
    assert read_lineage(None) is None


def test_further_attributes_and_a_sid_are_kept_and_rows_without_them_read() -> None:
    """Names of templates come back as they were; those without are written as every version before wrote them."""
    names = Names("x", frozenset(), (("ou", "Sales"), ("ou", "North")), "S-1-5-21-1-2-3-4")
    assert read_names(names_text(names)) == names
    assert names_text(Names("x")) == '{"cn":"x","sans":[]}'
    assert read_names('{"cn":"x","sans":[]}') == Names("x")
