"""Reading an inventory that somebody exported: devices or users, as CSV (RFC 4180) or JSON.

A file is read whole or not at all: one row that cannot be read leaves open whose it is, and a file that lacks it would
say that somebody is gone. All faults are told at once, each with its line, or in JSON with the item's number.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from pydantic import ValidationError

from regalia.connectors.report_forms import DeviceForm, UserForm, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from regalia.model.connector import ReportedDevice, ReportedUser

__all__ = ["MOST_OCTETS", "MOST_ROWS", "Fault", "UnreadableError", "read_devices", "read_users"]

MOST_OCTETS: Final = 256 * 1024 * 1024
MOST_ROWS: Final = 500_000
_TOLD_FAULTS: Final = 50
_LISTS: Final = frozenset({"memberships", "dns", "email"})
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ALIAS: Final = "alias:"
_SOURCE: Final = "import"

F = TypeVar("F", DeviceForm, UserForm)
_Unit = Literal["line", "item"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something stands in a file, from 1; 0 is the file itself."""

    unit: _Unit
    number: int

    def __str__(self) -> str:
        return f"{self.unit} {self.number}" if self.number else "the file"


_FILE: Final = _Place("line", 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that cannot be read."""

    place: _Place
    field: str
    problem: str

    def __str__(self) -> str:
        # A file may call a field anything.
        return (
            f"{self.place}, {shown(self.field, 80)}: {self.problem}" if self.field else f"{self.place}: {self.problem}"
        )


class UnreadableError(Exception):
    """A file with faults: at most 50 of them are named."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class _Form(Generic[F]):
    """What a file's rows are."""

    name: Literal["devices", "users"]
    model: type[F]


_DEVICES: Final = _Form("devices", DeviceForm)
_USERS: Final = _Form("users", UserForm)


def read_devices(octets: bytes) -> tuple[ReportedDevice, ...]:
    """Read devices; the file's form is known by its first character. Raises `UnreadableError`."""
    return tuple(each.reported(_SOURCE) for each in _read(octets, _DEVICES))


def read_users(octets: bytes) -> tuple[ReportedUser, ...]:
    """The same of users."""
    return tuple(each.reported(_SOURCE) for each in _read(octets, _USERS))


def _read(octets: bytes, form: _Form[F]) -> list[F]:
    if len(octets) > MOST_OCTETS:
        raise UnreadableError([Fault(_FILE, "", f"it has more than {MOST_OCTETS} octets")])
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            [Fault(_Place("line", line), "", "it is not UTF-8: save the file in that encoding")]
        ) from None
    rows = _json_rows(text, form) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, form)
    return _judged(rows, form)


def _judged(rows: Iterable[tuple[_Place, dict[str, Any]]], form: _Form[F]) -> list[F]:
    found: list[F] = []
    faults: list[Fault] = []
    places: dict[str, _Place] = {}
    for place, row in rows:
        if len(found) >= MOST_ROWS:
            raise UnreadableError([Fault(place, "", f"more than {MOST_ROWS} {form.name}")])
        try:
            read = form.model.model_validate(row)
        except ValidationError as error:
            faults += [Fault(place, ".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        else:
            if read.id in places:
                faults.append(Fault(place, "id", f"it is that of {places[read.id]}, too"))
            places.setdefault(read.id, place)
            found.append(read)
        if len(faults) >= _TOLD_FAULTS:
            break
    if faults:
        raise UnreadableError(faults[:_TOLD_FAULTS])
    return found


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_rows(text: str, form: _Form[F]) -> Iterator[tuple[_Place, dict[str, Any]]]:
    try:
        read = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        place = _Place("line", getattr(error, "lineno", 0))
        raise UnreadableError([Fault(place, "", f"it is not JSON: {error}"[:200])]) from None
    rows = read.get(form.name) if isinstance(read, dict) else read
    if not isinstance(rows, list):
        raise UnreadableError([Fault(_FILE, form.name, "it has to be a list")])
    if isinstance(read, dict) and set(read) - {"devices", "users"}:
        odd = ", ".join(sorted(set(read) - {"devices", "users"}))
        raise UnreadableError([Fault(_FILE, odd, "there is no such part")])
    for number, row in enumerate(rows, 1):
        place = _Place("item", number)
        if not isinstance(row, dict):
            raise UnreadableError([Fault(place, "", "it has to be an object")])
        yield place, row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a name twice")
    return made


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


# --- CSV --------------------------------------------------------------------------------------------------------------


def _csv_rows(text: str, form: _Form[F]) -> Iterator[tuple[_Place, dict[str, Any]]]:
    first = text.partition("\n")[0]
    # A spreadsheet in a country of decimal commas separates by semicolons.
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(header, form)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problem = f"it has {len(cells)} cells, and the first line {len(header)}"
                raise UnreadableError([Fault(_Place("line", reader.line_num), "", problem)])
            yield _Place("line", reader.line_num), _cells(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise UnreadableError([Fault(_Place("line", reader.line_num), "", f"it is not CSV: {error}")]) from None


def _check_header(header: list[str], form: _Form[F]) -> None:
    first, known = _Place("line", 1), set(form.model.model_fields) - {"aliases"}
    odd = [name for name in header if name not in known and not (name.startswith(_ALIAS) and form is _DEVICES)]
    if odd:
        told = ", ".join(sorted(known))
        raise UnreadableError([Fault(first, name, f"there is no such column; there are {told}") for name in odd])
    if "id" not in header:
        raise UnreadableError([Fault(first, "id", "this column is missing")])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UnreadableError([Fault(first, name, "this column is there twice") for name in twice])


def _cells(row: dict[str, str]) -> dict[str, Any]:
    """Make of cells what JSON would have; an empty one was not said."""
    made: dict[str, Any] = {}
    aliases: dict[str, str] = {}
    for name, cell in row.items():
        text = cell.strip()
        if not text:
            continue
        if name.startswith(_ALIAS):
            aliases[name.removeprefix(_ALIAS)] = text
        else:
            made[name] = _READ.get(name, str)(text)
    return made | ({"aliases": aliases} if aliases else {})


def _several(text: str) -> list[str]:
    return [each.strip() for each in text.split("|") if each.strip()]


def _yes_or_no(text: str) -> bool | str:
    return _BOOLEANS.get(text.lower(), text)


_READ: Final[dict[str, Callable[[str], Any]]] = {
    **dict.fromkeys(_LISTS, _several),
    **dict.fromkeys(("managed", "enabled", "compliant", "lost", "licensed"), _yes_or_no),
    **dict.fromkeys(("platform", "pending", "risk"), str.lower),
}
