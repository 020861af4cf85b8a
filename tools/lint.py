"""`./regalia lint`: ruff, ruff format, mypy and the layer contracts; all of them run, whatever the first one finds."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["lint"]

# Through `python -m`, because the scripts in .venv/bin begin with an absolute path, which a space in it would break.
_CHECKS = {
    "ruff check": ["-m", "ruff", "check"],
    "ruff format": ["-m", "ruff", "format", "--check"],
    "mypy": ["-m", "mypy"],
    "layer contracts": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}


def lint() -> list[str]:
    """Run each check; the names of those that found something."""
    failed = []
    for name, arguments in _CHECKS.items():
        print(f"lint: {name}", flush=True)
        if subprocess.run([sys.executable, *arguments], check=False).returncode != 0:
            failed.append(name)
    return failed


def _main() -> int:
    failed = lint()
    print(f"lint: found something: {', '.join(failed)}" if failed else "lint: nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main())
