"""The program as a process: what only a real one shows."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from cli.transcript import regalia

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.scene import Scene

PROGRAM = [sys.executable, "-m", "regalia"]
HELP_SECONDS = 0.5
PATIENCE = 60


def _environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGALIA_", "NO_COLOR", "TERM"))}
    return {**kept, "REGALIA_HOME": str(home), "TERM": "xterm", **more}


def _run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], env=_environment(home), check=False, capture_output=True, text=True, timeout=PATIENCE
    )


def test_a_process_keeps_stdout_and_stderr_apart(scene: Scene) -> None:
    """The result goes to stdout, errors to stderr, and the exit code tells how it went."""
    fine = _run(scene.home, "group", "list", "--json")
    assert (fine.returncode, fine.stderr) == (0, "")
    assert fine.stdout.startswith("[")
    wrong = _run(scene.home, "group", "show", "nobody")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("Error ADM-004: there is no such object\n")


def test_help_answers_at_once(scene: Scene, record_property: Callable[[str, object], None]) -> None:
    """`regalia --help` imports no noun, and is there within three times its budget of 0.5 s."""
    seconds = []
    for _ in range(3):
        begun = time.monotonic()
        assert _run(scene.home, "--help").returncode == 0
        seconds.append(time.monotonic() - begun)
    best = min(seconds)
    record_property("help_seconds", round(best, 3))
    sys.stdout.write(f"regalia --help: {best:.2f} s, budget {HELP_SECONDS} s\n")
    assert best < 3 * HELP_SECONDS


def test_help_imports_no_noun(scene: Scene) -> None:
    """Neither the database driver nor the cryptography is loaded to list the nouns."""
    heavy = ["sqlalchemy", "cryptography", "regalia.app", "regalia.cli.ca"]
    script = (
        "import sys; from regalia.cli.main import main; main(['--help']); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], env=_environment(scene.home), check=True, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_error(scene: Scene) -> None:
    """Whoever reads only the first line gets it, and no complaint."""
    with subprocess.Popen(
        [*PROGRAM, "event", "tail", "--json", "--limit", "100000"],
        env=_environment(scene.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 1


def test_following_goes_on_until_interrupted(scene: Scene) -> None:
    """`event tail --follow` prints what happens in another process, each event once, and ends quietly with Ctrl-C."""
    with subprocess.Popen(
        [*PROGRAM, "event", "tail", "--follow", "--action", "challenge.created", "--json"],
        env=_environment(scene.home, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for device in ("a", "b"):
            made = regalia(["challenge", "create", "--home", str(scene.home), "--endpoint", "default", "--cn", device])
            assert made.status == 0
            assert select.select([process.stdout], [], [], PATIENCE)[0]
            assert f'"cn:{device}"'.encode() in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""


# --- on a terminal --------------------------------------------------------------------------------------------------


def _on_terminal(home: Path, arguments: list[str], answer: bytes = b"", **more: str) -> tuple[int, str]:
    """Run the program with a terminal as stdin, stdout and stderr, and type an answer when it asks."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *arguments], env=_environment(home, **more), stdin=follower, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        seen = b""
        while select.select([leader], [], [], PATIENCE)[0]:
            try:
                octets = os.read(leader, 4096)
            except OSError:  # Linux says EIO when the other end is gone
                break
            if not octets:
                break
            seen += octets
            if answer and seen.rstrip().endswith(b"[y/N]:"):
                os.write(leader, answer)
                answer = b""
        os.close(leader)
        return process.wait(PATIENCE), seen.decode().replace("\r\n", "\n")


def test_whoever_says_no_changes_nothing(scene: Scene) -> None:
    """On a terminal the program says what will happen and asks; anything but yes ends it with 1 and nothing done."""
    arguments = ["endpoint", "disable", "default"]
    status, seen = _on_terminal(scene.home, arguments, b"n\n")
    assert status == 1
    assert "This will close http://pki.example.test:8080/scep/default for good" in seen
    assert '"enabled": true' in _run(scene.home, "endpoint", "show", "default", "--json").stdout


def test_whoever_says_yes_is_obeyed(scene: Scene) -> None:
    """A typed yes does it."""
    status, _ = _on_terminal(scene.home, ["endpoint", "disable", "default"], b"y\n")
    assert status == 0
    assert '"enabled": false' in _run(scene.home, "endpoint", "show", "default", "--json").stdout


def test_colour_is_for_terminals(scene: Scene) -> None:
    """Errors are coloured on a terminal, not with NO_COLOR, and never in a pipe; the words are the same."""
    arguments = ["group", "show", "nobody"]
    _, coloured = _on_terminal(scene.home, arguments)
    _, bare = _on_terminal(scene.home, arguments, NO_COLOR="1")
    assert "\x1b[" in coloured
    assert "\x1b[" not in bare
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == bare
    assert _run(scene.home, *arguments).stderr == bare
