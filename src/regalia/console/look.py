"""One request of somebody who is signed in: who looks, at what, and how a page asks verbs for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from regalia import reasons
from regalia.errors import AdminError
from regalia.ra.roles import reach_of
from regalia.verbs import ask, plan
from regalia.verbs.verb import Asked, Record
from regalia.web.api import right_refused
from regalia.web.api_forms import Invalid, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from regalia.model import Reach
    from regalia.ra.sign_in import Known
    from regalia.verbs import Caller, Verb
    from regalia.verbs.services import Services
    from regalia.web.visit import Visit
    from regalia.words import Words

__all__ = ["Look", "View", "asked_of"]

A = TypeVar("A", bound=Asked)
G = TypeVar("G", bound=Record)

_NOTHING: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks, at what."""

    visit: Visit
    known: Known
    caller: Caller
    services: Services
    words: Words
    theme: str
    """`system`, `light` or `dark`."""
    now: datetime

    @property
    def place(self) -> Mapping[str, str]:
        """What stands in the path in the places of names."""
        return self.visit.place

    @property
    def query(self) -> Mapping[str, str]:
        """The query."""
        return self.visit.query

    @property
    def form(self) -> Mapping[str, str]:
        """The form that was sent."""
        return self.visit.form

    def ask(self, verb: Verb[A, G], **fields: object) -> G:
        """Ask a verb, as the API would. Raises what it raises, and `AdminError` API-005 for what is no question."""
        asked = asked_of(verb, fields)
        try:
            return ask(verb, self.services, self.caller, asked)
        except AdminError as error:
            if error.reason is reasons.RIGHT_MISSING:
                self._record_missing(verb)
            raise

    def must(self, verb: Verb[Any, Any]) -> None:
        """Raise `AdminError` ADM-070, which is on record then, where the looker may not ask a verb anywhere."""
        if not self.may(verb):
            self._record_missing(verb)
            raise AdminError(reasons.RIGHT_MISSING, f"{verb.name} needs the right {verb.right}")

    def _record_missing(self, verb: Verb[Any, Any]) -> None:
        """AUD-1."""
        self.services.store.record((right_refused(self.caller, verb, self.now),))

    def plan(self, verb: Verb[Any, Any], **fields: object) -> tuple[str, ...]:
        """Say what a verb would do, in sentences that go on after "This will"."""
        return plan(verb, self.services, self.caller, asked_of(verb, fields)).would

    def reach(self, verb: Verb[Any, Any]) -> Reach:
        """Say in which groups the looker may ask a verb."""
        return reach_of(self.caller.grants, verb.right)

    def may(self, verb: Verb[Any, Any], group: str | None = None) -> bool:
        """Whether the looker may ask a verb: for a group, or at all. Decides what is shown, and nothing else."""
        reach = self.reach(verb)
        if reach.groups is None:
            return True
        return not verb.everywhere and (group in reach if group is not None else bool(reach.groups))


def asked_of(verb: Verb[A, Any], fields: Mapping[str, object]) -> A:
    """Make what a verb is asked of fields as JSON has them. Raises `AdminError` API-005 that names the wrong ones."""
    try:
        return read_fields(verb.asks, {name: value for name, value in fields.items() if value is not None})
    except Invalid as wrong:
        detail = "; ".join(f"{each.field}: {each.problem}" for each in wrong.fields)
        raise AdminError(reasons.API_BODY_REFUSED, detail) from wrong


@dataclass(frozen=True, slots=True)
class View:
    """A page before it stands in its frame."""

    template: str
    title: str
    lead: str = ""
    here: str = ""
    """The path of the place in the navigation that it belongs to."""
    crumbs: tuple[tuple[str, str], ...] = ()
    values: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    problem: Mapping[str, str] | None = None
    status: int = 200
    refresh: int = 0
    """Seconds after which a browser without a script asks again; 0: never."""
