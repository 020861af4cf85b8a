"""`./regalia fuzz [--seconds 600] [--target NAME …] [--keep] [--save FILE]`: coverage-guided fuzzing of the readers.

Each target starts from its kept corpus and gets an equal share of the time. A finding ends its target: the octets are
kept in `tests/fuzz/findings`, the exit code is 1. `--keep` adds the inputs that reached something new to the corpus,
as few as reach it all. `--save` appends what the run came to, with command and date, to a file. Where there is no
atheris, the same targets read blind mutations.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from regalia.wire import oids
from regalia.wire.der import oid
from tools.fuzz.blind import blind
from tools.fuzz.targets import TARGETS

__all__ = ["CORPUS", "Ran", "fuzz", "keep"]

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FINDINGS = ROOT / "tests" / "fuzz" / "findings"
WORKER = (sys.executable, "-m", "tools.fuzz.worker")
MAX_OCTETS = 16_384
"""Of an input. What is longer meets no other code, and costs."""
HANGS_SECONDS = 60
"""When libFuzzer ends an input by the clock. What is merely slow the worker finds, by the CPU that it takes."""
_DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ran:
    """What fuzzing one target came to."""

    target: str
    seconds: int
    executions: int
    """How many inputs were read."""
    coverage: int
    """Edges of our code that they reached; 0 where nobody counted them."""
    corpus: int
    """Inputs that each reached something of their own."""
    finding: str
    """The end of libFuzzer's report where something was found; empty where nothing was."""

    def __str__(self) -> str:
        told = (
            f"{self.executions} inputs in {self.seconds} s, {self.coverage} edges, {self.corpus} inputs worth keeping"
        )
        return f"{self.target}: {told}" + (f"; FOUND\n{self.finding}" if self.finding else "; clean")


def fuzz(target: str, seconds: int, found: Path | None = None) -> Ran:
    """Fuzz one target from its kept corpus; put inputs that reach something new into `found`."""
    if find_spec("atheris") is None:
        executions, finding = blind(target, seconds, CORPUS / target, MAX_OCTETS)
        return Ran(target, seconds, executions, 0, 0, finding)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-fuzz-")))
        fresh = found or scratch / "new"
        fresh.mkdir(exist_ok=True)
        words = scratch / "words"
        words.write_text(_dictionary(), encoding="ascii")
        ended = _worker(
            target,
            f"-max_total_time={seconds}",
            f"-max_len={MAX_OCTETS}",
            f"-timeout={HANGS_SECONDS}",
            "-rss_limit_mb=1024",
            f"-dict={words}",
            f"-artifact_prefix={scratch / target}-",
            str(fresh),
            str(CORPUS / target),
        )
        for file in scratch.glob(f"{target}-*"):
            FINDINGS.mkdir(exist_ok=True)
            shutil.copy(file, FINDINGS)
    counted = _DONE.search(ended.stderr)
    executions, coverage, _, corpus = map(int, counted.groups()) if counted else (0, 0, 0, 0)
    finding = "" if ended.returncode == 0 and counted else ended.stderr[-3000:]
    return Ran(target, seconds, executions, coverage, corpus, finding)


def keep(target: str, found: Path) -> int:
    """Make the kept corpus of what it holds and what was found, the fewest that reach all of it; how many they are."""
    with tempfile.TemporaryDirectory(prefix="regalia-fuzz-") as directory:
        merged = Path(directory) / "merged"
        merged.mkdir()
        kept = CORPUS / target
        kept.mkdir(parents=True, exist_ok=True)
        ended = _worker(target, "-merge=1", f"-max_len={MAX_OCTETS}", str(merged), str(kept), str(found))
        if ended.returncode:
            raise RuntimeError(ended.stderr[-3000:])
        for file in kept.iterdir():
            file.unlink()
        for file in merged.iterdir():
            (kept / file.name).write_bytes(file.read_bytes())
        return len(list(kept.iterdir()))


def _worker(target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WORKER, target, *arguments], cwd=ROOT, check=False, capture_output=True, text=True, errors="replace"
    )


def _dictionary() -> str:
    """Object identifiers as libFuzzer's dictionary writes octets: it will not guess nine right ones by itself."""
    known = {value for name, value in vars(oids).items() if name.isupper() and isinstance(value, str)}
    words = [oid(value) for value in sorted(known) if re.fullmatch(r"[0-2](\.\d+)+", value)]
    return "".join('"' + "".join(f"\\x{octet:02x}" for octet in word) + '"\n' for word in words)


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./regalia fuzz", description="Coverage-guided fuzzing of the readers.")
    parser.add_argument("--seconds", type=int, default=600, help="in all, shared by the targets")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--keep", action="store_true", help="add what reached something new to the kept corpus")
    parser.add_argument("--save", type=Path, help="append what the run came to, to this file")
    given = parser.parse_args(arguments)
    targets = given.target or list(TARGETS)
    lines = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {shlex.join(['./regalia', 'fuzz', *arguments])}"]
    failed = False
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="regalia-fuzz-") as directory:
            ran = fuzz(target, max(given.seconds // len(targets), 1), Path(directory))
            lines.append(str(ran))
            print(ran, flush=True)
            failed = failed or bool(ran.finding)
            if given.keep:
                lines.append(f"{target}: {keep(target, Path(directory))} inputs kept")
                print(lines[-1], flush=True)
    if given.save:
        with given.save.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
