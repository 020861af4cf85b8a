"""Commands that are mentioned in the text exist: noun, verb and options, as the program has them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.core import TyperGroup

from docs.console import blocks
from regalia.cli.main import NOUNS, noun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.core import TyperCommand

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SPAN = re.compile(r"`(?:\./)?regalia ([^`]+)`")
FILE_NAMES = re.compile(r"^\$ (?:\./)?regalia (.+?)(?:\s[&|>].*)?$")
REPOSITORY = {"bench", "docs", "faults", "lint", "test"}
"""Verbs of the wrapper in the source tree, not of the program."""


def _mentioned(page: Path) -> Iterator[str]:
    """Yield what follows `regalia` in code within the text, and in blocks that do not run."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(text):
        if block.language == "text":
            yield from (found[1] for line in block.lines if (found := FILE_NAMES.match(line)))
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (found.replace("\n", " ") for found in SPAN.findall(outside))


def _problem(words: list[str]) -> str:
    """Say what is wrong with a command line, or nothing."""
    if words[0] in REPOSITORY or words[0].startswith("-"):
        return ""
    if words[0] not in NOUNS:
        return f"there is no {words[0]}"
    command: TyperCommand | TyperGroup = noun(words[0])
    rest = words[1:]
    if isinstance(command, TyperGroup):
        if not rest or rest[0].startswith("-"):
            return ""
        if rest[0] not in command.commands:
            return f"{words[0]} has no {rest[0]}"
        found = command.commands[rest[0]]
        rest = rest[1:]
    else:
        found = command
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known | {"-h", "-"}]
    return f"no option {', '.join(wrong)}" if wrong else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_mentioned_command_exists(page: Path) -> None:
    """A reader who types what the text mentions is not told that there is no such command or option."""
    problems = {line: _problem(shlex.split(line)) for line in _mentioned(page)}
    assert {line: problem for line, problem in problems.items() if problem} == {}
