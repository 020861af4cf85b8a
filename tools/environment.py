"""Make `.venv` hold exactly what a lock names. Run by `./regalia` with the system's Python: standard library only.

`environment.py base|dev STAMP` writes STAMP into `.venv/regalia-stamp` when everything is in place; the wrapper
compares it before each run. uv is fetched into `.tools`, because Debian's Python refuses a plain `pip install` and may
lack venv; where uv cannot be had or cannot install (a registry that only pip knows), venv and pip do the same.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
STAMP = VENV / "regalia-stamp"
UV_LOCK = ROOT / "requirements" / "uv.lock"

ENVIRONMENT = {
    **os.environ,
    "UV_SYSTEM_CERTS": "1",  # a proxy's certificate stands in the system's store, not in uv's own
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_PROGRESS": "1",
    "PIP_USER": "0",  # a user's pip.conf may ask for either; both contradict --target
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


def main(arguments: list[str]) -> int:
    """Set up for `base` or `dev`; 0 when it is as the stamp says."""
    need, stamp = arguments
    try:
        with _alone():
            # What is set up for `dev` serves `base` too: who waited here must not take the tests' packages away.
            if _read(STAMP) in (stamp, f"dev{stamp.removeprefix(need)}") and _works():
                return 0  # another run was faster
            print("regalia: setting up the Python packages in .venv, once", file=sys.stderr, flush=True)
            STAMP.unlink(missing_ok=True)
            if not _install(ROOT / "requirements" / f"{need}.lock"):
                return 1
            _make_importable()
            _write(STAMP, stamp)
    except OSError as error:
        print(f"regalia: cannot set up {VENV}: {error.strerror or error} ({error.filename})", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of the set-up; a second run waits, and a run that dies lets go of it."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "setup.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(lock: Path) -> bool:
    uv = _uv()
    if uv is not None and _install_with_uv(uv, lock):
        return True
    print("regalia: uv is not to be had here or could not install; trying venv and pip", file=sys.stderr)
    return _install_with_pip(lock)


def _uv() -> str | None:
    """Return the pinned uv, fetched where it is missing; else one that is on PATH; else nothing."""
    home = TOOLS / "uv"
    pinned = home / "bin" / "uv"
    if pinned.exists() and _read(home / "lock") == _read(UV_LOCK):
        return str(pinned)
    shutil.rmtree(home, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    if _run(*pip, "--target", str(home), "--requirement", str(UV_LOCK)) and pinned.exists():
        _write(home / "lock", _read(UV_LOCK))
        return str(pinned)
    return shutil.which("uv")


def _install_with_uv(uv: str, lock: Path) -> bool:
    # A .venv that works is kept and corrected: a server may be running from it.
    if not _works() and not _run(
        uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(VENV)
    ):
        return False
    # Compiled now, as pip does: whoever runs the server later may have no right to write here, and would compile anew
    # at each start.
    sync = (uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes")
    return _run(*sync, "--python", str(VENV / "bin" / "python"), str(lock))


def _install_with_pip(lock: Path) -> bool:
    if not _run(sys.executable, "-m", "venv", "--clear", str(VENV)):
        print("regalia: Python's venv is missing too; on Debian: apt-get install python3-venv", file=sys.stderr)
        return False
    pip = (str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes")
    return _run(*pip, "--requirement", str(lock))


def _make_importable() -> None:
    """Name our source in the environment: nothing is built, and an edit counts at once."""
    version = subprocess.run(
        [VENV / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    _write(Path(version.stdout.strip()) / "regalia.pth", f"{ROOT / 'src'}\n")


def _works() -> bool:
    """Whether the environment has a Python that runs: it may be a link to one that was removed."""
    python = VENV / "bin" / "python"
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    return python.exists() and subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0


def _run(*command: str) -> bool:
    # Output goes to stderr: the product's stdout may be read by a program.
    return subprocess.run(command, check=False, env=ENVIRONMENT, stdout=sys.stderr, cwd=ROOT).returncode == 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip("\n") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
