"""The page docs/reference/commands.md, made from the commands themselves: `python tests/cli/commands_page.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperGroup

from regalia.cli.main import NOUNS, noun
from regalia.cli.remote import LOCAL, PARTLY

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

`--server URL --token-file FILE`, anywhere among the arguments, has a command ask a server instead of a home on this
machine; so do `REGALIA_SERVER` and `REGALIA_TOKEN_FILE` in the environment. The file holds a token and nobody else may
read it. `--server-ca` (`REGALIA_SERVER_CA`) says whose certificate the server has: a PEM file, or `sha256:` and its
fingerprint. What acts on this machine is refused there with [API-015](../errors/API-015.md); it is
[listed below](#local-commands).

| command | what it does |
| --- | --- |
"""


_LOCAL = """
## Local commands

These act on the machine where they run; all others do the same against a server.

| command | why, or when |
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
    return _HEAD + "".join(rows) + _local()


def _local() -> str:
    lines = [f"| `regalia {' '.join(words)}` | it {why} |\n" for words, why in LOCAL.items()]
    lines += [f"| `regalia {' '.join(words)}` | {why} |\n" for words, why in PARTLY.items()]
    return _LOCAL + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
