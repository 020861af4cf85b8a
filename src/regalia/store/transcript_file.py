"""The transcript of a home that is a root's: a file beside its database, only ever appended to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.transcript import read_transcript, text_of_line, written_line
from regalia.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from regalia.ca.transcript import Line
    from regalia.model import Actor
    from regalia.ports import Clock

__all__ = ["TRANSCRIPT_FILE", "HomeTranscript", "append_lines", "transcript_of"]

TRANSCRIPT_FILE = "transcript.txt"


def transcript_of(path: Path) -> tuple[Line, ...]:
    """Read and verify a transcript. Raises `AdminError` ADM-020 where it cannot be read, ADM-036."""
    try:
        return read_transcript(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise AdminError(reasons.TRANSCRIPT_BROKEN, f"{path} is no text") from error
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error


def append_lines(path: Path, whats: Iterable[str], *, at: datetime, who: str) -> tuple[Line, ...]:
    """Append lines durably, after what is there was verified; make the file where there is none."""
    lines = transcript_of(path) if path.exists() else ()
    fresh: list[Line] = []
    for what in whats:
        fresh.append(written_line(fresh[-1] if fresh else lines[-1] if lines else None, at=at, who=who, what=what))
    try:
        with path.open("a", encoding="utf-8") as file:
            if lines and not _ends_a_line(path):
                file.write("\n")  # a crash left the last line without its end
            file.writelines(f"{text_of_line(line)}\n" for line in fresh)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AdminError(reasons.FILE_REFUSED, f"{path}: {error.strerror}") from error
    return tuple(fresh)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


class HomeTranscript:
    """See `ports.Transcript`."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._path = home / TRANSCRIPT_FILE
        self._clock = clock

    def note(self, actor: Actor, what: str) -> None:
        """Append a line, if the home keeps a transcript."""
        if self._path.exists():
            append_lines(self._path, (what,), at=self._clock.now(), who=actor.id)
