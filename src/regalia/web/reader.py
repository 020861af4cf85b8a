"""How a reader wants pages: by what their browser keeps for us, else by what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia.web.sessions import cookie_of, kept_cookie
from regalia.words import ENGLISH, chosen_language, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.web.answers import Header
    from regalia.words import Words

__all__ = ["COOKIE", "THEMES", "Reader", "reader_of"]

COOKIE: Final = "__Host-regalia-look"
"""Keeps theme and language, as `dark-de`."""
THEMES: Final = ("system", "light", "dark")
_KEPT: Final = re.compile(rf"({'|'.join(THEMES)})-([a-z]{{0,2}})")
_YEAR: Final = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Reader:
    """Theme and language of whoever looks."""

    theme: str = THEMES[0]
    language: str = ENGLISH

    @property
    def words(self) -> Words:
        """What their language says."""
        return words_of(self.language)

    def cookie(self) -> Header:
        """Have their browser keep it."""
        return kept_cookie(COOKIE, f"{self.theme}-{self.language}", seconds=_YEAR)


def reader_of(headers: Sequence[Header]) -> Reader:
    """Read what a request says of its reader."""
    kept = _KEPT.fullmatch(cookie_of(headers, COOKIE))
    theme, language = (kept[1], kept[2]) if kept is not None else (THEMES[0], "")
    accepted = b",".join(value for name, value in headers if name == b"accept-language").decode("latin-1")
    return Reader(theme, chosen_language(language, accepted))
