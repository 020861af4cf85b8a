"""Every transcript, played against the real thing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.far import far_home
from cli.transcript import commands_in, goes_far, play

if TYPE_CHECKING:
    from cli.scene import Scene

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
FAR = [path for path in TRANSCRIPTS if any(map(goes_far, commands_in(path.read_text(encoding="utf-8"))))]
"""Those in which some command reaches its home through verbs."""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_commands_do_what_the_transcript_says(path: Path, scene: Scene) -> None:
    """A person who types what the transcript shows sees what the transcript shows."""
    play(path, scene)


@pytest.mark.parametrize("path", FAR, ids=lambda path: path.stem)
def test_commands_do_the_same_through_the_api(path: Path, scene: Scene) -> None:
    """Against a server each command prints what it prints on the server itself, and ends with the same exit code."""
    play(path, scene, far_home)
