"""What an index of trigrams is asked for."""

from __future__ import annotations

from regalia.store.trigrams import is_common, telling

FLEET = [f"laptop-{number:06}.example.org" for number in range(1_000, 1_200)]


def test_what_every_row_has_is_left_out() -> None:
    """Of a fleet's names those trigrams are asked for that tell its members apart."""
    assert not {"lap", "exa", "org"} & set(telling("laptop-987654.example.org", FLEET))
    assert all(set(each) & set("987654") for each in telling("laptop-987654.example.org", FLEET))


def test_three_are_enough() -> None:
    """However long the text, three trigrams are asked for at most, and each stands in it."""
    wanted = "a-very-long-name-of-a-device.example.org"
    assert len(telling(wanted, FLEET)) == 3
    assert all(each in wanted for each in telling(wanted, FLEET))


def test_the_shortest_text_is_one() -> None:
    """A text of three characters is its one trigram, known or not."""
    assert telling("lap", FLEET) == ("lap",)
    assert telling("xyz", []) == ("xyz",)


def test_letters_and_digits() -> None:
    """Where an index keeps letters and digits alone, trigrams have nothing else; without any, the text stays whole."""
    assert telling("a-b-laptop", [], words=True) == ("lap", "apt", "pto")
    assert telling("a-b-c", [], words=True) == ("a-b-c",)
    assert telling("größe", [], words=True) == ("größe",)


def test_what_is_common() -> None:
    """Trigrams that stand in most of the sample leave out little; one that does not is worth asking for."""
    assert is_common(["lap", "org"], FLEET)
    assert not is_common(["lap", "987"], FLEET)
