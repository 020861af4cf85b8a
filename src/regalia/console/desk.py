"""Turns the console's pages into ways: who looks, their limit, their language, and how a page refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from regalia import reasons
from regalia.console.look import Look, View
from regalia.errors import AdminError, RegaliaError, UnavailableError
from regalia.verbs import ProposedError
from regalia.web.answers import Answer
from regalia.web.door import again_path, see_other
from regalia.web.face import Needs, Way
from regalia.web.problems import status_of
from regalia.web.sessions import caller_of
from regalia.web.visit import Bounds, local_path
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from regalia.console.frame import Frame
    from regalia.ra.sign_in import Known
    from regalia.verbs import Caller
    from regalia.web.answers import Header
    from regalia.web.door import Backing, Framed
    from regalia.web.face import Ways
    from regalia.web.visit import Visit

__all__ = ["PageDesk", "Routes", "Shown"]

_BOUNDS: Final = Bounds(octets=1_048_576, fields=300, repeated=frozenset({"chosen", "column"}))
"""A profile or an inventory is text of some length, and a page has many rows to tick."""

_OF_THE_DOOR: Final = {
    "account.html": (marked("Your account"), ""),
    "proposals.html": (marked("Proposals"), "/approvals"),
    "proposal_decided.html": (marked("Decided"), "/approvals"),
}
"""Title and place of the pages that the door makes for somebody who is signed in; any other is a refusal."""
_REFUSED: Final = marked("This did not work")

Shown = View | Answer
Routes = dict[str, dict[str, "Callable[[Look], Shown]"]]
"""Path and method, and what shows it."""


@dataclass(frozen=True, slots=True)
class PageDesk:
    """Answers what the console's paths are asked."""

    backing: Backing
    frame: Frame

    def ways(self, routes: Routes) -> Ways:
        """Make ways of routes."""
        return {path: {method: self._way(show) for method, show in methods.items()} for path, methods in routes.items()}

    def _way(self, show: Callable[[Look], Shown]) -> Way:
        def answered(visit: Visit, known: Known | None) -> Answer:
            if known is None:
                raise AdminError(reasons.SESSION_OVER)
            return self._answered(show, visit, known)

        return Way(Needs.SESSION, answered, asks=True, bounds=_BOUNDS)

    def _answered(self, show: Callable[[Look], Shown], visit: Visit, known: Known) -> Answer:
        caller, now = caller_of(known, visit.source), self.backing.clock.now()
        look = self._look(visit, known, caller, now)
        limited = self.backing.limits.request(caller.actor.id, visit.source, now)
        if limited is not None:
            refused = AdminError(limited.reason, limited.detail)
            return self._refused(look, refused, (b"retry-after", b"%d" % limited.retry_after), status=429)
        try:
            shown = show(look)
            # Templates may ask, too, where a page is put together as it is shown.
            return shown if isinstance(shown, Answer) else self.frame.answer(look, shown)
        except ProposedError:
            return see_other("/approvals?proposed=1#proposals")
        except RegaliaError as error:
            if error.reason is reasons.AUTHENTICATION_OLD:
                return see_other(again_path(local_path(visit.form.get("here", visit.asked))))
            return self._refused(look, error)

    def framed(self, visit: Visit, known: Known, given: Framed) -> Answer:
        """Show a page of the door in the frame. It was judged, and counted where it asked, by who gives it."""
        look = self._look(visit, known, caller_of(known, visit.source), self.backing.clock.now())
        title, here = _OF_THE_DOOR.get(given.template, (_REFUSED, ""))
        view = View(
            given.template,
            title=look.words(title),
            here=here,
            problem=problem_of(look, given.error) if given.error is not None else None,
            status=given.status,
            values=given.values,
        )
        return self.frame.answer(look, view, *given.headers)

    def _look(self, visit: Visit, known: Known, caller: Caller, now: datetime) -> Look:
        return Look(visit, known, caller, self.backing.services, visit.reader.words, visit.reader.theme, now)

    def _refused(self, look: Look, error: RegaliaError, *headers: Header, status: int | None = None) -> Answer:
        view = View(
            "error.html",
            title=look.words(_REFUSED),
            problem=problem_of(look, error),
            status=status or status_of(error),
            values={"back": local_path(look.form.get("here", "/"))},
        )
        return self.frame.answer(look, view, *headers)


def problem_of(look: Look, error: RegaliaError) -> Mapping[str, str]:
    """Say what happened, why and what to do, to somebody who is known and so reads why."""
    reason = error.reason
    why = error.detail if error.detail and not isinstance(error, UnavailableError) else ""
    remedy = look.words(reason.remedy)
    title = look.words(reason.title)
    then = f"{why[:1].upper()}{why[1:]}. {remedy}" if why else remedy
    return {"what": f"{title[:1].upper()}{title[1:]}.", "then": then, "id": reason.id}
