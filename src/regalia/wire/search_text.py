"""The text that a search looks into, and what it looks for in it.

One spelling serves for indexes, for rows that are too new to be in one, and for whoever has neither.

A text has the fields of one object in lower case, each behind two separators. So the beginning of a field, however
short, is text as well: two separators and a character are the three that an index of trigrams needs. Of a digest or a
serial only the beginning stands in the text; what asks for more of it is answered from the whole beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BETWEEN", "Words", "beginnings", "needles", "remainders", "wanted_text"]

BETWEEN = "\x1f\x1f"
"""Stands before each field and behind the last one; no field and no question has the character."""

_LONG = 12
"""Characters of a digest that stand in the text: as good as unique among a million."""
_SHORTEST_INSIDE = 3
_OCTETS_WITH_COLONS = re.compile(r"(?:[0-9a-f]{2}:)+[0-9a-f]{0,2}")
_UNSPEAKABLE = re.compile("[\x00\x1f\ud800-\udfff]")


def wanted_text(question: str) -> str:
    """Spell a question as texts are spelled; empty where it asks for nothing."""
    return _spelled(question.strip())


@dataclass(frozen=True, slots=True)
class Words:
    """The fields of one object."""

    short: tuple[str | None, ...] = ()
    """Names and the like."""
    long: tuple[str | None, ...] = ()
    """Serials, digests, transactionIDs."""

    def text(self) -> str:
        """Write what indexes hold."""
        return _joined([*map(_spelled, self.short), *(_spelled(field)[:_LONG] for field in self.long)])

    def whole(self) -> str:
        """Write all of what is only begun there."""
        return _joined([_spelled(field) for field in self.long])

    def match(self, wanted: str) -> bool:
        """Whether a search for `wanted_text` finds it."""
        text, whole = self.text(), self.whole()
        return any(begin in text for begin in needles(wanted)) or any(rest in whole for rest in remainders(wanted))


def needles(wanted: str) -> tuple[str, ...]:
    """Return what a text has to hold, one of them."""
    return tuple(each if len(each) >= _SHORTEST_INSIDE else BETWEEN + each for each in _spellings(wanted))


def remainders(wanted: str) -> tuple[str, ...]:
    """Return what the whole of a text has to hold, one of them, instead: for more than a text has of a digest."""
    return tuple(BETWEEN + each for each in _spellings(wanted) if len(each) > _LONG)


def beginnings(wanted: str) -> tuple[str, ...]:
    """Return what of each of `remainders` stands in the text itself."""
    return tuple(f"{each[: len(BETWEEN) + _LONG]}{BETWEEN}" for each in remainders(wanted))


def _spellings(wanted: str) -> tuple[str, ...]:
    # Octets are copied with colons, as OpenSSL prints them; so are addresses of network cards, which have them.
    return (wanted, wanted.replace(":", "")) if _OCTETS_WITH_COLONS.fullmatch(wanted) else (wanted,)


def _joined(fields: list[str]) -> str:
    return BETWEEN + BETWEEN.join(dict.fromkeys(field for field in fields if field)) + BETWEEN


def _spelled(field: str | None) -> str:
    return _UNSPEAKABLE.sub("\ufffd", field.lower()) if field else ""
