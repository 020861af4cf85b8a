"""Theme and language: kept by a post in a cookie, for a year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.web.door import see_other
from regalia.web.reader import THEMES, Reader
from regalia.web.visit import local_path
from regalia.words import LANGUAGES

if TYPE_CHECKING:
    from regalia.console.desk import Routes
    from regalia.console.look import Look
    from regalia.web.answers import Answer

__all__ = ["ROUTES"]


def _keep(look: Look) -> Answer:
    theme = look.form.get("theme", look.theme)
    language = look.form.get("language", look.words.language)
    chosen = Reader(theme if theme in THEMES else THEMES[0], language if language in LANGUAGES else look.words.language)
    return see_other(local_path(look.form.get("next", "/")), chosen.cookie())


ROUTES: Final[Routes] = {"/appearance": {"POST": _keep}}
