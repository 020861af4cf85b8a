"""Opening and closing a home."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memory_store import MemoryStore
from regalia import reasons
from regalia.app import build
from regalia.config import load_config
from regalia.errors import UnavailableError
from regalia.model import Denied
from regalia.ra.refusals import Refusals, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from regalia.model import EventDraft


pytestmark = pytest.mark.real


class AwayStore(MemoryStore):
    """A store that cannot be reached."""

    def record(self, events: Sequence[EventDraft]) -> None:
        """Be unreachable."""
        raise UnavailableError(reasons.STORE_UNAVAILABLE, f"{len(events)} events")


def test_a_home_whose_database_is_away_is_closed_all_the_same(tmp_path: Path) -> None:
    """RES-7: what is counted cannot be written, and everything else ends in order."""
    home = tmp_path / "home"
    command = (sys.executable, "-P", "-m", "regalia", "init", "--home", str(home), "--url", "http://pki.example.test")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    refusals = Refusals(AwayStore(), per_minute=0)
    app = replace(build(load_config({}, home=home)), refusals=refusals)
    refusals.record(Refused(app.clock.now(), "192.0.2.1", "default", Denied(reasons.OPERATION_REFUSED)))
    app.close()
    with pytest.raises(UnavailableError):
        app.store.check()
    with pytest.raises(UnavailableError):
        refusals.flush(app.clock.now())
