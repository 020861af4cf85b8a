"""The page docs/reference/commands.md, made from the commands themselves: `python tests/cli/commands_page.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperGroup

from regalia.cli.main import NOUNS, noun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.core import TyperCommand

__all__ = ["PAGE", "Found", "all_commands", "page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "commands.md"

_HEAD = """\
# Commands

One line per command. `-h` behind any of them shows its options and two examples.

Commands that have them: `--home DIR` names the home (else `REGALIA_HOME`, else the user's default), `--json` prints
JSON, `--yes` does not ask, `--dry-run` only says what would happen. Exit codes: 0 ok, 1 failed, 2 used in a way the
command does not understand, 3 found problems. An error goes to stderr with an id that has a page under
[errors](../errors/index.md).

| command | what it does |
| --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One command."""

    words: tuple[str, ...]
    """Noun and verb; only one word for a noun without verbs, three where a verb has verbs of its own."""
    command: TyperCommand


def all_commands() -> Iterator[Found]:
    """Walk the whole tree, nouns in the order of the help."""
    for name in NOUNS:
        command = noun(name)
        if isinstance(command, TyperGroup):
            for verb, inner in command.commands.items():
                if isinstance(inner, TyperGroup):
                    for last, innermost in inner.commands.items():
                        yield Found((name, verb, last), innermost)  # type: ignore[arg-type] # the same
                else:
                    yield Found((name, verb), inner)  # type: ignore[arg-type] # typer makes nothing else
        else:
            yield Found((name,), command)


def page() -> str:
    """Write the page as it is to be."""
    rows = []
    for found in all_commands():
        arguments = [
            piece
            for parameter in found.command.params
            if parameter.param_type_name == "argument"
            for piece in [parameter.metavar or parameter.name.upper()]
        ]
        first, _, _ = (found.command.help or "").partition("\n\n")
        words = " ".join(["regalia", *found.words, *arguments])
        rows.append(f"| `{words}` | {' '.join(first.split())} |\n")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
