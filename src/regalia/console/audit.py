"""The audit log: what was decided and done, by whom, with the difference that it made."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from regalia.console.certificates import group_choices
from regalia.console.differences import difference
from regalia.console.listing import query_path
from regalia.console.look import View
from regalia.model import Action
from regalia.verbs import event as verbs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from regalia.console.desk import Routes, Shown
    from regalia.console.look import Look
    from regalia.verbs.event import EventShown

__all__ = ["ROUTES"]

_HERE: Final = "/audit"
_ROWS: Final = 50
_OUTCOMES: Final = {"ok": "ok", "refused": "bad", "failed": "bad"}
_FIELDS: Final = ("q", "action", "group", "object", "security")


def _show(look: Look) -> Shown:
    chosen = {name: look.query[name] for name in _FIELDS if look.query.get(name)}
    asked: dict[str, object] = {**chosen, "security": True} if chosen.get("security") == "true" else dict(chosen)
    page = look.ask(verbs.TAIL, **asked, limit=_ROWS, after=look.query.get("after"))
    opened = look.query.get("open", "")
    here = chosen | {"after": look.query.get("after", "")}
    return View(
        "audit.html",
        title=look.words("Audit log"),
        lead=look.words("Every decision and every change, in an order that nobody can alter unseen. Times are UTC."),
        here=_HERE,
        values={
            "rows": [_row(each, opened, here) for each in page.items],
            "chosen": defaultdict(str, chosen),
            "chips_shown": [
                (name, chosen[name], query_path(_HERE, {key: value for key, value in chosen.items() if key != name}))
                for name in chosen
                if name != "q"
            ],
            "actions_known": [each.value for each in Action],
            "groups": group_choices(look),
            "following": query_path(_HERE, chosen | {"after": page.next}) if page.next else "",
            "first": "after" not in look.query,
            "newest": query_path(_HERE, chosen),
        },
    )


def _row(event: EventShown, opened: str, here: Mapping[str, str]) -> dict[str, Any]:
    key = f"{event.stream}-{event.sequence}"
    is_open = key == opened
    before, after = difference(event.details)
    return {
        "event": event,
        "key": key,
        "open": is_open,
        "kind": _OUTCOMES.get(event.outcome.value, "unknown"),
        "path": query_path(_HERE, {**here, "open": "" if is_open else key}) + f"#{key}",
        "before": before,
        "after": after,
        "details": json.dumps(event.details, indent=2, ensure_ascii=False),
    }


ROUTES: Final[Routes] = {_HERE: {"GET": _show}}
