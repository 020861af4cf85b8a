"""Long lists: pages, filters, searches and single objects among as many certificates as a large fleet has."""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from regalia.ca.revoke import revoke
from regalia.model import Action, CertificateKind, CertificateState, EnrolmentState, RevocationReason
from regalia.ports import CertificateFilter, ChallengeFilter, EnrolmentFilter, EventFilter
from tools.bench.filling import fill
from tools.bench.growth import template
from tools.bench.homes import ACTOR, make_home, opened
from tools.bench.measure import VoidRunError, median
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from regalia.app import App
    from regalia.model import Certificate
    from regalia.ports import Listed
    from tools.bench.filling import Filled

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_PAGE_BUDGET: Final = Budget(Bound.AT_MOST, 200.0)
_OBJECT_BUDGET: Final = Budget(Bound.AT_MOST, 50.0)
_NAMED: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_PAGE: Final = 50
_YEAR: Final = timedelta(days=365)
_PERCENT: Final = 95

_BUFFERS: Final = "1GB"
"""What `docs/tasks/nodes.md` advises for as many."""

_METHOD: Final = f"""\
One database after the other is filled as for growth, one in a thousand certificates is revoked, and the job that
indexes runs to its end. PostgreSQL has vacuumed once and has {_BUFFERS} of `shared_buffers`. Pages have 50 rows; first
pages are counted. What is asked for is chosen by dice. Wall time of the store's own ports, as the API calls them: the
95th percentile of each question, and of each kind the worst one."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    many: int
    rounds: int


FULL: Final = Sizes(many=1_000_000, rounds=60)
QUICK: Final = Sizes(many=100_000, rounds=40)
LEAST: Final = Sizes(many=300, rounds=2)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question: its kind, how to ask it for a copy by number, and whether something must be found; None: may be."""

    kind: str
    ask: Callable[[int], object]
    found: bool | None = True


_Took = dict[str, tuple[str, list[float]]]
"""Kind and seconds by question."""


def measure(sizes: Sizes) -> Report:
    """Measure both databases. Raises `VoidRunError` where what was stored is not found, or what is foreign is."""
    took: dict[str, _Took] = {}
    indexing: dict[str, float] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-bench-")))
        postgres = stack.enter_context(running_cluster(f"shared_buffers={_BUFFERS}"))
        for database, url in (("sqlite", None), ("postgresql", postgres.create("lists"))):
            home = make_home(directory / database, url)
            with opened(home) as app:
                filled = fill(app, home.path, url, template(app), sizes.many)
            with opened(home) as app:
                indexing[database] = _prepare(app, filled)
                if url is not None:
                    _settle(url)
                took[database] = _ask_all(_questions(app, filled), len(filled.serials), sizes.rounds)
    return Report(
        subject="lists",
        figures=tuple(_figures(took, sizes)),
        tables=(_table(took), _indexing_table(indexing, sizes)),
        verified=sum(len(times) for each in took.values() for _, times in each.values()),
        method=_METHOD,
        settings={"many": sizes.many, "rounds": sizes.rounds},
    )


def _prepare(app: App, filled: Filled) -> float:
    """Revoke some, and index all; returns the seconds that this took."""
    for serial in filled.serials[::2]:
        (certificate,) = app.store.find_serial(serial)
        revoke(app.store, app.clock, certificate, reason=RevocationReason.SUPERSEDED, actor=ACTOR)
    began = time.perf_counter()
    now = app.clock.now() + timedelta(minutes=1)
    while app.store.index_more(now):
        continue
    return time.perf_counter() - began


def _settle(url: str) -> None:
    """Do what autovacuum does within hours, and what it has done long ago where a database grew over years."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _questions(app: App, filled: Filled) -> Mapping[str, _Asked]:
    return _pages(app, filled) | _searches(app, filled) | _objects(app, filled)


def _pages(app: App, filled: Filled) -> dict[str, _Asked]:
    store, now = app.store, app.clock.now()

    def certificates(**asked: object) -> Listed[Certificate]:
        return store.certificate_page(CertificateFilter(limit=_PAGE, **asked))  # type: ignore[arg-type]  # of any field

    def behind(number: int, **asked: object) -> Listed[Certificate]:
        (certificate,) = store.find_serial(filled.serials[number])
        return certificates(after=(certificate.id.hex,), **asked)

    live: dict[str, object] = {"kind": CertificateKind.LEAF, "live_at": now}
    ours = frozenset({"default"})
    return {
        "certificates": _Asked("list", lambda _: certificates(**live)),
        "certificates, a later page": _Asked("list", lambda n: behind(n, **live), found=None),
        "certificates by their end": _Asked("list", lambda _: certificates(by_end=True, **live)),
        "certificates of one's groups": _Asked("list", lambda _: certificates(groups=ours, **live)),
        "certificates of groups without any": _Asked(
            "list", lambda _: certificates(groups=frozenset({"elsewhere"}), **live), found=False
        ),
        "enrolments": _Asked("list", lambda _: store.enrolment_page(EnrolmentFilter())),
        "challenges": _Asked("list", lambda _: store.challenge_page(ChallengeFilter())),
        "events": _Asked("list", lambda _: store.event_page(EventFilter())),
        "events of groups without any": _Asked(
            "list", lambda _: store.event_page(EventFilter(groups=frozenset({"elsewhere"}))), found=False
        ),
        "revoked certificates": _Asked("filter", lambda _: certificates(revoked=True, **live)),
        "certificates that are not revoked": _Asked("filter", lambda _: certificates(revoked=False, **live)),
        "our own certificates": _Asked("filter", lambda _: certificates(kind=CertificateKind.RA)),
        "certificates of an issuer": _Asked("filter", lambda _: certificates(authority=_issuer(app), **live)),
        "certificates of a device": _Asked("filter", lambda n: certificates(device=filled.devices[n])),
        "certificates of a subject": _Asked("filter", lambda n: certificates(subject=filled.subjects[n])),
        "expired certificates": _Asked("filter", lambda _: certificates(expired_at=now + 2 * _YEAR)),
        "certificates only begun": _Asked("filter", lambda _: certificates(state=CertificateState.INTENT), found=False),
        "abandoned certificates": _Asked(
            "filter", lambda _: certificates(state=CertificateState.ABANDONED), found=False
        ),
        "pending enrolments": _Asked(
            "filter", lambda _: store.enrolment_page(EnrolmentFilter(EnrolmentState.PENDING)), found=False
        ),
        "enrolments at an endpoint": _Asked(
            "filter", lambda _: store.enrolment_page(EnrolmentFilter(endpoint="default"))
        ),
        "challenges of an endpoint": _Asked(
            "filter", lambda _: store.challenge_page(ChallengeFilter(endpoint="default"))
        ),
        "events of an action": _Asked(
            "filter", lambda _: store.event_page(EventFilter(action=Action.CERTIFICATE_ISSUED))
        ),
        "events of an object": _Asked(
            "filter", lambda n: store.event_page(EventFilter(object=f"certificate:{filled.serials[n]:x}"))
        ),
    }


def _issuer(app: App) -> str:
    group = app.store.group("default")
    if group is None:
        raise VoidRunError("the home has no group")
    return group.authority


def _searches(app: App, filled: Filled) -> dict[str, _Asked]:
    store = app.store

    def found(text: Callable[[int], str], **asked: object) -> Callable[[int], object]:
        def ask(number: int) -> object:
            wanted = CertificateFilter(search=text(number), limit=_PAGE, **asked)  # type: ignore[arg-type]  # of any field
            return store.certificate_page(wanted)

        return ask

    def name(number: int) -> str:
        return filled.subjects[number].removeprefix("CN=")

    return {
        "a name": _Asked("search", found(name)),
        "the beginning of a name": _Asked("search", found(lambda n: name(n)[:12])),
        "what every name has": _Asked("search", found(lambda _: "example.org")),
        "the middle of a name": _Asked("search", found(lambda n: name(n)[9:18])),
        "one character": _Asked("search", found(lambda _: "l")),
        "two characters": _Asked("search", found(lambda _: "in")),
        "a device": _Asked("search", found(lambda n: filled.devices[n].lower())),
        "the beginning of a serial": _Asked("search", found(lambda n: f"{filled.serials[n]:x}"[:8])),
        "a serial": _Asked("search", found(lambda n: f"{filled.serials[n]:x}")),
        "a transaction": _Asked("search", found(lambda n: filled.conversations[n][0].decode())),
        "the beginning of a key's hash": _Asked("search", found(lambda n: filled.conversations[n][1].hex()[:10])),
        "nothing that is there": _Asked("search", found(lambda n: f"zebra{n}"), found=False),
        "a name among the revoked": _Asked("search", found(lambda n: name(n)[:10], revoked=True), found=None),
        "every name, of groups without any": _Asked(
            "search", found(lambda _: "laptop", groups=frozenset({"elsewhere"})), found=False
        ),
        "an enrolment": _Asked("search", lambda n: store.enrolment_page(EnrolmentFilter(search=name(n)))),
        "an enrolment's transaction": _Asked(
            "search", lambda n: store.enrolment_page(EnrolmentFilter(search=filled.conversations[n][0].decode()))
        ),
        "a challenge": _Asked("search", lambda n: store.challenge_page(ChallengeFilter(search=name(n)))),
        "an event": _Asked("search", lambda _: store.event_page(EventFilter(search="certificate.issued"))),
        "an event that is not there": _Asked(
            "search", lambda n: store.event_page(EventFilter(search=f"zebra{n}")), found=False
        ),
    }


def _objects(app: App, filled: Filled) -> dict[str, _Asked]:
    store = app.store
    return {
        "certificate": _Asked("object", lambda n: store.find_serial(filled.serials[n])),
        "enrolment": _Asked("object", lambda n: store.conversation_of("default", *filled.conversations[n])),
        "events of a certificate": _Asked(
            "object", lambda n: store.events_about([f"certificate:{filled.serials[n]:x}"])
        ),
    }


def _ask_all(questions: Mapping[str, _Asked], known: int, rounds: int) -> _Took:
    """Ask them in turns, so that what the machine does beside is everybody's."""
    dice = random.Random(8894)  # noqa: S311 - not a secret
    took: _Took = {name: (asked.kind, []) for name, asked in questions.items()}
    for _ in range(rounds):
        number = dice.randrange(known)
        for name, asked in questions.items():
            began = time.perf_counter()
            found = asked.ask(number)
            took[name][1].append(time.perf_counter() - began)
            if asked.found is not None and bool(getattr(found, "items", found)) is not asked.found:
                raise VoidRunError(f"{name}: {'not ' if asked.found else ''}found")
    return took


# --- results ----------------------------------------------------------------------------------------------------------

_KINDS: Final = {"list": "a list", "filter": "a filtered list", "search": "a search", "object": "one object"}


def _percentile(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * _PERCENT // 100)]


def _figures(took: Mapping[str, _Took], sizes: Sizes) -> Iterator[Figure]:
    for database, named in _NAMED.items():
        for kind, called in _KINDS.items():
            worst = max(_percentile(times) for each, times in took[database].values() if each == kind)
            budget = _OBJECT_BUDGET if kind == "object" else _PAGE_BUDGET
            yield Figure(f"{called} among {sizes.many:,} certificates, {named}, p95", worst * 1e3, "ms", budget)


def _table(took: Mapping[str, _Took]) -> Table:
    rows = [
        Row(f"{_KINDS[kind]}: {name}, {_NAMED[database]}", (median(times) * 1e3, _percentile(times) * 1e3))
        for database, each in took.items()
        for name, (kind, times) in each.items()
    ]
    return Table("Questions, wall ms", ("question", "median", "95 of 100"), tuple(rows))


def _indexing_table(indexing: Mapping[str, float], sizes: Sizes) -> Table:
    rows = tuple(Row(_NAMED[database], (spent / sizes.many * 1e6,)) for database, spent in indexing.items())
    return Table("Indexing an enrolment with its challenge and certificate, wall µs", ("database", "each"), rows)
