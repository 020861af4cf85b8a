"""Words, numbers and times in the reader's language: catalogues of gettext, formats of Babel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton, format_timedelta
from babel.messages.pofile import read_po

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

__all__ = ["ENGLISH", "LANGUAGES", "PSEUDO", "Words", "chosen_language", "marked", "words_of"]

ENGLISH: Final = "en"
LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "de": "Deutsch"}
"""Those that are complete, each with the name that it has in itself."""

PSEUDO: Final = "qps"
"""No language: English in brackets, half as long again, which shows what is not translated or has too little room."""

_LOCALES: Final = {"en": "en_GB", "qps": "en_GB"}
_RELATIVE: Final = timedelta(days=30)
_THIN: Final = "\u202f"


@dataclass(frozen=True, slots=True)
class Words:
    """What one language says. Called with an English text it gives the language's own."""

    language: str
    texts: Mapping[str, str]
    plurals: Mapping[str, tuple[str, ...]]
    locale: Locale

    def __call__(self, text: str) -> str:
        """Say a text."""
        return _pseudo(text) if self.language == PSEUDO else self.texts.get(text, text)

    def ngettext(self, one: str, more: str, number: int) -> str:
        """Say a text of so many things."""
        forms = self.plurals.get(one)
        if forms is None:
            return self(one if number == 1 else more)
        return forms[min(self.locale.plural_form(number) != "one", len(forms) - 1)]

    def number(self, number: int) -> str:
        """Write a number, its thousands parted by a narrow space."""
        return f"{number:,}".replace(",", _THIN)

    def moment(self, at: datetime) -> str:
        """Write a time in full, UTC."""
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def day(self, at: datetime) -> str:
        """Write a date."""
        return format_date(at.astimezone(UTC).date(), "medium", locale=self.locale)

    def short_day(self, day: date) -> str:
        """Write a day of this year or the last one."""
        return format_skeleton("MMMd", datetime.combine(day, time(), UTC), tzinfo=UTC, locale=self.locale)

    def minute(self, at: datetime) -> str:
        """Write a date with its time, UTC."""
        return f"{format_datetime(at.astimezone(UTC), 'medium', tzinfo=UTC, locale=self.locale)} UTC"

    def ago(self, at: datetime, now: datetime) -> str:
        """Say how long ago it was, or how long it is until then; a date beyond thirty days."""
        apart = at - now
        if abs(apart) > _RELATIVE:
            return self.day(at)
        return format_timedelta(apart, add_direction=True, threshold=1.5, locale=self.locale)

    def span(self, length: timedelta) -> str:
        """Say how long something takes."""
        return format_timedelta(length, threshold=1.5, locale=self.locale)


def marked(text: str) -> str:
    """Return a text as it is, to be translated where it is shown; the catalogues' extraction finds it by this call."""
    return text


def _pseudo(text: str) -> str:
    return f"⟦{text}{'·' * (len(text) // 2)}⟧"


@cache
def words_of(language: str) -> Words:
    """Read a language's catalogue, once."""
    locale = Locale.parse(_LOCALES.get(language, language))
    texts: dict[str, str] = {}
    plurals: dict[str, tuple[str, ...]] = {}
    if language in LANGUAGES and language != ENGLISH:
        with files("regalia.words").joinpath(f"{language}.po").open("rb") as catalogue:
            for message in read_po(catalogue, locale=locale):
                if isinstance(message.id, str):
                    texts[message.id] = str(message.string)
                else:
                    plurals[message.id[0]] = tuple(message.string or ())
        texts = {text: said for text, said in texts.items() if text and said}
        plurals = {text: forms for text, forms in plurals.items() if forms and all(forms)}
    return Words(language, texts, plurals, locale)


def chosen_language(kept: str, accepted: str) -> str:
    """Choose what a reader has chosen, else the first that their browser asks for and we have (RFC 9110 §12.5.4)."""
    if kept in LANGUAGES:
        return kept
    wishes: list[tuple[float, str]] = []
    for wish in accepted.split(",")[:20]:
        name, _, quality = wish.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if weight > 0:
            wishes.append((weight, name.partition("-")[0].lower()))
    wishes.sort(key=lambda wish: -wish[0])
    return next((name for _, name in wishes if name in LANGUAGES), ENGLISH)
