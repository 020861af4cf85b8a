"""`./regalia docs [--site DIR] [--pictures]`: the documentation as a site; it loads nothing from outside."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["build"]

ROOT = Path(__file__).resolve().parent.parent


def build(site: Path) -> int:
    """Build into `site`; a broken link or a page outside the navigation is an error. Returns the exit code."""
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement, printed into every build
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode


def take_pictures() -> int:
    """Take the pictures of the console anew: a browser test does it. Returns the exit code."""
    environment = {**os.environ, "REGALIA_PICTURES": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "tests/interop/test_pictures.py"]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment).returncode


def _main() -> int:
    parser = argparse.ArgumentParser(prog="./regalia docs", description="Build the documentation.")
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="where to (default: site/)")
    parser.add_argument("--pictures", action="store_true", help="take the pictures of the console anew, first")
    given = parser.parse_args()
    site: Path = given.site
    status = take_pictures() if given.pictures else 0
    status = status or build(site)
    if status == 0:
        print(f"docs: open {site}/index.html")
    return status


if __name__ == "__main__":
    sys.exit(_main())
