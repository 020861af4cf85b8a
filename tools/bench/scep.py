"""SCEP: the stages of one enrolment in this process, and whole enrolments over HTTP beside Debian's `scepserver`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from regalia.ra.scep import CertRep, ScepAnswer
from tools.bench import floor, peer, pure, stages
from tools.bench.devices import judge, make_devices, request
from tools.bench.homes import CA_KEYS, add_rsa_group, door_of, make_home, opened, requests, served
from tools.bench.load import CONNECTIONS, post_all
from tools.bench.measure import Stopwatch, Tree, VoidRunError, interleaved, median, per_pass_ratios
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from regalia.app import App
    from tools.bench.devices import Device, Sent
    from tools.bench.floor import Commits
    from tools.bench.homes import Home
    from tools.bench.stages import Probe
    from tools.postgres import Cluster

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_PROCESS_BUDGETS: Final = {"P-256": Budget(Bound.AT_MOST, 1.9), "RSA-2048": Budget(Bound.AT_MOST, 1.6)}
_HTTP_BUDGET: Final = Budget(Bound.AT_LEAST, 1.5)
_WARM_UP: Final = 2
_PEER: Final = "scepserver"
_BARE: Final = "bare commits"
_BUSY: Final = "sqlite P-256, 4 connections"
_DATABASES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

_METHOD: Final = """\
In process: CPU time of all threads of the process, SQLite's writer included; PostgreSQL's backends apart.
Pure crypto: RA decryption, CA signature, CertRep signature, verification of message and request, encryption of the
reply's key, with the same keys, in the same loop; ECDSA as the product signs, by RFC 6979.
Bare commits: the statements of an enrolment's two commits, noted and repeated on a copy of the database with nothing
around them. With pure crypto they are what is left of an enrolment if reading, deciding and answering cost nothing.
Each request has a device key, names, CSR, transaction, nonce and bound one-time challenge of its own within its
database; the same devices enrol at each database and at the peer, each time with a new message.
A ratio is the median of the passes, each the ratio of two medians of one pass; all variants take turns, a few
enrolments at a time, as a server does one after the other.
Over HTTP: CPU time of the server's whole process tree per enrolment, the same client over one kept connection: with
two requests at a time the peer refuses some, because its depot loses count of its serials.
SQLite commits with synchronous=FULL, PostgreSQL with fsync, synchronous_commit and full_page_writes on."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    passes: int
    rounds: int
    """Turns in process, of each variant in each pass."""
    turn: int
    """Enrolments in process in each turn."""
    posts: int
    """Enrolments over HTTP, of each server in each pass."""


FULL: Final = Sizes(passes=5, rounds=6, turn=6, posts=40)
QUICK: Final = Sizes(passes=3, rounds=2, turn=5, posts=16)
LEAST: Final = Sizes(passes=1, rounds=1, turn=1, posts=2)


def measure(sizes: Sizes) -> Report:
    """Measure both. Raises `VoidRunError` where an answer is wrong, this or `OSError` where a program is missing."""
    repeated = sizes.passes * sizes.rounds * sizes.turn + floor.WARM_UP
    enrolled = 2 * (sizes.passes * sizes.rounds * sizes.turn + _WARM_UP)  # once whole, once in stages
    posted = sizes.passes * sizes.posts + _WARM_UP
    devices = make_devices(max(repeated, len(CA_KEYS) * enrolled, (len(CA_KEYS) + 1) * posted))
    with tempfile.TemporaryDirectory(prefix="regalia-bench-") as directory, running_cluster() as postgres:
        if not postgres.durable():
            raise VoidRunError("PostgreSQL does not sync its commits")
        inside = _in_process(Path(directory), postgres, devices, sizes)
        outside = _over_http(Path(directory), postgres, devices, sizes)
    return Report(
        subject="scep",
        figures=(*inside.figures, *outside.figures),
        tables=(*inside.tables, *outside.tables),
        verified=inside.verified + outside.verified,
        method=_METHOD,
        settings={
            "passes": sizes.passes,
            "enrolments_in_process": sizes.rounds * sizes.turn,
            "enrolments_over_http": sizes.posts,
        },
    )


@dataclass(frozen=True, slots=True)
class _Part:
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    verified: int = 0


def _shares(devices: Sequence[Device], parts: int) -> Iterator[Sequence[Device]]:
    """Cut the devices into equal parts, so that no key is used twice in one database."""
    size = len(devices) // parts
    return (devices[number * size : (number + 1) * size] for number in range(parts))


# --- in process -------------------------------------------------------------------------------------------------------


class _Bench:
    """One database and one kind of CA: enrols, and keeps the answers and what they cost."""

    def __init__(self, plain: App, probed: tuple[App, Probe], endpoint: str, devices: Sequence[Device]) -> None:
        self._plain, (self._probed, self._probe) = plain, probed
        self._door = door_of(plain, endpoint)
        self._waiting = iter(requests(plain, endpoint, devices))
        self.answers: list[tuple[Sent, bytes]] = []

    def whole(self) -> dict[str, float]:
        """Enrol once."""
        sent = next(self._waiting)
        watch = Stopwatch()
        answer = self._plain.scep.pki_operation(self._door, sent.message, "127.0.0.1")
        watch.mark("whole")
        self._keep(sent, answer)
        return watch.stages

    def staged(self) -> dict[str, float]:
        """Enrol once with a clock at each port."""
        sent = next(self._waiting)
        answers: list[ScepAnswer] = []
        spent = self._probe.enrol(
            lambda: answers.append(self._probed.scep.pki_operation(self._door, sent.message, "127.0.0.1"))
        )
        self._keep(sent, *answers)
        return spent

    def _keep(self, sent: Sent, answer: ScepAnswer) -> None:
        if not isinstance(answer, CertRep):
            raise VoidRunError(f"{sent.transaction.text}: {answer}")
        self.answers.append((sent, answer.der))

    def pure(self) -> pure.Pure:
        """Prepare the pure crypto of an enrolment that was answered already."""
        return pure.Pure(self._plain, self._door, self.answers[0][0])


_Costs = dict[str, list[list[dict[str, float]]]]
"""By variant: the passes, in each the enrolments, of each the stages."""


def _in_process(directory: Path, postgres: Cluster, devices: Sequence[Device], sizes: Sizes) -> _Part:
    databases = {"sqlite": None, "postgresql": postgres.create("inside")}
    with ExitStack() as stack:
        benches: dict[tuple[str, str], _Bench] = {}
        for database, url in databases.items():
            home = make_home(directory / f"inside-{database}", url)
            add_rsa_group(home)
            plain, probed = stack.enter_context(opened(home)), stack.enter_context(stages.opened_with_probe(home))
            for kind, share in zip(CA_KEYS, _shares(devices, len(CA_KEYS)), strict=True):
                benches[database, kind] = _Bench(plain, probed, CA_KEYS[kind], share)
        for bench in benches.values():
            for _ in range(_WARM_UP):
                bench.whole()
                bench.staged()
        repeated = devices[: sizes.passes * sizes.rounds * sizes.turn + floor.WARM_UP]
        bare = stack.enter_context(floor.recorded_commits(directory, CA_KEYS["P-256"], repeated))
        costs = _turns(benches, bare, Tree(postgres.pid), sizes)
        verified = sum(judge(bench.answers) for bench in benches.values())
    figures = [figure for kind in CA_KEYS for figure in _process_figures(costs, kind)]
    return _Part(figures, [_stage_table(costs, kind) for kind in CA_KEYS], verified)


def _turns(benches: Mapping[tuple[str, str], _Bench], bare: Commits, backends: Tree, sizes: Sizes) -> _Costs:
    def with_backends(enrol: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
        def both() -> dict[str, float]:
            before = backends.cpu()
            spent = enrol()
            return spent | {"backends": backends.cpu() - before}

        return both

    variants: dict[str, Callable[[], dict[str, float]]] = {_BARE: bare.run}
    for (database, kind), bench in benches.items():
        variants.setdefault(f"pure {kind}", bench.pure().run)
        variants[f"whole {database} {kind}"] = with_backends(bench.whole) if database == "postgresql" else bench.whole
        variants[f"staged {database} {kind}"] = bench.staged
    costs: _Costs = {name: [[] for _ in range(sizes.passes)] for name in variants}
    for name, number, _ in interleaved(list(variants), sizes.passes, sizes.rounds):
        costs[name][number] += [variants[name]() for _ in range(sizes.turn)]
    return costs


def _process_figures(costs: _Costs, kind: str) -> Iterator[Figure]:
    bases = [[sum(spent.values()) for spent in each] for each in costs[f"pure {kind}"]]
    for database, named in _DATABASES.items():
        whole = costs[f"whole {database} {kind}"]
        ratios = per_pass_ratios([[spent["whole"] for spent in each] for each in whole], bases)
        name = f"enrolment in process ÷ pure crypto, {kind} CA, {named}"
        yield Figure(name, median(ratios), "times", _PROCESS_BUDGETS[kind], tuple(ratios))
        # What a faster processor for RSA does not change, so that machines can be compared.
        added = [[spent["whole"] - median(base) for spent in each] for each, base in zip(whole, bases, strict=True)]
        yield _microseconds(f"what an enrolment adds to pure crypto, {kind} CA, {named}", added)
    bare = [[spent["commits"] for spent in each] for each in costs[_BARE]]
    least = [median(commits) / median(base) + 1 for commits, base in zip(bare, bases, strict=True)]
    yield Figure(
        f"pure crypto and bare commits ÷ pure crypto, {kind} CA, SQLite", median(least), "times", None, tuple(least)
    )
    behind = [[spent["backends"] for spent in each] for each in costs[f"whole postgresql {kind}"]]
    yield _microseconds(f"PostgreSQL's backends per enrolment, {kind} CA", behind)


def _microseconds(name: str, passes: Sequence[Sequence[float]]) -> Figure:
    medians = tuple(median(each) * 1e6 for each in passes)
    return Figure(name, median(medians), "µs", None, medians)


def _stage_table(costs: _Costs, kind: str) -> Table:
    variants = [f"pure {kind}", *(f"staged {database} {kind}" for database in _DATABASES)]
    rows = [Row(stage, tuple(_stage(costs[variant], stage) for variant in variants)) for stage in stages.STAGES]
    rows.append(Row("all stages", tuple(_stage(costs[variant], None) for variant in variants)))
    wholes = [_stage(costs[f"whole {database} {kind}"], "whole") for database in _DATABASES]
    rows.append(Row("the product's entry, whole", (None, *wholes)))
    return Table(f"CPU µs of one enrolment in process, {kind} CA", ("stage", "pure", *_DATABASES.values()), tuple(rows))


def _stage(passes: Sequence[Sequence[Mapping[str, float]]], stage: str | None) -> float | None:
    """Return the median of the passes' medians in µs; of all stages together where none is named."""
    if stage is not None and stage not in passes[0][0]:
        return None
    return median([
        median([sum(spent.values()) if stage is None else spent[stage] for spent in each]) * 1e6 for each in passes
    ])  # fmt: skip


# --- over HTTP --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """One server and endpoint, with its requests."""

    port: int
    path: str
    trees: Mapping[str, Tree]
    waiting: Iterator[Sent]
    connections: int = 1
    answers: list[tuple[Sent, bytes]] = field(default_factory=list)

    def enrol(self, count: int) -> dict[str, float]:
        """Post so many requests; CPU seconds per enrolment by process tree."""
        sent = [next(self.waiting) for _ in range(count)]
        before = {name: tree.cpu() for name, tree in self.trees.items()}
        replies = post_all(self.port, self.path, [each.message for each in sent], connections=self.connections)
        spent = {name: (tree.cpu() - before[name]) / count for name, tree in self.trees.items()}
        self.answers.extend(zip(sent, replies, strict=True))
        return spent


def _over_http(directory: Path, postgres: Cluster, devices: Sequence[Device], sizes: Sizes) -> _Part:
    with ExitStack() as stack:
        targets: dict[str, _Target] = {}
        for database, url in {"sqlite": None, "postgresql": postgres.create("outside")}.items():
            home = make_home(directory / f"outside-{database}", url)
            add_rsa_group(home)
            targets |= _regalia_targets(stack, home, database, postgres, devices)
        targets[_PEER] = _peer_target(stack, directory, devices)
        for target in targets.values():
            target.enrol(_WARM_UP)
            for tree in target.trees.values():
                tree.refresh()  # threads and backends that the first requests started
        costs: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
        for name, _, _ in interleaved(list(targets), sizes.passes, 1):
            costs[name].append(targets[name].enrol(sizes.posts))
    verified = peer.judge_peer(targets[_PEER].answers)
    verified += sum(judge(target.answers) for name, target in targets.items() if name != _PEER)
    return _Part(list(_http_figures(costs)), [_http_table(costs)], verified)


def _regalia_targets(
    stack: ExitStack, home: Home, database: str, postgres: Cluster, devices: Sequence[Device]
) -> dict[str, _Target]:
    variants = [(f"{database} {kind}", endpoint, 1) for kind, endpoint in CA_KEYS.items()]
    if database == "sqlite":
        variants.append((_BUSY, "default", CONNECTIONS))
    with opened(home) as app:
        # Three shares on either database, so that the same devices enrol at both.
        shares = zip(variants, _shares(devices, len(CA_KEYS) + 1), strict=False)
        prepared = {variant: iter(requests(app, variant[1], share)) for variant, share in shares}
    trees = {"server": Tree(stack.enter_context(served(home)))}
    if database == "postgresql":
        trees["backends"] = Tree(postgres.pid)
    return {
        name: _Target(home.port, f"/scep/{endpoint}?operation=PKIOperation", trees, sent, connections)
        for (name, endpoint, connections), sent in prepared.items()
    }


def _peer_target(stack: ExitStack, directory: Path, devices: Sequence[Device]) -> _Target:
    running = stack.enter_context(peer.running_peer(directory))
    sent = (request(device, running.server, peer.CHALLENGE) for device in devices)
    return _Target(running.port, peer.PATH, {"server": Tree(running.pid)}, sent)


def _http_figures(costs: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[Figure]:
    peers = [spent["server"] for spent in costs[_PEER]]
    for database, named in _DATABASES.items():
        for kind in CA_KEYS:
            ours = costs[f"{database} {kind}"]
            # The budget is for the product as `init` sets it up; the others are shown beside it.
            budget = _HTTP_BUDGET if (database, kind) == ("sqlite", "P-256") else None
            name = f"enrolments per CPU second ÷ {_PEER}'s, {kind} CA, {named}"
            ratios = tuple(base / spent["server"] for base, spent in zip(peers, ours, strict=True))
            yield Figure(name, median(ratios), "times", budget, ratios)
            if database == "postgresql":
                ratios = tuple(base / sum(spent.values()) for base, spent in zip(peers, ours, strict=True))
                yield Figure(f"{name} with its backends", median(ratios), "times", None, ratios)


def _http_table(costs: Mapping[str, Sequence[Mapping[str, float]]]) -> Table:
    rows = []
    for name, passes in costs.items():
        server = median([spent["server"] for spent in passes])
        behind = median([spent["backends"] for spent in passes]) * 1e3 if "backends" in passes[0] else None
        rows.append(Row(name, (server * 1e3, behind, 1 / server)))
    columns = ("server and issuing CA", "CPU ms", "backends' CPU ms", "per CPU second")
    return Table("One enrolment over HTTP", columns, tuple(rows))
