"""The first page: what needs somebody, and then the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.look import View
from regalia.verbs import alert

if TYPE_CHECKING:
    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look

__all__ = ["ROUTES"]

_SHOWN: Final = 10


def _show(look: Look) -> Shown:
    alerts = look.ask(alert.LIST, state="open", limit=_SHOWN).items if look.may(alert.LIST) else ()
    return View(
        "dashboard.html",
        title=look.words("Dashboard"),
        lead=_lead(look, len(alerts)),
        here="/",
        values={"alerts": alerts},
    )


def _lead(look: Look, problems: int) -> str:
    if not look.caller.grants:
        return look.words("Your account has no role yet: another administrator gives you one.")
    if not problems:
        return look.words("Nothing needs you.")
    text = look.words.ngettext("%(number)s thing needs somebody.", "%(number)s things need somebody.", problems)
    return text % {"number": look.words.number(problems)}


ROUTES: Final[Routes] = {"/": {"GET": _show}}
