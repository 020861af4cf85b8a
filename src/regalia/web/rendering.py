"""Pages of the admin listener: templates that escape by themselves, and the files beside them (WEB-1)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from regalia.web.answers import NO_STORE, Answer, answer
from regalia.words import words_of

if TYPE_CHECKING:
    from regalia.web.answers import Header
    from regalia.web.reader import Reader

__all__ = ["HTML", "STATIC", "page", "static_files", "templates", "visible"]

HTML: Final = b"text/html; charset=utf-8"
_MEDIA: Final = {"css": b"text/css; charset=utf-8", "js": b"text/javascript; charset=utf-8", "svg": b"image/svg+xml"}
_KEPT: Final[Header] = (b"cache-control", b"max-age=3600")

STATIC: Final = "/static/"
_DOOR: Final = "regalia.web"


def visible(text: str) -> str:
    """Show by their numbers letters that are not seen, or turn others' order: nobody agrees to what they hide."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def static_files(package: str = _DOOR) -> dict[str, Answer]:
    """Read the files that a package's pages refer to, by path."""
    found = {}
    for file in files(package).joinpath("pages", "static").iterdir():
        media = _MEDIA.get(file.name.rpartition(".")[2])
        if media is not None:
            found[STATIC + file.name] = answer(200, file.read_bytes(), media, _KEPT)
    return found


@cache
def templates(package: str, language: str) -> Environment:
    """Make a package's templates in one language: they escape by themselves, and know no name that was not given."""
    words = words_of(language)
    made = Environment(
        loader=PackageLoader(package, "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    # New style: the values of a text are escaped, its own words are not.
    made.install_gettext_callables(words, words.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals.update(version=_version(package), language=language)
    return made


@cache
def _version(package: str) -> str:
    """Make addresses of these files new when one of them is, so that browsers may keep them."""
    octets = b"".join(given.body for _, given in sorted(static_files(package).items()))
    return hashlib.sha256(octets).hexdigest()[:12]


def page(template: str, reader: Reader, *headers: Header, status: int = 200, **values: object) -> Answer:
    """Render a page of the door."""
    text = templates(_DOOR, reader.language).get_template(template).render(theme=reader.theme, **values)
    return answer(status, text.encode(), HTML, NO_STORE, *headers)
