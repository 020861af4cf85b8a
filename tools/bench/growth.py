"""Growth: what an enrolment and a look-up cost with a thousand certificates stored, and with a million."""

from __future__ import annotations

import os
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia.model import Names, San, SanKind
from regalia.ports import CertificateFilter, EnrolmentFilter
from regalia.ra.audit import verify
from regalia.ra.scep import CertRep
from tools.bench.devices import Server, judge, make_devices, request
from tools.bench.filling import fill, walk_indexes
from tools.bench.homes import ACTOR, door_of, make_home, opened, requests
from tools.bench.measure import Stopwatch, Tree, VoidRunError, interleaved, median, per_pass_ratios
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from regalia.app import App
    from regalia.model import Enrolment
    from tools.bench.devices import Device, Sent
    from tools.bench.filling import Filled

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure", "template"]

_ENDPOINT: Final = "default"
_GROWTH_BUDGET: Final = Budget(Bound.AT_MOST, 1.05)
_LOOK_UP_BUDGET: Final = Budget(Bound.AT_MOST, 5.0)
_WARM_UP: Final = 5
_NAMED: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_METHOD: Final = """\
Four databases are open in one process: SQLite and PostgreSQL, each with few and with many certificates stored, and
take turns, a few enrolments at a time. CPU time of all threads of the process and of PostgreSQL's backends.
The ratio is the median of the passes, each the ratio of two medians of one pass.
The databases are filled with copies of one real enrolment (challenge, enrolment, certificate, its octets, its events in
a chain that verifies), with other ids, serials, keys, names, transactions and challenges wherever they stand.
Before each turn SQLite's indexes are read to their end, and one enrolment is not counted: the operating system of a
server that issued so many certificates has them in memory, as PostgreSQL has them in its buffers, but not that of every
machine on which is measured. Where five or six pages of each enrolment came from the disk, it cost 1.15 times as much.
Look-ups are through the store's own ports, of what is chosen by dice, in wall time: the 99th percentile."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    passes: int
    rounds: int
    turn: int
    few: int
    many: int
    look_ups: int


FULL: Final = Sizes(passes=5, rounds=8, turn=5, few=1_000, many=1_000_000, look_ups=400)
QUICK: Final = Sizes(passes=5, rounds=3, turn=5, few=10_000, many=100_000, look_ups=200)
LEAST: Final = Sizes(passes=1, rounds=1, turn=1, few=10, many=100, look_ups=5)


def measure(sizes: Sizes) -> Report:
    """Measure both databases. Raises `VoidRunError` where an answer is wrong or a chain of events does not verify."""
    devices = make_devices(sizes.passes * sizes.rounds * (sizes.turn + 1) + _WARM_UP)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-bench-")))
        postgres = stack.enter_context(running_cluster())
        benches = {
            (database, stored): _bench(stack, directory, database, stored, url(f"stored_{stored}"), devices)
            for database, url in (("sqlite", lambda _: None), ("postgresql", postgres.create))
            for stored in (sizes.few, sizes.many)
        }
        os.sync()  # what filled them is not to be written to the disk by and by, while others are measured
        for bench in benches.values():
            for _ in range(_WARM_UP):
                bench.enrol()
        costs = _turns(benches, Tree(postgres.pid), sizes)
        verified = sum(judge(bench.answers) for bench in benches.values())
        for database in _NAMED:
            _check_log(benches[database, sizes.few].app)
        looked_up = {key: bench.look_ups(sizes.look_ups) for key, bench in benches.items()}
    return Report(
        subject="growth",
        figures=(*_growth_figures(costs, sizes), *_look_up_figures(looked_up, sizes)),
        tables=(_cost_table(costs), _look_up_table(looked_up)),
        verified=verified,
        method=_METHOD,
        settings={"passes": sizes.passes, "few": sizes.few, "many": sizes.many, "look_ups": sizes.look_ups},
    )


def _check_log(app: App) -> None:
    """Verify the whole log of a filled database; of one with many it takes minutes and tells nothing more."""
    findings = verify(app.store).findings
    if findings:
        raise VoidRunError(f"the copied events are no chain: {findings[0]}")


_Key = tuple[str, int]
_Costs = dict[_Key, list[list[dict[str, float]]]]


@dataclass(frozen=True, slots=True)
class _Bench:
    """One database with so many certificates."""

    app: App
    sqlite: Path | None
    """The home, where the database is SQLite's."""
    filled: Filled
    waiting: Iterator[Sent]
    answers: list[tuple[Sent, bytes]] = field(default_factory=list)

    def enrol(self) -> dict[str, float]:
        """Enrol once; CPU seconds."""
        sent = next(self.waiting)
        door = door_of(self.app, _ENDPOINT)
        watch = Stopwatch()
        answer = self.app.scep.pki_operation(door, sent.message, "127.0.0.1")
        watch.mark("whole")
        if not isinstance(answer, CertRep):
            raise VoidRunError(f"{sent.transaction.text}: {answer}")
        self.answers.append((sent, answer.der))
        return watch.stages

    def recall(self) -> None:
        """Bring into memory what a server at work has there, and enrol once without counting it."""
        if self.sqlite is not None:
            walk_indexes(self.sqlite)
        self.enrol()

    def look_ups(self, count: int) -> dict[str, list[float]]:
        """Look up what was stored, by dice; wall seconds of each."""
        dice, store, filled = random.Random(8894), self.app.store, self.filled  # noqa: S311 - not a secret
        asks: dict[str, Callable[[int], object]] = {
            "serial": lambda n: store.find_serial(filled.serials[n]),
            "conversation": lambda n: store.conversation_of(_ENDPOINT, *filled.conversations[n]),
            "subject": lambda n: store.certificates(CertificateFilter(subject=filled.subjects[n])),
            "device": lambda n: store.certificates(CertificateFilter(device=filled.devices[n])),
        }
        chosen = [dice.randrange(len(filled.serials)) for _ in range(count)]
        return {name: [_timed(ask, number) for number in chosen] for name, ask in asks.items()}


def _timed(ask: Callable[[int], object], number: int) -> float:
    began = time.perf_counter()
    found = ask(number)
    took = time.perf_counter() - began
    if not found:
        raise VoidRunError("what was stored is not found")
    return took


def _bench(
    stack: ExitStack, directory: Path, database: str, stored: int, url: str | None, devices: Sequence[Device]
) -> _Bench:
    home = make_home(directory / f"{database}-{stored}", url)
    with opened(home) as app:
        filled = fill(app, home.path, url, template(app), stored)
    app = stack.enter_context(opened(home))
    return _Bench(app, None if url else home.path, filled, iter(requests(app, _ENDPOINT, devices)))


def template(app: App) -> Enrolment:
    """Enrol one device, whose names have the holes that the copies fill."""
    (device,) = make_devices(1)
    name = "laptop-0000000.example.org"
    device = replace(device, names=Names(name, frozenset({San(SanKind.DNS, name)})))
    door = door_of(app, _ENDPOINT)
    minted = app.challenges.mint(
        _ENDPOINT, binding=device.names, device="INV-0000000", ttl=timedelta(hours=12), actor=ACTOR
    )
    sent = request(device, Server(door.ra.certificate_der, door.authority.certificate_der), minted.secret)
    answer = app.scep.pki_operation(door, sent.message, "127.0.0.1")
    if not isinstance(answer, CertRep):
        raise VoidRunError(f"the enrolment to be copied: {answer}")
    (enrolment,) = app.store.enrolments(EnrolmentFilter(limit=1))
    return enrolment


# --- results ----------------------------------------------------------------------------------------------------------


def _turns(benches: Mapping[_Key, _Bench], backends: Tree, sizes: Sizes) -> _Costs:
    def measured(key: _Key) -> dict[str, float]:
        before = backends.cpu() if key[0] == "postgresql" else 0.0
        spent = benches[key].enrol()
        return spent | {"backends": backends.cpu() - before if key[0] == "postgresql" else 0.0}

    costs: _Costs = {key: [[] for _ in range(sizes.passes)] for key in benches}
    keys = {f"{database} {stored}": (database, stored) for database, stored in benches}
    for name, number, _ in interleaved(list(keys), sizes.passes, sizes.rounds):
        benches[keys[name]].recall()
        costs[keys[name]][number] += [measured(keys[name]) for _ in range(sizes.turn)]
    return costs


def _totals(costs: _Costs, key: _Key) -> list[list[float]]:
    return [[sum(spent.values()) for spent in each] for each in costs[key]]


def _growth_figures(costs: _Costs, sizes: Sizes) -> Iterator[Figure]:
    for database, named in _NAMED.items():
        ratios = per_pass_ratios(_totals(costs, (database, sizes.many)), _totals(costs, (database, sizes.few)))
        name = f"enrolment with {sizes.many:,} certificates stored ÷ with {sizes.few:,}, {named}"
        yield Figure(name, median(ratios), "times", _GROWTH_BUDGET, tuple(ratios))


def _look_up_figures(looked_up: Mapping[_Key, Mapping[str, Sequence[float]]], sizes: Sizes) -> Iterator[Figure]:
    for database, named in _NAMED.items():
        for what, took in looked_up[database, sizes.many].items():
            name = f"look-up by {what} among {sizes.many:,}, {named}"
            yield Figure(name, _percentile(took, 99) * 1e3, "ms", _LOOK_UP_BUDGET)


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _cost_table(costs: _Costs) -> Table:
    rows = []
    for database, stored in costs:
        own = median([median([spent["whole"] for spent in each]) for each in costs[database, stored]])
        behind = median([median([spent["backends"] for spent in each]) for each in costs[database, stored]])
        rows.append(Row(f"{_NAMED[database]}, {stored:,} stored", (own * 1e6, behind * 1e6 if behind else None)))
    return Table("CPU µs of one enrolment", ("database", "process", "backends"), tuple(rows))


def _look_up_table(looked_up: Mapping[_Key, Mapping[str, Sequence[float]]]) -> Table:
    rows = tuple(
        Row(f"by {what}, {_NAMED[database]}, {stored:,} stored", (median(took) * 1e3, _percentile(took, 99) * 1e3))
        for (database, stored), each in looked_up.items()
        for what, took in each.items()
    )
    return Table("Look-ups, wall ms", ("look-up", "median", "99 of 100"), rows)
