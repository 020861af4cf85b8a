"""Printing: for people and for programs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from regalia.cli.output import Style, clean, note, paint, plain, print_json, print_record, print_table, utc, warn
from regalia.errors import InvariantError
from regalia.model import KeyKind, RevocationReason

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 3, 1, 10, 0, 0, 250_000, timezone(timedelta(hours=1)))


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_times_are_utc() -> None:
    """A time is written in UTC, whatever zone it came in."""
    assert utc(AT) == "2026-03-01T09:00:00Z"
    assert utc(AT, "milliseconds") == "2026-03-01T09:00:00.250Z"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        ("text", "text"),
        (KeyKind.P256, "p-256"),
        (RevocationReason.KEY_COMPROMISE, "key-compromise"),
        (datetime(2026, 3, 1, 9, tzinfo=UTC), "2026-03-01T09:00:00Z"),
        (b"\x00\xff", "00ff"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, {"a": b"\x01"}), [1, {"a": "01"}]),
    ],
)
def test_values_of_the_model_become_json(value: object, expected: object) -> None:
    """Each kind of value that commands print has one form in JSON."""
    assert plain(value) == expected


def test_an_unknown_kind_of_value_is_a_bug() -> None:
    """Nothing is printed by its Python representation."""
    with pytest.raises(InvariantError):
        plain(object())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 日本", "Zoë 日本"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb", "a\\nb"),
        ("\u202egpj", "\\u202egpj"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    """A device's text cannot move the cursor, colour the screen or turn words around (IN-8)."""
    assert clean(text) == shown


def test_a_table_is_aligned_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns line up, long values stay on their line, and nothing trails."""
    rows: Sequence[dict[str, object]] = [
        {"name": "a", "names": ["x" * 300, "y"], "other": 1},
        {"name": "longer", "names": [], "other": 2},
    ]
    print_table(rows, ("name", "names"), as_json=False)
    head, first, second = capsys.readouterr().out.splitlines()
    assert head == "NAME    NAMES"
    assert first == f"a       {'x' * 300}, y"
    assert second == "longer  -"


def test_a_table_may_be_cut_to_a_width(capsys: pytest.CaptureFixture[str]) -> None:
    """The last column of a table with a width is cut, visibly, but never to less than 20 characters."""
    rows: Sequence[dict[str, object]] = [{"name": "a", "asked": "x" * 300}, {"name": "b", "asked": "cn:b"}]
    print_table(rows, ("name", "asked"), as_json=False, width=40)
    assert capsys.readouterr().out.splitlines() == ["NAME  ASKED", f"a     {'x' * 33}…", "b     cn:b"]
    print_table([{"name": "n" * 50, "asked": "x" * 300}], ("name", "asked"), as_json=False, width=40)
    assert capsys.readouterr().out.splitlines()[1] == f"{'n' * 50}  {'x' * 19}…"


def test_a_table_for_programs_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has what the columns leave out; an empty list is an empty list."""
    print_table([{"name": "a", "other": 1}], ("name",), as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "other": 1}]
    print_table([], ("name",), as_json=True, empty="None yet.")
    assert json.loads(capsys.readouterr().out) == []


def test_an_empty_table_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """People read why nothing is there."""
    print_table([], ("name",), as_json=False, empty="None yet. Make one.")
    assert capsys.readouterr().out == "None yet. Make one.\n"


def test_a_record_has_a_line_for_each_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Labels line up, and a list takes a line for each of its members."""
    record = {"id": 1, "key_sha256": b"\x01", "names": ["cn:a", "dns:b"], "remark": None, "on": False}
    print_record(record, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "ID:           1",
        "key SHA-256:  01",
        "names:        cn:a",
        "              dns:b",
        "remark:       -",
        "on:           no",
    ]


def test_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream of objects has one on each line."""
    print_json({"a": [1, 2]}, one_line=True)
    assert capsys.readouterr().out == '{"a": [1, 2]}\n'


def test_remarks_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands beside the result is not in its way."""
    note("by the way\x07")
    warn("careful")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "by the way\\x07\nWarning: careful\n"


def test_colour_needs_a_terminal() -> None:
    """A word is coloured on a terminal alone."""
    assert paint("ok", Style.GOOD, io.StringIO()) == "ok"
    assert paint("ok", Style.GOOD, Terminal()) in {"ok", "\x1b[32mok\x1b[0m"}
