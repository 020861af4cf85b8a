"""What waits for a person: enrolments that are held, and what needs a second administrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from regalia.console.acts import act_path
from regalia.console.comparison import Comparison, comparison
from regalia.console.look import View
from regalia.verbs import enrolment, proposal

if TYPE_CHECKING:
    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look

__all__ = ["ROUTES"]

_HERE: Final = "/approvals"
_MOST: Final = 100
_COMPARED: Final = 20
"""Of them, those whose names are compared at once; the others are on their own pages."""


def _show(look: Look) -> Shown:
    held = look.ask(enrolment.LIST, state="pending", limit=_MOST).items if look.may(enrolment.LIST) else ()
    proposals = look.ask(proposal.LIST, state="open", limit=_MOST).items if look.may(proposal.LIST) else ()
    return View(
        "approvals.html",
        title=look.words("Approvals"),
        lead=look.words("What waits for somebody: devices that ask, and colleagues who propose."),
        here=_HERE,
        values={
            "held": [
                (
                    each,
                    _compared(look, str(each.id)) if number < _COMPARED else Comparison(),
                    act_path(enrolment.APPROVE, id=str(each.id)),
                    act_path(enrolment.DENY, id=str(each.id)),
                )
                for number, each in enumerate(held)
            ],
            "may_decide": look.may(enrolment.APPROVE),
            "proposals": proposals,
            "proposed": look.query.get("proposed") == "1",
        },
    )


def _compared(look: Look, enrolment_id: str) -> Comparison:
    return comparison(look.words, look.ask(enrolment.SHOW, id=enrolment_id).compared, names_only=True)


ROUTES: Final[Routes] = {_HERE: {"GET": _show}}
