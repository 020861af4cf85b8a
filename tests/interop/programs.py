"""Running foreign programs: what they printed is in the failure, and waiting is polling with an end."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["ProgramError", "run", "run_anyhow", "trusting", "wait_for"]

PROGRAM_SECONDS = 120
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
T = TypeVar("T")


class ProgramError(AssertionError):
    """A program did not do what the test needs of it."""


def run_anyhow(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, however that is; stderr is kept apart from stdout."""
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        cwd=directory,
        env=environment,
        input=stdin,
        timeout=PROGRAM_SECONDS,
    )


def run(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes = b"",
) -> bytes:
    """Run a program that must succeed; its stdout."""
    result = run_anyhow(*command, environment=environment, directory=directory, stdin=stdin)
    if result.returncode != 0:
        printed = (result.stdout + result.stderr).decode(errors="replace")
        raise ProgramError(f"{' '.join(map(str, command))}\nended with {result.returncode}:\n{printed}")
    return result.stdout


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """Look until there is something to see, several times a second. Where R13 names a bound, `seconds` is thrice it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen is not None:
            return seen
        if time.monotonic() > deadline:
            raise ProgramError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def trusting(roots: Path | None) -> tuple[str | Path, ...]:
    """Prefix that runs a command with another view of the machine's CA bundle; empty without `roots`, a PEM file.

    For programs that trust that one file under TLS and let nobody choose. It needs user namespaces, not root.
    """
    if roots is None:
        return ()
    # Within the inner namespace the user is who he was: D-Bus compares.
    script = f'mount --bind "$1" {_BUNDLE} && shift && exec "$@"'
    again = ("unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", roots, *again)
