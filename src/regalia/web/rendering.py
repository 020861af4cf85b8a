"""Pages of the admin listener: templates that escape by themselves, and the files beside them (WEB-1)."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from regalia.web.answers import NO_STORE, Answer, answer

if TYPE_CHECKING:
    from regalia.web.answers import Header

__all__ = ["STATIC", "page", "static_files", "visible"]

_HTML: Final = b"text/html; charset=utf-8"
_MEDIA: Final = {"css": b"text/css; charset=utf-8", "js": b"text/javascript; charset=utf-8", "svg": b"image/svg+xml"}
_KEPT: Final[Header] = (b"cache-control", b"max-age=3600")

STATIC: Final = "/static/"


def visible(text: str) -> str:
    """Show by their numbers letters that are not seen, or turn others' order: nobody agrees to what they hide."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


_environment = Environment(
    loader=PackageLoader("regalia.web", "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def static_files(package: str = "regalia.web") -> dict[str, Answer]:
    """Read the files that a package's pages refer to, by path."""
    found = {}
    for file in files(package).joinpath("pages", "static").iterdir():
        media = _MEDIA.get(file.name.rpartition(".")[2])
        if media is not None:
            found[STATIC + file.name] = answer(200, file.read_bytes(), media, _KEPT)
    return found


def _version() -> str:
    """Make addresses of these files new when one of them is, so that browsers may keep them."""
    octets = b"".join(given.body for _, given in sorted(static_files().items()))
    return hashlib.sha256(octets).hexdigest()[:12]


_environment.globals["version"] = _version()


def page(template: str, *headers: Header, status: int = 200, **values: object) -> Answer:
    """Render a template."""
    text = _environment.get_template(template).render(**values)
    return answer(status, text.encode(), _HTML, NO_STORE, *headers)
