"""Run the `console` blocks of a page as a reader would: one shell, one clean home, top to bottom.

A line that begins with `$ ` is a command; after a trailing backslash it goes on in the next line. The lines below it
are what it prints, stdout and stderr together: `...` alone stands for any lines, within a line for any text. A command
without expected lines may print what it likes. Each command must exit 0, unless the next one is `echo $?`, which shows
the code. A command that ends with ` &` runs on: the harness waits until it has printed what the page says.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Block", "Command", "PageError", "blocks", "commands", "home_for", "in_own_network", "matches", "run_page"]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w+-]*)")
_END = "regalia-docs-end-of-command"
COMMAND_SECONDS = 120
"""A command in a page that takes longer belongs into a `text` block."""


class PageError(AssertionError):
    """A page promises what does not happen."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    line: int
    """Of the opening fence, from 1."""
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a `console` block, with what the page says that it prints."""

    text: str
    line: int
    expected: tuple[str, ...]
    shows_failure: bool
    """The page shows its exit code next, so it need not be 0."""

    @property
    def in_background(self) -> bool:
        """Whether it runs on."""
        return self.text.endswith(" &")


def blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a page; a fence in a list may be indented."""
    found = []
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        inside = []
        for _, inner in lines:
            if inner.strip().startswith(opening["ticks"]) and set(inner.strip()) == {opening["ticks"][0]}:
                break
            inside.append(_dedent(inner, len(opening["indent"])))
        else:
            raise PageError(f"line {number}: the block is never closed")
        found.append(Block(opening["language"], number, tuple(inside)))
    return found


def _dedent(line: str, width: int) -> str:
    return line[width:] if line[:width].isspace() else line


def commands(text: str) -> list[Command]:
    """Read the commands of a page's `console` blocks, in order."""
    found: list[Command] = []
    for block in blocks(text):
        if block.language == "console":
            found += _read(block)
    shown = [command.text == "echo $?" for command in found[1:]] + [False]
    return [replace(command, shows_failure=shows) for command, shows in zip(found, shown, strict=False)]


def _read(block: Block) -> list[Command]:
    found: list[Command] = []
    text, start, expected = "", 0, list[str]()
    continued = False
    for number, line in enumerate(block.lines, start=block.line + 1):
        if continued:
            text += "\n" + line
        elif line.startswith("$ "):
            if text:
                found.append(_command(text, start, expected))
            text, start, expected = line[2:], number, []
        elif text:
            expected.append(line.rstrip())
            continue
        elif line.strip():
            raise PageError(f"line {number}: a console block begins with a command: {line!r}")
        continued = text.endswith("\\")
    return [*found, _command(text, start, expected)] if text else found


def _command(text: str, line: int, expected: list[str]) -> Command:
    while expected and not expected[-1]:
        expected.pop()  # an empty line before the fence is for the eye
    return Command(text.rstrip(), line, tuple(expected), shows_failure=False)


def matches(expected: tuple[str, ...], output: str) -> bool:
    """Whether the output is what the page says."""
    pattern = ""
    for line in expected:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, output.rstrip() + "\n" if output.strip() else "") is not None


@contextmanager
def home_for(root: Path, directory: Path) -> Iterator[dict[str, str]]:
    """Prepare a clean home in `directory` and yield its environment.

    `work` in it looks like a clone of `root`: each visible file and folder of it is a link, so `./regalia` works there
    and what a page writes stays there. `regalia` is on PATH too, as if installed.
    """
    home, work, programs = (directory / name for name in ("home", "work", "bin"))
    for path in (home, work, programs):
        path.mkdir()
    for entry in root.iterdir():
        if not entry.name.startswith("."):
            (work / entry.name).symlink_to(entry)
    (programs / "regalia").symlink_to(root / "regalia")
    yield {
        "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "PWD": str(work),
        "REGALIA_HOME": str(home / ".local" / "share" / "regalia"),
        "TMPDIR": str(directory),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "120",
    }


@cache
def in_own_network() -> tuple[str, ...]:
    """Return what to put before a command so that it has a loopback of its own; nothing where that is not permitted.

    There a page's default ports are free whatever else runs on this machine.
    """
    prefix = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")
    up = (*prefix, "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return ()
    permitted = subprocess.run([*up, "true"], check=False, capture_output=True).returncode == 0
    return up if permitted else ()


def run_page(page: Path, environment: dict[str, str]) -> list[Command]:
    """Run all commands of a page; raises PageError at the first that does not do what the page says."""
    found = commands(page.read_text(encoding="utf-8"))
    if found:
        with _shell(environment) as shell:
            for command in found:
                problem = shell.run(command)
                if problem:
                    raise PageError(f"{page.name}:{command.line}: $ {command.text}\n{problem}")
    return found


@dataclass
class _Shell:
    """One bash for a whole page, so that `cd`, `export` and background jobs go on from block to block."""

    process: subprocess.Popen[bytes]
    directory: Path
    jobs: int = 0
    _unread: bytes = field(default=b"", repr=False)

    def run(self, command: Command) -> str:
        """Run one command; what is wrong with it, or nothing."""
        if command.in_background:
            return self._start(command)
        output, status = self._execute(command.text)
        if status != 0 and not command.shows_failure:
            return f"exit code {status}, printed:\n{output}"
        if command.expected and not matches(command.expected, output):
            return _difference(command, output)
        return ""

    def _start(self, command: Command) -> str:
        self.jobs += 1
        log = self.directory / f"background-{self.jobs}.log"
        log.touch()
        self._execute(f"{command.text[:-2]} >{shlex.quote(str(log))} 2>&1 &")
        deadline = time.monotonic() + COMMAND_SECONDS
        expected = command.expected or ("...", "...")
        while time.monotonic() < deadline:
            output = log.read_text(encoding="utf-8", errors="replace")
            if output.endswith("\n") and matches(expected, output):
                return ""
            if self._execute("kill -0 $!")[1] != 0:
                break
            time.sleep(0.1)
        return "does not become ready\n" + _difference(command, log.read_text(encoding="utf-8", errors="replace"))

    def _execute(self, text: str) -> tuple[str, int]:
        """Return output and exit code. `$?` of the command before is kept for it; it reads nothing from stdin."""
        assert self.process.stdin is not None
        script = (
            f'(exit "${{_status:-0}}")\neval {shlex.quote(text)} </dev/null\n'
            f'_status=$?\nprintf "\\n%s %s\\n" {_END} "$_status"\n'
        )
        try:
            self.process.stdin.write(script.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            return "the shell has ended", 1
        return self._read_to_end()

    def _read_to_end(self) -> tuple[str, int]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + COMMAND_SECONDS
        end = re.compile(rb"\n" + _END.encode() + rb" (\d+)\n")
        while (found := end.search(self._unread)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return f"{self._take(len(self._unread))}\n(no end after {COMMAND_SECONDS} s)", 124
            octets = os.read(self.process.stdout.fileno(), 65536)
            if not octets:
                return f"{self._take(len(self._unread))}\n(the shell has ended)", 1
            self._unread += octets
        output = self._take(found.end())[: -len(found[0])]
        return output, int(found[1])

    def _take(self, count: int) -> str:
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken.decode(errors="replace")


@contextmanager
def _shell(environment: dict[str, str]) -> Iterator[_Shell]:
    work = Path(environment["PWD"])
    command = [*in_own_network(), "bash", "--noprofile", "--norc"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=work,
        env=environment,
        start_new_session=True,  # so that all that a page started can be ended with it
    ) as process:
        try:
            yield _Shell(process, work.parent)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the shell and what runs on in its session: asked first, so that a server can close its database."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
            process.poll()  # a zombie still counts as a member of the group
            time.sleep(0.1)


def _difference(command: Command, output: str) -> str:
    said = "\n".join(f"  | {line}" for line in command.expected)
    printed = "\n".join(f"  | {line}" for line in output.splitlines())
    return f"the page says:\n{said}\nit printed:\n{printed}"
