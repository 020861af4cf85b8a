"""A program for `test_sqlite_disk.py`: what a store says of a disk that fills up. It has to run where it may mount."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tools.faults.disk import mounted

from fakes import FakeClock
from regalia.errors import UnavailableError
from regalia.store import open_store
from regalia.store.migrations import upgrade

LOOKED = 40
"""Writes until the log was lengthened."""


def main() -> None:
    """Print what a small write and a probe end in: with room, on a full disk, after it was given room again."""
    with tempfile.TemporaryDirectory() as place, mounted(Path(place) / "disk", 48) as disk:
        url = f"sqlite:///{disk.path}/regalia.db"
        upgrade(url)
        store = open_store(url, node="node", clock=FakeClock())
        now = datetime.now(UTC)

        def ends() -> list[str]:
            found = []
            for attempt in (lambda: store.lease("small", "node", now, now), lambda: store.probe(now)):
                try:
                    attempt()
                    found.append("")
                except UnavailableError as error:
                    found.append(str(error))
            return found

        for _ in range(LOOKED):
            store.lease("small", "node", now, now)
        told = [ends()]
        disk.fill()
        told.append(ends())
        disk.free()
        told.append(ends())
        store.close()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
