"""What an event changed: two sides of fields, read of the ways in which records say what was before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["difference"]

Side = dict[str, str]

_FORMER: Final = "former"
_BEFORE: Final = "before"
_WHOLE: Final = ("state", "document", "settings")
"""What `former` is the former one of."""


def difference(details: Mapping[str, object]) -> tuple[Side, Side]:
    """Say what was before and what is after, field by field; both empty where an event tells of no change.

    `before` and `after`; `former_NAME` beside NAME; `former` beside the state, document or settings that it was; and
    `before` beside the one other thing that there is (docs/reference/events.md).
    """
    pairs = {
        name.removeprefix(f"{_FORMER}_"): value for name, value in details.items() if name.startswith(f"{_FORMER}_")
    }
    if pairs and pairs.keys() <= details.keys():
        return _shown(pairs), _shown({name: details[name] for name in pairs})
    if _FORMER in details:
        whole = next((name for name in _WHOLE if name in details), "")
        return _side(whole, details[_FORMER]), _side(whole, details.get(whole))
    if _BEFORE in details and "after" in details:
        return _side(_BEFORE, details[_BEFORE]), _side(_BEFORE, details["after"])
    others = [name for name in details if name != _BEFORE]
    if _BEFORE in details and len(others) == 1:
        return _side(others[0], details[_BEFORE]), _side(others[0], details[others[0]])
    return {}, {}


def _side(name: str, value: object) -> Side:
    """Show the fields of one side, or the one value that it is; a document is kept as text."""
    document = _document(value) if isinstance(value, str) else value
    if isinstance(document, dict):
        return _shown(_flat(document))
    return {} if value in (None, "") else {name: _text(value)}


def _document(text: str) -> object:
    """Read a document that is kept as text; what is none stays a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(value: Mapping[str, object]) -> dict[str, object]:
    """Take one level of what is inside out, so that one changed rule is one changed row."""
    found: dict[str, object] = {}
    for name, each in value.items():
        if isinstance(each, dict) and each:
            found |= {f"{name}.{inner}": one for inner, one in each.items()}
        else:
            found[name] = each
    return found


def _shown(fields: Mapping[str, object]) -> Side:
    return {name: _text(value) for name, value in fields.items()}


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
