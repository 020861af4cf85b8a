"""The supervisor of real processes: who starts, who is started again, and how all of it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interop.programs import wait_for
from regalia import reasons

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20
PROGRAM = Path(__file__).with_name("supervised.py")


class Running:
    """A supervisor that runs, and what it and its workers have told."""

    def __init__(self, process: subprocess.Popen[bytes], told: Path) -> None:
        self.process = process
        self._told = told

    def lines(self, beginning: str = "") -> list[str]:
        """Return the complete lines that begin so."""
        lines = self._told.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith(beginning)]

    def wait_for(self, beginning: str, count: int = 1) -> list[str]:
        """Wait until so many such lines were told."""
        return wait_for(
            f"{count} times {beginning!r}",
            lambda: lines if len(lines := self.lines(beginning)) >= count else None,
            seconds=SECONDS,
        )

    def worker(self, number: int) -> int:
        """Return the process id of the newest worker of this number."""
        return int(self.lines(f"worker {number} ")[-1].split()[2])

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(SECONDS)


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Running]:
    """Run the program; at the end nothing of it is left."""
    told = directory / "told"
    with told.open("ab") as stdout, subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=stdout) as process:
        try:
            yield Running(process, told)
        finally:
            process.kill()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Running]:
    """A supervisor with two workers that do as they should, all ready."""
    with running(tmp_path, "plain") as started:
        started.wait_for("ready")
        yield started


def is_gone(process: int) -> bool:
    """Whether a process that is not our child has ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_all_workers_start_and_end(plain: Running) -> None:
    """It is ready once, when every worker is; told to stop, it ends after the last of them, with 0."""
    assert sorted(line[:8] for line in plain.lines("worker")) == ["worker 0", "worker 1"]
    assert plain.stop() == 0
    assert plain.lines("ready") == ["ready"]
    assert plain.lines("stop") == ["stop"]
    assert sorted(plain.lines("end")) == ["end 0", "end 1"]


@pytest.fixture
def processors() -> Iterator[list[int]]:
    """The processors that programs started here may use: two, where there are two."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    yield sorted(before)[:2]
    os.sched_setaffinity(0, before)


def test_one_worker_for_each_processor_stays_on_its_own(tmp_path: Path, processors: list[int]) -> None:
    """With as many workers as processors each keeps to one, also who takes another's place; the signer to none."""
    with running(tmp_path, "signing", str(len(processors))) as started:
        started.wait_for("ready")
        assert [os.sched_getaffinity(started.worker(number)) for number in range(len(processors))] == [
            {processor} for processor in processors
        ]
        assert os.sched_getaffinity(signer_of(started)) == set(processors)
        os.kill(started.worker(0), signal.SIGKILL)
        started.wait_for("worker 0 ", 2)
        assert os.sched_getaffinity(started.worker(0)) == {processors[0]}
        assert started.stop() == 0


def test_another_number_of_workers_goes_where_there_is_room(tmp_path: Path, processors: list[int]) -> None:
    """With more workers than processors none is kept to one."""
    with running(tmp_path, "plain", str(len(processors) + 1)) as started:
        started.wait_for("ready")
        for number in range(len(processors) + 1):
            assert os.sched_getaffinity(started.worker(number)) == set(processors)
        assert started.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_worker_that_died_is_replaced(plain: Running, number: signal.Signals) -> None:
    """Another worker takes the number of one that was killed, or that somebody ended; the others go on."""
    first, other = plain.worker(1), plain.worker(0)
    os.kill(first, number)
    plain.wait_for("worker 1 ", 2)
    assert plain.worker(1) != first
    assert plain.worker(0) == other
    assert plain.lines("ready") == ["ready"]
    assert plain.stop() == 0


def test_workers_end_when_their_supervisor_is_killed(plain: Running) -> None:
    """A supervisor that was killed leaves nobody behind who keeps the port."""
    workers = [plain.worker(0), plain.worker(1)]
    plain.process.kill()
    plain.process.wait(SECONDS)
    plain.wait_for("end", 2)
    wait_for("the workers' end", lambda: all(map(is_gone, workers)) or None, seconds=SECONDS)


def test_a_hangup_is_passed_on(plain: Running) -> None:
    """SIGHUP, which has files read anew, reaches every worker."""
    plain.process.send_signal(signal.SIGHUP)
    assert sorted(plain.wait_for("look", 2)) == ["look 0", "look 1"]
    assert plain.stop() == 0


def test_a_worker_that_cannot_start_ends_all_with_its_reason(tmp_path: Path) -> None:
    """What keeps a worker from its first start is raised where `serve` was called, after the others have ended."""
    with running(tmp_path, "refused") as refused:
        assert refused.process.wait(SECONDS) == 7
        assert refused.lines("ADM-010") == [f"{reasons.MASTER_KEY_REFUSED}: “not yours”"]
        assert len(refused.lines("end 0")) == len(refused.lines("worker 0"))
        assert refused.lines("ready") == []


def test_a_worker_that_keeps_dying_is_started_at_a_measured_pace(tmp_path: Path) -> None:
    """A worker that dies as soon as it starts takes no processor of its own: the pauses grow to two seconds."""
    with running(tmp_path, "dying") as dying:
        dying.wait_for("worker 1 ", 3)
        begun = time.monotonic()
        before = len(dying.lines("worker 1 "))
        time.sleep(2)
        assert len(dying.lines("worker 1 ")) - before <= 2 * (time.monotonic() - begun)
        assert dying.stop() == 0


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """Whoever does not end within the patience is killed, and the exit code says that it went wrong."""
    with running(tmp_path, "stubborn") as stubborn:
        stubborn.wait_for("ready")
        workers = [stubborn.worker(0), stubborn.worker(1)]
        assert stubborn.stop() == 1
        assert all(map(is_gone, workers))


def test_a_worker_that_fails_at_its_end_is_told(tmp_path: Path) -> None:
    """A bug of a worker while it ends is not hidden behind exit code 0."""
    with running(tmp_path, "bug-at-end") as failing:
        failing.wait_for("ready")
        assert failing.stop() == 1


@pytest.fixture
def signing(tmp_path: Path) -> Iterator[Running]:
    """A supervisor with a signer and two workers, all ready."""
    with running(tmp_path, "signing") as started:
        started.wait_for("ready")
        yield started


def signer_of(started: Running) -> int:
    """Return the process id of the newest signer."""
    return int(started.lines("signer ")[-1].split()[2])


def test_a_signer_starts_first_and_ends_last(signing: Running) -> None:
    """What the workers finish at their end may need a signature (R10)."""
    started = [line for line in signing.lines() if "-started" in line]
    assert ["signer-started" in line for line in started] == [True, False, False]
    assert signing.stop() == 0
    ended = signing.lines("end ")
    assert sorted(ended[:2]) == ["end 0", "end 1"]
    assert ended[2:] == ["end -1"]


def test_a_signer_that_dies_is_replaced_and_the_workers_stay(signing: Running) -> None:
    """Another signer is there within moments, each time; no worker is touched, and the end is as ever."""
    workers = [signing.worker(0), signing.worker(1)]
    for deaths in range(1, 4):
        os.kill(signer_of(signing), signal.SIGKILL)
        signing.wait_for("signer ", deaths + 1)
    assert [signing.worker(0), signing.worker(1)] == workers
    assert signing.stop() == 0
    assert is_gone(signer_of(signing))


def test_a_signer_ends_with_its_supervisor(signing: Running) -> None:
    """A supervisor that is killed leaves no process with CA keys behind."""
    signer = signer_of(signing)
    signing.process.kill()
    signing.process.wait(SECONDS)
    wait_for("the signer's end", lambda: is_gone(signer) or None, seconds=SECONDS)
