"""The one way to print: aligned text for people, JSON for programs.

Text is never wrapped, so that it can be piped and searched. What came from a device or a person may hold anything:
characters that a terminal would act on are shown as escapes. Times are UTC, serials lower-case hexadecimal.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO
from uuid import UUID

from regalia.errors import InvariantError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from regalia.model import JsonValue
    from regalia.verbs.verb import Page, R, Record

__all__ = [
    "Style",
    "clean",
    "note",
    "paint",
    "plain",
    "print_answer",
    "print_json",
    "print_page",
    "print_record",
    "print_table",
    "say",
    "utc",
    "warn",
]

_NOTHING: Final = "-"
_NARROWEST: Final = 20
"""Characters of a column that is cut: fewer would tell nothing."""


class Style(StrEnum):
    """How a word is stressed on a terminal; what it says never depends on it."""

    GOOD = "32"
    DOUBTFUL = "33"
    BAD = "1;31"


def paint(text: str, style: Style, stream: TextIO) -> str:
    """Stress a word where the stream is a terminal and nobody asked for plain text (NO_COLOR)."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Show what a terminal would act on, or would not show, as an escape."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def utc(at: datetime, timespec: str = "seconds") -> str:
    """Write a time as `2026-03-01T09:00:00Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def plain(value: object) -> JsonValue:
    """Turn a value of the model into what JSON knows."""
    match value:
        case IntEnum():
            return value.name.lower().replace("_", "-")
        case Enum():
            return str(value.value)
        case None | bool() | int() | str():
            return value
        case datetime():
            return utc(value)
        case bytes():
            return value.hex()
        case dict():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    if isinstance(value, Path | UUID):
        return str(value)
    raise InvariantError(f"nothing prints a {type(value).__name__}")


# --- for programs ---------------------------------------------------------------------------------------------------


def print_json(value: object, *, one_line: bool = False) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(plain(value), indent=None if one_line else 2) + "\n")


# --- for people -----------------------------------------------------------------------------------------------------


def say(text: str = "") -> None:
    """Print one line."""
    sys.stdout.write(clean(text) + "\n")


def note(text: str, *, title: str = "", style: Style = Style.DOUBTFUL) -> None:
    """Tell people something beside the result, on stderr; the title is stressed."""
    sys.stdout.flush()  # what was printed before it stands before it, also where both go into one pipe
    beginning = f"{paint(title, style, sys.stderr)}: " if title else ""
    sys.stderr.write(f"{beginning}{clean(text)}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Warn people on stderr."""
    note(text, title="Warning")


def _words(value: JsonValue) -> list[str]:
    """Say a value in words, a line each."""
    if value is None or value in ("", [], {}):
        return [_NOTHING]
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, list):
        return [" ".join(_words(inner)) for inner in value]
    if isinstance(value, dict):
        return [f"{key}={' '.join(_words(inner))}" for key, inner in value.items()]
    return [clean(line) for line in str(value).splitlines()]


_WRITTEN: Final = {
    "ca": "CA",
    "crl": "CRL",
    "dns": "DNS",
    "id": "ID",
    "ndes": "NDES",
    "ocsp": "OCSP",
    "ra": "RA",
    "rsa": "RSA",
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sid": "SID",
    "upn": "UPN",
    "url": "URL",
}


def _label(key: str) -> str:
    return " ".join(_WRITTEN.get(word, word) for word in key.split("_"))


def print_record(record: Mapping[str, object], *, as_json: bool) -> None:
    """Print one object: a line for each field, more for a list."""
    if as_json:
        print_json(dict(record))
        return
    width = max(len(_label(key)) for key in record)
    for key, value in record.items():
        label = f"{_label(key)}:"
        for line in _words(plain(value)):
            sys.stdout.write(f"{label:<{width + 1}}  {line}\n")
            label = ""


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def print_table(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    *,
    as_json: bool,
    empty: str = "None.",
    width: int | None = None,
) -> None:
    """Print a list: for people these columns, for programs all that each row has.

    `empty` says why nothing is there and what to do about it. The last column is cut where a line has more than
    `width` characters: for what strangers may make as long as they like.
    """
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        say(empty)
        return
    cells = [[_label(column).upper() for column in columns]]
    cells += [[", ".join(_words(plain(row[column]))) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    if width is not None:
        left = max(_NARROWEST, width - sum(widths[:-1]) - len("  ") * (len(widths) - 1))
        cells = [[*line[:-1], _cut(line[-1], left)] for line in cells]
    for line in cells:
        padded = (f"{text:<{width}}" for text, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


# --- what verbs give ------------------------------------------------------------------------------------------------


def print_answer(record: Record, *, as_json: bool, without: Sequence[str] = ()) -> None:
    """Print what a verb gave: for programs exactly what the API has; for people `without` what is told otherwise."""
    print_record(record.model_dump(mode="json", exclude=None if as_json else set(without)), as_json=as_json)


def print_page(
    page: Page[R], columns: Sequence[str], *, as_json: bool, empty: str = "None.", width: int | None = None
) -> None:
    """Print a list that a verb gave; for programs its items."""
    rows = [item.model_dump(mode="json") for item in page.items]
    print_table(rows, columns, as_json=as_json, empty=empty, width=width)
