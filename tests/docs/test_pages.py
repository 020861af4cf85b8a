"""README and docs do what they say: every `console` block runs, and what does not run is listed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.console import blocks, home_for, run_page

ROOT = Path(__file__).resolve().parents[2]
RUN = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
READ = [
    *RUN,
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()),
]
SHELLS = {"bash", "sh", "shell", "zsh", "shell-session"}

NOT_RUN: dict[str, tuple[str, ...]] = {
    "CONTRIBUTING.md": (
        "./regalia test",
        "./regalia test --unit",
        "./regalia test tests/wire -k scep",
        "./regalia lint",
        "./regalia docs",
        "./regalia demo",
        "UV='.tools/uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header'",
        "$UV pyproject.toml -o requirements/base.lock",
        "$UV --extra dev pyproject.toml -o requirements/dev.lock",
        "echo 'uv==NEW' | $UV --no-annotate - -o requirements/uv.lock",
    ),
}
"""The commands in `text` blocks, by page: those that cannot run within a test (the test run itself, apt, long runs)."""


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", RUN, ids=_name)
def test_each_console_block_runs(page: Path, tmp_path: Path) -> None:
    """A newcomer who types what a page shows sees what the page shows."""
    with home_for(ROOT, tmp_path) as environment:
        run_page(page, environment)


def test_commands_that_do_not_run_are_listed() -> None:
    """A command outside a `console` block stands in the list above, so that each one was meant."""
    found = {_name(page): _commands_outside_console(page) for page in READ}
    assert {name: lines for name, lines in found.items() if lines} == NOT_RUN


def _commands_outside_console(page: Path) -> tuple[str, ...]:
    outside = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language != "console"]
    lines = [(block, line) for block in outside for line in block.lines if line.startswith("$ ")]
    assert {block.language for block, _ in lines} <= {"text"}, f"{_name(page)}: use console or text for commands"
    return tuple(line[2:] for _, line in lines)


@pytest.mark.parametrize("page", READ, ids=_name)
def test_no_block_is_a_script(page: Path) -> None:
    """No block is written for a shell in a way that no test would see."""
    languages = {block.language for block in blocks(page.read_text(encoding="utf-8"))}
    assert languages & SHELLS == set(), "use console (it runs) or text (it is listed)"
