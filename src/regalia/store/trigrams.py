"""Which few trigrams of a text tell most, so that an index is asked for them and not for all.

Names of one fleet are much alike: most of their trigrams stand in every row, and an index that is asked for a whole
name goes through the lists of all these for each row that it looks at. The rare ones find nearly the same rows at a
hundredth of the price; the rows are asked for the text itself afterwards. What is rare is estimated from the newest
rows, which decides how long a search takes and never what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SAMPLE", "is_common", "telling"]

SAMPLE: Final = 200
"""Rows to estimate from."""
_LENGTH: Final = 3
_SOME: Final = 3
"""Trigrams that an index is asked for: more of them tell hardly more."""
_COMMON: Final = 0.3


def telling(text: str, sample: Sequence[str], *, words: bool = False) -> tuple[str, ...]:
    """Return the rarest trigrams of a text of three characters or more, the rarest first.

    `words`: only such of letters and digits, which is all that pg_trgm keeps; the text itself where it has none.
    """
    every = dict.fromkeys(text[begin : begin + _LENGTH] for begin in range(len(text) - _LENGTH + 1))
    fit = [each for each in every if not words or (each.isascii() and each.isalnum())]
    if not fit:
        return (text,)
    return tuple(sorted(fit, key=lambda each: _share(each, sample))[:_SOME])


def is_common(trigrams: Sequence[str], sample: Sequence[str]) -> bool:
    """Whether asking for them leaves out little."""
    return all(_share(each, sample) > _COMMON for each in trigrams)


def _share(trigram: str, sample: Sequence[str]) -> float:
    return sum(trigram in text for text in sample) / max(len(sample), 1)
