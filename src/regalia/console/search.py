"""The one search box: the first few of everything that fits, each kind with the way to its whole list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from regalia.console.documentation import documented
from regalia.console.enrolments import name_of
from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.verbs import authority, certificate, device, endpoint, enrolment, group, profile, user
from regalia.words import marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs import Verb

__all__ = ["ROUTES"]

_EACH: Final = 5
_SHORTEST: Final = 1


@dataclass(frozen=True, slots=True)
class _Kind:
    """A noun that is searched."""

    label: str
    verb: Verb[Any, Any]
    path: str
    found: Callable[[Any], tuple[str, str, str]]
    """Address, text and what stands beside it."""


_KINDS: Final = (
    _Kind(
        marked("Certificates"),
        certificate.LIST,
        "/certificates",
        lambda each: (f"/certificates/{each.serial}", each.subject, each.status),
    ),
    _Kind(
        marked("Devices"),
        device.LIST,
        "/devices",
        lambda each: (f"/devices/{each.id}", each.name or each.external_id, each.connector),
    ),
    _Kind(
        marked("Users"),
        user.LIST,
        "/users",
        lambda each: (f"/users/{each.id}", each.name or each.external_id, each.connector),
    ),
    _Kind(marked("Groups"), group.LIST, "/groups", lambda each: (f"/groups/{each.name}", each.name, "")),
    _Kind(
        marked("Enrolments"),
        enrolment.LIST,
        "/enrolments",
        lambda each: (f"/enrolments/{each.id}", name_of(each) or str(each.id), each.state.value),
    ),
    _Kind(
        marked("Endpoints"),
        endpoint.LIST,
        "/endpoints",
        lambda each: (f"/endpoints/{each.name}", each.name, each.group),
    ),
    _Kind(
        marked("Profiles"), profile.LIST, "/profiles", lambda each: (f"/profiles/{each.name}", each.name, each.group)
    ),
    _Kind(
        marked("Authorities"), authority.LIST, "/authorities", lambda each: (f"/authorities/{each.name}", each.name, "")
    ),
)


def _show(look: Look) -> Shown:
    wanted = look.query.get("q", "").strip()
    found = []
    if len(wanted) >= _SHORTEST:
        found = [*(_of_kind(look, kind, wanted) for kind in _KINDS if look.may(kind.verb)), _in_docs(look, wanted)]
    # The palette takes the results without the frame.
    template = "results.html" if look.query.get("part") == "results" else "search.html"
    return View(
        template,
        title=look.words("Search"),
        values={"wanted": wanted, "found": [each for each in found if each["rows"]]},
    )


def _of_kind(look: Look, kind: _Kind, wanted: str) -> dict[str, Any]:
    page = look.ask(kind.verb, q=wanted, limit=_EACH)
    return {
        "label": look.words(kind.label),
        "rows": [kind.found(each) for each in page.items],
        "all": query_path(kind.path, {"q": wanted}) if page.next else "",
    }


def _in_docs(look: Look, wanted: str) -> dict[str, Any]:
    rows = documented(wanted, _EACH)
    return {
        "label": look.words("Documentation"),
        "rows": rows,
        "all": query_path("/docs", {"q": wanted}) if len(rows) == _EACH else "",
    }


ROUTES: Final[Routes] = {"/search": {"GET": _show}}
