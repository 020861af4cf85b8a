"""The harness that runs documented commands, on small pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.console import PageError, blocks, commands, home_for, in_own_network, matches, run_page

ROOT = Path(__file__).resolve().parents[2]


def _run(directory: Path, text: str) -> int:
    page = directory / "page.md"
    page.write_text(text, encoding="utf-8")
    with home_for(ROOT, directory) as environment:
        return len(run_page(page, environment))


def test_blocks_are_found_with_their_language_and_line() -> None:
    """Fenced blocks are found, in lists too, and other text is not."""
    found = blocks("A\n\n1. B\n\n    ```console\n    $ true\n    ```\n\n~~~toml\na = 1\n~~~\n")
    assert [(block.language, block.line, block.lines) for block in found] == [
        ("console", 5, ("$ true",)),
        ("toml", 9, ("a = 1",)),
    ]


def test_an_open_block_is_an_error() -> None:
    """A block that is never closed is named with its line."""
    with pytest.raises(PageError, match="line 2"):
        blocks("A\n```console\n$ true\n")


def test_commands_have_their_output_and_may_go_on_in_the_next_line() -> None:
    """A command ends at its line unless a backslash stands there; what follows is its output."""
    found = commands("```console\n$ echo a \\\n    b\na b\n\n$ false\n$ echo $?\n1\n```\n")
    assert [(command.text, command.expected, command.shows_failure) for command in found] == [
        ("echo a \\\n    b", ("a b",), False),
        ("false", (), True),
        ("echo $?", ("1",), False),
    ]


def test_a_page_without_commands_is_fine(tmp_path: Path) -> None:
    """A page may have nothing to run."""
    assert _run(tmp_path, "# Title\n\n```toml\na = 1\n```\n") == 0


def test_a_block_begins_with_a_command() -> None:
    """Output without a command is a mistake of the page."""
    with pytest.raises(PageError, match="begins with a command"):
        commands("```console\nhello\n```\n")


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (("a",), "a\n", True),
        (("a",), "a\nb\n", False),
        (("a", "..."), "a\nb\nc\n", True),
        (("a", "..."), "a\n", True),
        (("...", "c"), "a\nb\nc\n", True),
        (("serial ... of ca",), "serial 07 of ca\n", True),
        (("serial ... of ca",), "serial 07\n of ca\n", False),
        (("a.b",), "axb\n", False),
        (("...",), "", True),
        (("a",), "", False),
    ],
)
def test_dots_stand_for_anything(expected: tuple[str, ...], output: str, same: bool) -> None:  # noqa: FBT001 - a table
    """Three dots alone stand for any lines, within a line for any text, and all else for itself."""
    assert matches(expected, output) is same


def test_a_true_page_passes_in_one_shell(tmp_path: Path) -> None:
    """Blocks share directory and variables, and exit codes can be shown."""
    text = (
        "```console\n$ mkdir d && cd d\n$ export X=1\n```\nthen\n"
        "```console\n$ pwd; echo $X\n.../d\n1\n$ (exit 3)\n$ echo $?\n3\n```\n"
    )
    assert _run(tmp_path, text) == 5


def test_another_output_fails_the_page(tmp_path: Path) -> None:
    """What is printed must be what the page says, and the failure shows both."""
    with pytest.raises(PageError, match=r"page.md:2: \$ echo b\n(?s:.*)\| a\n(?s:.*)\| b"):
        _run(tmp_path, "```console\n$ echo b\na\n```\n")


def test_an_exit_code_that_is_not_shown_fails_the_page(tmp_path: Path) -> None:
    """A command that fails where the page does not say so stops it."""
    with pytest.raises(PageError, match="exit code 1"):
        _run(tmp_path, "```console\n$ false\n$ echo never\n```\n")


def test_a_shell_that_ends_fails_the_page(tmp_path: Path) -> None:
    """A page cannot end its own shell and pass."""
    with pytest.raises(PageError, match="the shell has ended"):
        _run(tmp_path, "```console\n$ exit 0\n$ echo never\n```\n")


def test_a_command_reads_nothing(tmp_path: Path) -> None:
    """A command that asks a question gets no answer instead of the page's next command."""
    assert _run(tmp_path, "```console\n$ cat; echo read nothing\nread nothing\n$ echo next\nnext\n```\n") == 2


def test_a_background_command_is_awaited_and_ended(tmp_path: Path) -> None:
    """A command with an ampersand is ready when it printed what the page says, and does not outlive the page."""
    server = "sh -c 'sleep 0.5; echo ready; echo $$ >../pid; exec sleep 1000' &"
    assert _run(tmp_path, f"```console\n$ {server}\nready\n$ cat ../pid\n...\n```\n") == 2
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()


def test_a_background_command_that_ends_early_fails_the_page(tmp_path: Path) -> None:
    """A server that does not come up stops the page at once and shows what it said."""
    with pytest.raises(PageError, match=r"does not become ready(?s:.*)no port"):
        _run(tmp_path, "```console\n$ sh -c 'echo no port; exit 1' &\nready\n```\n")


def test_the_home_is_clean_and_looks_like_a_clone(tmp_path: Path) -> None:
    """`./regalia` and `regalia` are there; HOME and REGALIA_HOME are empty and the page's own."""
    there = "$ test -x ./regalia && command -v regalia\n.../bin/regalia\n"
    empty = '$ test -z "$(ls -A ~)" && test ! -e $REGALIA_HOME\n'
    text = f"```console\n{there}{empty}```\n"
    assert _run(tmp_path, text) == 2


def test_a_page_has_its_own_network_where_permitted(tmp_path: Path) -> None:
    """Where a network namespace can be made, only its own loopback is in it, and it is up."""
    links = 1 if in_own_network() else len(list(Path("/sys/class/net").iterdir()))
    text = f"```console\n$ ip -oneline link | wc -l\n{links}\n$ ip -oneline link show lo | grep -c UP\n1\n```\n"
    assert _run(tmp_path, text) == 2
