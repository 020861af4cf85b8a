"""Transcripts: what a person types and what the program answers, run in order against the real thing.

    $ regalia ca show root           a command; below it what it prints, line by line
    ! Error ADM-004: ...             a line that goes to stderr begins with "! "
    [exit 1]                         its exit code, where that is not 0
    % device enrols {secret} cn=a    something that happens meanwhile, by a real part of the product: see `Scene`
    # a remark

In what is expected, `...` stands for any text within a line, and alone for any lines. `{name}` takes the word that
stands there the first time, and stands for it from then on, in later commands too. Two spaces stand for two or more.
`> FILE` and `< FILE` at the end of a command are the shell's. A command runs within this process, from its arguments to
its exit code; one that ends with ` &` runs as a process of its own until the transcript ends, and must first have
printed what is expected.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from cli.scene import DIRECTIVES, Scene
from regalia import reasons
from regalia.cli.main import main
from regalia.cli.remote import PARTLY, is_local, towards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from regalia.verbs import Door

    FarHome = Callable[[Path], AbstractContextManager[Door]]

__all__ = ["Ran", "Step", "TranscriptError", "commands_in", "goes_far", "play", "regalia", "steps"]

_EXIT = re.compile(r"\[exit (\d+)\]")
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=.*", re.DOTALL)


class TranscriptError(AssertionError):
    """The program does not do what the transcript says."""


@dataclass(slots=True)
class Step:
    """One command or happening, and what is expected of it."""

    line: int
    kind: str
    text: str
    attached: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    status: int = 0


def steps(text: str) -> list[Step]:
    """Read a transcript."""
    found: list[Step] = []
    for number, line in enumerate(text.splitlines(), start=1):
        ended = _EXIT.fullmatch(line)
        if line.startswith("#"):
            continue
        if line.startswith(("$ ", "% ")):
            found.append(Step(number, line[0], line[2:]))
        elif not found:
            if line:
                raise TranscriptError(f"line {number}: a transcript begins with a command: {line!r}")
        elif ended is not None:
            found[-1].status = int(ended[1])
        elif line.startswith("| "):
            found[-1].attached.append(line[2:])
        else:
            found[-1].expected.append(line.rstrip())
    for step in found:
        while step.expected and not step.expected[-1]:
            step.expected.pop()  # empty lines between commands are for the eye
    return found


def commands_in(text: str) -> list[list[str]]:
    """List the arguments of each `regalia` command of a transcript."""
    return [_parsed(step.text.removesuffix(" &"))[1] for step in steps(text) if step.kind == "$"]


# --- running --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    status: int
    output: str
    """stdout and stderr in their order, a line of stderr begins with `! `."""


class _Sink(io.RawIOBase):
    """One of the two streams, writing into a list that both share."""

    def __init__(self, chunks: list[tuple[bool, bytes]], *, is_error: bool) -> None:
        self._chunks = chunks
        self._is_error = is_error

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, octets: object) -> int:
        """Keep what is written."""
        assert isinstance(octets, bytes | bytearray | memoryview)
        self._chunks.append((self._is_error, bytes(octets)))
        return len(octets)


def _stream(chunks: list[tuple[bool, bytes]], *, is_error: bool) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(_Sink(chunks, is_error=is_error))
    return io.TextIOWrapper(buffered, encoding="utf-8", line_buffering=True)


def regalia(arguments: list[str], *, stdin: bytes = b"", stdout: Path | None = None) -> Ran:
    """Run the program within this process: only the standard streams are ours."""
    chunks: list[tuple[bool, bytes]] = []
    out, error = _stream(chunks, is_error=False), _stream(chunks, is_error=True)
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"), out, error
    try:
        status = main(arguments)
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        # `serve` and `signer` set up the log of their process, which here is that of all tests.
        structlog.reset_defaults()
        out.flush()
        error.flush()
    if stdout is not None:
        stdout.write_bytes(b"".join(octets for is_error, octets in chunks if not is_error))
        chunks = [(is_error, octets) for is_error, octets in chunks if is_error]
    return Ran(status, _told(chunks))


def _told(chunks: list[tuple[bool, bytes]]) -> str:
    lines = [
        ("! " if is_error else "") + line
        for is_error, octets in chunks
        for line in octets.decode("utf-8", "replace").splitlines()
    ]
    return "".join(f"{line}\n" for line in lines)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Give the program its environment: settings of the product come from a transcript alone."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("REGALIA_", "CREDENTIALS_"))]:
        del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def play(path: Path, scene: Scene, far: FarHome | None = None) -> None:
    """Run a transcript from top to bottom; raises `TranscriptError` at the first step that goes another way.

    With `far` each command that is not one of this machine's asks the home through a server's API.
    """
    names: dict[str, str] = {}
    for step in steps(path.read_text(encoding="utf-8")):
        text = _filled(step.text, names, path, step)
        if step.kind == "$":
            ran = _command(text, scene, len(step.expected), far)
        else:
            ran = Ran(0, _happening(text, step, scene))
        expected = [line for line in step.expected if line or len(step.expected) > 1]
        if ran.status != step.status or not _matches(expected, ran.output, names):
            said = "\n".join([*step.expected, f"[exit {step.status}]"])
            raise TranscriptError(
                f"{path.name}:{step.line}: {step.kind} {text}\n--- it says\n{said}\n"
                f"--- it was\n{ran.output}[exit {ran.status}]"
            )


def _filled(text: str, names: dict[str, str], path: Path, step: Step) -> str:
    try:
        return _NAME.sub(lambda found: names[found[1]], text)
    except KeyError as missing:
        raise TranscriptError(f"{path.name}:{step.line}: nothing was called {missing}") from None


def _parsed(text: str) -> tuple[dict[str, str], list[str], str | None, str | None]:
    """Split a command into assignments, arguments, and the files that it reads from and writes to."""
    words = shlex.split(text)
    values = {}
    while words and _ASSIGNMENT.fullmatch(words[0]):
        name, _, value = words.pop(0).partition("=")
        values[name] = value
    if not words or words.pop(0) != "regalia":
        raise TranscriptError(f"a command is one of regalia: {text}")
    files: dict[str, str] = {}
    while len(words) > 1 and words[-2] in "<>":
        files[words[-2]] = words[-1]
        del words[-2:]
    return values, words, files.get("<"), files.get(">")


def _command(text: str, scene: Scene, lines: int, far: FarHome | None = None) -> Ran:
    values, arguments, source, target = _parsed(text.removesuffix(" &"))
    base = {"REGALIA_HOME": str(scene.home), "NO_COLOR": "1"}
    if text.endswith(" &"):
        with _environment(base | values):
            return Ran(0, scene.start(arguments, lines))
    with contextlib.chdir(scene.work), _environment(base | values):
        stdin = Path(source).read_bytes() if source is not None else b""
        far_away = far is not None and goes_far(arguments)
        home, words = _named_home(arguments, scene.home) if far_away else (scene.home, arguments)
        with towards(partial(far, home) if far is not None and far_away else None):
            ran = regalia(words, stdin=stdin, stdout=Path(target) if target is not None else None)
        if far is not None and _is_partly_local(arguments) and reasons.API_LOCAL_ONLY.id in ran.output:
            return regalia(arguments, stdin=stdin, stdout=Path(target) if target is not None else None)
        return ran


def _is_partly_local(arguments: list[str]) -> bool:
    """Whether a command acts on this machine in some of its uses."""
    return any(tuple(arguments[: len(words)]) == words for words in PARTLY)


def goes_far(arguments: list[str]) -> bool:
    """Whether a command reaches its home through verbs: it is not local, and names nothing that lies here."""
    return is_local(arguments) is None and "--root-key" not in arguments


def _named_home(arguments: list[str], home: Path) -> tuple[Path, list[str]]:
    """Take a home out of the arguments: it is the server's then."""
    if "--home" not in arguments:
        return home, arguments
    place = arguments.index("--home")
    return Path(arguments[place + 1]).absolute(), [*arguments[:place], *arguments[place + 2 :]]


def _happening(text: str, step: Step, scene: Scene) -> str:
    for words, directive in DIRECTIVES.items():
        if text == words or text.startswith(f"{words} "):
            with contextlib.chdir(scene.work), _environment({}):
                return directive(scene, shlex.split(text.removeprefix(words)), step.attached)
    raise TranscriptError(f"line {step.line}: nothing of that kind happens: {text}")


def _matches(expected: list[str], output: str, names: dict[str, str]) -> bool:
    """Compare, and on success remember the words that were named."""
    pattern, groups = "", set[str]()
    for line in expected:
        pattern += r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line, names, groups) + r"[ \t]*\n"
    found = re.fullmatch(pattern, output)
    if found is None:
        return False
    names |= found.groupdict()
    return True


def _line_pattern(line: str, names: dict[str, str], groups: set[str]) -> str:
    pattern = ""
    for part in re.split(r"(\.\.\.|\{[a-z][a-z0-9_]*\})", line):
        if part == "...":
            pattern += ".*"
        elif (named := _NAME.fullmatch(part)) is None:
            pattern += re.sub(r"(\\ ){2,}", " {2,}", re.escape(part))
        elif named[1] in names:
            pattern += re.escape(names[named[1]])
        elif named[1] in groups:
            pattern += f"(?P={named[1]})"
        else:
            groups.add(named[1])
            pattern += rf'(?P<{named[1]}>[^\s",]+)'
    return pattern
