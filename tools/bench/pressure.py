"""Under pressure: hundreds of enrolments in flight beside OCSP, and good requests beside a flood of bad ones."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.bench.crowd import pack, unpack
from tools.bench.devices import Server, garbage, judge, make_devices
from tools.bench.homes import door_of, make_home, opened, requests, served
from tools.bench.kept import ROOT
from tools.bench.measure import VoidRunError, median
from tools.bench.ocsp import http_question
from tools.bench.report import Bound, Budget, Figure, Report
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from tools.bench.devices import Device, Sent
    from tools.bench.homes import Home

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_PATH: Final = "/scep/default?operation=PKIOperation"
_OCSP_BUDGET: Final = Budget(Bound.AT_MOST, 50.0)
_KEPT_BUDGET: Final = Budget(Bound.AT_LEAST, 0.8)
_RATE: Final = 200
_STRANGER: Final = "127.0.0.2"
_NAMED: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_METHOD: Final = """\
In flight: so many connections, each with an enrolment that waits for its answer all the time, from a client at
nice 10; beside them one that asks OCSP 200 times a second, at times fixed beforehand, and that runs above everybody
else, so that its wall time is the server's and not that of its own turn. Requests are made beforehand, each answer is
opened and verified afterwards. The queue and the connections of one address are raised for it in the settings.
Flood: four connections that enrol, alone and beside so many from another address whose messages cannot be decrypted;
product defaults, so that after a hundred of them in a minute the flood is answered 429. Rates in wall time; the median
of the passes, each with both in turn."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    in_flight: int
    enrolments: int
    flood: int
    """Connections of the flood."""
    passes: int
    good: int
    """Enrolments of each half of a pass."""


FULL: Final = Sizes(in_flight=500, enrolments=1_500, flood=16, passes=5, good=300)
QUICK: Final = Sizes(in_flight=100, enrolments=300, flood=16, passes=3, good=100)
LEAST: Final = Sizes(in_flight=5, enrolments=10, flood=2, passes=1, good=4)


def measure(sizes: Sizes) -> Report:
    """Measure both on both databases. Raises `VoidRunError` where an answer is wrong, missing or doubled."""
    devices = make_devices(max(sizes.enrolments, 2 * sizes.passes * sizes.good) + 1)
    figures: list[Figure] = []
    verified = 0
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-bench-")))
        postgres = stack.enter_context(running_cluster())
        for database, named in _NAMED.items():
            for measured in (_in_flight, _flooded):
                url = postgres.create(measured.__name__) if database == "postgresql" else None
                home = make_home(directory / f"{measured.__name__}-{database}", url)
                found, answered = measured(home, devices, sizes, named)
                figures += found
                verified += answered
    settings = {
        "in_flight": sizes.in_flight,
        "enrolments": sizes.enrolments,
        "flood": sizes.flood,
        "passes": sizes.passes,
    }
    return Report("pressure", figures, verified, _METHOD, settings)


# --- in flight --------------------------------------------------------------------------------------------------------


def _in_flight(home: Home, devices: Sequence[Device], sizes: Sizes, named: str) -> tuple[list[Figure], int]:
    sent, question = _prepared(home, devices[: sizes.enrolments]), http_question(home)
    raised = {"REGALIA_SERVER__QUEUE": "2000", "REGALIA_SERVER__CONNECTIONS_PER_SOURCE": "1000"}
    with served(home, settings=raised):
        crowd = ("enrol", home.port, _PATH, sizes.in_flight, "127.0.0.1", 0)
        took: list[float] = []
        began = time.monotonic()
        with _client(crowd, pack([(0, each.message) for each in sent])) as enrolling:
            while not took or enrolling.process.poll() is None:
                took += _asked(home, question)
            verified = _verified(enrolling, sent)
        ended = time.monotonic()
    name = f"OCSP beside {sizes.in_flight} enrolments in flight"
    ordered = sorted(took)
    return [
        Figure(f"{name}, 99 of 100, {named}", ordered[len(ordered) * 99 // 100] * 1e3, "ms", _OCSP_BUDGET),
        Figure(f"{name}, median, {named}", median(ordered) * 1e3, "ms"),
        Figure(f"enrolments with {sizes.in_flight} in flight, {named}", len(sent) / (ended - began), "per second"),
    ], verified + len(took)


def _asked(home: Home, question: bytes) -> list[float]:
    with _client(("ask", home.port, _RATE, 2), question) as asking:
        pairs = [line.split() for line in asking.wait().decode().splitlines()]
    if {status for _, status in pairs} != {"200"}:
        raise VoidRunError("OCSP did not answer 200 to everybody")
    return [float(took) for took, _ in pairs]


# --- flood ------------------------------------------------------------------------------------------------------------


def _flooded(home: Home, devices: Sequence[Device], sizes: Sizes, named: str) -> tuple[list[Figure], int]:
    sent = _prepared(home, devices[: 2 * sizes.passes * sizes.good])
    bad = _bad(home, devices[-1])
    halves = [sent[first : first + sizes.good] for first in range(0, len(sent), sizes.good)]
    ratios: list[float] = []
    verified = 0
    with served(home):
        for alone, beside in zip(halves[::2], halves[1::2], strict=True):
            quiet, counted = _rate(home, alone)
            flood = ("enrol", home.port, _PATH, sizes.flood, _STRANGER, 3600)
            with _client(flood, pack([(0, bad)])):
                time.sleep(1.0)
                loud, also = _rate(home, beside)
            ratios.append(loud / quiet)
            verified += counted + also
    name = f"rate of good requests beside a flood ÷ alone, {named}"
    return [Figure(name, median(ratios), "times", _KEPT_BUDGET, tuple(ratios))], verified


def _rate(home: Home, sent: Sequence[Sent]) -> tuple[float, int]:
    began = time.monotonic()
    with _client(("enrol", home.port, _PATH, 4, "127.0.0.1", 0), pack([(0, each.message) for each in sent])) as good:
        good.process.wait()
        took = time.monotonic() - began
        return len(sent) / took, _verified(good, sent)


def _bad(home: Home, device: Device) -> bytes:
    with opened(home) as app:
        door = door_of(app, "default")
        return garbage(device, Server(door.ra.certificate_der, door.authority.certificate_der)).message


# --- clients ----------------------------------------------------------------------------------------------------------


def _prepared(home: Home, devices: Sequence[Device]) -> list[Sent]:
    with opened(home) as app:
        return requests(app, "default", devices)


@dataclass(frozen=True, slots=True)
class _Client:
    """A client of `crowd` that runs."""

    process: subprocess.Popen[bytes]
    sink: IO[bytes]

    def wait(self) -> bytes:
        """Wait for its end; what it wrote."""
        if self.process.wait(600):
            raise VoidRunError(f"a client ended with {self.process.returncode}")
        self.sink.seek(0)
        return self.sink.read()


@contextmanager
def _client(arguments: Sequence[object], given: bytes) -> Iterator[_Client]:
    """Run a client, with files for its input and output: nobody has to read them while it runs."""
    command = [sys.executable, "-m", "tools.bench.crowd", *map(str, arguments)]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        source.write(given)
        source.seek(0)
        with subprocess.Popen(command, stdin=source, stdout=sink, cwd=ROOT) as process:
            try:
                yield _Client(process, sink)
            finally:
                process.kill()


def _verified(client: _Client, sent: Sequence[Sent]) -> int:
    """Open all answers. Raises `VoidRunError` where one is missing, doubled or none."""
    answers = unpack(client.wait())
    if sorted(number for number, _ in answers) != list(range(len(sent))):
        raise VoidRunError(f"{len(answers)} answers to {len(sent)} requests")
    refused = {answer[:60] for _, answer in answers if not answer.startswith(b"200 ")}
    if refused:
        raise VoidRunError(f"not answered: {refused}")
    return judge((sent[number], answer[4:]) for number, answer in answers)
