"""A short run on each database: what it reads from the database shows what was done to the database."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tools.faults.checker import check
from tools.faults.devices import enrolment
from tools.faults.fleet import CLIENTS, Line
from tools.faults.ledger import look_at, open_intents, read_ledger
from tools.faults.nest import Nest
from tools.faults.run import Run, devices_for_run
from tools.faults.site import ENDPOINT, make_site, opened_office
from tools.faults.wiring import ENROLMENT, Call, CrashPoint
from tools.postgres import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.faults.checker import Evidence
    from tools.faults.site import Site

DEFAULT_LEASE_SECONDS = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A deployment on each database."""
    with ExitStack() as stack:
        url = None
        if request.param == "postgresql":
            url = stack.enter_context(running_cluster()).create("regalia")
        yield make_site(tmp_path, database=url)


def short_run(site: Site) -> Evidence:
    """Two kills under load, and what is known after them."""
    quick = replace(site, settings={"issuance.lease_seconds": "2", "server.threads": "12"})
    with Run(quick, devices_for_run(), 1) as run:
        for method in ("begin", "finish"):
            time.sleep(1)
            run.kill()
            point = CrashPoint(Call(ENROLMENT, "store", method), "after", 3)
            assert run.begin(point)
            assert run.until_struck(point, 30)
            run.begin_again()
        time.sleep(1)
        ended = run.finish()
    assert ended.violations == ()
    assert ended.kills == 4
    assert ended.outcomes.interrupted > 0
    assert ended.outcomes.lost == 0
    assert ended.clients["enrol"] > CLIENTS
    assert ended.clients["renew"] > 0
    assert ended.rogues["refused"] > 0
    assert ended.polls["ocsp good"] > 0
    assert ended.polls["crl"] > 0
    return run.evidence


def test_a_short_run_holds(site: Site) -> None:
    """Kills on either database leave nothing behind that the checker could find."""
    evidence = short_run(site)
    assert {entry["serial"] for entry in evidence.received} < {line["number"] for line in evidence.signatures}
    assert {row.state for row in evidence.ledger.certificates} == {"issued"}


def test_what_is_taken_out_of_a_database_is_missed(tmp_path: Path) -> None:
    """A certificate deleted from a copy of the database breaks I1, I3 and I8; an altered one breaks I3."""
    site = make_site(tmp_path)
    evidence = short_run(site)
    serial = evidence.received[-1]["serial"]

    def after(statement: str) -> set[str]:
        copy = tmp_path / "copy.db"
        shutil.copy(site.home / "regalia.db", copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for (trigger,) in rows:
                connection.execute(f"DROP TRIGGER {trigger}")
            which = bytes.fromhex(serial.rjust(40, "0"))
            connection.execute("CREATE TEMP TABLE w AS SELECT id FROM certificate WHERE serial = ?", (which,))
            connection.execute(statement)
        found = check(replace(evidence, ledger=read_ledger(look_at(f"sqlite:///{copy}"))))
        return {violation.invariant for violation in found if serial in violation.what}

    assert after("SELECT 1") == set()
    assert after("DELETE FROM certificate WHERE id IN (SELECT id FROM w)") >= {"I1", "I3", "I8"}
    assert after("UPDATE certificate_der SET der = x'00' WHERE certificate_id IN (SELECT id FROM w)") == {"I3"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_recovery_with_the_default_lease(site: Site) -> None:
    """Nobody comes back for it: a server that starts after the lease of 60 s finishes the intent by itself (ISS-2)."""
    (device,) = devices_for_run()[:1]
    with Nest() as nest, opened_office(site) as office:
        nest.begin(site.plan(CrashPoint(Call(ENROLMENT, "store", "begin"), "after")))
        assert nest.await_ready()
        minted = office.challenge(device.names)
        assert minted is not None
        line = Line([f"127.0.0.1:{site.port}/scep/{ENDPOINT}"], random.Random(1))  # noqa: S311 - no secret
        assert line.post(enrolment(device, office.server, minted.secret).message)[0] == 0
        nest.await_end()
        began = time.monotonic()
        nest.begin(site.plan())
        assert nest.await_ready()
        time.sleep(5)
        assert len(open_intents(site.look)) == 1
        nest.stop()
        time.sleep(began + DEFAULT_LEASE_SECONDS + 1 - time.monotonic())
        nest.begin(site.plan())
        assert nest.await_ready()
        until = time.monotonic() + 2 * DEFAULT_LEASE_SECONDS
        while open_intents(site.look):
            assert time.monotonic() < until
            time.sleep(0.1)
        nest.stop()
    (leaf,) = [row for row in read_ledger(site.look).certificates if row.kind == "leaf"]
    assert leaf.state == "issued"
