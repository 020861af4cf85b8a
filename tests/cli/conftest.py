"""A home as `init` leaves it, made once and copied for each test."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from cli.scene import Scene
from cli.transcript import regalia

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://pki.example.test:8080"


@pytest.fixture(scope="session")
def fresh_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home by the product's own `init`."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    ran = regalia(["init", "--home", str(home), "--url", URL])
    assert ran.status == 0, ran.output
    return home


@pytest.fixture
def scene(fresh_home: Path, tmp_path: Path) -> Iterator[Scene]:
    """Set the stage for one test."""
    home, work = tmp_path / "home", tmp_path / "desk"
    shutil.copytree(fresh_home, home)
    home.chmod(0o700)
    work.mkdir()
    made = Scene(home, work)
    yield made
    made.close()
