"""The shape of the tree, as tests: layers, sizes, registers that are complete, and what must not stand in a file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from regalia.model import Action
from regalia.reasons import ALL as REASONS

if TYPE_CHECKING:
    from regalia.errors import Reason

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "regalia"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
PACKAGES = [path for path in MODULES if path.name == "__init__.py"]

LONGEST_MODULE = 600
LONG_FUNCTION = 30
AUTHORISERS = {"ra/evidence.py"}
"""MSG-1: whoever has no Authorisation is issued nothing, so it is made in as few places as can be."""

FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md")
KEPT_OUT = {
    ".git",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tools",
    ".venv",
    "__pycache__",
    "dist",
    "site",
}
"""What .gitignore names: made by the tools, no part of the tree."""
TEXT = {".cfg", ".css", ".html", ".ini", ".js", ".json", ".lock", ".mako", ".md", ".py", ".sh", ".toml", ".txt", ".yml"}
MACHINE_PATH = re.compile(r"(?<![\w.$~}])/(?:work|root|home|Users)/(?!\.\.\.)")
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error")))


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _texts() -> list[Path]:
    found = [path for path in ROOT.rglob("*") if not KEPT_OUT.intersection(path.relative_to(ROOT).parts)]
    named = {ROOT / "regalia", ROOT / ".ci" / "run", ROOT / "LICENSE"}
    return sorted(path for path in found if path.is_file() and (path.suffix in TEXT or path in named))


def test_layers() -> None:
    """Each room imports only what lies below it (R12)."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_each_room_says_what_it_is_for(package: Path) -> None:
    """A package opens with a docstring."""
    assert ast.get_docstring(_tree(package))


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_each_module_says_what_it_is_for_and_offers(module: Path) -> None:
    """A module has a docstring and lists its public names."""
    tree = _tree(module)
    assert ast.get_docstring(tree), "no docstring"
    assigned = {target.id for node in ast.walk(tree) for target in _targets(node)}
    has_something = any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign) for node in tree.body)
    exempt = module.name in {"__init__.py", "__main__.py"} or not has_something
    assert exempt or "__all__" in assigned, "no __all__"


def _targets(node: ast.AST) -> list[ast.Name]:
    if isinstance(node, ast.Assign):
        return [target for target in node.targets if isinstance(target, ast.Name)]
    return [node.target] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def test_modules_are_short() -> None:
    """No module has more than 600 lines (R12)."""
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_functions_are_short() -> None:
    """Nine functions in ten have at most 30 lines, docstring aside (R12)."""
    lengths = {
        f"{_name(path)}:{node.lineno} {node.name}": _lines(node) for path in MODULES for node in _functions(path)
    }
    long = {name: lines for name, lines in lengths.items() if lines > LONG_FUNCTION}
    assert len(long) * 10 <= len(lengths), f"{len(long)} of {len(lengths)} are longer: {long}"


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = function.body[0] if ast.get_docstring(function) else None
    spoken = (docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - spoken


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_only_authorisers_authorise(module: Path) -> None:
    """An Authorisation is constructed by the modules that weigh evidence, and nowhere else (MSG-1)."""
    tree = _tree(module)
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Authorisation"
    }
    calls = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _makes(node.func, aliases)]
    assert calls == [] or _name(module) in AUTHORISERS, f"constructs an Authorisation in lines {calls}"


def _makes(function: ast.expr, aliases: set[str]) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == "Authorisation"
    return isinstance(function, ast.Name) and function.id in aliases | {"Authorisation"}


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.id)
def test_each_reason_has_its_page(reason: Reason) -> None:
    """An error id leads to docs/errors/ID.md, whose heading is the id and the title."""
    page = ROOT / "docs" / "errors" / f"{reason.id}.md"
    assert page.is_file(), f"docs/errors/{reason.id}.md is missing; it begins: # {reason}"
    assert page.read_text(encoding="utf-8").splitlines()[0] == f"# {reason}"


def test_no_page_without_its_reason() -> None:
    """No page in docs/errors explains an id that the product does not know."""
    pages = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")} - {"index"}
    assert pages - {reason.id for reason in REASONS} == set()


def test_reasons_are_told_apart() -> None:
    """No two reasons share an id."""
    assert len({reason.id for reason in REASONS}) == len(REASONS)


def test_each_action_is_documented() -> None:
    """Each action of the event log has a row in docs/reference/events.md, and no row is left over."""
    page = ROOT / "docs" / "reference" / "events.md"
    rows = re.findall(r"^\| `([a-z.-]+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(Action)


def test_no_text_names_a_machine_or_is_unfinished() -> None:
    """No file holds a path of the machine that it was written on, or a note of what is still to do."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in _texts()}
    found = {name: MACHINE_PATH.findall(text) + UNFINISHED.findall(text) for name, text in texts.items()}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_locks_name_no_registry(lock: Path) -> None:
    """A lock holds names, versions and hashes, and no address: it serves whatever registry its reader has."""
    text = lock.read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert not re.search(r"://|index-url|find-links", text)


def test_change_notes_have_a_kind() -> None:
    """A change note is named after its change and its kind, as changes.d/README.md says."""
    names = {path.name for path in (ROOT / "changes.d").iterdir()} - {"README.md"}
    assert [name for name in sorted(names) if not FRAGMENT.fullmatch(name)] == []
