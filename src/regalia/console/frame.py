"""What every page stands in: navigation, account, language and appearance; and how a page is made of its template."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from regalia.console.places import sections
from regalia.ra.roles import grant_text
from regalia.web.answers import NO_STORE, answer
from regalia.web.rendering import HTML, STATIC, static_files, templates, visible
from regalia.web.sessions import form_token
from regalia.words import LANGUAGES, words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

    from regalia.console.look import Look, View
    from regalia.web.answers import Answer, Header
    from regalia.words import Words

__all__ = ["Frame", "console_files"]

_PACKAGE: Final = "regalia.console"


@dataclass(frozen=True, slots=True)
class _Person:
    """Who is signed in, as the account's button shows them."""

    name: str
    roles: str
    initials: str


def console_files() -> Mapping[str, Answer]:
    """Read the files that the console's pages refer to, by path."""
    return static_files(_PACKAGE)


@cache
def environment(language: str) -> Environment:
    """Make the templates of one language, with what the console's know beyond the door's."""
    made = templates(_PACKAGE, language)
    made.filters.update(_filters(words_of(language)))
    made.globals.update(static=STATIC, languages=tuple(LANGUAGES.items()))
    return made


def _filters(words: Words) -> dict[str, Any]:
    def ago(at: datetime, now: datetime) -> Markup:
        return _time(words, at, words.ago(at, now))

    def minute(at: datetime) -> Markup:
        return _time(words, at, words.minute(at))

    def day(at: datetime) -> Markup:
        return _time(words, at, words.day(at))

    def span(length: timedelta | float) -> str:
        return words.span(length if isinstance(length, timedelta) else timedelta(seconds=length))

    def prose(text: str) -> Markup:
        """Show what stands between backticks as code."""
        parts = (Markup("<code>{}</code>") if odd else Markup("{}") for odd in cycle((False, True)))
        return Markup("").join(part.format(piece) for part, piece in zip(parts, visible(text).split("`"), strict=False))

    return {
        "prose": prose,
        "ago": ago,
        "minute": minute,
        "day": day,
        "short_day": words.short_day,
        "span": span,
        "number": words.number,
        "visible": visible,
    }


def _time(words: Words, at: datetime, text: str) -> Markup:
    stamp = at.isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, words.moment(at), text)


class Frame:
    """Puts pages into their frame."""

    def __init__(self, organisation: str, known: frozenset[str]) -> None:
        """`organisation` stands below the product's name; `known` are the paths that lead somewhere."""
        self._organisation = organisation
        self._known = known

    def answer(self, look: Look, view: View, *headers: Header) -> Answer:
        """Make the page of a view."""
        template = environment(look.words.language).get_template(view.template)
        text = template.render(**self._values(look, view), **view.values)
        return answer(view.status, text.encode(), HTML, NO_STORE, *headers)

    def _values(self, look: Look, view: View) -> dict[str, object]:
        person = look.known.administrator
        return {
            "title": view.title,
            "lead": view.lead,
            "crumbs": view.crumbs,
            "here": view.here,
            "nav": sections(look, self._known),
            "organisation": self._organisation,
            "person": _Person(
                person.display, ", ".join(map(grant_text, look.caller.grants)), _initials(person.display)
            ),
            "theme": look.theme,
            "token": form_token(look.visit.session),
            "path": look.visit.asked,
            "problem": view.problem,
            "refresh": view.refresh,
            "now": look.now,
            "look": look,
        }


def _initials(name: str) -> str:
    return "".join(part[0] for part in name.replace("-", " ").split()[:2]).upper()
