"""The wrapper `./regalia`: what it passes on, and when it sets up; the set-up itself is a stand-in here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOLD = "#!/bin/sh\npwd\nprintf '%s\\n' \"$@\"\n"
SET_UP = """
import sys
print("set-up for", sys.argv[1], file=sys.stderr)
open(sys.argv[0] + ".stamp", "w").write(sys.argv[2])
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in a path with a space, whose Python prints where it runs and its arguments."""
    root = tmp_path / "a clone"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "tools").mkdir()
    (root / "tools" / "environment.py").write_text(SET_UP)
    shutil.copy(ROOT / "regalia", root)
    shutil.copytree(ROOT / "requirements", root / "requirements")
    python = root / ".venv" / "bin" / "python"
    python.write_text(TOLD)
    python.chmod(0o755)
    return root


def _run(program: Path, *arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run(
        ["/bin/sh", program, *arguments], cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )


def _set_up(clone: Path, need: str) -> None:
    """Run the wrapper once, and keep the stamp that it asks for."""
    _run(clone / "regalia", "lint" if need == "dev" else "version", cwd=clone)
    shutil.move(clone / "tools" / "environment.py.stamp", clone / ".venv" / "regalia-stamp")


def test_product_verbs_run_where_the_user_stands(clone: Path, tmp_path: Path) -> None:
    """Arguments arrive as given, in the user's directory, from which nothing is imported; stdout is the product's."""
    _set_up(clone, "base")
    result = _run(clone / "regalia", "cert", "a b", "", cwd=tmp_path)
    assert result.stdout.splitlines() == [str(tmp_path), "-P", "-m", "regalia", "cert", "a b", ""]
    assert result.stderr == ""


def test_a_link_to_the_wrapper_works(clone: Path, tmp_path: Path) -> None:
    """A link in a directory on PATH finds the clone that it points into."""
    _set_up(clone, "base")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "regalia").symlink_to(Path("..") / "a clone" / "regalia")
    assert "-m\nregalia\nversion\n" in _run(tmp_path / "bin" / "regalia", "version", cwd=tmp_path).stdout


def test_repository_verbs_run_in_the_clone(clone: Path, tmp_path: Path) -> None:
    """A repository verb is its program in tools/, run at the root of the clone."""
    _set_up(clone, "dev")
    result = _run(clone / "regalia", "test", "--unit", cwd=tmp_path)
    assert result.stdout.splitlines() == [str(clone), "-m", "tools.test", "--unit"]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("have", "verb", "says"),
    [
        ("dev", "version", ""),
        ("dev", "lint", ""),
        ("base", "version", ""),
        ("base", "demo", ""),
        ("base", "lint", "set-up for dev\n"),
        ("base", "bench", "set-up for dev\n"),
        ("base", "faults", "set-up for dev\n"),
    ],
)
def test_a_larger_environment_serves_the_smaller_need(clone: Path, have: str, verb: str, says: str) -> None:
    """What is set up for the tests serves the product too; the reverse is set up anew."""
    _set_up(clone, have)
    assert _run(clone / "regalia", verb, cwd=clone).stderr == says


def test_a_changed_lock_is_set_up(clone: Path) -> None:
    """After an update of the clone the environment follows."""
    _set_up(clone, "base")
    with (clone / "requirements" / "base.lock").open("a") as lock:
        lock.write("# changed\n")
    assert _run(clone / "regalia", "version", cwd=clone).stderr == "set-up for base\n"


def test_a_moved_clone_is_set_up(clone: Path, tmp_path: Path) -> None:
    """An environment holds its own path, so it does not survive a move."""
    _set_up(clone, "base")
    moved = clone.rename(tmp_path / "elsewhere")
    assert _run(moved / "regalia", "version", cwd=moved).stderr == "set-up for base\n"


def test_without_python_it_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    """A machine without Python 3.11 is told so, and what to do."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "cksum", "dirname", "readlink"):
        (programs / name).symlink_to(shutil.which(name) or "")
    result = _run(clone / "regalia", "version", cwd=clone, path=str(programs))
    assert result.returncode == 1
    assert "no Python 3.11 or newer" in result.stderr
    assert "apt-get install python3" in result.stderr


def test_a_set_up_that_fails_ends_it(clone: Path) -> None:
    """Nothing runs in an environment that could not be set up."""
    (clone / "tools" / "environment.py").write_text("raise SystemExit(1)\n")
    result = _run(clone / "regalia", "version", cwd=clone)
    assert (result.returncode, result.stdout) == (1, "")
