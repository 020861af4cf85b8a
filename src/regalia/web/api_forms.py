"""What a request says, as what its verb asks for: fields of path, query and JSON body, validated together.

Texts of path and query become numbers and truth values as the fields' schemas say; then all of it is validated as one
JSON object, strictly: nothing is taken for what it only resembles.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

from pydantic import ValidationError

from regalia import reasons
from regalia.errors import AdminError, InvariantError
from regalia.web.problems import InvalidField

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from regalia.verbs import Asked, Verb

__all__ = ["DRY_RUN", "Form", "Invalid", "Kind", "json_object", "query_fields", "read_fields", "segments"]

DRY_RUN: Final = "dry_run"
"""Reserved in every query: only say what would happen."""
_FIELDS: Final = 200
"""Of one query; more are nobody's."""
_DEEPEST: Final = 32
"""Objects and arrays in one another in a body; no verb asks for a handful."""

A = TypeVar("A", bound="Asked")


class Invalid(Exception):  # noqa: N818 - what was asked is invalid, nothing went wrong
    """What was asked is not what the verb asks for."""

    def __init__(self, *fields: InvalidField) -> None:
        super().__init__(", ".join(each.field for each in fields))
        self.fields = fields


class Kind(StrEnum):
    """What a text of path or query stands for."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"


class Form:
    """What one verb asks for, by where it stands."""

    def __init__(self, verb: Verb[Any, Any]) -> None:
        """Raise `InvariantError` where a field could not stand in its place."""
        self.verb = verb
        schema = verb.asks.model_json_schema()
        inside = schema.get("$defs", {})
        properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
        if properties.keys() != verb.asks.model_fields.keys():
            raise InvariantError(f"{verb.name}: a field has another name in the API")
        if DRY_RUN in properties:
            raise InvariantError(f"{verb.name}: the field {DRY_RUN} is reserved")
        self.has_body = verb.method in {"POST", "PUT"}
        in_query = () if self.has_body else (name for name in properties if name not in verb.in_path)
        self.in_query: Mapping[str, tuple[Kind, bool]] = {
            name: _place(verb, name, properties[name], inside) for name in in_query
        }
        self._in_path = {name: _place(verb, name, properties[name], inside)[0] for name in verb.in_path}

    def read(
        self, path: Mapping[str, str], query: Sequence[tuple[str, str]], body: Mapping[str, object]
    ) -> tuple[Asked, bool]:
        """Return what is asked, and whether only to say what would happen. Raises `Invalid`."""
        fields: dict[str, object] = dict(body)
        wrong = [InvalidField(name, "stands in the path") for name in path if name in body]
        for name, text in path.items():
            fields[name] = _value(name, self._in_path[name], text)
        dry = False
        for name, values in _gathered(query).items():
            if name == DRY_RUN and self.verb.changes:
                dry = _dry(values, can=self.verb.plan is not None)
            elif name not in self.in_query:
                wrong.append(InvalidField(name, "is not a field of this query"))
            else:
                fields[name] = _values(name, self.in_query[name], values)
        if wrong:
            raise Invalid(*wrong, *_unfit(fields))
        return read_fields(self.verb.asks, fields), dry


def read_fields(asks: type[A], fields: Mapping[str, object]) -> A:
    """Make what a verb asks for of fields as JSON has them. Raises `Invalid`."""
    wrong = tuple(_unfit(fields))
    if wrong:
        raise Invalid(*wrong)
    return _validated(asks, fields)


def _validated(asks: type[A], fields: Mapping[str, object]) -> A:
    try:
        return asks.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid(*(InvalidField(_place_of(each["loc"]), each["msg"]) for each in found)) from None


def _place_of(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)


def _unfit(fields: Mapping[str, object]) -> Iterator[InvalidField]:
    """Find texts that no database takes: U+0000, and halves of surrogate pairs."""
    for name, value in fields.items():
        texts = (name, *_texts(value))
        if any("\0" in text or (not text.isascii() and _halved(text)) for text in texts):
            yield InvalidField(name.encode("ascii", "backslashreplace").decode(), "holds a character that is none")


def _halved(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for inner in value:
                yield from _texts(inner)
        case dict():
            for name, inner in value.items():
                yield name
                yield from _texts(inner)


# --- path and query -------------------------------------------------------------------------------------------------


def segments(raw_path: bytes) -> tuple[str, ...] | None:
    """Return what stands between the slashes, each undone for itself; None where something is not UTF-8."""
    try:
        return tuple(unquote_to_bytes(part).decode() for part in raw_path.split(b"/"))
    except UnicodeDecodeError:
        return None


def query_fields(query: bytes) -> list[tuple[str, str]]:
    """Read a query. Raises `Invalid`."""
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
    except ValueError:
        raise Invalid(InvalidField("", "the query cannot be read")) from None


def _gathered(query: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in query:
        found.setdefault(name, []).append(value)
    return found


def _dry(values: Sequence[str], *, can: bool) -> bool:
    if values not in (["true"], ["false"]):
        raise Invalid(InvalidField(DRY_RUN, "is true or false"))
    if values == ["true"] and not can:
        # It must not be done where only the question was asked.
        raise Invalid(InvalidField(DRY_RUN, "nothing can be said before this is done"))
    return values == ["true"]


def _values(name: str, place: tuple[Kind, bool], values: Sequence[str]) -> object:
    kind, several = place
    if several:
        return [_value(name, kind, text) for text in values]
    if len(values) != 1:
        raise Invalid(InvalidField(name, "is there more than once"))
    return _value(name, kind, values[0])


def _value(name: str, kind: Kind, text: str) -> object:
    if kind is Kind.BOOLEAN:
        if text not in {"true", "false"}:
            raise Invalid(InvalidField(name, "is true or false"))
        return text == "true"
    if kind is Kind.INTEGER:
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > len(str(1 << 63)):
            raise Invalid(InvalidField(name, "is a whole number"))
        return int(text)
    return text


def _place(verb: Verb[Any, Any], name: str, schema: Mapping[str, Any], inside: Mapping[str, Any]) -> tuple[Kind, bool]:
    """Say what a text stands for, and whether there may be several."""
    schemas = [each for each in _alternatives(schema, inside) if each.get("type") != "null"]
    several = [each for each in schemas if each.get("type") == "array"]
    if several and len(schemas) == 1 and name not in verb.in_path:
        return _place(verb, name, several[0]["items"], inside)[0], True
    types = {each.get("type", "string") for each in schemas}
    if types == {"string"}:
        return Kind.TEXT, False
    if types in ({"integer"}, {"boolean"}):
        return Kind(types.pop()), False
    raise InvariantError(f"{verb.name}: {name} cannot stand in a URL")


def _alternatives(schema: Mapping[str, Any], inside: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _alternatives(inside[schema["$ref"].rpartition("/")[2]], inside)
    elif "anyOf" in schema or "oneOf" in schema:
        for each in schema.get("anyOf") or schema["oneOf"]:
            yield from _alternatives(each, inside)
    else:
        yield schema


# --- bodies ---------------------------------------------------------------------------------------------------------


def json_object(body: bytes) -> dict[str, object]:
    """Read a body. Raises `AdminError` API-005: each field once, no NaN, not nested without end."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise AdminError(reasons.API_BODY_REFUSED, "it is not UTF-8") from None
    except RecursionError:
        raise AdminError(reasons.API_BODY_REFUSED, "it is nested too deeply") from None
    except ValueError as error:
        raise AdminError(reasons.API_BODY_REFUSED, str(error)[:200]) from None
    if not isinstance(found, dict):
        raise AdminError(reasons.API_BODY_REFUSED, "it is JSON, and not an object")
    if _is_deep(found):
        raise AdminError(reasons.API_BODY_REFUSED, "it is nested too deeply")
    return found


def _is_deep(body: Mapping[str, object]) -> bool:
    """Whether whoever walks through it, a call for each level, would go too far down, or take long."""
    level: list[object] = [body]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _members(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _members(outer: object) -> Iterable[object]:
    return outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a field twice")
    return found


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")
