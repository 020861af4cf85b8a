"""Results that are kept: one JSON file a subject, committed with the code that they were taken of."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROOT", "SUBJECTS", "commit", "save", "saved"]

ROOT: Final = Path(__file__).resolve().parents[2]
SUBJECTS: Final = ("scep", "growth", "lists", "console", "fleet", "pressure", "ocsp", "crl", "start")
_DIRECTORY: Final = Path(__file__).resolve().parent / "results"


def save(subject: str, document: str) -> Path:
    """Write the JSON of one run; returns the file."""
    _DIRECTORY.mkdir(exist_ok=True)
    file = _DIRECTORY / f"{subject}.json"
    file.write_text(document + "\n", encoding="utf-8")
    return file


def saved() -> Mapping[str, Mapping[str, Any]]:
    """Read what is kept, by subject."""
    files = {subject: _DIRECTORY / f"{subject}.json" for subject in SUBJECTS}
    return {subject: json.loads(file.read_text(encoding="utf-8")) for subject, file in files.items() if file.exists()}


def commit() -> str:
    """Name the commit that was measured, with `+` where the code differs from it; `unknown` outside of a clone."""
    # What was measured before in the same run is kept already, and is no code.
    code = ("src", "tools", "requirements", ":!tools/*/results")
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *code)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
