"""The console among as many certificates and devices as a large fleet has: pages as a browser gets them."""

from __future__ import annotations

import http.client
import random
import re
import sqlite3
import ssl
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from regalia.ca.revoke import revoke
from regalia.jobs.figures import CountFigures
from regalia.model import RevocationReason, SignInKind
from regalia.ra.roles import EVERYTHING
from regalia.ra.sign_in import Proof, SessionDesk
from regalia.web.sessions import SESSION_COOKIE
from tools.bench.fleet_filling import device_id, fill_fleet
from tools.bench.homes import ACTOR, make_home, opened, served
from tools.bench.load import free_port
from tools.bench.measure import VoidRunError, median
from tools.bench.report import Bound, Budget, Figure, Report, Row, Table
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from regalia.app import App
    from tools.bench.filling import Filled
    from tools.bench.homes import Home

__all__ = ["FULL", "LEAST", "QUICK", "Sizes", "measure"]

_BUDGETS: Final = {"dashboard": 200.0, "list": 200.0, "search": 200.0, "certificate": 100.0, "device": 200.0}
"""Milliseconds by kind of page, 95 of 100."""
_KINDS: Final = {
    "dashboard": "the dashboard",
    "list": "a list",
    "search": "a search",
    "certificate": "a certificate's page",
    "device": "a device's page",
}
_NAMED: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_PERCENT: Final = 95
_BUFFERS: Final = "1GB"
"""What `docs/tasks/nodes.md` advises for as many."""
_SECONDS: Final = 60.0
_ROW: Final = re.compile(rb"<tbody>\s*<tr")

_METHOD: Final = f"""\
One database after the other is filled with certificates, of which each device of one connector has one; one in a
thousand is revoked, one in ten ends within 90 days or did within 30, and one enrolment in fifty was refused; what
searches and figures go by is made. PostgreSQL has vacuumed once and has {_BUFFERS} of
`shared_buffers`. `regalia serve` with its defaults, its jobs among them, and one browser whose connection is kept and
whose session is that of an administrator of everything. All pages are asked for in turns; whose is chosen by dice.
Wall time from the request to the end of the page: the 95th percentile of each page, and of each kind the worst."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    certificates: int
    devices: int
    rounds: int


FULL: Final = Sizes(certificates=1_000_000, devices=100_000, rounds=40)
QUICK: Final = Sizes(certificates=100_000, devices=10_000, rounds=40)
LEAST: Final = Sizes(certificates=300, devices=50, rounds=2)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One page: its kind, its address for a copy by number, and what must stand in it; None: a row of a list."""

    kind: str
    path: Callable[[int], str]
    holds: Callable[[int], bytes] | None = None


_Took = dict[str, tuple[str, list[float]]]
"""Kind and seconds by page."""


def measure(sizes: Sizes) -> Report:
    """Measure both databases. Raises `VoidRunError` where a page does not answer, or does not show what is there."""
    took: dict[str, _Took] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regalia-bench-")))
        postgres = stack.enter_context(running_cluster(f"shared_buffers={_BUFFERS}"))
        for database, url in (("sqlite", None), ("postgresql", postgres.create("console"))):
            home = make_home(directory / database, url)
            # One certificate each, as devices have: of several the job that follows devices would end all but one.
            fleet = {"devices": sizes.devices, "certificates": sizes.certificates, "bound": sizes.devices}
            filled = fill_fleet(home, url, **fleet).filled
            _spread(home, url)
            with opened(home) as app:
                secret = _prepare(app, filled)
            took[database] = _asked_all(home, secret, _pages(filled, sizes), len(filled.serials), sizes.rounds)
    return Report(
        subject="console",
        figures=tuple(_figures(took, sizes)),
        tables=(_table(took),),
        verified=sum(len(times) for each in took.values() for _, times in each.values()),
        method=_METHOD,
        settings={"certificates": sizes.certificates, "devices": sizes.devices, "rounds": sizes.rounds},
    )


def _spread(home: Home, url: str | None) -> None:
    """Let some end around now, and have some enrolments been refused, of which nothing came."""
    day, ids = 86_400_000, "SELECT id, enrolment_id FROM certificate WHERE device LIKE 'INV-%' ORDER BY id"
    now = int(time.time() * 1_000)

    def values(rows: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[str, list[tuple[int | str, bytes]]]]:
        ends: list[tuple[int | str, bytes]] = [
            (now + (number * 7 % 120 - 30) * day, which) for number, (which, _) in enumerate(rows[::10])
        ]
        yield "UPDATE certificate SET not_after = ? WHERE id = ?", ends
        reasons = ("RA-018", "RA-018", "CON-010")
        refused: list[tuple[int | str, bytes]] = [
            (reasons[number % 3], each) for number, (_, each) in enumerate(rows[::50])
        ]
        yield "UPDATE enrolment SET state = 'refused', reason_id = ? WHERE id = ?", refused

    if url is None:
        with closing(sqlite3.connect(home.path / "regalia.db")) as database:
            for change, given in values(database.execute(ids).fetchall()):
                database.executemany(change, given)
            database.commit()
        return
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(ids.encode())
        for change, given in values(cursor.fetchall()):
            cursor.executemany(change.replace("?", "%s").encode(), given)
        connection.commit()
        # What the server does by itself within minutes.
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def _prepare(app: App, filled: Filled) -> str:
    """Revoke some, index and count all, and sign an administrator in; returns the session's secret."""
    for serial in filled.serials[::2]:
        (certificate,) = app.store.find_serial(serial)
        revoke(app.store, app.clock, certificate, reason=RevocationReason.SUPERSEDED, actor=ACTOR)
    now = app.clock.now()
    while app.store.index_more(now + timedelta(minutes=1)):
        continue
    CountFigures(app.store, app.clock).run(now)
    alice = app.administrators.create("alice", EVERYTHING, display="", actor=ACTOR, bound=EVERYTHING)
    sessions = SessionDesk(app.store, app.clock, app.entropy)
    return sessions.open(Proof(alice, SignInKind.SETUP, now), "127.0.0.1").secret


# --- pages ------------------------------------------------------------------------------------------------------------


def _pages(filled: Filled, sizes: Sizes) -> Mapping[str, _Asked]:
    def listed(path: str) -> _Asked:
        return _Asked("list", lambda _: path)

    def serial(number: int) -> str:
        return f"{filled.serials[number]:x}"

    def name(number: int) -> str:
        return filled.subjects[number].removeprefix("CN=")

    def device(number: int) -> int:
        return int(filled.devices[number].removeprefix("INV-")) % sizes.devices

    lapsed = "/certificates?state=issued&expired=true&expired_within=30&revoked=false&followed=false"
    return {
        "dashboard": _Asked("dashboard", lambda _: "/", lambda _: b"live certificates"),
        "certificates": listed("/certificates"),
        "soonest to expire": listed("/certificates?sort=expiry"),
        "ended or held": listed("/certificates?revoked=true&all=true"),
        "expired": listed("/certificates?expired=true"),
        "all certificates": listed("/certificates?all=true"),
        "live, neither revoked nor held": listed("/certificates?revoked=false"),
        "certificates of a group": listed("/certificates?revoked=false&group=default"),
        "issued in thirty days by one way": listed(f"/certificates?state=issued&issued_from={_DAY}&source=one-time"),
        "ended in thirty days": listed("/certificates?state=issued&revoked=true&ended_within=30"),
        "ended for one cause": listed("/certificates?state=issued&revoked=true&ended_within=30&cause=administrator"),
        "ending in 31 to 90 days": listed("/certificates?revoked=false&ends_beyond=30&ends_within=90&sort=expiry"),
        "expired without a successor": _Asked("list", lambda _: lapsed, _whatever),
        "certificates of a device": _Asked(
            "list", lambda n: f"/certificates?device={filled.devices[n]}&all=true", lambda n: name(n).encode()
        ),
        "enrolments": listed("/enrolments"),
        "refused enrolments": listed("/enrolments?state=refused"),
        "enrolments refused for one reason": listed(f"/enrolments?state=refused&reason=CON-010&decided_from={_DAY}"),
        "enrolments by one way since a day": listed(f"/enrolments?decided_from={_DAY}&source=one-time"),
        "approvals": _Asked("list", lambda _: "/approvals", _whatever),
        "challenges": listed("/challenges"),
        "devices": listed("/devices"),
        "users": listed("/users"),
        "connectors": listed("/connectors"),
        "groups": listed("/groups"),
        "authorities": _Asked("list", lambda _: "/authorities", lambda _: b"default-ca-1"),
        "audit log": listed("/audit"),
        "system health": _Asked("list", lambda _: "/health", _whatever),
        "settings": _Asked("list", lambda _: "/settings", lambda _: b"alice"),
        "certificates with a part of a name": _Asked(
            "search", lambda n: f"/certificates?q={name(n)[9:18]}&all=true", lambda n: name(n).encode()
        ),
        "everything with a whole name": _Asked("search", lambda n: f"/search?q={name(n)}", lambda n: name(n).encode()),
        "everything with a part of a name": _Asked("search", lambda _: "/search?q=laptop", lambda _: b"laptop"),
        "everything with one character": _Asked("search", lambda _: "/search?q=l", lambda _: b"laptop"),
        "nothing": _Asked("search", lambda n: f"/search?q=zebra{n}", _whatever),
        "certificate": _Asked("certificate", lambda n: f"/certificates/{serial(n)}", lambda n: serial(n).encode()),
        "device": _Asked(
            "device", lambda n: f"/devices/{device_id(device(n))}", lambda n: f"INV-{device(n):07}".encode()
        ),
    }


_DAY: Final = "2020-01-01"


def _whatever(_: int) -> bytes:
    """Return what stands in every page: there may be nothing to show."""
    return b"</main>"


class _Browser:
    """One connection and a session."""

    def __init__(self, port: int, secret: str) -> None:
        # The server's certificate is its own; who answers on this machine's port is not what is measured.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        self._connection = http.client.HTTPSConnection("localhost", port, timeout=_SECONDS, context=context)
        self._headers = {"Cookie": f"{SESSION_COOKIE}={secret}", "Accept-Language": "en"}

    def get(self, path: str) -> bytes:
        """Get a page. Raises `VoidRunError` for any status but 200."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise VoidRunError(f"{path}: {answer.status}")
        return body

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def _asked_all(home: Home, secret: str, pages: Mapping[str, _Asked], known: int, rounds: int) -> _Took:
    """Ask for them in turns, so that what the machine does beside is everybody's."""
    dice = random.Random(8894)  # noqa: S311 - not a secret
    took: _Took = {name: (asked.kind, []) for name, asked in pages.items()}
    port = free_port()
    # One browser asks as fast as it can here, which no person does.
    settings = {"REGALIA_LIMITS__REQUESTS_PER_CALLER": "1000000"}
    listen = ("--admin-listen", f"127.0.0.1:{port}")
    with served(home, *listen, settings=settings), closing(_Browser(port, secret)) as browser:
        for turn in range(rounds + 1):
            number = dice.randrange(known)
            for name, asked in pages.items():
                began = time.perf_counter()
                page = browser.get(asked.path(number))
                spent = time.perf_counter() - began
                if asked.holds is None and not _ROW.search(page):
                    raise VoidRunError(f"{name}: no row")
                if asked.holds is not None and asked.holds(number) not in page:
                    raise VoidRunError(f"{name}: not found")
                if turn:  # the first time templates are read
                    took[name][1].append(spent)
    return took


# --- results ----------------------------------------------------------------------------------------------------------


def _percentile(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * _PERCENT // 100)]


def _figures(took: Mapping[str, _Took], sizes: Sizes) -> Iterator[Figure]:
    among = f"among {sizes.certificates:,} certificates and {sizes.devices:,} devices"
    for database, named in _NAMED.items():
        for kind, called in _KINDS.items():
            worst = max(_percentile(times) for each, times in took[database].values() if each == kind)
            budget = Budget(Bound.AT_MOST, _BUDGETS[kind])
            yield Figure(f"{called} {among}, {named}, p95", worst * 1e3, "ms", budget)


def _table(took: Mapping[str, _Took]) -> Table:
    rows = [
        Row(f"{_KINDS[kind]}: {name}, {_NAMED[database]}", (median(times) * 1e3, _percentile(times) * 1e3))
        for database, each in took.items()
        for name, (kind, times) in each.items()
    ]
    return Table("Pages, wall ms", ("page", "median", "95 of 100"), tuple(rows))
