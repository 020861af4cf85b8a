"""Theme and language: kept by a post in a cookie, for a year."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.desk import appearance_cookie
from regalia.console.words import LANGUAGES
from regalia.web.door import see_other
from regalia.web.visit import local_path

if TYPE_CHECKING:
    from regalia.console.desk import Routes
    from regalia.console.look import Look
    from regalia.web.answers import Answer

__all__ = ["ROUTES"]

_THEMES: Final = ("system", "light", "dark")


def _keep(look: Look) -> Answer:
    theme = look.form.get("theme", look.theme)
    language = look.form.get("language", look.words.language)
    cookie = appearance_cookie(
        theme if theme in _THEMES else "system", language if language in LANGUAGES else look.words.language
    )
    return see_other(local_path(look.form.get("next", "/")), cookie)


ROUTES: Final[Routes] = {"/appearance": {"POST": _keep}}
